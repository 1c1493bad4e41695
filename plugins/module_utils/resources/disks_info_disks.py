# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks of a host's domains, for xen_disks_info: what configs, running guests and save files
have in the same slot of the same domain is put together."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Dict, Iterable, List, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.disk.device_number import (
    DeviceNumberError,
    parse,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk.listed import ListedDisk
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.resources import vbd_info
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info_configs import (
    ReadConfig,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info_gaps import Gaps
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info_guests import (
    GuestReader,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info_storages import (
    StorageTable,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import config_disks
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.media import OpenMedia
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    DiskInConfig,
    DiskInGuest,
    DiskInSave,
    FoundConfig,
    RunningGuest,
    SurveyedDisk,
    SurveyedDomain,
)
from ansible_collections.xen.blockdev.plugins.module_utils.xen.saved_domains import (
    SavedDisk,
    SavedDomain,
)
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Vbd

Led = Tuple[Optional[str], Optional[str]]
"""The name of the storage to which a target leads, and why it leads nowhere."""

SlotKey = Tuple[Optional[str], Optional[int], str]
"""A domain's name, the number of the slot, and what tells slots without a number apart."""


@dataclass
class _Parts:
    """What is in one slot."""

    configured: List[DiskInConfig] = field(default_factory=list)
    attached: List[DiskInGuest] = field(default_factory=list)
    saved: List[DiskInSave] = field(default_factory=list)
    vdevs: List[str] = field(default_factory=list)
    """How the slot is written; that of a running guest first."""


class DiskTable:
    """Collects the disks of a host."""

    def __init__(
        self, usage: Usage, storages: StorageTable, guests: GuestReader, gaps: Gaps
    ) -> None:
        self._usage = usage
        self._storages = storages
        self._guests = guests
        self._gaps = gaps
        self._slots: Dict[SlotKey, _Parts] = defaultdict(_Parts)
        self._lead = lru_cache(maxsize=None)(self._find)

    def all(self) -> Tuple[SurveyedDisk, ...]:
        """All disks, by domain and slot."""
        slots = sorted(self._slots.items(), key=lambda one: _rank(one[0]))
        return tuple(
            SurveyedDisk(
                domain=domain,
                xenstore_key=key,
                vdev=next(iter(parts.vdevs), None),
                configured=tuple(parts.configured),
                attached=tuple(parts.attached),
                saved=tuple(parts.saved),
            )
            for (domain, key, _text), parts in slots
        )

    # ---- in configs ----

    def add_configured(self, configs: Iterable[ReadConfig]) -> None:
        """Add the disks of configs."""
        for config in configs:
            for position, listed in enumerate(config.disks):
                self._add_configured(config.config, position, listed)

    def _add_configured(self, config: FoundConfig, position: int, listed: ListedDisk) -> None:
        spec = listed.spec
        if spec is None:
            # Nothing says in which slot it is.
            slot = (config.domain, None, f"{config.path}:{position}")
            self._slots[slot].configured.append(
                DiskInConfig(config.path, position, listed.text, problem=listed.problem)
            )
            return
        parts = self._slots[config.domain, spec.slot.xenstore_key, ""]
        meaning = spec.meaning
        storage, target_problem = self._led_by(spec)
        parts.vdevs.append(spec.vdev)
        parts.configured.append(
            DiskInConfig(
                config=config.path,
                position=position,
                text=listed.text,
                said=spec.as_dict(),
                target=spec.target,
                target_form=_form(spec),
                format=meaning.format,
                access=meaning.access,
                devtype=meaning.devtype,
                storage=storage,
                target_problem=target_problem,
            )
        )

    def _led_by(self, spec: DiskSpec) -> Led:
        if spec.target is None:
            return None, None
        try:
            others = config_disks.left_to_others(spec, spec.target, self._guests.domains)
        except XenError as error:
            return None, str(error)
        if others:
            return self._storages.add(others), None
        return self._lead(spec.target, spec.format)

    def _find(self, target: str, image_format: Optional[str]) -> Led:
        """What a target leads to. A link whose image is not bound leads nowhere, and means the
        image in its name."""
        try:
            return self._storages.add(self._usage.storages.of_path(target, image_format)), None
        except XenError as error:
            if not loop_link.is_link(target):
                return None, str(error)
            image, _problem = self._lead(loop_link.linked_image(target), image_format)
            return image, str(error)

    # ---- in running guests ----

    def add_attached(self) -> None:
        """Add the disks that running guests have."""
        media = vbd_info.DrivesOfGuests(
            self._guests.domains, lambda: self._usage.storages, self._note_silence
        )
        opened = OpenMedia(self._usage.storages)
        for vbd in self._guests.vbds:
            drive = media.describe(vbd)
            medium = drive["medium"]
            is_known = self._guests.is_known(vbd.domid)
            # Several domains that are gone may have left something in the same slot.
            slot = (vbd.domain, "") if is_known else (None, f"domain {vbd.domid}")
            parts = self._slots[slot[0], vbd.xenstore_key, slot[1]]
            parts.vdevs.insert(0, vbd.vdev)
            parts.attached.append(
                DiskInGuest(
                    **vbd_info.vbd_state(vbd),
                    **drive,
                    script=vbd.script,
                    discard=vbd.discard,
                    direct_io_safe=vbd.direct_io_safe,
                    specification=vbd.specification,
                    backend_domid=vbd.backend_domid,
                    online=vbd.online,
                    flaw=vbd.flaw,
                    is_served=self._is_served(vbd),
                    loop_device=self._loop_device(vbd),
                    storage=self._storage_of(vbd),
                    medium_storage=self._storages.add(opened.storage_of(medium, vbd.domid))
                    if medium
                    else None,
                )
            )

    def _note_silence(self, vbd: Vbd, error: XenError) -> None:
        self._gaps.note("qemu", vbd.domain, error)

    def _is_served(self, vbd: Vbd) -> Optional[bool]:
        if vbd.backendtype != "phy" or vbd.backend_domid != 0:
            return None
        return (vbd.domid, vbd.xenstore_key) in self._guests.served

    def _loop_device(self, vbd: Vbd) -> Optional[str]:
        if vbd.physical_device is None or vbd.backend_domid != 0:
            return None
        rdev = os.makedev(*vbd.physical_device)
        return next((one.device for one in self._usage.bindings if one.rdev == rdev), None)

    def _storage_of(self, vbd: Vbd) -> Optional[str]:
        if not vbd.target and not vbd.physical_device:
            return None  # An empty drive.
        return self._storages.add(self._usage.storages.of_vbd(vbd))

    # ---- in save files ----

    def add_saved(self, domains: Iterable[SavedDomain]) -> None:
        """Add the disks that saved domains will have."""
        for domain in domains:
            for disk in domain.disks:
                self._add_saved(disk)

    def _add_saved(self, disk: SavedDisk) -> None:
        try:
            slot: SlotKey = (disk.domain, parse(disk.vdev).xenstore_key, "")
        except DeviceNumberError:
            slot = (disk.domain, None, f"{disk.file}:{disk.vdev}")
        storage, target_problem = self._lead(disk.target, disk.format)
        parts = self._slots[slot]
        parts.vdevs.append(disk.vdev)
        parts.saved.append(
            DiskInSave(
                save=disk.file,
                vdev=disk.vdev,
                target=disk.target,
                format=disk.format,
                access="ro" if disk.read_only else "rw",
                storage=storage,
                target_problem=target_problem,
            )
        )


def _rank(slot: SlotKey) -> Tuple[bool, str, bool, int, str]:
    """Unknown domains and slots last."""
    domain, key, text = slot
    return domain is None, domain or "", key is None, key or 0, text


def _form(spec: DiskSpec) -> Optional[str]:
    target = spec.target
    if target is None:
        return None
    if loop_link.is_link(target):
        return "link"
    if loop_binding.number_of(target) is not None:
        return "loop"
    return "path" if os.path.isabs(target) else "other"


# ---- domains ----


def domains_of(
    configs: Iterable[FoundConfig],
    guests: Iterable[RunningGuest],
    saved: Iterable[SavedDomain],
    disks: Iterable[SurveyedDisk],
) -> Tuple[SurveyedDomain, ...]:
    """The domains, by name, of which one of these is a part."""
    paths: Dict[str, List[FoundConfig]] = defaultdict(list)
    domids: Dict[str, List[int]] = defaultdict(list)
    saves: Dict[str, List[str]] = defaultdict(list)
    for config in configs:
        if config.domain is not None:
            paths[config.domain].append(config)
    for guest in guests:
        if not guest.is_left:
            domids[guest.name].append(guest.domid)
    for domain in saved:
        saves[domain.name].append(domain.file)
    with_disks = {disk.domain for disk in disks if disk.domain is not None}
    return tuple(
        SurveyedDomain(
            name=name,
            configs=tuple(one.path for one in paths.get(name, ())),
            domids=tuple(domids.get(name, ())),
            saves=tuple(saves.get(name, ())),
            autostart=any(one.autostart for one in paths.get(name, ())),
        )
        for name in sorted({*paths, *domids, *saves, *with_disks})
    )
