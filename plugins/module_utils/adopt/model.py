# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is taken over from a host, and what is only shown to the user, who decides."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Dict, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

DomainEntry = Dict[str, Any]
"""The options of a disk in ``xen_domains``. Drafts have no name yet, and their vdev always."""

LOOP_DEVICES, ATTACHED = "loop_devices", "attached"
CHANGES = (LOOP_DEVICES, ATTACHED)
"""The changes that a user may ask for: to bind the images of loop devices at every boot and name
them in configs, and to put into the configs what was attached by hand."""


class AdoptionError(BlockdevError):
    """What the user asked for cannot be."""


@dataclass(frozen=True)
class DiskChoice:
    """An entry that the user may take."""

    what: str
    """What he gets with it: a clause, such as ``as in the running guest``."""
    entry: DomainEntry


@dataclass(frozen=True)
class DraftDisk:
    """What is in one slot of a domain."""

    key: int
    """The xenstore key."""
    vdev: str
    """As it is written."""
    where: str
    """Where it was found, for a note."""
    entry: Optional[DomainEntry] = None
    """What is taken over; None if it is not."""
    remarks: Tuple[str, ...] = ()
    """What the user should know: why it is not taken over. A sentence each."""
    choices: Tuple[DiskChoice, ...] = ()
    written: Optional[DiskSpec] = None
    """The disk in the config that must stay as it is; None if the config is to change."""
    text: Optional[str] = None
    """The same as it stands there."""
    data: Optional[str] = None
    """What its data are known by; None for an empty drive."""
    in_config: bool = False
    """Whether the config has the slot, so that it must be kept if nothing is taken over."""

    @property
    def stays(self) -> bool:
        """Whether the config is to keep it although it is not taken over. A drive stays anyway,
        whatever is in it."""
        is_cd = self.written is not None and self.written.is_cd
        return self.in_config and self.entry is None and not is_cd

    def with_remarks(self, *remarks: str) -> DraftDisk:
        """The same, and what else the user should know."""
        return replace(self, remarks=(*self.remarks, *remarks))

    def left_out(self, why: str, what: Optional[str]) -> DraftDisk:
        """The same, not taken over. ``what`` introduces its entry as a choice; None if the entry is
        none."""
        if self.entry is None:
            return self
        choices = self.choices if what is None else (DiskChoice(what, self.entry), *self.choices)
        return replace(self, entry=None, remarks=(*self.remarks, why), choices=choices)


@dataclass(frozen=True)
class DraftDomain:
    """A domain and what is taken over of it."""

    name: str
    remarks: Tuple[str, ...]
    """Where it comes from. A sentence each."""
    problems: Tuple[str, ...] = ()
    """Why it is not taken over at all. A sentence each."""
    options: DomainEntry = field(default_factory=dict)
    """Its options in ``xen_domains``, without its disks."""
    disks: Tuple[DraftDisk, ...] = ()
    is_rendered: bool = False
    """Whether this collection wrote the whole config."""
    weight: int = 0
    """What has a lower weight is kept if two domains cannot both have a disk."""

    def with_disks(self, disks: Tuple[DraftDisk, ...]) -> DraftDomain:
        """The same with these disks."""
        return replace(self, disks=disks)

    def with_options(self, options: DomainEntry, *, is_rendered: bool) -> DraftDomain:
        """The same with these options."""
        return replace(self, options=options, is_rendered=is_rendered)

    def refused(self, *problems: str) -> DraftDomain:
        """The same, not taken over."""
        return replace(self, problems=(*self.problems, *problems))

    @property
    def taken(self) -> Tuple[DraftDisk, ...]:
        """The disks that are taken over."""
        return tuple(disk for disk in self.disks if disk.entry is not None)


@dataclass(frozen=True)
class Adoption:
    """What is taken over from a host."""

    domains: Tuple[DraftDomain, ...]
    """All, in the order of their names; their entries have names."""
    plain: Tuple[DomainEntry, ...]
    """The value of ``xen_domains``: those that are taken over."""
    unread: Tuple[str, ...]
    """What could not be read of the host. A sentence each."""
    notes: Tuple[str, ...]
    """Everything that is not taken over, and why, in one line each."""
