# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of xen_domain_config and of its items."""

from __future__ import annotations

from ansible_collections.xen.blockdev.plugins.module_utils.config.text import AUTOSTART_DIR
from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import (
    STATE,
    Interface,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk import options as disk_options
from ansible_collections.xen.blockdev.plugins.module_utils.resources.domain_config_item import (
    DomainConfigItem,
)

DISK = {
    **disk_options.argument_spec(disk_options.OPTIONS),
    "vdev": {"type": "str", "required": True},
    "allow_slot_change": {"type": "bool"},
}

INTERFACE = Interface(
    items="configs",
    identity=("domain", "path"),
    options={
        "domain": {"type": "str"},
        "path": {"type": "path"},
        "state": STATE,
        "options": {"type": "dict"},
        # A string is a disk as xl writes it. Interface.checked checks the others.
        "disks": {"type": "list", "elements": "raw", "options": DISK},
        "overwrite": {"type": "bool", "default": False},
        "backup": {"type": "bool"},
        "validate": {"type": "bool", "default": True},
        "parents": {"type": "bool", "default": False},
        "autostart": {"type": "bool"},
        "autostart_dir": {"type": "path", "default": AUTOSTART_DIR},
        "allow_slot_change": {"type": "bool", "default": False},
        "unlisted_disks": {"type": "str", "choices": ["refuse", "keep", "remove"]},
        "removed_disks": {
            "type": "list",
            "elements": "dict",
            "options": {
                "vdev": {"type": "str"},
                "target": {"type": "str"},
                "devtype": disk_options.OPTIONS["devtype"].argument_spec,
            },
        },
        "known_images": {"type": "list", "elements": "str"},
    },
    files=True,
    read=DomainConfigItem.read,
)
