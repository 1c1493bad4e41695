# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host boots, and guests have all of their disks again, whatever is behind them."""

from __future__ import annotations

GUESTS = ("scsi", "network")


def disks(xen, name):
    """What a guest that runs, or is about to, reads from its disks."""
    xen.await_(
        lambda: xen.try_shell("xl domid %s", name)["rc"],
        lambda rc: rc == 0,
        lambda: xen.shell(f"systemctl --failed; tail -n 50 /var/log/xen/xl-{name}.log"),
        300,
    )
    xen.settled(name)
    return {
        key: (disk["sectors"], disk["access"], disk["sha256"])
        for key, disk in xen.ask_again(name).items()
    }


def test_saved_and_restored(xen):
    """They run when the host is told to boot."""
    for name in GUESTS:
        assert xen.module("xen_domain", name=name)["changed"] is True
    before = {name: disks(xen, name) for name in GUESTS}
    assert [len(found) for found in before.values()] == [3, 3]
    xen.reboot()
    assert {name: disks(xen, name) for name in GUESTS} == before
    # They went on where they were.
    assert [xen.boots(name) for name in GUESTS] == [1, 1]
    assert xen.shell("systemctl --failed --plain --no-legend") == ""
