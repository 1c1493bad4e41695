# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Disks in xl's syntax. Each filter is documented in the YAML file of its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.disk.values import DiskSpecError
from jinja2 import Undefined


def xl_disk(disk: Mapping[str, object], style: str = "keyed") -> str:
    _refuse_undefined(disk)
    if isinstance(disk, Mapping):
        for value in disk.values():
            _refuse_undefined(value)
    try:
        return DiskSpec.of(disk).render(style)
    except DiskSpecError as error:
        raise AnsibleFilterError(f"xen.blockdev.xl_disk: {error}") from error


def from_xl_disk(spec: str) -> dict[str, object]:
    _refuse_undefined(spec)
    try:
        return dict(DiskSpec.parse(spec).as_dict())
    except DiskSpecError as error:
        raise AnsibleFilterError(f"xen.blockdev.from_xl_disk: {error}") from error


def _refuse_undefined(value: object) -> None:
    if isinstance(value, Undefined):
        # Before ansible-core 2.19 it gets here; as text, it raises the error that names it.
        str(value)


class FilterModule:
    """Ansible's way to find the filters."""

    def filters(self) -> dict[str, Callable[..., object]]:
        return {"xl_disk": xl_disk, "from_xl_disk": from_xl_disk}
