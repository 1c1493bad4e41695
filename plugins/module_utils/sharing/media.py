# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The media in the emulated drives of guests."""

from __future__ import annotations

import stat
from typing import Iterator

from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host import open_files
from ansible_collections.xen.blockdev.plugins.module_utils.host.open_files import Process
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.storage import (
    Identity,
    Storage,
    Storages,
)


def storage_of(medium: str, domid: int, storages: Storages) -> Storage:
    """The data that the QEMU of a domain has in a drive, by the path that was opened.

    It is not what is at that path now if another file has taken its place since: QEMU keeps open
    what it has. Nothing but its name is known of it then.
    """
    try:
        found = storages.of_path(medium)
    except XenError:
        return Storage(medium)
    opened = set(_opened(domid, storages))
    is_replaced = opened and opened.isdisjoint(found.identities)
    return Storage(f"{medium} (replaced)") if is_replaced else found


def _opened(domid: int, storages: Storages) -> Iterator[Identity]:
    """What identifies the files and block devices that the QEMU of a domain has open."""
    for pid in open_files.processes():
        if Process(pid).domid != domid:
            continue
        for one in open_files.opened_by(pid):
            if stat.S_ISBLK(one.status.st_mode):
                yield one.status.st_rdev
            else:
                yield from storages.files_of_opened(one)
