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
      - Name or number of the user who is to own the file. A new one belongs to root where this is
        not given, and one that exists is left as it is.
    type: str
  group:
    description:
      - Name or number of the group that is to own the file. Without it a new one gets what its
        directory gives to new files, and one that exists is left as it is.
    type: str
  mode:
    description:
      - Permissions of the file, as for M(ansible.builtin.file). Quote octal ones, V("0640").
      - A new file has V("0600") from its first moment on. Without this it keeps them, and one that
        exists is left as it is.
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
