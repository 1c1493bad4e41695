# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volume groups and logical volumes, as LVM's report has them: see lvmreport(7) and lvs(8)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.errors import VolumeError
from ansible_collections.xen.blockdev.plugins.module_utils.units import round_up
from ansible_collections.xen.blockdev.plugins.module_utils.volume import names as volume_names

COLUMNS = {
    "vg": (
        *("vg_name", "vg_uuid", "vg_attr", "vg_extent_size", "vg_extent_count", "vg_free_count"),
        "vg_lock_type",
    ),
    "pv": ("pv_name", "pv_attr", "pv_pe_count", "pv_pe_alloc_count"),
    "lv": (
        *("lv_uuid", "lv_name", "lv_attr", "lv_layout", "lv_role", "lv_size", "pool_lv"),
        *("origin", "origin_size", "lv_tags", "data_percent", "metadata_percent"),
        *("lv_kernel_major", "lv_kernel_minor"),
    ),
    # It cannot be left out; this is the shortest.
    "pvseg": ("pvseg_start",),
    "seg": ("lv_uuid", "seg_start_pe", "stripes", "seg_pe_ranges"),
}
"""What is read of each group. The letters of the attributes do not depend on lvm.conf, as words
such as ``exported`` do (report/binary_values_as_numeric)."""

ARGUMENTS = (
    *("fullreport", "--all", "--reportformat", "json", "--units", "b", "--nosuffix"),
    *(
        argument
        for name, columns in COLUMNS.items()
        for argument in ("--configreport", name, "--options", ",".join(columns))
    ),
)
"""Of the program ``lvm``: one report with everything. The names of groups may follow."""

HEALTH = {
    "p": "a physical volume of it is missing",
    "F": "it has failed",
    "D": "it has no space left for data",
    "M": "its metadata is read-only, since it is full or damaged",
    "X": "its state is unknown",
}
"""The ninth letter of a volume's attributes, where it means that it cannot be used (lvs(8))."""

METADATA_PERCENT = 90
"""How full the metadata of a thin pool may be without a warning. If it is full, the pool fails as a
whole."""


@dataclass(frozen=True)
class Segment:
    """A part of a volume that is allocated in one way."""

    start: int
    """Its first extent in the volume."""
    stripes: int
    ranges: Tuple[str, ...]
    """Its extents, as lvextend(8) takes them: ``/dev/sda1:0-24``."""


@dataclass(frozen=True)
class Volume:
    """A logical volume."""

    group: str
    name: str
    uuid: str
    """As device-mapper has it: ``LVM-`` and the UUIDs of group and volume without hyphens."""
    attributes: str
    layout: FrozenSet[str]
    """How it is stored: ``linear``, ``striped``, ``thin``, ``raid``, …"""
    roles: FrozenSet[str]
    """What it is for: ``public``, ``thickorigin``, ``thicksnapshot``, …"""
    size: int
    """Bytes of the disk that it is."""
    taken: int
    """Bytes that LVM gives as its size: of a snapshot with a size of its own, what it can store."""
    pool: Optional[str]
    """The thin pool that it is in."""
    origin: Optional[str]
    """What it is a snapshot of."""
    tags: FrozenSet[str]
    data_percent: Optional[float]
    """How full a thin pool is, or which part of a thin volume or snapshot is in use."""
    metadata_percent: Optional[float]
    """How full the metadata of a thin pool is."""
    device: Optional[Tuple[int, int]]
    """Major and minor number of its block device; None if it is not active on this host."""
    segments: Tuple[Segment, ...] = ()

    @property
    def path(self) -> str:
        """Where its device is."""
        return volume_names.path_of(self.group, self.name)

    @property
    def is_disk(self) -> bool:
        """Whether it is for users of LVM, and no part of another volume and no pool."""
        return "public" in self.roles

    @property
    def is_pool(self) -> bool:
        """Whether it is a thin pool."""
        return {"thin", "pool"} <= self.layout

    @property
    def is_thin(self) -> bool:
        """Whether its extents are given to it by a thin pool as they are written."""
        return "thin" in self.layout and not self.is_pool

    @property
    def is_thick(self) -> bool:
        """Whether it is nothing but extents of physical volumes, and no snapshot."""
        return self.layout <= {"linear", "striped"} and not self.is_thick_snapshot

    @property
    def is_thick_snapshot(self) -> bool:
        """Whether it stores what its origin had when it was made, as long as it has room."""
        return "thicksnapshot" in self.roles

    @property
    def is_raid(self) -> bool:
        """Whether LVM keeps it on several physical volumes against a failure, or for speed."""
        return "raid" in self.layout

    @property
    def is_active(self) -> bool:
        """Whether it has a device on this host."""
        return self.attributes[4:5] != "-"

    @property
    def used(self) -> Optional[int]:
        """The bytes that are in use of a thin pool, or those that a thin volume has taken; None if
        that is not known, since it is not active."""
        return None if self.data_percent is None else int(self.size * self.data_percent / 100)

    @property
    def free(self) -> Optional[int]:
        """The bytes of a thin pool that its volumes can still take; None if that is not known."""
        return None if self.used is None else self.size - self.used

    @property
    def is_suspended(self) -> bool:
        """Whether its device makes everybody wait."""
        return self.attributes[4:5] in ("s", "S")

    @property
    def skips_activation(self) -> bool:
        """Whether it is not activated unless somebody insists."""
        return self.attributes[9:10] == "k"

    @property
    def is_read_only(self) -> bool:
        """Whether LVM gives a read-only device for it."""
        return self.attributes[1:2] in ("r", "R")

    @property
    def zeroes(self) -> bool:
        """Whether the thin pool, or that of the thin volume, zeroes what it gives."""
        return self.attributes[7:8] == "z"

    @property
    def problem(self) -> Optional[str]:
        """Why it cannot be used; None if it can."""
        return HEALTH.get(self.attributes[8:9]) if self.is_active else None

    @property
    def occupation(self) -> Optional[str]:
        """What LVM does with it at present, which forbids changes; None for nothing."""
        if self.attributes[0:1] in ("O", "S"):
            return "a snapshot is being merged"
        if self.attributes[0:1] == "c":
            return "it is being converted"
        # The allocation policy is a capital letter while the volume is locked against changes.
        if self.attributes[2:3].isupper():
            return "its extents are being moved (pvmove)"
        return None

    @property
    def stripes(self) -> int:
        """Across how many physical volumes its last segment is spread; a volume grows by more of
        that."""
        return max(self.segments[-1].stripes, 1) if self.segments else 1

    @property
    def words(self) -> str:
        """How it is stored, for a message: ``raid, raid1``."""
        return ", ".join(sorted(self.layout))


@dataclass(frozen=True)
class PhysicalVolume:
    """A disk or partition of a group."""

    path: str
    attributes: str
    free: int
    """Extents."""

    @property
    def is_allocatable(self) -> bool:
        """Whether LVM puts new extents there."""
        return self.attributes[0:1] == "a" and not self.is_missing

    @property
    def is_missing(self) -> bool:
        """Whether the group knows it, but this host does not see it."""
        return self.attributes[2:3] == "m"


@dataclass(frozen=True)
class Group:
    """A volume group."""

    name: str
    attributes: str
    extent_size: int
    """Bytes."""
    extents: int
    free_extents: int
    lock_type: str
    """How hosts that share the group lock it: ``sanlock``, ``dlm``; empty if none do."""
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    """By their names."""
    physical: Tuple[PhysicalVolume, ...] = ()

    @property
    def size(self) -> int:
        """Bytes."""
        return self.extents * self.extent_size

    @property
    def free(self) -> int:
        """Bytes."""
        return self.free_extents * self.extent_size

    @property
    def is_shared(self) -> bool:
        """Whether other hosts may change it at the same time."""
        return bool(self.lock_type) or self.attributes[5:6] in ("c", "s")

    @property
    def problem(self) -> Optional[str]:
        """Why nothing in it can be used, and what to do; None if it can."""
        if self.attributes[2:3] == "x":
            return "it is exported, so no host uses it; import it first (vgimport)"
        if self.attributes[3:4] == "p":
            missing = ", ".join(one.path for one in self.physical if one.is_missing)
            return f"physical volumes of it are missing ({missing}); bring them back first (pvs)"
        if self.attributes[0:1] != "w":
            return "it is read-only; make it writable first (vgchange)"
        return None

    def extents_for(self, size: int, stripes: int = 1) -> int:
        """How many extents a volume of at least ``size`` bytes has: as many on each stripe."""
        return round_up(round_up(size, self.extent_size) // self.extent_size, stripes)

    def rounded(self, size: int, stripes: int = 1) -> int:
        """The bytes of such a volume."""
        return self.extents_for(size, stripes) * self.extent_size

    def resized(self, volume: Volume, size: int) -> int:
        """The bytes of the volume once it is resized to at least ``size``, as LVM rounds them: it
        grows by as many extents on each stripe. A size that is rounded to what it has is no change.
        """
        present, wanted = volume.size // self.extent_size, self.extents_for(size)
        if wanted > present:
            wanted = present + round_up(wanted - present, volume.stripes)
        elif present - wanted < volume.stripes:
            return volume.size
        else:
            wanted = round_up(wanted, volume.stripes)
        return wanted * self.extent_size

    def lost_with(self, volume: Volume) -> List[str]:
        """The names of the snapshots that LVM removes together with the volume. A thin snapshot of
        a thin volume is on its own."""
        return sorted(
            one.name
            for one in self.volumes.values()
            if one.origin == volume.name and (one.is_thick_snapshot or not volume.is_thin)
        )

    def origins(self, volume: Volume) -> List[str]:
        """The names of what the volume is a snapshot of, of what that is one of, and so on."""
        found: List[str] = []
        name = volume.origin
        while name is not None and name not in found:
            found.append(name)
            name = self.volumes[name].origin if name in self.volumes else None
        return found

    def promised(self, pool: Volume) -> int:
        """Bytes of all volumes in the thin pool, as their users see them."""
        return sum(one.size for one in self.volumes.values() if one.pool == pool.name)


def groups_in(text: str) -> Dict[str, Group]:
    """The groups in the output of ``lvm`` with ARGUMENTS, by their names.

    Raises VolumeError if it is no such report.
    """
    try:
        parts = json.loads(text)["report"]
        groups = [_group(part) for part in parts if part.get("vg")]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise VolumeError(f"LVM's report cannot be read: {error!r}") from None
    return {group.name: group for group in groups}


def _group(part: Mapping[str, List[Mapping[str, str]]]) -> Group:
    vg = part["vg"][0]
    segments: Dict[str, List[Segment]] = {}
    for row in part.get("seg", ()):
        segments.setdefault(row["lv_uuid"], []).append(_segment(row))
    volumes = [_volume(row, vg, segments.get(row["lv_uuid"], ())) for row in part.get("lv", ())]
    return Group(
        name=vg["vg_name"],
        attributes=vg["vg_attr"],
        extent_size=int(vg["vg_extent_size"]),
        extents=int(vg["vg_extent_count"]),
        free_extents=int(vg["vg_free_count"]),
        lock_type=vg["vg_lock_type"] if vg["vg_lock_type"] != "none" else "",
        volumes={volume.name: volume for volume in volumes},
        physical=tuple(map(_physical_volume, part.get("pv", ()))),
    )


def _physical_volume(row: Mapping[str, str]) -> PhysicalVolume:
    free = int(row["pv_pe_count"]) - int(row["pv_pe_alloc_count"])
    return PhysicalVolume(row["pv_name"], row["pv_attr"], free)


def _segment(row: Mapping[str, str]) -> Segment:
    ranges = tuple(row["seg_pe_ranges"].split())
    return Segment(int(row["seg_start_pe"]), int(row["stripes"]), ranges)


def _volume(row: Mapping[str, str], vg: Mapping[str, str], segments: Sequence[Segment]) -> Volume:
    # A volume that is part of another one has its name in brackets.
    uuid = f"LVM-{vg['vg_uuid']}{row['lv_uuid']}"
    size = int(row["lv_size"])
    major, minor = int(row["lv_kernel_major"]), int(row["lv_kernel_minor"])
    return Volume(
        group=vg["vg_name"],
        name=row["lv_name"].strip("[]"),
        uuid=uuid[:4] + uuid[4:].replace("-", ""),
        attributes=row["lv_attr"],
        layout=_set(row["lv_layout"]),
        roles=_set(row["lv_role"]),
        size=int(row["origin_size"] or size),
        taken=size,
        pool=row["pool_lv"].strip("[]") or None,
        origin=row["origin"].strip("[]") or None,
        tags=_set(row["lv_tags"]),
        data_percent=_percent(row["data_percent"]),
        metadata_percent=_percent(row["metadata_percent"]),
        device=(major, minor) if major >= 0 else None,
        segments=tuple(sorted(segments, key=lambda segment: segment.start)),
    )


def _set(words: str) -> FrozenSet[str]:
    return frozenset(word for word in words.split(",") if word)


def _percent(text: Any) -> Optional[float]:
    return float(text) if text else None
