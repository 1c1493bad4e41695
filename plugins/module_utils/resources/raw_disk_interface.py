# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of xen_raw_disk and of its items."""

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
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk_item import (
    RawDiskItem,
)

INTERFACE = Interface(
    items="disks",
    identity=("path",),
    own=("source",),
    options={
        "path": {"type": "path"},
        "state": STATE,
        "size": {"type": "raw"},
        "source": {"type": "path"},
        "source_format": {"type": "str", "choices": FORMATS},
        "format": {"type": "str", "choices": ["raw"]},
        "filesystem": {"type": "str", "choices": FILE_SYSTEMS},
        "label": {"type": "str"},
        "fat_sector_size": {"type": "int", "choices": list(SECTOR_SIZES)},
        "preserve": {"type": "bool", "default": False},
        "allocation": {"type": "str", "choices": ["sparse", "full"], "default": "sparse"},
        "shrink": {"type": "bool", "default": False},
        "volatile": {"type": "bool", "default": False},
        "parents": {"type": "bool", "default": False},
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
        "max_overcommit": {"type": "float"},
    },
    files=True,
    read=RawDiskItem.read,
)
