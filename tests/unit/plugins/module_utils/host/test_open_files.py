# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What real processes have open."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Iterator, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.host import open_files
from ansible_collections.xen.blockdev.plugins.module_utils.host.open_files import OpenFile, Process

HOLD = "import sys; held = [open(*sys.argv[1:3])]; print(1, flush=True); sys.stdin.read()"


@contextmanager
def holder(*arguments: str) -> Iterator[str]:
    """A process that has a file open as C(open(*arguments)) does; its number."""
    command = [sys.executable, "-c", HOLD, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield str(process.pid)


def opened(path: Path) -> List[OpenFile]:
    return [one for one in open_files.all_open() if os.path.samestat(one.status, path.stat())]


@pytest.mark.parametrize(
    ("mode", "writes"), [("rb", False), ("wb", True), ("r+b", True), ("ab", True)]
)
def test_who_writes(tmp_path: Path, mode: str, writes: bool) -> None:
    (tmp_path / "a").touch()
    with holder(str(tmp_path / "a"), mode) as pid:
        (one,) = opened(tmp_path / "a")
        assert (one.pid, one.is_for_writing, one.path) == (pid, writes, str(tmp_path / "a"))
        assert Process(pid).words.startswith(f"process {pid} (")
        assert Process(pid).domid is None
    assert one.is_for_writing is False


def test_whose_qemu_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with holder(str(tmp_path / "a"), "r", "-xen-domid", "7", "-name", "web") as pid:
        assert Process(pid).domid == 7
        assert Process(pid).words.endswith("), the QEMU of domain web (id 7)")
    with holder(str(tmp_path / "a"), "r", "-xen-domid", "7") as pid:
        assert Process(pid).words.endswith("), the QEMU of domain 7")
    for word in ("seven", "7" * 5000):
        with holder(str(tmp_path / "a"), "r", "-xen-domid", word) as pid:
            assert Process(pid).domid is None
    assert Process("0").words == "process 0 (has ended)"


def test_who_serves_a_network_block_device_does_not_use_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a").touch()
    nbd = SimpleNamespace(st_mode=0o60660, st_rdev=os.makedev(43, 0))
    with holder(str(tmp_path / "a"), "r") as pid:
        (there,) = opened(tmp_path / "a")
        monkeypatch.setattr(open_files, "processes", lambda: [pid, str(os.getppid())])
        monkeypatch.setattr(open_files, "entries", lambda _path: [there.descriptor])
        monkeypatch.setattr(open_files.os, "stat", lambda _path: nbd)
        monkeypatch.setattr(open_files, "sysfs", lambda _rdev: str(tmp_path))
        assert len(list(open_files.all_open())) == 2
        (tmp_path / "pid").write_text(f"{pid}\n")
        assert [one.pid for one in open_files.all_open()] == [str(os.getppid())]
