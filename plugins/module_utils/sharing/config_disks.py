# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks in a domain's config, and whether the domain may start with them.

Xen does not reliably keep a guest from starting on another guest's disk: see rules.py.
"""

from __future__ import annotations

from functools import cached_property
from typing import Dict, Iterable, List, Optional, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.disk import target as disk_target
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError, explained
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import rules as sharing_rules
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.rules import Claim
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.storage import (
    MissingError,
    Storage,
    Storages,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.plugins.module_utils.xen import xl

SHARING_HINT = "detach it there or end that domain first, or set access=ro for it in both configs"


class Host:
    """The domains of this host and their disks at one moment; the loop devices when needed."""

    def __init__(self) -> None:
        listed = xl.listed()
        store = xen_state.read_store()
        self.domains = xen_state.domains(store)
        self.usage = Usage(xen_state.vbds(store), listed=listed)
        # xl's table may cut or change a name; xenstore has all of it.
        names = {one.domid: one.name for one in self.domains}
        self._named = [(names.get(one.domid, one.name), one) for one in listed]

    def find(self, name: str) -> Optional[xl.Listed]:
        """The domain ``name``, even if it has crashed and is kept; None if there is none.

        Raises XenError if two domains have the name, as for a moment during a migration.
        """
        matches = [one for its_name, one in self._named if its_name == name]
        if len(matches) > 1:
            ids = " and ".join(str(one.domid) for one in matches)
            raise XenError(
                f"two domains are named {name} (ids {ids}); wait until one of them is gone"
            )
        return matches[0] if matches else None

    @cached_property
    def storages(self) -> Storages:
        """Finds the storage of the targets of disks."""
        return self.usage.storages

    @cached_property
    def claims(self) -> List[Claim]:
        """The disks of all domains."""
        return [Claim.of_vbd(vbd, self.storages.of_vbd(vbd)) for vbd in self.usage.vbds]


def wanted_claims(domain: str, specs: Iterable[str], host: Host, pending: Pending) -> List[Claim]:
    """The disks of ``domain`` by the specifications in its config, without empty drives.

    ``pending``: the targets that earlier tasks would create without check mode. Raises
    BlockdevError for a disk that xl or libxl would not read or open, and for a slot that two have.
    """
    slots: Dict[int, str] = {}
    claims = []
    for spec in specs:
        disk = DiskSpec.parse(spec)
        key, vdev, target = disk.slot.xenstore_key, disk.vdev, disk.target
        if key in slots:
            raise XenError(f"its disks {slots[key]} and {vdev} are in the same slot")
        slots[key] = vdev
        if target is None:
            continue
        with explained(f"disk {vdev}"):
            disk_target.check(disk)
            storage = _storage(disk, target, host, pending)
        claims.append(Claim(domain, vdev, target, disk.effective_access, storage, planned=True))
    return claims


def _storage(disk: DiskSpec, target: str, host: Host, pending: Pending) -> Storage:
    """The storage of a target, as far as this host knows it."""
    others = left_to_others(disk, target, host.domains)
    if others:
        return others
    try:
        if loop_link.is_link(target):
            _check_link(target, host.usage.bindings)
        return host.storages.of_path(target, disk.format)
    except (MissingError, loop_binding.LoopError):
        if loop_link.is_announced(target, pending):
            return Storage(target)
        raise


def left_to_others(
    disk: DiskSpec, target: str, running: Sequence[xen_state.Domain]
) -> Optional[Storage]:
    """The storage of a target that this host cannot find by itself; None for any other. Only a
    hotplug script knows its own targets, only a driver domain, one of those ``running``, knows what
    it serves, and only QEMU what its protocols reach."""
    if disk.script:
        return Storage(target)
    backend = disk.backend_domain
    if backend is not None:
        server = xen_state.find_domain(backend, running)
        return Storage(f"{target} of domain {server.domid if server else backend}")
    return Storage(target) if disk_target.is_left_to_others(disk) else None


def _check_link(link: str, bindings: Sequence[loop_binding.Binding]) -> None:
    """Raise LoopError unless ``link``, which xl opens without looking, leads to its own image."""
    device = loop_binding.device_of_link(link, lambda: bindings)
    if device != link:
        raise loop_binding.LoopError(
            f"{link} does not lead to {device}, to which its image is bound; let udev make the "
            "link (role loopdevs), or write the config again if udev does not run"
        )


def refuse(wanted: Sequence[Claim], others: Iterable[Claim], usage: Usage) -> None:
    """Raise BlockdevError if the domain must not have one of the ``wanted`` disks.

    ``others``: the disks of other domains, including those that will start before it.
    """
    taken = list(others)
    for claim in wanted:
        with explained(f"disk {claim.vdev} ({claim.target})"):
            sharing_rules.refuse_sharing(claim, taken, SHARING_HINT)
            sharing_rules.refuse_use_by_dom0(claim, usage)
        taken.append(claim)


def warnings(wanted: Sequence[Claim], usage: Usage) -> List[str]:
    """See sharing_rules.sharing_warnings."""
    return [line for claim in wanted for line in sharing_rules.sharing_warnings(claim, usage)]
