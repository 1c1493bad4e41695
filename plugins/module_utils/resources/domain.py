# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wanted states of domains, compared with those on this host."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Set

from ansible_collections.xen.blockdev.plugins.module_utils.config import config_file
from ansible_collections.xen.blockdev.plugins.module_utils.config.config_file import Config
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import (
    Action,
    Learned,
    Plan,
    Resource,
    State,
    UnexpectedStateError,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError, explained
from ansible_collections.xen.blockdev.plugins.module_utils.host import dom0, locks
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import block_script, config_disks
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.config_disks import Host
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.rules import (
    LOCK,
    LOCK_SECONDS,
    Claim,
)
from ansible_collections.xen.blockdev.plugins.module_utils.units import checked_seconds
from ansible_collections.xen.blockdev.plugins.module_utils.xen import xl

KEPT_SECONDS = 5
"""xl destroys a domain as soon as its guest has ended. A domain that still exists after this time
is kept (``preserve``)."""

RESTARTS = ("restart", "restart_rename", "coredump_restart", "soft_reset")
"""libxl's names of what restarts a domain."""

RANKS = {"shutdown": 0, "destroyed": 1, "running": 2}
"""By the wanted state: every guest is asked to shut down before anything waits, and domains end
before others start with their disks."""


@dataclass(frozen=True)
class DomainItem:
    """One item of xen_domain."""

    name: str
    config: str
    """The path of its config."""
    state: str
    """``running``, ``shutdown`` or ``destroyed``."""
    paused: bool
    """Whether to start it paused, or to leave it paused."""
    timeout: float
    """Seconds for its guest to shut down."""

    @classmethod
    def read(cls, options: State) -> DomainItem:
        """From the checked options of xen_domain. Raises ConfigError for a bad name or path."""
        return cls(
            name=options["name"],
            config=config_file.config_path(options["name"], options["config"]),
            state=options["state"],
            paused=options["paused"],
            timeout=checked_seconds(options["timeout"]),
        )


@contextmanager
def open_domains(pending: Pending) -> Iterator[Domains]:
    """The domains of this host. Raises XenError if it is not a Xen host."""
    dom0.require_dom0()
    domains = Domains(Host(), pending)
    try:
        yield domains
    finally:
        domains.close()


class Domains(Resource[DomainItem]):
    """The domains of this host."""

    def __init__(self, host: Host, pending: Pending) -> None:
        self._host = host
        self._pending = pending
        self._after: Optional[Host] = None
        """The host after the actions of all items."""
        self._wanted: Set[str] = set()
        self._ending: Set[str] = set()
        """Names of the domains that will have ended and released their disks."""
        self._started: List[Claim] = []
        """The disks of the domains that will be started."""
        self._shutdowns: List[_Shutdown] = []

    def rank(self, item: DomainItem) -> int:
        """See Resource.rank."""
        return RANKS[item.state]

    def plan(self, item: DomainItem) -> Plan:
        """See Resource.plan."""
        name = item.name
        found = self._host.find(name)
        if name == "Domain-0" or (found and found.domid == 0):
            raise XenError(f"{name} is this host itself; xen_domain does not start or end it")
        if name in self._wanted:
            raise XenError(f"domain {name} is listed twice; list it once")
        self._wanted.add(name)
        if item.state == "running":
            return self._plan_running(item, found)
        if item.state == "shutdown":
            return self._plan_shutdown(item, found)
        return self._plan_destroyed(item, found)

    def settle(self) -> None:
        """See Resource.settle: wait for the guests, then read the host once for all items."""
        self._await_shutdowns()
        self._after = Host()

    def _find_after(self, name: str) -> Optional[xl.Listed]:
        """The domain after the actions: as ``settle`` has found it, or as it is now."""
        return (self._after or Host()).find(name)

    def _await_shutdowns(self) -> None:
        """Wait for the guests that were asked to shut down."""
        while True:
            waiting = [one for one in self._shutdowns if not one.is_over]
            if not waiting:
                return
            domains = {one.domid: one for one in xl.listed()}
            for one in waiting:
                one.update(domains.get(one.domain.domid))
            if any(not one.is_over for one in waiting):
                time.sleep(xl.POLL_SECONDS)

    def close(self) -> None:
        """End the commands of xl that are still running."""
        for one in self._shutdowns:
            one.close()

    # ---- running ----

    def _plan_running(self, item: DomainItem, found: Optional[xl.Listed]) -> Plan:
        name = item.name
        if found is None:
            return self._plan_start(item)
        if not found.runs:
            raise XenError(f"cannot start domain {name}: {_in_the_way(found)}")
        before, read_back = _state(found), partial(self._read_back_running, name)
        if found.status != "paused" or item.paused:
            return Plan(before, before, read_back)
        unpause = _locked(f"unpause domain {name}", partial(_unpause, name))
        return Plan(before, {**before, "status": "running"}, read_back, [unpause])

    def _plan_start(self, item: DomainItem) -> Plan:
        paused = " paused" if item.paused else ""
        sentence = f"start domain {item.name} from {item.config}{paused}"
        with explained(f"cannot {sentence}"):
            config = config_file.find(item.config)
            claims = self._wanted_claims(item, config)
            others = [one for one in self._host.claims if one.domain not in self._ending]
            config_disks.refuse(claims, others + self._started, self._host.usage)
            warnings = config_disks.warnings(claims, self._host.usage)
        self._started += claims
        start = _locked(sentence, partial(_start, item, config))

        def start_after_shutdowns() -> Optional[Learned]:
            self._await_shutdowns()  # they may release disks of this domain
            return start.run()

        return Plan(
            before=_state(None),
            after={"running": True, "status": "paused" if item.paused else "running"},
            read_back=partial(self._read_back_running, item.name),
            actions=[Action(sentence, start_after_shutdowns)],
            warnings=warnings,
        )

    def _wanted_claims(self, item: DomainItem, config: Config) -> List[Claim]:
        if config.text is None:
            if config.path in self._pending.configs:
                return []
            raise XenError(
                "there is no such config; write it first (xen_domain_config), or set `config` to "
                "its path"
            )
        return _claims_of(item.name, config, self._host, self._pending)

    def _read_back_running(self, name: str) -> State:
        found = self._find_after(name)
        if found is None:
            raise _unexpected(
                found,
                f"domain {name} was started, but its guest ended at once; its console may say why "
                "(`xl create -c`, or /var/log/xen/console)",
            )
        if not found.runs:
            raise _unexpected(found, f"domain {name} was started, but {_in_the_way(found)}")
        return _state(found)

    # ---- shutdown ----

    def _plan_shutdown(self, item: DomainItem, found: Optional[xl.Listed]) -> Plan:
        name = item.name
        before = _state(found)
        if found is None or found.status in ("shutdown", "dying"):
            return Plan(before, before, lambda: before)
        sentence = f"shut down domain {name}"
        with explained(f"cannot {sentence}"):
            self._refuse_shutdown(found)
        shutdown = _Shutdown(found, item.timeout)
        self._shutdowns.append(shutdown)
        self._ending.add(name)
        return Plan(
            before=before,
            after=_state(None),
            read_back=partial(self._read_back_shutdown, name, shutdown),
            actions=[Action(sentence, shutdown.send)],
        )

    def _refuse_shutdown(self, domain: xl.Listed) -> None:
        """Raise XenError if the guest cannot be asked, or the domain would restart."""
        if domain.status == "paused":
            raise XenError(
                "it is paused, so its guest cannot shut down; unpause it first (state: running), "
                "or end it as if the power failed (state: destroyed)"
            )
        if not domain.runs:
            raise XenError(_in_the_way(domain))
        action = self._on_poweroff.get(domain.domid)
        if action in RESTARTS:
            raise XenError(
                f"it was started with on_poweroff = {action!r} in its config, so it would start "
                "again; state: destroyed ends it as if the power failed"
            )

    @cached_property
    def _on_poweroff(self) -> Dict[int, str]:
        return xl.on_poweroff()

    def _read_back_shutdown(self, name: str, shutdown: _Shutdown) -> State:
        found = self._find_after(name)
        if found is None or found.status in ("shutdown", "dying"):
            return _state(found)
        if found.domid != shutdown.domain.domid:
            raise _unexpected(
                found,
                f"domain {name} shut down and is running again (id {found.domid}): its config "
                "restarts it (on_poweroff, on_reboot), or another program started it; state: "
                "destroyed ends it",
            )
        if found.runs:
            raise _unexpected(found, f"domain {name} is still running: {shutdown.failure}")
        raise _unexpected(found, f"domain {name} did not shut down: {_in_the_way(found)}")

    # ---- destroyed ----

    def _plan_destroyed(self, item: DomainItem, found: Optional[xl.Listed]) -> Plan:
        name = item.name
        before, after = _state(found), _state(None)
        if found is None:
            return Plan(before, after, lambda: before)
        self._ending.add(name)
        destroy = _locked(f"destroy domain {name}", partial(xl.destroy, found.domid))
        return Plan(before, after, partial(self._read_back_destroyed, name), [destroy])

    def _read_back_destroyed(self, name: str) -> State:
        found = self._find_after(name)
        if found:
            raise _unexpected(
                found,
                f"domain {name} was destroyed, but another program started it again (id "
                f"{found.domid}); run again",
            )
        return _state(None)


class _Shutdown:
    """A guest that is asked to shut down."""

    def __init__(self, domain: xl.Listed, timeout: float) -> None:
        """``timeout``: seconds from the request on."""
        self.domain = domain
        self.is_over = True
        """Whether there is nothing to wait for: before the request, and once it has ended."""
        self.failure = "it was not asked to shut down"
        """Why the guest has not shut down, as far as is known."""
        self._timeout = timeout
        self._deadline = 0.0
        self._ended: Optional[float] = None
        self._request: Optional[xl.ShutdownRequest] = None

    def send(self) -> None:
        """Ask the guest, without waiting for it."""
        self._request = xl.ShutdownRequest(self.domain.domid)
        self._deadline = time.monotonic() + self._timeout
        self.is_over = False

    def update(self, domain: Optional[xl.Listed]) -> None:
        """Note how xl lists the domain now; None if it does not list it any more."""
        now = time.monotonic()
        if domain is None:
            self.is_over = True
        elif not domain.runs:
            self._ended = self._ended or now
            self.is_over = now >= self._ended + KEPT_SECONDS
        elif self._request and self._request.is_in_vain:
            self.is_over = True
            self.failure = f"xl could not ask its guest to shut down: {self._request.failure}"
        elif now >= self._deadline:
            self.is_over = True
            self.failure = (
                f"its guest did not shut down within {self._timeout:g} s; give it more time "
                "(timeout), or end it as if the power failed (state: destroyed)"
            )

    def close(self) -> None:
        """End the command of xl, which may still be waiting."""
        if self._request:
            self._request.end()


# ---- changing ----


def _locked(sentence: str, run: Callable[[], Optional[Sequence[str]]]) -> Action:
    """The action ``run``, which may return warnings. No other run starts a domain or attaches a
    disk at the same time."""

    def run_locked() -> Learned:
        with explained(f"cannot {sentence}"), locks.exclusive(LOCK, LOCK_SECONDS):
            return Learned(warnings=run() or ())

    return Action(sentence, run_locked)


def _start(item: DomainItem, planned: Config) -> Sequence[str]:
    """Start a domain unless another run has done so, and return warnings. Everything that was
    planned is checked again: the state may have changed since."""
    host = Host()
    found = host.find(item.name)
    if found and found.runs:
        return ()
    if found:
        raise XenError(_in_the_way(found))
    config = config_file.find(planned.path)
    if config != planned:
        raise XenError("another program changed the config; run again")
    claims = _claims_of(item.name, config, host, Pending())
    config_disks.refuse(claims, host.claims, host.usage)
    files = {claim.storage.file for claim in claims if claim.storage.file}
    return xl.patiently(
        partial(xl.create, item.name, config.path, item.paused),
        partial(block_script.release, files, host.usage.bindings),
    )


def _claims_of(name: str, config: Config, host: Host, pending: Pending) -> List[Claim]:
    config_file.refuse_other_domain(name, config.text or "")
    return config_disks.wanted_claims(name, config.specs, host, pending)


def _unpause(name: str) -> None:
    found = Host().find(name)
    if found and found.status == "paused":
        xl.unpause(found.domid)


# ---- results ----


def _state(domain: Optional[xl.Listed]) -> State:
    if domain is None:
        return {"running": False, "status": "absent"}
    return {"running": domain.runs, "status": domain.status, "domid": domain.domid}


def _unexpected(domain: Optional[xl.Listed], message: str) -> UnexpectedStateError:
    return UnexpectedStateError(message, _state(domain))


def _in_the_way(domain: xl.Listed) -> str:
    """For an error: the state of a domain whose guest is not running, and what to do about it."""
    it, destroy = f"it (id {domain.domid})", "destroy it first (state: destroyed)"
    if domain.status == "dying":
        return f"{it} is dying but still holds memory or disks; run again once it is gone"
    if domain.status == "suspended":
        return f"{it} is suspended, by xl save or a migration; wait for that, or {destroy}"
    what = "has crashed" if domain.status == "crashed" else "has shut down"
    return f"{it} {what} and is kept for inspection (preserve); {destroy}"
