# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of xen_raw_disk and of its items."""

from __future__ import annotations

from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import Interface
from ansible_collections.xen.blockdev.plugins.module_utils.resources.new_disk_interface import (
    NEW_DISK_OPTIONS,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk_item import (
    RawDiskItem,
)

INTERFACE = Interface(
    items="disks",
    identity=("path",),
    own=("source",),
    options={
        "path": {"type": "path"},
        **NEW_DISK_OPTIONS,
        "format": {"type": "str", "choices": ["raw"]},
        "allocation": {"type": "str", "choices": ["sparse", "full"], "default": "sparse"},
        "volatile": {"type": "bool", "default": False},
        "parents": {"type": "bool", "default": False},
    },
    files=True,
    read=RawDiskItem.read,
)
