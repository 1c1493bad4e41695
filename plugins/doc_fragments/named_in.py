# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``named_in``, which modules share that take images away."""

from __future__ import annotations


class ModuleDocFragment:
    """Ansible's entry point."""

    DOCUMENTATION = r"""
options:
  named_in:
    description:
      - Where configs of domains are. An image that one of them names is in use, whether its domain
        runs or not.
      - Without it, an image is in use only while something has it.
    type: dict
    version_added: 1.1.0
    suboptions:
      directories:
        description: The directories, such as V(/etc/xen). Other files in them are left alone.
        type: list
        elements: path
        required: true
      but_for:
        description: Configs that do not count, because the same play writes or removes them.
        type: list
        elements: path
"""
