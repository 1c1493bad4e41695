# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extents of physical volumes, as LVM reports them and takes them: ``/dev/sda1:0-24``."""

from __future__ import annotations

from typing import Iterable, List, Sequence, Tuple


def dealt(ranges: Iterable[str], counts: Sequence[int]) -> List[Tuple[str, ...]]:
    """The extents in ``ranges`` as shares with these numbers of extents, in order.

    Raises ValueError if they are too few, or if a range cannot be read.
    """
    left = [_parsed(one) for one in ranges][::-1]
    shares = []
    for count in counts:
        share: List[str] = []
        missing = count
        while missing:
            if not left:
                raise ValueError(f"{missing} extents are missing")
            disk, first, last = left.pop()
            taken = min(missing, last - first + 1)
            share.append(f"{disk}:{first}-{first + taken - 1}")
            if first + taken <= last:
                left.append((disk, first + taken, last))
            missing -= taken
        shares.append(tuple(share))
    return shares


def _parsed(one: str) -> Tuple[str, int, int]:
    disk, _colon, extents = one.rpartition(":")
    first, _hyphen, last = extents.partition("-")
    return disk, int(first), int(last)
