# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Binding, changing and unbinding loop devices, by the ioctls of linux/loop.h (loop(4))."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from contextlib import contextmanager, suppress
from typing import Iterator, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.loop import node as loop_node
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import (
    AUTOCLEAR,
    DIRECT_IO,
    INFO64,
    READ_ONLY,
    Binding,
    File,
    Info,
    LoopError,
    device_of,
    file_id,
    is_at,
    mark,
    status_of,
)
from ansible_collections.xen.blockdev.plugins.module_utils.units import SECTOR

CONTROL = "/dev/loop-control"

LOOP_SET_FD = 0x4C00
LOOP_CLR_FD = 0x4C01
LOOP_SET_STATUS64 = 0x4C04
LOOP_SET_CAPACITY = 0x4C07
LOOP_SET_DIRECT_IO = 0x4C08
LOOP_SET_BLOCK_SIZE = 0x4C09
LOOP_CONFIGURE = 0x4C0A
LOOP_CTL_ADD = 0x4C80
LOOP_CTL_GET_FREE = 0x4C82

# struct loop_config: fd, block_size, info, reserved.
CONFIG = struct.Struct(f"=2I{INFO64.size}s64x")

BIND_TRIES = 64
"""How often another program may take the free device first before that is an error."""


class InUseError(LoopError):
    """The loop device that was to be unbound is in use."""


class DeviceTakenError(LoopError):
    """The loop device that was to be bound is already bound."""


def require_driver() -> None:
    """Raise LoopError if the kernel plainly has no loop driver; asking it might load it."""
    if not os.path.exists(CONTROL) and loop_node.number(CONTROL) is None:
        raise _no_driver(errno.ENOENT)


def bind(path: str, wanted: File, sector_size: int, direct_io: bool, number: Optional[int]) -> int:
    """Bind the image at ``path`` to a loop device and return the device's number.

    ``wanted``: the file that ``path`` must be. ``sector_size``: bytes. ``number``: the device to
    use, None for a free one. The device is read-write if the file can be written. Whether it has
    direct I/O must be read back.
    Raises DeviceTakenError if ``number`` is already bound, and LoopError if ``path`` is another
    file.
    """
    with _opened_image(path) as (image, read_only):
        if file_id(os.fstat(image)) != wanted:
            raise LoopError(f"{path} was replaced by another file during the run; run again")
        # Opening it may have waited for a run that deletes it, and that needs it exclusively (see
        # image/file.py). Such a run cannot begin while the file is open here.
        if not is_at(path, wanted):
            raise LoopError(f"{path} was deleted or replaced during the run; run again")
        flags = (READ_ONLY if read_only else 0) | (DIRECT_IO if direct_io else 0)
        info = Info(flags=flags, file_name=mark(path))
        with _opened_control() as control:
            if number is not None:
                _add(control, number)
                return _bind_to(number, image, sector_size, info)
            for _attempt in range(BIND_TRIES):
                try:
                    free = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
                    return _bind_to(free, image, sector_size, info)
                except DeviceTakenError:
                    continue
    raise LoopError(
        f"cannot bind {path}: another program took the free loop device first, {BIND_TRIES} times; "
        "stop the program that keeps binding loop devices"
    )


def unbind(binding: Binding) -> None:
    """Unbind a loop device that nothing uses, and verify that it is unbound.

    LOOP_CLR_FD on a device in use returns 0, and the kernel unbinds it when its last user closes
    it; that is undone. Raises InUseError, and LoopError if the device is now bound to another file.
    """
    try:
        with loop_node.opened_device(binding.device, os.O_RDONLY | os.O_EXCL) as device:
            info = status_of(device)
            if (info.file, info.offset) != (binding.file, binding.offset):
                raise LoopError(f"{binding.device} is now bound to another file; run again")
            fcntl.ioctl(device, LOOP_CLR_FD)
            if _is_bound(device):
                _set_autoclear(device, binding.autoclear)
                raise InUseError(f"{binding.device} is in use")
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise InUseError(f"{binding.device} is in use") from None
        if error.errno != errno.ENXIO:
            raise


def refresh_capacity(binding: Binding) -> None:
    """Give the loop device the present size of its backing file."""
    with loop_node.opened_device(binding.device, os.O_RDONLY) as device:
        fcntl.ioctl(device, LOOP_SET_CAPACITY)


def set_direct_io(binding: Binding, wanted: bool) -> None:
    """Turn direct I/O on or off. Raises LoopError if the file system does not allow it."""
    with loop_node.opened_device(binding.device, os.O_RDONLY) as device:
        try:
            fcntl.ioctl(device, LOOP_SET_DIRECT_IO, int(wanted))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise no_direct_io(binding) from None


def keep_bound(binding: Binding) -> None:
    """Clear the autoclear flag: the device stays bound when its last user closes it."""
    with loop_node.opened_device(binding.device, os.O_RDONLY) as device:
        _set_autoclear(device, False)


def no_direct_io(binding: Binding) -> LoopError:
    """The error for an image whose file system does not allow direct I/O."""
    larger = ", or set sector_size: 4096 if the guest supports that"
    return LoopError(
        f"{binding.backing_file}: its file system does not allow direct I/O with sectors of "
        f"{binding.sector_size} bytes; omit direct_io{larger if binding.sector_size < 4096 else ''}"
    )


@contextmanager
def _opened_image(path: str) -> Iterator[Tuple[int, bool]]:
    """A descriptor of the image, writable if possible, and whether it is read-only."""
    try:
        image, read_only = os.open(path, os.O_RDWR | os.O_CLOEXEC), False
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ETXTBSY):
            raise
        image, read_only = os.open(path, os.O_RDONLY | os.O_CLOEXEC), True
    try:
        yield image, read_only
    finally:
        os.close(image)


@contextmanager
def _opened_control() -> Iterator[int]:
    if loop_node.is_missing(CONTROL):
        loop_node.make(CONTROL)
    try:
        control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        # udev creates the node at boot; opening it loads the driver, if there is one.
        if error.errno not in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
            raise
        raise _no_driver(error.errno) from None
    try:
        yield control
    finally:
        os.close(control)


def _no_driver(code: int) -> LoopError:
    return LoopError(
        f"the kernel's loop driver is not loaded ({CONTROL}: {os.strerror(code)}); run "
        "`modprobe loop`, and add loop to a file in /etc/modules-load.d to load it at boot"
    )


def _add(control: int, number: int) -> None:
    with suppress(FileExistsError):
        fcntl.ioctl(control, LOOP_CTL_ADD, number)


def _bind_to(number: int, image: int, sector_size: int, info: Info) -> int:
    """Bind one loop device, atomically if the kernel can (Linux 5.8)."""
    path = device_of(number)
    if loop_node.is_missing(path):
        loop_node.make(path)
    with loop_node.opened_device(path, os.O_RDWR) as device:
        try:
            fcntl.ioctl(device, LOOP_CONFIGURE, CONFIG.pack(image, sector_size, INFO64.pack(*info)))
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise DeviceTakenError(f"{device_of(number)} is already bound") from None
            if error.errno not in (errno.EINVAL, errno.ENOTTY):
                raise
            _bind_in_steps(number, device, image, sector_size, info)
    return number


def _bind_in_steps(number: int, device: int, image: int, sector_size: int, info: Info) -> None:
    """Bind one loop device without LOOP_CONFIGURE; undo it if a step fails."""
    try:
        fcntl.ioctl(device, LOOP_SET_FD, image)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise DeviceTakenError(f"{device_of(number)} is already bound") from None
        raise
    try:
        if sector_size != SECTOR:
            fcntl.ioctl(device, LOOP_SET_BLOCK_SIZE, sector_size)
        _set_status(device, info)
        if info.flags & DIRECT_IO:
            _ask_for_direct_io(device)
    except BaseException:
        fcntl.ioctl(device, LOOP_CLR_FD)
        raise


def _ask_for_direct_io(device: int) -> None:
    """As LOOP_CONFIGURE does: no error if the alignment does not allow it."""
    try:
        fcntl.ioctl(device, LOOP_SET_DIRECT_IO, 1)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def _set_status(device: int, info: Info, tries: int = 64) -> None:
    """LOOP_SET_STATUS64, which fails with EAGAIN until the device's cache is clean."""
    for left in reversed(range(tries)):
        try:
            fcntl.ioctl(device, LOOP_SET_STATUS64, INFO64.pack(*info))
            return
        except BlockingIOError:
            if not left:
                raise
            time.sleep(0.01)


def _set_autoclear(device: int, wanted: bool) -> None:
    info = status_of(device)
    _set_status(device, info._replace(flags=info.flags & ~AUTOCLEAR | AUTOCLEAR * wanted))


def _is_bound(device: int) -> bool:
    try:
        status_of(device)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return False
        raise
    return True
