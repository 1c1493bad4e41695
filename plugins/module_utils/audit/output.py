# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report in other forms: as JSON, as lines for a person, and as metrics for Prometheus."""

from __future__ import annotations

import json
from collections import Counter
from typing import Dict, Iterable, Iterator, List, Sequence, Tuple, Union

from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import (
    AuditedHost,
    AuditFinding,
    AuditReport,
    FindingPlace,
    VolumeStoreBar,
)
from ansible_collections.xen.blockdev.plugins.module_utils.survey.record import recorded

MOST_LINES = 200
"""Findings that the lines for a person have; the files have all of them."""


def as_json(report: AuditReport) -> str:
    """The text of xen-audit.json."""
    return json.dumps(recorded(report)) + "\n"


# ---- for a person ----


def as_lines(report: AuditReport) -> List[str]:
    """A line that counts, and one for each finding that was not accepted."""
    shown = report.findings[:MOST_LINES]
    lines = [_count(report), *(_line_of(one) for one in shown)]
    more = len(report.findings) - len(shown)
    return [*lines, f"and {more} more findings, which are in the report"] if more else lines


def _count(report: AuditReport) -> str:
    counts, totals = report.counts, report.totals
    read = sum(one.status == "read" for one in report.hosts)
    return (
        f"{_number(read, 'host')} of {len(report.hosts)}, {_number(totals.domains, 'domain')}, "
        f"{_number(totals.disks, 'disk')}: {_number(counts.error, 'error')}, "
        f"{_number(counts.warning, 'warning')}, {_number(counts.note, 'note')}; "
        f"{counts.accepted} accepted"
    )


def _number(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _line_of(one: AuditFinding) -> str:
    return f"{one.severity}: {one.code}: {_place(one.place)}: {one.seen}"


def _place(place: FindingPlace) -> str:
    parts = [
        place.host and f"host {place.host}",
        place.domain and f"domain {place.domain}",
        place.slot,
        place.path,
    ]
    return ", ".join(part for part in parts if part) or "all hosts"


# ---- for Prometheus ----

_Labels = Dict[str, str]
_Samples = Iterable[Tuple[_Labels, Union[int, float]]]

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
"""Of label values: the text format of Prometheus, version 0.0.4."""


def as_metrics(report: AuditReport) -> str:
    """A file for the textfile collector of node exporter."""
    read = [one for one in report.hosts if one.status == "read"]
    bars = [
        ({"host": host.name, "mount_point": system.mount_point}, system)
        for host in read
        for system in host.file_systems
    ]
    volume_stores = [
        ({"host": host.name, **_labels(one)}, one) for host in read for one in host.volume_stores
    ]
    metrics: Sequence[Tuple[str, str, _Samples]] = (
        ("time_seconds", "When the audit was made, since 1970.", [({}, report.time)]),
        ("failed", "Whether the audit has failed.", [({}, int(report.has_failed))]),
        (
            "host_read",
            "Whether the host could be read.",
            [({"host": one.name}, int(one.status == "read")) for one in report.hosts],
        ),
        ("findings", "Findings that are not accepted.", _by_code(report.findings)),
        ("accepted_findings", "Findings that are accepted.", _by_code(report.accepted)),
        ("domains", "Domains.", _of_hosts(read, "domains")),
        ("running_domains", "Domains that run.", _of_hosts(read, "running")),
        ("disks", "Disks of domains.", _of_hosts(read, "disks")),
        ("left_over_bytes", "What belongs to no domain.", _of_hosts(read, "left_over")),
        (
            "file_system_free_bytes",
            "What guests can still take of a file system with images.",
            [(labels, system.free) for labels, system in bars if system.free is not None],
        ),
        (
            "file_system_promised_bytes",
            "What guests may still take of it by the images on it.",
            [(labels, system.promised - system.taken) for labels, system in bars],
        ),
        (
            "volume_store_free_bytes",
            "What a volume group or a thin pool has not given to volumes yet.",
            [(labels, store.free) for labels, store in volume_stores],
        ),
        (
            "volume_store_promised_bytes",
            "What its volumes may still take of it.",
            [(labels, store.promised - store.taken) for labels, store in volume_stores],
        ),
        (
            "thin_pool_metadata_percent",
            "How full the metadata of a thin pool is.",
            [
                (labels, store.metadata_percent)
                for labels, store in volume_stores
                if store.metadata_percent is not None
            ],
        ),
    )
    return "".join(
        line for name, words, samples in metrics for line in _metric(name, words, samples)
    )


def _labels(store: VolumeStoreBar) -> _Labels:
    """Those of a group have no pool, as Prometheus has it: an empty label is none."""
    return {"volume_group": store.group, "pool": store.name if store.kind == "pool" else ""}


def _metric(name: str, words: str, samples: _Samples) -> Iterator[str]:
    yield f"# HELP xen_audit_{name} {words}\n# TYPE xen_audit_{name} gauge\n"
    for labels, value in samples:
        said = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
        yield f"xen_audit_{name}{{{said}}} {value}\n" if said else f"xen_audit_{name} {value}\n"


def _by_code(findings: Iterable[AuditFinding]) -> _Samples:
    """How many there are of each code on each host; none for a finding of no single host."""
    counted = Counter((one.place.host or "", one.code, one.severity) for one in findings)
    for (host, code, severity), count in sorted(counted.items()):
        yield {"host": host, "code": code, "severity": severity}, count


def _of_hosts(hosts: Iterable[AuditedHost], name: str) -> _Samples:
    return [({"host": one.name}, getattr(one.totals, name)) for one in hosts]
