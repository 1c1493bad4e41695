# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""xl's commands that start and end domains, attach and detach disks, and change CDs.

xl's exit status is not reliable: the state of the domain or the disk is read after each command.
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
from ansible_collections.xen.blockdev.plugins.module_utils.xen import device_model
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Domain, Vbd

XL_SECONDS = 120
"""How long a command may take. libxl itself gives up earlier: after 10 s for a backend and 40 s for
a hotplug script."""

SCRIPT_TRIES = 3
SCRIPT_SECONDS = 180
"""How often to try if dom0 is too slow for a hotplug script, and after how long not to try again.
Together with CREATE_SECONDS it is less than another run waits for the lock."""

SLOW_HOST = "this host is too slow: give dom0 more processors or less load"

CREATE_SECONDS = 240
"""Time to free memory and run a boot loader. Less than another run waits for the lock."""

GONE_SECONDS = 30
"""How long a domain may exist after it was destroyed."""

FIRST_POLL_SECONDS = 0.01
POLL_SECONDS = 0.25
"""The pause between two reads of a state that changes. It doubles from the first value to this."""

# Matched from the right, as a name may contain blanks: list_domains in xl_list.c.
_LISTED = re.compile(
    r"^(?P<name>.*?) +(?P<domid>[0-9]+) +[0-9]+ +[0-9]+ +"
    r"(?P<flags>[r-][b-][p-][s-][-rscwS?][d-]) +[0-9]+\.[0-9]$",
    re.MULTILINE,
)

# libxl_aoutils.c, async_exec_timeout.
_KILLED = re.compile(r"killing execution of (?P<script>\S+) .*because of timeout")
_SCRIPT_WORDS = re.compile(r"script: (.*?)(?=\n(?:libxl: |libxl_|xl: )|\Z)", re.DOTALL)
# What xl prints while it works, and about what it removes after a failure.
_NOISE = re.compile(
    r"^(?:Parsing config from|Shutting down domain|"
    r"Domain [0-9]+:(?:Non-existant domain$|Unable to destroy guest$|Destruction of domain)).*$",
    re.MULTILINE,
)
_BEGUN = re.compile(r": Domain ([0-9]+):")
_LOCKED = re.compile(r"Device '[^']*' is locked")  # QEMU's words
_LOG_PREFIX = re.compile(r"^libxl: \w+: \S+?:[0-9]+:\w+: ", re.MULTILINE)


# ---- a slow host ----


class SlowScriptError(XenError):
    """libxl killed a hotplug script that took too long. Nothing is left over."""


def patiently(begin: Callable[[], None], clear: Callable[[], object]) -> List[str]:
    """Run ``begin``, which runs hotplug scripts, and run it again if one took too long.

    ``begin`` raises SlowScriptError then, and ``clear`` removes what only the caller knows of.
    Returns a warning if it took more than one try. Raises BlockdevError.
    """
    started, tries = time.monotonic(), 0
    while True:
        tries += 1
        try:
            begin()
        except SlowScriptError as error:
            clear()
            seconds = time.monotonic() - started
            if tries == SCRIPT_TRIES or seconds >= SCRIPT_SECONDS:
                raise XenError(f"{error}; {_tried(tries, seconds)}; {SLOW_HOST}") from None
            continue
        seconds = time.monotonic() - started
        return [f"{_tried(tries, seconds)}; {SLOW_HOST}"] if tries > 1 else []


def _tried(tries: int, seconds: float) -> str:
    times = "once" if tries == 1 else f"{tries} times"
    return (
        "Xen kills a hotplug script that takes too long, so this was tried "
        f"{times} ({seconds:.0f} s)"
    )


def _failure(ended: Completed, script_error: Optional[str] = None) -> XenError:
    """The error of an xl command that has failed."""
    if _KILLED.search(ended.stderr):
        return SlowScriptError(words(ended))
    return XenError(script_error or words(ended))


def _cleared(error: XenError, clear: Callable[[], bool]) -> XenError:
    """The error of something that failed, with what became of its leftovers. ``clear`` removes them
    and returns whether there were any."""
    try:
        was_left = clear()
    except XenError as failure:
        return XenError(f"{error}; {failure}")
    if was_left:
        error.args = (f"{error}; the failed attempt was cleaned up",)
    return error


# ---- domains ----


@dataclass(frozen=True)
class Listed:
    """A domain of this host as xl lists it."""

    domid: int
    name: str
    """``(null)`` for what is left of a destroyed domain."""
    flags: str
    """``-b----``: running, blocked, paused, shut down, the reason, dying (xl(1))."""

    @property
    def status(self) -> str:
        """``running``, ``paused``, ``shutdown``, ``crashed``, ``suspended`` or ``dying``."""
        if self.flags[5] == "d":
            return "dying"
        if self.flags[3] == "s":
            reasons = {"c": "crashed", "w": "crashed", "s": "suspended"}
            return reasons.get(self.flags[4], "shutdown")
        return "paused" if self.flags[2] == "p" else "running"

    @property
    def runs(self) -> bool:
        """Whether its guest is running or paused."""
        return self.status in ("running", "paused")


def listed() -> List[Listed]:
    """All domains of this host. Raises XenError if xl lists none, not even dom0."""
    ended = dom0.run(["xl", "list"], XL_SECONDS)
    found = [
        Listed(int(line["domid"]), line["name"], line["flags"])
        for line in _LISTED.finditer(ended.stdout)
    ]
    if not found:
        raise XenError(f"`xl list` lists no domain, not even dom0: {words(ended)}")
    return found


def on_poweroff() -> Dict[int, str]:
    """By domain id, what xl does with a domain once its guest has shut down: ``destroy``,
    ``restart`` and so on (enum libxl_action_on_shutdown). Empty if xl does not say."""
    ended = dom0.run(["xl", "list", "-l"], XL_SECONDS)
    try:
        return {
            int(entry["domid"]): str(entry["config"].get("on_poweroff", "destroy"))
            for entry in json.loads(ended.stdout)
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def create(name: str, config: str, paused: bool) -> None:
    """Start the domain ``name`` from the file ``config``.

    If that fails, destroys what the attempt left, and raises XenError with the error of the hotplug
    script or of xl. A domain that ends at once counts as started.
    """
    before = {one.domid for one in listed()}
    # With -f: xl takes any other argument with an equals sign for a setting.
    command = ["xl", "create", "-q", *(["-p"] if paused else []), "-f", config]
    try:
        ended = dom0.run(command, CREATE_SECONDS)
    except XenError as error:
        raise _cleared(error, partial(_remove, name, before)) from None
    if ended.code == 0:
        return
    if f'name "{name}" already exists' in ended.stderr:
        raise XenError("another program has started it; run again")
    raise _cleared(_failure(ended), partial(_remove, name, before, ended.stderr))


def _remove(name: str, before: Set[int], output: Optional[str] = None) -> bool:
    """Destroy what a failed start left of the domain ``name``; return whether there was anything.

    ``before``: the ids of the domains before the start. ``output``: of xl, None if it was
    killed; a running domain whose id is not in it was started by another program. Raises XenError.
    """
    begun = set(map(int, _BEGUN.findall(output or "")))
    with explained("the failed attempt could not be cleaned up"):
        left = [
            one
            for one in listed()
            if one.name == name
            and one.domid not in before
            and (output is None or one.domid in begun or one.status != "running")
        ]
        for one in left:
            destroy(one.domid)
    return bool(left)


def unpause(domid: int) -> None:
    """Unpause a domain. Raises XenError if it is still paused."""
    ended = dom0.run(["xl", "unpause", str(domid)], XL_SECONDS)
    if any(one.domid == domid and one.status == "paused" for one in listed()):
        raise XenError(f"it is still paused: {words(ended)}")


def destroy(domid: int) -> None:
    """Destroy a domain and wait until it is gone. Raises XenError if it still exists."""
    ended = dom0.run(["xl", "destroy", str(domid)], XL_SECONDS)
    for is_last in _looks(GONE_SECONDS):
        left = next((one for one in listed() if one.domid == domid), None)
        if left is None:
            return
        if is_last and left.status == "dying":
            raise XenError(
                f"it is dying but still exists after {GONE_SECONDS:g} s: something on this host "
                "holds its memory, such as the backend of a disk"
            )
        if is_last:
            raise XenError(f"it still exists after `xl destroy {domid}`: {words(ended)}")


class ShutdownRequest:
    """A command of xl that asks a guest to shut down.

    xl waits up to 60 s for the guest to read the request, so it runs in the background. With ``-F``
    it presses the power button (ACPI) of a guest without Xen drivers.
    """

    def __init__(self, domid: int) -> None:
        self._process = dom0.start(["xl", "shutdown", "-F", str(domid)])
        self._failure: Optional[str] = None

    @property
    def failure(self) -> Optional[str]:
        """The error of xl; None if it has not failed, or not yet."""
        if self._failure is None and self._process.poll():
            self._failure = words(dom0.finish(self._process, XL_SECONDS))
        return self._failure

    @property
    def is_in_vain(self) -> bool:
        """Whether the guest will never get the request. A guest that has not read it yet may."""
        return self.failure is not None and "acknowledge" not in self.failure

    def end(self) -> None:
        """Kill xl if it is still waiting."""
        self._process.kill()
        with self._process:  # closes its pipes
            pass


# ---- disks ----


def attach(domain: Domain, key: int, spec: str) -> None:
    """Attach a disk to an empty slot; wait for its backend, but not for the guest.

    ``spec``: the disk in xl's syntax. If that fails, removes what the attempt left in the slot, and
    raises XenError with the error of the hotplug script or of xl.
    """
    with _nothing_left_behind(domain, key):
        ended = dom0.run(["xl", "block-attach", str(domain.domid), spec], XL_SECONDS)
        if "device already exists in xenstore" in ended.stderr:
            raise _SlotTakenError(
                f"another program has filled slot {key} of domain {domain.name}; run again"
            )
        vbd = xen_state.read_slot(domain, key)
        if ended.code != 0 or vbd is None:
            raise _failure(ended, vbd.hotplug_error if vbd else None)


def await_state(domain: Domain, key: int, states: Collection[int], timeout: float) -> None:
    """Wait until the backend of a disk that was just attached is in one of the ``states``.

    The frontend does not count: some guests never take it beyond Initialised. ``timeout``: seconds.
    If that does not happen in time, detaches the disk again and raises XenError.
    """
    with _nothing_left_behind(domain, key):
        for is_last in _looks(timeout):
            vbd = xen_state.read_slot(domain, key)
            if vbd is None:
                raise XenError("another program detached it before the guest connected")
            if vbd.backend_state in states:
                return
            if is_last:
                raise XenError(_not_connected(vbd, timeout))


def _not_connected(vbd: Vbd, timeout: float) -> str:
    if vbd.backend_state == xen_state.INIT_WAIT and vbd.frontend_state == xen_state.INITIALISING:
        return (
            f"the guest did not connect within {timeout:g} s ({vbd.states}): a MirageOS unikernel "
            "connects when it first opens a disk, and some guests detect disks only when they "
            "boot; set wait_for: offered to leave it attached"
        )
    if vbd.backendtype == "qdisk" and vbd.backend_state == xen_state.INITIALISING:
        return (
            f"domain {vbd.domain} has no QEMU that serves it ({vbd.states} after {timeout:g} s): "
            "xl starts one only if a disk in the domain's config needs it; add this disk to the "
            "config and restart the domain, or convert it to raw"
        )
    error = f"; {vbd.hotplug_error}" if vbd.hotplug_error else ""
    return (
        f"the guest did not connect within {timeout:g} s ({vbd.states}{error}); set wait: false to "
        "leave it attached"
    )


def detach(domain: Domain, key: int, timeout: float, force: bool) -> None:
    """Detach a disk from a domain.

    Asks the guest repeatedly for ``timeout`` seconds; each time xl waits up to 10 s. With ``force``
    asks once, then takes the disk away (Xen 4.15 and later). Raises XenError if the disk is still
    attached at the end.
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
            f"its guest did not release it within {timeout:g} s ({words(ended)}); have the guest "
            "release it and detach it again, shut the guest down (a MirageOS unikernel never "
            "releases a disk), or set force: true to take the disk away, after which the guest's "
            "next read or write of it may hang without an error"
        )
    ended = dom0.run([*command[:2], "--force", *command[2:]], XL_SECONDS)
    if xen_state.read_slot(domain, key) is not None:
        raise XenError(f"it is still attached after `xl block-detach --force`: {words(ended)}")


class _SlotTakenError(XenError):
    """The slot holds a disk that another program attached."""


@contextmanager
def _nothing_left_behind(domain: Domain, key: int) -> Iterator[None]:
    """Empty the slot again if attaching to it fails, and add the outcome to the error."""
    try:
        yield
    except _SlotTakenError:
        raise
    except XenError as error:
        raise _cleared(error, partial(_empty, domain, key)) from None


def _empty(domain: Domain, key: int) -> bool:
    """Detach what a failed attach left in the slot; return whether there was anything. Raises
    XenError."""
    try:
        if xen_state.read_slot(domain, key) is None:
            return False
        detach(domain, key, 0, force=True)
    except XenError as error:
        raise XenError(
            f"slot {key} could not be emptied again: {error}; try "
            f"`xl block-detach --force {domain.domid} {key}`"
        ) from None
    return True


# ---- CDs ----


def eject_cd(domain: Domain, vdev: str, drive: str, timeout: float) -> None:
    """Empty a CD drive of an HVM guest.

    ``vdev``: the slot as it was written when the guest started, by which xl finds the drive.
    ``drive``: QEMU's name of it. If the guest has locked the drive, QEMU asks it to release it, as
    if the button of the drive was pressed (``do_open_tray``, block/qapi-sysemu.c), and it has
    ``timeout`` seconds for that. Raises XenError if the drive is not empty at the end.
    """
    command = ["xl", "cd-eject", str(domain.domid), vdev]
    said = _change_cd(command)
    if device_model.drive_now(domain.domid, drive).is_locked or _LOCKED.search(said):
        _await_release(domain, drive, timeout)
        said = _change_cd(command)
    if device_model.drive_now(domain.domid, drive).medium is not None:
        raise XenError(said)


def _await_release(domain: Domain, drive: str, timeout: float) -> None:
    for is_last in _looks(timeout):
        if not device_model.drive_now(domain.domid, drive).is_locked:
            return
        if is_last:
            raise XenError(
                f"its guest has locked the drive and did not release it within {timeout:g} s; "
                "eject the CD in the guest (on Linux: unmount it, then `eject`), or shut the guest "
                "down, and run again"
            )


def insert_cd(domain: Domain, vdev: str, drive: str, target: str) -> None:
    """Insert a raw image or a block device into an empty CD drive; for the rest see ``eject_cd``.

    Raises XenError if QEMU does not have it in the drive then.
    """
    # xl drops one comma at the end of a target.
    path = f"{target}," if target.endswith(",") else target
    said = _change_cd(["xl", "cd-insert", str(domain.domid), vdev, path])
    if device_model.drive_now(domain.domid, drive).medium != target:
        raise XenError(said)


def _change_cd(command: List[str]) -> str:
    """Run xl, and return its error: QEMU tells what it has done, also if it was killed."""
    try:
        return words(dom0.run(command, XL_SECONDS))
    except XenError as error:
        return str(error)


def words(ended: Completed) -> str:
    """The error of a failed xl command, in one line: that of its hotplug script if there is one."""
    script = _SCRIPT_WORDS.search(ended.stderr)
    if script:
        return programs.in_one_line(script[1])
    lines = _NOISE.sub("", _LOG_PREFIX.sub("", ended.stderr)).split("\n")
    message = "; ".join(filter(None, lines))
    return message or f"xl exited with status {ended.code} and no error message"


def _looks(seconds: float) -> Iterator[bool]:
    """Pauses between polls for at most ``seconds``, shorter ones first. Yields before each poll
    whether it is the last one."""
    deadline = time.monotonic() + seconds
    pause = FIRST_POLL_SECONDS
    while True:
        is_last = time.monotonic() >= deadline
        yield is_last
        if is_last:
            return
        time.sleep(pause)
        pause = min(2 * pause, POLL_SECONDS)
