# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host has mounted and uses as swap."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import Iterator, List, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.host import open_files
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import MOUNTS, opened

SWAPS = "/proc/swaps"


@dataclass(frozen=True)
class MountPoint:
    """Where a file system is mounted."""

    device: int
    """The number of the file system. The files of a btrfs have those of their subvolumes (st_dev),
    which share its space."""
    path: str


def mount_of(directory: str) -> MountPoint:
    """The mount through which ``directory`` is reached. Raises OSError."""
    with opened(directory, os.O_PATH) as descriptor:
        mount, device = mount_id(descriptor), os.fstat(descriptor).st_dev
    with open(MOUNTS, "rb") as mountinfo:
        for line in mountinfo:
            fields = os.fsdecode(line).split(" ")
            if fields[0] == mount:
                return MountPoint(device_of_mount(fields), unescaped(fields[4]))
    # It has just been unmounted.
    return MountPoint(device, directory)


def mount_id(descriptor: int) -> str:
    """What begins the line of the mount in mountinfo through which ``descriptor`` was opened. No
    path says that as surely: another mount may hide a part of it."""
    with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as info:
        found = re.search(r"^mnt_id:\s*(\d+)$", info.read(), re.MULTILINE)
    return found[1] if found else ""


def device_of_mount(fields: Sequence[str]) -> int:
    """The number of the file system in a line of mountinfo."""
    major, minor = fields[2].split(":")
    return os.makedev(int(major), int(minor))


def read(mountinfo: str) -> Iterator[Tuple[int, str]]:
    """Device number and mount point of each mount in ``mountinfo`` (proc_pid_mountinfo(5)).

    btrfs shows a device number of its own making, so the mount's source counts as well.
    """
    with open(mountinfo, "rb") as lines:
        for line in lines:
            fields = os.fsdecode(line).split(" ")
            mount_point = unescaped(fields[4])
            rdevs = {device_of_mount(fields)}
            source = unescaped(fields[fields.index("-") + 2])
            if source.startswith("/"):
                with suppress(OSError, ValueError):
                    status = os.stat(source)
                    rdevs.update({status.st_rdev} if stat.S_ISBLK(status.st_mode) else ())
            for rdev in rdevs:
                yield rdev, mount_point


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
