# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a guest from starting, and what it will not see, by its type."""

from __future__ import annotations

from dataclasses import replace
from typing import List, Sequence

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.config.drives import (
    Finding,
    Judgement,
    judge,
)
from ansible_collections.xen.blockdev.plugins.module_utils.config.guest import Guest
from ansible_collections.xen.blockdev.plugins.module_utils.disk.emulation import drive_of
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from hypothesis import given
from hypothesis import strategies as st

HVM = Guest("hvm")
AHCI = Guest("hvm", hdtype="ahci")
UNKNOWN = Guest("hvm", known_drives=False)
PV = Guest("pv")
PVH = Guest("pvh")
ROOT = "target=/srv/root.raw, vdev=xvda"


def spec(text: str) -> DiskSpec:
    """The disk that a text like ``vdev=xvda, target=/srv/a.raw`` says, target anywhere."""
    words = [word.strip() for word in text.split(",")]
    return DiskSpec.parse(",".join(sorted(words, key=lambda word: word.startswith("target="))))


def judged(guest: Guest, *disks: str) -> Judgement:
    return judge(guest, [spec(disk) for disk in disks])


def problems(guest: Guest, *disks: str) -> List[str]:
    return [finding.text for finding in judged(guest, *disks).problems]


def warnings(guest: Guest, *disks: str) -> List[str]:
    return [finding.text for finding in judged(guest, *disks).warnings]


# ---- what cannot start ----


@pytest.mark.parametrize("vdev", ["xvda", "xvdd", "hdb", "d2p0", "xvdb1"])
def test_a_read_only_ide_disk_is_refused(vdev: str) -> None:
    (text,) = problems(HVM, f"target=/srv/a.raw, vdev={vdev}, access=ro")
    assert text == (
        f"QEMU emulates {vdev} of an HVM guest as an IDE disk, which cannot be read-only: use a "
        "slot that is not emulated, such as xvde (for PV drivers), or a SCSI disk such as sda, or "
        "write access: rw, or devtype: cdrom for an ISO image"
    )


@pytest.mark.parametrize("vdev", ["xvda", "hda", "xvde", "xvdf"])
def test_a_read_only_ahci_disk_is_refused(vdev: str) -> None:
    (text,) = problems(AHCI, f"target=/srv/a.raw, vdev={vdev}, access=ro")
    assert f"QEMU emulates {vdev} of an HVM guest as an AHCI disk" in text
    assert "such as xvdg (for PV drivers)" in text


@pytest.mark.parametrize(
    ("guest", "vdev"),
    [
        *((HVM, vdev) for vdev in ("xvde", "xvdq", "51712", "0xca00", "sda", "sdb1", "5")),
        *((AHCI, vdev) for vdev in ("xvdg", "51712", "sda")),
        *((guest, "xvda") for guest in (PV, PVH, UNKNOWN)),
    ],
)
def test_a_read_only_disk_that_is_no_ide_or_ahci_drive_is_fine(guest: Guest, vdev: str) -> None:
    assert problems(guest, f"target=/srv/a.raw, vdev={vdev}, access=ro") == []


def test_a_disk_of_a_script_or_of_another_domain_is_not_judged_as_a_drive() -> None:
    for more in ("script=iscsi", "backend=storage", "backend=Domain-0"):
        disks = (ROOT, f"target=/srv/a.raw, vdev=hda, access=ro, {more}")
        assert problems(HVM, *disks) == []


@pytest.mark.parametrize(
    ("guest", "one", "other"),
    [
        (HVM, "vdev=xvda, target=/srv/a.raw", "vdev=hda, target=/srv/b.raw"),
        (HVM, "vdev=xvda1, target=/srv/a.raw", "vdev=xvda2, target=/srv/b.raw"),
        (HVM, "vdev=xvdc, target=/srv/a.raw", "vdev=hdc, cdrom"),
        (HVM, "vdev=hdc, cdrom", "vdev=xvdc, cdrom, target=/srv/b.iso"),
        (HVM, "vdev=sda, cdrom", "vdev=hda, target=/srv/b.raw"),
        (AHCI, "vdev=xvda, target=/srv/a.raw", "vdev=hda, target=/srv/b.raw"),
        (AHCI, "vdev=hdc, cdrom", "vdev=xvdc, cdrom"),
        (HVM, "vdev=sda1, target=/srv/a.raw", "vdev=sda, target=/srv/b.raw"),
    ],
)
def test_two_drives_on_one_unit_are_refused(guest: Guest, one: str, other: str) -> None:
    found = judged(guest, one, other).problems
    assert [(finding.disk, finding.other) for finding in found] == [(1, 0)]
    assert f"{spec(other).vdev} is the same drive as {spec(one).vdev}, " in found[0].text
    assert "QEMU would not start" in found[0].text


@pytest.mark.parametrize(
    ("guest", "one", "other"),
    [
        (AHCI, "vdev=xvdc, target=/srv/a.raw", "vdev=hdc, cdrom"),
        (HVM, "vdev=xvda, target=/srv/a.raw", "vdev=sda, target=/srv/b.raw"),
        (HVM, "vdev=xvda, target=/srv/a.raw", "vdev=51728, target=/srv/b.raw"),
        (HVM, "vdev=xvda, target=/srv/a.raw", "vdev=768, target=/srv/b.raw"),
        (HVM, "vdev=xvda, target=/srv/a.raw", "vdev=hda, target=/srv/b.raw, backend=storage"),
        (PV, "vdev=xvda, target=/srv/a.raw", "vdev=hda, target=/srv/b.raw"),
        (UNKNOWN, "vdev=xvda, target=/srv/a.raw", "vdev=hda, target=/srv/b.raw"),
    ],
)
def test_other_neighbours_are_fine(guest: Guest, one: str, other: str) -> None:
    assert problems(guest, one, other) == problems(guest, other, one) == []


def test_a_unit_that_qemu_does_not_have_is_refused() -> None:
    for guest in (HVM, AHCI):
        (text,) = problems(guest, "vdev=xvde, cdrom")
        assert text == (
            "libxl asks QEMU for a drive in xvde, for which QEMU's IDE bus has no unit, and QEMU "
            "would not start: use one of hda to hdd"
        )
        (text,) = problems(guest, "vdev=sdi, target=/srv/a.raw")
        assert "SCSI bus has no unit" in text and "use one of sda to sdh, or an xvd slot" in text


def test_a_cd_is_served_by_qemu() -> None:
    for good in ("", ", backendtype=qdisk", ", backendtype=phy", ", backendtype=phy, script=iscsi"):
        assert problems(HVM, f"vdev=hdc, cdrom{good}, target=/srv/a.iso") == []
    for guest in (HVM, UNKNOWN):
        (text,) = problems(guest, "vdev=hdc, cdrom, backendtype=tap")
        assert "does not start one with backendtype: tap: leave it out" in text
        (text,) = problems(guest, "vdev=hdc, cdrom, script=iscsi, target=/srv/a.iso")
        assert "does not start one with a script" in text


@pytest.mark.parametrize("guest", [PV, PVH])
def test_only_an_hvm_guest_has_cd_drives(guest: Guest) -> None:
    name = guest.type.upper()
    assert problems(guest, ROOT, "vdev=xvdb, cdrom, target=/srv/a.iso") == [
        f"a {name} guest has no CD drives, so devtype: cdrom does not apply: write access: ro in "
        "its place"
    ]
    (text,) = problems(guest, ROOT, "vdev=hdc, cdrom")
    assert text.endswith("does not apply: remove the drive")
    assert problems(HVM, ROOT, "vdev=hdc, cdrom") == []


def test_problems_are_in_the_order_of_the_disks() -> None:
    found = judged(
        HVM,
        "vdev=hda, target=/srv/a.raw, access=ro",
        "vdev=xvda, target=/srv/b.raw",
        "vdev=hdc, cdrom, backendtype=tap",
    )
    assert [finding.disk for finding in found.problems] == [0, 1, 2]


# ---- what will not be seen ----


@pytest.mark.parametrize(
    ("cd", "why"),
    [
        ("vdev=xvdf, cdrom", "only the first four IDE drives can be for CDs: use one of hda to hd"),
        ("vdev=5632, cdrom", "a slot that is written as a number is never a drive: use one of hda"),
        (
            "vdev=hdc, cdrom, backend=storage, target=/srv/a.iso",
            "QEMU cannot open what domain storage serves: leave out backend",
        ),
    ],
)
def test_a_cd_that_is_no_drive(cd: str, why: str) -> None:
    (text,) = warnings(HVM, ROOT, cd)
    assert text.startswith("an HVM guest cannot boot from this CD, and Linux shows none; ")
    assert why in text
    assert warnings(UNKNOWN, ROOT, cd) == []


def test_a_cd_with_a_backend_that_older_libxl_refuses() -> None:
    (text,) = warnings(HVM, ROOT, "vdev=hdc, cdrom, backendtype=phy, target=/dev/sr0")
    assert "libxl before Xen 4.19 does not start" in text
    assert warnings(HVM, ROOT, "vdev=hdc, cdrom, backendtype=qdisk, target=/dev/sr0") == []


@pytest.mark.parametrize(
    "disks",
    [
        ["vdev=51712, target=/srv/a.raw"],
        ["vdev=xvde, target=/srv/a.raw", "vdev=xvdf, target=/srv/b.raw"],
        ["vdev=xvde, target=/srv/a.raw", "vdev=hdc, cdrom"],
        ["vdev=51712, target=/srv/a.raw", "vdev=xvdb, target=/srv/b.raw"],
        ["vdev=xvda, target=a, backend=storage"],
    ],
)
def test_a_guest_that_cannot_boot_from_its_first_disk(disks: Sequence[str]) -> None:
    first = spec(disks[0]).vdev
    found = judged(HVM, *disks)
    assert found.warnings == [
        Finding(
            0,
            f"an HVM guest boots only from drives that QEMU emulates, and {first} is none: use "
            "xvda for the disk from which it boots",
        )
    ]
    for other in (replace(HVM, needs_disk=False), UNKNOWN, PV, PVH):
        assert judged(other, *disks).warnings in ([], ())


@pytest.mark.parametrize(
    "disks",
    [
        [],
        ["vdev=hdc, cdrom"],
        ["vdev=xvde, target=/srv/a.raw", "vdev=hdc, cdrom, target=/srv/a.iso"],
        ["vdev=xvde, target=/srv/a.raw", "vdev=xvda, target=/srv/b.raw"],
        ["vdev=sda, target=/srv/a.raw"],
        ["vdev=xvda, target=/srv/a.raw", "vdev=xvde, target=/srv/b.raw"],
    ],
)
def test_a_guest_that_may_boot(disks: Sequence[str]) -> None:
    assert judged(HVM, *disks).warnings == []


# ---- libxl as the judge ----

VDEVS = (
    "xvda",
    "xvdb",
    "xvdc",
    "xvdd",
    "xvde",
    "xvdf",
    "xvdg",
    "hda",
    "hdc",
    "sda",
    "sdb",
    "51712",
)


@st.composite
def some_disks(draw: st.DrawFn) -> List[DiskSpec]:
    vdevs = draw(st.lists(st.sampled_from(VDEVS), unique=True, max_size=4))
    disks = []
    for vdev in vdevs:
        said = {"devtype": "cdrom"} if draw(st.booleans()) else {}
        access = {} if said else {"access": draw(st.sampled_from(["ro", "rw"]))}
        disks.append(DiskSpec.of({"vdev": vdev, "target": "/srv/a", **said, **access}))
    return disks


@given(disks=some_disks(), guest=st.sampled_from([HVM, AHCI]))
def test_disks_without_a_problem_have_units_of_their_own_that_may_be_read_only(
    disks: List[DiskSpec], guest: Guest
) -> None:
    found = judge(guest, disks)
    drives = [(disk, drive_of(disk, guest.hdtype)) for disk in disks]
    units = [(drive.bus, drive.unit) for _disk, drive in drives if drive]
    read_only = [
        drive
        for disk, drive in drives
        if drive and not disk.is_cd and disk.access == "ro" and drive.bus != "scsi"
    ]
    missing = [drive for _disk, drive in drives if drive and drive.unit > 3 and drive.bus == "ide"]
    starts = len(units) == len(set(units)) and not read_only and not missing
    assert starts == (not found.problems)
