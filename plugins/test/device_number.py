# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Device numbers in conditions. The test is documented in the YAML file of its name."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from jinja2 import Undefined


def vdev(value: object) -> bool:
    if isinstance(value, Undefined):
        # Only before ansible-core 2.19. str() raises the error with the name of the variable.
        str(value)
    try:
        device_number.parse(value)
    except device_number.DeviceNumberError:
        return False
    return True


class TestModule:
    """Ansible's way to find the test."""

    def tests(self) -> dict[str, Callable[[object], bool]]:
        return {"vdev": vdev}
