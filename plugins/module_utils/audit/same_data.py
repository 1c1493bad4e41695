# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data that several guests have, on one host or on different ones.

The data of all hosts is put into groups by its identities, each of which is looked up once. So the
time grows with the number of disks, and not with that of their pairs.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import (
    Callable,
    Dict,
    Hashable,
    Iterable,
    Iterator,
    List,
    Sequence,
    Set,
    Tuple,
)

from ansible_collections.xen.blockdev.plugins.module_utils.audit.codes import finding
from ansible_collections.xen.blockdev.plugins.module_utils.audit.index import DataUse, HostIndex
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import AuditFinding
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.compatible import (
    exclude_each_other,
)
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    DataIdentity,
    DiskStorage,
)

MOST_NAMED = 6
"""How many users of some data a sentence names; it counts the others."""

EVERYWHERE = ("unit", "volume", "network_file", "unit_file")
"""The kinds of identities (see survey/model.py) that two hosts have only of the same data. Not
``uuid_file``: hosts that were made from one image have files of one name and inode."""

_BY_VENDOR = re.compile(r"t10\.")
"""A unit whose name is only as unique as its vendor made it. The disks of all virtual machines may
have the same, and the first LUN of all targets; so it is trusted on one host only."""

_MULTIPATH = re.compile(r"(?:part[0-9]+-)?mpath-(?:[23][0-9a-f]|eui\.|nvme\.|uuid\.).+")
"""The UUID that multipath gives to a device, and kpartx to a partition of one: with the WWID of the
LUN, as scsi_id(8) writes it. A WWID that begins with 0, 1 or S is only as unique as the vendor made
it."""

_GlobalKey = Tuple[Hashable, ...]


def _key(host: str, identity: DataIdentity) -> _GlobalKey:
    """Equal for identities of the same data on any hosts."""
    is_known = identity.kind in EVERYWHERE and not _BY_VENDOR.match(identity.value)
    return ("" if is_known else host, identity.kind, identity.value)


def _keys(host: str, storage: DiskStorage) -> Iterator[_GlobalKey]:
    """Everything by which this data is known. A multipath device has no unit of its own, but those
    of its paths, which are below it."""
    yield from (_key(host, one) for one in storage.identities)
    uuid = storage.device.mapper_uuid if storage.device else None
    if uuid and _MULTIPATH.fullmatch(uuid):
        yield "", "multipath", uuid


@dataclass
class SharedData:
    """Data that some disks have."""

    uses: List[DataUse] = field(default_factory=list)
    """Those of the data itself, one for each slot."""
    above: List[DataUse] = field(default_factory=list)
    """Those of data that is stored on this: of the partitions of a disk, for instance. They do not
    disturb each other."""

    def involved(self, writes: Callable[[DataUse], bool]) -> List[DataUse]:
        """The uses that another one here excludes. ``writes``: whether a use writes."""
        if len(self.all) < 2:
            return []
        below = any(map(writes, self.uses))
        anywhere = below or any(map(writes, self.above))
        return [
            *(use for use in self.uses if exclude_each_other(writes(use), anywhere)),
            *(use for use in self.above if self.uses and exclude_each_other(writes(use), below)),
        ]

    def only(self, counts: Callable[[DataUse], bool]) -> SharedData:
        """It with these uses only."""
        return SharedData(list(filter(counts, self.uses)), list(filter(counts, self.above)))

    @property
    def all(self) -> List[DataUse]:
        """All uses."""
        return [*self.uses, *self.above]


def shared_data(hosts: Sequence[HostIndex]) -> Iterator[SharedData]:
    """The data of all hosts that more than one slot has."""
    groups = _groups(hosts)
    owners: Dict[_GlobalKey, int] = {}
    for number, group in enumerate(groups):
        for host, storage in group:
            owners.update((key, number) for key in _keys(host.name, storage))
    found = [SharedData(_by_slot(host.uses[one.name] for host, one in group)) for group in groups]
    for number, group in enumerate(groups):
        for lower in _below(group, owners):
            slots = {use.slot_id for use in found[lower].uses}
            found[lower].above += [use for use in found[number].uses if use.slot_id not in slots]
    return (one for one in found if len(one.all) > 1)


_Group = List[Tuple[HostIndex, DiskStorage]]


def _groups(hosts: Sequence[HostIndex]) -> List[_Group]:
    """The used storages of all hosts, those of the same data in one group."""
    joined = _DisjointSets()
    used = [(host, storage) for host in hosts for storage, _uses in host.used()]
    for host, storage in used:
        name: _GlobalKey = (host.name, "name", storage.name)
        joined.join(name, _keys(host.name, storage))
    groups: Dict[Hashable, _Group] = defaultdict(list)
    for host, storage in used:
        groups[joined.find((host.name, "name", storage.name))].append((host, storage))
    return list(groups.values())


def _below(group: _Group, owners: Dict[_GlobalKey, int]) -> Set[int]:
    """The numbers of the groups with the data on which this one is."""
    keys = (_key(host.name, one) for host, storage in group for one in storage.below)
    return {owners[key] for key in keys if key in owners}


def _by_slot(uses: Iterable[Sequence[DataUse]]) -> List[DataUse]:
    """The uses with one for each slot."""
    found: Dict[Hashable, DataUse] = {}
    for use in (use for some in uses for use in some):
        other = found.get(use.slot_id)
        found[use.slot_id] = other.with_other(use) if other else use
    return list(found.values())


class _DisjointSets:
    """Which keys are of the same set (union-find)."""

    def __init__(self) -> None:
        self._parents: Dict[Hashable, Hashable] = {}

    def find(self, key: Hashable) -> Hashable:
        """The key that stands for the set of this one."""
        parents = self._parents
        parents.setdefault(key, key)
        while parents[key] != key:
            parents[key] = key = parents[parents[key]]
        return key

    def join(self, key: Hashable, others: Iterable[Hashable]) -> None:
        """Put the sets of all these into one."""
        root = self.find(key)
        for other in others:
            self._parents[self.find(other)] = root


# ---- the findings ----


def sharing_findings(hosts: Sequence[HostIndex]) -> Iterator[AuditFinding]:
    """The findings about data that several guests have, or will have."""
    for data in shared_data(hosts):
        if any(use.may_write for use in data.all):
            yield from _findings_of(data)


def _findings_of(data: SharedData) -> Iterator[AuditFinding]:
    """The worst that can be said of each slot."""
    now = data.only(lambda use: use.is_held).involved(lambda use: use.is_written)
    if now:
        yield _sharing_finding(
            "two-writers",
            now,
            f"{_list(now)} have it at the same time",
            "shut down all but one of them at once, check the file systems, and remove the disk "
            "from the configs of the others; guests that only read may share it: access: ro in "
            "all configs",
        )
    said = {use.slot_id for use in now}
    for use, holders in _held_by_others(data, said):
        said.add(use.slot_id)
        yield _sharing_finding(
            "held-by-another",
            [use, *holders],
            f"{use.configs[0]} has it for domain {use.domain} ({use.access}), and {_list(holders)} "
            f"{'hold' if len(holders) > 1 else 'holds'} it",
            f"remove the disk from {use.configs[0]}, or shut down domain {holders[0].domain} "
            "before the other one starts; to share it, set access: ro in both configs",
        )
    left = data.only(lambda use: use.slot_id not in said and bool(use.configs))
    starting = _starting_together(left)
    if starting:
        said.update(use.slot_id for use in starting)
        yield _sharing_finding(
            "two-at-start",
            starting,
            f"{_list(starting)} start with it together",
            "remove the disk from all but one of the configs, or let only one domain start at "
            "boot (autostart: false); to share it, set access: ro in all",
        )
    left = left.only(lambda use: use.slot_id not in said)
    later = left.involved(lambda use: use.is_written_later)
    if len({use.domain for use in later}) > 1:
        yield _sharing_finding(
            "two-configs",
            later,
            f"the configs of {_list(later)} have it",
            "remove the disk from all but one of the configs; to share it, set access: ro in all",
        )


def _held_by_others(
    data: SharedData, said: Set[Tuple[str, str, str]]
) -> Iterator[Tuple[DataUse, List[DataUse]]]:
    """The uses of domains that do not have the data, but by a config, and the domains of other
    names that have it and exclude that. A domain has the same config on all hosts between which it
    is migrated."""
    holders = data.only(lambda use: use.is_held)
    if not holders.all:
        return
    holding = {use.domain for use in holders.all}
    for uses, others in ((data.uses, holders.all), (data.above, holders.uses)):
        for use in uses:
            if use.slot_id in said or not use.configs or use.domain in holding:
                continue
            excluding = [
                one for one in others if exclude_each_other(use.is_written_later, one.is_written)
            ]
            if excluding:
                yield use, excluding


def _starting_together(data: SharedData) -> List[DataUse]:
    """The uses that exclude each other and begin together: when the hosts boot, or when a domain
    starts that has the data in two slots."""
    at_boot = data.only(lambda use: use.starts).involved(lambda use: use.is_written_later)
    slots: Dict[Tuple[str, str], Set[str]] = defaultdict(set)
    for use in data.all:
        for config in use.configs:
            slots[use.host, config].add(use.slot)
    twice = {config for config, names in slots.items() if len(names) > 1}
    in_one = data.only(lambda use: any((use.host, one) in twice for one in use.configs))
    found = [*at_boot, *in_one.involved(lambda use: use.is_written_later)]
    return list({use.slot_id: use for use in found}.values())


def _sharing_finding(code: str, uses: Sequence[DataUse], seen: str, remedy: str) -> AuditFinding:
    places = [use.place for use in uses]
    return finding(code, places[0], seen, remedy, others=places[1:])


def _list(uses: Sequence[DataUse]) -> str:
    """The uses, for a sentence."""
    named = [_words(use) for use in uses[:MOST_NAMED]]
    if len(uses) > MOST_NAMED:
        named.append(f"{len(uses) - MOST_NAMED} more")
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


def _words(use: DataUse) -> str:
    as_what = f"{use.role} of {use.slot}" if use.role else use.slot
    saved = f", saved in {use.save}" if use.save else ""
    return f"domain {use.domain} on {use.host} as {as_what} ({use.access}{saved})"
