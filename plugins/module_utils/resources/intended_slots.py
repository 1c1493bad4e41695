# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The slots that a new image or volume is for, compared with what the configs have there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Iterable, List, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.config import config_file
from ansible_collections.xen.blockdev.plugins.module_utils.config.config_file import (
    Config,
    config_path,
)
from ansible_collections.xen.blockdev.plugins.module_utils.config.former import FormerConfigs
from ansible_collections.xen.blockdev.plugins.module_utils.config.slots import (
    TO_LOSSES,
    ConfigSlots,
)
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import State
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk.listed import ListedDisk
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import explained
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage


@dataclass(frozen=True)
class IntendedSlot:
    """A slot that a new disk is for."""

    domain: str
    vdev: str
    """As the user wrote it, which errors show. It is valid."""
    config: str
    """The path of the domain's config."""
    autostart_dir: str

    @classmethod
    def all_of(cls, options: State) -> Tuple[IntendedSlot, ...]:
        """From the options ``slots``, ``allow_slot_change`` and ``autostart_dir`` of an item: none
        if other disks may be there. Raises BlockdevError for a name or slot that cannot exist."""
        slots = [] if options["allow_slot_change"] else options["slots"] or []
        return tuple(cls._read(slot, options["autostart_dir"]) for slot in slots)

    @classmethod
    def _read(cls, slot: State, autostart_dir: str) -> IntendedSlot:
        device_number.parse(slot["vdev"])
        config = config_path(slot["domain"], slot["config"])
        return cls(slot["domain"], slot["vdev"], config, autostart_dir)


class IntendedSlots:
    """Refuses new disks for slots in which configs have other ones."""

    def __init__(self, usage: Usage) -> None:
        self._former_configs = FormerConfigs()
        self._slots = ConfigSlots(lambda: usage.bindings)
        self._configs = lru_cache(maxsize=None)(self._configs_of)

    def refuse(self, slots: Iterable[IntendedSlot], target: str) -> None:
        """Raise BlockdevError if a config has another disk than ``target`` in one of the slots:
        the new disk could not be added to that config later."""
        for slot in slots:
            disk = ListedDisk.of(DiskSpec(vdev=slot.vdev, target=target))
            for config in self._configs(slot.domain, slot.config, slot.autostart_dir):
                with explained(config.file):
                    self._slots.refuse(slot.domain, config, [disk], TO_LOSSES)

    def _configs_of(self, domain: str, path: str, autostart_dir: str) -> List[Config]:
        """The configs that say which disks the domain has."""
        return self._former_configs.or_itself(domain, config_file.find(path), autostart_dir)
