# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The free space that the preallocated images of one call need together."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import Dict

from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.image.path import Image, ImagePath


class FreeSpace:
    """Free space of file systems less what the plans so far need of it."""

    def __init__(self) -> None:
        self._reserved: Dict[int, int] = defaultdict(int)
        """Bytes by st_dev; negative if the plans free more than they need."""

    def reserve(self, image: ImagePath, directory: str, needed: int) -> None:
        """Reserve bytes for an image in the file system of ``directory``, which exists.

        Raises ImageError if it has not enough of them, and OSError.
        """
        status = os.statvfs(directory)
        device = os.stat(directory).st_dev
        left = status.f_bfree * status.f_frsize - self._reserved[device]
        if needed > left:
            raise ImageError(
                f"cannot preallocate {image.path}: it needs {needed} more bytes, but "
                f"{max(left, 0)} are free in {directory} after the other changes of this call; "
                "free some space, or set allocation: sparse"
            )
        self._reserved[device] += max(needed, 0)

    def release(self, image: Image) -> None:
        """Count on the space of an image that is deleted first. It stays in use if the file has
        another name."""
        if image.status.st_nlink == 1:
            self._reserved[image.status.st_dev] -= image.allocated
