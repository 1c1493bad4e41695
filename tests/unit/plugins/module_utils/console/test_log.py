# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The logs of xenconsoled, found by its open files."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.console import log as console_log


def process(root: Path, pid: int, command: str, *files: Path) -> None:
    descriptors = root / str(pid) / "fd"
    descriptors.mkdir(parents=True)
    (root / str(pid) / "comm").write_text(f"{command}\n")
    for number, file in enumerate(files):
        (descriptors / str(number)).symlink_to(file)


def test_the_open_files_of_the_daemon_are_the_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_log, "PROC", str(tmp_path))
    web, old = tmp_path / "guest-web.log", tmp_path / "guest-old.log"
    process(tmp_path, 1, "xenconsoled", Path("/dev/null"), web, tmp_path / "hypervisor.log")
    process(tmp_path, 2, "tail", old)
    (tmp_path / "3").mkdir()
    assert console_log.find() == {"web": f"{tmp_path}/1/fd/1"}


def test_only_new_output_is_read(tmp_path: Path) -> None:
    file = tmp_path / "guest-web.log"
    file.write_text("before\n")
    log = console_log.open_log(str(file))
    assert log
    with file.open("a") as end:
        end.write("one\ntwo\nthree\n")
    file.rename(tmp_path / "guest-web.log.1")
    assert log.beyond(0, b"", 100) == b"one\ntwo\nthree\n"
    assert log.beyond(8, b"two\n", 3) == b"thr"
    assert log.beyond(14, b"three\n", 100) == b""
    assert log.beyond(8, b"ONE\n", 100) == b""
    log.close()


@pytest.mark.parametrize("path", [None, "/nowhere/guest-web.log"])
def test_a_log_may_be_missing(path: Optional[str]) -> None:
    assert console_log.open_log(path) is None
