# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of xen_logical_volume and of its items."""

from __future__ import annotations

from ansible_collections.xen.blockdev.plugins.module_utils.config.text import AUTOSTART_DIR
from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import (
    NAMED_IN,
    STATE,
    Interface,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.fat import SECTOR_SIZES
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system_options import (
    FILE_SYSTEMS,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.source import FORMATS
from ansible_collections.xen.blockdev.plugins.module_utils.resources.logical_volume_item import (
    LogicalVolumeItem,
)

INTERFACE = Interface(
    items="volumes",
    identity=("volume_group", "volume"),
    own=("source",),
    options={
        "volume_group": {"type": "str"},
        "volume": {"type": "str"},
        "state": STATE,
        "size": {"type": "raw"},
        "thin_pool": {"type": "str"},
        "stripes": {"type": "int"},
        "tags": {"type": "list", "elements": "str"},
        "wipe": {"type": "bool", "default": True},
        "shrink": {"type": "bool", "default": False},
        "source": {"type": "path"},
        "source_format": {"type": "str", "choices": FORMATS},
        "filesystem": {"type": "str", "choices": FILE_SYSTEMS},
        "label": {"type": "str"},
        "fat_sector_size": {"type": "int", "choices": list(SECTOR_SIZES)},
        "preserve": {"type": "bool", "default": False},
        "named_in": NAMED_IN,
        "slots": {
            "type": "list",
            "elements": "dict",
            "options": {
                "domain": {"type": "str", "required": True},
                "vdev": {"type": "str", "required": True},
                "config": {"type": "path"},
            },
        },
        "allow_slot_change": {"type": "bool", "default": False},
        "autostart_dir": {"type": "path", "default": AUTOSTART_DIR},
    },
    read=LogicalVolumeItem.read,
)
