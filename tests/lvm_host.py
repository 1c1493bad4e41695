# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the stand-in for LVM on PATH, and its files in the place of block devices."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.host import locks
from ansible_collections.xen.blockdev.plugins.module_utils.volume import device as volume_device
from ansible_collections.xen.blockdev.plugins.module_utils.volume import lvm as volume_lvm
from ansible_collections.xen.blockdev.plugins.module_utils.volume import names as volume_names
from ansible_collections.xen.blockdev.tests.fake_lvm import FakeLvm

SECRET = b"another's secret"
"""What others have left in the extents of a group."""


def fake_lvm(home: Path, monkeypatch: pytest.MonkeyPatch) -> FakeLvm:
    """The stand-in on PATH, with its files in the place of devices."""
    fake = FakeLvm(home)
    commands = fake.install()
    (home / "misc").write_text("237 device-mapper\n", encoding="ascii")
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    monkeypatch.setenv("FAKE_LVM", str(home))
    monkeypatch.setattr(volume_lvm, "MISC", str(home / "misc"))
    monkeypatch.setattr(volume_names, "DEV", str(home / "dev"))
    monkeypatch.setattr(volume_device, "_name_of_device", _name_by_path)
    monkeypatch.setattr(locks, "OWN_DIR", str(home / "locks"))
    real_ioctl = fcntl.ioctl

    def ioctl(descriptor: int, request: int, argument: Any = 0, *more: Any) -> Any:
        if request != volume_device.BLKZEROOUT:
            return real_ioctl(descriptor, request, argument, *more)
        start, length = struct.unpack("=QQ", argument)
        return os.pwrite(descriptor, bytes(length), start)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    return fake


def _name_by_path(descriptor: int) -> str:
    path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
    return volume_names.name_in_mapper(path.parent.name, path.name)
