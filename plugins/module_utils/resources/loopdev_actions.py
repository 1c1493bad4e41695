# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Binding images to loop devices as wanted, and unbinding them: done, and read back."""

from __future__ import annotations

import os
import time
from typing import Any, List, Mapping, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import (
    PartlyDoneError,
    State,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import control as loop_control
from ansible_collections.xen.blockdev.plugins.module_utils.loop import udev_rule
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding, LoopError
from ansible_collections.xen.blockdev.plugins.module_utils.resources import loopdev_info
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.openers import RECHECK_SECONDS
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import (
    Usage,
    join,
)
from ansible_collections.xen.blockdev.plugins.module_utils.units import SECTOR

UDEV_SECONDS = 30


def bind(
    item: Mapping[str, Any], path: str, number: Optional[int], status: Optional[os.stat_result]
) -> int:
    """Bind the image and return the device's number.

    C(item): the options of xen_loopdev. C(number): the device to take, None for a free one.
    C(status): of the image when the plan was made, None where it was not there yet. Raises
    LoopError where that went another way, and OSError.
    """
    file = loop_binding.file_id(status or os.stat(path))
    try:
        bound = loop_control.bind(path, file, item["sector_size"], bool(item["direct_io"]), number)
    except loop_control.DeviceTakenError as error:
        raise LoopError(f"cannot bind {path}: {error}; run again") from None
    # Whatever is not asked for is as it always is; the read-back will see the rest.
    if item["direct_io"] or item["sector_size"] != SECTOR:
        _verify_new(item, bound)
    return bound


def unbind(path: str, binding: Binding) -> None:
    """Unbind a device from the image at C(path). Raises LoopError where it is in use or has
    another file by now, and OSError."""
    try:
        _unbind_after_udev(binding)
    except loop_control.InUseError as error:
        # Someone has begun to use it since the plan was made.
        raise in_use(path, binding, join(Usage().of_device(binding.rdev)) or error) from None


def _unbind_after_udev(binding: Binding) -> None:
    for pause in RECHECK_SECONDS:
        try:
            loop_control.unbind(binding)
            return
        except loop_control.InUseError:
            settle_udev()
            time.sleep(pause)
    loop_control.unbind(binding)


def settle_udev() -> None:
    """Wait, no longer than UDEV_SECONDS, until udev is done with all devices, where it runs."""
    if udev_rule.udev_runs():
        command = ["udevadm", "settle", f"--timeout={UDEV_SECONDS}"]
        programs.run(command, 2 * UDEV_SECONDS)


def have_named(binding: Binding) -> None:
    """Have udev look at the device again, which begins to work with what it sees meanwhile."""
    with open(f"/sys/block/loop{binding.number}/uevent", "w", encoding="ascii") as uevent:
        uevent.write("change")


def _verify_new(item: Mapping[str, Any], number: int) -> None:
    """Undo a new binding that the kernel made in another way than wanted, and say so.

    It drops direct I/O silently where the alignment does not allow it.
    """
    binding = loop_binding.read(number)
    if binding is None:
        raise LoopError(
            f"{loop_binding.device_path(number)} was unbound by another program; run again"
        )
    if item["direct_io"] and not binding.direct_io:
        raise _undone(binding, loop_control.no_direct_io(binding))
    if binding.sector_size != item["sector_size"]:
        raise _undone(binding, _other_sectors(item, binding))


def _undone(binding: Binding, error: LoopError) -> BlockdevError:
    """The error with which a new binding was undone, or why it was not."""
    try:
        _unbind_after_udev(binding)
    except (BlockdevError, OSError) as failure:
        return PartlyDoneError(
            f"{error}; it could not be unbound again: {failure}",
            loopdev_info.state(binding),
            f"bind {binding.backing_file} to {binding.device}",
        )
    return error


def _other_sectors(item: Mapping[str, Any], binding: Binding) -> LoopError:
    return LoopError(
        f"the kernel gave {binding.device} sectors of {binding.sector_size} bytes, not "
        f"{item['sector_size']}"
    )


def read_back(item: Mapping[str, Any], path: str, number: Optional[int]) -> State:
    """The result keys of the image at C(path), which is to be bound to device C(number), or to none
    where that is None. Raises LoopError where it is not bound as C(item) wants it."""
    if number is None:
        return loopdev_info.unbound()
    binding = loop_binding.read(number)
    if binding is None or binding.file != loop_binding.file_id(os.stat(path)):
        raise LoopError(
            f"{path} is not bound to {loop_binding.device_path(number)} any more; run again"
        )
    if binding.sector_size != item["sector_size"]:
        raise _other_sectors(item, binding)
    if item["direct_io"] and not binding.direct_io:
        raise loop_control.no_direct_io(binding)
    if item["direct_io"] is False and binding.direct_io:
        raise LoopError(f"{binding.device} has direct I/O by another program; run again")
    return loopdev_info.state(binding)


def read_back_unbound(path: str, bindings: List[Binding]) -> State:
    """The result keys of an image that is not bound. Raises LoopError where one of the C(bindings),
    which were to go, is still there."""
    for planned in bindings:
        binding = loop_binding.read(planned.number)
        if binding and binding.file == planned.file:
            raise LoopError(f"{path} is still bound to {binding.device}; run again")
    return loopdev_info.unbound()


def in_use(path: str, binding: Binding, users: object) -> LoopError:
    """The error for a device that cannot be unbound; C(users): in words, who uses it."""
    return LoopError(
        f"cannot unbind {binding.device} ({path}): {users}; end that first "
        "(detach, unmount, swapoff, close it)"
    )
