# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks between everything on a host that changes its disks at the same time."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import Iterator, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import SCRIPTS
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

OWN_DIR = "/run/xen-blockdev"
"""Only root can write it, unlike /run/lock: nobody else can hold a lock or plant a link."""

XL_SCRIPT = f"{SCRIPTS}/block"
XL_SCRIPT_LOCK = "/var/run/xen-hotplug/block"
"""What xl's script holds while it looks for a free loop device (claim_lock in its locking.sh)."""

LOOP = "loop"
"""The lock that is held while a loop device is bound or unbound, by boot units as well."""

POLL_SECONDS = 0.01


@contextmanager
def exclusive(name: str, wait: float = 60) -> Iterator[None]:
    """Hold this collection's lock ``name`` of this host.

    ``wait``: seconds after which a lock that stays taken is an error (BlockdevError).
    """
    os.makedirs(OWN_DIR, mode=0o700, exist_ok=True)
    with of_file(os.path.join(OWN_DIR, name), wait):
        yield


@contextmanager
def of_file(path: str, wait: float) -> Iterator[None]:
    """Hold the lock that is the file at ``path``, which is made if need be; see exclusive."""
    descriptor = _acquire(path, wait)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def loop_devices(wait: float = 60) -> Iterator[None]:
    """Hold what keeps every careful program on this host from binding loop devices.

    It must not be held while an xl command runs: its script would wait for it.
    """
    with ExitStack() as stack:
        stack.enter_context(exclusive(LOOP, wait))
        if os.path.exists(XL_SCRIPT):
            stack.enter_context(_xl_block_script(wait))
        yield


@contextmanager
def _xl_block_script(wait: float) -> Iterator[None]:
    os.makedirs(os.path.dirname(XL_SCRIPT_LOCK), exist_ok=True)
    descriptor = _acquire(XL_SCRIPT_LOCK, wait)
    try:
        yield
    finally:
        # As its release_lock does. A process that waits on the removed file notices and retries.
        with suppress(FileNotFoundError):
            os.unlink(XL_SCRIPT_LOCK)
        os.close(descriptor)


def _acquire(path: str, wait: float) -> int:
    """Lock the file at ``path``, created if need be, and return its descriptor."""
    deadline = time.monotonic() + wait
    while True:
        descriptor = _try_to_lock(path)
        if descriptor is not None:
            return descriptor
        if time.monotonic() >= deadline:
            raise BlockdevError(
                f"waited {wait:g} s for the lock {path}, which another process holds: `lsof {path}`"
                " shows it; run again when it has ended"
            )
        time.sleep(POLL_SECONDS)


def _try_to_lock(path: str) -> Optional[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A lock on a file that its holder has removed locks nothing.
        if os.path.samestat(os.fstat(descriptor), os.stat(path)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
