# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new volume's device: only the right one is opened, and all of it is wiped."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any, List, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import VolumeError
from ansible_collections.xen.blockdev.plugins.module_utils.host import block_device
from ansible_collections.xen.blockdev.plugins.module_utils.volume import device as volume_device
from ansible_collections.xen.blockdev.plugins.module_utils.volume import names as volume_names

RDEV = os.makedev(127, 7)


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A regular file that looks like the block device of vg-0/data."""
    monkeypatch.setattr(volume_names, "DEV", str(tmp_path))
    monkeypatch.setattr(block_device, "SYS_BLOCK_BY_NUMBER", str(tmp_path / "sys"))
    mapper = tmp_path / "sys/127:7/dm"
    mapper.mkdir(parents=True)
    (mapper / "name").write_text("vg--0-data\n")
    (tmp_path / "vg-0").mkdir()
    path = tmp_path / "vg-0/data"
    path.write_bytes(b"x" * 1000)
    inode = path.stat().st_ino
    status = SimpleNamespace(st_mode=stat.S_IFBLK, st_rdev=RDEV)
    real = os.fstat

    def fstat(descriptor: int) -> Any:
        found = real(descriptor)
        return status if found.st_ino == inode else found

    monkeypatch.setattr(os, "fstat", fstat)
    return path


def refused() -> str:
    with pytest.raises(VolumeError) as error, volume_device.opened_volume("vg-0", "data"):
        pass
    return str(error.value)


def test_opens_the_device_of_the_volume(device: Path) -> None:
    with volume_device.opened_volume("vg-0", "data") as descriptor:
        assert os.read(descriptor, 1) == b"x"
        os.write(descriptor, b"y")
    assert device.read_bytes()[1:2] == b"y"


@pytest.mark.parametrize("name", ["vg--0-other\n", ""])
def test_a_link_to_another_device_is_not_followed(device: Path, name: str) -> None:
    (device.parents[1] / "sys/127:7/dm/name").write_text(name)
    assert refused().startswith(f"{device} leads to another device than that of the volume vg-0/")


def test_what_is_no_mapped_device(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (device.parents[1] / "sys/127:7/dm/name").unlink()
    assert "leads to another device" in refused()
    monkeypatch.undo()
    monkeypatch.setattr(volume_names, "DEV", str(device.parents[1]))
    assert "leads to another device" in refused()


def test_no_device_without_udev(device: Path) -> None:
    device.unlink()
    assert refused() == (
        f"LVM has made the volume vg-0/data, but not its device {device}: is udev running "
        "(systemctl status systemd-udevd)?"
    )


@pytest.mark.parametrize("size", [1, 999, 1000, 1001, 2999, 3000])
def test_wipes_every_byte_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    calls: List[Tuple[int, int]] = []

    def ioctl(_descriptor: int, request: int, argument: bytes) -> Any:
        assert request == 0x127F
        calls.append(struct.unpack("=QQ", argument))  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    monkeypatch.setattr(volume_device, "WIPED_AT_ONCE", 1000)
    (tmp_path / "a").write_bytes(bytes(size))
    with (tmp_path / "a").open("r+b") as file:
        volume_device.wipe(file.fileno())
    covered = [start + index for start, length in calls for index in range(length)]
    assert covered == list(range(size))
    assert all(length <= 1000 for _start, length in calls)
