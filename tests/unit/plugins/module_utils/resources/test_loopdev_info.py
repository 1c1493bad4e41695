# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report about made-up loop devices."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any, Callable, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.host.blkid import Content, Prober
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.resources import loopdev_info
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.imageutil import bound
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.loopdevplans import MIB, make


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return make(tmp_path / "a.raw")


@pytest.fixture
def scanned(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., List[Any]]:
    """The report, by device."""
    other = bound(make(tmp_path / "b.raw"), 4, offset=512, size_limit=1024, flags=21, deleted=True)
    monkeypatch.setattr(loop_binding, "scan", lambda: [bound(image), other])
    monkeypatch.setattr(loop_binding, "read", {3: bound(image)}.get)
    monkeypatch.setattr(Prober, "look", look)
    return partial(loopdev_info.shown_devices, probe=True, warn=pytest.fail)


def look(_prober: Prober, path: str, rdev: int, is_the_one: Callable[[], bool]) -> Content:
    """Finds a file system on each loop device that is still bound as it was."""
    assert path == f"/dev/loop{os.minor(rdev)}"
    return Content("ext4", "DATA") if is_the_one() else Content()


def test_report_of_all(scanned: Callable[..., List[Any]], tmp_path: Path) -> None:
    first, second = scanned(None)
    assert first == {
        "device": "/dev/loop3",
        "link": None,
        "major": 7,
        "minor": 3,
        "size": MIB,
        "direct_io": False,
        "read_only": False,
        "filesystem": "ext4",
        "label": "DATA",
        "partitions": [],
        "persistent": False,
        "backing_file": f"{tmp_path}/a.raw",
        "deleted": False,
        "offset": 0,
        "size_limit": 0,
        "sector_size": 512,
        "autoclear": False,
    }
    assert second["device"] == "/dev/loop4"
    assert (second["offset"], second["size_limit"]) == (512, 1024)
    assert (second["filesystem"], second["label"], second["partitions"]) == (None, None, [])
    flags = ("read_only", "autoclear", "direct_io", "deleted")
    assert all(second[name] is True for name in flags)


def test_report_of_some(scanned: Callable[..., List[Any]], tmp_path: Path) -> None:
    os.link(tmp_path / "b.raw", tmp_path / "hard.raw")
    names = [one["device"] for one in scanned([f"{tmp_path}/hard.raw", "/no such", "\0"])]
    assert names == ["/dev/loop4"]
    assert scanned([]) == []
