# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes of disks, in binary units and bytes, always whole sectors; and timeouts in seconds."""

from __future__ import annotations

import math
import re

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, type_name

SECTOR = 512
"""Bytes; the unit of the size of a loop device or vbd. Neither shows a shorter rest."""

MIRAGE_BLOCK = 4096
"""Bytes; the smallest sector that MirageOS reports on Xen. It does not see a shorter rest."""

MAX_DISK_SIZE = 2**63 - 1
"""Bytes; the kernel keeps file sizes in a signed 64-bit integer."""

_UNITS = {unit: 1024 ** (power + 1) for power, unit in enumerate("KMGTPE")}
_SIZE = re.compile(r"([1-9][0-9]*)(?:([KMGTPE])(?:iB)?)?")
_ACCEPTED = "use bytes (16777216) or a binary unit (16MiB or 16M; K, M, G, T, P, E)"

_NEARLY_A_SIZE = re.compile(r"([1-9][0-9]*)\s*([KMGTPE])(?:iB?|(B))?", re.ASCII | re.IGNORECASE)
_FLAWS = tuple(
    (re.compile(pattern, re.ASCII | re.DOTALL), flaw)
    for pattern, flaw in (
        (r"", "it is empty"),
        (r"\s.*|.*\s", "it has leading or trailing whitespace"),
        (r"0|-.*", "it must be greater than zero"),
        (r"0[0-9]+", "it starts with 0"),
        (r"[0-9]*[.,][0-9].*", "a fraction needs a smaller unit, such as 1536MiB for 1.5GiB"),
    )
)


class SizeError(BlockdevError):
    """A value cannot be the size of a disk."""


def parse_size(value: object) -> int:
    """The size in bytes: a positive multiple of SECTOR, at most MAX_DISK_SIZE.

    An integer, or a string of digits, is in bytes; a unit is a power of 1024, as ``K`` and ``KiB``
    are in dd(1) and truncate(1). Raises SizeError, also for the decimal units (``MB``) of those
    programs: hardly anyone means 16000000 bytes by a disk of 16MB.
    """
    if isinstance(value, str):
        size, given = _bytes(value), f"{value!r:.80}"
    elif isinstance(value, int) and not isinstance(value, bool):
        size, given = int(value), _readable(value)
    else:
        given = type_name(value)
        raise SizeError(f"a size must be a string or an integer, not {given}: {_ACCEPTED}")
    _check(size, given)
    return size


def format_size(size: int) -> str:
    """The exact size for a person to read: ``16MiB``, or ``1000 bytes`` if no unit divides it.

    parse_size reads back what has a unit.
    """
    for unit, factor in reversed(list(_UNITS.items())):
        if size and size % factor == 0:
            return f"{size // factor}{unit}iB"
    return f"{size} bytes"


def format_about(size: int) -> str:
    """About that size, for a person who compares it with others: ``19.6GiB``. Below 1 KiB in bytes.
    parse_size does not read it back."""
    # What would be rounded to 1024.0 of a unit is 1.0 of the next.
    for unit, factor in reversed(list(_UNITS.items())):
        if size >= factor - factor // 20480:
            return f"{size / factor:.1f}{unit}iB".replace(".0", "")
    return f"{size} bytes"


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise SizeError(f"{text!r:.80} is not a size: {_flaw(text)}; {_ACCEPTED}")
    digits, unit = match.groups()
    # Twenty digits are beyond MAX_DISK_SIZE already, and int() rejects thousands of them.
    number = int(digits[:20])
    return number * _UNITS[unit] if unit else number


def _flaw(text: str) -> str:
    nearly = _NEARLY_A_SIZE.fullmatch(text)
    if nearly:
        number, unit, decimal = nearly.groups()
        why = "the unit is decimal" if decimal else "the unit is misspelt"
        return f"{why} (did you mean {number:.20}{unit.upper()}iB?)"
    for pattern, flaw in _FLAWS:
        if pattern.fullmatch(text):
            return flaw
    return "it is not a number"


def _check(size: int, given: str) -> None:
    if size <= 0:
        raise SizeError(f"{given} is not a size: it must be greater than zero")
    if size > MAX_DISK_SIZE:
        raise SizeError(f"{given} is too large: a file has at most {MAX_DISK_SIZE} bytes")
    rest = size % SECTOR
    if rest:
        below, above = size - rest, size - rest + SECTOR
        nearest = [str(near) for near in (below, above) if 0 < near <= MAX_DISK_SIZE]
        raise SizeError(
            f"{given} is not a multiple of {SECTOR} bytes (a sector): use {' or '.join(nearest)}"
        )


def round_up(number: int, unit: int) -> int:
    """The smallest multiple of ``unit`` that is not below ``number``."""
    return -(-number // unit) * unit


def _readable(number: int) -> str:
    # Python does not format integers of thousands of digits.
    return str(number) if number.bit_length() <= 64 else f"a number of {number.bit_length()} bits"


def checked_seconds(value: float) -> float:
    """A timeout in seconds, as it is given. Raises BlockdevError if it is negative, infinite or not
    a number: the wait would never end, or never begin."""
    if not 0 <= value < math.inf:
        raise BlockdevError(f"timeout {value} is not a number of seconds; set 0 or more")
    return value
