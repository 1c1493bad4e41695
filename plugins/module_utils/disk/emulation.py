# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disks of an HVM guest are drives as well, which QEMU emulates.

An HVM guest finds its disks twice: as vbds, if it has PV drivers, and as the drives of a PC, from
which its firmware boots. A drive has a unit on a bus, and two drives cannot have the same. The
rules are those of ``libxl__build_device_model_args_new`` (``libxl_dm.c``), the same in Xen 4.17 and
4.20; guests of other types have no emulated drives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec

UNITS = {"ide": 4, "ahci": 6, "scsi": 8}
"""How many drives each bus can have. On SCSI that is the limit of QEMU's ``lsi53c895a``."""

AHCI = "ahci"
"""The ``hdtype`` of a guest whose hard disks are on AHCI."""


@dataclass(frozen=True)
class Drive:
    """An emulated drive."""

    bus: str
    """``ide``, ``ahci`` or ``scsi``."""
    unit: int
    """Counted from 0: on IDE over both of its channels, on AHCI the port, on SCSI the id."""
    qemu_name: str
    """The name of its block device in QEMU, as ``query-block`` shows it."""

    @property
    def exists(self) -> bool:
        """Whether the bus has the unit. libxl asks for an IDE unit 4 and for SCSI ids up to 15 as
        well, with which QEMU does not start."""
        return self.unit < UNITS[self.bus]


def drive_of(spec: DiskSpec, hdtype: Optional[str]) -> Optional[Drive]:
    """The drive that a disk of an HVM guest is as well; None if there is none.

    ``hdtype``: that of the guest's config, None for xl's default. A disk with a script is taken for
    a drive, which it is if the script tells libxl a path, as Xen's own do (``write_dev`` in
    ``block-common.sh``). Raises DeviceNumberError if ``vdev`` is no slot.
    """
    disk = number_of_name(spec)
    if disk is None or not _is_readable(spec):
        return None
    if spec.is_cd:
        # On IDE with any hdtype, and on any bus by name.
        name = f"ide-{spec.slot.xenstore_key}"
        return Drive("ide", disk, name) if disk <= UNITS["ide"] else None
    if spec.slot.bus == "sd":
        return Drive("scsi", disk, f"scsi0-hd{disk}")
    if is_ahci(hdtype):
        return Drive("ahci", disk, f"ahcidisk-{disk}") if disk < UNITS["ahci"] else None
    return Drive("ide", disk, f"ide{disk // 2}-hd{disk % 2}") if disk < UNITS["ide"] else None


def is_ahci(hdtype: Optional[str]) -> bool:
    """Whether hard disks are on AHCI. libxl reads the word in any case."""
    return hdtype is not None and hdtype.lower() == AHCI


def number_of_name(spec: DiskSpec) -> Optional[int]:
    """The number of the disk, counted from 0, that the name of its slot says: xvda1 is of disk 0.

    None for a slot that is written as a number: libxl does not decode it, and the guest has it by
    its PV drivers only. Raises DeviceNumberError if ``vdev`` is no slot.
    """
    return None if spec.vdev[:1].isdigit() else spec.slot.disk


def _is_readable(spec: DiskSpec) -> bool:
    """Whether QEMU can open the disk (``libxl__device_disk_find_local_path``): a disk with a
    ``backend``, even dom0, has no path for it. An empty drive needs none."""
    return spec.backend is None or spec.target is None
