# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data of a host's disks, for xen_disks_info: each once, whatever leads to it."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host import block_device
from ansible_collections.xen.blockdev.plugins.module_utils.image import raw_content
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import (
    Binding,
    File,
    file_id,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info_file_systems import (  # noqa: E501
    FileSystems,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info_uses import (
    host_uses,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_info import shown_bytes
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.storage import (
    Identity,
    Storage,
    block_device_path,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    DataIdentity,
    DiskStorage,
    ImageFile,
    OtherData,
    StorageDevice,
    VolumeName,
)
from ansible_collections.xen.blockdev.plugins.module_utils.survey.volume_names import volume_of

StorageKey = Union[File, int, str]
"""What is one storage: a file, a block device, or a name that nothing more is known of."""


@dataclass
class _Entry:
    """A storage while it is collected."""

    name: str
    storage: Storage
    file: Optional[ImageFile] = None
    device: Optional[StorageDevice] = None
    loop_devices: List[Binding] = field(default_factory=list)
    stable: Sequence[DataIdentity] = ()
    """By what it is recognized on other hosts, if it is a file."""


class StorageTable:
    """Collects the storages of a host."""

    def __init__(self, usage: Usage, file_systems: FileSystems) -> None:
        self._usage = usage
        self._file_systems = file_systems
        self._entries: Dict[StorageKey, _Entry] = {}
        self._names: Dict[str, StorageKey] = {}
        self._bound: Dict[StorageKey, List[Binding]] = defaultdict(list)
        self._number_below: Dict[int, int] = {}
        """By the number of a loop device, that of the block device to which it is bound."""
        for binding in usage.bindings:
            self._bound[binding.backing_rdev or binding.file].append(binding)
            if binding.backing_rdev:
                self._number_below[binding.rdev] = binding.backing_rdev
        self._may_pass = lru_cache(maxsize=None)(self._may_others_pass)

    def add(self, storage: Storage) -> str:
        """Add what a target leads to, and return its name in the survey."""
        key = self._key(storage)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = self._new(key, storage)
            for one in storage.behind:
                self.add(one.storage)
        elif storage != entry.storage:
            for one in storage.behind:
                self.add(one.storage)
            entry.storage = _united(entry.storage, storage)
        return entry.name

    def add_binding(self, binding: Binding) -> str:
        """Add what a loop device shows, and return its name in the survey."""
        return self.add(self._usage.storages.of_device(binding.device, binding.rdev))

    def add_volumes(self) -> None:
        """Add all active logical volumes."""
        for rdev in block_device.numbers():
            if _volume(rdev):
                self.add(self._usage.storages.of_device(device_path(rdev), rdev))

    def all(self) -> Tuple[DiskStorage, ...]:
        """All storages, by name, each with what uses it in dom0."""
        entries = sorted(self._entries.values(), key=lambda entry: entry.name)
        return tuple(self._finished(entry) for entry in entries)

    def _key(self, storage: Storage) -> StorageKey:
        if storage.file is not None:
            return storage.file
        if storage.rdev is not None:
            return self._number_below.get(storage.rdev, storage.rdev)
        return storage.name

    def _new(self, key: StorageKey, storage: Storage) -> _Entry:
        bound = self._bound.get(key, [])
        if isinstance(key, str):
            entry = _Entry(key, storage)
        elif isinstance(key, int):
            device = _device(key)
            entry = _Entry(_device_name(device), storage, device=device)
        else:
            image, status = self._image(key, [storage.name, *(one.backing_file for one in bound)])
            if status is None:
                image = replace(image, deleted=any(one.deleted for one in bound))
                image = replace(image, hidden=not image.deleted)
            stable = self._file_systems.identities(image.path, key[1]) if status else ()
            entry = _Entry(_file_name(image), storage, image, stable=tuple(stable))
        entry.name = self._unique(entry.name, key)
        entry.loop_devices = bound
        return entry

    def _unique(self, name: str, key: StorageKey) -> str:
        if self._names.setdefault(name, key) == key:
            return name
        return self._unique(f"{name} ({_identity(key).value})", key)

    def _image(
        self, file: File, paths: Sequence[str]
    ) -> Tuple[ImageFile, Optional[os.stat_result]]:
        """The file, at the first of the ``paths`` that leads to it; without a status if none
        does."""
        for path in paths:
            with suppress(OSError, ValueError):
                status = os.stat(path)
                if file_id(status) == file:
                    return self._image_at(os.path.realpath(path), status), status
        return ImageFile(paths[-1]), None

    def _image_at(self, path: str, status: os.stat_result) -> ImageFile:
        mode = stat.S_IMODE(status.st_mode)
        may_pass = self._may_pass(os.path.dirname(path))
        return ImageFile(
            path=path,
            file_system=self._file_systems.of(path),
            inode=status.st_ino,
            links=status.st_nlink,
            size=status.st_size,
            allocated=status.st_blocks * 512,
            modified=status.st_mtime,
            uid=status.st_uid,
            gid=status.st_gid,
            mode=f"{mode:04o}",
            read_by_others=may_pass and bool(mode & stat.S_IROTH),
            signature=_signature(path, status),
        )

    def _may_others_pass(self, directory: str) -> bool:
        """Whether every user may open files below a directory, if they may open these."""
        with suppress(OSError):
            passes = bool(os.stat(directory).st_mode & stat.S_IXOTH)
            return passes and (directory == "/" or self._may_pass(os.path.dirname(directory)))
        return False

    def _finished(self, entry: _Entry) -> DiskStorage:
        storage, bound = entry.storage, entry.loop_devices
        return DiskStorage(
            name=entry.name,
            kind="file" if entry.file else "device" if entry.device else "other",
            size=_size(entry),
            file=entry.file,
            device=entry.device,
            loop_devices=tuple(one.device for one in bound),
            identities=(*_identities(storage.identities), *entry.stable),
            below=_identities(storage.below),
            behind=tuple(
                OtherData(self.add(one.storage), one.role, one.is_written) for one in storage.behind
            ),
            doubts=storage.doubts,
            uses=host_uses(storage, entry.file, self._usage),
        )


def _united(one: Storage, other: Storage) -> Storage:
    """The same data, with what only the other one says of it, such as its backing files."""
    return replace(
        one,
        identities=one.identities | other.identities,
        below=one.below | other.below,
        behind=tuple(dict.fromkeys((*one.behind, *other.behind))),
        doubts=tuple(dict.fromkeys((*one.doubts, *other.doubts))),
    )


def _size(entry: _Entry) -> Optional[int]:
    if entry.device:
        major, minor = map(int, entry.device.number.split(":"))
        return block_device.size(os.makedev(major, minor))
    if entry.file and entry.file.size is not None:
        return shown_bytes(entry.file.size)
    return next((one.size for one in entry.loop_devices if one.whole), None)


# ---- identities ----


def _identity(one: Identity) -> DataIdentity:
    if isinstance(one, int):
        return DataIdentity("device", _number(one))
    if isinstance(one, tuple):
        return DataIdentity("file", f"{_number(one[0])}:{one[1]}")
    return DataIdentity("unit", one)


def _identities(found: Iterable[Identity]) -> Tuple[DataIdentity, ...]:
    identities = [_identity(one) for one in found]
    identities += _volumes(one for one in found if isinstance(one, int))
    return tuple(sorted(set(identities), key=lambda one: (one.kind, one.value)))


def _volumes(rdevs: Iterable[int]) -> Iterator[DataIdentity]:
    for rdev in rdevs:
        volume = _volume(rdev)
        if volume:
            yield DataIdentity("volume", volume.uuid)


def _number(rdev: int) -> str:
    return f"{os.major(rdev)}:{os.minor(rdev)}"


# ---- block devices ----


def device_path(rdev: int) -> str:
    """The path of a block device by the kernel's name of it, or by its number if it is gone."""
    return block_device_path(rdev) or f"/dev/block/{_number(rdev)}"


def _device(rdev: int) -> StorageDevice:
    mapper = block_device.mapper(rdev)
    disks = [block_device_path(disk) for disk in block_device.disk_of_partition(rdev)]
    below = map(block_device_path, block_device.directly_below(rdev))
    return StorageDevice(
        path=device_path(rdev),
        number=_number(rdev),
        read_only=block_device.is_read_only(rdev),
        mapper_name=mapper.name if mapper else None,
        mapper_uuid=mapper.uuid if mapper else None,
        partition_of=disks[0] if disks else None,
        made_of=tuple(path for path in below if path),
        volume=_volume(rdev),
    )


def _volume(rdev: int) -> Optional[VolumeName]:
    mapper = block_device.mapper(rdev)
    if mapper is None:
        return None
    below = filter(None, map(block_device.mapper, block_device.directly_below(rdev)))
    return volume_of(mapper.name, mapper.uuid, [(one.name, one.uuid) for one in below])


def _device_name(device: StorageDevice) -> str:
    """A name that stays the same over a reboot, as far as there is one."""
    if device.volume:
        return f"/dev/{device.volume.group}/{device.volume.volume}"
    return f"/dev/mapper/{device.mapper_name}" if device.mapper_name else device.path


# ---- files ----


def _file_name(image: ImageFile) -> str:
    lost = " (deleted)" if image.deleted else " (hidden)" if image.hidden else ""
    return image.path + lost


def _signature(path: str, status: os.stat_result) -> Optional[str]:
    with suppress(OSError, BlockdevError):
        found = raw_content.foreign(path, status)
        return found.format if found else None
    return None
