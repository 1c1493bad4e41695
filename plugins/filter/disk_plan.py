# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters that plan the disks of domains."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, Iterator

from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display
from ansible_collections.xen.blockdev.plugins.module_utils.config.text import CONFIG_DIR
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.inventory import disk_plan as planning

display = Display()


@contextmanager
def _as_filter_error(name: str) -> Iterator[None]:
    """Raise our errors as those of the filter ``name``."""
    try:
        yield
    except BlockdevError as error:
        raise AnsibleFilterError(f"xen.blockdev.{name}: {error}") from error


def disk_plan(
    domains: Any,
    images_dir: str = planning.IMAGES_DIR,
    state: str | None = None,
    query: str | None = None,
) -> Any:
    """The planned disks, or the result of a JMESPath expression on them."""
    with _as_filter_error("disk_plan"):
        plan = planning.plan(domains, images_dir=images_dir, state=state)
        selected = planning.select(plan.entries, query)
    for warning in plan.warnings:
        display.warning(warning)
    return selected


def domain_configs(
    domains: Any,
    images_dir: str = planning.IMAGES_DIR,
    config_dir: str = CONFIG_DIR,
    state: str | None = None,
) -> list[dict[str, Any]]:
    """The config of each domain, as an item of xen_domain_config."""
    with _as_filter_error("domain_configs"):
        return planning.plan(domains, images_dir, config_dir, state).configs


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "disk_plan": disk_plan,
            "domain_configs": domain_configs,
        }
