# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the modules have in common, for their documentation."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes of all modules; C(INFO) is for those that change nothing."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    support: full
    description:
      - Shows in check mode exactly what a run would do, because both follow the same plan.
  diff_mode:
    support: full
    description:
      - Shows the state of every item that changes, before and after.
  idempotent:
    support: full
    description:
      - Run again with the same options it changes nothing.
  platform:
    support: full
    platforms: linux
    description:
      - Runs on Linux as root, with nothing but Python's standard library, util-linux and, for what
        concerns domains, C(xl).
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    description:
      - Only reads, in check mode as well.
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
      - Runs on Linux as root, with nothing but Python's standard library, util-linux and, for what
        concerns domains, C(xl).
"""
