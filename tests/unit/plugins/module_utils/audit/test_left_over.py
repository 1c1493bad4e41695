# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to no domain."""

from __future__ import annotations

from typing import Any, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    BootUnitFile,
    KernelVbd,
    Leftovers,
    LoopLink,
    Unread,
    VolumeName,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.auditedhosts import (
    AuditedXen,
    GiB,
    MiB,
    codes,
    report_on,
    the_finding,
)

OLD = "/srv/xen/old/it's.raw"


def with_image(**more: Any) -> AuditedXen:
    host = AuditedXen(leftovers=Leftovers(images=(OLD,)), **more)
    host.image(OLD, 4 * GiB, allocated=3 * MiB)
    return host


def test_an_image() -> None:
    found = the_finding("leftover-image", with_image())
    assert (found.severity, found.bytes, found.place.path) == ("note", 3 * MiB, OLD)
    assert "(3MiB on its file system)" in found.seen
    assert found.remedy.startswith("rm '/srv/xen/old/it'\"'\"'s.raw' if nobody needs")
    assert report_on(with_image()).totals.left_over == 3 * MiB


def test_a_loop_device() -> None:
    host = AuditedXen(leftovers=Leftovers(loop_devices=("/dev/loop0",)))
    host.image(OLD)
    host.bind(OLD, unit=False)
    found = the_finding("leftover-loop-device", host)
    assert found.seen.startswith(f"it is bound to {OLD}, and no config")
    assert found.remedy == "losetup --detach /dev/loop0"


def test_a_loop_device_whose_image_was_deleted() -> None:
    host = AuditedXen(leftovers=Leftovers(loop_devices=("/dev/loop0",)))
    host.image(OLD, deleted=True)
    host.bind(OLD, unit=False)
    assert "after a copy of it" in the_finding("leftover-loop-device", host).remedy


@pytest.mark.parametrize(("pool", "size"), [(None, GiB), ("pool0", None)])
def test_a_volume(pool: str, size: int) -> None:
    host = AuditedXen(leftovers=Leftovers(volumes=("/dev/vg0/old",)))
    host.device("/dev/vg0/old", GiB, device={"volume": VolumeName("vg0", "old", "uuid", pool)})
    found = the_finding("leftover-volume", host)
    # A thin volume takes less than its size, and how much is not known.
    assert found.bytes == size
    assert found.remedy.startswith("lvremove vg0/old if")


def test_a_save_file() -> None:
    host = AuditedXen()
    host.image(OLD)
    host.save("old", [("xvda", OLD)])
    found = the_finding("leftover-save", host)
    assert (found.place.domain, found.place.path) == ("old", "/var/lib/xen/save/old")


@pytest.mark.parametrize(
    ("image", "seen"),
    [(OLD, f"a.service binds {OLD}, which does not exist"), (None, "a.service names no image")],
)
def test_a_boot_unit(image: str, seen: str) -> None:
    host = AuditedXen(leftovers=Leftovers(boot_units=("a.service",)))
    host.units.append(BootUnitFile("a.service", True, image, False))
    found = the_finding("leftover-boot-unit", host)
    assert (found.severity, found.seen) == ("warning", seen)


@pytest.mark.parametrize("device", [None, "/dev/loop3"])
def test_a_link(device: str) -> None:
    path = "/dev/disk/by-loop-file/srv/a.raw"
    host = AuditedXen(
        leftovers=Leftovers(links=(path,)), links=(LoopLink(path, "/srv/a.raw", device),)
    )
    seen = the_finding("leftover-link", host).seen
    assert seen == (
        f"it leads to {device}, which is another image" if device else "it leads nowhere"
    )


def test_a_vbd() -> None:
    host = AuditedXen(leftovers=Leftovers(vbds=(KernelVbd(7, 51712),)))
    found = the_finding("leftover-vbd", host)
    assert (found.place.domain, found.place.slot) == ("with the id 7", "51712")


@pytest.mark.parametrize(
    ("name", "has_disks", "found"),
    [("(null)", False, ["leftover-domain"]), ("(null)", True, []), ("web", False, [])],
)
def test_a_destroyed_domain(name: str, has_disks: bool, found: List[str]) -> None:
    """While xenstore still has its disks, they are known."""
    host = AuditedXen()
    host.run(name, domid=7, type=None, status="dying")
    if has_disks:
        host.attach(name, "xvda", None)
    assert [code for code in codes(host) if code == "leftover-domain"] == found


def test_a_destroyed_domain_needs_no_config() -> None:
    host = AuditedXen()
    host.run("(null)", domid=7, type=None, status="dying")
    assert codes(host) == ["leftover-domain"]


@pytest.mark.parametrize("source", ["config", "autostart", "save", "xenstore"])
def test_nothing_is_left_over_if_a_disk_may_be_missing(source: str) -> None:
    host = with_image(unread=(Unread(source, "/etc/xen/a.cfg", "permission denied"),))
    assert codes(host) == ["unread"]


@pytest.mark.parametrize("source", ["qemu", "images", "processes"])
def test_what_names_no_disks_does_not_matter(source: str) -> None:
    host = with_image(unread=(Unread(source, "", "permission denied"),))
    assert sorted(codes(host)) == ["leftover-image", "unread"]


def test_a_config_that_cannot_be_read_may_have_the_image() -> None:
    host = with_image()
    host.config("web", guest=None, problems=("line 1: what is this?",))
    assert sorted(codes(host)) == ["leftover-image", "unread"]
