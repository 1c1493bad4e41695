# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The option ``pending``, which the modules for disks, configs and domains share."""

from __future__ import annotations


class ModuleDocFragment:
    """Ansible's entry point."""

    DOCUMENTATION = r"""
options:
  pending:
    description:
      - What earlier tasks have announced in check mode, where nothing of it happens. The module
        plans as if it had happened. Without check mode this option has no effect.
      - It takes what the modules return as C(pending). Each list has the entries that a module
        returns under that name. What they say beyond the keys named here is ignored, and an entry
        with C(changed=false) announces nothing.
    type: dict
    version_added: 1.1.0
    suboptions:
      disks:
        description:
          - Images that would be created, grown or truncated, as M(xen.blockdev.xen_raw_disk)
            returns them, with C(path) and C(size). If C(size) is V(none), the image would be gone.
          - An entry without C(size) says that there would be something at C(path). So a task of
            your own can announce a logical volume, for instance.
        type: list
        elements: dict
      devices:
        description:
          - Images that would be bound, as M(xen.blockdev.xen_loopdev) returns them, with C(path).
            If C(size) is V(none), the image would be unbound.
        type: list
        elements: dict
      configs:
        description:
          - Configs that would be written, as M(xen.blockdev.xen_domain_config) returns them, with
            C(path). One with C(rendered=false) would not be new.
        type: list
        elements: dict
      domains:
        description:
          - Domains that would be started, as M(xen.blockdev.xen_domain) returns them, with C(name).
            One with C(running=false) would have ended.
        type: list
        elements: dict
      vbds:
        description:
          - Slots whose disks would be detached or replaced, as M(xen.blockdev.xen_vbd_attach)
            returns them, with C(domain) and C(vdev). The slots in C(detached) count as well.
        type: list
        elements: dict
"""
