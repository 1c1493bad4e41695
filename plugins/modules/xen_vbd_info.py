#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: xen_vbd_info
short_description: Show the disks of running Xen domains
version_added: 1.0.0
author: xen.blockdev authors (!UNKNOWN)
description:
  - Lists the disks that are attached to the running domains of a host, all of them or those of certain domains.
  - Reads xenstore once for all of them, and asks the QEMU of each HVM guest once.
  - Shows the file system, the label and the partitions that C(blkid) finds on each disk. If C(blkid) is not
    installed, there is a warning instead.
extends_documentation_fragment:
  - xen.blockdev.attributes.info
options:
  domains:
    description:
      - Names, ids or UUIDs of the domains to show; by default all. Digits are an id, as for C(xl).
      - A domain that is not running has no disks and no entry in the result.
    type: list
    elements: str
  probe:
    description:
      - Whether to read the content of the disks. This takes some milliseconds and a process for each disk.
      - Without it, RV(vbds[].filesystem) and RV(vbds[].label) are V(none) and RV(vbds[].partitions) is empty.
    type: bool
    default: true
seealso:
  - module: xen.blockdev.xen_vbd_attach
  - module: xen.blockdev.xen_loopdev_info
"""

EXAMPLES = r"""
- name: List the disks of all domains
  xen.blockdev.xen_vbd_info:
  register: attached

- name: Show the users of an image
  ansible.builtin.debug:
    msg: "{{ attached.vbds | selectattr('backing_file', 'eq', '/srv/xen/b.raw') | map(attribute='domain') }}"

- name: Find a disk by its label
  ansible.builtin.debug:
    msg: "{{ attached.vbds | selectattr('label', 'eq', 'CONTENT') | map(attribute='target') }}"

- name: List the disks of two domains
  xen.blockdev.xen_vbd_info:
    domains:
      - web
      - 92570f6a-4685-42c0-ba86-b8ab72039821
"""

RETURN = r"""
vbds:
  description:
    - The attached disks, by domain id and slot.
    - Values may be V(none) for a disk that is being attached or detached.
  returned: success
  type: list
  elements: dict
  contains:
    domain: {description: Name of the domain., type: str, returned: success, sample: web}
    domid: {description: Id of the domain., type: int, returned: success, sample: 1}
    xenstore_key:
      description: Number of the slot, the name of its directory in xenstore.
      type: int
      returned: success
      sample: 51768
    vdev:
      description: The slot as it was written when the disk was attached.
      type: str
      returned: success
      sample: "51768"
    devtype:
      description: Whether it is a hard disk (V(disk)) or a CD drive (V(cdrom)).
      type: str
      returned: success
      sample: disk
      version_added: 1.1.0
    emulated:
      description:
        - Whether QEMU emulates the disk for an HVM guest. Such a disk cannot be detached while the guest runs.
        - QEMU emulates CD drives, and those disks that the guest does not use by PV drivers.
        - V(none) if that is not known, because QEMU does not answer, which is also a warning, or runs in a stub domain.
      type: bool
      returned: success
      sample: false
      version_added: 1.1.0
    medium:
      description:
        - The path of the CD that QEMU has in the drive. RV(vbds[].target) is what C(xl) last wrote to xenstore.
        - V(none) for an empty drive, for a disk, and if RV(vbds[].emulated) is V(none).
      type: str
      returned: success
      sample: null
      version_added: 1.1.0
    target:
      description: The target that C(xl) attached, usually a block device or an image. Empty for an empty CD drive.
      type: str
      returned: success
      sample: /dev/loop1
    backing_file:
      description:
        - The image to which the loop device of the disk is bound, followed by the word deleted in brackets if the image
          was deleted.
        - V(none) if the disk has no loop device.
      type: str
      returned: success
      sample: /srv/xen/b.raw
    physical_device:
      description: Major and minor number of the block device of the disk; V(none) if QEMU serves it.
      type: str
      returned: success
      sample: "7:1"
    format: {description: Format of the target., type: str, returned: success, sample: raw}
    backendtype:
      description: What serves the disk, the kernel's C(blkback) (V(phy)) or QEMU (V(qdisk)).
      type: str
      returned: success
      sample: phy
    access: {description: V(ro) or V(rw)., type: str, returned: success, sample: ro}
    backend_state:
      description:
        - State of the backend, V(1) Initialising, V(2) InitWait, V(3) Initialised, V(4) Connected, V(5) Closing,
          V(6) Closed.
      type: int
      returned: success
      sample: 4
    frontend_state:
      description: State of the frontend, which the guest sets. Some guests never set more than V(3).
      type: int
      returned: success
      sample: 4
    hotplug_error:
      description: Error of the hotplug script, for a disk that is left over from a failed attach.
      type: str
      returned: success
      sample: null
    sectors:
      description: Size of the disk in units of 512 bytes, independent of its sector size.
      type: int
      returned: success
      sample: 32768
    sector_size: {description: Size of the disk's sectors in bytes., type: int, returned: success, sample: 512}
    size: {description: Size of the disk in bytes., type: int, returned: success, sample: 16777216}
    filesystem:
      description:
        - Type of the file system on the whole disk, or of other content such as V(swap), as C(blkid) calls it.
          V(none) if C(blkid) finds nothing, or several signatures.
        - This, the label and the partitions are under the control of the guest, if it can write to the disk. They are
          read in dom0, where the guest's last writes may not be visible yet.
        - Also V(none) for an image that is not raw and for a disk that dom0 does not serve.
      type: str
      returned: success
      sample: ext4
    label:
      description: Label of that file system; V(none) if it has none.
      type: str
      returned: success
      sample: CONTENT
    partitions:
      description: The partitions of a disk with a GPT. Other partition tables have no names and are not shown.
      type: list
      elements: dict
      returned: success
      sample: []
      contains:
        number: {description: Number of the partition., type: int, returned: success, sample: 1}
        label:
          description: Name of the partition; V(none) if it has none.
          type: str
          returned: success
          sample: boot
"""

from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import query
from ansible_collections.xen.blockdev.plugins.module_utils.resources.vbd_info import describe_vbds


def main() -> None:
    options = {
        "domains": {"type": "list", "elements": "str"},
        "probe": {"type": "bool", "default": True},
    }
    query(options, "vbds", describe_vbds)


if __name__ == "__main__":
    main()
