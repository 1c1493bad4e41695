# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must not be attached is not, the error says why, and the slot stays as it was."""

from __future__ import annotations

import re

import pytest

FREE = "/srv/free.raw"
SLOT = {"domain": "second", "vdev": "xvdm"}
KEY = 51904


@pytest.fixture
def slots(xen):
    """All slots of both Linux guests, before; they must be the same after."""
    before = xen.keys("pv", "second")
    xen.shell(f"test -e {FREE} || truncate -s 1M {FREE}")
    yield before
    assert xen.keys("pv", "second") == before


def refused(xen, *words, check=False, **options):
    """With a message that has these words, and nothing touched."""
    result, vbd = xen.vbd(check=check, **options)
    assert result.get("failed"), result
    assert result["changed"] is False
    for word in words:
        assert word in result["msg"]
    return result, vbd


@pytest.mark.parametrize("check", [True, False])
def test_slot_taken_by_another_disk(xen, slots, check):
    refused(
        xen,
        "slot xvda of domain second holds /dev/disk/by-loop-file/srv/xen/second/boot.raw",
        "replace: true",
        check=check,
        domain="second",
        vdev="xvda",
        target=FREE,
    )


def test_target_missing(xen, slots):
    refused(xen, "/srv/nowhere.raw", "No such file", target="/srv/nowhere.raw", **SLOT)


def test_link_of_an_image_that_is_not_bound(xen, slots):
    link = f"/dev/disk/by-loop-file{FREE}"
    refused(xen, FREE, "bind", target=link, **SLOT)


def test_bad_vdevs(xen, slots):
    wrong = ["xvda256", "hde", "", "xvd", "0x"]
    vbds = [{"domain": "second", "vdev": vdev, "target": FREE} for vdev in wrong]
    result = xen.module("xen_vbd_attach", vbds=vbds)
    assert result["failed"]
    assert "5 of 5 vbds failed, none was touched" in result["msg"]
    for index, vdev in enumerate(wrong):
        assert re.search(rf"^vbds\[{index}\]: '{vdev}' (is|lacks) ", result["msg"], re.MULTILINE)


def test_domain_unknown_or_not_running(xen, slots):
    options = {"domain": "nobody", "vdev": "xvdm", "target": FREE}
    refused(xen, "domain nobody is not running on this host", **options)
    result, vbd = xen.vbd(when_not_running="skip", **options)
    assert (result["changed"], vbd["running"]) == (False, False)


def test_image_that_another_domain_writes_by_loop_device(xen, slots):
    link = "/dev/disk/by-loop-file/srv/xen/pv/boot.raw"
    refused(xen, "attached to domain pv as xvda (rw)", target=link, **SLOT)
    refused(xen, "attached to domain pv as xvda (rw)", target=link, access="ro", **SLOT)


def test_image_that_another_domain_writes_by_file(xen, slots):
    """Xen's own check lets this pass. By the file, by a hard link, and by a loop device."""
    file = "/srv/xen/second/file.raw"
    xen.shell(f"ln -f {file} /srv/alias.raw")
    device = xen.shell(f"losetup --find --show {file}")
    try:
        targets = {"xvdm": file, "xvdn": "/srv/alias.raw", "xvdo": device}
        vbds = [{"domain": "pv", "vdev": vdev, "target": path} for vdev, path in targets.items()]
        result = xen.module("xen_vbd_attach", vbds=vbds)
        assert result["changed"] is False
        assert result["msg"].count("attached to domain second as xvdd (rw)") == 3
    finally:
        xen.shell(f"losetup --detach {device}; rm /srv/alias.raw")


def test_image_twice_in_the_same_domain(xen, slots):
    link = "/dev/disk/by-loop-file/srv/xen/second/boot.raw"
    refused(xen, "attached to domain second as xvda (rw)", target=link, **SLOT)


def test_image_twice_in_one_call(xen, slots):
    vbds = [
        {"domain": "second", "vdev": "xvdm", "target": FREE},
        {"domain": "pv", "vdev": "xvdm", "target": FREE},
    ]
    result = xen.module("xen_vbd_attach", vbds=vbds)
    assert result["failed"]
    assert "will be attached to domain second as xvdm" in result["msg"]


def test_mounted_in_dom0(xen, slots):
    xen.shell("truncate -s 8M /srv/mounted.raw && mke2fs -q -F /srv/mounted.raw")
    xen.shell("mkdir -p /mnt/lab && mount -o loop /srv/mounted.raw /mnt/lab")
    device = xen.shell("findmnt -n -o SOURCE /mnt/lab")
    try:
        refused(xen, "mounted on /mnt/lab", "dom0", target=device, **SLOT)
        refused(xen, "mounted on /mnt/lab", "dom0", target="/srv/mounted.raw", **SLOT)
    finally:
        xen.shell("umount /mnt/lab && rm /srv/mounted.raw")


def test_disk_of_which_a_guest_has_a_volume(xen, slots):
    device = xen.bindings()["/srv/sources/vg.raw"]
    refused(xen, "it shares data with /dev/lab/lun, which is attached to", target=device, **SLOT)


def attached(xen, **options):
    """Attach a disk to the guest second, where it must be refused nothing."""
    result, _vbd = xen.vbd(**options, **SLOT)
    assert not result.get("failed"), result


def detached(xen, before):
    """Take the disk away again."""
    xen.vbd(state="absent", **SLOT)
    xen.await_keys("second", *before)


@pytest.mark.long
def test_two_paths_of_a_lun(xen, slots):
    before = xen.settled("second")
    xen.shell("modprobe scsi_debug add_host=2 vpd_use_hostno=0 dev_size_mb=8")
    try:
        xen.shell("udevadm settle")
        paths = xen.shell(
            "ls -d /sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*/block/*"
        )
        first, second = [f"/dev/{path.rpartition('/')[2]}" for path in paths.splitlines()]
        attached(xen, target=first)
        words = f"it shares data with {first} (both are naa."
        refused(xen, words, "attached to domain second", domain="pv", vdev="xvdm", target=second)
    finally:
        detached(xen, before)
        xen.shell("modprobe -r scsi_debug")


@pytest.mark.long
def test_two_inodes_of_a_file_on_an_overlay(xen, slots):
    before = xen.settled("second")
    xen.shell(
        "mkdir -p /srv/overlay && cd /srv/overlay && mkdir -p lower upper work merged && "
        "truncate -s 1M upper/up.raw && mount -t overlay overlay "
        "-o lowerdir=$PWD/lower,upperdir=$PWD/upper,workdir=$PWD/work merged"
    )
    upper, merged = (f"/srv/overlay/{name}/up.raw" for name in ("upper", "merged"))
    try:
        for first, second in ((merged, upper), (upper, merged)):
            attached(xen, target=first)
            words = f"it shares data with {first}, which is attached to domain second"
            refused(xen, words, domain="pv", vdev="xvdm", target=second)
            detached(xen, before)
    finally:
        detached(xen, before)
        xen.shell("umount /srv/overlay/merged && rm -r /srv/overlay")


def test_image_that_a_process_writes(xen, slots):
    writer = "f = open('/srv/free.raw', 'r+b'); print(1, flush=True); import time; time.sleep(3600)"
    pid = xen.shell(
        "rm -f /run/writes; setsid python3 -c %s >/run/writes 2>&1 </dev/null & "
        "until [ -s /run/writes ]; do sleep 0.1; done; echo $!",
        writer,
    )
    try:
        refused(xen, f"it is open for writing in process {pid} (python3)", target=FREE, **SLOT)
    finally:
        xen.shell(f"kill {pid}")


@pytest.mark.long
def test_backing_file_of_a_guests_image(xen, slots):
    before = xen.settled("second")
    top = "/srv/top.qcow2"
    xen.shell(f"qemu-img create -q -f qcow2 -b {FREE} -F raw {top}")
    try:
        attached(xen, target=top, format="qcow2")
        words = f"the backing file of {top}, which is attached to domain second as xvdm"
        refused(xen, words, domain="pv", vdev="xvdm", target=FREE)
        result = xen.module("xen_raw_disk", path=FREE, state="absent")
        assert result["failed"]
        assert words in result["msg"]
    finally:
        detached(xen, before)
        xen.shell(f"rm {top}")


@pytest.mark.long
def test_hotplug_script_that_fails(xen, slots):
    result, _vbd = xen.vbd(target="volume-of-nobody", script="block-failing", **SLOT)
    assert result["failed"]
    assert "the lab's script cannot find volume-of-nobody" in result["msg"]
    assert "the failed attempt was cleaned up" in result["msg"]
    assert KEY not in xen.slots("second")
    assert f"/device/vbd/{KEY} " not in xen.shell("xenstore-ls -f")


def test_replace_swaps_the_disk(xen, slots):
    xen.shell("yes first | head -c 1048576 > /srv/first.raw")
    xen.shell("yes second | head -c 2097152 > /srv/second.raw")
    before = xen.settled("second")
    try:
        xen.vbd(target="/srv/first.raw", **SLOT)
        xen.await_keys("second", *before, KEY)
        options = {"target": "/srv/second.raw", "replace": True, **SLOT}
        planned, vbd = xen.vbd(check=True, **options)
        assert planned["changed"] is True
        result, swapped = xen.vbd(**options)
        assert swapped["actions"] == vbd["actions"]
        assert "replace /srv/first.raw (rw)" in vbd["actions"][0]
        report = xen.await_report("second", lambda seen: seen.get(KEY, {}).get("sectors") == "4096")
        assert report[KEY]["sha256"] == xen.sha256("/srv/second.raw")
        assert xen.vbd(**options)[0]["changed"] is False

        # access differs: the same disk is attached anew
        result, _vbd = xen.vbd(access="ro", **options)
        assert result["changed"] is True
        xen.await_report("second", lambda seen: seen.get(KEY, {}).get("access") == "ro")

        # what cannot be attached is found out before the old disk goes
        result, _vbd = xen.vbd(**{**options, "target": "/srv/nowhere.raw"})
        assert "No such file" in result["msg"]
        assert xen.slots("second")[KEY]["params"] == "/srv/second.raw"

        # what cannot be attached in spite of that: the old disk comes back
        result, _vbd = xen.vbd(**{**options, "target": "nobody", "script": "block-failing"})
        assert "cannot find nobody" in result["msg"]
        assert "/srv/second.raw was put back" in result["msg"]
        backend = xen.slots("second")[KEY]
        assert (backend["params"], backend["mode"]) == ("/srv/second.raw", "r")
        seen = xen.await_report("second", lambda seen: seen.get(KEY, {}).get("access") == "ro")
        assert seen[KEY]["sectors"] == "4096"
    finally:
        xen.vbd(state="absent", **SLOT)
    xen.await_keys("second", *before)


def test_start_of_a_guest_on_another_guests_disk(xen, slots):
    config = "/srv/thief.cfg"
    text = (
        "name = 'thief'\nkernel = '/srv/guests/grub.bin'\nmemory = 64\n"
        "disk = ['format=raw, vdev=xvda, access=rw, target=/srv/xen/second/file.raw']\n"
    )
    xen.shell("printf '%%s' %s > %s", text, config)
    result = xen.module("xen_domain", name="thief", config=config)
    assert result["failed"]
    assert "attached to domain second as xvdd (rw)" in result["msg"]
    assert "thief" not in xen.shell("xl list")


@pytest.mark.parametrize(
    ("module", "path", "words"),
    [
        ("xen_loopdev", "/srv/xen/pv/boot.raw", "attached to domain pv as xvda"),
        ("xen_raw_disk", "/srv/xen/pv/boot.raw", "attached to domain pv as xvda, bound to"),
        ("xen_raw_disk", "/srv/xen/second/file.raw", "attached to domain second as xvdd"),
    ],
)
def test_unbinding_or_deleting_what_a_guest_uses(xen, slots, module, path, words):
    bindings = xen.bindings()
    result = xen.module(module, path=path, state="absent")
    assert result["failed"]
    assert words in result["msg"]
    assert xen.bindings() == bindings
    assert xen.exists(path)
