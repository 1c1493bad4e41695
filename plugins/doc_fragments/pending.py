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
      - Changes that earlier tasks announced in check mode but did not make. The module plans as
        if they had been made. Without check mode this option has no effect.
      - The value is the return value C(pending) of other modules. Each list has the entries that
        a module returns under that name. Keys that are not listed here are ignored, and so are
        entries with C(changed=false).
    type: dict
    version_added: 1.1.0
    suboptions:
      disks:
        description:
          - Images that would be created, grown or truncated, from M(xen.blockdev.xen_raw_disk),
            with C(path) and C(size). If C(size) is V(none), the image would be deleted.
          - An entry without C(size) announces that something would exist at C(path). You can use
            this in your own tasks, for instance to announce a block device.
        type: list
        elements: dict
      volumes:
        description:
          - Logical volumes that would be created or resized, from
            M(xen.blockdev.xen_logical_volume), with C(path) and C(size). If C(size) is V(none),
            the volume would be removed.
        type: list
        elements: dict
      devices:
        description:
          - Images that would be bound, from M(xen.blockdev.xen_loopdev), with C(path). If C(size)
            is V(none), the image would be unbound.
        type: list
        elements: dict
      configs:
        description:
          - Configs that would be written, from M(xen.blockdev.xen_domain_config), with C(path). A
            config with C(rendered=false) is not new.
        type: list
        elements: dict
      domains:
        description:
          - Domains that would be started, from M(xen.blockdev.xen_domain), with C(name). A domain
            with C(running=false) would be ended.
        type: list
        elements: dict
      vbds:
        description:
          - Slots whose disks would be detached or replaced, from M(xen.blockdev.xen_vbd_attach),
            with C(domain) and C(vdev). The slots in C(detached) count as well.
        type: list
        elements: dict
"""
