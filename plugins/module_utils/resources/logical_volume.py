# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logical volumes: the wanted ones compared with those that LVM reports."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from functools import partial
from typing import Callable, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import (
    Action,
    Figures,
    Learned,
    Plan,
    Resource,
    State,
    UnexpectedStateError,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import VolumeError, explained
from ansible_collections.xen.blockdev.plugins.module_utils.host import block_device, locks
from ansible_collections.xen.blockdev.plugins.module_utils.image import differences
from ansible_collections.xen.blockdev.plugins.module_utils.image import filling as image_filling
from ansible_collections.xen.blockdev.plugins.module_utils.image.filling import (
    Destination,
    Filling,
    Room,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources import (
    logical_volume_actions as volume_actions,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.intended_slots import (
    IntendedSlots,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.logical_volume_actions import (
    EmptyVolumes,
    NewVolume,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.logical_volume_item import (
    LogicalVolumeItem,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.logical_volume_pools import (
    PoolSpace,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.logical_volume_space import (
    FreeExtents,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.logical_volume_users import (
    VolumeUsers,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk_users import (
    ImageUsers,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.promises import (
    problem_of_stores,
    warnings_of_stores,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.renamed import FormerNames
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage, emptied
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_size
from ansible_collections.xen.blockdev.plugins.module_utils.volume import lvm as volume_lvm
from ansible_collections.xen.blockdev.plugins.module_utils.volume import names as volume_names
from ansible_collections.xen.blockdev.plugins.module_utils.volume.lvm import LvmReport
from ansible_collections.xen.blockdev.plugins.module_utils.volume.report import Group, Volume

LOCK = "volumes"
"""The lock (see locks.exclusive) that is held from reading the report to the last action."""

LOCK_SECONDS = 600
"""How long to wait for another run, because wiping can take long."""


@contextmanager
def open_volumes(pending: Pending) -> Iterator[LogicalVolumes]:
    """This host's logical volumes. In check mode, which changes nothing, no lock is needed."""
    if pending.check_mode:
        yield LogicalVolumes(pending)
        return
    with locks.exclusive(LOCK, LOCK_SECONDS):
        yield LogicalVolumes(pending)


class LogicalVolumes(Resource[LogicalVolumeItem]):
    """The logical volumes of this host."""

    def __init__(self, pending: Pending) -> None:
        usage = Usage()
        self._users = VolumeUsers(usage, pending)
        self._sources = ImageUsers(usage, pending)
        self._former_names = FormerNames(usage, emptied(pending))
        self._slots = IntendedSlots(usage)
        self._space = FreeExtents()
        self._pools = PoolSpace()
        self._empty = EmptyVolumes()
        self._report = LvmReport({}, "")
        self._after = LvmReport({}, "")
        """The same once the actions have run."""
        self._planned: Set[Tuple[str, str]] = set()
        """Group and name of all planned volumes."""
        self._removed: Set[Tuple[str, str]] = set()
        """Group and name of those that a plan removes."""
        self._swept: Set[str] = set()
        """The groups whose leftovers a plan removes."""

    def expect(self, items: Sequence[LogicalVolumeItem]) -> None:
        """See Resource.expect. Reads all groups at once."""
        names = {item.group for item in items}
        if names:
            self._report = volume_lvm.read(names)

    def rank(self, item: LogicalVolumeItem) -> int:
        """See Resource.rank. A snapshot is removed before its origin, which could not be otherwise.
        New volumes that are wiped together come last, one after the other, see EmptyVolumes."""
        group = self._report.groups.get(item.group)
        volume = group.volumes.get(item.name) if group else None
        if not item.present:
            return -len(group.origins(volume)) if group and volume else 0
        if group is None or volume:
            return 1
        return 3 if _is_wiped_together(item, group) else 2

    def plan(self, item: LogicalVolumeItem) -> Plan:
        """See Resource.plan."""
        group = self._group(item)
        if (item.group, item.name) in self._planned:
            raise VolumeError(f"{item.path} is listed twice; list it only once")
        self._planned.add((item.group, item.name))
        swept = self._sweep(group)
        volume = group.volumes.get(item.name)
        if not item.present:
            return swept + self._plan_absent(item, group, volume)
        if volume is None:
            return swept + self._plan_new(item, group)
        return swept + self._plan_old(item, group, volume)

    def warnings(self) -> List[str]:
        """See Resource.warnings."""
        return [
            *self._warnings_of_leftovers(),
            *warnings_of_stores(self._pools.planned),
            *self._pools.metadata_warnings(),
        ]

    def problem(self) -> Optional[str]:
        """See Resource.problem."""
        return problem_of_stores(self._pools.planned)

    def figures(self) -> Figures:
        """See Resource.figures."""
        return {"stores": self._pools.figures(self._after.groups)}

    def settle(self) -> None:
        """See Resource.settle. Reads all groups once for all items."""
        self._after = volume_lvm.read(self._report.groups)

    def _group(self, item: LogicalVolumeItem) -> Group:
        with explained(item.path):
            group = self._report.group(item.group)
        if group.problem:
            raise VolumeError(f"{item.path}: the volume group {group.name}: {group.problem}")
        return group

    # ---- leftovers ----

    def _warnings_of_leftovers(self) -> List[str]:
        """Of groups where another host may be at work on what looks left over."""
        return [
            f"{volume.path} is not complete: a run that was interrupted has left it, or one on "
            "another host is at work on it; if there is none, remove it (lvremove)"
            for group in self._report.groups.values()
            if group.is_shared
            for volume in _leftovers(group)
        ]

    def _sweep(self, group: Group) -> Plan:
        """Remove what runs that were killed have left in the group. Because of the lock, no other
        run of this host can be at work on that."""
        if group.name in self._swept or group.is_shared:
            return Plan()
        self._swept.add(group.name)
        left = _leftovers(group)
        for volume in left:
            self._space.release(group, volume)
            self._pools.release(group, volume)
        return Plan(
            actions=[
                Action(
                    f"remove {volume.path}, which an interrupted run has left",
                    partial(volume_actions.remove, volume),
                )
                for volume in left
            ]
        )

    # ---- new volumes ----

    def _plan_new(self, item: LogicalVolumeItem, group: Group) -> Plan:
        with explained(f"cannot create {item.path}"):
            self._former_names.refuse_new(item.path)
            self._slots.refuse(item.slots, item.path)
            _refuse_place(item.path)
            self._refuse_taken(group, volume_names.new_name(item.name))
            self._refuse_taken(group, volume_names.room_name(item.name))
            pool = _pool_of(item, group)
        stripes = item.stripes or 1
        room, rounded = partial(_room, group, pool), partial(group.rounded, stripes=stripes)
        new = Destination(item.path, item.path, item.size, item.kind, rounded, room)
        filling = image_filling.plan(item.content, new, frozenset())
        if pool is None:
            with explained(f"cannot create {item.path}"):
                self._space.reserve(group, filling.size // group.extent_size, stripes)
        else:
            self._pools.promise(item, group, pool.name, filling.size)
        tags = (volume_names.TAG, *(tag for tag in item.tags if tag != volume_names.TAG))
        volume = NewVolume(
            group=group,
            name=item.name,
            size=filling.size,
            pool=item.thin_pool,
            stripes=stripes,
            tags=tags,
            wipe=item.wipe and pool is None,
            fill=None if filling.is_empty else filling.fill,
        )
        create: Callable[[NewVolume], Optional[Learned]] = volume_actions.create
        if _is_wiped_together(item, group):
            self._empty.expect(volume)
            create = self._empty.create
        return Plan(
            before=_no_volume(item),
            after=_entry(item, filling.size, item.thin_pool, tags),
            read_back=partial(self._read_volume, item, filling.size),
            actions=[Action(filling.sentence, partial(create, volume))],
            warnings=[*filling.warnings, *self._warnings_of_copy(filling)],
        )

    def _refuse_taken(self, group: Group, temporary: str) -> None:
        """Raise VolumeError if a volume that stays has the name of one that is not complete."""
        volume = group.volumes.get(temporary)
        if volume and (group.is_shared or volume not in _leftovers(group)):
            raise VolumeError(
                f"there is {volume.path}, and it is not known who has left it there or works on "
                "it; if it is not needed, remove it (lvremove)"
            )

    def _warnings_of_copy(self, filling: Filling) -> List[str]:
        return self._sources.warnings_of_copy(filling.source) if filling.source else []

    # ---- volumes that exist ----

    def _plan_old(self, item: LogicalVolumeItem, group: Group, volume: Volume) -> Plan:
        _refuse_unusable(item, volume)
        size = volume.size if item.size is None else group.resized(volume, item.size)
        actions = [] if volume.is_active else [self._activation(volume)]
        missing = [tag for tag in dict.fromkeys(item.tags) if tag not in volume.tags]
        if missing:
            sentence = f"add the tags {', '.join(missing)} to {volume.path}"
            actions.append(Action(sentence, partial(volume_actions.add_tags, volume, missing)))
        if size > volume.size:
            actions.append(self._growth(item, group, volume, size))
        elif size < volume.size:
            actions.append(self._shrinking(item, group, volume, size))
        if volume.pool:
            self._pools.promise(item, group, volume.pool, size)
        return Plan(
            before=_volume_state(item, volume),
            after=_entry(item, size, volume.pool, [*volume.tags, *missing]),
            read_back=partial(self._read_volume, item, size),
            actions=actions,
            warnings=[*_warnings_of_stripes(item, volume), *_warnings_of_content(item, volume)],
        )

    def _activation(self, volume: Volume) -> Action:
        sentence = f"activate {volume.path}"
        if volume.skips_activation:
            raise VolumeError(
                f"cannot {sentence}: it is marked to be skipped, also at the next boot; remove the "
                f"mark first (lvchange --setactivationskip n {volume.group}/{volume.name})"
            )
        return Action(sentence, partial(volume_actions.activate, volume))

    def _growth(self, item: LogicalVolumeItem, group: Group, volume: Volume, size: int) -> Action:
        sentence = f"grow {_resizing(volume, size)}"
        with explained(f"cannot {sentence}"):
            self._refuse_resizing(group, volume)
            if volume.is_thin:
                if item.wipe:
                    _require_zeroing(group, volume.pool)
            else:
                if item.wipe and not volume.is_thick:
                    raise VolumeError(
                        f"its new extents cannot be wiped before it has them, because it is "
                        f"{volume.words}; set wipe: false if they may have data of others"
                    )
                self._refuse_taken(group, volume_names.room_name(volume.name))
                more = (size - volume.size) // group.extent_size
                self._space.reserve(group, more, volume.stripes if volume.is_thick else 1)
        return Action(sentence, partial(volume_actions.extend, group, volume, size, item.wipe))

    def _shrinking(
        self, item: LogicalVolumeItem, group: Group, volume: Volume, size: int
    ) -> Action:
        sentence = f"shrink {_resizing(volume, size)}"
        if not item.shrink:
            raise VolumeError(
                f"cannot {sentence}: data beyond {format_size(size)} would be lost; set shrink: "
                "true to allow it, or omit size"
            )
        with explained(f"cannot {sentence}"):
            self._refuse_resizing(group, volume)
            if not (volume.is_thick or volume.is_thin):
                raise VolumeError(f"it is {volume.words}; shrink it by hand (lvreduce)")
        self._users.refuse_shrinking(volume)
        extents = size // group.extent_size
        if volume.is_thick:
            self._space.give(group, volume.size // group.extent_size - extents)
        # LVM shrinks a volume whether it is in use or not, so this is looked up once more.
        refuse = self._users.refuse_shrinking_now
        return Action(sentence, partial(volume_actions.reduce, volume, extents, refuse))

    # ---- absent volumes ----

    def _plan_absent(self, item: LogicalVolumeItem, group: Group, volume: Optional[Volume]) -> Plan:
        if volume is None:
            return Plan(_no_volume(item), _no_volume(item), partial(_no_volume, item))
        sentence = f"remove {volume.path}"
        with explained(f"cannot {sentence}"):
            self._refuse_removal(group, volume)
        self._users.refuse_removal(item, volume)
        self._removed.add((group.name, volume.name))
        self._space.release(group, volume)
        self._pools.release(group, volume)
        return Plan(
            before=_volume_state(item, volume),
            after=_no_volume(item),
            read_back=partial(self._read_removed, item),
            actions=[Action(sentence, partial(volume_actions.remove, volume))],
        )

    # ---- snapshots ----

    def _snapshots_of(self, group: Group, volume: Volume) -> List[str]:
        """Those that LVM would remove together with it, and that no plan removes before."""
        return [name for name in group.lost_with(volume) if (group.name, name) not in self._removed]

    def _refuse_resizing(self, group: Group, volume: Volume) -> None:
        if volume.occupation:
            raise VolumeError(f"{volume.occupation}; wait until that has ended (`lvs`)")
        if volume.is_thick_snapshot:
            raise VolumeError(
                f"it is a snapshot of {volume.origin}, and as large as that; omit size (lvextend "
                "gives a snapshot more room for what changes)"
            )
        snapshots = self._snapshots_of(group, volume)
        if snapshots:
            raise VolumeError(
                f"it has snapshots ({', '.join(snapshots)}), and LVM cannot resize it while it is "
                "active; remove them first (lvremove)"
            )

    def _refuse_removal(self, group: Group, volume: Volume) -> None:
        if not volume.is_disk:
            raise VolumeError(f"it {_no_disk(volume)}; remove it by hand (lvremove)")
        if volume.occupation:
            raise VolumeError(f"{volume.occupation}; wait until that has ended (`lvs`)")
        snapshots = self._snapshots_of(group, volume)
        if snapshots:
            raise VolumeError(
                f"LVM would remove its snapshots with it ({', '.join(snapshots)}); remove them "
                "first, or in the same call"
            )
        if not (volume.is_thick or volume.is_thin or volume.is_thick_snapshot or volume.is_raid):
            raise VolumeError(f"it is {volume.words}; remove it by hand (lvremove)")

    # ---- what is there afterwards ----

    def _found(self, item: LogicalVolumeItem) -> Optional[Volume]:
        return self._after.group(item.group).volumes.get(item.name)

    def _read_volume(self, item: LogicalVolumeItem, size: int) -> State:
        """The state of a volume that should have ``size`` bytes now. Raises VolumeError if not."""
        volume = self._found(item)
        if volume is None:
            raise VolumeError(f"{item.path} is not there: another program removed it; run again")
        state = _volume_state(item, volume)
        if volume.size != size:
            raise UnexpectedStateError(
                f"{item.path} has {format_size(volume.size)}, not {format_size(size)}: another "
                "program changed it in the meantime; run again",
                state,
            )
        if volume.device is None:
            raise UnexpectedStateError(
                f"{item.path} is not active: another program deactivated it; run again", state
            )
        return state

    def _read_removed(self, item: LogicalVolumeItem) -> State:
        """The state of a volume that should be gone now. Raises VolumeError if it is not."""
        volume = self._found(item)
        if volume is not None:
            raise UnexpectedStateError(
                f"{item.path} is still there: it has got a snapshot in the meantime, which LVM "
                "would remove with it, or another program has made it again (`lvs`); run again",
                _volume_state(item, volume),
            )
        return _no_volume(item)


# ---- what is refused ----


def _is_wiped_together(item: LogicalVolumeItem, group: Group) -> bool:
    """Whether a new volume may be one of EmptyVolumes. In a group that hosts share, one of them
    could get the wiped extents meanwhile, as its run does not wait for ours."""
    return item.takes_any_wiped_extents and not group.is_shared


def _refuse_place(path: str) -> None:
    """Raise VolumeError if something that is no volume has the path of a new one."""
    with suppress(FileNotFoundError, NotADirectoryError):
        if not stat.S_ISLNK(os.lstat(path).st_mode):
            raise VolumeError(
                "there is something at this path that is no logical volume; find out what it is, "
                "and remove it"
            )


def _pool_of(item: LogicalVolumeItem, group: Group) -> Optional[Volume]:
    """The thin pool of a new volume, if any. Raises VolumeError if it cannot be used."""
    if item.thin_pool is None:
        return None
    pool = group.volumes.get(item.thin_pool)
    if pool is None:
        raise VolumeError(
            f"the volume group {group.name} has no thin pool {item.thin_pool}; create it first "
            "(lvcreate --type thin-pool)"
        )
    if not pool.is_pool:
        raise VolumeError(f"{pool.path} is no thin pool: it is {pool.words}; set thin_pool to one")
    if pool.problem:
        raise VolumeError(f"the thin pool {pool.path} cannot be used: {pool.problem}")
    if item.wipe or item.has_content:
        _require_zeroing(group, item.thin_pool)
    return pool


def _room(group: Group, pool: Optional[Volume]) -> Room:
    """What a new volume takes its extents from."""
    devices: Set[int] = set()
    for disk in group.physical:
        with suppress(OSError):
            rdev = os.stat(disk.path).st_rdev
            devices |= {rdev, *block_device.below(rdev)}
    if pool is None:
        return Room(f"the volume group {group.name}", group.size, group.free, devices)
    return Room(f"the thin pool {pool.path}", pool.size, pool.free, devices)


def _require_zeroing(group: Group, name: Optional[str]) -> None:
    """Raise VolumeError if the thin pool gives its volumes blocks with what others left in them. To
    wipe such a volume would take all of its blocks from the pool."""
    pool = group.volumes.get(name or "")
    if pool and not pool.zeroes:
        raise VolumeError(
            f"the thin pool {pool.path} does not zero its blocks, so the guest could read what "
            f"others left in them; have it do so first (lvchange --zero y {group.name}/{pool.name})"
            ", or set wipe: false"
        )


def _refuse_unusable(item: LogicalVolumeItem, volume: Volume) -> None:
    """Raise VolumeError if the volume that exists cannot be the wanted one."""
    if not volume.is_disk:
        raise VolumeError(f"{volume.path} {_no_disk(volume)}; choose another name")
    if item.thin_pool not in (None, volume.pool):
        now = f"in the thin pool {volume.pool}" if volume.pool else "in no thin pool"
        raise VolumeError(
            f"{volume.path} is {now}, not in {item.thin_pool}: a volume that exists is never "
            "moved; copy it to a new one, or omit thin_pool"
        )
    if volume.problem:
        raise VolumeError(f"{volume.path} cannot be used: {volume.problem} (`lvs`)")
    if volume.is_suspended:
        raise VolumeError(
            f"{volume.path} is suspended, so everybody who uses it waits; find out why "
            f"(dmsetup info {volume_names.name_in_mapper(volume.group, volume.name)})"
        )


def _no_disk(volume: Volume) -> str:
    if volume.is_pool:
        return "is a thin pool, not a disk"
    return "is a part of another volume, or has others in it"


def _warnings_of_stripes(item: LogicalVolumeItem, volume: Volume) -> List[str]:
    if item.stripes is None or not volume.is_thick or item.stripes == volume.stripes:
        return []
    return [
        f"{volume.path} has {volume.stripes} stripes, not {item.stripes}: a volume that exists is "
        "never rebuilt"
    ]


def _warnings_of_content(item: LogicalVolumeItem, volume: Volume) -> List[str]:
    """About a file system or label that is not the wanted one. A volume that is not active cannot
    be read."""
    if not volume.is_active:
        return []
    with suppress(OSError):
        wanted = item.content.file_system
        return differences.from_wanted(wanted, item.path, item.path, os.stat(item.path))
    return []


def _leftovers(group: Group) -> List[Volume]:
    """What runs that were killed have left in the group, by its name and its tag."""
    return [
        volume
        for volume in group.volumes.values()
        if volume_names.is_temporary(volume.name) and volume_names.TAG in volume.tags
    ]


def _resizing(volume: Volume, size: int) -> str:
    return f"{volume.path} from {format_size(volume.size)} to {format_size(size)}"


# ---- states ----


def _no_volume(item: LogicalVolumeItem) -> State:
    return _entry(item, None, None, ())


def _volume_state(item: LogicalVolumeItem, volume: Volume) -> State:
    return _entry(item, volume.size, volume.pool, volume.tags)


def _entry(
    item: LogicalVolumeItem, size: Optional[int], pool: Optional[str], tags: Iterable[str]
) -> State:
    return {"path": item.path, "size": size, "thin_pool": pool, "tags": sorted(tags)}
