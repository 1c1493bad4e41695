# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter that makes xen_domains of what a host has."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import yaml  # type: ignore[import-untyped]
from ansible.errors import AnsibleFilterError
from ansible_collections.xen.blockdev.plugins.module_utils.adopt import adoption as adopting
from ansible_collections.xen.blockdev.plugins.module_utils.adopt.page import (
    AdoptedPage,
    commentable,
)
from ansible_collections.xen.blockdev.plugins.module_utils.config.text import CONFIG_DIR
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.inventory.disk_plan import IMAGES_DIR
from ansible_collections.xen.blockdev.plugins.module_utils.survey.record import survey_of

_TEMPLATE_MARKS = ("{{", "{%", "{#")


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes each text so that Ansible reads the same text, in one line, and runs nothing in it."""


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = None if text.isprintable() else '"'
    if any(mark in text for mark in _TEMPLATE_MARKS):
        return dumper.represent_scalar("!unsafe", text, style='"')
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)


def _dumped(value: Mapping[str, object]) -> str:
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, width=float("inf")
    )
    return text.strip()


def to_xen_domains(
    host: Any,
    images_dir: str = IMAGES_DIR,
    config_dir: str = CONFIG_DIR,
    changes: Any = (),
) -> dict[str, Any]:
    """The domains, the page with them, and what was not taken over."""
    try:
        # Without Ansible's tags, which PyYAML does not know.
        survey = survey_of(json.loads(json.dumps(host)))
        found = adopting.adopt(survey, images_dir, config_dir, changes)
    except BlockdevError as error:
        raise AnsibleFilterError(f"xen.blockdev.to_xen_domains: {error}") from error
    directories = {
        "xen_images_dir": (images_dir, IMAGES_DIR),
        "xen_config_dir": (config_dir, CONFIG_DIR),
    }
    variables = {name: str(here) for name, (here, usual) in directories.items() if here != usual}
    return {
        "domains": list(found.plain),
        "text": AdoptedPage(_dumped).text(survey, found, variables),
        "notes": [commentable(note) for note in found.notes],
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"to_xen_domains": to_xen_domains}
