# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The users of a logical volume that prevent shrinking or removing it."""

from __future__ import annotations

import os
from typing import Iterator, List, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.errors import VolumeError
from ansible_collections.xen.blockdev.plugins.module_utils.resources.logical_volume_item import (
    LogicalVolumeItem,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk_users import REMEDIES
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import (
    Usage,
    User,
    emptied,
    join,
)
from ansible_collections.xen.blockdev.plugins.module_utils.volume import names as volume_names
from ansible_collections.xen.blockdev.plugins.module_utils.volume.report import Volume
from ansible_collections.xen.blockdev.plugins.module_utils.xen import saved_domains

DEVICE_REMEDIES = {
    **REMEDIES,
    "mount": "unmount it first",
    "holder": "close it first (cryptsetup close, dmsetup remove or mdadm --stop)",
}


class VolumeUsers:
    """Refuses changes of volumes that are in use."""

    def __init__(self, usage: Usage, pending: Pending) -> None:
        """``pending``: what earlier tasks would have detached but for check mode."""
        self._usage = usage
        self._emptied = emptied(pending)

    def refuse_shrinking(self, volume: Volume) -> None:
        """Raise VolumeError if the volume has users."""
        self._refuse(f"shrink {volume.path}", self._users(self._usage, volume))

    def refuse_removal(self, item: LogicalVolumeItem, volume: Volume) -> None:
        """Raise VolumeError if the volume has users, or configs name it (``named_in``)."""
        self._refuse(
            f"remove {volume.path}",
            [*self._naming(item, volume), *self._users(self._usage, volume)],
        )

    def refuse_shrinking_now(self, volume: Volume) -> None:
        """The same as refuse_shrinking, with what is in use by now: LVM shrinks a volume whether it
        is open or not."""
        self._refuse(f"shrink {volume.path}", self._users(Usage(), volume))

    def _users(self, usage: Usage, volume: Volume) -> List[User]:
        if volume.device is None:
            return list(_saved_with(volume))
        rdev = os.makedev(*volume.device)
        return usage.of_device(rdev, self._will_be_gone)

    def _naming(self, item: LogicalVolumeItem, volume: Volume) -> List[User]:
        paths = volume_names.paths_of(volume.group, volume.name, volume.uuid)
        found = [user for path in paths for user in self._usage.naming(path, item.named_in)]
        return list(dict.fromkeys(found))

    def _will_be_gone(self, user: User) -> bool:
        """Whether an earlier task would have removed this user but for check mode."""
        return (user.domain, user.xenstore_key) in self._emptied

    def _refuse(self, what: str, users: Sequence[User]) -> None:
        if users:
            remedies = dict.fromkeys(
                DEVICE_REMEDIES.get(user.kind, "release it first") for user in users
            )
            raise VolumeError(f"cannot {what}: {join(users)}; {', '.join(remedies)}")


def _saved_with(volume: Volume) -> Iterator[User]:
    """The saved domains that have a volume which is not active, and so has no device."""
    paths = volume_names.paths_of(volume.group, volume.name, volume.uuid)
    for disk in saved_domains.saved_disks():
        if disk.target in paths:
            sentence = f"disk {disk.vdev} of domain {disk.domain}, which is saved in {disk.file}"
            yield User("saved", sentence, read_only=disk.read_only)
