# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the file systems that a new disk can have a disk begins with, and its label.

Guests write what is looked at here, so it is only ever a text in a warning. blkid knows far more
file systems, but takes a process for each disk. The places are those of the structures in Linux:
ext4_super_block, fat_boot_sector, xfs_dsb, swap_header, and iso_primary_descriptor.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Callable, Iterator, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.image.fat_format import (
    DIRECTORY,
    ENTRY_BYTES,
    LABEL,
    LONG,
    Boot,
)

Reader = Callable[[int, int], bytes]
"""From an offset and a number of bytes to these bytes of a disk, or fewer at its end."""

HEAD_BYTES = 4096

_EXT, _EXT_MAGIC, _EXT_LABEL = 1024, 1080, 1144
_JOURNAL = 0x4
_EXT3_INCOMPATIBLE = 0x2 | 0x4 | 0x10
_EXT3_READ_ONLY = 0x1 | 0x2 | 0x4
"""Features of ext3: file types, recovery and meta groups; sparse copies of the superblock, large
files and trees in directories. An ext4 has others, too."""

_SWAP = (b"SWAPSPACE2", b"S1SUSPEND\0")
"""At the end of the first page: of a swap area, and of one that holds a guest that sleeps."""

_ISO_OFFSET, _ISO_LABEL = 16 * 2048, 40

_FAT_TYPE = re.compile(rb"FAT(12|16|32)? *")
_FAT_ROOT_BYTES = 4096
"""Of the topmost directory, which the label is looked for in."""

NO_NAME = b"NO NAME    "
DELETED = 0xE5
"""The first byte of an entry that is no longer there."""

TABLES = (
    (b"LUKS\xba\xbe", 0, "it is encrypted (LUKS)"),
    (b"EFI PART", 512, "it has partitions"),
    (b"LABELONE", 512, "it is a physical volume of LVM"),
)


@dataclass(frozen=True)
class FoundFileSystem:
    """What a disk begins with."""

    kind: str
    """As the option ``filesystem`` calls it."""
    label: Optional[str] = None
    is_label_known: bool = True


def found(read: Reader) -> Optional[FoundFileSystem]:
    """The file system, swap area or archive that a disk begins with, if it is a known one."""
    head = read(0, HEAD_BYTES)
    return _xfs(head) or _swap(head) or _ext(head) or _fat(head, read) or _iso(read) or _tar(head)


def other(read: Reader) -> Optional[str]:
    """What a disk that has none of them is to its guest, as a clause, if that can be seen."""
    head = read(0, HEAD_BYTES)
    for magic, at, words in TABLES:
        if head.startswith(magic, at):
            return words
    types = head[450:510:16]
    # A boot sector of the BIOS has four partitions. Some have a type, and only zeros have none.
    return "it has partitions" if head[510:512] == b"\x55\xaa" and any(types) else None


def is_empty_archive(read: Reader) -> bool:
    """Whether the disk begins with the end of an archive, so that it is one without members."""
    return not any(read(0, HEAD_BYTES))


def _label(raw: bytes) -> Optional[str]:
    return raw.partition(b"\0")[0].rstrip(b" ").decode("utf-8", "replace") or None


def _xfs(head: bytes) -> Optional[FoundFileSystem]:
    return FoundFileSystem("xfs", _label(head[108:120])) if head.startswith(b"XFSB") else None


def _swap(head: bytes) -> Optional[FoundFileSystem]:
    return FoundFileSystem("swap", _label(head[1052:1068])) if head[-10:] in _SWAP else None


def _ext(head: bytes) -> Optional[FoundFileSystem]:
    if head[_EXT_MAGIC : _EXT_MAGIC + 2] != b"\x53\xef" or len(head) < HEAD_BYTES:
        return None
    compatible, incompatible, read_only = struct.unpack_from("<III", head, _EXT + 92)
    if incompatible & ~_EXT3_INCOMPATIBLE or read_only & ~_EXT3_READ_ONLY:
        kind = "ext4"
    else:
        kind = "ext3" if compatible & _JOURNAL else "ext2"
    return FoundFileSystem(kind, _label(head[_EXT_LABEL : _EXT_LABEL + 16]))


def _fat(head: bytes, read: Reader) -> Optional[FoundFileSystem]:
    if head[510:512] != b"\x55\xaa" or len(head) < HEAD_BYTES:
        return None
    is_wide = head[22:24] == b"\0\0"
    at = 71 if is_wide else 43
    sector, cluster, copies = struct.unpack_from("<HBxxB", head, 11)
    if (
        not _FAT_TYPE.fullmatch(head[at + 11 : at + 19])
        or sector not in (512, 1024, 2048, 4096)
        or not cluster
        or cluster & (cluster - 1)
        or copies not in (1, 2)
    ):
        return None
    try:
        root = read(Boot.read(head).root, _FAT_ROOT_BYTES)
    except ValueError:
        return FoundFileSystem("vfat", is_label_known=False)
    for entry in _entries_of(root):
        if entry[0] == 0:
            label = head[at : at + 11]
            return FoundFileSystem("vfat", None if label == NO_NAME else _label(label))
        is_label = entry[11] & (LABEL | DIRECTORY) == LABEL and entry[11] & LONG != LONG
        if is_label and entry[0] != DELETED:
            return FoundFileSystem("vfat", _label(entry[:11]))
    return FoundFileSystem("vfat", is_label_known=False)


def _entries_of(directory: bytes) -> Iterator[bytes]:
    for at in range(0, len(directory), ENTRY_BYTES):
        yield directory[at : at + ENTRY_BYTES]


def _iso(read: Reader) -> Optional[FoundFileSystem]:
    volume = read(_ISO_OFFSET, 2048)
    if not volume.startswith(b"\1CD001"):
        return None
    return FoundFileSystem("iso9660", _label(volume[_ISO_LABEL : _ISO_LABEL + 32]))


def _tar(head: bytes) -> Optional[FoundFileSystem]:
    return FoundFileSystem("tar") if head.startswith(b"ustar", 257) else None
