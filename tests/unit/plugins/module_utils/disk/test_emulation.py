# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drives that QEMU emulates for an HVM guest, row by row as libxl_dm.c has them."""

from __future__ import annotations

from typing import Optional, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.disk.device_number import (
    DeviceNumberError,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk.emulation import Drive, drive_of
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from hypothesis import given
from hypothesis import strategies as st

Row = Optional[Tuple[str, int, str]]
"""Bus, unit and name of a drive; None if the disk is no drive."""


def disk(vdev: str, **said: object) -> DiskSpec:
    return DiskSpec.of({"target": "/srv/a.raw", "vdev": vdev, **said})


def cd(vdev: str, **said: object) -> DiskSpec:
    return DiskSpec.of({"vdev": vdev, "devtype": "cdrom", **said})


def row(drive: Optional[Drive]) -> Row:
    return (drive.bus, drive.unit, drive.qemu_name) if drive else None


@pytest.mark.parametrize(
    ("vdev", "ide", "ahci"),
    [
        ("xvda", ("ide", 0, "ide0-hd0"), ("ahci", 0, "ahcidisk-0")),
        ("hda", ("ide", 0, "ide0-hd0"), ("ahci", 0, "ahcidisk-0")),
        ("d0p0", ("ide", 0, "ide0-hd0"), ("ahci", 0, "ahcidisk-0")),
        ("xvda1", ("ide", 0, "ide0-hd0"), ("ahci", 0, "ahcidisk-0")),
        ("xvdb", ("ide", 1, "ide0-hd1"), ("ahci", 1, "ahcidisk-1")),
        ("hdc", ("ide", 2, "ide1-hd0"), ("ahci", 2, "ahcidisk-2")),
        ("d3p15", ("ide", 3, "ide1-hd1"), ("ahci", 3, "ahcidisk-3")),
        ("xvde", None, ("ahci", 4, "ahcidisk-4")),
        ("xvdf", None, ("ahci", 5, "ahcidisk-5")),
        ("xvdg", None, None),
        ("xvdq", None, None),
        ("51712", None, None),
        ("0xca00", None, None),
        ("768", None, None),
        ("sda", ("scsi", 0, "scsi0-hd0"), ("scsi", 0, "scsi0-hd0")),
        ("sdb1", ("scsi", 1, "scsi0-hd1"), ("scsi", 1, "scsi0-hd1")),
        ("sdp", ("scsi", 15, "scsi0-hd15"), ("scsi", 15, "scsi0-hd15")),
    ],
)
def test_which_drive_a_disk_is(vdev: str, ide: Row, ahci: Row) -> None:
    assert row(drive_of(disk(vdev), None)) == row(drive_of(disk(vdev), "ide")) == ide
    assert row(drive_of(disk(vdev), "ahci")) == row(drive_of(disk(vdev), "AHCI")) == ahci


@pytest.mark.parametrize(
    ("vdev", "expected"),
    [
        ("hda", ("ide", 0, "ide-768")),
        ("hdc", ("ide", 2, "ide-5632")),
        ("xvdc", ("ide", 2, "ide-51744")),
        ("sdc", ("ide", 2, "ide-2080")),
        ("d3p0", ("ide", 3, "ide-51760")),
        ("xvde", ("ide", 4, "ide-51776")),
        ("xvdf", None),
        ("5632", None),
    ],
)
def test_which_drive_a_cd_is_on_any_bus_and_with_any_hdtype(vdev: str, expected: Row) -> None:
    for hdtype in (None, "ide", "ahci"):
        assert row(drive_of(cd(vdev), hdtype)) == expected
        assert row(drive_of(cd(vdev, target="/srv/a.iso"), hdtype)) == expected


@pytest.mark.parametrize("backend", ["storage", "Domain-0", "0"])
def test_a_disk_of_a_named_domain_is_no_drive_but_an_empty_drive_is(backend: str) -> None:
    assert drive_of(disk("xvda", backend=backend), None) is None
    assert drive_of(cd("hdc", target="/srv/a.iso", backend=backend), None) is None
    assert row(drive_of(cd("hdc", backend=backend), None)) == ("ide", 2, "ide-5632")


def test_the_units_that_libxl_asks_for_and_no_bus_has() -> None:
    last = [disk("xvdd"), disk("sdh"), cd("xvdd")]
    assert [drive.exists for drive in map(drive_without_hdtype, last) if drive] == [True] * 3
    beyond = [disk("sdi"), disk("sdp"), cd("xvde")]
    assert [drive.exists for drive in map(drive_without_hdtype, beyond) if drive] == [False] * 3


def drive_without_hdtype(spec: DiskSpec) -> Optional[Drive]:
    return drive_of(spec, None)


def test_neither_the_access_nor_the_format_nor_a_script_decides() -> None:
    for said in ({"access": "ro"}, {"format": "qcow2"}, {"backendtype": "qdisk"}, {"script": "x"}):
        assert row(drive_of(disk("xvda", **said), None)) == ("ide", 0, "ide0-hd0")


def test_a_vdev_that_is_no_slot() -> None:
    with pytest.raises(DeviceNumberError, match="is not a device number"):
        drive_of(DiskSpec(target="/srv/a.raw", vdev="@VDEV@"), None)


@given(number=st.integers(0, 2**31 - 1), hdtype=st.sampled_from([None, "ide", "ahci"]))
def test_a_slot_that_is_written_as_a_number_is_never_a_drive(
    number: int, hdtype: Optional[str]
) -> None:
    for vdev in (str(number), hex(number)):
        assert drive_of(disk(vdev), hdtype) is None
        assert drive_of(cd(vdev), hdtype) is None


@given(
    bus=st.sampled_from(["xvd", "hd", "sd"]),
    letter=st.sampled_from("abcd"),
    partition=st.integers(0, 15),
    hdtype=st.sampled_from([None, "ahci"]),
)
def test_a_partition_is_on_the_unit_of_its_disk(
    bus: str, letter: str, partition: int, hdtype: Optional[str]
) -> None:
    whole, part = f"{bus}{letter}", f"{bus}{letter}{partition or ''}"
    assert drive_of(disk(part), hdtype) == drive_of(disk(whole), hdtype)
