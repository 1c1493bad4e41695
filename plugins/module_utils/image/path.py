# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The path of an image: what exists there, and whether an image may be created there."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import AbstractSet

from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import (
    is_file_path,
    opened_real,
    resolved,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image import place as image_place
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import file_id


@dataclass(frozen=True)
class ImagePath:
    """The path of an image that need not exist."""

    path: str
    """As the user wrote it."""
    file: str
    """The same without symbolic links."""

    @property
    def directory(self) -> str:
        """The directory of the file."""
        return os.path.dirname(self.file)


@dataclass(frozen=True)
class Image(ImagePath):
    """An image that exists."""

    status: os.stat_result
    """Of the regular file."""
    linked: bool
    """Whether the path itself is a symbolic link to it."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.status.st_size

    @property
    def allocated(self) -> int:
        """Bytes of its blocks."""
        return allocated(self.status)


def allocated(status: os.stat_result) -> int:
    """Bytes of a file's blocks; st_blocks counts units of 512 on every file system (stat(2))."""
    return status.st_blocks * 512


def check_path(path: object, option: str) -> str:
    """The path. Raises ImageError if it is not the absolute path of a file."""
    if not isinstance(path, str) or not is_file_path(path):
        raise ImageError(
            f"{option} {path!r} is not the absolute path of a file, such as /srv/xen/web/boot.raw"
        )
    return path


def find(path: str) -> ImagePath:
    """The image at ``path``, see check_path, or an ImagePath if nothing exists there.

    Raises ImageError if something other than an image exists there, or it cannot be read.
    """
    try:
        status = os.lstat(path)
        linked = stat.S_ISLNK(status.st_mode)
        if linked:
            status = _follow(path)
    except (FileNotFoundError, NotADirectoryError):
        return ImagePath(path, resolved(path))
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        kind = _kind(status.st_mode)
        raise ImageError(f"{path} is {kind}, not an image, which is a regular file")
    file = resolved(path)
    try:
        with opened_real(os.path.dirname(file)) as directory:
            real = os.stat(os.path.basename(file), dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        raise ImageError(f"{path} was removed in the meantime; run again") from None
    if file_id(real) != file_id(status):
        raise ImageError(f"{path} was replaced by another file in the meantime; run again")
    return Image(path, file, status, linked)


def _follow(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(
            f"{path} is a symbolic link to {os.path.realpath(path)}, which does not exist; remove "
            "the link, or use the path of the image itself"
        ) from None


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFBLK: "a block device",
        stat.S_IFCHR: "a character device",
        stat.S_IFIFO: "a fifo",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a special file")


def check_place(image: ImagePath, existing: str, types: AbstractSet[str], volatile: bool) -> None:
    """Raise ImageError if the image may not be created there, or would be lost at the next boot
    and ``volatile`` does not allow that. ``existing``: its directory, or the nearest one above that
    exists. ``types``: of the file system there, see mounts.types_of."""
    problem = image_place.problem_of_kernel(image.file)
    if problem:
        raise ImageError(f"cannot create {image.path}: {problem}")
    in_memory = types & image_place.IN_MEMORY
    if not volatile and (in_memory or image_place.is_emptied(image.file)):
        where = "it is below /run"
        if in_memory:
            where = f"{existing} is in memory ({', '.join(in_memory)})"
        raise ImageError(
            f"cannot create {image.path}: {where}, so the image would be lost at the next boot; "
            "choose another directory, or set volatile: true"
        )
