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
        "devtype": "disk",
        "emulated": None,
        "medium": None,
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


# ---- what QEMU says ----


def shown(warn: Any = pytest.fail) -> Dict[str, Tuple[Any, ...]]:
    keys = ("devtype", "emulated", "medium", "target")
    disks = vbd_info.describe_vbds(None, False, warn)
    return {disk["vdev"]: tuple(disk[key] for key in keys) for disk in disks}


def test_drives_of_an_hvm_guest(host: FakeHost) -> None:
    """xenstore names another CD than QEMU has, and the guest uses one disk by its PV drivers."""
    qemu = host.hvm_guest(hdc="/srv/a.iso")
    host.drives = {**host.drives, "ide0-hd0": {"medium": "/srv/root.raw"}}
    nodes = {"params": "aio:/srv/root.raw", "type": "qdisk", "device-type": "disk"}
    backend = "/local/domain/0/backend/qdisk/3"
    disks = {
        f"{backend}/{key}/{node}": value
        for key, vdev in ((51712, "xvda"), (51728, "xvdb"))
        for node, value in {**nodes, "dev": vdev}.items()
    }
    host.store = {**host.store, **disks, f"{backend}/5632/params": "aio:/srv/b.iso"}
    assert shown() == {
        "hdc": ("cdrom", True, "/srv/a.iso", "/srv/b.iso"),
        "hdd": ("cdrom", True, None, ""),
        "xvda": ("disk", True, None, "/srv/root.raw"),
        "xvdb": ("disk", False, None, "/srv/root.raw"),
    }
    assert qemu.connections == 1


def store_disk(host: FakeHost, key: int, vdev: str, params: str) -> None:
    """Give win a disk that QEMU serves."""
    nodes = {"params": params, "type": "qdisk", "device-type": "disk", "dev": vdev}
    backend = f"/local/domain/0/backend/qdisk/3/{key}"
    host.store = {**host.store, **{f"{backend}/{node}": value for node, value in nodes.items()}}


@pytest.mark.parametrize(
    ("key", "vdev", "emulated"),
    [(51712, "xvda 0", True), (51728, "xvda 16", False), (5, "xvd-", False), (2**31, "hd?", False)],
)
def test_a_name_that_libxl_has_taken_by_accident(
    host: FakeHost, key: int, vdev: str, emulated: bool
) -> None:
    host.hvm_guest(hdc="/srv/a.iso")
    host.drives = {**host.drives, "ide0-hd0": {"medium": "/srv/root.raw"}}
    store_disk(host, key, vdev, "aio:/srv/root.raw")
    assert shown()[vdev][1] == emulated


@pytest.mark.parametrize(
    ("medium", "params", "emulated"),
    [
        ("json:{}", "aio:rbd:pool/a", True),
        ("nbd://a:10809", "aio:nbd:a:10809", True),
        ("/srv/root.raw", "aio:rbd:pool/a", False),
        ("rbd:pool/a", "aio:/srv/root.raw", False),
    ],
)
def test_disks_that_qemu_reads_by_a_protocol(
    host: FakeHost, medium: str, params: str, emulated: bool
) -> None:
    """QEMU does not show the words of xl, so they cannot be compared."""
    host.hvm_guest()
    host.drives = {**host.drives, "ide0-hd0": {"medium": medium}}
    store_disk(host, 51712, "xvda", params)
    assert shown()["xvda"][1] == emulated


def test_qemu_is_not_asked_for_slots_that_it_does_not_emulate(host: FakeHost) -> None:
    qemu = host.hvm_guest()
    host.store = {path: value for path, value in host.store.items() if "/56" not in path}
    store_disk(host, 51808, "xvdg", "aio:/srv/root.raw")
    assert shown()["xvdg"][1] is False
    assert qemu.connections == 0


@pytest.mark.parametrize("kind", ["pv", "pvh"])
def test_other_guests_have_no_emulated_disks(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """For them nobody is asked, and no loop device looked at."""
    looks: List[object] = []
    monkeypatch.setattr(vbd_info.loop_binding, "scan", lambda: looks.append("loop devices") or [])
    qemu = host.hvm_guest(hdc="/srv/a.iso")
    host.store = {**host.store, "/libxl/3/type": kind}
    assert shown()["hdc"] == ("cdrom", False, None, "/srv/a.iso")
    assert (qemu.connections, looks) == (0, [])


def test_a_qemu_in_a_stub_domain(host: FakeHost) -> None:
    host.hvm_guest(hdc="/srv/a.iso").close()
    (host.home / "run" / "qmp-libxenstat-3").unlink()
    assert shown()["hdc"] == ("cdrom", None, None, "/srv/a.iso")


def test_a_qemu_that_does_not_answer_is_asked_once(host: FakeHost) -> None:
    qemu = host.hvm_guest(hdc="/srv/a.iso")
    (host.home / "drives.json").write_text("{}")
    warnings: List[str] = []
    assert shown(warnings.append)["hdc"] == ("cdrom", None, None, "/srv/a.iso")
    assert warnings == [
        "emulated and medium of domain win are not known: cannot ask the QEMU of domain 3 for its "
        "drives: QEMU ended"
    ]
    assert qemu.connections == 1
