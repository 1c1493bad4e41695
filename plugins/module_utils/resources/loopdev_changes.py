# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a bound device is not as wanted, and whether that changes while it stays bound."""

from __future__ import annotations

import os
from functools import partial
from typing import Iterator, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Action, Plan, State
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import control as loop_control
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.loop import node as loop_node
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding, LoopError
from ansible_collections.xen.blockdev.plugins.module_utils.resources import (
    loopdev_actions,
    loopdev_info,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_host import LoopHost
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_item import LoopdevItem

Change = Tuple[Action, State]
"""An action, and the result keys that it changes."""


def difference(item: LoopdevItem, binding: Binding) -> Optional[str]:
    """What is not as wanted and cannot change while the device is bound, for a message; None if
    there is nothing."""
    if item.number not in (None, binding.number):
        return f"instead of {loop_binding.device_of(item.number)}"
    if binding.sector_size != item.sector_size:
        return f"with sectors of {binding.sector_size} bytes, not {item.sector_size}"
    if binding.read_only and os.access(item.path, os.W_OK):
        return "read-only, although the image is writable"
    return None


def refuse_to_rebind(host: LoopHost, item: LoopdevItem, binding: Binding, different: str) -> None:
    """Raise LoopError unless the device may be unbound, to bind the image as wanted: this
    collection must have bound it, and nothing may use it. ``different``: see difference."""
    users = host.unbinder.users(binding)
    is_ours = host.unbinder.is_ours(item.path, binding)
    if is_ours and not users:
        return
    unbind = f"unbind it (losetup -d {binding.device})"
    if users:
        remedy = "run again" if is_ours else unbind
        rest = (
            f"it is in use ({users}); release it first (detach, unmount or close it), then {remedy}"
        )
    else:
        rest = f"it is not in use, but another program bound it; {unbind} if it is not needed"
    raise LoopError(f"{item.path} is bound to {binding.device} {different}; {rest}")


def plan_bound(host: LoopHost, item: LoopdevItem, binding: Binding, image_size: int) -> Plan:
    """Keep the image bound to its device, and change what can be changed. ``image_size``: bytes."""
    changes = list(_changes(host, item, binding, loopdev_info.shown_bytes(image_size)))
    before = loopdev_info.state(binding)
    after = dict(before)
    for _action, state in changes:
        after.update(state)
    return Plan(
        before=before,
        after=after,
        read_back=partial(loopdev_actions.bound_state, item, binding.number, host.table),
        actions=[action for action, _state in changes],
    )


def _changes(host: LoopHost, item: LoopdevItem, binding: Binding, size: int) -> Iterator[Change]:
    """``size``: bytes that the device is to show."""
    device, direct_io = binding.device, item.direct_io
    if binding.size != size:
        sentence = f"set the capacity of {device} from {binding.size} to {size} bytes"
        yield Action(sentence, partial(loop_control.refresh_capacity, binding)), {"size": size}
    if direct_io is not None and direct_io != binding.direct_io:
        sentence = f"turn {'on' if direct_io else 'off'} direct I/O for {device}"
        run = partial(loop_control.set_direct_io, binding, direct_io)
        yield Action(sentence, run), {"direct_io": direct_io}
    if binding.autoclear:
        sentence = f"keep {device} bound when its last user closes it"
        yield Action(sentence, partial(loop_control.keep_bound, binding)), {}
    if loop_node.is_missing(device):
        yield Action(f"create the device node {device}", partial(loop_node.make, device)), {}
    if _lacks_link(host, binding):
        link = loop_link.link_of(binding.backing_file)
        sentence = f"have udev create the link {link} to {device}"
        yield Action(sentence, partial(loopdev_actions.trigger_udev, binding)), {"link": link}


def _lacks_link(host: LoopHost, binding: Binding) -> bool:
    """Whether udev would link the device if it handled it again: it has not done so since it has
    the rule, or since the image has its present name."""
    return (
        loop_binding.verified_link(binding) is None
        and not binding.deleted
        and loop_link.SAFE_PATH.fullmatch(binding.backing_file) is not None
        and host.udev_rule.names_devices()
    )
