# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Creating, growing, shrinking and removing logical volumes, each completely or not at all.

A volume gets its name last, once it holds nothing of its extents' former owners and all of its
content. Until then it, or the room that its extents are wiped in, has a name that the next run
takes it away by.

``--yes`` answers LVM's questions. They are whether what these commands destroy may be lost, which
the plan has found out in more ways than LVM has, and whether signatures in new extents may be
wiped, where everything is. ``--force`` would overcome what LVM knows better, and is never used.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Learned
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, VolumeError
from ansible_collections.xen.blockdev.plugins.module_utils.image.new_disk import NewDevice, NewDisk
from ansible_collections.xen.blockdev.plugins.module_utils.volume import device as volume_device
from ansible_collections.xen.blockdev.plugins.module_utils.volume import lvm as volume_lvm
from ansible_collections.xen.blockdev.plugins.module_utils.volume import names as volume_names
from ansible_collections.xen.blockdev.plugins.module_utils.volume.extents import dealt
from ansible_collections.xen.blockdev.plugins.module_utils.volume.report import Group, Volume


@dataclass(frozen=True)
class NewVolume:
    """A volume that is to be made."""

    group: Group
    name: str
    size: int
    """Bytes, whole extents."""
    pool: Optional[str]
    """The thin pool that it is in."""
    stripes: int
    tags: Tuple[str, ...]
    wipe: bool
    """Whether its extents may have data of others."""
    fill: Optional[Callable[[NewDisk], None]] = None
    """Writes its content; None for no content."""

    @property
    def path(self) -> str:
        """Where its device is in the end."""
        return volume_names.path_of(self.group.name, self.name)

    @property
    def is_complete_at_once(self) -> bool:
        """Whether there is nothing to be done once LVM has made it."""
        return self.fill is None and not self.wipe


def create(new: NewVolume) -> None:
    """Make the volume. Raises BlockdevError and OSError, and leaves nothing then."""
    group = new.group.name
    if new.is_complete_at_once:
        _make(new, new.name)
        return
    temporary = volume_names.new_name(new.name)
    _make(new, temporary)
    with _removed_on_error(group, temporary):
        with volume_device.opened_volume(group, temporary) as descriptor:
            if new.wipe:
                volume_device.wipe(descriptor)
            if new.fill:
                new.fill(NewDevice(descriptor, new.size, new.path))
            os.fsync(descriptor)
        volume_lvm.run_change("lvrename", group, temporary, new.name)


def _make(new: NewVolume, name: str, ranges: Sequence[str] = ()) -> None:
    """Run lvcreate. ``ranges``: the extents that it may take; without them LVM chooses."""
    tags = [argument for tag in new.tags for argument in ("--addtag", tag)]
    allocation: Sequence[str]
    if new.pool is not None:
        # Here lvcreate(8) takes a size, and neither --zero nor --wipesignatures.
        allocation = ["--type", "thin", "--virtualsize", f"{new.size}b", "--thinpool", new.pool]
    else:
        allocation = [*_extents(new.group, new.size, new.stripes), *_QUIET]
    where = ["--name", name, new.group.name, *ranges]
    volume_lvm.run_change("lvcreate", "--yes", *allocation, *tags, *where)


_QUIET = ("--zero", "y", "--wipesignatures", "y")
"""LVM wipes the beginning and all signatures before udev looks at a new device: otherwise what
another guest had there could be taken for an array or a physical volume, and be started."""


def _extents(group: Group, size: int, stripes: int) -> List[str]:
    kind = ["--type", "striped", "--stripes", str(stripes)] if stripes > 1 else ["--type", "linear"]
    return [*kind, "--extents", str(size // group.extent_size)]


AT_ONCE = 64
"""So many new volumes get extents that are wiped together. What _wiped leaves to chance lasts until
the last of them is made."""

WORTH_IT = 4
"""From so many on, that needs fewer programs: one for each volume in place of two, and three and a
report for all of them."""


class EmptyVolumes:
    """The new volumes of one call that are linear, wiped, and get no content.

    Their extents are wiped together and given to the volumes, which are complete at once then and
    need no other name first.
    """

    def __init__(self) -> None:
        self._expected: List[NewVolume] = []
        self._given: Dict[str, Tuple[str, ...]] = {}
        """Wiped extents, by the path of the volume that will have them."""
        self._is_refused = False
        """Whether extents could not be wiped together. Each volume is made on its own then, which
        may work, or tells what is in the way."""

    def expect(self, new: NewVolume) -> None:
        """A volume will be made, after those that are expected already."""
        self._expected.append(new)

    def create(self, new: NewVolume) -> Optional[Learned]:
        """Make one of them. Raises BlockdevError and OSError, and leaves nothing of it then.

        A warning is learned if extents could not be wiped together: what they were wiped in may
        still be there.
        """
        learned = None
        if new.path not in self._given and not self._is_refused:
            try:
                self._wipe_from(new)
            except (BlockdevError, OSError, ValueError) as error:
                self._is_refused = True
                words = f"several cannot be wiped together, so each is made on its own: {error}"
                learned = Learned(warnings=[words])
        ranges = self._given.pop(new.path, ())
        if ranges:
            with suppress(VolumeError):
                _make(new, new.name, ranges)
                return learned
            # Another program has got some of them, and LVM takes no others in their place. What
            # comes now may take those of the other volumes.
            self._given.clear()
        create(new)
        return learned

    def _wipe_from(self, first: NewVolume) -> None:
        """Wipe extents for a volume and those that come after it."""
        group = first.group
        after = self._expected[self._expected.index(first) :]
        volumes = [one for one in after if one.group.name == group.name][:AT_ONCE]
        if len(volumes) < WORTH_IT:
            return
        counts = [one.size // group.extent_size for one in volumes]
        ranges = _wiped(group, first.name, sum(one.size for one in volumes), stripes=1)
        self._given.update(zip([one.path for one in volumes], dealt(ranges, counts)))


def extend(group: Group, volume: Volume, size: int, wipe: bool) -> None:
    """Grow a volume, which a guest may use, to ``size`` bytes.

    ``wipe``: whether the new extents may have data of others. They are zeros then before the volume
    has them: they are made a volume of their own first, which is wiped and removed, and LVM is told
    to take just these. Raises BlockdevError and OSError if the volume has not grown.
    """
    extents = (size - volume.size) // group.extent_size
    if volume.is_thin:
        _lvextend(volume, "--size", f"{size}b")
    elif wipe:
        ranges = _wiped(group, volume.name, size - volume.size, volume.stripes)
        _lvextend(volume, "--extents", f"+{extents}", *ranges)
    else:
        _lvextend(volume, "--extents", f"+{extents}")


def _lvextend(volume: Volume, *arguments: str) -> None:
    option, size, *ranges = arguments
    volume_lvm.run_change("lvextend", option, size, f"{volume.group}/{volume.name}", *ranges)


def _wiped(group: Group, name: str, size: int, stripes: int) -> Tuple[str, ...]:
    """Free extents that read as zeros, as lvcreate and lvextend take them. ``name``: of the volume
    that gets them, or the first one.

    Between their release and that command another program could get them, write to them and release
    them again; nothing but that is left to chance.
    """
    room = volume_names.room_name(name)
    _make(NewVolume(group, room, size, None, stripes, (volume_names.TAG,), True), room)
    with _removed_on_error(group.name, room):
        with volume_device.opened_volume(group.name, room) as descriptor:
            volume_device.wipe(descriptor)
            os.fsync(descriptor)
        made = _found(group.name, room)
        # What was discarded may read as anything.
        remove(made, stays_wiped=True)
    return tuple(one for segment in made.segments for one in segment.ranges)


def _found(group: str, name: str) -> Volume:
    found = volume_lvm.read([group]).group(group).volumes.get(name)
    if found is None:
        raise VolumeError(f"another program removed the volume {group}/{name}; run again")
    return found


def reduce(volume: Volume, extents: int, refuse_users: Callable[[Volume], None]) -> None:
    """Cut the volume off after its first ``extents``. Raises BlockdevError and changes nothing if
    it is in use by now."""
    refuse_users(volume)
    name = f"{volume.group}/{volume.name}"
    volume_lvm.run_change("lvreduce", "--yes", "--extents", str(extents), name)


def activate(volume: Volume) -> None:
    """Have LVM make the device of the volume. Raises BlockdevError, in a shared group also if
    another host has it exclusively."""
    volume_lvm.run_change("lvchange", "--activate", "y", f"{volume.group}/{volume.name}")


def add_tags(volume: Volume, tags: Sequence[str]) -> None:
    """Give the volume further tags. Raises BlockdevError."""
    arguments = [argument for tag in tags for argument in ("--addtag", tag)]
    volume_lvm.run_change("lvchange", *arguments, f"{volume.group}/{volume.name}")


def remove(volume: Volume, stays_wiped: bool = False) -> None:
    """Remove the volume. Raises BlockdevError if it is in use. ``stays_wiped``: whether its extents
    keep what they have, even if LVM discards what it frees (issue_discards of lvm.conf(5)).

    LVM removes the snapshots of a volume together with it. So it is told to do so only if there are
    none by now; if it removes nothing for that reason, it reports success.
    """
    # Thin snapshots are descendants as well, but they stay.
    if_none = [] if volume.is_thin else ["--select", 'lv_descendants=""']
    kept = ["--config", "devices/issue_discards=0"] if stays_wiped else []
    volume_lvm.run_change("lvremove", "--yes", *kept, *if_none, f"{volume.group}/{volume.name}")


@contextmanager
def _removed_on_error(group: str, name: str) -> Iterator[None]:
    """Remove the volume, which this run has made, if the block ends with an error.

    If lvcreate itself fails, LVM takes back what it has done: the name may be that of a volume of
    another host, which must stay.
    """
    try:
        yield
    except BaseException:
        # What is still there is taken away by the next run.
        with suppress(BlockdevError):
            volume_lvm.run_change("lvremove", "--yes", f"{group}/{name}")
        raise
