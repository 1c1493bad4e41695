# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk to attach, compared with the one in its slot."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Iterable, List, Mapping, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.disk import target as disk_target
from ansible_collections.xen.blockdev.plugins.module_utils.disk.attached import (
    READ_BACK,
    option_differences,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host import locks
from ansible_collections.xen.blockdev.plugins.module_utils.image import raw_content
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding
from ansible_collections.xen.blockdev.plugins.module_utils.resources.vbd_attach_item import VbdItem
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import rules as sharing_rules
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.emulated import EmulatedDrives
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.media import OpenMedia
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.rules import Claim
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.storage import (
    Storage,
    backing_file_of,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage, User
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Domain, Vbd
from ansible_collections.xen.blockdev.plugins.module_utils.xen.xenstore import Store

SHARING_HINT = "detach it there first, or attach it with access: ro in both places"

VbdSlot = Tuple[int, int]
"""Domain id and devid: Xen's word for the number of a disk's slot, its name in xenstore."""


@dataclass(frozen=True)
class AttachedDisk:
    """A disk that is attached, or will be once the actions have run."""

    vbd: Vbd
    storage: Storage
    planned: bool = False
    """Whether another item of the same call will attach it."""

    @property
    def slot(self) -> VbdSlot:
        """Its domain and slot."""
        return self.vbd.domid, self.vbd.xenstore_key

    @property
    def claim(self) -> Claim:
        """The same, to compare it with the disks of others."""
        return Claim.of_vbd(self.vbd, self.storage, self.planned)


@dataclass(frozen=True)
class WantedVbd:
    """A disk to attach: an item of the module, and what its domain and target are on this host."""

    item: VbdItem
    domain: Domain
    devid: int
    target: str
    """The path that xl gets."""
    storage: Storage

    @property
    def slot(self) -> VbdSlot:
        """Its domain and slot."""
        return self.domain.domid, self.devid

    @property
    def vdev(self) -> str:
        """The slot in the form that xl takes."""
        vdev = str(self.item.vdev)
        return vdev[len("/dev/") :] if vdev.startswith("/dev/") else vdev

    @property
    def access(self) -> str:
        """``rw`` or ``ro``."""
        return self.item.disk.effective_access

    @property
    def format(self) -> str:
        """The format of the target, as xl calls it."""
        return self.item.disk.format or "raw"

    @property
    def spec(self) -> str:
        """The disk in xl's syntax. Raises DiskSpecError."""
        disk = replace(
            self.item.disk,
            target=self.target,
            vdev=self.vdev,
            access=self.access,
            format=self.format,
        )
        return disk.render()

    def as_disk(self) -> AttachedDisk:
        """The disk that will be in the slot once it is attached."""
        vbd = Vbd(
            domid=self.domain.domid,
            domain=self.domain.name,
            xenstore_key=self.devid,
            vdev=self.vdev,
            target=self.target,
            access=self.access,
        )
        return AttachedDisk(vbd, self.storage, planned=True)


class Attached:
    """The running domains and their disks at one moment."""

    def __init__(self, store: Store) -> None:
        """``store``: of xenstore, read just before."""
        self.domains = xen_state.domains(store)
        # The loop devices are read after xenstore: xl's script binds an image before its disk is
        # in xenstore, so every disk that was read has its loop device.
        self._usage = Usage(xen_state.vbds(store))
        found = [AttachedDisk(vbd, self._usage.storages.of_vbd(vbd)) for vbd in self._usage.vbds]
        self.disks: Mapping[VbdSlot, AttachedDisk] = {disk.slot: disk for disk in found}
        self.emulated = EmulatedDrives(self.domains, self._usage.storages)
        self._media = OpenMedia(self._usage.storages)

    @classmethod
    def now(cls) -> Attached:
        """What is attached at this moment. Raises XenError."""
        return cls(xen_state.read_store())

    @property
    def bindings(self) -> List[Binding]:
        """The bound loop devices."""
        return self._usage.bindings

    def find(self, disk: DiskSpec) -> Tuple[str, Storage]:
        """The target that xl gets for a disk with these options, and its storage.

        Raises BlockdevError: MissingError if there is no such target, LoopError if an image is not
        bound.
        """
        disk_target.check(disk)
        target = str(disk.target)
        if disk.script:
            return target, Storage(target)
        if disk.backend_domain is not None:
            return target, Storage(f"{target} of domain {self._domid(disk.backend_domain)}")
        if disk_target.is_left_to_others(disk):
            return target, Storage(target)
        if loop_link.is_link(target):
            target = loop_binding.device_of_link(target, lambda: self.bindings)
        return target, self._usage.storages.of_path(target, disk.format)

    def _domid(self, backend: str) -> int:
        """The id of the driver domain of a disk. Raises XenError if it is not running here."""
        server = xen_state.find_domain(backend, self.domains)
        if server is None:
            raise XenError(f"its driver domain {backend} (backend) is not running on this host")
        return server.domid

    def storage_of_vbd(self, vbd: Vbd) -> Storage:
        """See Storages.of_vbd."""
        return self._usage.storages.of_vbd(vbd)

    def storage_of_medium(self, path: str, domid: int) -> Storage:
        """See OpenMedia.storage_of."""
        return self._media.storage_of(path, domid)

    def refuse(self, disk: AttachedDisk, beside: Iterable[AttachedDisk]) -> None:
        """Raise XenError if the disk must not be attached: if dom0 itself uses its data, or one of
        the disks ``beside`` it, in another slot, has them and not both are read-only."""
        others = [other.claim for other in beside if other.slot != disk.slot]
        sharing_rules.refuse_sharing(disk.claim, others, SHARING_HINT)
        sharing_rules.refuse_use_by_dom0(disk.claim, self._usage)

    def refuse_detach(self, vbd: Vbd) -> None:
        """Raise XenError if the disk cannot be taken away from its running domain: QEMU keeps what
        it emulates open, even if xl takes it away by force."""
        drive = self.emulated.of_vbd(vbd)
        if drive:
            raise XenError(
                f"QEMU emulates it for the guest (drive {drive.name}), which does not use it by PV "
                "drivers, and would keep it open; shut the guest down first"
            )
        if vbd.specification == "virtio":
            raise XenError("xl cannot detach a virtio disk; shut the guest down first")

    def left_open(self, disk: AttachedDisk) -> List[User]:
        """The QEMU of the disk's domain if it keeps a detached disk open."""
        users = self._usage.left_open(disk.storage)
        return [user for user in users if user.domid == disk.vbd.domid]

    def warnings(self, disk: AttachedDisk) -> List[str]:
        """See sharing_rules.sharing_warnings."""
        return sharing_rules.sharing_warnings(disk.claim, self._usage)


def refuse_as_raw(wanted: WantedVbd, found: Optional[AttachedDisk]) -> None:
    """Raise BlockdevError if an image of another format would be attached as raw, unless the user
    sets ``format: raw``. A disk ``found`` in the slot that is raw already stays so: its guest may
    have written the signature."""
    has_it = found and found.vbd.format == "raw" and wanted.storage.is_same(found.storage)
    if not has_it:
        refuse_foreign_as_raw(wanted.item, wanted.target, wanted.storage)


def refuse_foreign_as_raw(item: VbdItem, target: str, storage: Storage) -> None:
    """Raise BlockdevError if what is at the path ``target`` is an image of another format, unless
    the user sets ``format: raw``."""
    if item.disk.format is not None or not storage.identities:
        return
    with suppress(FileNotFoundError):
        raw_content.refuse_foreign(target, os.stat(target))


def differences(wanted: WantedVbd, found: AttachedDisk) -> List[str]:
    """How the disk in the slot differs from the wanted one, a clause each."""
    vbd = found.vbd
    if vbd.flaw:
        return [f"which {vbd.flaw}"]
    if not wanted.storage.is_same(found.storage):
        return [f"not {wanted.target}"]
    return option_differences(vbd, wanted.item.disk)


def taken(wanted: WantedVbd, found: AttachedDisk) -> str:
    """For an error: which other disk the slot holds."""
    clauses = ", ".join(differences(wanted, found))
    slot = f"slot {wanted.vdev} of domain {wanted.domain.name}"
    return f"{slot} holds {_with_new_name(found.vbd)}, {clauses}"


def _with_new_name(vbd: Vbd) -> str:
    """The target, and the new name of its image if that was renamed."""
    target = vbd.target
    path = loop_link.linked_image(target) if loop_link.is_link(target) else target
    now = None if loop_binding.number_of(path) is not None else backing_file_of(vbd)
    return target if now in (None, os.path.realpath(path)) else f"{target} (now {now})"


def sentence(wanted: WantedVbd, found: Optional[AttachedDisk]) -> str:
    """The sentence of the action that attaches the disk; ``found`` is the one in its slot."""
    place = f"domain {wanted.domain.name} as {wanted.vdev}"
    # The target as the user wrote it: check mode does not know to which loop device a link leads.
    disk = f"{wanted.item.target} ({wanted.access})"
    if found:
        return f"replace {found.vbd.target} ({found.vbd.access}) in {place} with {disk}"
    return f"attach {disk} to {place}"


def own_script(vbd: Vbd) -> Optional[str]:
    """The disk's own hotplug script; None if it has Xen's default one."""
    return vbd.script if vbd.script != locks.XL_SCRIPT else None


def spec_of(vbd: Vbd) -> str:
    """An attached disk in xl's syntax, to attach it again. Raises DiskSpecError."""
    options = {name: getattr(vbd, name) for name in (*READ_BACK, "target", "vdev", "access")}
    return DiskSpec.of_options({**options, "script": own_script(vbd)}).render()
