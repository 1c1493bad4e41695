# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wanted disks of running domains, compared with those that they have."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import (
    Action,
    Learned,
    PartlyDoneError,
    Plan,
    Resource,
    State,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import (
    BlockdevError,
    HostError,
    XenError,
    explained,
)
from ansible_collections.xen.blockdev.plugins.module_utils.host import dom0, locks
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.resources import (
    vbd_attach_cdrom,
    vbd_attach_disk,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.vbd_attach_cdrom import (
    CdDrive,
    CdDrives,
    Medium,
    WantedMedium,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.vbd_attach_changes import (
    attach_patiently,
    detach_sentence,
    domain_lock,
    put_back,
    take_away,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.vbd_attach_disk import (
    Attached,
    AttachedDisk,
    VbdSlot,
    WantedVbd,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.vbd_attach_item import VbdItem
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import rules as sharing_rules
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.rules import LOCK_SECONDS
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.storage import (
    MissingError,
    Storage,
    decimal,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import (
    DiskSlot,
    emptied,
)
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.plugins.module_utils.xen import xl
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Domain, Vbd

AWAITED = {
    "connected": (xen_state.CONNECTED,),
    "offered": (xen_state.INIT_WAIT, xen_state.INITIALISED, xen_state.CONNECTED),
}
"""For each value of ``wait_for``, the states of the backend that end the waiting. A backend that is
offered waits for the guest."""


@contextmanager
def open_vbds(pending: Pending) -> Iterator[Resource[VbdItem]]:
    """The disks of this host's running domains."""
    try:
        dom0.require_dom0()
    except XenError as error:
        yield NoVbds(str(error))
        return
    yield Vbds(Attached.now(), pending)


class NoVbds(Resource[VbdItem]):
    """The disks of a machine that is not a Xen host: no domain runs on it."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def plan(self, item: VbdItem) -> Plan:
        """See Resource.plan. Raises HostError unless domains that are not running are skipped."""
        if not item.skip_if_not_running:
            raise HostError(self._reason)
        warning = f"disks are not attached to running domains: this is {self._reason}"
        return _plan_not_running(item, [warning])


class Vbds(Resource[VbdItem]):
    """The disks of the running domains of this host."""

    def __init__(self, attached: Attached, pending: Pending) -> None:
        self._attached = attached
        self._pending = pending
        self._after: Optional[Attached] = None
        """What is attached after the actions of all items."""
        self._disks: Dict[VbdSlot, AttachedDisk] = dict(attached.disks)
        """The disks as they will be once the actions planned so far have run."""
        self._drives = CdDrives(attached)
        self._leave_out(emptied(pending))
        self._wanted_slots: Set[VbdSlot] = set()
        self._complete: Set[int] = set()
        """Ids of the domains whose every disk should be named by an item."""

    def rank(self, item: VbdItem) -> int:
        """See Resource.rank: disks are detached before others are attached."""
        return 0 if item.is_absent else 1

    def plan(self, item: VbdItem) -> Plan:
        """See Resource.plan."""
        domain = xen_state.find_domain(item.domain, self._attached.domains)
        if domain is None:
            return _plan_not_running(item)
        if domain.domid == 0:
            raise XenError("Domain-0 is this host itself and needs no vbd; use the device directly")
        if item.warn_of_unlisted:
            self._complete.add(domain.domid)
        found = self._disks.get((domain.domid, item.slot.xenstore_key)) if item.slot else None
        if item.slot:
            vbd_attach_cdrom.refuse_other_kind(domain, item, found)
        if item.is_absent:
            return self._plan_absent(item, domain)
        if found and vbd_attach_cdrom.is_drive(domain, found):
            return self._plan_medium(item, domain, found)
        return self._plan_present(self._wanted(item, domain))

    def _leave_out(self, slots: Iterable[DiskSlot]) -> None:
        """Leave out the disks that an earlier task would have detached without check mode."""
        for name, key in slots:
            domain = xen_state.find_domain(name, self._attached.domains)
            disk = self._disks.pop((domain.domid, key), None) if domain else None
            if domain and disk and vbd_attach_cdrom.is_drive(domain, disk):
                self._expect(self._drives.of(disk).with_medium(None))

    def _expect(self, drive: CdDrive) -> None:
        """A CD drive will be like this."""
        self._drives.expect(drive)
        self._disks[drive.vbd.domid, drive.vbd.xenstore_key] = drive.as_disk()

    def warnings(self) -> List[str]:
        """See Resource.warnings: the disks of a domain that no item names."""
        return [
            f"domain {disk.vbd.domain} has {disk.vbd.target} in slot {disk.vbd.vdev}, which is not "
            "in the list of its disks; it stays attached: add it to the list, or detach it "
            "(state: absent)"
            for disk in self._disks.values()
            if disk.vbd.domid in self._complete
            and disk.slot not in self._wanted_slots
            and not disk.vbd.is_cd
        ]

    def settle(self) -> None:
        """See Resource.settle: read what is attached, once for all items."""
        self._after = Attached.now()

    @property
    def _attached_after(self) -> Attached:
        """As ``settle`` has read it, or read now."""
        return self._after or Attached.now()

    # ---- present ----

    def _wanted(self, item: VbdItem, domain: Domain) -> WantedVbd:
        if item.slot is None or item.target is None:
            option = "vdev" if item.slot is None else "target"
            raise XenError(f"{option} is missing: set vdev and target of a disk to attach")
        target, storage = self._find(item, item.target)
        return WantedVbd(item, domain, item.slot.xenstore_key, target, storage)

    def _find(self, item: VbdItem, target: str) -> Tuple[str, Storage]:
        """See Attached.find; an earlier task may be about to make the target."""
        try:
            return self._attached.find(item.disk)
        except (MissingError, loop_binding.LoopError):
            if not loop_link.is_announced(target, self._pending):
                raise
            return target, self._announced_storage(item.disk, target)

    def _announced_storage(self, disk: DiskSpec, target: str) -> Storage:
        """What a target will lead to that an earlier task makes: an image that exists already may
        have other users."""
        image = loop_link.linked_image(target) if loop_link.is_link(target) else target
        with suppress(MissingError, loop_binding.LoopError):
            return self._attached.find(replace(disk, target=image))[1]
        return Storage(target)

    def _plan_present(self, wanted: WantedVbd) -> Plan:
        spec = wanted.spec
        self._refuse_second(wanted.slot, wanted.vdev, wanted.domain)
        found = self._disks.get(wanted.slot)
        before = _state(wanted.domain, wanted.devid, found.vbd if found else None)
        read_back = partial(self._read_back_present, wanted)
        if found and not vbd_attach_disk.differences(wanted, found):
            return Plan(before, before, read_back)
        sentence = vbd_attach_disk.sentence(wanted, found)
        with explained(f"cannot {sentence}"):
            self._refuse(wanted, found)
            warnings = self._attached.warnings(wanted.as_disk())
        self._disks[wanted.slot] = wanted.as_disk()
        action = Action(sentence, partial(self._bring, sentence, wanted, spec, found))
        return Plan(before, _expected_state(wanted), read_back, [action], warnings)

    def _refuse_second(self, slot: VbdSlot, vdev: str, domain: Domain) -> None:
        if slot in self._wanted_slots:
            raise XenError(f"slot {vdev} of domain {domain.name} is listed twice; list it once")
        self._wanted_slots.add(slot)

    def _refuse(self, wanted: WantedVbd, found: Optional[AttachedDisk]) -> None:
        """Raise XenError if the disk must not be attached; ``found`` is the one in its slot."""
        if found and not wanted.item.replace:
            # Another program may be about to attach this very disk.
            first = "run again, and if it stays so " if found.vbd.is_coming else ""
            raise XenError(
                f"{vbd_attach_disk.taken(wanted, found)}; {first}set replace: true to swap it"
            )
        if found:
            self._attached.refuse_detach(found.vbd)
        if wanted.item.disk.specification == "virtio":
            raise XenError(
                "xl cannot attach a virtio disk to a running domain; add it to the config, and "
                "start the domain again"
            )
        self._attached.refuse(wanted.as_disk(), self._disks.values())
        # This reads from the target, so it comes after the look for writes that hang there.
        vbd_attach_disk.refuse_as_raw(wanted, found)

    def _bring(
        self, sentence: str, wanted: WantedVbd, spec: str, old: Optional[AttachedDisk]
    ) -> Learned:
        with explained(f"cannot {sentence}"), domain_lock(wanted.domain):
            if old is None:
                return Learned(warnings=self._attach(wanted, spec))
            return Learned(warnings=self._replace(wanted, spec, old))

    def _attach(self, wanted: WantedVbd, spec: str) -> Sequence[str]:
        """Attach the disk unless another run has done so, and return warnings.

        The lock is held until the disk is in xenstore, where other runs see it.
        """
        with locks.exclusive(sharing_rules.LOCK, LOCK_SECONDS):
            now = Attached.now()
            found = now.disks.get(wanted.slot)
            if found and vbd_attach_disk.differences(wanted, found):
                raise XenError(f"{vbd_attach_disk.taken(wanted, found)}; {_remedy(found)}")
            if found:
                return ()
            if not wanted.storage.is_same(now.find(wanted.item.disk)[1]):
                raise XenError("another program changed where its target leads; run again")
            now.refuse(wanted.as_disk(), now.disks.values())
            attach = partial(xl.attach, wanted.domain, wanted.devid, spec)
            warnings = attach_patiently(attach, wanted.storage, now)
        if wanted.item.wait_for:
            states = AWAITED[wanted.item.wait_for]
            xl.await_state(wanted.domain, wanted.devid, states, wanted.item.timeout)
        return warnings

    def _replace(self, wanted: WantedVbd, spec: str, old: AttachedDisk) -> Sequence[str]:
        left, gone = (_state(wanted.domain, wanted.devid, vbd) for vbd in (old.vbd, None))
        take_away(wanted.item, wanted.domain, old, left, gone)
        try:
            return self._attach(wanted, spec)
        except (BlockdevError, OSError) as error:
            is_back, outcome = put_back(wanted.domain, old)
            message = f"{error}; {old.vbd.target} {outcome}"
            if is_back:
                raise XenError(message) from None
            done = detach_sentence(wanted.domain, old.vbd)
            raise PartlyDoneError(message, gone, done) from None

    def _read_back_present(self, wanted: WantedVbd) -> State:
        found = self._attached_after.disks.get(wanted.slot)
        if found is None:
            raise XenError(
                f"{wanted.target} was attached to domain {wanted.domain.name}, but another program "
                "detached it; run again"
            )
        if vbd_attach_disk.differences(wanted, found):
            raise XenError(
                f"{vbd_attach_disk.taken(wanted, found)}, although that was just attached; "
                "run again"
            )
        return _state(wanted.domain, wanted.devid, found.vbd)

    # ---- CDs ----

    def _plan_medium(self, item: VbdItem, domain: Domain, disk: AttachedDisk) -> Plan:
        medium = None if item.target is None else Medium(*self._find(item, item.target))
        wanted = WantedMedium.of(item, domain, medium)
        self._refuse_second(disk.slot, disk.vbd.vdev, domain)
        drive = self._drives.of(disk)
        read_back = partial(self._read_back_medium, wanted, drive)
        if drive.holds(wanted.medium):
            return Plan(drive.state, drive.state, read_back)
        sentence, after = wanted.sentence(drive), drive.with_medium(wanted.medium)
        with explained(f"cannot {sentence}"):
            vbd_attach_cdrom.refuse_medium(wanted, drive, self._attached, self._disks.values())
            warnings = self._attached.warnings(after.as_disk())
        self._expect(after)
        action = self._changing(sentence, wanted, drive)
        return Plan(drive.state, after.state, read_back, [action], warnings)

    def _changing(self, sentence: str, wanted: WantedMedium, drive: CdDrive) -> Action:
        def change() -> None:
            with explained(f"cannot {sentence}"), domain_lock(wanted.domain):
                vbd_attach_cdrom.change(wanted, drive)

        return Action(sentence, change)

    def _read_back_medium(self, wanted: WantedMedium, drive: CdDrive) -> State:
        return vbd_attach_cdrom.state_after(wanted, drive, self._attached_after)

    # ---- absent ----

    def _plan_absent(self, item: VbdItem, domain: Domain) -> Plan:
        if item.slot is None and item.target is None:
            raise XenError("vdev and target are missing: set one of them for the disk to detach")
        disks = self._to_detach(item, domain)
        actions = [self._taking_away(item, domain, disk) for disk in disks]
        return Plan(
            before=_absent_state(domain, [disk.vbd for disk in disks]),
            after=_absent_state(domain, [], disks),
            read_back=partial(self._read_back_absent, domain, disks),
            actions=actions,
        )

    def _to_detach(self, item: VbdItem, domain: Domain) -> List[AttachedDisk]:
        disks = [disk for disk in self._disks.values() if disk.vbd.domid == domain.domid]
        if item.slot is not None:
            devid = item.slot.xenstore_key
            disks = [disk for disk in disks if disk.vbd.xenstore_key == devid]
        wanted = None if item.target is None else self._found_or_named(item, item.target)
        return [disk for disk in disks if self._is_concerned(item, wanted, domain, disk)]

    def _is_concerned(
        self, item: VbdItem, wanted: Optional[Storage], domain: Domain, disk: AttachedDisk
    ) -> bool:
        """Whether the disk has the data of the item's target; ``wanted``: that data, None for any.
        An empty CD drive has nothing to eject."""
        if vbd_attach_cdrom.is_drive(domain, disk):
            return self._drives.has(disk, wanted)
        return wanted is None or _is_target(str(item.target), wanted, disk)

    def _taking_away(self, item: VbdItem, domain: Domain, disk: AttachedDisk) -> Action:
        if not vbd_attach_cdrom.is_drive(domain, disk):
            with explained(f"cannot {detach_sentence(domain, disk.vbd)}"):
                self._attached.refuse_detach(disk.vbd)
            del self._disks[disk.slot]
            return self._detaching(item, domain, disk)
        drive, empty = self._drives.of(disk), WantedMedium(item, domain, None)
        self._expect(drive.with_medium(None))
        return self._changing(empty.sentence(drive), empty, drive)

    def _found_or_named(self, item: VbdItem, target: str) -> Storage:
        """The storage of a target; by its name alone if the target is gone."""
        try:
            return self._attached.find(item.disk)[1]
        except BlockdevError:
            return Storage(target)

    def _detaching(self, item: VbdItem, domain: Domain, disk: AttachedDisk) -> Action:
        sentence = detach_sentence(domain, disk.vbd)

        def detach() -> None:
            with explained(f"cannot {sentence}"), domain_lock(domain):
                left, gone = _absent_state(domain, [disk.vbd]), _absent_state(domain, [], [disk])
                take_away(item, domain, disk, left, gone)

        # dom0 does not learn from a frontend whether its guest has the disk mounted.
        return Action(f"{sentence}, even if its guest has it mounted", detach)

    def _read_back_absent(self, domain: Domain, disks: Sequence[AttachedDisk]) -> State:
        left = [disk for disk in disks if self._is_left(domain, disk)]
        if left:
            slots = ", ".join(disk.vbd.vdev for disk in left)
            raise XenError(
                f"{slots} of domain {domain.name} was emptied, but another program has filled it "
                "again; run again"
            )
        return _absent_state(domain, [], disks)

    def _is_left(self, domain: Domain, detached: AttachedDisk) -> bool:
        """Whether the disk is still in its slot, or something in that CD drive, and no other item
        brought it there."""
        if detached.slot in self._wanted_slots:
            return False
        after = self._attached_after
        found = after.disks.get(detached.slot)
        if found and vbd_attach_cdrom.is_drive(domain, found):
            return CdDrives(after).has(found, None)
        return found is not None and found.vbd.target == detached.vbd.target


# ---- comparing ----


def _is_target(target: str, wanted: Storage, disk: AttachedDisk) -> bool:
    """Whether a disk has the wanted storage, or was attached with the target's name and a hotplug
    script of its own: only that script knows the storage."""
    is_named_so = vbd_attach_disk.own_script(disk.vbd) is not None and disk.vbd.target == target
    return is_named_so or wanted.is_same(disk.storage)


def _remedy(found: AttachedDisk) -> str:
    """What to do if a slot was empty when planned, but holds a disk now."""
    if not found.vbd.online:
        return "have the guest release it, or set force: true to detach it"
    return "another program attached it just now; run again"


# ---- results ----


def _plan_not_running(item: VbdItem, warnings: Sequence[str] = ()) -> Plan:
    if not item.skip_if_not_running:
        raise XenError(
            f"domain {item.domain} is not running on this host; start it, or set "
            "when_not_running: skip"
        )
    state = {"running": False}
    return Plan(state, state, lambda: state, warnings=list(warnings))


def _state(domain: Domain, devid: int, vbd: Optional[Vbd]) -> State:
    state: State = {"running": True, "domid": domain.domid, "xenstore_key": devid}
    if vbd:
        state["access"] = vbd.access
        state["backendtype"] = vbd.backendtype
        state["physical_device"] = decimal(vbd.physical_device)
        state["backend_state"] = vbd.backend_state
        state["frontend_state"] = vbd.frontend_state
    return state


def _expected_state(wanted: WantedVbd) -> State:
    """The state once the disk is attached, as far as it is known beforehand."""
    state = {**_state(wanted.domain, wanted.devid, None), "access": wanted.access}
    rdev = wanted.storage.rdev
    if rdev is not None:
        state["physical_device"] = decimal((os.major(rdev), os.minor(rdev)))
    if wanted.item.wait_for == "connected":
        state["backend_state"] = xen_state.CONNECTED
    return state


def _absent_state(
    domain: Domain, vbds: Iterable[Vbd], detached: Iterable[AttachedDisk] = ()
) -> State:
    """``vbds``: the disks that are still attached. ``detached``: those that were detached."""
    return {
        "running": True,
        "domid": domain.domid,
        "slots": [vbd.xenstore_key for vbd in vbds],
        "detached": [{"domain": domain.name, "vdev": disk.vbd.vdev} for disk in detached],
    }
