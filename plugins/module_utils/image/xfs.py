# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""XFS file systems, created by mkfs.xfs (xfsprogs).

They are empty. mkfs.xfs copies files by a list of them (``-p``), but in that no name can have a
blank, and owners and times are lost.
"""

from __future__ import annotations

from typing import Optional

from ansible_collections.xen.blockdev.plugins.module_utils.host.files import by_number
from ansible_collections.xen.blockdev.plugins.module_utils.image.directory_tree import OpenDirectory
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system import (
    FILL_SECONDS,
    FileSystem,
    check_label,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.new_disk import NewDisk
from ansible_collections.xen.blockdev.plugins.module_utils.image.tool import Tool

MKFS_XFS = Tool("mkfs.xfs", "creates XFS file systems")

XFS_LABEL_BYTES = 12

LEAST_XFS = 300 * 1024**2
"""Bytes. mkfs.xfs of xfsprogs 5.19 and later makes no smaller one."""

XFS_SECTOR = 4096
"""Bytes. A disk with smaller sectors holds it as well, but one with larger sectors does not."""


class Xfs(FileSystem):
    """An empty XFS file system."""

    def __init__(self, label: Optional[str]) -> None:
        check_label("xfs", label, XFS_LABEL_BYTES)
        super().__init__("xfs", label, None)
        MKFS_XFS.require()

    @property
    def size(self) -> int:
        """See FileSystem.size."""
        return LEAST_XFS

    def check(self, size: int) -> None:
        """See FileSystem.check."""
        if size < LEAST_XFS:
            raise self._too_small(size)

    def _write(self, disk: NewDisk, source: Optional[OpenDirectory]) -> None:
        # -K: what a device reads as once its blocks are discarded is up to it.
        arguments = ["-q", "-K", "-s", f"size={XFS_SECTOR}"]
        if self.label:
            arguments += ["-L", self.label]
        arguments.append(by_number(disk.descriptor))
        MKFS_XFS.run(*arguments, timeout=FILL_SECONDS, descriptors={disk.descriptor: disk.name})
