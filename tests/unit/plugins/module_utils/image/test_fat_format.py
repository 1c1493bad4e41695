# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of a FAT file system, compared with ones that other programs have made or that the
specification gives. What readers make of all of them is in test_fat.py."""

from __future__ import annotations

import struct
from typing import List, Sequence

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.image import fat_format
from ansible_collections.xen.blockdev.plugins.module_utils.image.fat_format import (
    Boot,
    Member,
    Stamp,
    short_names,
)
from hypothesis import given
from hypothesis import strategies as st

STAMP = Stamp.of((2026, 11, 30, 19, 45, 31))


def test_stamp() -> None:
    assert Stamp(time=19 << 11 | 45 << 5 | 15, date=46 << 9 | 11 << 5 | 30) == STAMP
    assert Stamp.of((1970, 1, 1, 0, 0, 0)).date == 1 << 5 | 1
    assert Stamp.of((2200, 1, 1, 0, 0, 0)).date == 127 << 9 | 1 << 5 | 1


@pytest.mark.parametrize(
    "name",
    ["A", "HELLO.TXT", "12345678.123", "A-B_C.~1", "!#$%&'()", "-@^_`{}~", "CON.TXT", "0.0"],
)
def test_name_that_is_short_as_it_stands(name: str) -> None:
    assert fat_format.is_short(name)
    assert fat_format.count(name) == 1
    base, _dot, extension = name.partition(".")
    assert short_names([name]) == [base.ljust(8).encode() + extension.ljust(3).encode()]


@pytest.mark.parametrize(
    ("name", "short", "count"),
    [
        ("a", "A", 2),
        ("hello.txt", "HELLO   TXT", 2),
        ("Hello.TXT", "HELLO   TXT", 2),
        ("123456789", "123456~1", 2),
        ("A.LONG", "A~1     LON", 2),
        ("A.B.C", "AB~1    C", 2),
        (".profile", "PROFILE~1".replace("PROFILE", "PROFIL"), 2),
        (".A", "A~1", 2),
        ("A B.TXT", "AB~1    TXT", 2),
        ("a+b,c;d=e[f].txt", "A_B_C_~1TXT", 3),
        ("grüße.txt", "GR_SSE~1TXT", 2),
        ("日本", "__~1", 2),
        ("con.txt", "CON~1   TXT", 2),
        ("LPT1.lpt1", "LPT1~1  LPT", 2),
        (". x", "X~1", 2),
        ("thirteen-char", "THIRTE~1", 3),
        ("fourteen-chars", "FOURTE~1", 3),
        ("x" * 247, "XXXXXX~1", 21),
        ("x" * 255, "XXXXXX~1", 21),
    ],
)
def test_name_that_is_not(name: str, short: str, count: int) -> None:
    assert not fat_format.is_short(name)
    assert short_names([name]) == [short.ljust(11).encode()]
    assert fat_format.count(name) == count


def test_a_short_name_is_not_taken_twice() -> None:
    assert short_names(["long name", "LONGNA~1", "LONGNA~2", "long named", "LONG+NA"]) == [
        b"LONGNA~3   ",
        b"LONGNA~1   ",
        b"LONGNA~2   ",
        b"LONGNA~4   ",
        b"LONG_N~1   ",
    ]
    assert short_names(["readme.", "README"])[0] != b"README     "


@given(st.lists(st.text(st.sampled_from("aAbB~1 .+"), min_size=1, max_size=12), max_size=60))
def test_short_names_are_valid_and_differ(names: List[str]) -> None:
    wanted = [name for name in dict.fromkeys(names) if name.strip(". ")]
    found = short_names(wanted)
    assert len(set(found)) == len(wanted)
    for short in found:
        base, extension = short[:8].decode().rstrip(), short[8:].decode().rstrip()
        assert fat_format.is_short(f"{base}.{extension}" if extension else base)


def test_numbers_get_more_digits() -> None:
    shorts = short_names([f"same beginning {number}" for number in range(1, 1101)])
    assert shorts[0] == b"SAMEBE~1   "
    assert shorts[9] == b"SAMEB~10   "
    assert shorts[1099] == b"SAM~1100   "


def test_entries_of_a_long_name() -> None:
    """As mcopy writes them."""
    data = fat_format.directory_data([Member("A long name.text", False, 0x12345, 7)], STAMP)
    assert data[:32] == (
        b"\x42" + "ext".encode("utf-16-le") + b"\0\0\xff\xff\x0f\0\xbd" + b"\xff" * 12 + b"\0\0"
        b"\xff\xff\xff\xff"
    )
    assert data[32:64] == (
        b"\x01"
        + "A lon".encode("utf-16-le")
        + b"\x0f\0\xbd"
        + "g name".encode("utf-16-le")
        + b"\0\0"
        + ".t".encode("utf-16-le")
    )
    time, date = struct.pack("<H", STAMP.time), struct.pack("<H", STAMP.date)
    assert data[64:] == (
        b"ALONGN~1TEX\x20\0\0" + time + date + date + b"\1\0" + time + date + b"\x45\x23\7\0\0\0"
    )
    assert fat_format.checksum(b"ALONGN~1TEX") == 0xBD


def test_name_that_fills_its_last_part_has_an_end_of_its_own() -> None:
    """As ocaml-fat writes it; otherwise it would not find the name."""
    data = fat_format.directory_data([Member("thirteen-char", True, 5, 0)], STAMP)
    assert len(data) == 96
    check = bytes([fat_format.checksum(b"THIRTE~1   ")])
    rest = b"\xff" * 8
    assert data[:32] == b"\x42\0\0" + rest + b"\x0f\0" + check + b"\xff" * 12 + b"\0\0" + rest[:4]
    assert data[32] == 1
    assert data[60:64] == "ar".encode("utf-16-le")
    assert data[64 + 11] == 0x10


@pytest.mark.parametrize(
    "name",
    [
        *("A", "HELLO.TXT", "hello.txt", "a b", "A b", ".git", "A+B", "A.B.C", "A..B", "LONG.JSON"),
        *("NINELETTE", "ABCDEFG HI", ".NINELETTE", "..ABCD", "x" * 13, "X" * 13, "x" * 255),
    ],
)
def test_name_that_mirage_finds(name: str) -> None:
    """This and the next are what ocaml-fat 0.15.1 has answered."""
    assert fat_format.is_found_by_mirage(name)


@pytest.mark.parametrize(
    "name",
    ["A B", "A B.TXT", "A.T T", " A", ".GIT", ".A.B", "..ABC", ". A", "é", "Ä", "x é", "日本"],
)
def test_name_that_mirage_does_not_find(name: str) -> None:
    assert not fat_format.is_found_by_mirage(name)


def test_dots() -> None:
    data = fat_format.dots(0x10003, 9, STAMP)
    assert data[:12] == b".          \x10"
    assert data[32:44] == b"..         \x10"
    assert (data[20:22], data[26:28]) == (b"\1\0", b"\3\0")
    assert (data[52:54], data[58:60]) == (b"\0\0", b"\x09\0")


def entries(bits: int, ends: Sequence[int]) -> List[int]:
    data = b"".join(fat_format.table(bits, ends))
    code = "H" if bits == 16 else "I"
    return list(struct.unpack(f"<{len(data) // (bits // 8)}{code}", data))


@pytest.mark.parametrize(("bits", "end"), [(16, 0xFFFF), (32, 0x0FFFFFFF)])
def test_table(bits: int, end: int) -> None:
    assert entries(bits, []) == []
    assert entries(bits, [2, 5, 6]) == [end, 4, 5, end, end]


@pytest.mark.parametrize("piece", [1, 2, 3, 5])
@given(st.lists(st.integers(1, 7), max_size=12))
def test_table_in_pieces(piece: int, lengths: List[int]) -> None:
    ends, expected = [], []
    for length in lengths:
        first = 2 + len(expected)
        expected += [*range(first + 1, first + length), 0xFFFF]
        ends.append(first + length - 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fat_format, "_TABLE_PIECE", piece)
        assert entries(16, ends) == expected
        assert all(len(one) <= 4 * piece for one in fat_format.table(16, ends))


def test_boot_sector_of_16_bits() -> None:
    head = struct.pack("<11xHBHBHHBH", 4096, 2, 1, 2, 512, 0, 0xF8, 3).ljust(512, b"\0")
    boot = Boot.read(head)
    assert (boot.bits, boot.entry, boot.cluster, boot.info) == (16, 2, 8192, ())
    assert boot.tables == (4096, 4 * 4096)
    assert (boot.root, boot.data) == (7 * 4096, 11 * 4096)
    assert boot.offset(3) == 13 * 4096


def boot_32(root: int = 2) -> bytes:
    fields = (512, 8, 32, 2, 0, 0, 0xF8, 0)
    return struct.pack("<11xHBHBHHBH12xI4xIHH", *fields, 1000, root, 1, 6).ljust(512, b"\0")


def test_boot_sector_of_32_bits() -> None:
    boot = Boot.read(boot_32())
    assert (boot.bits, boot.entry, boot.cluster, boot.info) == (32, 4, 4096, (512, 7 * 512))
    assert boot.tables == (32 * 512, 1032 * 512)
    assert boot.root == boot.data == boot.offset(2) == 2032 * 512
    with pytest.raises(ValueError, match="the topmost directory is not at the beginning"):
        Boot.read(boot_32(root=3))


def test_free_clusters() -> None:
    numbers = struct.pack("<II14xH", 999, 2, 0xAA55)
    sector = b"RRaA".ljust(484, b"\0") + b"rrAa" + numbers
    found = fat_format.with_free(sector, 11)
    assert struct.unpack_from("<II", found, 488) == (989, 13)
    assert (found[:488], found[496:]) == (sector[:488], sector[496:])
    assert fat_format.with_free(bytes(512), 11) == bytes(512)
