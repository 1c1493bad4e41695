# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What sysfs says about a block device: what it is made of, and which unit it is a path to.

A device number is this host's name of a way to a disk. Two ways to one disk have two numbers: the
paths of a LUN (``sda``, ``sdb``), or an RBD image that is mapped twice. The unit itself has a name
that every way to it shows.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import FrozenSet, Iterator, List, Optional, Set, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.units import SECTOR

LOOP_MAJOR = 7
"""Of loop devices: Documentation/admin-guide/devices.txt of Linux."""

SYS_BLOCK_BY_NUMBER = "/sys/dev/block"
SYS_RBD = "/sys/bus/rbd/devices"

UNIQUE = re.compile(r"(naa|eui|nvme|uuid)\.(?=.*[1-9a-f]).+", re.IGNORECASE)
"""The wwid of a unit that is unique by its standard (scsi_vpd_lun_id and wwid_show of Linux). Only
zeros are what a device says that has none."""

BY_VENDOR = re.compile(r"t10\.(.{8})(?=.*[1-9])(.*\S)")
"""One that is as unique as the vendor made it: 8 characters of the vendor, then an identifier of
the unit. Without that identifier it is not unique."""

RBD_NODES = ("cluster_fsid", "pool", "pool_ns", "name", "current_snap")
"""Documentation/ABI/testing/sysfs-bus-rbd of Linux; ``pool_ns`` is not in all versions."""


def sysfs(rdev: int) -> str:
    """The directory of the block device ``rdev`` in sysfs."""
    return f"{SYS_BLOCK_BY_NUMBER}/{os.major(rdev)}:{os.minor(rdev)}"


def _directory(rdev: int) -> str:
    """The same without the link that leads to it: the directory of a partition is in that of its
    disk."""
    path = sysfs(rdev)
    with suppress(OSError):
        # os.path.realpath would look at each directory on the way, none of which is a link.
        return os.path.normpath(os.path.join(SYS_BLOCK_BY_NUMBER, os.readlink(path)))
    return path


def entries(path: str) -> List[str]:
    """The names in a directory of sysfs or /proc; none if it is not there or not readable."""
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


def below(rdev: int) -> FrozenSet[int]:
    """The block devices that this one is on: of a partition the disk, of a logical volume the
    physical ones, of a multipath device its paths, and what these are on."""
    found: Set[int] = set()
    ahead = [rdev]
    while ahead:
        news = set(_next_below(ahead.pop())) - found
        found |= news
        ahead += news
    return frozenset(found)


@dataclass(frozen=True)
class Mapper:
    """What device-mapper says of a device that it made."""

    name: str
    """Below /dev/mapper."""
    uuid: str
    """Begins with who made it, such as ``LVM-``, ``CRYPT-`` or ``mpath-``; may be empty."""


def mapper(rdev: int) -> Optional[Mapper]:
    """What device-mapper says of a block device; None if it has not made it."""
    name = _read(f"{sysfs(rdev)}/dm/name")
    return None if name is None else Mapper(name, _read(f"{sysfs(rdev)}/dm/uuid") or "")


def size(rdev: int) -> Optional[int]:
    """The size of a block device in bytes; None if it is gone."""
    sectors = _read(f"{sysfs(rdev)}/size") or ""
    return int(sectors) * SECTOR if sectors.isdigit() else None


def writes_in_flight(rdev: int) -> int:
    """How many writes to a block device the kernel has begun and not ended; 0 if it is gone."""
    counts = (_read(f"{sysfs(rdev)}/inflight") or "").split()
    return int(counts[1]) if len(counts) == 2 else 0


def is_read_only(rdev: int) -> Optional[bool]:
    """Whether a block device refuses writes; None if it is gone."""
    text = _read(f"{sysfs(rdev)}/ro")
    return None if text is None else text != "0"


def directly_below(rdev: int) -> List[int]:
    """The devices that this one is made of: see ``below``."""
    return list(_next_below(rdev))


def _next_below(rdev: int) -> Iterator[int]:
    """The disk of a partition, or what device-mapper or md has made a device of."""
    device = _directory(rdev)
    yield from _disk_above(device)
    for name in entries(f"{device}/slaves"):
        yield from _number_in(f"{device}/slaves/{name}")


def disk_of_partition(rdev: int) -> Iterator[int]:
    """The disk of a partition; none of what is no partition."""
    yield from _disk_above(_directory(rdev))


def _disk_above(device: str) -> Iterator[int]:
    """``device``: its directory in sysfs."""
    if os.path.exists(f"{device}/partition"):
        yield from _number_in(os.path.dirname(device))


def _number_in(directory: str) -> Iterator[int]:
    with suppress(OSError), open(f"{directory}/dev", encoding="ascii") as dev:
        yield _number(dev.read())


def partitions(rdev: int) -> Iterator[Tuple[str, int]]:
    """Path and device number of each partition of a block device."""
    path = sysfs(rdev)
    for name in _directories_in(path):
        if os.path.exists(f"{path}/{name}/partition"):
            with open(f"{path}/{name}/dev", encoding="ascii") as dev:
                yield f"/dev/{name}", _number(dev.read())


def _directories_in(path: str) -> List[str]:
    """The names of the directories in one of sysfs, without links to others; none if it is not
    there or not readable."""
    with suppress(OSError), os.scandir(path) as found:
        return sorted(entry.name for entry in found if entry.is_dir(follow_symlinks=False))
    return []


def _number(text: str) -> int:
    major, minor = text.split(":")
    return os.makedev(int(major), int(minor))


def numbers() -> Iterator[int]:
    """The numbers (st_rdev) of all block devices of this host."""
    for name in entries(SYS_BLOCK_BY_NUMBER):
        with suppress(ValueError):
            yield _number(name)


def units(rdev: int) -> FrozenSet[str]:
    """The names of the unit that the block device is a path to; none if it reports none.

    A partition is named by its disk and the sector at which it begins.
    """
    if os.major(rdev) == LOOP_MAJOR:
        return frozenset()
    device = _directory(rdev)
    if not os.path.exists(f"{device}/partition"):
        return frozenset(_units_of_disk(device))
    start = _read(f"{device}/start")
    disks = _units_of_disk(os.path.dirname(device)) if start else ()
    return frozenset(f"{disk} from sector {start}" for disk in disks)


def _units_of_disk(device: str) -> Iterator[str]:
    """``device``: its directory in sysfs."""
    for node in ("wwid", "device/wwid"):
        wwid = _read(f"{device}/{node}") or ""
        if UNIQUE.fullmatch(wwid):
            yield wwid
        elif BY_VENDOR.fullmatch(wwid):
            # So that units of two sizes are never taken for one.
            yield f"{' '.join(wwid.split())} with {_read(f'{device}/size')} sectors"
    rbd = re.fullmatch("rbd([0-9]+)", os.path.basename(device))
    if rbd:
        nodes = [_read(f"{SYS_RBD}/{rbd[1]}/{node}") or "" for node in RBD_NODES]
        if nodes[3]:
            cluster, pool, namespace, name, snapshot = nodes
            yield f"rbd {pool}/{namespace}/{name}@{snapshot} of cluster {cluster}"


def _read(path: str) -> Optional[str]:
    with suppress(OSError), open(path, encoding="utf-8", errors="replace") as node:
        return node.read().strip("\0 \n")
    return None
