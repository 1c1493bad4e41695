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
from ansible_collections.xen.blockdev.plugins.module_utils.host import (
    block_device,
    mounts,
    open_files,
)
from ansible_collections.xen.blockdev.plugins.module_utils.host.open_files import OpenFile
from ansible_collections.xen.blockdev.plugins.module_utils.image import header as image_header
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import openers, usage
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage, User
from ansible_collections.xen.blockdev.plugins.module_utils.xen import blkback, saved_domains
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.image.test_header import (
    extension,
    qcow2,
)

LOOP3 = os.makedev(7, 3)
HOLDER = User("process", "open in process 12 (dd)")
BRIEFLY = User("process", "open in process 34 (blkid)")

COMMANDS = {"12": "dd", "34": "blkid"}


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host on which nothing is used."""
    monkeypatch.setattr(mounts, "read", lambda _mountinfo: iter(()))
    monkeypatch.setattr(mounts, "swap_paths", list)
    monkeypatch.setattr(usage.loop_binding, "scan", list)
    monkeypatch.setattr(usage.xen_state, "attached_devices", list)
    monkeypatch.setattr(block_device, "SYS_BLOCK_BY_NUMBER", "/nonexistent")
    monkeypatch.setattr(open_files, "all_open", lambda: iter(()))
    monkeypatch.setattr(open_files, "command", COMMANDS.get)
    monkeypatch.setattr(openers, "RECHECK_SECONDS", (0, 0, 0))


def opened_by(*users: User) -> List[OpenFile]:
    status = os.stat_result((stat.S_IFBLK, 1, 5, 1, 0, 0, 0, 0, 0, 0), {"st_rdev": LOOP3})
    return [OpenFile(user.sentence.split()[3], "3", status) for user in users]


def test_a_process_that_opens_a_device_for_a_moment_does_not_use_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads = iter([*[opened_by(HOLDER, BRIEFLY)] * 2, *[opened_by(HOLDER)] * 2])
    monkeypatch.setattr(open_files, "all_open", lambda: next(reads))
    assert Usage().of_device(LOOP3) == [HOLDER]
    assert not list(reads)


def test_waits_no_longer_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = iter([opened_by(BRIEFLY), opened_by(BRIEFLY), opened_by()])
    monkeypatch.setattr(open_files, "all_open", lambda: next(reads))
    used = Usage()
    assert used.of_device(LOOP3) == []
    assert not list(reads)
    assert used.of_device(LOOP3) == []  # the same looks


def test_does_not_wait_if_no_process_has_it_open(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = iter([opened_by()])
    monkeypatch.setattr(open_files, "all_open", lambda: next(reads))
    assert Usage().of_device(LOOP3) == []


def test_mounts_of_other_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    points = {"/proc/12/mountinfo": "/theirs", mounts.MOUNTS: "/ours"}
    namespaces = {"self": "mnt:[1]", "10": "mnt:[1]", "11": "mnt:[2]", "12": "mnt:[2]"}

    def mounted(path: str) -> Iterator[Tuple[int, str]]:
        if path not in points:
            raise ProcessLookupError(path)
        yield LOOP3, points[path]

    monkeypatch.setattr(mounts, "read", mounted)
    monkeypatch.setattr(open_files, "processes", lambda: ["10", "11", "12"])
    monkeypatch.setattr(mounts, "_namespace", namespaces.get)
    monkeypatch.setattr(open_files, "command", lambda _pid: "sh")
    assert Usage().of_device(LOOP3) == [User("mount", "mounted on /ours")]
    monkeypatch.setattr(Usage, "_mounts", {})
    theirs = User("mount", "mounted on /theirs as process 12 (sh) sees it")
    assert Usage().of_device(LOOP3) == [theirs]


def test_processes_that_have_a_file_open_count_if_there_is_no_other_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a").touch()
    status = (tmp_path / "a").stat()
    file = (status.st_dev, status.st_ino)
    loop3 = User("loop", "bound to /dev/loop3", rdev=LOOP3)
    vbd = User("vbd", "attached to domain web as xvda", "web", 51712, by_process=True)
    monkeypatch.setattr(open_files, "all_open", lambda: [OpenFile("12", "3", status)])
    monkeypatch.setattr(Usage, "_bound_files", {file: [loop3]})
    assert Usage().of_file(status) == [loop3]
    assert Usage().of_file(status, lambda user: user == loop3) == [HOLDER]
    # QEMU is a process that has the file open as well, and closes it when the disk is detached.
    monkeypatch.setattr(Usage, "_vbds_of_files", {file: [vbd]})
    assert Usage().of_file(status, lambda user: user == loop3) == [vbd]
    assert Usage().of_file(status, lambda user: True) == []


def test_processes_that_have_a_device_open_count_if_there_is_no_other_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise they would be found only after the disk is detached."""
    monkeypatch.setattr(open_files, "all_open", lambda: iter(opened_by(HOLDER)))
    served = xen_state.Vbd(1, "web", 51712, "xvda", "/dev/loop3", "rw", physical_device=(7, 3))
    monkeypatch.setattr(usage.xen_state, "attached_devices", lambda: [served])
    (vbd,) = Usage().of_device(LOOP3)
    assert (vbd.domain, vbd.xenstore_key) == ("web", 51712)
    assert Usage().of_device(LOOP3, lambda user: user == vbd) == [HOLDER]
    # QEMU has the device open itself, and closes it when the disk is detached.
    by_qemu = replace(served, physical_device=None)
    monkeypatch.setattr(usage.xen_state, "attached_devices", lambda: [by_qemu])
    monkeypatch.setattr(
        usage, "_statuses", lambda paths: [opened_by(HOLDER)[0].status for _path in paths]
    )
    (vbd,) = Usage().of_device(LOOP3)
    assert vbd.kind == "vbd"
    assert Usage().of_device(LOOP3, lambda user: user == vbd) == []


class Qemu:
    """The process of a domain's QEMU, and the disks that xenstore knows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        path.touch()
        self.path = path
        opened = OpenFile("12", "3", path.stat())
        monkeypatch.setattr(open_files, "all_open", lambda: [opened])
        monkeypatch.setattr(OpenFile, "is_for_writing", True)
        monkeypatch.setattr(
            open_files.Process, "_arguments", ["qemu", "-xen-domid", "7", "-name", "hvm"]
        )
        self.vbd = xen_state.Vbd(7, "hvm", 51712, "xvda", str(path), "rw", format="raw")
        self._monkeypatch = monkeypatch

    def attached(self, *vbds: xen_state.Vbd) -> Usage:
        self._monkeypatch.setattr(usage.xen_state, "attached_devices", lambda: list(vbds))
        return Usage()


def test_a_qemu_that_keeps_a_disk_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """After a forced detach xenstore knows nothing of the disk that QEMU still writes."""
    qemu = Qemu(monkeypatch, tmp_path / "a.raw")
    used = qemu.attached()
    storage = used.storages.of_path(str(qemu.path))
    words = "in process 12 (dd), the QEMU of domain hvm (id 7)"
    assert [user.sentence for user in used.writers(storage)] == [f"open for writing {words}"]
    assert [user.sentence for user in used.of_file(qemu.path.stat())] == [f"open {words}"]


def test_a_qemu_that_lost_a_disk_counts_even_if_it_only_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    qemu = Qemu(monkeypatch, tmp_path / "a.raw")
    monkeypatch.setattr(OpenFile, "is_for_writing", False)
    used = qemu.attached()
    storage = used.storages.of_path(str(qemu.path))
    assert [user.domid for user in used.left_open(storage)] == [7]
    assert used.left_open(storage, for_writing=True) == []
    assert qemu.attached(qemu.vbd).left_open(storage) == []
    others = qemu.attached(replace(qemu.vbd, domid=8)).left_open(storage)
    assert [user.domid for user in others] == [7]
    monkeypatch.setattr(open_files.Process, "_arguments", ["dd"])
    assert qemu.attached().left_open(storage) == []


def test_does_not_wait_for_the_qemu_that_serves_a_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    qemu = Qemu(monkeypatch, tmp_path / "a.raw")
    reads = iter([list(open_files.all_open())])
    monkeypatch.setattr(open_files, "all_open", lambda: next(reads))
    used = qemu.attached(qemu.vbd)
    storage = used.storages.of_path(str(qemu.path))
    assert used.left_open(storage) == used.writers(storage) == []


def test_disks_that_the_kernel_has_not_closed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    vbd = xen_state.Vbd(7, "web", 51712, "xvda", "/dev/loop3", "rw")
    monkeypatch.setattr(blkback, "DEVICES", str(tmp_path))
    for name in ("vbd-7-51712", "vbd-51712", "vif-7-0", "system"):
        (tmp_path / name).mkdir()
    assert Usage([vbd]).closing == []
    monkeypatch.setattr(blkback, "CLOSE_SECONDS", 0)
    assert Usage([]).closing == [(7, 51712)]
    # xenstore is read again for the slots that it did not have, not for all that the kernel serves.
    reads = []

    def read() -> List[xen_state.Vbd]:
        reads.append("again")
        return []

    monkeypatch.setattr(usage.xen_state, "attached_devices", read)
    for number in range(9):
        (tmp_path / f"vbd-8-{number}").mkdir()
    others = [replace(vbd, domid=8, xenstore_key=number) for number in range(9)]
    assert Usage(others).closing == [(7, 51712)]
    assert reads == ["again"]
    assert Usage([vbd, *others]).closing == []
    # Another program attached it just now.
    monkeypatch.setattr(usage.xen_state, "attached_devices", lambda: [vbd, *others])
    assert Usage([]).closing == []


def test_waits_for_the_kernel_to_close_a_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(blkback, "DEVICES", str(tmp_path))
    monkeypatch.setattr(blkback.time, "sleep", lambda _seconds: (tmp_path / "vbd-7-51712").rmdir())
    (tmp_path / "vbd-7-51712").mkdir()
    assert Usage([]).closing == []


def test_a_qemu_that_serves_a_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    qemu = Qemu(monkeypatch, tmp_path / "a.raw")
    used = qemu.attached(qemu.vbd)
    assert used.writers(used.storages.of_path(str(qemu.path))) == []
    assert used.of_file(qemu.path.stat(), leaves=lambda user: user.kind == "vbd") == []
    # The disk of another domain does not explain it.
    used = qemu.attached(replace(qemu.vbd, domid=8))
    assert len(used.writers(used.storages.of_path(str(qemu.path)))) == 1


def test_a_reader_is_not_a_writer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    qemu = Qemu(monkeypatch, tmp_path / "a.raw")
    monkeypatch.setattr(OpenFile, "is_for_writing", False)
    used = qemu.attached()
    assert used.writers(used.storages.of_path(str(qemu.path))) == []
    assert len(used.of_file(qemu.path.stat())) == 1


def test_backing_files_of_disks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a running domain and of a saved one, which go on reading them."""
    top, base = tmp_path / "top.qcow2", tmp_path / "base.raw"
    base.touch()
    top.write_bytes(qcow2(b"base.raw", extension(image_header.BACKING_FORMAT, b"raw")))
    vbd = xen_state.Vbd(7, "web", 51712, "xvda", str(top), "rw", format="qcow2")
    monkeypatch.setattr(usage.xen_state, "attached_devices", lambda: [vbd])
    saved = saved_domains.SavedDisk("db", "xvdb", str(top), False, "/save/db", "qcow2")
    monkeypatch.setattr(saved_domains, "saved_disks", lambda: [saved])
    running, kept = Usage().of_file(base.stat())
    words = f"the backing file of {top}, which is attached to domain web as xvda"
    assert (running.kind, running.sentence, running.xenstore_key) == ("vbd", words, 51712)
    words = f"the backing file of {top}, disk xvdb of domain db, which is saved in /save/db"
    # It only reads that one, though it writes to the disk.
    assert (kept.kind, kept.sentence, kept.read_only) == ("saved", words, True)
    assert [user.kind for user in Usage().of_file(top.stat())] == ["vbd", "saved"]


def test_a_writer_of_the_disk_of_a_partition(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    disk, partition = os.makedev(8, 0), os.makedev(8, 1)
    monkeypatch.setattr(block_device, "SYS_BLOCK_BY_NUMBER", str(tmp_path))
    (tmp_path / "sda" / "sda1").mkdir(parents=True)
    for number, name in (("8:0", "sda"), ("8:1", "sda/sda1")):
        (tmp_path / name / "dev").write_text(number)
        (tmp_path / number).symlink_to(tmp_path / name)
    (tmp_path / "sda/sda1/partition").write_text("1")
    status = os.stat_result((stat.S_IFBLK, 1, 5, 1, 0, 0, 0, 0, 0, 0), {"st_rdev": disk})
    monkeypatch.setattr(open_files, "all_open", lambda: [OpenFile("12", "3", status)])
    monkeypatch.setattr(OpenFile, "is_for_writing", True)
    part = os.stat_result((stat.S_IFBLK, 1, 5, 1, 0, 0, 0, 0, 0, 0), {"st_rdev": partition})
    used = Usage()
    assert len(used.writers(used.storages.of_status("/dev/sda1", part))) == 1
    assert used.of_device(partition) == []


def test_what_is_open_at_this_moment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    qemu = Qemu(monkeypatch, tmp_path / "a.raw")
    used = qemu.attached(qemu.vbd)
    storage = used.storages.of_path(str(qemu.path))
    assert [one.pid for one in used.opened(storage)] == ["12"]
    other = tmp_path / "b.raw"
    other.touch()
    assert used.opened(used.storages.of_path(str(other))) == []
