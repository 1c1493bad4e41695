#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: xen_disks
short_description: Give Xen domains their disks
version_added: 1.1.0
author: xen.blockdev authors (!UNKNOWN)
description:
  - Gives any number of domains their disks in one call. It creates images and logical volumes, binds images to loop devices,
    writes the configs, attaches the disks to running domains, and removes what absent disks had.
  - Does what the modules M(xen.blockdev.xen_vbd_attach), M(xen.blockdev.xen_raw_disk), M(xen.blockdev.xen_logical_volume),
    M(xen.blockdev.xen_loopdev) and M(xen.blockdev.xen_domain_config) do, each with the items that the domains need, in the right
    order.
  - All steps are planned before the first one changes anything. If one of them is impossible, the module fails and nothing is
    changed. If a step fails although it was possible when it was planned, later steps are not done, and the error lists them.
  - The images and logical volumes of absent disks are deleted only with O(remove_images=true).
  - Configs may contain passwords, so neither the log of the host nor the output of Ansible shows O(domains).
extends_documentation_fragment:
  - xen.blockdev.attributes
  - xen.blockdev.pending
options:
  domains:
    description:
      - The domains, with the options for disks in P(xen.blockdev.disk_plan#filter) and those for configs in
        P(xen.blockdev.domain_configs#filter).
    type: raw
    required: true
  state:
    description: With V(absent), all domains are absent. V(present) and the default do what O(domains) says.
    type: str
    choices: [present, absent]
  absent_only:
    description: Whether to leave present domains and disks alone.
    type: bool
    default: false
  steps:
    description:
      - The steps to do, all by default. Whatever their order here, they are done in the order of the choices.
      - V(detach) detaches absent disks from running domains.
      - V(create) creates the images of present disks, and grows those that are smaller than wanted.
      - V(create_volumes) does the same with logical volumes.
      - V(bind) binds the images of present disks to loop devices. If V(configure) or V(unbind) is left out, it also unbinds
        those of absent disks; without V(unbind), those of present disks that need no loop device as well.
      - V(configure) writes the configs of present domains, and removes those of absent domains.
      - V(attach) attaches present disks to running domains.
      - V(unbind) unbinds, once the configs are written, the images of absent disks, of present disks that need no loop device
        any more, and those that the configs have lost. Without V(bind) it unbinds only the last, and without V(configure) none.
      - V(delete) deletes the images of absent disks, and V(delete_volumes) their logical volumes, if O(remove_images=true).
    type: list
    elements: str
    choices: [detach, create, create_volumes, bind, configure, attach, unbind, delete, delete_volumes]
  images_dir:
    description: The directory of images without a C(path).
    type: path
    default: /srv/xen
  config_dir:
    description: The directory of configs without a C(config_path).
    type: path
    default: /etc/xen
  autostart_dir:
    description: The directory of the configs of domains that C(xendomains) starts when the host boots.
    type: path
    default: /etc/xen/auto
  allow_slot_change:
    description:
      - Whether a slot of a config may get another disk, and an image or logical volume may be created for such a slot. A domain
        or disk can override this.
    type: bool
    default: false
  persistent:
    description: Whether loop devices are bound again when the host boots, see O(xen.blockdev.xen_loopdev#module:persistent).
    type: bool
    default: true
  udev_rule:
    description: Whether udev links loop devices, see O(xen.blockdev.xen_loopdev#module:udev_rule).
    type: bool
    default: true
  remove_images:
    description:
      - Whether the steps V(delete) and V(delete_volumes) delete the images and logical volumes of absent disks. Only those that
        this module would create are deleted.
    type: bool
    default: false
  max_overcommit:
    description:
      - How much space may be promised to the disks of a file system or thin pool, as a factor of what they have taken and what
        is free. By default, promising more than there is gives a warning only.
      - See O(xen.blockdev.xen_raw_disk#module:max_overcommit) and O(xen.blockdev.xen_logical_volume#module:max_overcommit).
    type: float
  timeout:
    description: How many seconds to wait for a guest to connect to a disk or to release it.
    type: float
    default: 30
  replace:
    description: Whether another disk in the slot of a running domain is detached first.
    type: bool
    default: false
  force:
    description: Whether to take a disk away from a guest that does not release it, see O(xen.blockdev.xen_vbd_attach#module:force).
    type: bool
    default: false
notes:
  - Unmount a disk in the guest before it becomes absent. dom0 cannot know whether it is mounted.
seealso:
  - module: xen.blockdev.xen_raw_disk
  - module: xen.blockdev.xen_logical_volume
  - module: xen.blockdev.xen_loopdev
  - module: xen.blockdev.xen_domain_config
  - module: xen.blockdev.xen_vbd_attach
"""

EXAMPLES = r"""
- name: Give a domain two disks
  xen.blockdev.xen_disks:
    domains:
      - name: web
        config: {type: pvh, kernel: /srv/kernels/web, memory: 128}
        disks:
          - {name: boot, size: 16MiB}
          - {name: data, volume_group: vg0, size: 10GiB}
          - {name: lun, target: /dev/disk/by-id/scsi-36001405c2a3f1d0}

- name: Install an HVM guest from a CD; afterwards, omit the path, and the drive is empty
  xen.blockdev.xen_disks:
    domains:
      - name: win
        config: {type: hvm, memory: 4096, boot: cd}
        disks:
          - {name: system, size: 40GiB}
          - {name: cd, devtype: cdrom, path: /srv/iso/install.iso}

- name: Only create the images and bind them
  xen.blockdev.xen_disks:
    domains: "{{ xen_domains }}"
    images_dir: /var/lib/xen/images
    steps: [create, bind]
    persistent: false
    udev_rule: false

- name: Refuse new disks if the disks of a file system might need more than one and a half times the space there is
  xen.blockdev.xen_disks:
    domains: "{{ xen_domains }}"
    max_overcommit: 1.5

- name: Replace disks in running domains and in configs
  xen.blockdev.xen_disks:
    domains: "{{ xen_domains }}"
    config_dir: /srv/xen/configs
    autostart_dir: /srv/xen/configs/auto
    allow_slot_change: true
    replace: true
    force: true
    timeout: 120

- name: Remove all domains with their disks and images
  xen.blockdev.xen_disks:
    domains: "{{ xen_domains }}"
    state: absent
    remove_images: true

- name: Check that the absent disks of a plan can be removed
  xen.blockdev.xen_disks:
    domains: "{{ xen_domains }}"
    absent_only: true
  check_mode: true

- name: Plan in check mode with a volume that an earlier task would have created
  xen.blockdev.xen_disks:
    domains:
      - name: web
        disks:
          - {name: data, target: /dev/vg0/web}
    pending:
      disks:
        - path: /dev/vg0/web
  check_mode: true
"""

RETURN = r"""
disks:
  description: The images, see RV(xen.blockdev.xen_raw_disk#module:disks).
  returned: with a step that has such items
  type: list
  elements: dict
  sample: [{path: /srv/xen/web/boot.raw, size: 16777216, allocated: 0, changed: false, actions: []}]
volumes:
  description: The logical volumes, see RV(xen.blockdev.xen_logical_volume#module:volumes).
  returned: with a step that has such items
  type: list
  elements: dict
  sample: [{volume_group: vg0, volume: web-data, path: /dev/vg0/web-data, size: 10737418240, changed: false, actions: []}]
devices:
  description: The loop devices, see RV(xen.blockdev.xen_loopdev#module:devices).
  returned: with a step that has such items
  type: list
  elements: dict
  sample: [{path: /srv/xen/web/boot.raw, device: /dev/loop0, changed: true, actions: [bind /srv/xen/web/boot.raw to a free loop device]}]
configs:
  description: The configs, see RV(xen.blockdev.xen_domain_config#module:configs).
  returned: with a step that has such items
  type: list
  elements: dict
  sample: [{domain: web, path: /etc/xen/web.cfg, changed: true, actions: [write /etc/xen/web.cfg]}]
vbds:
  description:
    - The disks of running domains, see RV(xen.blockdev.xen_vbd_attach#module:vbds), those of the step V(detach) first.
  returned: with a step that has such items
  type: list
  elements: dict
  sample: [{domain: web, vdev: xvda, target: /dev/vg0/web, running: false, changed: false, actions: []}]
stores:
  description:
    - The space of the file systems with images of present disks, see RV(xen.blockdev.xen_raw_disk#module:stores), and of the thin
      pools with their volumes, see RV(xen.blockdev.xen_logical_volume#module:stores).
  returned: with a step that has images or logical volumes
  type: list
  elements: dict
  sample: [{name: /srv/xen, size: 536870912000, free: 21474836480, taken: 107374182400, promised: 257698037760, overcommit: 2.0}]
actions:
  description: What was done or, in check mode, would be done, step by step.
  returned: always
  type: list
  elements: str
  sample: ["create /srv/xen/web/boot.raw, 16MiB, sparse", "bind /srv/xen/web/boot.raw to a free loop device", "write /etc/xen/web.cfg"]
pending:
  description:
    - In check mode, the entries of the other lists that would change, under the names of these lists. Otherwise empty.
    - Pass it to later tasks as O(pending). Merge several by C(combine).
  returned: always
  type: dict
  sample: {}
"""

from functools import partial

from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import (
    Outcome,
    QuietModule,
    require_root,
    run_items,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks import (
    OPTIONS,
    HostDisks,
    provide,
)


def main() -> None:
    module = QuietModule(["domains"], argument_spec=OPTIONS, supports_check_mode=True)
    require_root(module)
    try:
        wanted = HostDisks.read(module.params)
        outcome = provide(wanted, partial(run_items, module), module.check_mode)
    except BlockdevError as error:
        outcome = Outcome({}, error=str(error))
    outcome.end(module, actions=outcome.actions)


if __name__ == "__main__":
    main()
