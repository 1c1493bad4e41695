# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which storages share data, and what is left over."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.survey.leftovers import LeftoverFinder
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    BootUnitFile,
    DataIdentity,
    DiskInConfig,
    DiskInGuest,
    DiskStorage,
    HostUse,
    KernelVbd,
    Leftovers,
    LoopDevice,
    LoopLink,
    OtherData,
    StorageDevice,
    SurveyedDisk,
    VolumeName,
)

STABLE = frozenset({"unit", "volume"})
DEVICE, OTHER = DataIdentity("device", "8:0"), DataIdentity("device", "8:16")
UNIT = DataIdentity("unit", "naa.6001")


def storage(name: str, *identities: DataIdentity, **more: Any) -> DiskStorage:
    return DiskStorage(name, "file", identities=identities, **more)


@pytest.mark.parametrize(
    ("one", "other", "here", "elsewhere"),
    [
        (storage("/a", DEVICE), storage("/b", DEVICE), True, False),
        (storage("/a", DEVICE), storage("/b", OTHER), False, False),
        (storage("/a", DEVICE, UNIT), storage("/b", OTHER, UNIT), True, True),
        (storage("/a", DEVICE), storage("/a", OTHER, below=(DEVICE,)), True, False),
        (storage("/a", UNIT), storage("/a", OTHER, below=(UNIT,)), True, True),
        (storage("/a", OTHER, below=(UNIT,)), storage("/b", DEVICE, below=(UNIT,)), False, False),
        (storage("rbd:a"), storage("rbd:a"), True, False),
        (storage("/a", DEVICE), storage("/a"), True, False),
    ],
)
def test_overlaps(one: DiskStorage, other: DiskStorage, here: bool, elsewhere: bool) -> None:
    assert one.overlaps(other) is other.overlaps(one) is here
    assert one.overlaps_elsewhere(other, STABLE) is elsewhere
    assert other.overlaps_elsewhere(one, STABLE) is elsewhere
    assert not one.overlaps_elsewhere(other, frozenset({"volume", "device"}))


def configured(name: str, **more: Any) -> SurveyedDisk:
    return SurveyedDisk("web", 51712, "xvda", (DiskInConfig("/c", 0, "x", storage=name, **more),))


def loop(device: str, name: str) -> LoopDevice:
    return LoopDevice(
        device, name, False, None, 7, 0, 512, 0, 0, 512, False, False, False, False, storage=name
    )


def left(*storages: DiskStorage, disks: Any = (), **given: Any) -> Leftovers:
    nothing: Any = {"images": (), "loop_devices": (), "boot_units": (), "links": (), "vbds": ()}
    return LeftoverFinder(disks, storages).find(**{**nothing, **given})


def test_images() -> None:
    behind = (OtherData("/base", "backing file", False),)
    found = left(
        storage("/base"),
        storage("/top", behind=behind),
        storage("/free"),
        storage("/elsewhere"),
        storage("/mounted", uses=(HostUse("mount", "mounted on /mnt"),)),
        disks=[configured("/top")],
        images=["/base", "/top", "/free", "/mounted"],
    )
    assert found == Leftovers(images=("/free",))


def test_what_a_running_guest_or_a_drive_has_is_not_left() -> None:
    vbd: Any = DiskInGuest(
        "web", 1, 5632, "hdc", "cdrom", "", None, None, None, "qdisk", "ro", 4, 4, None, None, None,
        None, medium_storage="/cd", storage="/disk",
    )  # fmt: skip
    names = ["/cd", "/disk", "/old"]
    disk = SurveyedDisk("web", 5632, "hdc", attached=(vbd,))
    assert left(*map(storage, names), disks=[disk], images=names).images == ("/old",)


def test_volumes_below_a_disk_are_not_left() -> None:
    device = StorageDevice("/dev/dm-0", "253:0", volume=VolumeName("vg", "lv", "u"))
    found = left(
        storage("/dev/vg/used", DEVICE, device=device),
        storage("/dev/vg/left", OTHER, device=device),
        storage("/dev/mapper/crypt", UNIT, below=(DEVICE,)),
        disks=[configured("/dev/mapper/crypt")],
    )
    assert found.volumes == ("/dev/vg/left",)


def test_what_binds_images() -> None:
    found = left(
        storage("/a"),
        storage("/b"),
        disks=[configured("/a")],
        loop_devices=[loop("/dev/loop0", "/a"), loop("/dev/loop1", "/b")],
        boot_units=[BootUnitFile("a", True, "/a", True), BootUnitFile("no", True, "/no", False)],
        links=[LoopLink("/l/a", "/a", "/dev/loop0"), LoopLink("/l/no", "/no")],
        vbds=[KernelVbd(7, 51712)],
    )
    assert found == Leftovers(
        loop_devices=("/dev/loop1",),
        boot_units=("no",),
        links=("/l/no",),
        vbds=(KernelVbd(7, 51712),),
    )
