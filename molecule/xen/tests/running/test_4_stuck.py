# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that do not connect to a new disk, and guests that do not release one."""

from __future__ import annotations

import pytest

IMAGE = "/srv/stuck.raw"
KEY = 51824
HOT = {"domain": "grub", "vdev": "xvdh", "target": IMAGE}


@pytest.fixture
def image(xen):
    xen.shell(f"truncate -s 1M {IMAGE}")
    before = xen.keys("grub")
    yield before
    assert xen.keys("grub") == before
    assert f"/vbd/{KEY} " not in xen.shell("xenstore-ls -f")
    assert IMAGE not in xen.bindings()


def test_guest_that_never_connects(xen, image):
    result, _vbd = xen.vbd(timeout=2, **HOT)
    assert result["failed"]
    assert "the guest did not connect within 2 s" in result["msg"]
    assert "backend InitWait (2), frontend Initialising (1)" in result["msg"]
    assert "the failed attempt was cleaned up" in result["msg"]


@pytest.mark.long
def test_not_waiting_for_it(xen, image):
    result, vbd = xen.vbd(wait=False, **HOT)
    assert (result["changed"], vbd["backend_state"]) == (True, 2)
    assert KEY in xen.slots("grub")
    assert xen.vbd(wait=False, **HOT)[0]["changed"] is False
    # A second disk that does not connect leaves the first where it is.
    result, _vbd = xen.vbd(timeout=1, domain="grub", vdev="xvdi", target="/srv/free.raw")
    assert result["failed"]
    assert KEY in xen.slots("grub")
    result, vbd = xen.vbd(state="absent", force=True, **HOT)
    assert (result["changed"], vbd["slots"]) == (True, [])


@pytest.mark.long
def test_qcow2_image_for_a_domain_without_qemu(xen):
    """Only a domain whose config names a disk for QEMU has one."""
    xen.shell("cp /srv/sources/base.qcow2 /srv/other.qcow2")
    image = {"target": "/srv/other.qcow2", "format": "qcow2"}
    result, _vbd = xen.vbd(domain="pv", vdev="xvdk", timeout=3, **image)
    assert "domain pv has no QEMU that serves it" in result["msg"]
    assert "the failed attempt was cleaned up" in result["msg"]
    assert 51872 not in xen.slots("pv")


def test_guest_that_does_not_let_go(xen):
    """The disk with which GRUB was started: it holds on to it."""
    disk = {"domain": "grub", "vdev": "xvdaa", "state": "absent"}
    result, vbd = xen.vbd(timeout=1, **disk)
    assert result["failed"]
    assert "its guest did not release it within 1 s" in result["msg"]
    assert "force: true" in result["msg"]
    assert vbd["slots"] == [268442112]
    assert result["changed"] is True
    assert xen.vbd(timeout=1, **disk)[0]["changed"] is False
    # To take it for attached would be wrong: it is on its way out.
    link = "/dev/disk/by-loop-file/srv/xen/grub/far.raw"
    result, _vbd = xen.vbd(domain="grub", vdev="xvdaa", target=link)
    assert "is being detached, but its guest has not released it" in result["msg"]
    result, vbd = xen.vbd(force=True, **disk)
    assert (result["changed"], vbd["slots"]) == (True, [])
    assert 268442112 not in xen.slots("grub")
    assert "/vbd/268442112 " not in xen.shell("xenstore-ls -f")
    # The image is free for whoever wants it now, also for the same slot.
    assert xen.module("xen_loopdev", path="/srv/xen/grub/far.raw", state="absent")["changed"]


@pytest.mark.long
def test_writes_that_outlive_the_disk(xen):
    """They wait for the image's file system, which is frozen. The kernel has no entry for them once
    the disk is gone."""
    home = "/srv/frozen"
    image = f"{home}/disk.raw"
    before = xen.settled("pv")
    xen.shell(
        f"mkdir {home} && truncate -s 8M {home}.fs && mke2fs -q -F {home}.fs && "
        f"mount -o loop {home}.fs {home} && truncate -s 1M {image}"
    )
    xen.module("xen_loopdev", path=image)
    disk = {"domain": "pv", "vdev": "xvdh", "target": f"/dev/disk/by-loop-file{image}"}
    elsewhere = {**disk, "domain": "second"}
    device = xen.bindings()[image]
    xen.vbd(**disk)
    xen.await_keys("pv", *before, KEY)
    xen.shell(f"fsfreeze --freeze {home}")
    try:
        xen.tell("pv", "write xvdh late")
        xen.await_(
            lambda: xen.shell(f"cat /sys/block/{device[len('/dev/') :]}/inflight"),
            lambda counts: counts.split()[1] != "0",
            lambda: xen.console("pv")[-2000:],
        )
        result, vbd = xen.vbd(state="absent", force=True, timeout=1, **disk)
        assert "the guest's last requests have not ended" in result["msg"]
        assert (result["failed"], vbd["slots"]) == (True, [])
        assert not xen.exists(f"/sys/devices/vbd-{xen.domid('pv')}-{KEY}")
        result, _vbd = xen.vbd(check=True, **elsewhere)
        assert result["failed"], result
        assert "the kernel still writes to it, though no domain has it as a disk" in result["msg"]
    finally:
        xen.shell(f"fsfreeze --unfreeze {home}")
    assert xen.vbd(check=True, **elsewhere)[0]["changed"] is True
    assert xen.shell("head -n 1 %s", image) == "late"
    xen.await_keys("pv", *before)
    xen.module("xen_loopdev", path=image, state="absent")
    xen.shell(f"umount {home} && rm -r {home} {home}.fs")


def test_linux_guest_that_has_the_disk_open(xen):
    """Linux releases even a disk that is open: the program then reads errors from it."""
    disk = {"domain": "pv", "vdev": "xvdh", "target": IMAGE}
    before = xen.settled("pv")
    xen.shell(f"truncate -s 1M {IMAGE}")
    xen.vbd(**disk)
    xen.await_keys("pv", *before, KEY)
    xen.tell("pv", "hold xvdh")
    xen.await_(
        lambda: xen.console("pv"),
        lambda text: "xen-lab: holding xvdh" in text,
        lambda: xen.console("pv")[-2000:],
    )
    result, vbd = xen.vbd(state="absent", **disk)
    assert (result["changed"], vbd["slots"]) == (True, [])
    assert KEY not in xen.slots("pv")
    xen.tell("pv", "release")
    xen.await_keys("pv", *before)
    assert IMAGE not in xen.bindings()
