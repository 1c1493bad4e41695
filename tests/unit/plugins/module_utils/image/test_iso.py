# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ISO 9660 file systems of real directories, made by the real xorriso and unpacked by it."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any, Dict, Set, Union

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.image import directory_tree
from ansible_collections.xen.blockdev.plugins.module_utils.image.iso import Iso
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.contentutil import (
    Content,
    blkid,
    directory,
    filled,
    needs,
    ran,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.imageutil import MIB

pytestmark = needs("xorriso", "blkid")

CONTENT: Content = {
    "user-data": b"#cloud-config\n",
    "meta-data": b"instance-id: web\n",
    "network-config": b"version: 2\n",
    "A long name, with more.than.one dot and UPPER": b"x" * 10_000,
    "sub/é 日本": b"content",
    "sub/empty": b"",
    "link": "sub/empty",
    "/".join("abcdefghijkl") + "/deep": b"d",
    "n" * 200: b"n",
    "-dash": b"d",
    "a=b": b"e",
    "a\\b\nc": b"f",
    "directory": None,
}


def iso(path: Path, label: Any = None) -> Iso:
    return Iso(label, directory_tree.read(str(path)))


def tree(path: Path) -> Dict[str, Union[bytes, str, None]]:
    return {
        str(one.relative_to(path)): os.readlink(one)
        if one.is_symlink()
        else None
        if one.is_dir()
        else one.read_bytes()
        for one in path.rglob("*")
    }


def copied_back(image: Path, to: Path) -> Path:
    ran("xorriso", "-osirrox", "on", "-indev", str(image), "-extract", "/", str(to), stderr=-3)
    return to


def joliet_names(image: Path) -> Set[str]:
    """Names in the topmost directory for readers of Joliet, such as Windows."""
    data = image.read_bytes()
    at = next(at for at in range(16 * 2048, len(data), 2048) if data[at : at + 6] == b"\2CD001")
    assert data[at + 88 : at + 91] == b"%/E"
    place, size = struct.unpack_from("<I4xI", data, at + 156 + 2)
    directory, names = data[place * 2048 : place * 2048 + size], set()
    while directory and directory[0]:
        name = directory[33 : 33 + directory[32]]
        if len(name) > 1:
            names.add(name.decode("utf-16-be").partition(";")[0])
        directory = directory[directory[0] :]
    return names


def test_content(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", CONTENT)
    (path / "user-data").chmod(0o600)
    os.utime(path / "meta-data", (1_600_000_000, 1_600_000_000))
    if os.geteuid() == 0:
        os.chown(path / "meta-data", 1234, 5678)
    file_system = iso(path, "cidata")
    image = filled(file_system, tmp_path / "a.iso")
    assert image.stat().st_size == file_system.size
    assert file_system.size % 4096 == 0
    back = copied_back(image, tmp_path / "back")
    assert tree(back) == tree(path)
    for name in ("user-data", "meta-data"):
        was, now = (path / name).stat(), (back / name).stat()
        assert (was.st_mode, was.st_uid, was.st_gid) == (now.st_mode, now.st_uid, now.st_gid)
        assert int(was.st_mtime) == int(now.st_mtime)
    found = blkid(image)
    assert (found["TYPE"], found["LABEL"]) == ("iso9660", "cidata")


def test_seed_of_cloud_init_for_every_reader(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", {"user-data": b"#cloud-config\n", "meta-data": b"{}"})
    image = filled(iso(path, "CIDATA"), tmp_path / "a.iso")
    assert joliet_names(image) == {"user-data", "meta-data"}
    assert blkid(image)["LABEL"] == "CIDATA"
    assert image.stat().st_size < MIB


def test_larger_disk(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", CONTENT)
    image = filled(iso(path), tmp_path / "a.iso", 5 * MIB)
    assert image.stat().st_size == 5 * MIB
    assert tree(copied_back(image, tmp_path / "back")) == tree(path)


def test_smaller_disk(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", {"a": os.urandom(MIB)})
    file_system = iso(path, "DATA")
    with pytest.raises(ImageError) as error:
        file_system.check(MIB)
    assert f"1MiB is too small for the iso9660 file system DATA from {path}: it needs at " in str(
        error.value
    )


def test_directory_that_grows_after_the_plan(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", {"a": b"x"})
    file_system = iso(path)
    assert file_system.size < MIB
    (path / "a").write_bytes(os.urandom(MIB))
    with pytest.raises(ImageError, match="changed in the meantime; run again"):
        filled(file_system, tmp_path / "a.iso")


def test_name_that_is_not_utf_8(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", {"a": b"x"})
    with open(os.fsencode(path) + b"/bad\xff", "wb"):
        pass
    image = filled(iso(path), tmp_path / "a.iso")
    assert set(os.listdir(os.fsencode(copied_back(image, tmp_path / "back")))) == {b"a", b"bad\xff"}


def test_options_of_the_user_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".xorrisorc").write_text("-volid OTHER\n-follow on\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    path = directory(tmp_path / "f", {"link": "a", "a": b""})
    image = filled(iso(path, "cidata"), tmp_path / "a.iso")
    assert blkid(image)["LABEL"] == "cidata"
    assert tree(copied_back(image, tmp_path / "back"))["link"] == "a"


@pytest.mark.parametrize("label", ["cidata", "A b-c", "-x", "x" * 32, "a/b", "a'b$(x)"])
def test_label(tmp_path: Path, label: str) -> None:
    image = filled(iso(directory(tmp_path / "f", {}), label), tmp_path / "a.iso")
    assert ran("blkid", "-p", "-o", "value", "-s", "LABEL", str(image)) == f"{label}\n"


@pytest.mark.parametrize("label", ["", "x" * 33, " x", "x ", "é", "a\nb"])
def test_label_that_is_none(tmp_path: Path, label: str) -> None:
    path = directory(tmp_path / "f", {})
    with pytest.raises(ImageError, match=r"label .*: it must be 1 to 32 printable"):
        iso(path, label)
