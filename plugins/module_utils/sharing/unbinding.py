# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a loop device may be unbound, and unbinding it. Nothing that is in use is unbound."""

from __future__ import annotations

import time
from functools import lru_cache

from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.loop import control as loop_control
from ansible_collections.xen.blockdev.plugins.module_utils.loop import udev_rule
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding, LoopError
from ansible_collections.xen.blockdev.plugins.module_utils.loop.boot_unit import BootUnits
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import (
    GLANCES_SECONDS,
    Usage,
    User,
    emptied,
    join,
)

UDEV_SECONDS = 30


class Unbinder:
    """Decides which loop devices one module call may unbind."""

    def __init__(self, usage: Usage, units: BootUnits, pending: Pending) -> None:
        """``pending``: the disks that it says are detached do not count as users."""
        self._usage = usage
        self._units = units
        self._emptied = emptied(pending)
        self._settle_udev_once = lru_cache(maxsize=None)(settle_udev)

    def users(self, binding: Binding) -> str:
        """Who uses the device, so that it may not be unbound; empty if nothing does.

        udev opens a device that was bound just before, which makes it a user like any other; it
        gets the time to finish.
        """
        self._settle_udev_once()
        return join(self._usage.of_device(binding.rdev, self._is_detached))

    def is_ours(self, path: str, binding: Binding) -> bool:
        """Whether this collection has bound the image. A binding by a boot unit has no mark."""
        return binding.marked or self._units.has(path)

    def _is_detached(self, user: User) -> bool:
        return (user.domain, user.xenstore_key) in self._emptied


def unbind(path: str, binding: Binding) -> None:
    """Unbind a device from the image at ``path``. Raises LoopError if it is in use or is now bound
    to another file, and OSError."""
    try:
        unbind_after_udev(binding)
    except loop_control.InUseError as error:
        # The use began after the plan was made.
        raise in_use_error(path, binding, join(Usage().of_device(binding.rdev)) or error) from None


def unbind_after_udev(binding: Binding) -> None:
    """Unbind a device as soon as udev, and other programs that only look at it, have closed it.
    Raises loop_control.InUseError if it stays in use."""
    for pause in GLANCES_SECONDS:
        try:
            loop_control.unbind(binding)
            return
        except loop_control.InUseError:
            settle_udev()
            time.sleep(pause)
    loop_control.unbind(binding)


def settle_udev() -> None:
    """If udev runs, wait until it has handled all devices, for UDEV_SECONDS at most."""
    if udev_rule.udev_runs():
        command = ["udevadm", "settle", f"--timeout={UDEV_SECONDS}"]
        programs.run(command, 2 * UDEV_SECONDS)


def in_use_error(path: str, binding: Binding, users: object) -> LoopError:
    """The error for a device that cannot be unbound; ``users``: in words, who uses it."""
    return LoopError(
        f"cannot unbind {binding.device} ({path}): {users}; release it first "
        "(detach, unmount, swapoff or close it)"
    )
