# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A config that comes in the place of one elsewhere: what its domain finds in its slots."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.config_host import Host, disk

A = "format=raw, vdev=xvda, access=rw, target=/dev/vg0/xvda"
B = "format=raw, vdev=xvdb, access=rw, target=/dev/vg0/xvdb"
SWAPPED = [disk("/dev/vg0/xvdb", "xvda"), disk("/dev/vg0/xvda", "xvdb")]
SAME = [disk("/dev/vg0/xvda", "xvda"), disk("/dev/vg0/xvdb", "xvdb")]


class Moved(Host):
    """A host on which the config of the domain web gets a new path."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(home, monkeypatch)
        self.auto = home / "auto"
        self.auto.mkdir()

    def item(self, **options: Any) -> Any:
        moved = {"path": str(self.home / "moved.cfg"), "autostart_dir": str(self.auto)}
        return super().item(**{**moved, **options})


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Moved:
    return Moved(tmp_path, monkeypatch)


@pytest.fixture
def usual(host: Moved) -> Path:
    """A config that this collection wrote for the domain, in the same directory."""
    host.path.write_text(config_text.render("web", {}, [A, B]))
    return host.path


@pytest.fixture
def linked(host: Moved) -> Path:
    """A foreign config from which xendomains starts the domain."""
    config = host.home / "someone.cfg"
    config.write_text(f"name = 'web'\ndisk = ['{A}', '{B}']\n")
    (host.auto / "10-web").symlink_to(config)
    return config


@pytest.mark.parametrize("former", ["usual", "linked"])
def test_no_other_disk_comes_into_a_slot(
    host: Moved, former: str, request: pytest.FixtureRequest
) -> None:
    file = request.getfixturevalue(former)
    error = host.refused(disks=SWAPPED)
    assert error.startswith(
        f"{host.home}/moved.cfg: compared with {file}, the current config of domain web: slot xvda "
        "of domain web has /dev/vg0/xvda and would get /dev/vg0/xvdb; slot xvdb of"
    )
    assert "set allow_slot_change: true to allow it" in error
    assert host.planned(disks=SWAPPED, allow_slot_change=True).actions
    assert host.planned(disks=[{**one, "allow_slot_change": True} for one in SWAPPED]).actions
    assert host.planned(disks=SAME).actions


def test_a_disk_of_a_foreign_config_is_not_lost(host: Moved, linked: Path) -> None:
    error = host.refused(disks=SAME[:1])
    assert f"compared with {linked}" in error
    assert "domain web would lose the disks that are not listed: xvdb (/dev/vg0/xvdb)" in error
    assert host.planned(disks=SAME[:1], unlisted_disks="remove").after["disks"] == [A]
    assert host.planned(disks=SAME[:1], removed_disks=[{"vdev": "xvdb"}]).after["disks"] == [A]


def test_a_disk_of_a_rendered_config_is_removed_as_if_the_path_had_not_changed(
    host: Moved, usual: Path
) -> None:
    assert host.planned(disks=SAME[:1]).after["disks"] == [A]
    assert "would lose" in host.refused(disks=SAME[:1], unlisted_disks="refuse")


@pytest.mark.parametrize("former", ["usual", "linked"])
def test_unlisted_disks_are_kept(host: Moved, former: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(former)
    for disks in (None, [], SAME[1:]):
        plan = host.planned(disks=disks, unlisted_disks="keep")
        assert plan.after["disks"] == [A, B]


@pytest.mark.parametrize("former", ["usual", "linked"])
def test_omitted_disks_are_not_lost_silently(
    host: Moved, former: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(former)
    assert "would lose the disks that are not listed: xvda (" in host.refused(options={})
    assert host.planned(options={}, unlisted_disks="remove").after["disks"] == []


def test_a_disk_of_a_foreign_config_that_cannot_be_read_is_not_lost(
    host: Moved, linked: Path
) -> None:
    linked.write_text(linked.read_text().replace("'format", "'what,is,this', 'format", 1))
    error = host.refused(disks=SAME, allow_slot_change=True, unlisted_disks="keep")
    assert "disk 'what,is,this' would be lost" in error


def test_configs_that_are_not_former_ones(host: Moved, usual: Path, linked: Path) -> None:
    """Foreign ones that are not started, those of another domain, and other files."""
    usual.write_text(f"name = 'web'\ndisk = ['{B}']\n")
    linked.write_text(f"name = 'db'\ndisk = ['{B}']\n")
    (host.auto / "broken").symlink_to(host.auto / "nothing")
    (host.auto / "directory").mkdir()
    (host.auto / "nameless").write_text("memory = 1\n")
    (host.auto / "nonsense").write_text("name = \n")
    (host.auto / ".copy").write_text(f"name = 'web'\ndisk = ['{B}']\n")
    assert host.planned(disks=[disk("/dev/vg0/xvdb")]).after["disks"] == [
        B.replace("vdev=xvdb", "vdev=xvda")
    ]


def test_a_config_of_the_same_call_is_not_a_former_one(host: Moved, usual: Path) -> None:
    configs, item = host.configs(), host.item(disks=SWAPPED)
    configs.expect([replace(item, path=str(usual)), item])
    assert configs.plan(item).warnings == []


def test_an_existing_config_is_compared_with_itself(host: Moved, usual: Path) -> None:
    (host.home / "moved.cfg").write_text(config_text.render("web", {}, [B, A]))
    assert host.planned(disks=SAME).warnings == []
