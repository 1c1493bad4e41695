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
  - However many there are, xenstore is read once.
  - With each are the file system, the label and the partitions that C(blkid) finds on it. Where that is not
    installed, a warning says so and nothing of these is known.
extends_documentation_fragment:
  - xen.blockdev.attributes.info
options:
  domains:
    description:
      - Show only the disks of these domains, each given by its name, id or UUID. Digits are an id, as for C(xl).
      - A domain that is not running has no disks and no entry in the result.
    type: list
    elements: str
  probe:
    description:
      - Whether to look at what is on the disks. That takes some milliseconds and a process for each.
      - Without it, RV(vbds[].filesystem) and RV(vbds[].label) are V(none) and RV(vbds[].partitions) is empty.
    type: bool
    default: true
seealso:
  - module: xen.blockdev.xen_vbd_attach
  - module: xen.blockdev.xen_loopdev_info
"""

EXAMPLES = r"""
- name: See which domain has which disk
  xen.blockdev.xen_vbd_info:
  register: attached

- name: Show the users of an image
  ansible.builtin.debug:
    msg: "{{ attached.vbds | selectattr('backing_file', 'eq', '/srv/xen/b.raw') | map(attribute='domain') }}"

- name: Find a disk by its label
  ansible.builtin.debug:
    msg: "{{ attached.vbds | selectattr('label', 'eq', 'CONTENT') | map(attribute='target') }}"

- name: See the disks of two domains
  xen.blockdev.xen_vbd_info:
    domains:
      - web
      - 92570f6a-4685-42c0-ba86-b8ab72039821
"""

RETURN = r"""
vbds:
  description:
    - The attached disks, by domain id and slot.
    - A disk that is not attached yet, or half gone, has V(none) for what is not known.
  returned: success
  type: list
  elements: dict
  contains:
    domain: {description: Name of the domain., type: str, returned: success, sample: web}
    domid: {description: Id of the domain., type: int, returned: success, sample: 1}
    xenstore_key:
      description: The slot's number, the name of its directory in xenstore.
      type: int
      returned: success
      sample: 51768
    vdev:
      description: The slot as it was written when the disk was attached.
      type: str
      returned: success
      sample: "51768"
    target:
      description: The block device, the image or what else C(xl) was told to attach.
      type: str
      returned: success
      sample: /dev/loop1
    backing_file:
      description:
        - The image that the loop device behind the disk is bound to, which says so at its end once that is deleted.
        - V(none) where no loop device is behind the disk.
      type: str
      returned: success
      sample: /srv/xen/b.raw
    physical_device:
      description: Major and minor number of the block device behind the disk, V(none) where QEMU serves it.
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
      description: State of the frontend as the guest says. Some guests never say more than V(3).
      type: int
      returned: success
      sample: 4
    hotplug_error:
      description: What the hotplug script said of a disk that could not be attached and was left behind.
      type: str
      returned: success
      sample: null
    sectors:
      description: Size of the disk in units of 512 bytes, whatever its sector size.
      type: int
      returned: success
      sample: 32768
    sector_size: {description: Size of the disk's sectors in bytes., type: int, returned: success, sample: 512}
    size: {description: Size of the disk in bytes., type: int, returned: success, sample: 16777216}
    filesystem:
      description:
        - Type of the file system on the whole disk, or of what else fills it, such as V(swap), as C(blkid) calls
          it. V(none) where it finds nothing, or more than one thing.
        - Whoever can write to the disk decides what this, the label and the partitions say. It is read in
          dom0, where the guest's last writes may not be seen yet.
        - V(none) as well for an image that is not raw and for a disk that dom0 does not serve.
      type: str
      returned: success
      sample: ext4
    label:
      description: Label of that file system, V(none) where it has none.
      type: str
      returned: success
      sample: CONTENT
    partitions:
      description: The partitions of a disk with a GPT. Those of other partition tables, which have no names, are not shown.
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
from ansible_collections.xen.blockdev.plugins.module_utils.resources.vbd_info import describe_vbds


def main() -> None:
    options = {
        "domains": {"type": "list", "elements": "str"},
        "probe": {"type": "bool", "default": True},
    }
    query(options, "vbds", describe_vbds)


if __name__ == "__main__":
    main()
