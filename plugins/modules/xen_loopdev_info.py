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
  - If C(blkid) is not installed, these are missing from the result, and there is a warning.
extends_documentation_fragment:
  - xen.blockdev.attributes.info
options:
  paths:
    description:
      - Show only the devices that are bound to these images. Images are compared by device and inode, whatever their names.
      - An image that does not exist or is not bound has no entry in the result.
    type: list
    elements: path
  probe:
    description:
      - Whether to read the file systems and partitions on the devices. That takes some milliseconds and a process for each.
      - Without it, RV(devices[].filesystem) and RV(devices[].label) are V(none) and RV(devices[].partitions) is empty.
    type: bool
    default: true
seealso:
  - module: xen.blockdev.xen_loopdev
"""

EXAMPLES = r"""
- name: Read which loop devices are bound
  xen.blockdev.xen_loopdev_info:
  register: loops

- name: Show devices whose image was deleted
  ansible.builtin.debug:
    msg: "{{ loops.devices | selectattr('deleted') | map(attribute='device') }}"

- name: Show the file systems and partitions on them
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
      description: Path of the image, in the mount namespace of the program that bound it.
      type: str
      returned: success
      sample: /srv/xen/web/boot.raw
    deleted:
      description: Whether the image has been deleted. Its data exists until the device is unbound.
      type: bool
      returned: success
      sample: false
    link:
      description: A link to the device that stays the same after a reboot, V(none) if udev has not created it.
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
        - C(blkid)'s name for the type of the file system on the whole device, or of other content such as V(swap).
          V(none) if C(blkid) finds nothing, or more than one type.
        - A guest that can write to the device controls this, the label and the partitions. They are read in
          dom0, where a guest's last writes may not be visible yet.
      type: str
      returned: success
      sample: ext4
    label:
      description: Label of that file system, V(none) if it has no label.
      type: str
      returned: success
      sample: CONTENT
    partitions:
      description: The partitions of a device with a GPT. Other partition tables have no names and are not shown.
      type: list
      elements: dict
      returned: success
      sample: []
      contains:
        number: {description: Number of the partition., type: int, returned: success, sample: 1}
        label:
          description: Name of the partition, V(none) if it has no name.
          type: str
          returned: success
          sample: boot
"""

from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import query
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
