# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host has mounted and uses as swap."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from typing import FrozenSet, Iterator, List, NamedTuple, Optional, Set, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.host import open_files
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import opened

MOUNTS = "/proc/self/mountinfo"
"""What is mounted, as this process sees it (proc_pid_mountinfo(5))."""

SWAPS = "/proc/swaps"

_NETWORK = ("nfs", "cifs", "smb", "ceph", "9p", "lustre", "beegfs", "afs", "orangefs")
_NETWORK_FUSE = ("fuse.glusterfs", "fuse.sshfs", "fuse.ceph", "fuse.s3fs", "fuse.mfs")


class MountEntry(NamedTuple):
    """A mount, as proc_pid_mountinfo(5) describes it."""

    id: str
    device: int
    """The number of its file system (st_dev), which may be one of the file system's own making."""
    root: str
    """The directory of the file system that is mounted."""
    point: str
    type: str
    source: str
    """A block device, what a server exports, or any other word."""
    mount_options: Tuple[str, ...]
    """Of this mount alone."""
    super_options: Tuple[str, ...]
    """Of its file system, in their order and escaped as they are."""

    @property
    def options(self) -> FrozenSet[str]:
        """Of the mount and of its file system."""
        return frozenset([*self.mount_options, *self.super_options])

    @property
    def source_rdev(self) -> Optional[int]:
        """The number of the block device that is its source; None if it is none."""
        if self.source.startswith("/"):
            with suppress(OSError, ValueError):
                status = os.stat(self.source)
                return status.st_rdev if stat.S_ISBLK(status.st_mode) else None
        return None


def entry_of(line: str) -> MountEntry:
    """The mount in a line of mountinfo."""
    fields = line.rstrip("\n").split(" ")
    kind = fields.index("-") + 1
    major, minor = fields[2].split(":")
    return MountEntry(
        id=fields[0],
        device=os.makedev(int(major), int(minor)),
        root=unescaped(fields[3]),
        point=unescaped(fields[4]),
        type=fields[kind],
        source=unescaped(fields[kind + 1]),
        mount_options=tuple(fields[5].split(",")),
        super_options=tuple(fields[kind + 2].split(",")),
    )


def all_in(mountinfo: str) -> Iterator[MountEntry]:
    """The mounts in the file ``mountinfo``, oldest first. Raises OSError."""
    with open(mountinfo, "rb") as lines:
        for line in lines:
            yield entry_of(os.fsdecode(line))


def types_of(device: int) -> Set[str]:
    """The types of the file system with the number ``device`` (st_dev), by its mounts: one, or none
    if its files have another number than its mounts, as on btrfs. Raises OSError."""
    return {mount.type for mount in all_in(MOUNTS) if mount.device == device}


def is_network(kind: str) -> bool:
    """Whether file systems of this type are on other hosts."""
    return kind.startswith(_NETWORK) or kind in _NETWORK_FUSE


class MountPoint(NamedTuple):
    """Where a file system is mounted."""

    device: int
    """The number of the file system. The files of a btrfs have those of their subvolumes (st_dev),
    which share its space."""
    path: str


def mount_of(directory: str) -> MountPoint:
    """The mount through which ``directory`` is reached. Raises OSError."""
    with opened(directory, os.O_PATH) as descriptor:
        mount_id, device = id_of_mount(descriptor), os.fstat(descriptor).st_dev
    for mount in all_in(MOUNTS):
        if mount.id == mount_id:
            return MountPoint(mount.device, mount.point)
    # It has just been unmounted.
    return MountPoint(device, directory)


def id_of_mount(descriptor: int) -> str:
    """The id of the mount through which ``descriptor`` was opened. No path says that as surely:
    another mount may hide a part of it."""
    with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as info:
        found = re.search(r"^mnt_id:\s*(\d+)$", info.read(), re.MULTILINE)
    return found[1] if found else ""


def read(mountinfo: str) -> Iterator[Tuple[int, str]]:
    """Device number and mount point of each mount in ``mountinfo``.

    btrfs shows a device number of its own making, so the mount's source counts as well.
    """
    for mount in all_in(mountinfo):
        yield mount.device, mount.point
        source = mount.source_rdev
        if source is not None and source != mount.device:
            yield source, mount.point


def read_other_namespaces() -> Iterator[Tuple[int, str, str]]:
    """The same of processes that do not share our mounts, such as those of containers: device
    number, mount point, and in words which process sees it."""
    seen = {_namespace("self")}
    for pid in open_files.processes():
        namespace = _namespace(pid)
        if namespace in seen:
            continue
        with suppress(OSError):  # it has ended; another one may share its mounts
            mounts = list(read(f"/proc/{pid}/mountinfo"))
            seen.add(namespace)
            for rdev, mount_point in mounts:
                yield rdev, mount_point, f"process {pid} ({open_files.command(pid)})"


def _namespace(pid: str) -> Optional[str]:
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/mnt")
    return None


def swap_paths() -> List[str]:
    """The files and block devices that are used as swap."""
    try:
        with open(SWAPS, "rb") as swaps:
            return [unescaped(os.fsdecode(line.split()[0])) for line in swaps.readlines()[1:]]
    except FileNotFoundError:
        return []


def unescaped(text: str) -> str:
    """Text of /proc in which blanks, newlines and backslashes stand as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
