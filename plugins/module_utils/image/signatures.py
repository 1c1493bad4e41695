# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What bytes at the beginning or the end of a file look like another format than raw.

A guest can write such bytes into its raw disk itself. So a signature is only ever a reason to stop
and ask, never to read a file in the format that it names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.units import SECTOR

HEAD = SECTOR
"""Bytes at the beginning in which signatures are looked for."""

TAIL = SECTOR
"""Bytes at the end, the same."""


@dataclass(frozen=True)
class Signature:
    """The format that a file seems to have."""

    format: str
    words: str
    """What it is then, in an error: C(a qcow2 image)."""
    remedy: str
    """How to make a raw image of it."""
    source_format: Optional[str] = None
    """What xen_raw_disk calls the format, if it reads it."""


def _image(name: str) -> Signature:
    """A format that xen_raw_disk reads."""
    remedy = f"make a raw image of it (xen_raw_disk with source and source_format: {name})"
    if name in ("qcow2", "vhd", "qed"):
        remedy = f"give the disk format: {name}, or {remedy}"
    return Signature(name, f"a {name} image", remedy, name)


def _other_image(name: str) -> Signature:
    return Signature(name, f"a {name} image", "make a raw image of it (qemu-img convert -O raw)")


def _compressed(program: str) -> Signature:
    return Signature(
        program, f"a file compressed by {program}", f"uncompress it first ({program} -d)"
    )


def _archive(name: str, command: str) -> Signature:
    return Signature(name, f"a {name} archive", f"unpack it first ({command})")


TAR = _archive("tar", "tar -xf")
"""The key-value store of MirageOS reads a tar archive that begins with the disk's first byte. So an
image with this signature is as it should be, and only a source has to be asked about."""

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
"""Offset, bytes and format. The sources: QEMU's block drivers, and file(1)'s magic(5)."""

_BZIP2 = (b"BZh", b"1AY&SY")
"""A digit, the size of its blocks, stands between them."""

_TAILS: Tuple[Tuple[int, bytes, Signature], ...] = (
    # Of a VHD of fixed size this is all there is. Old versions of Virtual PC wrote 511 bytes.
    (512, b"conectix", VHD),
    (511, b"conectix", VHD),
    (512, b"koly", _other_image("dmg")),
)
"""Bytes before the end, bytes and format."""


def of_source(head: bytes, tail: bytes) -> Optional[Signature]:
    """What a file looks like whose first HEAD and last TAIL bytes these are; None where it looks
    raw. A file that is shorter has fewer."""
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
    """The same of a disk that a guest has, or is to get: it may well be a tar archive."""
    found = of_source(head, tail)
    return None if found is TAR else found
