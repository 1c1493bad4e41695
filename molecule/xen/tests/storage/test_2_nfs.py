# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image on NFS as the disk of a running guest."""

from __future__ import annotations

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


def test_image(xen):
    brought(xen, 2 * MIB)
    disk = HotDisk(xen, "second", "xvdm", LINK)
    disk.attach()
    disk.write("of this guest")
    # What the guest has synced, the server has.
    assert xen.shell(f"head -n 1 {AT_SERVER}") == "of this guest"
    brought(xen, 3 * MIB)
    disk.seen(3 * MIB)
    disk.again()
    for module in ("xen_raw_disk", "xen_loopdev"):
        result = xen.module(module, path=IMAGE, state="absent")
        assert (result["failed"], result["changed"]) == (True, False), result
        assert "attached to domain second as xvdm" in result["msg"]
    disk.detach()
    for module in ("xen_loopdev", "xen_raw_disk"):
        result = xen.module(module, path=IMAGE, state="absent")
        assert (result["failed"], result["changed"]) == (False, True), result
    assert not xen.exists(AT_SERVER)
