#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: xen_disks_info
short_description: Show everything about the disks of a host
version_added: 1.1.0
author: xen.blockdev authors (!UNKNOWN)
"""
from ansible_collections.xen.blockdev.plugins.module_utils.config.text import (
    AUTOSTART_DIR,
    CONFIG_DIR,
)
from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import query
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info import show_host


def main() -> None:
    options = {
        "config_dirs": {"type": "list", "elements": "path", "default": [CONFIG_DIR]},
        "images_dirs": {"type": "list", "elements": "path", "default": ["/srv/xen"]},
        "autostart_dir": {"type": "path", "default": AUTOSTART_DIR},
        "settings": {"type": "bool", "default": False},
    }
    query(options, "host", show_host)


if __name__ == "__main__":
    main()
