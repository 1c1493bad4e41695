#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: xen_plan
short_description: Plan all that a host is to do for its Xen domains
version_added: 1.1.0
author: xen.blockdev authors (!UNKNOWN)
description:
  - Works out on the controller what every role is to do, as P(xen.blockdev.host_plan#filter) does, once for all tasks
    that follow. P(xen.blockdev.plan#role) has it as a task.
  - Fails with everything that is wrong with the domains. It touches nothing on the host and does not connect to it.
  - Configs may have passwords in them, so Ansible's own output does not show the plan, whatever the verbosity. Other
    callbacks may keep it, as they keep the variables that it was made of.
attributes:
  action:
    description: It is done by an action plugin, on the controller.
    support: full
  async:
    description: Supports being used with the C(async) keyword.
    support: none
  check_mode:
    description: Can run in check mode. There it does the same.
    support: full
  diff_mode:
    description: Has nothing to show in diff mode.
    support: none
  platform:
    description: Target OS families that the module works on.
    support: full
    platforms: all
options:
  domains:
    description:
      - The domains, with their disks as P(xen.blockdev.disk_plan#filter) takes them, and their configs as
        P(xen.blockdev.domain_configs#filter) does.
    type: raw
    required: true
  images_dir:
    description: Where the images are that have no path of their own.
    type: str
    default: /srv/xen
  config_dir:
    description: Where the configs are that have no path of their own.
    type: str
    default: /etc/xen
  state:
    description: With V(absent), plan as if all domains were.
    type: str
    choices: [present, absent]
seealso:
  - plugin: xen.blockdev.host_plan
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Plan the disks of all domains
  xen.blockdev.xen_plan:
    domains: "{{ xen_domains }}"
  register: planned

- name: Create all images in one call
  xen.blockdev.xen_raw_disk:
    disks: "{{ planned.plan.raw_disks }}"

- name: Bind them to loop devices
  xen.blockdev.xen_loopdev:
    devices: "{{ planned.plan.loopdevs }}"
"""

RETURN = r"""
plan:
  description: What each role is to do.
  returned: success
  type: dict
  contains:
    raw_disks:
      description: Items for M(xen.blockdev.xen_raw_disk). An image that several disks share is there once.
      type: list
      elements: dict
      returned: success
      sample: [{path: /srv/xen/web/boot.raw, size: 16777216, state: present}]
    loopdevs:
      description: Items for M(xen.blockdev.xen_loopdev). An image that several disks share is there once.
      type: list
      elements: dict
      returned: success
      sample: [{path: /srv/xen/web/boot.raw, state: present}]
    domain_config:
      description: Items for M(xen.blockdev.xen_domain_config), one a domain.
      type: list
      elements: dict
      returned: success
      sample: [{domain: web, path: /etc/xen/web.cfg, state: present, options: {memory: 128}, disks: []}]
    vbds:
      description: Items for M(xen.blockdev.xen_vbd_attach), one a disk.
      type: list
      elements: dict
      returned: success
      sample: [{domain: web, vdev: xvda, target: /dev/vg0/web, access: rw, format: raw, state: present}]
"""
