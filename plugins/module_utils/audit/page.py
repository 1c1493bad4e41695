# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of an audit as its page shows it. The template of the role audit has the markup, its
script draws the guests of a host when someone opens it."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Dict, Iterable, List, Mapping, Optional, Set, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.audit.codes import CODES
from ansible_collections.xen.blockdev.plugins.module_utils.audit.page_bars import (
    StoreBar,
    file_system_bar,
    volume_store_bar,
)
from ansible_collections.xen.blockdev.plugins.module_utils.audit.page_disks import (
    SHAPES,
    DrawnGuest,
    disk_anchor,
    drawn_guests,
    guest_anchor,
    place_words,
)
from ansible_collections.xen.blockdev.plugins.module_utils.audit.page_text import (
    anchor,
    content_policy,
    packed,
    script_data,
    shape_names,
    visible,
)
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import (
    SEVERITIES,
    AuditedHost,
    AuditFinding,
    AuditReport,
    FindingCounts,
    FindingPlace,
    HostTotals,
)
from ansible_collections.xen.blockdev.plugins.module_utils.survey.record import (
    SurveyError,
    read_plain,
)
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_about

MOST_OPEN_FINDINGS = 40
"""So many findings are open at first; of further ones, only what they have in common."""

MOST_OPEN_DISKS = 60
"""If all hosts together have at most so many disks, all are open at first."""

ACCEPTED = "accepted"
"""In place of a severity."""


@dataclass(frozen=True)
class PlaceLink:
    """A place, and what of the page is nearest to it: its disk, its domain or its host."""

    name: str
    anchor: str
    """Empty if the page does not even have its host."""
    host_anchor: str
    """That of its host, which is there without the script as well."""
    path: str = ""


@dataclass(frozen=True)
class ShownFinding:
    """A finding in the list of all."""

    anchor: str
    where: PlaceLink
    seen: str
    remedy: str
    others: Tuple[PlaceLink, ...]
    reason: str


@dataclass(frozen=True)
class FindingGroup:
    """Findings that say the same of different places."""

    severity: str
    """One of SEVERITIES, or ACCEPTED."""
    code: str
    title: str
    group: str
    leads_to: str
    is_open: bool
    findings: Tuple[ShownFinding, ...]


@dataclass(frozen=True)
class FindingMark:
    """A finding beside what it is about."""

    id: str
    severity: str
    words: str
    layer: str


@dataclass(frozen=True)
class CountedMark:
    """Findings with one code, beside the host that they are about."""

    first: FindingMark
    count: int


@dataclass(frozen=True)
class ShownHost:
    """A host."""

    name: str
    anchor: str
    own_name: str
    """As its kernel has it, if that is not its name in the inventory."""
    status: str
    error: str
    worst: str
    """The severity of its worst finding, ``ok``, or ``unread``."""
    counts: FindingCounts
    facts: Tuple[str, ...]
    is_open: bool
    stores: Tuple[StoreBar, ...]
    marks: Tuple[CountedMark, ...]
    """The findings that are about none of its domains and stores."""
    data: str
    """Its guests, for the script."""


@dataclass(frozen=True)
class AuditPage:
    """All that the template shows."""

    policy: str
    verdict: str
    has_failed: bool
    fails_on: str
    time: str
    totals: Tuple[Tuple[str, str], ...]
    """Names and values."""
    counts: FindingCounts
    groups: Tuple[FindingGroup, ...]
    accepted: Tuple[FindingGroup, ...]
    hosts: Tuple[ShownHost, ...]
    marks: Mapping[str, FindingMark]
    """All findings by their ids."""
    data: str
    """What the script needs of all hosts: the shapes of its data, and the marks."""


def audit_page_of(value: object, style: str, script: str) -> AuditPage:
    """The page of a report, which is given as the text of xen-audit.json or as its plain values.
    ``style`` and ``script`` are the texts of the elements of these names. Raises SurveyError if
    ``value`` is no such report."""
    report: AuditReport = read_plain(
        AuditReport, visible(_plain(value)), "report", "is it from this version of xen.blockdev?"
    )
    known = {one.id: one for one in (*report.findings, *report.accepted)}
    marks = {one.id: _mark(one) for one in known.values()}
    by_host: Dict[Optional[str], List[AuditFinding]] = defaultdict(list)
    for one in known.values():
        by_host[one.place.host].append(one)
    anchors = _PageAnchors(report.hosts)
    is_small = report.totals.disks <= MOST_OPEN_DISKS
    return AuditPage(
        policy=content_policy(style, script),
        verdict=_verdict(report),
        has_failed=report.has_failed,
        fails_on=f"{report.fail_on}s" if report.fail_on in SEVERITIES else "nothing",
        time=_time(report.time),
        totals=_totals(report),
        counts=report.counts,
        groups=tuple(_groups(report.findings, anchors)),
        accepted=tuple(_groups(report.accepted, anchors)),
        hosts=tuple(
            _page_host(
                host,
                drawn_guests(host, known, anchors.all),
                _own_marks(host, by_host[host.name], marks),
                is_open=is_small,
            )
            for host in report.hosts
        ),
        marks=marks,
        data=script_data(
            {
                "shapes": shape_names((*SHAPES, FindingMark)),
                "marks": packed(tuple(marks.values()), (*SHAPES, FindingMark)),
            }
        ),
    )


def _plain(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise SurveyError(f"report is no JSON: {error}") from error


def _verdict(report: AuditReport) -> str:
    if report.has_failed:
        return "Failed"
    return "Passed" if report.fail_on in SEVERITIES else "Not judged"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _totals(report: AuditReport) -> Tuple[Tuple[str, str], ...]:
    unread = sum(host.status != "read" for host in report.hosts)
    hosts = f"{len(report.hosts):,}" + (f" ({unread} not read)" if unread else "")
    return (("hosts", hosts), *_numbers(report.totals))


def _numbers(totals: HostTotals) -> Tuple[Tuple[str, str], ...]:
    return (
        ("guests", f"{totals.domains:,} ({totals.running:,} running)"),
        ("disks", f"{totals.disks:,} ({totals.attached:,} attached)"),
        ("data", format_about(totals.size)),
        ("left over", format_about(totals.left_over)),
    )


# ---- findings ----


class _PageAnchors:
    """What of a report can be led to."""

    def __init__(self, hosts: Iterable[AuditedHost]) -> None:
        self.all: Set[str] = set()
        """Of all hosts, domains and disks."""
        for host in hosts:
            self.all.add(anchor("host", host.name))
            self.all.update(guest_anchor(host.name, one.name) for one in host.domains)
            self.all.update(disk_anchor(host.name, one.domain, one.slot) for one in host.disks)

    def link(self, place: FindingPlace) -> PlaceLink:
        """Leads to the place as exactly as the page has it."""
        anchors = (
            disk_anchor(place.host, place.domain, place.slot),
            guest_anchor(place.host, place.domain),
            anchor("host", place.host),
        )
        known = [one for one in anchors if one in self.all]
        return PlaceLink(
            name=place_words(place) or "all hosts",
            anchor=known[0] if known else "",
            host_anchor=known[-1] if known else "",
            path=place.path or "",
        )


def _groups(findings: Iterable[AuditFinding], anchors: _PageAnchors) -> List[FindingGroup]:
    """The findings in groups, in their order."""
    by_words: Dict[Tuple[str, str, str], List[AuditFinding]] = {}
    for one in findings:
        by_words.setdefault((one.severity, one.code, one.leads_to), []).append(one)
    groups, shown = [], 0
    for alike in by_words.values():
        shown += len(alike)
        groups.append(_group(alike, anchors, is_open=shown <= MOST_OPEN_FINDINGS))
    return groups


def _group(findings: List[AuditFinding], anchors: _PageAnchors, *, is_open: bool) -> FindingGroup:
    first = findings[0]
    code = CODES.get(first.code)
    return FindingGroup(
        severity=_severity(first),
        code=first.code,
        title=code.title if code else first.code,
        group=first.group,
        leads_to=first.leads_to,
        is_open=is_open,
        findings=tuple(
            ShownFinding(
                anchor=anchor("finding", one.id),
                where=anchors.link(one.place),
                seen=one.seen,
                remedy=one.remedy,
                others=tuple(anchors.link(place) for place in one.others),
                reason=one.reason or "",
            )
            for one in findings
        ),
    )


def _severity(found: AuditFinding) -> str:
    return found.severity if found.reason is None else ACCEPTED


def _mark(found: AuditFinding) -> FindingMark:
    return FindingMark(
        id=found.id,
        severity=_severity(found),
        words=found.code.replace("-", " "),
        layer=found.layer or "",
    )


# ---- hosts ----


def _page_host(
    host: AuditedHost,
    guests: Tuple[DrawnGuest, ...],
    marks: Tuple[CountedMark, ...],
    *,
    is_open: bool,
) -> ShownHost:
    return ShownHost(
        name=host.name,
        anchor=anchor("host", host.name),
        own_name=host.host if host.host is not None and host.host != host.name else "",
        status=host.status,
        error=host.error or "",
        worst=_worst(host),
        counts=host.counts,
        facts=_host_facts(host),
        is_open=is_open,
        stores=(
            *map(file_system_bar, host.file_systems),
            *map(volume_store_bar, host.volume_stores),
        ),
        marks=marks,
        data=script_data(packed(guests, SHAPES)),
    )


def _own_marks(
    host: AuditedHost, findings: Iterable[AuditFinding], marks: Mapping[str, FindingMark]
) -> Tuple[CountedMark, ...]:
    """Those of the host's findings that are beside nothing of it."""
    beside: Set[str] = set()
    beside.update(*(one.findings for one in host.domains))
    beside.update(*(one.findings for one in host.disks))
    beside.update(*(one.findings for one in host.file_systems))
    beside.update(*(one.findings for one in host.volume_stores))
    by_code: Dict[Tuple[str, str], List[FindingMark]] = defaultdict(list)
    for one in findings:
        if one.id not in beside:
            by_code[one.code, _severity(one)].append(marks[one.id])
    return tuple(CountedMark(alike[0], len(alike)) for alike in by_code.values())


def _worst(host: AuditedHost) -> str:
    if host.status != "read":
        return "unread"
    return next((name for name in SEVERITIES if getattr(host.counts, name)), "ok")


def _host_facts(host: AuditedHost) -> Tuple[str, ...]:
    if host.status != "read":
        return ()
    numbers = tuple(f"{name} {value}" for name, value in _numbers(host.totals))
    return (*numbers, *(("not booted under Xen",) if host.is_xen is False else ()))
