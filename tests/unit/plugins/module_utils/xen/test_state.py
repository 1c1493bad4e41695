# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a host from its xenstore, as a real host printed it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, Iterator, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import storage
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Domain, Vbd
from ansible_collections.xen.blockdev.plugins.module_utils.xen.xenstore import Store
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.fake_xen_host import (
    WEB_UUID,
    FakeHost,
    recorded_store,
)

WEB = Domain(1, "web", WEB_UUID)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    with FakeHost(tmp_path, monkeypatch) as fake:
        fake.device("/dev/loop0", 7, 0)
        yield fake


def recorded_vbds() -> Dict[str, Vbd]:
    return {vbd.vdev: vbd for vbd in xen_state.vbds(Store(recorded_store()))}


# ---- domains and disks ----


def test_recorded_domains() -> None:
    domains = xen_state.domains(Store(recorded_store()))
    assert [(domain.domid, domain.name) for domain in domains] == [
        (0, "Domain-0"),
        (1, "web"),
        (2, "db"),
    ]
    assert domains[1].uuid == WEB_UUID


@pytest.mark.parametrize(
    ("wanted", "domid"),
    [("web", 1), ("1", 1), (WEB_UUID, 1), (WEB_UUID.upper(), 1), ("2", 2)]
    + [(other, None) for other in ("nosuch", "Web", "99", "", "01", WEB_UUID[:-1] + "0")],
)
def test_domains_are_found_by_name_id_and_uuid(wanted: str, domid: Optional[int]) -> None:
    running = xen_state.domains(Store(recorded_store()))
    found = xen_state.find_domain(wanted, running)
    assert (found and found.domid) == domid


def test_a_name_of_two_domains_is_an_error() -> None:
    with pytest.raises(XenError, match=r"named web; use the id of one .1 or 7."):
        xen_state.find_domain("web", [WEB, Domain(7, "web", "")])


def test_recorded_disks() -> None:
    vbds = recorded_vbds()
    assert sorted(vbds) == ["51768", "xvda", "xvdb", "xvdq"]
    assert vbds["51768"] == Vbd(
        domid=1,
        domain="web",
        xenstore_key=51768,
        vdev="51768",
        target="/dev/loop1",
        access="ro",
        format="raw",
        backendtype="phy",
        devtype="disk",
        script="/etc/xen/scripts/block",
        discard=False,
        specification="xen",
        physical_device=(7, 1),
        backend_state=4,
        frontend_state=4,
        sectors=32768,
        sector_size=512,
        hotplug_status="connected",
    )
    assert vbds["xvdq"].target == "/srv/xen/c.raw"
    assert vbds["xvdq"].physical_device == (7, 2)
    assert vbds["xvdq"].access == "rw"
    assert all(vbd.flaw is None for vbd in vbds.values())


def disk_in_store(backend: str, **nodes: str) -> Vbd:
    values = {"/libxl/5/device/vbd/51712/backend": backend, f"{backend}/online": "1"}
    values.update({f"{backend}/{name.replace('_', '-')}": text for name, text in nodes.items()})
    (vbd,) = xen_state.vbds(Store(values))
    return vbd


PHY = "/local/domain/0/backend/vbd/5/51712"
QDISK = "/local/domain/0/backend/qdisk/5/51712"


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ("aio:/srv", ("raw", "/srv")),
        ("qcow2:/srv/a:b.qcow2", ("qcow2", "/srv/a:b.qcow2")),
        ("qcow:/a", ("qcow", "/a")),
        (":", ("empty", "")),
        ("new:/a", (None, "new:/a")),
        ("", (None, "")),
    ],
)
def test_disks_of_qemu(params: str, expected: object) -> None:
    vbd = disk_in_store(QDISK, type="qdisk", params=params)
    assert (vbd.format, vbd.target) == expected


@pytest.mark.parametrize(
    ("text", "number"),
    [("7:c8", (7, 200)), ("fd:0", (253, 0)), ("", None), ("7", None), ("7:fffffffff", None)],
)
def test_physical_devices_are_hexadecimal(text: str, number: object) -> None:
    vbd = disk_in_store(PHY, type="phy", params="/dev/loop200", physical_device=text)
    assert vbd.physical_device == number


def test_a_guest_cannot_choose_the_backend_or_the_disk() -> None:
    frontend = "/local/domain/5/device/vbd"
    values = {
        "/libxl/5/device/vbd/51712/backend": PHY,
        f"{PHY}/params": "/dev/loop0",
        f"{frontend}/51712/backend": "/local/domain/0/backend/vbd/6/51712",
        f"{frontend}/51712/state": "lies\n",
        f"{frontend}/51728/backend": "/local/domain/0/backend/vbd/6/51712",
        "/local/domain/0/backend/vbd/6/51712/params": "/dev/loop6",
    }
    own = [vbd for vbd in xen_state.vbds(Store(values)) if vbd.domid == 5]
    assert [(vbd.xenstore_key, vbd.target) for vbd in own] == [(51712, "/dev/loop0")]
    assert own[0].frontend_state is None


def test_a_disk_of_a_driver_domain() -> None:
    vbd = disk_in_store("/local/domain/3/backend/vbd/5/51712", type="phy", params="/dev/sda")
    assert (vbd.backend_domid, vbd.flaw) == (3, None)


def test_a_backend_without_its_entry_in_libxl_still_counts() -> None:
    (vbd,) = xen_state.vbds(Store({f"{PHY}/params": "/dev/loop0", f"{PHY}/online": "1"}))
    assert (vbd.domid, vbd.xenstore_key, vbd.target) == (5, 51712, "/dev/loop0")


def test_a_virtio_disk() -> None:
    """As libxl_disk.c writes it for ``specification=virtio``."""
    backend = "/local/domain/0/backend/virtio_disk/5/51712"
    values = {
        "/libxl/5/device/virtio_disk/51712/backend": backend,
        "/local/domain/5/device/virtio_disk/51712/state": "4",
        f"{backend}/params": "/dev/vg0/a:b",
        f"{backend}/type": "standalone",
        f"{backend}/specification": "virtio",
        f"{backend}/dev": "xvda",
    }
    (vbd,) = xen_state.vbds(Store(values))
    assert (vbd.domid, vbd.xenstore_key, vbd.format, vbd.target, vbd.specification) == (
        5,
        51712,
        "raw",
        "/dev/vg0/a:b",
        "virtio",
    )
    assert vbd.frontend_state == 4


def test_a_disk_of_blktap() -> None:
    """Of Xen 4.20."""
    backend = "/local/domain/0/backend/vbd3/5/51712"
    vbd = disk_in_store(backend, type="tap", params="vhd:/srv/a.vhd")
    assert (vbd.backendtype, vbd.format, vbd.target) == ("tap", "vhd", "/srv/a.vhd")


NEW = "/local/domain/0/backend/newdisk/5/51712"


def test_a_device_of_a_kind_that_is_not_known_counts_as_a_disk() -> None:
    (vbd,) = xen_state.vbds(Store({f"{NEW}/params": "/dev/vg0/a", f"{NEW}/type": "phy"}))
    assert (vbd.domid, vbd.xenstore_key, vbd.target) == (5, 51712, "/dev/vg0/a")


def test_a_device_that_may_be_any_disk_is_an_error() -> None:
    values = {"/local/domain/5/name": "web", f"{NEW}/state": "4"}
    with pytest.raises(XenError, match=f"domain web has a device of the kind newdisk .{NEW} in"):
        xen_state.vbds(Store(values))


def test_other_devices_are_no_disks() -> None:
    """Also those that look alike: a console has a type, a network device a script."""
    values = {
        f"/local/domain/0/backend/{kind}/5/0/{node}": "phy"
        for kind in xen_state.OTHER_KINDS
        for node in ("type", "params", "script")
    }
    copies = {f"/libxl/5/device/{kind}/0/backend": "/x" for kind in xen_state.OTHER_KINDS}
    assert xen_state.vbds(Store({**values, **copies})) == []


@pytest.mark.parametrize(
    ("nodes", "flaw"),
    [
        ({"physical_device": "7:0"}, None),
        ({"physical_device": "7:0", "online": "0", "state": "5"}, "has not released it"),
        (
            {"hotplug_status": "busy", "hotplug_error": "in a guest"},
            r"a failed attach \(in a guest\)",
        ),
        ({"state": "1"}, "is not attached yet"),
    ],
)
def test_flaws(nodes: Dict[str, str], flaw: Optional[str]) -> None:
    vbd = disk_in_store(PHY, type="phy", params="/dev/loop0", **nodes)
    assert vbd.flaw is None if flaw is None else re.search(flaw, str(vbd.flaw))


def test_the_type_of_a_domain() -> None:
    (one,) = xen_state.domains(Store({"/local/domain/5/name": "web", "/libxl/5/type": "hvm"}))
    assert one.type == "hvm"


def test_states_have_names() -> None:
    vbd = disk_in_store(PHY, type="phy", state="2")
    assert vbd.states == "backend InitWait (2), frontend gone"


# ---- the host ----


@pytest.mark.parametrize("kind", ["vbd", "qdisk", "vbd3", "virtio_disk", "newdisk"])
def test_a_disk_of_every_kind_is_read_from_xenstored(host: FakeHost, kind: str) -> None:
    backend = f"/local/domain/0/backend/{kind}/1/51712"
    host.store = {
        **host.store,
        f"{backend}/params": "aio:/srv/a.raw",
        f"{backend}/type": "qdisk",
        "/libxl/1/type": "hvm",
    }
    (vbd,) = xen_state.attached_devices()
    assert (vbd.domain, vbd.target) == ("web", "/srv/a.raw")
    slot = xen_state.read_slot(WEB, 51712)
    assert kind == "newdisk" or slot == vbd
    assert xen_state.domains(xen_state.read_store())[1].type == "hvm"


def test_the_store_is_read_once(host: FakeHost) -> None:
    host.store = recorded_store()
    assert [vbd.vdev for vbd in xen_state.attached_devices()] == ["xvda", "xvdb", "51768", "xvdq"]
    assert host.reads == 1


def test_xenstored_down(host: FakeHost) -> None:
    host.xenstored.stop()
    with pytest.raises(XenError, match="/xenstored: Connection refused; is xenstored running"):
        xen_state.attached_devices()


def test_backing_files(host: FakeHost) -> None:
    directory = host.home / "block" / "7:1" / "loop"
    directory.mkdir(parents=True)
    (directory / "backing_file").write_text("/srv/xen/b.raw\n")
    vbds = recorded_vbds()
    assert storage.backing_file_of(vbds["51768"]) == "/srv/xen/b.raw"
    assert storage.backing_file_of(vbds["xvda"]) is None
