# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real directories to fill images from, and what must not be in them."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.image import directory_tree
from ansible_collections.xen.blockdev.plugins.module_utils.image.directory_tree import DirectoryTree
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.contentutil import directory

CONTENT = {"b": b"content", "a/z": b"", "a/link": "/etc/shadow", "a/empty": None}


def read(path: Path) -> DirectoryTree:
    return directory_tree.read(str(path))


def refused(path: Path) -> str:
    with pytest.raises(BlockdevError) as error:
        read(path)
    return str(error.value)


def paths(found: DirectoryTree) -> List[str]:
    return [entry.path for entry in found.entries]


def verify(found: DirectoryTree) -> None:
    with found.opened() as directory:
        found.check_unchanged(directory)


def test_everything_in_a_directory_in_its_order(tmp_path: Path) -> None:
    found = read(directory(tmp_path / "f", CONTENT))
    assert paths(found) == ["a", "a/empty", "a/link", "a/z", "b"]
    assert [entry.size for entry in found.entries] == [0, 0, 0, 0, len(b"content")]
    assert {
        path: [entry.name for entry in entries] for path, entries in found.by_parent.items()
    } == {
        "": ["a", "b"],
        "a": ["empty", "link", "z"],
        "a/empty": [],
    }
    verify(found)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", {})
    with open(os.fsencode(path) + b"/\xff\n", "wb"):
        pass
    assert [os.fsencode(name) for name in paths(read(path))] == [b"\xff\n"]


def test_a_link_to_the_directory_is_followed(tmp_path: Path) -> None:
    directory(tmp_path / "f", CONTENT)
    (tmp_path / "link").symlink_to("f")
    found = read(tmp_path / "link")
    assert (found.path, found.real) == (f"{tmp_path}/link", f"{tmp_path}/f")
    assert "b" in paths(found)


def test_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "with filesystem, source must be the directory whose content" in refused(
        tmp_path / "file"
    )
    assert refused(tmp_path / "no") == f"{tmp_path}/no does not exist"


def test_neither_files_nor_directories_nor_links(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", {"a/file": b""})
    os.mkfifo(path / "a/fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path / "a/socket"))
        assert refused(path) == (
            f"{path} cannot be copied into an image: neither a file, a directory nor a symbolic "
            "link: a/fifo, a/socket"
        )


def test_every_problem_is_named_but_not_every_name(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", {f"{number}/file": b"" for number in range(7)})
    os.mkfifo(path / "new\nline")
    path.chmod(0o1777)
    for number in range(7):
        (path / str(number)).chmod(0o777)
    message = refused(path)
    assert "nor a symbolic link: 'new\\nline';" in message
    assert message.endswith(f"its content (chmod o-w): {path}, 0, 1, 2, 3 (and 3 more)")


def test_more_nested_directories_than_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_tree, "MAX_DIRECTORY_DEPTH", 3)
    path = directory(tmp_path / "f", {"a/b/c/file": b""})
    assert len(read(path).entries) == 4
    (path / "a/b/c/d").mkdir()
    assert refused(path).endswith("more than 3 directories deep: a/b/c/d")


def test_another_file_system_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stat_of(name: Any, **options: Any) -> Any:
        status = real_stat(name, **options)
        if name == "proc":
            fields = {field: getattr(status, field) for field in dir(status) if field[:3] == "st_"}
            return SimpleNamespace(**{**fields, "st_dev": status.st_dev + 1})
        return status

    path = directory(tmp_path / "f", {"proc/1/mem": b""})
    real_stat = os.stat
    monkeypatch.setattr(os, "stat", stat_of)
    assert refused(path).endswith("a mount point of another file system: proc")


def write(path: Path) -> None:
    (path / "b").write_bytes(b"CONTENT")


def rewrite_and_set_back(path: Path) -> None:
    before = (path / "b").stat()
    write(path)
    os.utime(path / "b", ns=(before.st_atime_ns, before.st_mtime_ns))


def add(path: Path) -> None:
    (path / "a/empty/new").write_bytes(b"")


def remove(path: Path) -> None:
    (path / "a/z").unlink()


def exchange_a_directory_for_a_link_and_back(path: Path) -> None:
    os.rename(path / "a", path / "hidden")
    (path / "a").symlink_to("/etc")
    (path / "a").unlink()
    os.rename(path / "hidden", path / "a")


def lead_elsewhere(path: Path) -> None:
    (path / "a/link").unlink()
    (path / "a/link").symlink_to("/etc/passwd")


def give_away(path: Path) -> None:
    (path / "b").chmod(0o640)


def replace_all(path: Path) -> None:
    os.rename(path, path.parent / "other")
    directory(path, dict(CONTENT))


@pytest.mark.parametrize(
    "change",
    [
        write,
        rewrite_and_set_back,
        add,
        remove,
        exchange_a_directory_for_a_link_and_back,
        lead_elsewhere,
        give_away,
        replace_all,
    ],
)
def test_what_changes_after_it_was_read(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = directory(tmp_path / "f", dict(CONTENT))
    found = read(path)
    change(path)
    with pytest.raises(BlockdevError, match=f"{path} was changed in the meantime; run again"):
        verify(found)


def test_a_directory_that_vanishes(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", {})
    found = read(path)
    path.rmdir()
    with pytest.raises(BlockdevError, match="changed in the meantime"):
        verify(found)


def test_a_directory_that_becomes_a_link_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stat_of(name: Any, **options: Any) -> os.stat_result:
        status = real_stat(name, **options)
        if name == "a" and stat.S_ISDIR(status.st_mode):
            os.rename(path / "a", tmp_path / "aside")
            (path / "a").symlink_to(tmp_path / "secret")
        return status

    directory(tmp_path / "secret", {"key": b"secret"})
    path = directory(tmp_path / "f", {"a/file": b""})
    real_stat = os.stat
    monkeypatch.setattr(os, "stat", stat_of)
    assert refused(path) == f"{path} was changed in the meantime; run again"
