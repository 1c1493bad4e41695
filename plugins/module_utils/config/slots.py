# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the slots of a domain's config, so that a guest finds no other disk in one of them,
and loses none that nobody has given up."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import (
    Any,
    Callable,
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from ansible_collections.xen.blockdev.plugins.module_utils.config.file import Config, ConfigError
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk import spec as disk_spec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.image import raw_content
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link

Disk = Mapping[str, Any]
"""What is said of a disk, by disk_spec.KEYS; what is not said is left out or None."""


@dataclass(frozen=True)
class Consent:
    """What a user gives up of a config."""

    slot_change: bool
    """Whether a guest may find other disks in its slots."""
    free: FrozenSet[int]
    """The xenstore keys of the slots in which it may, whatever slot_change says."""
    losses: bool
    """Whether all disks may go that are not listed."""
    unreadable: bool
    """Whether those may go that cannot be read."""
    removed: Sequence[Disk]
    """Which of these may go, each by its C(vdev), its C(target) or both."""


TO_LOSSES = Consent(slot_change=False, free=frozenset(), losses=True, unreadable=True, removed=())
"""Disks may go, but none may change."""


class _Slot(NamedTuple):
    """A slot of a config and what is in it."""

    spec: str
    key: int
    vdev: str
    target: Optional[str]
    """None for a drive that is empty."""
    disk: Disk


class ConfigSlots:
    """Compares slots by what is behind the targets in them.

    C(bindings) gives the host's bound loop devices.
    """

    def __init__(self, bindings: Callable[[], Sequence[loop_binding.Binding]]) -> None:
        self._bindings = bindings
        self._image = lru_cache(maxsize=None)(self._image_behind)

    def with_unsaid(self, config: Config, disk: Disk) -> Dict[str, Any]:
        """The disk, and what the config says of it and C(disk) does not.

        That is kept where its slot has the same image already; another image has other options.
        """
        key = device_number.parse(disk["vdev"]).xenstore_key
        said = disk_spec.said(disk)
        for slot in self._readable(config):
            if slot.key == key and self._same(slot.target, disk.get("target")):
                unsaid = {k: v for k, v in slot.disk.items() if disk.get(k) is None}
                both = {**unsaid, **said}
                _refuse_unsaid(unsaid, both)
                _refuse_needless_loop_device(slot, both)
                return both
        return said

    def with_unlisted(
        self, config: Config, new: Sequence[str], removed: Iterable[Disk]
    ) -> List[str]:
        """The disks C(new), and those of the config that are in none of them nor C(removed), in the
        order that they have in the config. A disk in another slot comes behind the one that it
        follows in C(new), and last if it follows none: a boot loader reads the first."""
        there = [slot.key for slot in self._readable(config)]
        groups: Dict[Optional[int], List[str]] = {
            slot.key: [slot.spec] for slot in self._unlisted(config, new, list(removed))
        }
        before: Optional[int] = None
        for spec in new:
            key = _slot(spec).key
            before = key if key in there else before
            groups.setdefault(before, []).append(spec)
        return [spec for key in (*there, None) for spec in groups.get(key, ())]

    def refuse(self, domain: str, config: Config, new: Sequence[str], consent: Consent) -> None:
        """Raise ConfigError where a guest would find another disk, or one in another place, or
        would lose one, without consent."""
        with suppress(BlockdevError):  # See _changes.
            if config.meant == new:
                return
        problems = [] if consent.slot_change else self._changes(domain, config, new, consent.free)
        lost = [] if consent.losses else self._unlisted(config, new, consent.removed)
        if lost:
            shown = ", ".join(f"{slot.vdev} ({self._named(slot.target)})" for slot in lost)
            problems.append(
                f"domain {domain} would lose the disks that are not listed: {shown}; list them, or "
                "name those that are to go in removed_disks (in a plan, list them with state: "
                "absent, their vdev and their target), or set unlisted_disks: keep to leave all of "
                "them in the config, or unlisted_disks: remove to take all of them out"
            )
        if not consent.unreadable:
            problems += self._unreadable(config)
        if problems:
            raise ConfigError("; ".join(problems))

    # ---- slots that change ----

    def _changes(
        self, domain: str, config: Config, new: Sequence[str], free: FrozenSet[int]
    ) -> List[str]:
        try:
            before = self._by_key(config.meant)
        except BlockdevError as error:
            raise ConfigError(
                f"what its slots hold cannot be told: {error}; mend that first, or replace the "
                "whole disk list by allow_slot_change: true with unlisted_disks: remove"
            ) from None
        changes = self._slot_changes(domain, before, self._by_key(new))
        problems = [problem for key, problem in changes if key not in free]
        if not problems:
            return []
        hint = "set allow_slot_change: true if that is meant"
        if any(loop_binding.number_of(str(slot.target)) is not None for slot in before.values()):
            hint += " or if only the loop devices have other numbers since the last boot"
        hint += (
            "; otherwise give each disk the vdev that it had (in a plan, a disk that goes can also "
            "be kept with state: absent)"
        )
        return [*problems, hint]

    def _slot_changes(
        self, domain: str, before: Mapping[int, _Slot], after: Mapping[int, _Slot]
    ) -> Iterator[Tuple[int, str]]:
        """What a guest would find in another way, with the xenstore key of the slot that it finds
        it in."""
        left = [slot for key, slot in before.items() if key not in after]
        for key, new in after.items():
            old = before.get(key)
            if old and not self._same_disk(old, new):
                was, would = self._named(old.target), self._named(new.target)
                yield key, f"slot {new.vdev} of domain {domain} has {was} and would get {would}"
            for other in left if old is None else ():
                if self._same_disk(other, new):
                    what = f"{self._named(new.target)} is in slot {other.vdev} of domain {domain}"
                    yield key, f"{what} and would move to {new.vdev}"

    def _by_key(self, specs: Iterable[str]) -> Dict[int, _Slot]:
        """By xenstore key, the slots that hold something; a cdrom drive may be empty."""
        slots: Dict[int, _Slot] = {}
        for slot in map(_slot, specs):
            if slots.setdefault(slot.key, slot) is not slot:
                raise ConfigError(f"there are two disks in slot {slot.vdev}")
        return {key: slot for key, slot in slots.items() if slot.target is not None}

    # ---- disks that go ----

    def _unlisted(self, config: Config, new: Iterable[str], removed: Sequence[Disk]) -> List[_Slot]:
        wanted = [_slot(spec) for spec in new]
        keys = {slot.key for slot in wanted}
        return [
            slot
            for slot in self._readable(config)
            if slot.key not in keys
            and not any(slot.target and self._same_disk(slot, one) for one in wanted)
            and not any(self._fits(slot, one) for one in removed)
        ]

    def _fits(self, slot: _Slot, removed: Disk) -> bool:
        """Whether the disk in the slot is the one that is given up; a drive may be empty now."""
        vdev, target = removed.get("vdev"), removed.get("target")
        if vdev is not None and device_number.parse(vdev).xenstore_key != slot.key:
            return False
        if target is None or slot.target is None:
            return vdev is not None
        return self._same(slot.target, target)

    def _readable(self, config: Config) -> Iterator[_Slot]:
        """The slots of those disks that can be read: of others see _unreadable."""
        with suppress(BlockdevError):
            for spec in config.meant:
                with suppress(BlockdevError):
                    yield _slot(spec)

    def _unreadable(self, config: Config) -> Iterator[str]:
        """What is wrong with disks that cannot be read and would be lost."""
        with suppress(BlockdevError):
            for spec in config.meant:
                try:
                    _slot(spec)
                except BlockdevError as error:
                    yield (
                        f"the config's disk {spec!r} would be lost: {error}; mend it first, or set "
                        "unlisted_disks: remove"
                    )

    # ---- images ----

    def refuse_foreign(self, config: Config, disk: Mapping[str, Any]) -> None:
        """Raise BlockdevError where the config would take as raw what looks like another format.

        C(disk): as the user says it. It may be anything where he says the format, where only a
        hotplug script or another domain understands the target, and where the config has it as raw
        already: its guest may have written the signature.
        """
        target = disk.get("target") or ""
        if (
            disk_spec.backend_of(disk) is not None
            or not os.path.isabs(target)
            or any(map(disk.get, ("format", "script")))
        ):
            return
        path = loop_link.linked_image(target) if loop_link.is_link(target) else target
        try:
            status = os.stat(path)
        except OSError:
            return  # xl itself says so when the domain starts, and may find it there by then.
        if self._image(target) not in self._raw_images(config):
            raw_content.refuse_foreign(path, status)

    def _raw_images(self, config: Config) -> Set[object]:
        """What the config has as raw, see _image; as far as it can be read."""
        return {
            self._image(slot.target)
            for slot in self._readable(config)
            if slot.target is not None and slot.disk.get("format", "raw") == "raw"
        }

    def _same_disk(self, one: _Slot, other: _Slot) -> bool:
        """Whether two slots have the same data. A path of another domain says nothing about what is
        here."""
        backends = [disk_spec.backend_of(slot.disk) for slot in (one, other)]
        if any(backends):
            return backends[0] == backends[1] and one.target == other.target
        return self._same(one.target, other.target)

    def _same(self, target: Optional[str], other: Optional[str]) -> bool:
        if target is None or other is None or target == other:
            return target == other
        return self._image(target) == self._image(other)

    def _image_behind(self, target: str) -> object:
        """What a target leads to: the same for a file and all loop devices and links to them.

        A target that leads nowhere is known by its name only; so is a loop device that is not
        bound, since the image that it once had cannot be told.
        """
        path = loop_link.linked_image(target) if loop_link.is_link(target) else target
        if not os.path.isabs(path):
            return target
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return path
        if not stat.S_ISBLK(status.st_mode):
            return loop_binding.file_id(status)
        for binding in self._bindings():
            if binding.rdev == status.st_rdev and binding.whole:
                return binding.backing_rdev or binding.file
        return status.st_rdev

    def _named(self, target: Optional[str]) -> str:
        """The target, and what a bare loop device is bound to, which its number does not tell."""
        if target is None:
            return "an empty drive"
        number = loop_binding.number_of(target)
        if number is None:
            return target
        files = [one.backing_file for one in self._bindings() if one.number == number]
        return f"{target} ({f'{files[0]} now' if files else 'not bound now'})"


@lru_cache(maxsize=1024)
def _slot(spec: str) -> _Slot:
    """Raises BlockdevError where the disk, or its slot, cannot be read."""
    disk = disk_spec.parse(spec)
    vdev, target = str(disk["vdev"]), disk.get("target")
    key = device_number.parse(vdev).xenstore_key
    return _Slot(spec, key, vdev, None if target is None else str(target), disk)


def _refuse_unsaid(unsaid: Disk, both: Disk) -> None:
    """Raise ConfigError for what the config says of a disk and whatever else handles the disk would
    take for the default: a running guest would get another disk than it has after its next start.

    C(unsaid): what only the config says. C(both): what is said of the disk with it.
    """
    if unsaid.get("access") == "ro" and both.get("devtype") != "cdrom":
        raise ConfigError(
            "the config has this disk read-only; say access: ro, or access: rw to let the guest "
            "write to it"
        )
    if unsaid.get("format", "raw") not in ("raw", "empty"):
        raise ConfigError(
            f"the config has this disk as {unsaid['format']}; say format: {unsaid['format']}, or "
            "format: raw if it is a raw disk"
        )


def _refuse_needless_loop_device(slot: _Slot, both: Disk) -> None:
    """Raise ConfigError where QEMU opens an image itself, which only the config says, and whoever
    has bound the image to a loop device did not know.

    C(slot): the disk in the config. C(both): what is said of it with what the config says.
    """
    is_new = _is_loop_device(both.get("target")) and not _is_loop_device(slot.target)
    if is_new and both.get("backendtype") == slot.disk.get("backendtype") == "qdisk":
        raise ConfigError(
            f"the config has QEMU open {slot.target} itself (backendtype=qdisk), which needs no "
            "loop device; say backendtype: qdisk, or backendtype: phy to have the kernel serve the "
            "loop device"
        )


def _is_loop_device(target: Optional[str]) -> bool:
    """Whether the target is one by its name."""
    return target is not None and (
        loop_link.is_link(target) or loop_binding.number_of(target) is not None
    )
