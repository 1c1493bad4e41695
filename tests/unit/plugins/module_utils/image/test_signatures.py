# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures at their places; those that real programs write are in the integration targets."""

from __future__ import annotations

import struct
from typing import Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.image import signatures
from ansible_collections.xen.blockdev.plugins.module_utils.image.source import FORMATS
from hypothesis import given
from hypothesis import strategies as st

SECTOR = 512
EMPTY = bytes(SECTOR)

HEADS = [
    (0, b"QFI\xfb\0\0\0\2", "qcow2"),
    (0, b"QFI\xfb\0\0\0\3", "qcow2"),
    (0, b"QFI\xfb\0\0\0\1", "qcow"),
    (0, b"conectix", "vhd"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile\n", "vmdk"),
    (0x40, struct.pack("<I", 0xBEDA107F), "vdi"),
    (0, b"QED\0", "qed"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x1f\x8b\x08", "gzip"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (0, b"LZIP", "lzip"),
    (0, b"\x89LZO\0\r\n\x1a\n", "lzop"),
    (0, b"BZh91AY&SY", "bzip2"),
    (0, b"PK\3\4", "zip"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\7", "rar"),
]
TAILS = [(512, b"conectix", "vhd"), (511, b"conectix", "vhd"), (512, b"koly", "dmg")]


def at(offset: int, magic: bytes) -> bytes:
    return (bytes(offset) + magic).ljust(SECTOR, b"\0")


def name(head: bytes, tail: bytes) -> Optional[str]:
    """The format of an image, and of a source in the same way."""
    found = signatures.of_image(head, tail)
    assert signatures.of_source(head, tail) == found
    return found.format if found else None


@pytest.mark.parametrize(("offset", "magic", "expected"), HEADS)
def test_beginning(offset: int, magic: bytes, expected: str) -> None:
    assert name(at(offset, magic), EMPTY) == expected
    assert name(at(offset + 1, magic), EMPTY) is None
    if expected != "qcow":  # the rest of which is what qcow2 begins with
        less = magic[: 3 if expected == "qcow2" else -2]
        assert name(at(offset, less), EMPTY) is None


@pytest.mark.parametrize(("before_end", "magic", "expected"), TAILS)
def test_end(before_end: int, magic: bytes, expected: str) -> None:
    tail = at(SECTOR - before_end, magic)
    assert name(EMPTY, tail) == expected
    assert name(EMPTY, at(SECTOR - before_end + 2, magic)) is None
    # Of a file that is shorter than a sector only what is there counts.
    assert name(tail[1:], tail[1:]) == ("vhd" if before_end == 511 else None)


@pytest.mark.parametrize("size", [0, 1, 3, 257, 511])
def test_short_file(size: int) -> None:
    assert name(bytes(size), bytes(size)) is None


@pytest.mark.parametrize("magic", [b"BZh9", b"BZh9 is how it begins", b"\x1f\x8b\0", b"QFI"])
def test_less_than_a_signature(magic: bytes) -> None:
    assert name(at(0, magic), EMPTY) is None


def test_tar_is_what_a_unikernel_reads() -> None:
    head = at(257, b"ustar\x0000")
    assert signatures.of_source(head, EMPTY) is signatures.TAR
    assert signatures.of_image(head, EMPTY) is None


@pytest.mark.parametrize(
    ("magic", "remedy"),
    [
        (
            b"QFI\xfb",
            "set format: qcow2 for the disk, or convert it to raw (xen_raw_disk with source and "
            "source_format: qcow2)",
        ),
        (b"vhdxfile", "convert it to raw (xen_raw_disk with source and source_format: vhdx)"),
        (b"WithoutFreeSpace", "convert it to raw (qemu-img convert -O raw)"),
        (b"\x1f\x8b\x08", "uncompress it first (gzip -d)"),
        (b"BZh11AY&SY", "uncompress it first (bzip2 -d)"),
        (b"PK\3\4", "unpack it first (unzip)"),
    ],
)
def test_remedy(magic: bytes, remedy: str) -> None:
    found = signatures.of_image(at(0, magic), EMPTY)
    assert found is not None
    assert found.remedy == remedy
    assert found.source_format in (None, *FORMATS)


@given(st.binary(max_size=SECTOR))
def test_any_bytes(data: bytes) -> None:
    for found in (signatures.of_source(data, data), signatures.of_image(data, data)):
        assert found is None or found.words.endswith((found.format, "image", "archive"))


@pytest.mark.parametrize("name", sorted({name for _offset, _magic, name in HEADS}))
def test_a_signature_by_the_name_of_its_format(name: str) -> None:
    found = signatures.of_format(name)
    assert found
    assert found.format == name


def test_formats_without_a_signature() -> None:
    assert signatures.of_format("raw") is None
    assert signatures.of_format("tar") is None
    dmg, vhd = signatures.of_format("dmg"), signatures.of_format("vhd")
    assert dmg
    assert vhd is signatures.VHD
