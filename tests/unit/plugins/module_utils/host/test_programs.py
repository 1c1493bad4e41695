# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that run, and those that do not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import List, Type

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.host.programs import (
    Completed,
    ProgramError,
    ProgramMissingError,
    ProgramTimeoutError,
)


@pytest.mark.parametrize(
    ("argv", "kind", "message"),
    [
        (["no-such-program"], ProgramMissingError, "no-such-program is not on this host"),
        (["sleep", "9"], ProgramTimeoutError, "`sleep 9` did not end within 0.1 s and was killed"),
        (["/"], ProgramError, "cannot run `/`: "),
        (["true", "a\0b"], ProgramError, "cannot run "),
    ],
)
def test_programs_that_do_not_run(argv: List[str], kind: Type[ProgramError], message: str) -> None:
    with pytest.raises(kind, match=message):
        programs.run(argv, 0.1)


def test_programs_run_in_the_c_locale_and_without_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert programs.run(
        ["sh", "-c", r"cat; echo $LC_ALL; printf '\377' >&2; exit 3"], 5
    ) == Completed(3, "C\n", "\udcff")


def test_what_a_program_is_given(tmp_path: Path) -> None:
    with open(tmp_path / "a", "w", encoding="ascii") as file:
        number = file.fileno()
        script = f"pwd; echo $MORE; echo there >/proc/self/fd/{number}"
        ended = programs.run(
            ["sh", "-c", script],
            5,
            descriptors=[number],
            directory=str(tmp_path),
            variables={"MORE": "x"},
        )
    assert ended == Completed(0, f"{tmp_path}\nx\n", "")
    assert (tmp_path / "a").read_text() == "there\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("systemctl", "systemctl is not on this host: install it (package systemd on Debian)"),
        ("other", "other is not on this host: install it"),
        (
            "xl",
            "xl is not on this host: install it (package xen-utils on Debian); looked in {here}",
        ),
    ],
)
def test_a_program_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    """The directories are told of those alone that may be elsewhere, and each of them once."""
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{tmp_path}/link:{tmp_path}/none")
    monkeypatch.setattr(programs, "SYSTEM_PATH", str(tmp_path))
    with pytest.raises(ProgramMissingError) as caught:
        programs.run([name], 5)
    assert str(caught.value) == message.format(here=tmp_path)
    assert caught.value.name == name


def test_what_a_missing_program_is_for() -> None:
    assert str(ProgramMissingError("mkfs.xfs", "makes what is there")).startswith(
        "mkfs.xfs, which makes what is there, is not on this host: install it (package xfsprogs on "
    )


def test_a_directory_that_is_missing_is_no_missing_program(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"cannot run `true`: .*none") as caught:
        programs.run(["true"], 5, directory=str(tmp_path / "none"))
    assert not isinstance(caught.value, ProgramMissingError)


def test_a_program_that_takes_too_long_is_killed_and_not_what_it_has_started() -> None:
    """What holds its pipes open is not waited for."""
    started = time.monotonic()
    process = programs.start(["sh", "-c", "sleep 20 & exec sleep 20"])
    with pytest.raises(ProgramTimeoutError, match=r"^a nap did not end within 0\.1 s"):
        programs.finish(process, 0.1, "a nap")
    assert process.returncode is not None
    assert time.monotonic() - started < 15


def test_one_that_does_not_die_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "KILL_SECONDS", 0.1)
    process = programs.start(["sleep", "20"])
    monkeypatch.setattr(process, "kill", lambda: None)
    with pytest.raises(ProgramTimeoutError):
        programs.finish(process, 0.1)
    process.send_signal(9)
    process.wait()


def test_errors_of_the_callers_own() -> None:
    class OwnError(BlockdevError):
        pass

    with pytest.raises(OwnError, match=r"^no way$"), programs.errors_as(OwnError):
        raise ProgramError("no way")
