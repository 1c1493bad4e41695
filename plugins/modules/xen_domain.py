#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: xen_domain
short_description: Start Xen domains, shut them down, destroy them
version_added: 1.0.0
author: xen.blockdev authors (!UNKNOWN)
description:
  - Starts domains from their config files with C(xl), and ends them, any number of them in one call. The resulting
    state is read from the host; the exit status of C(xl) is not trusted.
  - Never starts a guest on another guest's disk. Before anything is touched, every disk in the config is checked. The
    start is refused if a disk does not exist or if another user has its data, by the same rules as in
    M(xen.blockdev.xen_vbd_attach), even if Xen itself would allow it.
  - Disks with a hotplug script, disks of a driver domain and empty drives are not checked, as this host does not know
    their data.
  - If a start fails, no domain is left, and the error contains that of the hotplug script.
extends_documentation_fragment:
  - xen.blockdev.attributes
  - xen.blockdev.pending
options:
  domains:
    description:
      - A list of domains. Mutually exclusive with O(name) and O(config).
      - The options of an element are those of the module. An option that an element omits is taken from the module's
        option of that name.
      - Domains are ended before others are started, so that their disks are free. All guests are asked to shut down
        before the module waits for one of them.
    type: list
    elements: dict
    suboptions:
      name: {description: See O(name)., type: str, required: true}
      config: {description: See O(config)., type: path}
      state: {description: See O(state)., type: str, choices: [running, shutdown, destroyed]}
      paused: {description: See O(paused)., type: bool}
      timeout: {description: See O(timeout)., type: float}
  name:
    description:
      - Name of the domain, as in its config. Required unless O(domains) is set.
      - C(Domain-0) and numbers are refused; C(xl) takes a number as an id.
    type: str
  config:
    description:
      - The config from which the domain is started, by default C(/etc/xen/NAME.cfg). The name in it must be
        O(name). It is read only to start the domain.
    type: path
  state:
    description:
      - V(running) starts the domain, or unpauses it. A domain that is already running is not changed, even if its
        config was.
      - V(shutdown) asks the guest to shut down, with the power button (ACPI) if it has no Xen drivers, and waits until
        it has. A paused guest cannot shut down, and a domain whose config has C(on_poweroff = 'restart') would start
        again. Both are errors before anything is touched.
      - V(destroyed) ends the domain as if the power failed, and removes a domain that has crashed or shut down
        and is kept (C(preserve)). Such a domain is an error for V(running), because it may not have been inspected
        yet.
    type: str
    choices: [running, shutdown, destroyed]
    default: running
  paused:
    description:
      - Whether a domain is started paused, before its first instruction. A domain that is already running is not
        paused. With V(false), a paused domain is unpaused.
      - Only with O(state=running).
    type: bool
    default: false
  timeout:
    description:
      - How many seconds a guest has to shut down. Only with O(state=shutdown).
    type: float
    default: 60
notes:
  - Disks in a config must have absolute targets, as C(xl) would look for others in its working directory.
  - C(xl) opens a link below C(/dev/disk/by-loop-file) itself, so udev must have made it.
  - If a guest reboots instead of shutting down, its domain does not exist for some seconds before C(xl) starts it
    again. The module may have ended by then.
seealso:
  - module: xen.blockdev.xen_domain_config
  - module: xen.blockdev.xen_vbd_attach
  - module: xen.blockdev.xen_vbd_info
"""

EXAMPLES = r"""
- name: Start a domain from /etc/xen/web.cfg
  xen.blockdev.xen_domain:
    name: web

- name: Start two domains, one of them from a config in another directory
  xen.blockdev.xen_domain:
    domains:
      - name: web
      - name: hello
        config: /srv/mirage/hello.xl

- name: Start a domain paused, to unpause it once something else is ready
  xen.blockdev.xen_domain:
    name: web
    paused: true

- name: Unpause it
  xen.blockdev.xen_domain:
    name: web

- name: Shut down two guests at once, one of which takes longer
  xen.blockdev.xen_domain:
    state: shutdown
    domains:
      - name: web
      - name: db
        timeout: 300

- name: Destroy a domain, and start another one on its disk
  xen.blockdev.xen_domain:
    domains:
      - name: old
        state: destroyed
      - name: new

- name: Plan in check mode for a config and loop devices that earlier tasks would have made
  xen.blockdev.xen_domain:
    name: new
    pending: "{{ bound.pending | combine(written.pending) }}"
  check_mode: true
"""

RETURN = r"""
domains:
  description:
    - The domains in the order of the items; a list even for one domain.
  returned: always
  type: list
  elements: dict
  contains:
    name: {description: The domain., type: str, returned: always, sample: web}
    running:
      description: Whether the domain is running or paused.
      type: bool
      returned: unless the item could not be planned
      sample: true
    status:
      description:
        - V(running), V(paused) or V(absent).
        - V(shutdown) or V(crashed) if the guest has ended but the domain is kept, V(suspended) while it is
          saved or migrated, V(dying) while something still holds its memory or disks.
      type: str
      returned: unless the item could not be planned
      sample: running
    domid:
      description: Id of the domain. In check mode it is not known before the domain is started.
      type: int
      returned: if the domain exists
      sample: 3
    changed: {description: Whether this item was changed., type: bool, returned: always, sample: true}
    actions:
      description: The actions that were done or, in check mode, would be.
      type: list
      elements: str
      returned: always
      sample: ["start domain web from /etc/xen/web.cfg"]
    msg:
      description: The error of this item.
      type: str
      returned: when it failed
      sample: >-
        cannot start domain web from /etc/xen/web.cfg: disk xvda (/dev/vg0/web): it is attached to domain db as
        xvdb (rw); detach it there or end that domain first, or set access=ro for it in both
        configs
pending:
  description:
    - In check mode, the entries of RV(domains) that would change, under that name. Otherwise empty.
    - Later tasks take it as O(pending). Merge several with C(combine).
  returned: when the items could be planned
  type: dict
  sample: {}
  version_added: 1.1.0
"""

from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import (
    Interface,
    converge,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.domain import (
    DomainItem,
    open_domains,
)

INTERFACE = Interface(
    items="domains",
    identity=("name",),
    own=("config",),
    options={
        "name": {"type": "str"},
        "config": {"type": "path"},
        "state": {
            "type": "str",
            "choices": ["running", "shutdown", "destroyed"],
            "default": "running",
        },
        "paused": {"type": "bool", "default": False},
        "timeout": {"type": "float", "default": 60},
    },
    read=DomainItem.read,
)


def main() -> None:
    converge(INTERFACE, open_domains)


if __name__ == "__main__":
    main()
