# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Creating, growing, shrinking and deleting image files, each completely or not at all.

An image appears under its name only when it is complete, and never replaces another file: it is
created without a name (O_TMPFILE) and then linked, see open(2) and linkat(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import signal
from contextlib import contextmanager
from typing import Callable, Iterator

from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host import locks, mounts
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import (
    by_number,
    opened,
    opened_directory,
    opened_real,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.new_disk import NewDisk, NewFile
from ansible_collections.xen.blockdev.plugins.module_utils.image.path import Image, ImagePath
from ansible_collections.xen.blockdev.plugins.module_utils.image.tool import Tool
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import file_id
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_size

NEW_IMAGE_MODE = 0o600
"""The data of a guest is private."""

GROWTH_LOCK = "image-growth"
"""The lock (see locks.exclusive) that is held from reading an image's size until it has grown.
Without it, another run could grow the image further in between, and this one would truncate it."""

GROWTH_SECONDS = 300
"""How long to wait for another run, because preallocating blocks can take long."""

_NO_LEASE = (errno.EAGAIN, errno.EINVAL, errno.ENOLCK)
"""Another process has the file open or, as the other two always mean, the file system has no
leases."""

_REMOTE = re.compile("nfs|cifs|smb")
"""Types of network file systems, on which EAGAIN may mean the latter."""

FALLOCATE = Tool("fallocate", "preallocates the blocks of an image")

PROBED_FROM = 2 * 1024**4
"""Bytes. Whether a file system can hold a file of at least this size is tried while planning.

Smaller files fit every file system that is made for disk images (ext4 with blocks of 1 KiB holds
4 TiB), so most plans need no such trial."""


# ---- new images ----


def create(image: ImagePath, size: int, full: bool, fill: Callable[[NewDisk], None]) -> None:
    """Create the image of ``size`` bytes, with all blocks preallocated if it is ``full``, and let
    ``fill`` write to it. The caller syncs the directory (see files.sync_directories)."""
    with opened_real(image.directory) as directory, _nameless(directory) as new:
        fill(NewFile(new, size, full))
        os.fsync(new)
        _link(new, directory, image)


def check_limit(image: ImagePath, directory: str, size: int) -> None:
    """Raise ImageError if the file system of ``directory`` cannot hold a file of ``size`` bytes.

    Only a trial shows that. The trial file never has a name and is gone when it is closed, so it
    is invisible to other processes and allowed in check mode.
    """
    if size < PROBED_FROM:
        return
    with opened_directory(directory) as parent:
        try:
            trial = _open_nameless(parent)
        except OSError:
            return
        try:
            os.ftruncate(trial, size)
        except OSError as error:
            if error.errno in (errno.EFBIG, errno.EINVAL):
                raise ImageError(
                    f"{image.path} cannot have {format_size(size)}: the file system of "
                    f"{directory} cannot hold a file of that size"
                ) from None
        finally:
            os.close(trial)


def _open_nameless(directory: int) -> int:
    return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, NEW_IMAGE_MODE, dir_fd=directory)


@contextmanager
def _nameless(directory: int) -> Iterator[int]:
    """A new file that vanishes when it is closed, unless it was linked to a name before.

    If the file system does not support such files, the file has a hidden name until then.
    """
    name = None
    try:
        descriptor = _open_nameless(directory)
    except OSError as error:
        # EISDIR: the kernel does not know the flag.
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
            raise
        name = f".xen_raw_disk.{secrets.token_hex(8)}"
        flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_RDWR | os.O_CLOEXEC
        descriptor = os.open(name, flags, NEW_IMAGE_MODE, dir_fd=directory)
    try:
        os.fchmod(descriptor, NEW_IMAGE_MODE)
        yield descriptor
    finally:
        os.close(descriptor)
        if name:
            os.unlink(name, dir_fd=directory)


def _link(new: int, directory: int, image: ImagePath) -> None:
    """Give the new file its name, which no other file may have."""
    try:
        # With a dir_fd this is linkat(2), which follows the magic link; link(2) would not.
        os.link(by_number(new), os.path.basename(image.file), dst_dir_fd=directory)
    except FileExistsError:
        raise ImageError(
            f"cannot create {image.path}: another process created it in the meantime; run again"
        ) from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP):
            raise
        raise ImageError(
            f"cannot create {image.path}: the file system of {image.directory} does not support "
            "hard links, which are needed to create an image in one step; use another file system"
        ) from None


# ---- images that exist ----


def grow(image: Image, size: int, full: bool) -> None:
    """Grow an image, which a guest may use, to ``size`` bytes. ``full``: whether to preallocate all
    of its blocks, which fills its holes."""
    flags = os.O_RDWR | os.O_NOFOLLOW
    with locks.exclusive(GROWTH_LOCK, GROWTH_SECONDS), opened(image.file, flags) as descriptor:
        _check_same(image, descriptor)
        before = os.fstat(descriptor).st_size
        if before > size:
            raise ImageError(
                f"another process grew {image.path} to {format_size(before)} in the meantime; run "
                "again"
            )
        try:
            if full:
                _allocate(image, descriptor, size)
            else:
                os.ftruncate(descriptor, size)
        except (ImageError, OSError):
            # A full disk can interrupt an allocation.
            os.ftruncate(descriptor, before)
            raise
        os.fsync(descriptor)


def _allocate(image: Image, descriptor: int, size: int) -> None:
    """Preallocate all blocks of an image in use, which only the kernel can do without writing to
    them. Raises ImageError."""
    try:
        FALLOCATE.run(
            *("--length", str(size), by_number(descriptor)),
            timeout=GROWTH_SECONDS,
            descriptors={descriptor: image.path},
        )
    except ImageError as error:
        raise ImageError(
            f"cannot preallocate {image.path}: {error}; set allocation: sparse"
        ) from None


def shrink(image: Image, size: int) -> None:
    """Truncate an image that no process has open to ``size`` bytes.

    Raises ImageError if it is in use or was replaced after the plan was made, and OSError.
    """
    what = f"shrink {image.path}"
    with opened_real(image.directory) as directory, _exclusive(image, directory, what) as old:
        os.ftruncate(old, size)
        os.fsync(old)


def delete(image: Image) -> None:
    """Delete an image that no process has open. The caller syncs the directory. Errors: see
    shrink."""
    what = f"delete {image.path}"
    with opened_real(image.directory) as directory, _exclusive(image, directory, what):
        os.unlink(os.path.basename(image.file), dir_fd=directory)


def _check_same(image: Image, descriptor: int) -> None:
    """Raise ImageError unless both the open file and the file at the path are the image.

    Opening it may have waited for another run that deleted it, and a new one may exist now.
    """
    try:
        files = {file_id(os.fstat(descriptor)), file_id(os.lstat(image.file))}
    except FileNotFoundError:
        raise ImageError(
            f"another process deleted {image.path} in the meantime; run again"
        ) from None
    if files != {file_id(image.status)}:
        raise ImageError(f"{image.path} was replaced by another file in the meantime; run again")


@contextmanager
def _exclusive(image: Image, directory: int, what: str) -> Iterator[int]:
    """The image in ``directory``, opened so that no other process, nor a loop device, has it open.

    The kernel grants a write lease (fcntl(2)) only if no other process has the file open; a process
    that opens it later waits until the lease ends. This closes the gap between plan and action.
    Network file systems have no leases, or grant them only to some clients; on these the plan's own
    check of the users must suffice.
    """
    name = os.path.basename(image.file)
    with opened(name, os.O_RDWR | os.O_NOFOLLOW, directory=directory) as descriptor:
        try:
            # The kernel sends a signal if another process waits. The default, SIGIO, would kill us.
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError as error:
            if error.errno not in _NO_LEASE:
                raise
            if error.errno == errno.EAGAIN and not _is_remote(descriptor):
                raise ImageError(
                    f"cannot {what}: another process has opened it in the meantime; run again"
                ) from None
        # After the lease, because now no other run can replace or delete it.
        _check_same(image, descriptor)
        yield descriptor


def _is_remote(descriptor: int) -> bool:
    """Whether an open file is on a network file system, by its mount."""
    return any(map(_REMOTE.match, mounts.types_of(os.fstat(descriptor).st_dev)))
