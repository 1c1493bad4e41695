# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which attached disks QEMU emulates for their guest as well."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import lru_cache
from typing import Optional, Sequence, Set

from ansible_collections.xen.blockdev.plugins.module_utils.disk import emulation
from ansible_collections.xen.blockdev.plugins.module_utils.disk.device_number import (
    DeviceNumberError,
    from_xenstore_key,
    parse,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.storage import Storages
from ansible_collections.xen.blockdev.plugins.module_utils.xen import device_model
from ansible_collections.xen.blockdev.plugins.module_utils.xen.device_model import EmulatedDrive
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Domain, Vbd


class EmulatedDrives:
    """Asks the QEMU of each HVM domain once, when needed."""

    def __init__(self, domains: Sequence[Domain], storages: Storages) -> None:
        """``storages``: finds the data of disks and media."""
        self._hvm = {domain.domid for domain in domains if domain.is_hvm}
        self._storages = storages
        self._drives = lru_cache(maxsize=None)(device_model.drives)

    def of_vbd(self, vbd: Vbd) -> Optional[EmulatedDrive]:
        """The drive that is this disk; None if QEMU does not emulate it, or no longer.

        The drive of a CD may be empty or have another medium than xenstore says. Raises XenError if
        QEMU does not answer.
        """
        if vbd.domid not in self._hvm or vbd.backend_domid != 0:
            return None
        names = _names(vbd)
        if not names:
            return None
        drives = (drive for drive in self._drives(vbd.domid) if drive.name in names)
        return next((drive for drive in drives if self._is_of(vbd, drive)), None)

    def _is_of(self, vbd: Vbd, drive: EmulatedDrive) -> bool:
        """Whether a drive in the disk's unit is this disk: the unit keeps what it had at the start
        of the guest, whatever was attached in the slot since."""
        if vbd.is_cd or drive.medium == vbd.target:
            return True
        if drive.medium is None:
            return False
        if not (os.path.isabs(drive.medium) or os.path.isabs(vbd.target)):
            return True  # QEMU shows what it reads by a protocol (rbd, nbd) in words of its own.
        try:
            return self._storages.of_path(drive.medium).overlaps(self._storages.of_vbd(vbd))
        except XenError:
            return False  # Its file is gone.


def _names(vbd: Vbd) -> Set[str]:
    """What QEMU may call the drive. Only the config, which may have changed, has the bus."""
    spec = DiskSpec(target=vbd.target or None, vdev=_vdev(vbd), devtype=vbd.devtype)
    drives = (emulation.drive_of(spec, hdtype) for hdtype in (None, emulation.AHCI))
    return {drive.qemu_name for drive in drives if drive}


def _vdev(vbd: Vbd) -> str:
    """The slot as it is written, or the name of its number if that is a name which libxl has taken
    by accident."""
    with suppress(DeviceNumberError):
        parse(vbd.vdev)
        return vbd.vdev
    with suppress(DeviceNumberError):
        return from_xenstore_key(vbd.xenstore_key).linux_device
    return str(vbd.xenstore_key)
