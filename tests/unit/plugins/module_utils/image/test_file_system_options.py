# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images with a file system, from the options of xen_raw_disk to the resulting file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Plan, State
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host import locks, programs
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system_options import (
    FILE_SYSTEMS,
    NEVER_FILLED,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk import RawImages
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk_item import (
    RawDiskItem,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage
from ansible_collections.xen.blockdev.plugins.modules.xen_raw_disk import INTERFACE
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.contentutil import (
    Content,
    blkid,
    directory,
    needs,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.imageutil import (
    MIB,
    allocated,
)

pytestmark = needs("mke2fs", "mkfs.vfat", "mkfs.xfs", "mkswap", "xorriso", "blkid")

CONTENT: Content = {"a/file": b"content", "b": os.urandom(100_000)}


class NoUsage(Usage):
    """Nothing is in use."""

    def __init__(self) -> None:
        super().__init__()


@pytest.fixture(autouse=True)
def own_locks(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "OWN_DIR", str(tmp_path_factory.mktemp("locks")))


def planned(path: Path, check_mode: bool = False, **options: Any) -> Plan:
    defaults: Dict[str, Any] = {
        name: spec.get("default") for name, spec in INTERFACE.options.items()
    }
    given = {name: str(one) if isinstance(one, Path) else one for name, one in options.items()}
    item = RawDiskItem.read({**defaults, "path": str(path), **given})
    return RawImages(NoUsage(), Pending(check_mode)).plan(item)


def done(path: Path, **options: Any) -> State:
    plan = planned(path, **options)
    for action in plan.actions:
        action.run()
    return plan.read_back()


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(BlockdevError) as error:
        planned(path, **options)
    assert not path.exists()
    return str(error.value)


def wanted(tmp_path: Path, kind: str, content: Content, size: str = "302MiB") -> Dict[str, Any]:
    """The options for a file system of this kind, with content or, if it can have none, a size."""
    if kind in NEVER_FILLED:
        return {"filesystem": kind, "size": size}
    return {"filesystem": kind, "source": directory(tmp_path / "f", content)}


def sentences(plan: Plan) -> List[str]:
    return [action.sentence for action in plan.actions]


@pytest.mark.parametrize("kind", FILE_SYSTEMS)
def test_a_run_gives_the_planned_state(tmp_path: Path, kind: str) -> None:
    label = None if kind == "tar" else "DATA"
    options = {**wanted(tmp_path, kind, CONTENT), "label": label}
    before = os.listdir(tmp_path)
    plan = planned(tmp_path / "a.raw", check_mode=True, **options)
    assert os.listdir(tmp_path) == before
    assert plan.after["allocated"] is None
    assert not plan.warnings
    state = done(tmp_path / "a.raw", **options)
    assert state["size"] == plan.after["size"] == (tmp_path / "a.raw").stat().st_size
    assert state["size"] % 4096 == 0
    assert not planned(tmp_path / "a.raw", **options).actions
    found = blkid(tmp_path / "a.raw") if label else {}
    assert found.get("LABEL") == label
    assert found.get("TYPE") == (kind if label else None)


def test_sentences(tmp_path: Path) -> None:
    source = directory(tmp_path / "f", {})
    create = f"create {tmp_path}/a.raw, 16MiB,"
    image, size = tmp_path / "a.raw", "16MiB"
    for options, sentence in (
        ({"filesystem": "ext4", "source": source}, f"sparse, ext4 file system from {source}"),
        ({"filesystem": "vfat", "label": "L"}, "sparse, vfat file system L"),
        (
            {"filesystem": "ext2", "label": "L", "source": source, "allocation": "full"},
            f"full, ext2 file system L from {source}",
        ),
        ({"filesystem": "tar", "source": source}, f"sparse, tar archive of {source}"),
        ({"filesystem": "swap", "label": "S"}, "sparse, swap area S"),
        (
            {"filesystem": "iso9660", "label": "cidata", "source": source},
            f"sparse, iso9660 file system cidata from {source}",
        ),
    ):
        assert sentences(planned(image, size=size, **options)) == [f"{create} {sentence}"]


@pytest.mark.parametrize("kind", FILE_SYSTEMS)
def test_all_blocks(tmp_path: Path, kind: str) -> None:
    size = (302 if kind == "xfs" else 32) * MIB
    options = {**wanted(tmp_path, kind, CONTENT), "size": size, "allocation": "full"}
    plan = planned(tmp_path / "a.raw", **options)
    assert plan.after == {"size": size, "allocated": size}
    done(tmp_path / "a.raw", **options)
    assert allocated(tmp_path / "a.raw") >= size


def test_image_that_exists_is_not_written(tmp_path: Path) -> None:
    image = tmp_path / "a.raw"
    image.write_bytes(bytes(4096))
    options = {"filesystem": "ext4", "source": tmp_path / "no", "label": "x" * 99}
    assert not planned(image, **options).actions
    done(image, size="1MiB", **options)
    assert image.read_bytes() == bytes(MIB)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "DATA"}, "only a file system has a label; set filesystem to ext2, ext3,"),
        ({"filesystem": "tar", "label": "DATA", "source": "f"}, "only a file system has a label"),
        ({"fat_sector_size": 512}, "fat_sector_size is only for filesystem: vfat"),
        ({"filesystem": "ext4", "fat_sector_size": 4096}, "fat_sector_size is only for"),
        ({"filesystem": "vfat", "preserve": True}, "preserve is only for filesystem: tar"),
        ({"preserve": True}, "preserve is only for filesystem: tar"),
        ({"filesystem": "ext4", "source": "f", "source_format": "qcow2"}, "omit source_format"),
        ({"filesystem": "tar"}, "filesystem: tar needs a source"),
        ({"filesystem": "iso9660"}, "filesystem: iso9660 needs a source; set source to a"),
        ({"filesystem": "xfs", "source": "f"}, "an XFS cannot be filled without being mounted;"),
        ({"filesystem": "swap", "source": "f"}, "a swap area has no content; omit source"),
        ({"filesystem": "xfs", "label": "x" * 13}, "invalid xfs label"),
        ({"filesystem": "swap", "label": "x" * 16}, "invalid swap label"),
        ({"filesystem": "iso9660", "label": "x" * 33, "source": "f"}, "invalid iso9660 label"),
        ({"filesystem": "iso9660", "source": "f", "size": 4096}, "too small for the iso9660 file"),
        (
            {"filesystem": "xfs"},
            "64MiB is too small for the xfs file system: it needs at least 300",
        ),
        ({"filesystem": "swap", "size": 36864}, "36KiB is too small for the swap area: it needs"),
        ({"filesystem": "swap", "size": "17TiB"}, "17TiB is too large for a swap area"),
        ({"filesystem": "ext4", "source": "file"}, "file is not a directory: with filesystem"),
        ({"filesystem": "ext4", "source": "no"}, "no does not exist"),
        ({"source": "f"}, "f is a directory; set filesystem"),
        ({"filesystem": "ext4", "label": "x" * 17}, "invalid ext label"),
        ({"filesystem": "vfat", "label": "x" * 12}, "invalid FAT label"),
        ({"filesystem": "vfat", "size": "2MiB"}, "2MiB is too small for the vfat file system"),
        ({"filesystem": "ext4", "size": "4MiB"}, "4MiB is too small for the ext4 file system"),
        ({"filesystem": "tar", "source": "f", "size": 4096}, "too small for the tar archive of"),
    ],
)
def test_refused(tmp_path: Path, options: Dict[str, Any], message: str) -> None:
    directory(tmp_path / "f", CONTENT)
    (tmp_path / "file").write_bytes(b"")
    if "source" in options:
        options = {**options, "source": tmp_path / options["source"]}
    said = refused(tmp_path / "a.raw", **{"size": "64MiB", **options})
    assert said.startswith(f"cannot create {tmp_path}/a.raw: ")
    assert message in said


def test_empty_file_system_without_a_size(tmp_path: Path) -> None:
    assert refused(tmp_path / "a.raw", filesystem="ext4").endswith("set its size")


def test_image_in_its_own_source(tmp_path: Path) -> None:
    source = directory(tmp_path / "f", {"sub": None})
    (tmp_path / "link").symlink_to("f/sub")
    said = refused(tmp_path / "link/a.raw", filesystem="tar", source=source)
    assert "the image would be in its own source" in said


def test_the_plan_names_a_missing_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "SYSTEM_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "(package e2fsprogs " in refused(tmp_path / "a.raw", filesystem="ext4", size="64MiB")
    assert "(package dosfstools " in refused(tmp_path / "a.raw", filesystem="vfat", size="64MiB")
    assert "(package xfsprogs " in refused(tmp_path / "a.raw", filesystem="xfs", size="1GiB")
    assert "(package util-linux " in refused(tmp_path / "a.raw", filesystem="swap", size="64MiB")
    content = wanted(tmp_path, "iso9660", CONTENT)
    assert "(package xorriso " in refused(tmp_path / "a.raw", **content)


@pytest.mark.parametrize("kind", sorted({*FILE_SYSTEMS} - {*NEVER_FILLED}))
def test_nothing_is_left_if_the_directory_changes(tmp_path: Path, kind: str) -> None:
    source = directory(tmp_path / "f", CONTENT)
    plan = planned(tmp_path / "a.raw", filesystem=kind, source=source)
    (source / "b").write_bytes(b"longer" * 50_000)
    with pytest.raises(BlockdevError, match="changed in the meantime; run again"):
        plan.actions[0].run()
    assert os.listdir(tmp_path) == ["f"]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    path = tmp_path / "small"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(path)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield path
    subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize("kind", sorted({*FILE_SYSTEMS} - {"swap"}))  # which takes one page
def test_nothing_is_left_if_there_is_no_space(tmp_path: Path, small: Path, kind: str) -> None:
    options = wanted(tmp_path, kind, {"big": os.urandom(5 * MIB)})
    plan = planned(small / "a.raw", volatile=True, **options)
    with pytest.raises((BlockdevError, OSError)):
        plan.actions[0].run()
    assert os.listdir(small) == []
    assert os.statvfs(small).f_bfree * 4096 >= MIB - 8192
