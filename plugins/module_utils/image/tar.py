# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tar archive that begins in the disk's first sector, as MirageOS's key-value store reads it."""

from __future__ import annotations

import stat
import tarfile
from functools import cached_property
from typing import Optional

from ansible_collections.xen.blockdev.plugins.module_utils.image.directory_tree import (
    DirectoryTree,
    OpenDirectory,
    TreeEntry,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system import FileSystem
from ansible_collections.xen.blockdev.plugins.module_utils.image.new_disk import NewDisk
from ansible_collections.xen.blockdev.plugins.module_utils.image.writing import write_data
from ansible_collections.xen.blockdev.plugins.module_utils.units import MIRAGE_BLOCK, round_up


class TarArchive(FileSystem):
    """A tar archive: ustar (POSIX.1-1988), with pax headers (POSIX.1-2001) if ustar has no room.

    GNU tar's records of 10240 bytes are not a multiple of MirageOS's blocks. Here the members are
    padded to a block of 4096 bytes, and at least one such block of zeros ends the archive.
    """

    noun = "archive"
    preposition = "of"

    def __init__(self, directory: DirectoryTree, preserve: bool) -> None:
        """``preserve``: whether each member has the owner, group, mode and time of its file."""
        super().__init__("tar", None, directory)
        self._entries = directory.entries
        self._preserve = preserve

    @cached_property
    def size(self) -> int:
        """See FileSystem.size."""
        end = sum(
            len(self._header(entry)) + round_up(entry.size, tarfile.BLOCKSIZE)
            for entry in self._entries
        )
        return round_up(end, MIRAGE_BLOCK) + MIRAGE_BLOCK

    def check(self, size: int) -> None:
        """See FileSystem.check."""
        if size < self.size:
            raise self._too_small(size)

    def _write(self, disk: NewDisk, source: Optional[OpenDirectory]) -> None:
        if source is None:
            return
        position = 0
        for parent, entry in source.entries():
            header = self._header(entry)
            write_data(disk.descriptor, header, position)
            position += len(header)
            if entry.is_file:
                source.copy(parent, entry, disk.descriptor, position)
                position += round_up(entry.size, tarfile.BLOCKSIZE)

    def _header(self, entry: TreeEntry) -> bytes:
        member = self._member(entry)
        try:
            return member.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")
        except ValueError:  # a name, number or link is too long for it
            return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")

    def _member(self, entry: TreeEntry) -> tarfile.TarInfo:
        member = tarfile.TarInfo(entry.path)
        member.size = entry.size
        executable = entry.is_directory or entry.status.st_mode & stat.S_IXUSR
        member.mode = 0o755 if executable else 0o644
        if entry.is_directory:
            member.type = tarfile.DIRTYPE
        elif entry.is_link:
            member.type = tarfile.SYMTYPE
            member.linkname = entry.target
        if self._preserve:
            member.mode = stat.S_IMODE(entry.status.st_mode)
            member.uid, member.gid = entry.status.st_uid, entry.status.st_gid
            member.mtime = entry.status.st_mtime_ns // 10**9
        return member
