# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of devices, as made-up processes and mounts show them."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils import usage, xen
from ansible_collections.xen.blockdev.plugins.module_utils.usage import Usage, User

LOOP3 = os.makedev(7, 3)
HOLDER = User("process", "open in process 12 (dd)")
GLANCE = User("process", "open in process 34 (blkid)")

Opened = List[Tuple[os.stat_result, User]]


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host on which nothing is used."""
    monkeypatch.setattr(usage, "_mounts", lambda _mounts: iter(()))
    monkeypatch.setattr(usage, "_swap_paths", list)
    monkeypatch.setattr(usage.loop, "scan", list)
    monkeypatch.setattr(usage.xen, "attached_devices", list)
    monkeypatch.setattr(usage, "sysfs", lambda _rdev: "/nonexistent")
    monkeypatch.setattr(usage, "_open_by_processes", lambda: iter(()))
    monkeypatch.setattr(usage, "GLANCES_SECONDS", (0, 0, 0))


def opened_by(*users: User) -> Opened:
    status = os.stat_result((stat.S_IFBLK, 1, 5, 1, 0, 0, 0, 0, 0, 0), {"st_rdev": LOOP3})
    return [(status, user) for user in users]


def test_who_only_looks_at_a_device_does_not_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = iter([*[opened_by(HOLDER, GLANCE)] * 2, *[opened_by(HOLDER)] * 2])
    monkeypatch.setattr(usage, "_open_by_processes", lambda: next(reads))
    assert Usage().of_device(LOOP3) == [HOLDER]
    assert not list(reads)


def test_nobody_is_waited_for_any_longer_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = iter([opened_by(GLANCE), opened_by(GLANCE), opened_by()])
    monkeypatch.setattr(usage, "_open_by_processes", lambda: next(reads))
    used = Usage()
    assert used.of_device(LOOP3) == []
    assert not list(reads)
    assert used.of_device(LOOP3) == []  # by what was seen already


def test_nobody_is_waited_for_where_nobody_has_it_open(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = iter([opened_by()])
    monkeypatch.setattr(usage, "_open_by_processes", lambda: next(reads))
    assert Usage().of_device(LOOP3) == []


def test_mounts_of_other_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = {"/proc/12/mountinfo": "/theirs", usage.MOUNTS: "/ours"}
    namespaces = {"self": "mnt:[1]", "10": "mnt:[1]", "11": "mnt:[2]", "12": "mnt:[2]"}

    def mounted(path: str) -> Iterator[Tuple[int, str]]:
        if path not in mounts:
            raise ProcessLookupError(path)
        yield LOOP3, mounts[path]

    monkeypatch.setattr(usage, "_mounts", mounted)
    monkeypatch.setattr(usage, "_processes", lambda: ["10", "11", "12"])
    monkeypatch.setattr(usage, "_mount_namespace", namespaces.get)
    monkeypatch.setattr(usage, "_command", lambda _pid: "sh")
    assert Usage().of_device(LOOP3) == [User("mount", "mounted on /ours")]
    monkeypatch.setattr(Usage, "_mounts", {})
    theirs = User("mount", "mounted on /theirs as process 12 (sh) sees it")
    assert Usage().of_device(LOOP3) == [theirs]


def test_who_has_a_file_open_is_told_once_nobody_else_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    status = tmp_path.stat()
    file = (status.st_dev, status.st_ino)
    loop3 = User("loop", "bound to /dev/loop3", rdev=LOOP3)
    vbd = User("vbd", "attached to domain web as xvda", "web", 51712, by_process=True)
    monkeypatch.setattr(Usage, "_open_files", {file: [HOLDER]})
    monkeypatch.setattr(Usage, "_bound_files", {file: [loop3]})
    assert Usage().of_file(status) == [loop3]
    assert Usage().of_file(status, lambda user: user == loop3) == [HOLDER]
    # QEMU is a process that has the file open as well, and goes with the disk.
    monkeypatch.setattr(Usage, "_vbds_of_files", {file: [vbd]})
    assert Usage().of_file(status, lambda user: user == loop3) == [vbd]
    assert Usage().of_file(status, lambda user: True) == []


def test_who_has_a_device_open_is_told_once_nobody_else_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As nobody would notice before the disk was detached otherwise."""
    monkeypatch.setattr(usage, "_open_by_processes", lambda: iter(opened_by(HOLDER)))
    served = xen.Vbd(1, "web", 51712, "xvda", "/dev/loop3", "rw", physical_device=(7, 3))
    monkeypatch.setattr(usage.xen, "attached_devices", lambda: [served])
    (vbd,) = Usage().of_device(LOOP3)
    assert (vbd.domain, vbd.xenstore_key) == ("web", 51712)
    assert Usage().of_device(LOOP3, lambda user: user == vbd) == [HOLDER]
    # QEMU has the device open itself, and goes with the disk.
    by_qemu = replace(served, physical_device=None)
    monkeypatch.setattr(usage.xen, "attached_devices", lambda: [by_qemu])
    monkeypatch.setattr(
        usage, "_statuses", lambda paths: [opened_by(HOLDER)[0][0] for _path in paths]
    )
    (vbd,) = Usage().of_device(LOOP3)
    assert vbd.kind == "vbd"
    assert Usage().of_device(LOOP3, lambda user: user == vbd) == []
