# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks of running domains, as xen_vbd_info shows them."""

from __future__ import annotations

import os
from functools import cached_property, partial
from typing import Callable, List, Optional, Sequence, Set

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import State
from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host import dom0
from ansible_collections.xen.blockdev.plugins.module_utils.host.blkid import Content, Prober, Warn
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.emulated import EmulatedDrives
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.storage import (
    Storages,
    backing_file_of,
    block_device_path,
    decimal,
)
from ansible_collections.xen.blockdev.plugins.module_utils.units import SECTOR
from ansible_collections.xen.blockdev.plugins.module_utils.xen import device_model
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.plugins.module_utils.xen.device_model import EmulatedDrive
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Domain, Vbd


def describe_vbds(domains: Optional[List[str]], probe: bool, warn: Warn) -> List[State]:
    """The disks of all running domains, or of the named ones. ``probe``: whether to read their
    contents; ``warn`` gets a warning if that fails."""
    dom0.require_dom0()
    store = xen_state.read_store()
    running = xen_state.domains(store)
    wanted = None if domains is None else {xen_state.find_domain(name, running) for name in domains}
    ids = None if wanted is None else {domain.domid for domain in wanted if domain}
    prober = Prober(warn, probe)
    # Hosts without HVM guests need no look at the loop devices.
    media = DrivesOfGuests(running, lambda: Storages(loop_binding.scan()), partial(_warn_of, warn))
    return [
        {**vbd_state(vbd), **media.describe(vbd), **_content(vbd, prober).as_state()}
        for vbd in xen_state.vbds(store)
        if ids is None or vbd.domid in ids
    ]


def _warn_of(warn: Warn, vbd: Vbd, error: XenError) -> None:
    warn(f"emulated and medium of domain {vbd.domain} are not known: {error}")


class DrivesOfGuests:
    """What QEMU says of the disks that it emulates. The QEMU of each HVM domain is asked once."""

    def __init__(
        self,
        domains: Sequence[Domain],
        storages: Callable[[], Storages],
        silence: Callable[[Vbd, XenError], object],
    ) -> None:
        """``storages``: is called once, if there is an HVM guest. ``silence``: is told of the first
        disk of a domain whose QEMU does not answer."""
        self._domains = domains
        self._types = {domain.domid: domain.type for domain in domains}
        self._silent: Set[int] = set()
        """Ids of the domains whose QEMU does not answer."""
        self._storages = storages
        self._silence = silence

    @cached_property
    def _drives(self) -> EmulatedDrives:
        return EmulatedDrives(self._domains, self._storages())

    def describe(self, vbd: Vbd) -> State:
        """Whether a disk is emulated, None if that is not known, and what is in a CD drive."""
        if self._types.get(vbd.domid) in ("pv", "pvh"):
            return {"emulated": False, "medium": None}
        drive = self._find(vbd)
        is_known = vbd.domid not in self._silent and device_model.is_in_dom0(vbd.domid)
        return {
            "emulated": drive is not None if is_known else None,
            "medium": drive.medium if drive and vbd.is_cd else None,
        }

    def _find(self, vbd: Vbd) -> Optional[EmulatedDrive]:
        if vbd.domid not in self._silent:
            try:
                return self._drives.of_vbd(vbd)
            except XenError as error:
                self._silent.add(vbd.domid)
                self._silence(vbd, error)
        return None


def _content(vbd: Vbd, prober: Prober) -> Content:
    """The content of the disk, if it is a raw image or a block device of this host."""
    if vbd.backend_domid != 0 or vbd.format != "raw":
        return Content()
    if vbd.physical_device:
        rdev = os.makedev(*vbd.physical_device)
        return prober.look(block_device_path(rdev), rdev)
    return prober.look(vbd.target if os.path.isabs(vbd.target) else None)


def vbd_state(vbd: Vbd) -> State:
    """What is shown of an attached disk, but for its content and what QEMU says of it."""
    return {
        "domain": vbd.domain,
        "domid": vbd.domid,
        "xenstore_key": vbd.xenstore_key,
        "vdev": vbd.vdev,
        "devtype": vbd.devtype,
        "target": vbd.target,
        "backing_file": backing_file_of(vbd),
        "physical_device": decimal(vbd.physical_device),
        "format": vbd.format,
        "backendtype": vbd.backendtype,
        "access": vbd.access,
        "backend_state": vbd.backend_state,
        "frontend_state": vbd.frontend_state,
        "hotplug_error": vbd.hotplug_error,
        "sectors": vbd.sectors,
        "sector_size": vbd.sector_size,
        "size": None if vbd.sectors is None else vbd.sectors * SECTOR,
    }
