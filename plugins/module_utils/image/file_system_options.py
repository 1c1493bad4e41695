# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file system or archive of a new image, as the options of xen_raw_disk describe it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.image import directory_tree
from ansible_collections.xen.blockdev.plugins.module_utils.image.directory_tree import DirectoryTree
from ansible_collections.xen.blockdev.plugins.module_utils.image.ext import EXT_KINDS, Ext
from ansible_collections.xen.blockdev.plugins.module_utils.image.fat import Fat
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system import FileSystem
from ansible_collections.xen.blockdev.plugins.module_utils.image.tar import TarArchive

FILE_SYSTEMS = [*EXT_KINDS, "vfat", "tar"]

DEFAULT_FAT_SECTOR = 512


@dataclass(frozen=True)
class FileSystemOptions:
    """The options of xen_raw_disk that describe the file system of a new image."""

    kind: Optional[str]
    """The option ``filesystem``: one of FILE_SYSTEMS, or None."""
    label: Optional[str]
    fat_sector_size: Optional[int]
    preserve: bool

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> FileSystemOptions:
        """From the checked options of an item."""
        return cls(
            kind=options["filesystem"],
            label=options["label"],
            fat_sector_size=options["fat_sector_size"],
            preserve=options["preserve"],
        )

    def file_system(self, image: str, source: Optional[str]) -> Optional[FileSystem]:
        """The file system for the new file ``image``; None if it gets none.

        ``source``: the directory whose content it gets. Raises ImageError if the options contradict
        each other or the source cannot be used, and OSError.
        """
        self._check()
        if self.kind is None:
            return None
        directory = None if source is None else _read_source(source, image)
        if self.kind == "vfat":
            return Fat(self.label, directory, self.fat_sector_size or DEFAULT_FAT_SECTOR)
        if self.kind != "tar":
            return Ext(self.kind, self.label, directory)
        if directory is None:
            raise ImageError("filesystem: tar needs a source; set source to a directory")
        return TarArchive(directory, self.preserve)

    def _check(self) -> None:
        """Raise ImageError for an option that does not fit the kind of file system."""
        if self.label is not None and self.kind in (None, "tar"):
            raise ImageError(
                "only a file system has a label; set filesystem to "
                f"{', '.join(EXT_KINDS)} or vfat, or omit label"
            )
        if self.fat_sector_size is not None and self.kind != "vfat":
            raise ImageError("fat_sector_size is only for filesystem: vfat; omit it")
        if self.preserve and self.kind != "tar":
            raise ImageError("preserve is only for filesystem: tar; omit it")


def _read_source(source: str, image: str) -> DirectoryTree:
    directory = directory_tree.read(source)
    if image.startswith(f"{directory.real.rstrip('/')}/"):
        raise ImageError(f"the image would be in its own source {source}; choose another path")
    return directory
