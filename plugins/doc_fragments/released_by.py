# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What modules say of users of a disk that an earlier task would have taken away."""

from __future__ import annotations


class ModuleDocFragment:
    """Ansible's entry point."""

    DOCUMENTATION = r"""
options:
  released_by:
    description:
      - In check mode, the slots that an earlier task has said, in check mode itself, that it
        would empty. What is in them counts as detached. Without check mode it has no effect.
      - RV(xen.blockdev.xen_vbd_attach#module:vbds[].detached) lists them.
    type: list
    elements: dict
    suboptions:
      domain:
        description: Name of the domain.
        type: str
        required: true
      vdev:
        description:
          - The slot, in any form that the filter P(xen.blockdev.to_xenstore_key#filter) takes.
        type: str
        required: true
"""
