# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges the states of all hosts together: one report."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.audit.codes import GROUPS, finding
from ansible_collections.xen.blockdev.plugins.module_utils.audit.data import data_findings
from ansible_collections.xen.blockdev.plugins.module_utils.audit.guest_rules import rule_findings
from ansible_collections.xen.blockdev.plugins.module_utils.audit.hosts import (
    Acceptance,
    AuditInputError,
    HostState,
    host_state,
)
from ansible_collections.xen.blockdev.plugins.module_utils.audit.index import HostIndex
from ansible_collections.xen.blockdev.plugins.module_utils.audit.left_over import leftover_findings
from ansible_collections.xen.blockdev.plugins.module_utils.audit.lines import (
    FindingsByPlace,
    bytes_left_over,
    counted,
    shown_host,
    total,
)
from ansible_collections.xen.blockdev.plugins.module_utils.audit.reading import (
    reading_findings,
    state_findings,
)
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import (
    SEVERITIES,
    VERSION,
    AuditedHost,
    AuditFinding,
    AuditReport,
    FindingPlace,
)
from ansible_collections.xen.blockdev.plugins.module_utils.audit.restart import restart_findings
from ansible_collections.xen.blockdev.plugins.module_utils.audit.same_data import sharing_findings
from ansible_collections.xen.blockdev.plugins.module_utils.audit.space import (
    HostStores,
    space_findings,
    stores_of,
)

NEVER = "never"
"""In place of a severity from which on an audit fails."""


def audit(hosts: Mapping[str, object], time: float, fail_on: str) -> AuditReport:
    """The report on all hosts.

    ``hosts``: by name in the inventory, what hosts.host_text has made of each. ``time``: now, in
    seconds since 1970. ``fail_on``: a severity, or NEVER. Raises AuditInputError.
    """
    if fail_on not in (*SEVERITIES, NEVER):
        raise AuditInputError(
            f"xen_audit_fail_on is {fail_on!r:.80}: use {', '.join(SEVERITIES)} or {NEVER}"
        )
    return judged([host_state(name, text) for name, text in hosts.items()], time, fail_on)


def judged(states: Sequence[HostState], time: float, fail_on: str) -> AuditReport:
    """The same for states that were read."""
    indexes = [HostIndex(one.name, one.survey) for one in states if one.survey is not None]
    stores = {one.name: stores_of(one) for one in indexes}
    left, accepted = _divided(_once(_all_findings(states, indexes, stores)), states)
    by_place = FindingsByPlace([*left, *accepted])
    own, own_accepted = _by_host(left), _by_host(accepted)
    shown = {
        one.name: shown_host(
            one,
            stores[one.name],
            by_place,
            bytes_left_over([*own[one.name], *own_accepted[one.name]]),
        )
        for one in indexes
    }
    hosts = [
        replace(
            shown.get(one.name) or AuditedHost(one.name, one.status, one.error),
            counts=counted(own[one.name], own_accepted[one.name]),
        )
        for one in states
    ]
    return AuditReport(
        version=VERSION,
        time=time,
        fail_on=fail_on,
        has_failed=_fails(left, fail_on),
        totals=total(hosts),
        counts=counted(left, accepted),
        hosts=tuple(hosts),
        findings=tuple(left),
        accepted=tuple(accepted),
    )


def _all_findings(
    states: Sequence[HostState], indexes: Sequence[HostIndex], stores: Mapping[str, HostStores]
) -> Iterator[AuditFinding]:
    planned = {one.name: one.planned for one in states}
    yield from sharing_findings(indexes)
    for state in states:
        yield from state_findings(state)
    for host in indexes:
        yield from data_findings(host)
        yield from restart_findings(host)
        yield from space_findings(host, stores[host.name])
        yield from leftover_findings(host)
        yield from rule_findings(host, planned[host.name])
        yield from reading_findings(host)


def _once(findings: Iterable[AuditFinding]) -> List[AuditFinding]:
    """The findings with one for each code and place, which has all that was seen there."""
    found: Dict[str, AuditFinding] = {}
    for one in findings:
        other = found.setdefault(one.id, one)
        if one.seen not in other.seen:
            found[one.id] = replace(other, seen=f"{other.seen}; {one.seen}")
    return list(found.values())


def _by_host(findings: Iterable[AuditFinding]) -> Mapping[Optional[str], List[AuditFinding]]:
    hosts: Dict[Optional[str], List[AuditFinding]] = defaultdict(list)
    for one in findings:
        hosts[one.place.host].append(one)
    return hosts


def _fails(findings: Iterable[AuditFinding], fail_on: str) -> bool:
    if fail_on == NEVER:
        return False
    counting = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
    return any(one.severity in counting for one in findings)


# ---- what is accepted ----


def _divided(
    findings: Sequence[AuditFinding], states: Sequence[HostState]
) -> Tuple[List[AuditFinding], List[AuditFinding]]:
    """The findings that are left, and those that are accepted, in the order of a report.

    A host's variables accept findings that have that host among their places. What is accepted and
    not there any more is a finding itself.
    """
    by_code: Dict[Tuple[str, str], List[Acceptance]] = defaultdict(list)
    for state in states:
        for acceptance in state.accepted:
            by_code[state.name, acceptance.code].append(acceptance)
    met = set()
    left, accepted = [], []
    for one in findings:
        names = dict.fromkeys(place.host for place in (one.place, *one.others))
        candidates = [
            (name, acceptance)
            for name in names
            for acceptance in by_code.get((name or "", one.code), ())
            if acceptance.accepts(one)
        ]
        met.update(candidates)
        if candidates:
            accepted.append(replace(one, reason=candidates[0][1].reason))
        else:
            left.append(one)
    left += _unmet(states, met)
    return sorted(left, key=_rank), sorted(accepted, key=_rank)


def _unmet(
    states: Sequence[HostState], met: Iterable[Tuple[Optional[str], Acceptance]]
) -> Iterator[AuditFinding]:
    """The acceptances that no finding has met on any host that has them in its variables. What a
    host that was not read would have met is not known."""
    met_anywhere = {acceptance for _name, acceptance in met}
    unread = {one for state in states if state.survey is None for one in state.accepted}
    hosts: Dict[Acceptance, List[str]] = defaultdict(list)
    for state in states:
        for one in state.accepted:
            hosts[one].append(state.name)
    for one, names in hosts.items():
        if one in met_anywhere or one in unread:
            continue
        # In the variables of a group it is one line, for all of its hosts.
        host = one.host or (names[0] if len(names) == 1 else None)
        yield finding(
            "acceptance-unmet",
            FindingPlace(host, one.domain, one.slot, one.path),
            f"{one.words} is accepted ({one.reason}), and there is no such finding",
            "remove it from xen_audit_accepted",
        )


def _rank(one: AuditFinding) -> Tuple[int, int, str, Tuple[str, ...]]:
    place = one.place
    where = (place.host or "", place.domain or "", place.slot or "", place.path or "")
    return SEVERITIES.index(one.severity), GROUPS.index(one.group), one.code, where
