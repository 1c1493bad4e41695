# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images count on a file system, before and after a call, and when that is an error."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import State
from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host import mounts
from ansible_collections.xen.blockdev.plugins.module_utils.host.mounts import MountPoint
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk import RawImages
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk_interface import (
    INTERFACE,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk_item import (
    RawDiskItem,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.promises import (
    FILE_SYSTEM_REMEDY,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.imageutil import MIB, image

SIZE, FREE = 64 * MIB, 16 * MIB


class Host:
    """File systems with some free space, and what is bound."""

    def __init__(self) -> None:
        self.size, self.free = SIZE, FREE
        self.bound: List[str] = []
        self.asked: List[str] = []

    def statvfs(self, path: str) -> SimpleNamespace:
        self.asked.append(path)
        return SimpleNamespace(f_blocks=self.size // 512, f_bfree=self.free // 512, f_frsize=512)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host()
    monkeypatch.setattr(os, "statvfs", host.statvfs)
    monkeypatch.setattr(loop_binding, "backing_files", lambda: enumerate(host.bound))
    monkeypatch.setattr(mounts, "mount_of", lambda _directory: MountPoint(1, "/srv"))
    return host


class Idle(Usage):
    """Nothing is in use."""

    def __init__(self) -> None:
        super().__init__(vbds=[])
        self.bindings: List[Binding] = []

    def of_file(self, *_arguments: Any, **_options: Any) -> Any:
        return []


DEFAULTS: Dict[str, Any] = {name: spec.get("default") for name, spec in INTERFACE.options.items()}


def planned(*wanted: Dict[str, Any], pending: Any = None) -> RawImages:
    """The images once these items are planned, in check mode with something ``pending``."""
    images = RawImages(Idle(), Pending.read(pending, pending is not None))
    items = [RawDiskItem.read({**DEFAULTS, **one, "path": str(one["path"])}) for one in wanted]
    for item in sorted(items, key=images.rank):
        images.plan(item)
    return images


def figures(*wanted: Dict[str, Any], pending: Any = None) -> State:
    """Of the only file system, as it would be."""
    (store,) = planned(*wanted, pending=pending or {}).figures()["stores"]
    return store


def test_one_warning_for_a_file_system(tmp_path: Path, host: Host) -> None:
    old = image(tmp_path / "old.raw", 8 * MIB)
    slots = [{"domain": "web", "vdev": "xvda", "config": str(tmp_path / "web.cfg")}]
    new = {"path": tmp_path / "new/deep/a.raw", "size": "24M", "parents": True, "slots": slots}
    images = planned({"path": old}, new)
    assert images.warnings() == [
        "the file system of /srv (64MiB, 16MiB free) has promised 16MiB more than it has free: "
        f"{new['path']} (web) 24MiB, {old} 8MiB; a guest that fills its disk gets I/O errors; "
        + FILE_SYSTEM_REMEDY
    ]
    assert images.problem() is None
    assert planned({"path": old}, {**new, "size": "8M"}).warnings() == []


def test_what_is_planned_is_what_counts(tmp_path: Path, host: Host) -> None:
    path = image(tmp_path / "a.raw", 8 * MIB, b"x" * MIB)
    taken = path.stat().st_blocks * 512
    left = {"name": "/srv", "size": SIZE, "free": FREE, "taken": taken}
    assert figures({"path": path}) == {**left, "promised": 8 * MIB, "overcommit": 0.48}
    grown = figures({"path": path, "size": "32M"})
    assert grown == {**left, "promised": 32 * MIB, "overcommit": 1.89}
    full = figures({"path": path, "size": "9M", "allocation": "full"})
    assert (full["taken"], full["promised"]) == (9 * MIB, 9 * MIB)
    assert full["free"] == FREE - (9 * MIB - taken)
    shrunk = figures({"path": path, "size": "64K", "shrink": True})
    assert (shrunk["taken"], shrunk["promised"]) == (65536, 65536)
    assert shrunk["free"] == FREE + taken - 65536
    new = {"path": tmp_path / "b.raw", "size": "4M"}
    gone = figures({"path": path, "state": "absent"}, new)
    assert (gone["taken"], gone["promised"], gone["free"]) == (0, 4 * MIB, FREE + taken)
    os.link(path, tmp_path / "other.raw")
    assert figures({"path": path, "state": "absent"}, new)["free"] == FREE
    copy = {"path": tmp_path / "c.raw", "source": str(path), "size": "16M"}
    assert figures(copy)["promised"] == 16 * MIB


def test_blocks_beyond_the_end_of_an_image_stay_its_own(tmp_path: Path, host: Host) -> None:
    path = image(tmp_path / "a.raw", MIB)
    subprocess.run(["fallocate", "--keep-size", "--length", "2MiB", path], check=True)
    grown = figures({"path": path, "size": "1536K", "allocation": "full"})
    assert (grown["taken"], grown["promised"], grown["free"]) == (2 * MIB, 2 * MIB, FREE)


def test_a_preallocated_image_takes_from_what_is_promised_to_others(
    tmp_path: Path, host: Host
) -> None:
    old = image(tmp_path / "old.raw", 8 * MIB)
    full = {"path": tmp_path / "full.raw", "size": "12M", "allocation": "full"}
    (warning,) = planned({"path": old}, full).warnings()
    assert "(64MiB, 4MiB free) has promised 4MiB more than it has free: " + str(old) in warning
    assert str(full["path"]) not in warning
    with pytest.raises(ImageError, match="but 4194304 are free"):
        planned(full, {**full, "path": tmp_path / "other.raw"})


def test_bound_images_count_each_once(tmp_path: Path, host: Host) -> None:
    mine, other = image(tmp_path / "mine.raw", 4 * MIB), image(tmp_path / "other.raw", 32 * MIB)
    os.link(mine, tmp_path / "mine2.raw")
    os.link(other, tmp_path / "other2.raw")
    old = image(tmp_path / "old.raw", 2 * MIB)
    names = ["mine.raw", "mine2.raw", "other.raw", "other2.raw", "old.raw", "gone.raw (deleted)"]
    host.bound = [*(str(tmp_path / name) for name in names), "/dev/null", str(tmp_path)]
    wanted = {"path": mine}, {"path": old, "state": "absent"}
    assert figures(*wanted)["promised"] == 36 * MIB
    (warning,) = planned(*wanted).warnings()
    assert f"{other} 32MiB, {mine} 4MiB;" in warning
    unbound = {"devices": [{"path": host.bound[2], "size": None}]}
    host.bound.pop(3)
    assert figures(*wanted, pending=unbound)["promised"] == 4 * MIB
    host.bound.clear()
    announced = {"devices": [{"path": str(other)}]}
    assert figures(*wanted, pending=announced)["promised"] == 36 * MIB
    assert figures(*wanted)["promised"] == 4 * MIB


def test_each_file_system_is_read_once(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [{"path": image(tmp_path / f"{number}.raw")} for number in range(20)]
    looked: List[str] = []
    monkeypatch.setattr(
        mounts, "mount_of", lambda _directory: looked.append("") or MountPoint(1, "/srv")
    )
    host.bound = [str(image(tmp_path / "b.raw"))]
    images = planned(*wanted, {"path": tmp_path / "a.raw", "size": "1M"}, pending={})
    assert len(images.warnings()) == 1
    assert images.figures()["stores"][0]["promised"] == 22 * MIB
    assert (len(host.asked), len(looked)) == (1, 1)


def test_other_file_systems_do_not_matter(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = image(tmp_path / "mine.raw"), Path("/dev/shm") / f"{os.getpid()}.raw"
    monkeypatch.setattr(
        mounts,
        "mount_of",
        lambda directory: (
            MountPoint(1, "/srv") if directory == str(tmp_path) else MountPoint(2, "/")
        ),
    )
    try:
        host.bound = [str(image(other, 64 * MIB))]
        assert figures({"path": mine})["promised"] == MIB
        both = planned({"path": mine}, {"path": other}, pending={})
        assert [store["name"] for store in both.figures()["stores"]] == ["/srv", "/"]
        (warning,) = both.warnings()
        assert "the file system of / (" in warning
    finally:
        other.unlink()


def test_a_file_system_without_a_size_has_no_limit(tmp_path: Path, host: Host) -> None:
    host.size = host.free = 0
    images = planned({"path": tmp_path / "a.raw", "size": "1G", "max_overcommit": 1})
    assert (images.figures(), images.warnings(), images.problem()) == ({"stores": []}, [], None)


def test_without_images_that_stay_nothing_is_reported(tmp_path: Path, host: Host) -> None:
    host.bound = [str(image(tmp_path / "b.raw", 64 * MIB))]
    for wanted in ([], [{"path": image(tmp_path / "a.raw"), "state": "absent"}]):
        images = planned(*wanted)
        assert (images.figures(), images.warnings()) == ({"stores": []}, [])


def test_an_excess_is_an_error_only_if_it_is_made_worse(tmp_path: Path, host: Host) -> None:
    old = image(tmp_path / "old.raw", 24 * MIB)
    keep = {"path": old, "max_overcommit": 1}
    for wanted in (keep, {**keep, "size": "20M", "shrink": True}):
        images = planned(wanted)
        assert images.problem() is None
        assert len(images.warnings()) == 1
    new = {"path": tmp_path / "a.raw", "size": "1M", "max_overcommit": 1}
    for worse in ([{**keep, "size": "25M"}], [keep, new]):
        images = planned(*worse)
        assert "max_overcommit: 1 allows 16MiB" in str(images.problem())
        assert images.warnings() == []


def test_what_is_given_back_by_the_same_call_is_no_excess(tmp_path: Path, host: Host) -> None:
    old = {"path": image(tmp_path / "old.raw", 32 * MIB), "state": "absent"}
    other = {"path": image(tmp_path / "other.raw", 16 * MIB)}
    new = {"path": tmp_path / "new.raw", "size": "31M", "max_overcommit": 1}
    assert planned(old, other, new).problem() is None
    assert planned(other, new).problem()
    os.link(old["path"], tmp_path / "link.raw")
    assert planned(old, other, new).problem()


def test_the_smallest_limit_of_what_is_added_counts(tmp_path: Path, host: Host) -> None:
    def problem(**limits: Any) -> str:
        return str(
            planned(
                *(
                    {"path": tmp_path / name, "size": "20M", "max_overcommit": limit}
                    for name, limit in limits.items()
                ),
                {"path": image(tmp_path / "old.raw"), "max_overcommit": 1},
            ).problem()
        )

    assert "max_overcommit: 1.5 allows 24MiB" in problem(a=2, b=1.5, c=4, d=None)
    assert "max_overcommit: 1.5 allows 24MiB" in problem(a=1.5, b=2)
    assert problem(a=4, b=3) == "None"


def test_after_a_run_it_says_what_is_there(tmp_path: Path, host: Host) -> None:
    path = tmp_path / "a.raw"
    images = planned({"path": path, "size": "8M"}, {"path": tmp_path / "failed.raw", "size": "1M"})
    assert images.warnings() == []
    image(path, 8 * MIB, b"x" * MIB)
    host.free = FREE - MIB
    (store,) = images.figures()["stores"]
    assert (store["free"], store["promised"]) == (15 * MIB, 8 * MIB)
    assert store["taken"] == path.stat().st_blocks * 512


def test_after_an_image_was_deleted_there_is_more_space(tmp_path: Path, host: Host) -> None:
    kept, old = image(tmp_path / "kept.raw"), image(tmp_path / "old.raw")
    images = planned({"path": kept}, {"path": old, "state": "absent"})
    assert images.warnings() == []
    host.free += 4 * MIB
    assert images.figures()["stores"][0]["free"] == FREE + 4 * MIB


def test_a_file_system_that_is_gone_after_a_run(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = planned({"path": tmp_path / "a.raw", "size": "8M"})

    def fail(_path: str) -> None:
        raise OSError(5, "gone")

    monkeypatch.setattr(os, "statvfs", fail)
    assert images.figures() == {"stores": []}
