# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles share is the same in each of them: a play may have any of them, in any order."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROLES = Path(__file__).parents[2] / "roles"
SHARED = ("vbds", "raw_disks", "loopdevs", "domain_config")


@pytest.mark.parametrize("role", SHARED)
def test_what_is_pending_is_put_together_in_one_way(role: str) -> None:
    pending = [
        yaml.safe_load((ROLES / name / "defaults/main.yml").read_text())["xen_pending"]
        for name in (role, SHARED[0])
    ]
    assert pending[0] == pending[1]
