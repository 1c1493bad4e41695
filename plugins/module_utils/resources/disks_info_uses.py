# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What dom0 itself does with the data of disks, for xen_disks_info."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from typing import Dict, Iterator, List, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.host.open_files import OpenFile, Process
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.compatible import (
    CLAIM,
    CLAIMED_FOR,
    DOM0_USES,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.storage import Storage
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage, User
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import HostUse, ImageFile


def host_uses(storage: Storage, image: Optional[ImageFile], usage: Usage) -> Tuple[HostUse, ...]:
    """What dom0 uses the storage for. ``image``: the file, if it is one."""
    users = [user for user in _users(storage, image, usage) if user.kind in DOM0_USES]
    uses = [HostUse(user.kind, user.sentence) for user in dict.fromkeys(users)]
    if not uses and any(map(usage.is_claimed, sorted(storage.devices))):
        uses = [HostUse(CLAIM, f"held {CLAIMED_FOR}")]
    return (*uses, *_processes(usage.opened(storage)))


def _users(storage: Storage, image: Optional[ImageFile], usage: Usage) -> Iterator[User]:
    for rdev in sorted(storage.devices):
        yield from usage.of_device(rdev, processes=False)
    if image and image.inode is not None:
        with suppress(OSError):
            yield from usage.of_file(os.stat(image.path), processes=False)


def _processes(opened: List[OpenFile]) -> Iterator[HostUse]:
    by_pid: Dict[str, List[OpenFile]] = defaultdict(list)
    for one in opened:
        by_pid[one.pid].append(one)
    for pid, files in by_pid.items():
        process = Process(pid)
        for_writing = any(one.is_for_writing for one in files)
        how = "open for writing" if for_writing else "open"
        sentence = f"{how} in {process.words}"
        yield HostUse("process", sentence, int(pid), process.domid, for_writing)
