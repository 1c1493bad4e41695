# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters that plan tests of unikernels and report their results."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.mirage import results
from ansible_collections.xen.blockdev.plugins.module_utils.mirage import tests as testing


def mirage_tests(
    tests: Any,
    directory: str,
    source_dir: str,
    configs: dict[str, str],
    *,
    remote_src: bool = False,
    timeout: float = 60,
) -> dict[str, Any]:
    """The files to copy and the plan of each test."""
    try:
        plan = testing.plan(
            tests, directory, source_dir, configs, remote=remote_src, timeout=timeout
        )
    except BlockdevError as error:
        raise AnsibleFilterError(f"xen.blockdev.mirage_tests: {error}") from error
    return plan.as_dict()


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "mirage_tests": mirage_tests,
            "mirage_blamed": results.blamed,
            "mirage_results": results.results,
            "mirage_again": results.again,
            "mirage_summary": results.summary,
            "mirage_junit": results.junit,
        }
