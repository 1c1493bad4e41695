# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks with which a config starts its domain, and whether they may be given to it.

Xen does not reliably keep a guest from starting on another guest's disk: see sharing.
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

SHARING_HINT = (
    "detach it there or end that domain first, or give it access=ro in the configs of both"
)


class Host:
    """The domains of this host and their disks at one moment; loop devices when first asked for."""

    def __init__(self) -> None:
        listed = xl.listed()
        store = xen_state.read_store()
        self.domains = xen_state.domains(store)
        self.usage = Usage()
        # Read already, by the same look as the domains.
        self.usage.vbds = xen_state.vbds(store)
        # xenstore keeps what xl's table may lose of a name.
        names = {one.domid: one.name for one in self.domains}
        self._named = [(names.get(one.domid, one.name), one) for one in listed]

    def find(self, name: str) -> Optional[xl.Listed]:
        """The domain C(name), also one that has crashed and is kept; None where there is none.

        Raises XenError where two have the name, as happens for a moment during a migration.
        """
        matches = [one for its_name, one in self._named if its_name == name]
        if len(matches) > 1:
            ids = " and ".join(str(one.domid) for one in matches)
            raise XenError(f"two domains are called {name}, {ids}; wait until one of them is gone")
        return matches[0] if matches else None

    @cached_property
    def storages(self) -> Storages:
        """What lies behind the targets of disks."""
        return self.usage.storages

    @cached_property
    def claims(self) -> List[Claim]:
        """The disks that all domains have."""
        return [Claim.of_vbd(vbd, self.storages.of_vbd(vbd)) for vbd in self.usage.vbds]


def wanted_claims(domain: str, specs: Iterable[str], host: Host, pending: Pending) -> List[Claim]:
    """The disks that C(domain) is to get, from the specifications in its config.

    An empty drive is none. C(pending): which targets would be there but for check mode. Raises
    BlockdevError for what xl or libxl would not read or open, and for a slot that is taken twice.
    """
    slots: Dict[int, str] = {}
    claims = []
    for spec in specs:
        disk = DiskSpec.parse(spec)
        key, vdev, target = disk.slot.xenstore_key, disk.vdev, disk.target
        if key in slots:
            raise XenError(f"its disks {slots[key]} and {vdev} have the same slot")
        slots[key] = vdev
        if target is None:
            continue
        with explained(f"disk {vdev}"):
            disk_target.check(disk)
            storage = _storage(disk, target, host, pending)
        claims.append(Claim(domain, vdev, target, disk.effective_access, storage, planned=True))
    return claims


def _storage(disk: DiskSpec, target: str, host: Host, pending: Pending) -> Storage:
    """What lies behind a target, as far as this host can tell: only a script knows its own, only
    a driver domain what it has, and only QEMU what its protocols reach."""
    if disk.script:
        return Storage(target)
    backend = disk.backend_domain
    if backend is not None:
        server = xen_state.find_domain(backend, host.domains)
        return Storage(f"{target} of domain {server.domid if server else backend}")
    if disk_target.is_left_to_others(disk):
        return Storage(target)
    try:
        if loop_link.is_link(target):
            _check_link(target, host.usage.bindings)
        return host.storages.of_path(target, disk.format)
    except (MissingError, loop_binding.LoopError):
        if loop_link.is_announced(target, pending):
            return Storage(target)
        raise


def _check_link(link: str, bindings: Sequence[loop_binding.Binding]) -> None:
    """Raise LoopError unless C(link), which xl opens as it stands, leads to its own image."""
    device = loop_binding.device_of_link(link, lambda: bindings)
    if device != link:
        raise loop_binding.LoopError(
            f"{link} does not lead to {device}, to which its image is bound; let udev make that "
            "link (role loopdevs), or write the config again where udev does not run"
        )


def refuse(wanted: Sequence[Claim], others: Iterable[Claim], usage: Usage) -> None:
    """Raise BlockdevError where one of the disks must not be given to its domain.

    C(others): the disks of other domains, also of those that are to be started before.
    """
    taken = list(others)
    for claim in wanted:
        with explained(f"disk {claim.vdev} ({claim.target})"):
            sharing_rules.refuse_sharing(claim, taken, SHARING_HINT)
            sharing_rules.refuse_use_by_dom0(claim, usage)
        taken.append(claim)


def doubts(wanted: Sequence[Claim], usage: Usage) -> List[str]:
    """What cannot be known of who else has the data of the disks: see sharing.doubts."""
    return [doubt for claim in wanted for doubt in sharing_rules.doubts(claim, usage)]
