# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan is what the filter makes, its errors are those of the plan, and it is never shown."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible_collections.xen.blockdev.plugins.action import xen_plan
from ansible_collections.xen.blockdev.plugins.filter import disk_plan
from ansible_collections.xen.blockdev.plugins.modules.xen_plan import DOCUMENTATION

DOMAINS = [
    {
        "name": "web",
        "config": {"memory": 32, "vncpasswd": "swordfish"},
        "disks": [{"name": "boot", "size": "16MiB"}, {"name": "old", "state": "absent"}],
    }
]


def run(**options: Any) -> dict[str, Any]:
    task = SimpleNamespace(args=options, async_val=0, check_mode=False, diff=False, no_log=False)
    shell = SimpleNamespace(tmpdir=None)
    connection = SimpleNamespace(_shell=shell)
    action = xen_plan.ActionModule(task, connection, None, None, None, None)
    return action.run(task_vars={})


def test_the_plan_is_that_of_the_filter() -> None:
    result = run(domains=DOMAINS, images_dir="/images", config_dir="/configs", state="absent")
    assert result["plan"] == disk_plan.host_plan(DOMAINS, "/images", "/configs", "absent")
    assert result["changed"] is False
    assert run(domains=DOMAINS)["plan"] == disk_plan.host_plan(DOMAINS)


def test_it_is_not_shown() -> None:
    assert run(domains=DOMAINS)["_ansible_verbose_override"] is True


def test_everything_that_is_wrong_with_the_domains_is_said() -> None:
    wrong = [{"name": "web", "disks": [{"name": "a", "size": "1MB"}, {"name": "a"}]}]
    with pytest.raises(AnsibleActionFail) as error:
        run(domains=wrong)
    first, second = str(error.value).splitlines()
    assert first.startswith("domains[0] (web), disks[0] (a): size: '1MB' is not a size")
    assert second.startswith("domains[0] (web), disks[1] (a): the name is already used")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "domains"),
        ({"domains": [], "state": "gone"}, "present, absent"),
        ({"domains": [], "imagesdir": "/x"}, "imagesdir"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(AnsibleError, match=words):
        run(**options)


def test_the_options_are_those_that_are_documented() -> None:
    documented = yaml.safe_load(DOCUMENTATION)["options"]
    for option in documented.values():
        del option["description"]
    assert documented == xen_plan.OPTIONS
