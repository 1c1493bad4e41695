# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The free extents that the volumes of one call need together."""

from __future__ import annotations

from collections import defaultdict
from typing import Dict

from ansible_collections.xen.blockdev.plugins.module_utils.errors import VolumeError
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_size
from ansible_collections.xen.blockdev.plugins.module_utils.volume.report import Group, Volume


class FreeExtents:
    """Free extents of groups less what the plans so far need of them."""

    def __init__(self) -> None:
        self._reserved: Dict[str, int] = defaultdict(int)
        """By group; negative if the plans free more than they need."""

    def reserve(self, group: Group, extents: int, stripes: int) -> None:
        """Reserve extents of the group for a volume. Raises VolumeError if it has not enough."""
        left = group.free_extents - self._reserved[group.name]
        if extents > left:
            raise VolumeError(
                f"it needs {format_size(extents * group.extent_size)} more, but "
                f"{format_size(max(left, 0) * group.extent_size)} are free in the volume group "
                f"{group.name} after the other changes of this call; free some space, or add a "
                "disk to the group (vgextend)"
            )
        disks = [one for one in group.physical if one.is_allocatable]
        each = extents // stripes
        # A disk takes no more than one stripe. What volumes of this call free may be anywhere.
        room = sum(min(one.free, each) for one in disks) + max(-self._reserved[group.name], 0)
        if len(disks) < stripes or (stripes > 1 and room < extents):
            raise VolumeError(
                f"{stripes} stripes need as many physical volumes with "
                f"{format_size(each * group.extent_size)} free each, but the volume group "
                f"{group.name} has {_disks(group)}; set fewer stripes, or omit stripes"
            )
        self._reserved[group.name] += extents

    def release(self, group: Group, volume: Volume) -> None:
        """Count on the extents of a volume that is removed first. Those of a thin volume stay in
        its pool, and what a volume made of other volumes frees is not counted on."""
        if volume.is_thick or volume.is_thick_snapshot:
            self.give(group, volume.taken // group.extent_size)

    def give(self, group: Group, extents: int) -> None:
        """Count on extents that a change frees."""
        self._reserved[group.name] -= extents


def _disks(group: Group) -> str:
    shown = [
        f"{one.path} with {format_size(one.free * group.extent_size)}"
        for one in group.physical
        if one.is_allocatable
    ]
    return ", ".join(shown) or "none that may be used"
