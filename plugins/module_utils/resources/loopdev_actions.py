# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Binding an image to a loop device, and verifying what became of it."""

from __future__ import annotations

import os
from typing import Optional, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import (
    PartlyDoneError,
    State,
    UnexpectedStateError,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import control as loop_control
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding, LoopError
from ansible_collections.xen.blockdev.plugins.module_utils.resources import loopdev_info
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_image import FoundImage
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_item import LoopdevItem
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_table import LoopTable
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import unbinding
from ansible_collections.xen.blockdev.plugins.module_utils.units import SECTOR


def bind(item: LoopdevItem, image: FoundImage) -> None:
    """Bind the image as wanted. Raises LoopError if the device is taken or not as wanted, and
    OSError.

    ``image``: as it was when the plan was made; it must still be the same file.
    """
    file = image.file or loop_binding.file_id(os.stat(item.path))
    direct_io = bool(item.direct_io)
    try:
        number = loop_control.bind(item.path, file, item.sector_size, direct_io, item.number)
    except loop_control.DeviceTakenError as error:
        raise LoopError(f"cannot bind {item.path}: {error}; run again") from None
    # The kernel binds as wanted otherwise, and everything is read back once for all images.
    if direct_io or item.sector_size != SECTOR:
        _verify_new(item, number)


def trigger_udev(binding: Binding) -> None:
    """Have udev handle the device again; it does so in the background."""
    with open(f"/sys/block/loop{binding.number}/uevent", "w", encoding="ascii") as uevent:
        uevent.write("change")


def bound_state(item: LoopdevItem, number: Optional[int], table: LoopTable) -> State:
    """The result keys of an image that is to be bound, after the actions.

    ``number``: of the device that it is to have; None for any. Raises LoopError if the device is
    not as wanted, and UnexpectedStateError if the image is not bound to it.
    """
    found = table.now_of_file(loop_binding.file_id(os.stat(item.path)))
    wanted = [one for one in found if number in (None, one.number)]
    if not wanted:
        device = "a loop device" if number is None else loop_binding.device_of(number)
        message = f"{item.path} is not bound to {device} any more; run again"
        raise UnexpectedStateError(message, loopdev_info.unbound())
    # Another program may have bound the image, too: what was bound here has the mark.
    binding = max(wanted, key=lambda one: one.marked)
    _refuse_unwanted(item, binding)
    return loopdev_info.state(binding)


def unbound_state(path: str, gone: Sequence[Binding], after: State, table: LoopTable) -> State:
    """The result keys ``after`` of an image whose devices ``gone`` were to be unbound. Raises
    LoopError if one of them is still bound to it."""
    for planned in gone:
        if any(one.number == planned.number for one in table.now_of_file(planned.file)):
            raise LoopError(f"{path} is still bound to {planned.device}; run again")
    return after


def _refuse_unwanted(item: LoopdevItem, binding: Binding) -> None:
    """Raise LoopError if the device is not as wanted."""
    if binding.sector_size != item.sector_size:
        raise LoopError(
            f"the kernel gave {binding.device} sectors of {binding.sector_size} bytes, not "
            f"{item.sector_size}"
        )
    if item.direct_io and not binding.direct_io:
        raise loop_control.no_direct_io(binding)
    if item.direct_io is False and binding.direct_io:
        raise LoopError(f"another program turned on direct I/O for {binding.device}; run again")


def _verify_new(item: LoopdevItem, number: int) -> None:
    """Undo a new binding that is not as wanted, and raise LoopError: the kernel drops direct I/O
    without an error if the alignment does not allow it."""
    binding = loop_binding.read(number)
    if binding is None:
        device = loop_binding.device_of(number)
        raise LoopError(f"another program unbound {device}; run again")
    try:
        _refuse_unwanted(item, binding)
    except LoopError as error:
        raise _undone(binding, error) from None


def _undone(binding: Binding, error: LoopError) -> BlockdevError:
    """The error for which a new binding was undone; PartlyDoneError if it could not be undone."""
    try:
        unbinding.unbind_after_udev(binding)
    except (BlockdevError, OSError) as failure:
        return PartlyDoneError(
            f"{error}; unbinding it again failed: {failure}",
            loopdev_info.state(binding),
            f"bind {binding.backing_file} to {binding.device}",
        )
    return error
