# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is against the rules."""

from __future__ import annotations

from typing import Any, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.audit.hosts import PlannedSlot
from ansible_collections.xen.blockdev.plugins.module_utils.config.guest import Guest
from ansible_collections.xen.blockdev.plugins.module_utils.disk.device_number import parse
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.auditedhosts import (
    LINK_DIR,
    AuditedXen,
    codes,
    found_on,
    the_finding,
    usual_host,
)

BOOT = "/srv/xen/web/boot.raw"
DATA = "/srv/xen/web/data.raw"

# ---- the type of the guest ----


def test_two_disks_on_one_drive() -> None:
    host = AuditedXen()
    host.config("win", guest=Guest("hvm"))
    for number, slot in enumerate(("hda", "xvda")):
        host.device(f"/dev/vg0/{slot}")
        host.configured("win", slot, f"/dev/vg0/{slot}", position=number)
    found = the_finding("unfit-disk", host)
    assert found.seen.startswith("xvda is the same drive as hda")
    assert (found.place.slot, found.place.path) == ("xvda", "/etc/xen/win.cfg")


def test_the_order_of_the_config_counts() -> None:
    host = AuditedXen()
    host.config("win", guest=Guest("hvm"))
    for position, slot in ((1, "hda"), (0, "xvda")):
        host.device(f"/dev/vg0/{slot}")
        host.configured("win", slot, f"/dev/vg0/{slot}", position=position)
    assert the_finding("unfit-disk", host).seen.startswith("hda is the same drive as xvda")


def test_a_disk_from_which_an_hvm_guest_does_not_boot() -> None:
    host = AuditedXen()
    host.device("/dev/vg0/a")
    host.config("win", [("xvdq", "/dev/vg0/a")], guest=Guest("hvm"))
    assert the_finding("unseen-disk", host).severity == "warning"


def test_two_problems_of_one_disk_are_one_finding() -> None:
    host = AuditedXen()
    host.config("win", guest=Guest("hvm"))
    said = {"vdev": "hdc", "devtype": "cdrom", "backendtype": "tap", "script": "block-x"}
    host.configured("win", "hdc", None, devtype="cdrom", said=said)
    seen = the_finding("unfit-disk", host).seen
    assert "backendtype: tap" in seen
    assert "with a script" in seen


def test_a_guest_of_unknown_type_and_disks_that_cannot_be_read() -> None:
    host = AuditedXen()
    host.config("win", guest=None)
    host.configured("win", "hdc", None, devtype="cdrom")
    host.config("web", guest=Guest("pvh"))
    host.configured("web", "hdc", None, devtype="cdrom", said=None)
    assert codes(host) == []


# ---- who can read it ----


def readable(access: str = "rw", **image: Any) -> AuditedXen:
    host = AuditedXen()
    host.image(BOOT, mode="0644", read_by_others=True, **image)
    host.config("web")
    host.configured("web", "xvda", BOOT, access=access)
    return host


def test_an_image_that_others_can_read() -> None:
    found = the_finding("readable-by-others", readable())
    assert "has the mode 0644" in found.seen
    assert found.remedy.startswith(f"chmod o= {BOOT}, or")


def test_an_image_that_guests_only_read_is_no_secret() -> None:
    assert codes(readable("ro")) == []


# ---- the plan ----


def planned(*slots: str, data: str = BOOT, domain: str = "web") -> List[PlannedSlot]:
    return [PlannedSlot(domain, "boot", slot, parse(slot).xenstore_key, data) for slot in slots]


def test_a_disk_in_another_slot_than_planned() -> None:
    host = usual_host()
    found = the_finding("slot-moved", host, planned=planned("xvdb"))
    assert (found.place.slot, found.place.path) == ("xvda", BOOT)
    assert found.seen == (
        "xen_domains has the disk boot as xvdb, and /etc/xen/web.cfg has it as xvda"
    )


def test_a_disk_that_a_guest_has_elsewhere() -> None:
    host = AuditedXen()
    host.device("/dev/vg0/a")
    host.config("web", [("xvda", "/dev/vg0/a")])
    host.run("web", [("xvdb", "/dev/vg0/a")])
    found = found_on(host, planned=planned("xvda", data="/dev/vg0/a"))
    assert "slot-moved" not in [one.code for one in found]
    found = found_on(host, planned=planned("xvdc", data="/dev/vg0/a"))
    assert "slot-moved" in [one.code for one in found]


@pytest.mark.parametrize(
    "plan",
    [
        planned("xvda"),
        planned("xvda", data=LINK_DIR + BOOT),
        # Not provisioned yet.
        planned("xvdb", data="/srv/xen/web/new.raw"),
        planned("xvdb", domain="new"),
    ],
)
def test_a_plan_that_fits(plan: List[PlannedSlot]) -> None:
    assert codes(usual_host(), planned=plan) == []
