# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The slots in which a Xen guest finds its disks, and the forms in which they are written.

A slot is a number, the xenstore key: the name of the disk's directory below ``device/vbd`` of its
domain. Some numbers mean a disk and partition on one of three buses (xvd, hd, sd) and so have a
Linux device name. The arithmetic is that of ``libxl__device_disk_dev_number`` in libxl, unchanged
since Xen 4.11, and specified in xen-vbd-interface(7).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Dict, NamedTuple, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, type_name

MAX_XENSTORE_KEY = 2**31 - 1
"""The largest slot: libxl keeps it in a C int."""


class DeviceNumberError(BlockdevError):
    """A value that is not a device number, or a conversion that does not exist."""


class _Region(NamedTuple):
    """A range of xenstore keys that numbers disks of one bus and their partitions."""

    first_key: int
    bus: str
    first_disk: int
    disks: int
    partition_bits: int

    @property
    def keys(self) -> range:
        return range(self.first_key, self.first_key + (self.disks << self.partition_bits))

    @property
    def last_disk(self) -> int:
        return self.first_disk + self.disks - 1

    @property
    def last_partition(self) -> int:
        return (1 << self.partition_bits) - 1

    def holds(self, bus: str, disk: int, partition: int) -> bool:
        return (
            bus == self.bus
            and self.first_disk <= disk <= self.last_disk
            and 0 <= partition <= self.last_partition
        )

    def key(self, disk: int, partition: int) -> int:
        return self.first_key + ((disk - self.first_disk) << self.partition_bits) + partition

    def disk_and_partition(self, key: int) -> Tuple[int, int]:
        offset = key - self.first_key
        return self.first_disk + (offset >> self.partition_bits), offset & self.last_partition


_EXTENDED = _Region(1 << 28, "xvd", 0, 1 << 20, 8)
# In libxl's order of preference: xvd takes the extended form only where the short one is too small.
_REGIONS = (
    _Region(202 << 8, "xvd", 0, 16, 4),
    _EXTENDED,
    _Region(3 << 8, "hd", 0, 2, 6),
    _Region(22 << 8, "hd", 2, 2, 6),
    _Region(8 << 8, "sd", 0, 16, 4),
)
_BUSES = tuple(dict.fromkeys(region.bus for region in _REGIONS))

_ACCEPTED = (
    "accepted are a Linux device name (xvda, /dev/xvda, xvda1, hdc2, sdb3), "
    "d<disk>p<partition> (d0p0), or a xenstore key in decimal or hexadecimal (51712, 0xca00)"
)
_NAMED_KEYS = ", ".join(
    f"{region.keys[0]} to {region.keys[-1]} ({region.bus})" for region in _REGIONS
)

_LINUX_DEVICE = re.compile(r"(?:/dev/)?(xvd|hd|sd)([a-z]+)([1-9][0-9]*)?")
_XEN_VDEV = re.compile(r"d(0|[1-9][0-9]*)p(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"0|[1-9][0-9]*|0x[0-9a-fA-F]+")

# Input that libxl accepts by accident or that people write, and why it is rejected here.
_FLAWS = tuple(
    (re.compile(pattern, re.ASCII | re.DOTALL), flaw)
    for pattern, flaw in (
        (r"", "is empty"),
        (r"\s.*|.*\s", "has white space around it"),
        (r"[+-][0-9].*", "has a sign"),
        (r"0[0-9]+", "has a leading zero, which xl reads as octal"),
        (r"0[Xx].*", "is not a hexadecimal number as in 0xca00"),
        (r"(/dev/)?(xvd|hd|sd)[0-9]*", "lacks the letter of its disk"),
        (r"(/dev/)?(xvd|hd|sd)[a-z]+0[0-9]*", "has a partition number that starts with 0"),
        (r"d[0-9]+", "lacks its partition (0 for the whole disk, as in d0p0)"),
        (r"d[0-9]+p[0-9]+", "has a leading zero, which xl reads as octal"),
        (r"(?i:(/dev/)?(xvd|hd|sd)[a-z]+[0-9]*|d[0-9]+p[0-9]+)", "has upper-case letters"),
    )
)


@dataclass(frozen=True)
class DeviceNumber:
    """A slot and the disk that its number means. Made by the functions of this file."""

    xenstore_key: int
    """The slot, 0 to 2^31-1."""

    bus: Optional[str] = None
    """``xvd``, ``hd``, ``sd``; None, as the next two, if the key is a plain number."""

    disk: Optional[int] = None
    """Counted from 0 on its bus."""

    partition: Optional[int] = None
    """Counted from 1; 0 is the whole disk."""

    @property
    def extended(self) -> bool:
        """Whether the key has the form for many disks and partitions, ``1 << 28`` and up."""
        return self.xenstore_key in _EXTENDED.keys

    @property
    def canonical(self) -> bool:
        """Whether xl maps the slot's Linux device name back to this slot.

        False for a key without a name, and for 268435456 (disk 0 in the extended form): Linux
        calls it xvda as it does 51712, but xl puts xvda into 51712.
        """
        return self.bus is not None and self.xenstore_key == _key(*self._named("has no name"))

    @property
    def disk_number(self) -> int:
        """The disk, counted from 0 on its bus. Raises DeviceNumberError if the key names none."""
        return self._named("has no disk number")[1]

    @property
    def linux_device(self) -> str:
        """The Linux device name, such as ``xvda1``; see ``canonical`` for names of two slots.

        Raises DeviceNumberError if there is none.
        """
        bus, disk, partition = self._named("names no Linux device")
        return f"{bus}{_letters(disk)}{partition or ''}"

    @property
    def vbd_name(self) -> Optional[str]:
        """The name that Linux gives a disk in this slot, such as ``xvda``; None if it gives none.

        It is the same for disks of all buses (``xen_translate_vdev`` in ``xen-blkfront.c``), and
        leaves out the partition of an hd name.
        """
        if self.bus is None or self.disk is None:
            return None
        partition = "" if self.bus == "hd" else self.partition or ""
        return f"xvd{_letters(self.disk)}{partition}"

    @property
    def xen_vdev(self) -> str:
        """The name in libxl's own form, ``d0p0``. Raises DeviceNumberError if xl maps no name of
        that form to this slot."""
        bus, disk, partition = self._named("has no name of the form d0p0")
        name = f"d{disk}p{partition}"
        if bus != "xvd":
            raise DeviceNumberError(
                f"{self.linux_device} has no name of the form d0p0: only xvd disks have one, "
                f"and {name} is {self.linux_device.replace(bus, 'xvd', 1)}"
            )
        if not self.canonical:
            raise DeviceNumberError(
                f"{self.xenstore_key} has no name of the form d0p0: xl maps {name} to slot "
                f"{_key(bus, disk, partition)}, a different one"
            )
        return name

    def as_dict(self) -> Dict[str, object]:
        """Every form of the device number by its name; None for a form that does not exist."""
        return {
            "xenstore_key": self.xenstore_key,
            "bus": self.bus,
            "disk_number": self.disk,
            "partition": self.partition,
            "linux_device": self.linux_device if self.bus else None,
            "xen_vdev": self.xen_vdev if self.bus == "xvd" and self.canonical else None,
            "extended": self.extended,
        }

    def _named(self, otherwise: str) -> Tuple[str, int, int]:
        if self.bus is None or self.disk is None or self.partition is None:
            raise DeviceNumberError(
                f"{self.xenstore_key} is a valid slot but {otherwise}: "
                f"only {_NAMED_KEYS} are those of disks"
            )
        return self.bus, self.disk, self.partition


def parse(value: object) -> DeviceNumber:
    """Read a device number in any form.

    ``xvda``, ``/dev/xvda``, ``hda1``, ``sda``, ``d0p0``; ``51712``, ``"51712"`` and ``"0xca00"``
    are xenstore keys. A strict subset of what libxl reads, with the same meaning: see
    ``docs/docsite/rst/guide_slots.rst`` for what is rejected. Raises DeviceNumberError.
    """
    if isinstance(value, str):
        return _parse_text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return from_xenstore_key(int(value))
    raise DeviceNumberError(
        f"a device number is text or a whole number, not {type_name(value)}: {_ACCEPTED}"
    )


def from_xenstore_key(key: int) -> DeviceNumber:
    """The device number of a slot, 0 to 2^31-1. Raises DeviceNumberError."""
    return _from_key(key, _shown(key))


def from_disk_number(disk: int, bus: str = "xvd", partition: int = 0) -> DeviceNumber:
    """The device number of a disk, counted from 0, or of its partition, counted from 1.

    Raises DeviceNumberError if the bus (xvd, hd, sd) has no such disk or partition.
    """
    for what, number in (("disk", disk), ("partition", partition)):
        if not isinstance(number, int) or isinstance(number, bool):
            raise DeviceNumberError(f"a {what} number is a whole number, not {type_name(number)}")
    if not isinstance(bus, str) or bus not in _BUSES:
        given = f"{bus!r:.80}" if isinstance(bus, str) else type_name(bus)
        raise DeviceNumberError(f"{given} is not a bus: accepted are {', '.join(_BUSES)}")
    return _from_name(bus, disk, partition, f"disk {_shown(disk)}, partition {_shown(partition)}")


@lru_cache(maxsize=4096)
def _parse_text(text: str) -> DeviceNumber:
    given = f"{text!r:.80}"
    name = _LINUX_DEVICE.fullmatch(text)
    if name:
        bus, letters, partition = name.groups()
        return _from_name(bus, _disk_of_letters(letters), _decimal(partition or "0"), given)
    name = _XEN_VDEV.fullmatch(text)
    if name:
        return _from_name("xvd", _decimal(name[1]), _decimal(name[2]), given)
    if _NUMBER.fullmatch(text):
        return _from_key(int(text, 16) if text.startswith("0x") else _decimal(text), given)
    raise DeviceNumberError(f"{given} {_flaw(text)}: {_ACCEPTED}")


def _from_key(key: int, given: str) -> DeviceNumber:
    if not 0 <= key <= MAX_XENSTORE_KEY:
        raise DeviceNumberError(
            f"{given} is out of range: a xenstore key is 0 to {MAX_XENSTORE_KEY} (2^31-1)"
        )
    for region in _REGIONS:
        if key in region.keys:
            return DeviceNumber(key, region.bus, *region.disk_and_partition(key))
    return DeviceNumber(key)


def _from_name(bus: str, disk: int, partition: int, given: str) -> DeviceNumber:
    key = _key(bus, disk, partition)
    if key is None:
        raise DeviceNumberError(f"{given} is out of range: {_range(bus)}")
    return DeviceNumber(key, bus, disk, partition)


def _key(bus: str, disk: int, partition: int) -> Optional[int]:
    for region in _REGIONS:
        if region.holds(bus, disk, partition):
            return region.key(disk, partition)
    return None


def _range(bus: str) -> str:
    regions = [region for region in _REGIONS if region.bus == bus]
    disk = max(region.last_disk for region in regions)
    partition = max(region.last_partition for region in regions)
    return (
        f"{bus} has the disks 0 to {disk} ({bus}a to {bus}{_letters(disk)}) "
        f"and the partitions 1 to {partition} (0 is the whole disk)"
    )


def _flaw(text: str) -> str:
    for pattern, flaw in _FLAWS:
        if pattern.fullmatch(text):
            return flaw
    return "is not a device number"


def _letters(disk: int) -> str:
    letters = ""
    while disk >= 0:
        disk, letter = divmod(disk, 26)
        letters = chr(ord("a") + letter) + letters
        disk -= 1
    return letters


def _disk_of_letters(letters: str) -> int:
    disk = -1
    # Six letters are beyond the last disk of any bus, so more of them need not be counted.
    for letter in letters[:6]:
        disk = (disk + 1) * 26 + ord(letter) - ord("a")
    return disk


def _decimal(digits: str) -> int:
    # Eleven digits (no leading zero) are beyond any number here, and int() refuses thousands.
    return int(digits[:11])


def _shown(number: int) -> str:
    # Python refuses to write out numbers of thousands of digits.
    return str(number) if number.bit_length() <= 64 else f"a number of {number.bit_length()} bits"
