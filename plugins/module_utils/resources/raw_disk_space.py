# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The space of file systems: what preallocated images need of it, and what sparse ones may take.

Blocks that are reserved for root (ext4) count as free. The loop driver writes to an image in a
thread of the kernel, and QEMU runs as root unless told otherwise, so a guest does get them.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Dict, Iterator, List, Optional, Sequence, Set, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import State
from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host import mounts
from ansible_collections.xen.blockdev.plugins.module_utils.host.mounts import MountPoint
from ansible_collections.xen.blockdev.plugins.module_utils.image import path as image_path
from ansible_collections.xen.blockdev.plugins.module_utils.image.path import Image, ImagePath
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import file_id
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk_item import (
    RawDiskItem,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.promises import (
    DiskStore,
    PromisedDisk,
    file_system_store,
    problem_of_stores,
    smaller_limit,
    warnings_of_stores,
)


@dataclass
class FileSystemSpace:
    """The space of a file system, and what the plans so far make of it."""

    point: str
    """Where it is mounted."""
    directory: str
    """One on it that exists."""
    size: int
    """Bytes."""
    free: int
    """Bytes that the plans so far leave, or give back."""
    images: List[PromisedDisk] = field(default_factory=list)
    """Those that will be there."""
    added: int = 0
    """See DiskStore."""
    limit: Optional[float] = None
    """See DiskStore."""

    @classmethod
    def read(cls, point: str, directory: str) -> FileSystemSpace:
        """As it is. Raises OSError."""
        status = os.statvfs(directory)
        unit = status.f_frsize
        return cls(point, directory, status.f_blocks * unit, status.f_bfree * unit)

    def store(self, disks: Sequence[PromisedDisk]) -> DiskStore:
        """It with these images, to be judged."""
        store = file_system_store(self.point, self.size, self.free, disks)
        return replace(store, added=self.added, limit=self.limit)


class ImageSpace:
    """The space of the file systems on which one call has images. Each is read once."""

    def __init__(self, pending: Pending) -> None:
        self._pending = pending
        self._mounts: Dict[int, MountPoint] = {}
        """By the st_dev of files."""
        self._spaces: Dict[int, FileSystemSpace] = {}
        """By the number of the mount."""
        self._known: Set[object] = set()
        """The images of the call: their paths, and the files that exist."""
        self._changes = False
        """Whether the plans change an image."""

    def reserve(self, image: ImagePath, directory: str, needed: int) -> None:
        """Reserve bytes for an image in the file system of ``directory``, which exists.

        Raises ImageError if it has not enough of them, and OSError.
        """
        space = self._space_of(directory, os.stat(directory).st_dev)
        if needed > space.free:
            raise ImageError(
                f"cannot preallocate {image.path}: it needs {needed} more bytes, but "
                f"{space.free} are free in {directory} after the other changes of this call; free "
                "some space, or set allocation: sparse"
            )
        space.free -= max(needed, 0)

    def release(self, image: Image) -> None:
        """Count on the space of an image that is deleted first. It stays in use if the file has
        another name."""
        self._known |= {image.file, file_id(image.status)}
        self._changes = True
        if image.status.st_nlink == 1:
            space = self._space_of(image.directory, image.status.st_dev)
            space.free += image.allocated
            space.added -= image.size

    def promise_new(
        self, item: RawDiskItem, image: ImagePath, directory: str, size: int, taken: Optional[int]
    ) -> None:
        """Count a new image, in the file system of ``directory``, which exists. ``taken``: bytes
        that it has at once; None for some that are not known. Raises OSError."""
        self._known.add(image.file)
        space = self._space_of(directory, os.stat(directory).st_dev)
        self._promise(space, item, PromisedDisk(image.path, size, taken or 0, item.domains), size)

    def promise_old(self, item: RawDiskItem, image: Image, size: int, taken: int) -> None:
        """Count an image that exists, with the size and the blocks that it will have."""
        self._known |= {image.file, file_id(image.status)}
        space = self._space_of(image.directory, image.status.st_dev)
        space.free += max(image.allocated - taken, 0)
        disk = PromisedDisk(image.path, size, taken, item.domains)
        self._promise(space, item, disk, size - image.size)

    def _promise(
        self, space: FileSystemSpace, item: RawDiskItem, disk: PromisedDisk, added: int
    ) -> None:
        space.images.append(disk)
        space.added += added
        self._changes = self._changes or added != 0
        if added > 0:
            space.limit = smaller_limit(space.limit, item.max_overcommit)

    def _space_of(self, directory: str, device: int) -> FileSystemSpace:
        """That of the file system with the files of this number, on which the directory is."""
        mount = self._mount_of(directory, device)
        if mount.device not in self._spaces:
            self._spaces[mount.device] = FileSystemSpace.read(mount.path, directory)
        return self._spaces[mount.device]

    def _mount_of(self, directory: str, device: int) -> MountPoint:
        if device not in self._mounts:
            self._mounts[device] = mounts.mount_of(directory)
        return self._mounts[device]

    # ---- once all images are planned ----

    def warnings(self) -> List[str]:
        """See Resource.warnings."""
        return warnings_of_stores(self._stores.values())

    def problem(self) -> Optional[str]:
        """See Resource.problem."""
        return problem_of_stores(self._stores.values())

    def figures(self) -> List[State]:
        """Of each file system. In check mode, as the plans would leave it."""
        now = self._changes and not self._pending.check_mode
        return [store.figures() for store in (self._stores_now() if now else self._stores.values())]

    @cached_property
    def _stores(self) -> Dict[int, DiskStore]:
        """The file systems with images of the call, as the plans leave them. One that says nothing
        of its size, such as ramfs, has no limit that is known."""
        spaces = {
            device: space for device, space in self._spaces.items() if space.images and space.size
        }
        others: Dict[int, List[PromisedDisk]] = defaultdict(list)
        for device, disk in self._others() if spaces else ():
            others[device].append(disk)
        return {
            device: space.store([*space.images, *others[device]])
            for device, space in spaces.items()
        }

    def _stores_now(self) -> Iterator[DiskStore]:
        for device, store in self._stores.items():
            space = self._spaces[device]
            with suppress(OSError):
                now = FileSystemSpace.read(space.point, space.directory)
                yield now.store(list(_disks_now(store.disks)))

    def _others(self) -> Iterator[Tuple[int, PromisedDisk]]:
        """The images of no item that loop devices are bound to, or would be after earlier tasks,
        each with the number of its mount."""
        bound = {path for _number, path in loop_binding.backing_files()}
        paths = bound - self._pending.unbound | self._pending.bound
        for path in sorted(paths.difference(self._known)):
            with suppress(OSError):
                status = os.stat(path)
                if not stat.S_ISREG(status.st_mode) or file_id(status) in self._known:
                    continue
                self._known.add(file_id(status))
                mount = self._mount_of(os.path.dirname(path), status.st_dev)
                yield mount.device, _disk(path, status)


def _disks_now(disks: Sequence[PromisedDisk]) -> Iterator[PromisedDisk]:
    """Without those that are not there."""
    for disk in disks:
        with suppress(OSError):
            yield _disk(disk.name, os.stat(disk.name), disk.domains)


def _disk(path: str, status: os.stat_result, domains: Tuple[str, ...] = ()) -> PromisedDisk:
    return PromisedDisk(path, status.st_size, image_path.allocated(status), domains)
