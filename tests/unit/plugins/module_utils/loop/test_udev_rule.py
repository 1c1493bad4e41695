# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The udev rule is written whole, made known to udev, and left alone if it is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.loop import udev_rule
from ansible_collections.xen.blockdev.plugins.module_utils.loop.udev_rule import UdevRule


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> List[List[str]]:
    """The programs that are run, on a host with udev."""
    started: List[List[str]] = []

    def record(argv: List[str], _timeout: float) -> programs.Completed:
        started.append(argv)
        return programs.Completed(0, "", "")

    monkeypatch.setattr(udev_rule, "UDEV_CONTROL", str(tmp_path))
    monkeypatch.setattr(programs, "run", record)
    return started


def test_it_is_written_in_a_directory_that_is_not_there(
    tmp_path: Path, run: List[List[str]]
) -> None:
    path = tmp_path / "udev/rules.d/61.rules"
    rule = UdevRule(str(path))
    assert not rule.names_devices()
    directory, action = rule.plan()
    assert (rule.names_devices(), path.exists(), run) == (True, False, [])
    directory.run()
    action.run()
    assert path.read_text() == loop_link.RULE_TEXT
    assert path.stat().st_mode & 0o777 == 0o644
    assert run == [["udevadm", "control", "--reload"]]
    assert UdevRule(str(path)).plan() == []
    assert UdevRule(str(path)).names_devices()


def test_another_rule_of_that_name_is_replaced(tmp_path: Path, run: List[List[str]]) -> None:
    path = tmp_path / "61.rules"
    path.write_text("# an older one\n")
    (action,) = UdevRule(str(path)).plan()
    action.run()
    assert path.read_text() == loop_link.RULE_TEXT


def test_without_udev_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udev_rule, "UDEV_CONTROL", str(tmp_path / "none"))
    path = tmp_path / "61.rules"
    path.write_text(loop_link.RULE_TEXT)
    assert UdevRule(str(path)).plan() == []
    assert not UdevRule(str(path)).names_devices()


def test_udev_that_does_not_read_it_is_an_error(
    tmp_path: Path, run: List[List[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is no change: what was there is there again."""
    failed = programs.Completed(1, "", "no permission\n")
    monkeypatch.setattr(programs, "run", lambda *_of: failed)
    assert_taken_back(tmp_path / "61.rules", "no permission")


def test_udevadm_that_is_not_there_is_an_error(
    tmp_path: Path, run: List[List[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(argv: List[str], _timeout: float) -> programs.Completed:
        raise programs.ProgramMissingError(argv[0])

    monkeypatch.setattr(programs, "run", missing)
    assert_taken_back(tmp_path / "61.rules", r"udevadm is not on this host.* \(package udev")


def assert_taken_back(path: Path, why: str) -> None:
    for before in (None, "# an older one\n"):
        if before:
            path.write_text(before)
        (action,) = UdevRule(str(path)).plan()
        with pytest.raises(BlockdevError, match=rf"{why}.*; the change to {path} was undone"):
            action.run()
        assert (path.read_text() if path.exists() else None) == before


def test_a_rule_that_is_masked_stays_so(tmp_path: Path, run: List[List[str]]) -> None:
    path = tmp_path / "61.rules"
    path.symlink_to(os.devnull)
    assert UdevRule(str(path)).plan() == []
    assert not UdevRule(str(path)).names_devices()


def test_the_rule_is_one_line() -> None:
    """udev knows no other way to continue one than a backslash."""
    lines = [line for line in loop_link.RULE_TEXT.splitlines() if not line.startswith("#")]
    assert len(lines) == 1
    assert lines[0].endswith('SYMLINK+="disk/by-loop-file$attr{loop/backing_file}"')
