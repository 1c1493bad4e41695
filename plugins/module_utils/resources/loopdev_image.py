# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image at a path: whether it exists and can be bound."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Optional

from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import File, LoopError


@dataclass(frozen=True)
class FoundImage:
    """What a path leads to."""

    path: str
    status: Optional[os.stat_result]
    """Of the regular file; None if no such file exists."""

    @property
    def file(self) -> Optional[File]:
        """Device and inode of the file; None if it does not exist."""
        return loop_binding.file_id(self.status) if self.status else None

    @property
    def key(self) -> object:
        """What tells the image from others, whatever other names it has."""
        return self.file or self.path


def regular_file(path: str) -> FoundImage:
    """The regular file at ``path``, as nothing else can be bound; without a status for anything
    else and if the path cannot be followed."""
    try:
        status = os.stat(path)
    except OSError:
        return FoundImage(path, None)
    return FoundImage(path, status if stat.S_ISREG(status.st_mode) else None)


def image_at(path: str) -> FoundImage:
    """The image at ``path``, without a status if nothing exists there. Raises LoopError if the path
    leads to something else, or cannot be followed."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return FoundImage(path, None)
    except OSError as error:
        raise LoopError(f"{path}: {error.strerror}") from None
    if stat.S_ISBLK(status.st_mode):
        raise LoopError(f"{path} is a block device and needs no loop device; use it as the target")
    if not stat.S_ISREG(status.st_mode):
        raise LoopError(f"{path} is not a regular file")
    return FoundImage(path, status)
