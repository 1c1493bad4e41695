# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles share is the same in each of them: a play may have any of them, in any order."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.xen.blockdev.plugins.module_utils.audit.hosts import Acceptance
from ansible_collections.xen.blockdev.plugins.module_utils.audit.judge import NEVER
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import SEVERITIES
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks import STEPS

PROJECT = Path(__file__).parents[2]
ROLES = PROJECT / "roles"
SHARED = ("vbds", "raw_disks", "loopdevs", "domain_config")


@pytest.mark.parametrize("role", SHARED)
def test_what_is_pending_is_put_together_in_one_way(role: str) -> None:
    pending = [
        yaml.safe_load((ROLES / name / "defaults/main.yml").read_text())["xen_pending"]
        for name in (role, SHARED[0])
    ]
    assert pending[0] == pending[1]


def variables_of(playbook: str) -> Any:
    """Those that a playbook gives to the role disks."""
    (play,) = yaml.safe_load((PROJECT / f"playbooks/{playbook}.yml").read_text())
    (task,) = play["tasks"]
    return task["vars"]


def test_the_playbooks_and_the_role_know_every_step() -> None:
    by_tag = variables_of("provision")["_steps_by_tag"]
    assert {step for steps in by_tag.values() for step in steps} == set(STEPS)
    assert variables_of("remove")["xen_steps"] == list(STEPS)
    specs = yaml.safe_load((ROLES / "disks/meta/argument_specs.yml").read_text())
    steps = specs["argument_specs"]["main"]["options"]["xen_steps"]
    assert steps["choices"] == list(STEPS)


def test_the_audit_knows_the_severities_and_what_can_be_accepted() -> None:
    specs = yaml.safe_load((ROLES / "audit/meta/argument_specs.yml").read_text())
    options = specs["argument_specs"]["main"]["options"]
    assert options["xen_audit_fail_on"]["choices"] == [*SEVERITIES, NEVER]
    accepted = options["xen_audit_accepted"]["options"]
    needed = {one.name: one.default is MISSING for one in fields(Acceptance)}
    assert {name: one.get("required", False) for name, one in accepted.items()} == needed
