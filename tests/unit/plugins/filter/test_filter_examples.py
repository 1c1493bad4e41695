# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation shows of filters and tests is run by Ansible itself and must be true.

EXAMPLES are tasks of C(ansible.builtin.assert), or of a module, whose options are then worked out
only; in the guide to slots, an example is a line that ends in its result. All of them become one
playbook and few tests look at it, because ansible-test runs each test, fixtures and all, in a
process of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from ansible_collections.xen.blockdev.plugins.filter import (
    audit,
    device_number,
    disk_plan,
    disk_spec,
    mirage_tests,
    to_xen_domains,
)
from ansible_collections.xen.blockdev.plugins.test import device_number as device_number_test

PLUGINS = Path(device_number.__file__).parents[1]
FILTERS = [
    name
    for plugins in (audit, device_number, disk_plan, disk_spec, mirage_tests, to_xen_domains)
    for name in plugins.FilterModule().filters()
]
DOCUMENTS = [
    *(PLUGINS / "filter" / f"{filter_name}.yml" for filter_name in FILTERS),
    *(PLUGINS / "test" / f"{test}.yml" for test in device_number_test.TestModule().tests()),
]
SLOTS = PLUGINS.parent / "docs" / "docsite" / "rst" / "guide_slots.rst"
PLAYBOOK = (sys.executable, "-m", "ansible.cli.playbook")
SLOTS_EXAMPLE = re.compile(
    r"^ +\{\{ (?P<expression>.+) \}\} +\{# (?P<result>.+) #\}$", re.MULTILINE
)

UNDEFINED = (
    "nothing | xen.blockdev.to_xenstore_key",
    "nothing | xen.blockdev.from_disk_number",
    "nothing | xen.blockdev.xl_disk",
    "{'target': nothing, 'vdev': 'xvda'} | xen.blockdev.xl_disk",
    "nothing | xen.blockdev.from_xl_disk",
    "nothing is xen.blockdev.vdev",
)
WRONG = {
    "5 | xen.blockdev.to_linux_device": "5 is a valid slot but names no Linux device",
    "'xvd' | xen.blockdev.to_xenstore_key": "xen.blockdev.to_xenstore_key: 'xvd' lacks the letter",
    "'1' | xen.blockdev.from_disk_number": "a disk number is a whole number, not",
    "1 | xen.blockdev.from_disk_number(bus='vd')": "'vd' is not a bus",
    "{'vdev': 'xvda'} | xen.blockdev.xl_disk": "xen.blockdev.xl_disk: a disk needs a target",
    "5 | xen.blockdev.to_xen_domains": "to_xen_domains: host is of type int",
    "5 | xen.blockdev.disk_plan": "domains: must be a list, not the number 5",
    "[{}] | xen.blockdev.domain_configs": "domain_configs: domains[0]: name is missing",
    "[] | xen.blockdev.disk_plan(query='[')": "query '['",
    "5 | xen.blockdev.audit_host": "audit_host: info must be the result of xen_disks_info, not int",
    "[] | xen.blockdev.audit_report": "audit_report: hosts must be a mapping of names to states",
    "'raw' | xen.blockdev.from_xl_disk": "xen.blockdev.from_xl_disk: disk specification 'raw'",
}

Task = dict[str, Any]


def examples(document: Path) -> list[Task]:
    tasks: list[Task] = yaml.safe_load(yaml.safe_load(document.read_text())["EXAMPLES"])
    return [{**without_a_host(task), "name": f"{document.name}: {task['name']}"} for task in tasks]


def without_a_host(task: Task) -> Task:
    """The task with its options shown in place of one that needs a host to run on."""

    def shown(key: str, value: Any) -> tuple[str, Any]:
        is_module = key.startswith("xen.blockdev.")
        return ("ansible.builtin.debug", {"msg": value}) if is_module else (key, value)

    return dict(shown(key, value) for key, value in task.items())


def slots_examples() -> list[Task]:
    return [
        {
            "name": f"{SLOTS.name}: {example['expression']}",
            "ansible.builtin.assert": {"that": f"({example['expression']}) == {example['result']}"},
        }
        for example in SLOTS_EXAMPLE.finditer(SLOTS.read_text())
    ]


def show(expression: str) -> Task:
    return {"name": expression, "ansible.builtin.debug": {"msg": "{{ " + expression + " }}"}}


SHOWN = [task for document in DOCUMENTS for task in examples(document)] + slots_examples()
FAILURES = [show(expression) for expression in (*UNDEFINED, *WRONG)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Task]:
    """What Ansible reports of every task, by the task's name."""
    scratch = tmp_path_factory.mktemp("examples")
    tasks = [
        {**task, "register": f"result_{number}", "ignore_errors": True}
        for number, task in enumerate(SHOWN + FAILURES)
    ]
    reported = ", ".join(str(task["register"]) for task in tasks)
    report = {"content": "{{ [" + reported + "] | to_json }}", "dest": str(scratch / "results")}
    play = {
        # Ansible's main process works it out. Tasks are forked from that, and find plugins read.
        "name": "{{ [] | xen.blockdev.disk_plan }}, {{ 'xvda' is xen.blockdev.vdev }}",
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": sys.executable},
        "tasks": [*tasks, {"ansible.builtin.copy": report}],
    }
    (scratch / "playbook.yml").write_text(json.dumps([play]))
    run = subprocess.run(
        [*PLAYBOOK, "-i", "localhost,", "-c", "local", str(scratch / "playbook.yml")],
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(PLUGINS.parents[3]),
            "ANSIBLE_HOME": str(scratch),
        },
        cwd=scratch,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads((scratch / "results").read_text())
    return {task["name"]: result for task, result in zip(tasks, found, strict=True)}


def name(task: Task) -> str:
    return str(task["name"])


def test_that_every_document_has_examples() -> None:
    shown = {name(task).partition(":")[0] for task in SHOWN}
    assert shown == {document.name for document in (*DOCUMENTS, SLOTS)}


def test_that_every_example_is_true(results: dict[str, Task]) -> None:
    wrong = [results[name(task)] for task in SHOWN if results[name(task)]["failed"]]
    assert not wrong


def test_that_an_error_reaches_the_user(results: dict[str, Task]) -> None:
    wanted = {**dict.fromkeys(UNDEFINED, "'nothing' is undefined"), **WRONG}
    assert all(results[expression]["failed"] for expression in wanted)
    found = {expression: results[expression]["msg"] for expression in wanted}
    assert [one for one, message in wanted.items() if message not in found[one]] == []
