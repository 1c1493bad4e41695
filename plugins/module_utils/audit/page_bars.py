# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a store of disks has promised, used and left, as a bar. A store is a file system, a volume
group or a thin pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple, Union

from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import (
    FileSystemBar,
    VolumeStoreBar,
)
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_about

StoreFigures = Tuple[Tuple[str, str], ...]
"""Kinds of parts, and ``left`` and ``free``, with their sizes in words."""


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
    figures: StoreFigures
    findings: Tuple[str, ...] = ()


_StoreInReport = Union[FileSystemBar, VolumeStoreBar]


def file_system_bar(store: FileSystemBar) -> StoreBar:
    """The bar of a file system."""
    where = "of" if store.is_network else "on"
    about = f"{store.type} {where} {store.source}, {_counted(store.images, 'image')}"
    return _bar(store, store.mount_point, about)


def volume_store_bar(store: VolumeStoreBar) -> StoreBar:
    """The bar of a volume group or a thin pool."""
    if store.kind == "group":
        return _bar(store, store.name, f"volume group, {_counted(store.disks, 'volume')} in use")
    about = f"thin pool of {store.group}, {_counted(store.disks, 'volume')}"
    if store.metadata_percent is not None:
        about += f", metadata {store.metadata_percent:g} % full"
    return _bar(store, store.name, about)


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" + "s" * (number != 1)


def _bar(store: _StoreInReport, name: str, about: str) -> StoreBar:
    if store.size and store.free is not None:
        parts, end, figures = _measured(store, store.size, store.free)
    else:
        parts, end, figures = (), 100.0, _unmeasured(store)
    return StoreBar(
        name=name,
        about=about,
        size="size not known" if store.size is None else format_about(store.size),
        parts=parts,
        end=end,
        figures=figures,
        findings=store.findings,
    )


def _unmeasured(store: _StoreInReport) -> StoreFigures:
    return (("taken", format_about(store.taken)), ("owed", format_about(_owed(store))))


def _owed(store: _StoreInReport) -> int:
    """Bytes that its disks may still take."""
    return max(store.promised - store.taken, 0)


def _measured(
    store: _StoreInReport, size: int, free: int
) -> Tuple[Tuple[BarPart, ...], float, StoreFigures]:
    used = max(size - free, 0)
    # Blocks that images share with other files count for each of them. What a group has given its
    # volumes without a domain counts as other data.
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
    parts: List[BarPart] = []
    start = 0
    for kind, length in lengths:
        if length > 0:
            parts.append(BarPart(kind, _percent(start, full), _percent(length, full)))
        start += length
    beyond = owed - fits
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
