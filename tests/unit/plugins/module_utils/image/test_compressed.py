# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compressed sources, from the plan to the new disk."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator, List, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import opened
from ansible_collections.xen.blockdev.plugins.module_utils.image import (
    compressed,
    filling,
    signatures,
    uncompress,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image import source as image_source
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system_options import (
    FileSystemOptions,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.filling import (
    ContentOptions,
    Destination,
    Filling,
    Room,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.new_disk import NewFile
from ansible_collections.xen.blockdev.plugins.module_utils.image.source import Source
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.contentutil import (
    loop_device,
    needs,
    ran,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.imageutil import (
    MIB,
    allocated,
)

DATA = bytes(3 * MIB) + b"x" * 100_000 + bytes(MIB) + b"y"
"""An image with zeros, whose last sector is not whole."""

GZIP_FILE = gzip.compress(b"x", mtime=0)
"""Always the same, as the name of a test in which it is must be for each of pytest's workers."""


def read(path: Path, most: Optional[int] = None) -> Source:
    return image_source.read(str(path), None, path.stat(), lambda: most)


def refused(path: Path, most: Optional[int] = None) -> str:
    with pytest.raises(ImageError) as error:
        read(path, most)
    return str(error.value)


def copied(source: Source, new: Path, full: bool = False) -> Path:
    with opened(str(new), os.O_RDWR | os.O_CREAT | os.O_EXCL) as descriptor:
        image_source.copy(source, NewFile(descriptor, source.size, full))
    return new


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, bz2.compress])
@pytest.mark.parametrize("full", [False, True])
def test_copy(tmp_path: Path, compress: Any, full: bool) -> None:
    path = tmp_path / "base.img"  # no name says that it is compressed
    path.write_bytes(compress(DATA))
    source = read(path)
    size = -(-len(DATA) // 512) * 512
    assert (source.format, source.size, source.length) == ("raw", size, path.stat().st_size)
    assert source.content
    assert source.content.size == len(DATA)
    assert 100_001 <= source.content.data <= 4 * 65536
    new = copied(source, tmp_path / "a.raw", full)
    assert new.read_bytes() == DATA.ljust(size, b"\0")
    assert (allocated(new) < MIB) is not full


def test_raw_by_the_word_of_the_user(tmp_path: Path) -> None:
    path = tmp_path / "base.gz"
    path.write_bytes(gzip.compress(DATA))
    source = image_source.read(str(path), "raw", path.stat())
    assert source.content is None
    assert copied(source, tmp_path / "a.raw").read_bytes().rstrip(b"\0") == (
        path.read_bytes().rstrip(b"\0")
    )


@pytest.mark.parametrize(
    ("inside", "words", "remedy"),
    [
        (b"QFI\xfb\0\0\0\3" + bytes(600), "a qcow2 image", ", then set source_format: qcow2"),
        (bytes(9000) + b"conectix" + bytes(504), "a vhd image", ", then set source_format: vhd"),
        (b"PK\3\4" + bytes(600), "a zip archive", ", then unpack it first (unzip)"),
        (bytes(257) + b"ustar" + bytes(600), "a tar archive", ", then unpack it (tar -xf), or for"),
        (GZIP_FILE, "a file compressed by gzip", ", then uncompress it first (gzip -d)"),
    ],
)
def test_what_is_no_raw_image_inside(
    tmp_path: Path, inside: bytes, words: str, remedy: str
) -> None:
    path = tmp_path / "base.gz"
    path.write_bytes(gzip.compress(inside))
    assert refused(path).startswith(
        f"cannot copy {path}: it is compressed by gzip, and has the signature of {words} in it; "
        f"uncompress it first (gzip -d){remedy}"
    )


def test_other_format_of_a_compressed_file(tmp_path: Path) -> None:
    path = tmp_path / "base.qcow2.gz"
    path.write_bytes(gzip.compress(b"QFI\xfb"))
    with pytest.raises(ImageError) as error:
        image_source.read(str(path), "qcow2", path.stat())
    assert str(error.value) == (
        f"cannot copy {path} as a qcow2 image: it has the signature of a file compressed by gzip; "
        "if it is one, uncompress it first (gzip -d)"
    )


@pytest.mark.parametrize("inside", [b"QFI\xfb", b"PK\3\4"])
def test_a_signature_is_enough(tmp_path: Path, inside: bytes) -> None:
    """What comes after it is not uncompressed: it may be as much as you like, or damaged."""
    path = tmp_path / "base.gz"
    path.write_bytes(gzip.compress(inside + os.urandom(20 * MIB))[: 10 * MIB])
    assert "in it; uncompress it first" in refused(path)


def test_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(*arguments: Any) -> Iterator[bytes]:
        for piece in real(*arguments):
            pieces.append(len(piece))
            yield piece

    pieces: List[int] = []
    real = uncompress.pieces
    monkeypatch.setattr(uncompress, "pieces", counted)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(200 * MIB)))
    assert refused(path, 16 * MIB) == (
        f"cannot copy {path}: uncompressed it has more than 16MiB; set size, or increase it"
    )
    assert sum(pieces) <= 24 * MIB
    assert read(path, 200 * MIB).size == 200 * MIB
    assert "more than 16MiB" in refused(path, 16 * MIB)


def test_damaged(tmp_path: Path) -> None:
    path = tmp_path / "base.gz"
    path.write_bytes(gzip.compress(DATA)[:-9])
    assert refused(path) == (
        f"cannot copy {path}: it has the signature of a file compressed by gzip, but is damaged "
        "(it ends too early); if it is none, set source_format: raw and format: raw to copy it "
        "unchanged"
    )


def test_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "base.gz"
    path.write_bytes(gzip.compress(DATA))
    first = read(path)
    with monkeypatch.context() as patch:
        patch.setattr(uncompress, "pieces", None)
        assert read(path) == first
    path.write_bytes(gzip.compress(DATA[: MIB + 1]))
    assert read(path).size == MIB + 512


def test_file_that_changes_after_the_plan(tmp_path: Path) -> None:
    path = tmp_path / "base.gz"
    path.write_bytes(gzip.compress(DATA))
    source = read(path)
    with open(path, "r+b") as file:
        file.write(gzip.compress(bytes(len(DATA)))[:20])
    with pytest.raises(ImageError, match="changed in the meantime; run again"):
        copied(source, tmp_path / "a.raw")


@pytest.mark.parametrize("inside", [DATA + b"more" * 999, DATA[:-1]])
def test_another_content_than_the_measured_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: bytes
) -> None:
    path = tmp_path / "base.gz"
    path.write_bytes(gzip.compress(DATA))
    source = read(path)
    monkeypatch.setattr(uncompress, "pieces", lambda *_arguments: iter([inside]))
    with pytest.raises(ImageError, match="changed in the meantime; run again"):
        copied(source, tmp_path / "a.raw")


def test_the_last_free_bytes_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "base.gz"
    path.write_bytes(gzip.compress(DATA))
    source = read(path)
    status = SimpleNamespace(f_blocks=9, f_bavail=2, f_frsize=4096)
    monkeypatch.setattr(os, "fstatvfs", lambda _descriptor: status)
    with pytest.raises(OSError) as error:
        copied(source, tmp_path / "a.raw")
    assert error.value.errno == errno.ENOSPC
    copied(source, tmp_path / "full.raw", full=True)
    status.f_blocks = 0
    copied(source, tmp_path / "unknown.raw")


# ---- the plan of a new disk ----


def planned(source: Path, room: Room, size: Optional[int] = None) -> Filling:
    file_system = FileSystemOptions(None, None, None, preserve=False)
    new = Destination("/srv/a.raw", "/srv/a.raw", size, "sparse", room=lambda: room)
    return filling.plan(ContentOptions(file_system, str(source), None), new, frozenset())


def test_room(tmp_path: Path) -> None:
    path = tmp_path / "base.gz"
    path.write_bytes(gzip.compress(DATA))
    name = "the file system of /srv"
    enough = planned(path, Room(name, size=8 * MIB, free=MIB))
    size = -(-len(DATA) // 512) * 512
    assert enough.sentence == f"uncompress {path} to /srv/a.raw, 4194KiB, sparse"
    assert enough.size == size
    assert planned(path, Room(name, None, None), 8 * MIB).size == 8 * MIB
    with pytest.raises(ImageError) as error:
        planned(path, Room(name, size=8 * MIB, free=65536))
    assert str(error.value) == (
        f"cannot uncompress {path} to /srv/a.raw: uncompressed, the source has "
        "165537 bytes of data, but the file system of /srv has only 64KiB free; free some space"
    )
    compressed._measured.clear()
    with pytest.raises(ImageError, match="uncompressed it has more than 2MiB; set size, or"):
        planned(path, Room(name, size=2 * MIB, free=2 * MIB))
    with pytest.raises(ImageError, match="uncompressed it has more than 1MiB; set size, or"):
        planned(path, Room(name, size=8 * MIB, free=8 * MIB), MIB)


@needs("losetup")
def test_device(tmp_path: Path) -> None:
    """It is copied, but not to a disk that would lie on it; and nothing in it is uncompressed."""
    image = tmp_path / "base.raw"
    image.write_bytes(DATA.ljust(5 * MIB, b"\0"))
    with loop_device(image) as device:
        number = os.stat(device).st_rdev
        (tmp_path / "link").symlink_to(device)
        room = Room("the file system of /srv", MIB, 0, frozenset([number + 1]))
        plan = planned(tmp_path / "link", room)
        assert plan.sentence == f"copy {tmp_path}/link to /srv/a.raw, 5MiB, sparse"
        assert plan.source
        assert plan.source.is_device
        new = copied(plan.source, tmp_path / "a.raw")
        assert new.read_bytes() == image.read_bytes()
        assert allocated(new) < MIB
        room = Room("the file system of /srv", MIB, 0, frozenset([number]))
        with pytest.raises(ImageError) as error:
            planned(Path(device), room)
        assert str(error.value) == (
            f"cannot create /srv/a.raw: the file system of /srv is on its source {device}, which "
            "would be copied into itself; choose another path"
        )
        with open(device, "r+b") as disk:
            disk.write(gzip.compress(b"x"))
        with pytest.raises(ImageError, match="has the signature of a file compressed by gzip; if"):
            read(Path(device))


@needs("losetup")
def test_device_that_changes_its_size(tmp_path: Path) -> None:
    image = tmp_path / "base.raw"
    image.write_bytes(bytes(MIB))
    with loop_device(image) as device:
        source = read(Path(device))
        os.truncate(image, 2 * MIB)
        ran("losetup", "--set-capacity", device)
        with pytest.raises(ImageError, match="replaced or resized in the meantime; run again"):
            copied(source, tmp_path / "a.raw")


def test_every_kind_has_a_signature() -> None:
    known = {one.format for _offset, _magic, one in signatures._HEADS} | {"bzip2"}
    assert known >= set(uncompress.KINDS)
