# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`remove` on HVM guests, in the order of the tests."""

from __future__ import annotations

import pytest

KEYS = {51712, 51728}
DRIVES = ("ide-5632", "ide-5696")


@pytest.fixture(scope="module", autouse=True)
def guests(xen):
    """Guests run with the disks of the plan; in the short scenario none does."""
    if xen.is_short:
        yield
        return
    names = ("hvm", "emulated")
    result = xen.module("xen_disks", domains=of_plan(xen, "hvm", "emulated"))
    assert not result["failed"], result
    boots = xen.boots("hvm")
    started = [name for name in names if xen.module("xen_domain", name=name)["changed"]]
    xen.await_first_report("hvm", boots + started.count("hvm"))
    xen.await_keys("hvm", *KEYS)
    yield
    for name in names:
        xen.module("xen_domain", name=name, state="destroyed")


def of_plan(xen, *names):
    """Domains of the plan, whose disks may have grown."""
    domains = [domain for domain in xen.domains() if domain["name"] in names]
    for disk in (disk for domain in domains for disk in domain["disks"]):
        disk.pop("size", None)
    return domains


def snapshot(xen):
    """All that `remove` might touch."""
    return {
        "slots": {name: set(xen.slots(name)) for name in ("hvm", "emulated")},
        "drives": {name: xen.qemu_drives(name) for name in ("hvm", "emulated")},
        "bindings": {path for path in xen.bindings() if path.startswith("/srv/xen/")},
        "configs": xen.shell("ls /etc/xen/*.cfg"),
    }


@pytest.mark.long
def test_remove_is_refused_while_qemu_uses_the_disks(xen):
    """Those of the one guest keep those of the other in place as well."""
    before = snapshot(xen)
    for words in (["--check"], []):
        said, fine, changed = xen.playbook("remove", of_plan(xen, "hvm", "emulated"), *words)
        assert (fine, changed) == (False, 0)
        assert "QEMU emulates it for the guest (drive ide0-hd1)" in said
    assert snapshot(xen) == before


@pytest.mark.long
def test_remove_from_a_running_guest_with_drivers(xen):
    for words, changed in ((["--check"], 1), ([], 1), ([], 0)):
        _said, fine, changes = xen.playbook("remove", of_plan(xen, "hvm"), *words)
        assert (fine, changes) == (True, changed)
    assert {drive: xen.qemu_drives("hvm")[drive] for drive in DRIVES} == dict.fromkeys(
        DRIVES, "empty"
    )
    assert not KEYS & set(xen.slots("hvm"))
    xen.await_report("hvm", lambda report: report == {})
    assert [path for path in xen.bindings() if path.startswith("/srv/xen/hvm/")] == []
    assert not xen.exists("/etc/xen/hvm.cfg")


def test_remove_once_the_guest_without_drivers_is_shut_down(xen):
    xen.module("xen_domain", name="emulated", state="destroyed")
    domains = of_plan(xen, "hvm", "emulated")
    _said, fine, changed = xen.playbook("remove", domains, "-e", "xen_remove_images=true")
    assert (fine, changed) == (True, 1)
    assert xen.shell("find /srv/xen -path '*/hvm/*' -o -path '*/emulated/*'") == ""
    # What the plan would not make itself is never deleted.
    assert xen.exists("/srv/sources/first.iso")
