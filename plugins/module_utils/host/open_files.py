# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files and block devices the processes of this host have open (proc_pid_fd(5))."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Iterator, List, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.host.block_device import entries, sysfs

NBD_MAJOR = 43
"""Of network block devices: Documentation/admin-guide/devices.txt of Linux."""


@dataclass(frozen=True)
class OpenFile:
    """A regular file or a block device that a process has open."""

    pid: str
    descriptor: str
    status: os.stat_result = field(compare=False)

    @property
    def path(self) -> str:
        """Its path as that process sees it. Raises OSError."""
        return os.readlink(f"/proc/{self.pid}/fd/{self.descriptor}")

    @property
    def is_for_writing(self) -> bool:
        """Whether the process can write to it by this descriptor; not, once it has closed it."""
        path = f"/proc/{self.pid}/fdinfo/{self.descriptor}"
        with suppress(OSError), open(path, encoding="ascii", errors="replace") as info:
            flags = re.search(r"^flags:\s*([0-7]+)$", info.read(), re.MULTILINE)
            return flags is not None and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY
        return False


@dataclass(frozen=True)
class Process:
    """A process, for a message."""

    pid: str

    @property
    def words(self) -> str:
        """Its number and name, and whose QEMU it is."""
        words = f"process {self.pid} ({command(self.pid)})"
        if self.domid is None:
            return words
        name = self._argument("-name")
        domain = f"{name} (id {self.domid})" if name else str(self.domid)
        return f"{words}, the QEMU of domain {domain}"

    @cached_property
    def domid(self) -> Optional[int]:
        """The domain that it is the QEMU of, as libxl starts it; None for any other process."""
        domid = self._argument("-xen-domid")
        return int(domid) if domid and domid.isascii() and domid.isdigit() else None

    def _argument(self, option: str) -> Optional[str]:
        pairs = zip(self._arguments, self._arguments[1:])
        return next((value for name, value in pairs if name == option), None)

    @cached_property
    def _arguments(self) -> List[str]:
        with suppress(OSError), open(f"/proc/{self.pid}/cmdline", "rb") as cmdline:
            return [os.fsdecode(argument) for argument in cmdline.read().split(b"\0")]
        return []


def all_open() -> Iterator[OpenFile]:
    """What every process but this one has open, except for the process that is itself what is
    behind a network block device."""
    for pid in processes():
        yield from opened_by(pid)


def opened_by(pid: str) -> Iterator[OpenFile]:
    """The same of one process."""
    descriptors = f"/proc/{pid}/fd"
    for name in entries(descriptors):
        with suppress(OSError):
            status = os.stat(f"{descriptors}/{name}")
            is_device = stat.S_ISBLK(status.st_mode)
            if is_device and _server(status.st_rdev) == pid:
                continue
            if is_device or stat.S_ISREG(status.st_mode):
                yield OpenFile(pid, name, status)


def _server(rdev: int) -> Optional[str]:
    """The process that serves a network block device by a descriptor of it, as qemu-nbd does."""
    if os.major(rdev) != NBD_MAJOR:
        return None
    with suppress(OSError):
        with open(f"{sysfs(rdev)}/pid", encoding="ascii") as node:
            thread = node.read().strip()
        with open(f"/proc/{thread}/status", encoding="utf-8", errors="replace") as status:
            group = re.search(r"^Tgid:\s*(\d+)$", status.read(), re.MULTILINE)
            return group[1] if group else None
    return None


def processes() -> List[str]:
    """The process numbers of all but this one."""
    return [pid for pid in entries("/proc") if pid.isdigit() and int(pid) != os.getpid()]


def command(pid: str) -> str:
    """What a process is called."""
    with suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
        return comm.read().strip()
    return "has ended"
