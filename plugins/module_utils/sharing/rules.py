# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which users may have a disk at the same time, so that no two write to the same data.

Xen's own hotplug script has such rules, but they are not reliable: it gives one domain a device
twice, and it compares the device numbers of image files wrongly (hexadecimal with decimal).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Iterable, Iterator, List, Optional, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.compatible import (
    CLAIMED_FOR,
    DOM0_USES,
    can_write,
    exclude_each_other,
    process_excludes,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.storage import Storage
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import (
    SAVED_REMEDY,
    Usage,
    User,
    join,
)
from ansible_collections.xen.blockdev.plugins.module_utils.xen import blkback
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Vbd

LOCK = "vbds"
"""The lock (see locks.exclusive) that a run holds from reading the users of disks until a new disk
or domain is in xenstore, so that no other run gives the same disk away in between."""

LOCK_SECONDS = 600
"""How long to wait for another run that holds it, before that is an error."""


@dataclass(frozen=True)
class Claim:
    """A disk that a domain has or will get, to compare it with those of others."""

    domain: str
    """The domain's name."""
    vdev: str
    target: str
    access: str
    """``ro`` or ``rw``."""
    storage: Storage
    planned: bool = False
    """Whether another item of the same call will give it to the domain."""

    @classmethod
    def of_vbd(cls, vbd: Vbd, storage: Storage, planned: bool = False) -> Claim:
        """The claim of a vbd's domain; ``storage`` is the vbd's."""
        return cls(vbd.domain, vbd.vdev, vbd.target, vbd.access, storage, planned)

    @property
    def uses(self) -> Sequence[Use]:
        """What the domain reads and writes through it: the target, and the files behind that."""
        writes = can_write(self.access)
        behind = (
            Use(one.storage, writes and one.is_written, one.role) for one in self.storage.behind
        )
        return (Use(self.storage, writes), *behind)


@dataclass(frozen=True)
class Use:
    """Data that a domain reads or writes through one of its disks."""

    storage: Storage
    writes: bool
    role: Optional[str] = None
    """What it is of the disk, see storage.Behind; None for the disk itself."""

    @property
    def words(self) -> str:
        """The subject of an error about the disk."""
        return f"its {self.role} {self.storage.name}" if self.role else "it"


def refuse_sharing(wanted: Claim, others: Iterable[Claim], hint: str) -> None:
    """Raise XenError if one of the ``others`` has the same data and not both are read-only.

    ``hint``: the remedy in the error.
    """
    uses = wanted.uses
    for other in others:
        for theirs in other.uses:
            for mine in uses:
                excluded = exclude_each_other(mine.writes, theirs.writes)
                if excluded and mine.storage.overlaps(theirs.storage):
                    raise XenError(f"{_relation(wanted, mine, other, theirs)}; {hint}")


def _relation(wanted: Claim, mine: Use, other: Claim, theirs: Use) -> str:
    is_attached = (
        f"{'will be' if other.planned else 'is'} attached to domain {other.domain} as {other.vdev} "
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
    """Raise XenError if dom0 itself uses the data of the disk, if a saved domain needs it, if a
    domain that has lost it has it open all the same, or if another process has it open for writing
    and the domain could write too."""
    for use in wanted.uses:
        for user in _users(use.storage, usage):
            if user.kind in DOM0_USES:
                raise XenError(f"{use.words} is {user.sentence} in dom0; release it first")
            if user.kind == "saved" and (use.writes or not user.read_only):
                raise XenError(f"{use.words} is {user.sentence}; {SAVED_REMEDY}")
        if any(map(usage.is_claimed, use.storage.devices)):
            raise XenError(f"dom0 holds {use.words} {CLAIMED_FOR}; release it first")
        _refuse_what_was_lost(use, usage)
        excluded = process_excludes(
            True, has_lost_disk=False, guest_writes=can_write(wanted.access)
        )
        writers = usage.writers(use.storage) if excluded else ()
        if writers:
            raise XenError(f"{use.words} is {join(writers)} in dom0; release it first")


def _refuse_what_was_lost(use: Use, usage: Usage) -> None:
    """Raise XenError if a domain that has lost the disk may still read or write its data."""
    # A CD that was changed may stay open for reading, by the vbd that each drive has beside it.
    readers_too = process_excludes(False, has_lost_disk=True, guest_writes=use.writes)
    left = usage.left_open(use.storage, for_writing=not readers_too)
    if left:
        raise XenError(
            f"{use.words} is {join(left)}, though that domain no longer has it as a disk; shut "
            "that domain down first"
        )
    if use.storage.devices and usage.closing:
        domid, key = usage.closing[0]
        raise XenError(
            f"the kernel still serves a disk to domain {domid} that xenstore no longer has (slot "
            f"{key}), which may be {use.storage.name}: the guest's last requests have not ended; "
            "run again when they have, or shut that domain down"
        )
    if (
        use.writes
        and not usage.is_attached(use.storage)
        and blkback.wait_for_writes(use.storage.devices)
    ):
        raise XenError(
            f"the kernel still writes to {use.words}, though no domain has it as a disk: requests "
            "have not ended, which may be those of a guest that had it before; run again when they "
            "have"
        )


def sharing_warnings(wanted: Claim, usage: Usage) -> List[str]:
    """The reasons not to give the disk to its domain that are not certain, or that do not harm the
    data, a sentence each."""
    place = f"{wanted.target} for domain {wanted.domain} as {wanted.vdev}"
    found = [f"{place}: {doubt}" for doubt in wanted.storage.doubts]
    if can_write(wanted.access):
        return found + [
            f"{place}: Xen still has domain {domid}, which was destroyed, perhaps because its last "
            "requests to a disk have not ended; if it had this disk, what it wrote may still "
            "arrive there: wait until `xl list` no longer has that domain"
            for domid in usage.dying
        ]
    return found + [
        f"{place}: {use.words} is {user.sentence}, so it may change while the guest reads it"
        for use in wanted.uses
        for user in usage.writers(use.storage)
    ]


def _users(storage: Storage, usage: Usage) -> Iterator[User]:
    """The users of the data, without processes."""
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
