# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host boots, and a guest has all of its disks again, whatever is behind them."""

from __future__ import annotations


def disks(xen):
    """What the domain booted says of its disks."""
    report = xen.settled("booted")
    return {key: (disk["sectors"], disk["sha256"]) for key, disk in report.items()}


def test_boot(xen):
    assert xen.module("xen_domain", name="booted")["changed"] is True
    before = disks(xen)
    assert len(before) == 6
    xen.reboot()
    xen.await_(
        lambda: xen.try_shell("xl domid booted")["rc"],
        lambda rc: rc == 0,
        lambda: xen.shell("systemctl --failed; tail -n 50 /var/log/xen/xl-booted.log"),
        300,
    )
    assert disks(xen) == before
