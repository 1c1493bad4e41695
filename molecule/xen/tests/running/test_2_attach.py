# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that come and go while the guest runs."""

from __future__ import annotations

import re

import pytest

IMAGE = "/srv/hot.raw"
LINK = f"/dev/disk/by-loop-file{IMAGE}"
KEY = 51824  # xvdh
HOT = {"domain": "second", "vdev": "xvdh", "target": LINK}
MIB = 2048


@pytest.fixture(scope="module")
def content(xen):
    """A bound image with a content of its own."""
    xen.shell(f"yes hot | head -c 1048576 > {IMAGE}")
    xen.module("xen_loopdev", path=IMAGE)
    yield
    xen.module("xen_loopdev", path=IMAGE, state="absent")


def test_attach(xen, content):
    before = xen.settled("second")
    slots = xen.slots("second")

    # check mode touches nothing, and says what a run does
    planned, vbd = xen.vbd(check=True, **HOT)
    assert planned["changed"] is True
    assert vbd["actions"] == [f"attach {LINK} (rw) to domain second as xvdh"]
    shown = xen.diff("xen_vbd_attach", **HOT)
    assert f"+++ after: {vbd['actions'][0]}" in shown
    assert re.search(r"^\+ .*access.*rw", shown, re.MULTILINE)
    assert xen.slots("second") == slots
    assert xen.report("second") == before

    # the run
    result, attached = xen.vbd(**HOT)
    assert result["changed"] is True
    assert attached["actions"] == vbd["actions"]
    assert (attached["access"], attached["backend_state"], attached["xenstore_key"]) == (
        "rw",
        4,
        KEY,
    )
    number = xen.bindings()[IMAGE][len("/dev/loop") :]
    assert attached["physical_device"] == f"7:{number}"
    report = xen.await_keys("second", *before, KEY)
    assert (report[KEY]["name"], report[KEY]["sectors"]) == ("xvdh", str(MIB))
    assert report[KEY]["sha256"] == xen.sha256(LINK)

    # again, and by another name of the same device: nothing to do
    again, _vbd = xen.vbd(target=xen.bindings()[IMAGE], domain="second", vdev="xvdh")
    assert (again["changed"], again["vbds"][0]["actions"]) == (False, [])
    assert xen.vbd(check=True, **HOT)[0]["changed"] is False


def test_detach(xen, content):
    absent = {"domain": "second", "vdev": "xvdh", "state": "absent"}
    xen.vbd(**HOT)
    slots = xen.slots("second")
    left = set(xen.settled("second")) - {KEY}
    planned, vbd = xen.vbd(check=True, **absent)
    assert (planned["changed"], KEY in xen.slots("second")) == (True, True)
    result, detached = xen.vbd(**absent)
    assert result["changed"] is True
    assert detached["actions"] == vbd["actions"]
    assert detached["slots"] == []
    del slots[KEY]
    assert xen.slots("second") == slots
    xen.await_keys("second", *left)
    assert xen.vbd(**absent)[0]["changed"] is False
    assert xen.vbd(check=True, **absent)[0]["changed"] is False


@pytest.mark.long
def test_attached_read_only(xen, content):
    disk = {"domain": "second", "vdev": "d8p0", "target": LINK, "access": "ro"}
    before = xen.settled("second")
    _result, vbd = xen.vbd(**disk)
    assert vbd["access"] == "ro"
    report = xen.await_keys("second", *before, 51840)
    assert report[51840]["access"] == "ro"
    xen.tell("second", f"write {report[51840]['name']} this must not be there")
    xen.await_(
        lambda: xen.console("second"),
        lambda text: "xen-lab: refused xvdi" in text,
        lambda: xen.console("second")[-2000:],
    )
    assert xen.sha256(LINK) == report[51840]["sha256"]
    assert xen.vbd(state="absent", **disk)[0]["changed"] is True


@pytest.mark.long
def test_many_at_once_by_name_id_and_uuid(xen, content):
    """A file by xl's script, a volume, an image that QEMU serves, one call for two domains."""
    uuid = xen.shell("xl vm-list | awk '$3 == \"second\" {print $1}'")
    xen.shell("cp /srv/sources/base.qcow2 /srv/hot.qcow2")
    xen.shell("yes plain | head -c 1048576 > /srv/plain.raw")
    xen.shell("yes volume | head -c 1048576 > /dev/lab/spare")
    vbds = [
        {"domain": "second", "vdev": "xvdh", "target": "/srv/plain.raw"},
        {"domain": xen.domid("second"), "vdev": "xvdi", "target": "/dev/lab/spare"},
        {"domain": uuid, "vdev": "xvdk", "target": "/srv/hot.qcow2", "format": "qcow2"},
        {"domain": "pv", "vdev": "xvdi", "target": LINK, "access": "ro"},
        {"domain": "second", "vdev": "xvdj", "target": LINK, "access": "ro"},
    ]
    pv, second = xen.settled("pv"), xen.settled("second")
    result = xen.module("xen_vbd_attach", vbds=vbds)
    assert result["changed"] is True
    assert [vbd["backendtype"] for vbd in result["vbds"]] == ["phy", "phy", "qdisk", "phy", "phy"]
    seen = xen.await_keys("second", *second, 51824, 51840, 51856, 51872)
    assert seen[51824]["sha256"] == xen.sha256("/srv/plain.raw")
    assert seen[51840]["sha256"] == xen.sha256("/dev/lab/spare")
    assert seen[51856]["sha256"] == xen.sha256(LINK)
    assert seen[51872]["sha256"] == xen.sha256("/srv/sources/qcow2.raw")
    shared = xen.await_keys("pv", *pv, 51840)
    assert (shared[51840]["sha256"], shared[51840]["access"]) == (seen[51856]["sha256"], "ro")
    assert xen.module("xen_vbd_attach", vbds=vbds)["changed"] is False

    # by target alone, wherever the domain has it
    gone = [{**vbd, "state": "absent", "vdev": None} for vbd in vbds]
    gone = [{key: value for key, value in vbd.items() if value} for vbd in gone]
    result = xen.module("xen_vbd_attach", vbds=gone)
    assert [len(vbd["detached"]) for vbd in result["vbds"]] == [1] * 5
    xen.await_keys("second", *second)
    assert "/srv/plain.raw" not in xen.bindings()
