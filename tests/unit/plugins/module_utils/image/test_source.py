# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources on a real file system, and copies of them; other formats also with the real qemu-img."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
import subprocess
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host import files
from ansible_collections.xen.blockdev.plugins.module_utils.image import source as image_source
from ansible_collections.xen.blockdev.plugins.module_utils.image import writing
from ansible_collections.xen.blockdev.plugins.module_utils.image.new_disk import NewFile
from ansible_collections.xen.blockdev.plugins.module_utils.image.source import FORMATS, Source
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.contentutil import needs
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.imageutil import (
    MIB,
    allocated,
    failing,
    fake_qemu_img,
    holey,
    image,
)


def read(path: Path, source_format: Optional[str] = None) -> Source:
    return image_source.read(str(path), source_format, path.stat())


def refused(path: Path, source_format: Optional[str] = None) -> str:
    with pytest.raises(ImageError) as error:
        read(path, source_format)
    return str(error.value)


def copied(source: Source, new: Path, size: Optional[int] = None, full: bool = False) -> Path:
    with files.opened(str(new), os.O_RDWR | os.O_CREAT | os.O_EXCL) as descriptor:
        image_source.copy(source, NewFile(descriptor, size or source.size, full))
    return new


# Raw sources

UNCHANGED = "to copy it unchanged, set source_format: raw and format: raw"
TO_MIRAGE = "to copy it unchanged, for a MirageOS unikernel, set source_format: raw"


def test_size_is_in_whole_sectors(tmp_path: Path) -> None:
    for size, expected in ((0, 0), (1, 512), (512, 512), (700, 1024), (MIB, MIB)):
        assert read(image(tmp_path / "base.raw", size)).size == expected


@pytest.mark.parametrize(
    ("offset", "magic", "found", "remedy", "raw"),
    [
        (0, b"QFI\xfb", "a qcow2 image", "set source_format: qcow2", UNCHANGED),
        (MIB - 512, b"conectix", "a vhd image", "set source_format: vhd", UNCHANGED),
        (0, b"LZIP", "a file compressed by lzip", "uncompress it first (lzip -d)", UNCHANGED),
        (257, b"ustar", "a tar archive", "unpack it first (tar -xf)", TO_MIRAGE),
    ],
)
def test_source_with_the_signature_of_another_format(
    tmp_path: Path, offset: int, magic: bytes, found: str, remedy: str, raw: str
) -> None:
    path = image(tmp_path / "base.raw", MIB, bytes(offset) + magic)
    assert refused(path) == (
        f"cannot copy {path} as a raw image: it has the signature of {found}; if it is one, "
        f"{remedy}; {raw}"
    )
    assert read(path, "raw").format == "raw"


def test_marks_elsewhere_are_content(tmp_path: Path) -> None:
    assert read(image(tmp_path / "base.raw", MIB, bytes(1) + b"QFI\xfb")).format == "raw"


def test_source_that_has_gone(tmp_path: Path) -> None:
    path = image(tmp_path / "base.raw")
    status = path.stat()
    path.unlink()
    with pytest.raises(ImageError, match=f"cannot read {path}: No such file"):
        image_source.read(str(path), None, status)


# Copies of raw sources


def in_kernel(_monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy in the first way that this machine has."""


def by_another_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "ioctl", failing(errno.EXDEV))
    monkeypatch.setattr(os, "copy_file_range", failing(errno.EXDEV))


def by_an_old_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "ioctl", failing(errno.ENOTTY))
    monkeypatch.setattr(os, "copy_file_range", lambda *_arguments: 0)


def by_an_old_c_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "ioctl", failing(errno.EOPNOTSUPP))
    monkeypatch.delattr(os, "copy_file_range")


def in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    by_another_file_system(monkeypatch)
    monkeypatch.setattr(image_source, "COPY_CHUNK", 1000)
    monkeypatch.setattr(writing, "PIECE", 500)


WAYS = [in_kernel, by_another_file_system, by_an_old_kernel, by_an_old_c_library, in_small_steps]


@pytest.mark.parametrize("way", WAYS)
def test_holes_stay_holes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Callable[[pytest.MonkeyPatch], None]
) -> None:
    content = holey(tmp_path / "base.raw")
    way(monkeypatch)
    path = copied(read(tmp_path / "base.raw"), tmp_path / "a.raw")
    assert path.read_bytes() == content
    assert allocated(path) == allocated(tmp_path / "base.raw") < MIB


@pytest.mark.parametrize("full", [False, True])
def test_copy_larger_than_its_source(tmp_path: Path, full: bool) -> None:
    content = holey(tmp_path / "base.raw")
    path = copied(read(tmp_path / "base.raw"), tmp_path / "a.raw", 6 * MIB, full)
    assert path.read_bytes() == content.ljust(6 * MIB, b"\0")
    assert (allocated(path) >= 6 * MIB) is full


def test_half_a_sector_is_filled_up(tmp_path: Path) -> None:
    path = copied(read(image(tmp_path / "base.raw", 700, b"x" * 700)), tmp_path / "a.raw")
    assert path.read_bytes() == (b"x" * 700).ljust(1024, b"\0")


@pytest.mark.parametrize("change", ["resized", "replaced"])
def test_source_that_changes_before_it_is_copied(tmp_path: Path, change: str) -> None:
    source = read(image(tmp_path / "base.raw"))
    if change == "resized":
        os.truncate(tmp_path / "base.raw", 512)
    else:
        os.replace(image(tmp_path / "other.raw"), tmp_path / "base.raw")
    with pytest.raises(ImageError, match="replaced or resized in the meantime"):
        copied(source, tmp_path / "a.raw")


@pytest.mark.parametrize("way", WAYS)
def test_source_whose_last_data_is_cut_off_while_it_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Callable[[pytest.MonkeyPatch], None]
) -> None:
    def copy_data(old: int, *arguments: Any) -> None:
        os.truncate(tmp_path / "base.raw", MIB)
        real_copy_data(old, *arguments)

    holey(tmp_path / "base.raw")
    source = read(tmp_path / "base.raw")
    way(monkeypatch)
    monkeypatch.setattr(image_source, "_share_blocks", lambda *_descriptors: False)
    real_copy_data = image_source._copy_data
    monkeypatch.setattr(image_source, "_copy_data", copy_data)
    with pytest.raises(ImageError, match="resized in the meantime"):
        copied(source, tmp_path / "a.raw")


def test_source_that_is_emptied_between_two_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lseek(descriptor: int, position: int, whence: int) -> int:
        found = real_lseek(descriptor, position, whence)
        os.truncate(tmp_path / "base.raw", 0)
        return found

    source = read(image(tmp_path / "base.raw", MIB, b"content"))
    by_another_file_system(monkeypatch)
    real_lseek = os.lseek
    monkeypatch.setattr(os, "lseek", lseek)
    with pytest.raises(ImageError, match="resized in the meantime"):
        copied(source, tmp_path / "a.raw")


def test_source_that_ends_while_it_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = read(image(tmp_path / "base.raw", MIB, b"content"))
    monkeypatch.setattr(fcntl, "ioctl", failing(errno.EXDEV))
    monkeypatch.setattr(os, "copy_file_range", lambda *_arguments: 0)
    monkeypatch.setattr(os, "pread", lambda *_arguments: b"")
    with pytest.raises(ImageError, match="truncated while it was copied"):
        copied(source, tmp_path / "a.raw")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("call", ["ioctl", "copy_file_range"])
def test_no_slower_way_is_tried_where_it_cannot_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    source = read(image(tmp_path / "base.raw", MIB, b"content"))
    monkeypatch.setattr(fcntl, "ioctl", failing(code if call == "ioctl" else errno.EXDEV))
    monkeypatch.setattr(os, "copy_file_range", failing(code))
    with pytest.raises(OSError) as error:
        copied(source, tmp_path / "a.raw")
    assert error.value.errno == code


def test_full_disk_shows_before_the_copying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = read(image(tmp_path / "base.raw", MIB, b"content"))
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        copied(source, tmp_path / "a.raw", full=True)
    assert (tmp_path / "a.raw").stat().st_size == 0


# Other formats, with what qemu-img 7.2 was seen to print

QCOW2 = {"virtual-size": MIB, "format": "qcow2", "format-specific": {"data": {"compat": "1.1"}}}


def test_converts_by_qemu_img(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = fake_qemu_img(monkeypatch, tmp_path / "bin", {"virtual-size": MIB, "format": "vpc"})
    path = image(tmp_path / "base.vhd", 512)
    source = read(path, "vhd")
    assert source.size == MIB
    assert copied(source, tmp_path / "a.raw", 2 * MIB).stat().st_size == 2 * MIB
    info, convert = log.read_text().splitlines()
    assert re.fullmatch(r"C info -f vpc --output=json /proc/self/fd/\d+ ", info)
    assert re.match(r"C convert -f vpc -O raw /proc/self/fd/\d+ /proc/self/fd/\d+ ", convert)


@pytest.mark.parametrize(
    ("source_format", "more", "named"),
    [
        ("qcow2", {"backing-filename": "/etc/shadow"}, "/etc/shadow"),
        ("qcow2", {"backing-filename": "b", "full-backing-filename": "/srv/b"}, "/srv/b"),
        ("qcow2", {"format-specific": {"data": {"data-file": "/srv/ext"}}}, "/srv/ext"),
        (
            "vmdk",
            {"format-specific": {"data": {"extents": [{"filename": "/srv/f001"}]}}},
            "/srv/f001",
        ),
    ],
)
def test_source_that_takes_data_from_other_files(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source_format: str,
    more: Dict[str, Any],
    named: str,
) -> None:
    fake_qemu_img(monkeypatch, tmp_path / "bin", {**QCOW2, **more})
    path = image(tmp_path / "base")
    message = refused(path, source_format)
    assert message.startswith(f"cannot copy {path}: it takes data from {named};")


def test_vmdk_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = image(tmp_path / "base")
    extents = {"data": {"extents": [{"filename": str(path)}]}}
    fake_qemu_img(monkeypatch, tmp_path / "bin", {**QCOW2, "format-specific": extents})
    assert read(path, "vmdk").size == MIB


@pytest.mark.parametrize("disk_type", [2, 3, 4])
@pytest.mark.parametrize("offset", [0, MIB - 512])
def test_differencing_vhd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk_type: int, offset: int
) -> None:
    footer = b"conectix".ljust(60, b"\0") + struct.pack(">I", disk_type)
    path = image(tmp_path / "base", MIB, bytes(offset) + footer)
    fake_qemu_img(monkeypatch, tmp_path / "bin", {"virtual-size": MIB, "format": "vpc"})
    if disk_type == 4:
        assert refused(path, "vhd") == (
            f"cannot copy {path}: it is a differencing VHD, and qemu-img does not read its "
            "parent; merge it into its parent first, with the program that created it"
        )
    else:
        assert read(path, "vhd").size == MIB


def test_source_that_comes_to_name_another_file_after_it_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_qemu_img(monkeypatch, tmp_path / "bin", QCOW2)
    path = image(tmp_path / "base")
    source = read(path, "qcow2")
    with open(path, "r+b") as file:
        file.write(b"a name")
    with pytest.raises(ImageError, match=f"{path} was changed in the meantime; run again"):
        copied(source, tmp_path / "a.raw")


def test_source_that_is_replaced_before_it_is_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_qemu_img(monkeypatch, tmp_path / "bin", QCOW2)
    path = image(tmp_path / "base")
    status = path.stat()
    os.replace(image(tmp_path / "other"), path)
    with pytest.raises(ImageError, match=f"{path} was replaced by another file in the"):
        image_source.read(str(path), "qcow2", status)


def test_what_qemu_img_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_qemu_img(monkeypatch, tmp_path / "bin", None, "Image is not in qcow2 format")
    message = refused(image(tmp_path / "base"), "qcow2")
    assert message == "qemu-img info failed: Image is not in qcow2 format"


def test_no_qemu_img(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "package qemu-utils" in refused(image(tmp_path / "base"), "qcow2")


def test_qemu_img_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_qemu_img(monkeypatch, tmp_path / "bin", QCOW2)
    (tmp_path / "bin/qemu-img").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(image_source, "INFO_SECONDS", 0.1)
    message = refused(image(tmp_path / "base"), "qcow2")
    assert message == "qemu-img info did not end within 0.1 s and was killed"


@needs("qemu-img")
@pytest.mark.parametrize("source_format", FORMATS[1:])
@pytest.mark.parametrize("full", [False, True])
def test_really_converts(tmp_path: Path, source_format: str, full: bool) -> None:
    content = holey(tmp_path / "base.raw")
    base = tmp_path / f"base.{source_format}"
    qemu_format = {"vhd": "vpc"}.get(source_format, source_format)
    command = ["qemu-img", "convert", "-f", "raw", "-O", qemu_format, f"{tmp_path}/base.raw"]
    subprocess.run([*command, str(base)], check=True)
    os.unlink(tmp_path / "base.raw")
    path = copied(read(base, source_format), tmp_path / "a.raw", 8 * MIB, full)
    assert path.read_bytes() == content.ljust(8 * MIB, b"\0")
    assert (allocated(path) < MIB) is not full
    assert f"source_format: {source_format}" in refused(base)
