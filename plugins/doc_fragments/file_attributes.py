# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Owner, mode and SELinux context of a managed file, for the documentation of modules."""

from __future__ import annotations


class ModuleDocFragment:
    """The options of ``module_utils/converge/file_attributes.py``."""

    DOCUMENTATION = r"""
options:
  owner:
    description:
      - Name or number of the user who owns the file. If this is omitted, a new file belongs to
        root, and an existing one is not changed.
    type: str
  group:
    description:
      - Name or number of the group that owns the file. If this is omitted, a new file gets the
        group that its directory gives to new files, and an existing one is not changed.
    type: str
  mode:
    description:
      - Permissions of the file, as for M(ansible.builtin.file). Quote octal numbers, V("0640").
      - A new file has V("0600") when it is created. If this is omitted, a new file keeps that, and
        an existing one is not changed.
    type: raw
  seuser:
    description:
      - User part of the SELinux context, V(_default) for that of the policy.
    type: str
  serole:
    description:
      - Role part of the SELinux context, V(_default) for that of the policy.
    type: str
  setype:
    description:
      - Type part of the SELinux context, V(_default) for that of the policy.
    type: str
  selevel:
    description:
      - Level part of the SELinux context, V(_default) for that of the policy.
    type: str
"""
