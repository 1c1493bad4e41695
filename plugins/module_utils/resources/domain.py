# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which domains are to run, compared with those that do."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Set

from ansible_collections.xen.blockdev.plugins.module_utils.config import file as config_file
from ansible_collections.xen.blockdev.plugins.module_utils.config.file import Config
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import (
    Action,
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
from ansible_collections.xen.blockdev.plugins.module_utils.xen import xl

KEPT_SECONDS = 5
"""xl takes a domain away as soon as its guest has ended. One that is still there after this long
is kept (C(preserve))."""

RESTARTS = ("restart", "restart_rename", "coredump_restart", "soft_reset")
"""What libxl calls the ways in which a domain comes back."""

RANKS = {"shutdown": 0, "destroyed": 1, "running": 2}


@contextmanager
def open_domains(pending: Pending) -> Iterator[Domains]:
    """The domains of this host. Raises XenError where this is not a Xen host."""
    dom0.require_dom0()
    domains = Domains(Host(), pending)
    try:
        yield domains
    finally:
        domains.close()


class Domains(Resource[Mapping[str, Any]]):
    """The domains of this host."""

    def __init__(self, host: Host, pending: Pending) -> None:
        self._host = host
        self._pending = pending
        self._wanted: Set[str] = set()
        self._ending: Set[str] = set()
        """Names of the domains whose disks become free."""
        self._started: List[Claim] = []
        """The disks of the domains that are to be started."""
        self._shutdowns: List[_Shutdown] = []

    def rank(self, item: Mapping[str, Any]) -> int:
        """All guests are asked to shut down before anything is waited for, and what ends makes room
        for what starts."""
        return RANKS[item["state"]]

    def plan(self, item: Mapping[str, Any]) -> Plan:
        """See Resource.plan; C(item) has the options of xen_domain."""
        name = item["name"]
        config = config_file.config_path(name, item["config"])
        found = self._host.find(name)
        if name == "Domain-0" or (found and found.domid == 0):
            raise XenError(f"{name} is this host itself, which is neither started nor ended here")
        if name in self._wanted:
            raise XenError(f"domain {name} is wanted twice: name it once")
        self._wanted.add(name)
        if item["state"] == "running":
            return self._plan_running(item, config, found)
        if item["state"] == "shutdown":
            return self._plan_shutdown(item, found)
        return self._plan_destroyed(item, found)

    def settle(self) -> None:
        """Wait for the guests that were asked to shut down."""
        while True:
            waiting = [one for one in self._shutdowns if not one.is_over]
            if not waiting:
                return
            domains = {one.domid: one for one in xl.listed()}
            for one in waiting:
                one.look(domains.get(one.domain.domid))
            if any(not one.is_over for one in waiting):
                time.sleep(xl.POLL_SECONDS)

    def close(self) -> None:
        """End what is still under way."""
        for one in self._shutdowns:
            one.close()

    # ---- running ----

    def _plan_running(
        self, item: Mapping[str, Any], config: str, found: Optional[xl.Listed]
    ) -> Plan:
        name = item["name"]
        if found is None:
            return self._plan_start(item, config)
        if not found.runs:
            raise XenError(f"cannot start domain {name}: {_in_the_way(found)}")
        plan = Plan(_state(found), _state(found), partial(self._read_back_running, name))
        if found.status == "paused" and not item["paused"]:
            plan.after = {**plan.before, "status": "running"}
            plan.actions.append(_locked(f"unpause domain {name}", partial(_unpause, name)))
        return plan

    def _plan_start(self, item: Mapping[str, Any], path: str) -> Plan:
        name = item["name"]
        sentence = f"start domain {name} from {path}" + (" paused" if item["paused"] else "")
        with explained(f"cannot {sentence}"):
            config = config_file.find(path)
            claims = self._wanted_claims(item, config)
            others = [one for one in self._host.claims if one.domain not in self._ending]
            config_disks.refuse(claims, others + self._started, self._host.usage)
            doubts = config_disks.doubts(claims, self._host.usage)
        self._started += claims
        after = {"running": True, "status": "paused" if item["paused"] else "running"}
        read_back = partial(self._read_back_running, name)
        plan = Plan(_state(None), after, read_back, warnings=doubts)
        warn = partial(plan.warn, sentence)
        start = _locked(sentence, partial(_start, item, config, warn))

        def settle_and_start() -> None:
            self.settle()  # so that their disks are free
            start.run()

        plan.actions.append(Action(sentence, settle_and_start))
        return plan

    def _wanted_claims(self, item: Mapping[str, Any], config: Config) -> List[Claim]:
        if config.text is None:
            if config.path in self._pending.configs:
                return []
            raise XenError(
                "there is no such config; write it first (xen_domain_config), or say which it is "
                "(config)"
            )
        return _claims_of(item["name"], config, self._host, self._pending)

    def _read_back_running(self, name: str) -> State:
        found = self._after.find(name)
        if found is None:
            raise _unexpected(
                found,
                f"domain {name} is gone again: its guest ended as soon as it had started; its "
                "console may say why (`xl create -c`, or /var/log/xen/console)",
            )
        if not found.runs:
            raise _unexpected(found, f"domain {name} was started, but {_in_the_way(found)}")
        return _state(found)

    # ---- shutdown ----

    def _plan_shutdown(self, item: Mapping[str, Any], found: Optional[xl.Listed]) -> Plan:
        name = item["name"]
        before = _state(found)
        if found is None or found.status in ("shutdown", "dying"):
            return Plan(before, before, lambda: before)
        sentence = f"shut down domain {name}"
        with explained(f"cannot {sentence}"):
            self._refuse_shutdown(found)
        shutdown = _Shutdown(found, item["timeout"])
        self._shutdowns.append(shutdown)
        self._ending.add(name)
        return Plan(
            before=before,
            after=_state(None),
            read_back=partial(self._read_back_shutdown, name, shutdown),
            actions=[Action(sentence, shutdown.send)],
        )

    def _refuse_shutdown(self, domain: xl.Listed) -> None:
        """Raise XenError where the guest cannot hear of it, or would come back."""
        if domain.status == "paused":
            raise XenError(
                "it is paused and hears nothing; let it run first (state: running), or end it as "
                "if the power failed (state: destroyed)"
            )
        if not domain.runs:
            raise XenError(_in_the_way(domain))
        action = self._on_poweroff.get(domain.domid)
        if action in RESTARTS:
            raise XenError(
                f"it was started with on_poweroff = {action!r} in its config, so it would come "
                "back; state: destroyed ends it as if the power failed"
            )

    @cached_property
    def _on_poweroff(self) -> Dict[int, str]:
        return xl.on_poweroff()

    def _read_back_shutdown(self, name: str, shutdown: _Shutdown) -> State:
        found = self._after.find(name)
        if found is None or found.status in ("shutdown", "dying"):
            return _state(found)
        if found.domid != shutdown.domain.domid:
            raise _unexpected(
                found,
                f"domain {name} has come back, with the id {found.domid}: its config says restart "
                "(on_poweroff, on_reboot), or another program has started it; state: destroyed "
                "ends it",
            )
        if found.runs:
            raise _unexpected(found, f"domain {name} still runs: {shutdown.complaint}")
        raise _unexpected(found, f"domain {name} did not shut down: {_in_the_way(found)}")

    # ---- destroyed ----

    def _plan_destroyed(self, item: Mapping[str, Any], found: Optional[xl.Listed]) -> Plan:
        name = item["name"]
        before, after = _state(found), _state(None)
        if found is None:
            return Plan(before, after, lambda: before)
        self._ending.add(name)
        destroy = _locked(f"destroy domain {name}", partial(xl.destroy, found.domid))
        return Plan(before, after, partial(self._read_back_destroyed, name), [destroy])

    def _read_back_destroyed(self, name: str) -> State:
        found = self._after.find(name)
        if found:
            raise _unexpected(
                found,
                f"domain {name} is there again, with the id {found.domid}: another program has "
                "started it; run again",
            )
        return _state(None)

    @cached_property
    def _after(self) -> Host:
        """What is there after all actions; nothing asks for it before."""
        return Host()


class _Shutdown:
    """A guest that is to shut down by itself."""

    def __init__(self, domain: xl.Listed, timeout: float) -> None:
        """C(timeout): seconds from the request on."""
        self.domain = domain
        self.is_over = True
        """Whether there is nothing to wait for: not yet, or not any more."""
        self.complaint = "it was not asked"
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

    def look(self, domain: Optional[xl.Listed]) -> None:
        """Tell whether to wait on, now that xl lists the C(domain) like this, or not any more."""
        now = time.monotonic()
        if domain is None:
            self.is_over = True
        elif not domain.runs:
            self._ended = self._ended or now
            self.is_over = now >= self._ended + KEPT_SECONDS
        elif self._request and self._request.is_in_vain:
            self.is_over = True
            self.complaint = f"xl could not ask its guest to shut down: {self._request.failure}"
        elif now >= self._deadline:
            self.is_over = True
            self.complaint = (
                f"its guest did not shut down within {self._timeout:g} s; give it more time "
                "(timeout), or end it as if the power failed (state: destroyed)"
            )

    def close(self) -> None:
        """Let xl wait no longer, either."""
        if self._request:
            self._request.end()


# ---- changing ----


def _locked(sentence: str, run: Callable[[], object]) -> Action:
    """The action C(run), while no other run starts a domain or attaches a disk."""

    def run_locked() -> None:
        with explained(f"cannot {sentence}"), locks.exclusive(LOCK, LOCK_SECONDS):
            run()

    return Action(sentence, run_locked)


def _start(item: Mapping[str, Any], planned: Config, warn: Callable[[str], None]) -> None:
    """Start a domain unless another run was faster, with what is true by now."""
    host = Host()
    found = host.find(item["name"])
    if found and found.runs:
        return
    if found:
        raise XenError(_in_the_way(found))
    config = config_file.find(planned.path)
    if config != planned:
        raise XenError("the config was changed by another program meanwhile; run again")
    claims = _claims_of(item["name"], config, host, Pending())
    config_disks.refuse(claims, host.claims, host.usage)
    files = {claim.storage.file for claim in claims if claim.storage.file}
    xl.patiently(
        partial(xl.create, item["name"], config.path, item["paused"]),
        partial(block_script.release, files, host.usage.bindings),
        warn,
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
    """What there is of a domain whose guest does not run, and what to do about it."""
    it, destroy = f"it (id {domain.domid})", "destroy it first (state: destroyed)"
    if domain.status == "dying":
        return f"{it} is dying but still holds memory or disks; run again once it is gone"
    if domain.status == "suspended":
        return f"{it} is suspended, by xl save or a migration; wait for that, or {destroy}"
    what = "has crashed" if domain.status == "crashed" else "has shut down"
    return f"{it} {what} and is kept for inspection (preserve); {destroy}"
