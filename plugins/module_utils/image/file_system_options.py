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
from ansible_collections.xen.blockdev.plugins.module_utils.image.iso import Iso
from ansible_collections.xen.blockdev.plugins.module_utils.image.swap import SwapArea
from ansible_collections.xen.blockdev.plugins.module_utils.image.tar import TarArchive
from ansible_collections.xen.blockdev.plugins.module_utils.image.xfs import Xfs

LABELLED = [*EXT_KINDS, "vfat", "xfs", "swap", "iso9660"]
"""The kinds that have a label."""

FILE_SYSTEMS = [*LABELLED, "tar"]

NEVER_EMPTY = ("iso9660", "tar")
"""The kinds that make no sense without content."""

NEVER_FILLED = {
    "xfs": "an XFS cannot be filled without being mounted; omit source and fill it in the guest, "
    "or set filesystem: ext4",
    "swap": "a swap area has no content; omit source",
}
"""The kinds that are always empty, and what to do."""

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
        self._check(source)
        if self.kind is None:
            return None
        directory = None if source is None else _read_source(source, image)
        if self.kind == "vfat":
            return Fat(self.label, directory, self.fat_sector_size or DEFAULT_FAT_SECTOR)
        if self.kind in EXT_KINDS:
            return Ext(self.kind, self.label, directory)
        if directory is None:
            return Xfs(self.label) if self.kind == "xfs" else SwapArea(self.label)
        if self.kind == "iso9660":
            return Iso(self.label, directory)
        return TarArchive(directory, self.preserve)

    def _check(self, source: Optional[str]) -> None:
        """Raise ImageError for an option that does not fit the kind of file system."""
        if self.kind in NEVER_EMPTY and source is None:
            raise ImageError(f"filesystem: {self.kind} needs a source; set source to a directory")
        if self.kind in NEVER_FILLED and source is not None:
            raise ImageError(NEVER_FILLED[self.kind])
        if self.label is not None and self.kind not in LABELLED:
            raise ImageError(
                f"only a file system has a label; set filesystem to {', '.join(LABELLED[:-1])} or "
                f"{LABELLED[-1]}, or omit label"
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
