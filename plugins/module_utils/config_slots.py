# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the slots of a domain's config, so that a guest finds no other disk in one of them."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Sequence,
    Set,
)

from ansible_collections.xen.blockdev.plugins.module_utils import (
    device_number,
    disk_spec,
    loop,
    loop_link,
    raw_content,
)
from ansible_collections.xen.blockdev.plugins.module_utils.config_file import Config, ConfigError
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError


class _Slot(NamedTuple):
    """A slot of a config and what is in it."""

    vdev: str
    target: str
    image: object
    """Equal for the same data, see ConfigSlots._image."""


class ConfigSlots:
    """Compares slots by what is behind the targets in them.

    C(bindings) gives the host's bound loop devices.
    """

    def __init__(self, bindings: Callable[[], Sequence[loop.Binding]]) -> None:
        self._bindings = bindings
        self._raw: Dict[str, Set[object]] = {}
        """See _raw_images, by the config's file."""

    def refuse_changes(self, domain: str, config: Config, new: List[str]) -> None:
        """Raise ConfigError where a guest would find another disk, or one in another place."""
        try:
            if config.specs == new:
                return
            before = self._slots(config.specs)
        except BlockdevError as error:
            raise ConfigError(
                f"what its slots hold cannot be told: {error}; allow_slot_change: true replaces "
                "its disk list all the same"
            ) from None
        problems = list(self._slot_changes(domain, before, self._slots(new)))
        if not problems:
            return
        hint = "set allow_slot_change: true if that is meant"
        if any(loop.number_of(slot.target) is not None for slot in before.values()):
            hint += " or if only the loop devices have other numbers since the last boot"
        hint += (
            "; otherwise give each disk the vdev that it had (in a plan, a disk that goes can also "
            "be kept with state: absent)"
        )
        raise ConfigError("; ".join([*problems, hint]))

    def refuse_foreign(self, config: Config, disk: Mapping[str, Any]) -> None:
        """Raise BlockdevError where the config would take as raw what looks like another format.

        C(disk): as the user says it. It may be anything where he says the format, where only a
        hotplug script or another domain understands the target, and where the config has it as raw
        already: its guest may have written the signature.
        """
        target = str(disk.get("target", ""))
        if not os.path.isabs(target) or any(map(disk.get, ("format", "script", "backend"))):
            return
        path = loop_link.path_of(target) if loop_link.is_link(target) else target
        try:
            status = os.stat(path)
        except OSError:
            return  # xl itself says so when the domain starts, and may find it there by then.
        if self._image(target) not in self._raw_images(config):
            raw_content.refuse_foreign(path, status)

    def _raw_images(self, config: Config) -> Set[object]:
        """What the config has as raw, see _image; as far as it can be read."""
        if config.file not in self._raw:
            disks: List[Dict[str, object]] = []
            with suppress(BlockdevError):
                disks = [disk_spec.parse(spec) for spec in config.specs]
            self._raw[config.file] = {
                self._image(str(disk["target"]))
                for disk in disks
                if "target" in disk and disk.get("format", "raw") == "raw"
            }
        return self._raw[config.file]

    def _slot_changes(
        self, domain: str, before: Mapping[int, _Slot], after: Mapping[int, _Slot]
    ) -> Iterator[str]:
        left = [slot for key, slot in before.items() if key not in after]
        for key, new in after.items():
            old = before.get(key)
            if old and old.image != new.image:
                yield (
                    f"slot {new.vdev} of domain {domain} has {self._named(old.target)} and would "
                    f"get {self._named(new.target)}"
                )
            for other in left if old is None else ():
                if other.image == new.image:
                    yield (
                        f"{self._named(new.target)} is in slot {other.vdev} of domain {domain} and "
                        f"would move to {new.vdev}"
                    )

    def _slots(self, specs: Iterable[str]) -> Dict[int, _Slot]:
        """By xenstore key, the slots that hold something; a cdrom drive may be empty."""
        slots = {}
        for disk in map(disk_spec.parse, specs):
            vdev, target = str(disk["vdev"]), disk.get("target")
            key = device_number.parse(vdev).xenstore_key
            if target is not None:
                slots[key] = _Slot(vdev, str(target), self._image(str(target)))
        return slots

    def _image(self, target: str) -> object:
        """What a target leads to: the same for a file and all loop devices and links to them.

        A target that leads nowhere is known by its name only; so is a loop device that is not
        bound, since the image that it once had cannot be told.
        """
        path = loop_link.path_of(target) if loop_link.is_link(target) else target
        if not os.path.isabs(path):
            return target
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return path
        if not stat.S_ISBLK(status.st_mode):
            return loop.file_id(status)
        for binding in self._bindings():
            if binding.rdev == status.st_rdev and binding.whole:
                return binding.backing_rdev or binding.file
        return status.st_rdev

    def _named(self, target: str) -> str:
        """The target, and what a bare loop device is bound to, which its number does not tell."""
        number = loop.number_of(target)
        if number is None:
            return target
        files = [one.backing_file for one in self._bindings() if one.number == number]
        return f"{target} ({f'{files[0]} now' if files else 'not bound now'})"
