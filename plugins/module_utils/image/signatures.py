# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures: bytes at the beginning or end of a file that another format than raw has.

A guest can write such bytes into its raw disk. So a signature is a reason to stop and ask the user,
never to read the file in that format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.units import SECTOR

HEAD = SECTOR
"""Bytes at the beginning that may hold a signature."""

TAIL = SECTOR
"""Bytes at the end that may hold one."""


@dataclass(frozen=True)
class Signature:
    """The format that a file has according to its signature."""

    format: str
    words: str
    """What it is, for an error: ``a qcow2 image``."""
    remedy: str
    """How to get a raw image from it."""
    source_format: Optional[str] = None
    """The value of xen_raw_disk's option ``source_format``, if it reads the format."""


def _image(name: str) -> Signature:
    """A format that xen_raw_disk reads."""
    remedy = f"convert it to raw (xen_raw_disk with source and source_format: {name})"
    if name in ("qcow2", "vhd", "qed"):
        remedy = f"set format: {name} for the disk, or {remedy}"
    return Signature(name, f"a {name} image", remedy, name)


def _other_image(name: str) -> Signature:
    return Signature(name, f"a {name} image", "convert it to raw (qemu-img convert -O raw)")


def _compressed(program: str) -> Signature:
    return Signature(
        program, f"a file compressed by {program}", f"uncompress it first ({program} -d)"
    )


def _archive(name: str, command: str) -> Signature:
    return Signature(name, f"a {name} archive", f"unpack it first ({command})")


TAR = _archive("tar", "tar -xf")
"""The key-value store of MirageOS reads a tar archive that begins with the disk's first byte. So
this signature is normal in an image, and needs a decision of the user only in a source."""

VHD = _image("vhd")

_HEADS: Tuple[Tuple[int, bytes, Signature], ...] = (
    (0, b"QFI\xfb\0\0\0\1", _other_image("qcow")),
    (0, b"QFI\xfb", _image("qcow2")),
    (0, b"conectix", VHD),
    (0, b"vhdxfile", _image("vhdx")),
    (0, b"KDMV", _image("vmdk")),
    (0, b"COWD", _image("vmdk")),
    (0, b"# Disk DescriptorFile", _image("vmdk")),
    (0x40, b"\x7f\x10\xda\xbe", _image("vdi")),
    (0, b"QED\0", _image("qed")),
    (0, b"WithoutFreeSpace", _other_image("parallels")),
    (0, b"WithouFreSpacExt", _other_image("parallels")),
    (0, b"\xfd7zXZ\0", _compressed("xz")),
    (0, b"\x1f\x8b\x08", _compressed("gzip")),
    (0, b"\x28\xb5\x2f\xfd", _compressed("zstd")),
    (0, b"\x04\x22\x4d\x18", _compressed("lz4")),
    (0, b"LZIP", _compressed("lzip")),
    (0, b"\x89LZO\0\r\n\x1a\n", _compressed("lzop")),
    (0, b"PK\3\4", _archive("zip", "unzip")),
    (0, b"7z\xbc\xaf\x27\x1c", _archive("7z", "7z x")),
    (0, b"Rar!\x1a\7", _archive("rar", "unrar x")),
    (257, b"ustar", TAR),
)
"""Offset, bytes and format, from QEMU's block drivers and file(1)'s magic(5)."""

_BZIP2 = (b"BZh", b"1AY&SY")
"""Between them is a digit, the size of its blocks."""

_TAILS: Tuple[Tuple[int, bytes, Signature], ...] = (
    # A VHD of fixed size has only this footer. Old versions of Virtual PC wrote 511 bytes.
    (512, b"conectix", VHD),
    (511, b"conectix", VHD),
    (512, b"koly", _other_image("dmg")),
)
"""Offset from the end, bytes and format."""

_BY_FORMAT = {
    one.format: one
    for one in (*(head[2] for head in _HEADS), _compressed("bzip2"), *(tail[2] for tail in _TAILS))
    if one is not TAR
}


def of_source(head: bytes, tail: bytes) -> Optional[Signature]:
    """The signature in a source with these first HEAD and last TAIL bytes, fewer if it is shorter;
    None if it looks raw."""
    for offset, magic, signature in _HEADS:
        if head.startswith(magic, offset):
            return signature
    if head.startswith(_BZIP2[0]) and head.startswith(_BZIP2[1], 4):
        return _compressed("bzip2")
    for before_end, magic, signature in _TAILS:
        if len(tail) >= before_end and tail.startswith(magic, len(tail) - before_end):
            return signature
    return None


def of_image(head: bytes, tail: bytes) -> Optional[Signature]:
    """The same for the disk of a guest, which may be a tar archive."""
    found = of_source(head, tail)
    return None if found is TAR else found


def of_format(name: str) -> Optional[Signature]:
    """The signature of a format by its name, of those that the disk of a guest may have; None for
    a format that has none."""
    return _BY_FORMAT.get(name)
