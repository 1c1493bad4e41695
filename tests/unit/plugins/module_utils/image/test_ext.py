# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ext file systems of real directories, made by the real mke2fs and read by debugfs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.image import directory_tree
from ansible_collections.xen.blockdev.plugins.module_utils.image.ext import EXT_KINDS, Ext
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

pytestmark = needs("mke2fs", "debugfs", "dumpe2fs", "e2fsck", "blkid")

LINK = "/srv/" + "l" * 100
CONTENT: Content = {"a/file": b"content", "a/empty": None, "short": "a/file", "long": LINK}


def ext(path: Optional[Path], kind: str = "ext4", label: Optional[str] = None) -> Ext:
    return Ext(kind, label, None if path is None else directory_tree.read(str(path)))


def asked(image: Path, request: str) -> str:
    return ran("debugfs", "-R", request, str(image))


def header(image: Path) -> Dict[str, str]:
    lines = ran("dumpe2fs", "-h", str(image)).splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {key: value.strip() for key, value in pairs}


@pytest.mark.parametrize("kind", EXT_KINDS)
def test_content(tmp_path: Path, kind: str) -> None:
    path = directory(tmp_path / "f", CONTENT)
    (path / "a/file").chmod(0o4751)
    os.utime(path / "a/file", (1_600_000_000, 1_600_000_000))
    file_system = ext(path, kind, "DATA é")
    image = filled(file_system, tmp_path / "a.raw")
    assert image.stat().st_size == file_system.size
    ran("e2fsck", "-fn", str(image))
    assert asked(image, "cat /a/file") == "content"
    assert LINK in asked(image, "cat /long") + asked(image, "stat /long")
    assert "a/file" in asked(image, "stat /short")
    stat = asked(image, "stat /a/file")
    assert "Mode:  04751" in stat
    assert re.search(r"mtime: 0x5f5e1000\b", stat)
    assert re.search(r"User: +0 +Group: +0 ", asked(image, "stat /"))
    found = blkid(image)
    assert (found["TYPE"], found["BLOCK_SIZE"]) == (kind, "4096")
    assert header(image)["Filesystem volume name"] == "DATA é"
    assert header(image)["Reserved block count"] == "0"


def tree(width: int, depth: int) -> Content:
    return {"/".join([f"d{number}"] * depth) + "/file": b"x" for number in range(width)}


SHAPES: Dict[str, Callable[[], Content]] = {
    "nothing": dict,
    "one file": lambda: {"a": b"x"},
    "tiny files": lambda: {f"file {number:05}": b"x" for number in range(3000)},
    "empty files": lambda: {f"{number % 20}/{number}": b"" for number in range(4000)},
    "one big file": lambda: {"big": os.urandom(60 * MIB)},
    "deep": lambda: tree(3, 60),
    "directories": lambda: {f"directory {number}": None for number in range(1500)},
    "long names": lambda: {f"{number:05}".rjust(255, "n"): b"" for number in range(500)},
    "long links": lambda: {f"{number}": "x" * (59 + number % 3) for number in range(400)},
    "mixed": lambda: {f"{size % 7}/{size}": b"x" * size for size in range(0, 200_000, 3001)},
}


@pytest.mark.parametrize("kind", EXT_KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_size_is_enough_and_not_absurd(tmp_path: Path, shape: str, kind: str) -> None:
    path = directory(tmp_path / "f", SHAPES[shape]())
    file_system = ext(path, kind)
    image = filled(file_system, tmp_path / "a.raw")
    ran("e2fsck", "-fn", str(image))
    assert file_system.size % 4096 == 0
    used = int(header(image)["Block count"]) - int(header(image)["Free blocks"])
    assert file_system.size < 1.1 * 4096 * used + 5 * MIB
    # More than that is enough, too, whatever mke2fs makes larger with it.
    more = filled(file_system, tmp_path / "b.raw", file_system.size + 97 * MIB)
    assert int(header(more)["Free blocks"]) >= 80 * 256


@pytest.mark.parametrize("kind", EXT_KINDS)
@pytest.mark.parametrize("size", [8 * MIB, 9 * MIB, 64 * MIB + 512, 3 * 1024 * MIB])
def test_empty(tmp_path: Path, kind: str, size: int) -> None:
    file_system = ext(None, kind, "EMPTY")
    file_system.check(size)
    if kind != "ext2" and size == 8 * MIB:
        with pytest.raises(ImageError, match="KiB is enough for it"):
            filled(file_system, tmp_path / "a.raw", size)
        return
    image = filled(file_system, tmp_path / "a.raw", size)
    assert image.stat().st_size == size
    assert blkid(image)["LABEL"] == "EMPTY"
    assert int(header(image)["Inode count"]) >= size // 16384
    # Only ext3 has its journal written out.
    journal = min(max(size // 32, 4 * MIB), 64 * MIB) if kind == "ext3" else 0
    assert allocated(image) < journal + 3 * MIB


def test_all_blocks(tmp_path: Path) -> None:
    image = filled(ext(directory(tmp_path / "f", CONTENT)), tmp_path / "a.raw", 16 * MIB, full=True)
    assert allocated(image) >= 16 * MIB
    assert asked(image, "cat /a/file") == "content"


def test_content_that_surely_does_not_fit(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", {"big": bytes(20 * MIB)})
    for size in (4096, 20 * MIB):
        with pytest.raises(ImageError) as error:
            ext(path, "ext2").check(size)
        assert "is too small for the ext2 file system from" in str(error.value)
        assert "it needs at least" in str(error.value)
    with pytest.raises(ImageError, match="is too small"):
        ext(None, "ext4").check(4 * MIB)


def test_content_that_turns_out_not_to_fit(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", {"big": os.urandom(20 * MIB)})
    file_system = ext(path, "ext4")
    file_system.check(21 * MIB)
    with pytest.raises(ImageError) as error:
        filled(file_system, tmp_path / "a.raw", 21 * MIB)
    message = str(error.value)
    assert message.startswith("mke2fs failed: ")
    assert message.endswith("KiB is enough for it")
    assert "/proc/" not in message
    assert "\n" not in message


@pytest.mark.parametrize("label", ["", "x" * 17, "ä" * 9, "a\nb", "a\0b"])
def test_label_that_is_none(label: str) -> None:
    with pytest.raises(ImageError, match=r"invalid ext label .*: it must be 1 to 16 bytes"):
        ext(None, "ext4", label)


@pytest.mark.parametrize("label", ["-x", "x" * 16, "ä" * 8, 'a "b\\ $(c)'])
def test_label(tmp_path: Path, label: str) -> None:
    image = filled(ext(None, "ext4", label), tmp_path / "a.raw", 16 * MIB)
    assert header(image)["Filesystem volume name"] == label


def test_directory_that_changes_while_mke2fs_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self: Ext, *arguments: Any) -> None:
        real_write(self, *arguments)
        (path / "a/file").write_bytes(b"CONTENT")

    path = directory(tmp_path / "f", CONTENT)
    file_system = ext(path)
    real_write = Ext._write
    monkeypatch.setattr(Ext, "_write", write)
    with pytest.raises(ImageError, match="changed in the meantime; run again"):
        filled(file_system, tmp_path / "a.raw")


def test_extended_attributes_have_a_place(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", {f"{number}": b"" for number in range(600)})
    try:
        for file in path.iterdir():
            os.setxattr(file, "user.note", file.name.encode() * 200)
    except OSError:
        pytest.skip("no extended attributes here")
    image = filled(ext(path, "ext2"), tmp_path / "a.raw")
    ran("e2fsck", "-fn", str(image))
    assert "7" * 200 in asked(image, "ea_get /7 user.note")


def test_no_mke2fs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "SYSTEM_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError) as error:
        ext(None)
    assert str(error.value) == (
        "mke2fs, which creates ext2, ext3 and ext4 file systems, is not on this host: install it "
        "(package e2fsprogs on Debian)"
    )
