# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guests of a host as the page draws them: words for each layer of each disk, and who has the
same data."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Container, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.audit.page_text import anchor
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import (
    AuditedHost,
    AuditFinding,
    BindingLayer,
    DiskLine,
    DomainLine,
    FindingPlace,
    GuestLayer,
    SlotLayer,
    StorageLayer,
)
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_about

THERE, THROUGH, ABSENT = "there", "through", "absent"
"""What a layer is: there, not needed by what is beside it, or missing."""

MOST_SHARING = 3
"""How many others with the same data a disk names."""

GONE = "gone"
"""The state of what is no domain any more."""

NO_DOMAIN = "(a domain that is gone)"

CONNECTED = 4
"""The XenbusState of both ends of a vbd that works."""


@dataclass(frozen=True)
class DrawnLayer:
    """One layer of a disk."""

    state: str
    """THERE, THROUGH or ABSENT."""
    name: str
    detail: str = ""


@dataclass(frozen=True)
class DrawnLink:
    """The name of something, and where it is in the page."""

    name: str
    anchor: str
    """Empty if it is not in the page."""


@dataclass(frozen=True)
class DrawnDisk:
    """One disk, from its data to the guest."""

    slot: str
    anchor: str
    layers: Tuple[DrawnLayer, ...]
    """Storage, binding, slot, guest."""
    findings: Tuple[str, ...] = ()
    """Their ids."""
    sharing: Tuple[DrawnLink, ...] = ()
    """Other disks with the same data."""
    more_sharing: int = 0
    """How many others there are beside these."""


@dataclass(frozen=True)
class DrawnGuest:
    """A domain with its disks."""

    name: str
    anchor: str
    state: str
    facts: str
    findings: Tuple[str, ...]
    """The ids of those that are not about one of its disks."""
    disks: Tuple[DrawnDisk, ...]


SHAPES = (DrawnGuest, DrawnDisk, DrawnLayer, DrawnLink)
"""What the page's script reads."""


class _Sharing:
    """Who has the same data on a host: by the names of storages, and by what findings say, which
    can name disks of other hosts."""

    def __init__(
        self, host: AuditedHost, findings: Mapping[str, AuditFinding], anchors: Container[str]
    ) -> None:
        self._host = host
        self._findings = findings
        self._anchors = anchors
        self._by_data: Dict[str, Dict[str, str]] = defaultdict(dict)
        """Of each storage, the names of its disks by their anchors."""
        for line in host.disks:
            if line.storage is not None:
                self._by_data[line.storage.name].update(_named(self._place(line)))

    def others(self, line: DiskLine) -> List[DrawnLink]:
        """All other disks with the data of a line."""
        same: Dict[str, str] = {}
        for found in (self._findings[one] for one in line.findings if one in self._findings):
            if found.others:
                same.update(_named(found.place, *found.others))
        if line.storage is not None:
            same.update(self._by_data[line.storage.name])
        for own in _named(self._place(line)):
            same.pop(own, None)
        return [
            DrawnLink(name, where if where in self._anchors else "") for where, name in same.items()
        ]

    def _place(self, line: DiskLine) -> FindingPlace:
        return FindingPlace(self._host.name, line.domain, line.slot)


def _named(*places: FindingPlace) -> Dict[str, str]:
    """The words for each of the places that are disks, by its anchor."""
    return {
        disk_anchor(one.host, one.domain, one.slot): place_words(one)
        for one in places
        if one.domain is not None
    }


def drawn_guests(
    host: AuditedHost, findings: Mapping[str, AuditFinding], anchors: Container[str]
) -> Tuple[DrawnGuest, ...]:
    """The domains of a host in the order of the report; disks of none come last. ``findings`` are
    those of all hosts, by their ids, and ``anchors`` those of all disks."""
    by_domain: Dict[Optional[str], List[DiskLine]] = defaultdict(list)
    for line in host.disks:
        by_domain[line.domain].append(line)
    sharing = _Sharing(host, findings, anchors)
    known = [
        _drawn(host.name, domain, by_domain.pop(domain.name, []), sharing)
        for domain in host.domains
    ]
    gone = [
        _drawn(host.name, DomainLine(name or NO_DOMAIN, GONE), lines, sharing)
        for name, lines in by_domain.items()
    ]
    return (*known, *gone)


def _drawn(
    host: str, domain: DomainLine, lines: Sequence[DiskLine], sharing: _Sharing
) -> DrawnGuest:
    disks = tuple(
        DrawnDisk(
            slot=_slot(line),
            anchor=disk_anchor(host, line.domain, line.slot),
            layers=_layers(line, domain),
            findings=line.findings,
            sharing=tuple(others[:MOST_SHARING]),
            more_sharing=len(others[MOST_SHARING:]),
        )
        for line in lines
        for others in (sharing.others(line),)
    )
    of_disks = {one for line in lines for one in line.findings}
    return DrawnGuest(
        name=domain.name,
        anchor=guest_anchor(host, domain.name),
        state=domain.state,
        facts=_facts(domain),
        findings=tuple(one for one in domain.findings if one not in of_disks),
        disks=disks,
    )


def guest_anchor(host: Optional[str], domain: Optional[str]) -> str:
    """Where a domain is in the page."""
    return anchor("guest", host, domain)


def disk_anchor(host: Optional[str], domain: Optional[str], slot: Optional[str]) -> str:
    """Where a disk is in the page."""
    return anchor("disk", host, domain, slot)


def place_words(place: FindingPlace) -> str:
    """Where it is, without its path: ``xen1 / web / xvda``."""
    return " / ".join(name for name in (place.host, place.domain, place.slot) if name)


def _facts(domain: DomainLine) -> str:
    facts = (
        f"domain {domain.domid}" if domain.domid is not None else "",
        domain.type or "",
        "starts at boot" if domain.autostart else "",
        ", ".join(domain.configs) or ("no config" if domain.state != GONE else ""),
    )
    return " · ".join(one for one in facts if one)


def _slot(line: DiskLine) -> str:
    return line.slot or (str(line.xenstore_key) if line.xenstore_key is not None else "no slot")


# ---- the layers ----


def _layers(line: DiskLine, domain: DomainLine) -> Tuple[DrawnLayer, ...]:
    return (
        _storage(line.storage, line.configured),
        _binding(line.binding, line.storage),
        _configured(line, domain),
        _guest(line.guest, domain, is_saved=line.is_saved),
    )


def _storage(storage: Optional[StorageLayer], slot: Optional[SlotLayer]) -> DrawnLayer:
    if storage is None:
        if slot is not None and slot.target is not None:
            return DrawnLayer(ABSENT, slot.target, "not found")
        is_drive = slot is not None and slot.format == "empty"
        return DrawnLayer(ABSENT, "empty drive" if is_drive else "not known")
    taken = storage.allocated
    is_sparse = taken is not None and storage.size is not None and taken < storage.size
    detail = _joined(
        _size(storage.size),
        f"{format_about(taken)} taken" if taken is not None and is_sparse else "",
        "lost when it is closed" if storage.is_lost else "",
    )
    return DrawnLayer(THERE, storage.name, detail)


def _binding(binding: Optional[BindingLayer], storage: Optional[StorageLayer]) -> DrawnLayer:
    if binding is None:
        return DrawnLayer(ABSENT, "none") if storage is None else DrawnLayer(THROUGH, "none needed")
    at_boot = {True: "bound at boot", False: "not bound at boot", None: ""}[binding.at_boot]
    detail = _joined(
        binding.device if binding.device != binding.name else "",
        _size(binding.size) if storage is None or binding.size != storage.size else "",
        f"thin, in {binding.pool}" if binding.pool else "",
        at_boot,
    )
    return DrawnLayer(THERE, binding.name, detail)


def _configured(line: DiskLine, domain: DomainLine) -> DrawnLayer:
    slot, key = line.configured, line.xenstore_key
    number = str(key) if key is not None else ""
    if slot is None:
        return DrawnLayer(ABSENT, _slot(line), _joined(number, "in no config"))
    own = ", ".join(slot.configs) if slot.configs != domain.configs else ""
    detail = _joined(
        number,
        slot.access or "",
        slot.format or "",
        "CD drive" if slot.devtype == "cdrom" else "",
        _target(slot.target, line.storage),
        own,
    )
    return DrawnLayer(THERE, _slot(line), detail)


def _target(target: Optional[str], storage: Optional[StorageLayer]) -> str:
    """How a config reaches the data, if that is not simply by its path."""
    if target is None or storage is None:
        return ""
    path = storage.name
    if storage.is_lost:
        path = path.rpartition(" (")[0]  # its name goes on with " (deleted)", or the like
    if target == path:
        return ""
    return "by its link" if target == loop_link.link_of(path) else f"target {target}"


def _guest(guest: Optional[GuestLayer], domain: DomainLine, *, is_saved: bool) -> DrawnLayer:
    if guest is None:
        words = {"off": "off", "saved": "saved", GONE: "gone"}.get(domain.state, "not attached")
        return DrawnLayer(ABSENT, "saved" if is_saved else words)
    name = guest.medium or _size(guest.size) or "no medium"
    detail = _joined(
        _size(guest.size) if guest.medium else "",
        guest.access,
        _connection(guest),
        guest.flaw or "",
        f"domain {guest.domid}" if guest.domid != domain.domid else "",
    )
    return DrawnLayer(THERE, name, detail)


def _connection(guest: GuestLayer) -> str:
    # An emulated drive that its guest reads through QEMU alone has no frontend.
    if guest.is_connected and guest.frontend_state in (CONNECTED, None):
        return "connected"
    states = [
        f"{end} {state}"
        for end, state in (("backend", guest.backend_state), ("frontend", guest.frontend_state))
        if state is not None
    ]
    return f"not connected ({', '.join(states)})" if states else "not connected"


def _size(size: Optional[int]) -> str:
    return "" if size is None else format_about(size)


def _joined(*words: str) -> str:
    return " · ".join(word for word in words if word)
