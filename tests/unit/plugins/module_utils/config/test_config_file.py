# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths of configs, and how configs are written, by plans for them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, Iterator, List, Sequence

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.config import config_file
from ansible_collections.xen.blockdev.plugins.module_utils.config.config_file import ConfigError
from ansible_collections.xen.blockdev.plugins.module_utils.config.syntax import DomainConfigError
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import State
from ansible_collections.xen.blockdev.plugins.module_utils.host import dom0, programs
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.config_host import (
    FOREIGN,
    Host,
    mode_of,
    sentences,
)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


@pytest.fixture
def foreign(host: Host) -> Host:
    host.path.write_bytes(FOREIGN)
    return host


# ---- paths ----


@pytest.mark.parametrize(
    "path", ["web.cfg", "", "/", "/etc/xen/", "/etc/..", "/a\0b", "/\udfff\ud800", "/x/."]
)
def test_an_invalid_path(host: Host, path: str) -> None:
    assert "is not the absolute path of a file" in host.refused(path=path)


@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_path_that_is_not_a_regular_file(host: Host, state: str) -> None:
    os.mkfifo(host.home / "fifo")
    (host.home / "dangling").symlink_to("nothing")
    (host.home / "circle").symlink_to("circle")
    (host.home / "image").touch()
    os.truncate(host.home / "image", 2**21)
    for name, error in (
        (".", "path"),
        ("fifo", "not a regular file"),
        ("dangling", "symbolic link to"),
        ("circle", "cannot access"),
        ("image", "(2097152 bytes)"),
    ):
        assert error in host.refused(path=f"{host.home}/{name}", state=state)
    assert "not a regular file" in host.refused(path=str(host.home), state=state)


@pytest.mark.parametrize("domain", ["", "7", "a/b", "../../tmp/x"])
def test_an_invalid_domain_name(host: Host, domain: str) -> None:
    assert f"domain {domain!r}" in host.refused(domain=domain, path=None)


def test_a_link_is_written_through(host: Host) -> None:
    link = host.home / "link.cfg"
    host.done()
    link.symlink_to("web.cfg")
    plan = host.planned(path=str(link), options={"memory": 1})
    assert sentences(plan) == [f"write {link}"]
    assert plan.file == str(host.path)
    host.done(path=str(link), options={"memory": 1})
    assert link.is_symlink()
    assert "memory = 1" in host.path.read_text()
    assert str(host.path) in host.refused(path=str(link), state="absent")
    assert host.path.exists()


def test_a_disk_that_is_a_string_is_read_but_not_used(host: Host) -> None:
    """xl would start the domain without it, and so nothing here starts it."""
    host.path.write_text("name = 'web'\ndisk = 'phy:/dev/vg0/a,xvda,w'\n")
    config = config_file.find(str(host.path))
    assert [disk.text for disk in config.disks] == ["phy:/dev/vg0/a,xvda,w"]
    with pytest.raises(DomainConfigError, match="without any disk"):
        config.specs  # noqa: B018 - it is read for its error


# ---- writing ----


def test_a_copy_is_kept(foreign: Host) -> None:
    foreign.path.chmod(0o644)
    options: State = {"disks": [], "unlisted_disks": "remove", "backup": True}
    assert sentences(foreign.planned(**options)) == [
        f"keep a copy of {foreign.path}",
        f"replace the disk list in {foreign.path}",
    ]
    copy = Path(foreign.done(**options)["backup_file"])
    assert copy.name.startswith(f"web.cfg.{os.getpid()}.2") and copy.name.endswith("~")
    assert copy.read_bytes() == FOREIGN
    assert mode_of(copy) == 0o644
    assert foreign.path.read_bytes() != FOREIGN


def test_a_copy_is_kept_of_a_foreign_config_unless_backup_is_false(
    foreign: Host,
) -> None:
    for state in ("present", "absent"):
        options: State = {"disks": [], "unlisted_disks": "remove", "state": state}
        assert len(foreign.planned(backup=None, **options).actions) == 2
        assert len(foreign.planned(backup=False, **options).actions) == 1


def test_no_copy_is_kept_of_a_rendered_config_unless_backup_is_true(host: Host) -> None:
    host.done()
    for options in ({"options": {"memory": 1}}, {"state": "absent"}):
        assert len(host.planned(backup=None, **options).actions) == 1
        assert len(host.planned(backup=True, **options).actions) == 2


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_config_that_cannot_be_written_is_refused_before_anything_is_done(
    host: Host, monkeypatch: pytest.MonkeyPatch, there: bool, state: str
) -> None:
    if there:
        host.done()
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != host.home)
    if there or state == "present":
        assert "it is immutable (lsattr)" in host.refused(state=state, options={"memory": 1})
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != host.path)
    if there:
        assert "it is immutable (lsattr)" in host.refused(state=state, options={"memory": 1})


def test_a_copy_is_kept_of_a_removed_config_if_it_exists(host: Host) -> None:
    assert "backup_file" not in host.done(backup=True)
    text = host.path.read_bytes()
    copy = host.done(state="absent", backup=True)["backup_file"]
    assert Path(copy).read_bytes() == text


def test_a_copy_is_hidden_from_xendomains(host: Host) -> None:
    """It would start the domain from the copy as well, on the disks that it had."""
    host.done()
    copy = host.done(state="absent", backup=True, autostart_dir=str(host.home))["backup_file"]
    assert Path(copy).parent == host.home
    assert Path(copy).name.startswith(".web.cfg.")


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize("backup", [False, True])
def test_a_config_that_another_program_changes_is_kept(
    host: Host, state: str, backup: bool
) -> None:
    host.done()
    plan = host.planned(state=state, options={"memory": 1}, backup=backup)
    host.path.write_text("edited")
    for action in plan.actions:
        with pytest.raises(ConfigError, match="was changed by another program"):
            action.run()
    assert host.path.read_text() == "edited"
    assert len(list(host.home.iterdir())) == 1


def test_a_config_that_another_program_creates_is_kept(host: Host) -> None:
    plan = host.planned()
    host.path.write_text("made")
    with pytest.raises(ConfigError, match="was changed by another program"):
        plan.actions[0].run()
    assert host.path.read_text() == "made"


def test_another_text_after_the_run_is_an_error(host: Host) -> None:
    plan = host.planned()
    plan.actions[0].run()
    host.path.write_text("edited")
    with pytest.raises(ConfigError, match="was changed by another program"):
        plan.read_back()


def test_a_failure_leaves_nothing_behind(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any, **_directories: int) -> None:
        raise OSError(28, "No space left on device")

    host.done()
    text = host.path.read_text()
    plan = host.planned(options={"memory": 1})
    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="No space"):
        plan.actions[0].run()
    assert host.path.read_text() == text
    assert [path.name for path in host.home.iterdir()] == ["web.cfg"]


def test_a_new_config_is_never_readable_for_others(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    real_rename = os.rename

    def rename(old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        modes.append(stat.S_IMODE(os.stat(old, dir_fd=src_dir_fd).st_mode))
        real_rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "rename", rename)
    before = os.umask(0)
    try:
        host.done()
    finally:
        os.umask(before)
    assert modes == [0o600]


# ---- xl ----


class FakeXl:
    """Stands in for `xl -N create FILE` on dom0."""

    def __init__(self) -> None:
        self.texts: List[str] = []
        self.ended = programs.Completed(0, "", "")

    def run(self, argv: Sequence[str], _timeout: float) -> programs.Completed:
        assert list(argv[:3]) == ["xl", "-N", "create"]
        self.texts.append(Path(argv[3]).read_text())
        assert mode_of(Path(argv[3])) == 0o600
        return programs.Completed(self.ended.code, "", self.ended.stderr.replace("FILE", argv[3]))


@pytest.fixture
def xl(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeXl]:
    fake = FakeXl()
    monkeypatch.setattr(dom0, "is_dom0", lambda: True)
    monkeypatch.setattr(programs, "run", fake.run)
    return fake


def test_xl_checks_a_config_once(host: Host, xl: FakeXl) -> None:
    host.done(options={"memory": 1})
    assert set(xl.texts) == {host.path.read_text()}
    assert len(xl.texts) == 1
    host.done(state="absent")
    assert len(xl.texts) == 1


def test_a_config_that_xl_rejects_is_not_written(host: Host, xl: FakeXl) -> None:
    xl.ended = programs.Completed(1, "", "FILE:3: config parsing error\n  near `x'\n")
    error = host.refused()
    assert error == (
        f"{host.path}: xl rejects the new config: the config:3: config parsing error near `x'"
    )
    assert host.refused(check_mode=True) == error
    xl.ended = programs.Completed(1, "", "")
    assert "exit status 1" in host.refused()
    host.done(validate=False)


def test_without_xen_xl_is_not_called(
    host: Host, xl: FakeXl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dom0, "is_dom0", lambda: False)
    host.done()
    assert xl.texts == []
