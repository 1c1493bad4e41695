# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all file systems and archives for a new image have in common."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, List, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.image.directory_tree import (
    DirectoryTree,
    OpenDirectory,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_actions import set_size
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_size

FILL_SECONDS = 12 * 3600
"""How long a program may take to fill an image."""


class FileSystem:
    """A file system or archive for a new image, with the content of a directory or empty."""

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
        """Bytes, a multiple of 4096, of an image that is large enough for the content."""
        raise NotImplementedError

    def check(self, size: int) -> None:
        """Raise ImageError if an image of ``size`` bytes is too small or too large."""
        raise NotImplementedError

    def warnings(self, size: int) -> List[str]:
        """What the user should know of such an image of ``size`` bytes."""
        del size
        return []

    def fill(self, new: int, size: int, full: bool) -> None:
        """Make the new, empty file with the descriptor ``new`` an image of ``size`` bytes.

        ``full``: whether all of its blocks are preallocated. Raises ImageError if the directory was
        changed after it was read, and OSError such as ENOSPC.
        """
        # Before anything is written, so that a full disk is noticed early.
        set_size(new, size, full)
        with self._opened() as source:
            self._write(new, size, source)
            if source:
                source.directory.check_unchanged(source.descriptor)
        # Again, because mke2fs releases blocks that it does not write.
        set_size(new, size, full)

    @contextmanager
    def _opened(self) -> Iterator[Optional[OpenDirectory]]:
        if self.directory is None:
            yield None
            return
        with self.directory.opened() as descriptor:
            yield OpenDirectory(self.directory, descriptor)

    def _write(self, new: int, size: int, source: Optional[OpenDirectory]) -> None:
        """``source``: the directory; None for an empty file system."""
        raise NotImplementedError

    def _too_small(self, size: int) -> ImageError:
        return ImageError(
            f"{format_size(size)} is too small for the {self.words}: it needs at least "
            f"{format_size(self.size)}"
        )
