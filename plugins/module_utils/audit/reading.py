# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is not judged, because it could not be read or cannot be seen."""

from __future__ import annotations

from typing import Iterator

from ansible_collections.xen.blockdev.plugins.module_utils.audit.codes import finding
from ansible_collections.xen.blockdev.plugins.module_utils.audit.hosts import HostState
from ansible_collections.xen.blockdev.plugins.module_utils.audit.index import HostIndex
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import (
    AuditFinding,
    FindingPlace,
)

_AGAIN = "mend it, and run the audit again"


def state_findings(state: HostState) -> Iterator[AuditFinding]:
    """The findings about a host itself and its plan."""
    if state.survey is None:
        yield finding(
            "host-unread",
            FindingPlace(state.name),
            f"{state.status}: {state.error}",
            "make the host reachable, with Python and root's rights, and run the audit again",
        )
    if state.plan_problem is not None:
        yield finding(
            "plan-unusable",
            FindingPlace(state.name),
            state.plan_problem,
            "mend xen_domains: xen.blockdev.provision --check says the same",
        )


def reading_findings(host: HostIndex) -> Iterator[AuditFinding]:
    """The findings about parts of a host that could not be read, each once."""
    said = set()
    for one in host.survey.unread:
        said.add(one.subject)
        source = f"{one.source}: " if one.source not in one.error else ""
        place = host.at(path=one.subject or one.source)
        if one.source == "qemu":
            place = host.at(one.subject)
        yield finding("unread", place, f"{source}{one.error}", _AGAIN)
    for config in host.survey.configs:
        if config.problems and config.path not in said:
            place = host.at(config.domain, path=config.path)
            yield finding("unread", place, "; ".join(config.problems), _AGAIN)
    for disk in host.survey.disks:
        for listed in disk.configured:
            if listed.problem is not None:
                place = host.at_disk(disk, f"{listed.config}, disk {listed.position}")
                yield finding("unread", place, f"{listed.text!r}: {listed.problem}", _AGAIN)
    for storage, uses in host.used():
        places = [use.place for use in uses]
        if storage.doubts:
            yield finding(
                "cannot-tell",
                places[0],
                "; ".join(storage.doubts),
                "see that nothing else uses it",
                others=places[1:],
            )
