# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking back: unbinding what this collection has bound, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import List

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Plan
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding
from ansible_collections.xen.blockdev.plugins.module_utils.resources import loopdev_info
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_absent import (
    plan_unbinding,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_host import LoopHost
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_image import FoundImage
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_item import LoopdevItem


def plan(host: LoopHost, item: LoopdevItem, image: FoundImage) -> Plan:
    """Unbind the image from the devices that are ours. Raises LoopError if one of them must not be
    unbound."""
    found = [
        binding
        for binding in host.table.of_file(image.file)
        if binding.whole and item.number in (None, binding.number)
    ]
    ours = [one for one in found if host.unbinder.is_ours(item.path, one)]
    plan = plan_unbinding(host, item, ours)
    theirs = [one for one in found if one not in ours]
    return replace(plan, warnings=[*plan.warnings, *_warn_of_idle(host, item.path, theirs)])


def plan_nothing() -> Plan:
    """Leave the image to another item."""
    state = {**loopdev_info.unbound(), "persistent": False}
    return Plan(state, state, lambda: state)


def _warn_of_idle(host: LoopHost, path: str, bindings: List[Binding]) -> List[str]:
    """The warnings of devices of the image that are not ours and that nothing uses. A device that
    Xen's script has bound for a running guest is unbound by the script."""
    return [
        f"{path} is bound to {binding.device}, which is not in use and which this collection did "
        f"not bind; unbind it if it is not needed (losetup -d {binding.device})"
        for binding in bindings
        if not host.usage.of_device(binding.rdev)
    ]
