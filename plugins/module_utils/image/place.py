# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an image must not be made, by its path alone."""

from __future__ import annotations

from typing import Optional

KERNEL = ("/dev", "/proc", "/sys")
"""What the kernel and udev make anew at every boot. A path below them that is not there is most
often that of a volume which is not active."""

SHARED_MEMORY = "/dev/shm"
"""Where any program may make files, in memory."""

RUN = "/run"
"""Emptied at every boot (hier(7)), also where it is not in memory, as in a container."""

IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs"})
"""Types of file systems that are gone with the next boot (proc_pid_mountinfo(5))."""


def problem_of_kernel(path: str) -> Optional[str]:
    """Why no image can be made at the absolute C(path), or None."""
    for place in KERNEL:
        if _is_below(path, place) and not _is_below(path, SHARED_MEMORY):
            return (
                f"{place} is no place for images; if this is to be a block device, create or "
                "activate it first, and name it as the disk's target"
            )
    return None


def is_emptied(path: str) -> bool:
    """Whether what is at the absolute C(path) is gone with the next boot, whatever it is on."""
    return _is_below(path, RUN)


def _is_below(path: str, place: str) -> bool:
    return path.startswith(f"{place}/")
