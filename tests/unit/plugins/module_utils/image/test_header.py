# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that headers of images name, as the specifications lay them out."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.image import header as image_header
from ansible_collections.xen.blockdev.plugins.module_utils.image.header import HeaderError, Named
from hypothesis import given
from hypothesis import strategies as st


def extension(kind: int, name: bytes) -> bytes:
    return struct.pack(">II", kind, len(name)) + name + b"\0" * (-len(name) % 8)


def qcow2(
    backing: bytes = b"", extensions: bytes = b"", features: int = 0, version: int = 3
) -> bytes:
    """An image of QEMU's, as far as its first cluster."""
    size = 104 if version == 3 else 72
    offset = size + len(extensions) + 8 if backing else 0
    head = struct.pack(">4sIQI", b"QFI\xfb", version, offset, len(backing)).ljust(72, b"\0")
    if version == 3:
        head += struct.pack(">Q", features).ljust(28, b"\0") + struct.pack(">I", size)
    return (head + extensions + b"\0" * 8 + backing).ljust(512, b"\0")


def test_qcow2() -> None:
    assert image_header.named(qcow2(), "qcow2") == Named()
    raw = extension(image_header.BACKING_FORMAT, b"raw")
    assert image_header.named(qcow2(b"base.raw", raw), "qcow2") == Named("base.raw", "raw")
    other = extension(0x6803F857, b"feature names") + raw
    assert image_header.named(qcow2(b"b\xff", other), "qcow2") == Named("b\udcff", "raw")
    data = extension(image_header.DATA_FILE, b"d.raw")
    assert image_header.named(qcow2(b"", data, features=4), "qcow2") == Named(data="d.raw")


def test_older_versions() -> None:
    assert image_header.named(qcow2(b"base", version=2), "qcow2") == Named("base")
    # As QEMU wrote it before there were extensions: the name right behind the header.
    bare = struct.pack(">4sIQI", b"QFI\xfb", 2, 72, 4).ljust(72, b"\0") + b"base"
    assert image_header.named(bare, "qcow2") == Named("base")
    assert image_header.named(struct.pack(">4sIQI", b"QFI\xfb", 1, 48, 1).ljust(48) + b"b", "qcow")


@pytest.mark.parametrize(
    ("features", "found"),
    [
        (0, Named()),
        (1, Named("base")),
        (5, Named("base", "raw")),
    ],
)
def test_qed(features: int, found: Named) -> None:
    header = struct.pack("<4s3I5Q2I", b"QED\0", 65536, 4, 1, features, 0, 0, 0, 0, 64, 4)
    assert image_header.named(header + b"base", "qed") == found


def test_vhd() -> None:
    def vhd(kind: int) -> bytes:
        return b"conectix".ljust(60, b"\0") + struct.pack(">I", kind)

    assert image_header.named(vhd(3), "vhd") == Named()
    assert image_header.named(b"the data of one of fixed size", "vhd") == Named()
    with pytest.raises(HeaderError, match="differencing VHD, whose parent QEMU does not open"):
        image_header.named(vhd(4), "vhd")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is truncated"),
        (b"QFI\xfb\0\0\0\x09".ljust(104, b"\0"), "not have a header of this format"),
        (b"guest data".ljust(104, b"\0"), "not have a header of this format"),
        (struct.pack(">4sIQI", b"QFI\xfb", 3, 2**63, 8).ljust(104, b"\0"), "outside of the header"),
        (struct.pack(">4sIQI", b"QFI\xfb", 3, 8, 2**31).ljust(104, b"\0"), "outside of the header"),
        (qcow2(features=4), "whose name is missing"),
        (qcow2(b"", extension(1, b"")[:4] + b"\xff\xff\xff\xff"), "has no end"),
    ],
)
def test_damaged(data: bytes, message: str) -> None:
    with pytest.raises(HeaderError, match=message):
        image_header.named(data, "qcow2")


def test_probing_is_what_qemu_does() -> None:
    assert image_header.probed(qcow2()) == "qcow2"
    assert image_header.probed(b"QFI\xfb\0\0\0\1") == "qcow"
    assert image_header.probed(b"QED\0") == "qed"
    assert image_header.probed(b"") == "raw"


@given(st.binary(max_size=300), st.sampled_from(image_header.CHAINED))
def test_anything_is_named_or_refused(rest: bytes, image_format: str) -> None:
    for magic in (b"", b"QFI\xfb\0\0\0\3", b"QFI\xfb\0\0\0\2", b"QED\0", b"conectix"):
        with suppress(HeaderError):
            image_header.named(magic + rest, image_format)
