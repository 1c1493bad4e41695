# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw images on a real file system; only errors that it does not produce on demand are faked."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import subprocess
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Dict, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Plan, State
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host import locks, mounts
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import opened_real
from ansible_collections.xen.blockdev.plugins.module_utils.image import file_actions, raw_content
from ansible_collections.xen.blockdev.plugins.module_utils.image import path as image_path
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk import RawImages
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk_item import (
    RawDiskItem,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage, User
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.imageutil import (
    MIB,
    allocated,
    failing,
    fake_qemu_img,
    holey,
    image,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

DEFAULTS: Dict[str, Any] = {
    "state": "present",
    "size": None,
    "source": None,
    "source_format": None,
    "format": None,
    "filesystem": None,
    "label": None,
    "fat_sector_size": None,
    "preserve": False,
    "allocation": "sparse",
    "shrink": False,
    "volatile": False,
    "parents": False,
    "named_in": None,
    "slots": None,
    "allow_slot_change": False,
    "autostart_dir": "/nowhere",
    "max_overcommit": None,
}

LOOP = User("loop", "bound to /dev/loop3", rdev=os.makedev(7, 3))
VBD = User("vbd", "attached to domain web as xvdb", "web", 51728)
PROCESS = User("process", "open in process 7 (qemu-img)")


@pytest.fixture(autouse=True)
def own_locks(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "OWN_DIR", str(tmp_path_factory.mktemp("locks")))


class KnownUsage(Usage):
    """Has the same users for every file."""

    def __init__(self, *users: User) -> None:
        super().__init__()
        self.users = list(users)

    def of_file(
        self,
        status: os.stat_result,
        leaves: Callable[[User], bool] = lambda user: False,
        path: str = "",
        processes: bool = True,
    ) -> List[User]:
        return [user for user in self.users if not leaves(user)]

    def attachments(self, rdev: int) -> List[User]:
        return [user for user in self.users if user.kind == "vbd"]


def item(path: object, **options: Any) -> RawDiskItem:
    path = path if not isinstance(path, Path) else str(path)
    return RawDiskItem.read({**DEFAULTS, "path": path, **options})


def planned(
    path: object, *, users: Any = (), check_mode: bool = False, pending: Any = None, **options: Any
) -> Plan:
    images = RawImages(KnownUsage(*users), Pending.read(pending, check_mode))
    return images.plan(item(path, **options))


def done(path: object, **options: Any) -> State:
    plan = planned(path, **options)
    for action in plan.actions:
        action.run()
    return plan.read_back()


def sentences(plan: Plan) -> List[str]:
    return [action.sentence for action in plan.actions]


def refused(path: object, **options: Any) -> str:
    with pytest.raises(BlockdevError) as error:
        planned(path, **options)
    return str(error.value)


QCOW2 = b"QFI\xfb\0\0\0\3"


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"size": "2M"}, "grow {} from 1MiB to 2MiB"),
        ({"size": "512", "shrink": True}, "shrink {} from 1MiB to 512 bytes"),
    ],
)
def test_an_image_that_looks_like_another_format_gets_no_new_size(
    tmp_path: Path, options: Dict[str, Any], what: str
) -> None:
    path = image(tmp_path / "a.raw", MIB, QCOW2)
    assert refused(path, **options) == (
        f"cannot {what.format(path)}: {path} has the signature of a qcow2 image; if it is one, "
        "set format: qcow2 for the disk, or convert it to raw (xen_raw_disk with source and "
        "source_format: qcow2); if it is a raw disk all the same, set format: raw"
    )
    assert done(path, format="raw", **options)["size"] == path.stat().st_size != MIB


def test_an_image_that_keeps_its_size_may_look_like_anything(tmp_path: Path) -> None:
    path = image(tmp_path / "a.raw", MIB, QCOW2)
    for options in ({}, {"size": MIB}):
        assert not planned(path, **options).actions
    done(path, state="absent")


def test_an_image_of_whole_blocks_that_keeps_its_size_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_content, "foreign", None)
    assert planned(image(tmp_path / "a.raw")).warnings == []


def test_warns_of_mirage_only_if_the_image_is_raw(tmp_path: Path) -> None:
    odd = MIB + 512
    path = image(tmp_path / "a.raw", odd, QCOW2)
    assert planned(path).warnings == []
    warning = (
        f"{path}: {odd} bytes is not a multiple of 4096 bytes: MirageOS on Xen does not see the "
        "last 512 bytes"
    )
    assert planned(path, format="raw").warnings == [warning]
    assert planned(image(path, odd)).warnings == [warning]


def test_a_tar_archive_is_the_disk_of_a_unikernel(tmp_path: Path) -> None:
    path = image(tmp_path / "a.raw", MIB, bytes(257) + b"ustar")
    assert done(path, size="2M")["size"] == 2 * MIB


def in_memory(monkeypatch: pytest.MonkeyPatch, path: Path, kind: str) -> None:
    device = path.stat().st_dev
    table = path / "mountinfo"
    table.write_text(f"1 1 {os.major(device)}:{os.minor(device)} / / rw - {kind} x rw\n")
    monkeypatch.setattr(mounts, "MOUNTS", str(table))


@pytest.mark.parametrize("kind", ["tmpfs", "ramfs", "devtmpfs"])
def test_no_image_in_memory_unless_that_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    in_memory(monkeypatch, tmp_path, kind)
    for parents in (True, False):
        assert refused(tmp_path / "new/a.raw", size=MIB, parents=parents) == (
            f"cannot create {tmp_path}/new/a.raw: {tmp_path} is in memory ({kind}), so the image "
            "would be lost at the next boot; choose another directory, or set volatile: true"
        )
    assert done(tmp_path / "a.raw", size=MIB, volatile=True)["size"] == MIB
    assert done(tmp_path / "a.raw", size=2 * MIB)["size"] == 2 * MIB


@pytest.mark.parametrize("kind", ["ext4", "xfs", "nfs4", "overlay"])
def test_an_image_on_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    in_memory(monkeypatch, tmp_path, kind)
    assert planned(tmp_path / "a.raw", size=MIB).actions


@pytest.mark.parametrize("path", ["/dev/vg0/web", "/dev/web", "/proc/a", "/sys/a"])
def test_no_image_where_the_kernel_makes_things(tmp_path: Path, path: str) -> None:
    words = "if this is a block device, create or activate it first"
    for options in ({}, {"volatile": True, "parents": True}):
        assert words in refused(path, size=MIB, **options)
    (tmp_path / "link").symlink_to(os.path.dirname(path))
    assert words in refused(tmp_path / "link" / os.path.basename(path), size=MIB)


def test_an_image_below_run_is_gone_at_every_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "types_of", lambda _device: {"overlay"})
    path = "/run/xen-blockdev-test/a.raw"
    assert "it is below /run, so the image would be lost" in refused(path, size=MIB, parents=True)
    assert planned(path, size=MIB, parents=True, volatile=True).actions


def has_space(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """Every file system has so many free blocks of 4096 bytes."""
    status = SimpleNamespace(f_blocks=2**20, f_bfree=free, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _path: status)


def no_unnamed_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_directory: int) -> int:
        raise OSError(errno.EOPNOTSUPP, "no such files here")

    monkeypatch.setattr(file_actions, "_open_nameless", fail)


# Creation


def test_plan_touches_nothing_and_says_what_a_run_does(tmp_path: Path) -> None:
    plan = planned(tmp_path / "a.raw", size="16MiB")
    assert sentences(plan) == [f"create {tmp_path}/a.raw, 16MiB, sparse"]
    assert plan.before == {"size": None, "allocated": None}
    assert plan.after == {"size": 16 * MIB, "allocated": 0}
    assert plan.file == str(tmp_path / "a.raw")
    assert not plan.warnings
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("unnamed", [True, False])
@pytest.mark.parametrize("umask", [0, 0o277])
def test_creates_sparse_and_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unnamed: bool, umask: int
) -> None:
    if not unnamed:
        no_unnamed_files(monkeypatch)
    before = os.umask(umask)
    try:
        state = done(tmp_path / "a.raw", size="16MiB")
    finally:
        os.umask(before)
    assert state == {"size": 16 * MIB, "allocated": 0}
    assert stat.S_IMODE((tmp_path / "a.raw").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["a.raw"]
    assert not planned(tmp_path / "a.raw", size="16MiB").actions


def test_creates_with_all_blocks(tmp_path: Path) -> None:
    state = done(tmp_path / "a.raw", size=MIB, allocation="full")
    assert state["allocated"] >= MIB
    assert allocated(tmp_path / "a.raw") >= MIB


def test_creates_where_a_linked_directory_leads(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    plan = planned(tmp_path / "link/a.raw", size="1M")
    assert plan.file == str(tmp_path / "real/a.raw")
    plan.actions[0].run()
    assert os.listdir(tmp_path / "real") == ["a.raw"]


@pytest.mark.parametrize("unnamed", [True, False])
def test_never_over_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unnamed: bool
) -> None:
    if not unnamed:
        no_unnamed_files(monkeypatch)
    plan = planned(tmp_path / "a.raw", size="1M")
    (tmp_path / "a.raw").write_text("somebody's")
    with pytest.raises(ImageError, match="another process created it in the meantime"):
        plan.actions[0].run()
    assert (tmp_path / "a.raw").read_text() == "somebody's"
    assert os.listdir(tmp_path) == ["a.raw"]


@pytest.mark.parametrize("unnamed", [True, False])
def test_only_one_of_many_at_once_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unnamed: bool
) -> None:
    if not unnamed:
        no_unnamed_files(monkeypatch)
    plans = [planned(tmp_path / "a.raw", size=f"{n}M") for n in range(1, 17)]
    together = threading.Barrier(len(plans))

    def make(plan: Plan) -> bool:
        together.wait()
        try:
            plan.actions[0].run()
        except ImageError:
            return False
        return bool(plan.read_back())

    with ThreadPoolExecutor(len(plans)) as threads:
        assert sum(threads.map(make, plans)) == 1
    assert os.listdir(tmp_path) == ["a.raw"]


@pytest.mark.parametrize("unnamed", [True, False])
def test_full_disk_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unnamed: bool
) -> None:
    if not unnamed:
        no_unnamed_files(monkeypatch)
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.ENOSPC))
    plan = planned(tmp_path / "a.raw", size="1M", allocation="full")
    with pytest.raises(OSError, match="No space left"):
        plan.actions[0].run()
    assert not os.listdir(tmp_path)


def test_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any, **_options: Any) -> None:
        raise OSError(errno.EPERM, "not permitted")

    plan = planned(tmp_path / "a.raw", size="1M")
    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(ImageError, match="does not support hard links"):
        plan.actions[0].run()
    assert not os.listdir(tmp_path)


def test_syncs_each_directory_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("made", "removed", "grown"):
        (tmp_path / name).mkdir()
    images = RawImages(KnownUsage(), Pending())
    wanted = [item(tmp_path / f"made/{n}.raw", size="1M") for n in range(3)]
    wanted.append(item(image(tmp_path / "removed/a.raw"), state="absent"))
    wanted.append(item(image(tmp_path / "grown/a.raw"), size="2M"))
    for plan in [images.plan(one) for one in wanted]:
        plan.actions[0].run()
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    images.settle()
    assert synced == [(tmp_path / name).stat().st_ino for name in ("made", "removed")]


def test_read_back_finds_a_change_by_another_process(tmp_path: Path) -> None:
    plan = planned(tmp_path / "a.raw", size="1M")
    plan.actions[0].run()
    os.truncate(tmp_path / "a.raw", 512)
    with pytest.raises(ImageError, match="another process changed it"):
        plan.read_back()


@pytest.mark.parametrize(("size", "warned"), [("4K", False), ("513K", True), (512, True)])
def test_warns_of_the_tail_that_mirage_loses(tmp_path: Path, size: object, warned: bool) -> None:
    assert bool(planned(tmp_path / "a.raw", size=size).warnings) is warned


def test_keeps_an_image_whose_size_is_not_given(tmp_path: Path) -> None:
    plan = planned(image(tmp_path / "a.raw", 5000), source="/nowhere", allocation="full")
    assert not plan.actions
    assert plan.before == plan.after == {"size": 5000, "allocated": 0}
    assert plan.before is not plan.after
    assert "not see the last 904 bytes" in plan.warnings[0]


# Bad input


@pytest.mark.parametrize(
    "path", ["a.raw", "./a.raw", "", "/", "/srv/", "/srv/..", "/srv/a\0b", "/\ud800", 5, None, []]
)
@pytest.mark.parametrize("state", ["present", "absent"])
def test_invalid_path(path: object, state: str) -> None:
    message = refused(path, size="1M", state=state)
    assert message.startswith(f"path {path!r} is not the absolute path of a file")
    assert "/srv/xen/web/boot.raw" in message


@pytest.mark.parametrize("state", ["present", "absent"])
def test_files_that_are_not_images(tmp_path: Path, state: str) -> None:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
    for name, kind in (
        (tmp_path / "directory", "a directory"),
        (tmp_path / "fifo", "a fifo"),
        (tmp_path / "socket", "a socket"),
        ("/dev/null", "a character device"),
    ):
        assert f"{name} is {kind}, not an image" in refused(name, size="1M", state=state)
    assert len(os.listdir(tmp_path)) == 3


def test_links(tmp_path: Path) -> None:
    image(tmp_path / "a.raw")
    (tmp_path / "link").symlink_to("a.raw")
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "circle").symlink_to("circle")
    assert done(tmp_path / "link", size="2M")["size"] == 2 * MIB
    assert planned(tmp_path / "link").file == str(tmp_path / "a.raw")
    assert f"symbolic link to {tmp_path}/a.raw" in refused(tmp_path / "link", state="absent")
    for state in ("present", "absent"):
        message = refused(tmp_path / "dangling", size="1M", state=state)
        assert f"{tmp_path}/nothing, which does not exist" in message
        assert "cannot read" in refused(tmp_path / "circle", size="1M", state=state)
    assert (tmp_path / "a.raw").stat().st_size == 2 * MIB
    assert not (tmp_path / "nothing").exists()


def test_invalid_directory(tmp_path: Path) -> None:
    image(tmp_path / "file")
    assert refused(tmp_path / "no/a.raw", size="1M") == (
        f"cannot create {tmp_path}/no/a.raw: the directory {tmp_path}/no does not exist; "
        "create it first, or set parents: true"
    )
    for parents in (False, True):
        for path in (tmp_path / "file/a.raw", tmp_path / "file/no/a.raw"):
            assert refused(path, size="1M", parents=parents) == (
                f"cannot create {path}: {tmp_path}/file is not a directory"
            )
            assert not planned(path, state="absent", parents=parents).actions
    assert not planned(tmp_path / "no/a.raw", state="absent", parents=True).actions
    assert os.listdir(tmp_path) == ["file"]


def test_creates_the_directories_above(tmp_path: Path) -> None:
    images = RawImages(KnownUsage(), Pending())
    wanted = [
        item(tmp_path / "new/web/a.raw", size="1M", parents=True),
        item(tmp_path / "new/web/b.raw", size="1M", parents=True),
        item(tmp_path / "new/c.raw", size="1M", parents=True),
    ]
    plans = [images.plan(one) for one in wanted]
    assert [sentences(plan) for plan in plans] == [
        [
            f"create the directory {tmp_path}/new/web",
            f"create {tmp_path}/new/web/a.raw, 1MiB, sparse",
        ],
        [f"create {tmp_path}/new/web/b.raw, 1MiB, sparse"],
        [f"create {tmp_path}/new/c.raw, 1MiB, sparse"],
    ]
    assert not os.listdir(tmp_path)
    for plan in plans:
        for action in plan.actions:
            action.run()
        assert plan.read_back()["size"] == MIB
    images.settle()
    assert not planned(tmp_path / "new/web/a.raw", parents=True).actions
    assert len(planned(tmp_path / "new/web/d.raw", size="1M", parents=True).actions) == 1


def test_missing_directory_is_judged_by_the_one_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "no/such/a.raw"
    with monkeypatch.context() as limited:
        limited.setattr(os, "ftruncate", failing(errno.EFBIG))
        message = refused(path, size="2T", parents=True)
        assert f"the file system of {tmp_path} cannot hold a file" in message
    with monkeypatch.context() as read_only:
        read_only.setattr(os, "access", lambda *_arguments: False)
        message = refused(path, size="1M", parents=True)
        assert f"{tmp_path} is not writable" in message and "read-only" in message
    has_space(monkeypatch, free=1)
    message = refused(path, size="1M", parents=True, allocation="full")
    assert f"4096 are free in {tmp_path} " in message
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("options", [{"size": "1M"}, {"size": "3M"}, {"state": "absent"}])
def test_read_only_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Dict[str, Any]
) -> None:
    monkeypatch.setattr(os, "access", lambda *_arguments: False)
    image(tmp_path / "a.raw", 2 * MIB)
    assert "mounted read-only" in refused(tmp_path / "a.raw", shrink=True, **options)
    assert "mounted read-only" in refused(tmp_path / "b.raw", size="1M")


@pytest.mark.parametrize("size", [0, -512, "0", "-1M", 513, "16MB", "x", 1.5, True, [], 2**63, ""])
def test_unreadable_size_names_the_image(tmp_path: Path, size: object) -> None:
    assert f"size of {tmp_path}/a.raw: " in refused(tmp_path / "a.raw", size=size)
    assert f"size of {tmp_path}/b.raw: " in refused(image(tmp_path / "b.raw"), size=size)
    assert os.listdir(tmp_path) == ["b.raw"]


def test_size_missing(tmp_path: Path) -> None:
    assert "does not exist yet; set its size" in refused(tmp_path / "a.raw")


def test_same_image_twice(tmp_path: Path) -> None:
    image(tmp_path / "a.raw")
    os.link(tmp_path / "a.raw", tmp_path / "hard.raw")
    (tmp_path / "soft.raw").symlink_to("a.raw")
    (tmp_path / "here").symlink_to(".")
    images = RawImages(KnownUsage(), Pending())
    images.plan(item(tmp_path / "a.raw"))
    images.plan(item(tmp_path / "new.raw", size="1M"))
    for name, first in (
        ("a.raw", "a.raw"),
        ("hard.raw", "a.raw"),
        ("soft.raw", "a.raw"),
        ("here/a.raw", "a.raw"),
        ("./a.raw", "a.raw"),
        ("new.raw", "new.raw"),
        ("here/new.raw", "new.raw"),
    ):
        with pytest.raises(ImageError, match=f"is the same image as {tmp_path}/{first}"):
            images.plan(item(f"{tmp_path}/{name}", size="1M"))


def test_beyond_the_limit_of_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modified = tmp_path.stat().st_mtime_ns
    monkeypatch.setattr(os, "ftruncate", failing(errno.EFBIG))
    assert "cannot hold a file of that size" in refused(tmp_path / "a.raw", size="2T")
    assert tmp_path.stat().st_mtime_ns == modified
    assert planned(tmp_path / "a.raw", size=2 * 1024**4 - 512).actions
    assert "cannot hold a file" in refused(image(tmp_path / "b.raw"), size="3T")
    no_unnamed_files(monkeypatch)
    assert planned(tmp_path / "a.raw", size="2T").actions


def test_free_space_of_all_items_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    has_space(monkeypatch, free=256)
    message = refused(tmp_path / "a.raw", size="2M", allocation="full")
    assert f"needs {2 * MIB} more bytes, but {MIB} are free in {tmp_path}" in message

    full = image(tmp_path / "old.raw", 0)
    full.write_bytes(b"x" * MIB)
    os.link(full, tmp_path / "shared.raw")
    images = RawImages(KnownUsage(), Pending())
    images.plan(item(tmp_path / "old.raw", state="absent"))
    images.plan(item(tmp_path / "a.raw", size="1M", allocation="full"))
    with pytest.raises(ImageError, match="4096 more bytes, but 0 are free"):
        images.plan(item(tmp_path / "b.raw", size="4K", allocation="full"))
    images.plan(item(tmp_path / "c.raw", size="1G"))

    os.unlink(tmp_path / "shared.raw")
    images = RawImages(KnownUsage(), Pending())
    images.plan(item(tmp_path / "old.raw", state="absent"))
    images.plan(item(tmp_path / "a.raw", size="2M", allocation="full"))


# Growth, shrinking


def test_grows_also_in_use(tmp_path: Path) -> None:
    path = image(tmp_path / "a.raw", MIB, b"content")
    plan = planned(path, size="2M", users=[LOOP])
    assert sentences(plan) == [f"grow {path} from 1MiB to 2MiB"]
    assert plan.after == {**plan.before, "size": 2 * MIB}
    with open(path, "rb"):
        plan.actions[0].run()
    assert plan.read_back()["size"] == 2 * MIB
    assert path.read_bytes() == b"content".ljust(2 * MIB, b"\0")


def test_grows_with_all_blocks(tmp_path: Path) -> None:
    path = image(tmp_path / "a.raw", MIB, b"content")
    assert planned(path, size="2M", allocation="full").after["allocated"] == 2 * MIB
    assert done(path, size="2M", allocation="full")["allocated"] >= 2 * MIB
    assert path.read_bytes() == b"content".ljust(2 * MIB, b"\0")


def test_growth_needs_room_only_for_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = image(tmp_path / "a.raw", 0)
    path.write_bytes(b"x" * MIB)
    has_space(monkeypatch, free=256)
    assert planned(path, size="2M", allocation="full").actions
    assert "needs" in refused(path, size="3M", allocation="full")


def test_growth_that_fails_halfway_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = image(tmp_path / "a.raw", MIB, b"content")

    (tmp_path / "fallocate").write_text(
        '#!/bin/sh\ntruncate --size 3M "$3"\necho fallocate: No space left on device >&2\nexit 1\n'
    )
    (tmp_path / "fallocate").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(ImageError) as error:
        planned(path, size="4M", allocation="full").actions[0].run()
    assert str(error.value) == (
        f"cannot preallocate {path}: fallocate failed: fallocate: No space left on device; "
        "set allocation: sparse"
    )
    assert path.stat().st_size == MIB


def test_growth_never_writes_over_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As posix_fallocate does in the C library if a file system has no fallocate(2)."""
    path = image(tmp_path / "a.raw", MIB, b"content")
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.EOPNOTSUPP))
    planned(path, size="2M", allocation="full").actions[0].run()
    assert path.read_bytes() == b"content" + bytes(2 * MIB - 7)
    assert path.stat().st_blocks * 512 >= 2 * MIB


def test_growth_never_truncates_what_another_process_grew(tmp_path: Path) -> None:
    path = image(tmp_path / "a.raw")
    plan = planned(path, size="2M")
    os.truncate(path, 3 * MIB)
    with pytest.raises(ImageError, match=r"another process grew .* to 3MiB"):
        plan.actions[0].run()
    assert path.stat().st_size == 3 * MIB


def test_growth_waits_for_another_run_that_grows_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = image(tmp_path / "a.raw")
    less, more = planned(path, size="2M").actions[0], planned(path, size="3M").actions[0]
    truncate = os.ftruncate

    def slow(descriptor: int, size: int) -> None:
        if size == 2 * MIB:
            in_between.append(pool.submit(more.run))
            with pytest.raises(FutureTimeoutError):
                in_between[0].result(0.2)
        truncate(descriptor, size)

    in_between: List[Future] = []
    monkeypatch.setattr(os, "ftruncate", slow)
    with ThreadPoolExecutor() as pool:
        less.run()
        in_between[0].result(10)
    assert path.stat().st_size == 3 * MIB


@pytest.mark.parametrize("options", [{"size": 512}, {"state": "absent"}])
@pytest.mark.parametrize("new", [True, False])
def test_another_run_deletes_it_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Dict[str, Any], new: bool
) -> None:
    path = image(tmp_path / "a.raw")
    plan = planned(path, shrink=True, **options)
    real = fcntl.fcntl

    def lease(descriptor: int, command: int, argument: int) -> int:
        if command == fcntl.F_SETLEASE:
            os.unlink(path)
            if new:
                os.rename(image(tmp_path / "b.raw", 2 * MIB), path)
        return real(descriptor, command, argument)

    monkeypatch.setattr(fcntl, "fcntl", lease)
    with pytest.raises(ImageError, match="replaced by" if new else "another process deleted"):
        plan.actions[0].run()
    assert path.exists() == new
    assert not new or path.stat().st_size == 2 * MIB


@pytest.mark.parametrize(("kind", "works"), [("nfs4", True), ("cifs", True), ("ext4", False)])
def test_a_file_system_that_grants_leases_to_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, works: bool
) -> None:
    path = image(tmp_path / "a.raw")
    device = path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 0:1 / / rw - tmpfs tmpfs rw\n"
        f"23 22 {number} / /srv rw shared:1 - {kind} host:/srv rw\n"
    )
    real = fcntl.fcntl

    def no_lease(descriptor: int, command: int, argument: int) -> int:
        if command == fcntl.F_SETLEASE:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        return real(descriptor, command, argument)

    monkeypatch.setattr(mounts, "MOUNTS", str(table))
    monkeypatch.setattr(fcntl, "fcntl", no_lease)
    plan = planned(path, size=512, shrink=True)
    if works:
        plan.actions[0].run()
    else:
        with pytest.raises(
            ImageError, match="another process has opened it in the meantime; run again"
        ):
            plan.actions[0].run()
    assert path.stat().st_size == (512 if works else MIB)


@pytest.mark.parametrize("options", [{"size": "2M"}, {"size": 512}, {"state": "absent"}])
def test_leaves_a_file_that_was_put_in_its_place(tmp_path: Path, options: Dict[str, Any]) -> None:
    plan = planned(image(tmp_path / "a.raw"), shrink=True, **options)
    os.replace(image(tmp_path / "b.raw"), tmp_path / "a.raw")
    with pytest.raises(ImageError, match="replaced by another file"):
        plan.actions[0].run()
    assert (tmp_path / "a.raw").stat().st_size == MIB


@pytest.mark.parametrize("there", [True, False])
def test_replaced_between_two_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    def resolved(path: str) -> str:
        os.unlink(path)
        if there:
            os.rename(other, path)
        return path

    path, other = image(tmp_path / "a.raw"), image(tmp_path / "b.raw")
    monkeypatch.setattr(image_path, "resolved", resolved)
    what = "replaced by another file" if there else "removed"
    assert refused(path, size="1M") == f"{path} was {what} in the meantime; run again"


@pytest.mark.parametrize("there", [True, False])
def test_never_through_a_link_that_was_put_above_it(tmp_path: Path, there: bool) -> None:
    place, other = tmp_path / "images", tmp_path / "other"
    place.mkdir()
    other.mkdir()
    if there:  # the same file, so that its status does not show the difference
        os.link(image(place / "a.raw"), other / "a.raw")
    options = {"state": "absent"} if there else {"size": "1M"}
    plan = planned(place / "a.raw", **options)
    place.rename(tmp_path / "moved")
    place.symlink_to(other)
    with pytest.raises(BlockdevError, match=f"{place} is not a directory"):
        plan.actions[0].run()
    assert (other / "a.raw").exists() is there


def test_shrinks_only_with_consent(tmp_path: Path) -> None:
    path = image(tmp_path / "a.raw", 2 * MIB)
    message = refused(path, size="1M")
    assert message == (
        f"cannot shrink {path} from 2MiB to 1MiB: data beyond 1MiB would be lost; set shrink: true "
        "to allow it, or omit size"
    )
    assert sentences(planned(path, size="1M", shrink=True)) == [f"shrink {path} from 2MiB to 1MiB"]
    assert done(path, size="1M", shrink=True)["size"] == MIB


# Use


@pytest.mark.parametrize(
    ("what", "options"),
    [("shrink", {"size": 512, "shrink": True}), ("delete", {"state": "absent"})],
)
def test_in_use(tmp_path: Path, what: str, options: Dict[str, Any]) -> None:
    path = image(tmp_path / "a.raw")
    assert refused(path, users=[LOOP], **options) == (
        f"cannot {what} {path}: bound to /dev/loop3; unbind it first "
        "(xen_loopdev with state: absent)"
    )
    message = refused(path, users=[LOOP, VBD, PROCESS], **options)
    # The guest that has the loop device comes first, and is named once.
    assert "attached to domain web as xvdb, bound to /dev/loop3, open in process 7" in message
    assert "unbind it first" in message
    assert "detach it first" in message
    assert "close it first" in message


@pytest.mark.parametrize(
    ("what", "options"),
    [("shrink", {"size": 512, "shrink": True}), ("delete", {"state": "absent"})],
)
def test_came_into_use_after_the_plan(tmp_path: Path, what: str, options: Dict[str, Any]) -> None:
    path = image(tmp_path / "a.raw")
    plan = planned(path, **options)
    with open(path, "rb"), pytest.raises(ImageError, match=f"cannot {what} .* in the meantime"):
        plan.actions[0].run()
    assert path.stat().st_size == MIB
    plan.actions[0].run()
    plan.read_back()


def test_a_process_that_opens_it_during_the_action_waits(tmp_path: Path) -> None:
    path = image(tmp_path / "a.raw", 2 * MIB)
    found = image_path.find(str(path))
    assert isinstance(found, image_path.Image)
    with opened_real(str(tmp_path)) as parent, file_actions._exclusive(
        found, parent, "shrink it"
    ) as descriptor:
        reader = subprocess.Popen(["wc", "-c", str(path)], stdout=subprocess.PIPE)
        with pytest.raises(subprocess.TimeoutExpired):
            reader.wait(0.2)
        os.ftruncate(descriptor, MIB)
    output = reader.communicate(timeout=10)[0]
    assert output.split()[0] == str(MIB).encode()


def test_file_system_without_leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = image(tmp_path / "a.raw")
    plan = planned(path, state="absent")
    monkeypatch.setattr(fcntl, "fcntl", failing(errno.EINVAL))
    plan.actions[0].run()
    assert not path.exists()


def test_a_deleted_image_is_not_replaced_by_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted = {f"{tmp_path}/a.raw": "/dev/loop3"}
    monkeypatch.setattr(loop_binding, "deleted_images", lambda: deleted)
    message = refused(tmp_path / "a.raw", size=MIB)
    assert f"{tmp_path}/a.raw has been deleted but lives on in /dev/loop3; copy it" in message
    (tmp_path / "link").symlink_to(".")
    assert "lives on in /dev/loop3" in refused(tmp_path / "link/a.raw", size=MIB)
    assert planned(tmp_path / "b.raw", size=MIB).actions


def test_users_that_earlier_tasks_would_remove_do_not_count_in_check_mode(tmp_path: Path) -> None:
    path = image(tmp_path / "a.raw")
    going: Dict[str, Any] = {
        "state": "absent",
        "pending": {"vbds": [{"domain": "web", "vdev": "xvdb"}]},
        "users": [LOOP, VBD],
    }
    assert planned(path, check_mode=True, **going).actions
    loop_only: Dict[str, Any] = {**going, "users": [LOOP]}
    assert "bound to" in refused(path, check_mode=True, **loop_only)
    for unbound, ok in (("/b", False), (str(path), True)):
        loop_only["pending"] = {"devices": [{"path": unbound, "size": None}]}
        if ok:
            assert planned(path, check_mode=True, **loop_only).actions
        else:
            assert "bound to" in refused(path, check_mode=True, **loop_only)
    assert "bound to" in refused(path, check_mode=False, **going)
    other = {"vbds": [{"domain": "web", "vdev": "xvdc"}]}
    assert "attached" in refused(path, check_mode=True, **{**going, "pending": other})
    assert "open in" in refused(path, check_mode=True, **{**going, "users": [PROCESS]})
    shrinking = {**going, "state": "present", "size": 512, "shrink": True}
    assert "bound to" in refused(path, check_mode=True, **shrinking)


def test_an_image_that_a_config_names_is_not_deleted(tmp_path: Path) -> None:
    path = image(tmp_path / "a.raw")
    config = tmp_path / "web.cfg"
    config.write_text(f"name='web'\ndisk=['{path},,xvda']\n")
    named_in = {"directories": [str(tmp_path)], "but_for": None}
    assert refused(path, state="absent", named_in=named_in) == (
        f"cannot delete {path}: {config} names it; remove the disk from that config first"
    )
    bound = User("loop", "bound to /dev/loop3")
    assert refused(path, state="absent", named_in=named_in, users=[bound]) == (
        f"cannot delete {path}: {config} names it, bound to /dev/loop3; remove the disk from "
        "that config first, unbind it first (xen_loopdev with state: absent)"
    )
    named_in["but_for"] = [str(config)]
    assert planned(path, state="absent", named_in=named_in).actions


def test_deletes(tmp_path: Path) -> None:
    path = image(tmp_path / "a.raw")
    plan = planned(path, state="absent")
    assert sentences(plan) == [f"delete {path}"]
    assert plan.before == {"size": MIB, "allocated": 0}
    assert plan.after == {"size": None, "allocated": None}
    assert plan.file is None
    plan.actions[0].run()
    assert plan.read_back() == plan.after
    assert not planned(path, state="absent").actions
    path.touch()
    with pytest.raises(ImageError, match="created it again"):
        plan.read_back()


# Copies


@pytest.mark.parametrize("unnamed", [True, False])
def test_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unnamed: bool) -> None:
    if not unnamed:
        no_unnamed_files(monkeypatch)
    content = holey(tmp_path / "base.raw")
    plan = planned(tmp_path / "a.raw", source=f"{tmp_path}/base.raw")
    assert sentences(plan) == [f"copy {tmp_path}/base.raw to {tmp_path}/a.raw, 4MiB, sparse"]
    assert plan.after == {"size": 4 * MIB, "allocated": None}
    plan.actions[0].run()
    assert plan.read_back() == {"size": 4 * MIB, "allocated": allocated(tmp_path / "base.raw")}
    assert (tmp_path / "a.raw").read_bytes() == content
    assert stat.S_IMODE((tmp_path / "a.raw").stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["a.raw", "base.raw"]


def test_copies_with_all_blocks(tmp_path: Path) -> None:
    source = str(image(tmp_path / "base.raw"))
    plan = planned(tmp_path / "a.raw", source=source, size="2M", allocation="full")
    assert sentences(plan) == [f"copy {source} to {tmp_path}/a.raw, 2MiB, full"]
    assert plan.after == {"size": 2 * MIB, "allocated": 2 * MIB}
    plan.actions[0].run()
    assert plan.read_back()["allocated"] >= 2 * MIB


def test_converts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = image(tmp_path / "base.qcow2", 512)
    log = fake_qemu_img(monkeypatch, tmp_path / "bin", {"virtual-size": MIB})
    state = done(tmp_path / "a.raw", source=str(source), source_format="qcow2", size="2M")
    assert state["size"] == 2 * MIB
    assert len(log.read_text().splitlines()) == 2


def test_copy_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = image(tmp_path / "base.raw", MIB, b"content")
    plan = planned(tmp_path / "a.raw", source=str(path))
    monkeypatch.setattr(os, "copy_file_range", failing(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        plan.actions[0].run()
    assert os.listdir(tmp_path) == ["base.raw"]


def test_copy_smaller_than_its_source(tmp_path: Path) -> None:
    source = image(tmp_path / "base.raw", 700)
    assert refused(tmp_path / "a.raw", source=str(source), size=512) == (
        f"cannot copy {source} to {tmp_path}/a.raw: the source has 1KiB, but size is 512 "
        "bytes; increase size, or omit it"
    )


def test_existing_image_is_never_written_again(tmp_path: Path) -> None:
    path = image(tmp_path / "a.raw", MIB, b"mine")
    assert not planned(path, source="/nowhere").actions
    assert sentences(planned(path, source="/nowhere", size="2M")) == [
        f"grow {path} from 1MiB to 2MiB"
    ]


def test_invalid_sources(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    assert "source 'base.raw' is not an absolute path" in refused(path, source="base.raw")
    assert f"its source {tmp_path}/no does not exist" in refused(path, source=f"{tmp_path}/no")
    for directory in (f"{tmp_path}", f"{tmp_path}/"):
        assert f"{directory} is a directory; set filesystem" in refused(path, source=directory)
    assert f"source '{tmp_path}/no/' is not the absolute path of a file" in refused(
        path, source=f"{tmp_path}/no/"
    )
    empty = image(tmp_path / "empty", 0)
    assert "is empty; set size" in refused(path, source=str(empty))
    assert done(path, source=str(empty), size="1M")["size"] == MIB


def test_source_in_use_gives_a_warning(tmp_path: Path) -> None:
    source = str(image(tmp_path / "base.raw"))
    plan = planned(tmp_path / "a.raw", source=source, users=[LOOP])
    assert "in use (bound to /dev/loop3)" in plan.warnings[0]
    assert plan.actions


def test_source_that_the_same_call_deletes(tmp_path: Path) -> None:
    images = RawImages(KnownUsage(), Pending())
    path = image(tmp_path / "base.raw")
    images.plan(item(path, state="absent"))
    with pytest.raises(ImageError, match="the same call deletes its source"):
        images.plan(item(tmp_path / "a.raw", source=str(path)))


# Any input

anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.just([])
)
paths = st.one_of(
    anything,
    st.text().map(lambda text: f"/{text}"),
    st.sampled_from(["/dev/null", "/proc/self/mem", "/proc/self/fd/0", "/" + "x" * 5000]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=paths, size=anything, source=paths, state=st.sampled_from(["present", "absent"]))
def test_plan_raises_nothing_else(path: object, size: object, source: object, state: str) -> None:
    try:
        planned(path, size=size, source=source, state=state)
    except BlockdevError as error:
        assert str(error)


# ---- slots that a new image is for ----


def slot(config: Path, vdev: str = "xvda") -> Dict[str, Any]:
    return {"domain": "web", "vdev": vdev, "config": str(config)}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The config of the domain web, with old.raw as xvda."""
    path = tmp_path / "web.cfg"
    path.write_text(config_text.render("web", {}, [f"vdev=xvda, target={tmp_path}/old.raw"]))
    return path


def test_no_image_is_made_for_a_slot_that_has_another(tmp_path: Path, config: Path) -> None:
    new = tmp_path / "new.raw"
    for options in ({}, {"check_mode": True}):
        error = refused(new, size=4096, slots=[slot(config, "51712")], **options)
        assert error.startswith(
            f"cannot create {new}: {config}: slot 51712 of domain web has {tmp_path}/old.raw and "
            f"would get {new}; set allow_slot_change: true to allow it"
        )
    assert not new.exists()
    assert planned(new, size=4096, slots=[slot(config)], allow_slot_change=True).actions
    assert planned(new, size=4096, slots=[slot(config, "xvdb")]).actions
    assert "has" in refused(new, size=4096, slots=[slot(config, "xvdb"), slot(config)])


def test_an_image_that_is_lost_is_made_again_in_its_slot(tmp_path: Path, config: Path) -> None:
    old = tmp_path / "old.raw"
    assert "would move to xvdb" in refused(old, size=4096, slots=[slot(config, "xvdb")])
    assert planned(old, size=4096, slots=[slot(config)]).actions
    config.write_text(config.read_text().replace(str(old), loop_link.link_of(str(old))))
    assert planned(old, size=4096, slots=[slot(config)]).actions


def test_an_image_that_exists_is_used_whatever_configs_say(tmp_path: Path, config: Path) -> None:
    (tmp_path / "new.raw").write_bytes(bytes(4096))
    assert planned(tmp_path / "new.raw", size=8192, slots=[slot(config)]).actions


def test_a_config_that_moves_is_known_where_it_was(tmp_path: Path, config: Path) -> None:
    new, moved = tmp_path / "new.raw", tmp_path / "moved.cfg"
    assert f"{new}: {config}: slot xvda" in refused(new, size=4096, slots=[slot(moved)])
    linked = config.rename(tmp_path / "elsewhere.cfg")
    assert planned(new, size=4096, slots=[slot(moved)]).actions
    (tmp_path / "auto").mkdir()
    (tmp_path / "auto" / "10-web").symlink_to(linked)
    auto = str(tmp_path / "auto")
    assert f"{linked}: slot" in refused(new, size=4096, slots=[slot(moved)], autostart_dir=auto)


def test_a_domain_has_a_usual_config(tmp_path: Path) -> None:
    usual = {"domain": "no-such-domain", "vdev": "xvda", "config": None}
    assert planned(tmp_path / "new.raw", size=4096, slots=[usual]).actions
