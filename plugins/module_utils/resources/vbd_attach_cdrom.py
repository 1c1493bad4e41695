# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CD drives of running HVM guests: CDs are inserted and ejected, the drives stay.

QEMU emulates the drives, so what it has in them counts. xenstore has what libxl wrote last, by
which the guest is migrated and started again. libxl can neither add a drive to a running guest nor
put back one that was detached; it can change what is in it (``libxl_cdrom_insert``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, Iterable, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import (
    PartlyDoneError,
    State,
    UnexpectedStateError,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk import target as disk_target
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host import locks
from ansible_collections.xen.blockdev.plugins.module_utils.resources import vbd_attach_disk
from ansible_collections.xen.blockdev.plugins.module_utils.resources.vbd_attach_disk import (
    Attached,
    AttachedDisk,
    VbdSlot,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.vbd_attach_item import VbdItem
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import rules as sharing_rules
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.storage import Storage
from ansible_collections.xen.blockdev.plugins.module_utils.xen import device_model, xl
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Domain, Vbd

EMPTY = f"{device_model.RUN_DIR}/empty-cdrom."
"""How the target of an empty drive with ``backendtype=phy`` begins, since Xen 4.19
(LIBXL_STUBDOM_EMPTY_CDROM)."""


@dataclass(frozen=True)
class Medium:
    """A CD: an image or a block device."""

    path: str
    storage: Storage


@dataclass(frozen=True)
class CdDrive:
    """A CD drive of a running HVM guest, and what is in it."""

    vbd: Vbd
    qemu_name: str
    medium: Optional[Medium]
    """What QEMU has in the drive; None if it is empty."""
    recorded: Optional[Medium]
    """What xenstore says that is in it."""
    is_locked: bool = False
    """Whether its guest has to release it before anything can change."""

    @property
    def place(self) -> str:
        """Which drive, for a message."""
        return f"drive {self.vbd.vdev} of domain {self.vbd.domain}"

    @property
    def content(self) -> str:
        """A clause that says what is in it."""
        shown = _shown(self.medium)
        if _is_same(self.medium, self.recorded):
            return f"{self.place} {shown}"
        return f"{self.place} {shown} in QEMU, but {_shown(self.recorded)} in xenstore"

    @property
    def state(self) -> State:
        """Its result keys."""
        return {**self.known_state, "medium": self.medium.path if self.medium else None}

    @property
    def known_state(self) -> State:
        """Those that say nothing about what is in it."""
        domid, key = self.vbd.domid, self.vbd.xenstore_key
        return {"running": True, "domid": domid, "xenstore_key": key, "access": "ro"}

    def holds(self, medium: Optional[Medium]) -> bool:
        """Whether this medium is in it, or nothing for None, in QEMU and in xenstore."""
        return _is_same(self.medium, medium) and _is_same(self.recorded, medium)

    def has(self, storage: Storage) -> bool:
        """Whether it holds this data, in QEMU or in xenstore."""
        media = (self.medium, self.recorded)
        return any(one is not None and storage.is_same(one.storage) for one in media)

    def with_medium(self, medium: Optional[Medium]) -> CdDrive:
        """The drive once the medium is in it, or none."""
        return replace(self, medium=medium, recorded=medium, is_locked=False)

    def as_disk(self) -> AttachedDisk:
        """The disk that the guest has once the medium is in it, to compare it with others."""
        path = self.medium.path if self.medium else ""
        storage = self.medium.storage if self.medium else Storage(path)
        vbd = replace(self.vbd, target=path, access="ro", physical_device=None)
        return AttachedDisk(vbd, storage, planned=True)


def _is_same(one: Optional[Medium], other: Optional[Medium]) -> bool:
    if one is None or other is None:
        return one is other
    return one.storage.is_same(other.storage)


def _path(medium: Optional[Medium]) -> str:
    return medium.path if medium else "nothing"


def _shown(medium: Optional[Medium]) -> str:
    return f"holds {medium.storage.name}" if medium else "is empty"


# ---- which disks are drives ----


def is_drive(domain: Domain, disk: Optional[AttachedDisk]) -> bool:
    """Whether a disk of the domain is a CD drive whose medium can be changed."""
    return domain.is_hvm and disk is not None and disk.vbd.is_cd


class CdDrives:
    """The drives at one moment, with what will be in them after the actions planned so far."""

    def __init__(self, attached: Attached) -> None:
        self._attached = attached
        self._planned: Dict[VbdSlot, CdDrive] = {}

    def find(self, disk: AttachedDisk) -> Optional[CdDrive]:
        """The drive that is this disk; None if no QEMU in dom0 emulates it. Raises XenError if QEMU
        does not answer."""
        if disk.slot not in self._planned:
            found = find(self._attached, disk)
            if found is None:
                return None
            self._planned[disk.slot] = found
        return self._planned[disk.slot]

    def of(self, disk: AttachedDisk) -> CdDrive:
        """The same. Raises XenError if there is none."""
        found = self.find(disk)
        if found is None:
            raise _without_qemu(disk)
        return found

    def has(self, disk: AttachedDisk, storage: Optional[Storage]) -> bool:
        """Whether the drive that is this disk has that data in it, or anything for None. Raises
        XenError if QEMU cannot tell."""
        if self.find(disk) is None and storage and not storage.is_same(disk.storage):
            return False
        drive = self.of(disk)
        return drive.has(storage) if storage else not drive.holds(None)

    def expect(self, drive: CdDrive) -> None:
        """A planned action will leave the drive like this."""
        self._planned[drive.vbd.domid, drive.vbd.xenstore_key] = drive


def find(attached: Attached, disk: AttachedDisk) -> Optional[CdDrive]:
    """See CdDrives.find."""
    vbd = disk.vbd
    emulated = attached.emulated.of_vbd(vbd)
    if emulated is None:
        return None
    path = emulated.medium
    return CdDrive(
        vbd=vbd,
        qemu_name=emulated.name,
        medium=Medium(path, attached.storage_of_medium(path, vbd.domid)) if path else None,
        recorded=_recorded(attached, vbd),
        is_locked=emulated.is_locked,
    )


def _recorded(attached: Attached, vbd: Vbd) -> Optional[Medium]:
    if not vbd.target or vbd.target.startswith(EMPTY):
        return None
    # xl does not write the device of a new medium.
    return Medium(vbd.target, attached.storage_of_vbd(replace(vbd, physical_device=None)))


def find_now(attached: Attached, planned: CdDrive) -> CdDrive:
    """The planned drive as it is in ``attached``. Raises XenError if it is not there any more, or
    QEMU does not answer."""
    disk = attached.disks.get((planned.vbd.domid, planned.vbd.xenstore_key))
    found = find(attached, disk) if disk and disk.vbd.is_cd else None
    if found is None:
        raise XenError(f"{planned.place} is not there any more; run again")
    return found


def _without_qemu(disk: AttachedDisk) -> XenError:
    return XenError(
        f"QEMU in dom0 does not emulate the CD drive {disk.vbd.vdev} of domain {disk.vbd.domain}: "
        "a guest has such drives only as hda to hdd, and dom0 can reach them only if the domain's "
        "QEMU does not run in a stub domain"
    )


def refuse_other_kind(domain: Domain, item: VbdItem, found: Optional[AttachedDisk]) -> None:
    """Raise XenError if the item is a CD drive and its slot has none, or the reverse: one cannot
    become the other. ``found``: what is in the slot."""
    place = f"slot {item.vdev} of domain {domain.name}"
    is_cd_there = found is not None and found.vbd.is_cd
    if item.disk.is_cd and found and not is_cd_there:
        remedy = "leave out devtype: cdrom to detach it" if item.is_absent else "use another vdev"
        raise XenError(f"{place} holds the disk {found.vbd.target}, not a CD drive; {remedy}")
    if item.is_absent:
        return
    if is_drive(domain, found) and not item.disk.is_cd:
        raise XenError(
            f"{place} is a CD drive, which stays as long as the guest runs; use another vdev, or "
            "set devtype: cdrom to insert a CD"
        )
    if item.disk.is_cd and not is_cd_there and not domain.is_hvm:
        raise XenError(
            f"domain {domain.name} is no HVM guest, so it has no CD drives; give it the image as a "
            "disk with access: ro, without devtype: cdrom"
        )
    if item.disk.is_cd and not is_cd_there:
        raise XenError(
            f"{place} has no CD drive, and a running guest cannot get one: write its config (with "
            "provision: --tags domain_config), shut the guest down and start it again"
        )


# ---- changing what is in a drive ----


@dataclass(frozen=True)
class WantedMedium:
    """What is to be in a drive."""

    item: VbdItem
    domain: Domain
    medium: Optional[Medium]
    """None for an empty drive."""

    @classmethod
    def of(cls, item: VbdItem, domain: Domain, medium: Optional[Medium]) -> WantedMedium:
        """That of an item. Raises BlockdevError if the item cannot be a CD."""
        replace(item.disk, access="ro").check()
        return cls(item, domain, medium)

    def sentence(self, drive: CdDrive) -> str:
        """The sentence of the action that brings it into the drive, or ejects what is in it."""
        stays = "; the drive stays until the guest is shut down" if self.item.is_absent else ""
        release = ", once its guest has released it" if drive.is_locked else ""
        if self.medium is None and drive.medium is None:
            named = _path(drive.recorded)
            return f"eject {named} from {drive.place}, which only xenstore names{release}{stays}"
        if self.medium is None:
            return f"eject {_path(drive.medium)} from {drive.place}{release}{stays}"
        insert = f"insert {self.item.target} into {drive.place}"
        if _is_same(self.medium, drive.medium):
            return f"{insert} again, as xenstore names {_path(drive.recorded)}{release}"
        in_place = f" in place of {drive.medium.path}" if drive.medium else ""
        return f"{insert}{in_place}{release}"


def _refuse_what_xl_cannot_insert(item: VbdItem) -> None:
    """Raise XenError for what a running guest cannot get: ``xl cd-insert`` takes only a path."""
    disk = item.disk
    if disk.format not in (None, "raw"):
        raise XenError(
            f"xl inserts only raw images and block devices, and this is format: {disk.format}; "
            "convert it (`qemu-img convert -O raw`)"
        )
    if disk_target.is_left_to_others(disk):
        raise XenError(
            "xl inserts only what has a path in dom0: leave out script and backend, and give the "
            "path of an image or a block device"
        )


def refuse_medium(
    wanted: WantedMedium, drive: CdDrive, attached: Attached, beside: Iterable[AttachedDisk]
) -> None:
    """Raise BlockdevError if the guest must not get the medium. ``beside``: the other disks that
    are attached, or will be."""
    if wanted.medium is None:
        return
    _refuse_what_xl_cannot_insert(wanted.item)
    # What QEMU has open already is no news to anybody.
    if not _is_same(drive.medium, wanted.medium):
        attached.refuse(drive.with_medium(wanted.medium).as_disk(), beside)
        vbd_attach_disk.refuse_foreign_as_raw(
            wanted.item, wanted.medium.path, wanted.medium.storage
        )


def change(wanted: WantedMedium, planned: CdDrive) -> None:
    """Bring the medium into the drive, or eject what is in it.

    Raises PartlyDoneError if that failed after the old medium was ejected. The caller holds the
    lock of the domain.
    """
    now = Attached.now()
    drive = find_now(now, planned)
    if drive.holds(wanted.medium):
        return
    if not (_is_same(drive.medium, planned.medium) or _is_same(drive.medium, wanted.medium)):
        raise XenError(f"another program has changed what is in it: {drive.content}; run again")
    _refuse_now(wanted, drive, now)
    try:
        if drive.medium or drive.recorded or drive.is_locked:
            xl.eject_cd(wanted.domain, drive.vbd.vdev, drive.qemu_name, wanted.item.timeout)
        if wanted.medium:
            _insert(wanted, wanted.medium, drive)
    except (BlockdevError, OSError) as error:
        raise _failure(error, drive) from None


def _insert(wanted: WantedMedium, medium: Medium, drive: CdDrive) -> None:
    """The lock is held until the medium is in xenstore, where other runs see it."""
    with locks.exclusive(sharing_rules.LOCK, sharing_rules.LOCK_SECONDS):
        now = Attached.now()
        _refuse_now(wanted, drive, now)
        # If it was in the drive before, another guest may have got it since.
        now.refuse(drive.with_medium(medium).as_disk(), now.disks.values())
        xl.insert_cd(wanted.domain, drive.vbd.vdev, drive.qemu_name, medium.path)


def _refuse_now(wanted: WantedMedium, drive: CdDrive, now: Attached) -> None:
    """Raise BlockdevError if the guest must not get the medium that was planned, or no longer."""
    medium = wanted.medium
    if medium and not medium.storage.is_same(now.find(wanted.item.disk)[1]):
        raise XenError("another program changed where its target leads; run again")
    refuse_medium(wanted, drive, now, now.disks.values())


def _failure(error: Exception, before: CdDrive) -> BlockdevError:
    """The error of a change that failed, with what is in the drive now."""
    try:
        now = find_now(Attached.now(), before)
    except BlockdevError as unknown:
        message = f"{error}; what is in {before.place} now is not known: {unknown}"
        return PartlyDoneError(message, before.known_state, f"change what is in {before.place}")
    if _is_same(now.medium, before.medium) and _is_same(now.recorded, before.recorded):
        return XenError(str(error))
    done = f"change what xenstore says is in {before.place}"
    if before.medium and not now.medium:
        done = f"eject {before.medium.path} from {before.place}"
    return PartlyDoneError(f"{error}; {now.content} now", now.state, done)


def state_after(wanted: WantedMedium, planned: CdDrive, attached: Attached) -> State:
    """The state of the drive after its change. Raises UnexpectedStateError."""
    now = find_now(attached, planned)
    if now.holds(wanted.medium):
        return now.state
    raise UnexpectedStateError(
        f"{now.content}, although that was just changed; run again", now.state
    )
