# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A LUN of an iSCSI target as a disk: it grows, its target is lost and comes back.

That the host logs in at boot, before guests start, is seen in C(tests/rebooted), where the domain
third has another LUN.
"""

from __future__ import annotations

import pytest
from hot_disk import HotDisk

BY_PATH = "/dev/disk/by-path/ip-127.0.0.1:3260-iscsi-iqn.2026-01.example.lab:disks-lun-1"
IMAGE = "/srv/targets/second.raw"
ENABLED = "/sys/kernel/config/target/iscsi/iqn.2026-01.example.lab:disks/tpgt_1/enable"
LOGGED_IN = 'test "$(cat /sys/class/iscsi_session/session*/state)" = LOGGED_IN'


@pytest.fixture(scope="module")
def lun(xen):
    disk = HotDisk(xen, "second", "xvdl", BY_PATH)
    disk.attach()
    yield disk
    disk.detach()


def test_grow(xen, lun):
    """The target grows, then this host looks at its size, and then the guest knows it."""
    size = int(lun.seen()["sectors"]) * 512
    grown = size + 2**20
    device = xen.bindings()[IMAGE]
    xen.shell(f"truncate -s {grown} {IMAGE} && losetup -c {device}")
    assert int(xen.shell(f"blockdev --getsize64 {BY_PATH}")) == size
    xen.shell("iscsiadm -m node -p 127.0.0.1 --rescan")
    lun.seen(grown)
    lun.again()


def test_target_that_is_lost_and_comes_back(xen, lun):
    """What the guest writes in between waits; nothing is lost, and a run changes nothing."""
    xen.shell(f"echo 0 > {ENABLED}")
    try:
        lun.begin_to_write("written without a target")
        xen.await_(lambda: xen.try_shell(LOGGED_IN)["rc"], bool, lambda: "still logged in")
        lun.again()
        assert not lun.has_written()
    finally:
        xen.shell(f"echo 1 > {ENABLED}")
    lun.await_written("written without a target")


def test_what_the_target_serves_is_in_use(xen, lun):
    """On the target's own host."""
    result, _vbd = xen.vbd(domain="second", vdev="xvdm", target=xen.bindings()[IMAGE])
    assert result["failed"], result
    assert "iSCSI target" in result["msg"]
