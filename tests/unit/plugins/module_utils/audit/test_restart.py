# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What will not come back as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.audit.restart import SECONDS_AFTER_SAVE
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    AutostartEntry,
    Unread,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.auditedhosts import (
    LINK_DIR,
    NOW,
    AuditedXen,
    codes,
    the_finding,
    usual_host,
)

BOOT = "/srv/xen/web/boot.raw"
DATA = "/srv/xen/web/data.raw"


# ---- configs ----


def test_a_loop_device_by_its_number() -> None:
    host = AuditedXen()
    host.image(BOOT)
    host.bind(BOOT)
    host.config("web")
    host.configured("web", "xvda", BOOT, target="/dev/loop0", target_form="loop")
    found = the_finding("loop-by-number", host)
    assert found.place.path == "/dev/loop0"
    assert found.seen == f"/etc/xen/web.cfg has /dev/loop0, which is {BOOT} at present"
    assert f"target={LINK_DIR}{BOOT}" in found.remedy


def test_a_loop_device_that_is_not_bound() -> None:
    host = AuditedXen()
    host.config("web")
    host.configured(
        "web",
        "xvda",
        None,
        target="/dev/loop3",
        target_form="loop",
        format="raw",
        target_problem="it is not bound",
    )
    assert codes(host) == ["loop-by-number", "target-missing-while-off"]


def test_an_image_that_no_link_can_name() -> None:
    host = AuditedXen()
    host.image("/srv/my disk.raw")
    host.config("web")
    host.configured("web", "xvda", "/srv/my disk.raw", target="/dev/loop0", target_form="loop")
    assert the_finding("loop-by-number", host).remedy.startswith("write the path of the image")


@pytest.mark.parametrize(
    ("target", "remedy"),
    [("/dev/vg0/gone", "put it back"), (f"{LINK_DIR}{BOOT}", "bind the image")],
)
def test_a_target_that_leads_nowhere(target: str, remedy: str) -> None:
    host = AuditedXen()
    host.config("web", autostart=True)
    host.configured("web", "xvda", None, target=target, format="raw", target_problem="no such file")
    found = the_finding("target-missing", host)
    assert found.place.path == target
    assert found.seen == "/etc/xen/web.cfg: no such file"
    assert found.remedy.startswith(remedy)


def test_a_target_that_is_perhaps_on_another_host() -> None:
    host = AuditedXen()
    host.config("web")
    host.configured("web", "xvda", None, target="/dev/x", format="raw", target_problem="gone")
    assert the_finding("target-missing-while-off", host).severity == "warning"
    host.run("web")
    assert codes(host) == ["target-missing", "not-attached"]


def test_a_target_that_a_saved_domain_needs() -> None:
    host = AuditedXen()
    host.config("web")
    host.save("web", [("xvda", None)], target_problem="no such file")
    assert the_finding("target-missing", host).seen == "/var/lib/xen/save/web: no such file"


def test_an_empty_drive_has_no_target() -> None:
    host = AuditedXen()
    host.config("web", guest=None)
    host.configured("web", "hdc", None, devtype="cdrom")
    assert codes(host) == []


# ---- saved domains ----


@pytest.mark.parametrize(
    ("late", "seen"),
    [(121, "2 minutes"), (100000, "27 hours"), (61, "61 seconds"), (1e6, "11 days")],
)
def test_a_disk_that_was_written_after_its_domain_was_saved(late: float, seen: str) -> None:
    host = AuditedXen()
    host.image(BOOT, modified=NOW + late)
    host.config("web", [("xvda", BOOT)])
    host.save("web", [("xvda", BOOT)])
    found = the_finding("saved-disk-changed", host)
    assert found.seen == (
        f"it was written {seen} after the domain was saved in /var/lib/xen/save/web"
    )


@pytest.mark.parametrize(
    ("late", "disk"), [(SECONDS_AFTER_SAVE, {}), (-5, {}), (1e6, {"access": "ro"})]
)
def test_a_disk_that_was_not(late: float, disk: Dict[str, Any]) -> None:
    host = AuditedXen()
    host.image(BOOT, modified=NOW + late)
    host.config("web", [("xvda", BOOT)])
    host.save("web", [("xvda", BOOT)], **disk)
    assert codes(host) == []


def test_a_domain_that_runs_and_is_saved() -> None:
    host = AuditedXen()
    host.image(BOOT, modified=NOW + 1e6)
    host.config("web", [("xvda", BOOT)])
    host.run("web", [("xvda", BOOT)])
    host.save("web", [("xvda", BOOT)])
    assert the_finding("saved-and-running", host).place.path == "/var/lib/xen/save/web"


# ---- running guests ----


def test_a_disk_that_no_config_has() -> None:
    host = usual_host()
    host.device("/dev/vg0/a")
    host.attach("web", "xvdb", "/dev/vg0/a")
    found = the_finding("not-in-config", host)
    assert found.seen == "the guest has /dev/vg0/a there, and /etc/xen/web.cfg does not"
    assert "xl block-detach web 51728" in found.remedy


def test_a_disk_that_an_unreadable_line_of_the_config_may_be() -> None:
    host = usual_host()
    host.device("/dev/vg0/a")
    host.attach("web", "xvdb", "/dev/vg0/a")
    path = "/etc/xen/web.cfg"
    host.configs[path] = replace(host.configs[path], problems=("line 3: what is this?",))
    assert codes(host) == ["unread"]


def test_a_domain_that_no_config_names() -> None:
    host = AuditedXen()
    host.image(BOOT)
    host.run("web", [("xvda", BOOT)])
    assert the_finding("no-config", host).seen.endswith("no config in /etc/xen has its name")


def test_a_domain_whose_config_may_be_one_that_cannot_be_read() -> None:
    host = AuditedXen(unread=(Unread("config", "/etc/xen/a.cfg", "permission denied"),))
    host.run("web")
    assert codes(host) == ["unread"]


def test_another_disk_than_in_the_config() -> None:
    host = AuditedXen()
    host.image(BOOT)
    host.image(DATA)
    host.config("web", [("xvda", BOOT)])
    host.run("web", [("xvda", DATA)])
    found = the_finding("differs-from-config", host)
    assert found.seen == f"the guest has {DATA}, and /etc/xen/web.cfg has {BOOT}"


def test_another_access_than_in_the_config() -> None:
    host = AuditedXen()
    host.image(BOOT)
    host.config("web", [("xvda", BOOT)])
    host.run("web")
    host.attach("web", "xvda", BOOT, access="ro")
    assert the_finding("differs-from-config", host).seen == (
        "the guest has it ro, and /etc/xen/web.cfg has it rw"
    )


def test_one_of_several_configs_has_the_disk() -> None:
    host = AuditedXen()
    host.image(BOOT)
    host.image(DATA)
    host.config("web", [("xvda", BOOT)])
    host.config("web", [("xvda", DATA)], path="/etc/xen/web.cfg.old")
    host.run("web", [("xvda", DATA)])
    assert codes(host) == []


def test_another_name_of_the_same_data() -> None:
    host = AuditedXen()
    host.device("/dev/sda", identities=[("unit", "naa.1")])
    host.device("/dev/sdb", identities=[("unit", "naa.1")])
    host.config("web", [("xvda", "/dev/sda")])
    host.run("web", [("xvda", "/dev/sdb")])
    assert codes(host) == []


def test_a_medium_may_be_another_one() -> None:
    host = AuditedXen()
    host.image("/srv/a.iso")
    host.image("/srv/b.iso")
    host.config("win", guest=None)
    host.configured("win", "hdc", "/srv/a.iso", devtype="cdrom", access="ro")
    host.run("win")
    host.attach("win", "hdc", "/srv/b.iso", devtype="cdrom", access="ro")
    assert codes(host) == []


def test_a_disk_that_the_running_guest_does_not_have() -> None:
    host = usual_host()
    host.image(DATA)
    host.configured("web", "xvdb", DATA)
    assert the_finding("not-attached", host).seen == (
        f"/etc/xen/web.cfg has {DATA} there, and the running guest has nothing"
    )


def test_a_disk_that_not_all_configs_have() -> None:
    host = usual_host()
    host.image(DATA)
    host.config("web", [("xvdb", DATA)], path="/etc/xen/web.cfg.old")
    assert codes(host) == []


# ---- the next boot ----


def test_an_image_that_nothing_binds_at_boot() -> None:
    host = AuditedXen()
    host.image(BOOT)
    host.bind(BOOT, unit=False)
    host.config("web", [("xvda", BOOT)])
    assert the_finding("no-boot-unit", host).seen == "no unit binds the image"


def test_units_that_cannot_be_read() -> None:
    host = AuditedXen(unread=(Unread("units", "/etc/systemd/system", "permission denied"),))
    host.image(BOOT)
    host.bind(BOOT, unit=False)
    host.config("web", [("xvda", BOOT)])
    assert codes(host) == ["unread"]


def test_an_image_whose_unit_is_not_enabled() -> None:
    host = AuditedXen()
    host.image(BOOT)
    host.bind(BOOT, enabled=False)
    host.config("web", [("xvda", BOOT)])
    found = the_finding("no-boot-unit", host)
    assert found.seen == "the unit xen-loopdev-0.service is not enabled"
    assert found.remedy == "systemctl enable xen-loopdev-0.service"


def test_an_image_that_the_script_of_xen_binds() -> None:
    host = AuditedXen()
    host.image(BOOT)
    host.config("web", [("xvda", BOOT)])
    host.bind(BOOT, unit=False, by_script=True)
    host.run("web", [("xvda", BOOT)])
    assert codes(host) == []


@pytest.mark.parametrize(
    ("entry", "seen"),
    [
        ({"exists": False}, "leads to /etc/xen/gone.cfg, which does not exist"),
        ({"is_started": False}, "xendomains passes over /etc/xen/auto/gone.cfg"),
    ],
)
def test_an_entry_that_starts_nothing(entry: Dict[str, bool], seen: str) -> None:
    host = usual_host()
    known = AutostartEntry("/etc/xen/auto/gone.cfg", "/etc/xen/gone.cfg", True, True, True)
    host.entries.append(replace(known, **entry))
    found = the_finding("autostart-broken", host)
    assert found.place.path == "/etc/xen/auto/gone.cfg"
    assert seen in found.seen
