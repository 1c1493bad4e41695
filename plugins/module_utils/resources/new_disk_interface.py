# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that images and logical volumes have in common."""

from __future__ import annotations

from typing import Any, Dict

from ansible_collections.xen.blockdev.plugins.module_utils.config.text import AUTOSTART_DIR
from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import NAMED_IN, STATE
from ansible_collections.xen.blockdev.plugins.module_utils.image.fat import SECTOR_SIZES
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system_options import (
    FILE_SYSTEMS,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.source import FORMATS

NEW_DISK_OPTIONS: Dict[str, Any] = {
    "state": STATE,
    "size": {"type": "raw"},
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
    "max_overcommit": {"type": "float"},
}
"""See ContentOptions and IntendedSlot, which are read from them."""
