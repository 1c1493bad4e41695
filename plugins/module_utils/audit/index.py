# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's survey by the names in it, and who has each of its data. Made once for all rules."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from typing import (
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import FindingPlace
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.compatible import can_write
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    BootUnitFile,
    DiskInGuest,
    DiskStorage,
    FoundConfig,
    LoopDevice,
    RunningGuest,
    Survey,
    SurveyedDisk,
    SurveyedDomain,
)

_CONNECTED = 4
"""The state of a backend that serves its guest (xen/io/xenbus.h)."""


NO_SLOT = "?"
"""For a disk of a config whose slot cannot be read."""


@dataclass(frozen=True)
class DataUse:
    """Some data as a domain has it, or will have it, through one of its slots."""

    host: str
    domain: str
    slot: str
    storage: DiskStorage
    target: str
    """As the guest or the config has it."""
    role: Optional[str] = None
    """What it is of that disk, such as its backing file; None for the disk itself."""
    format: Optional[str] = None
    """That of the disk, as the guest or the config has it."""
    is_held: bool = False
    """Whether a running or a saved domain has it."""
    save: Optional[str] = None
    """The path of the save file, for a saved domain."""
    is_written: bool = False
    """Whether that one writes to it."""
    configs: Tuple[str, ...] = ()
    """The paths of the configs that have it."""
    is_written_later: bool = False
    """Whether the domain will write to it by one of them."""
    starts: bool = False
    """Whether xendomains starts one of them."""

    @property
    def place(self) -> FindingPlace:
        """Where it is."""
        return FindingPlace(self.host, self.domain, self.slot, self.storage.name)

    @property
    def slot_id(self) -> Tuple[str, str, str]:
        """By which uses of one slot are known."""
        return self.host, self.domain, self.slot

    def with_other(self, other: DataUse) -> DataUse:
        """Both as one: they are of one slot."""
        return replace(
            self,
            is_held=self.is_held or other.is_held,
            save=self.save or other.save,
            is_written=self.is_written or other.is_written,
            configs=(*self.configs, *other.configs),
            is_written_later=self.is_written_later or other.is_written_later,
            starts=self.starts or other.starts,
        )

    @property
    def may_write(self) -> bool:
        """Whether it writes to it, or will."""
        return self.is_written or self.is_written_later

    @property
    def access(self) -> str:
        """As xl calls it: what a domain has, or else what it will have."""
        writes = self.is_written if self.is_held else self.is_written_later
        return "rw" if writes else "ro"


class HostIndex:
    """What the survey of one host says, by names."""

    def __init__(self, name: str, survey: Survey) -> None:
        """``name``: of the host in the inventory."""
        self.name = name
        self.survey = survey
        self.storages: Dict[str, DiskStorage] = {one.name: one for one in survey.storages}
        self.configs: Dict[str, FoundConfig] = {one.path: one for one in survey.configs}
        self.domains: Dict[str, SurveyedDomain] = {one.name: one for one in survey.domains}
        self.guests: Dict[int, RunningGuest] = {one.domid: one for one in survey.guests or ()}
        self.loop_devices: Dict[str, LoopDevice] = {one.device: one for one in survey.loop_devices}

    def at(
        self,
        domain: Optional[str] = None,
        slot: Optional[str] = None,
        path: Optional[str] = None,
    ) -> FindingPlace:
        """A place on this host."""
        return FindingPlace(self.name, domain, slot, path)

    def at_disk(self, disk: SurveyedDisk, path: Optional[str]) -> FindingPlace:
        """The place of a disk."""
        return self.at(domain_of(disk), disk.vdev or NO_SLOT, path)

    def storage(self, name: Optional[str]) -> Optional[DiskStorage]:
        """The storage with this name; None for no name."""
        return None if name is None else self.storages.get(name)

    def domids(self, domain: str) -> Sequence[int]:
        """The ids of a domain, if it runs."""
        found = self.domains.get(domain)
        return found.domids if found else ()

    def starts(self, config: str) -> bool:
        """Whether xendomains starts the config with this path when the host boots."""
        return config in self._started

    @cached_property
    def _started(self) -> FrozenSet[str]:
        return frozenset(
            one.config
            for one in self.survey.autostart
            if one.config is not None and one.is_started and one.exists
        )

    @cached_property
    def units(self) -> Mapping[str, Sequence[BootUnitFile]]:
        """The boot units by the names of the storages that they bind."""
        units: Dict[str, List[BootUnitFile]] = defaultdict(list)
        for unit in self.survey.boot_units:
            if unit.storage is not None:
                units[unit.storage].append(unit)
        return units

    @cached_property
    def with_unread_disks(self) -> FrozenSet[str]:
        """The names of domains that may have disks in their configs which cannot be read."""
        unread = {disk.domain for disk in self.survey.disks if disk.xenstore_key is None}
        unread |= {one.domain for one in self.survey.configs if one.problems}
        return frozenset(name for name in unread if name is not None)

    @cached_property
    def gaps(self) -> Sequence[str]:
        """What could not be read and may name any disk: the paths or the sources."""
        unread = [
            one.subject or one.source
            for one in self.survey.unread
            if one.source in ("config", "autostart", "save", "xenstore")
        ]
        nameless = [one.path for one in self.survey.configs if one.domain is None and one.problems]
        broken = [
            one.config
            for disk in self.survey.disks
            for one in disk.configured
            if one.problem is not None
        ]
        return tuple(dict.fromkeys([*unread, *nameless, *broken]))

    @cached_property
    def has_unread_units(self) -> bool:
        """Whether there may be boot units that could not be read."""
        return any(one.source == "units" for one in self.survey.unread)

    def is_bound_at_boot(self, storage: str) -> bool:
        """Whether an enabled boot unit binds the image with this name."""
        return any(unit.enabled for unit in self.units.get(storage, ()))

    @cached_property
    def uses(self) -> Mapping[str, Sequence[DataUse]]:
        """By the name of a storage, all domains that have its data."""
        uses: Dict[str, List[DataUse]] = defaultdict(list)
        for disk in self.survey.disks:
            for use in _merged(self._uses_of(disk)):
                uses[use.storage.name].append(use)
        return uses

    def used(self) -> Iterator[Tuple[DiskStorage, Sequence[DataUse]]]:
        """The storages that domains have, each with all of its uses."""
        for name, uses in self.uses.items():
            yield self.storages[name], uses

    def _uses_of(self, disk: SurveyedDisk) -> Iterator[DataUse]:
        """Its data and what is behind that: once for each guest, save file and config with it."""
        domain, slot = domain_of(disk), disk.vdev or NO_SLOT
        for had in _held(disk):
            for storage, role, is_written in self._reached(had.storage):
                yield DataUse(
                    self.name,
                    domain,
                    slot,
                    storage,
                    had.target,
                    role,
                    had.format,
                    is_held=True,
                    save=had.save,
                    is_written=can_write(had.access) and is_written,
                )
        for one in disk.configured:
            for storage, role, is_written in self._reached(one.storage):
                yield DataUse(
                    self.name,
                    domain,
                    slot,
                    storage,
                    str(one.target),
                    role,
                    one.format,
                    configs=(one.config,),
                    is_written_later=can_write(one.access or "rw") and is_written,
                    starts=self.starts(one.config),
                )

    def _reached(self, name: Optional[str]) -> Iterator[Tuple[DiskStorage, Optional[str], bool]]:
        """The storage with this name and what is behind it, each with its role, and whether a write
        to the disk may write to it."""
        storage = self.storage(name)
        if storage is None:
            return
        yield storage, None, True
        for other in storage.behind:
            behind = self.storage(other.storage)
            if behind is not None:
                yield behind, other.role, other.is_written


def is_lost(storage: DiskStorage) -> bool:
    """Whether no path leads to the image: it lives on only because it is in use."""
    return storage.file is not None and (storage.file.deleted or storage.file.hidden)


def is_served(vbd: DiskInGuest) -> bool:
    """Whether a backend reads and writes the data for the guest."""
    return bool(vbd.is_served) or vbd.backend_state == _CONNECTED


def only_occupies(vbd: DiskInGuest) -> bool:
    """Whether a disk in xenstore has no data open: only its slot is in use."""
    return vbd.flaw is not None and not is_served(vbd)


class _HeldData(NamedTuple):
    """What a running or a saved domain has in a slot."""

    target: str
    access: str
    format: Optional[str]
    storage: Optional[str]
    save: Optional[str] = None


def domain_of(disk: SurveyedDisk) -> str:
    """The name of its domain, or words for one that is gone or whose config sets no name."""
    if disk.domain is not None:
        return disk.domain
    if disk.attached:
        return f"with the id {disk.attached[0].domid}"
    return f"of {disk.configured[0].config}" if disk.configured else "without a name"


def _held(disk: SurveyedDisk) -> Iterator[_HeldData]:
    """All that running and saved domains have there."""
    for vbd in disk.attached:
        if only_occupies(vbd):
            continue
        yield _HeldData(vbd.target, vbd.access, vbd.format, vbd.storage)
        if vbd.medium_storage != vbd.storage:
            yield _HeldData(str(vbd.medium), "ro", None, vbd.medium_storage)
    for one in disk.saved:
        yield _HeldData(one.target, one.access, one.format, one.storage, one.save)


def _merged(uses: Iterable[DataUse]) -> Iterable[DataUse]:
    """The uses with one for each storage of a slot and its role."""
    merged: Dict[Tuple[str, Optional[str]], DataUse] = {}
    for use in uses:
        key = (use.storage.name, use.role)
        merged[key] = merged[key].with_other(use) if key in merged else use
    return merged.values()
