# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes that keep a file or a block device open.

Programs that inspect every block device, such as blkid, lsblk, udev or another run of a module,
open each of them for a moment, which lasts as long as they wait for a processor. They do not count:
a process counts if it has the file open each time that this looks.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Callable, Collection, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.host import open_files
from ansible_collections.xen.blockdev.plugins.module_utils.host.open_files import OpenFile
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.storage import Identity

RECHECK_SECONDS = (0.02, 0.1, 0.3, 1)
"""The pauses between one look at the open files of this host and the next."""

OpenFiles = Mapping[Identity, Sequence[OpenFile]]
"""The open files of all processes, by the data that they reach."""


class Openers:
    """Looks at the open files of all processes, again and again while the answer needs it.

    The looks are kept: all questions together wait for RECHECK_SECONDS at most.
    """

    def __init__(self, reached_by: Callable[[OpenFile], Iterable[Identity]]) -> None:
        """``reached_by``: the data that an open file reaches."""
        self._reached_by = reached_by
        self._looks: List[OpenFiles] = []

    def wait_for_lasting(
        self,
        identities: Collection[Identity],
        for_writing: bool = False,
        counts: Callable[[str], bool] = lambda pid: True,
    ) -> List[str]:
        """The ids of the processes that keep one of ``identities`` open, or open for writing.

        Waits while there is such a process, until the last look. ``counts``: whether a process of
        that id is one.
        """
        lasting: Optional[List[str]] = None
        for look in self._wait_for_looks():
            pids = _pids(look, identities, for_writing)
            if lasting is None:
                lasting = list(filter(counts, pids))
            lasting = [pid for pid in lasting if pid in pids]
            if not lasting:
                break
        return lasting or []

    def at_once(self, identities: Collection[Identity]) -> List[OpenFile]:
        """Everything through which one of ``identities`` is open at the first look, also if only
        for a moment."""
        look = next(self._wait_for_looks())
        found = (one for identity in identities for one in look.get(identity, ()))
        return list(dict.fromkeys(found))

    def _wait_for_looks(self) -> Iterator[OpenFiles]:
        for number, pause in enumerate((0, *RECHECK_SECONDS)):
            if number == len(self._looks):
                time.sleep(pause)
                self._looks.append(self._look())
            yield self._looks[number]

    def _look(self) -> OpenFiles:
        found: Dict[Identity, List[OpenFile]] = defaultdict(list)
        for one in open_files.all_open():
            for identity in self._reached_by(one):
                found[identity].append(one)
        return found


def _pids(look: OpenFiles, identities: Iterable[Identity], for_writing: bool) -> List[str]:
    files = [file for identity in identities for file in look.get(identity, ())]
    return list(dict.fromkeys(one.pid for one in files if not for_writing or one.is_for_writing))
