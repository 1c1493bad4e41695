# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an image that is to be bound gets its loop device."""

from __future__ import annotations

from dataclasses import replace
from typing import List, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Plan
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding, LoopError
from ansible_collections.xen.blockdev.plugins.module_utils.resources import (
    loopdev_changes,
    loopdev_new,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_host import LoopHost
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_image import FoundImage
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_item import LoopdevItem


def plan(host: LoopHost, item: LoopdevItem, image: FoundImage, bound: Optional[Binding]) -> Plan:
    """Bind the image as wanted. ``bound``: its device, see whole_device. Raises BlockdevError if
    that is not possible."""
    if image.status is None:
        return loopdev_new.plan_missing(host, item, image)
    size = size_of(host, image)
    if bound is None:
        return loopdev_new.plan_unbound(host, item, image, size)
    different = loopdev_changes.difference(item, bound)
    if different is None:
        return loopdev_changes.plan_bound(host, item, bound, size)
    loopdev_changes.refuse_to_rebind(host, item, bound, different)
    return loopdev_new.plan_rebound(host, item, image, bound, size)


def plan_left(host: LoopHost, item: LoopdevItem, image: FoundImage, bound: Binding) -> Plan:
    """Leave an image alone that a guest has by a device of Xen's script, except for its size."""
    as_is = replace(item, direct_io=None, sector_size=bound.sector_size)
    return loopdev_changes.plan_bound(host, as_is, bound, size_of(host, image))


def whole_device(host: LoopHost, image: FoundImage) -> Optional[Binding]:
    """The device that shows the whole image; None if it is not bound. Raises LoopError if it is
    bound in another way, or more than once by other programs than Xen's script."""
    found = host.table.of_file(image.file)
    for binding in found:
        host.refuse_part(image.path, binding)
    if len(found) > 1 and any(one.rdev not in host.scripts for one in found):
        devices = " and ".join(f"{one.device} ({host.use_of(one)})" for one in found)
        raise LoopError(
            f"{image.path} is bound more than once, to {devices}; unbind all but one (losetup -d)"
        )
    return found[0] if found else None


def size_of(host: LoopHost, image: FoundImage) -> int:
    """Bytes of an image that exists, as the earlier tasks of a play leave it."""
    planned = host.pending.sizes.get(image.path)
    if planned is not None:
        return planned
    return image.status.st_size if image.status else 0


def warn_of_deleted(host: LoopHost, path: str, bound: Optional[Binding] = None) -> List[str]:
    """The warnings of other images that were deleted from ``path`` and stay bound. ``bound``: the
    device of the image itself."""
    return [
        f"another image was deleted from {path} but lives on in {binding.device}"
        for binding in host.table.deleted_from(path)
        if binding != bound
    ]
