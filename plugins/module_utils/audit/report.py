# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an audit says: the types of xen-audit.json, of the page and of the metrics.

survey/record.py makes plain values of them. Lists refer to each other by the names of hosts, the
names of domains and the ``id`` of findings. None is what is not known, or does not apply.

Names, targets and errors are texts that guests or users wrote. Whoever shows them must escape them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

VERSION = 1
"""Of the types in this file. It changes when a key is removed or gets another meaning."""

ERROR, WARNING, NOTE = "error", "warning", "note"

SEVERITIES = (ERROR, WARNING, NOTE)
"""The worst first."""

# ---- findings ----


@dataclass(frozen=True)
class FindingPlace:
    """Where something was found, as far as it has such a place."""

    host: Optional[str] = None
    """Its name in the inventory."""
    domain: Optional[str] = None
    slot: Optional[str] = None
    """As the guest or the config has it, such as ``xvda``."""
    path: Optional[str] = None
    """Of a file, a device or a directory on the host."""


@dataclass(frozen=True)
class AuditFinding:
    """Something that is not as it should be."""

    id: str
    """The same in each audit, as long as code and place are the same."""
    code: str
    """See audit/codes.py."""
    severity: str
    """One of SEVERITIES."""
    group: str
    """That of its code."""
    place: FindingPlace
    seen: str
    """What was seen. Together with the place, a sentence."""
    leads_to: str
    """What will happen."""
    remedy: str
    """What to do: a command, or a variable."""
    others: Tuple[FindingPlace, ...] = ()
    """The other places of the same finding, such as the second guest with a disk."""
    layer: Optional[str] = None
    """Where the line of a disk breaks: ``storage``, ``binding``, ``slot`` or ``guest``."""
    bytes: Optional[int] = None
    """That it takes, or that are missing."""
    reason: Optional[str] = None
    """Why it was accepted; None if it was not."""


@dataclass(frozen=True)
class FindingCounts:
    """How many findings there are. Accepted ones count only as that."""

    error: int = 0
    warning: int = 0
    note: int = 0
    accepted: int = 0


# ---- hosts ----


@dataclass(frozen=True)
class StorageLayer:
    """The data of a disk."""

    name: str
    """As survey/model.py names it: the path, or the target."""
    kind: str
    """``file``, ``device`` or ``other``."""
    size: Optional[int] = None
    """Bytes that a disk on it has."""
    allocated: Optional[int] = None
    """Bytes that an image takes on its file system."""
    file_system: Optional[str] = None
    """The mount point of the file system of an image."""
    is_lost: bool = False
    """Whether the image was deleted or replaced, and lives on only because it is in use."""


@dataclass(frozen=True)
class BindingLayer:
    """The block device of the host between the data and the guest."""

    kind: str
    """``loop``, ``volume`` or ``device``."""
    device: str
    """``/dev/loop3``, ``/dev/dm-4``."""
    name: str
    """For a person: of a volume ``vg0/web``, of another mapped device its name; else the device."""
    size: Optional[int] = None
    pool: Optional[str] = None
    """The thin pool of a thin volume."""
    at_boot: Optional[bool] = None
    """For a loop device: whether it is bound again when the host boots."""


@dataclass(frozen=True)
class SlotLayer:
    """The disk in the configs of its domain."""

    configs: Tuple[str, ...]
    """The paths of the configs that have it."""
    target: Optional[str] = None
    """As the first of them has it; None for an empty drive."""
    format: Optional[str] = None
    access: Optional[str] = None
    devtype: Optional[str] = None


@dataclass(frozen=True)
class GuestLayer:
    """The disk in the running guest."""

    domid: int
    access: str
    size: Optional[int] = None
    """Bytes that the guest was told."""
    is_connected: bool = False
    """Whether the backend serves it and the guest has not been asked to release it."""
    backend_state: Optional[int] = None
    frontend_state: Optional[int] = None
    medium: Optional[str] = None
    """The path of the CD in the drive."""
    flaw: Optional[str] = None
    """Why it only occupies its slot."""


@dataclass(frozen=True)
class DiskLine:
    """One disk of a domain through all layers. A layer that it does not have is None.

    Where a running guest has other data than its config says, ``storage`` and ``binding`` are
    those of the guest.
    """

    domain: Optional[str]
    """None for a disk of a domain that is gone."""
    slot: Optional[str]
    xenstore_key: Optional[int]
    storage: Optional[StorageLayer] = None
    binding: Optional[BindingLayer] = None
    configured: Optional[SlotLayer] = None
    guest: Optional[GuestLayer] = None
    is_saved: bool = False
    """Whether it belongs to a saved domain."""
    findings: Tuple[str, ...] = ()
    """The ids of the findings about it, the accepted ones too."""


@dataclass(frozen=True)
class DomainLine:
    """A domain of a host."""

    name: str
    state: str
    """Of a running guest its status, such as ``running`` or ``paused``; else ``saved`` or
    ``off``."""
    domid: Optional[int] = None
    type: Optional[str] = None
    """``hvm``, ``pv`` or ``pvh``."""
    configs: Tuple[str, ...] = ()
    autostart: bool = False
    findings: Tuple[str, ...] = ()
    """The ids of all findings about it and its disks, the accepted ones too."""


@dataclass(frozen=True)
class FileSystemBar:
    """A file system with images, and what their guests may still take of it."""

    mount_point: str
    type: str
    source: str
    size: Optional[int] = None
    free: Optional[int] = None
    """Bytes that guests can take: what is reserved for root counts."""
    available: Optional[int] = None
    """Without what is reserved for root."""
    images: int = 0
    """How many images of domains are on it."""
    taken: int = 0
    """Bytes that these images take."""
    promised: int = 0
    """Bytes that they take when all of them are full."""
    is_network: bool = False
    findings: Tuple[str, ...] = ()


@dataclass(frozen=True)
class VolumeStoreBar:
    """A volume group or a thin pool, and what its volumes may still take of it."""

    kind: str
    """``group`` or ``pool``."""
    name: str
    """Of a pool its path."""
    group: str
    """The name of the group."""
    size: int
    """Bytes."""
    free: int
    """Bytes that its volumes can take."""
    disks: int = 0
    """How many volumes are in a pool; how many volumes of domains and pools are in a group."""
    taken: int = 0
    """Bytes that these have taken."""
    promised: int = 0
    """Bytes that they take when all of them are full. For a group, a pool takes what its volumes
    do."""
    metadata_percent: Optional[float] = None
    """How full the metadata of a pool is."""
    findings: Tuple[str, ...] = ()
    """For a group, those about its pools."""


@dataclass(frozen=True)
class HostTotals:
    """What there is, in numbers."""

    domains: int = 0
    running: int = 0
    disks: int = 0
    attached: int = 0
    """How many of the disks running guests have."""
    size: int = 0
    """Bytes of all data that disks are on, each counted once."""
    left_over: int = 0
    """Bytes that belong to no domain."""


@dataclass(frozen=True)
class AuditedHost:
    """A host of the inventory."""

    name: str
    """In the inventory."""
    status: str
    """``read``, ``unreachable``, or ``failed`` if it could not be read."""
    error: Optional[str] = None
    """Why it could not be read. The lists are empty then."""
    host: Optional[str] = None
    """Its own name, as its kernel has it."""
    time: Optional[float] = None
    """When it was read, in seconds since 1970."""
    is_xen: Optional[bool] = None
    totals: HostTotals = HostTotals()
    counts: FindingCounts = FindingCounts()
    """Of the findings whose place it is."""
    domains: Tuple[DomainLine, ...] = ()
    disks: Tuple[DiskLine, ...] = ()
    """In the order of the domains, and in these of the slots."""
    file_systems: Tuple[FileSystemBar, ...] = ()
    volume_stores: Tuple[VolumeStoreBar, ...] = ()
    """The groups, each followed by its pools."""


# ---- the whole ----


@dataclass(frozen=True)
class AuditReport:
    """An audit of all hosts."""

    version: int
    time: float
    """When it was made, in seconds since 1970."""
    fail_on: str
    """The severity from which on the audit fails, or ``never``."""
    has_failed: bool
    totals: HostTotals
    """Of all hosts. Data that two hosts share counts for each."""
    counts: FindingCounts
    hosts: Tuple[AuditedHost, ...]
    findings: Tuple[AuditFinding, ...]
    """The worst first, then by group, code, host, domain, slot and path."""
    accepted: Tuple[AuditFinding, ...] = ()
    """In the same order."""
