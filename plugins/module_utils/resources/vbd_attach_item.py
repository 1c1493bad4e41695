# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user wants of one disk of a running domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import State
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk.device_number import DeviceNumber
from ansible_collections.xen.blockdev.plugins.module_utils.disk.options import OPTIONS
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.units import checked_seconds


@dataclass(frozen=True)
class VbdItem:
    """One item of xen_vbd_attach."""

    domain: str
    """Name, UUID or id of the domain."""
    vdev: Optional[str]
    """The slot as the user wrote it."""
    slot: Optional[DeviceNumber]
    """The slot. None, as for ``target``, if the user did not set it."""
    target: Optional[str]
    disk: DiskSpec
    """The disk itself. It is not checked: a disk to detach need not be complete."""
    is_absent: bool
    """Whether to detach the disk instead of attaching it."""
    wait_for: Optional[str]
    """``connected`` or ``offered``; None if the module does not wait."""
    timeout: float
    """Seconds for the guest to connect, or to release the disk."""
    force: bool
    """Whether to take the disk away from a guest that does not release it."""
    replace: bool
    """Whether another disk in the slot is replaced."""
    skip_if_not_running: bool
    """Whether a domain that is not running is no error."""
    warn_of_unlisted: bool
    """Whether to warn of disks of the domain that no item names."""

    @classmethod
    def read(cls, options: State) -> VbdItem:
        """From the checked options of xen_vbd_attach. Raises DeviceNumberError for a bad vdev."""
        vdev = options["vdev"]
        disk: Dict[str, Any] = {name: options[name] for name in OPTIONS}
        access = OPTIONS["access"].meaning(options["access"])
        return cls(
            domain=options["domain"],
            vdev=vdev,
            slot=None if vdev is None else device_number.parse(vdev),
            target=options["target"],
            disk=DiskSpec(**{**disk, "vdev": vdev or "", "access": access}),
            is_absent=options["state"] == "absent",
            wait_for=options["wait_for"] if options["wait"] else None,
            timeout=checked_seconds(options["timeout"]),
            force=options["force"],
            replace=options["replace"],
            skip_if_not_running=options["when_not_running"] == "skip",
            warn_of_unlisted=options["unlisted"] == "warn",
        )
