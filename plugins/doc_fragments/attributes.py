# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The attributes that the modules share, for their documentation."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes of all modules; ``INFO`` is for those that change nothing."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    support: full
    description:
      - Check mode shows exactly what a run would do, because both follow the same plan.
  diff_mode:
    support: full
    description:
      - Shows the state of each changed item before and after.
  idempotent:
    support: full
    description:
      - A second run with the same options changes nothing.
  platform:
    support: full
    platforms: linux
    description:
      - Requires Linux, root, Python's standard library, util-linux and, for anything that concerns
        domains, C(xl).
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    description:
      - Only reads, with and without check mode.
  diff_mode:
    support: N/A
    description:
      - Changes nothing.
  idempotent:
    support: full
    description:
      - Changes nothing.
  platform:
    support: full
    platforms: linux
    description:
      - Requires Linux, root, Python's standard library, util-linux and, for anything that concerns
        domains, C(xl).
"""
