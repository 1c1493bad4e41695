# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of xen_vbd_attach and of its items."""

from __future__ import annotations

from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import (
    STATE,
    Interface,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk import options as disk_options
from ansible_collections.xen.blockdev.plugins.module_utils.resources.vbd_attach_item import VbdItem

DEFAULTS = {
    name: {**disk_options.OPTIONS[name].argument_spec, "default": default}
    for name, default in (("access", "rw"), ("devtype", "disk"))
}

INTERFACE = Interface(
    items="vbds",
    identity=("domain", "vdev", "target"),
    options={
        "domain": {"type": "str"},
        **disk_options.argument_spec(disk_options.OPTIONS),
        **DEFAULTS,
        "state": STATE,
        "wait": {"type": "bool", "default": True},
        "wait_for": {
            "type": "str",
            "choices": ["connected", "offered"],
            "default": "connected",
        },
        "timeout": {"type": "float", "default": 30},
        "force": {"type": "bool", "default": False},
        "replace": {"type": "bool", "default": False},
        "when_not_running": {
            "type": "str",
            "choices": ["fail", "skip"],
            "default": "fail",
        },
        "unlisted": {
            "type": "str",
            "choices": ["ignore", "warn"],
            "default": "ignore",
        },
    },
    read=VbdItem.read,
)
