# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What FAT file systems have on disk: names, directories, the allocation table, the boot sector.

The layout is that of Microsoft's "FAT32 File System Specification", version 1.03. MirageOS's
ocaml-fat (fat_name.ml) compares names exactly, and does not know the flags by which Windows NT
keeps the lower case of a short name without a long one. So here each name that is not a short one
as it stands has a long entry, and no entry has these flags.

ocaml-fat also expects a zero after every long name. The specification has none if the name fills
its last entry. Here an entry that holds only this zero follows then, as ocaml-fat writes it itself.
Linux, Windows (dirsup.c of its driver) and mtools end a name at the first zero.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Dict, Iterable, Iterator, List, Sequence, Set, Tuple

ENTRY_BYTES = 32
LONG_CHARACTERS = 13
"""Characters of a name in each long entry."""

FIRST_CLUSTER = 2
"""The number of the first cluster; the table's entries before it have other uses."""

READ_ONLY, HIDDEN, SYSTEM, LABEL, DIRECTORY, ARCHIVE = 1, 2, 4, 8, 16, 32
LONG = READ_ONLY | HIDDEN | SYSTEM | LABEL
"""The attributes of an entry, and the combination that a part of a long name has."""

END_OF_CHAIN = {16: 0xFFFF, 32: 0x0FFFFFFF}
"""By the bits of an entry of the table: the entry of a file's last cluster."""

DEVICE_NAMES = re.compile(r"con|prn|aux|nul|com[0-9]|lpt[0-9]", re.IGNORECASE)

_CHARACTERS = r"A-Z0-9!#$%&'()\-@^_`{}~"
_SHORT = re.compile(rf"([{_CHARACTERS}]{{1,8}})(?:\.([{_CHARACTERS}]{{1,3}}))?")
_NOT_SHORT = re.compile(f"[^{_CHARACTERS}]")
_SHORT_TO_MIRAGE = re.compile(rf"\.?[{_CHARACTERS} ]{{0,8}}(?:\.[{_CHARACTERS} ]{{0,3}})?")

_ENTRY = struct.Struct("<11sBxxHHHHHHHI")
_LONG = struct.Struct("<B10sBBB12sH4s")
_BOOT = struct.Struct("<11xHBHBHxxxH")
_BOOT_32 = struct.Struct("<36xIxxxxIHH")
_INFO = struct.Struct("<II")
_INFO_OFFSET = 488
_INFO_SIGNATURE = b"RRaA"

_TABLE_PIECE = 2**16
"""Entries of the table that are made at once."""


@dataclass(frozen=True)
class Stamp:
    """A time of day and a date as FAT has them."""

    time: int
    date: int

    @classmethod
    def of(cls, local: Sequence[int]) -> Stamp:
        """From year, month, day, hour, minute and second. FAT has the years 1980 to 2107, and every
        other second."""
        year, month, day, hour, minute, second = local[:6]
        year = min(max(year, 1980), 2107)
        return cls(hour << 11 | minute << 5 | second // 2, (year - 1980) << 9 | month << 5 | day)


@dataclass(frozen=True)
class Member:
    """A file or directory in a directory."""

    name: str
    is_directory: bool
    cluster: int
    """The first one of its content, 0 if it has none."""
    size: int
    """Bytes of a file, 0 for a directory."""


# ---- names ----


def is_short(name: str) -> bool:
    """Whether the name is a short one as it stands, so that it needs no long entries."""
    return bool(_SHORT.fullmatch(name))


def length(name: str) -> int:
    """The characters of UTF-16 that a name has."""
    return len(_encoded(name)) // 2


def count(name: str) -> int:
    """How many entries of a directory a name takes."""
    return 1 if is_short(name) else 2 + length(name) // LONG_CHARACTERS


def is_found_by_mirage(name: str) -> bool:
    """Whether ocaml-fat finds the name. It takes each byte of UTF-8 for a character, which is right
    only for ASCII. It looks for a name of capital letters only among the short ones, even if the
    name is not short because it has a space or begins with a dot."""
    return is_short(name) or (name.isascii() and not _SHORT_TO_MIRAGE.fullmatch(name))


def short_names(names: Sequence[str]) -> List[bytes]:
    """For each name of a directory the short one of 11 bytes. Each of them is there once."""
    taken = {_padded(name) for name in names if is_short(name)}
    numbers: Dict[Tuple[str, str, int], int] = {}
    return [_padded(name) if is_short(name) else _alias(name, taken, numbers) for name in names]


def _padded(name: str) -> bytes:
    base, _dot, extension = name.partition(".")
    return f"{base:8}{extension:3}".encode("ascii")


def _alias(name: str, taken: Set[bytes], numbers: Dict[Tuple[str, str, int], int]) -> bytes:
    """A short name for one that is not, which then is ``taken``. ``numbers``: the last one after
    the ``~``, by what is before it, the extension and how many characters the number leaves."""
    upper = name.upper()
    if is_short(upper) and not DEVICE_NAMES.fullmatch(upper.partition(".")[0]):
        plain = _padded(upper)
        if plain not in taken:
            taken.add(plain)
            return plain
    base, _dot, extension = upper.strip(". ").rpartition(".")
    base, extension = (base, extension) if base else (extension, "")
    base = _NOT_SHORT.sub("_", base.replace(" ", "").replace(".", "")) or "_"
    extension = _NOT_SHORT.sub("_", extension.replace(" ", ""))[:3]
    for digits in range(1, 7):
        key = (base[: 7 - digits], extension, digits)
        for number in range(numbers.get(key, 10 ** (digits - 1) - 1) + 1, 10**digits):
            numbers[key] = number
            found = _padded(f"{key[0]}~{number}.{extension}")
            if found not in taken:
                taken.add(found)
                return found
    raise ValueError(f"no short name is left for {name}")  # 999999 of them are


def _encoded(name: str) -> bytes:
    return name.encode("utf-16-le", "surrogatepass")


# ---- directories ----


def directory_data(members: Sequence[Member], stamp: Stamp) -> bytes:
    """The entries of a directory without ``.`` and ``..``."""
    shorts = short_names([one.name for one in members])
    pieces: List[bytes] = []
    for one, short in zip(members, shorts):
        if not is_short(one.name):
            pieces += _long_entries(one.name, short)
        kind = DIRECTORY if one.is_directory else ARCHIVE
        pieces.append(_entry(short, kind, one.cluster, one.size, stamp))
    return b"".join(pieces)


def dots(own: int, parent: int, stamp: Stamp) -> bytes:
    """The entries ``.`` and ``..``: the first cluster of the directory and of the one that it is
    in, which is 0 for the topmost one."""
    return b"".join(
        _entry(name.ljust(11), DIRECTORY, cluster, 0, stamp)
        for name, cluster in ((b".", own), (b"..", parent))
    )


def _entry(short: bytes, attributes: int, cluster: int, size: int, stamp: Stamp) -> bytes:
    return _ENTRY.pack(
        short,
        attributes,
        stamp.time,
        stamp.date,
        stamp.date,
        cluster >> 16,
        stamp.time,
        stamp.date,
        cluster & 0xFFFF,
        size,
    )


def _long_entries(name: str, short: bytes) -> Iterator[bytes]:
    """The end of the name comes first; each entry has the number of its part."""
    encoded, step = _encoded(name) + b"\0\0", 2 * LONG_CHARACTERS
    parts = [encoded[at : at + step] for at in range(0, len(encoded), step)]
    parts[-1] = parts[-1].ljust(step, b"\xff")
    check = checksum(short)
    for number in range(len(parts), 0, -1):
        last = 0x40 if number == len(parts) else 0
        part = parts[number - 1]
        yield _LONG.pack(number | last, part[:10], LONG, 0, check, part[10:22], 0, part[22:])


def checksum(short: bytes) -> int:
    """Of a short name, by which long entries say which one they belong to."""
    value = 0
    for byte in short:
        value = ((value & 1) << 7) + (value >> 1) + byte & 0xFF
    return value


# ---- the allocation table ----


def table(bits: int, ends: Iterable[int]) -> Iterator[bytes]:
    """The table from its entry FIRST_CLUSTER on, in pieces, if each file's clusters follow one
    another and the next file's follow them. ``ends``: the last cluster of each, ascending."""
    code, end = ("H" if bits == 16 else "I"), END_OF_CHAIN[bits]
    at = FIRST_CLUSTER
    ready: List[int] = []
    for last in ends:
        while at <= last:
            more = range(at + 1, min(last + 1, at + _TABLE_PIECE) + 1)
            ready += more
            at += len(more)
            if at > last:
                ready[-1] = end
            if len(ready) >= _TABLE_PIECE:
                yield struct.pack(f"<{len(ready)}{code}", *ready)
                ready = []
    yield struct.pack(f"<{len(ready)}{code}", *ready)


# ---- the boot sector ----


@dataclass(frozen=True)
class Boot:
    """Where the parts of a file system are, as its boot sector says. All offsets are bytes."""

    bits: int
    """16 or 32."""
    tables: Tuple[int, ...]
    """Offset of each copy of the allocation table."""
    entry: int
    """Bytes of an entry of the table."""
    root: int
    """Offset of the topmost directory."""
    data: int
    """Offset of the first cluster."""
    cluster: int
    """Bytes."""
    info: Tuple[int, ...]
    """Offset of each sector that may have the number of free clusters; FAT16 has none."""

    @classmethod
    def read(cls, data: bytes) -> Boot:
        """From the first 512 bytes of a file system of 16 or 32 bits."""
        sector, cluster, reserved, tables, root_entries, sectors = _BOOT.unpack_from(data)
        bits = 16
        info: Tuple[int, ...] = ()
        if not sectors:
            sectors, root_cluster, info_sector, backup = _BOOT_32.unpack_from(data)
            if root_cluster != FIRST_CLUSTER:
                raise ValueError("the topmost directory is not at the beginning")
            bits, info = 32, (info_sector * sector, (backup + info_sector) * sector)
        root = (reserved + tables * sectors) * sector
        return cls(
            bits=bits,
            tables=tuple((reserved + number * sectors) * sector for number in range(tables)),
            entry=bits // 8,
            root=root,
            data=root + -(-root_entries * ENTRY_BYTES // sector) * sector,
            cluster=cluster * sector,
            info=info,
        )

    def offset(self, cluster: int) -> int:
        """Where a cluster is."""
        return self.data + (cluster - FIRST_CLUSTER) * self.cluster


def with_free(sector: bytes, taken: int) -> bytes:
    """The sector FSInfo of a FAT32 that was empty (its topmost directory has one cluster) once the
    first so many clusters are ``taken``; any other sector unchanged."""
    if not sector.startswith(_INFO_SIGNATURE):
        return sector
    free, _next = _INFO.unpack_from(sector, _INFO_OFFSET)
    info = _INFO.pack(free + 1 - taken, FIRST_CLUSTER + taken)
    return sector[:_INFO_OFFSET] + info + sector[_INFO_OFFSET + _INFO.size :]
