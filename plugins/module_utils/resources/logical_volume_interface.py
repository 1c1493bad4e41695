# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of xen_logical_volume and of its items."""

from __future__ import annotations

from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import Interface
from ansible_collections.xen.blockdev.plugins.module_utils.resources.logical_volume_item import (
    LogicalVolumeItem,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.new_disk_interface import (
    NEW_DISK_OPTIONS,
)

INTERFACE = Interface(
    items="volumes",
    identity=("volume_group", "volume"),
    own=("source",),
    options={
        "volume_group": {"type": "str"},
        "volume": {"type": "str"},
        **NEW_DISK_OPTIONS,
        "thin_pool": {"type": "str"},
        "stripes": {"type": "int"},
        "tags": {"type": "list", "elements": "str"},
        "wipe": {"type": "bool", "default": True},
    },
    read=LogicalVolumeItem.read,
)
