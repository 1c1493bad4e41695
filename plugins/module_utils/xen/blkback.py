# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks that the kernel of this host serves to guests (drivers/block/xen-blkback of Linux).

A disk that is taken away by force leaves xenstore first. The kernel closes its device only when the
requests that it has begun are done. Its own entry may stay until then, or go at once.
"""

from __future__ import annotations

import re
import time
from typing import Callable, Collection, List, Tuple, TypeVar

from ansible_collections.xen.blockdev.plugins.module_utils.host.block_device import (
    entries,
    writes_in_flight,
)

DEVICES = "/sys/devices"
CLOSE_SECONDS = 30
POLL_SECONDS = 0.1

Remaining = TypeVar("Remaining")
Slot = Tuple[int, int]
"""A domain id and the number of a slot."""

_VBD = re.compile(r"vbd-([0-9]{1,5})-([0-9]{1,10})")


def served() -> List[Slot]:
    """The slots of all disks."""
    found = (_VBD.fullmatch(name) for name in entries(DEVICES))
    return sorted((int(match[1]), int(match[2])) for match in found if match)


def wait_for_none(find: Callable[[], List[Remaining]]) -> List[Remaining]:
    """Wait until ``find`` finds nothing, and return what it still finds after CLOSE_SECONDS."""
    deadline = time.monotonic() + CLOSE_SECONDS
    while True:
        found = find()
        if not found or time.monotonic() >= deadline:
            return found
        time.sleep(POLL_SECONDS)


def wait_for_closed(left: Callable[[Slot], bool]) -> List[Slot]:
    """Wait until the kernel serves no disk for which ``left`` is true, and return the slots of
    those that it still serves after CLOSE_SECONDS."""
    return wait_for_none(lambda: list(filter(left, served())))


def wait_for_writes(devices: Collection[int]) -> List[int]:
    """Wait until no write to these block devices (st_rdev) is on its way, and return those to which
    one is after CLOSE_SECONDS."""
    return wait_for_none(lambda: list(filter(writes_in_flight, devices)))
