# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""xl's commands: those that attach and detach disks.

xl's exit codes are not trusted: whether a disk is there is read from xenstore after each command.
"""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from typing import Iterator

from ansible_collections.xen.blockdev.plugins.module_utils import xen
from ansible_collections.xen.blockdev.plugins.module_utils.xen import Completed, Domain
from ansible_collections.xen.blockdev.plugins.module_utils.xenstore import XenError

XL_SECONDS = 120
"""libxl itself gives up before: after 10 s for a backend and 40 s for a hotplug script."""

POLL_SECONDS = 0.25

_SCRIPT_WORDS = re.compile(r"script: (.*?)(?=\n(?:libxl: |libxl_|xl: )|\Z)", re.DOTALL)
_LOG_PREFIX = re.compile(r"^libxl: \w+: \S+?:[0-9]+:\w+: ", re.MULTILINE)


def attach(domain: Domain, key: int, spec: str) -> None:
    """Attach a disk to a slot that is empty; wait for its backend, but not for the guest.

    C(spec): the disk as xl writes it. Raises XenError with the hotplug script's words, or xl's,
    where it failed; what the attempt itself left in the slot is then removed again.
    """
    with _nothing_left_behind(domain, key):
        ended = xen.run(["xl", "block-attach", str(domain.domid), spec], XL_SECONDS)
        if "already exists" in ended.stderr:
            raise _SlotTakenError(f"another program took slot {key} of domain {domain.name} first")
        vbd = xen.read_slot(domain, key)
        if ended.code != 0 or vbd is None:
            raise XenError((vbd and vbd.hotplug_error) or words(ended))


def await_connection(domain: Domain, key: int, timeout: float) -> None:
    """Wait until the backend of a disk that was just attached is connected.

    Not for the frontend, which some guests never take beyond Initialised. C(timeout): seconds.
    Raises XenError where the guest does not connect in time; the disk is then detached again.
    """
    deadline = time.monotonic() + timeout
    with _nothing_left_behind(domain, key):
        while True:
            vbd = xen.read_slot(domain, key)
            if vbd is None:
                raise XenError("it vanished before the guest had connected")
            if vbd.backend_state == xen.CONNECTED:
                return
            if time.monotonic() >= deadline:
                error = f"; {vbd.hotplug_error}" if vbd.hotplug_error else ""
                raise XenError(
                    f"the guest did not connect within {timeout:g} s ({vbd.states}{error}); "
                    "wait: false leaves it attached"
                )
            time.sleep(POLL_SECONDS)


def detach(domain: Domain, key: int, timeout: float, force: bool) -> None:
    """Take a disk from a domain.

    The guest is asked, again and again for C(timeout) seconds; each time xl waits up to 10 s. With
    C(force) it is asked once, then the disk is taken away from it (Xen 4.15 and later).
    Raises XenError where the disk is still there at the end.
    """
    deadline = time.monotonic() + (0 if force else timeout)
    command = ["xl", "block-detach", str(domain.domid), str(key)]
    while True:
        ended = xen.run(command, XL_SECONDS)
        if xen.read_slot(domain, key) is None:
            return
        if time.monotonic() >= deadline:
            break
        time.sleep(POLL_SECONDS)
    if not force:
        raise XenError(
            f"its guest did not let go of it within {timeout:g} s ({words(ended)}); it will go as "
            "soon as the guest lets go and it is detached once more, or set force: true to take it "
            "away from the guest"
        )
    ended = xen.run([*command[:2], "--force", *command[2:]], XL_SECONDS)
    if xen.read_slot(domain, key) is not None:
        raise XenError(f"it is still there after `xl block-detach --force`: {words(ended)}")


class _SlotTakenError(XenError):
    """The slot holds what somebody else attached."""


@contextmanager
def _nothing_left_behind(domain: Domain, key: int) -> Iterator[None]:
    """Empty the slot again where attaching to it fails, and say how that went."""
    try:
        yield
    except _SlotTakenError:
        raise
    except XenError as error:
        raise XenError(f"{error}{_emptied(domain, key)}") from None


def _emptied(domain: Domain, key: int) -> str:
    try:
        if xen.read_slot(domain, key) is None:
            return ""
        detach(domain, key, 0, force=True)
    except XenError as error:
        return (
            f"; what it left in slot {key} could not be removed: {error}; "
            f"try `xl block-detach --force {domain.domid} {key}`"
        )
    return "; what it had begun was removed again"


def words(ended: Completed) -> str:
    """What a failed command of xl has to say: its hotplug script's words if there are any."""
    script = _SCRIPT_WORDS.search(ended.stderr)
    if script:
        return xen.in_one_line(script[1])
    said = "; ".join(_LOG_PREFIX.sub("", ended.stderr).split("\n")).strip("; ")
    return said or f"xl ended with exit code {ended.code} and without a word"
