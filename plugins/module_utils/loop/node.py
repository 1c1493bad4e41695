# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The device nodes of loop devices: C(/dev/loopN) and C(/dev/loop-control).

The kernel and udev make them on a host. A container often has only those that there were when it
was started, so a loop device that the kernel added since has none there. Which number a node must
have is what sysfs says (Documentation/admin-guide/sysfs-rules of Linux); a node with another one
leads to another device.
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
"""With the group disk: that of a loop device by udev's rules (50-udev-default.rules)."""


MISSING = "has no device node here, and none can be made"
FORBIDDEN = "cannot be opened here"


class NodeError(BlockdevError):
    """A device has no node here and cannot get one, or a node leads to another device."""


def number(path: str) -> Optional[int]:
    """The number (st_rdev) that the kernel gave the device whose node is to be at C(path); None
    where it has no such device."""
    name = os.path.basename(path)
    directory = SYS_MISC if _kind(path) == stat.S_IFCHR else SYS_BLOCK
    try:
        with open(f"{directory}/{name}/dev", encoding="ascii") as attribute:
            major, _colon, minor = attribute.read().partition(":")
    except FileNotFoundError:
        return None
    return os.makedev(int(major), int(minor))


def is_missing(path: str) -> bool:
    """Whether the kernel has this device and C(/dev) has no node of it."""
    return not os.path.lexists(path) and number(path) is not None


def make(path: str) -> None:
    """Make the node of a device unless it is there, as udev would. Raises NodeError where that is
    not allowed, and OSError where there is no such device."""
    with _explained(path, MISSING):
        _make(path, path)
        os.chown(path, 0, _group())
        os.chmod(path, MODE)


@contextmanager
def opened(path: str, flags: int) -> Iterator[int]:
    """A descriptor of the loop device C(path), closed in the end.

    It needs no node, and leaves none, so this is for who may change nothing as well. Raises OSError
    as open(2) does, and NodeError where the node is another device's and where there is none and
    the device cannot be opened without.
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
    """Open a device by a node that is there for a moment only."""
    place = f"{os.path.dirname(path)}/.xen-blockdev.{os.urandom(8).hex()}"
    with _explained(path, MISSING):
        _make(path, place)
        try:
            return os.open(place, flags)
        finally:
            os.unlink(place)


def _make(path: str, place: str) -> None:
    """Make a node of the device C(path) at C(place), for root alone."""
    rdev = number(path)
    if rdev is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    with suppress(FileExistsError):
        os.mknod(place, _kind(path) | 0o600, rdev)


@contextmanager
def _explained(path: str, what: str) -> Iterator[None]:
    """Raise NodeError for what a container may not do; other errors are those of the device.
    C(what): MISSING or FORBIDDEN."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.EROFS):
            raise
        raise NodeError(
            f"{path} {what} ({error.strerror}); a container needs the host's /dev and the right to "
            f"use it (docker run --privileged -v /dev:/dev); on a host, `mknod {path} "
            f"{_shown(path)}` makes the node"
        ) from None


def _refuse_other(path: str, status: os.stat_result) -> None:
    """Raise NodeError where a node, of which C(status) is, leads to another device."""
    rdev = number(path)
    if rdev is None or (stat.S_IFMT(status.st_mode), status.st_rdev) == (_kind(path), rdev):
        return
    raise NodeError(
        f"{path} is not the device that the kernel calls so ({_shown(path)}): remove that file; "
        "udev or the next run makes the node again"
    )


def _kind(path: str) -> int:
    return stat.S_IFCHR if path.endswith("-control") else stat.S_IFBLK


def _shown(path: str) -> str:
    """The device as mknod(1) takes it: C(b 7 5)."""
    rdev = number(path) or 0
    return f"{KINDS[_kind(path)]} {os.major(rdev)} {os.minor(rdev)}"


def _group() -> int:
    try:
        return grp.getgrnam("disk").gr_gid
    except KeyError:
        return 0
