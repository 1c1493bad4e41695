# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The domains of this Xen host and their disks, from xenstore.

A guest can write the nodes of its own frontends. No path and no backend is taken from there: disks
are read from ``/libxl`` and from the backends in dom0, names and UUIDs from nodes to which libxl
gives the guest no write access (libxl_create.c).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host import dom0, programs
from ansible_collections.xen.blockdev.plugins.module_utils.xen import xenstore
from ansible_collections.xen.blockdev.plugins.module_utils.xen.xenstore import Connection, Store

STATES = {
    0: "Unknown",
    1: "Initialising",
    2: "InitWait",
    3: "Initialised",
    4: "Connected",
    5: "Closing",
    6: "Closed",
    7: "Reconfiguring",
    8: "Reconfigured",
}
"""The states of a frontend or backend: enum xenbus_state in Xen's public/io/xenbus.h."""
INITIALISING = 1
INIT_WAIT = 2
INITIALISED = 3
CONNECTED = 4

BACKENDS = "/local/domain/0/backend"
BACKEND_KINDS = {"vbd": ("vbd", "qdisk", "vbd3"), "virtio_disk": ("virtio_disk",)}
"""The kinds of devices that are disks, each with the directories of its backends below the domain
that serves it: of the kernel's blkback, QEMU, blktap (Xen 4.20), and a program for virtio
(libxl_types_internal.idl). What is in no directory of these or OTHER_KINDS may be a disk too."""

OTHER_KINDS = (
    *("9pfs", "argo", "console", "pci", "pvcalls", "qnic", "qusb", "vdispl", "vfb", "vif"),
    *("vinput", "virtio", "vkbd", "vsnd", "vtpm", "vtpm2", "vuart", "vusb", "xen_9pfs"),
)
"""Devices that are no disks: Xen's public/io and libxl_types_internal.idl."""

_DISK_NODES = (
    "params",
    "type",
    "mode",
    "dev",
    "device-type",
    "script",
    "discard-enable",
    "direct-io-safe",
    "specification",
)
"""The nodes that describe a disk, in its backend and in libxl's copy of that."""

_BACKEND_NODES = (
    *_DISK_NODES,
    "physical-device",
    "state",
    "online",
    "sectors",
    "sector-size",
    "hotplug-status",
    "hotplug-error",
)
"""The nodes of a backend that are read."""

_BACKEND = re.compile(r"/local/domain/(?P<domid>[0-9]{1,5})/backend/.*")
_SLOT = re.compile(
    rf"/libxl/(?P<domid>[0-9]{{1,10}})/device/(?P<kind>[^/]+)/(?P<key>[0-9]{{1,10}})|"
    rf"{BACKENDS}/(?P<served_by>[^/]+)/(?P<served>[0-9]{{1,10}})/(?P<served_key>[0-9]{{1,10}})"
)
"""Where a slot is: in libxl's copy of the devices, and below the backends of dom0."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NUMBER = re.compile(r"-?[0-9]{1,20}")
# Hexadecimal; Linux has 12 bits for the major number and 20 for the minor.
_MAJOR_MINOR = re.compile(r"([0-9a-f]{1,3}):([0-9a-f]{1,5})")
# For a disk that QEMU serves, libxl writes the format before the target.
_QDISK_PARAMS = re.compile(r"(?P<format>aio|qcow2?|vhd|qed|):(?P<target>.*)", re.DOTALL)


Children = Callable[[Sequence[str]], List[List[str]]]
"""Gives the names of the nodes directly below each path."""


@dataclass(frozen=True)
class Domain:
    """A running or paused domain of this host; dom0 is one of them."""

    domid: int
    name: str
    uuid: str
    """In lower case; empty for dom0."""
    type: Optional[str] = None
    """``hvm``, ``pv`` or ``pvh``; None for dom0."""

    @property
    def is_hvm(self) -> bool:
        """Whether QEMU emulates hardware for it, such as drives."""
        return self.type == "hvm"


@dataclass(frozen=True)
class Vbd:
    """A disk of a running domain: one frontend and its backend.

    Values other than its names may be missing while it is being attached or detached.
    """

    domid: int
    domain: str
    """The domain's name."""
    xenstore_key: int
    vdev: str
    """The slot as it was written when the disk was attached: ``xvda``, ``51768``."""
    target: str
    """The target that xl attached; a path unless there is a hotplug script."""
    access: str
    """``ro`` or ``rw``."""
    format: Optional[str] = "raw"
    """None if the backend's parameters do not name it."""
    backendtype: Optional[str] = None
    """``phy``, ``qdisk``, ``tap`` or ``standalone``."""
    devtype: Optional[str] = "disk"
    script: Optional[str] = None
    """The absolute path of the hotplug script; None if there is none."""
    discard: Optional[bool] = None
    direct_io_safe: bool = False
    specification: Optional[str] = None
    """The protocol, ``xen`` or ``virtio``; None with xl before Xen 4.17, which has only one."""
    backend_domid: int = 0
    """The domain that serves the disk. Devices and paths of this host are those of dom0 only."""
    physical_device: Optional[Tuple[int, int]] = None
    """Major and minor number of the block device that blkback reads."""
    backend_state: Optional[int] = None
    frontend_state: Optional[int] = None
    """One of STATES, if the guest writes what it should."""
    online: bool = True
    """False once the guest was asked to release the disk."""
    sectors: Optional[int] = None
    """The size in units of 512 bytes, independent of ``sector_size`` (Xen's public/io/blkif.h)."""
    sector_size: Optional[int] = None
    """In bytes."""
    hotplug_status: Optional[str] = None
    hotplug_error: Optional[str] = None
    """The error of the hotplug script, in one line."""

    @property
    def is_cd(self) -> bool:
        """Whether it is a CD drive, which is empty without a target."""
        return self.devtype == "cdrom"

    @property
    def states(self) -> str:
        """The states of both ends, for a message."""
        backend, frontend = map(_state_name, (self.backend_state, self.frontend_state))
        return f"backend {backend}, frontend {frontend}"

    @property
    def flaw(self) -> Optional[str]:
        """Why this disk cannot be used but occupies its slot; None if it is in order."""
        if not self.online:
            return "is being detached, but its guest has not released it"
        if self.hotplug_status in ("busy", "error"):
            return f"is left over from a failed attach ({self.hotplug_error})"
        return "is not attached yet: its hotplug script has not ended" if self.is_coming else None

    @property
    def is_coming(self) -> bool:
        """Whether its hotplug script is still running, e.g. because another program attaches it."""
        return (
            self.online
            and self.hotplug_status not in ("busy", "error")
            and self.backendtype == "phy"
            and self.backend_domid == 0
            and not self.physical_device
        )


class _StoredSlot(NamedTuple):
    """The place of a disk in xenstore."""

    domid: int
    key: int
    kind: str = "vbd"
    """Of BACKEND_KINDS, or that of a device which is not known."""

    @property
    def entry(self) -> str:
        """The directory of libxl's copy."""
        return f"/libxl/{self.domid}/device/{self.kind}/{self.key}"

    @property
    def frontend(self) -> str:
        """The directory that the guest can write."""
        return f"/local/domain/{self.domid}/device/{self.kind}/{self.key}"

    @property
    def backends(self) -> List[str]:
        """The directories that its backend may have in dom0."""
        kinds = BACKEND_KINDS.get(self.kind, (self.kind,))
        return [f"{BACKENDS}/{kind}/{self.domid}/{self.key}" for kind in kinds]


def read_store() -> Store:
    """The part of xenstore about domains and their disks.

    It is read in several steps, so a change in between may be seen in part. Raises XenError if
    xenstored does not answer.
    """
    with xenstore.connected() as connection:
        return Store(_domain_values(connection))


def _domain_values(connection: Connection) -> Dict[str, str]:
    """The values of all nodes that are needed, by path."""
    (running,) = connection.children(["/local/domain"])
    nodes = [f"/local/domain/{domid}/{node}" for domid in running for node in ("name", "vm")]
    nodes += [f"/libxl/{domid}/type" for domid in running]
    return {**_values(connection, nodes), **_slot_values(connection, _slots(connection.children))}


def _slots(children: Children) -> List[_StoredSlot]:
    """The slot of every disk, including those that have lost their entry in /libxl, by domain and
    number. ``children``: gives the names of the nodes below each of some paths."""
    copied, kinds = children(["/libxl", BACKENDS])
    parents = [f"/libxl/{domid}/device" for domid in copied]
    parents += [f"{BACKENDS}/{kind}" for kind in kinds if kind not in OTHER_KINDS]
    directories = _below(children, parents)
    found = (_SLOT.fullmatch(path) for path in _below(children, directories))
    return sorted({_stored_slot(match) for match in found if match})


def _below(children: Children, parents: Sequence[str]) -> List[str]:
    """The paths of the nodes directly below some, but not of devices that are no disks."""
    return [
        f"{parent}/{name}"
        for parent, names in zip(parents, children(parents))
        for name in names
        if name not in OTHER_KINDS
    ]


def _stored_slot(match: re.Match[str]) -> _StoredSlot:
    if match["kind"]:
        return _StoredSlot(int(match["domid"]), int(match["key"]), match["kind"])
    served_by = match["served_by"]
    kinds = (kind for kind, backends in BACKEND_KINDS.items() if served_by in backends)
    return _StoredSlot(int(match["served"]), int(match["served_key"]), next(kinds, served_by))


def _slot_values(connection: Connection, slots: Sequence[_StoredSlot]) -> Dict[str, str]:
    """The same for some slots.

    Each answer takes time, so other places are read only as needed: the possible backends if libxl
    does not name the backend, and libxl's copy of nodes that the backend does not have.
    """
    first = [f"{slot.entry}/backend" for slot in slots]
    values = _values(connection, [*first, *(f"{slot.frontend}/state" for slot in slots)])
    backends = {
        slot: [values[named]] if named in values else slot.backends
        for slot, named in zip(slots, first)
    }
    paths = sorted({path for among in backends.values() for path in among})
    values.update(
        _values(connection, [f"{path}/{node}" for path in paths for node in _BACKEND_NODES])
    )
    copies = [
        f"{slot.entry}/{node}"
        for slot, among in backends.items()
        for node in _DISK_NODES
        if not any(f"{path}/{node}" in values for path in among)
    ]
    return {**values, **_values(connection, copies)}


def _values(connection: Connection, paths: Sequence[str]) -> Dict[str, str]:
    found = zip(paths, connection.values(paths))
    return {path: value for path, value in found if value is not None}


def domains(store: Store) -> List[Domain]:
    """The running domains, by id."""
    found = []
    for directory in store.children("/local/domain"):
        domid = _number(directory)
        name = store.get(f"/local/domain/{directory}/name")
        if domid is not None and name:
            vm = store.get(f"/local/domain/{directory}/vm") or ""
            kind = store.get(f"/libxl/{directory}/type")
            found.append(Domain(domid, name, vm.rpartition("/")[2].lower(), kind))
    return sorted(found, key=lambda domain: domain.domid)


def find_domain(wanted: str, running: Sequence[Domain]) -> Optional[Domain]:
    """The running domain with the id, UUID or name ``wanted``; None if it is not running.

    Digits are an id, as for xl. Raises XenError if two domains have the name, as for a moment
    during a migration.
    """
    if wanted.isascii() and wanted.isdigit():
        matches = [domain for domain in running if str(domain.domid) == wanted]
    elif _UUID.fullmatch(wanted.lower()):
        matches = [domain for domain in running if domain.uuid == wanted.lower()]
    else:
        matches = [domain for domain in running if domain.name == wanted]
    if len(matches) > 1:
        ids = " or ".join(str(domain.domid) for domain in matches)
        raise XenError(f"two running domains are named {wanted}; use the id of one ({ids})")
    return matches[0] if matches else None


def vbds(store: Store) -> List[Vbd]:
    """The disks of all running domains, by domain and slot.

    Raises XenError for a device of a kind that is not known and does not say what it opens: it may
    be a disk.
    """
    found, errors = known_vbds(store)
    if errors:
        raise errors[0]
    return found


def known_vbds(store: Store) -> Tuple[List[Vbd], List[XenError]]:
    """The same disks, and the errors for which ``vbds`` raises the first one. Only for a report:
    what is not known may be the disk that matters."""
    names = {domain.domid: domain.name for domain in domains(store)}
    found, errors = [], []
    for slot in _slots(lambda paths: [store.children(path) for path in paths]):
        try:
            found.append(_vbd(store, names.get(slot.domid, str(slot.domid)), slot))
        except XenError as error:
            errors.append(error)
    return found, errors


def attached_devices() -> List[Vbd]:
    """The disks of all running domains; none if this is not a Xen host.

    Raises XenError if it is one but xenstored does not answer.
    """
    return vbds(read_store()) if dom0.is_dom0() else []


def read_slot(domain: Domain, key: int) -> Optional[Vbd]:
    """The disk that is now in one slot; reads no other part of xenstore."""
    slots = [_StoredSlot(domain.domid, key, kind) for kind in BACKEND_KINDS]
    with xenstore.connected() as connection:
        store = Store(_slot_values(connection, slots))
    places = {slot: (slot.entry, _backend_path(store, slot)) for slot in slots}
    taken = (slot for slot in slots if any(map(store.children, places[slot])))
    return next((_vbd(store, domain.name, slot) for slot in taken), None)


def _backend_path(store: Store, slot: _StoredSlot) -> str:
    named = store.get(f"{slot.entry}/backend")
    return named or next((path for path in slot.backends if store.children(path)), slot.backends[0])


def _vbd(store: Store, domain: str, slot: _StoredSlot) -> Vbd:
    """The disk in a slot, from its backend or, if that is gone, from libxl's copy of it."""
    backend = _backend_path(store, slot)

    def attribute(node: str) -> Optional[str]:
        value = store.get(f"{backend}/{node}")
        return store.get(f"{slot.entry}/{node}") if value is None else value

    path = _BACKEND.fullmatch(backend)
    backendtype, params = attribute("type"), attribute("params")
    if slot.kind not in BACKEND_KINDS and not params:
        raise XenError(
            f"domain {domain} has a device of the kind {slot.kind} ({backend} in xenstore), which "
            "may be a disk, but does not say which: nobody can tell who uses what on this host "
            "until it is detached or the domain is shut down"
        )
    disk_format, target = _format_and_target(backendtype, params or "")
    discard = attribute("discard-enable")
    return Vbd(
        domid=slot.domid,
        domain=domain,
        xenstore_key=slot.key,
        vdev=attribute("dev") or str(slot.key),
        target=target,
        access="ro" if attribute("mode") == "r" else "rw",
        format=disk_format,
        backendtype=backendtype,
        devtype=attribute("device-type"),
        script=attribute("script"),
        discard=None if discard is None else discard == "1",
        direct_io_safe=attribute("direct-io-safe") == "1",
        specification=attribute("specification"),
        backend_domid=int(path["domid"]) if path else 0,
        physical_device=_major_minor(store.get(f"{backend}/physical-device")),
        backend_state=_number(store.get(f"{backend}/state")),
        frontend_state=_number(store.get(f"{slot.frontend}/state")),
        online=store.get(f"{backend}/online") != "0",
        sectors=_number(store.get(f"{backend}/sectors")),
        sector_size=_number(store.get(f"{backend}/sector-size")),
        hotplug_status=store.get(f"{backend}/hotplug-status"),
        hotplug_error=programs.in_one_line(store.get(f"{backend}/hotplug-error") or "") or None,
    )


def _format_and_target(backendtype: Optional[str], params: str) -> Tuple[Optional[str], str]:
    if backendtype in ("phy", "standalone"):
        return "raw", params
    match = _QDISK_PARAMS.fullmatch(params)
    if not match:
        return None, params
    return {"aio": "raw", "": "empty"}.get(match["format"], match["format"]), match["target"]


def _number(text: Optional[str]) -> Optional[int]:
    return int(text) if text and _NUMBER.fullmatch(text) else None


def _major_minor(text: Optional[str]) -> Optional[Tuple[int, int]]:
    """Of a text such as ``7:c8``, loop device 200."""
    match = _MAJOR_MINOR.fullmatch(text or "")
    return (int(match[1], 16), int(match[2], 16)) if match else None


def _state_name(state: Optional[int]) -> str:
    return "gone" if state is None else f"{STATES.get(state, 'unknown')} ({state})"
