# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The media in the emulated drives of guests."""

from __future__ import annotations

import stat
from collections import defaultdict
from functools import cached_property
from typing import Dict, Iterator, List, Mapping, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host import open_files
from ansible_collections.xen.blockdev.plugins.module_utils.host.open_files import Process
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.storage import (
    Identity,
    Storage,
    Storages,
)


class OpenMedia:
    """Finds the data of media. Looks once for the QEMUs of all domains, when needed."""

    def __init__(self, storages: Storages) -> None:
        self._storages = storages

    def storage_of(self, medium: str, domid: int) -> Storage:
        """The data that the QEMU of a domain has in a drive, by the path that was opened.

        It is not what is at that path now if another file has taken its place since: QEMU keeps
        open what it has. Nothing but its name is known of it then.
        """
        try:
            found = self._storages.of_path(medium)
        except XenError:
            return Storage(medium)
        opened = set(self._opened(domid))
        is_replaced = opened and opened.isdisjoint(found.identities)
        return Storage(f"{medium} (replaced)") if is_replaced else found

    def _opened(self, domid: int) -> Iterator[Identity]:
        """What identifies the files and block devices that the QEMU of a domain has open."""
        for pid in self._qemus.get(domid, ()):
            for one in open_files.opened_by(pid):
                if stat.S_ISBLK(one.status.st_mode):
                    yield one.status.st_rdev
                else:
                    yield from self._storages.files_of_opened(one)

    @cached_property
    def _qemus(self) -> Mapping[int, Sequence[str]]:
        """The process numbers of the QEMUs of each domain."""
        qemus: Dict[int, List[str]] = defaultdict(list)
        for pid in open_files.processes():
            domid = Process(pid).domid
            if domid is not None:
                qemus[domid].append(pid)
        return qemus
