# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Binding an image that has no loop device, and whether that is allowed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Optional

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Action, Plan
from ansible_collections.xen.blockdev.plugins.module_utils.errors import explained
from ansible_collections.xen.blockdev.plugins.module_utils.image import raw_content
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import control as loop_control
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding, LoopError
from ansible_collections.xen.blockdev.plugins.module_utils.resources import (
    loopdev_actions,
    loopdev_info,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_host import LoopHost
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_image import FoundImage
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_item import LoopdevItem
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import unbinding
from ansible_collections.xen.blockdev.plugins.module_utils.units import SECTOR


def plan_missing(host: LoopHost, item: LoopdevItem, image: FoundImage) -> Plan:
    """Bind an image that does not exist, but would if this were not check mode. Raises LoopError
    if no earlier task has announced it."""
    _refuse_renamed(host, image)
    if item.path in host.pending.sizes:
        return _plan_binding(host, item, image, host.pending.sizes[item.path])
    for binding in host.table.deleted_from(item.path):
        raise LoopError(loop_binding.lives_on(item.path, binding.device))
    raise LoopError(f"{item.path} does not exist; create the image first (xen_raw_disk)")


def plan_unbound(host: LoopHost, item: LoopdevItem, image: FoundImage, size: int) -> Plan:
    """Bind an image of ``size`` bytes that is not bound. Raises BlockdevError if it cannot or must
    not be bound."""
    if size < SECTOR:
        raise LoopError(
            f"{item.path} has {size} bytes, less than one sector, so its loop device would be "
            "empty; grow it first (xen_raw_disk)"
        )
    _refuse_renamed(host, image)
    if not item.is_raw and image.status:
        with explained(f"cannot bind {item.path}"):
            raw_content.refuse_foreign(item.path, image.status)
    plan = _plan_binding(host, item, image, size)
    if not size % SECTOR:
        return plan
    tail = (
        f"the size of {item.path} is not a multiple of {SECTOR} bytes; its loop device does not "
        f"show the last {size % SECTOR} bytes"
    )
    return replace(plan, warnings=[tail])


def plan_rebound(
    host: LoopHost, item: LoopdevItem, image: FoundImage, bound: Binding, size: int
) -> Plan:
    """Unbind an image and bind it again as wanted. It keeps its device unless another one is
    wanted: without udev, configs refer to the number."""
    host.table.unbind(bound)
    number = bound.number if item.number is None else item.number
    # It was accepted as raw before: its guest may have written the signature of another format.
    plan = plan_unbound(host, replace(item, number=number, is_raw=True), image, size)
    actions = [unbinding_action(item.path, bound), *plan.actions]
    return replace(plan, before=loopdev_info.state(bound), actions=actions)


def unbinding_action(path: str, binding: Binding) -> Action:
    """The action that unbinds a device from the image at ``path``."""
    sentence = f"unbind {binding.device} from {path}"
    return Action(sentence, partial(unbinding.unbind, path, binding))


def _refuse_renamed(host: LoopHost, image: FoundImage) -> None:
    """Raise BlockdevError if a device that stays bound holds an image that had this path before."""
    with explained(f"cannot bind {image.path}"):
        host.former_names.refuse_binding(image.path, image.file, host.table.bindings)


def _plan_binding(
    host: LoopHost, item: LoopdevItem, image: FoundImage, size: Optional[int]
) -> Plan:
    """Bind the image of ``size`` bytes; None if the size is not known yet."""
    loop_control.require_driver()
    device = None
    if item.number is not None:
        host.table.reserve(item.number, item.path)
        device = loop_binding.device_of(item.number)
    sentence = f"bind {item.path} to {device or 'a free loop device'}"
    unbound = loopdev_info.unbound()
    after = {**unbound, "device": device, "direct_io": bool(item.direct_io)}
    if size is None:
        # A size of None would say that the image is not bound.
        del after["size"]
    else:
        after["size"] = loopdev_info.shown_bytes(size)
    return Plan(
        before=unbound,
        after=after,
        read_back=partial(loopdev_actions.bound_state, item, item.number, host.table),
        actions=[Action(sentence, partial(loopdev_actions.bind, item, image))],
    )
