# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ext file systems, created and filled by mke2fs (e2fsprogs) without mounting them."""

from __future__ import annotations

import os
from functools import cached_property
from typing import List, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import by_number
from ansible_collections.xen.blockdev.plugins.module_utils.image.directory_tree import (
    DirectoryTree,
    OpenDirectory,
    TreeEntry,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system import (
    FILL_SECONDS,
    FileSystem,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.new_disk import NewDisk
from ansible_collections.xen.blockdev.plugins.module_utils.image.tool import Tool
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_size

MKE2FS = Tool("mke2fs", "creates ext2, ext3 and ext4 file systems")

EXT_KINDS = ("ext2", "ext3", "ext4")

EXT_LABEL_BYTES = 16

BLOCK = 4096
"""Bytes. mke2fs would choose smaller blocks for small images, which a user may grow later."""

GROUP = 8 * BLOCK
"""Blocks, or inodes, that one bitmap block covers."""

INODE = 256
"""Bytes."""

BYTES_PER_INODE = 16384
"""The default of mke2fs."""

RESERVED_INODES = 11
"""Inodes that the file system itself uses, ``lost+found`` included."""

POINTERS = BLOCK // 4
"""Block numbers in an indirect block."""

DIRECT = 12
"""Blocks of a file that need no indirect block."""

SHORT_LINK = 60
"""Bytes. The target of a symbolic link as long as this, or longer, does not fit into its inode."""

NAME_LOSS = 276
"""Bytes of a directory block that may be lost: a rest too short for a name, and the checksum."""

MIB_BLOCKS = 1024**2 // BLOCK
JOURNAL_MIB = (4, 64)
"""The smallest journal that mke2fs creates, and the largest used here."""

JOURNAL_SHARE = 32
"""The journal takes this fraction of the image, 1/32, within these bounds."""

MIN_JOURNALED_SIZE = 8 * 1024**2
"""Bytes of an image with a journal, for which mke2fs uses at most half of the free blocks."""

MAX_GROWTH = 1024
"""mke2fs reserves group descriptors for a file system that grows to so many times its size."""

MAX_RESERVED = 1024
"""Blocks that it reserves for these at most."""

DESCRIPTOR = 64
"""Bytes of a group descriptor at most."""

SPARE = 64
"""Blocks for anything else that a version of mke2fs may reserve."""


class Ext(FileSystem):
    """An ext file system. Its files have the owner, mode, time and attributes of the originals."""

    def __init__(self, kind: str, label: Optional[str], directory: Optional[DirectoryTree]) -> None:
        _check_ext_label(label)
        super().__init__(kind, label, directory)
        MKE2FS.require()

    @cached_property
    def size(self) -> int:
        """See FileSystem.size. Large enough that mke2fs never fails; about 2% stay free."""
        blocks = self._data + SPARE
        while True:
            needed = self._data + self._data // 50 + self._overhead(blocks)
            journal = self._journal(blocks) * MIB_BLOCKS
            needed = max(
                needed + journal + journal // POINTERS, self._overhead(blocks) + 2 * journal
            )
            if needed <= blocks:
                return blocks * BLOCK
            blocks = needed

    @cached_property
    def _data(self) -> int:
        """Blocks for the directory and its content."""
        if not self.directory:
            return 1
        directories = sum(_directory_blocks(names) for names in self.directory.by_parent.values())
        return directories + sum(_file_blocks(entry) for entry in self.directory.entries)

    def _journal(self, blocks: int) -> int:
        """MiB. Its steps are so small that a larger image always has room for a larger journal."""
        if self.kind == "ext2":
            return 0
        least, most = JOURNAL_MIB
        return min(max(blocks // JOURNAL_SHARE // MIB_BLOCKS, least), most)

    def _inodes(self, blocks: int) -> int:
        entries = len(self.directory.entries) if self.directory else 0
        return max(entries + 2 * RESERVED_INODES, blocks * BLOCK // BYTES_PER_INODE)

    def _overhead(self, blocks: int) -> int:
        """Of a file system with so many blocks, those that hold neither data nor the journal."""
        inodes = self._inodes(blocks)
        groups = max(-(-blocks // GROUP), -(-inodes // GROUP))
        tables = -(-inodes * INODE // BLOCK) + 2 * groups
        descriptors = -(-groups * DESCRIPTOR // BLOCK)
        reserved = min(-(-blocks * MAX_GROWTH // GROUP * DESCRIPTOR // BLOCK), MAX_RESERVED)
        orphans = min(32 + blocks // BLOCK, 512)
        copies = _copies(groups) * (1 + descriptors + reserved)
        return tables + 2 * groups + copies + orphans + SPARE

    def check(self, size: int) -> None:
        """See FileSystem.check. Below ``self.size``, only mke2fs shows what is enough."""
        least = MIN_JOURNALED_SIZE if self.kind != "ext2" else SPARE * BLOCK
        if size < max(least, self._data * BLOCK if self.directory else 0):
            raise self._too_small(size)

    def _write(self, disk: NewDisk, source: Optional[OpenDirectory]) -> None:
        blocks = disk.size // BLOCK
        descriptors = {disk.descriptor: disk.name}
        arguments = ["-q", "-F", "-t", self.kind, "-b", str(BLOCK), "-I", str(INODE), "-m", "0"]
        arguments += ["-N", str(self._inodes(blocks))]
        arguments += ["-E", f"root_owner=0:0,lazy_journal_init=1,{_zeros(disk)}"]
        if self._journal(blocks):
            arguments += ["-J", f"size={self._journal(blocks)}"]
        if self.label:
            arguments += ["-L", self.label]
        if source:
            descriptors[source.descriptor] = source.directory.path
            arguments += ["-d", by_number(source.descriptor)]
        arguments += [by_number(disk.descriptor), str(blocks)]
        try:
            MKE2FS.run(*arguments, timeout=FILL_SECONDS, descriptors=descriptors)
        except ImageError as error:
            if disk.size >= self.size:
                raise
            words = " ".join(str(error).split())
            raise ImageError(f"{words}; {format_size(self.size)} is enough for it") from None


def _zeros(disk: NewDisk) -> str:
    """The extended options for a disk that reads as zeros, so that neither mke2fs nor the guest's
    kernel needs to write zeros to the inode tables, nor to the journal (mke2fs still does for an
    ext3)."""
    if not disk.is_device:
        return "discard,lazy_itable_init=0"
    # What a device reads as once its blocks are discarded is up to it. Without that, mke2fs does
    # not know of the zeros. So the guest's kernel writes the tables in the background.
    return "nodiscard,lazy_itable_init=1"


def _check_ext_label(label: Optional[str]) -> None:
    """Raise ImageError if an ext file system cannot have the label."""
    if label is None:
        return
    length = len(os.fsencode(label))
    if not 0 < length <= EXT_LABEL_BYTES or not label.isprintable():
        raise ImageError(
            f"invalid ext label {label!r}: it must be 1 to {EXT_LABEL_BYTES} bytes of printable "
            "characters"
        )


def _file_blocks(entry: TreeEntry) -> int:
    """Blocks for a file's content, a long link's target and extended attributes."""
    own = int(entry.attributes)
    if entry.is_link:
        return own + int(len(os.fsencode(entry.target)) >= SHORT_LINK)
    return own + _with_indirect(-(-entry.size // BLOCK))


def _directory_blocks(entries: List[TreeEntry]) -> int:
    # A name has a header of 8 bytes and is padded to a multiple of 4; the first two are . and ..
    names = 24 + sum(8 + -(-len(os.fsencode(entry.name)) // 4) * 4 for entry in entries)
    return _with_indirect(-(-names // (BLOCK - NAME_LOSS)))


def _with_indirect(blocks: int) -> int:
    """Data blocks plus their indirect blocks; extents need fewer."""
    if blocks <= DIRECT:
        return blocks
    return blocks + blocks // POINTERS + blocks // POINTERS**2 + 3


def _copies(groups: int) -> int:
    """How many groups have a copy of the superblock: groups 0, 1 and the powers of 3, 5 and 7."""
    powers = {int(base**exponent) for base in (3, 5, 7) for exponent in range(1, 24)}
    return min(groups, 2) + sum(power < groups for power in powers)
