# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image on NFS as the disk of a running guest."""

from __future__ import annotations

import pytest
from hot_disk import HotDisk

MIB = 2**20
IMAGE = "/mnt/nfs/hot.raw"
AT_SERVER = "/srv/export/hot.raw"
LINK = f"/dev/disk/by-loop-file{IMAGE}"


def brought(xen, size):
    """Have the image and its loop device that large; a second run changes nothing."""
    for changed in (True, False):
        for module, options in (("xen_raw_disk", {"size": size}), ("xen_loopdev", {})):
            result = xen.module(module, path=IMAGE, **options)
            assert (result["failed"], result["changed"]) == (False, changed), result


@pytest.fixture(scope="module")
def disk(xen):
    brought(xen, 2 * MIB)
    attached = HotDisk(xen, "second", "xvdm", LINK)
    attached.attach()
    yield attached
    attached.detach()
    for module in ("xen_loopdev", "xen_raw_disk"):
        result = xen.module(module, path=IMAGE, state="absent")
        assert (result["failed"], result["changed"]) == (False, True), result
    assert not xen.exists(AT_SERVER)


def test_what_the_guest_has_synced(xen, disk):
    """The server has it."""
    disk.write("of this guest")
    assert xen.shell(f"head -n 1 {AT_SERVER}") == "of this guest"


def test_grow(xen, disk):
    brought(xen, 3 * MIB)
    disk.seen(3 * MIB)
    disk.again()


def test_in_use(xen, disk):
    """What the guest needs is not taken away."""
    for module in ("xen_raw_disk", "xen_loopdev"):
        result = xen.module(module, path=IMAGE, state="absent")
        assert (result["failed"], result["changed"]) == (True, False), result
        assert "attached to domain second as xvdm" in result["msg"]


def test_server_that_is_lost_and_comes_back(xen, disk):
    """What the guest writes in between waits, and nothing is lost."""
    xen.shell("systemctl stop nfs-server.service")
    try:
        disk.begin_to_write("without a server")
        assert not disk.has_written()
    finally:
        xen.shell("systemctl start nfs-server.service")
    disk.await_written("without a server")
    disk.again()
