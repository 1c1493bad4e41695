# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image, loop device and the running guest grow in one play, without a restart."""

from __future__ import annotations

LINK = "/dev/disk/by-loop-file/srv/xen/pv/boot.raw"


def test_grow(xen):
    domains = xen.domains()
    domains[0]["disks"][0]["size"] = "3MiB"
    domid = xen.domid("pv")
    before = xen.settled("pv")[51712]
    assert before["sectors"] == "4096"
    play = ("provision", domains, "--tags", "raw_disks,loopdevs")
    _said, fine, changed = xen.playbook(*play, "--check")
    assert (fine, changed) == (True, 1)
    assert xen.shell("blockdev --getsize64 %s", LINK) == "2097152"
    _said, fine, changed = xen.playbook(*play)
    assert (fine, changed) == (True, 1)
    report = xen.await_report("pv", lambda seen: seen.get(51712, {}).get("sectors") == "6144")
    after = report[51712]
    assert after["sha256"] == xen.sha256("/srv/xen/pv/boot.raw")
    assert xen.domid("pv") == domid
    (vbd,) = [
        vbd
        for vbd in xen.module("xen_vbd_info", domains=["pv"])["vbds"]
        if vbd["xenstore_key"] == 51712
    ]
    assert vbd["size"] == 3 * 2**20
