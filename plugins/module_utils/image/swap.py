# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Swap areas, created by mkswap (util-linux)."""

from __future__ import annotations

from typing import Optional

from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import by_number
from ansible_collections.xen.blockdev.plugins.module_utils.image.directory_tree import OpenDirectory
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system import (
    FILL_SECONDS,
    FileSystem,
    check_label,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.new_disk import NewDisk
from ansible_collections.xen.blockdev.plugins.module_utils.image.tool import Tool
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_size

MKSWAP = Tool("mkswap", "creates swap areas")

SWAP_LABEL_BYTES = 15
"""The header has 16 (union swap_header of Linux), but mkswap ends the label with a NUL."""

PAGE = 4096
"""Bytes. The guest's kernel takes a swap area only with pages of its own size, which under Xen is
this one."""

PAGES = (10, 2**32 - 1)
"""The fewest and the most pages of which mkswap makes a swap area."""


class SwapArea(FileSystem):
    """A swap area on the whole disk."""

    noun = "area"

    def __init__(self, label: Optional[str]) -> None:
        check_label("swap", label, SWAP_LABEL_BYTES)
        super().__init__("swap", label, None)
        MKSWAP.require()

    @property
    def size(self) -> int:
        """See FileSystem.size."""
        return PAGES[0] * PAGE

    def check(self, size: int) -> None:
        """See FileSystem.check."""
        if size < self.size:
            raise self._too_small(size)
        if size // PAGE > PAGES[1]:
            raise ImageError(
                f"{format_size(size)} is too large for a swap area, which has at most "
                f"{format_size(PAGES[1] * PAGE)}"
            )

    def _write(self, disk: NewDisk, source: Optional[OpenDirectory]) -> None:
        arguments = ["-p", str(PAGE)]
        if self.label:
            arguments += ["-L", self.label]
        arguments.append(by_number(disk.descriptor))
        MKSWAP.run(*arguments, timeout=FILL_SECONDS, descriptors={disk.descriptor: disk.name})
