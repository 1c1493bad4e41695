# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of real directories, read back by Python's tarfile and by tar itself."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.image import directory_tree
from ansible_collections.xen.blockdev.plugins.module_utils.image.directory_tree import OpenDirectory
from ansible_collections.xen.blockdev.plugins.module_utils.image.tar import TarArchive
from ansible_collections.xen.blockdev.tests.exhaustive import examples
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.contentutil import (
    Content,
    directory,
    filled,
    needs,
    ran,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CONTENT: Content = {
    "b": b"x" * 5000,
    "a/file": b"content",
    "a/empty": None,
    "a/link": "../b",
    "p" * 120 + "/" + "n" * 130: b"a long path",
    "ä/日本": b"",
}
NAME = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="/\0"), min_size=1, max_size=70
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)


def archive(path: Path, preserve: bool = False) -> TarArchive:
    return TarArchive(directory_tree.read(str(path)), preserve)


def members(path: Path) -> Dict[str, Tuple[bytes, Any]]:
    """By name: type and content, or target."""
    found = {}
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            name = member.name.rstrip("/")  # which Python 3.8 leaves at the end of a long one
            found[name] = (member.type, file.read() if file else member.linkname)
    return found


def test_reads_back(tmp_path: Path) -> None:
    image = filled(archive(directory(tmp_path / "f", CONTENT)), tmp_path / "a.raw")
    found = members(image)
    assert found["b"] == (tarfile.REGTYPE, b"x" * 5000)
    assert found["a/link"] == (tarfile.SYMTYPE, "../b")
    assert found["a/empty"] == (tarfile.DIRTYPE, "")
    assert found["p" * 120 + "/" + "n" * 130] == (tarfile.REGTYPE, b"a long path")
    assert list(found) == sorted(found)


@settings(
    max_examples=examples(40),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.dictionaries(NAME, st.binary(max_size=1500), max_size=6), st.booleans())
def test_any_content_reads_back_from_an_image_of_the_planned_size(
    content: Dict[str, bytes], preserve: bool
) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = directory(Path(place) / "f", dict(content))
        tar = archive(path, preserve)
        image = filled(tar, Path(place) / "a.raw")
        assert image.stat().st_size == tar.size
        assert tar.size % 4096 == 0
        assert not any(image.read_bytes()[-4096:])
        assert {name: value for name, (_status, value) in members(image).items()} == content


@pytest.mark.parametrize(
    ("content", "size"),
    [
        ({}, 4096),
        ({"a": b""}, 8192),
        ({"a": b"x" * 3584}, 8192),
        ({"a": b"x" * 3585}, 12288),
        ({str(number): b"" for number in range(8)}, 8192),
    ],
)
def test_size(tmp_path: Path, content: Content, size: int) -> None:
    assert archive(directory(tmp_path / "f", content)).size == size


def test_no_header_is_longer_than_it_must(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", {"p" * 90 + "/" + "n" * 90: b"", "ä": b""})
    with open(filled(archive(path), tmp_path / "a.raw"), "rb") as image:
        data = image.read()
    assert [data[at + 156 : at + 157] for at in range(0, 3 * 512, 512)] == [b"5", b"0", b"0"]
    assert all(data[at + 257 : at + 265] == b"ustar\00000" for at in range(0, 3 * 512, 512))


def other_copy(path: Path, other: Path) -> Path:
    """The same content created in another order, at another time, by another user."""
    other.mkdir(mode=0o700)
    for source in sorted(path.rglob("*"), reverse=True):
        target = other / source.relative_to(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(os.readlink(source))
        elif source.is_dir():
            target.mkdir(exist_ok=True)
        else:
            shutil.copy(source, target)
            target.chmod(source.stat().st_mode & 0o700)
            if os.geteuid() == 0:
                os.chown(target, 1234, 5678)
            os.utime(target, (1, 1))
    return other


def test_equal_content_is_an_equal_archive(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", CONTENT)
    (path / "b").chmod(0o777)
    other = other_copy(path, tmp_path / "other")
    first, second = (
        filled(archive(one), tmp_path / f"{one.name}.raw").read_bytes() for one in (path, other)
    )
    assert first == second
    with tarfile.open(tmp_path / "f.raw", "r:") as tar:
        every = tar.getmembers()
    assert {(one.uid, one.gid, one.uname, one.gname, one.mtime) for one in every} == {
        (0, 0, "", "", 0)
    }
    assert {one.name: one.mode for one in every if one.name in ("a", "b", "a/file")} == {
        "a": 0o755,
        "b": 0o755,
        "a/file": 0o644,
    }


def test_preserves(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", {"a": b"", "b": b""})
    (path / "a").chmod(0o4751)
    os.utime(path / "a", ns=(0, 1_700_000_000_900_000_000))
    os.utime(path / "b", (-1, -1))  # which only a pax header holds
    image = filled(archive(path, preserve=True), tmp_path / "a.raw")
    with tarfile.open(image, "r:") as tar:
        first, second = tar.getmembers()
    assert (first.mode, first.mtime) == (0o4751, 1_700_000_000)
    assert (first.uid, first.gid) == (os.geteuid(), (path / "a").stat().st_gid)
    assert second.mtime == -1


def test_hard_links_are_files(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", {"a": b"content"})
    os.link(path / "a", path / "b")
    found = members(filled(archive(path), tmp_path / "a.raw"))
    assert found == dict.fromkeys(("a", "b"), (tarfile.REGTYPE, b"content"))


def test_a_larger_image_ends_in_zeros(tmp_path: Path) -> None:
    tar = archive(directory(tmp_path / "f", {"a": b"content"}))
    image = filled(tar, tmp_path / "a.raw", 65536)
    assert image.read_bytes() == filled(tar, tmp_path / "b.raw").read_bytes().ljust(65536, b"\0")
    tar.check(65536)
    with pytest.raises(
        ImageError, match=r"4KiB is too small for the tar archive of .*f: it needs at"
    ):
        tar.check(4096)


@needs("tar")
def test_tar_lists_it(tmp_path: Path) -> None:
    image = filled(archive(directory(tmp_path / "f", CONTENT)), tmp_path / "a.raw")
    listed = ran("tar", "--quoting-style=literal", "-tf", str(image)).splitlines()
    assert {line.rstrip("/") for line in listed} == set(members(image))


def changes() -> List[Any]:
    return [
        lambda file: file.write_bytes(b"longer content"),
        lambda file: file.write_bytes(b""),
        lambda file: file.unlink(),
        lambda file: os.replace(file, file.parent / "c"),
        lambda file: (file.unlink(), file.symlink_to("/etc/shadow")),
        lambda file: (file.unlink(), os.mkfifo(file)),
    ]


@pytest.mark.parametrize("change", changes())
def test_file_that_changes_just_before_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    def copy(*arguments: Any) -> None:
        change(path / "b")
        real_copy(*arguments)

    path = directory(tmp_path / "f", {"b": b"content"})
    tar = archive(path)
    real_copy = OpenDirectory.copy
    monkeypatch.setattr(OpenDirectory, "copy", copy)
    with pytest.raises(ImageError, match="changed in the meantime; run again"):
        filled(tar, tmp_path / "a.raw")


def test_file_that_shrinks_while_it_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = directory(tmp_path / "f", {"b": b"content"})
    tar = archive(path)
    monkeypatch.setattr(os, "pread", lambda *_arguments: b"")
    with pytest.raises(ImageError, match="changed in the meantime; run again"):
        filled(tar, tmp_path / "a.raw")


def test_directory_that_gets_another_file_after_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(*arguments: Any) -> None:
        (path / "c").write_bytes(b"")
        real_copy(*arguments)

    path = directory(tmp_path / "f", {"b": b"content"})
    tar = archive(path)
    real_copy = OpenDirectory.copy
    monkeypatch.setattr(OpenDirectory, "copy", copy)
    with pytest.raises(ImageError, match="changed in the meantime; run again"):
        filled(tar, tmp_path / "a.raw")
