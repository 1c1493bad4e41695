# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data to which the target of a disk leads, so that two targets can be compared.

A path alone identifies nothing: ``/dev/loop0``, a link to it, the image to which it is bound and a
hard link of that image are all the same data. A block device is identified by its number and by the
name of the unit to which it is a path; a file by device and inode, and also by those of the file in
which an overlay file system stores it.
"""

from __future__ import annotations

import os
import re
import stat
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Dict, FrozenSet, Iterable, Iterator, List, Mapping, Optional, Set, Tuple, Union

from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host import block_device
from ansible_collections.xen.blockdev.plugins.module_utils.host.block_device import (
    LOOP_MAJOR,
    sysfs,
)
from ansible_collections.xen.blockdev.plugins.module_utils.host.open_files import OpenFile
from ansible_collections.xen.blockdev.plugins.module_utils.host.overlay import HiddenError, Overlays
from ansible_collections.xen.blockdev.plugins.module_utils.image import chain as image_chain
from ansible_collections.xen.blockdev.plugins.module_utils.image import header as image_header
from ansible_collections.xen.blockdev.plugins.module_utils.image.chain import ChainError, Link
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import (
    Binding,
    File,
    file_id,
)
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Vbd

Identity = Union[int, File, str]
"""What identifies data: the number of a block device, the name of a unit (see block_device.units),
or device and inode of a file."""


@dataclass(frozen=True)
class Storage:
    """The data to which a target leads on this host."""

    name: str
    """Its name in messages. Nothing else is known of a target that only a hotplug script
    understands, or that does not exist."""
    rdev: Optional[int] = None
    """The number (st_rdev) of a block device."""
    file: Optional[File] = None
    """The regular file with the data: the target itself or the backing file of a loop device."""
    identities: FrozenSet[Identity] = frozenset()
    """Everything that leads to this data: ``rdev`` and the loop devices over it, ``file`` and the
    file in which an overlay stores it, the unit and the other paths to it."""
    below: FrozenSet[Identity] = frozenset()
    """What stores this data: the disk of a partition, the physical volumes of a logical volume, the
    paths of a multipath device, and what is below these."""
    behind: Tuple[Behind, ...] = ()
    """Other files that are opened together with this one."""
    doubts: Tuple[str, ...] = ()
    """Why others may reach this data unnoticed, a sentence each."""

    def is_same(self, other: Storage) -> bool:
        """Whether ``other`` is this block device, or has this file whatever the block device."""
        if self.rdev is not None:
            # A loop device may have been bound to another image since.
            is_other_file = self.file and other.file and self.file != other.file
            return self.rdev == other.rdev and not is_other_file
        if self.file is not None:
            return self.file == other.file
        return self.name == other.name

    def overlaps(self, other: Storage) -> bool:
        """Whether a write to one may change the other; without what is ``behind`` them."""
        return not (
            self.identities.isdisjoint(other.identities)
            and self.below.isdisjoint(other.identities)
            and other.below.isdisjoint(self.identities)
        ) or (self.name == other.name and not (self.identities and other.identities))

    def unit_with(self, other: Storage) -> Optional[str]:
        """The name of the unit to which both are paths; None if they are one device or file."""
        if self.rdev == other.rdev:
            return None
        common = self.identities & other.identities
        return min((one for one in common if isinstance(one, str)), default=None)

    @property
    def devices(self) -> FrozenSet[int]:
        """All block devices with this data: ``rdev`` and the loop devices over it."""
        return frozenset(one for one in self.identities if isinstance(one, int))


@dataclass(frozen=True)
class Behind:
    """A file that is opened with another one."""

    storage: Storage
    role: str
    """What it is of that one: ``backing file``."""
    is_written: bool = False
    """Whether a write to that one may write to it."""


class Storages:
    """Finds the storage of targets; ``bindings`` are this host's bound loop devices."""

    def __init__(self, bindings: Iterable[Binding]) -> None:
        self._overlays = Overlays()
        self._vbds: Dict[Vbd, Storage] = {}
        self._units: Dict[int, FrozenSet[str]] = {}
        self._below = lru_cache(maxsize=None)(block_device.below)
        self.of_device = lru_cache(maxsize=None)(self._of_device)
        self._bindings: Dict[int, Binding] = {one.rdev: one for one in bindings}
        self._loops: Mapping[Identity, Set[int]] = self._loops_by_data()

    def of_path(self, path: str, image_format: Optional[object] = None) -> Storage:
        """The storage at the path of a block device or a regular file.

        ``image_format``: the format of the file, as xl calls it; with a format that can have
        backing files, these count. Raises XenError for anything else and for a loop device that is
        not bound, and MissingError if there is nothing.
        """
        if not os.path.isabs(path):
            raise XenError(f"target {path!r} is not an absolute path")
        try:
            status = os.stat(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise MissingError(f"target {path!r} cannot be found: {reason}") from None
        if not (stat.S_ISBLK(status.st_mode) or stat.S_ISREG(status.st_mode)):
            raise XenError(
                f"target {path!r} is neither a block device nor a regular file, so it cannot be a "
                "disk"
            )
        storage = self.of_status(path, status)
        if stat.S_ISBLK(status.st_mode) and self._is_unbound(status.st_rdev):
            raise XenError(
                f"target {path!r} is a loop device that is not bound; bind an image to it first"
            )
        if image_format in image_header.CHAINED:
            return self._with_chain(storage, str(image_format))
        return storage

    def of_vbd(self, vbd: Vbd) -> Storage:
        """The storage of an attached disk. Looks each disk up once."""
        if vbd not in self._vbds:
            self._vbds[vbd] = self._of_vbd(vbd)
        return self._vbds[vbd]

    def _of_vbd(self, vbd: Vbd) -> Storage:
        if vbd.backend_domid != 0:
            return Storage(f"{vbd.target} of domain {vbd.backend_domid}")
        try:
            target = self.of_path(vbd.target, vbd.format)
        except XenError:
            target = Storage(vbd.target)
        if not vbd.physical_device:
            return target
        device = self.of_device(vbd.target, os.makedev(*vbd.physical_device))
        if device.file:
            return device
        # The loop device that xl's script made of a file may be younger than the bindings.
        files = frozenset(one for one in target.identities if isinstance(one, tuple))
        return replace(
            device,
            file=target.file,
            identities=device.identities | files,
            behind=target.behind,
            doubts=target.doubts,
        )

    def of_status(self, path: str, status: os.stat_result) -> Storage:
        """The storage at ``path``, a block device or a file, from whose inode ``status`` is."""
        if stat.S_ISBLK(status.st_mode):
            return self.of_device(path, status.st_rdev)
        return self._with_files(Storage(path, file=file_id(status)), path, status)

    def files_of_binding(self, binding: Binding) -> Set[Identity]:
        """The file to which a loop device is bound, and those in which overlays store it."""
        return {binding.file, *self.real_files(binding.backing_file, self._status_of(binding))}

    def files_of_opened(self, opened: OpenFile) -> Set[Identity]:
        """The file that a process has open, and those in which overlays store it."""
        file, path = file_id(opened.status), None
        if self._overlays.has_device(opened.status.st_dev):
            with suppress(OSError, ValueError):
                path = opened.path
                if file_id(os.stat(path)) != file:
                    path = None  # of another mount namespace
        return {file, *(self.real_files(path, opened.status) if path else ())}

    def reached_by(self, rdev: int) -> FrozenSet[Identity]:
        """What a write to a block device may change: see Storage.identities."""
        return self._ways_to(self._below(rdev) | {rdev})

    def written_with(self, storage: Storage) -> FrozenSet[Identity]:
        """What a process must not write while a guest writes to the storage: all that leads to its
        data, and the disk of a partition. Other users write to the rest of what is below."""
        disks = [disk for rdev in storage.devices for disk in block_device.disk_of_partition(rdev)]
        return storage.identities | self._ways_to(disks)

    def _is_unbound(self, rdev: int) -> bool:
        return os.major(rdev) == LOOP_MAJOR and rdev not in self._bindings

    def _of_device(self, name: str, rdev: int) -> Storage:
        """The storage of the block device with the number ``rdev``. ``name``: in messages."""
        bound = self._bindings.get(rdev)
        shown = bound.backing_rdev if bound and bound.backing_rdev else rdev
        own = self._ways_to([rdev, shown])
        own = own.union(*(self._loops.get(one, ()) for one in own))
        below = self._ways_to(self._below(shown))
        storage = Storage(name, rdev, identities=own, below=below)
        if bound is None or bound.backing_rdev:
            return storage
        storage = replace(storage, file=bound.file)
        status = self._status_of(bound)
        return self._with_files(storage, bound.backing_file, status)

    def _with_files(self, storage: Storage, path: str, status: Optional[os.stat_result]) -> Storage:
        """The same with all files in which overlays store its ``file``. ``status``: of the file at
        ``path``; None if it is not at that path."""
        own: Set[Identity] = {storage.file} if storage.file else set()
        behind: List[Behind] = []
        doubts = []
        try:
            for real in self._overlays.nested(path, status) if status else ():
                if real.is_lower or behind:
                    lower = self._with_loops(
                        Storage(real.path, file=file_id(real.status)), {file_id(real.status)}
                    )
                    behind.append(Behind(lower, "file in a lower directory"))
                else:
                    own.add(file_id(real.status))
        except HiddenError as error:
            doubts.append(str(error))
        return replace(self._with_loops(storage, own), behind=tuple(behind), doubts=tuple(doubts))

    def _with_loops(self, storage: Storage, files: Iterable[Identity]) -> Storage:
        loops = (self._loops.get(file, ()) for file in files)
        return replace(storage, identities=storage.identities.union(files, *loops))

    def _with_chain(self, storage: Storage, image_format: str) -> Storage:
        """The same with the backing files of the image."""
        behind, doubts = list(storage.behind), list(storage.doubts)
        for link in image_chain.links(storage.name, image_format):
            try:
                if isinstance(link, ChainError):
                    raise link
                found = self.of_path(link.path)
            except XenError as error:
                doubts.append(_doubt(storage, link, error))
                continue
            behind += [Behind(found, link.role, link.is_written), *found.behind]
            doubts += found.doubts
        return replace(storage, behind=tuple(behind), doubts=tuple(doubts))

    def _ways_to(self, rdevs: Iterable[int]) -> FrozenSet[Identity]:
        """The block devices with these numbers, their units, and all other paths to those."""
        ways: Set[Identity] = set(rdevs)
        for rdev in rdevs:
            for unit in self._units_of(rdev):
                ways.add(unit)
                ways |= self._ways[unit]
        return frozenset(ways)

    def _status_of(self, binding: Binding) -> Optional[os.stat_result]:
        """The status of the file to which a loop device is bound. None if its path now leads to
        another file, or leads there only in another mount namespace, or if no overlay is mounted.
        """
        with suppress(OSError, ValueError):
            status = os.stat(binding.backing_file) if self._overlays.exist else None
            return status if status and file_id(status) == binding.file else None
        return None

    def _units_of(self, rdev: int) -> FrozenSet[str]:
        if rdev not in self._units:
            self._units[rdev] = block_device.units(rdev)
        return self._units[rdev]

    @cached_property
    def _ways(self) -> Mapping[str, Set[int]]:
        """The block devices of this host by their units. Read only if one of them has a unit."""
        ways: Dict[str, Set[int]] = defaultdict(set)
        for rdev in block_device.numbers():
            for unit in self._units_of(rdev):
                ways[unit].add(rdev)
        return ways

    def _loops_by_data(self) -> Mapping[Identity, Set[int]]:
        """The loop devices over each file and block device."""
        loops: Dict[Identity, Set[int]] = defaultdict(set)
        for one in self._bindings.values():
            if one.backing_rdev:
                loops[one.backing_rdev].add(one.rdev)
                continue
            for file in self.files_of_binding(one):
                loops[file].add(one.rdev)
        return loops

    def real_files(self, path: str, status: Optional[os.stat_result]) -> Iterator[File]:
        """The files in which overlays store the one at ``path``, as far as this host shows them.
        ``status``: see Overlays.nested; None if it is not at that path."""
        with suppress(HiddenError):
            for real in self._overlays.nested(path, status) if status else ():
                if real.is_lower:
                    return
                yield file_id(real.status)


class MissingError(XenError):
    """The target does not exist."""


def _doubt(storage: Storage, link: Union[Link, ChainError], error: XenError) -> str:
    if isinstance(link, ChainError):
        return str(error)
    return f"cannot check who else uses the {link.role} {link.path} of {storage.name}: {error}"


def backing_file_of(vbd: Vbd) -> Optional[str]:
    """The path of the image to which a disk's loop device is bound, as the kernel shows it (ending
    in `` (deleted)`` if the image was deleted); None for any other disk."""
    if vbd.physical_device is None or vbd.backend_domid != 0:
        return None
    path = f"{sysfs(os.makedev(*vbd.physical_device))}/loop/backing_file"
    with suppress(OSError), open(path, "rb") as attribute:
        return os.fsdecode(attribute.read().rstrip(b"\n"))
    return None


def block_device_path(rdev: int) -> Optional[str]:
    """The path of a block device, as the kernel names it, by its number (st_rdev); None if there is
    no such device."""
    with suppress(OSError), open(f"{sysfs(rdev)}/uevent", encoding="utf-8") as attribute:
        name = re.search(r"^DEVNAME=(.+)$", attribute.read(), re.MULTILINE)
        return f"/dev/{name[1]}" if name else None
    return None


def decimal(device: Optional[Tuple[int, int]]) -> Optional[str]:
    """A major and minor number as the kernel writes them, such as ``7:0``; None for None."""
    return f"{device[0]}:{device[1]}" if device else None
