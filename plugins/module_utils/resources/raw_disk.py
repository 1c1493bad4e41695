# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw images: the wanted ones compared with those that exist."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Dict, Iterator, List, Optional, Set

from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import (
    Action,
    Figures,
    Plan,
    Resource,
    State,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError, explained
from ansible_collections.xen.blockdev.plugins.module_utils.host import block_device, mounts
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import (
    Directories,
    check_writable,
    nearest,
    sync_directories,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image import (
    differences,
    file_actions,
    raw_content,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image import filling as image_filling
from ansible_collections.xen.blockdev.plugins.module_utils.image import path as image_path
from ansible_collections.xen.blockdev.plugins.module_utils.image.filling import (
    Destination,
    Filling,
    Room,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.path import Image, ImagePath
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import File, file_id
from ansible_collections.xen.blockdev.plugins.module_utils.resources.intended_slots import (
    IntendedSlots,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk_item import (
    RawDiskItem,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk_space import (
    ImageSpace,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk_users import (
    ImageUsers,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.renamed import FormerNames
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage, emptied
from ansible_collections.xen.blockdev.plugins.module_utils.units import MIRAGE_BLOCK, format_size


@contextmanager
def open_images(pending: Pending) -> Iterator[RawImages]:
    """This host's images. No lock is needed for all of them: a new image never replaces another, a
    lease protects one that is shrunk or deleted, and growth has a lock of its own."""
    yield RawImages(Usage(), pending)


class RawImages(Resource[RawDiskItem]):
    """The raw images of this host."""

    def __init__(self, usage: Usage, pending: Pending) -> None:
        self._users = ImageUsers(usage, pending)
        self._former_names = FormerNames(usage, emptied(pending))
        self._slots = IntendedSlots(usage)
        self._space = ImageSpace(pending)
        self._directories = Directories()
        self._types: Dict[int, Set[str]] = {}
        """Those of file systems, by the st_dev of their files."""
        self._wanted: Dict[object, str] = {}
        """The paths of all planned images, by the file or its path."""
        self._deleted: Set[File] = set()
        self._changed: Set[str] = set()
        """Directories in which a plan adds or removes a name."""

    def rank(self, item: RawDiskItem) -> int:
        """See Resource.rank."""
        return int(item.present)

    def plan(self, item: RawDiskItem) -> Plan:
        """See Resource.plan."""
        image = image_path.find(item.path)
        self._refuse_twice(image)
        if not item.present:
            return self._plan_absent(item, image)
        if isinstance(image, Image):
            return self._plan_old(item, image)
        return self._plan_new(item, image)

    def warnings(self) -> List[str]:
        """See Resource.warnings."""
        return self._space.warnings()

    def problem(self) -> Optional[str]:
        """See Resource.problem."""
        return self._space.problem()

    def figures(self) -> Figures:
        """See Resource.figures."""
        return {"stores": self._space.figures()}

    def settle(self) -> None:
        """Sync each directory once, so that new and removed names survive a power failure."""
        sync_directories(self._changed)

    def _refuse_twice(self, image: ImagePath) -> None:
        key = file_id(image.status) if isinstance(image, Image) else image.file
        # Another run may have deleted the file of an earlier item, and a new one has its inode.
        is_reused = isinstance(key, tuple) and not loop_binding.is_at(
            self._wanted.get(key, image.path), key
        )
        if key in self._wanted and not is_reused:
            raise ImageError(
                f"{image.path} is the same image as {self._wanted[key]}; list it only once"
            )
        self._wanted[key] = image.path

    # ---- new images ----

    def _plan_new(self, item: RawDiskItem, image: ImagePath) -> Plan:
        with explained(f"cannot create {image.path}"):
            self._refuse_deleted(image)
            self._former_names.refuse_new(image.file)
            self._slots.refuse(item.slots, image.path)
        existing = nearest(image.directory)
        image_path.check_place(image, existing, self._types_at(existing), item.volatile)
        with explained(f"cannot create {image.path}"):
            directories = self._directories.plan(image.directory, item.parents)
        check_writable(existing, f"create {image.path}")
        room = partial(_room, existing)
        new = Destination(image.path, image.file, item.size, item.allocation, room=room)
        filling = image_filling.plan(item.content, new, self._deleted)
        file_actions.check_limit(image, existing, filling.size)
        if item.full:
            self._space.reserve(image, existing, filling.size)
        allocated = _allocated(item, filling)
        self._space.promise_new(item, image, existing, filling.size, allocated)
        self._changed.add(image.directory)
        create = partial(file_actions.create, image, filling.size, item.full, filling.fill)
        of_copy = self._users.warnings_of_copy(filling.source) if filling.source else []
        return Plan(
            before=_no_state(),
            after={"size": filling.size, "allocated": allocated},
            read_back=partial(_read_image, image, filling.size),
            actions=[*directories, Action(filling.sentence, create)],
            warnings=[*filling.warnings, *of_copy, *_warnings_of_size(item, image, filling.size)],
            file=image.file,
        )

    def _types_at(self, directory: str) -> Set[str]:
        """The types of the file system of a directory, which are read once for each."""
        device = os.stat(directory).st_dev
        if device not in self._types:
            self._types[device] = mounts.types_of(device)
        return self._types[device]

    def _refuse_deleted(self, image: ImagePath) -> None:
        """Raise ImageError if a loop device still has a deleted image of this path: its link would
        lead users of the new, empty image to the deleted one."""
        device = self._deleted_images.get(image.file)
        if device:
            raise ImageError(loop_binding.lives_on(image.file, device))

    @cached_property
    def _deleted_images(self) -> Dict[str, str]:
        return loop_binding.deleted_images()

    # ---- images that exist ----

    def _plan_old(self, item: RawDiskItem, image: Image) -> Plan:
        size = image.size if item.size is None else item.size
        allocated, actions = image.allocated, []
        if size > image.size:
            actions = [self._growth(item, image, size)]
            allocated = max(size, allocated) if item.full else allocated
        elif size < image.size:
            actions = [self._shrinking(item, image, size)]
            allocated = min(size, allocated)
        self._space.promise_old(item, image, size, allocated)
        return Plan(
            before=_state(image.status),
            after={"size": size, "allocated": allocated},
            read_back=partial(_read_image, image, size),
            actions=actions,
            warnings=[
                *_warnings_of_size(item, image, size),
                *differences.from_wanted(
                    item.content.file_system, image.path, image.file, image.status
                ),
            ],
            file=image.file,
        )

    def _growth(self, item: RawDiskItem, image: Image, size: int) -> Action:
        sentence = f"grow {_from_to(image, size)}"
        check_writable(image.file, f"grow {image.path}")
        _require_raw(item, image, sentence)
        file_actions.check_limit(image, image.directory, size)
        if item.full:
            self._space.reserve(image, image.directory, size - image.allocated)
        return Action(sentence, partial(file_actions.grow, image, size, item.full))

    def _shrinking(self, item: RawDiskItem, image: Image, size: int) -> Action:
        sentence = f"shrink {_from_to(image, size)}"
        if not item.shrink:
            raise ImageError(
                f"cannot shrink {_from_to(image, size)}: data beyond {format_size(size)} would be "
                "lost; set shrink: true to allow it, or omit size"
            )
        self._users.refuse_shrinking(image)
        _require_raw(item, image, sentence)
        check_writable(image.file, f"shrink {image.path}")
        return Action(sentence, partial(file_actions.shrink, image, size))

    def _plan_absent(self, item: RawDiskItem, image: ImagePath) -> Plan:
        if not isinstance(image, Image):
            return Plan(_no_state(), _no_state(), _no_state)
        sentence = f"delete {image.path}"
        if image.linked:
            raise ImageError(
                f"cannot {sentence}: it is a symbolic link to {image.file}; use the path of the "
                "image itself, or remove the link with ansible.builtin.file"
            )
        self._users.refuse_deletion(item, image)
        check_writable(image.directory, sentence)
        self._deleted.add(file_id(image.status))
        self._space.release(image)
        self._changed.add(image.directory)
        return Plan(
            before=_state(image.status),
            after=_no_state(),
            read_back=partial(_read_deleted, image),
            actions=[Action(sentence, partial(file_actions.delete, image))],
        )


def _warnings_of_size(item: RawDiskItem, image: ImagePath, size: int) -> List[str]:
    rest = size % MIRAGE_BLOCK
    # In this order: an image is read only if its size is odd.
    if not rest or not _is_raw(item, image):
        return []
    return [
        f"{image.path}: {format_size(size)} is not a multiple of {MIRAGE_BLOCK} bytes: MirageOS on "
        f"Xen does not see the last {rest} bytes"
    ]


def _is_raw(item: RawDiskItem, image: ImagePath) -> bool:
    """Whether the image is new, has no signature of another format, or is raw to the user."""
    if item.is_raw or not isinstance(image, Image):
        return True
    return raw_content.foreign(image.file, image.status) is None


def _require_raw(item: RawDiskItem, image: Image, sentence: str) -> None:
    """Raise BlockdevError if the new size would damage an image that is not raw."""
    if not item.is_raw:
        with explained(f"cannot {sentence}"):
            raw_content.refuse_foreign(image.file, image.status)


def _from_to(image: Image, size: int) -> str:
    return f"{image.path} from {format_size(image.size)} to {format_size(size)}"


def _room(directory: str) -> Room:
    """The file system of a directory."""
    status, device = os.statvfs(directory), os.stat(directory).st_dev
    is_known = status.f_blocks > 0  # which some network file systems do not tell
    return Room(
        name=f"the file system of {directory}",
        size=status.f_blocks * status.f_frsize if is_known else None,
        free=status.f_bavail * status.f_frsize if is_known else None,
        devices=block_device.below(device) | {device},
    )


# ---- states ----


def _allocated(item: RawDiskItem, filling: Filling) -> Optional[int]:
    """Bytes that a new image then has allocated; None if that is not known."""
    if item.full:
        return filling.size
    return 0 if filling.is_empty else None


def _no_state() -> State:
    return {"size": None, "allocated": None}


def _state(status: os.stat_result) -> State:
    return {"size": status.st_size, "allocated": image_path.allocated(status)}


def _read_image(image: ImagePath, size: int) -> State:
    """The state of an image that should have ``size`` bytes now. Raises ImageError if not."""
    status = os.stat(image.file)
    if status.st_size != size:
        raise ImageError(
            f"{image.path} has {format_size(status.st_size)}, not {format_size(size)}: another "
            "process changed it in the meantime; run again"
        )
    return _state(status)


def _read_deleted(image: ImagePath) -> State:
    """The state of an image that should be deleted now. Raises ImageError if not."""
    if os.path.lexists(image.file):
        raise ImageError(
            f"{image.path} was deleted, but another process created it again; run again"
        )
    return _no_state()
