#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: xen_domain_config
short_description: Write the xl configs of domains, or only their disk lists
version_added: 1.0.0
author: xen.blockdev authors (!UNKNOWN)
description:
  - Writes the config files from which C(xl) starts domains, any number of them in one call.
  - A config is rendered whole from O(options) and O(disks). In a config that someone else wrote, only the disk list
    is replaced, and every other byte stays.
  - A file is written whole or not at all. On a Xen host, C(xl) checks it before it gets its name.
  - A disk stays in its slot. Moving an image to another slot, or putting another image into a slot, is refused unless
    O(allow_slot_change=true).
extends_documentation_fragment:
  - xen.blockdev.attributes
options:
  configs:
    description:
      - The configs and what is wanted of them, as a list. Mutually exclusive with O(domain) and O(path).
      - An element's options are those of the module. What an element leaves out is taken from the option of
        that name beside the list.
    type: list
    elements: dict
    suboptions:
      domain:
        description: See O(domain).
        type: str
        required: true
      path:
        description: See O(path).
        type: path
      state:
        description: See O(state).
        type: str
        choices: [present, absent]
      options:
        description: See O(options).
        type: dict
      disks:
        description: See O(disks).
        type: list
        elements: dict
        suboptions: &disk
          target:
            description: What C(xl) is to open. A link below C(/dev/disk/by-loop-file) stands for the loop device of the
              image with the rest of its path.
            type: str
          vdev:
            description: The slot.
            type: str
            required: true
          format:
            description: Format of what is opened.
            type: str
          access:
            description: Whether the guest may write.
            type: str
            choices: [ro, rw]
          backendtype:
            description: Which backend serves the disk, by default what C(xl) finds fit.
            type: str
          devtype:
            description: What the guest is to see.
            type: str
            choices: [disk, cdrom]
          script:
            description: The hotplug script that opens the target.
            type: str
          discard:
            description: Whether the guest may discard blocks.
            type: bool
          direct_io_safe:
            description: Whether QEMU may use direct I/O.
            type: bool
      overwrite:
        description: See O(overwrite).
        type: bool
      backup:
        description: See O(backup).
        type: bool
      validate:
        description: See O(validate).
        type: bool
      parents:
        description: See O(parents).
        type: bool
      allow_slot_change:
        description: See O(allow_slot_change).
        type: bool
      will_exist:
        description: See O(will_exist).
        type: bool
      owner:
        description: See O(owner).
        type: str
      group:
        description: See O(group).
        type: str
      mode:
        description: See O(mode).
        type: raw
      seuser:
        description: See O(seuser).
        type: str
      serole:
        description: See O(serole).
        type: str
      setype:
        description: See O(setype).
        type: str
      selevel:
        description: See O(selevel).
        type: str
  domain:
    description:
      - Name of the domain. Required unless O(configs) is given.
    type: str
  path:
    description:
      - The config, an absolute path on the managed host. By default C(/etc/xen/<domain>.cfg).
    type: path
  state:
    description:
      - V(present) writes the config.
      - V(absent) removes it if this module rendered it. In a config that someone else wrote, it empties the disk list.
    type: str
    choices: [present, absent]
    default: present
  options:
    description:
      - What the config says beside name and disks, by C(xl)'s names, such as C(kernel), C(memory) and C(type). Values
        are text, whole numbers, truth values (written as 1 and 0), or lists of them.
      - Without it, a config that someone else wrote keeps everything but its disk list, and a config that this module
        rendered, or a new one, has name and disks only.
    type: dict
  disks:
    description:
      - All disks of the domain. Those that are not in the list are not in the config either.
    type: list
    elements: dict
    suboptions: *disk
  overwrite:
    description:
      - Whether O(options) may replace a config that someone else wrote.
    type: bool
    default: false
  backup:
    description:
      - Whether a copy of the old config is kept beside it, with the time in its name.
    type: bool
    default: false
  validate:
    description:
      - Whether C(xl -N create) must accept a config before it is put in place. Only a Xen host can do that; elsewhere
        it has no effect.
    type: bool
    default: true
  parents:
    description:
      - Whether missing directories above the config are created, with mode 0755.
    type: bool
    default: false
  allow_slot_change:
    description:
      - Whether an image may move to another slot, and another image may come into a slot that has one.
    type: bool
    default: false
  will_exist:
    description:
      - In check mode, plan as if the images of the disks were bound to loop devices. Set it where an earlier task has
        said, in check mode itself, that it would bind them. Without check mode it has no effect.
    type: bool
    default: false
  owner:
    description: Owner of the config. A new one belongs to root, one that is replaced keeps its owner.
    type: str
  group:
    description: Group of the config. A new one has root's, one that is replaced keeps its group.
    type: str
  mode:
    description: Mode of the config. A new one has V(0600) because it may hold a password, one that is replaced keeps its mode.
    type: raw
  seuser:
    description: User part of the SELinux context.
    type: str
  serole:
    description: Role part of the SELinux context.
    type: str
  setype:
    description: Type part of the SELinux context.
    type: str
  selevel:
    description: Level part of the SELinux context.
    type: str
notes:
  - Passwords (C(vncpasswd), C(spicepasswd)) are masked in diffs.
  - Where udev does not run, a config can name a loop device by its number only. A warning says which images that
    concerns.
seealso:
  - module: xen.blockdev.xen_loopdev
  - module: xen.blockdev.xen_vbd_attach
  - plugin: xen.blockdev.domain_configs
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Write the config of a PVH guest with two disks
  xen.blockdev.xen_domain_config:
    domain: web
    options:
      type: pvh
      kernel: /srv/kernels/web
      memory: 128
      vif: ["bridge=xenbr0"]
    disks:
      - target: /dev/disk/by-loop-file/srv/xen/web/boot.raw
        vdev: xvda
      - target: /dev/vg0/web
        vdev: "51768"
        format: raw
        access: ro
        backendtype: phy
        devtype: disk
        script: block
        discard: true
        direct_io_safe: false
    mode: "0640"
    owner: root
    group: root

- name: Replace the disk list in a config that someone else wrote
  xen.blockdev.xen_domain_config:
    domain: db
    path: /srv/unikernels/db.xl
    disks:
      - {target: /dev/vg0/db, vdev: xvdb}
    backup: true
    allow_slot_change: true

- name: Write many configs in one call
  xen.blockdev.xen_domain_config:
    configs: "{{ xen_domains | xen.blockdev.domain_configs }}"
    parents: true
    validate: true
    overwrite: false

- name: Plan in check mode for disks whose images an earlier task would have bound
  xen.blockdev.xen_domain_config:
    configs: "{{ xen_domains | xen.blockdev.domain_configs }}"
    will_exist: true
  check_mode: true

- name: Write a config with an SELinux context
  xen.blockdev.xen_domain_config:
    domain: web
    seuser: system_u
    serole: object_r
    setype: xen_etc_t
    selevel: s0

- name: Remove a config
  xen.blockdev.xen_domain_config:
    domain: old
    state: absent
"""

RETURN = r"""
configs:
  description: The configs in the order in which they were given, in a list even for one config.
  returned: always
  type: list
  elements: dict
  contains:
    domain:
      description: The domain.
      type: str
      returned: always
      sample: web
    path:
      description: The config.
      type: str
      returned: always
      sample: /etc/xen/web.cfg
    disks:
      description: The disk list, as C(xl) reads it from the config.
      type: list
      elements: str
      returned: success
      sample: ["format=raw, vdev=xvda, access=rw, target=/dev/disk/by-loop-file/srv/xen/web/boot.raw"]
    rendered:
      description: Whether this module wrote the whole config, V(none) where there is no config.
      type: bool
      returned: success
      sample: true
    backup_file:
      description: The copy of the old config.
      type: str
      returned: when a backup was made
      sample: /etc/xen/web.cfg.4711.2026-11-24@14:03:27~
    changed:
      description: Whether this item was changed.
      type: bool
      returned: always
      sample: true
    actions:
      description: What was done or, in check mode, would be done.
      type: list
      elements: str
      returned: always
      sample: ["write /etc/xen/web.cfg"]
    msg:
      description: What went wrong with this item.
      type: str
      returned: when it failed
      sample: "/etc/xen/web.cfg: slot 51712 has /dev/vg0/web and would get /dev/vg0/db; set allow_slot_change: true if the guest is to find another disk there"
"""

from ansible_collections.xen.blockdev.plugins.module_utils.config_file import open_configs
from ansible_collections.xen.blockdev.plugins.module_utils.convergence import (
    STATE,
    Interface,
    converge,
)

DISK = {
    "target": {"type": "str"},
    "vdev": {"type": "str", "required": True},
    "format": {"type": "str"},
    "access": {"type": "str", "choices": ["ro", "rw"]},
    "backendtype": {"type": "str"},
    "devtype": {"type": "str", "choices": ["disk", "cdrom"]},
    "script": {"type": "str"},
    "discard": {"type": "bool"},
    "direct_io_safe": {"type": "bool"},
}


def main() -> None:
    converge(
        Interface(
            items="configs",
            identity=("domain", "path"),
            options={
                "domain": {"type": "str"},
                "path": {"type": "path"},
                "state": STATE,
                "options": {"type": "dict"},
                "disks": {"type": "list", "elements": "dict", "options": DISK},
                "overwrite": {"type": "bool", "default": False},
                "backup": {"type": "bool", "default": False},
                "validate": {"type": "bool", "default": True},
                "parents": {"type": "bool", "default": False},
                "allow_slot_change": {"type": "bool", "default": False},
                "will_exist": {"type": "bool", "default": False},
            },
            files=True,
        ),
        open_configs,
    )


if __name__ == "__main__":
    main()
