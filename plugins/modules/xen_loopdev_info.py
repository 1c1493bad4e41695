#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: xen_loopdev_info
short_description: Show loop devices and the images they are bound to
version_added: 1.0.0
author: xen.blockdev authors (!UNKNOWN)
description:
  - Lists the bound loop devices of a host, all of them or those of certain images, with the file system, the label
    and the partitions that C(blkid) finds on each.
  - Where C(blkid) is not installed, a warning says so and nothing of these is known.
extends_documentation_fragment:
  - xen.blockdev.attributes.info
options:
  paths:
    description:
      - Show only the devices bound to these images, found by device and inode under any name they have.
      - An image that is not bound, or is not there, has no entry in the result.
    type: list
    elements: path
  probe:
    description:
      - Whether to look at what is on the disks. That takes some milliseconds and a process for each.
      - Without it, RV(devices[].filesystem) and RV(devices[].label) are V(none) and RV(devices[].partitions) is empty.
    type: bool
    default: true
seealso:
  - module: xen.blockdev.xen_loopdev
"""

EXAMPLES = r"""
- name: See what is bound
  xen.blockdev.xen_loopdev_info:
  register: loops

- name: Show bindings that outlived their image
  ansible.builtin.debug:
    msg: "{{ loops.devices | selectattr('deleted') | map(attribute='device') }}"

- name: Show what is on them
  ansible.builtin.debug:
    msg: "{{ item.device }}: {{ item.filesystem }} {{ item.label }} {{ item.partitions | map(attribute='label') }}"
  loop: "{{ loops.devices }}"

- name: Find the device of one image
  xen.blockdev.xen_loopdev_info:
    paths:
      - /srv/xen/web/boot.raw
"""

RETURN = r"""
devices:
  description: The bound loop devices, by number.
  returned: success
  type: list
  elements: dict
  contains:
    device: {description: The loop device., type: str, returned: success, sample: /dev/loop0}
    backing_file:
      description: Path of the image as it was when the device was bound, in the mount namespace of whoever bound it.
      type: str
      returned: success
      sample: /srv/xen/web/boot.raw
    deleted:
      description: Whether the image has been deleted. It lives on in the device until that is unbound.
      type: bool
      returned: success
      sample: false
    link:
      description: A path of the device that follows the image, V(none) where udev has not made it.
      type: str
      returned: success
      sample: /dev/disk/by-loop-file/srv/xen/web/boot.raw
    major: {description: Major number of the loop device., type: int, returned: success, sample: 7}
    minor: {description: Minor number of the loop device., type: int, returned: success, sample: 0}
    size: {description: Size of the loop device in bytes., type: int, returned: success, sample: 16777216}
    offset: {description: Bytes of the image before the device begins., type: int, returned: success, sample: 0}
    size_limit:
      description: Bytes of the image that the device shows, 0 for all.
      type: int
      returned: success
      sample: 0
    sector_size: {description: Logical sector size of the device in bytes., type: int, returned: success, sample: 512}
    direct_io: {description: Whether the device bypasses the page cache., type: bool, returned: success, sample: false}
    read_only: {description: Whether the device refuses writes., type: bool, returned: success, sample: false}
    persistent:
      description: Whether systemd binds the image when the host boots.
      type: bool
      returned: success
      sample: true
    autoclear:
      description: Whether the kernel unbinds the device when its last user closes it.
      type: bool
      returned: success
      sample: false
    filesystem:
      description:
        - Type of the file system on the whole device, or of what else fills it, such as V(swap), as C(blkid) calls
          it. V(none) where it finds nothing, or more than one thing.
        - Whoever can write to the device decides what this, the label and the partitions say. It is read in
          dom0, where a guest's last writes may not be seen yet.
      type: str
      returned: success
      sample: ext4
    label:
      description: Label of that file system, V(none) where it has none.
      type: str
      returned: success
      sample: CONTENT
    partitions:
      description: The partitions of a device with a GPT. Those of other partition tables, which have no names, are not shown.
      type: list
      elements: dict
      returned: success
      sample: []
      contains:
        number: {description: Number of the partition., type: int, returned: success, sample: 1}
        label:
          description: Name of the partition, V(none) where it has none.
          type: str
          returned: success
          sample: boot
"""

from ansible_collections.xen.blockdev.plugins.module_utils.converge.module import query
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_info import (
    shown_devices,
)


def main() -> None:
    options = {
        "paths": {"type": "list", "elements": "path"},
        "probe": {"type": "bool", "default": True},
    }
    query(options, "devices", shown_devices)


if __name__ == "__main__":
    main()
