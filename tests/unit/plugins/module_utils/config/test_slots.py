# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slots of configs that a guest would find another disk in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.config_host import Host, disk


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


@pytest.fixture
def images(host: Host) -> Host:
    """a.raw on loop device 3, without a link, and b.raw on 4."""
    host.bind(host.image("a.raw"), 3)
    host.bind(host.image("b.raw"), 4)
    return host


def names_of(host: Host, name: str, number: int) -> List[str]:
    path = str(host.home / name)
    os.link(path, host.home / f"hard.{name}")
    return [path, f"{host.home}/hard.{name}", loop_link.link_of(path), f"/dev/loop{number}"]


def test_an_image_is_the_same_under_every_name(images: Host) -> None:
    names = names_of(images, "a.raw", 3)
    for old in names:
        images.path.write_text(f"name='web'\ndisk=['phy:{old},xvda,w']\n")
        for new in names:
            images.planned(disks=[disk(new, "51712")])


def test_an_image_stays_in_its_slot(images: Host) -> None:
    images.done(disks=[disk(f"{images.home}/a.raw")])
    for name in names_of(images, "a.raw", 3):
        error = images.refused(disks=[disk(name, "xvdb")])
        assert "is in slot xvda of domain web and would move to xvdb" in error
        assert "; set allow_slot_change: true to allow it; otherwise give each" in error
    images.done(disks=[disk(f"{images.home}/a.raw", "xvdb")], allow_slot_change=True)


def test_one_disk_may_have_another_slot_or_image(images: Host) -> None:
    a, b = (f"{images.home}/{name}.raw" for name in "ab")
    images.done(disks=[disk(a), disk(b, "xvdb")])
    other = images.image("c.raw")
    freed = disk(other, "51712", allow_slot_change=True)
    assert "slot xvdb of domain web has" in images.refused(disks=[freed, disk(other, "xvdb")])
    images.done(disks=[freed, disk(b, "xvdb")])
    assert "would move to xvdc" in images.refused(disks=[disk(b, "xvdc")])
    images.done(disks=[disk(b, "xvdc", allow_slot_change=True)])
    assert "allow_slot_change" not in images.path.read_text()


def test_a_loop_device_gives_way_to_its_image(images: Host) -> None:
    """As where QEMU opens what was bound before."""
    link = images.bind(f"{images.home}/a.raw", 3, link=True)
    for backendtype in (None, "qdisk"):
        images.done(disks=[disk(link, backendtype=backendtype)])
        images.done(disks=[disk(f"{images.home}/a.raw", backendtype="qdisk")])


def test_a_path_of_a_driver_domain_is_another_disk(images: Host) -> None:
    path = f"{images.home}/a.raw"
    images.done(disks=[disk(path)])
    assert "would get" in images.refused(disks=[disk(path, backend="storage")])
    images.done(disks=[disk(path, backend="0")])
    images.done(disks=[disk(path, backend="storage", allow_slot_change=True)])
    images.done(disks=[disk(path, backend="storage", access="ro")])


def test_a_slot_keeps_its_image(images: Host) -> None:
    images.done(disks=[disk(f"{images.home}/a.raw")])
    for name in names_of(images, "b.raw", 4):
        error = images.refused(disks=[disk(name, "51712")])
        assert f"slot 51712 of domain web has {images.home}/a.raw and would get" in error
        assert "b.raw" in error
    images.done(disks=[disk(f"{images.home}/b.raw")], allow_slot_change=True)


def test_images_do_not_change_places(images: Host) -> None:
    a, b = f"{images.home}/a.raw", f"{images.home}/b.raw"
    images.done(disks=[disk(a), disk(b, "xvdb")])
    error = images.refused(disks=[disk(b), disk(a, "xvdb")])
    assert f"slot xvda of domain web has {a}" in error
    assert f"slot xvdb of domain web has {b}" in error


def test_other_options_too_do_not_allow_it(images: Host) -> None:
    images.path.write_text(f"name='web'\ndisk=['{images.home}/a.raw,,xvda,w']\n")
    error = images.refused(options={}, overwrite=True, disks=[disk(f"{images.home}/b.raw")])
    assert "slot xvda" in error


def test_disks_come_and_go(images: Host) -> None:
    a, b = f"{images.home}/a.raw", f"{images.home}/b.raw"
    images.done(disks=[disk(a)])
    images.done(disks=[disk(a, access="ro"), disk(b, "xvdb")])
    images.done(disks=[disk(b, "xvdb"), disk("/dev/vg0/new", "xvdc")])


# ---- CD drives ----

HVM = {"type": "hvm"}


def cd(target: Optional[str] = None, vdev: str = "hdc", **more: object) -> Dict[str, object]:
    return {"target": target, "vdev": vdev, "devtype": "cdrom", **more}


def test_another_medium_is_no_change_of_the_slot(images: Host) -> None:
    a, b = (f"{images.home}/{name}.raw" for name in "ab")
    root = disk("/dev/vg0/root")
    for target in (None, a, b, None, "/dev/sr0"):
        images.done(options=HVM, disks=[root, cd(target)])
        assert (str(target) in images.path.read_text()) == bool(target)


def test_media_change_places(images: Host) -> None:
    a, b = (f"{images.home}/{name}.raw" for name in "ab")
    images.done(options=HVM, disks=[cd(a), cd(b, "hdd")])
    images.done(options=HVM, disks=[cd(b), cd(a, "hdd")])
    images.done(options=HVM, disks=[cd(), cd(b, "hdd")])


def test_a_drive_keeps_what_only_the_config_says_but_not_of_the_medium(images: Host) -> None:
    a, b = (f"{images.home}/{name}.raw" for name in "ab")
    old = f"{a},qcow2,hdc,r,devtype=cdrom,backendtype=qdisk,discard"
    for target, expected in (
        (b, f"{b},,hdc,ro,devtype=cdrom,backendtype=qdisk,discard"),
        (None, ",,hdc,ro,devtype=cdrom,backendtype=qdisk,discard"),
    ):
        images.path.write_text(f"name='web'\ntype='hvm'\ndisk=['{old}']\n")
        images.done(disks=[cd(target)])
        assert images.path.read_text() == f"name='web'\ntype='hvm'\ndisk=['{expected}']\n"
    images.path.write_text(f"name='web'\ntype='hvm'\ndisk=['{old}']\n")
    assert "the disk has format qcow2 in the config" in images.refused(disks=[cd(a)])
    images.done(disks=[cd(a, format="qcow2")])
    assert old in images.path.read_text()


def test_an_empty_drive_is_empty_in_any_spelling(images: Host) -> None:
    for old in (",empty,hdc,r,cdrom", "devtype=cdrom, vdev=hdc", ",raw,hdc:cdrom,r"):
        images.path.write_text(f"name='web'\ntype='hvm'\ndisk=['{old}']\n")
        assert not images.planned(disks=[cd()]).actions
        assert not images.planned(disks=[cd(format="empty")]).actions


def test_a_drive_and_a_disk_are_not_the_same(images: Host) -> None:
    a, b = (f"{images.home}/{name}.raw" for name in "ab")
    images.done(options=HVM, disks=[cd(a)])
    assert f"slot hdc of domain web has {a} and would get {b}" in images.refused(
        options=HVM, disks=[disk(b, "hdc")]
    )
    images.done(options=HVM, disks=[disk(b, "hdc")], allow_slot_change=True)
    assert "would get" in images.refused(options=HVM, disks=[cd(a)])
    assert "would move to hdd" in images.refused(options=HVM, disks=[cd(b, "hdd")])


def test_a_drive_that_is_not_listed_is_lost_though_its_medium_is_elsewhere(images: Host) -> None:
    a = f"{images.home}/a.raw"
    images.path.write_text(f"name='web'\ntype='hvm'\ndisk=['{a},,hdc,r,cdrom']\n")
    error = images.refused(disks=[cd(a, "hdd")])
    assert f"domain web would lose the disks that are not listed: hdc ({a})" in error
    drive = {"vdev": "hdc", "target": None, "devtype": "cdrom"}
    images.done(disks=[cd(a, "hdd")], removed_disks=[drive])
    assert "hdc" not in images.path.read_text()


def test_only_a_drive_is_removed_as_one(images: Host) -> None:
    a = f"{images.home}/a.raw"
    drive = {"vdev": "hdc", "target": None, "devtype": "cdrom"}
    for spec, kept in (
        (f"{a},,hdc,w", True),
        (f"{a},,hdc,r,cdrom", False),
        (",,hdc,,cdrom", False),
    ):
        images.path.write_text(f"name='web'\ntype='hvm'\ndisk=['{spec}']\n")
        if kept:
            assert "would lose" in images.refused(disks=[], removed_disks=[drive])
            a_disk = {**drive, "devtype": "disk"}
            images.done(disks=[], removed_disks=[a_disk])
        else:
            images.done(disks=[], removed_disks=[drive])
        assert "hdc" not in images.path.read_text()


def test_a_number_of_before_the_last_boot(images: Host) -> None:
    """a.raw was on loop device 4 or 9, which now has b.raw or nothing."""
    for number, now in ((4, f"{images.home}/b.raw now"), (9, "not bound now")):
        images.node(f"/dev/loop{number}", number)
        images.path.write_text(config_text.render("web", {}, [f"/dev/loop{number},raw,xvda"]))
        error = images.refused(disks=[disk(loop_link.link_of(f"{images.home}/a.raw"))])
        assert f"has /dev/loop{number} ({now})" in error
        assert f"would get /dev/loop3 ({images.home}/a.raw now)" in error
        assert "numbers of loop devices have changed since the last boot" in error
        images.planned(disks=[disk(f"/dev/loop{number}")])


def test_a_part_of_an_image_is_another_disk(images: Host) -> None:
    images.bind(f"{images.home}/a.raw", 5, offset=512)
    images.done(disks=[disk("/dev/loop3")])
    assert "slot xvda" in images.refused(disks=[disk("/dev/loop5")])


def test_targets_of_a_script_are_names(host: Host) -> None:
    host.done(disks=[disk("iqn=a", script="block-iscsi")])
    assert "has iqn=a and would get iqn=b" in host.refused(disks=[disk("iqn=b", script="x")])


def test_an_old_list_that_cannot_be_told(host: Host) -> None:
    host.path.write_text("name='web'\ndisk=['/dev/a,raw,xvd,w']\n")
    error = host.refused(disks=[disk("/dev/a")])
    assert "cannot read the disks in the existing config" in error and "allow_slot_change" in error
    host.planned()
    for unlisted in (None, "keep"):
        options = {"allow_slot_change": True, "unlisted_disks": unlisted}
        assert "the config's disk '/dev/a,raw,xvd,w' would be lost: 'xvd' lacks" in (
            host.refused(disks=[disk("/dev/a")], **options)
        )
    host.done(disks=[disk("/dev/a")], allow_slot_change=True, unlisted_disks="remove")


# ---- what looks like another format ----


def write_qcow2(path: str) -> None:
    with open(path, "r+b") as file:
        file.write(b"QFI\xfb\0\0\0\3")


def test_a_new_disk_that_looks_like_another_format_is_said_to_be_raw_first(host: Host) -> None:
    image = host.image("a.qcow2")
    host.bind(image, 3)
    write_qcow2(image)
    for target in (image, loop_link.link_of(image)):
        error = host.refused(disks=[disk(target)])
        assert f"disks[0]: {image} has the signature of a qcow2 image" in error
        for said in ("raw", "qcow2"):
            host.planned(disks=[disk(target, format=said)])
        for other in ("script", "backend"):
            host.planned(disks=[disk(target, **{other: "storage"})])


def test_a_disk_that_the_config_has_as_raw_may_look_like_anything(host: Host) -> None:
    image = host.image("a.raw")
    host.bind(image, 3)
    host.path.write_text(f"name='web'\ndisk=['{image},raw,xvda,w', ',,xvdb,cdrom']\n")
    write_qcow2(image)
    for target in (image, loop_link.link_of(image), "/dev/loop3"):
        host.planned(disks=[disk(target)], unlisted_disks="keep")


def test_a_disk_that_the_config_has_in_its_format_is_not_raw(host: Host) -> None:
    image = host.image("a.qcow2")
    write_qcow2(image)
    host.path.write_text(f"name='web'\ndisk=['{image},qcow2,xvda,w']\n")
    assert "set format: qcow2" in host.refused(disks=[disk(image)])
    assert not host.planned(disks=[disk(image, format="qcow2")]).actions
    host.done(disks=[disk(image, format="qcow2")], options={}, overwrite=True)
    assert "has the signature" in host.refused(disks=[disk(image)])


def test_a_target_that_is_not_there_looks_like_nothing(host: Host) -> None:
    for target in ("/srv/no.raw", f"{host.image('a.raw')}/no.raw"):
        host.planned(disks=[disk(target)], unlisted_disks="keep")
