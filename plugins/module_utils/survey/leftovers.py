# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to no domain, by the rest of a survey."""

from __future__ import annotations

from typing import Collection, Iterable, Iterator, Sequence, Set

from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    BootUnitFile,
    DataIdentity,
    DiskStorage,
    KernelVbd,
    Leftovers,
    LoopDevice,
    LoopLink,
    SurveyedDisk,
)


class LeftoverFinder:
    """Tells which storages no disk has."""

    def __init__(self, disks: Iterable[SurveyedDisk], storages: Sequence[DiskStorage]) -> None:
        self._storages = {one.name: one for one in storages}
        self._had = set(self._with_behind({name for disk in disks for name in disk.storages}))
        self._reached: Set[DataIdentity] = {
            identity
            for name in self._had
            for identity in (*self._storages[name].identities, *self._storages[name].below)
        }

    def find(
        self,
        images: Collection[str],
        loop_devices: Iterable[LoopDevice],
        boot_units: Iterable[BootUnitFile],
        links: Iterable[LoopLink],
        vbds: Iterable[KernelVbd],
    ) -> Leftovers:
        """Everything that is left over. ``images``: the names of the storages that are in
        directories for images. ``vbds``: see Leftovers."""
        left = [name for name, one in self._storages.items() if self._is_left(one)]
        return Leftovers(
            loop_devices=tuple(
                one.device for one in loop_devices if one.storage is None or one.storage in left
            ),
            images=tuple(name for name in left if name in images),
            volumes=tuple(name for name in left if _is_volume(self._storages[name])),
            boot_units=tuple(one.name for one in boot_units if not one.exists),
            links=tuple(one.path for one in links if one.device is None),
            vbds=tuple(vbds),
        )

    def _with_behind(self, names: Set[str]) -> Iterator[str]:
        """The storages with these names, and all that are opened with them."""
        for name in names:
            yield name
            # What is behind an image is complete: see Storage.behind in sharing/storage.py.
            yield from (one.storage for one in self._storages[name].behind)

    def _is_left(self, storage: DiskStorage) -> bool:
        """Whether no domain has the data, nor anything that is stored on it, and dom0 does not use
        it."""
        return (
            storage.name not in self._had
            and not storage.uses
            and self._reached.isdisjoint(storage.identities)
        )


def _is_volume(storage: DiskStorage) -> bool:
    return storage.device is not None and storage.device.volume is not None
