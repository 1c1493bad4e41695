# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`remove` on running guests, in the order of the tests."""

from __future__ import annotations

import json
import re

import pytest

CONFIGS = ["/etc/xen/pv.cfg", "/etc/xen/second.cfg", "/etc/xen/third.cfg"]
OURS = re.compile(r"^/srv/xen/")
STAGES = {"detach": 1, "remove": 2, "stop": 3, "unbind": 3}
"""The first words of actions; "stop systemd from binding …"."""

RESULT = re.compile(r"^\w+: \[.* => (?=\{)", re.MULTILINE)
"""What stands before the result of the task."""


def running(xen):
    """The guests that are up; reboots are what third is for."""
    return ("pv", "second") if xen.is_short else ("pv", "second", "third")


@pytest.fixture(scope="module")
def state():
    """What one test leaves for the next."""
    return {}


def snapshot(xen):
    """All that `remove` might touch."""
    return {
        "slots": {name: sorted(xen.slots(name)) for name in running(xen)},
        "bindings": {k: v for k, v in xen.bindings().items() if OURS.match(k)},
        "images": xen.shell("find /srv/xen -type f | sort"),
        "configs": xen.shell("ls /etc/xen/*.cfg /etc/xen/auto"),
        "units": xen.shell("ls /etc/systemd/system /etc/systemd/system/multi-user.target.wants"),
    }


def linux(xen):
    """The plan without GRUB, which lets go of nothing."""
    return xen.domains()[:4]


def test_a_foreign_user_of_one_disk_refuses_the_whole(xen):
    """A process of dom0 has the loop device of one disk open."""
    before = snapshot(xen)
    device = xen.bindings()["/srv/xen/pv/data.raw"]
    xen.shell(f"sleep 600 < {device} > /dev/null 2>&1 & echo $! > /run/holder.pid")
    try:
        said, fine, changed = xen.playbook("remove", linux(xen))
        assert not fine
        assert changed == 0
        assert "/srv/xen/pv/data.raw" in said
        assert "sleep" in said
        assert snapshot(xen) == before
    finally:
        xen.shell("kill $(cat /run/holder.pid)")


def test_check_mode_says_what_would_be_done(xen, state):
    before = snapshot(xen)
    said, fine, changed = xen.playbook("remove", linux(xen), "--check", "-v")
    assert fine
    assert snapshot(xen) == before
    state["actions"] = actions(said)
    state["changed"] = changed


def test_remove_a_running_guests_disks(xen, state):
    before = snapshot(xen)
    said, fine, changed = xen.playbook("remove", linux(xen), "-v")
    assert fine
    assert changed == state["changed"]
    # Loop devices have their numbers in these sentences: the same ones as in check mode.
    assert actions(said) == state["actions"]
    kinds = [action.split()[0] for action in actions(said)]
    assert set(kinds) == set(STAGES)
    assert kinds == sorted(kinds, key=STAGES.get)
    after = snapshot(xen)
    assert after["slots"] == {name: [] for name in running(xen)}
    assert after["images"] == before["images"]
    left = {image for image in after["bindings"] if "/grub/" not in image}
    assert left == set()
    for config in CONFIGS:
        assert config not in after["configs"]
    assert "pv.cfg" not in xen.shell("ls /etc/xen/auto")
    assert "-srv-xen-pv-" in before["units"]
    assert "-srv-xen-pv-" not in after["units"]
    assert "srv-xen-pv-" not in xen.shell("systemctl list-units --all 'xen-loopdev-*'")
    for name in running(xen):
        assert f"/vbd/{xen.domid(name)}/" not in xen.shell("xenstore-ls -f /local/domain/0/backend")
        xen.await_keys(name)


def test_again_there_are_only_images_left_and_they_go_when_told_to(xen):
    _said, fine, changed = xen.playbook("remove", linux(xen), "-e", "xen_remove_images=true")
    assert (fine, changed) == (True, 1)
    left = xen.shell("find /srv/xen -type f | sort").split("\n")
    assert [path for path in left if "/grub/" not in path] == []
    # What the plan would not make itself is never deleted.
    assert xen.exists("/srv/sources/base.qcow2")


def actions(said):
    """What a playbook at -v says that it did, in order."""
    (result,) = RESULT.finditer(said)
    return json.JSONDecoder().raw_decode(said, result.end())[0]["actions"]
