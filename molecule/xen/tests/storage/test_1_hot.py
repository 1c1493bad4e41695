# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks of many kinds of a running guest, all at the same time; in the order of the tests.

One call of a module is for all of them: each takes long in an emulated machine.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hot_disk import HotDisk

MIB = 2**20
MULTIPATH = "/dev/mapper/360014050000000000020000000000000"
CRYPT = "/dev/mapper/secret"
BY_PATH = "/dev/disk/by-path/ip-{}:3260-iscsi-iqn.2026-01.example.lab:disks-lun-3"
WHOLE = BY_PATH.format("127.0.0.1")
IMAGE = "/mnt/nfs/hot.raw"
AT_SERVER = "/srv/export/hot.raw"
ENABLED = "/sys/kernel/config/target/iscsi/iqn.2026-01.example.lab:disks/tpgt_1/enable"


class Kind(NamedTuple):
    """A disk of some kind."""

    vdev: str
    target: str
    grown: int
    """Bytes that it has once it has grown as much as it can while it is in use."""


class Server(NamedTuple):
    """What serves a disk: commands that take it away and bring it back, and one that succeeds once
    this host knows that it is away."""

    stop: str
    start: str
    is_missed: str


KINDS = {
    "multipath": Kind("xvdf", MULTIPATH, 9 * MIB),
    "crypt": Kind("xvdg", CRYPT, 13 * MIB // 2),
    "partition": Kind("xvdh", f"{WHOLE}-part2", 6 * MIB),
    "nbd": Kind("xvdi", "/dev/nbd0", 2 * MIB),  # as before
    "rbd": Kind("xvdj", "/dev/rbd/guests/disk", 6 * MIB),
    "nfs": Kind("xvdk", f"/dev/disk/by-loop-file{IMAGE}", 3 * MIB),
}
GROW = f"""
set -e
for image in 0-crypt 2-tests 3-partitions; do
    truncate -s 9M /srv/targets/$image.raw
    losetup -c $(losetup -nO NAME -j /srv/targets/$image.raw)
done
iscsiadm -m node --rescan >/dev/null
udevadm settle
multipathd resize map 360014050000000000000000000000000
multipathd resize map 360014050000000000020000000000000
cryptsetup resize --key-file /etc/secret.key secret
parted --script {WHOLE} resizepart 2 100%
rbd resize --no-progress --size 6 guests/disk
"""
ISCSI = Server(
    f"echo 0 > {ENABLED}",
    f"echo 1 > {ENABLED}",
    "! grep -q LOGGED_IN /sys/class/iscsi_session/session*/state",
)
SERVERS = {
    "multipath": ISCSI,
    "crypt": ISCSI,
    "partition": ISCSI,
    "rbd": Server(
        "systemctl stop ceph-osd@0.service",
        "systemctl start ceph-osd@0.service",
        "! pgrep -x ceph-osd",
    ),
    "nfs": Server(
        "systemctl stop nfs-server.service",
        "systemctl start nfs-server.service",
        "! systemctl is-active --quiet nfs-server.service",
    ),
}


def image_with(xen, size):
    """Have the image on NFS and its loop device that large; a second run changes nothing."""
    for changed in (True, False):
        for module, options in (("xen_raw_disk", {"size": size}), ("xen_loopdev", {})):
            result = xen.module(module, path=IMAGE, **options)
            assert (result["failed"], result["changed"]) == (False, changed), result


def run_all(xen, changed, check=False, **options):
    """A run of the module for all disks."""
    vbds = [
        {"domain": "second", "vdev": kind.vdev, "target": kind.target, **options}
        for kind in KINDS.values()
    ]
    result = xen.module("xen_vbd_attach", check, vbds=vbds)
    assert (result["failed"], result["changed"]) == (False, changed), result


def refused(xen, target, *words):
    """A disk that would have the data of another one."""
    result, _vbd = xen.vbd(domain="second", vdev="xvdo", target=target)
    assert (result["failed"], result["changed"]) == (True, False), result
    for word in words:
        assert word in result["msg"]


@pytest.fixture(scope="module")
def disks(xen):
    """The attached disks by their kinds."""
    image_with(xen, 2 * MIB)
    for check, changed in ((True, True), (False, True), (False, False)):
        run_all(xen, changed, check)
    return {name: HotDisk(xen, "second", kind.vdev, kind.target) for name, kind in KINDS.items()}


def test_written(xen, disks):
    """What the guest writes is behind each disk; what it has synced, an NFS server has."""
    for name, disk in disks.items():
        disk.seen()
        disk.write(f"to {name}")
    assert xen.shell("head -n 1 %s", AT_SERVER) == "to nfs"


def test_grow(xen, disks):
    """The guest sees the new sizes, and a run changes nothing."""
    before = {name: int(disk.seen()["sectors"]) * 512 for name, disk in disks.items()}
    assert all((before[name] < KINDS[name].grown) == (name != "nbd") for name in disks)
    xen.shell(GROW)
    image_with(xen, 3 * MIB)
    for name, disk in disks.items():
        disk.seen(KINDS[name].grown)
    run_all(xen, False)


def test_what_is_below(xen, disks):
    """The device under dm-crypt, and each path of a multipath device, are in use."""
    for name, paths in (("crypt", 1), ("multipath", 2)):
        target = disks[name].target
        below = xen.shell("ls /sys/block/$(basename $(readlink -f %s))/slaves", target).split()
        assert len(below) == paths
        for device in below:
            shared = f"it shares data with {target}"
            refused(xen, f"/dev/{device}", shared, "is attached to domain second")


def test_other_ways_to_the_same_data(xen, disks):
    """The disk of a partition, its other path, and an RBD image that is mapped again."""
    partition, image = disks["partition"].target, disks["rbd"].target
    refused(xen, WHOLE, f"it shares data with {partition}, which is attached to domain second")
    other_path = f"{BY_PATH.format('127.0.0.2')}-part2"
    refused(xen, other_path, f"it shares data with {partition} (both are naa.6001405")
    again = xen.shell("rbd device map guests/disk")
    refused(xen, again, f"it shares data with {image} (both are rbd guests//disk@- of cluster ")
    xen.shell("rbd device unmap %s", again)


def test_image_in_use(xen, disks):
    """What the guest needs is not taken away."""
    for module in ("xen_raw_disk", "xen_loopdev"):
        result = xen.module(module, path=IMAGE, state="absent")
        assert (result["failed"], result["changed"]) == (True, False), result
        assert "attached to domain second as xvdk" in result["msg"]


def test_path_that_is_lost(xen, disks):
    """The guest goes on by the other one."""
    xen.shell("iscsiadm -m node -p 127.0.0.2 --logout")
    try:
        disks["multipath"].write("by one path")
    finally:
        xen.shell("iscsiadm -m node -p 127.0.0.2 --login")


@pytest.mark.parametrize("name", SERVERS)
def test_server_that_is_lost_and_comes_back(xen, disks, name):
    """What the guest writes in between waits."""
    disk, server = disks[name], SERVERS[name]
    xen.shell(server.stop)
    try:
        disk.begin_to_write("without a server")
        xen.await_(lambda: xen.try_shell(server.is_missed)["rc"], lambda rc: rc == 0, lambda: name)
        assert not disk.has_written()
    finally:
        xen.shell(server.start)
    disk.await_written("without a server")


def test_server_of_nbd_that_is_lost(xen, disks):
    """What the guest writes in between fails. A run changes nothing in all that."""
    xen.shell("systemctl stop lab-nbd.service")
    try:
        disks["nbd"].write_fails("without a server")
        run_all(xen, False)
    finally:
        xen.shell("systemctl start lab-nbd.service")


def test_detach(xen, disks):
    """A run, and a run again; the guest has lost them."""
    for changed in (True, False):
        run_all(xen, changed, state="absent")
    keys = {disk.key for disk in disks.values()}
    xen.await_report("second", lambda report: not keys & set(report))
    for module in ("xen_loopdev", "xen_raw_disk"):
        result = xen.module(module, path=IMAGE, state="absent")
        assert (result["failed"], result["changed"]) == (False, True), result
    assert not xen.exists(AT_SERVER)


def test_nbd_again(xen):
    """Once its client has connected anew, the data are there."""
    xen.shell("systemctl restart nbd@nbd0.service && udevadm settle")
    disk = HotDisk(xen, "second", "xvdi", "/dev/nbd0")
    disk.attach_only()
    assert xen.shell("head -n 1 %s", disk.target) == "to nbd"
    disk.detach()
