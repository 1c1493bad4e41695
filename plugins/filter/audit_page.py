# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter that makes the page of an audit."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.xen.blockdev.plugins.module_utils.audit.page import audit_page_of
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.survey.record import recorded


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
        return {"audit_page": audit_page}
