# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disks running domains are to have, compared with those that they have."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Set

from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import (
    Action,
    PartlyDoneError,
    Plan,
    Resource,
    State,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.errors import (
    BlockdevError,
    HostError,
    XenError,
    explained,
)
from ansible_collections.xen.blockdev.plugins.module_utils.host import dom0, locks
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.resources import vbd_attach_disk
from ansible_collections.xen.blockdev.plugins.module_utils.resources.vbd_attach_disk import (
    Attached,
    Disk,
    Slot,
    Wanted,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import block_script
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import rules as sharing_rules
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.rules import LOCK_SECONDS
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.storage import (
    MissingError,
    Storage,
    decimal,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import (
    DiskSlot,
    Usage,
    emptied,
)
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.plugins.module_utils.xen import xl
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Domain, Vbd

Warn = Callable[[str], None]
"""Keeps a warning for the user."""

AWAITED = {
    "connected": (xen_state.CONNECTED,),
    "offered": (xen_state.INIT_WAIT, xen_state.INITIALISED, xen_state.CONNECTED),
}
"""By what is waited for, the states of the backend. One that is offered waits for the guest."""


@contextmanager
def open_vbds(pending: Pending) -> Iterator[Resource[Mapping[str, Any]]]:
    """The disks of this host's running domains."""
    try:
        dom0.require_dom0()
    except XenError as error:
        yield NoVbds(str(error))
        return
    store = xen_state.read_store()
    usage = Usage()
    # Read already, by the same look as the domains.
    usage.vbds = xen_state.vbds(store)
    yield Vbds(xen_state.domains(store), usage, pending)


class NoVbds(Resource[Mapping[str, Any]]):
    """Those of what is not a Xen host: no domain runs on it."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def plan(self, item: Mapping[str, Any]) -> Plan:
        """See Resource.plan. Raises HostError unless domains that do not run are left out."""
        if item["when_not_running"] != "skip":
            raise HostError(self._reason)
        plan = _plan_not_running(item)
        plan.warnings = [f"disks are not attached to running domains: this is {self._reason}"]
        return plan


class Vbds(Resource[Mapping[str, Any]]):
    """The disks of the running domains of this host."""

    def __init__(self, domains: Sequence[Domain], usage: Usage, pending: Pending) -> None:
        """C(usage): its C(vbds) are the disks that the C(domains) have."""
        self._domains = domains
        self._pending = pending
        self._attached = Attached(usage)
        self._disks = self._attached.disks
        self._leave_out(emptied(pending))
        self._wanted_slots: Set[Slot] = set()
        self._complete: Set[int] = set()
        """Ids of the domains of which the items are to name every disk."""

    def rank(self, item: Mapping[str, Any]) -> int:
        """See Resource.rank."""
        return int(item["state"] != "absent")

    def plan(self, item: Mapping[str, Any]) -> Plan:
        """See Resource.plan; C(item) has the options of xen_vbd_attach."""
        domain = xen_state.find_domain(item["domain"], self._domains)
        if domain is None:
            return _plan_not_running(item)
        if domain.domid == 0:
            raise XenError("Domain-0 is this host itself and needs no vbd: use the device as it is")
        if item["unlisted"] == "warn":
            self._complete.add(domain.domid)
        if item["state"] == "absent":
            return self._plan_absent(item, domain)
        return self._plan_present(self._wanted(item, domain))

    def _leave_out(self, slots: Iterable[DiskSlot]) -> None:
        """Do not count what an earlier task would have detached but for check mode."""
        for name, key in slots:
            domain = xen_state.find_domain(name, self._domains)
            if domain:
                self._disks.pop((domain.domid, key), None)

    def warnings(self) -> List[str]:
        """See Resource.warnings: the disks that a domain has and no item names."""
        return [
            f"domain {disk.vbd.domain} has {disk.vbd.target} in slot {disk.vbd.vdev}, which is not "
            "in the list of its disks: it is left as it is; add it to the list, or detach it "
            "(state: absent)"
            for disk in self._disks.values()
            if disk.vbd.domid in self._complete
            and disk.slot not in self._wanted_slots
            and disk.vbd.devtype != "cdrom"
        ]

    # ---- present ----

    def _wanted(self, item: Mapping[str, Any], domain: Domain) -> Wanted:
        for option in ("vdev", "target"):
            if item[option] is None:
                raise XenError(f"{option} is missing: a disk to attach needs its vdev and target")
        key = device_number.parse(item["vdev"]).xenstore_key
        try:
            target, storage = self._attached.find(item)
        except (MissingError, loop_binding.LoopError):
            if not loop_link.is_announced(item["target"], self._pending):
                raise
            target, storage = item["target"], Storage(item["target"])
        return Wanted(item, domain, key, target, storage)

    def _plan_present(self, wanted: Wanted) -> Plan:
        spec = wanted.spec
        if wanted.slot in self._wanted_slots:
            raise XenError(
                f"slot {wanted.vdev} of domain {wanted.domain.name} is wanted twice: name it once"
            )
        self._wanted_slots.add(wanted.slot)
        found = self._disks.get(wanted.slot)
        before = _state(wanted.domain, wanted.key, found.vbd if found else None)
        plan = Plan(before, before, partial(self._read_back_present, wanted))
        if found and not vbd_attach_disk.differences(wanted, found):
            return plan
        sentence = vbd_attach_disk.sentence(wanted, found)
        with explained(f"cannot {sentence}"):
            self._refuse(wanted, found)
            plan.warnings += self._attached.doubts(wanted.as_disk())
        self._disks[wanted.slot] = wanted.as_disk()
        plan.after = _expected_state(wanted)
        warn = partial(plan.warn, sentence)
        bring = partial(self._bring, sentence, wanted, spec, found, warn)
        plan.actions.append(Action(sentence, bring))
        return plan

    def _refuse(self, wanted: Wanted, found: Optional[Disk]) -> None:
        """Raise XenError where the disk must not be attached; C(found) is what its slot holds."""
        if found and not wanted.item["replace"]:
            # Another program may be about to attach just this disk.
            first = "run again, and if it stays so " if found.vbd.is_coming else ""
            raise XenError(
                f"{vbd_attach_disk.taken(wanted, found)}; {first}set replace: true to swap it"
            )
        self._attached.refuse_foreign(wanted, found)
        self._attached.refuse(wanted.as_disk())

    def _bring(
        self, sentence: str, wanted: Wanted, spec: str, old: Optional[Disk], warn: Warn
    ) -> None:
        with explained(f"cannot {sentence}"), locks.exclusive(
            _lock_of(wanted.domain), LOCK_SECONDS
        ):
            if old is None:
                self._attach(wanted, spec, warn)
            else:
                self._replace(wanted, spec, old, warn)

    def _attach(self, wanted: Wanted, spec: str, warn: Warn) -> None:
        """Attach unless another run was faster; keep others out until xl shows it to them."""
        with locks.exclusive(sharing_rules.LOCK, LOCK_SECONDS):
            now = Attached.now()
            found = now.disks.get(wanted.slot)
            if found and vbd_attach_disk.differences(wanted, found):
                raise XenError(f"{vbd_attach_disk.taken(wanted, found)}; {_remedy(found)}")
            if found:
                return
            if not wanted.storage.is_same(now.find(wanted.item)[1]):
                raise XenError("what its target leads to was changed meanwhile; run again")
            now.refuse(wanted.as_disk())
            attach = partial(xl.attach, wanted.domain, wanted.key, spec)
            _begin(attach, wanted.storage, now, warn)
        if wanted.item["wait"]:
            states = AWAITED[wanted.item["wait_for"]]
            xl.await_state(wanted.domain, wanted.key, states, wanted.item["timeout"])

    def _replace(self, wanted: Wanted, spec: str, old: Disk, warn: Warn) -> None:
        left = _state(wanted.domain, wanted.key, old.vbd)
        _detach(wanted.item, wanted.domain, old.vbd, left)
        try:
            self._attach(wanted, spec, warn)
        except (BlockdevError, OSError) as error:
            why_not = _put_back(wanted.domain, old, warn)
            if why_not is None:
                raise XenError(f"{error}; {old.vbd.target} was put back") from None
            raise PartlyDoneError(
                f"{error}; {old.vbd.target} {why_not}",
                _state(wanted.domain, wanted.key, None),
                _detach_sentence(wanted.domain, old.vbd),
            ) from None

    def _read_back_present(self, wanted: Wanted) -> State:
        found = self._disks_after.get(wanted.slot)
        if found is None:
            raise XenError(
                f"{wanted.target} vanished from domain {wanted.domain.name} again; another program "
                "has detached it"
            )
        if vbd_attach_disk.differences(wanted, found):
            raise XenError(
                f"{vbd_attach_disk.taken(wanted, found)}, although that was just attached; "
                "run again"
            )
        return _state(wanted.domain, wanted.key, found.vbd)

    # ---- absent ----

    def _plan_absent(self, item: Mapping[str, Any], domain: Domain) -> Plan:
        if item["vdev"] is None and item["target"] is None:
            raise XenError("vdev and target are missing: say which disk is to be detached")
        disks = self._to_detach(item, domain)
        for disk in disks:
            del self._disks[disk.slot]
        return Plan(
            before=_absent_state(domain, [disk.vbd for disk in disks]),
            after=_absent_state(domain, [], disks),
            read_back=partial(self._read_back_absent, domain, disks),
            actions=[self._detaching(item, domain, disk.vbd) for disk in disks],
        )

    def _to_detach(self, item: Mapping[str, Any], domain: Domain) -> List[Disk]:
        disks = [disk for disk in self._disks.values() if disk.vbd.domid == domain.domid]
        if item["vdev"] is not None:
            key = device_number.parse(item["vdev"]).xenstore_key
            disks = [disk for disk in disks if disk.vbd.xenstore_key == key]
        if item["target"] is not None:
            wanted = self._found_or_named(item)
            disks = [disk for disk in disks if _is_target(item["target"], wanted, disk)]
        return disks

    def _found_or_named(self, item: Mapping[str, Any]) -> Storage:
        """What is behind a target that may be gone; then a disk is known by its name alone."""
        try:
            return self._attached.find(item)[1]
        except BlockdevError:
            return Storage(item["target"])

    def _detaching(self, item: Mapping[str, Any], domain: Domain, vbd: Vbd) -> Action:
        sentence = _detach_sentence(domain, vbd)

        def detach() -> None:
            with explained(f"cannot {sentence}"), locks.exclusive(_lock_of(domain), LOCK_SECONDS):
                _detach(item, domain, vbd, _absent_state(domain, [vbd]))

        # A frontend cannot tell dom0 whether its guest has the disk mounted.
        return Action(f"{sentence}, also if its guest has it mounted", detach)

    def _read_back_absent(self, domain: Domain, disks: Sequence[Disk]) -> State:
        left = [disk for disk in disks if self._is_left(disk)]
        if left:
            slots = ", ".join(disk.vbd.vdev for disk in left)
            raise XenError(
                f"{slots} of domain {domain.name} is there again after it was detached; run again"
            )
        return _absent_state(domain, [], disks)

    def _is_left(self, detached: Disk) -> bool:
        """Whether the disk is in its slot and not another one that the same call attached."""
        found = self._disks_after.get(detached.slot)
        is_there = found is not None and found.vbd.target == detached.vbd.target
        return is_there and detached.slot not in self._wanted_slots

    @cached_property
    def _disks_after(self) -> Dict[Slot, Disk]:
        """What is there after all actions; nothing asks for it before."""
        return Attached.now().disks


# ---- changing ----


def _begin(attach: Callable[[], None], storage: Storage, before: Attached, warn: Warn) -> None:
    """Attach a disk, and be patient with a slow host. C(storage): what lies behind its target."""
    files = {storage.file} if storage.file else set()
    xl.patiently(attach, partial(block_script.release, files, before.bindings), warn)


def _detach(item: Mapping[str, Any], domain: Domain, planned: Vbd, left: State) -> None:
    """Detach what was seen in the slot, and nothing that another run has put there since.

    C(left): the result keys where the guest was asked, but has not let go of it (PartlyDoneError).
    """
    now = xen_state.read_slot(domain, planned.xenstore_key)
    if now is None:
        return
    if (now.target, now.physical_device) != (planned.target, planned.physical_device):
        raise XenError(f"slot {planned.vdev} holds {now.target} by now; run again")
    try:
        xl.detach(domain, planned.xenstore_key, item["timeout"], item["force"])
    except XenError as error:
        after = xen_state.read_slot(domain, planned.xenstore_key)
        if not now.online or after is None or after.online:
            raise
        asked = f"ask domain {domain.name} to let go of {planned.target} ({planned.vdev})"
        raise PartlyDoneError(str(error), left, asked) from None


def _put_back(domain: Domain, old: Disk, warn: Warn) -> Optional[str]:
    """Attach again what had to make room, unless another domain has got it since; or why not."""
    vbd = old.vbd
    if vbd.flaw:
        return f"{vbd.flaw} and was not put back"
    if vbd.backend_domid != 0:
        return "is served by another domain and was not put back"
    try:
        with locks.exclusive(sharing_rules.LOCK, LOCK_SECONDS):
            now = Attached.now()
            now.refuse(old)
            attach = partial(xl.attach, domain, vbd.xenstore_key, vbd_attach_disk.spec_of(vbd))
            _begin(attach, old.storage, now, warn)
    except (BlockdevError, OSError) as error:
        return f"could not be put back as {vbd.vdev}: {error}"
    return None


def _is_target(target: str, wanted: Storage, disk: Disk) -> bool:
    """Whether a disk has the target that is wanted, or was attached by that name with a script of
    its own, of which nobody else knows what it makes of it."""
    is_named_so = vbd_attach_disk.own_script(disk.vbd) is not None and disk.vbd.target == target
    return is_named_so or wanted.is_same(disk.storage)


def _remedy(found: Disk) -> str:
    """What helps where a slot was to be empty by now."""
    if not found.vbd.online:
        return "have the guest let go of it, or set force: true where it is detached"
    return "another program has put that there meanwhile; run again"


def _detach_sentence(domain: Domain, vbd: Vbd) -> str:
    return f"detach {vbd.target} ({vbd.vdev}) from domain {domain.name}"


def _lock_of(domain: Domain) -> str:
    return f"domain-{domain.domid}"


# ---- results ----


def _plan_not_running(item: Mapping[str, Any]) -> Plan:
    if item["when_not_running"] != "skip":
        raise XenError(
            f"domain {item['domain']} is not running on this host; start it, or set "
            "when_not_running: skip"
        )
    state = {"running": False}
    return Plan(state, state, lambda: state)


def _state(domain: Domain, key: int, vbd: Optional[Vbd]) -> State:
    state: State = {"running": True, "domid": domain.domid, "xenstore_key": key}
    if vbd:
        state["access"] = vbd.access
        state["backendtype"] = vbd.backendtype
        state["physical_device"] = decimal(vbd.physical_device)
        state["backend_state"] = vbd.backend_state
        state["frontend_state"] = vbd.frontend_state
    return state


def _expected_state(wanted: Wanted) -> State:
    """As far as it can be known before."""
    state = {**_state(wanted.domain, wanted.key, None), "access": wanted.access}
    rdev = wanted.storage.rdev
    if rdev is not None:
        state["physical_device"] = decimal((os.major(rdev), os.minor(rdev)))
    if wanted.item["wait"] and wanted.item["wait_for"] == "connected":
        state["backend_state"] = xen_state.CONNECTED
    return state


def _absent_state(domain: Domain, vbds: Iterable[Vbd], detached: Iterable[Disk] = ()) -> State:
    """C(vbds): those that are still there. C(detached): those that are not any more."""
    return {
        "running": True,
        "domid": domain.domid,
        "slots": [vbd.xenstore_key for vbd in vbds],
        "detached": [{"domain": domain.name, "vdev": disk.vbd.vdev} for disk in detached],
    }
