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
  - Starts domains from their config files with C(xl), and ends them, any number of them in one call. What
    has become of a domain is read back. The exit codes of C(xl) are not trusted.
  - Never starts a guest on another guest's disk. Before anything is touched, every disk in the config is
    looked at by what is behind it, and the start is refused where there is nothing, where another slot of
    this or another domain has it, unless both only read it, where dom0 has mounted it, uses it as swap, has
    given it to the device mapper or keeps it for itself otherwise, where it is a disk of a domain that
    C(xendomains) has saved, and, unless the guest only reads it, where it is the backing file of another
    domain's image or a process in dom0 has it open for writing. Where it cannot be known who else has the
    data, a warning says so. That is what M(xen.blockdev.xen_vbd_attach) refuses as well, also where
    Xen itself would let it pass.
  - Disks with a hotplug script, those of a driver domain and empty drives are left to C(xl), as this host
    cannot tell what is behind them.
  - A start that fails leaves no domain, and its error has the words of the hotplug script.
extends_documentation_fragment:
  - xen.blockdev.attributes
  - xen.blockdev.pending
options:
  domains:
    description:
      - The domains and what is wanted of them, as a list. Mutually exclusive with O(name) and O(config).
      - An element's options are those of the module. What an element leaves out is taken from the option of
        that name beside the list.
      - What is to end ends first, so that its disks are free for what is to start. All guests are asked to
        shut down before any of them is waited for.
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
      - The domain, by the name in its config. Required unless O(domains) is given.
      - C(Domain-0) is refused, and so is a number, which C(xl) takes for an id.
    type: str
  config:
    description:
      - The config from which the domain is started, by default C(/etc/xen/NAME.cfg). The name in it must be
        O(name). It is read only where the domain is to be started.
    type: path
  state:
    description:
      - V(running) starts the domain, or unpauses it. One that runs already is left as it is, whatever its
        config says by now.
      - V(shutdown) asks the guest to shut down, by the power button (ACPI) where it does not know Xen, and
        waits until it has. A paused guest hears nothing, and one whose config says C(on_poweroff = 'restart')
        would come back. Both are errors before anything is touched.
      - V(destroyed) ends the domain as if the power failed, and takes away one that has crashed or shut down
        and was kept (C(preserve)). Such a domain is an error for V(running), because nobody has looked at it
        yet.
    type: str
    choices: [running, shutdown, destroyed]
    default: running
  paused:
    description:
      - Whether a domain that is started is left paused before its first instruction. One that runs already
        is not paused. With V(false), a paused domain is unpaused.
      - Only with O(state=running).
    type: bool
    default: false
  timeout:
    description:
      - How long a guest has to shut down, in seconds. Only with O(state=shutdown).
    type: float
    default: 60
notes:
  - Disks in a config must have absolute targets, as C(xl) would look for others from wherever it is started.
  - A link below C(/dev/disk/by-loop-file) is what C(xl) opens, so udev must have made it.
  - A guest that reboots while it is asked to shut down is gone for some seconds before C(xl) starts it again,
    so the module may have ended before it is back.
seealso:
  - module: xen.blockdev.xen_domain_config
  - module: xen.blockdev.xen_vbd_attach
  - module: xen.blockdev.xen_vbd_info
"""

EXAMPLES = r"""
- name: Start a domain from /etc/xen/web.cfg
  xen.blockdev.xen_domain:
    name: web

- name: Start two domains, one of them from a config somewhere else
  xen.blockdev.xen_domain:
    domains:
      - name: web
      - name: hello
        config: /srv/mirage/hello.xl

- name: Start a domain, but let it wait until something else is ready
  xen.blockdev.xen_domain:
    name: web
    paused: true

- name: Unpause it
  xen.blockdev.xen_domain:
    name: web

- name: Shut down two guests at once, one of which takes its time
  xen.blockdev.xen_domain:
    state: shutdown
    domains:
      - name: web
      - name: db
        timeout: 300

- name: Pull the plug, and start another guest on the disk that becomes free
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
    - The domains in the order in which they were given, in a list even for one domain.
  returned: always
  type: list
  elements: dict
  contains:
    name: {description: The domain., type: str, returned: always, sample: web}
    running:
      description: Whether the domain runs, paused or not.
      type: bool
      returned: unless the item could not be planned
      sample: true
    status:
      description:
        - V(running), V(paused) or V(absent).
        - V(shutdown) or V(crashed) where the guest has ended but the domain is kept, V(suspended) while it is
          saved or migrated, V(dying) while something still holds what is left of it.
      type: str
      returned: unless the item could not be planned
      sample: running
    domid:
      description: Id of the domain. In check mode it is not known before the domain is started.
      type: int
      returned: while there is such a domain
      sample: 3
    changed: {description: Whether this item was changed., type: bool, returned: always, sample: true}
    actions:
      description: What was done or, in check mode, would be done.
      type: list
      elements: str
      returned: always
      sample: ["start domain web from /etc/xen/web.cfg"]
    msg:
      description: What went wrong with this item.
      type: str
      returned: when it failed
      sample: >-
        cannot start domain web from /etc/xen/web.cfg: disk xvda (/dev/vg0/web): it is attached to domain db as
        xvdb (rw); detach it there or end that domain first, or give it access=ro in the configs of both
pending:
  description:
    - In check mode, the entries of RV(domains) that would change, under that name. Otherwise empty.
    - Later tasks take it as O(pending). Several are merged by C(combine).
  returned: when the items could be looked at
  type: dict
  sample: {}
  version_added: 1.1.0
"""

from ansible_collections.xen.blockdev.plugins.module_utils.converge.module import (
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
