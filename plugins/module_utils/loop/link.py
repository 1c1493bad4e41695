# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of a loop device that follows its backing file.

The kernel numbers loop devices in the order in which they are bound, so ``/dev/loop0`` may be a
different image after a reboot. A udev rule (see udev_rule.py) links each loop device under the path
of its backing file: ``/dev/disk/by-loop-file/srv/xen/web/boot.raw``. Only this file builds and
parses such names.
"""

from __future__ import annotations

import re

from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending

LINK_DIR = "/dev/disk/by-loop-file"
RULE = "/etc/udev/rules.d/61-xen-blockdev.rules"
RULE_TEXT = f"""\
# Written by the Ansible collection xen.blockdev (module xen_loopdev).
# Link every loop device that shows a whole file under the path of that file, so that
# {LINK_DIR}/srv/xen/web/boot.raw is always the device of /srv/xen/web/boot.raw.
SUBSYSTEM=="block", KERNEL=="loop[0-9]*", ENV{{DEVTYPE}}=="disk", \
ATTR{{loop/backing_file}}=="/*", ATTR{{loop/offset}}=="0", ATTR{{loop/sizelimit}}=="0", \
SYMLINK+="disk/by-loop-file$attr{{loop/backing_file}}"
"""
"""The content of that file: a rule is one line (udev(7))."""

SAFE_PATH = re.compile(r"/[A-Za-z0-9._/-]+")
"""Paths that udev uses in a link unchanged. It replaces other characters by ``_``, so that two
paths could get the same link."""


def link_of(path: str) -> str:
    """The link to the loop device whose backing file has this absolute path."""
    return LINK_DIR + path


def is_link(target: str) -> bool:
    """Whether ``target`` is such a link, by its name alone."""
    return target.startswith(LINK_DIR + "/")


def linked_image(link: str) -> str:
    """The path of the image whose loop device a link (see is_link) leads to."""
    return link[len(LINK_DIR) :]


def is_announced(target: str, pending: Pending) -> bool:
    """Whether ``target``, which does not exist, would exist if this were not check mode: a link if
    its image would be bound, anything else if it would be created."""
    if is_link(target):
        return linked_image(target) in pending.bound
    return target in pending.sizes
