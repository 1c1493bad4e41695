# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is found on real file systems, as they are made here and by others, and what is said."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any, List, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.image import differences, superblock
from ansible_collections.xen.blockdev.plugins.module_utils.image.ext import EXT_KINDS
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system_options import (
    FILE_SYSTEMS,
    NEVER_FILLED,
    FileSystemOptions,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.superblock import FoundFileSystem
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.contentutil import (
    blkid,
    directory,
    filled,
    loop_device,
    needs,
    ran,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.imageutil import MIB, image
from hypothesis import given
from hypothesis import strategies as st

pytestmark = needs("mke2fs", "mkfs.vfat", "mkfs.xfs", "mkswap", "xorriso", "blkid")


def options(kind: Optional[str], label: Optional[str] = None) -> FileSystemOptions:
    return FileSystemOptions(kind, label, None, preserve=False)


def made(tmp_path: Path, kind: str, label: Optional[str] = None, size: int = 302 * MIB) -> Path:
    """An image with such a file system, as the module makes it."""
    source = None if kind in NEVER_FILLED else str(directory(tmp_path / "f", {"a": b"x"}))
    file_system = options(kind, label).file_system("/srv/a.raw", source)
    assert file_system
    return filled(file_system, tmp_path / "a.raw", size)


def found(path: Path) -> Optional[FoundFileSystem]:
    with open(path, "rb") as file:
        return superblock.found(lambda at, size: os.pread(file.fileno(), size, at))


def said(path: Path, kind: Optional[str], label: Optional[str] = None) -> List[str]:
    return differences.from_wanted(options(kind, label), str(path), str(path), path.stat())


@pytest.mark.parametrize("kind", FILE_SYSTEMS)
@pytest.mark.parametrize("label", ["DATA", "a b", None])
def test_what_is_made_is_found(tmp_path: Path, kind: str, label: Optional[str]) -> None:
    if kind == "tar" and label:
        return
    path = made(tmp_path, kind, label)
    has = "ISOIMAGE" if kind == "iso9660" and not label else label
    assert found(path) == FoundFileSystem(kind, has)
    assert said(path, kind, label) == []
    if label:
        assert said(path, None, label) == []
        assert said(path, kind, "OTHER") == [
            f"{path}: its {'swap area' if kind == 'swap' else kind + ' file system'} has the label "
            f"{label!r}, not 'OTHER'; the label of what exists is never changed, so correct label, "
            "or change it in the guest"
        ]
    other = "ext4" if kind != "ext4" else "xfs"
    (message,) = said(path, other, label)
    assert f", not an {other} file system; what exists is never formatted, so correct" in message


def test_words(tmp_path: Path) -> None:
    path = made(tmp_path, "swap")
    end = "; what exists is never formatted, so correct filesystem, or create another disk"
    assert said(path, "tar") == [f"{path}: it has a swap area, not a tar archive{end}"]
    assert said(path, "vfat") == [f"{path}: it has a swap area, not a vfat file system{end}"]
    assert said(path, "swap", "S")[0].startswith(f"{path}: its swap area has no label, not 'S'; ")
    zeros = image(tmp_path / "zeros.raw", MIB)
    assert said(zeros, "ext4") == [f"{zeros}: no ext4 file system was found on it{end}"]
    assert said(zeros, None, "DATA") == []
    assert said(zeros, "tar") == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"LUKS\xba\xbe\0\2", ": it is encrypted (LUKS)"),
        (bytes(512) + b"EFI PART", ": it has partitions"),
        (bytes(512) + b"LABELONE", ": it is a physical volume of LVM"),
        (bytes(450) + b"\x83" + bytes(59) + b"\x55\xaa", ": it has partitions"),
        (b"\xeb\x58\x90" + bytes(507) + b"\x55\xaa", ""),
        (b"x" * 4096, ""),
    ],
)
def test_what_a_guest_has_made_of_it(tmp_path: Path, data: bytes, words: str) -> None:
    path = image(tmp_path / "a.raw", MIB, data)
    (message,) = said(path, "ext4", "DATA")
    assert message.startswith(f"{path}: no ext4 file system was found on it{words}; what exists")


@needs("tune2fs")
@pytest.mark.parametrize("features", ["", "^has_journal", "^extents,^64bit", "quota", "encrypt"])
@pytest.mark.parametrize("kind", EXT_KINDS)
def test_ext_as_blkid_finds_it(tmp_path: Path, kind: str, features: str) -> None:
    path = image(tmp_path / "a.raw", 64 * MIB)
    more = ["-O", features] if features else []
    ran("mke2fs", "-q", "-t", kind, "-L", "L", *more, str(path), stderr=-3)
    assert found(path) == FoundFileSystem(blkid(path)["TYPE"], "L")


@pytest.mark.parametrize("bits", ["12", "16", "32"])
def test_fat_of_others(tmp_path: Path, bits: str) -> None:
    path = image(tmp_path / "a.raw", 64 * MIB if bits != "12" else 4 * MIB)
    ran("mkfs.vfat", "-F", bits, "-n", "FIRST", str(path))
    assert found(path) == FoundFileSystem("vfat", "FIRST")
    ran("fatlabel", str(path), "SECOND")
    assert found(path) == FoundFileSystem("vfat", "SECOND")


@needs("mlabel")
def test_label_of_fat_that_only_its_directory_has(tmp_path: Path) -> None:
    path = made(tmp_path, "vfat", size=64 * MIB)
    ran("mlabel", "-i", str(path), "::MINE")
    assert (
        found(path)
        == FoundFileSystem("vfat", "MINE")
        == FoundFileSystem("vfat", blkid(path)["LABEL"])
    )


def test_label_of_fat_beyond_what_is_read(tmp_path: Path) -> None:
    """It may be anywhere in the topmost directory, so nothing is said of it."""
    source = directory(tmp_path / "f", {f"A{number:03}": b"" for number in range(300)})
    file_system = options("vfat").file_system("/srv/a.raw", str(source))
    assert file_system
    path = filled(file_system, tmp_path / "a.raw")
    assert found(path) == FoundFileSystem("vfat", is_label_known=False)
    assert said(path, "vfat", "DATA") == []


@pytest.mark.parametrize("size", [0, 512, 4095])
def test_short(tmp_path: Path, size: int) -> None:
    for kind in FILE_SYSTEMS:
        place = tmp_path / kind
        place.mkdir()
        path = made(place, kind)
        os.truncate(path, size)
        found(path)
        said(path, kind, "DATA")


@given(st.binary(max_size=1200), st.sampled_from([0, 400, 1000, 1024, 4000]))
def test_any_bytes(data: bytes, at: int) -> None:
    """A guest can write whatever it likes."""
    disk = (bytes(at) + data).ljust(70_000, b"\0")
    for magic, place in ((b"\x55\xaa", 510), (b"\x53\xef", 1080), (b"\1CD001", 32768)):
        whole = disk[:place] + magic + disk[place + len(magic) :]
        superblock.found(lambda offset, size, whole=whole: whole[offset : offset + size])
        superblock.other(lambda offset, size, whole=whole: whole[offset : offset + size])


def test_fat_whose_directory_is_nowhere(tmp_path: Path) -> None:
    path = made(tmp_path, "vfat", "DATA", 64 * MIB)
    with open(path, "r+b") as file:
        file.seek(14)
        file.write(struct.pack("<H", 65535))
        file.truncate(MIB)
    assert found(path) == FoundFileSystem("vfat", is_label_known=False)


def test_a_label_shows_no_control_characters(tmp_path: Path) -> None:
    path = made(tmp_path, "xfs", "DATA")
    with open(path, "r+b") as file:
        file.seek(108)
        file.write(b"\x1b[2J\xff\n")
    (message,) = said(path, "xfs", "DATA")
    assert message.isprintable()


def test_nothing_is_read_unless_it_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted(*arguments: Any) -> bytes:
        reads.append(arguments)
        return real(*arguments)

    path = made(tmp_path, "ext4", "DATA")
    reads: List[Any] = []
    real = os.pread
    monkeypatch.setattr(os, "pread", counted)
    assert said(path, None) == []
    assert not reads
    said(path, "ext4", "DATA")
    assert sum(size for _descriptor, size, _offset in reads) <= 4096


def test_what_cannot_be_read_is_not_judged(tmp_path: Path) -> None:
    path = image(tmp_path / "a.raw", MIB)
    status = path.stat()
    wanted = options("ext4")
    other = image(tmp_path / "other.raw", MIB)
    assert differences.from_wanted(wanted, str(path), str(other), status) == []
    path.unlink()
    assert differences.from_wanted(wanted, str(path), str(path), status) == []


@needs("losetup")
def test_device(tmp_path: Path) -> None:
    path = made(tmp_path, "xfs", "DATA")
    with loop_device(path) as device:
        assert said(Path(device), "xfs", "DATA") == []
        assert len(said(Path(device), "swap")) == 1
