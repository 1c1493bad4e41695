# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What disks may still take of the space that they share, compared with what is free of it.

A sparse image takes space only when its guest writes to it, and so does a thin volume. If there is
none left by then, the guest gets I/O errors in the middle of its work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Iterable, List, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import State
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_about

MOST_NAMED = 5
"""How many disks a message names; it counts the others."""


FILE_SYSTEM_REMEDY = (
    "enlarge the file system, free some of it, or make disks smaller (allocation: full takes the "
    "space of a new disk at once)"
)
"""See DiskStore.remedy."""

POOL_REMEDY = "enlarge the pool (lvextend), remove volumes or snapshots, or make disks smaller"
"""The same for a thin pool."""


class PromiseError(BlockdevError):
    """A limit that makes no sense."""


@dataclass(frozen=True)
class PromisedDisk:
    """A disk that takes its space from a store, and has been promised as much as its size."""

    name: str
    """Its path, for instance."""
    size: int
    """Bytes that its guest can write."""
    taken: int
    """Bytes that it has taken of the store. This can be more than its size."""
    domains: Tuple[str, ...] = ()
    """The domains that it is for, if they are known."""

    @property
    def left(self) -> int:
        """Bytes that it may still take."""
        return max(self.size - self.taken, 0)

    @property
    def words(self) -> str:
        """For a message."""
        whose = f" ({', '.join(self.domains)})" if self.domains else ""
        return f"{self.name}{whose} {format_about(self.left)}"


@dataclass(frozen=True)
class DiskStore:
    """What disks take their space from: a file system, a thin pool or a volume group."""

    name: str
    """For the result, such as the mount point."""
    what: str
    """For a message: ``the file system of /srv``."""
    remedy: str
    """How to get more of it, or to need less: ``free some of it``."""
    size: int
    """Bytes."""
    free: int
    """Bytes that the disks can still take."""
    disks: Sequence[PromisedDisk] = ()
    added: int = 0
    """Bytes that the plans of a call promise more than before; negative for less."""
    limit: Optional[float] = None
    """The option ``max_overcommit`` of what is added, see smaller_limit."""
    taken_together: Optional[int] = None
    """Bytes that the disks have taken, if that is not the sum of theirs. What a snapshot shares
    with its origin is taken once, and both may still take all of it: as soon as one of them writes
    there, it takes space of its own."""

    @cached_property
    def taken(self) -> int:
        """Bytes that the disks have taken."""
        if self.taken_together is not None:
            return self.taken_together
        return sum(disk.taken for disk in self.disks)

    @cached_property
    def promised(self) -> int:
        """Bytes that the disks have when all of them are full."""
        return sum(disk.taken + disk.left for disk in self.disks)

    @property
    def excess(self) -> int:
        """Bytes that are missing if all disks are filled."""
        return max(self.promised - self.taken - self.free, 0)

    @property
    def overcommit(self) -> Optional[float]:
        """What is promised, divided by what the disks have taken or can still take, which is 1 if
        it just fits; rounded up to hundredths. None if there is nothing for disks at all."""
        there = self.taken + self.free
        return -(-self.promised * 100 // there) / 100 if there > 0 else None

    def figures(self) -> State:
        """Its entry in the result of a module."""
        return {
            "name": self.name,
            "size": self.size,
            "free": self.free,
            "taken": self.taken,
            "promised": self.promised,
            "overcommit": self.overcommit,
        }

    def warning(self) -> Optional[str]:
        """What the user should know; None if all disks can be filled, and if that is an error."""
        if not self.excess or self.problem():
            return None
        return f"{self._promises()}; a guest that fills its disk gets I/O errors; {self.remedy}"

    def problem(self) -> Optional[str]:
        """The error if more is promised than the limit allows. A call that promises no more than
        before does no harm: a host that is as it was can be provisioned again."""
        if self.limit is None or self.added <= 0:
            return None
        allowed = int((self.taken + self.free) * self.limit)
        if self.promised <= allowed:
            return None
        return (
            f"{self._promises()}; its disks would have {format_about(self.promised)} in all, and "
            f"max_overcommit: {self.limit:g} allows {format_about(allowed)}; {self.remedy}, or "
            "increase max_overcommit"
        )

    @property
    def takers(self) -> str:
        """For a message: the disks that may still take something, and how much; the most first."""
        disks = sorted(self.disks, key=lambda disk: disk.left, reverse=True)
        open_ones = [disk for disk in disks if disk.left]
        named, others = open_ones[:MOST_NAMED], open_ones[MOST_NAMED:]
        words = [disk.words for disk in named]
        if others:
            words.append(f"{len(others)} more {format_about(sum(disk.left for disk in others))}")
        left = self.promised - self.taken
        shared = left - sum(disk.left for disk in open_ones)
        if shared * 100 > left:  # What LVM says of a volume is rounded.
            words.append(f"what snapshots and their origins share {format_about(shared)}")
        return ", ".join(words)

    def _promises(self) -> str:
        return (
            f"{self.what} ({format_about(self.size)}, {format_about(self.free)} free) has promised "
            f"{format_about(self.excess)} more than it has free: {self.takers}"
        )


def pool_store(path: str, size: int, used: int, disks: Sequence[PromisedDisk]) -> DiskStore:
    """The thin pool at ``path``, of ``size`` bytes of which ``used`` are used, with its volumes."""
    return DiskStore(
        name=path,
        what=f"the thin pool {path}",
        remedy=POOL_REMEDY,
        size=size,
        free=size - used,
        disks=disks,
        taken_together=used,
    )


def file_system_store(
    point: str, size: int, free: int, disks: Sequence[PromisedDisk] = ()
) -> DiskStore:
    """The file system at a mount point, with the images on it. Sizes in bytes."""
    return DiskStore(
        name=point,
        what=f"the file system of {point}",
        remedy=FILE_SYSTEM_REMEDY,
        size=size,
        free=free,
        disks=disks,
    )


def checked_limit(limit: Optional[float]) -> Optional[float]:
    """The option ``max_overcommit``. Raises PromiseError if it is not a number of at least 1."""
    if limit is not None and not 1 <= limit < math.inf:
        raise PromiseError(
            f"max_overcommit {limit} is less than 1 or no number; 1 allows no more than there is, "
            "1.5 half as much again"
        )
    return limit


def smaller_limit(first: Optional[float], second: Optional[float]) -> Optional[float]:
    """Of the limits of two disks on a store, the one that counts; None is no limit."""
    return min((one for one in (first, second) if one is not None), default=None)


def warnings_of_stores(stores: Iterable[DiskStore]) -> List[str]:
    """For Resource.warnings: one for each store whose disks cannot all be filled."""
    return list(filter(None, (store.warning() for store in stores)))


def problem_of_stores(stores: Iterable[DiskStore]) -> Optional[str]:
    """For Resource.problem: the errors of all stores, a line each."""
    return "\n".join(filter(None, (store.problem() for store in stores))) or None
