# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who uses a file or a block device on this host, and may not lose it."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils import (
    loop,
    loop_link,
    saved_domains,
    xen,
)
from ansible_collections.xen.blockdev.plugins.module_utils.device_number import parse
from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.files import MOUNTS, opened
from ansible_collections.xen.blockdev.plugins.module_utils.vbd_target import (
    Storage,
    Storages,
    device_path,
    entries,
    sysfs,
)

SWAPS = "/proc/swaps"

GLANCES_SECONDS = (0.02, 0.1, 0.3, 1)
"""The pauses before each further look at who has a block device open. Whoever looks at all of them,
such as blkid, lsblk, udev or another run of a module, has each open for a moment, which lasts as
long as it waits for a processor."""

SAVED_REMEDY = "restore it first (xl restore), or delete that file if nothing is to go on from it"


@dataclass(frozen=True)
class User:
    """One user of a file or a block device."""

    kind: str
    """``loop``, ``vbd``, ``saved``, ``mount``, ``swap``, ``holder`` or ``process``."""
    sentence: str
    """What it does with it, for a message: ``mounted on /mnt``."""
    domain: Optional[str] = None
    """Of a vbd: the domain's name."""
    xenstore_key: Optional[int] = None
    """Of a vbd: its slot."""
    rdev: Optional[int] = None
    """Of a loop device: its number (st_rdev)."""
    by_process: bool = False
    """Of a vbd: whether a process, QEMU, serves it, which has it open then. The kernel does not."""
    read_only: bool = False
    """Of a disk of a saved domain: whether it only reads it."""


Leaves = Callable[[User], bool]
"""Tells of a user whether it will be gone by then."""


def released(item: Mapping[str, Any], user: User) -> bool:
    """Whether the wanted C(item) says that an earlier task takes this user away.

    C(released_by) lists slots of domains as C({domain, vdev}).
    """
    return any(
        (user.domain, user.xenstore_key) == (slot["domain"], parse(slot["vdev"]).xenstore_key)
        for slot in item["released_by"] or ()
    )


def join(users: Iterable[User]) -> str:
    """The users in one phrase, each said once."""
    return ", ".join(dict.fromkeys(user.sentence for user in users))


class Usage:
    """The users of this host's files and block devices; each source is read once, when needed."""

    def of_device(
        self, rdev: int, leaves: Leaves = lambda user: False, processes: bool = True
    ) -> List[User]:
        """Who uses the block device with the number C(rdev) (st_rdev), or a partition of it, but
        for those that C(leaves). C(processes): whether those count that have it open."""
        users = [
            *(self._mounts.get(rdev) or self._mounts_elsewhere.get(rdev) or ()),
            *self._swaps.get(rdev, ()),
            *self._bound_devices.get(rdev, ()),
            *_holders(rdev),
            *self._vbds_of_devices.get(rdev, ()),
            *self._saved_devices.get(rdev, ()),
        ]
        left = [user for user in users if not leaves(user)]
        for name, partition in _partitions(rdev):
            left += [
                replace(user, sentence=f"partition {name} {user.sentence}")
                for user in self.of_device(partition, leaves, processes)
            ]
        # Processes are told only where nothing better is, and QEMU not beside what it serves.
        if left or not processes or any(user.by_process for user in users):
            return left
        return self._processes(rdev)

    def is_claimed(self, rdev: int) -> bool:
        """Whether the kernel keeps the block device for one user alone, as for a mount, also where
        that shows nowhere else. A disk that a guest has is not kept so."""
        path = device_path((os.major(rdev), os.minor(rdev)))
        if path is None:
            return False
        try:
            with opened(path, os.O_RDONLY | os.O_EXCL | os.O_NONBLOCK):
                return False
        except OSError as error:
            return error.errno == errno.EBUSY

    def of_file(self, status: os.stat_result, leaves: Leaves = lambda user: False) -> List[User]:
        """Who uses the regular file that C(status) was read from, but for those that C(leaves)."""
        file = loop.file_id(status)
        users = [
            *self._bound_files.get(file, ()),
            *self._swap_files.get(file, ()),
            *self._vbds_of_files.get(file, ()),
            *self._saved_files.get(file, ()),
        ]
        left = [user for user in users if not leaves(user)]
        if left or any(user.by_process for user in users):
            return left
        return self._open_files.get(file, [])

    def attachments(self, rdev: int) -> List[User]:
        """The vbds of the block device with the number C(rdev)."""
        return self._vbds_of_devices.get(rdev, [])

    def _processes(self, rdev: int) -> List[User]:
        """The processes that have a block device open, and do not only glance at it."""
        users = self._open_devices.get(rdev, [])
        for number in range(len(GLANCES_SECONDS)):
            if not users:
                break
            users = [user for user in users if user in self._later(number).get(rdev, ())]
        return users

    def _later(self, number: int) -> Dict[int, List[User]]:
        """What processes have open at the further look with this C(number), taken when needed."""
        if number == len(self._later_looks):
            time.sleep(GLANCES_SECONDS[number])
            self._later_looks.append(_block_devices(_open_by_processes()))
        return self._later_looks[number]

    @cached_property
    def bindings(self) -> List[loop.Binding]:
        """Every bound loop device of this host."""
        return loop.scan()

    @cached_property
    def vbds(self) -> List[xen.Vbd]:
        """Every vbd of every domain; none where this is no Xen host."""
        return xen.attached_devices()

    @cached_property
    def _bound_files(self) -> Dict[loop.File, List[User]]:
        return _grouped((one.file, _bound_to(one)) for one in self.bindings)

    @cached_property
    def _bound_devices(self) -> Dict[int, List[User]]:
        return _grouped((one.backing_rdev, _bound_to(one)) for one in self.bindings)

    @cached_property
    def _vbds_of_devices(self) -> Dict[int, List[User]]:
        return _grouped((rdev, _disk_of(vbd)) for vbd in self.vbds for rdev in _devices_of(vbd))

    @cached_property
    def _vbds_of_files(self) -> Dict[loop.File, List[User]]:
        return _grouped(
            (loop.file_id(status), _disk_of(vbd))
            for vbd in self.vbds
            for status in _statuses([vbd.target])
        )

    @cached_property
    def _saved(self) -> List[Tuple[Storage, User]]:
        """Each disk of the saved domains that is there, and what lies behind it."""
        storages = Storages(self.bindings)
        found = []
        for disk in saved_domains.read_all():
            # The link of an image that is not bound leads nowhere, and the image counts then.
            path = loop_link.path_of(disk.target) if loop_link.is_link(disk.target) else disk.target
            with suppress(XenError):
                found.append((storages.of_path(path), _disk_of_saved(disk)))
        return found

    @cached_property
    def _saved_devices(self) -> Dict[int, List[User]]:
        return _grouped((rdev, user) for storage, user in self._saved for rdev in storage.devices)

    @cached_property
    def _saved_files(self) -> Dict[Optional[loop.File], List[User]]:
        return _grouped((storage.file, user) for storage, user in self._saved)

    @cached_property
    def _mounts(self) -> Dict[int, List[User]]:
        return _grouped(
            (rdev, User("mount", f"mounted on {mount_point}"))
            for rdev, mount_point in _mounts(MOUNTS)
        )

    @cached_property
    def _mounts_elsewhere(self) -> Dict[int, List[User]]:
        return _grouped(_mounts_in_other_namespaces())

    @cached_property
    def _swaps(self) -> Dict[int, List[User]]:
        return _grouped(
            (status.st_rdev, User("swap", "used as swap"))
            for status in _statuses(_swap_paths())
            if stat.S_ISBLK(status.st_mode)
        )

    @cached_property
    def _swap_files(self) -> Dict[loop.File, List[User]]:
        return _grouped(
            (loop.file_id(status), User("swap", "used as swap"))
            for status in _statuses(_swap_paths())
        )

    @cached_property
    def _open_devices(self) -> Dict[int, List[User]]:
        return _block_devices(self._opened)

    @cached_property
    def _later_looks(self) -> List[Dict[int, List[User]]]:
        return []

    @cached_property
    def _open_files(self) -> Dict[loop.File, List[User]]:
        return _grouped(
            (loop.file_id(status), user)
            for status, user in self._opened
            if stat.S_ISREG(status.st_mode)
        )

    @cached_property
    def _opened(self) -> List[Tuple[os.stat_result, User]]:
        return list(_open_by_processes())


def _grouped(pairs: Iterable[Tuple[Any, User]]) -> Dict[Any, List[User]]:
    groups: Dict[Any, List[User]] = defaultdict(list)
    for key, user in pairs:
        groups[key].append(user)
    return groups


def _block_devices(opened: Iterable[Tuple[os.stat_result, User]]) -> Dict[int, List[User]]:
    return _grouped(
        (status.st_rdev, user) for status, user in opened if stat.S_ISBLK(status.st_mode)
    )


def _bound_to(binding: loop.Binding) -> User:
    return User("loop", f"bound to {binding.device}", rdev=binding.rdev)


def _disk_of(vbd: xen.Vbd) -> User:
    sentence = f"attached to domain {vbd.domain} as {vbd.vdev}"
    by_process = vbd.physical_device is None
    return User("vbd", sentence, vbd.domain, vbd.xenstore_key, by_process=by_process)


def _disk_of_saved(disk: saved_domains.SavedDisk) -> User:
    sentence = f"disk {disk.vdev} of domain {disk.domain}, which is saved in {disk.file}"
    return User("saved", sentence, read_only=disk.read_only)


def _devices_of(vbd: xen.Vbd) -> Iterator[int]:
    """The number of the block device behind a disk; nothing tells that of one that QEMU serves,
    but its target."""
    if vbd.physical_device:
        yield os.makedev(*vbd.physical_device)
    else:
        yield from (s.st_rdev for s in _statuses([vbd.target]) if stat.S_ISBLK(s.st_mode))


def _statuses(paths: Iterable[str]) -> Iterator[os.stat_result]:
    for path in paths:
        with suppress(OSError, ValueError):
            yield os.stat(path)


def _mounts(mounts: str) -> Iterator[Tuple[int, str]]:
    """Device number and mount point of each mount in C(mounts) (proc_pid_mountinfo(5)).

    btrfs shows a device number of its own making, so the mount's source counts as well.
    """
    with open(mounts, "rb") as mountinfo:
        for line in mountinfo:
            fields = line.split(b" ")
            mount_point = os.fsdecode(_unescaped(fields[4]))
            major, minor = fields[2].split(b":")
            rdevs = {os.makedev(int(major), int(minor))}
            source = os.fsdecode(_unescaped(fields[fields.index(b"-") + 2]))
            if source.startswith("/"):
                rdevs.update(s.st_rdev for s in _statuses([source]) if stat.S_ISBLK(s.st_mode))
            for rdev in rdevs:
                yield rdev, mount_point


def _mounts_in_other_namespaces() -> Iterator[Tuple[int, User]]:
    """What processes have mounted that do not share our mounts, such as those of containers."""
    seen = {_mount_namespace("self")}
    for pid in _processes():
        namespace = _mount_namespace(pid)
        if namespace in seen:
            continue
        with suppress(OSError):  # it has ended; another one may share its mounts
            mounts = list(_mounts(f"/proc/{pid}/mountinfo"))
            seen.add(namespace)
            for rdev, mount_point in mounts:
                process = f"process {pid} ({_command(pid)})"
                yield rdev, User("mount", f"mounted on {mount_point} as {process} sees it")


def _mount_namespace(pid: str) -> Optional[str]:
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/mnt")
    return None


def _swap_paths() -> List[str]:
    try:
        with open(SWAPS, "rb") as swaps:
            return [os.fsdecode(_unescaped(line.split()[0])) for line in swaps.readlines()[1:]]
    except FileNotFoundError:
        return []


def _unescaped(text: bytes) -> bytes:
    """Text of /proc in which blanks, newlines and backslashes stand as three octal digits."""
    return text.decode("unicode_escape").encode("latin-1")


def _holders(rdev: int) -> List[User]:
    """The device-mapper and md devices that are built on a block device."""
    holders = f"{sysfs(rdev)}/holders"
    return [
        User("holder", f"held by {_mapper_name(f'{holders}/{name}') or f'/dev/{name}'}")
        for name in entries(holders)
    ]


def _mapper_name(holder: str) -> Optional[str]:
    """What device-mapper calls a device, or None for a device of another kind."""
    with suppress(OSError), open(f"{holder}/dm/name", encoding="utf-8") as mapper:
        return f"/dev/mapper/{mapper.read().strip()}"
    return None


def _partitions(rdev: int) -> Iterator[Tuple[str, int]]:
    """Name and device number of each partition of a block device."""
    path = sysfs(rdev)
    for name in entries(path):
        if os.path.exists(f"{path}/{name}/partition"):
            with open(f"{path}/{name}/dev", encoding="ascii") as dev:
                major, minor = dev.read().split(":")
            yield f"/dev/{name}", os.makedev(int(major), int(minor))


def _open_by_processes() -> Iterator[Tuple[os.stat_result, User]]:
    """What every process but this one has open (proc_pid_fd(5))."""
    for pid in _processes():
        descriptors = f"/proc/{pid}/fd"
        statuses = list(_statuses(f"{descriptors}/{name}" for name in entries(descriptors)))
        if statuses:
            user = User("process", f"open in process {pid} ({_command(pid)})")
            yield from ((status, user) for status in statuses)


def _processes() -> List[str]:
    """The process numbers of all but this one."""
    return [pid for pid in entries("/proc") if pid.isdigit() and int(pid) != os.getpid()]


def _command(pid: str) -> str:
    with suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
        return comm.read().strip()
    return "ended meanwhile"
