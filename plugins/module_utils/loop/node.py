# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The device nodes of loop devices: ``/dev/loopN`` and ``/dev/loop-control``.

The kernel and udev create them on a host. A container often has only those that existed when it
was started, so a loop device that the kernel added later has none there. sysfs shows which number a
node must have (Documentation/admin-guide/sysfs-rules of Linux); a node with another number is that
of another device.
"""

from __future__ import annotations

import errno
import grp
import os
import stat
from contextlib import contextmanager, suppress
from typing import Iterator, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

SYS_BLOCK = "/sys/block"
SYS_MISC = "/sys/class/misc"

KINDS = {stat.S_IFBLK: "b", stat.S_IFCHR: "c"}
"""What mknod(1) calls them."""

MODE = 0o660
"""With the group disk, as udev's rules have it for loop devices (50-udev-default.rules)."""

MISSING = "has no device node here, and none can be created"
FORBIDDEN = "cannot be opened here"


class NodeError(BlockdevError):
    """A device has no node here and none can be created, or the node is that of another device."""


def number(path: str) -> Optional[int]:
    """The number (st_rdev) of the device whose node belongs at ``path``; None if the kernel has no
    such device."""
    name = os.path.basename(path)
    directory = SYS_MISC if _kind(path) == stat.S_IFCHR else SYS_BLOCK
    try:
        with open(f"{directory}/{name}/dev", encoding="ascii") as attribute:
            major, _colon, minor = attribute.read().partition(":")
    except FileNotFoundError:
        return None
    return os.makedev(int(major), int(minor))


def is_missing(path: str) -> bool:
    """Whether the kernel has this device but ``/dev`` has no node for it."""
    return not os.path.lexists(path) and number(path) is not None


def make(path: str) -> None:
    """Create the node of a device as udev would, unless it exists. Raises NodeError if that is not
    allowed, and OSError if there is no such device."""
    with _explained(path, MISSING):
        _make(path, path)
        os.chown(path, 0, _group())
        os.chmod(path, MODE)


@contextmanager
def opened_device(path: str, flags: int) -> Iterator[int]:
    """A descriptor of the loop device ``path``, closed at the end.

    The device needs no node and gets none, so this also suits a caller that must not change
    anything. Raises OSError as open(2) does, and NodeError if the node is that of another device,
    or if it is missing and the device cannot be opened without it.
    """
    try:
        with _explained(path, FORBIDDEN):
            descriptor = os.open(path, flags | os.O_CLOEXEC)
    except FileNotFoundError:
        descriptor = _opened_unnamed(path, flags | os.O_CLOEXEC)
    try:
        _refuse_other(path, os.fstat(descriptor))
        yield descriptor
    finally:
        os.close(descriptor)


def _opened_unnamed(path: str, flags: int) -> int:
    """Open a device by a temporary node."""
    place = f"{os.path.dirname(path)}/.xen-blockdev.{os.urandom(8).hex()}"
    with _explained(path, MISSING):
        _make(path, place)
        try:
            return os.open(place, flags)
        finally:
            os.unlink(place)


def _make(path: str, place: str) -> None:
    """Create a node of the device ``path`` at ``place``, only for root."""
    rdev = number(path)
    if rdev is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    with suppress(FileExistsError):
        os.mknod(place, _kind(path) | 0o600, rdev)


@contextmanager
def _explained(path: str, what: str) -> Iterator[None]:
    """Raise NodeError for what a container is not allowed to do; other errors are the device's.
    ``what``: MISSING or FORBIDDEN."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.EROFS):
            raise
        raise NodeError(
            f"{path} {what} ({error.strerror}); a container needs the host's /dev and permission "
            f"to use it (docker run --privileged -v /dev:/dev); on a host, create the node with "
            f"`mknod {path} {_shown(path)}`"
        ) from None


def _refuse_other(path: str, status: os.stat_result) -> None:
    """Raise NodeError if the node with this status is that of another device."""
    rdev = number(path)
    if rdev is None or (stat.S_IFMT(status.st_mode), status.st_rdev) == (_kind(path), rdev):
        return
    raise NodeError(
        f"{path} is not the kernel's device of that name ({_shown(path)}); remove that file, and "
        "udev or the next run creates the node again"
    )


def _kind(path: str) -> int:
    return stat.S_IFCHR if path.endswith("-control") else stat.S_IFBLK


def _shown(path: str) -> str:
    """The device as the arguments of mknod(1): ``b 7 5``."""
    rdev = number(path) or 0
    return f"{KINDS[_kind(path)]} {os.major(rdev)} {os.minor(rdev)}"


def _group() -> int:
    try:
        return grp.getgrnam("disk").gr_gid
    except KeyError:
        return 0
