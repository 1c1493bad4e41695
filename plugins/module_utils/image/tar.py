# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive on the bare disk, from its first sector on, as MirageOS's key-value store reads it."""

from __future__ import annotations

import os
import stat
import tarfile
from functools import cached_property
from typing import Optional

from ansible_collections.xen.blockdev.plugins.module_utils.host.files import opened
from ansible_collections.xen.blockdev.plugins.module_utils.image.content import (
    Entry,
    FileSystem,
    Folder,
    OpenFolder,
    mark_of,
    walk,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.source import CHUNK
from ansible_collections.xen.blockdev.plugins.module_utils.units import MIRAGE_BLOCK


class TarArchive(FileSystem):
    """A tar archive: ustar (POSIX.1-1988), with pax headers (POSIX.1-2001) where one does not do.

    GNU tar's records of 10240 bytes are no multiple of MirageOS's blocks; here the last member ends
    in a block of 4096 bytes, and at least one such block of zeros follows, which ends the archive.
    """

    unit = "archive"
    join = "of"

    def __init__(self, folder: Folder, preserve: bool) -> None:
        """C(preserve): whether owner, group, mode and time of each member are those of its file."""
        super().__init__("tar", None, folder)
        self._entries = folder.entries
        self._preserve = preserve

    @cached_property
    def size(self) -> int:
        """See FileSystem.size."""
        end = sum(len(self._header(one)) + _padded(one.size) for one in self._entries)
        return -(-end // MIRAGE_BLOCK) * MIRAGE_BLOCK + MIRAGE_BLOCK

    def check(self, size: int) -> None:
        """See FileSystem.check."""
        if size < self.size:
            raise self._too_small(size)

    def _write(self, new: int, size: int, source: Optional[OpenFolder]) -> None:
        if source is None:
            return
        position = 0
        found = walk(source.descriptor, source.folder.root.status.st_dev)
        for expected in self._entries:
            place, entry = next(found, (source.descriptor, None))
            if entry is None or entry.mark != expected.mark:
                raise source.folder.changed()
            header = self._header(entry)
            _write_all(new, header, position)
            position += len(header)
            if entry.is_file:
                if not _copy(place, entry, new, position):
                    raise source.folder.changed()
                position += _padded(entry.size)

    def _header(self, entry: Entry) -> bytes:
        member = self._member(entry)
        try:
            return member.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")
        except ValueError:  # a name, number or link that has no room there
            return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")

    def _member(self, entry: Entry) -> tarfile.TarInfo:
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


def _copy(place: int, entry: Entry, new: int, position: int) -> bool:
    """Copy a file that is in the directory C(place); false where it is not what it was."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    with opened(entry.name, flags, directory=place) as old:
        if mark_of(os.fstat(old)) != mark_of(entry.status):
            return False
        done = 0
        while done < entry.size:
            data = os.pread(old, min(CHUNK, entry.size - done), done)
            if not data:
                return False
            _write_all(new, data, position + done)
            done += len(data)
    return True


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _write_all(descriptor: int, data: bytes, position: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, position)
        view, position = view[written:], position + written
