# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the disks that a config has with those that it is to have, slot by slot, so that a guest
neither finds another disk in a slot nor loses one unless the user agrees."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import (
    Any,
    Callable,
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from ansible_collections.xen.blockdev.plugins.module_utils.config.config_file import (
    Config,
    ConfigError,
)
from ansible_collections.xen.blockdev.plugins.module_utils.config.target_images import (
    TargetImages,
    is_loop_device,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk.listed import ListedDisk, specs_of
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding


@dataclass(frozen=True)
class RemovedDisk:
    """A disk that the user allows to be removed; it has a key, a target or both."""

    key: Optional[int]
    """Its xenstore key."""
    target: Optional[str]
    devtype: Optional[str]
    """``disk`` or ``cdrom``; None if it may be either."""


@dataclass(frozen=True)
class Consent:
    """The changes of a guest's disks to which the user agrees."""

    slot_change: bool
    """Whether a guest may find other disks in its slots."""
    free: FrozenSet[int]
    """The xenstore keys of the slots in which it may in any case."""
    losses: bool
    """Whether all disks that are not listed may be removed."""
    unreadable: bool
    """Whether disks that cannot be read may be removed."""
    removed: Sequence[RemovedDisk]
    """Unlisted disks that may be removed in any case."""


TO_LOSSES = Consent(slot_change=False, free=frozenset(), losses=True, unreadable=True, removed=())
"""Disks may be removed, but none may change."""


class ConfigSlots:
    """Compares the slots of configs by the images behind the targets in them.

    ``bindings`` gives the host's bound loop devices.
    """

    def __init__(self, bindings: Callable[[], Sequence[loop_binding.Binding]]) -> None:
        self._images = TargetImages(bindings)

    def with_unsaid(self, config: Config, disk: DiskSpec) -> DiskSpec:
        """The disk, and what only the config says of it.

        The config's options are kept only if the slot has the same image already, or is a drive: a
        drive stays the same with another medium, whose format the config does not know.
        """
        for old in specs_of(_disks(config)):
            if old.slot != disk.slot:
                continue
            if old.is_cd and disk.is_cd and not self._images.same(old.target, disk.target):
                return disk.with_unsaid(replace(old, target=None, format=None))
            if self._images.same(old.target, disk.target):
                unsaid, both = disk.unsaid(old), disk.with_unsaid(old)
                _refuse_unsaid(unsaid, both)
                _refuse_needless_loop_device(old, both)
                return both
        return disk

    def with_unlisted(
        self, config: Config, new: Sequence[ListedDisk], removed: Sequence[RemovedDisk]
    ) -> List[ListedDisk]:
        """The disks ``new`` and those of the config that are neither in them nor in ``removed``, in
        the order of the config. A disk in another slot follows the same disk as in ``new``, or is
        last if it follows none: a boot loader reads the first disk."""
        had = [disk.identity for disk in _disks(config) if disk.spec]
        groups: Dict[object, List[ListedDisk]] = {
            disk.identity: [disk] for disk in self._unlisted(config, new, removed)
        }
        before: object = None
        for disk in new:
            before = disk.identity if disk.identity in had else before
            groups.setdefault(before, []).append(disk)
        return [disk for key in (*had, None) for disk in groups.get(key, ())]

    def refuse(
        self, domain: str, config: Config, new: Sequence[ListedDisk], consent: Consent
    ) -> None:
        """Raise ConfigError if a guest would find another disk in a slot, or lose one, without
        consent."""
        with suppress(BlockdevError):  # See _changes.
            if config.disks == new:
                return
        problems = [] if consent.slot_change else self._changes(domain, config, new, consent.free)
        lost = [] if consent.losses else self._unlisted(config, new, consent.removed)
        if lost:
            disks = specs_of(lost)
            shown = ", ".join(f"{disk.vdev} ({self._images.named(disk.target)})" for disk in disks)
            problems.append(
                f"domain {domain} would lose the disks that are not listed: {shown}; list them, or "
                "name those to remove in removed_disks (in a plan, list them with state: absent, "
                "their vdev and their target), or set unlisted_disks: keep to leave all of them in "
                "the config, or unlisted_disks: remove to remove all of them"
            )
        if not consent.unreadable:
            problems += [
                f"the config's disk {disk.text!r} would be lost: {disk.problem}; correct it first, "
                "or set unlisted_disks: remove"
                for disk in _disks(config)
                if disk.spec is None
            ]
        if problems:
            raise ConfigError("; ".join(problems))

    def refuse_foreign(self, config: Config, disk: DiskSpec) -> None:
        """Raise BlockdevError if the disk, with the target that the user gave, looks like another
        format than raw: see ``TargetImages.refuse_foreign``."""
        self._images.refuse_foreign(disk, self._raw_images(config))

    def _raw_images(self, config: Config) -> Set[object]:
        """The images that the config has as raw, as far as it can be read."""
        return {
            self._images.image(disk.target)
            for disk in specs_of(_disks(config))
            if disk.target is not None and disk.format in (None, "raw")
        }

    # ---- slots that change ----

    def _changes(
        self, domain: str, config: Config, new: Sequence[ListedDisk], free: FrozenSet[int]
    ) -> List[str]:
        try:
            before = _by_key(config.disks)
        except BlockdevError as error:
            raise ConfigError(
                f"cannot read the disks in the existing config: {error}; correct that first, or "
                "replace the whole disk list with allow_slot_change: true and unlisted_disks: "
                "remove"
            ) from None
        changes = self._slot_changes(domain, before, _by_key(new))
        problems = [problem for key, problem in changes if key not in free]
        if not problems:
            return []
        hint = "set allow_slot_change: true to allow it"
        if any(loop_binding.number_of(str(disk.target)) is not None for disk in before.values()):
            hint += ", also if only the numbers of loop devices have changed since the last boot"
        hint += (
            "; otherwise give each disk the vdev that it had (in a plan, state: absent reserves "
            "the slot of a removed disk)"
        )
        return [*problems, hint]

    def _slot_changes(
        self, domain: str, before: Mapping[int, DiskSpec], after: Mapping[int, DiskSpec]
    ) -> Iterator[Tuple[int, str]]:
        """What a guest would find changed, with the xenstore key of the slot in which it would."""
        left = [disk for key, disk in before.items() if key not in after and not disk.is_cd]
        named = self._images.named
        for key, new in after.items():
            old = before.get(key)
            if old and old.is_cd and new.is_cd:
                continue  # Another medium.
            if old and not self._images.same_disk(old, new):
                had, would = named(old.target), named(new.target)
                yield key, f"slot {new.vdev} of domain {domain} has {had} and would get {would}"
            for other in left if old is None else ():
                if self._images.same_disk(other, new):
                    what = f"{named(new.target)} is in slot {other.vdev} of domain {domain}"
                    yield key, f"{what} and would move to {new.vdev}"

    # ---- disks that are removed ----

    def _unlisted(
        self, config: Config, new: Iterable[ListedDisk], removed: Sequence[RemovedDisk]
    ) -> List[ListedDisk]:
        """The config's disks that can be read and are neither in ``new`` nor in ``removed``."""
        wanted = specs_of(new)
        keys = {disk.slot.xenstore_key for disk in wanted}
        return [
            listed
            for listed in _disks(config)
            for disk in specs_of([listed])
            if disk.slot.xenstore_key not in keys
            and not any(self._moves(disk, one) for one in wanted)
            and not any(self._fits(disk, one) for one in removed)
        ]

    def _moves(self, disk: DiskSpec, wanted: DiskSpec) -> bool:
        """Whether the disk in another slot is the same one. A drive stays where it is: what moves
        is its medium."""
        return bool(disk.target) and not disk.is_cd and self._images.same_disk(disk, wanted)

    def _fits(self, disk: DiskSpec, removed: RemovedDisk) -> bool:
        """Whether the disk is the one that may be removed; a drive may be empty now."""
        if removed.key is not None and removed.key != disk.slot.xenstore_key:
            return False
        if removed.devtype is not None and disk.is_cd != (removed.devtype == "cdrom"):
            return False
        if removed.target is None or disk.target is None:
            return removed.key is not None
        return self._images.same(disk.target, removed.target)


def _disks(config: Config) -> List[ListedDisk]:
    """The disks of the config; none if it cannot be read, which is an error of ``_changes``."""
    with suppress(BlockdevError):
        return config.disks
    return []


def _by_key(disks: Iterable[ListedDisk]) -> Dict[int, DiskSpec]:
    """By xenstore key, the disks that have a target; a cdrom drive may be empty."""
    slots: Dict[int, DiskSpec] = {}
    for disk in disks:
        if disk.spec is None:
            raise ConfigError(disk.problem)
        if slots.setdefault(disk.spec.slot.xenstore_key, disk.spec) is not disk.spec:
            raise ConfigError(f"there are two disks in slot {disk.spec.vdev}")
    return {key: spec for key, spec in slots.items() if spec.target is not None}


def _refuse_unsaid(unsaid: Mapping[str, Any], both: DiskSpec) -> None:
    """Raise ConfigError for an option that only the config has and that changes the disk: other
    modules would take the default, and a running guest would get another disk than after its next
    start.

    ``unsaid``: what only the config says. ``both``: the disk with it.
    """
    if unsaid.get("access") == "ro" and not both.is_cd:
        raise ConfigError(
            "the disk is read-only in the config; set access: ro, or access: rw to let the guest "
            "write to it"
        )
    if unsaid.get("format", "raw") not in ("raw", "empty"):
        raise ConfigError(
            f"the disk has format {unsaid['format']} in the config; set format: "
            f"{unsaid['format']}, or format: raw if it is a raw disk"
        )


def _refuse_needless_loop_device(old: DiskSpec, both: DiskSpec) -> None:
    """Raise ConfigError if QEMU opens the image itself, which only the config says, and the disk is
    to be the loop device of that image.

    ``old``: the disk in the config. ``both``: the wanted disk with what the config says.
    """
    is_new = is_loop_device(both.target) and not is_loop_device(old.target)
    if is_new and both.backendtype == old.backendtype == "qdisk":
        raise ConfigError(
            f"in the config, QEMU opens {old.target} itself (backendtype=qdisk), which needs no "
            "loop device; set backendtype: qdisk, or backendtype: phy to have the kernel serve the "
            "loop device"
        )
