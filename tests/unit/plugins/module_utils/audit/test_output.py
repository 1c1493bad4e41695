# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report in other forms."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from ansible_collections.xen.blockdev.plugins.module_utils.audit.hosts import Acceptance, HostState
from ansible_collections.xen.blockdev.plugins.module_utils.audit.judge import judged
from ansible_collections.xen.blockdev.plugins.module_utils.audit.output import (
    MOST_LINES,
    as_json,
    as_lines,
    as_metrics,
)
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import AuditReport
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    ThinPool,
    ThinVolume,
    VolumeGroup,
)
from ansible_collections.xen.blockdev.plugins.module_utils.survey.record import recorded
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.auditedhosts import (
    NOW,
    AuditedXen,
    GiB,
    usual_host,
)

IN_POOL = 'host="xen1",volume_group="vg0",pool="/dev/vg0/pool"'
SAMPLE = re.compile(
    r'xen_audit_[a-z_]+(\{([a-z_]+="([^"\\\n]|\\["\\n])*",?)+\})? [0-9.e+-]+',
)
"""A line of Prometheus' text format, version 0.0.4."""


def a_report() -> AuditReport:
    """Of a host with findings and one that was not read."""
    host = usual_host()
    for slot, mount in (("xvdb", "/srv"), ("xvdc", '/mnt/"a\\b\n')):
        path = f"{mount}/a.raw"
        host.image(path, 4 * GiB, allocated=GiB, read_by_others=True, file_system=mount)
        host.configured("db", slot, path)
    host.file_systems = [
        replace(host.file_systems[0], mount_point=mount, size=9 * GiB, free=5 * GiB)
        for mount in ("/srv", '/mnt/"a\\b\n')
    ]
    pool = ThinPool("/dev/vg0/pool", 4 * GiB, GiB, 1.5, (ThinVolume("/dev/vg0/a", 3 * GiB, GiB),))
    host.volume_groups = [VolumeGroup("vg0", 9 * GiB, 5 * GiB, (pool,))]
    accepted = (Acceptance("readable-by-others", "public", slot="xvdb"),)
    unread = HostState("xen2", "unreachable", error="no route to host")
    return judged([host.state(accepted=accepted), unread], NOW, "error")


def test_json_has_all_of_it() -> None:
    report = a_report()
    assert json.loads(as_json(report)) == recorded(report)


def test_lines_for_a_person() -> None:
    path = '/mnt/"a\\b\n/a.raw'
    assert as_lines(a_report()) == [
        "1 host of 2, 2 domains, 4 disks: 1 error, 1 warning, 0 notes; 1 accepted",
        "error: host-unread: host xen2: unreachable: no route to host",
        f"warning: readable-by-others: host xen1, domain db, xvdc, {path}: {path} has the mode "
        "0600, and every user may pass its directories",
    ]


def test_most_findings_are_shown() -> None:
    host = AuditedXen()
    for number in range(MOST_LINES + 2):
        host.image(f"/srv/{number}.raw", read_by_others=True)
        host.config(f"web{number}", [("xvda", f"/srv/{number}.raw")])
    lines = as_lines(judged([host.state()], NOW, "error"))
    assert len(lines) == 1 + MOST_LINES + 1
    assert lines[-1] == "and 2 more findings, which are in the report"


def test_metrics() -> None:
    text = as_metrics(a_report())
    lines = text.splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert [line for line in samples if not SAMPLE.fullmatch(line)] == []
    assert text.endswith("\n")
    assert {
        f"xen_audit_time_seconds {NOW}",
        "xen_audit_failed 1",
        'xen_audit_host_read{host="xen1"} 1',
        'xen_audit_host_read{host="xen2"} 0',
        'xen_audit_findings{host="xen2",code="host-unread",severity="error"} 1',
        'xen_audit_findings{host="xen1",code="readable-by-others",severity="warning"} 1',
        'xen_audit_accepted_findings{host="xen1",code="readable-by-others",severity="warning"} 1',
        'xen_audit_domains{host="xen1"} 2',
        'xen_audit_running_domains{host="xen1"} 1',
        'xen_audit_disks{host="xen1"} 4',
        f'xen_audit_volume_store_free_bytes{{host="xen1",volume_group="vg0",pool=""}} {5 * GiB}',
        f"xen_audit_volume_store_promised_bytes{{{IN_POOL}}} {2 * GiB}",
        f"xen_audit_thin_pool_metadata_percent{{{IN_POOL}}} 1.5",
        'xen_audit_left_over_bytes{host="xen1"} 0',
        f'xen_audit_file_system_free_bytes{{host="xen1",mount_point="/srv"}} {5 * GiB}',
        f'xen_audit_file_system_promised_bytes{{host="xen1",mount_point="/srv"}} {3 * GiB}',
    } <= set(samples)


def test_each_metric_is_described_once() -> None:
    lines = as_metrics(a_report()).splitlines()
    described = [line.split()[2] for line in lines if line.startswith("# HELP ")]
    assert described == [line.split()[2] for line in lines if line.startswith("# TYPE ")]
    assert len(set(described)) == len(described)
    used = {re.split("[{ ]", line)[0] for line in lines if not line.startswith("#")}
    assert used <= set(described)
