# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which loop devices of an image are unbound, and which stay bound because they are in use."""

from __future__ import annotations

from functools import partial
from typing import Dict, Iterable, List

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Plan
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding, LoopError
from ansible_collections.xen.blockdev.plugins.module_utils.resources import (
    loopdev_actions,
    loopdev_info,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_host import LoopHost
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_image import FoundImage
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_item import LoopdevItem
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_new import (
    unbinding_action,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_present import (
    warn_of_deleted,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import unbinding
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import User, join


def plan(host: LoopHost, item: LoopdevItem, image: FoundImage) -> Plan:
    """Unbind the image. Raises LoopError if that is not allowed."""
    return plan_unbinding(host, item, _to_unbind(host, item, image))


def plan_unbinding(host: LoopHost, item: LoopdevItem, found: List[Binding]) -> Plan:
    """Unbind these devices of the image, or leave those in use if that is wanted. Raises LoopError
    if one of them must not be unbound."""
    for binding in found:
        host.refuse_part(item.path, binding)
    left = _left_in_use(host, item, found)
    idle = [binding for binding in found if binding not in left]
    for binding in idle:
        host.table.unbind(binding)
    after = loopdev_info.state(next(iter(left))) if left else loopdev_info.unbound()
    plan = Plan(
        before=loopdev_info.state(found[0]) if found else loopdev_info.unbound(),
        after=after,
        read_back=partial(loopdev_actions.unbound_state, item.path, idle, after, host.table),
        actions=[unbinding_action(item.path, binding) for binding in idle],
        warnings=[*left.values(), *warn_of_deleted(host, item.path)],
    )
    # A domain that is saved when the host shuts down needs its device again, so the unit stays with
    # a device in use. It also stays if only one of several devices was asked for by its number.
    if left or item.number is not None:
        return host.units.plan_kept(item.path) + plan
    return host.units.plan_removed(item.path) + plan


def _to_unbind(host: LoopHost, item: LoopdevItem, image: FoundImage) -> List[Binding]:
    """The devices of the image and, if wanted, those of an image that was deleted from its path.
    Raises LoopError if there are only such and that is not wanted."""
    found = host.table.of_file(image.file)
    deleted = [one for one in host.table.deleted_from(item.path) if one not in found]
    if deleted and image.status is None and not item.discard_deleted:
        lives_on = loop_binding.lives_on(item.path, deleted[0].device)
        raise LoopError(f"cannot unbind {deleted[0].device}: {lives_on}")
    wanted = found + deleted if item.discard_deleted else found
    return [one for one in wanted if item.number in (None, one.number)]


def _left_in_use(host: LoopHost, item: LoopdevItem, bindings: List[Binding]) -> Dict[Binding, str]:
    """The devices that are in use and stay bound, each with its warning. Raises LoopError if one is
    in use and that is an error."""
    named = host.usage.naming(item.path, item.named_in) if bindings else []
    if named:
        return dict.fromkeys(bindings, _named(item.path, bindings, named))
    left = {}
    for binding in bindings:
        users = host.unbinder.users(binding)
        if users and not item.leave_in_use:
            raise unbinding.in_use_error(item.path, binding, users)
        if users:
            left[binding] = (
                f"{item.path} no longer needs a loop device, but {binding.device} is in use "
                f"({users}) and stays bound; run again when it is not in use any more, or unbind "
                "it yourself if no disk of the plan has this image (xen_loopdev with state: absent)"
            )
    return left


def _named(path: str, bindings: Iterable[Binding], configs: Iterable[User]) -> str:
    """The warning of an image that stays bound because a domain may be started from a config."""
    devices = ", ".join(binding.device for binding in bindings)
    return (
        f"{path} stays bound to {devices}, although this play does not need it: "
        f"{join(configs)}; remove the disk from that config first"
    )
