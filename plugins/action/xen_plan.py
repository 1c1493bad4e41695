# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plans the disks of domains on the controller, for the tasks that follow."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.xen.blockdev.plugins.module_utils.config.text import CONFIG_DIR
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.inventory import disk_plan as planning

display = Display()

OPTIONS = {
    # Checked by the plan, which reports every problem.
    "domains": {"type": "raw", "required": True},
    "images_dir": {"type": "str", "default": planning.IMAGES_DIR},
    "config_dir": {"type": "str", "default": CONFIG_DIR},
    "state": {"type": "str", "choices": ["present", "absent"]},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Ansible's entry point."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validated, options = self.validate_argument_spec(OPTIONS)
        try:
            plan = planning.plan(
                options["domains"],
                options["images_dir"],
                options["config_dir"],
                options["state"],
            )
        except BlockdevError as error:
            raise AnsibleActionFail(str(error)) from error
        for warning in plan.warnings:
            display.warning(warning)
        # Configs may have passwords in them, so the plan is not shown.
        return {"changed": False, "plan": planning.by_role(plan), "_ansible_verbose_override": True}
