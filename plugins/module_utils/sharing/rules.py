# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may have a disk beside whom, so that no two users write to the same data.

Xen's own hotplug script has such rules, but they do not hold: it lets one domain have a device
twice, and it compares the device numbers of image files wrongly (hexadecimal with decimal).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Iterable, Iterator, List, Optional, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.storage import Storage
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import (
    SAVED_REMEDY,
    Usage,
    User,
    join,
)
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Vbd

DOM0_USES = ("mount", "swap", "holder")
"""Uses by dom0 (see usage.User) beside which a guest must not have the same disk."""

LOCK = "vbds"
"""The lock (see locks.exclusive) that is held from the look at who has what until a new disk or
domain shows in xenstore, so that no other run comes between."""

LOCK_SECONDS = 600
"""How long another run may take for that before it is an error to wait for it."""


@dataclass(frozen=True)
class Claim:
    """A disk that a domain has, or is to have, for the question who else may have it."""

    domain: str
    """The domain's name."""
    vdev: str
    target: str
    access: str
    """C(ro) or C(rw)."""
    storage: Storage
    planned: bool = False
    """Whether the domain is still to get it, by another item of the same call."""

    @classmethod
    def of_vbd(cls, vbd: Vbd, storage: Storage, planned: bool = False) -> Claim:
        """What the domain of C(vbd) has by it; C(storage) is what lies behind its target."""
        return cls(vbd.domain, vbd.vdev, vbd.target, vbd.access, storage, planned)

    @property
    def uses(self) -> Sequence[Use]:
        """What the domain reads and writes by it: the target, and the files behind that."""
        writes = self.access != "ro"
        behind = (
            Use(one.storage, writes and one.is_written, one.role) for one in self.storage.behind
        )
        return (Use(self.storage, writes), *behind)


@dataclass(frozen=True)
class Use:
    """Data that a domain reads, or writes as well, by one of its disks."""

    storage: Storage
    writes: bool
    role: Optional[str] = None
    """What it is to the disk, see vbd_target.Behind; None for the disk itself."""

    @property
    def words(self) -> str:
        """How an error about the disk calls it."""
        return f"its {self.role} {self.storage.name}" if self.role else "it"


def refuse_sharing(wanted: Claim, others: Iterable[Claim], hint: str) -> None:
    """Raise XenError where one of the C(others) is for the same data, unless both only read it.

    C(hint): what the error tells to do.
    """
    uses = wanted.uses
    for other in others:
        for theirs in other.uses:
            for mine in uses:
                if (mine.writes or theirs.writes) and mine.storage.overlaps(theirs.storage):
                    raise XenError(f"{_relation(wanted, mine, other, theirs)}; {hint}")


def _relation(wanted: Claim, mine: Use, other: Claim, theirs: Use) -> str:
    is_attached = (
        f"is {'to be ' if other.planned else ''}attached to domain {other.domain} as {other.vdev} "
        f"({other.access})"
    )
    if theirs.role:
        return f"{mine.words} is the {theirs.role} of {other.target}, which {is_attached}"
    if other.target == (mine.storage.name if mine.role else wanted.target):
        return f"{mine.words} {is_attached}"
    unit = mine.storage.unit_with(theirs.storage)
    both = f" (both are {unit})" if unit else ""
    return f"{mine.words} shares data with {other.target}{both}, which {is_attached}"


def refuse_use_by_dom0(wanted: Claim, usage: Usage) -> None:
    """Raise XenError where dom0 itself uses what is behind the target, or keeps it for a domain
    that is saved, or where the domain would write beside a process that writes."""
    for use in wanted.uses:
        for user in _users(use.storage, usage):
            if user.kind in DOM0_USES:
                raise XenError(f"{use.words} is {user.sentence} in dom0; end that first")
            if user.kind == "saved" and (use.writes or not user.read_only):
                raise XenError(f"{use.words} is {user.sentence}; {SAVED_REMEDY}")
        if any(map(usage.is_claimed, use.storage.devices)):
            raise XenError(
                f"dom0 keeps {use.words} for something that shows nowhere else, such as a file "
                "system on several devices or an iSCSI target; end that first"
            )
        writers = usage.writers(use.storage) if wanted.access != "ro" else ()
        if writers:
            raise XenError(f"{use.words} is {join(writers)} in dom0; end that first")


def doubts(wanted: Claim, usage: Usage) -> List[str]:
    """What speaks against giving the disk to its domain but is not known for certain, or does no
    harm to the data, a sentence each."""
    place = f"{wanted.target} for domain {wanted.domain} as {wanted.vdev}"
    found = [f"{place}: {doubt}" for doubt in wanted.storage.doubts]
    if wanted.access != "ro":
        return found
    return found + [
        f"{place}: {use.words} is {user.sentence}, so the guest may read what changes meanwhile"
        for use in wanted.uses
        for user in usage.writers(use.storage)
    ]


def _users(storage: Storage, usage: Usage) -> Iterator[User]:
    """The users of the data but for processes."""
    for rdev in storage.devices:
        yield from _users_of_device(rdev, usage)
    if storage.file and storage.rdev is None:
        yield from usage.of_file(os.stat(storage.name), path=storage.name, processes=False)


def _users_of_device(rdev: int, usage: Usage) -> Iterator[User]:
    """The users of a block device, and of loop devices over it or over its partitions."""
    for user in usage.of_device(rdev, processes=False):
        yield user
        if user.kind == "loop" and user.rdev is not None:
            yield from _users_of_device(user.rdev, usage)
