# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of an audit as its page shows it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.audit import page
from ansible_collections.xen.blockdev.plugins.module_utils.audit.codes import CODES
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import (
    AuditedHost,
    AuditFinding,
    AuditReport,
    DiskLine,
    DomainLine,
    FileSystemBar,
    FindingCounts,
    FindingPlace,
    HostTotals,
    VolumeStoreBar,
)
from ansible_collections.xen.blockdev.plugins.module_utils.survey.record import (
    SurveyError,
    recorded,
)


def finding(number: int, code: str = "old-size", **values: Any) -> AuditFinding:
    """A finding of the code, on the disk xvda of the domain web unless it is said."""
    known = CODES[code]
    place = values.pop("place", FindingPlace("xen1", "web", "xvda", "/srv/web.raw"))
    texts = ("seen", values.pop("leads_to", known.leads_to), "remedy")
    made = AuditFinding(f"f{number}", code, known.severity, known.group, place, *texts)
    return replace(made, layer=known.layer or None, **values)


HOST = AuditedHost(
    "xen1",
    "read",
    host="dom0-a",
    is_xen=True,
    totals=HostTotals(1, 1, 1, 1, 2**30, 0),
    domains=(DomainLine("web", "running", 1),),
    disks=(DiskLine("web", "xvda", 51712, findings=("f1",)),),
    file_systems=(FileSystemBar("/srv", "ext4", "/dev/sda1", findings=("f2",)),),
    volume_stores=(VolumeStoreBar("group", "vg0", "vg0", 2**30, 0, findings=("f6",)),),
)


def made(*findings: AuditFinding, hosts: Any = (HOST,), **values: Any) -> page.AuditPage:
    """The page of a report."""
    report = AuditReport(
        1, 1796067602.0, "error", False, HOST.totals, FindingCounts(), hosts, findings
    )
    return page.audit_page_of(recorded(replace(report, **values)), "style", "script")


def test_the_page_says_when_it_was_made_and_how_it_ended() -> None:
    assert made().time == "2026-11-30 19:40 UTC"
    assert (made().verdict, made().fails_on) == ("Passed", "errors")
    assert made(has_failed=True, fail_on="note").verdict == "Failed"
    assert (made(fail_on="never").verdict, made(fail_on="never").fails_on) == (
        "Not judged",
        "nothing",
    )


def test_findings_of_one_code_are_one_group() -> None:
    one, other = made(
        finding(1), finding(2, "leftover-image"), finding(3), finding(4, leads_to="otherwise")
    ).groups[0::2]
    assert [item.anchor for item in one.findings] == ["finding/f1", "finding/f3"]
    assert (one.code, one.severity, one.title) == (
        "old-size",
        "warning",
        "a guest still sees the old size of a disk",
    )
    assert other.leads_to == "otherwise"


def test_a_code_that_is_not_known_is_its_own_title() -> None:
    (group,) = made(replace(finding(1), code="of-tomorrow")).groups
    assert group.title == "of-tomorrow"


def test_accepted_findings_are_a_list_of_their_own() -> None:
    shown = made(accepted=(finding(1, reason="for a test"),))
    assert shown.groups == ()
    assert shown.accepted[0].severity == "accepted"
    assert shown.accepted[0].findings[0].reason == "for a test"
    assert shown.marks["f1"].severity == "accepted"


def test_so_many_findings_are_open_at_first_the_worst() -> None:
    many = [finding(n, leads_to=f"to {n // 20}") for n in range(60)]
    assert [group.is_open for group in made(*many).groups] == [True, True, False]


@pytest.mark.parametrize(
    ("place", "name", "anchor", "host"),
    [
        (("xen1", "web", "xvda"), "xen1 / web / xvda", "disk/xen1/web/xvda", "host/xen1"),
        (("xen1", "web", "xvdz"), "xen1 / web / xvdz", "guest/xen1/web", "host/xen1"),
        (("xen1", "db", "xvda"), "xen1 / db / xvda", "host/xen1", "host/xen1"),
        (("xen1", None, None), "xen1", "host/xen1", "host/xen1"),
        (("xen9", "web", "xvda"), "xen9 / web / xvda", "", ""),
        ((None, None, None), "all hosts", "", ""),
    ],
)
def test_a_finding_leads_as_near_to_its_place_as_the_page_can(
    place: Any, name: str, anchor: str, host: str
) -> None:
    (group,) = made(finding(1, place=FindingPlace(*place), others=(FindingPlace(*place),))).groups
    wanted = page.PlaceLink(name, anchor, host, "")
    assert group.findings[0].where == wanted
    assert group.findings[0].others == (wanted,)


def test_a_host_has_the_marks_that_are_nowhere_else() -> None:
    place = FindingPlace("xen1", None, None, "/srv/old.raw")
    (host,) = made(
        finding(1),  # beside the disk
        finding(2, "overcommitted", place=place),  # beside the file system
        finding(6, "overcommitted", place=place),  # beside the volume group
        finding(3, "leftover-image", place=place),
        finding(4, "leftover-image", place=replace(place, path="/srv/older.raw")),
        finding(5, "leftover-image", place=replace(place, host="xen2")),
    ).hosts
    (marks,) = host.marks
    assert (marks.first.id, marks.first.words, marks.count) == ("f3", "leftover image", 2)


@pytest.mark.parametrize(
    ("host", "worst"),
    [
        (HOST, "ok"),
        (replace(HOST, counts=FindingCounts(note=1, accepted=3)), "note"),
        (replace(HOST, counts=FindingCounts(error=1, note=2)), "error"),
        (replace(HOST, counts=FindingCounts(accepted=1)), "ok"),
        (AuditedHost("xen1", "failed", "no Python"), "unread"),
    ],
)
def test_a_host_has_the_mark_of_its_worst_finding(host: AuditedHost, worst: str) -> None:
    (shown,) = made(hosts=(host,)).hosts
    assert shown.worst == worst


def test_hosts_say_what_they_have() -> None:
    hosts = (HOST, replace(HOST, name="xen2", host="xen2", is_xen=False))
    one, other = made(hosts=(*hosts, AuditedHost("xen3", "unreachable", "no route"))).hosts[:2]
    assert (one.own_name, other.own_name) == ("dom0-a", "")
    assert one.facts == (
        "guests 1 (1 running)",
        "disks 1 (1 attached)",
        "data 1GiB",
        "left over 0 bytes",
    )
    assert other.facts[-1] == "not booted under Xen"
    shown = made(hosts=(*hosts, AuditedHost("xen3", "unreachable", "no route")))
    assert shown.totals[0] == ("hosts", "3 (1 not read)")
    assert (shown.hosts[2].facts, shown.hosts[2].error) == ((), "no route")


def test_a_small_report_is_open_at_first() -> None:
    assert made().hosts[0].is_open
    assert not made(totals=replace(HOST.totals, disks=61)).hosts[0].is_open


def test_the_script_gets_the_guests_and_what_it_needs_to_read_them() -> None:
    shown = made(finding(1))
    general = json.loads(shown.data)
    _count, (shape, *fields) = json.loads(shown.hosts[0].data)
    guest = dict(zip(general["shapes"][shape], fields))
    assert (guest["name"], guest["anchor"]) == ("web", "guest/xen1/web")
    _count, (shape, *fields) = general["marks"]
    assert dict(zip(general["shapes"][shape], fields)) == {
        "id": "f1",
        "severity": "warning",
        "words": "old size",
        "layer": "guest",
    }


def test_a_text_can_be_read_as_it_is() -> None:
    (group,) = made(replace(finding(1), seen="a\x00\u202eb")).groups
    assert group.findings[0].seen == "a\\x00\\u202eb"


def test_a_report_can_be_given_as_text() -> None:
    report = AuditReport(1, 0.0, "error", False, HOST.totals, FindingCounts(), (HOST,), ())
    text, values = json.dumps(recorded(report)), recorded(report)
    assert page.audit_page_of(text, "", "") == page.audit_page_of(values, "", "")


@pytest.mark.parametrize("value", [{}, [], "report", "[]", None, {"version": 1}])
def test_what_is_no_report_is_refused(value: object) -> None:
    with pytest.raises(SurveyError, match=r"^report (is|has) "):
        page.audit_page_of(value, "style", "script")
