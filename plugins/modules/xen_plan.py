#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: xen_plan
short_description: Plan everything for the Xen domains of a host
version_added: 1.1.0
author: xen.blockdev authors (!UNKNOWN)
description:
  - Plans on the controller what every role does, as P(xen.blockdev.host_plan#filter) does, once for all later tasks.
    P(xen.blockdev.plan#role) calls it.
  - Fails with all problems of the domains. It does not connect to the host.
  - Configs may contain passwords, so Ansible's own output does not show the plan, whatever the verbosity. Other
    callbacks may keep it, as they keep the variables from which it was made.
attributes:
  action:
    description: Runs as an action plugin on the controller.
    support: full
  async:
    description: Supports being used with the C(async) keyword.
    support: none
  check_mode:
    description: Does the same in check mode.
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
      - The domains, with the options for disks in P(xen.blockdev.disk_plan#filter) and those for configs in
        P(xen.blockdev.domain_configs#filter).
    type: raw
    required: true
  images_dir:
    description: The directory of images without a C(path).
    type: str
    default: /srv/xen
  config_dir:
    description: The directory of configs without a C(config_path).
    type: str
    default: /etc/xen
  state:
    description: With V(absent), all domains are planned as absent.
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

- name: Bind the images to loop devices
  xen.blockdev.xen_loopdev:
    devices: "{{ planned.plan.loopdevs }}"
"""

RETURN = r"""
plan:
  description: The items of each role.
  returned: success
  type: dict
  contains:
    raw_disks:
      description: Items for M(xen.blockdev.xen_raw_disk). An image that several disks share has one item.
      type: list
      elements: dict
      returned: success
      sample: [{path: /srv/xen/web/boot.raw, size: 16777216, state: present}]
    loopdevs:
      description: Items for M(xen.blockdev.xen_loopdev). An image that several disks share has one item.
      type: list
      elements: dict
      returned: success
      sample: [{path: /srv/xen/web/boot.raw, state: present}]
    domain_config:
      description: Items for M(xen.blockdev.xen_domain_config), one for each domain.
      type: list
      elements: dict
      returned: success
      sample: [{domain: web, path: /etc/xen/web.cfg, state: present, options: {memory: 128}, disks: []}]
    vbds:
      description: Items for M(xen.blockdev.xen_vbd_attach), one for each disk.
      type: list
      elements: dict
      returned: success
      sample: [{domain: web, vdev: xvda, target: /dev/vg0/web, access: rw, format: raw, state: present}]
"""
