# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tar archive that begins in the disk's first sector, as MirageOS's key-value store reads it."""

from __future__ import annotations

import os
import stat
import tarfile
from functools import cached_property
from typing import Optional

from ansible_collections.xen.blockdev.plugins.module_utils.host.files import opened
from ansible_collections.xen.blockdev.plugins.module_utils.image.directory_tree import (
    DirectoryTree,
    OpenDirectory,
    TreeEntry,
    fingerprint_of,
    walk,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system import FileSystem
from ansible_collections.xen.blockdev.plugins.module_utils.image.new_disk import NewDisk
from ansible_collections.xen.blockdev.plugins.module_utils.image.source import COPY_CHUNK
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
        new, position = disk.descriptor, 0
        found = walk(source.descriptor, source.directory.status.st_dev)
        for expected in self._entries:
            parent, entry = next(found, (source.descriptor, None))
            if entry is None or entry.fingerprint != expected.fingerprint:
                raise source.directory.changed()
            header = self._header(entry)
            _write_all(new, header, position)
            position += len(header)
            if entry.is_file:
                if not _copy(parent, entry, new, position):
                    raise source.directory.changed()
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


def _copy(parent: int, entry: TreeEntry, new: int, position: int) -> bool:
    """Copy a file of the open directory ``parent``. Returns whether it was unchanged."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    with opened(entry.name, flags, directory=parent) as old:
        if fingerprint_of(os.fstat(old)) != fingerprint_of(entry.status):
            return False
        done = 0
        while done < entry.size:
            data = os.pread(old, min(COPY_CHUNK, entry.size - done), done)
            if not data:
                return False
            _write_all(new, data, position + done)
            done += len(data)
    return True


def _write_all(descriptor: int, data: bytes, position: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, position)
        view, position = view[written:], position + written
