# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of a loop device that follows its backing file.

The kernel numbers loop devices as they come, so ``/dev/loop0`` is another image after the next
boot. A udev rule (see C(udev_rule)) links each loop device under the path of its backing file:
``/dev/disk/by-loop-file/srv/xen/web/boot.raw``. This file knows that naming, the others ask it.
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
"""What the file says: a rule is one line (udev(7))."""

SAFE_PATH = re.compile(r"/[A-Za-z0-9._/-]+")
"""Paths whose link udev writes as they are. It replaces other characters by ``_``, so that two
odd paths could meet in one link."""


def link_of(path: str) -> str:
    """The link to the loop device whose backing file has the absolute C(path)."""
    return LINK_DIR + path


def is_link(target: str) -> bool:
    """Whether C(target) is such a link, by its name alone."""
    return target.startswith(LINK_DIR + "/")


def path_of(link: str) -> str:
    """The backing file that a link (see L(is_link)) stands for."""
    return link[len(LINK_DIR) :]


def is_announced(target: str, pending: Pending) -> bool:
    """Whether C(target), which is not there, would be there but for check mode: a link once its
    image is bound, anything else once it is created."""
    if is_link(target):
        return path_of(target) in pending.bound
    return target in pending.sizes
