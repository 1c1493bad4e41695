# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new disk while it is filled: a file that gets its size here, or a block device that has it.

Both read as zeros where nothing was written, so only data needs to be written.
"""

from __future__ import annotations

import os

from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_size


class NewDisk:
    """A new disk, open for reading and writing. The caller syncs it once it is filled."""

    is_device = False
    """Whether it is a block device."""

    def __init__(self, descriptor: int, size: int, name: str, full: bool) -> None:
        """``size``: bytes. ``name``: for the errors of programs. ``full``: whether it has, or is to
        have, all of its blocks as its own, so that none may be shared with another file."""
        self.descriptor = descriptor
        self.size = size
        self.name = name
        self.full = full

    def begin(self) -> None:
        """Give it its size and, if it is full, its blocks. Raises OSError, and ImageError if it
        cannot have that size."""
        raise NotImplementedError

    def end(self) -> None:
        """The same again, once it is filled, for what a program has changed of it."""
        raise NotImplementedError


class NewFile(NewDisk):
    """A new file that no other process can open: it has no name yet."""

    def __init__(self, descriptor: int, size: int, full: bool) -> None:
        """``full``: whether all of its blocks are preallocated."""
        super().__init__(descriptor, size, "the new image", full)

    def begin(self) -> None:
        """See NewDisk.begin. Truncates a sparse file that is longer.

        If the file system cannot preallocate blocks, the C library writes zeros, which would
        overwrite the data of another process.
        """
        if self.full:
            os.posix_fallocate(self.descriptor, 0, self.size)
        else:
            os.ftruncate(self.descriptor, self.size)

    def end(self) -> None:
        """See NewDisk.end."""
        self.begin()


class NewDevice(NewDisk):
    """A block device that nobody else uses, and all of which reads as zeros.

    It is not opened exclusively (O_EXCL): the programs that fill it do so themselves, and would
    find it in use.
    """

    is_device = True

    def __init__(self, descriptor: int, size: int, path: str) -> None:
        """``size``: of the whole device."""
        super().__init__(descriptor, size, path, full=True)

    def begin(self) -> None:
        """See NewDisk.begin."""
        size = os.lseek(self.descriptor, 0, os.SEEK_END)
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        if size != self.size:
            raise ImageError(
                f"{self.name} has {format_size(size)}, not {format_size(self.size)}: another "
                "process changed it in the meantime; run again"
            )

    def end(self) -> None:
        """See NewDisk.end."""
