# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""xl's commands: those that start and end domains, and those that attach and detach disks.

xl's exit codes are not trusted: what has become of a domain or a disk is read after each command.
"""

from __future__ import annotations

import json
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Callable, Collection, Dict, Iterator, List, Optional, Set

from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError, explained
from ansible_collections.xen.blockdev.plugins.module_utils.host import dom0, programs
from ansible_collections.xen.blockdev.plugins.module_utils.host.programs import Completed
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Domain, Vbd

XL_SECONDS = 120
"""libxl itself gives up before: after 10 s for a backend and 40 s for a hotplug script."""

SCRIPT_TRIES = 3
SCRIPT_SECONDS = 180
"""How often what failed because dom0 was too slow for a hotplug script is tried, and after how long
not again: with CREATE_SECONDS less than another run waits for its turn."""

SLOW_HOST = "this host is too slow: give dom0 more processors, or less to do at the same time"

CREATE_SECONDS = 240
"""For memory to be freed and a boot loader to run. Less than another run waits for its turn."""

GONE_SECONDS = 30
"""How long a domain that was destroyed may still be there."""

FIRST_POLL_SECONDS = 0.01
POLL_SECONDS = 0.25
"""Between looks at something that changes: twice as long each time, from the first to this."""

# From the right, as a name may hold blanks and more: list_domains in xl_list.c.
_LISTED = re.compile(
    r"^(?P<name>.*?) +(?P<domid>[0-9]+) +[0-9]+ +[0-9]+ +"
    r"(?P<flags>[r-][b-][p-][s-][-rscwS?][d-]) +[0-9]+\.[0-9]$",
    re.MULTILINE,
)

# libxl_aoutils.c, async_exec_timeout.
_KILLED = re.compile(r"killing execution of (?P<script>\S+) .*because of timeout")
_SCRIPT_WORDS = re.compile(r"script: (.*?)(?=\n(?:libxl: |libxl_|xl: )|\Z)", re.DOTALL)
# What xl says while it does as it was told, and of what it removes after a failure.
_NOISE = re.compile(
    r"^(?:Parsing config from|Shutting down domain|"
    r"Domain [0-9]+:(?:Non-existant domain$|Unable to destroy guest$|Destruction of domain)).*$",
    re.MULTILINE,
)
_BEGUN = re.compile(r": Domain ([0-9]+):")
_LOG_PREFIX = re.compile(r"^libxl: \w+: \S+?:[0-9]+:\w+: ", re.MULTILINE)


# ---- a slow host ----


class SlowScriptError(XenError):
    """libxl has ended a hotplug script that took too long. Nothing is left of what was begun."""


def patiently(
    begin: Callable[[], None], clear: Callable[[], object], warn: Callable[[str], None]
) -> None:
    """Do what runs hotplug scripts, and do it again where one took too long.

    C(begin) does it and raises SlowScriptError; after that, C(clear) removes what only the caller
    knows of. C(warn) is told of a success that took more than one try. Raises BlockdevError.
    """
    started = time.monotonic()
    for tries in range(1, SCRIPT_TRIES + 1):
        try:
            begin()
        except SlowScriptError as error:
            clear()
            seconds = time.monotonic() - started
            if tries == SCRIPT_TRIES or seconds >= SCRIPT_SECONDS:
                raise XenError(f"{error}; {_tried(tries, seconds)}; {SLOW_HOST}") from None
            continue
        if tries > 1:
            warn(f"{_tried(tries, time.monotonic() - started)}; {SLOW_HOST}")
        return


def _tried(tries: int, seconds: float) -> str:
    times = "once" if tries == 1 else f"{tries} times"
    return (
        "Xen ends a hotplug script that takes too long, so this was tried "
        f"{times} ({seconds:.0f} s)"
    )


def _failure(ended: Completed, said: Optional[str] = None) -> XenError:
    """The error for a command of xl that has failed. C(said): by the hotplug script."""
    if _KILLED.search(ended.stderr):
        return SlowScriptError(words(ended))
    return XenError(said or words(ended))


def _cleared(error: XenError, clear: Callable[[], bool]) -> XenError:
    """The error of what has failed, once C(clear) has removed what it left, and how that went.
    C(clear) returns whether there was anything."""
    try:
        was_left = clear()
    except XenError as failure:
        return XenError(f"{error}; {failure}")
    if was_left:
        error.args = (f"{error}; what it had begun was removed again",)
    return error


# ---- domains ----


@dataclass(frozen=True)
class Listed:
    """A domain of this host, as xl lists it."""

    domid: int
    name: str
    """C((null)) for what is left of a domain that was destroyed."""
    flags: str
    """``-b----``: running, blocked, paused, shut down, why, dying (xl(1))."""

    @property
    def status(self) -> str:
        """C(running), C(paused), C(shutdown), C(crashed), C(suspended) or C(dying)."""
        if self.flags[5] == "d":
            return "dying"
        if self.flags[3] == "s":
            reasons = {"c": "crashed", "w": "crashed", "s": "suspended"}
            return reasons.get(self.flags[4], "shutdown")
        return "paused" if self.flags[2] == "p" else "running"

    @property
    def runs(self) -> bool:
        """Whether its guest has not ended, paused or not."""
        return self.status in ("running", "paused")


def listed() -> List[Listed]:
    """All domains of this host; raises XenError where xl shows none, not even dom0."""
    ended = dom0.run(["xl", "list"], XL_SECONDS)
    found = [
        Listed(int(line["domid"]), line["name"], line["flags"])
        for line in _LISTED.finditer(ended.stdout)
    ]
    if not found:
        raise XenError(f"`xl list` shows no domain, not even this host: {words(ended)}")
    return found


def on_poweroff() -> Dict[int, str]:
    """By domain id, what is done with a domain once its guest has shut down, as far as xl tells:
    C(destroy), C(restart) and so on (enum libxl_action_on_shutdown)."""
    ended = dom0.run(["xl", "list", "-l"], XL_SECONDS)
    try:
        return {
            int(entry["domid"]): str(entry["config"].get("on_poweroff", "destroy"))
            for entry in json.loads(ended.stdout)
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def create(name: str, config: str, paused: bool) -> None:
    """Start the domain C(name) from the file C(config).

    Raises XenError with the hotplug script's words, or xl's, where it failed; what the attempt
    itself left is then destroyed again. A domain that ends at once has been started.
    """
    before = {one.domid for one in listed()}
    # With -f, as xl takes any other argument with an equals sign for a setting.
    command = ["xl", "create", "-q", *(["-p"] if paused else []), "-f", config]
    try:
        ended = dom0.run(command, CREATE_SECONDS)
    except XenError as error:
        raise _cleared(error, partial(_remove, name, before)) from None
    if ended.code == 0:
        return
    if f'name "{name}" already exists' in ended.stderr:
        raise XenError("another program started it first; run again")
    raise _cleared(_failure(ended), partial(_remove, name, before, ended.stderr))


def _remove(name: str, before: Set[int], said: Optional[str] = None) -> bool:
    """Destroy what a failed start left of the domain C(name), if there is anything.

    C(before): the ids of the domains that were there already. C(said): by xl, unless it was
    killed; a domain that runs and is not named there was started by another program meanwhile.
    Raises XenError.
    """
    begun = set(map(int, _BEGUN.findall(said or "")))
    with explained("what it left could not be removed"):
        left = [
            one
            for one in listed()
            if one.name == name
            and one.domid not in before
            and (said is None or one.domid in begun or one.status != "running")
        ]
        for one in left:
            destroy(one.domid)
    return bool(left)


def unpause(domid: int) -> None:
    """Let a paused domain run. Raises XenError where it is still paused."""
    ended = dom0.run(["xl", "unpause", str(domid)], XL_SECONDS)
    if any(one.domid == domid and one.status == "paused" for one in listed()):
        raise XenError(f"it is still paused: {words(ended)}")


def destroy(domid: int) -> None:
    """End a domain at once and wait until it is gone. Raises XenError where it does not go."""
    ended = dom0.run(["xl", "destroy", str(domid)], XL_SECONDS)
    for is_last in _looks(GONE_SECONDS):
        left = next((one for one in listed() if one.domid == domid), None)
        if left is None:
            return
        if is_last and left.status == "dying":
            raise XenError(
                f"it is dying but still there after {GONE_SECONDS:g} s: something on this host "
                "holds its memory, such as the backend of a disk"
            )
        if is_last:
            raise XenError(f"it is still there after `xl destroy {domid}`: {words(ended)}")


class ShutdownRequest:
    """What asks a guest to shut down.

    xl waits for up to 60 s until the guest has read that, so it goes on beside us. With C(-F) it
    presses the power button (ACPI) of a guest that does not know Xen.
    """

    def __init__(self, domid: int) -> None:
        self._process = dom0.start(["xl", "shutdown", "-F", str(domid)])
        self._failure: Optional[str] = None

    @property
    def failure(self) -> Optional[str]:
        """xl's words, if it has ended with an error by now."""
        if self._failure is None and self._process.poll():
            self._failure = words(dom0.finish(self._process, XL_SECONDS))
        return self._failure

    @property
    def is_in_vain(self) -> bool:
        """Whether the guest will not get to know of it. It may still read what it has not yet."""
        return self.failure is not None and "acknowledge" not in self.failure

    def end(self) -> None:
        """Let xl wait no longer."""
        self._process.kill()
        with self._process:  # closes its pipes
            pass


# ---- disks ----


def attach(domain: Domain, key: int, spec: str) -> None:
    """Attach a disk to a slot that is empty; wait for its backend, but not for the guest.

    C(spec): the disk as xl writes it. Raises XenError with the hotplug script's words, or xl's,
    where it failed; what the attempt itself left in the slot is then removed again.
    """
    with _nothing_left_behind(domain, key):
        ended = dom0.run(["xl", "block-attach", str(domain.domid), spec], XL_SECONDS)
        if "device already exists in xenstore" in ended.stderr:
            raise _SlotTakenError(
                f"another program took slot {key} of domain {domain.name} first; run again"
            )
        vbd = xen_state.read_slot(domain, key)
        if ended.code != 0 or vbd is None:
            raise _failure(ended, vbd.hotplug_error if vbd else None)


def await_state(domain: Domain, key: int, states: Collection[int], timeout: float) -> None:
    """Wait until the backend of a disk that was just attached is in one of the C(states).

    Not for the frontend, which some guests never take beyond Initialised. C(timeout): seconds.
    Raises XenError where that does not happen in time; the disk is then detached again.
    """
    with _nothing_left_behind(domain, key):
        for is_last in _looks(timeout):
            vbd = xen_state.read_slot(domain, key)
            if vbd is None:
                raise XenError("it vanished before the guest had connected")
            if vbd.backend_state in states:
                return
            if is_last:
                raise XenError(_not_connected(vbd, timeout))


def _not_connected(vbd: Vbd, timeout: float) -> str:
    if vbd.backend_state == xen_state.INIT_WAIT and vbd.frontend_state == xen_state.INITIALISING:
        return (
            f"the guest did not connect within {timeout:g} s ({vbd.states}): a MirageOS unikernel "
            "connects when it first opens a disk, and some guests look for disks only when they "
            "start; wait_for: offered leaves it attached"
        )
    if vbd.backendtype == "qdisk" and vbd.backend_state == xen_state.INITIALISING:
        return (
            f"no QEMU of domain {vbd.domain} took it up within {timeout:g} s ({vbd.states}); a "
            "domain has one only if a disk in its config needed it when it was started: write this "
            "disk into the config and start the domain anew, or convert it to raw"
        )
    error = f"; {vbd.hotplug_error}" if vbd.hotplug_error else ""
    return (
        f"the guest did not connect within {timeout:g} s ({vbd.states}{error}); wait: false leaves "
        "it attached"
    )


def detach(domain: Domain, key: int, timeout: float, force: bool) -> None:
    """Take a disk from a domain.

    The guest is asked, again and again for C(timeout) seconds; each time xl waits up to 10 s. With
    C(force) it is asked once, then the disk is taken away from it (Xen 4.15 and later).
    Raises XenError where the disk is still there at the end.
    """
    deadline = time.monotonic() + (0 if force else timeout)
    command = ["xl", "block-detach", str(domain.domid), str(key)]
    while True:
        ended = dom0.run(command, XL_SECONDS)
        if xen_state.read_slot(domain, key) is None:
            return
        if time.monotonic() >= deadline:
            break
        time.sleep(POLL_SECONDS)
    if not force:
        raise XenError(
            f"its guest did not let go of it within {timeout:g} s ({words(ended)}); it will go as "
            "soon as the guest lets go and it is detached once more. A MirageOS unikernel never "
            "lets go: shut it down. Or set force: true to take the disk away from the guest, whose "
            "next read or write of it may then hang without an error"
        )
    ended = dom0.run([*command[:2], "--force", *command[2:]], XL_SECONDS)
    if xen_state.read_slot(domain, key) is not None:
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
        raise _cleared(error, partial(_empty, domain, key)) from None


def _empty(domain: Domain, key: int) -> bool:
    """Detach what a failed attach left in the slot, if there is anything. Raises XenError."""
    try:
        if xen_state.read_slot(domain, key) is None:
            return False
        detach(domain, key, 0, force=True)
    except XenError as error:
        raise XenError(
            f"what it left in slot {key} could not be removed: {error}; "
            f"try `xl block-detach --force {domain.domid} {key}`"
        ) from None
    return True


def words(ended: Completed) -> str:
    """What a failed command of xl has to say: its hotplug script's words if there are any."""
    script = _SCRIPT_WORDS.search(ended.stderr)
    if script:
        return programs.in_one_line(script[1])
    lines = _NOISE.sub("", _LOG_PREFIX.sub("", ended.stderr)).split("\n")
    said = "; ".join(filter(None, lines))
    return said or f"xl ended with exit code {ended.code} and without a word"


def _looks(seconds: float) -> Iterator[bool]:
    """The moments at which to look for what shall happen within so many seconds: many at first,
    as most things happen soon. Of each, whether it is the last one."""
    deadline = time.monotonic() + seconds
    pause = FIRST_POLL_SECONDS
    while True:
        is_last = time.monotonic() >= deadline
        yield is_last
        if is_last:
            return
        time.sleep(pause)
        pause = min(2 * pause, POLL_SECONDS)
