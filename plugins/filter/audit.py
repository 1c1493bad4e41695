# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters that judge the disks of all hosts, and show what came out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.xen.blockdev.plugins.module_utils.audit import hosts as audit_hosts
from ansible_collections.xen.blockdev.plugins.module_utils.audit import output
from ansible_collections.xen.blockdev.plugins.module_utils.audit.judge import audit
from ansible_collections.xen.blockdev.plugins.module_utils.audit.page import audit_page_of
from ansible_collections.xen.blockdev.plugins.module_utils.config.text import CONFIG_DIR
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.inventory.disk_plan import IMAGES_DIR
from ansible_collections.xen.blockdev.plugins.module_utils.survey.record import recorded


def audit_host(
    info: Any,
    domains: Any = None,
    images_dir: str = IMAGES_DIR,
    config_dir: str = CONFIG_DIR,
    accepted: Any = None,
) -> str:
    """The state of a host, as one text."""
    try:
        return audit_hosts.host_text(info, domains, images_dir, config_dir, accepted)
    except BlockdevError as error:
        raise AnsibleFilterError(f"xen.blockdev.audit_host: {error}") from error


def audit_report(hosts: Any, fail_on: str = "error") -> dict[str, Any]:
    """The report on all hosts, in the forms in which it is written."""
    try:
        if not isinstance(hosts, Mapping):
            raise audit_hosts.AuditInputError("hosts must be a mapping of names to states")
        report = audit({str(name): text for name, text in hosts.items()}, time.time(), fail_on)
    except BlockdevError as error:
        raise AnsibleFilterError(f"xen.blockdev.audit_report: {error}") from error
    return {
        "failed": report.has_failed,
        "lines": output.as_lines(report),
        "json": output.as_json(report),
        "metrics": output.as_metrics(report),
    }


def audit_page(report: Any, style: str, script: str) -> dict[str, Any]:
    """What the template of the page shows of a report."""
    try:
        page: dict[str, Any] = recorded(audit_page_of(report, style, script))
    except BlockdevError as error:
        raise AnsibleFilterError(f"xen.blockdev.audit_page: {error}") from error
    return page


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "audit_host": audit_host,
            "audit_report": audit_report,
            "audit_page": audit_page,
        }
