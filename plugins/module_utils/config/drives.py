# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges the disks of a guest by its type: what keeps it from starting, and what it will not see.

One judgement for the plan and for config files. libxl's rules are those of ``libxl_dm.c`` for
drives, see ``disk/emulation``, and of ``libxl__device_disk_setdefault`` (``libxl_disk.c``) for CDs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.config.guest import HVM, Guest
from ansible_collections.xen.blockdev.plugins.module_utils.disk.emulation import (
    UNITS,
    Drive,
    drive_of,
    is_ahci,
    number_of_name,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec

_CD_SLOTS = "one of hda to hdd"


@dataclass(frozen=True)
class Finding:
    """What is to be said about a disk."""

    disk: int
    """Its index in the list."""
    text: str
    other: Optional[int] = None
    """The index of the disk with which it is in conflict."""


@dataclass(frozen=True)
class Judgement:
    """What is to be said about the disks of a guest."""

    problems: Sequence[Finding] = ()
    """Why the guest would not start, or would not have what is wanted."""
    warnings: Sequence[Finding] = ()
    """What the guest will not see."""


def judge(guest: Guest, disks: Sequence[DiskSpec]) -> Judgement:
    """Judge the disks of a guest. Raises DeviceNumberError if a ``vdev`` is no slot."""
    if guest.type != HVM:
        return Judgement(list(_cds_of_other_guest(guest, disks)))
    problems = [*_backends_of_cds(disks)]
    warnings = [*_new_backends_of_cds(disks)]
    if guest.known_drives:
        drives = [drive_of(disk, guest.hdtype) for disk in disks]
        problems += _read_only_drives(guest, disks, drives)
        problems += _units(disks, drives)
        warnings += _cds_without_drive(disks, drives)
        warnings += _nothing_to_boot_from(guest, disks, drives)
    return Judgement(sorted(problems, key=lambda finding: finding.disk), warnings)


def warnings_of(domain: str, disks: Sequence[DiskSpec], found: Judgement) -> List[str]:
    """The warnings, in the same words wherever they are found, so that a user sees each once."""
    return [
        f"domain {domain}, disk {disks[finding.disk].vdev}: {finding.text}"
        for finding in found.warnings
    ]


# ---- problems ----


def _cds_of_other_guest(guest: Guest, disks: Sequence[DiskSpec]) -> Iterator[Finding]:
    for index, disk in enumerate(disks):
        if disk.is_cd:
            instead = "remove the drive" if disk.target is None else "write access: ro in its place"
            yield Finding(
                index,
                f"a {guest.type.upper()} guest has no CD drives, so devtype: cdrom does not apply: "
                f"{instead}",
            )


def _backends_of_cds(disks: Sequence[DiskSpec]) -> Iterator[Finding]:
    for index, disk in enumerate(disks):
        if not disk.is_cd:
            continue
        if disk.backendtype not in (None, "qdisk", "phy"):
            yield Finding(
                index,
                "QEMU serves the CD drives of an HVM guest, and libxl does not start one with "
                f"backendtype: {disk.backendtype}: leave it out",
            )
        if disk.script and disk.backendtype != "phy":
            yield Finding(
                index,
                "QEMU serves the CD drives of an HVM guest, and libxl does not start one with a "
                "script: leave it out, and give the device that the script would make as target",
            )


def _read_only_drives(
    guest: Guest, disks: Sequence[DiskSpec], drives: Sequence[Optional[Drive]]
) -> Iterator[Finding]:
    for index, disk, drive in _certain(disks, drives):
        if drive.bus == "scsi" or disk.is_cd or disk.effective_access == "rw":
            continue
        bus = "AHCI" if is_ahci(guest.hdtype) else "IDE"
        not_emulated = "xvdg" if is_ahci(guest.hdtype) else "xvde"
        yield Finding(
            index,
            f"QEMU emulates {disk.vdev} of an HVM guest as an {bus} disk, which cannot be "
            f"read-only: use a slot that is not emulated, such as {not_emulated} (for PV drivers), "
            "or a SCSI disk such as sda, or write access: rw, or devtype: cdrom for an ISO image",
        )


def _units(disks: Sequence[DiskSpec], drives: Sequence[Optional[Drive]]) -> Iterator[Finding]:
    """Drives that QEMU cannot have: it ends when the guest starts."""
    first: Dict[Tuple[str, int], int] = {}
    for index, disk, drive in _certain(disks, drives):
        if not drive.exists:
            instead = _CD_SLOTS if disk.is_cd else f"one of sda to {_last_scsi()}, or an xvd slot"
            yield Finding(
                index,
                f"libxl asks QEMU for a drive in {disk.vdev}, for which QEMU's "
                f"{drive.bus.upper()} bus has no unit, and QEMU would not start: use {instead}",
            )
            continue
        other = first.setdefault((drive.bus, drive.unit), index)
        if disks[other].slot != disk.slot:  # One slot twice is an error of its own.
            yield Finding(
                index,
                f"{disk.vdev} is the same drive as {disks[other].vdev}, {drive.bus.upper()} unit "
                f"{drive.unit} of an HVM guest, and QEMU would not start: give one of them another "
                "slot, such as xvde for a disk or hdd for a CD",
                other,
            )


def _last_scsi() -> str:
    return f"sd{chr(ord('a') + UNITS['scsi'] - 1)}"


def _certain(
    disks: Sequence[DiskSpec], drives: Sequence[Optional[Drive]]
) -> Iterator[Tuple[int, DiskSpec, Drive]]:
    """The drives, without those that depend on what a script does."""
    for index, (disk, drive) in enumerate(zip(disks, drives)):
        if drive and not disk.script:
            yield index, disk, drive


# ---- warnings ----


def _new_backends_of_cds(disks: Sequence[DiskSpec]) -> Iterator[Finding]:
    for index, disk in enumerate(disks):
        if disk.is_cd and disk.backendtype == "phy":
            yield Finding(
                index,
                "libxl before Xen 4.19 does not start an HVM guest whose CD drive has backendtype: "
                "phy; leave it out if you do not need it",
            )


def _cds_without_drive(
    disks: Sequence[DiskSpec], drives: Sequence[Optional[Drive]]
) -> Iterator[Finding]:
    for index, (disk, drive) in enumerate(zip(disks, drives)):
        if not disk.is_cd or drive:
            continue
        if disk.backend is not None:
            why = f"QEMU cannot open what domain {disk.backend} serves: leave out backend"
        elif number_of_name(disk) is None:
            why = f"a slot that is written as a number is never a drive: use {_CD_SLOTS}"
        else:
            why = f"only the first four IDE drives can be for CDs: use {_CD_SLOTS}"
        yield Finding(index, f"an HVM guest cannot boot from this CD, and Linux shows none; {why}")


def _nothing_to_boot_from(
    guest: Guest, disks: Sequence[DiskSpec], drives: Sequence[Optional[Drive]]
) -> Iterator[Finding]:
    """The first disk, if the guest has no drive with anything on it, or if the disk would be its
    first drive but for the way its slot is written."""
    first = next((index for index, disk in enumerate(disks) if not disk.is_cd), None)
    if first is None or drives[first] or not guest.needs_disk:
        return
    has_other = any(drive and disk.target for disk, drive in zip(disks, drives))
    if not has_other or disks[first].slot.disk == 0:
        yield Finding(
            first,
            "an HVM guest boots only from drives that QEMU emulates, and "
            f"{disks[first].vdev} is none: use xvda for the disk from which it boots",
        )
