# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The volume groups and thin pools of a host, for xen_disks_info: LVM's report of all of them."""

from __future__ import annotations

from typing import Iterable, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info_gaps import Gaps
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    DiskStorage,
    ThinPool,
    ThinVolume,
    VolumeGroup,
)
from ansible_collections.xen.blockdev.plugins.module_utils.volume import lvm
from ansible_collections.xen.blockdev.plugins.module_utils.volume.report import Group, Volume


def volume_groups(storages: Iterable[DiskStorage], gaps: Gaps) -> Tuple[VolumeGroup, ...]:
    """The groups that have one of the ``storages``. LVM is started only if there is one, and not
    for each; where its program is not installed, nothing is known of groups."""
    devices = [one.device for one in storages if one.device is not None]
    names = sorted({one.volume.group for one in devices if one.volume is not None})
    if not names or programs.find("lvm") is None:
        return ()
    with gaps.noted("lvm"):
        report = lvm.read(names)
        for name in set(names) - set(report.groups):
            gaps.note("lvm", name, BlockdevError(report.complaint or "LVM does not report it"))
        return tuple(_surveyed(group) for _name, group in sorted(report.groups.items()))
    return ()


def _surveyed(group: Group) -> VolumeGroup:
    volumes = sorted(group.volumes.values(), key=lambda one: one.name)
    return VolumeGroup(
        name=group.name,
        size=group.size,
        free=group.free,
        pools=tuple(_pool(group, one) for one in volumes if one.is_pool),
    )


def _pool(group: Group, pool: Volume) -> ThinPool:
    return ThinPool(
        path=pool.path,
        size=pool.size,
        used=pool.used,
        metadata_percent=pool.metadata_percent,
        volumes=tuple(
            ThinVolume(one.path, one.size, one.used)
            for one in group.volumes.values()
            if one.pool == pool.name
        ),
    )
