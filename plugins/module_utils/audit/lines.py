# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has, as a report shows it: its domains, a line for each disk, its file systems
and volume groups."""

from __future__ import annotations

from collections import defaultdict
from typing import Dict, Iterable, Iterator, List, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.audit.codes import LEFT
from ansible_collections.xen.blockdev.plugins.module_utils.audit.index import (
    HostIndex,
    is_lost,
    is_served,
)
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import (
    ERROR,
    NOTE,
    WARNING,
    AuditedHost,
    AuditFinding,
    BindingLayer,
    DiskLine,
    DomainLine,
    FileSystemBar,
    FindingCounts,
    FindingPlace,
    GuestLayer,
    HostTotals,
    SlotLayer,
    StorageLayer,
    VolumeStoreBar,
)
from ansible_collections.xen.blockdev.plugins.module_utils.audit.space import HostStores
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.promises import DiskStore
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    DiskInGuest,
    DiskStorage,
    MountedFileSystem,
    SurveyedDisk,
    SurveyedDomain,
    ThinPool,
)


class FindingsByPlace:
    """The ids of the findings about each thing, the accepted ones too."""

    def __init__(self, findings: Iterable[AuditFinding]) -> None:
        self._by_place: Dict[Tuple[Optional[str], ...], List[str]] = defaultdict(list)
        for one in findings:
            places = (one.place, *one.others)
            for key in dict.fromkeys(key for place in places for key in _keys(place)):
                self._by_place[key].append(one.id)

    def of_domain(self, host: str, domain: str) -> Tuple[str, ...]:
        """Those of a domain and its disks."""
        return tuple(self._by_place.get((host, domain), ()))

    def of_slot(self, place: FindingPlace) -> Tuple[str, ...]:
        """Those of a disk at this place, whatever its path."""
        return tuple(self._by_place.get((place.host, place.domain, place.slot), ()))

    def of_path(self, host: str, path: str) -> Tuple[str, ...]:
        """Those of a path that is of no domain."""
        return tuple(self._by_place.get((host, None, None, path), ()))


def _keys(place: FindingPlace) -> Iterator[Tuple[Optional[str], ...]]:
    if place.domain is None:
        yield place.host, None, None, place.path
        return
    yield place.host, place.domain
    yield place.host, place.domain, place.slot


def shown_host(
    host: HostIndex,
    stores: HostStores,
    findings: FindingsByPlace,
    left_over: int,
) -> AuditedHost:
    """A host that was read. ``left_over``: bytes of what belongs to no domain."""
    survey = host.survey
    disks = tuple(_line(host, disk, findings) for disk in survey.disks)
    return AuditedHost(
        name=host.name,
        status="read",
        host=survey.host,
        time=survey.time,
        is_xen=survey.is_xen,
        totals=HostTotals(
            domains=len(survey.domains),
            running=sum(bool(one.domids) for one in survey.domains),
            disks=len(disks),
            attached=sum(one.guest is not None for one in disks),
            size=sum(storage.size or 0 for storage, _uses in host.used()),
            left_over=left_over,
        ),
        domains=tuple(_domain(host, one, findings) for one in survey.domains),
        disks=disks,
        file_systems=tuple(_bar(host, one, store, findings) for one, store in stores.file_systems),
        volume_stores=tuple(_volume_stores(host, stores, findings)),
    )


def counted(findings: Iterable[AuditFinding], accepted: Iterable[AuditFinding]) -> FindingCounts:
    """How many of these there are."""
    by_severity = {ERROR: 0, WARNING: 0, NOTE: 0}
    for one in findings:
        by_severity[one.severity] += 1
    return FindingCounts(**by_severity, accepted=sum(1 for _one in accepted))


def bytes_left_over(findings: Iterable[AuditFinding]) -> int:
    """Of all that belongs to no domain."""
    return sum(one.bytes or 0 for one in findings if one.group == LEFT)


def total(hosts: Iterable[AuditedHost]) -> HostTotals:
    """The numbers of all hosts."""
    found = [one.totals for one in hosts]
    names = vars(HostTotals())
    return HostTotals(**{name: sum(getattr(one, name) for one in found) for name in names})


# ---- domains ----


def _domain(host: HostIndex, domain: SurveyedDomain, findings: FindingsByPlace) -> DomainLine:
    guest = host.guests.get(domain.domids[0]) if domain.domids else None
    configured = [host.configs[one].guest for one in domain.configs if one in host.configs]
    kind = guest.type if guest else next((one.type for one in configured if one), None)
    state = "running" if domain.domids else "saved" if domain.saves else "off"
    return DomainLine(
        name=domain.name,
        state=(guest.status if guest else None) or state,
        domid=domain.domids[0] if domain.domids else None,
        type=kind,
        configs=domain.configs,
        autostart=domain.autostart,
        findings=findings.of_domain(host.name, domain.name),
    )


# ---- disks ----


def _line(host: HostIndex, disk: SurveyedDisk, findings: FindingsByPlace) -> DiskLine:
    vbd = next(iter(disk.attached), None)
    storage = host.storage(_name_of_data(disk))
    return DiskLine(
        domain=disk.domain,
        slot=disk.vdev,
        xenstore_key=disk.xenstore_key,
        storage=_storage(storage) if storage else None,
        binding=_binding(host, storage, vbd) if storage else None,
        configured=_slot(disk),
        guest=_guest(vbd) if vbd else None,
        is_saved=bool(disk.saved),
        findings=findings.of_slot(host.at_disk(disk, None)),
    )


def _name_of_data(disk: SurveyedDisk) -> Optional[str]:
    """The name of what the running guest has there, or else of what it will have."""
    names = [
        *(name for one in disk.attached for name in (one.medium_storage, one.storage)),
        *(one.storage for one in disk.saved),
        *(one.storage for one in disk.configured),
    ]
    return next((name for name in names if name is not None), None)


def _storage(storage: DiskStorage) -> StorageLayer:
    file = storage.file
    return StorageLayer(
        name=storage.name,
        kind=storage.kind,
        size=storage.size,
        allocated=file.allocated if file else None,
        file_system=file.file_system if file else None,
        is_lost=is_lost(storage),
    )


def _binding(
    host: HostIndex, storage: DiskStorage, vbd: Optional[DiskInGuest]
) -> Optional[BindingLayer]:
    """The loop device of the guest, or else one of the image; or the block device itself."""
    name = (vbd.loop_device if vbd else None) or next(iter(storage.loop_devices), None)
    loop = host.loop_devices.get(name or "")
    if loop:
        is_bound_at_boot = host.is_bound_at_boot(storage.name)
        return BindingLayer("loop", loop.device, loop.device, loop.size, None, is_bound_at_boot)
    device = storage.device
    if device is None:
        return None
    if device.volume:
        shown = f"{device.volume.group}/{device.volume.volume}"
        return BindingLayer("volume", device.path, shown, storage.size, device.volume.pool)
    return BindingLayer("device", device.path, device.mapper_name or device.path, storage.size)


def _slot(disk: SurveyedDisk) -> Optional[SlotLayer]:
    if not disk.configured:
        return None
    first = disk.configured[0]
    return SlotLayer(
        configs=tuple(one.config for one in disk.configured),
        target=first.target,
        format=first.format,
        access=first.access,
        devtype=first.devtype,
    )


def _guest(vbd: DiskInGuest) -> GuestLayer:
    return GuestLayer(
        domid=vbd.domid,
        access=vbd.access,
        size=vbd.size,
        is_connected=vbd.flaw is None and is_served(vbd),
        backend_state=vbd.backend_state,
        frontend_state=vbd.frontend_state,
        medium=vbd.medium,
        flaw=vbd.flaw,
    )


# ---- what disks take their space from ----


def _bar(
    host: HostIndex, one: MountedFileSystem, store: DiskStore, findings: FindingsByPlace
) -> FileSystemBar:
    return FileSystemBar(
        mount_point=one.mount_point,
        type=one.type,
        source=one.source,
        size=one.size,
        free=one.free,
        available=one.available,
        images=len(store.disks),
        taken=store.taken,
        promised=store.promised,
        is_network=one.is_network,
        findings=findings.of_path(host.name, one.mount_point),
    )


def _volume_stores(
    host: HostIndex, stores: HostStores, findings: FindingsByPlace
) -> Iterator[VolumeStoreBar]:
    for group, store in stores.groups:
        pools = [
            _volume_bar("pool", group.name, one, findings.of_path(host.name, pool.path), pool)
            for its, pool, one in stores.pools
            if its is group
        ]
        about_pools = tuple(found for pool in pools for found in pool.findings)
        yield _volume_bar("group", group.name, store, about_pools)
        yield from pools


def _volume_bar(
    kind: str,
    group: str,
    store: DiskStore,
    findings: Tuple[str, ...],
    pool: Optional[ThinPool] = None,
) -> VolumeStoreBar:
    return VolumeStoreBar(
        kind=kind,
        name=store.name,
        group=group,
        size=store.size,
        free=store.free,
        disks=len(store.disks),
        taken=store.taken,
        promised=store.promised,
        metadata_percent=pool.metadata_percent if pool else None,
        findings=findings,
    )
