# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Released images, with real files and simulated loop devices."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Plan
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.config_host import (
    Host,
    disk,
)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


@pytest.fixture
def old(host: Host) -> str:
    """The image in an existing config."""
    image = host.image("old.raw")
    host.done(disks=[disk(host.bind(image, 1, link=True))])
    return image


def changed(host: Host, *disks: Any, **options: Any) -> Plan:
    return host.planned(disks=[*disks], allow_slot_change=True, **options)


def released(plan: Plan) -> List[str]:
    assert plan.before["released"] == []
    found: List[str] = plan.after["released"]
    return found


def said(image: str) -> str:
    return (
        f"no config refers to {image} any more; it keeps its data: delete it if it is not needed "
        "(xen_raw_disk with state: absent)"
    )


def test_another_image_in_the_slot_releases_the_old_one(host: Host, old: str) -> None:
    plan = changed(host, disk(host.bind(host.image("new.raw"), 2, link=True)))
    assert released(plan) == [old]
    assert plan.warnings == [said(old)]


@pytest.mark.parametrize(
    "new", [disk("/dev/vg0/web"), disk("iqn=x", script="block-iscsi")], ids=["volume", "script"]
)
def test_a_block_device_in_its_place_releases_it(host: Host, old: str, new: Any) -> None:
    assert released(changed(host, new)) == [old]


def test_a_medium_comes_and_goes(host: Host) -> None:
    iso, other = host.image("a.iso"), host.image("b.iso")
    hvm = {"options": {"type": "hvm"}}
    drive = {"vdev": "hdc", "devtype": "cdrom"}
    host.done(disks=[{**drive, "target": iso}], **hvm)
    for disks in ([{**drive, "target": other}], [drive], []):
        plan = host.planned(disks=disks, **hvm)
        assert plan.actions
        assert released(plan) == []
        assert plan.warnings == []
    assert released(host.planned(state="absent")) == []


def test_a_loop_device_of_before_there_were_drives_is_released(host: Host) -> None:
    iso = host.image("a.iso")
    link = host.bind(iso, 1, link=True)
    host.path.write_text(f"name='web'\ntype='hvm'\ndisk=['{link},,hdc,r,cdrom']\n")
    drive = {"vdev": "hdc", "devtype": "cdrom"}
    assert released(host.planned(disks=[drive])) == [iso]
    assert released(host.planned(disks=[{**drive, "target": iso}])) == []


def test_a_disk_that_is_omitted_is_released(host: Host, old: str) -> None:
    assert released(changed(host)) == [old]
    assert released(host.planned(state="absent")) == [old]


def test_an_image_that_stays_is_not_released(host: Host, old: str) -> None:
    host.image("alias")
    os.unlink(host.home / "alias")
    (host.home / "alias").symlink_to(old)
    for target in (old, str(host.home / "alias"), "/dev/loop1"):
        plan = changed(host, disk(target))
        assert plan.actions
        assert released(plan) == []
        assert said(old) not in plan.warnings
    assert released(host.planned()) == released(host.planned(options={"memory": 9})) == []


def test_a_device_by_number_stays_bound_with_a_warning(host: Host) -> None:
    image = host.image("old.raw")
    host.bind(image, 1)
    host.done(disks=[disk("/dev/loop1")])
    plan = changed(host)
    assert released(plan) == []
    assert plan.warnings == [
        f"no config refers to /dev/loop1 any more, which is bound to {image} now; it stays bound, "
        "as the number does not say who needs it: unbind it if it is not needed (xen_loopdev with "
        "state: absent)"
    ]
    assert changed(host, disk(image)).warnings == []
    host.bindings = []
    assert changed(host).warnings == []


def test_an_image_without_loop_device_is_released_but_not_a_missing_one(host: Host) -> None:
    image = host.image("old.raw")
    host.done(disks=[disk(image), disk("/dev/vg0/a", vdev="xvdb")])
    assert released(changed(host)) == [image]
    os.unlink(image)
    assert released(changed(host)) == []


def test_a_deleted_image_is_released_so_that_its_unit_is_removed(host: Host, old: str) -> None:
    os.unlink(old)
    plan = changed(host)
    assert released(plan) == [old]
    assert plan.warnings == []


def test_an_image_that_other_tasks_manage_is_not_released(host: Host, old: str) -> None:
    plan = changed(host, known_images=["/srv/other.raw", old])
    assert released(plan) == plan.warnings == []


@pytest.mark.parametrize("directory", ["", "auto"])
@pytest.mark.parametrize(
    "text",
    ["disk = [ '{link},raw,xvda,w' ]", "disk = [ 'phy:/dev/loop1,xvdb,w' ]", "odd = [ {image}\n"],
)
def test_an_image_in_another_config_is_not_released(
    host: Host, old: str, directory: str, text: str
) -> None:
    (host.home / directory).mkdir(exist_ok=True)
    other = host.home / directory / "db.cfg"
    other.write_text(text.format(link=f"/dev/disk/by-loop-file{old}", image=old))
    auto = str(host.home / "auto")
    assert released(changed(host, autostart_dir=auto)) == []
    other.write_text(
        text.format(link=f"/dev/disk/by-loop-file{old}0", image=f"{old}.bak").replace(
            "loop1", "loop11"
        )
    )
    assert released(changed(host, autostart_dir=auto)) == [old]


def test_a_comment_does_not_keep_an_image(host: Host, old: str) -> None:
    (host.home / "db.cfg").write_text(f"# disk = [ '{old},,xvda' ]\nname = 'db'\n")
    host.path.write_text(f"name = 'web'\ndisk = [\n  '{old},,xvda', # root\n]\n")
    plan = changed(host, unlisted_disks="remove")
    assert released(plan) == [old]
    # The disk has become a comment itself.
    assert plan.texts is not None and f"# '{old},,xvda', # root" in plan.texts[1]


def test_an_image_in_another_option_is_not_released(host: Host, old: str) -> None:
    (host.home / "db.cfg").write_text(f"device_model_args = [ '-drive', 'file={old}' ]\n")
    assert released(changed(host)) == []


def test_an_image_in_another_config_by_another_path_is_not_released(host: Host, old: str) -> None:
    (host.home / "alias").symlink_to(old)
    (host.home / "db.cfg").write_text(f"disk = [ '{host.home}/alias,raw,xvda,w' ]")
    assert released(changed(host)) == []


def test_copies_and_hidden_files_do_not_keep_an_image(host: Host, old: str) -> None:
    for name in ("web.cfg.1.2026-01-01@00:00:00~", ".xen-blockdev.new"):
        (host.home / name).write_text(old)
    os.mkfifo(host.home / "fifo")
    (host.home / "dangling").symlink_to("nothing")
    assert released(changed(host)) == [old]


def test_a_disk_may_move_to_another_config_of_the_same_call(host: Host, old: str) -> None:
    link = f"/dev/disk/by-loop-file{old}"
    db = {"domain": "db", "path": str(host.home / "db.cfg"), "disks": [disk(link)]}
    gone = {"disks": [], "allow_slot_change": True}
    for items in ([gone, db], [db, gone]):
        plans = host.plans(*items)
        assert [plan.after["released"] for plan in plans] == [[], []]
        assert [plan.warnings for plan in plans] == [[], []]


def test_an_image_of_two_configs_is_released_by_the_last_of_them(host: Host, old: str) -> None:
    link = f"/dev/disk/by-loop-file{old}"
    db = {"domain": "db", "path": str(host.home / "db.cfg")}
    host.done(**db, disks=[disk(link)])
    gone = {"disks": [], "allow_slot_change": True}
    plans = host.plans(gone, {**db, **gone})
    assert [plan.after["released"] for plan in plans] == [[], [old]]


def test_an_image_that_stays_in_a_config_elsewhere_of_the_same_call(host: Host, old: str) -> None:
    link = f"/dev/disk/by-loop-file{old}"
    (host.home / "other").mkdir()
    db = {"domain": "db", "path": str(host.home / "other" / "db.cfg")}
    host.done(**db, disks=[disk(link)])
    plans = host.plans({"disks": [], "allow_slot_change": True}, {**db, "options": {"memory": 9}})
    assert [plan.after["released"] for plan in plans] == [[], []]


def test_an_absent_config_does_not_keep_an_image(host: Host, old: str) -> None:
    db = {"domain": "db", "path": str(host.home / "db.cfg"), "state": "absent"}
    gone = {"disks": [], "allow_slot_change": True}
    plans = host.plans({**db, "disks": [disk(f"/dev/disk/by-loop-file{old}")]}, gone)
    assert [plan.after["released"] for plan in plans] == [[], [old]]


def test_the_result_of_a_run_has_the_released_images(host: Host, old: str) -> None:
    assert host.done(disks=[], allow_slot_change=True)["released"] == [old]
