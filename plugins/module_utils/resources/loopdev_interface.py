# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of xen_loopdev and of its items."""

from __future__ import annotations

from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import (
    NAMED_IN,
    STATE,
    Interface,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_item import (
    LoopdevItem,
)

INTERFACE = Interface(
    items="devices",
    identity=("path", "device"),
    options={
        "path": {"type": "path"},
        "device": {"type": "str"},
        "state": STATE,
        "format": {"type": "str", "choices": ["raw"]},
        "direct_io": {"type": "bool"},
        "persistent": {"type": "bool"},
        "udev_rule": {"type": "bool", "default": False},
        "sector_size": {"type": "int", "choices": [512, 1024, 2048, 4096], "default": 512},
        "discard_deleted": {"type": "bool", "default": False},
        "in_use": {"type": "str", "choices": ["fail", "leave"], "default": "fail"},
        "ours_only": {"type": "bool", "default": False},
        "named_in": NAMED_IN,
    },
    read=LoopdevItem.read,
)
