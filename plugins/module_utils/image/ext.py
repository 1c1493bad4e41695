# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""File systems of the ext family, made and filled by mke2fs (e2fsprogs), without a mount."""

from __future__ import annotations

import os
from functools import cached_property
from typing import List, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.host.files import by_number
from ansible_collections.xen.blockdev.plugins.module_utils.image.content import (
    FILL_SECONDS,
    Entry,
    FileSystem,
    Folder,
    OpenFolder,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.tools import ImageError, Tool
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_size

MKE2FS = Tool("mke2fs", "makes ext2, ext3 and ext4 file systems")

KINDS = ("ext2", "ext3", "ext4")

LABEL_BYTES = 16

BLOCK = 4096
"""Bytes. Whatever the size of the image, so that growing it later is no reason to regret it."""

GROUP = 8 * BLOCK
"""Blocks that one block of bits keeps account of, and inodes as well."""

INODE = 256
"""Bytes."""

BYTES_PER_INODE = 16384
"""As many files as mke2fs makes room for on its own."""

RESERVED_INODES = 11
"""Those that the file system keeps, C(lost+found) included."""

POINTERS = BLOCK // 4
"""Block numbers in a block of them."""

DIRECT = 12
"""Blocks of a file that need no block of numbers."""

SHORT_LINK = 60
"""Bytes from which on a symbolic link's target does not fit its inode."""

NAME_LOSS = 276
"""Bytes at most at the end of a directory's block in which no name has room, and a checksum."""

MIB_BLOCKS = 1024**2 // BLOCK
JOURNAL_MIB = (4, 64)
"""At least, as mke2fs makes none below, and at most."""

JOURNAL_SHARE = 32
"""The part of the image that may become its journal, one in so many."""

JOURNAL_MINIMUM = 8 * 1024**2
"""Bytes. mke2fs gives a journal at most half of what is free."""

GROWTH = 1024
"""How many times its size a file system can grow with what mke2fs reserves for descriptors."""

MAX_RESERVED = 1024
"""Blocks that it reserves for them at most."""

DESCRIPTOR = 64
"""Bytes of a group's descriptor at most."""

SPARE = 64
"""Blocks for what else a version of mke2fs may lay aside."""


class Ext(FileSystem):
    """An ext file system. Its files have the owner, mode, time and attributes of the folder's."""

    def __init__(self, kind: str, label: Optional[str], folder: Optional[Folder]) -> None:
        check_label(label)
        super().__init__(kind, label, folder)
        MKE2FS.require()

    @cached_property
    def size(self) -> int:
        """See FileSystem.size. Generous: mke2fs never fails with it, and about 2% stay free."""
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
        """Blocks for all that is in the folder, and the folder itself."""
        if not self.folder:
            return 1
        directories = sum(_directory_blocks(names) for names in self.folder.below.values())
        return directories + sum(_file_blocks(entry) for entry in self.folder.entries)

    def _journal(self, blocks: int) -> int:
        """MiB. It grows with the image by steps so small that a larger one always has room."""
        if self.kind == "ext2":
            return 0
        least, most = JOURNAL_MIB
        return min(max(blocks // JOURNAL_SHARE // MIB_BLOCKS, least), most)

    def _inodes(self, blocks: int) -> int:
        entries = len(self.folder.entries) if self.folder else 0
        return max(entries + 2 * RESERVED_INODES, blocks * BLOCK // BYTES_PER_INODE)

    def _overhead(self, blocks: int) -> int:
        """Blocks of a file system of so many that can be neither data nor journal."""
        inodes = self._inodes(blocks)
        groups = max(-(-blocks // GROUP), -(-inodes // GROUP))
        tables = -(-inodes * INODE // BLOCK) + 2 * groups
        descriptors = -(-groups * DESCRIPTOR // BLOCK)
        reserved = min(-(-blocks * GROWTH // GROUP * DESCRIPTOR // BLOCK), MAX_RESERVED)
        orphans = min(32 + blocks // BLOCK, 512)
        copies = _copies(groups) * (1 + descriptors + reserved)
        return tables + 2 * groups + copies + orphans + SPARE

    def check(self, size: int) -> None:
        """See FileSystem.check. What lies between this and C(self.size) is tried."""
        least = JOURNAL_MINIMUM if self.kind != "ext2" else SPARE * BLOCK
        if size < max(least, self._data * BLOCK if self.folder else 0):
            raise self._too_small(size)

    def _write(self, new: int, size: int, source: Optional[OpenFolder]) -> None:
        blocks = size // BLOCK
        descriptors = {new: "the new image"}
        arguments = ["-q", "-F", "-t", self.kind, "-b", str(BLOCK), "-I", str(INODE), "-m", "0"]
        arguments += ["-N", str(self._inodes(blocks))]
        # What the file has no data for reads as zeros: the tables need no zeros of their own, not
        # even later by the guest's kernel. Nor does the journal, which only ext3 gets written out.
        arguments += ["-E", "root_owner=0:0,discard,lazy_itable_init=0,lazy_journal_init=1"]
        if self._journal(blocks):
            arguments += ["-J", f"size={self._journal(blocks)}"]
        if self.label:
            arguments += ["-L", self.label]
        if source:
            descriptors[source.descriptor] = source.folder.path
            arguments += ["-d", by_number(source.descriptor)]
        arguments += [by_number(new), str(blocks)]
        try:
            MKE2FS.run(*arguments, timeout=FILL_SECONDS, descriptors=descriptors)
        except ImageError as error:
            if size >= self.size:
                raise
            words = " ".join(str(error).split())
            raise ImageError(f"{words}; {format_size(self.size)} would be enough for it") from None


def check_label(label: Optional[str]) -> None:
    """Raise ImageError for a label that no ext file system can have."""
    if label is None:
        return
    length = len(os.fsencode(label))
    if not 0 < length <= LABEL_BYTES or not label.isprintable():
        raise ImageError(
            f"label {label!r} does not do for ext: it takes 1 to {LABEL_BYTES} bytes of printable "
            "characters"
        )


def _file_blocks(entry: Entry) -> int:
    """Blocks for a file's content, a long link's target, or extended attributes."""
    own = int(entry.attributes)
    if entry.is_link:
        return own + int(len(os.fsencode(entry.target)) >= SHORT_LINK)
    return own + _with_numbers(-(-entry.size // BLOCK))


def _directory_blocks(entries: List[Entry]) -> int:
    # Each name has a header of 8 bytes and is filled up to 4; the first two are . and ..
    names = 24 + sum(8 + -(-len(os.fsencode(entry.name)) // 4) * 4 for entry in entries)
    return _with_numbers(-(-names // (BLOCK - NAME_LOSS)))


def _with_numbers(blocks: int) -> int:
    """Blocks of data with those that hold their numbers; extents need fewer."""
    if blocks <= DIRECT:
        return blocks
    return blocks + blocks // POINTERS + blocks // POINTERS**2 + 3


def _copies(groups: int) -> int:
    """How many groups have a copy of the superblock: 0, 1 and the powers of 3, 5 and 7."""
    powers = {int(base**exponent) for base in (3, 5, 7) for exponent in range(1, 24)}
    return min(groups, 2) + sum(power < groups for power in powers)
