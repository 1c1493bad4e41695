# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units, as a made-up sysfs shows them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.host import block_device

SDA, SDA1 = os.makedev(8, 0), os.makedev(8, 1)
NAA = "naa.33333330000007d0"


@pytest.fixture
def sys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(block_device, "SYS_BLOCK_BY_NUMBER", str(tmp_path / "dev"))
    monkeypatch.setattr(block_device, "SYS_RBD", str(tmp_path / "rbd"))
    (tmp_path / "dev").mkdir()
    return tmp_path


def disk(sys: Path, number: str, name: str, nodes: Dict[str, str]) -> Path:
    """A block device with files in its directory of sysfs."""
    directory = sys / name
    for node, text in {"dev": f"{number}\n", **nodes}.items():
        (directory / node).parent.mkdir(parents=True, exist_ok=True)
        (directory / node).write_text(text)
    (sys / "dev" / number).symlink_to(directory)
    return directory


def test_scsi_and_its_partition(sys: Path) -> None:
    disk(sys, "8:0", "sda", {"device/wwid": f"{NAA}\n"})
    disk(sys, "8:1", "sda/sda1", {"partition": "1\n", "start": "2048\n"})
    assert block_device.units(SDA) == {NAA}
    assert block_device.units(SDA1) == {f"{NAA} from sector 2048"}
    assert set(block_device.numbers()) == {SDA, SDA1}
    assert list(block_device.partitions(SDA)) == [("/dev/sda1", SDA1)]
    assert block_device.below(SDA1) == {SDA}
    assert (
        list(block_device.disk_of_partition(SDA1)),
        list(block_device.disk_of_partition(SDA)),
    ) == ([SDA], [])


@pytest.mark.parametrize(
    ("wwid", "units"),
    [
        ("eui.0025385b71b00a1c", {"eui.0025385b71b00a1c"}),
        ("uuid.6bbd0b1c-3c5b", {"uuid.6bbd0b1c-3c5b"}),
        (
            "t10.ATA     QEMU HARDDISK                           QM00005             ",
            {"t10.ATA QEMU HARDDISK QM00005 with 2048 sectors"},
        ),
        # What says nothing: empty, only zeros, only a vendor.
        ("", set()),
        ("naa.0000000000000000", set()),
        ("eui.0000000000000000", set()),
        ("t10.ATA     ", set()),
        ("t10.Generic ", set()),
        ("t10.Generic Flash Disk      0000", set()),
        ("QEMU HARDDISK", set()),
    ],
)
def test_names_that_tell_units_apart(sys: Path, wwid: str, units: object) -> None:
    disk(sys, "8:0", "sda", {"device/wwid": f"{wwid}\n", "size": "2048\n"})
    assert block_device.units(SDA) == units


def test_what_has_no_name(sys: Path) -> None:
    disk(sys, "254:0", "vda", {})
    assert block_device.units(os.makedev(254, 0)) == set()
    disk(sys, "254:1", "vda/vda1", {"partition": "1\n", "start": "2048\n"})
    assert block_device.units(os.makedev(254, 1)) == set()
    assert block_device.units(os.makedev(9, 9)) == set()


def test_nvme_and_rbd(sys: Path) -> None:
    disk(sys, "259:0", "nvme0n1", {"wwid": "nvme.1b36-31-51454d55-00000001\n"})
    assert block_device.units(os.makedev(259, 0)) == {"nvme.1b36-31-51454d55-00000001"}
    disk(sys, "252:0", "rbd0", {})
    nodes = {"cluster_fsid": "c1", "pool": "vms", "name": "web", "current_snap": "-"}
    (sys / "rbd" / "0").mkdir(parents=True)
    for node, text in nodes.items():
        (sys / "rbd" / "0" / node).write_text(f"{text}\n")
    assert block_device.units(os.makedev(252, 0)) == {"rbd vms//web@- of cluster c1"}


def test_device_mapper_and_size(sys: Path) -> None:
    disk(sys, "8:0", "sda", {"size": "2048\n", "ro": "1\n"})
    above = {"dm/name": "vg-web\n", "dm/uuid": "LVM-x\n", "size": "8\n", "ro": "0\n"}
    disk(sys, "253:0", "dm-0", {**above, "slaves/sda/dev": "8:0\n"})
    mapped, gone = os.makedev(253, 0), os.makedev(9, 9)
    assert block_device.mapper(mapped) == block_device.Mapper("vg-web", "LVM-x")
    assert block_device.mapper(SDA) is None
    assert [block_device.size(one) for one in (SDA, mapped, gone)] == [2**20, 4096, None]
    assert [block_device.is_read_only(one) for one in (SDA, mapped, gone)] == [True, False, None]
    assert (block_device.directly_below(mapped), block_device.directly_below(SDA)) == ([SDA], [])


def test_that_a_link_in_a_device_is_no_partition(sys: Path) -> None:
    directory = disk(sys, "8:0", "sda", {"queue/depth": "1\n"})
    other = disk(sys, "8:17", "sdb1", {"partition": "1\n"})
    (directory / "sdb1").symlink_to(other)
    assert list(block_device.partitions(SDA)) == []
