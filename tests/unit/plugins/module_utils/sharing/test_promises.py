# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is promised to disks against what there is, and what the user reads of it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.promises import (
    DiskStore,
    PromisedDisk,
    checked_limit,
    file_system_store,
    pool_store,
    problem_of_stores,
    smaller_limit,
    warnings_of_stores,
)
from hypothesis import given
from hypothesis import strategies as st

GIB = 1024**3
WEB = PromisedDisk("/srv/xen/web/data.raw", 100 * GIB, 20 * GIB, ("web",))
DB = PromisedDisk("/srv/xen/db/data.raw", 60 * GIB, 0, ("db", "standby"))
FULL = PromisedDisk("/srv/full.raw", GIB, 2 * GIB)
STORE = DiskStore(
    name="/srv/xen",
    what="the file system of /srv/xen",
    remedy="free some of it",
    size=500 * GIB,
    free=20 * GIB,
    disks=(DB, FULL, WEB),
)
PROMISES = (
    "the file system of /srv/xen (500GiB, 20GiB free) has promised 120GiB more than it has free: "
    "/srv/xen/web/data.raw (web) 80GiB, /srv/xen/db/data.raw (db, standby) 60GiB"
)


def refusal(store: DiskStore, limit: float, added: int = 1) -> str | None:
    return replace(store, limit=limit, added=added).problem()


def test_what_it_says() -> None:
    assert STORE.warning() == (
        f"{PROMISES}; a guest that fills its disk gets I/O errors; free some of it"
    )
    assert refusal(STORE, 1.5) == (
        f"{PROMISES}; its disks would have 162GiB in all, and max_overcommit: 1.5 allows 63GiB; "
        "free some of it, or increase max_overcommit"
    )
    assert STORE.figures() == {
        "name": "/srv/xen",
        "size": 500 * GIB,
        "free": 20 * GIB,
        "taken": 22 * GIB,
        "promised": 162 * GIB,
        "overcommit": 3.86,
    }


@pytest.mark.parametrize("free", [140 * GIB, 141 * GIB])
def test_a_store_that_keeps_its_promises(free: int) -> None:
    store = replace(STORE, free=free)
    assert (store.excess, store.warning(), refusal(store, 1)) == (0, None, None)
    assert (store.overcommit or 0) <= 1


def test_one_byte_less() -> None:
    store = replace(STORE, free=140 * GIB - 1)
    assert (store.excess, store.overcommit) == (1, 1.01)
    assert refusal(store, 1) and store.warning()
    assert refusal(store, 1.01) is None


def test_nothing_left_at_all() -> None:
    store = replace(STORE, free=0, disks=(DB,))
    assert (store.excess, store.overcommit) == (60 * GIB, None)
    assert "max_overcommit: 100 allows 0 bytes" in str(refusal(store, 100))


def test_many_disks_are_counted() -> None:
    disks = [PromisedDisk(f"/srv/{number}.raw", number * GIB, 0) for number in range(9)]
    warning = str(replace(STORE, free=0, disks=disks).warning())
    assert "36GiB more than it has free: /srv/8.raw 8GiB, /srv/7.raw 7GiB, " in warning
    assert "/srv/4.raw 4GiB, 3 more 6GiB; a guest" in warning


@pytest.mark.parametrize("added", [0, -1])
def test_what_is_no_worse_than_before_is_only_a_warning(added: int) -> None:
    store = replace(STORE, limit=1, added=added)
    assert (store.problem(), store.warning()) == (None, STORE.warning())
    worse = replace(store, added=1)
    assert (worse.problem() is None, worse.warning()) == (False, None)
    assert replace(worse, limit=None).warning() == STORE.warning()


def test_several_stores() -> None:
    fits, warns = replace(STORE, free=140 * GIB), replace(STORE, what="another")
    refused, also = (replace(STORE, what=what, limit=1, added=1) for what in ("this", "that"))
    assert warnings_of_stores([fits, STORE, refused, warns]) == [STORE.warning(), warns.warning()]
    assert problem_of_stores([fits, STORE, warns]) is None
    assert problem_of_stores([refused, fits, also]) == f"{refused.problem()}\n{also.problem()}"


def test_the_limit_that_counts() -> None:
    assert smaller_limit(None, None) is None
    assert [smaller_limit(*pair) for pair in ((2, None), (None, 2), (3, 2), (2, 3))] == [2] * 4


SIZES = st.integers(0, 2**50)


@given(SIZES, st.lists(st.builds(PromisedDisk, st.just("a"), SIZES, SIZES)), SIZES)
def test_writing_to_a_disk_changes_no_verdict(
    free: int, disks: list[PromisedDisk], written: int
) -> None:
    """So a plan, which does not know what a copy takes, says what the next run says."""
    before = replace(STORE, free=free, disks=disks)
    for number, disk in enumerate(disks):
        take = min(written, disk.left, free)
        grown = [*disks[:number], replace(disk, taken=disk.taken + take), *disks[number + 1 :]]
        after = replace(before, free=free - take, disks=grown)
        assert (after.excess, after.overcommit) == (before.excess, before.overcommit)


@pytest.mark.parametrize("limit", [None, 1, 1.0, 1.5, 20])
def test_a_limit(limit: float | None) -> None:
    assert checked_limit(limit) == limit


@pytest.mark.parametrize("limit", [0, 0.99, -1, math.inf, math.nan])
def test_no_limit(limit: float) -> None:
    with pytest.raises(BlockdevError, match=f"^max_overcommit {limit} is less than 1 or no number"):
        checked_limit(limit)


def test_what_snapshots_share_is_taken_once() -> None:
    """And may be taken once more by each of them."""
    disks = [PromisedDisk(f"/dev/vg0/{name}", 8 * GIB, 8 * GIB) for name in ("web", "snap")]
    store = pool_store("/dev/vg0/pool", 12 * GIB, 8 * GIB, disks)
    assert (store.taken, store.promised, store.free) == (8 * GIB, 16 * GIB, 4 * GIB)
    assert (store.excess, store.overcommit) == (4 * GIB, 1.34)
    assert store.warning() == (
        "the thin pool /dev/vg0/pool (12GiB, 4GiB free) has promised 4GiB more than it has free: "
        "what snapshots and their origins share 8GiB; a guest that fills its disk gets I/O errors; "
        "enlarge the pool (lvextend), remove volumes or snapshots, or make disks smaller"
    )


def test_images_that_share_blocks() -> None:
    """Of a file system it is not known how much of that is shared."""
    disks = [PromisedDisk(f"/srv/{name}", 8 * GIB, 8 * GIB) for name in ("a", "copy")]
    assert file_system_store("/srv", 12 * GIB, 4 * GIB, disks).excess == 0
