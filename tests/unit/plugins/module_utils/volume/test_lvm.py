# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""LVM as a program: what it prints, how it fails, and a host that has none."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import HostError, VolumeError
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.volume import lvm as volume_lvm
from ansible_collections.xen.blockdev.tests.fake_lvm import FakeLvm
from ansible_collections.xen.blockdev.tests.lvm_host import fake_lvm


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeLvm:
    fake = fake_lvm(tmp_path / "lvm", monkeypatch)
    fake.group("vg0")
    fake.group("vg1")
    return fake


def program(fake: FakeLvm, text: str) -> None:
    (fake.home / "bin/lvm").write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")


def test_one_report_for_all_groups(fake: FakeLvm) -> None:
    report = volume_lvm.read(["vg1", "vg0", "vg1"])
    assert sorted(report.groups) == ["vg0", "vg1"]
    assert report.complaint == ""
    assert [call[-2:] for call in fake.calls] == [["vg0", "vg1"]]


def test_a_group_that_is_not_there_does_not_hide_the_others(fake: FakeLvm) -> None:
    report = volume_lvm.read(["vg0", "no"])
    assert list(report.groups) == ["vg0"]
    assert report.complaint == 'Volume group "no" not found Cannot process volume group no'


def test_warnings_are_no_errors(fake: FakeLvm) -> None:
    program(fake, "echo '  WARNING: This metadata update is NOT backed up.' >&2; exit 0")
    volume_lvm.run_change("lvchange", "vg0/a")
    program(
        fake,
        "echo '  WARNING: x'>&2; echo '  No such\n  thing.' >&2\n"
        "echo '  Run `lvcreate --help'\"'\"' for more information.' >&2; exit 3",
    )
    with pytest.raises(VolumeError) as error:
        volume_lvm.run_change("lvcreate", "x")
    assert str(error.value) == "lvcreate failed: No such thing."
    program(fake, "exit 5")
    with pytest.raises(VolumeError, match=r"^lvremove failed: it ended with exit status 5$"):
        volume_lvm.run_change("lvremove", "x")


def test_no_report_at_all(fake: FakeLvm) -> None:
    program(fake, "echo '  /run/lock/lvm: read-only file system' >&2; exit 5")
    report = volume_lvm.read(["vg0"])
    assert (report.groups, report.complaint) == ({}, "/run/lock/lvm: read-only file system")


def test_no_lvm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(programs, "search_path", lambda: str(tmp_path))
    for call in (lambda: volume_lvm.read(["vg0"]), lambda: volume_lvm.run_change("lvs")):
        with pytest.raises(HostError) as error:
            call()
        assert str(error.value) == "lvm is not on this host: install it (package lvm2 on Debian)"


def test_no_device_mapper(fake: FakeLvm) -> None:
    (fake.home / "misc").write_text("237 loop-control\n", encoding="ascii")
    with pytest.raises(HostError, match=r"^this kernel has no device-mapper"):
        volume_lvm.read(["vg0"])


def test_lvm_that_waits_for_a_disk(fake: FakeLvm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume_lvm, "REPORT_SECONDS", 0.01)
    program(fake, "exec sleep 60")
    with pytest.raises(VolumeError, match=r"^`lvm fullreport` did not end within 0.01 s and was"):
        volume_lvm.read(["vg0"])
