# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Block devices of many kinds as disks of a running guest, and what is below them.

Each is attached before the first of its tests and detached after the last.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hot_disk import HotDisk

MIB = 2**20
MULTIPATH = "/dev/mapper/360014050000000000020000000000000"
CRYPT = "/dev/mapper/secret"
BY_PATH = "/dev/disk/by-path/ip-{}:3260-iscsi-iqn.2026-01.example.lab:disks-lun-3"
RBD = "/dev/rbd/guests/disk"
DISK = BY_PATH.format("127.0.0.1")
PARTITION = f"{DISK}-part2"
GROW_LUN = (
    "truncate -s 9M /srv/targets/{0}.raw && "
    "losetup -c $(losetup -nO NAME -j /srv/targets/{0}.raw) && "
    "iscsiadm -m node --rescan >/dev/null && udevadm settle && {1}"
)
ENABLED = "/sys/kernel/config/target/iscsi/iqn.2026-01.example.lab:disks/tpgt_1/enable"


class Server(NamedTuple):
    """What serves a device: commands that take it away and bring it back, and one that succeeds
    once this host knows that it is away."""

    stop: str
    start: str
    is_missed: str


ISCSI = Server(
    f"echo 0 > {ENABLED}",
    f"echo 1 > {ENABLED}",
    "! grep -q LOGGED_IN /sys/class/iscsi_session/session*/state",
)


class Kind(NamedTuple):
    """A kind of block device."""

    target: str
    server: Server
    grow: str
    """The command that has it grow while it is in use."""
    grown: int
    """Bytes that the disk has then."""


KINDS = {
    "multipath": Kind(
        MULTIPATH,
        ISCSI,
        GROW_LUN.format("2-tests", f"multipathd resize map {MULTIPATH.rpartition('/')[2]}"),
        9 * MIB,
    ),
    "crypt": Kind(
        CRYPT,
        ISCSI,
        GROW_LUN.format(
            "0-crypt",
            "multipathd resize map 360014050000000000000000000000000 && "
            "cryptsetup resize --key-file /etc/secret.key secret",
        ),
        7 * MIB,
    ),
    "partition": Kind(
        PARTITION,
        ISCSI,
        GROW_LUN.format("3-partitions", f"parted --script {DISK} resizepart 2 100%"),
        6 * MIB,
    ),
    "rbd": Kind(
        RBD,
        Server(
            "systemctl stop ceph-osd@0",
            "systemctl start ceph-osd@0",
            "! pgrep -x ceph-osd",
        ),
        "rbd resize --no-progress --size 6 guests/disk",
        6 * MIB,
    ),
}


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def disk(xen, kind):
    attached = HotDisk(xen, "second", "xvdm", kind.target)
    attached.attach()
    yield attached
    attached.detach()


def test_written(disk):
    """What its guest writes is behind it."""
    disk.write("of this guest")


def test_grow(xen, kind, disk):
    """Its guest sees the new size, and a run changes nothing."""
    assert int(disk.seen()["sectors"]) * 512 < kind.grown
    xen.shell(kind.grow)
    disk.seen(kind.grown)
    disk.again()


def test_server_that_is_lost_and_comes_back(xen, kind, disk):
    """What the guest writes in between waits; nothing is lost, and a run changes nothing."""
    server = kind.server
    xen.shell(server.stop)
    try:
        disk.begin_to_write("without a server")
        xen.await_(lambda: xen.try_shell(server.is_missed)["rc"] == 0, bool, lambda: "not missed")
        disk.again()
        assert not disk.has_written()
    finally:
        xen.shell(server.start)
    disk.await_written("without a server")


def test_nbd(xen):
    """Without its server, what the guest writes fails, and the device has to be connected anew."""
    disk = HotDisk(xen, "second", "xvdm", "/dev/nbd0")
    disk.attach()
    disk.write("of this guest")
    xen.shell("systemctl stop lab-nbd")
    try:
        disk.write_fails("without a server")
        disk.again()
        disk.detach()
    finally:
        xen.shell("systemctl start lab-nbd && systemctl restart nbd@nbd0 && udevadm settle")
    disk.attach_only()
    assert xen.shell("head -n 1 %s", disk.target) == "of this guest"
    disk.write("with a server")
    disk.detach()


def test_path_that_is_lost(xen):
    """The guest goes on by the other one."""
    disk = HotDisk(xen, "second", "xvdn", MULTIPATH)
    disk.attach_only()
    xen.shell("iscsiadm -m node -p 127.0.0.2 --logout")
    try:
        disk.write("by one path")
        disk.again()
    finally:
        xen.shell("iscsiadm -m node -p 127.0.0.2 --login")
    disk.write("by two paths")
    disk.detach()


def refused(xen, target, *words):
    """A disk that would have the data of another one."""
    result, _vbd = xen.vbd(domain="second", vdev="xvdo", target=target)
    assert (result["failed"], result["changed"]) == (True, False), result
    for word in words:
        assert word in result["msg"]


@pytest.mark.parametrize("target", [CRYPT, MULTIPATH], ids=["crypt", "multipath"])
def test_what_is_below(xen, target):
    """The device under dm-crypt, and each path of a multipath device, are in use."""
    below = xen.shell("ls /sys/block/$(basename $(readlink -f %s))/slaves", target).split()
    assert len(below) == (2 if target == MULTIPATH else 1)
    for name in below:
        refused(xen, f"/dev/{name}", f"it is held by {target} in dom0")


def test_partitions(xen):
    """Two of them are two disks. All of the device, and the other path to a partition, are the data
    of one that a guest has."""
    disks = [HotDisk(xen, "second", f"xvd{'mn'[i]}", f"{DISK}-part{i + 1}") for i in (0, 1)]
    for disk in disks:
        disk.attach_only()
    for disk in disks:
        disk.write(f"of {disk.target[-5:]}")
    refused(xen, DISK, f"shares data with {DISK}-part1, which is attached to domain second as xvdm")
    refused(xen, f"{BY_PATH.format('127.0.0.2')}-part2", f"shares data with {PARTITION}", "naa.")
    for disk in disks:
        disk.detach()


def test_rbd_image_that_is_mapped_twice(xen):
    """Its second device is the same data. A snapshot is not, and another disk may read it."""
    disk = HotDisk(xen, "second", "xvdm", RBD)
    disk.attach_only()
    other = xen.shell("rbd device map guests/disk")
    refused(xen, other, f"it shares data with {RBD} (both are rbd guests//disk@- of cluster ")
    xen.shell("rbd device unmap %s", other)

    xen.shell("rbd snap create --no-progress guests/disk@before")
    xen.shell("rbd device map --read-only guests/disk@before && udevadm settle")
    snapshot = HotDisk(xen, "second", "xvdn", f"{RBD}@before")
    before = snapshot.attach(access="ro")
    disk.write("after the snapshot")
    assert snapshot.seen() == before
    snapshot.detach()
    xen.shell(f"rbd device unmap {RBD}@before && rbd snap rm --no-progress guests/disk@before")
    disk.detach()
