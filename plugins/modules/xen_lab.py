#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: xen_lab
short_description: Boot a real Xen host in QEMU on a machine without Xen
version_added: 1.0.0
author: xen.blockdev authors (!UNKNOWN)
description:
  - Builds a dom0 of Debian, boots it once in QEMU, and keeps a snapshot of the running machine. Labs are started from
    that, in seconds.
  - A lab lasts as long as its QEMU. One that has ended, by itself or with this machine, is started from the snapshot
    anew.
  - What other releases, packages or files are built into has a place of its own in the cache, and stays there until
    that is cleared. Snapshots of other versions of QEMU are removed when a new one is made, unless a lab stands on one.
  - Most users want the role P(xen.blockdev.xen_lab#role), which also knows what a dom0 is built from and makes an
    inventory host of the lab.
  - Needs no privileges. It runs on the controller, or wherever SSH is to come from.
attributes:
  check_mode:
    support: full
    description: Can run in check_mode and return changed status prediction without modifying target.
  diff_mode:
    support: none
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
  platform:
    support: full
    description: Target OS/families that can be operated against.
    platforms: linux
options:
  name:
    description:
      - Name of the lab, also in an inventory. Labs with different names run side by side.
      - A letter or a digit, then letters, digits, dots, underscores and hyphens.
    type: str
    required: true
  state:
    description:
      - V(present) has the lab run, and builds what is missing for that.
      - V(absent) ends it, as if its power failed, and removes its disk. What was built for it stays.
      - V(cleared) does so too and removes everything that was built, for all labs. It is an error while another one
        runs.
      - Each of them also ends and removes what a run that was killed has left.
    type: str
    choices: [present, absent, cleared]
    default: present
  cache:
    description:
      - The directory that keeps what was built and the files of the labs. It is new, or empty, or has been the cache before.
      - An absolute path, without quotation marks, backslashes, dollar and percent signs.
    type: path
    required: true
  files:
    description:
      - A directory with the files that are added to the root file system. C(usr/local/lib/xen-lab/customise) among them
        is run in there when all packages are installed.
      - Required if O(state=present).
    type: path
  release:
    description:
      - The release of Debian, by its code name.
      - Required if O(state=present).
    type: str
  packages:
    description:
      - The packages that are installed.
      - Required if O(state=present).
    type: list
    elements: str
  mirror:
    description:
      - URL of a Debian mirror. Unless it is given, C(mmdebstrap) chooses.
    type: str
  memory:
    description:
      - Memory of the machine in MiB, at least 1024. Half of it is for dom0.
    type: int
    default: 3072
  cpus:
    description:
      - Number of the machine's processors, at most 64.
    type: int
    default: 4
  port:
    description:
      - The port on loopback that leads to the lab's SSH. Unless it is given, a free one is taken.
    type: int
  boot_timeout:
    description:
      - How long the machine may take to boot, in seconds.
    type: float
    default: 600
seealso:
  - name: The role xen_lab
    description: What most users want.
    link: https://github.com/xen-blockdev/xen.blockdev/blob/main/roles/xen_lab/README.md
"""

EXAMPLES = r"""
- name: Have a lab run
  xen.blockdev.xen_lab:
    name: lab
    cache: ~/.cache/xen-blockdev-lab
    files: "{{ role_path }}/files/dom0"
    release: bookworm
    packages: [linux-image-amd64, xen-hypervisor-4.17-amd64, xen-utils-4.17, openssh-server]

- name: End it
  xen.blockdev.xen_lab:
    name: lab
    cache: ~/.cache/xen-blockdev-lab
    state: absent
"""

RETURN = r"""
lab:
  description: The lab, V(none) if it does not run or, in check mode, does not run yet.
  returned: success
  type: dict
  contains:
    host: {description: Where SSH listens., type: str, returned: success, sample: 127.0.0.1}
    port: {description: The port on which it listens., type: int, returned: success, sample: 40022}
    user: {description: The user that may log in., type: str, returned: success, sample: root}
    private_key_file:
      description: The key with which that is.
      type: str
      returned: success
      sample: /home/me/.cache/xen-blockdev-lab/images/0123456789abcdef/id_ed25519
    ssh_options:
      description: Options with which SSH trusts the lab and no other host.
      type: list
      elements: str
      returned: success
      sample: ["-o", "StrictHostKeyChecking=yes"]
    console:
      description: The file with what the machine's console printed.
      type: str
      returned: success
      sample: /home/me/.cache/xen-blockdev-lab/machines/lab/console.log
    image:
      description: The directory with what was built.
      type: str
      returned: success
      sample: /home/me/.cache/xen-blockdev-lab/images/0123456789abcdef
    release: {description: See O(release)., type: str, returned: success, sample: bookworm}
    memory: {description: See O(memory)., type: int, returned: success, sample: 3072}
    cpus: {description: See O(cpus)., type: int, returned: success, sample: 2}
actions:
  description: What was done or, in check mode, would be done.
  returned: always
  type: list
  elements: str
  sample: ["start lab lab from the snapshot"]
"""

from functools import partial
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.lab import options as lab_options
from ansible_collections.xen.blockdev.plugins.module_utils.lab.build import read_recipe
from ansible_collections.xen.blockdev.plugins.module_utils.lab.files import Cache
from ansible_collections.xen.blockdev.plugins.module_utils.lab.start import (
    Start,
    WantedLab,
    state_of,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources import lab


def wanted(options: Dict[str, Any]) -> WantedLab:
    """The lab that is to run. Raises BlockdevError or OSError."""
    memory, cpus = options["memory"], options["cpus"]
    lab_options.check_machine(memory, cpus, options["port"], options["boot_timeout"])
    lab_options.check_dom0(options["release"], options["packages"], options["mirror"])
    return WantedLab(
        name=options["name"],
        recipe=read_recipe(
            options["files"], options["release"], options["packages"], options["mirror"]
        ),
        memory=memory,
        cpus=cpus,
        port=options["port"],
        boot_seconds=options["boot_timeout"],
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "choices": ["present", "absent", "cleared"],
                "default": "present",
            },
            "cache": {"type": "path", "required": True},
            "files": {"type": "path"},
            "release": {"type": "str"},
            "packages": {"type": "list", "elements": "str"},
            "mirror": {"type": "str"},
            "memory": {"type": "int", "default": 3072},
            "cpus": {"type": "int", "default": 4},
            "port": {"type": "int"},
            "boot_timeout": {"type": "float", "default": 600},
        },
        required_if=[("state", "present", ["files", "release", "packages"])],
        supports_check_mode=True,
    )
    options = module.params
    name, state = options["name"], options["state"]
    cache = Cache(options["cache"])
    plans = {"absent": lab.plan_absent, "cleared": lab.plan_cleared}
    done = []
    found = None
    try:
        lab_options.check_name(name)
        lab_options.check_cache(cache.path)
        if state == "present":
            plan = Start(cache, wanted(options)).plan
            lab.bring(cache, plan, module.check_mode, done)
            found = state_of(cache.machine(name))
        else:
            lab.bring(cache, partial(plans[state], cache, name), module.check_mode, done)
    except (BlockdevError, OSError) as error:
        module.fail_json(msg=str(error), changed=bool(done), actions=done)
    module.exit_json(changed=bool(done), actions=done, lab=found)


if __name__ == "__main__":
    main()
