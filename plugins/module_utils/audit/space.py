# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What will stop: file systems and thin pools that have promised more than they have, and slots
without a disk."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Dict, Iterable, Iterator, List, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.audit.codes import finding
from ansible_collections.xen.blockdev.plugins.module_utils.audit.index import DataUse, HostIndex
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import AuditFinding
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.promises import (
    DiskStore,
    PromisedDisk,
    file_system_store,
    pool_store,
)
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    DiskInGuest,
    DiskStorage,
    MountedFileSystem,
    ThinPool,
    VolumeGroup,
)
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_about
from ansible_collections.xen.blockdev.plugins.module_utils.volume.report import METADATA_PERCENT

NEARLY_FULL = 20
"""A store is nearly full if less than one part of so many is free."""


@dataclass(frozen=True)
class HostStores:
    """What the disks of a host take their space from. Those of which nothing is known, such as a
    pool that is not active, are left out."""

    file_systems: Sequence[Tuple[MountedFileSystem, DiskStore]]
    groups: Sequence[Tuple[VolumeGroup, DiskStore]]
    """The disks of a group are the volumes that domains have, and its thin pools, each of which is
    promised what its volumes are."""
    pools: Sequence[Tuple[VolumeGroup, ThinPool, DiskStore]]
    """The disks of a pool are all of its volumes."""


def space_findings(host: HostIndex, stores: HostStores) -> Iterator[AuditFinding]:
    """All findings of this file. ``stores``: those of the host."""
    for _file_system, store in stores.file_systems:
        if store.excess:
            yield _overcommitted(host, store, "the images on it")
    for group, pool, store in stores.pools:
        if store.excess:
            free = f"{format_about(group.free)} are free in the volume group {group.name}"
            yield _overcommitted(
                host, replace(store, remedy=f"{store.remedy}; {free}"), "the volumes in it"
            )
        yield from _metadata(host, group, pool)
    for disk in host.survey.disks:
        for vbd in disk.attached:
            if vbd.flaw is not None:
                yield finding(
                    "occupied-slot",
                    host.at_disk(disk, vbd.storage or vbd.target),
                    _flaw(vbd),
                    "xen.blockdev.provision detaches what is left over from a failed attach; a "
                    "guest that does not release the disk needs --force, or a restart"
                    if disk.domain is not None
                    else "the domain is gone, so nothing needs what is left in xenstore; the next "
                    f"boot removes it, or xenstore-rm {_backend(vbd)}",
                )


def _flaw(vbd: DiskInGuest) -> str:
    error = vbd.hotplug_error
    return f"{vbd.flaw}: {error}" if error and error not in str(vbd.flaw) else str(vbd.flaw)


def _backend(vbd: DiskInGuest) -> str:
    """Its place in xenstore (libxl__device_backend_path)."""
    kind = "qdisk" if vbd.backendtype == "qdisk" else "vbd"
    return f"/local/domain/{vbd.backend_domid}/backend/{kind}/{vbd.domid}/{vbd.xenstore_key}"


def _overcommitted(host: HostIndex, store: DiskStore, by: str) -> AuditFinding:
    is_nearly_full = store.free * NEARLY_FULL < store.size
    left = store.promised - store.taken
    return finding(
        "nearly-full" if is_nearly_full else "overcommitted",
        host.at(path=store.name),
        f"{format_about(store.free)} of {format_about(store.size)} are free, and guests may still "
        f"take {format_about(left)} by {by}: {store.takers}",
        store.remedy,
        size=store.excess,
    )


def _metadata(host: HostIndex, group: VolumeGroup, pool: ThinPool) -> Iterator[AuditFinding]:
    percent = pool.metadata_percent
    if percent is not None and percent >= METADATA_PERCENT:
        name = pool.path.rpartition("/")[2]
        yield finding(
            "metadata-nearly-full",
            host.at(path=pool.path),
            f"the metadata of the pool is {percent:g} % full",
            f"lvextend --poolmetadatasize +1g {group.name}/{name}",
        )


# ---- what there is ----


def stores_of(host: HostIndex) -> HostStores:
    """All that the disks of a host take their space from."""
    groups = host.survey.volume_groups
    return HostStores(
        file_systems=_file_systems(host),
        groups=[(group, _group_store(host, group)) for group in groups],
        pools=[(group, *found) for group in groups for found in _pools(host, group)],
    )


def _file_systems(host: HostIndex) -> Sequence[Tuple[MountedFileSystem, DiskStore]]:
    """The file systems of a host with the images on them to which guests may write.

    An image of another format than raw counts only with what it takes: how large its guest sees it
    is not known. What is reserved for root counts as free: loop devices and QEMU write as root.
    """
    disks: Dict[str, List[PromisedDisk]] = defaultdict(list)
    for storage, uses in host.used():
        file = storage.file
        if file is None or file.file_system is None or file.size is None:
            continue
        written = [use for use in uses if use.may_write]
        if not written:
            continue
        taken = file.allocated or 0
        is_raw = any(use.format == "raw" and use.role is None for use in written)
        size = file.size if is_raw else taken
        disks[file.file_system].append(PromisedDisk(file.path, size, taken, _domains(written)))
    return [
        (one, file_system_store(one.mount_point, one.size, one.free, disks[one.mount_point]))
        for one in host.survey.file_systems
        if one.size and one.free is not None
    ]


def _group_store(host: HostIndex, group: VolumeGroup) -> DiskStore:
    """A group has given each volume its space already, and may have to give more to its pools."""
    volumes = [
        PromisedDisk(storage.name, storage.size or 0, storage.size or 0, _domains(uses))
        for storage, uses in host.used()
        if _is_thick_in(storage, group)
    ]
    pools = [
        PromisedDisk(pool.path, max(pool.size, sum(one.size for one in pool.volumes)), pool.size)
        for pool in group.pools
    ]
    return DiskStore(
        name=group.name,
        what=f"the volume group {group.name}",
        remedy="add a disk to the group (vgextend)",
        size=group.size,
        free=group.free,
        disks=[*volumes, *pools],
    )


def _is_thick_in(storage: DiskStorage, group: VolumeGroup) -> bool:
    volume = storage.device.volume if storage.device else None
    return volume is not None and volume.group == group.name and volume.pool is None


def _pools(host: HostIndex, group: VolumeGroup) -> Iterator[Tuple[ThinPool, DiskStore]]:
    """The thin pools of a group, each with all volumes in it."""
    for pool in group.pools:
        if pool.used is None:
            continue
        disks = [
            PromisedDisk(one.path, one.size, one.taken or 0, _domains(host.uses.get(one.path, ())))
            for one in pool.volumes
        ]
        yield pool, pool_store(pool.path, pool.size, pool.used, disks)


def _domains(uses: Iterable[DataUse]) -> Tuple[str, ...]:
    return tuple(dict.fromkeys(use.domain for use in uses))
