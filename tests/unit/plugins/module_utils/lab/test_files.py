# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cache's folders, and the commands that fill them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.lab import files as lab_files
from ansible_collections.xen.blockdev.plugins.module_utils.lab.files import Cache, LabError


def error_of(call: Callable[..., object], *arguments: Any) -> str:
    with pytest.raises(LabError) as caught:
        call(*arguments)
    return str(caught.value)


# ---- the cache ----


def test_where_things_are(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path / "cache"))
    assert cache.machines() == cache.folders() == cache.leftovers() == []
    assert cache.lock() == f"{cache.path}/cache.lock"
    for path in (
        cache.image("b"),
        cache.image(".a.1"),
        cache.snapshot("c"),
        cache.snapshot(".c.2"),
        cache.machine("y"),
        cache.machine("x"),
    ):
        os.makedirs(path)
    assert cache.machines() == ["x", "y"]
    names = ["images/.a.1", "images/b", "snapshots/.c.2", "snapshots/c"]
    assert cache.folders() == [f"{cache.path}/{name}" for name in names]
    assert cache.leftovers() == [f"{cache.path}/{name}" for name in (names[0], names[2])]


def test_whose_folder_it_is(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path / "cache"))
    cache.require_ours()
    cache.lock()
    cache.require_ours()
    (tmp_path / "cache" / "lost+found").mkdir()
    cache.require_ours()
    (tmp_path / "cache" / "images").mkdir()
    assert error_of(cache.require_ours) == (
        f"{cache.path} contains files that are not of a lab; choose a new or empty directory "
        "(xen_lab_cache)"
    )
    Path(cache.lock()).touch()
    cache.require_ours()


def test_what_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link"):
        path = str(tmp_path / name)
        assert error_of(Cache(path).require_ours) == (
            f"{path} is not a directory; choose another (xen_lab_cache)"
        )


# ---- folders and files ----


def test_a_folder_is_there_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "images" / "key"
    with lab_files.complete_folder(str(path)) as folder:
        (Path(folder) / "file").touch()
        assert not path.exists()
        assert Path(folder).parent == path.parent
        assert Path(folder).stat().st_mode & 0o777 == 0o700
    assert os.listdir(path) == ["file"]
    assert os.listdir(path.parent) == ["key"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_folder_that_is_not_completed_goes(tmp_path: Path, error: type) -> None:
    with pytest.raises(error), lab_files.complete_folder(str(tmp_path / "images/key")) as folder:
        (Path(folder) / "file").touch()
        raise error
    assert os.listdir(tmp_path / "images") == []


def test_remove(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").touch(mode=0o400)
    lab_files.remove(str(tmp_path / "a"))
    lab_files.remove(str(tmp_path / "a"))
    assert os.listdir(tmp_path) == []


def test_json(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    assert lab_files.read_json(path) is None
    lab_files.write_json(path, {"a": [1, "ä"]})
    lab_files.write_json(path, {"a": [2, "ä"]})
    assert lab_files.read_json(path) == {"a": [2, "ä"]}
    assert os.listdir(tmp_path) == ["file"]
    for content in (b"", b"{", b"\xff", b"[1]", b"5"):
        Path(path).write_bytes(content)
        assert error_of(lab_files.read_json, path).startswith(f"cannot read {path}: ")


# ---- tools and room ----


def test_tools_that_are_there() -> None:
    assert lab_files.missing_tools(["sh", "nosuchcommand", "cat"]) == ["nosuchcommand"]
    lab_files.require_tools(["setpriv"])


def test_tools_of_the_system_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An ordinary user's PATH need not have /usr/sbin."""
    (tmp_path / "mke2fs").write_text("#!/bin/sh\necho made\n")
    (tmp_path / "mke2fs").chmod(0o755)
    monkeypatch.setattr(programs, "SYSTEM_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    lab_files.require_tools(["mke2fs"])
    assert lab_files.run(["mke2fs"], 5) == "made\n"


def test_tools_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "find", lambda name: None)
    assert error_of(lab_files.require_tools, ["ssh", "ssh-keygen", "mke2fs"]) == (
        "ssh, ssh-keygen, mke2fs not found on the controller; install it (on Debian and Ubuntu: "
        "`apt install e2fsprogs openssh-client`), or set xen_lab_install_packages: true"
    )


def test_room(tmp_path: Path) -> None:
    lab_files.require_space(str(tmp_path), 1)
    lab_files.require_space(str(tmp_path / "not" / "yet"), 1)
    error = error_of(lab_files.require_space, str(tmp_path / "not" / "yet"), 1 << 70)
    assert error.startswith(f"{tmp_path}/not/yet has ")
    assert f" MiB of free space, and a build needs {1 << 50} MiB; free some, or choose" in error
    assert not (tmp_path / "not").exists()


# ---- commands ----


def test_what_a_command_prints(tmp_path: Path) -> None:
    script = 'pwd; echo "$LC_ALL" "$1" >&2; cat'
    with open(os.devnull, "rb") as null:
        printed = lab_files.run(["sh", "-c", script, "sh", "a b"], 5, str(tmp_path), null)
    assert printed == f"{tmp_path}\nC a b\n"


def test_a_command_gets_files(tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb") as file:
        number = file.fileno()
        lab_files.run(["sh", "-c", f"echo there >/proc/self/fd/{number}"], 5, pass_files=[number])
    assert (tmp_path / "file").read_text() == "there\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo no; exit 7", "sh ended with exit code 7:\nno"),
        ("exit 1", "sh ended with exit code 1:\n(it printed nothing)"),
        ("kill -9 $$", "sh ended with exit code -9:\n(it printed nothing)"),
        ("printf 'a \\377\\n\\n'; exit 1", "sh ended with exit code 1:\na �"),
        (
            "seq 100; exit 1",
            "sh ended with exit code 1:\n" + "\n".join(str(number) for number in range(86, 101)),
        ),
    ],
)
def test_a_command_that_fails(script: str, message: str) -> None:
    assert error_of(lab_files.run, ["sh", "-c", script], 5) == message


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    assert "No such file or directory" in error_of(lab_files.run, ["nosuchcommand"], 5)
    error = error_of(lab_files.run, ["true"], 5, str(tmp_path / "no"))
    assert error.startswith("cannot run `setpriv ")
    assert error.endswith(f" -- true`: [Errno 2] No such file or directory: '{tmp_path}/no'")


def test_a_command_that_takes_too_long_may_tidy_up(tmp_path: Path) -> None:
    script = f"trap 'touch {tmp_path}/tidied; exit' TERM; echo begun; while :; do sleep 0.05; done"
    assert error_of(lab_files.run, ["sh", "-c", script], 0.5) == (
        "sh did not end within 0.5 s:\nbegun"
    )
    assert (tmp_path / "tidied").exists()


def test_a_command_that_does_not_want_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab_files, "END_SECONDS", 0.2)
    script = "trap '' TERM; echo $$; while :; do sleep 0.05; done"
    error = error_of(lab_files.run, ["sh", "-c", script], 0.5)
    pid = error.rpartition("\n")[2]
    assert not Path(f"/proc/{pid}").exists()


def test_a_command_in_the_background_is_not_awaited() -> None:
    started = time.monotonic()
    assert lab_files.run(["sh", "-c", "sleep 3 & echo begun"], 5) == "begun\n"
    assert time.monotonic() - started < 2


def test_a_command_ends_with_the_run(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from ansible_collections.xen.blockdev.plugins.module_utils.lab import files\n"
        "files.run(['sh', '-c', 'echo $$ >pid; mv pid begun; exec sleep 60'], 60, "
        f"{str(tmp_path)!r})"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        pid_file = tmp_path / "begun"
        await_(pid_file.exists)
        process.kill()
    pid = pid_file.read_text().strip()
    await_(lambda: not os.path.exists(f"/proc/{pid}/exe"))


def await_(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
