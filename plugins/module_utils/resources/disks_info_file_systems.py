# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file systems on which images lie, for xen_disks_info. Each is asked once."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import Dict, Iterator, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.host import block_device
from ansible_collections.xen.blockdev.plugins.module_utils.host.mounts import (
    MountEntry,
    is_network,
)
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    DataIdentity,
    MountedFileSystem,
)

BY_UUID = "/dev/disk/by-uuid"
"""udev's links to block devices by the UUIDs of the file systems on them."""


class FileSystems:
    """Finds the file systems of images. ``mounts``: those of this host, in their order."""

    def __init__(self, mounts: Sequence[MountEntry]) -> None:
        # What was mounted last on a directory covers what was there.
        self._mounts = {mount.point: mount for mount in mounts}
        self._found: Dict[int, _Asked] = {}
        self._mount = lru_cache(maxsize=None)(self._mount_above)

    def all(self) -> Tuple[MountedFileSystem, ...]:
        """Those on which images were found."""
        return tuple(asked.file_system for asked in self._found.values())

    def of(self, path: str) -> Optional[str]:
        """The mount point of the file system that has the file at ``path``, which has no symbolic
        links; None if it is not mounted here."""
        asked = self._asked(path)
        return asked.file_system.mount_point if asked else None

    def identities(self, path: str, inode: int) -> Iterator[DataIdentity]:
        """By what other hosts recognize the file at ``path``: see DataIdentity."""
        asked, mount = self._asked(path), self._mount_of(path)
        if asked is None or mount is None:
            return
        if asked.file_system.is_network:
            inside = os.path.join(mount.root, os.path.relpath(path, mount.point))
            served = f"{mount.source.rstrip('/')}/{inside.lstrip('/')}"
            yield DataIdentity("network_file", f"{served} inode {inode}")
        for unit in asked.units:
            yield DataIdentity("unit_file", f"{unit} inode {inode}")
        if asked.file_system.uuid:
            yield DataIdentity("uuid_file", f"{asked.file_system.uuid} inode {inode}")

    def _asked(self, path: str) -> Optional[_Asked]:
        mount = self._mount_of(path)
        if mount is None:
            return None
        if mount.device not in self._found:
            self._found[mount.device] = self._ask(mount)
        return self._found[mount.device]

    def _mount_of(self, path: str) -> Optional[MountEntry]:
        return self._mounts.get(path) or self._mount(os.path.dirname(path))

    def _mount_above(self, directory: str) -> Optional[MountEntry]:
        """The mount that a directory belongs to."""
        if directory in self._mounts or directory in ("", "/"):
            return self._mounts.get(directory)
        return self._mount(os.path.dirname(directory))

    def _ask(self, mount: MountEntry) -> _Asked:
        rdev = mount.source_rdev
        space = _space(mount.point)
        return _Asked(
            MountedFileSystem(
                mount_point=mount.point,
                type=mount.type,
                source=mount.source,
                number=f"{os.major(mount.device)}:{os.minor(mount.device)}",
                uuid=None if rdev is None else self._uuids.get(rdev),
                is_network=is_network(mount.type),
                read_only="ro" in mount.options,
                **space,
            ),
            [] if rdev is None else sorted(_units(rdev)),
        )

    @cached_property
    def _uuids(self) -> Dict[int, str]:
        """By device number."""
        uuids = {}
        for uuid in block_device.entries(BY_UUID):
            with suppress(OSError):
                uuids[os.stat(f"{BY_UUID}/{uuid}").st_rdev] = uuid
        return uuids


class _Asked(NamedTuple):
    """A file system, and the names by which its device is known on every host."""

    file_system: MountedFileSystem
    units: Sequence[str]


def _space(point: str) -> Dict[str, int]:
    """Sizes in bytes; none if the file system does not answer."""
    with suppress(OSError):
        found = os.statvfs(point)
        return {
            "size": found.f_blocks * found.f_frsize,
            "free": found.f_bfree * found.f_frsize,
            "available": found.f_bavail * found.f_frsize,
        }
    return {}


def _units(rdev: int) -> Iterator[str]:
    yield from block_device.units(rdev)
    mapper = block_device.mapper(rdev)
    if mapper and mapper.uuid.startswith("LVM-"):
        yield mapper.uuid
