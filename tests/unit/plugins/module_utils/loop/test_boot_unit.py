# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import List, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Plan
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.loop import boot_unit
from ansible_collections.xen.blockdev.plugins.module_utils.loop.boot_unit import (
    BootUnitError,
    BootUnits,
)
from hypothesis import given
from hypothesis import strategies as st

SYSTEMD_ANALYZE = shutil.which("systemd-analyze")

ODD_PATHS = ["/srv/a b.raw", '/srv/"q".raw', "/srv/$HOME/%n.raw", "/srv/b\\n.raw", "/srv/ü'x.raw"]


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with systemd; the file with the arguments of systemctl, one call a line."""
    monkeypatch.setattr(boot_unit, "SYSTEMD_RUNS", str(tmp_path))
    calls = tmp_path / "calls"
    calls.touch()
    script = tmp_path / "bin" / "systemctl"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\necho "$@" >>{calls}\n[ ! -e {tmp_path}/broken ] || exit 1\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    return calls


@pytest.fixture
def units(tmp_path: Path) -> BootUnits:
    (tmp_path / "units").mkdir()
    return BootUnits(str(tmp_path / "units"))


def planned(
    units: BootUnits, path: object, wanted: Optional[bool], direct_io: bool = False
) -> Plan:
    if wanted is None:
        return units.plan_kept(str(path))
    if wanted:
        return units.plan_written(str(path), 512, direct_io)
    return units.plan_removed(str(path))


def run(units: BootUnits, *plans: Plan) -> None:
    for plan in plans:
        for action in plan.actions:
            action.run()
    units.settle()
    for plan in plans:
        assert plan.read_back() == plan.after


def files(tmp_path: Path) -> List[str]:
    return sorted(path.name for path in (tmp_path / "units").iterdir())


# The unit


def test_name_shows_the_path() -> None:
    name = boot_unit.name_of("/srv/xen/web/boot.raw")
    assert re.fullmatch(r"xen-loopdev-srv-xen-web-boot\.raw-[0-9a-f]{12}\.service", name)


@pytest.mark.parametrize("path", ["/" + "/".join(["x" * 255] * 16), *ODD_PATHS, "/ü" * 100, "/"])
def test_any_path_has_a_name(path: str) -> None:
    name = boot_unit.name_of(path)
    assert re.fullmatch(r"xen-loopdev-[A-Za-z0-9._-]*-[0-9a-f]{12}\.service", name)
    assert len(name) <= 200


@given(st.lists(st.text("ab-/ .", min_size=1, max_size=6), min_size=2, max_size=2, unique=True))
def test_no_two_paths_have_one_name(paths: List[str]) -> None:
    assert len({boot_unit.name_of(f"/{path}") for path in paths}) == 2


@pytest.mark.skipif(SYSTEMD_ANALYZE is None, reason="needs systemd-analyze")
@pytest.mark.parametrize(
    "path", ["/srv/xen/web/boot.raw", "/" + "/".join(["x" * 250] * 15), *ODD_PATHS]
)
def test_systemd_reads_it(tmp_path: Path, path: str) -> None:
    unit = tmp_path / boot_unit.name_of(path)
    unit.write_text(boot_unit.content(path, 512, False))
    assert SYSTEMD_ANALYZE
    ended = subprocess.run(
        [SYSTEMD_ANALYZE, "verify", "--man=no", "--recursive-errors=no", str(unit)],
        check=False,
        capture_output=True,
        encoding="utf-8",
    )
    assert unit.name not in ended.stderr
    assert ended.returncode == 0


def unescaped(line: str) -> List[str]:
    """The words of an ExecStart= line, as systemd hands them to the program."""
    line = line.split("=", 1)[1].replace("$$", "$").replace("%%", "%")
    words = shlex.split(line.replace("\\n", "\x00"))
    return [word.replace("\x00", "\n") for word in words]


@pytest.mark.parametrize("path", ["/srv/xen/web/boot.raw", "/srv/a b.raw", "/srv/$x%n.raw"])
def test_what_it_runs(path: str) -> None:
    lines = boot_unit.content(path, 4096, True).split("\n")
    (start,) = [line for line in lines if line.startswith("ExecStart=")]
    shell, flags, script, _name, *arguments = unescaped(start)
    assert [shell, flags, script] == ["/bin/sh", "-euc", boot_unit.SCRIPT]
    assert arguments == [path, "4096", "on"]


@pytest.mark.parametrize("path", ["/srv/a\nExecStart=rm.raw", "/srv/\x1b.raw", "/srv/\udcff.raw"])
def test_no_unit_for_what_systemd_could_not_read(
    units: BootUnits, systemd: Path, path: str
) -> None:
    with pytest.raises(
        BootUnitError, match="contains characters that a systemd unit cannot contain"
    ):
        planned(units, path, True)


# The script, with stand-ins for what it runs


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """losetup, which binds to the device in the file ``bound``, and tools that do nothing."""
    tools = tmp_path / "tools"
    tools.mkdir()
    scripts = {
        "flock": 'shift; exec "$@"',
        "udevadm": "exit 1",
        "losetup": f"""
            case $* in
            *--associated*) cat {tmp_path}/bound ;;
            *) echo "$@" >>{tmp_path}/calls ;;
            esac""",
    }
    for name, text in scripts.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    (tmp_path / "device").touch()
    (tmp_path / "links").mkdir()
    return tools


def run_script(
    tmp_path: Path, tools: Path, script: str = boot_unit.SCRIPT
) -> subprocess.CompletedProcess[str]:
    script = script.replace(boot_unit.loop_link.LINK_DIR, f"{tmp_path}/links")
    return subprocess.run(
        ["/bin/sh", "-euc", script, "sh", "/a.raw", "512", "off"],
        check=False,
        capture_output=True,
        encoding="utf-8",
        env={"PATH": f"{tools}:{os.environ['PATH']}"},
    )


@pytest.mark.parametrize("named", [True, False])
def test_script_binds(tmp_path: Path, tools: Path, named: bool) -> None:
    device, link = tmp_path / "device", tmp_path / "links/a.raw"
    (tmp_path / "bound").write_text(f"/dev/loop9\n{device}\n")
    if named:
        link.symlink_to(device)
    ended = run_script(tmp_path, tools)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert link.is_symlink() == named
    said = (tmp_path / "calls").read_text()
    assert said == "--find --nooverlap --sector-size 512 --direct-io=off -- /a.raw\n"


def test_script_takes_a_wrong_link_away(tmp_path: Path, tools: Path) -> None:
    device, link = tmp_path / "device", tmp_path / "links/a.raw"
    (tmp_path / "bound").write_text("/dev/loop9\n")
    link.symlink_to(device)
    ended = run_script(tmp_path, tools)
    assert ended.returncode == 1
    assert f"{link} led to {device}, which is not /a.raw" in ended.stderr
    assert not link.is_symlink()
    assert device.exists()


def test_script_ends_where_losetup_fails(tmp_path: Path, tools: Path) -> None:
    (tools / "losetup").write_text("#!/bin/sh\necho no such image >&2\nexit 7\n")
    ended = run_script(tmp_path, tools)
    assert (ended.returncode, ended.stderr) == (7, "no such image\n")


# Writing and removing units


def test_units_come_and_go(tmp_path: Path, units: BootUnits, systemd: Path) -> None:
    paths = ["/srv/a.raw", "/srv/b.raw"]
    plans = [planned(units, path, True) for path in paths]
    assert plans[0].before == {"persistent": False}
    (sentence,) = [action.sentence for action in plans[0].actions]
    name = boot_unit.name_of("/srv/a.raw")
    assert sentence == f"have systemd bind /srv/a.raw at boot ({name})"
    assert files(tmp_path) == []
    run(units, *plans)
    assert files(tmp_path) == sorted(["multi-user.target.wants", *map(boot_unit.name_of, paths)])
    link = tmp_path / "units/multi-user.target.wants" / name
    assert link.read_text() == boot_unit.content("/srv/a.raw", 512, False)
    assert oct((tmp_path / "units" / name).stat().st_mode) == "0o100644"
    assert systemd.read_text() == "--no-ask-password daemon-reload\n"

    units = BootUnits(str(tmp_path / "units"))
    again = planned(units, "/srv/a.raw", True)
    assert (again.actions, again.before) == ([], {"persistent": True})
    left_alone = planned(units, "/srv/a.raw", None)
    assert (left_alone.actions, left_alone.after) == ([], {"persistent": True})
    run(units, again)
    assert len(systemd.read_text().splitlines()) == 1

    gone = planned(units, "/srv/a.raw", False)
    assert [action.sentence for action in gone.actions] == [
        f"stop systemd from binding /srv/a.raw at boot ({name})"
    ]
    systemd.write_text("")
    run(units, gone, planned(units, "/srv/c.raw", False))
    assert files(tmp_path) == sorted(["multi-user.target.wants", boot_unit.name_of("/srv/b.raw")])
    assert [line.split()[1:] for line in systemd.read_text().splitlines()] == [
        ["stop", name],
        ["daemon-reload"],
        ["reset-failed", name],
    ]


def test_unit_is_that_of_the_file_behind_a_link(
    tmp_path: Path, units: BootUnits, systemd: Path
) -> None:
    (tmp_path / "a.raw").touch()
    (tmp_path / "link.raw").symlink_to("a.raw")
    run(units, planned(units, tmp_path / "link.raw", True))
    assert units.has(str(tmp_path / "a.raw"))
    assert planned(units, tmp_path / "a.raw", True).actions == []


def test_half_a_unit_is_made_whole(tmp_path: Path, units: BootUnits, systemd: Path) -> None:
    run(units, planned(units, "/srv/a.raw", True))
    link = tmp_path / "units/multi-user.target.wants" / boot_unit.name_of("/srv/a.raw")
    link.unlink()
    plan = planned(units, "/srv/a.raw", True)
    assert plan.before == {"persistent": False}
    run(units, plan)
    assert link.exists()
    (tmp_path / "units" / link.name).write_text("other")
    run(units, planned(units, "/srv/a.raw", True))
    assert link.read_text() == boot_unit.content("/srv/a.raw", 512, False)
    link.unlink()
    run(units, planned(units, "/srv/a.raw", False))
    assert files(tmp_path) == ["multi-user.target.wants"]


def test_other_options_are_written(units: BootUnits, systemd: Path) -> None:
    run(units, planned(units, "/srv/a.raw", True))
    assert len(planned(units, "/srv/a.raw", True, direct_io=True).actions) == 1


def test_systemd_that_does_not_read_them(tmp_path: Path, units: BootUnits, systemd: Path) -> None:
    (tmp_path / "broken").touch()
    with pytest.raises(BootUnitError, match="systemd cannot reload its units: "):
        run(units, planned(units, "/srv/a.raw", True))


def test_systemctl_that_is_not_there(
    tmp_path: Path, units: BootUnits, systemd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error does not blame Xen, and contains the remedy."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "SYSTEM_PATH", str(tmp_path))
    with pytest.raises(BootUnitError, match=r"^cannot run systemctl daemon-reload: sys") as no:
        run(units, planned(units, "/srv/a.raw", True))
    assert str(no.value).endswith(" is not on this host: install it (package systemd on Debian)")


def test_host_without_systemd(
    tmp_path: Path, units: BootUnits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot_unit, "SYSTEMD_RUNS", str(tmp_path / "no"))
    plans = [planned(units, "/srv/a.raw", True), planned(units, "/srv/b.raw", True)]
    assert [plan.actions for plan in plans] == [[], []]
    assert [plan.warnings for plan in plans] == [[boot_unit.NO_SYSTEMD], [boot_unit.NO_SYSTEMD]]
    assert plans[0].after == {"persistent": False}
    # What a systemd that ran before has left is removed all the same.
    (tmp_path / "units" / boot_unit.name_of("/srv/a.raw")).touch()
    run(units, planned(units, "/srv/a.raw", False))
    assert files(tmp_path) == []


@given(st.sampled_from(ODD_PATHS) | st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_that_the_image_of_a_unit_is_read_back(path: str) -> None:
    assert boot_unit.image_in(boot_unit.content(path, 512, False)) == path


def test_which_units_are_found(tmp_path: Path) -> None:
    units = BootUnits(str(tmp_path / "units"))
    assert units.found() == []
    wants = tmp_path / "units" / "multi-user.target.wants"
    wants.mkdir(parents=True)
    names = [boot_unit.name_of(path) for path in ("/srv/a.raw", "/srv/b.raw")]
    (tmp_path / "units" / names[0]).write_text(boot_unit.content("/srv/a.raw", 512, True))
    (tmp_path / "units" / names[1]).write_text("[Unit]\n")
    (tmp_path / "units" / "xen-loopdev-other.service").write_text("[Unit]\n")
    (wants / names[0]).symlink_to(tmp_path / "units" / names[0])
    assert units.found() == [(names[0], True, "/srv/a.raw"), (names[1], False, None)]
