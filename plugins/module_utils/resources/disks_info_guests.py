# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The running guests of a host, for xen_disks_info: one look at xenstore, one at xl's list."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.host import dom0
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info_gaps import Gaps
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    KernelVbd,
    RunningGuest,
)
from ansible_collections.xen.blockdev.plugins.module_utils.xen import blkback, xl
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Domain, Vbd


class GuestReader:
    """The domains of this host and their disks at one moment."""

    def __init__(self, gaps: Gaps) -> None:
        self.is_xen = dom0.is_dom0()
        self.domains: Sequence[Domain] = ()
        """As xenstore has them, with dom0."""
        self.vbds: Sequence[Vbd] = ()
        self.guests: Optional[Tuple[RunningGuest, ...]] = () if not self.is_xen else None
        """None if xenstore cannot be read."""
        self.served = frozenset(blkback.served())
        """The slots of all disks that the kernel serves."""
        if not self.is_xen:
            return
        listed: Dict[int, xl.Listed] = {}
        with gaps.noted("xl"):
            listed = {one.domid: one for one in xl.listed()}
        with gaps.noted("xenstore"):
            store = xen_state.read_store()
            self.vbds, errors = xen_state.known_vbds(store)
            self.domains = xen_state.domains(store)
            self.guests = _guests(self.domains, listed)
            for error in errors:
                gaps.note("xenstore", "", error)

    @property
    def lost(self) -> List[KernelVbd]:
        """What the kernel serves though xenstore does not have it; unknown without xenstore."""
        if self.guests is None:
            return []
        known = {(vbd.domid, vbd.xenstore_key) for vbd in self.vbds}
        return [KernelVbd(*slot) for slot in sorted(self.served - known)]

    def is_known(self, domid: int) -> bool:
        """Whether there is a domain with this id."""
        return any(domain.domid == domid for domain in self.domains)


def _guests(domains: Sequence[Domain], listed: Dict[int, xl.Listed]) -> Tuple[RunningGuest, ...]:
    """The domains of xenstore, and those that only xl still lists, such as what is left of a
    destroyed one."""
    named = {domain.domid: domain for domain in domains}
    guests = []
    for domid in sorted({*named, *listed} - {0}):
        domain, status = named.get(domid), listed[domid].status if domid in listed else None
        if domain:
            guests.append(RunningGuest(domid, domain.name, domain.uuid, domain.type, status))
        else:
            guests.append(RunningGuest(domid, listed[domid].name, status=status))
    return tuple(guests)
