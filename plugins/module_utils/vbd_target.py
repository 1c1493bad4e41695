# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies behind the target of a disk, so that two targets can be compared.

A path says little: ``/dev/loop0``, a link to it, the image it is bound to and a hard link of that
image are all the same data. What counts is the number of a block device, and device and inode of a
file.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import FrozenSet, Iterable, Iterator, List, Optional, Set, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.loop import Binding, File, file_id
from ansible_collections.xen.blockdev.plugins.module_utils.xen import Vbd

LOOP_MAJOR = 7
"""Of loop devices: Documentation/admin-guide/devices.txt of Linux."""

SYS_BLOCK_BY_NUMBER = "/sys/dev/block"


@dataclass(frozen=True)
class Storage:
    """The data that a target leads to on this host."""

    name: str
    """How to call it: all that is known of a target that only its hotplug script understands, or
    that is not there."""
    rdev: Optional[int] = None
    """Of a block device, its number (st_rdev)."""
    file: Optional[File] = None
    """The regular file with the data: the target itself or the backing file of a loop device."""
    devices: FrozenSet[int] = frozenset()
    """All block devices that show this data: C(rdev) and the loop devices over it."""
    below: FrozenSet[int] = frozenset()
    """The block devices that this data is on: of a partition the disk, of a logical volume the
    physical ones, of a multipath device its paths, and what these are on."""

    def is_same(self, other: Storage) -> bool:
        """Whether C(other) is what is wanted here: this block device, or this file behind any."""
        if self.rdev is not None:
            # A loop device may have another image by now.
            is_other_file = self.file and other.file and self.file != other.file
            return self.rdev == other.rdev and not is_other_file
        if self.file is not None:
            return self.file == other.file
        return self.name == other.name

    def overlaps(self, other: Storage) -> bool:
        """Whether a write to one may change the other."""
        return bool(
            self.devices & other.devices
            or self.below & other.devices
            or other.below & self.devices
            or (self.file is not None and self.file == other.file)
            or (self.name == other.name and not (self.is_known and other.is_known))
        )

    @property
    def is_known(self) -> bool:
        """Whether more is known of it than its name."""
        return bool(self.devices or self.file)


class Storages:
    """Finds what lies behind targets; C(bindings) are this host's bound loop devices."""

    def __init__(self, bindings: Iterable[Binding]) -> None:
        self._bindings: List[Binding] = list(bindings)

    def of_path(self, path: str) -> Storage:
        """What the path of a block device or a regular file leads to.

        Raises XenError for anything else, for a loop device without an image and where there is
        nothing; that one is a MissingError.
        """
        if not os.path.isabs(path):
            raise XenError(f"target {path!r} is not absolute: xl would look for it somewhere else")
        try:
            status = os.stat(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise MissingError(f"target {path!r} cannot be found: {reason}") from None
        if stat.S_ISBLK(status.st_mode):
            return self._of_bound_device(path, status.st_rdev)
        if stat.S_ISREG(status.st_mode):
            return self._of_file(path, file_id(status))
        raise XenError(
            f"target {path!r} is neither a block device nor a regular file, which is what a guest "
            "can have as a disk"
        )

    def of_vbd(self, vbd: Vbd) -> Storage:
        """What an attached disk gives to its guest."""
        if vbd.backend_domid != 0:
            return Storage(f"{vbd.target} of domain {vbd.backend_domid}")
        try:
            target = self.of_path(vbd.target)
        except XenError:
            target = Storage(vbd.target)
        if not vbd.physical_device:
            return target
        device = self._of_device(vbd.target, os.makedev(*vbd.physical_device))
        # The loop device that xl's script made of a file may be younger than the bindings.
        return device if device.file else replace(device, file=target.file)

    def _of_bound_device(self, path: str, rdev: int) -> Storage:
        storage = self._of_device(path, rdev)
        if os.major(rdev) == LOOP_MAJOR and not storage.file and storage.devices == {rdev}:
            raise XenError(f"target {path!r} is a loop device without an image: bind one first")
        return storage

    def _of_device(self, name: str, rdev: int) -> Storage:
        bound = next((one for one in self._bindings if one.rdev == rdev), None)
        shown = bound.backing_rdev if bound and bound.backing_rdev else rdev
        file = bound.file if bound and not bound.backing_rdev else None
        devices = {rdev, shown}
        devices.update(one.rdev for one in self._bindings if one.backing_rdev == shown)
        return Storage(name, rdev, file, self._with_loops(devices, file), _below(shown))

    def _of_file(self, name: str, file: File) -> Storage:
        return Storage(name, file=file, devices=self._with_loops(set(), file))

    def _with_loops(self, devices: Set[int], file: Optional[File]) -> FrozenSet[int]:
        return frozenset(devices.union(one.rdev for one in self._bindings if one.file == file))


class MissingError(XenError):
    """There is nothing at the target."""


def backing_file(vbd: Vbd) -> Optional[str]:
    """The path of the image that a disk's loop device is bound to, as the kernel shows it (with
    `` (deleted)`` at its end once the image is gone); None for any other disk."""
    if vbd.physical_device is None or vbd.backend_domid != 0:
        return None
    try:
        with open(
            f"{sysfs(os.makedev(*vbd.physical_device))}/loop/backing_file", "rb"
        ) as attribute:
            return os.fsdecode(attribute.read().rstrip(b"\n"))
    except OSError:
        return None


def device_path(device: Tuple[int, int]) -> Optional[str]:
    """The path of the block device with this major and minor number, as the kernel names it; None
    where there is no such device."""
    try:
        with open(f"{sysfs(os.makedev(*device))}/uevent", encoding="utf-8") as attribute:
            names = re.findall(r"^DEVNAME=(.+)$", attribute.read(), re.MULTILINE)
    except OSError:
        return None
    return f"/dev/{names[0]}" if names else None


def decimal(device: Optional[Tuple[int, int]]) -> Optional[str]:
    """A major and minor number as the kernel writes them, decimal with a colon; None for none."""
    return f"{device[0]}:{device[1]}" if device else None


def _below(rdev: int) -> FrozenSet[int]:
    """See Storage.below."""
    found: Set[int] = set()
    ahead = [rdev]
    while ahead:
        news = set(_next_below(ahead.pop())) - found
        found |= news
        ahead += news
    return frozenset(found)


def _next_below(rdev: int) -> Iterator[int]:
    """The disk of a partition, or what device-mapper or md has made a device of."""
    device = os.path.realpath(sysfs(rdev))
    names = [f"{device}/slaves/{name}" for name in entries(f"{device}/slaves")]
    if os.path.exists(f"{device}/partition"):
        names.append(f"{device}/..")
    for name in names:
        with suppress(OSError), open(f"{name}/dev", encoding="ascii") as dev:
            major, minor = dev.read().split(":")
            yield os.makedev(int(major), int(minor))


def sysfs(rdev: int) -> str:
    """Where the kernel tells of the block device C(rdev)."""
    return f"{SYS_BLOCK_BY_NUMBER}/{os.major(rdev)}:{os.minor(rdev)}"


def entries(path: str) -> List[str]:
    """The names in a directory of sysfs or /proc; none where it is not there or not readable."""
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []
