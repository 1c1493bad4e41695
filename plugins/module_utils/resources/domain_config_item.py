# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What xen_domain_config is asked for, read from its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, Optional, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.config import config_file
from ansible_collections.xen.blockdev.plugins.module_utils.config.config_file import (
    Config,
    ConfigError,
)
from ansible_collections.xen.blockdev.plugins.module_utils.config.slots import Consent, RemovedDisk
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import State
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk import target as disk_target
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, explained

_ALLOW = "allow_slot_change"
"""An option of a domain, and of one disk of it."""


@dataclass(frozen=True)
class DomainConfigItem:
    """One wanted config; see the options of xen_domain_config."""

    domain: str
    path: str
    """The config, an absolute path; the usual one if none was given."""
    absent: bool
    options: Optional[Mapping[str, object]]
    disks: Optional[Sequence[DiskSpec]]
    """None leaves the disks of the config alone; always so if it is absent."""
    overwrite: bool
    backup: Optional[bool]
    validate: bool
    parents: bool
    autostart: Optional[bool]
    autostart_dir: str
    allow_slot_change: bool
    free_slots: FrozenSet[int]
    """The xenstore keys of the slots for which a disk says allow_slot_change."""
    unlisted_disks: Optional[str]
    removed_disks: Sequence[RemovedDisk]
    known_images: Sequence[str]

    @classmethod
    def read(cls, options: State) -> DomainConfigItem:
        """The item with these options. Raises ConfigError for what no config can say."""
        path = config_file.config_path(options["domain"], options["path"])
        absent = options["state"] == "absent"
        written = None if absent else options["disks"]
        try:
            disks = None if written is None else _read_disks(written)
            removed = [] if absent else _read_removed(options["removed_disks"] or ())
        except BlockdevError as error:
            raise ConfigError(f"{path}: {error}") from None
        return cls(
            domain=options["domain"],
            path=path,
            absent=absent,
            options=options["options"],
            disks=disks,
            overwrite=options["overwrite"],
            backup=options["backup"],
            validate=options["validate"],
            parents=options["parents"],
            autostart=options["autostart"],
            autostart_dir=options["autostart_dir"],
            allow_slot_change=options[_ALLOW],
            free_slots=_free_slots(disks or (), written or ()),
            unlisted_disks=options["unlisted_disks"],
            removed_disks=removed,
            known_images=options["known_images"] or (),
        )

    def only_disks(self, config: Config) -> bool:
        """Whether only the disk list of this config may change: it is not one that this collection
        wrote, and the user gives nothing else."""
        return config.text is not None and not config.rendered and self.options is None

    def is_backed_up(self, config: Config) -> bool:
        """Whether to keep a copy; by default of what this collection did not write."""
        return not config.rendered if self.backup is None else self.backup

    def unlisted(self, config: Config) -> str:
        """What to do with disks that are not listed: ``refuse``, ``keep`` or ``remove``."""
        is_list_ours = config.rendered and self.disks is not None
        return self.unlisted_disks or ("remove" if is_list_ours else "refuse")

    def consent(self, config: Config) -> Consent:
        """The changes of the config's disks to which the user agrees."""
        unlisted = self.unlisted(config)
        return Consent(
            slot_change=self.allow_slot_change,
            free=self.free_slots,
            losses=unlisted != "refuse",
            unreadable=unlisted == "remove",
            removed=self.removed_disks,
        )


def _read_disks(written: Sequence[object]) -> List[DiskSpec]:
    """The wanted disks, from xl's strings and from dictionaries of options.

    Raises ConfigError for all that is no disk or has a target that nothing can open.
    """
    _refuse_split(written)
    disks, problems = [], []
    for index, element in enumerate(written):
        try:
            disks.append(_read_disk(element))
        except BlockdevError as error:
            problems.append(f"disks[{index}]: {error}")
    if problems:
        raise ConfigError("; ".join(problems))
    _refuse_same_slot(disks)
    return disks


def _read_disk(element: object) -> DiskSpec:
    if isinstance(element, Mapping):
        disk = DiskSpec.of_options(element)
    else:
        disk = DiskSpec.parse(element)
        disk.check()
    disk_target.check(disk)
    return disk


def _refuse_split(elements: Sequence[object]) -> None:
    """Raise ConfigError for a string in place of the list, which Ansible splits at its commas."""
    texts = [element for element in elements if isinstance(element, str) and "," not in element]
    if len(texts) == len(elements) > 1:
        raise ConfigError(f"disks must be a list of disks: write ['{','.join(texts)}']")


def _refuse_same_slot(disks: Iterable[DiskSpec]) -> None:
    first: Dict[int, int] = {}
    for index, disk in enumerate(disks):
        other = first.setdefault(disk.slot.xenstore_key, index)
        if other != index:
            raise ConfigError(f"disks[{index}]: slot {disk.vdev} is taken, see disks[{other}]")


def _free_slots(disks: Sequence[DiskSpec], written: Sequence[object]) -> FrozenSet[int]:
    return frozenset(
        disk.slot.xenstore_key
        for disk, element in zip(disks, written)
        if isinstance(element, Mapping) and element.get(_ALLOW)
    )


def _read_removed(written: Iterable[Mapping[str, Any]]) -> List[RemovedDisk]:
    removed = []
    for index, disk in enumerate(written):
        vdev, target = disk.get("vdev"), disk.get("target")
        with explained(f"removed_disks[{index}]"):
            if vdev is None and target is None:
                raise ConfigError("nothing says which disk: set vdev, target or both")
            key = None if vdev is None else device_number.parse(vdev).xenstore_key
        removed.append(RemovedDisk(key, target, disk.get("devtype")))
    return removed
