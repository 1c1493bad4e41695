# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks of one domain: what each is in ``xen_domains``, and whether that changes anything.

A disk is taken over only if provision would leave its image, its loop device, its config and its
running guest as they are. Everything else is a choice of the user.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Container, Dict, Iterator, List, Mapping, Optional, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils import units
from ansible_collections.xen.blockdev.plugins.module_utils.adopt.model import (
    ATTACHED,
    LOOP_DEVICES,
    DiskChoice,
    DomainEntry,
    DraftDisk,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk import target as disk_target
from ansible_collections.xen.blockdev.plugins.module_utils.disk.attached import option_differences
from ansible_collections.xen.blockdev.plugins.module_utils.disk.options import KEYS, OPTIONS
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import SCRIPTS, DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    DiskInConfig,
    DiskInGuest,
    DiskStorage,
    LoopDevice,
    Survey,
    SurveyedDisk,
)

AS_IN_GUEST = "To have in the config what the running guest has:"
BACK = "To have it in the list nevertheless:"

_DEFAULTS = {"format": "raw", "access": "rw", "devtype": "disk", "specification": "xen"}
"""What xl takes if a disk does not say it: a person leaves it out."""

_XL_SCRIPT = f"{SCRIPTS}/block"
"""The script of disks that name none, as xenstore has it."""

_SECTOR_SIZE = 512
"""Of a loop device, in bytes, unless the plan says another one."""


@dataclass(frozen=True)
class SurveyedStorages:
    """What stores the disks of a host, by the names of its survey."""

    by_name: Mapping[str, DiskStorage]
    loop_devices: Mapping[str, Sequence[LoopDevice]]
    """By the name of the storage that they show."""
    by_unit: Container[str]
    """The names of the storages that a boot unit of this collection binds."""

    @classmethod
    def of(cls, survey: Survey) -> SurveyedStorages:
        """Those of a survey."""
        devices: Dict[str, List[LoopDevice]] = {}
        for one in survey.loop_devices:
            if one.storage is not None:
                devices.setdefault(one.storage, []).append(one)
        return cls(
            by_name={one.name: one for one in survey.storages},
            loop_devices=devices,
            by_unit={unit.storage for unit in survey.boot_units if unit.storage is not None},
        )

    def find(self, name: Optional[str]) -> Optional[DiskStorage]:
        """The storage with this name."""
        return None if name is None else self.by_name.get(name)

    def image(self, name: Optional[str]) -> Optional[str]:
        """The path of the image with the data; None if it is in no file with a name."""
        found = self.find(name)
        file = found.file if found else None
        return file.path if file and not (file.deleted or file.hidden) else None

    def size(self, name: Optional[str]) -> Optional[object]:
        """The size of the image as a person writes it; None if a plan cannot say it."""
        found = self.find(name)
        size = found.file.size if found and found.file else None
        if not size or size % units.SECTOR:
            return None
        return units.format_size(size) if size % 1024 == 0 else size

    def looks_foreign(self, name: Optional[str]) -> bool:
        """Whether its first bytes are those of another format than raw."""
        found = self.find(name)
        return bool(found and found.file and found.file.signature)

    def bound(self, name: Optional[str]) -> Sequence[LoopDevice]:
        """The loop devices that show the storage."""
        return () if name is None else self.loop_devices.get(name, ())

    def flaw_of_binding(self, name: Optional[str]) -> Optional[str]:
        """What provision would change so that the image has its loop device at every boot, as a
        clause; None if nothing."""
        bound = self.bound(name)
        if len(bound) != 1:
            return "is bound more than once" if bound else "is not bound to a loop device"
        (one,) = bound
        found = self.find(name)
        size = found.file.size if found and found.file else None
        if one.offset or one.size_limit:
            return f"is bound to {one.device} only in part"
        if one.by_script:
            return f"is bound to {one.device} by Xen's script, which unbinds it with its guest"
        if one.autoclear:
            return f"is bound to {one.device} only as long as somebody uses that"
        if size is not None and one.size != size - size % units.SECTOR:
            return f"has another size than {one.device} shows"
        return None if one.persistent else "is not bound when the host boots"

    def is_ours(self, name: Optional[str]) -> bool:
        """Whether this collection binds it, now or when the host boots."""
        return name in self.by_unit or any(one.marked for one in self.bound(name))


@dataclass(frozen=True)
class Adopter:
    """Drafts the disks of a domain."""

    storages: SurveyedStorages
    config: str
    """The path of its config."""
    is_running: bool
    changes: Container[str]
    """Those of CHANGES that the user asks for."""

    def draft(self, disk: SurveyedDisk, key: int) -> Optional[DraftDisk]:
        """The disk in a slot; None if neither the config nor the running guest has it."""
        configured = next((one for one in disk.configured if one.config == self.config), None)
        attached = disk.attached[0] if disk.attached else None
        if configured is None:
            return self._by_hand(attached, key) if attached else None
        draft = self._configured(configured, key)
        if not self.is_running:
            return draft
        return self._compared(draft, configured, attached)

    # ---- what the config has ----

    def _configured(self, found: DiskInConfig, key: int) -> DraftDisk:
        values: Dict[str, Any] = found.said or {}
        said = DiskSpec(**{name: values[name] for name in KEYS if name in values})
        draft = DraftDisk(
            key=key,
            vdev=said.vdev,
            where=f"{said.vdev}, {found.text!r} in {self.config}",
            written=said,
            text=found.text,
            data=found.storage or found.target,
            in_config=True,
        )
        options = _said_options(said, self.storages.looks_foreign(found.storage))
        if is_garbled(found.text):
            return _refused(draft, "Its name has bytes that are not UTF-8, which a plan cannot say")
        if said.is_cd:
            return self._drive(draft, found, said, options)
        if disk_target.is_left_to_others(said):
            return replace(draft, entry={"target": said.target, **options})
        by_form = {"link": self._linked, "loop": self._numbered}
        return by_form.get(str(found.target_form), self._at_path)(draft, found, options)

    def _drive(
        self, draft: DraftDisk, found: DiskInConfig, said: DiskSpec, options: DomainEntry
    ) -> DraftDisk:
        """A CD drive, which may be empty."""
        if said.target is None:
            return replace(draft, entry=options)
        is_file = not _is_device(said.target) or self.storages.image(found.storage) is not None
        place = "path" if is_file and not disk_target.is_left_to_others(said) else "target"
        if found.storage is None:
            draft = draft.with_remarks(_missing(found))
        return replace(draft, entry={place: said.target, **options})

    def _linked(self, draft: DraftDisk, found: DiskInConfig, options: DomainEntry) -> DraftDisk:
        """A link that this collection's udev rule makes."""
        image = loop_link.linked_image(str(found.target))
        draft = replace(draft, entry=self._image(image, found.storage, options, loop=True))
        if self.storages.find(found.storage) is None:
            return _refused(draft, _missing(found))
        flaw = self.storages.flaw_of_binding(found.storage)
        if flaw is None or LOOP_DEVICES in self.changes:
            return draft
        return draft.left_out(f"{image} {flaw}.", "To have that done:")

    def _numbered(self, draft: DraftDisk, found: DiskInConfig, options: DomainEntry) -> DraftDisk:
        """A loop device by its number."""
        device, image = str(found.target), self.storages.image(found.storage)
        draft = replace(draft, entry={"target": device, **options})
        if image is None:
            return draft.with_remarks(f"{device} is not bound to an image now.")
        partial = any(one.offset or one.size_limit for one in self.storages.bound(found.storage))
        if partial:
            return draft.with_remarks(f"{device} shows a part of {image}.")
        named = self._image(image, found.storage, options, loop=True)
        if LOOP_DEVICES in self.changes:
            return replace(draft, entry=named, written=None)
        why = f"{device} is {image} now, and may be another image after a reboot."
        choice = DiskChoice("To bind the image at every boot, and name it in the config:", named)
        return replace(draft.with_remarks(why), choices=(choice,))

    def _at_path(self, draft: DraftDisk, found: DiskInConfig, options: DomainEntry) -> DraftDisk:
        """A file or a block device by its own name."""
        path, storage = str(found.target), self.storages.find(found.storage)
        if not path.startswith("/"):
            return replace(draft, entry={"target": path, **options})  # The plan says what to do.
        if storage is None and not _is_device(path) and options.get("format") is None:
            return _refused(draft, _missing(found))
        if storage is None:
            draft = draft.with_remarks(_missing(found))
        if _is_device(path) if storage is None else storage.kind != "file":
            return replace(draft, entry={**_target_entry(path), **options})
        entry = self._image(path, found.storage, options, loop=False)
        draft = replace(draft, entry=entry)
        if self.storages.is_ours(found.storage) and "loop" in entry:
            why = f"This collection binds {path} to a loop device, and the config names the file."
            return draft.left_out(why, "To have it unbound:")
        return draft

    def _image(
        self, path: str, storage: Optional[str], options: DomainEntry, *, loop: bool
    ) -> Dict[str, Any]:
        """The entry of an image. ``loop``: whether the config names its loop device."""
        entry: DomainEntry = {"path": path}
        if options.get("format", "raw") != "raw":
            return {**entry, **options}
        size = self.storages.size(storage)
        if size is not None:
            entry["size"] = size
        if loop:
            entry.update(_sector_size(self.storages.bound(storage)))
        if loop != (options.get("backendtype") != "qdisk"):
            entry["loop"] = loop  # It differs from the default.
        return {**entry, **options}

    # ---- what the running guest has ----

    def _compared(
        self, draft: DraftDisk, found: DiskInConfig, attached: Optional[DiskInGuest]
    ) -> DraftDisk:
        """The draft, or a choice if the running guest has something else."""
        if draft.entry is None:
            return draft
        if attached is None:
            why = "The running guest does not have it."
            return draft.left_out(why, "To have it attached, as the config says:")
        differences = list(self._differences(draft.entry, found, attached))
        if not differences:
            return draft
        why = f"The running guest has {_shown(attached)}, {', '.join(differences)}."
        left = draft.left_out(why, "To have in the guest what the config says:")
        theirs = self._of_guest(attached)
        if theirs is None:
            return left
        return replace(left, choices=(*left.choices, DiskChoice(AS_IN_GUEST, theirs)))

    def _differences(
        self, entry: DomainEntry, found: DiskInConfig, attached: DiskInGuest
    ) -> Iterator[str]:
        """How the running guest's disk differs from an entry of the config's, a clause each."""
        wanted = DiskSpec(**{key: entry[key] for key in OPTIONS if key in entry})
        if attached.flaw:
            yield f"which {attached.flaw}"
            return
        if (attached.devtype == "cdrom") != wanted.is_cd:
            yield "which is not a CD drive" if wanted.is_cd else "which is a CD drive"
        elif wanted.is_cd:
            if not attached.emulated:
                yield "a CD drive that QEMU in dom0 does not emulate, so that nobody can change it"
            elif found.target is not None and found.storage is None:
                yield f"not {found.target}"
            elif {attached.storage, attached.medium_storage} != {found.storage}:
                yield f"with {attached.medium or 'nothing'} in the drive"
        else:
            if found.storage is None or attached.storage != found.storage:
                yield f"not {found.target}"
            yield from option_differences(attached, wanted)

    def _by_hand(self, attached: DiskInGuest, key: int) -> DraftDisk:
        """A disk that only the running guest has."""
        draft = DraftDisk(
            key=key, vdev=attached.vdev, where=f"{attached.vdev} of the running guest"
        )
        what = f"The running guest has {_shown(attached)}, which is not in its config"
        entry = self._of_guest(attached)
        if attached.flaw:
            return draft.with_remarks(f"{what}: it {attached.flaw}.")
        if entry is None:
            return draft.with_remarks(f"{what}, and a plan cannot say it.")
        draft = replace(draft.with_remarks(f"{what}."), entry=entry)
        if ATTACHED in self.changes:
            return draft
        return replace(
            draft, entry=None, choices=(DiskChoice("To put it into the config:", entry),)
        )

    def _of_guest(self, attached: DiskInGuest) -> Optional[DomainEntry]:
        """The entry of a disk as the running guest has it; None if nothing can say it."""
        if attached.backend_domid:
            return None
        said = DiskSpec(
            format=attached.format,
            access=None if attached.devtype == "cdrom" else attached.access,
            devtype=attached.devtype,
            backendtype="qdisk" if _is_qdisk(attached) else None,
            script=None if attached.script in (None, _XL_SCRIPT) else attached.script,
            discard=None,
        )
        if attached.devtype == "cdrom":
            options = _said_options(replace(said, format=None, backendtype=None), foreign=False)
            if not attached.medium:
                return options
            place = "target" if _is_device(attached.medium) else "path"
            return {place: attached.medium, **options}
        options = _said_options(said, self.storages.looks_foreign(attached.storage))
        image = self.storages.image(attached.storage)
        if said.script or image is None:
            return {**_target_entry(attached.target), **options}
        by_name = attached.target == image
        return self._image(image, attached.storage, options, loop=not by_name)


def is_garbled(text: str) -> bool:
    """Whether the text may not be what the host has: a survey shows bytes that are not UTF-8 as
    ``\\xe9``."""
    return "\\x" in text


def _said_options(said: DiskSpec, foreign: bool) -> DomainEntry:
    """What a plan says of a disk beside its place, without xl's defaults. ``foreign``: whether its
    data look like another format than raw."""
    found = {key: getattr(said, key) for key in OPTIONS if key not in ("target", "vdev")}
    if said.is_cd:
        found["access"] = None
        found["format"] = None if said.format in ("raw", "empty") else said.format
    if said.backend_domain is None:
        found["backend"] = None
    # xl has no word for direct_io_safe: false.
    defaults = {**_DEFAULTS, "direct_io_safe": False}
    if foreign and not said.is_cd:
        del defaults["format"]  # Without it, provision would refuse what looks like another format.
        found["format"] = said.format or "raw"
    return {
        key: value
        for key, value in found.items()
        if value is not None and defaults.get(key) != value
    }


def _target_entry(target: str) -> DomainEntry:
    """The place of a block device. A logical volume is no more than that: with ``volume_group``,
    the plan would take it for its own, and remove it with ``xen_remove_images``."""
    return {"target": target}


def _is_device(target: str) -> bool:
    return target.startswith("/dev/")


def _is_qdisk(attached: DiskInGuest) -> bool:
    """Whether QEMU opens a raw disk itself, which is not the default."""
    return attached.backendtype == "qdisk" and attached.format == "raw"


def _sector_size(bound: Sequence[LoopDevice]) -> DomainEntry:
    sizes = {one.sector_size for one in bound} - {_SECTOR_SIZE}
    return {"sector_size": sizes.pop()} if len(sizes) == 1 else {}


def _shown(attached: DiskInGuest) -> str:
    where = attached.backing_file or attached.target or "an empty drive"
    return f"{where} in {attached.vdev}"


def _missing(found: DiskInConfig) -> str:
    return f"{found.target}: {found.target_problem or 'nobody knows what this leads to'}."


def _refused(draft: DraftDisk, why: str) -> DraftDisk:
    return replace(draft, entry=None, remarks=(*draft.remarks, f"{why.rstrip('.')}."))
