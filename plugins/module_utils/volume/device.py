# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The block device of a volume that is new: opened for certain, and wiped."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from contextlib import contextmanager, suppress
from typing import Iterator, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.errors import VolumeError
from ansible_collections.xen.blockdev.plugins.module_utils.host.block_device import sysfs
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import opened
from ansible_collections.xen.blockdev.plugins.module_utils.volume import names as volume_names

BLKZEROOUT = 0x127F
"""linux/fs.h: has the device write zeros, or writes them, so that the range reads as such."""

WIPED_AT_ONCE = 256 * 1024**2
"""Bytes. An ioctl cannot be interrupted."""


@contextmanager
def opened_volume(group: str, volume: str) -> Iterator[int]:
    """A descriptor of the volume's block device, for reading and writing, closed in the end.

    A link can be left from another volume, if udev has not followed. So the device itself is asked
    for its name. Raises VolumeError if it is not the right one, or not there.
    """
    path = volume_names.path_of(group, volume)
    try:
        with opened(path, os.O_RDWR) as descriptor:
            if _name_of_device(descriptor) != volume_names.name_in_mapper(group, volume):
                raise VolumeError(
                    f"{path} leads to another device than that of the volume {group}/{volume}: "
                    "is udev running (systemctl status systemd-udevd)?"
                )
            yield descriptor
    except FileNotFoundError:
        raise VolumeError(
            f"LVM has made the volume {group}/{volume}, but not its device {path}: is udev running "
            "(systemctl status systemd-udevd)?"
        ) from None


def _bytes_of(descriptor: int) -> int:
    """The bytes of an open block device."""
    return os.lseek(descriptor, 0, os.SEEK_END)


def wipe(descriptor: int) -> None:
    """Make all of an open block device read as zeros. Raises OSError."""
    end = _bytes_of(descriptor)
    for start in range(0, end, WIPED_AT_ONCE):
        length = min(WIPED_AT_ONCE, end - start)
        fcntl.ioctl(descriptor, BLKZEROOUT, struct.pack("=QQ", start, length))


def _name_of_device(descriptor: int) -> Optional[str]:
    """What device-mapper calls an open block device; None for anything else."""
    status = os.fstat(descriptor)
    if not stat.S_ISBLK(status.st_mode):
        return None
    with suppress(OSError), open(f"{sysfs(status.st_rdev)}/dm/name", encoding="ascii") as name:
        return name.read().strip()
    return None
