# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is not judged."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.audit.hosts import HostState
from ansible_collections.xen.blockdev.plugins.module_utils.audit.judge import judged
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import Unread
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.auditedhosts import (
    NOW,
    AuditedXen,
    the_finding,
    usual_host,
)


@pytest.mark.parametrize("status", ["unreachable", "failed"])
def test_a_host_that_could_not_be_read(status: str) -> None:
    states = [usual_host().state(), HostState("xen2", status, error="no route to host")]
    report = judged(states, NOW, "error")
    (found,) = report.findings
    assert (found.code, found.severity, found.place.host) == ("host-unread", "error", "xen2")
    assert found.seen == f"{status}: no route to host"
    assert report.has_failed
    shown = report.hosts[1]
    assert (shown.name, shown.status, shown.error) == ("xen2", status, "no route to host")
    assert (shown.counts.error, shown.disks) == (1, ())


def test_a_plan_that_cannot_be_read() -> None:
    found = the_finding("plan-unusable", usual_host(), plan_problem="domains[0]: name is missing")
    assert found.seen == "domains[0]: name is missing"


def test_a_part_that_could_not_be_read() -> None:
    host = usual_host()
    host.more["unread"] = (
        Unread("processes", "", "no permission"),
        Unread("xl", "", "xl list failed"),
    )
    found = the_findings_of(host)
    assert found == {"processes": "processes: no permission", "xl": "xl list failed"}


def test_a_qemu_that_does_not_answer() -> None:
    host = usual_host()
    host.more["unread"] = (Unread("qemu", "web", "it does not answer"),)
    found = the_finding("unread", host)
    assert (found.place.domain, found.place.path) == ("web", None)


def the_findings_of(host: AuditedXen) -> dict[str, str]:
    report = judged([host.state()], NOW, "error")
    assert {one.code for one in report.findings} == {"unread"}
    return {str(one.place.path): one.seen for one in report.findings}


def test_a_config_that_cannot_be_read_is_said_once() -> None:
    host = usual_host()
    host.config("a", guest=None, problems=("line 1", "line 2"))
    host.config("b", guest=None, problems=("line 3",))
    host.more["unread"] = (Unread("config", "/etc/xen/b.cfg", "line 3 is wrong"),)
    assert the_findings_of(host) == {
        "/etc/xen/a.cfg": "line 1; line 2",
        "/etc/xen/b.cfg": "config: line 3 is wrong",
    }


def test_two_errors_about_one_path_are_both_said() -> None:
    host = usual_host()
    host.more["unread"] = (
        Unread("config", "/a", "one config"),
        Unread("config", "/a", "two config"),
    )
    assert the_findings_of(host) == {"/a": "one config; two config"}


def test_a_disk_that_cannot_be_read() -> None:
    host = usual_host()
    host.configured(
        "db", "xvdb", None, said=None, problem="it has no vdev", text="phy:/dev/x,,w", position=4
    )
    assert the_findings_of(host) == {"/etc/xen/db.cfg, disk 4": "'phy:/dev/x,,w': it has no vdev"}


def test_data_that_others_may_reach() -> None:
    host = AuditedXen()
    host.image("/srv/a.qcow2", signature="qcow2", storage={"doubts": ("one doubt", "another")})
    host.config("web")
    host.configured("web", "xvda", "/srv/a.qcow2", format="qcow2")
    assert the_finding("cannot-tell", host).seen == "one doubt; another"


def test_the_disk_of_a_config_that_sets_no_name() -> None:
    host = AuditedXen()
    host.image("/srv/a.raw", read_by_others=True)
    host.configured("x", "xvda", "/srv/a.raw", config="/etc/xen/x.cfg")
    host.disks = {("x", "xvda"): replace(host.disks["x", "xvda"], domain=None)}
    found = the_finding("readable-by-others", host)
    assert found.place.domain == "of /etc/xen/x.cfg"
