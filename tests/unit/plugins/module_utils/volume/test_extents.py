# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extents are dealt out in order, each once."""

from __future__ import annotations

from typing import List, Set, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.volume.extents import dealt
from hypothesis import given
from hypothesis import strategies as st


def extents_in(ranges: Tuple[str, ...]) -> List[Tuple[str, int]]:
    found = []
    for one in ranges:
        disk, _colon, extents = one.rpartition(":")
        first, last = map(int, extents.split("-"))
        found += [(disk, number) for number in range(first, last + 1)]
    return found


def test_shares_of_several_ranges() -> None:
    assert dealt(["/dev/a:3-6", "/dev/disk/by-path/b:1:0-9"], [1, 5, 2]) == [
        ("/dev/a:3-3",),
        ("/dev/a:4-6", "/dev/disk/by-path/b:1:0-1"),
        ("/dev/disk/by-path/b:1:2-3",),
    ]


def test_too_few() -> None:
    with pytest.raises(ValueError, match="2 extents are missing"):
        dealt(["/dev/a:3-6"], [3, 3])


def test_what_is_no_range() -> None:
    for words in ("/dev/a", "/dev/a:", "pool_tdata:x-y"):
        with pytest.raises(ValueError, match="invalid literal"):
            dealt([words], [1])


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=6),
    st.lists(st.integers(1, 30), max_size=8),
)
def test_each_extent_once(sizes: List[Tuple[int, int]], counts: List[int]) -> None:
    ranges = [
        f"/dev/{number}:{first}-{first + length - 1}"
        for number, (first, length) in enumerate(sizes)
    ]
    there = extents_in(tuple(ranges))
    if sum(counts) > len(there):
        with pytest.raises(ValueError, match="missing"):
            dealt(ranges, counts)
        return
    shares = list(map(extents_in, dealt(ranges, counts)))
    assert [len(share) for share in shares] == counts
    given_away: Set[Tuple[str, int]] = {one for share in shares for one in share}
    assert [one for share in shares for one in share] == there[: sum(counts)]
    assert len(given_away) == sum(counts)
