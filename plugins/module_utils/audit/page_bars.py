# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a store of disks has promised, used and left, as a bar. A store is a file system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import FileSystemBar
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_about


@dataclass(frozen=True)
class BarPart:
    """A part of a bar."""

    kind: str
    """``others``, ``taken``, ``owed`` or ``beyond``."""
    start: float
    """Percent of the bar's width, as the next."""
    width: float


@dataclass(frozen=True)
class StoreBar:
    """A store with its bar."""

    name: str
    about: str
    """What it is: ``ext4 on /dev/sda1``."""
    size: str
    parts: Tuple[BarPart, ...]
    """None if its size or what is free is not known."""
    end: float
    """Where the store ends, in percent: below 100 if it has promised more than it has."""
    figures: Tuple[Tuple[str, str], ...]
    """Kinds of parts, and ``left``, with their sizes in words."""
    findings: Tuple[str, ...] = ()


def store_bar(store: FileSystemBar) -> StoreBar:
    """The bar of a file system."""
    where = "of" if store.is_network else "on"
    about = f"{store.type} {where} {store.source}, {store.images} image" + "s" * (store.images != 1)
    if not store.size or store.free is None:
        figures = (("taken", format_about(store.taken)), ("owed", format_about(_owed(store))))
        size = "size not known" if store.size is None else format_about(store.size)
        return StoreBar(store.mount_point, about, size, (), 100.0, figures, store.findings)
    parts, end, figures = _measured(store, store.size, store.free)
    return StoreBar(
        store.mount_point, about, format_about(store.size), parts, end, figures, store.findings
    )


def _owed(store: FileSystemBar) -> int:
    """Bytes that its images may still take."""
    return max(store.promised - store.taken, 0)


def _measured(
    store: FileSystemBar, size: int, free: int
) -> Tuple[Tuple[BarPart, ...], float, Tuple[Tuple[str, str], ...]]:
    used = max(size - free, 0)
    # Blocks that images share with other files count for each of them.
    taken = min(store.taken, used)
    owed = _owed(store)
    fits = min(owed, size - used)
    full = max(size, used + owed)
    lengths = (
        ("others", used - taken),
        ("taken", taken),
        ("owed", fits),
        ("beyond", owed - fits),
    )
    parts, start = [], 0
    for kind, length in lengths:
        if length > 0:
            parts.append(BarPart(kind, _percent(start, full), _percent(length, full)))
        start += length
    beyond: Optional[int] = owed - fits
    figures = (
        ("others", format_about(used - taken)),
        ("taken", format_about(taken)),
        ("owed", format_about(owed)),
        ("beyond", format_about(beyond)) if beyond else ("left", format_about(size - used - fits)),
        ("free", format_about(free)),
    )
    return tuple(parts), _percent(size, full), figures


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2)
