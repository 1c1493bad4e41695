# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules report of a loop device, and xen_loopdev_info of all of them."""

from __future__ import annotations

import os
from functools import partial
from typing import List, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import State
from ansible_collections.xen.blockdev.plugins.module_utils.host.blkid import Prober, Warn
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop.boot_unit import BootUnits
from ansible_collections.xen.blockdev.plugins.module_utils.units import SECTOR


def unbound() -> State:
    """The result keys of an image that is not bound."""
    keys = ("device", "link", "major", "minor", "size", "direct_io", "read_only")
    return dict.fromkeys(keys)


def state(binding: Binding) -> State:
    """The result keys of a bound image."""
    return {
        "device": binding.device,
        "link": loop_binding.verified_link(binding),
        "major": os.major(binding.rdev),
        "minor": os.minor(binding.rdev),
        "size": binding.size,
        "direct_io": binding.direct_io,
        "read_only": binding.read_only,
    }


def full_state(binding: Binding, units: BootUnits) -> State:
    """What is shown of a bound device, but for its content. ``units``: those of this host."""
    return {
        **state(binding),
        "persistent": units.has(binding.backing_file),
        "backing_file": binding.backing_file,
        "deleted": binding.deleted,
        "offset": binding.offset,
        "size_limit": binding.size_limit,
        "sector_size": binding.sector_size,
        "autoclear": binding.autoclear,
    }


def shown_bytes(image_size: int) -> int:
    """The bytes that the loop device of an image shows: whole sectors."""
    return image_size // SECTOR * SECTOR


def shown_devices(paths: Optional[List[str]], probe: bool, warn: Warn) -> List[State]:
    """What xen_loopdev_info shows: the bound devices, or those bound to ``paths``.
    ``probe``: whether to read which file systems and partitions are on them."""
    files = (
        None
        if paths is None
        else {loop_binding.file_id(os.stat(p)) for p in paths if os.path.exists(p)}
    )
    units = BootUnits()
    prober = Prober(warn, probe)
    return [
        {
            **full_state(binding, units),
            **prober.look(binding.device, binding.rdev, partial(_still_shows, binding)).as_state(),
        }
        for binding in loop_binding.scan()
        if files is None or binding.file in files
    ]


def _still_shows(binding: Binding) -> bool:
    """Whether the device still shows the file that it was found to show."""
    now = loop_binding.read(binding.number)
    return now is not None and now.file == binding.file
