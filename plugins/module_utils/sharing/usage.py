# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The users of a file or a block device on this host."""

from __future__ import annotations

import errno
import os
import stat
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Collection,
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
    TypeVar,
)

from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.disk.device_number import parse
from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host import block_device, mounts
from ansible_collections.xen.blockdev.plugins.module_utils.host.block_device import entries, sysfs
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import opened
from ansible_collections.xen.blockdev.plugins.module_utils.host.open_files import OpenFile, Process
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.openers import Openers
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.storage import (
    Behind,
    Identity,
    Storage,
    Storages,
    block_device_path,
)
from ansible_collections.xen.blockdev.plugins.module_utils.xen import blkback, saved_domains, xl
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state

if TYPE_CHECKING:
    from ansible_collections.xen.blockdev.plugins.module_utils.config.images import NamingConfigs

SAVED_REMEDY = (
    "restore it first (xl restore), or delete the save file if the domain is no longer needed"
)


@dataclass(frozen=True)
class User:
    """One user of a file or a block device."""

    kind: str
    """``loop``, ``vbd``, ``saved``, ``mount``, ``swap``, ``holder``, ``process`` or ``config``."""
    sentence: str
    """The use, for a message: ``mounted on /mnt``."""
    domain: Optional[str] = None
    """The domain's name, for a vbd."""
    xenstore_key: Optional[int] = None
    """The slot, for a vbd."""
    rdev: Optional[int] = None
    """The number (st_rdev), for a loop device."""
    by_process: bool = False
    """Whether QEMU, a process, serves the vbd and so has its target open; the kernel does not."""
    read_only: bool = False
    """Whether the disk of a saved domain is read-only."""
    domid: Optional[int] = None
    """The domain's id, for a vbd and for the QEMU process of a domain."""


Key = TypeVar("Key")

Leaves = Callable[[User], bool]
"""Whether a user will be gone before the file or device is changed."""

DiskSlot = Tuple[str, int]
"""A slot of a domain: the domain's name and the devid."""


def emptied(pending: Pending) -> FrozenSet[DiskSlot]:
    """The slots whose disks an earlier task would have detached or replaced. Raises BlockdevError
    for a bad vdev."""
    return frozenset((domain, parse(vdev).xenstore_key) for domain, vdev in pending.slots)


def join(users: Iterable[User]) -> str:
    """The users in one phrase, without repetition."""
    return ", ".join(dict.fromkeys(user.sentence for user in users))


class Usage:
    """The users of this host's files and block devices. Each source is read once, when needed."""

    def __init__(
        self,
        vbds: Optional[Sequence[xen_state.Vbd]] = None,
        saved: Optional[Sequence[saved_domains.SavedDisk]] = None,
        listed: Optional[Sequence[xl.Listed]] = None,
    ) -> None:
        """``vbds``: the disks of all domains, ``saved``: those of the saved ones, ``listed``: what
        xl lists, if they were read already."""
        self._vbds = vbds
        self._saved = saved
        self._listed = listed

    def of_device(
        self, rdev: int, leaves: Leaves = lambda user: False, processes: bool = True
    ) -> List[User]:
        """The users of the block device ``rdev`` (st_rdev) or of a partition of it, without those
        that ``leaves`` is true for. ``processes``: whether processes count that have it open."""
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
        """Whether something in dom0 has opened the block device exclusively, as for a mount, even
        if nothing else shows it. A vbd does not open its device so."""
        path = block_device_path(rdev)
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
        """The users of the regular file with this ``status``, without those that ``leaves`` is true
        for.

        ``path``: where it is, so that the file in which an overlay stores it counts as well.
        ``processes``: whether processes count that have it open.
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
        """The processes that keep something open for writing through which they reach ``storage``.

        Not the QEMU of a domain that has a disk with this data, as that disk is known; but a QEMU
        that still has a disk open after its domain has lost it.
        """
        return self._keeping_open(
            self.storages.written_with(storage),
            for_writing=True,
            counts=lambda pid: not self._has_disk(Process(pid).domid, storage),
        )

    def opened(self, storage: Storage) -> List[OpenFile]:
        """What processes have open at this moment through which they reach ``storage``, the QEMUs
        of domains that have it as a disk included."""
        return self._openers.at_once(self.storages.written_with(storage))

    def left_open(self, storage: Storage, for_writing: bool = False) -> List[User]:
        """The QEMUs that keep something open, or open for writing, through which they reach
        ``storage``, though their domains have no disk with this data, or no longer."""

        def is_left(pid: str) -> bool:
            domid = Process(pid).domid
            return domid is not None and not self._has_disk(domid, storage)

        return self._keeping_open(self.storages.written_with(storage), for_writing, is_left)

    def is_attached(self, storage: Storage) -> bool:
        """Whether a domain has a disk with this data."""
        return any(self.storages.of_vbd(vbd).overlaps(storage) for vbd in self.vbds)

    def _has_disk(self, domid: Optional[int], storage: Storage) -> bool:
        return any(
            vbd.domid == domid and self.storages.of_vbd(vbd).overlaps(storage) for vbd in self.vbds
        )

    @cached_property
    def closing(self) -> List[blkback.Slot]:
        """The slots that the kernel still serves though xenstore no longer has them. Waits for it
        to close them. Raises XenError."""
        lost = set(blkback.served()) - _slots(self.vbds)
        if not lost:
            return []
        # Another program may have attached one just now.
        return blkback.wait_for_closed(
            lambda slot: slot in lost and slot not in _slots(xen_state.attached_devices())
        )

    @cached_property
    def dying(self) -> List[int]:
        """The ids of the domains that were destroyed, whose disks xenstore no longer has, and that
        Xen still has. The kernel may keep requests of theirs that have not ended: it has no entry
        for these, and holds only the guest's memory. Raises XenError."""
        known = {vbd.domid for vbd in self.vbds}
        listed = xl.listed() if self._listed is None else self._listed
        return [one.domid for one in listed if one.status == "dying" and one.domid not in known]

    def naming(self, image: str, named_in: Optional[Mapping[str, Any]]) -> List[User]:
        """The configs that name the image at the path ``image``, for running domains or not.

        ``named_in``: the option of that name; None for no configs.
        """
        if named_in is None:
            return []
        return [User("config", f"{file} names it") for file in self._configs.of(image, named_in)]

    def attachments(self, rdev: int) -> List[User]:
        """The vbds of the block device ``rdev`` (st_rdev)."""
        return self._vbds_of_devices.get(rdev, [])

    def _processes(self, identities: Collection[Identity], others: Sequence[User]) -> List[User]:
        """The processes that keep it open, without the QEMU that serves a disk of its domain.
        ``others``: all other users, the leaving ones included."""
        if any(user.by_process for user in others):
            return []
        domids = {user.domid for user in others if user.domid is not None}
        return [user for user in self._keeping_open(identities) if user.domid not in domids]

    def _keeping_open(
        self,
        identities: Collection[Identity],
        for_writing: bool = False,
        counts: Callable[[str], bool] = lambda pid: True,
    ) -> List[User]:
        pids = self._openers.wait_for_lasting(identities, for_writing, counts)
        return [_process(pid, for_writing) for pid in pids]

    @cached_property
    def _openers(self) -> Openers:
        return Openers(self._reached_by)

    def _reached_by(self, opened: OpenFile) -> Iterable[Identity]:
        if stat.S_ISBLK(opened.status.st_mode):
            return self.storages.reached_by(opened.status.st_rdev)
        return self.storages.files_of_opened(opened)

    @cached_property
    def storages(self) -> Storages:
        """Finds the storage of the targets of disks."""
        return Storages(self.bindings)

    @cached_property
    def bindings(self) -> List[loop_binding.Binding]:
        """Every bound loop device of this host."""
        return loop_binding.scan()

    @cached_property
    def vbds(self) -> Sequence[xen_state.Vbd]:
        """The disks of all domains; none if this is not a Xen host."""
        return xen_state.attached_devices() if self._vbds is None else self._vbds

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
        """The files behind attached disks, such as backing files."""
        return [
            (identity, _disk_behind(vbd, one))
            for vbd in self.vbds
            for one in self.storages.of_vbd(vbd).behind
            for identity in one.storage.identities
        ]

    @cached_property
    def _saved_by(self) -> Dict[Identity, List[User]]:
        """The saved domains that have each storage as a disk, or behind one."""
        found: List[Tuple[Identity, User]] = []
        for disk in saved_domains.saved_disks() if self._saved is None else self._saved:
            # The link of an image that is not bound leads nowhere; the image itself counts.
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
            for rdev, mount_point in mounts.read(mounts.MOUNTS)
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


def _slots(vbds: Iterable[xen_state.Vbd]) -> Set[blkback.Slot]:
    return {(vbd.domid, vbd.xenstore_key) for vbd in vbds}


def _grouped(pairs: Iterable[Tuple[Key, User]]) -> Dict[Key, List[User]]:
    groups: Dict[Key, List[User]] = defaultdict(list)
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
    """The number of the block device behind a disk. For a disk that QEMU serves, only the target
    shows it."""
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
    """The device-mapper name of a device; None for a device of another kind."""
    with suppress(OSError), open(f"{holder}/dm/name", encoding="utf-8") as mapper:
        return f"/dev/mapper/{mapper.read().strip()}"
    return None
