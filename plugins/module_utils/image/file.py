# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image files: what is at a path, and what is done to it, each step whole or not at all.

An image appears under its name only when it is complete, and never over another file: it is made
without a name (O_TMPFILE) and linked, see open(2) and linkat(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import signal
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Callable, Iterator

from ansible_collections.xen.blockdev.plugins.module_utils.host import locks
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import (
    by_number,
    is_file_path,
    mounted_types,
    opened,
    opened_directory,
    opened_real,
    resolved,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image import place as image_place
from ansible_collections.xen.blockdev.plugins.module_utils.image.tools import ImageError, Tool
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import file_id
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_size

MODE = 0o600
"""Of a new image: what a guest keeps in it is nobody's business."""

GROWTH_LOCK = "image-growth"
"""The lock (see locks.exclusive) that is held from the look at an image's size until it has grown.
Another run that comes between would grow it further, and have that cut off again."""

GROWTH_SECONDS = 300
"""How long another run may take for that, as to set blocks aside can take long."""

_NO_LEASE = (errno.EAGAIN, errno.EINVAL, errno.ENOLCK)
"""Somebody else has the file open or, as the other two always mean, there are no leases on it."""

_REMOTE = re.compile("nfs|cifs|smb")
"""Types of network file systems on which EAGAIN may mean the latter."""

FALLOCATE = Tool("fallocate", "sets blocks aside in an image")

PROBED_FROM = 2 * 1024**4
"""Bytes. Whether a file system can hold a file of at least this size is tried out when planning.

Smaller files fit every file system that is made for disk images (ext4 with blocks of 1 KiB holds
4 TiB), so an ordinary plan costs no such trial."""


@dataclass(frozen=True)
class ImagePath:
    """A path under which an image is to be."""

    path: str
    """As it was given."""
    file: str
    """The same without symbolic links."""

    @property
    def directory(self) -> str:
        """Where the file is, or is to be."""
        return os.path.dirname(self.file)


@dataclass(frozen=True)
class Image(ImagePath):
    """A path under which there is an image."""

    status: os.stat_result
    """Of the regular file."""
    linked: bool
    """Whether the path itself is a symbolic link to it."""


# ---- what is there ----


def find(path: object, option: str = "path") -> ImagePath:
    """Look at what is at C(path); ImageError where it is neither an image nor the place for one."""
    if not isinstance(path, str) or not is_file_path(path):
        raise ImageError(
            f"{option} {path!r} is not the absolute path of a file: write it from / on, such as "
            "/srv/xen/web/boot.raw"
        )
    try:
        status = os.lstat(path)
        linked = stat.S_ISLNK(status.st_mode)
        if linked:
            status = _follow(path)
    except (FileNotFoundError, NotADirectoryError):
        return ImagePath(path, resolved(path))
    except OSError as error:
        raise ImageError(f"cannot look at {path}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{path} is {_kind(status.st_mode)}, not an image: that is a regular file")
    file = resolved(path)
    try:
        with opened_real(os.path.dirname(file)) as directory:
            real = os.stat(os.path.basename(file), dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        raise ImageError(f"{path} was removed meanwhile; run again") from None
    if file_id(real) != file_id(status):
        raise ImageError(f"{path} was replaced by another file meanwhile; run again")
    return Image(path, file, status, linked)


def _follow(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(
            f"{path} is a symbolic link to {os.path.realpath(path)}, which does not exist; remove "
            "the link or name the image itself"
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


def allocated(status: os.stat_result) -> int:
    """Bytes; st_blocks counts 512 of them on every file system (stat(2))."""
    return status.st_blocks * 512


def check_place(image: ImagePath, place: str, volatile: bool) -> None:
    """Raise ImageError where no image can be made, and where it would be gone with the next boot
    unless that is wanted (C(volatile)). C(place): the directory, or what there is of it."""
    problem = image_place.problem_of_kernel(image.file)
    if problem:
        raise ImageError(f"cannot create {image.path}: {problem}")
    in_memory = mounted_types(os.stat(place).st_dev) & image_place.IN_MEMORY
    if not volatile and (in_memory or image_place.is_emptied(image.file)):
        where = "it is below /run"
        if in_memory:
            where = f"{place} is in memory ({', '.join(in_memory)})"
        raise ImageError(
            f"cannot create {image.path}: {where}, so it would be gone when the host boots again; "
            "choose another directory, or set volatile: true"
        )


def check_limit(image: ImagePath, place: str, size: int) -> None:
    """Raise ImageError where the file system of C(place) holds no file of C(size) bytes.

    Nothing but a trial tells that. The file that is tried never has a name and is gone when it is
    closed, so this touches nothing that anyone can see and is right in check mode too.
    """
    if size < PROBED_FROM:
        return
    with opened_directory(place) as directory:
        try:
            trial = _open_nameless(directory)
        except OSError:
            return
        try:
            os.ftruncate(trial, size)
        except OSError as error:
            if error.errno in (errno.EFBIG, errno.EINVAL):
                raise ImageError(
                    f"{image.path} cannot have {format_size(size)}: the file system of "
                    f"{place} holds no file of that size"
                ) from None
        finally:
            os.close(trial)


# ---- what is done ----


def create(image: ImagePath, fill: Callable[[int], None]) -> None:
    """Make the image; C(fill) is given a descriptor of the new file. The caller syncs the directory
    (see files.sync_directories)."""
    with opened_real(image.directory) as directory, _nameless(directory) as new:
        fill(new)
        os.fsync(new)
        _link(new, directory, image)


def delete(image: Image) -> None:
    """Take away an image that nobody has open. The caller syncs the directory."""
    what = f"delete {image.path}"
    with opened_real(image.directory) as directory, _exclusive(image, directory, what):
        os.unlink(os.path.basename(image.file), dir_fd=directory)


def _open_nameless(directory: int) -> int:
    return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, MODE, dir_fd=directory)


@contextmanager
def _nameless(directory: int) -> Iterator[int]:
    """A new file that vanishes when it is closed, unless it was linked to a name by then.

    Where the file system has no such files, it has a hidden name for as long.
    """
    name = None
    try:
        descriptor = _open_nameless(directory)
    except OSError as error:
        # EISDIR: the kernel's answer where it does not know the flag.
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
            raise
        name = f".xen_raw_disk.{secrets.token_hex(8)}"
        flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_RDWR | os.O_CLOEXEC
        descriptor = os.open(name, flags, MODE, dir_fd=directory)
    try:
        os.fchmod(descriptor, MODE)
        yield descriptor
    finally:
        os.close(descriptor)
        if name:
            os.unlink(name, dir_fd=directory)


def _link(new: int, directory: int, image: ImagePath) -> None:
    """Give the file its name, which no other file may have."""
    try:
        # With a dir_fd this is linkat(2), which follows the magic link; link(2) would not.
        os.link(by_number(new), os.path.basename(image.file), dst_dir_fd=directory)
    except FileExistsError:
        raise ImageError(
            f"cannot create {image.path}: it was made by someone else meanwhile; run again"
        ) from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP):
            raise
        raise ImageError(
            f"cannot create {image.path}: the file system of {image.directory} has no hard links, "
            "without which an image cannot appear complete; use another file system"
        ) from None


def grow(image: Image, size: int, full: bool) -> None:
    """Add to the end of an image, also while a guest uses it, and fill its holes (C(full))."""
    flags = os.O_RDWR | os.O_NOFOLLOW
    with locks.exclusive(GROWTH_LOCK, GROWTH_SECONDS), opened(image.file, flags) as descriptor:
        _check_same(image, descriptor)
        before = os.fstat(descriptor).st_size
        if before > size:
            raise ImageError(
                f"{image.path} was grown to {format_size(before)} by someone else meanwhile; run "
                "again"
            )
        try:
            if full:
                _allocate(image, descriptor, size)
            else:
                os.ftruncate(descriptor, size)
        except (ImageError, OSError):
            # A full disk can end an allocation halfway.
            os.ftruncate(descriptor, before)
            raise
        os.fsync(descriptor)


def _allocate(image: Image, descriptor: int, size: int) -> None:
    """Have the file system set aside all blocks of an image in use, which only the kernel itself
    can do without writing to them. Raises ImageError."""
    try:
        FALLOCATE.run(
            *("--length", str(size), by_number(descriptor)),
            timeout=GROWTH_SECONDS,
            descriptors={descriptor: image.path},
        )
    except ImageError as error:
        raise ImageError(
            f"cannot allocate {image.path} in full: {error}; set allocation: sparse"
        ) from None


def shrink(image: Image, size: int) -> None:
    """Cut an image that nobody has open to C(size) bytes.

    Raises ImageError where it has come into use or was replaced meanwhile, and OSError.
    """
    what = f"shrink {image.path}"
    with opened_real(image.directory) as directory, _exclusive(image, directory, what) as old:
        os.ftruncate(old, size)
        os.fsync(old)


def _check_same(image: Image, descriptor: int) -> None:
    """Raise ImageError unless both the open file and the one at the path are the image.

    To open it may have waited for another run that deleted it, and there may be a new one since.
    """
    try:
        files = {file_id(os.fstat(descriptor)), file_id(os.lstat(image.file))}
    except FileNotFoundError:
        raise ImageError(f"{image.path} was deleted by someone else meanwhile; run again") from None
    if files != {file_id(image.status)}:
        raise ImageError(f"{image.path} was replaced by another file meanwhile; run again")


def _is_remote(descriptor: int) -> bool:
    """Whether an open file is on a network file system, by its mount."""
    return any(map(_REMOTE.match, mounted_types(os.fstat(descriptor).st_dev)))


@contextmanager
def _exclusive(image: Image, directory: int, what: str) -> Iterator[int]:
    """The image in C(directory) opened by nobody else, a loop device included, and kept so.

    A write lease (fcntl(2)) is granted only to the one who has the file open alone, and whoever
    opens it then waits. This closes the gap between plan and action. Network file systems have no
    leases, or only for whom the server trusts so far; there the plan's own look at the users has to
    do.
    """
    name = os.path.basename(image.file)
    with opened(name, os.O_RDWR | os.O_NOFOLLOW, directory=directory) as descriptor:
        try:
            # Somebody waiting is told by a signal. The usual one would end this process.
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError as error:
            if error.errno not in _NO_LEASE:
                raise
            if error.errno == errno.EAGAIN and not _is_remote(descriptor):
                raise ImageError(f"cannot {what}: it came into use meanwhile; run again") from None
        # Only now, as no other run can replace or delete it any more.
        _check_same(image, descriptor)
        yield descriptor
