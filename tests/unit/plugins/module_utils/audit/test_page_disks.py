# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the disks of a guest are drawn."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.audit.page_disks import (
    DrawnDisk,
    drawn_guests,
)
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import (
    AuditedHost,
    AuditFinding,
    BindingLayer,
    DiskLine,
    DomainLine,
    FindingPlace,
    GuestLayer,
    SlotLayer,
    StorageLayer,
)

GIB = 2**30
IMAGE = StorageLayer("/srv/web.raw", "file", size=2 * GIB, allocated=GIB)
LINK = "/dev/disk/by-loop-file/srv/web.raw"
LOOP = BindingLayer("loop", "/dev/loop3", "/dev/loop3", size=2 * GIB, at_boot=True)
SLOT = SlotLayer(("/etc/xen/web.cfg",), LINK, "raw", "rw", "disk")
GUEST = GuestLayer(7, "rw", 2 * GIB, is_connected=True, backend_state=4, frontend_state=4)
WEB = DomainLine("web", "running", 7, "pvh", ("/etc/xen/web.cfg",), autostart=True)
EMPTY = SlotLayer(("/etc/xen/web.cfg",), None, "empty", "ro", "cdrom")

Words = Tuple[str, str, str]


def line(domain: Optional[str] = "web", slot: Optional[str] = "xvda", **values: Any) -> DiskLine:
    """A disk with all layers."""
    layers = {"storage": IMAGE, "binding": LOOP, "configured": SLOT, "guest": GUEST, **values}
    return DiskLine(domain, slot, values.pop("xenstore_key", 51712), **layers)


def drawn(
    *lines: DiskLine,
    domains: Tuple[DomainLine, ...] = (WEB,),
    findings: Tuple[AuditFinding, ...] = (),
    elsewhere: Tuple[str, ...] = (),
) -> Any:
    """The guests of a host with these disks."""
    host = AuditedHost("xen1", "read", domains=domains, disks=lines)
    anchors = {f"disk/xen1/{one.domain or ''}/{one.slot or ''}" for one in lines}
    return drawn_guests(host, {one.id: one for one in findings}, {*anchors, *elsewhere})


def layers(*lines: DiskLine, **values: Any) -> List[Words]:
    (guest,) = drawn(*lines, **values)
    (disk,) = guest.disks
    return [(layer.state, layer.name, layer.detail) for layer in disk.layers]


def test_a_disk_with_all_layers() -> None:
    assert layers(line()) == [
        ("there", "/srv/web.raw", "2GiB · 1GiB taken"),
        ("there", "/dev/loop3", "bound at boot"),
        ("there", "xvda", "51712 · rw · raw · by its link"),
        ("there", "2GiB", "rw · connected"),
    ]


@pytest.mark.parametrize(
    ("number", "values", "words"),
    [
        (0, {"storage": None, "configured": EMPTY}, ("absent", "empty drive", "")),
        (0, {"storage": None}, ("absent", LINK, "not found")),
        (0, {"storage": None, "configured": None}, ("absent", "not known", "")),
        (
            0,
            {"storage": StorageLayer("/srv/web.raw (deleted)", "file", GIB, is_lost=True)},
            ("there", "/srv/web.raw (deleted)", "1GiB · lost when it is closed"),
        ),
        (
            0,
            {"storage": StorageLayer("/srv/web.raw", "file", GIB, GIB)},
            ("there", "/srv/web.raw", "1GiB"),
        ),
        (1, {"binding": None}, ("through", "none needed", "")),
        (1, {"binding": None, "storage": None}, ("absent", "none", "")),
        (
            1,
            {"binding": BindingLayer("volume", "/dev/dm-4", "vg0/web", GIB, "pool0")},
            ("there", "vg0/web", "/dev/dm-4 · 1GiB · thin, in pool0"),
        ),
        (
            1,
            {"binding": BindingLayer("loop", "/dev/loop1", "/dev/loop1", at_boot=False)},
            ("there", "/dev/loop1", "not bound at boot"),
        ),
        (2, {"configured": None}, ("absent", "xvda", "51712 · in no config")),
        (
            2,
            {"configured": SlotLayer(("/etc/xen/old.cfg",), "/dev/loop3", "raw", "rw", "disk")},
            ("there", "xvda", "51712 · rw · raw · target /dev/loop3 · /etc/xen/old.cfg"),
        ),
        (2, {"configured": EMPTY}, ("there", "xvda", "51712 · ro · empty · CD drive")),
        (3, {"guest": None}, ("absent", "not attached", "")),
        (
            3,
            {"guest": GuestLayer(7, "rw", GIB, backend_state=4, frontend_state=1)},
            ("there", "1GiB", "rw · not connected (backend 4, frontend 1)"),
        ),
        (
            3,
            {"guest": GuestLayer(8, "rw", GIB, is_connected=True, frontend_state=4)},
            ("there", "1GiB", "rw · connected · domain 8"),
        ),
        (
            3,
            {"guest": GuestLayer(7, "ro", is_connected=True, medium="/srv/os.iso")},
            ("there", "/srv/os.iso", "ro · connected"),
        ),
        (
            3,
            {"guest": GuestLayer(7, "rw", flaw="it is being detached")},
            ("there", "no medium", "rw · not connected · it is being detached"),
        ),
    ],
)
def test_each_layer_says_what_it_is(number: int, values: Dict[str, Any], words: Words) -> None:
    assert layers(line(**values))[number] == words


@pytest.mark.parametrize("state", ["off", "saved"])
def test_a_domain_that_does_not_run_has_no_disks_attached(state: str) -> None:
    words = layers(line(guest=None), domains=(DomainLine("web", state),))
    assert words[3] == ("absent", state, "")


def test_the_target_of_a_lost_image_is_still_its_link() -> None:
    lost = StorageLayer("/srv/web.raw (deleted)", "file", GIB, is_lost=True)
    assert layers(line(storage=lost))[2][2].endswith("by its link")
    oddly_named = StorageLayer("/srv/web (1).raw", "file", GIB)
    slot = SlotLayer(("/etc/xen/web.cfg",), "/srv/web (1).raw", "raw", "rw", "disk")
    assert layers(line(storage=oddly_named, configured=slot))[2][2] == "51712 · rw · raw"


def test_guests_say_what_they_are() -> None:
    off = DomainLine("db", "off")
    web, db = drawn(domains=(WEB, off))
    assert (web.state, web.facts) == (
        "running",
        "domain 7 · pvh · starts at boot · /etc/xen/web.cfg",
    )
    assert (db.state, db.facts, db.disks) == ("off", "no config", ())
    assert (web.anchor, db.anchor) == ("guest/xen1/web", "guest/xen1/db")


def test_disks_of_a_domain_that_is_gone_come_last() -> None:
    web, gone = drawn(line(domain=None), line())
    assert (web.name, gone.name, gone.state) == ("web", "(a domain that is gone)", "gone")
    assert (gone.disks[0].anchor, gone.disks[0].slot) == ("disk/xen1//xvda", "xvda")


def test_a_disk_without_a_name_for_its_slot_has_the_number() -> None:
    assert drawn(line(slot=None))[0].disks[0].slot == "51712"
    unreadable = DiskLine("web", None, None, configured=SLOT)
    assert drawn(unreadable)[0].disks[0].slot == "no slot"


def test_a_guest_has_the_findings_that_are_about_none_of_its_disks() -> None:
    domain = DomainLine("web", "running", findings=("f1", "f2", "f3"))
    (guest,) = drawn(line(findings=("f2",)), domains=(domain,))
    assert guest.findings == ("f1", "f3")
    assert guest.disks[0].findings == ("f2",)


# ---- who else has the data ----


def others(disk: DrawnDisk) -> List[Tuple[str, str]]:
    return [(one.name, one.anchor) for one in disk.sharing]


def test_disks_of_a_host_with_one_storage_name_each_other() -> None:
    db = DomainLine("db", "off")
    web, other = drawn(line(), line(domain="db", slot="xvdb"), domains=(WEB, db))
    assert others(web.disks[0]) == [("xen1 / db / xvdb", "disk/xen1/db/xvdb")]
    assert others(other.disks[0]) == [("xen1 / web / xvda", "disk/xen1/web/xvda")]


def test_a_disk_alone_shares_with_nobody() -> None:
    (guest,) = drawn(line(), line(slot="xvdb", storage=StorageLayer("/srv/b.raw", "file")))
    assert [(disk.sharing, disk.more_sharing) for disk in guest.disks] == [((), 0), ((), 0)]


def test_disks_without_storage_do_not_share_it() -> None:
    (guest,) = drawn(line(storage=None), line(slot="xvdb", storage=None))
    assert [disk.sharing for disk in guest.disks] == [(), ()]


def two_writers(*places: FindingPlace) -> AuditFinding:
    first, *rest = places
    return AuditFinding(
        *("f1", "two-writers", "error", "data in danger", first, "seen", "leads to", "remedy"),
        others=tuple(rest),
        layer="storage",
    )


def test_findings_name_disks_of_other_hosts() -> None:
    found = two_writers(
        FindingPlace("xen2", "db", "xvdb", "/dev/mapper/mpatha"),
        FindingPlace("xen1", "web", "xvda", "/srv/web.raw"),
        FindingPlace("xen3", "old", "xvdc"),
        FindingPlace("xen2", None, None, "/mnt"),
    )
    (guest,) = drawn(
        line(findings=("f1", "not there")), findings=(found,), elsewhere=("disk/xen2/db/xvdb",)
    )
    # The page does not have the one, so nothing leads there.
    assert others(guest.disks[0]) == [
        ("xen2 / db / xvdb", "disk/xen2/db/xvdb"),
        ("xen3 / old / xvdc", ""),
    ]


def test_of_many_that_share_a_few_are_named() -> None:
    lines = [line(slot=f"xvd{letter}") for letter in "abcdefg"]
    (guest,) = drawn(*lines)
    assert [name for name, _anchor in others(guest.disks[6])] == [
        "xen1 / web / xvda",
        "xen1 / web / xvdb",
        "xen1 / web / xvdc",
    ]
    assert guest.disks[6].more_sharing == 3
