# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Device numbers in templates. Each filter is documented in the YAML file of its name."""

from __future__ import annotations

from collections.abc import Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from jinja2 import Undefined


def _to_xenstore_key(value: object) -> int:
    return device_number.parse(value).xenstore_key


def _to_linux_device(value: object) -> str:
    return device_number.parse(value).linux_device


def _to_disk_number(value: object) -> int:
    return device_number.parse(value).disk_number


def _to_xen_vdev(value: object) -> str:
    return device_number.parse(value).xen_vdev


def _device_number(value: object) -> dict[str, object]:
    return device_number.parse(value).as_dict()


def _from_disk_number(value: int, bus: str = "xvd", partition: int = 0) -> str:
    return device_number.from_disk_number(value, bus, partition).linux_device


def _filter(name: str, convert: Callable[..., object]) -> Callable[..., object]:
    def convert_for_ansible(value: object, *args: object, **kwargs: object) -> object:
        if isinstance(value, Undefined):
            # Only before ansible-core 2.19. str() raises the error with the name of the variable.
            return str(value)
        try:
            return convert(value, *args, **kwargs)
        except device_number.DeviceNumberError as error:
            raise AnsibleFilterError(f"xen.blockdev.{name}: {error}") from error

    return convert_for_ansible


_FILTERS: dict[str, Callable[..., object]] = {
    "to_xenstore_key": _to_xenstore_key,
    "to_linux_device": _to_linux_device,
    "to_disk_number": _to_disk_number,
    "to_xen_vdev": _to_xen_vdev,
    "device_number": _device_number,
    "from_disk_number": _from_disk_number,
}


class FilterModule:
    """Ansible's way to find the filters."""

    def filters(self) -> dict[str, Callable[..., object]]:
        return {name: _filter(name, convert) for name, convert in _FILTERS.items()}
