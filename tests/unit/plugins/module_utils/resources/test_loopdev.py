# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real images, planned against made-up loop devices."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, Iterator, List, Optional, Sequence

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host import locks, mounts, programs
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import boot_unit, udev_rule
from ansible_collections.xen.blockdev.plugins.module_utils.loop import control as loop_control
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.resources import loopdev
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import unbinding
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import User
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Vbd
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.imageutil import bound
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.loopdevplans import (
    MIB,
    MOUNT,
    UNBOUND,
    WEB,
    KnownUsage,
    devices,
    item,
    make,
    plain_host,
    refused,
    sentences,
)


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain_host(tmp_path, monkeypatch)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return make(tmp_path / "a.raw")


# Images that are not bound


def test_binds_to_a_free_device(image: Path) -> None:
    plan = devices().plan(item(image))
    assert sentences(plan) == [f"bind {image} to a free loop device"]
    assert plan.before == UNBOUND
    assert plan.after == {**UNBOUND, "size": MIB, "direct_io": False}
    assert plan.warnings == []


@pytest.mark.parametrize(
    ("offset", "magic", "found"),
    [(0, b"QFI\xfb", "a qcow2 image"), (8 * MIB - 512, b"conectix", "a vhd image")],
)
def test_what_looks_like_another_format_is_not_bound_unless_it_is_said_to_be_raw(
    image: Path, offset: int, magic: bytes, found: str
) -> None:
    with image.open("r+b") as file:
        file.truncate(8 * MIB)
        file.seek(offset)
        file.write(magic)
    with pytest.raises(BlockdevError) as caught:
        devices().plan(item(image))
    error = str(caught.value)
    assert error.startswith(f"cannot bind {image}: {image} has the signature of {found}; if it is")
    assert error.endswith("; if it is a raw disk all the same, set format: raw")
    assert sentences(devices().plan(item(image, format="raw")))
    # A guest may have written that to what it has.
    assert not sentences(devices(bound(image)).plan(item(image)))


def test_binds_to_the_device_that_is_wanted(image: Path) -> None:
    plan = devices().plan(item(image, device="/dev/loop7", direct_io=True))
    assert sentences(plan) == [f"bind {image} to /dev/loop7"]
    assert plan.after["device"] == "/dev/loop7"
    assert plan.after["direct_io"] is True


def test_what_the_script_has_bound_is_left_to_it(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot_unit, "SYSTEMD_RUNS", str(image.parent))
    script = "/etc/xen/scripts/block"
    vbd = Vbd(1, "web", 51712, "xvda", str(image), "rw", script=script, physical_device=(7, 5))
    monkeypatch.setattr(KnownUsage, "vbds", [vbd], raising=False)
    theirs = bound(image, 5, flags=loop_binding.READ_ONLY, size=512, marked=False)
    options = {"sector_size": 4096, "direct_io": True, "device": "/dev/loop9", "persistent": True}
    resource = devices(theirs, bound(image, 6))
    assert "bound more than once" in refused(resource, image, **options)
    resource = devices(theirs)
    plan = resource.plan(item(image, **options))
    # What the guest may see is done, and nothing that would be undone when it ends.
    assert sentences(plan) == [f"set the capacity of /dev/loop5 from 512 to {MIB} bytes"]
    (warning,) = resource.warnings()
    assert warning.startswith(
        f"domain web has image files as disks, {image} (xvda): Xen's script has"
    )
    assert devices().warnings() == []


@pytest.mark.parametrize(("kind", "count"), [("nfs4", 1), ("ext4", 0)])
def test_images_of_a_server(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, count: int
) -> None:
    """One warning for a file system, also where nothing changes."""
    other = make(tmp_path / "b.raw")
    device = image.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    table = tmp_path / "mountinfo"
    table.write_text(f"29 1 {number} / /mnt rw - {kind} server:/srv rw\n")
    monkeypatch.setattr(mounts, "MOUNTS", str(table))
    resource = devices(bound(image, 0))
    for path in (image, other):
        resource.plan(item(path))
    warnings = resource.warnings()
    assert [one.startswith(f"{image}, {other}: as long as") for one in warnings] == [True] * count


def test_requires_the_loop_driver(image: Path) -> None:
    os.unlink(loop_control.CONTROL)
    assert "`modprobe loop`" in refused(devices(check_mode=True), image)
    assert devices().plan(item(image, state="absent")).actions == []


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize("path", ["a.raw", "./a.raw", "", "~/a.raw"])
def test_refuses_a_relative_path(path: str, state: str) -> None:
    message = f"path {path!r} is not absolute; start it with /"
    assert refused(devices(), path, state=state) == message


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize("path", ["/srv/\0.raw", "/srv/\ud800.raw"])
def test_refuses_what_is_no_path(path: str, state: str) -> None:
    assert "contains characters that a file name cannot contain" in refused(
        devices(), path, state=state
    )


@pytest.mark.parametrize("state", ["present", "absent"])
def test_refuses_what_is_no_image(tmp_path: Path, image: Path, state: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    for path in [tmp_path, tmp_path / "fifo", Path("/dev/null")]:
        assert refused(devices(), path, state=state) == f"{path} is not a regular file"
    assert refused(devices(), image / "b", state=state) == f"{image}/b: Not a directory"
    assert "loop: Too many levels of symbolic links" in refused(
        devices(), tmp_path / "loop", state=state
    )


@pytest.mark.parametrize("state", ["present", "absent"])
def test_refuses_a_block_device(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    real_stat, device = os.stat, SimpleNamespace(st_mode=stat.S_IFBLK)
    monkeypatch.setattr(
        os, "stat", lambda path, **kw: device if path == "/dev/vg0/a" else real_stat(path, **kw)
    )
    message = "/dev/vg0/a is a block device and needs no loop device; use it as the target"
    assert refused(devices(), "/dev/vg0/a", state=state) == message


def test_refuses_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to("nothing")
    for path in [tmp_path / "nothing", tmp_path / "dangling"]:
        message = f"{path} does not exist; create the image first (xen_raw_disk)"
        assert refused(devices(), path) == message
        assert refused(devices(pending={"disks": [{"path": str(path)}]}), path) == message
        assert refused(devices(check_mode=True), path) == message


def test_plans_for_an_image_that_will_exist(tmp_path: Path) -> None:
    pending = {"disks": [{"path": f"{tmp_path}/b.raw"}]}
    plan = devices(check_mode=True, pending=pending).plan(item(tmp_path / "b.raw"))
    assert sentences(plan) == [f"bind {tmp_path}/b.raw to a free loop device"]
    after: Dict[str, Any] = {**UNBOUND, "direct_io": False}
    del after["size"]  # none would say that it is not bound
    assert plan.after == after


def test_plans_for_a_size_that_an_image_will_have(tmp_path: Path, image: Path) -> None:
    new = tmp_path / "b.raw"
    sizes = {"disks": [{"path": str(image), "size": 2 * MIB}, {"path": str(new), "size": MIB}]}
    resource = devices(bound(image), check_mode=True, pending=sizes)
    grown = resource.plan(item(image))
    assert sentences(grown) == [f"set the capacity of /dev/loop3 from {MIB} to {2 * MIB} bytes"]
    assert resource.plan(item(new)).after["size"] == MIB
    assert devices(bound(image), pending=sizes).plan(item(image)).actions == []
    assert "does not exist" in refused(devices(pending=sizes), new)
    gone = {"disks": [{"path": str(new), "size": None}]}
    assert "does not exist" in refused(devices(check_mode=True, pending=gone), new)


@pytest.mark.parametrize("size", [0, 1, 511])
def test_refuses_less_than_a_sector(tmp_path: Path, size: int) -> None:
    message = refused(devices(), make(tmp_path / "a.raw", size))
    assert f"a.raw has {size} bytes, less than one sector" in message


def test_warns_of_a_tail_that_is_not_seen(tmp_path: Path) -> None:
    image = make(tmp_path / "a.raw", 1000)
    plan = devices().plan(item(image))
    assert plan.after["size"] == 512
    assert plan.warnings == [
        f"the size of {image} is not a multiple of 512 bytes; its loop device does not show the "
        "last 488 bytes"
    ]
    assert devices().plan(item(make(image, 512))).warnings == []


@pytest.mark.parametrize("device", ["loop7", "/dev/loop", "/dev/sda", "/dev/loop99999999999", ""])
def test_refuses_what_is_no_loop_device(image: Path, device: str) -> None:
    message = f"device {device!r} is not a loop device; use /dev/loop0, /dev/loop1 and so on"
    assert refused(devices(), image, device=device) == message


def test_refuses_a_device_that_is_taken(tmp_path: Path, image: Path) -> None:
    other = bound(make(tmp_path / "b.raw"))
    assert refused(devices(other), image, device="/dev/loop3") == (
        f"cannot bind {image} to /dev/loop3: it is bound to {tmp_path}/b.raw; omit device to use "
        "a free one"
    )


def test_refuses_a_device_that_another_item_takes(tmp_path: Path, image: Path) -> None:
    resource = devices()
    resource.plan(item(image, device="/dev/loop3"))
    other = make(tmp_path / "b.raw")
    assert f"/dev/loop3: it is reserved for {image}; " in refused(
        resource, other, device="/dev/loop3"
    )
    assert resource.plan(item(make(tmp_path / "c.raw"), device="/dev/loop4")).actions


def test_takes_a_device_that_another_item_leaves(tmp_path: Path, image: Path) -> None:
    other = make(tmp_path / "b.raw")
    resource = devices(bound(other))
    resource.plan(item(other, state="absent"))
    plan = resource.plan(item(image, device="/dev/loop3"))
    assert sentences(plan) == [f"bind {image} to /dev/loop3"]


def test_unbinding_comes_first_and_a_free_device_last(image: Path) -> None:
    items = [
        item(image),
        item(image, device="/dev/loop3"),
        item(image, state="absent"),
        item(image, state="absent", device="/dev/loop3"),
    ]
    assert [devices().rank(one) for one in items] == [2, 1, 0, 0]


# One image


@pytest.mark.parametrize("states", [("present", "present"), ("absent", "present")])
def test_refuses_one_image_under_two_names(
    tmp_path: Path, image: Path, states: Sequence[str]
) -> None:
    os.link(image, tmp_path / "hard.raw")
    (tmp_path / "soft.raw").symlink_to("a.raw")
    (tmp_path / "dir").symlink_to(".")
    for name in ["a.raw", "hard.raw", "soft.raw", "dir/a.raw"]:
        resource = devices(bound(image))
        resource.plan(item(image, state=states[0]))
        message = f"{tmp_path}/{name} is the same image as {image}: name it once"
        assert refused(resource, f"{tmp_path}/{name}", state=states[1]) == message


def test_refuses_one_image_twice_that_is_not_there(tmp_path: Path) -> None:
    pending = {"disks": [{"path": f"{tmp_path}/b.raw"}]}
    resource = devices(check_mode=True, pending=pending)
    resource.plan(item(tmp_path / "b.raw"))
    assert "name it once" in refused(resource, tmp_path / "b.raw")


def test_finds_the_binding_of_an_image_under_any_name(tmp_path: Path, image: Path) -> None:
    binding = bound(image, backing_file="/mnt/old name.raw")
    os.link(image, tmp_path / "hard.raw")
    (tmp_path / "soft.raw").symlink_to("a.raw")
    for path in [image, tmp_path / "hard.raw", tmp_path / "soft.raw"]:
        plan = devices(binding).plan(item(path))
        assert plan.actions == []
        assert plan.before["device"] == "/dev/loop3"


def test_another_file_of_that_name_is_not_the_image(image: Path) -> None:
    binding = bound(image, file=(1, 2))
    assert sentences(devices(binding).plan(item(image))) == [f"bind {image} to a free loop device"]
    assert devices(binding).plan(item(image, state="absent")).actions == []


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize("part", [{"offset": 512}, {"size_limit": 4096}])
def test_refuses_a_binding_of_a_part(image: Path, part: Dict[str, int], state: str) -> None:
    message = refused(devices(bound(image, **part)), image, state=state)
    offset, limit = part.get("offset", 0), part.get("size_limit", 0)
    end = f"with offset {offset} and size limit {limit}, which another program did"
    assert f"/dev/loop3 (not in use) {end}" in message
    used = devices(bound(image, **part), users={3: [MOUNT]})
    assert f"/dev/loop3 (mounted on /mnt) {end}" in refused(used, image, state=state)
    assert message.endswith("unbind it yourself if it is not needed (losetup -d /dev/loop3)")


def test_refuses_a_binding_of_a_part_beside_one_of_the_whole(image: Path) -> None:
    both = bound(image, 3), bound(image, 4, offset=512)
    part = "/dev/loop4 (not in use) with offset 512"
    assert part in refused(devices(*both), image)
    assert part in refused(devices(*both), image, state="absent")


def test_refuses_two_bindings(image: Path) -> None:
    message = refused(devices(bound(image, 3), bound(image, 5), users={5: [WEB]}), image)
    assert message == (
        f"{image} is bound more than once, to /dev/loop3 (not in use) and /dev/loop5 (attached to "
        "domain web as xvdb); unbind all but one (losetup -d)"
    )


# Images that are bound


def test_leaves_alone_what_is_as_wanted(image: Path) -> None:
    plan = devices(bound(image)).plan(item(image, device="/dev/loop3", direct_io=False))
    assert plan.actions == []
    assert plan.before == plan.after
    assert plan.before == {
        "device": "/dev/loop3",
        "link": None,
        "major": 7,
        "minor": 3,
        "size": MIB,
        "direct_io": False,
        "read_only": False,
        "persistent": False,
    }


@pytest.mark.parametrize("size", [2 * MIB, 2 * MIB + 511])
def test_follows_a_file_that_has_grown(image: Path, size: int) -> None:
    binding = bound(image)
    make(image, size)
    plan = devices(binding).plan(item(image))
    assert sentences(plan) == [
        f"set the capacity of /dev/loop3 from {MIB} to {2 * MIB} bytes",
    ]
    assert (plan.before["size"], plan.after["size"]) == (MIB, 2 * MIB)


@pytest.mark.parametrize(
    ("has", "wanted", "word"),
    [
        (False, True, "on"),
        (True, False, "off"),
        (True, True, None),
        (False, False, None),
        (True, None, None),
        (False, None, None),
    ],
)
def test_switches_direct_io_only_where_told(
    image: Path, has: bool, wanted: Optional[bool], word: Optional[str]
) -> None:
    binding = bound(image, flags=loop_binding.DIRECT_IO * has)
    plan = devices(binding).plan(item(image, direct_io=wanted))
    assert sentences(plan) == ([f"turn {word} direct I/O for /dev/loop3"] if word else [])
    assert plan.before["direct_io"] is has
    assert plan.after["direct_io"] is (has if wanted is None else wanted)


def test_keeps_bound_what_the_kernel_would_unbind(image: Path) -> None:
    plan = devices(bound(image, flags=loop_binding.AUTOCLEAR)).plan(item(image))
    assert sentences(plan) == ["keep /dev/loop3 bound when its last user closes it"]


@pytest.mark.parametrize("has_rule", [True, False])
def test_a_device_without_its_name_gets_it(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_rule: bool
) -> None:
    monkeypatch.setattr(udev_rule, "UDEV_CONTROL", str(tmp_path))
    rule = tmp_path / "61.rules"
    if has_rule:
        rule.write_text(loop_link.RULE_TEXT)
    resource = devices(bound(image), rule=str(rule))
    plan = resource.plan(item(image, udev_rule=True))
    named = f"have udev create the link /dev/disk/by-loop-file{image} to /dev/loop3"
    written = f"have udev link loop devices under the paths of their images ({rule})"
    assert sentences(plan) == ([named] if has_rule else [written, named])
    assert (plan.before["link"], plan.after["link"]) == (None, f"/dev/disk/by-loop-file{image}")


def test_the_rule_is_written_once_and_before_anything_is_bound(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udev_rule, "UDEV_CONTROL", str(tmp_path))
    resource = devices(rule=str(tmp_path / "61.rules"))
    assert sentences(resource.plan(item(image, udev_rule=True))) == [
        f"have udev link loop devices under the paths of their images ({tmp_path}/61.rules)",
        f"bind {image} to a free loop device",
    ]
    other = make(tmp_path / "other.raw")
    bind = f"bind {other} to a free loop device"
    assert sentences(resource.plan(item(other, udev_rule=True))) == [bind]


def test_the_rule_is_left_alone_unless_it_is_wanted(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind = [f"bind {image} to a free loop device"]
    rule = str(tmp_path / "61.rules")
    # no udev here
    assert sentences(devices(rule=rule).plan(item(image, udev_rule=True))) == bind
    monkeypatch.setattr(udev_rule, "UDEV_CONTROL", str(tmp_path))
    assert sentences(devices(rule=rule).plan(item(image))) == bind


@pytest.mark.parametrize(
    ("has_link", "has_udev", "change"),
    [
        (True, True, {}),
        (False, False, {}),
        (False, True, {"deleted": True}),
        (False, True, {"backing_file": "/srv/with blanks.raw"}),
    ],
)
def test_a_device_that_is_left_without_another_name(
    image: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    has_link: bool,
    has_udev: bool,
    change: Dict[str, Any],
) -> None:
    rule = tmp_path / "61.rules"
    rule.write_text(loop_link.RULE_TEXT)
    if has_udev:
        monkeypatch.setattr(udev_rule, "UDEV_CONTROL", str(tmp_path))
    monkeypatch.setattr(
        loop_binding, "verified_link", lambda _binding: "/dev/it" if has_link else None
    )
    resource = devices(bound(image, **change), rule=str(rule))
    assert sentences(resource.plan(item(image))) == []


def test_all_changes_of_a_binding_are_made(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binding = bound(image, flags=loop_binding.AUTOCLEAR, size=512)
    done: List[object] = []
    monkeypatch.setattr(
        loop_control, "refresh_capacity", lambda *of: done.append(("capacity", *of))
    )
    monkeypatch.setattr(loop_control, "set_direct_io", lambda *of: done.append(("direct_io", *of)))
    monkeypatch.setattr(loop_control, "keep_bound", lambda *of: done.append(("keep", *of)))
    for action in devices(binding).plan(item(image, direct_io=True)).actions:
        action.run()
    assert done == [("capacity", binding), ("direct_io", binding, True), ("keep", binding)]


OTHER_THAN_WANTED = [
    ({}, {"device": "/dev/loop4"}, "instead of /dev/loop4"),
    ({}, {"sector_size": 4096}, "with sectors of 512 bytes, not 4096"),
    ({"flags": loop_binding.READ_ONLY}, {}, "read-only, although the image is writable"),
]


@pytest.mark.parametrize(("found", "wanted", "different"), OTHER_THAN_WANTED)
def test_what_is_ours_and_idle_is_bound_anew(
    image: Path, found: Dict[str, Any], wanted: Dict[str, Any], different: str
) -> None:
    # Its guest may have written that.
    image.write_bytes(b"QFI\xfb" + bytes(MIB))
    binding = bound(image, size=512, marked=True, **found)
    device = wanted.get("device", "/dev/loop3")
    resource = devices(binding)
    plan = resource.plan(item(image, direct_io=True, **wanted))
    assert sentences(plan) == [f"unbind /dev/loop3 from {image}", f"bind {image} to {device}"]
    assert plan.before["device"] == "/dev/loop3"
    assert plan.before["size"] == 512
    assert (plan.after["device"], plan.after["size"]) == (device, MIB)
    assert plan.after["direct_io"] is True


@pytest.mark.parametrize(("found", "wanted", "different"), OTHER_THAN_WANTED)
def test_what_is_used_or_is_not_ours_is_not_bound_anew(
    image: Path, found: Dict[str, Any], wanted: Dict[str, Any], different: str
) -> None:
    start = f"{image} is bound to /dev/loop3 {different}; "
    in_use = "it is in use (mounted on /mnt); release it first (detach, unmount or close it), then "
    theirs, ours = (bound(image, marked=marked, **found) for marked in (False, True))
    used = {3: [MOUNT]}
    assert refused(devices(ours, users=used), image, **wanted) == f"{start}{in_use}run again"
    assert refused(devices(theirs, users=used), image, **wanted) == (
        f"{start}{in_use}unbind it (losetup -d /dev/loop3)"
    )
    assert refused(devices(theirs), image, **wanted) == (
        f"{start}it is not in use, but another program bound it; unbind it (losetup -d "
        "/dev/loop3) if it is not needed"
    )


def test_what_an_earlier_task_releases_is_bound_anew(image: Path) -> None:
    pending = {"vbds": [{"domain": "web", "vdev": "xvdb"}]}
    host = {"users": {3: [WEB]}, "pending": pending}
    ours = bound(image, marked=True)
    assert sentences(devices(ours, **host, check_mode=True).plan(item(image, sector_size=4096)))
    # Without check mode the option has no effect.
    assert "attached to domain web" in refused(devices(ours, **host), image, sector_size=4096)


def test_a_boot_unit_tells_that_a_device_is_ours(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot_unit.BootUnits, "has", lambda _self, path: path == str(image))
    plan = devices(bound(image, marked=False)).plan(item(image, sector_size=4096))
    assert sentences(plan)[0] == f"unbind /dev/loop3 from {image}"


def test_another_image_does_not_lose_its_device_for_a_new_binding(image: Path) -> None:
    other = make(image.parent / "b.raw")
    resource = devices(bound(image, 3, marked=True), bound(other, 4))
    assert refused(resource, image, device="/dev/loop4") == (
        f"cannot bind {image} to /dev/loop4: it is bound to {other}; omit device to use a free one"
    )


def test_sectors_as_wanted(image: Path) -> None:
    assert not sentences(
        devices(bound(image, sector_size=4096)).plan(item(image, sector_size=4096))
    )


@pytest.mark.parametrize("writable", [True, False])
def test_a_read_only_binding(image: Path, monkeypatch: pytest.MonkeyPatch, writable: bool) -> None:
    monkeypatch.setattr(os, "access", lambda _path, mode: writable and mode == os.W_OK)
    resource = devices(bound(image, flags=loop_binding.READ_ONLY, marked=False))
    if writable:
        assert "bound to /dev/loop3 read-only, although the image is writable; " in refused(
            resource, image
        )
    else:
        plan = resource.plan(item(image))
        assert plan.actions == []
        assert plan.before["read_only"] is True


# A deleted backing file


@pytest.mark.parametrize("through", [".", "link"])
def test_a_deleted_image_lives_on(image: Path, through: str) -> None:
    (image.parent / "link").symlink_to(".")
    path = str(image.parent / through / "a.raw") if through != "." else str(image)
    binding = bound(image, deleted=True)
    image.unlink()
    message = (
        f"{path} has been deleted but lives on in /dev/loop3; copy it from there if it is still "
        "needed (cp --sparse=always), then unbind it (xen_loopdev with state: absent and "
        "discard_deleted: true)"
    )
    assert refused(devices(binding), path) == message
    assert refused(devices(binding), path, state="absent") == f"cannot unbind /dev/loop3: {message}"
    plan = devices(binding).plan(item(path, state="absent", discard_deleted=True))
    assert sentences(plan) == [f"unbind /dev/loop3 from {path}"]


def test_another_image_in_the_place_of_a_deleted_one(image: Path, tmp_path: Path) -> None:
    gone = bound(image, deleted=True)
    with image.open():  # as its loop device does, this keeps its inode number from the new ones
        image.unlink()
        new = bound(make(image), 5, file=loop_binding.file_id(make(tmp_path / "new.raw").stat()))
        os.replace(tmp_path / "new.raw", image)
    warning = [f"another image was deleted from {image} but lives on in /dev/loop3"]
    for bindings in [(gone,), (gone, new)]:
        for state in ["present", "absent"]:
            plan = devices(*bindings).plan(item(image, state=state))
            assert plan.warnings == warning
            assert all("/dev/loop3" not in sentence for sentence in sentences(plan))
    both = devices(gone, new).plan(item(image, state="absent", discard_deleted=True))
    assert len(both.actions) == 2
    assert both.warnings == []


def test_an_image_that_has_another_name_is_not_deleted(image: Path, tmp_path: Path) -> None:
    binding = bound(image, deleted=True)
    os.replace(image, tmp_path / "b.raw")
    plan = devices(binding).plan(item(tmp_path / "b.raw", state="absent"))
    assert sentences(plan) == [f"unbind /dev/loop3 from {tmp_path}/b.raw"]


def test_only_the_deleted_image_of_that_path_is_unbound(image: Path, tmp_path: Path) -> None:
    live = bound(image)
    image.unlink()
    discard = {"state": "absent", "discard_deleted": True}
    assert devices(live).plan(item(image, **discard)).actions == []
    gone = replace(live, deleted=True)
    assert devices(gone).plan(item(tmp_path / "b.raw", **discard)).actions == []
    assert "lives on" not in refused(devices(gone), tmp_path / "b.raw")


# Unbinding


def test_unbinds(image: Path) -> None:
    plan = devices(bound(image)).plan(item(image, state="absent"))
    assert sentences(plan) == [f"unbind /dev/loop3 from {image}"]
    assert plan.before["device"] == "/dev/loop3"
    assert plan.after == UNBOUND


def test_unbinds_all_devices_or_the_one_that_is_named(image: Path) -> None:
    both = bound(image, 3), bound(image, 5)
    assert sentences(devices(*both).plan(item(image, state="absent"))) == [
        f"unbind /dev/loop3 from {image}",
        f"unbind /dev/loop5 from {image}",
    ]
    plan = devices(*both).plan(item(image, state="absent", device="/dev/loop5"))
    assert sentences(plan) == [f"unbind /dev/loop5 from {image}"]


def test_nothing_to_unbind(tmp_path: Path, image: Path) -> None:
    make(tmp_path / "b.raw")
    for options in [
        {"path": str(tmp_path / "b.raw")},
        {"path": str(tmp_path / "nothing.raw")},
        {"path": str(image), "device": "/dev/loop4"},
    ]:
        plan = devices(bound(image)).plan(item(**options, state="absent"))
        assert plan.actions == []
        assert plan.before == plan.after == UNBOUND


def test_refuses_to_unbind_what_is_in_use(image: Path) -> None:
    resource = devices(bound(image), users={3: [MOUNT, MOUNT, WEB], 4: [MOUNT]})
    assert refused(resource, image, state="absent") == (
        f"cannot unbind /dev/loop3 ({image}): mounted on /mnt, attached to domain web as xvdb; "
        "release it first (detach, unmount, swapoff or close it)"
    )


def test_a_device_that_is_not_unbound_stays_taken(tmp_path: Path, image: Path) -> None:
    resource = devices(bound(image), users={3: [MOUNT]})
    refused(resource, image, state="absent")
    other = make(tmp_path / "b.raw")
    assert "it is bound to" in refused(resource, other, device="/dev/loop3")


def test_users_that_an_earlier_task_takes_away_count_without_check_mode_only(image: Path) -> None:
    pending = {"vbds": [{"domain": "web", "vdev": "xvdb"}]}
    wanted = {"state": "absent"}
    for users, check_mode, allowed in [
        ([WEB], True, True),
        ([WEB], False, False),
        ([WEB, MOUNT], True, False),
        ([User("vbd", "attached to domain db as xvdb", "db", 51728)], True, False),
    ]:
        resource = devices(bound(image), users={3: users}, check_mode=check_mode, pending=pending)
        if allowed:
            assert resource.plan(item(image, **wanted)).actions
        else:
            assert "web" not in refused(resource, image, **wanted) or not check_mode


def test_leaves_what_is_in_use_where_that_is_wanted(image: Path) -> None:
    both = bound(image, 3), bound(image, 5)
    plan = devices(*both, users={3: [WEB]}).plan(item(image, state="absent", in_use="leave"))
    assert sentences(plan) == [f"unbind /dev/loop5 from {image}"]
    assert plan.before["device"] == plan.after["device"] == "/dev/loop3"
    assert plan.warnings == [
        f"{image} no longer needs a loop device, but /dev/loop3 is in use (attached to domain web "
        "as xvdb) and stays bound; run again when it is not in use any more, or unbind it yourself "
        "if no disk of the plan has this image (xen_loopdev with state: absent)"
    ]


# Taking back


def with_unit(image: Path) -> str:
    """A directory of units that has the one of the image."""
    units = image.parent / "units"
    wants = units / "multi-user.target.wants"
    wants.mkdir(parents=True)
    name = boot_unit.name_of(str(image))
    make(units / name)
    (wants / name).symlink_to(units / name)
    return str(units)


OURS = {"state": "absent", "ours_only": True, "in_use": "leave"}


def test_takes_back_what_has_our_mark(image: Path) -> None:
    assert sentences(devices(bound(image)).plan(item(image, **OURS))) == [
        f"unbind /dev/loop3 from {image}"
    ]


def test_takes_back_what_has_a_unit_of_ours(image: Path) -> None:
    units, name = with_unit(image), boot_unit.name_of(str(image))
    forget = f"stop systemd from binding {image} at boot ({name})"
    unmarked = bound(image, marked=False)
    plan = devices(unmarked, units=units).plan(item(image, **OURS))
    assert sentences(plan) == [forget, f"unbind /dev/loop3 from {image}"]
    assert sentences(devices(units=units).plan(item(image, **OURS))) == [forget]


@pytest.mark.parametrize("options", [OURS, {"state": "absent"}])
def test_an_image_that_another_config_names_stays_bound(image: Path, options: Any) -> None:
    config = image.parent / "web.cfg"
    config.write_text(f"name='web'\ndisk=['{loop_link.link_of(str(image))},,xvda']\n")
    named_in = {"directories": [str(image.parent)], "but_for": None}
    plan = devices(bound(image)).plan(item(image, named_in=named_in, **options))
    assert plan.actions == []
    assert plan.after["device"] == "/dev/loop3"
    words = f"stays bound to /dev/loop3, although this play does not need it: {config} names it"
    assert words in plan.warnings[0]
    named_in["but_for"] = [str(config)]
    assert devices(bound(image)).plan(item(image, named_in=named_in, **options)).actions


def test_a_unit_stays_as_long_as_its_device_is_in_use(image: Path) -> None:
    plan = devices(bound(image), units=with_unit(image), users={3: [WEB]}).plan(item(image, **OURS))
    assert plan.actions == []
    assert plan.after["persistent"] is True
    assert "(attached to domain web as xvdb) and stays bound" in plan.warnings[0]
    message = refused(
        devices(bound(image), users={3: [WEB]}), image, state="absent", ours_only=True
    )
    assert "cannot unbind /dev/loop3" in message


def test_leaves_what_is_not_ours(image: Path) -> None:
    other = bound(image, marked=False)
    idle = devices(other).plan(item(image, **OURS))
    assert idle.actions == []
    assert idle.warnings == [
        f"{image} is bound to /dev/loop3, which is not in use and which this collection did not "
        "bind; unbind it if it is not needed (losetup -d /dev/loop3)"
    ]
    assert devices(other, users={3: [WEB]}).plan(item(image, **OURS)).warnings == []
    part = bound(image, offset=512)
    assert devices(part, users={3: [WEB]}).plan(item(image, **OURS)).actions == []


def test_takes_back_nothing_where_nothing_can_be_bound(tmp_path: Path, image: Path) -> None:
    for path in [tmp_path, tmp_path / "nothing.raw", "/dev/null"]:
        plan = devices(bound(image)).plan(item(path, **OURS))
        assert plan.actions == plan.warnings == []
    assert "a file name cannot contain" in refused(devices(), "/srv/\0", **OURS)


def test_never_takes_back_what_was_deleted(image: Path) -> None:
    gone = bound(image, deleted=True)
    image.unlink()
    plan = devices(gone).plan(item(image, discard_deleted=True, **OURS))
    assert plan.actions == []
    assert "lives on in /dev/loop3" in plan.warnings[0]


def test_takes_back_nothing_that_another_item_is_about(tmp_path: Path, image: Path) -> None:
    (tmp_path / "link.raw").symlink_to(image)
    resource = devices(bound(image))
    wanted = [item(tmp_path / "link.raw", **OURS), item(image)]
    plans = [resource.plan(one) for one in sorted(wanted, key=resource.rank)]
    assert [sentences(plan) for plan in plans] == [[], []]


def test_udev_is_awaited_once_and_only_before_something_is_unbound(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    awaited: List[int] = []
    monkeypatch.setattr(unbinding, "settle_udev", lambda: awaited.append(1))
    other = make(tmp_path / "b.raw")
    resource = devices(bound(image, 3), bound(other, 4))
    resource.plan(item(make(tmp_path / "c.raw"), state="absent"))
    assert not awaited
    resource.plan(item(image, state="absent"))
    resource.plan(item(other, state="absent"))
    assert len(awaited) == 1


def test_settles_udev_where_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: List[Any] = []
    monkeypatch.setattr(programs, "run", lambda argv, _timeout: ran.append(argv))
    monkeypatch.setattr(loop_binding, "scan", list)
    devices().settle()
    assert not ran
    (tmp_path / "no-udev").touch()
    devices().settle()
    assert ran == [["udevadm", "settle", "--timeout=30"]]


# The host's devices


def test_the_lock_is_held_unless_in_check_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    events: List[str] = []

    @contextmanager
    def lock() -> Iterator[None]:
        events.append("locked")
        yield
        events.append("released")

    monkeypatch.setattr(locks, "loop_devices", lock)
    monkeypatch.setattr(loop_binding, "scan", lambda: events.append("scanned") or [])
    with loopdev.open_devices(Pending()):
        events.append("open")
    assert events == ["locked", "scanned", "open", "released"]
    del events[:]
    with loopdev.open_devices(Pending(True)):
        pass
    assert events == ["scanned"]
