# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The description of the disks of running domains."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.host import block_device
from ansible_collections.xen.blockdev.plugins.module_utils.host.blkid import Content, Prober
from ansible_collections.xen.blockdev.plugins.module_utils.resources import vbd_info
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.fake_xen_host import (
    WEB_UUID,
    FakeHost,
    recorded_store,
)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    with FakeHost(tmp_path, monkeypatch) as fake:
        yield fake


def looked_at(monkeypatch: pytest.MonkeyPatch) -> List[Tuple[Optional[str], Optional[int]]]:
    """What is looked at; the same is on each that there is."""
    looks: List[Tuple[Optional[str], Optional[int]]] = []

    def look(_prober: Prober, path: Optional[str], rdev: Optional[int] = None) -> Content:
        looks.append((path, rdev))
        return Content("ext4", "DATA") if path else Content()

    monkeypatch.setattr(Prober, "look", look)
    return looks


def test_report(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.store = recorded_store()
    directory = Path(block_device.SYS_BLOCK_BY_NUMBER) / "7:1" / "loop"
    directory.mkdir(parents=True)
    (directory / "backing_file").write_text("/srv/xen/b.raw\n")
    (directory / "../uevent").write_text("MAJOR=7\nMINOR=1\nDEVNAME=loop1\nDEVTYPE=disk\n")
    looks = looked_at(monkeypatch)
    disks = {disk["vdev"]: disk for disk in vbd_info.describe_vbds(None, True, pytest.fail)}
    assert ("/dev/loop1", os.makedev(7, 1)) in looks
    assert sorted(disks) == ["51768", "xvda", "xvdb", "xvdq"]
    assert disks["51768"] == {
        "domain": "web",
        "domid": 1,
        "xenstore_key": 51768,
        "vdev": "51768",
        "target": "/dev/loop1",
        "backing_file": "/srv/xen/b.raw",
        "physical_device": "7:1",
        "filesystem": "ext4",
        "label": "DATA",
        "partitions": [],
        "format": "raw",
        "backendtype": "phy",
        "access": "ro",
        "backend_state": 4,
        "frontend_state": 4,
        "hotplug_error": None,
        "sectors": 32768,
        "sector_size": 512,
        "size": 16777216,
    }
    assert host.reads == 1


@pytest.mark.parametrize(
    ("domains", "count"),
    [(["web"], 4), (["1", "web"], 4), ([WEB_UUID], 4), (["db"], 0), (["nosuch"], 0), ([], 0)],
)
def test_report_of_some_domains(host: FakeHost, domains: List[str], count: int) -> None:
    host.store = recorded_store()
    assert len(vbd_info.describe_vbds(domains, True, pytest.fail)) == count


@pytest.mark.parametrize(
    ("changes", "looked"),
    [
        ({"target": "/srv/a.raw"}, [("/srv/a.raw", None)]),
        ({"target": "/srv/a.raw", "backend_domid": 3}, []),
        ({"target": "/srv/a.qcow2", "format": "qcow2"}, []),
        ({"target": "/srv/a.raw", "format": None}, []),
        ({"target": "iqn.2001-04.com.example:a"}, [(None, None)]),
        ({"target": "/dev/loop9", "physical_device": (7, 99)}, [(None, os.makedev(7, 99))]),
    ],
)
def test_which_disks_are_looked_at(
    host: FakeHost,
    monkeypatch: pytest.MonkeyPatch,
    changes: Dict[str, Any],
    looked: List[Tuple[Optional[str], Optional[int]]],
) -> None:
    disk = replace(xen_state.Vbd(1, "web", 51712, "xvda", "", "rw"), **changes)
    monkeypatch.setattr(xen_state, "vbds", lambda _store: [disk])
    host.store = recorded_store()
    looks = looked_at(monkeypatch)
    (shown,) = vbd_info.describe_vbds(None, True, pytest.fail)
    assert looks == looked
    assert shown["label"] == ("DATA" if looked and looked[0][0] else None)
