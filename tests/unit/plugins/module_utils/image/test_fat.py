# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""FAT file systems of real directories, made by the real mkfs.vfat and mcopy and read by them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.image import directory_tree
from ansible_collections.xen.blockdev.plugins.module_utils.image import fat as image_fat
from ansible_collections.xen.blockdev.plugins.module_utils.image.fat import Fat, Geometry
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.contentutil import (
    Content,
    blkid,
    directory,
    filled,
    needs,
    ran,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.imageutil import (
    MIB,
    allocated,
)

pytestmark = needs("mkfs.vfat", "fsck.vfat", "mcopy", "mdir", "blkid")

GIB = 1024 * MIB
SECTORS = [512, 4096]
CONTENT: Content = {
    "A LONG name, with more.than.one dot": b"x" * 10_000,
    "sub/é 日本": b"content",
    "sub/empty": b"",
    "sub/sub/directory": None,
    ".hidden": b"h",
    "-dash": b"d",
    "UPPER.TXT": b"u",
    "con.txt": b"c",
}


def fat(path: Optional[Path], sector: int = 4096, label: Optional[str] = None) -> Fat:
    return Fat(label, None if path is None else directory_tree.read(str(path)), sector)


def tree(path: Path) -> Dict[str, Optional[bytes]]:
    return {
        str(one.relative_to(path)): None if one.is_dir() else one.read_bytes()
        for one in path.rglob("*")
    }


def copied_back(image: Path, to: Path) -> Dict[str, Optional[bytes]]:
    """What mcopy finds in the image."""
    to.mkdir()
    ran("mcopy", "-s", "-n", "-i", str(image), "::/", str(to))
    return tree(to)


def checked(image: Path) -> int:
    """The clusters that fsck.vfat, which must have nothing to say, finds."""
    match = re.search(r"\d+ files, \d+/(\d+) clusters\n$", ran("fsck.vfat", "-n", str(image)))
    assert match
    return int(match[1])


def head(image: Path) -> Tuple[int, int]:
    """Bytes of a sector and sectors of a cluster, as the boot sector says."""
    with open(image, "rb") as file:
        boot = file.read(512)
    return int.from_bytes(boot[11:13], "little"), boot[13]


@pytest.mark.parametrize("sector", SECTORS)
def test_content(tmp_path: Path, sector: int) -> None:
    path = directory(tmp_path / "f", CONTENT)
    file_system = fat(path, sector, "DATA")
    image = filled(file_system, tmp_path / "a.raw")
    assert image.stat().st_size == file_system.size
    assert copied_back(image, tmp_path / "back") == tree(path)
    assert checked(image) >= 4087
    assert head(image) == (sector, 1)
    found = blkid(image)
    assert (found["TYPE"], found["VERSION"], found["LABEL"]) == ("vfat", "FAT16", "DATA")


@pytest.mark.parametrize(("sector", "least"), [(512, 2076 * 1024), (4096, 16 * MIB)])
def test_never_fewer_clusters_than_all_take_for_fat16(
    tmp_path: Path, sector: int, least: int
) -> None:
    file_system = fat(None, sector, "EMPTY")
    assert file_system.size == least
    with pytest.raises(ImageError) as error:
        file_system.check(least - 4096)
    assert str(error.value).endswith(
        f"is too small for the vfat file system EMPTY: it needs at least "
        f"{'16MiB' if sector == 4096 else '2076KiB'}"
    )
    image = filled(file_system, tmp_path / "a.raw", least)
    assert 4087 <= checked(image) < 4096
    assert blkid(image)["VERSION"] == "FAT16"
    assert allocated(image) < 100 * 1024


@pytest.mark.parametrize("sector", SECTORS)
@pytest.mark.parametrize(
    "size", [20 * MIB, 33 * MIB, 64 * MIB + 512, 257 * MIB, 2040 * MIB, 3 * GIB, 9 * GIB]
)
def test_sizes(tmp_path: Path, sector: int, size: int) -> None:
    file_system = fat(None, sector)
    geometry = file_system._geometry(size)
    image = filled(file_system, tmp_path / "a.raw", size)
    assert checked(image) == geometry.clusters(size)
    assert head(image) == (sector, geometry.cluster)
    assert blkid(image)["VERSION"] == f"FAT{geometry.bits}"
    assert geometry.bits == (16 if size < 2048 * MIB else 32)
    assert len(file_system.warnings(size)) == (geometry.bits == 32)


@pytest.mark.parametrize("sector", SECTORS)
@pytest.mark.parametrize("root", [512, 1536])
def test_counts_clusters_as_mkfs_does(tmp_path: Path, sector: int, root: int) -> None:
    for step, clusters in enumerate((4087, 4088, 6001, 16384, 32765, 65500, 65511)):
        geometry = Geometry(16, sector, 2 ** (step % 3), root)
        size = geometry.size(clusters) + step * sector
        image = tmp_path / f"{step}.raw"
        with open(image, "wb") as file:
            file.truncate(size)
        said = ran("mkfs.vfat", "-v", *geometry.arguments, str(image))
        match = re.search(r"provides (\d+) clusters", said)
        assert match
        assert int(match[1]) == geometry.clusters(size) >= clusters


@pytest.mark.parametrize("sector", SECTORS)
def test_larger_clusters_where_the_content_wants_them(tmp_path: Path, sector: int) -> None:
    path = directory(tmp_path / "f", {})
    with open(path / "big", "wb") as file:
        file.truncate(300 * MIB)
    file_system = fat(path, sector)
    assert file_system.size < 302 * MIB
    geometry = file_system._geometry(file_system.size)
    assert geometry.clusters(file_system.size) * geometry.cluster * sector >= 300 * MIB
    with pytest.raises(ImageError, match="is too small for the vfat file system from"):
        file_system.check(300 * MIB)


def test_content_for_fat32(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", {"a": b"content"})
    for name in ("b", "c"):
        with open(path / name, "wb") as file:
            file.truncate(2 * GIB)
    file_system = fat(path)
    assert 4 * GIB < file_system.size < 4.1 * GIB
    assert file_system._geometry(file_system.size).bits == 32
    assert file_system.warnings(file_system.size) == [
        f"the vfat file system from {path} is so large that it is FAT32, which MirageOS cannot read"
    ]


@pytest.mark.parametrize("sector", SECTORS)
@pytest.mark.parametrize("clusters", [65520, 65524, 65525, 70000])
def test_size_near_the_end_of_fat16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sector: int, clusters: int
) -> None:
    """As for so many small files, each of which takes a cluster however large that is."""
    file_system = fat(directory(tmp_path / "f", {}), sector)
    monkeypatch.setattr(Fat, "_clusters", lambda _self, _geometry: clusters)
    geometry = file_system._geometry(file_system.size)
    assert geometry.clusters(file_system.size) >= clusters
    assert geometry.bits == (16 if clusters <= 65524 else 32) or (clusters, sector) == (65524, 512)
    assert checked(filled(file_system, tmp_path / "a.raw")) >= clusters


def test_size_that_no_fat_has() -> None:
    with pytest.raises(ImageError, match="4TiB is too large for a FAT file system"):
        fat(None, 512).check(4 * 1024 * GIB)


@pytest.mark.parametrize("sector", SECTORS)
def test_many_names_in_the_root_and_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sector: int
) -> None:
    monkeypatch.setattr(image_fat, "ARGUMENT_BYTES", 2000)
    content = {f"{number}": b"" for number in range(700)}
    content.update({f"sub/{number}": b"x" for number in range(700)})
    path = directory(tmp_path / "f", dict(content))
    image = filled(fat(path, sector), tmp_path / "a.raw")
    assert copied_back(image, tmp_path / "back") == tree(path)
    checked(image)


def test_what_fat_cannot_hold(tmp_path: Path) -> None:
    bad = ['q"', "a:b", "a\\b", "a\nb", "dot.", "space ", "nul", "AUX", "\U0001f600"]
    path = directory(tmp_path / "f", {**dict.fromkeys(bad, b""), "sub/link": "x", "fine": b""})
    with open(path / "huge", "wb") as file:
        file.truncate(4 * GIB)
    both_cases = path / "two"
    both_cases.mkdir()
    (both_cases / "Name").mkdir()
    (both_cases / "NAME").write_bytes(b"")
    with open(os.fsencode(path) + b"/\xff", "wb"):
        pass
    with pytest.raises(ImageError) as error:
        fat(path)
    message = str(error.value)
    assert "symbolic links, which FAT does not support: sub/link;" in message
    assert "names that FAT does not allow: AUX, 'a\\nb', a:b, a\\b, dot. (and 5 more)" in message
    assert "files of 4 GiB or more, which are too large for FAT: huge;" in message
    assert "names that differ from others only by case: two/Name" in message
    assert "fine" not in message


def test_too_many_names_in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_fat, "MAX_ENTRIES", 16)
    path = directory(tmp_path / "f", {f"sub/{number}": b"" for number in range(8)})
    with pytest.raises(ImageError, match="directories with more names than FAT has room for: sub"):
        fat(path)


@pytest.mark.parametrize("label", ["lower", "A B", "-x", "a'b", "$(x)`~", "11 CHARS ok"])
def test_label(tmp_path: Path, label: str) -> None:
    image = filled(fat(None, 4096, label), tmp_path / "a.raw", 16 * MIB)
    assert ran("blkid", "-p", "-o", "value", "-s", "LABEL", str(image)) == f"{label}\n"
    checked(image)


@pytest.mark.parametrize(
    "label", ["", "x" * 12, " X", "X ", "NO NAME", "é", "a.b", "a/b", "a:b", 'a"b', "a\nb", "A+B"]
)
def test_label_that_is_none(label: str) -> None:
    with pytest.raises(ImageError, match=r"invalid FAT label .*: it must be 1 to 11 ASCII"):
        fat(None, 4096, label)


def test_what_mcopy_left_out_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def batches(entries: Any) -> Any:
        return real_batches(entries[:-1])

    path = directory(tmp_path / "f", {"a": b"", "b": b""})
    real_batches = image_fat._batches
    monkeypatch.setattr(image_fat, "_batches", batches)
    with pytest.raises(ImageError, match="names that mcopy changed in the FAT image: ::/b"):
        filled(fat(path), tmp_path / "a.raw")


def test_directory_that_changes_while_mcopy_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self: Fat, *arguments: Any) -> None:
        real_write(self, *arguments)
        (path / "a").unlink()
        (path / "a").symlink_to("/etc/shadow")

    path = directory(tmp_path / "f", {"a": b"content"})
    file_system = fat(path)
    real_write = Fat._write
    monkeypatch.setattr(Fat, "_write", write)
    with pytest.raises(ImageError, match="changed in the meantime; run again"):
        filled(file_system, tmp_path / "a.raw")


@pytest.mark.parametrize(
    ("there", "missing", "package"),
    [
        ([], "mkfs.vfat", "dosfstools"),
        (["mkfs.vfat"], "mcopy", "mtools"),
        (["mkfs.vfat", "mcopy"], "mdir", "mtools"),
    ],
)
def test_tool_that_is_missing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    there: Any,
    missing: str,
    package: str,
) -> None:
    for tool in there:
        (tmp_path / tool).touch(mode=0o755)
    monkeypatch.setattr(programs, "SYSTEM_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError) as error:
        fat(None)
    assert str(error.value).startswith(f"{missing}, which ")
    assert str(error.value).endswith(
        f"is not on this host: install it (package {package} on Debian)"
    )
