# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an image must not be created, decided by its path alone."""

from __future__ import annotations

from typing import Optional

IMAGES_DIR = "/srv/xen"
"""Where images are that have no path of their own: ``<domain>/<disk>.raw`` below it."""

KERNEL = ("/dev", "/proc", "/sys")
"""Created anew by the kernel and udev at every boot. If a path below them does not exist, it is
most often that of an inactive volume."""

SHARED_MEMORY = "/dev/shm"
"""A tmpfs below /dev in which any program may create files."""

RUN = "/run"
"""Emptied at every boot (hier(7)), also if it is not in memory, as in a container."""

IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs"})
"""Types of file systems whose files are lost at the next boot (proc_pid_mountinfo(5))."""


def problem_of_kernel(path: str) -> Optional[str]:
    """Why no image may be created at the absolute ``path``; None if it may."""
    for place in KERNEL:
        if _is_below(path, place) and not _is_below(path, SHARED_MEMORY):
            return (
                f"images cannot be below {place}; if this is a block device, create or activate it "
                "first, and use it as the disk's target"
            )
    return None


def is_emptied(path: str) -> bool:
    """Whether a file at the absolute ``path`` is lost at the next boot on every file system."""
    return _is_below(path, RUN)


def _is_below(path: str, place: str) -> bool:
    return path.startswith(f"{place}/")
