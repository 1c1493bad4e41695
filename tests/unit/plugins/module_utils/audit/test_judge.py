# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All findings of all hosts as one report."""

from __future__ import annotations

import time
from typing import Any, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.audit.codes import CODES, GROUPS
from ansible_collections.xen.blockdev.plugins.module_utils.audit.hosts import (
    Acceptance,
    AuditInputError,
    HostState,
    host_text,
)
from ansible_collections.xen.blockdev.plugins.module_utils.audit.judge import audit, judged
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import (
    SEVERITIES,
    AuditReport,
)
from ansible_collections.xen.blockdev.plugins.module_utils.survey.record import recorded
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.auditedhosts import (
    NOW,
    AuditedXen,
    usual_host,
)


def with_findings(name: str = "xen1") -> AuditedXen:
    """A host with a warning, and two errors of which one is of another host as well."""
    host = usual_host(name)
    host.device("/dev/lun", identities=[("unit", "naa.1")])
    host.image("/srv/xen/db/old.raw", deleted=True)
    for slot, storage in (("xvdb", "/dev/lun"), ("xvdc", "/srv/xen/db/old.raw")):
        host.configured("web", slot, storage)
        host.attach("web", slot, storage)
    host.image("/srv/xen/db/data.raw", read_by_others=True)
    host.configured("db", "xvdb", "/srv/xen/db/data.raw")
    return host


HOSTS = (with_findings("xen2"), with_findings("xen1"))


def report(*accepted: Acceptance, on: str = "error", hosts: Any = HOSTS) -> AuditReport:
    """The report if all hosts accept these."""
    return judged([one.state(accepted=accepted) for one in hosts], NOW, on)


def shown(found: AuditReport) -> List[Any]:
    return [(one.code, one.place.host, one.place.path) for one in found.findings]


def test_the_worst_comes_first() -> None:
    assert shown(report()) == [
        ("image-deleted", "xen1", "/srv/xen/db/old.raw"),
        ("image-deleted", "xen2", "/srv/xen/db/old.raw"),
        ("two-writers", "xen2", "/dev/lun"),
        ("readable-by-others", "xen1", "/srv/xen/db/data.raw"),
        ("readable-by-others", "xen2", "/srv/xen/db/data.raw"),
    ]


def test_it_counts() -> None:
    found = report()
    counts = found.counts
    assert (counts.error, counts.warning, counts.note, counts.accepted) == (3, 2, 0, 0)
    assert [(one.name, one.counts.error, one.counts.warning) for one in found.hosts] == [
        ("xen2", 2, 1),
        ("xen1", 1, 1),
    ]


@pytest.mark.parametrize(
    ("on", "hosts", "expected"),
    [
        ("error", HOSTS, True),
        ("never", HOSTS, False),
        ("note", [usual_host()], False),
    ],
)
def test_it_fails(on: str, hosts: Any, expected: bool) -> None:
    assert report(on=on, hosts=hosts).has_failed is expected
    assert report(on=on, hosts=hosts).fail_on == on


@pytest.mark.parametrize(("on", "expected"), [("error", False), ("warning", True), ("note", True)])
def test_it_fails_from_a_severity_on(on: str, expected: bool) -> None:
    host = usual_host()
    host.image("/srv/xen/db/data.raw", read_by_others=True)
    host.configured("db", "xvdb", "/srv/xen/db/data.raw")
    assert report(on=on, hosts=[host]).has_failed is expected


def test_a_severity_that_is_none() -> None:
    with pytest.raises(AuditInputError, match="xen_audit_fail_on is 'fatal': use error, warning"):
        audit({}, NOW, "fatal")


# ---- what is accepted ----


@pytest.mark.parametrize(
    "place",
    [
        {"path": "/dev/lun"},
        {"path": "/dev/l*"},
        {"host": "xen1", "domain": "web", "slot": "xvdb", "path": "/dev/lun"},
        {"domain": "web"},
        {"slot": "xvdb"},
        {"host": "xen?"},
    ],
)
def test_a_finding_is_accepted_at_any_of_its_places(place: Any) -> None:
    found = report(Acceptance("two-writers", "a cluster", **place))
    (one,) = found.accepted
    assert (one.code, one.reason) == ("two-writers", "a cluster")
    assert "two-writers" not in [one.code for one in found.findings]
    assert (found.counts.error, found.counts.accepted) == (2, 1)
    assert [one.counts.accepted for one in found.hosts] == [1, 0]


@pytest.mark.parametrize(
    "place",
    [
        {"path": "/dev/lu"},
        {"host": "xen1", "slot": "xvda"},
        {"domain": "WEB"},
        {"path": "/dev/lun", "host": "xen3"},
    ],
)
def test_what_is_not_there_is_accepted_for_nothing(place: Any) -> None:
    found = report(Acceptance("two-writers", "a cluster", **place))
    assert found.accepted == ()
    unmet = found.findings[-1]
    assert (unmet.code, unmet.severity) == ("acceptance-unmet", "note")
    assert unmet.place.host == place.get("host")
    assert "(a cluster), and there is no such finding" in unmet.seen


def test_a_host_accepts_its_own_findings_only() -> None:
    hosts = {one.name: one for one in HOSTS}
    everywhere = Acceptance("image-deleted", "it is known", path="/srv/*")
    states = [hosts["xen1"].state(accepted=(everywhere,)), hosts["xen2"].state()]
    found = judged(states, NOW, "error")
    assert [one.place.host for one in found.accepted] == ["xen1"]
    assert "acceptance-unmet" not in [one.code for one in found.findings]


def test_what_one_of_two_hosts_meets_is_met() -> None:
    one = Acceptance("image-deleted", "it is known", path="/srv/*")
    states = [host.state(accepted=(one,)) for host in (with_findings("xen1"), usual_host("xen2"))]
    assert "acceptance-unmet" not in [one.code for one in judged(states, NOW, "error").findings]


def test_what_only_one_host_has_is_shown_there() -> None:
    one = Acceptance("image-deleted", "it is known", path="/srv/*")
    states = [usual_host("xen1").state(accepted=(one,)), usual_host("xen2").state()]
    (unmet,) = judged(states, NOW, "error").findings
    assert (unmet.code, unmet.place.host) == ("acceptance-unmet", "xen1")


def test_what_an_unread_host_would_meet_is_not_known() -> None:
    one = Acceptance("two-writers", "a cluster", path="/dev/lun")
    unread = HostState("xen2", "unreachable", error="no route", accepted=(one,))
    found = judged([usual_host().state(accepted=(one,)), unread], NOW, "error")
    assert [one.code for one in found.findings] == ["host-unread"]


def test_an_accepted_finding_does_not_fail_the_audit() -> None:
    host = usual_host()
    host.image("/srv/xen/db/old.raw", deleted=True)
    host.configured("db", "xvdb", "/srv/xen/db/old.raw")
    one = Acceptance("image-deleted", "it is known", domain="db")
    assert not report(one, on="note", hosts=[host]).has_failed


# ---- ids, texts, time ----


def test_ids_stay_and_are_unique() -> None:
    one, again = report(), report()
    ids = [found.id for found in one.findings]
    assert ids == [found.id for found in again.findings]
    assert len(set(ids)) == len(ids)


def test_from_the_texts_of_hosts_to_a_report() -> None:
    texts = {
        one.name: host_text({"changed": False, "host": recorded(one.survey())}) for one in HOSTS
    }
    assert audit(texts, NOW, "error") == report()


def test_each_severity_and_group_has_codes() -> None:
    assert {one.severity for one in CODES.values()} == set(SEVERITIES)
    assert {one.group for one in CODES.values()} == set(GROUPS)


def test_the_time_grows_with_the_disks_and_not_with_their_pairs() -> None:
    def seconds(domains: int) -> float:
        host = AuditedXen()
        for number in range(domains):
            path = f"/srv/xen/web{number}/data.raw"
            host.image(path)
            host.config(f"web{number}", [("xvda", path)])
            host.run(f"web{number}", [("xvda", path)])
        state = host.state()
        begin = time.process_time()
        assert judged([state], NOW, "error").counts.error == 0
        return time.process_time() - begin

    few = min(seconds(200) for _try in range(3))
    many = min(seconds(1600) for _try in range(3))
    assert many < 8 * few * 3
