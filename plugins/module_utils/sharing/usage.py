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
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.disk.device_number import parse
from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host import (
    block_device,
    mounts,
    open_files,
)
from ansible_collections.xen.blockdev.plugins.module_utils.host.block_device import entries, sysfs
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import MOUNTS, opened
from ansible_collections.xen.blockdev.plugins.module_utils.host.open_files import OpenFile, Process
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.storage import (
    Behind,
    Identity,
    Storage,
    Storages,
    device_path,
)
from ansible_collections.xen.blockdev.plugins.module_utils.xen import saved_domains
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state

if TYPE_CHECKING:
    from ansible_collections.xen.blockdev.plugins.module_utils.config.images import NamingConfigs

GLANCES_SECONDS = (0.02, 0.1, 0.3, 1)
"""The pauses before each further look at who has a block device open. Whoever looks at all of them,
such as blkid, lsblk, udev or another run of a module, has each open for a moment, which lasts as
long as it waits for a processor."""

SAVED_REMEDY = "restore it first (xl restore), or delete that file if nothing is to go on from it"


@dataclass(frozen=True)
class User:
    """One user of a file or a block device."""

    kind: str
    """``loop``, ``vbd``, ``saved``, ``mount``, ``swap``, ``holder``, ``process`` or ``config``."""
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
    domid: Optional[int] = None
    """Of a vbd: the domain's id. Of a process: that of the domain whose QEMU it is."""


Leaves = Callable[[User], bool]
"""Tells of a user whether it will be gone by then."""


DiskSlot = Tuple[str, int]
"""Where a domain has a disk: its name and the xenstore key."""


def emptied(pending: Pending) -> FrozenSet[DiskSlot]:
    """The slots whose disks an earlier task would have detached or replaced. Raises BlockdevError
    for a vdev that is none."""
    return frozenset((domain, parse(vdev).xenstore_key) for domain, vdev in pending.slots)


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
            *self._saved_by.get(rdev, ()),
        ]
        left = [user for user in users if not leaves(user)]
        for name, partition in block_device.partitions(rdev):
            left += [
                replace(user, sentence=f"partition {name} {user.sentence}")
                for user in self.of_device(partition, leaves, processes)
            ]
        return left or (self._processes({rdev}, users) if processes else [])

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

    def of_file(
        self,
        status: os.stat_result,
        leaves: Leaves = lambda user: False,
        path: Optional[str] = None,
        processes: bool = True,
    ) -> List[User]:
        """Who uses the regular file that C(status) was read from, but for those that C(leaves).

        C(path): where it is, so that the file in which an overlay keeps it counts as well.
        C(processes): whether those count that have it open.
        """
        files: Set[Identity] = {loop_binding.file_id(status)}
        if path is not None:
            files.update(self.storages.real_files(path, status))
        users = [
            user
            for file in files
            for group in (self._bound_files, self._swap_files, self._vbds_of_files, self._saved_by)
            for user in group.get(file, ())
        ]
        left = [user for user in users if not leaves(user)]
        return left or (self._processes(files, users) if processes else [])

    def writers(self, storage: Storage) -> List[User]:
        """The processes that have something open for writing by which C(storage) is reached.

        The QEMU of a domain that has a disk with this data is none: that disk is known. One that
        still has a disk open which its domain has lost is one.
        """
        users = self._opened(self.storages.written_with(storage), for_writing=True)
        if any(user.domid is not None for user in users):
            domids = {vbd.domid for vbd in self.vbds if self.storages.of_vbd(vbd).overlaps(storage)}
            users = [user for user in users if user.domid not in domids]
        return users

    def naming(self, image: str, named_in: Optional[Mapping[str, Any]]) -> List[User]:
        """The configs that name the image at the path C(image), whether their domains run or not.

        C(named_in): the option of that name; None looks nowhere.
        """
        if named_in is None:
            return []
        return [User("config", f"{file} names it") for file in self._configs.of(image, named_in)]

    def attachments(self, rdev: int) -> List[User]:
        """The vbds of the block device with the number C(rdev)."""
        return self._vbds_of_devices.get(rdev, [])

    def _processes(self, identities: Iterable[Identity], others: Sequence[User]) -> List[User]:
        """The processes that have it open, where nothing better is known; QEMU is none beside the
        disks that it serves. C(others): all others who use it."""
        if any(user.by_process for user in others):
            return []
        domids = {user.domid for user in others if user.domid is not None}
        return [user for user in self._opened(identities) if user.domid not in domids]

    def _opened(self, identities: Iterable[Identity], for_writing: bool = False) -> List[User]:
        """The processes that have one of these open, and do not only glance at it."""
        users = self._seen(0, identities, for_writing)
        for number in range(1, len(GLANCES_SECONDS) + 1):
            if not users:
                break
            later = self._seen(number, identities, for_writing)
            users = [user for user in users if user in later]
        return users

    def _seen(self, number: int, identities: Iterable[Identity], for_writing: bool) -> List[User]:
        """The same at one look."""
        look = self._look(number)
        opened = [one for identity in identities for one in look.get(identity, ())]
        pids = dict.fromkeys(one.pid for one in opened if not for_writing or one.is_for_writing)
        return [_process(pid, for_writing) for pid in pids]

    def _look(self, number: int) -> Dict[Identity, List[OpenFile]]:
        """What processes have open at the look with this C(number), taken when needed."""
        if number == len(self._looks):
            if number:
                time.sleep(GLANCES_SECONDS[number - 1])
            look: Dict[Identity, List[OpenFile]] = defaultdict(list)
            for one in open_files.all_open():
                for identity in self._reached_by(one):
                    look[identity].append(one)
            self._looks.append(look)
        return self._looks[number]

    def _reached_by(self, opened: OpenFile) -> Iterable[Identity]:
        if stat.S_ISBLK(opened.status.st_mode):
            return self.storages.reached_by(opened.status.st_rdev)
        return self.storages.files_of_opened(opened)

    @cached_property
    def _looks(self) -> List[Dict[Identity, List[OpenFile]]]:
        return []

    @cached_property
    def storages(self) -> Storages:
        """What lies behind the targets of disks."""
        return Storages(self.bindings)

    @cached_property
    def bindings(self) -> List[loop_binding.Binding]:
        """Every bound loop device of this host."""
        return loop_binding.scan()

    @cached_property
    def vbds(self) -> List[xen_state.Vbd]:
        """Every vbd of every domain; none where this is no Xen host."""
        return xen_state.attached_devices()

    @cached_property
    def _configs(self) -> NamingConfigs:
        # Most calls take nothing away, and Python compiles a module's files at each of them.
        from ansible_collections.xen.blockdev.plugins.module_utils.config.images import (  # noqa: PLC0415
            NamingConfigs,
        )

        return NamingConfigs(lambda: self.bindings)

    @cached_property
    def _bound_files(self) -> Dict[Identity, List[User]]:
        return _grouped(
            (file, _bound_to(one))
            for one in self.bindings
            for file in self.storages.files_of_binding(one)
        )

    @cached_property
    def _bound_devices(self) -> Dict[int, List[User]]:
        return _grouped((one.backing_rdev, _bound_to(one)) for one in self.bindings)

    @cached_property
    def _vbds_of_devices(self) -> Dict[Identity, List[User]]:
        direct = ((rdev, _disk_of(vbd)) for vbd in self.vbds for rdev in _devices_of(vbd))
        return _grouped((*direct, *self._behind_vbds))

    @cached_property
    def _vbds_of_files(self) -> Dict[Identity, List[User]]:
        direct = (
            (file, _disk_of(vbd))
            for vbd in self.vbds
            for status in _statuses([vbd.target])
            for file in (
                loop_binding.file_id(status),
                *self.storages.real_files(vbd.target, status),
            )
        )
        return _grouped((*direct, *self._behind_vbds))

    @cached_property
    def _behind_vbds(self) -> List[Tuple[Identity, User]]:
        """The backing files of attached disks."""
        return [
            (identity, _disk_behind(vbd, one))
            for vbd in self.vbds
            for one in self.storages.of_vbd(vbd).behind
            for identity in one.storage.identities
        ]

    @cached_property
    def _saved_by(self) -> Dict[Identity, List[User]]:
        """Who will use what lies behind the disks of the saved domains."""
        found: List[Tuple[Identity, User]] = []
        for disk in saved_domains.read_all():
            # The link of an image that is not bound leads nowhere, and the image counts then.
            path = (
                loop_link.linked_image(disk.target)
                if loop_link.is_link(disk.target)
                else disk.target
            )
            with suppress(XenError):
                found += _reached_by_saved(disk, self.storages.of_path(path, disk.format))
        return _grouped(found)

    @cached_property
    def _mounts(self) -> Dict[int, List[User]]:
        return _grouped(
            (rdev, User("mount", f"mounted on {mount_point}"))
            for rdev, mount_point in mounts.read(MOUNTS)
        )

    @cached_property
    def _mounts_elsewhere(self) -> Dict[int, List[User]]:
        return _grouped(
            (rdev, User("mount", f"mounted on {mount_point} as {process} sees it"))
            for rdev, mount_point, process in mounts.read_other_namespaces()
        )

    @cached_property
    def _swaps(self) -> Dict[int, List[User]]:
        return _grouped(
            (status.st_rdev, User("swap", "used as swap"))
            for status in _statuses(mounts.swap_paths())
            if stat.S_ISBLK(status.st_mode)
        )

    @cached_property
    def _swap_files(self) -> Dict[Identity, List[User]]:
        return _grouped(
            (loop_binding.file_id(status), User("swap", "used as swap"))
            for status in _statuses(mounts.swap_paths())
        )


def _grouped(pairs: Iterable[Tuple[Any, User]]) -> Dict[Any, List[User]]:
    groups: Dict[Any, List[User]] = defaultdict(list)
    for key, user in pairs:
        groups[key].append(user)
    return groups


def _bound_to(binding: loop_binding.Binding) -> User:
    return User("loop", f"bound to {binding.device}", rdev=binding.rdev)


def _process(pid: str, for_writing: bool) -> User:
    process = Process(pid)
    how = "open for writing" if for_writing else "open"
    return User("process", f"{how} in {process.words}", domid=process.domid)


def _disk_of(vbd: xen_state.Vbd) -> User:
    by_process = vbd.physical_device is None
    return User(
        "vbd",
        _place(vbd),
        vbd.domain,
        vbd.xenstore_key,
        by_process=by_process,
        domid=vbd.domid,
    )


def _disk_behind(vbd: xen_state.Vbd, one: Behind) -> User:
    sentence = f"the {one.role} of {vbd.target}, which is {_place(vbd)}"
    return replace(_disk_of(vbd), sentence=sentence)


def _place(vbd: xen_state.Vbd) -> str:
    return f"attached to domain {vbd.domain} as {vbd.vdev}"


def _reached_by_saved(
    disk: saved_domains.SavedDisk, storage: Storage
) -> Iterator[Tuple[Identity, User]]:
    sentence = f"disk {disk.vdev} of domain {disk.domain}, which is saved in {disk.file}"
    user = User("saved", sentence, read_only=disk.read_only)
    yield from ((identity, user) for identity in storage.identities)
    for one in storage.behind:
        read_only = disk.read_only or not one.is_written
        behind = User("saved", f"the {one.role} of {disk.target}, {sentence}", read_only=read_only)
        yield from ((identity, behind) for identity in one.storage.identities)


def _devices_of(vbd: xen_state.Vbd) -> Iterator[int]:
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
