# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all file systems and archives for a new disk have in common."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, List, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.image.directory_tree import (
    DirectoryTree,
    OpenDirectory,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.new_disk import NewDisk
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_size

FILL_SECONDS = 12 * 3600
"""How long a program may take to fill a disk."""


class FileSystem:
    """A file system or archive for a new disk, with the content of a directory or empty."""

    noun = "file system"
    preposition = "from"

    def __init__(self, kind: str, label: Optional[str], directory: Optional[DirectoryTree]) -> None:
        """``kind``: what the option ``filesystem`` calls it."""
        self.kind = kind
        self.label = label
        self.directory = directory

    @property
    def words(self) -> str:
        """What it is, for a sentence: ``ext4 file system DATA from /srv/content``."""
        label = f" {self.label}" if self.label else ""
        origin = f" {self.preposition} {self.directory.path}" if self.directory else ""
        return f"{self.kind} {self.noun}{label}{origin}"

    @property
    def size(self) -> int:
        """Bytes, a multiple of 4096, of a disk that is large enough for the content."""
        raise NotImplementedError

    def check(self, size: int) -> None:
        """Raise ImageError if a disk of ``size`` bytes is too small or too large."""
        raise NotImplementedError

    def warnings(self, size: int) -> List[str]:
        """What the user should know of such a disk of ``size`` bytes."""
        del size
        return []

    def fill(self, disk: NewDisk) -> None:
        """Write it to a new disk. Raises ImageError if the directory was changed after it was read,
        and OSError such as ENOSPC."""
        # Before anything is written, so that a full disk is noticed early.
        disk.begin()
        with self._opened() as source:
            self._write(disk, source)
            if source:
                source.directory.check_unchanged(source.descriptor)
        # Again, because mke2fs releases blocks that it does not write.
        disk.end()

    @contextmanager
    def _opened(self) -> Iterator[Optional[OpenDirectory]]:
        if self.directory is None:
            yield None
            return
        with self.directory.opened() as descriptor:
            yield OpenDirectory(self.directory, descriptor)

    def _write(self, disk: NewDisk, source: Optional[OpenDirectory]) -> None:
        """``source``: the directory; None for an empty file system."""
        raise NotImplementedError

    def _too_small(self, size: int) -> ImageError:
        return ImageError(
            f"{format_size(size)} is too small for the {self.words}: it needs at least "
            f"{format_size(self.size)}"
        )
