# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and directories on a real file system."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import (
    NEW_FILE,
    Directories,
    check_writable,
    is_file_path,
    nearest,
    opened_real,
    replace_file,
    resolved,
    sync_directories,
)


def planned(directories: Directories, path: Path) -> bool:
    return bool(directories.plan(str(path), True))


def refused(path: Path, wanted: bool) -> str:
    with pytest.raises(BlockdevError) as error:
        Directories().plan(str(path), wanted)
    return str(error.value)


def test_nearest(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nothing")
    assert nearest(str(tmp_path)) == str(tmp_path)
    assert nearest(f"{tmp_path}/no/such/directory") == str(tmp_path)
    assert nearest(f"{tmp_path}/file/no") == f"{tmp_path}/file"
    assert nearest(f"{tmp_path}/dangling/no") == f"{tmp_path}/dangling"
    assert nearest("/no such directory/either") == "/"


@pytest.mark.parametrize("wanted", [True, False])
def test_nothing_to_do_for_one_that_is_there(tmp_path: Path, wanted: bool) -> None:
    (tmp_path / "link").symlink_to(".")
    assert not Directories().plan(str(tmp_path), wanted)
    assert not Directories().plan(f"{tmp_path}/link", wanted)


@pytest.mark.parametrize("umask", [0, 0o077])
def test_creates_it_and_those_above(tmp_path: Path, umask: int) -> None:
    (action,) = Directories().plan(f"{tmp_path}/a/b/c", True)
    assert action.sentence == f"create the directory {tmp_path}/a/b/c"
    assert not os.listdir(tmp_path)
    before = os.umask(umask)
    try:
        action.run()
    finally:
        assert os.umask(before) == umask
    for path in ("a", "a/b", "a/b/c"):
        assert stat.S_IMODE((tmp_path / path).stat().st_mode) == 0o755
    assert not Directories().plan(f"{tmp_path}/a/b/c", True)


def test_each_is_planned_once(tmp_path: Path) -> None:
    directories = Directories()
    assert planned(directories, tmp_path / "a/b")
    assert not planned(directories, tmp_path / "a/b")
    assert not planned(directories, tmp_path / "a")
    assert planned(directories, tmp_path / "a/b/c")
    assert planned(directories, tmp_path / "a/d")
    assert not directories.plan(f"{tmp_path}/a/d", False)


def test_made_by_someone_else_meanwhile(tmp_path: Path) -> None:
    (action,) = Directories().plan(f"{tmp_path}/a/b", True)
    (tmp_path / "a").mkdir(mode=0o700)
    action.run()
    action.run()
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    assert (tmp_path / "a/b").is_dir()


def test_a_file_made_in_its_place_meanwhile(tmp_path: Path) -> None:
    (action,) = Directories().plan(f"{tmp_path}/a", True)
    (tmp_path / "a").touch()
    with pytest.raises(BlockdevError, match=f"{tmp_path}/a is not a directory: another program"):
        action.run()


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "there/a").mkdir(parents=True)
    (tmp_path / "link").symlink_to("there")
    (action,) = Directories().plan(f"{tmp_path}/new/b", True)
    (tmp_path / "new").symlink_to("there")
    with pytest.raises(BlockdevError, match=f"{tmp_path}/new is not a directory"):
        action.run()
    for path in ("link", "link/a"):
        with pytest.raises(BlockdevError, match=f"{tmp_path}/link is not"), opened_real(
            f"{tmp_path}/{path}"
        ):
            pass
    assert os.listdir(tmp_path / "there") == ["a"]


def test_resolved(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    (tmp_path / "file").touch()
    (tmp_path / "there/to_file").symlink_to("../file")
    for path, real in (
        ("there/a", "there/a"),
        ("link/a", "there/a"),
        ("link/no/a", "there/no/a"),
        ("link/to_file", "file"),
        ("link/../link", "there"),
    ):
        assert resolved(f"{tmp_path}/{path}") == f"{tmp_path}/{real}"


def test_resolved_as_realpath_does(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for path in ("/", "/proc/self/..", "//etc/./passwd", "/dev/stdin/no", "/etc/../no", "/etc/.."):
        assert resolved(path) == os.path.realpath(path)
    with pytest.raises(BlockdevError, match=r"contains \.\. after /no, which is not a directory"):
        resolved("/no/../etc")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        resolved(f"{tmp_path}/loop/a")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make links of others")
def test_where_everyone_can_write_only_links_of_root_are_followed(tmp_path: Path) -> None:
    public, private = tmp_path / "public", tmp_path / "private"
    for directory, mode in ((public, 0o1777), (public / "below", 0o755), (private, 0o755)):
        directory.mkdir()
        directory.chmod(mode)
    for directory in (public, public / "below", private):
        (directory / "roots").symlink_to(private)
        (directory / "theirs").symlink_to(private)
        os.chown(directory / "theirs", 65534, 65534, follow_symlinks=False)
        assert resolved(f"{directory}/roots/a") == f"{private}/a"
    for directory in (public, public / "below"):
        for path in (f"{directory}/theirs", f"{directory}/theirs/a"):
            with pytest.raises(BlockdevError, match=f"{directory}/theirs is a symbolic link of"):
                resolved(path)


def test_a_replaced_file_has_the_attributes_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o640)
    os.utime(path, (1, 1))
    with suppress(OSError):  # not every file system has them
        os.setxattr(path, "user.mark", b"kept")
    marks = os.listxattr(path)
    replace_file(str(path), b"new", 0o600, keep=True)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.stat().st_mtime > 1
    assert os.listxattr(path) == marks


def test_only_a_file_is_replaced(tmp_path: Path) -> None:
    """A device, such as the one that a masked rule or unit leads to, is left as it is."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        with pytest.raises(BlockdevError, match="socket is not a regular file"):
            replace_file(str(path), b"new", 0o600)
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert os.listdir(tmp_path) == ["socket"]


def test_attributes_never_go_to_what_was_put_in_place_of_the_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fchown(descriptor: int, user: int, group: int) -> None:
        os.rename(tmp_path / NEW_FILE, tmp_path / "moved")
        (tmp_path / NEW_FILE).symlink_to("victim")
        real_fchown(descriptor, user, group)

    for name, mode in (("file", 0o644), ("victim", 0o600)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    real_fchown = os.fchown
    monkeypatch.setattr(os, "fchown", fchown)
    replace_file(str(tmp_path / "file"), b"new", 0o600, keep=True)
    assert stat.S_IMODE((tmp_path / "victim").stat().st_mode) == 0o600


def test_not_wanted(tmp_path: Path) -> None:
    path = tmp_path / "no/such"
    assert refused(path, False) == (
        f"the directory {path} does not exist; create it first, or set parents: true"
    )


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("below", ["", "no/such"])
def test_something_else_in_its_place(tmp_path: Path, wanted: bool, below: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nothing")
    for name in ("file", "dangling"):
        message = refused(tmp_path / name / below, wanted)
        assert message == f"{tmp_path}/{name} is not a directory"


@pytest.mark.parametrize("path", ["/a", "/srv/xen/a.raw", "/with space/ü"])
def test_paths_that_a_file_can_have(path: str) -> None:
    assert is_file_path(path)


@pytest.mark.parametrize("path", ["", "/", "a", "./a", "/a/", "/a/.", "/a/..", "/a\0b", "/\ud800"])
def test_paths_that_no_file_can_have(path: str) -> None:
    assert not is_file_path(path)


def test_a_directory_that_cannot_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    sync_directories([str(tmp_path)])
    monkeypatch.setattr(os, "fsync", fails)
    code = errno.EINVAL
    sync_directories([str(tmp_path)])
    code = errno.EIO
    with pytest.raises(BlockdevError, match=f"cannot sync {tmp_path}: Input/output error"):
        sync_directories([str(tmp_path)])
    sync_directories([str(tmp_path / "no")])


def test_what_is_gone_is_not_said_to_be_read_only(tmp_path: Path) -> None:
    check_writable(str(tmp_path), "grow it")
    with pytest.raises(BlockdevError, match=r"cannot grow it: .*/a\.raw was removed by another"):
        check_writable(str(tmp_path / "a.raw"), "grow it")
