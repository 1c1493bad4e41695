# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``named_in`` of the modules that delete or unbind images."""

from __future__ import annotations


class ModuleDocFragment:
    """Ansible's entry point."""

    DOCUMENTATION = r"""
options:
  named_in:
    description:
      - Where to look for configs of domains. An image to which one of them refers counts as in use,
        whether its domain runs or not.
      - Without it, configs do not count.
    type: dict
    version_added: 1.1.0
    suboptions:
      directories:
        description: The directories, such as V(/etc/xen). They may contain other files.
        type: list
        elements: path
        required: true
      but_for:
        description: Configs to ignore, because the same play writes or removes them.
        type: list
        elements: path
"""
