# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has, as a report shows it."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import (
    AuditedHost,
    BindingLayer,
    DiskLine,
    GuestLayer,
    HostTotals,
    SlotLayer,
    StorageLayer,
)
from ansible_collections.xen.blockdev.plugins.module_utils.config.guest import Guest
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    Leftovers,
    VolumeName,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.auditedhosts import (
    LINK_DIR,
    NOW,
    AuditedXen,
    GiB,
    MiB,
    report_on,
    usual_host,
)

BOOT = "/srv/xen/web/boot.raw"


def shown(host: AuditedXen) -> AuditedHost:
    return report_on(host).hosts[0]


def lines(host: AuditedXen) -> dict[tuple[object, object], DiskLine]:
    return {(one.domain, one.slot): one for one in shown(host).disks}


def test_a_disk_through_all_layers() -> None:
    found = lines(usual_host())
    storage = StorageLayer(BOOT, "file", MiB, MiB, "/srv")
    binding = BindingLayer("loop", "/dev/loop0", "/dev/loop0", MiB, None, at_boot=True)
    slot = SlotLayer(("/etc/xen/web.cfg",), LINK_DIR + BOOT, "raw", "rw", "disk")
    guest = GuestLayer(1, "rw", MiB, True, 4, 4)
    assert found["web", "xvda"] == DiskLine(
        "web", "xvda", 51712, storage, binding, slot, guest, is_saved=False, findings=()
    )
    assert found["db", "xvda"].guest is None


def test_volumes_and_other_devices() -> None:
    host = AuditedXen()
    host.device("/dev/vg0/a", device={"volume": VolumeName("vg0", "a", "uuid", "pool0")})
    host.device("/dev/mapper/mpatha", device={"mapper_name": "mpatha"})
    host.device("/dev/sdb")
    for slot, name in (
        ("xvda", "/dev/vg0/a"),
        ("xvdb", "/dev/mapper/mpatha"),
        ("xvdc", "/dev/sdb"),
    ):
        host.attach("web", slot, name)
    found = [one.binding for one in shown(host).disks]
    assert found == [
        BindingLayer("volume", "/dev/dm-0", "vg0/a", GiB, "pool0"),
        BindingLayer("device", "/dev/dm-1", "mpatha", GiB),
        BindingLayer("device", "/dev/dm-2", "/dev/dm-2", GiB),
    ]


def test_a_running_guest_has_the_last_word() -> None:
    host = AuditedXen()
    for name in ("/dev/vg0/a", "/dev/vg0/b", "/dev/vg0/c"):
        host.device(name)
    host.configured("web", "xvda", "/dev/vg0/a")
    host.save("web", [("xvda", "/dev/vg0/b")])
    saved = lines(host)["web", "xvda"]
    assert (saved.storage and saved.storage.name, saved.is_saved) == ("/dev/vg0/b", True)
    host.attach("web", "xvda", "/dev/vg0/c")
    found = lines(host)["web", "xvda"]
    assert found.storage
    assert found.storage.name == "/dev/vg0/c"


def test_a_medium_is_the_data_of_its_drive() -> None:
    host = AuditedXen()
    host.image("/srv/a.iso")
    host.attach(
        "win", "hdc", None, devtype="cdrom", medium="/srv/a.iso", medium_storage="/srv/a.iso"
    )
    line = lines(host)["win", "hdc"]
    assert line.storage
    assert line.guest
    assert (line.storage.name, line.guest.medium) == ("/srv/a.iso", "/srv/a.iso")


def test_the_medium_that_qemu_has_counts() -> None:
    host = AuditedXen()
    old, new = host.image("/srv/old.iso"), host.image("/srv/new.iso")
    host.attach("win", "hdc", old, devtype="cdrom", medium=new, medium_storage=new)
    storage = lines(host)["win", "hdc"].storage
    assert storage
    assert storage.name == new


def test_an_empty_drive_has_no_data() -> None:
    host = AuditedXen()
    host.configured("win", "hdc", None, devtype="cdrom")
    line = lines(host)["win", "hdc"]
    assert (line.storage, line.binding, line.guest) == (None, None, None)


def test_a_disk_that_is_being_detached_is_not_connected() -> None:
    host = AuditedXen()
    host.device("/dev/vg0/a")
    host.attach("web", "xvda", "/dev/vg0/a", flaw="it is being detached", frontend_state=5)
    assert lines(host)["web", "xvda"].guest == GuestLayer(
        99, "rw", GiB, False, 4, 5, flaw="it is being detached"
    )


def test_an_image_that_is_gone() -> None:
    host = AuditedXen()
    host.image(BOOT, hidden=True)
    host.attach("web", "xvda", BOOT)
    storage = lines(host)["web", "xvda"].storage
    assert storage
    assert storage.is_lost


def test_the_states_of_domains() -> None:
    host = usual_host()
    host.run("db", status="paused", type="pv")
    host.config("mail", guest=Guest("hvm"))
    host.save("mail", [])
    host.config("none", guest=None)
    found = {one.name: one for one in shown(host).domains}
    states = {name: (one.state, one.domid, one.type) for name, one in found.items()}
    assert states == {
        "web": ("running", 1, "pvh"),
        "db": ("paused", 2, "pv"),
        "mail": ("saved", None, "hvm"),
        "none": ("off", None, None),
    }
    assert (found["web"].autostart, found["web"].configs) == (True, ("/etc/xen/web.cfg",))


def test_lines_know_their_findings() -> None:
    host = usual_host()
    host.image("/srv/a.raw", read_by_others=True)
    for domain in ("web", "db"):
        host.configured(domain, "xvdb", "/srv/a.raw")
    host.file_systems = [replace(host.file_systems[0], size=GiB, free=0)]
    host.image("/srv/b.raw", GiB, allocated=0)
    host.configured("db", "xvdc", "/srv/b.raw")
    report = report_on(host)
    ids = {one.code: one.id for one in report.findings}
    found = report.hosts[0]
    by_slot = {(one.domain, one.slot): one.findings for one in found.disks}
    assert by_slot["web", "xvda"] == ()
    both = {ids["two-configs"], ids["readable-by-others"]}
    assert set(by_slot["db", "xvdb"]) == both
    assert set(by_slot["web", "xvdb"]) == {*both, ids["not-attached"]}
    domains = {one.name: set(one.findings) for one in found.domains}
    assert domains == {"web": {*both, ids["not-attached"]}, "db": both}
    assert [one.findings for one in found.file_systems] == [(ids["nearly-full"],)]


def test_the_disk_of_a_domain_that_is_gone() -> None:
    host = AuditedXen()
    host.device("/dev/vg0/a")
    host.attach(
        "x", "xvda", "/dev/vg0/a", domid=7, flaw="left over", is_served=False, backend_state=5
    )
    host.disks = {("x", "xvda"): replace(host.disks["x", "xvda"], domain=None)}
    report = report_on(host)
    (one,) = report.findings
    (line,) = report.hosts[0].disks
    assert (one.code, one.place.domain) == ("occupied-slot", "with the id 7")
    assert (line.domain, line.findings) == (None, (one.id,))


def test_a_disk_without_a_slot() -> None:
    host = AuditedXen()
    host.configured("web", "xvda", None, said=None, problem="no vdev")
    disk = replace(host.disks["web", "xvda"], vdev=None, xenstore_key=None)
    host.disks = {("web", "?"): disk}
    report = report_on(host)
    assert report.hosts[0].disks[0].findings == (report.findings[0].id,)


def test_totals() -> None:
    host = usual_host()
    host.image("/srv/xen/old.raw", GiB, allocated=5 * MiB)
    host.more["leftovers"] = Leftovers(images=("/srv/xen/old.raw",))
    report = report_on(host, usual_host("xen2"))
    assert report.hosts[0].totals == HostTotals(2, 1, 2, 1, 2 * MiB, 5 * MiB)
    assert report.totals == HostTotals(4, 2, 4, 2, 4 * MiB, 5 * MiB)
    assert (report.hosts[0].host, report.hosts[0].time) == ("xen1.example.com", NOW)
