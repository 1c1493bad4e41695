# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ISO 9660 file systems, created by xorriso, such as the seed of cloud-init (NoCloud).

They have Rock Ridge, by which Linux reads names, owners and modes, and Joliet for Windows.
"""

from __future__ import annotations

import os
import re
from functools import cached_property
from typing import Optional

from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.image.directory_tree import (
    DirectoryTree,
    OpenDirectory,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system import (
    FILL_SECONDS,
    FileSystem,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.new_disk import NewDisk
from ansible_collections.xen.blockdev.plugins.module_utils.image.tool import Tool
from ansible_collections.xen.blockdev.plugins.module_utils.units import MIRAGE_BLOCK, round_up

XORRISO = Tool("xorriso", "creates ISO 9660 file systems")

ISO_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
"""It takes the encoding of names from the locale, and options from a file of the user."""

ISO_BLOCK = 2048
"""Bytes."""

ISO_LABEL = re.compile(r"(?! )[ -~]{1,32}(?<! )")

PRINT_SECONDS = 600
"""How long xorriso may take to count the blocks, for which it looks at every file."""


class Iso(FileSystem):
    """An ISO 9660 file system. Its files have the owner, mode and time of the originals."""

    def __init__(self, label: Optional[str], directory: DirectoryTree) -> None:
        if label is not None and not ISO_LABEL.fullmatch(label):
            raise ImageError(
                f"invalid iso9660 label {label!r}: it must be 1 to 32 printable ASCII characters "
                "without a space at either end"
            )
        super().__init__("iso9660", label, directory)
        self._tree = directory
        XORRISO.require()

    @cached_property
    def size(self) -> int:
        """See FileSystem.size. Raises ImageError if xorriso cannot read the directory."""
        with self._tree.opened() as descriptor:
            source = OpenDirectory(self._tree, descriptor)
            blocks = self._run("-print-size", source=source, timeout=PRINT_SECONDS)
        return round_up(int(blocks) * ISO_BLOCK, MIRAGE_BLOCK)

    def check(self, size: int) -> None:
        """See FileSystem.check."""
        if size < self.size:
            raise self._too_small(size)

    def _write(self, disk: NewDisk, source: Optional[OpenDirectory]) -> None:
        if source is None:
            return
        os.lseek(disk.descriptor, 0, os.SEEK_SET)
        self._run(source=source, timeout=FILL_SECONDS, disk=disk)
        if os.lseek(disk.descriptor, 0, os.SEEK_CUR) > disk.size:
            raise source.directory.changed()

    def _run(
        self, *more: str, source: OpenDirectory, timeout: float, disk: Optional[NewDisk] = None
    ) -> str:
        """Run xorriso, which writes to ``disk``, or what it prints to the result."""
        # It takes no output by descriptor but the standard one, and that only if these come first.
        arguments = ["-as", "mkisofs", "-quiet", "-no-pad"]
        # Files of 4 GiB and more, and directories as deep as they are.
        arguments += ["-iso-level", "3", "-D"]
        arguments += ["-R", "-J", "-joliet-long"]
        if self.label:
            arguments += ["-V", self.label]
        return XORRISO.run(
            *arguments,
            *more,
            ".",
            timeout=timeout,
            descriptors={} if disk is None else {disk.descriptor: disk.name},
            directory=source.descriptor,
            environment=ISO_ENVIRONMENT,
            output=None if disk is None else disk.descriptor,
        )
