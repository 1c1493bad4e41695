# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The space of thin pools: what the volumes in them may still take, compared with what is free."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Dict, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import State
from ansible_collections.xen.blockdev.plugins.module_utils.resources.logical_volume_item import (
    LogicalVolumeItem,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.promises import (
    DiskStore,
    PromisedDisk,
    pool_store,
    smaller_limit,
)
from ansible_collections.xen.blockdev.plugins.module_utils.volume.report import (
    METADATA_PERCENT,
    Group,
    Volume,
)


@dataclass
class _PlannedPool:
    """A thin pool, and what the plans so far make of it."""

    group: Group
    pool: Volume
    disks: Dict[str, PromisedDisk]
    """By the names of the volumes."""
    freed: int = 0
    """Bytes that the plans give back to the pool."""
    added: int = 0
    """Bytes that the plans promise more than before; negative for less."""
    limit: Optional[float] = None
    """The option ``max_overcommit`` of the volumes that it gets or that grow."""
    domains: Dict[str, Tuple[str, ...]] = field(default_factory=dict)
    """Those of the planned volumes, by the names of these."""


class PoolSpace:
    """The space of the thin pools in which one call has volumes."""

    def __init__(self) -> None:
        self._pools: Dict[Tuple[str, str], _PlannedPool] = {}

    def promise(self, item: LogicalVolumeItem, group: Group, pool: str, size: int) -> None:
        """Count a volume of ``size`` bytes that will be in the pool."""
        planned = self._pool(group, pool)
        if planned is None:
            return
        before = planned.disks.get(item.name)
        taken = min(before.taken, size) if before else 0
        planned.freed += before.taken - taken if before else 0
        planned.domains[item.name] = item.domains
        planned.disks[item.name] = PromisedDisk(item.path, size, taken, item.domains)
        more = size - (before.size if before else 0)
        planned.added += more
        if more > 0:
            planned.limit = smaller_limit(planned.limit, item.max_overcommit)

    def release(self, group: Group, volume: Volume) -> None:
        """Count on the space of a volume that is removed first."""
        planned = self._pool(group, volume.pool) if volume.pool else None
        gone = planned.disks.pop(volume.name, None) if planned else None
        if planned and gone:
            planned.added -= gone.size
            planned.freed += gone.taken

    def _pool(self, group: Group, name: str) -> Optional[_PlannedPool]:
        """None if nothing is known of its space, since it is not active."""
        pool = group.volumes[name]
        if pool.free is None:
            return None
        key = group.name, name
        if key not in self._pools:
            self._pools[key] = _PlannedPool(group, pool, _volumes_in(group, pool, {}))
        return self._pools[key]

    # ---- once all volumes are planned ----

    @property
    def planned(self) -> List[DiskStore]:
        """The pools as the plans leave them."""
        return [
            replace(
                _store(one.pool, one.disks, one.freed),
                added=one.added,
                limit=one.limit,
            )
            for one in self._pools.values()
        ]

    def metadata_warnings(self) -> Iterator[str]:
        """Of pools that will soon have no room for what is where."""
        for one in self._pools.values():
            percent = one.pool.metadata_percent
            if percent is not None and percent >= METADATA_PERCENT:
                yield (
                    f"the metadata of the thin pool {one.pool.path} is {percent:g} % full; if it "
                    "is full, no volume of the pool can be written: enlarge it (lvextend "
                    f"--poolmetadatasize +1g {one.group.name}/{one.pool.name})"
                )

    def figures(self, groups: Mapping[str, Group]) -> List[State]:
        """Of each pool, from the groups that were read once the plans were done; as the plans would
        leave it if none was read."""
        if not groups:
            return [store.figures() for store in self.planned]
        return [store.figures() for store in self._stores_in(groups)]

    def _stores_in(self, groups: Mapping[str, Group]) -> Iterator[DiskStore]:
        for (group_name, name), one in self._pools.items():
            group = groups.get(group_name)
            pool = group.volumes.get(name) if group else None
            if group and pool and pool.free is not None:
                yield _store(pool, _volumes_in(group, pool, one.domains))


def _store(pool: Volume, disks: Mapping[str, PromisedDisk], freed: int = 0) -> DiskStore:
    """``freed``: bytes that will no longer be used."""
    used = max((pool.used or 0) - freed, 0)
    return pool_store(pool.path, pool.size, used, list(disks.values()))


def _volumes_in(
    group: Group, pool: Volume, domains: Mapping[str, Tuple[str, ...]]
) -> Dict[str, PromisedDisk]:
    """The volumes in the pool."""
    return {
        one.name: PromisedDisk(one.path, one.size, one.used or 0, domains.get(one.name, ()))
        for one in group.volumes.values()
        if one.pool == pool.name
    }
