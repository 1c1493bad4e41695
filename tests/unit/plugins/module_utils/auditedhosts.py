# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts for the audit to judge: what xen_disks_info would say of them.

A host is put together of images, devices, configs, running guests and save files. Everything is as
it should be unless a test says otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.audit.hosts import HostState
from ansible_collections.xen.blockdev.plugins.module_utils.audit.judge import judged
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import (
    AuditFinding,
    AuditReport,
)
from ansible_collections.xen.blockdev.plugins.module_utils.config.guest import Guest
from ansible_collections.xen.blockdev.plugins.module_utils.disk.device_number import parse
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    VERSION,
    AutostartEntry,
    BootUnitFile,
    DataIdentity,
    DiskInConfig,
    DiskInGuest,
    DiskInSave,
    DiskStorage,
    FoundConfig,
    ImageFile,
    Leftovers,
    LoopDevice,
    MountedFileSystem,
    RunningGuest,
    SaveFile,
    StorageDevice,
    Survey,
    SurveyedDisk,
    SurveyedDomain,
    VolumeGroup,
)

MiB = 2**20
GiB = 2**30
NOW = 1796067600.0
LINK_DIR = "/dev/disk/by-loop-file"
PVH = Guest("pvh")

Slot = Tuple[str, str]
"""A domain and a vdev."""


class AuditedXen:
    """A host while it is put together."""

    def __init__(self, name: str = "xen1", **survey: Any) -> None:
        """``survey``: more fields of the survey."""
        self.name = name
        self.more = survey
        self.storages: Dict[str, DiskStorage] = {}
        self.loops: List[LoopDevice] = []
        self.units: List[BootUnitFile] = []
        self.file_systems = [MountedFileSystem("/srv", "ext4", "/dev/sda1", "8:1")]
        self.volume_groups: List[VolumeGroup] = []
        self.configs: Dict[str, FoundConfig] = {}
        self.entries: List[AutostartEntry] = []
        self.guests: List[RunningGuest] = []
        self.saves: List[SaveFile] = []
        self.disks: Dict[Slot, SurveyedDisk] = {}

    # ---- storage ----

    def image(
        self,
        path: str,
        size: int = MiB,
        *,
        identities: Sequence[Tuple[str, str]] = (),
        name: Optional[str] = None,
        storage: Optional[Dict[str, Any]] = None,
        **file: Any,
    ) -> str:
        """An image that nothing is wrong with. ``storage``, ``file``: other fields of it."""
        known: Dict[str, Any] = {
            "file_system": "/srv",
            "inode": len(self.storages) + 100,
            "links": 1,
            "size": size,
            "allocated": size,
            "modified": NOW - 1000,
            "mode": "0600",
            "read_by_others": False,
        }
        image = ImageFile(path, **{**known, **file})
        own = [("file", f"8:1:{image.inode}"), *identities]
        name = name or path
        self.storages[name] = DiskStorage(
            name,
            "file",
            size=size,
            file=image,
            identities=tuple(DataIdentity(*one) for one in own),
            **(storage or {}),
        )
        return name

    def device(
        self,
        name: str,
        size: int = GiB,
        *,
        identities: Sequence[Tuple[str, str]] = (),
        below: Sequence[Tuple[str, str]] = (),
        device: Optional[Dict[str, Any]] = None,
        **storage: Any,
    ) -> str:
        """A block device."""
        number = f"253:{len(self.storages)}"
        path = f"/dev/dm-{len(self.storages)}"
        self.storages[name] = DiskStorage(
            name,
            "device",
            size=size,
            device=StorageDevice(path, number, **(device or {})),
            identities=tuple(DataIdentity(*one) for one in (("device", number), *identities)),
            below=tuple(DataIdentity(*one) for one in below),
            **storage,
        )
        return name

    def bind(self, name: str, *, unit: bool = True, enabled: bool = True, **loop: Any) -> str:
        """Bind an image to a loop device, and at boot if ``unit``."""
        storage = self.storages[name]
        number = len(self.loops)
        path = storage.file.path if storage.file else name
        known: Dict[str, Any] = {
            "device": f"/dev/loop{number}",
            "backing_file": path,
            "deleted": False,
            "link": LINK_DIR + path,
            "major": 7,
            "minor": number,
            "size": storage.size,
            "offset": 0,
            "size_limit": 0,
            "sector_size": 512,
            "direct_io": False,
            "read_only": False,
            "persistent": unit,
            "autoclear": False,
            "marked": True,
            "storage": name,
        }
        self.loops.append(LoopDevice(**{**known, **loop}))
        device = self.loops[-1].device
        self.storages[name] = replace(storage, loop_devices=(*storage.loop_devices, device))
        if unit:
            unit_name = f"xen-loopdev-{len(self.units)}.service"
            self.units.append(BootUnitFile(unit_name, enabled, path, True, name))
        return LINK_DIR + path

    # ---- domains ----

    def _disk(self, domain: str, vdev: str) -> SurveyedDisk:
        key = (domain, vdev)
        if key not in self.disks:
            self.disks[key] = SurveyedDisk(domain, parse(vdev).xenstore_key, vdev)
        return self.disks[key]

    def config(
        self,
        domain: str,
        disks: Sequence[Tuple[str, Optional[str]]] = (),
        *,
        autostart: bool = False,
        path: Optional[str] = None,
        guest: Optional[Guest] = PVH,
        **config: Any,
    ) -> None:
        """A config with these disks: vdev and storage of each."""
        path = path or f"/etc/xen/{domain}.cfg"
        self.configs[path] = FoundConfig(path, path, domain, guest=guest, **config)
        if autostart:
            entry = f"/etc/xen/auto/{domain}.cfg"
            self.entries.append(AutostartEntry(entry, path, True, True, True, path))
        for position, (vdev, storage) in enumerate(disks):
            self.configured(domain, vdev, storage, config=path, position=position)

    def configured(self, domain: str, vdev: str, storage: Optional[str], **disk: Any) -> None:
        """A disk in a config of the domain."""
        old = self._disk(domain, vdev)
        known: Dict[str, Any] = {
            "config": f"/etc/xen/{domain}.cfg",
            "position": len(old.configured),
            "text": f"{storage},raw,{vdev}",
            "target": self._target(storage) if storage else None,
            "target_form": "link" if storage and self._is_bound(storage) else "path",
            "format": "raw" if storage else "empty",
            "access": "rw",
            "devtype": "disk",
            "storage": storage,
        }
        one = DiskInConfig(**{**known, **disk})
        said = {
            "target": one.target,
            "vdev": vdev,
            "access": one.access,
            "devtype": one.devtype,
        }
        if "said" not in disk:
            one = replace(one, said={key: value for key, value in said.items() if value})
        self.disks[domain, vdev] = replace(old, configured=(*old.configured, one))

    def _is_bound(self, storage: str) -> bool:
        return storage in self.storages and bool(self.storages[storage].loop_devices)

    def _target(self, storage: str) -> str:
        known = self.storages.get(storage)
        path = known.file.path if known and known.file else storage
        return LINK_DIR + path if self._is_bound(storage) else path

    def run(self, domain: str, disks: Sequence[Tuple[str, str]] = (), **guest: Any) -> None:
        """Start a domain with these disks."""
        known: Dict[str, Any] = {
            "domid": len(self.guests) + 1,
            "name": domain,
            "type": "pvh",
            "status": "running",
        }
        self.guests.append(RunningGuest(**{**known, **guest}))
        for vdev, storage in disks:
            self.attach(domain, vdev, storage)

    def attach(self, domain: str, vdev: str, storage: Optional[str], **vbd: Any) -> None:
        """A disk of a running domain."""
        old = self._disk(domain, vdev)
        domid = next((one.domid for one in self.guests if one.name == domain), 99)
        known_storage = self.storages.get(storage or "")
        loops = known_storage.loop_devices if known_storage else ()
        known: Dict[str, Any] = {
            "domain": domain,
            "domid": domid,
            "xenstore_key": parse(vdev).xenstore_key,
            "vdev": vdev,
            "devtype": "disk",
            "target": self._target(storage) if storage else "",
            "backing_file": None,
            "physical_device": None,
            "format": "raw",
            "backendtype": "phy",
            "access": "rw",
            "backend_state": 4,
            "frontend_state": 4,
            "hotplug_error": None,
            "sectors": None,
            "sector_size": 512,
            "size": known_storage.size if known_storage else None,
            "is_served": True,
            "loop_device": loops[0] if loops else None,
            "storage": storage,
        }
        one = DiskInGuest(**{**known, **vbd})
        self.disks[domain, vdev] = replace(old, attached=(*old.attached, one))

    def save(self, domain: str, disks: Sequence[Tuple[str, Optional[str]]], **disk: Any) -> None:
        """Save a domain with these disks."""
        path = f"/var/lib/xen/save/{domain}"
        self.saves.append(SaveFile(path, domain, NOW))
        for vdev, storage in disks:
            old = self._disk(domain, vdev)
            one = DiskInSave(
                **{
                    "save": path,
                    "vdev": vdev,
                    "target": self._target(storage) if storage else "/dev/gone",
                    "format": "raw",
                    "access": "rw",
                    "storage": storage,
                    **disk,
                }
            )
            self.disks[domain, vdev] = replace(old, saved=(*old.saved, one))

    # ---- the whole ----

    def _domains(self) -> Tuple[SurveyedDomain, ...]:
        started = {one.config for one in self.entries if one.exists and one.is_started}
        names = dict.fromkeys(
            [
                *(one.domain for one in self.configs.values() if one.domain),
                *(one.name for one in self.guests if not one.is_left),
                *(one.domain for one in self.saves),
            ]
        )
        return tuple(
            SurveyedDomain(
                name,
                configs=(
                    paths := tuple(p for p, one in self.configs.items() if one.domain == name)
                ),
                domids=tuple(one.domid for one in self.guests if one.name == name),
                saves=tuple(one.path for one in self.saves if one.domain == name),
                autostart=any(path in started for path in paths),
            )
            for name in names
        )

    def survey(self) -> Survey:
        """What xen_disks_info says of it."""
        known: Dict[str, Any] = {
            "version": VERSION,
            "host": f"{self.name}.example.com",
            "time": NOW,
            "is_xen": True,
            "config_dirs": ("/etc/xen",),
            "images_dirs": ("/srv/xen",),
            "autostart_dir": "/etc/xen/auto",
            "domains": self._domains(),
            "configs": tuple(self.configs.values()),
            "autostart": tuple(self.entries),
            "guests": tuple(self.guests),
            "saves": tuple(self.saves),
            "disks": tuple(self.disks.values()),
            "storages": tuple(self.storages.values()),
            "file_systems": tuple(self.file_systems),
            "volume_groups": tuple(self.volume_groups),
            "loop_devices": tuple(self.loops),
            "boot_units": tuple(self.units),
            "leftovers": Leftovers(),
        }
        return Survey(**{**known, **self.more})

    def state(self, **state: Any) -> HostState:
        """As the audit gets it."""
        return HostState(self.name, "read", self.survey(), **state)


def report_on(*hosts: AuditedXen, **state: Any) -> AuditReport:
    """The report on these hosts. ``state``: more of the state of each."""
    return judged([one.state(**state) for one in hosts], NOW, "error")


def found_on(*hosts: AuditedXen, **state: Any) -> List[AuditFinding]:
    """The findings about these hosts."""
    return list(report_on(*hosts, **state).findings)


def codes(*hosts: AuditedXen, **state: Any) -> List[str]:
    """The codes of these findings."""
    return [one.code for one in found_on(*hosts, **state)]


def the_finding(code: str, *hosts: AuditedXen, **state: Any) -> AuditFinding:
    """The only finding about these hosts, which must have this code."""
    found = found_on(*hosts, **state)
    assert [one.code for one in found] == [code], found
    return found[0]


def usual_host(name: str = "xen1") -> AuditedXen:
    """A host on which nothing is wrong: a domain that runs, one that does not."""
    host = AuditedXen(name)
    for domain in ("web", "db"):
        host.image(f"/srv/xen/{domain}/boot.raw")
        host.bind(f"/srv/xen/{domain}/boot.raw")
        host.config(domain, [("xvda", f"/srv/xen/{domain}/boot.raw")], autostart=domain == "web")
    host.run("web", [("xvda", "/srv/xen/web/boot.raw")])
    return host
