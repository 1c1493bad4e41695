# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an audit gets of each host."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.audit.hosts import (
    Acceptance,
    AuditInputError,
    HostState,
    PlannedSlot,
    host_state,
    host_text,
)
from ansible_collections.xen.blockdev.plugins.module_utils.survey.record import recorded
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.auditedhosts import (
    usual_host,
)

SURVEY = usual_host().survey()
INFO = {"changed": False, "host": recorded(SURVEY)}
GOOD = {"code": "two-writers", "reason": "a cluster", "path": "/dev/lun"}


def test_a_host_that_was_read() -> None:
    assert host_state("xen1", host_text(INFO)) == HostState("xen1", "read", SURVEY)


@pytest.mark.parametrize(
    ("info", "status", "error"),
    [
        ({"unreachable": True, "msg": "no route"}, "unreachable", "no route"),
        ({"failed": True, "msg": "no Python"}, "failed", "no Python"),
        ({}, "failed", "it gave no result"),
    ],
)
def test_a_host_that_was_not(info: Any, status: str, error: str) -> None:
    assert host_state("xen1", host_text(info)) == HostState("xen1", status, error=error)


def test_a_survey_of_another_version() -> None:
    state = host_state("xen1", host_text({"host": {**INFO["host"], "version": 99}}))
    assert (state.status, state.survey) == ("failed", None)
    assert "its version is 99" in str(state.error)


@pytest.mark.parametrize("info", [None, 5, "text", []])
def test_what_is_no_result(info: object) -> None:
    with pytest.raises(AuditInputError, match="info must be the result of xen_disks_info, not"):
        host_text(info)


# ---- the plan ----


def test_the_slots_of_a_plan() -> None:
    domains = [
        {
            "name": "web",
            "config": {"type": "hvm", "vncpasswd": "secret"},
            "disks": [
                {"name": "boot", "size": "1MiB"},
                {"name": "lun", "target": "/dev/vg0/a", "vdev": "xvdd"},
                {"name": "old", "state": "absent"},
                {"name": "cd", "devtype": "cdrom", "path": "/srv/a.iso"},
            ],
        },
        {"name": "gone", "state": "absent", "disks": [{"name": "boot"}]},
    ]
    text = host_text(INFO, domains, images_dir="/srv/images")
    assert "secret" not in text
    assert host_state("xen1", text).planned == (
        PlannedSlot("web", "boot", "xvda", 51712, "/srv/images/web/boot.raw"),
        PlannedSlot("web", "lun", "xvdd", 51760, "/dev/vg0/a"),
    )


def test_a_plan_that_cannot_be_read() -> None:
    state = host_state("xen1", host_text(INFO, [{"disks": []}, {"nam": "web"}]))
    assert state.planned == ()
    assert "domains[0]: name is missing; domains[1]: 'nam' is not an option" in str(
        state.plan_problem
    )


# ---- what is accepted ----


def test_what_is_accepted() -> None:
    state = host_state("xen1", host_text(INFO, accepted=[GOOD, {**GOOD, "host": "xen1"}]))
    assert state.accepted == (
        Acceptance("two-writers", "a cluster", path="/dev/lun"),
        Acceptance("two-writers", "a cluster", host="xen1", path="/dev/lun"),
    )
    assert state.accepted[1].words == "two-writers (host: xen1, path: /dev/lun)"


@pytest.mark.parametrize(
    ("accepted", "message"),
    [
        ("two-writers", "xen_audit_accepted must be a list, not str"),
        ({"code": "two-writers"}, "xen_audit_accepted must be a list, not dict"),
        ([GOOD, "two-writers"], r"xen_audit_accepted\[1\] must be a mapping of code, host, "),
        ([{**GOOD, "cod": "x"}], "'cod' is not a key: accepted are code, host, domain, slot, path"),
        ([{**GOOD, "path": 5}], "path must be text, not int"),
        (
            [{**GOOD, "code": "two-writer"}],
            "'two-writer' is not the code of a finding: did you mean two-writers?",
        ),
        ([{**GOOD, "code": "#"}], "'#' is not the code of a finding: use that of the finding in"),
        ([{"reason": "x", "path": "/"}], "None is not the code of a finding"),
        ([{**GOOD, "reason": ""}], "say why, as reason"),
        ([{"code": "two-writers", "path": "/"}], "say why, as reason"),
        ([{"code": "two-writers", "reason": "x"}], "say where, by at least one of host, domain"),
        ([{**GOOD, "path": ""}], "say where, by at least one of host, domain"),
    ],
)
def test_what_cannot_be_accepted(accepted: object, message: str) -> None:
    with pytest.raises(AuditInputError, match=message):
        host_text(INFO, accepted=accepted)


# ---- texts ----


@pytest.mark.parametrize(
    "text", [None, {}, "", "[]", "{", json.dumps({"status": "read"}), json.dumps({"a": 1})]
)
def test_what_is_no_state(text: object) -> None:
    with pytest.raises(AuditInputError, match="host xen1: its state"):
        host_state("xen1", text)
