# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plans of one call of xen_loopdev share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Dict

from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding, LoopError
from ansible_collections.xen.blockdev.plugins.module_utils.loop.boot_unit import BootUnits
from ansible_collections.xen.blockdev.plugins.module_utils.loop.udev_rule import UdevRule
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_table import LoopTable
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import block_script
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.renamed import FormerNames
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.unbinding import Unbinder
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage, join
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Vbd


@dataclass(frozen=True)
class LoopHost:
    """The host as it was when the module began, and what is planned for it."""

    usage: Usage
    units: BootUnits
    udev_rule: UdevRule
    pending: Pending
    table: LoopTable
    unbinder: Unbinder
    former_names: FormerNames

    @classmethod
    def of(cls, usage: Usage, units: BootUnits, udev_rule: UdevRule, pending: Pending) -> LoopHost:
        """The host with these parts."""
        return cls(
            usage=usage,
            units=units,
            udev_rule=udev_rule,
            pending=pending,
            table=LoopTable(usage.bindings),
            unbinder=Unbinder(usage, units, pending),
            former_names=FormerNames(usage),
        )

    @cached_property
    def scripts(self) -> Dict[int, Vbd]:
        """The loop devices of Xen's script, see block_script.devices. xenstore is read when the
        first device needs it, and most often none does."""
        return block_script.devices(self.usage.vbds)

    def use_of(self, binding: Binding) -> str:
        """Who uses a device, for an error about it."""
        return join(self.usage.of_device(binding.rdev)) or "not in use"

    def refuse_part(self, path: str, binding: Binding) -> None:
        """Raise LoopError if the device shows only a part of the image at ``path``."""
        if not binding.whole:
            raise LoopError(
                f"{path} is bound to {binding.device} ({self.use_of(binding)}) with offset "
                f"{binding.offset} and size limit {binding.size_limit}, which another program did; "
                f"unbind it yourself if it is not needed (losetup -d {binding.device})"
            )
