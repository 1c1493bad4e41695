# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Block devices of many kinds as disks of a running guest, and what is below them."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hot_disk import HotDisk

MIB = 2**20
MULTIPATH = "/dev/mapper/360014050000000000020000000000000"
CRYPT = "/dev/mapper/guest-secret"
GROW_LUN = (
    "truncate -s {size} /srv/targets/{image}.raw && "
    "losetup -c $(losetup -nO NAME -j /srv/targets/{image}.raw) && "
    "iscsiadm -m node --rescan && udevadm settle && multipathd resize map {map}"
)


class Kind(NamedTuple):
    """A kind of block device."""

    target: str
    grow: str = ""
    """The command that has it grow while it is in use; none if that is impossible."""
    grown: int = 0
    """Bytes that the disk has then."""


def grow_lun(image, size):
    """The command that has a LUN and its multipath device grow."""
    wwid = f"36001405{int(image[0]):012x}{'0' * 13}"
    return GROW_LUN.format(size=size, image=image, map=wwid)


KINDS = {
    "multipath": Kind(MULTIPATH, grow_lun("2-group", 9 * MIB), 9 * MIB),
    "crypt": Kind(
        CRYPT,
        f"{grow_lun('0-crypt', 9 * MIB)} && "
        "cryptsetup resize --key-file /etc/guest-secret.key guest-secret",
        7 * MIB,
    ),
    "nbd": Kind("/dev/nbd0"),
    "rbd": Kind("/dev/rbd/guests/disk", "rbd resize --no-progress --size 6 guests/disk", 6 * MIB),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_block_device(xen, kind):
    """Attached, written, grown while its guest runs, detached."""
    disk = HotDisk(xen, "second", "xvdm", kind.target)
    disk.attach()
    try:
        disk.write("of this guest")
        if kind.grow:
            xen.shell(kind.grow)
            disk.seen(kind.grown)
            disk.again()
    finally:
        disk.detach()


def refused(xen, target, *words):
    """A second disk that would have the same data."""
    result, _vbd = xen.vbd(domain="second", vdev="xvdn", target=target)
    assert (result["failed"], result["changed"]) == (True, False), result
    for word in words:
        assert word in result["msg"]


def test_what_is_below_a_disk(xen):
    """The device under dm-crypt, and the paths of a multipath device, are not given to a guest."""
    for target in (CRYPT, MULTIPATH):
        below = xen.shell("ls -d /sys/block/$(basename $(readlink -f %s))/slaves/*", target)
        for path in below.split():
            refused(xen, f"/dev/{path.rpartition('/')[2]}", f"held by {target}")


def test_path_that_is_lost(xen):
    """The guest goes on by the other one."""
    disk = HotDisk(xen, "second", "xvdm", MULTIPATH)
    disk.attach()
    try:
        xen.shell("iscsiadm -m node -p 127.0.0.2 --logout")
        disk.write("by one path")
        disk.again()
        xen.shell("iscsiadm -m node -p 127.0.0.2 --login")
        disk.write("by two paths")
    finally:
        disk.detach()


def test_partitions(xen):
    """Two of them are two disks; all of the device is the same data as each of them."""
    xen.shell("modprobe scsi_debug dev_size_mb=8 num_parts=2 && udevadm settle")
    try:
        name = xen.shell("ls /sys/bus/pseudo/drivers/scsi_debug/adapter0/host*/target*/*/block")
        disks = [HotDisk(xen, "second", f"xvd{'mo'[i]}", f"/dev/{name}{i + 1}") for i in (0, 1)]
        for disk in disks:
            disk.attach()
        for index, disk in enumerate(disks):
            disk.write(f"of partition {index}")
        refused(xen, f"/dev/{name}", f"it shares data with /dev/{name}1, which is attached to")
        for disk in disks:
            disk.detach()
    finally:
        xen.shell("modprobe -r scsi_debug")
