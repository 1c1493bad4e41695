# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that is to be attached, beside the one that its slot holds."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.disk import spec as disk_spec
from ansible_collections.xen.blockdev.plugins.module_utils.disk import target as disk_target
from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host import locks
from ansible_collections.xen.blockdev.plugins.module_utils.image import raw_content
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import rules as sharing_rules
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.rules import Claim
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.storage import (
    Storage,
    backing_file,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Domain, Vbd

SHARING_HINT = "detach that first, or attach it with access: ro in both places"

SPEC_OPTIONS = tuple(key for key in disk_spec.KEYS if key not in ("target", "vdev", "access"))
"""The options of an item that go into the disk's specification as they are."""

READ_BACK = ("format", "backendtype", "devtype", "discard", "direct_io_safe", "specification")
"""Those that xenstore tells of an attached disk. C(backend) belongs to what is compared as its
storage; C(trusted) is where the guest can write it, so it tells nothing."""

Slot = Tuple[int, int]
"""Domain id and xenstore key."""


@dataclass(frozen=True)
class Disk:
    """A disk that is attached, or that will be once the actions have run."""

    vbd: Vbd
    storage: Storage
    planned: bool = False
    """Whether another item of the same call is to attach it."""

    @property
    def slot(self) -> Slot:
        """Where it is."""
        return self.vbd.domid, self.vbd.xenstore_key

    @property
    def claim(self) -> Claim:
        """What its domain has by it."""
        return Claim.of_vbd(self.vbd, self.storage, self.planned)


@dataclass(frozen=True)
class Wanted:
    """One item that is to be attached, with everything it names found."""

    item: Mapping[str, Any]
    domain: Domain
    key: int
    target: str
    """The path that xl is told."""
    storage: Storage

    @property
    def slot(self) -> Slot:
        """Where it is to be."""
        return self.domain.domid, self.key

    @property
    def vdev(self) -> str:
        """The slot as xl takes it."""
        vdev = str(self.item["vdev"])
        return vdev[len("/dev/") :] if vdev.startswith("/dev/") else vdev

    @property
    def access(self) -> str:
        """C(rw) or C(ro)."""
        return disk_spec.access_of(self.item)

    @property
    def format(self) -> str:
        """What is in the target."""
        return str(self.item["format"] or "raw")

    @property
    def spec(self) -> str:
        """The disk as xl writes it. Raises DiskSpecError."""
        options = {name: self.item[name] for name in SPEC_OPTIONS}
        slot = {"target": self.target, "vdev": self.vdev, "access": self.access}
        options["format"] = self.format
        return disk_spec.render(disk_spec.said({**options, **slot}))

    def as_disk(self) -> Disk:
        """What will be there once it is attached."""
        vbd = Vbd(
            domid=self.domain.domid,
            domain=self.domain.name,
            xenstore_key=self.key,
            vdev=self.vdev,
            target=self.target,
            access=self.access,
        )
        return Disk(vbd, self.storage, planned=True)


class Attached:
    """The disks of all domains at one moment, and what is behind the targets of others."""

    def __init__(self, usage: Usage) -> None:
        """C(usage): the users of this host's devices and files at that moment."""
        # In this order: xl's script binds an image before its disk is there.
        vbds = usage.vbds
        self.bindings = usage.bindings
        """The bound loop devices."""
        self._storages = usage.storages
        self._usage = usage
        disks = [Disk(vbd, self._storages.of_vbd(vbd)) for vbd in vbds]
        self.disks: Dict[Slot, Disk] = {disk.slot: disk for disk in disks}

    @classmethod
    def now(cls) -> Attached:
        """What is attached at this moment."""
        return cls(Usage())

    def find(self, item: Mapping[str, Any]) -> Tuple[str, Storage]:
        """The target of an item as xl is to be told, and what is behind it. Raises BlockdevError,
        of which MissingError and LoopError mean that it is not there or not bound."""
        disk_target.check(item)
        target = str(item["target"])
        if item["script"]:
            return target, Storage(target)
        backend = disk_spec.backend_of(item)
        if backend is not None:
            return target, Storage(f"{target} of domain {self._domid(backend)}")
        if disk_target.is_left_to_others(item):
            return target, Storage(target)
        if loop_link.is_link(target):
            target = loop_binding.device_of_link(target, lambda: self._usage.bindings)
        return target, self._storages.of_path(target, item["format"])

    def _domid(self, backend: str) -> int:
        """The id of the domain that is to serve a disk. Raises XenError unless it runs here."""
        server = xen_state.find_domain(backend, self._domains)
        if server is None:
            raise XenError(
                f"domain {backend}, which is to serve the disk, is not running on this host"
            )
        return server.domid

    @cached_property
    def _domains(self) -> List[Domain]:
        """The running domains; few disks need them."""
        return xen_state.domains(xen_state.read_store())

    def refuse_foreign(self, wanted: Wanted, found: Optional[Disk]) -> None:
        """Raise BlockdevError where what is not raw would be attached as raw, unless the user says
        that it is. C(found): what the slot holds. What a guest has as raw already stays so: it may
        have written the signature itself."""
        has_it = found and found.vbd.format == "raw" and wanted.storage.is_same(found.storage)
        if has_it or wanted.item["format"] is not None or not wanted.storage.identities:
            return
        with suppress(FileNotFoundError):
            raw_content.refuse_foreign(wanted.target, os.stat(wanted.target))

    def refuse(self, disk: Disk) -> None:
        """Raise XenError where the disk must not be attached: where one in another slot has the
        same data, unless both only read it, or dom0 itself uses that."""
        others = [other.claim for other in self.disks.values() if other.slot != disk.slot]
        sharing_rules.refuse_sharing(disk.claim, others, SHARING_HINT)
        sharing_rules.refuse_use_by_dom0(disk.claim, self._usage)

    def doubts(self, disk: Disk) -> List[str]:
        """What cannot be known of who else has the data of a disk: see sharing.doubts."""
        return sharing_rules.doubts(disk.claim, self._usage)


def differences(wanted: Wanted, found: Disk) -> List[str]:
    """What of the disk in the slot is not as wanted, a clause each."""
    vbd = found.vbd
    if vbd.flaw:
        return [f"which {vbd.flaw}"]
    if not wanted.storage.is_same(found.storage):
        return [f"not {wanted.target}"]
    pairs = {
        "access": (vbd.access, wanted.access),
        "script": (vbd.script, disk_spec.script_of(wanted.item)),
        **{name: (getattr(vbd, name), wanted.item[name]) for name in READ_BACK},
        "format": (vbd.format, wanted.format),
    }
    return [
        f"with {name}: {_shown(is_now)}, not {_shown(wanted_value)}"
        for name, (is_now, wanted_value) in pairs.items()
        if wanted_value is not None and wanted_value != is_now
    ]


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def taken(wanted: Wanted, found: Disk) -> str:
    """What an error says of a slot that holds another disk than is wanted."""
    clauses = ", ".join(differences(wanted, found))
    slot = f"slot {wanted.vdev} of domain {wanted.domain.name}"
    return f"{slot} holds {_with_new_name(found.vbd)}, {clauses}"


def _with_new_name(vbd: Vbd) -> str:
    """The target, and what it is called now if the image was renamed since it was attached."""
    target = vbd.target
    path = loop_link.linked_image(target) if loop_link.is_link(target) else target
    now = None if loop_binding.number_of(path) is not None else backing_file(vbd)
    return target if now in (None, os.path.realpath(path)) else f"{target} (which is {now} now)"


def sentence(wanted: Wanted, found: Optional[Disk]) -> str:
    """What is to be done to have the disk; C(found) is what its slot holds by now."""
    place = f"domain {wanted.domain.name} as {wanted.vdev}"
    # The target as it was given: which loop device a link leads to is not known in check mode.
    disk = f"{wanted.item['target']} ({wanted.access})"
    if found:
        return f"replace {found.vbd.target} ({found.vbd.access}) in {place} by {disk}"
    return f"attach {disk} to {place}"


def own_script(vbd: Vbd) -> Optional[str]:
    """The hotplug script that was asked for; None for the one that every disk has."""
    return vbd.script if vbd.script != locks.XL_SCRIPT else None


def spec_of(vbd: Vbd) -> str:
    """An attached disk as xl writes it, to attach it again. Raises DiskSpecError."""
    options = {name: getattr(vbd, name) for name in (*READ_BACK, "target", "vdev", "access")}
    return disk_spec.render(disk_spec.said({**options, "script": own_script(vbd)}))
