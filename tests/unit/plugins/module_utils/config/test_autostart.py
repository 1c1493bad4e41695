# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links to configs on a real file system."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import List, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.config.autostart import (
    AutostartError,
    AutostartLinks,
    Subject,
)
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Plan
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import Directories


class Host:
    """A directory with the config web.cfg, and the directory auto for links."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.auto = home / "auto"
        self.config = home / "web.cfg"
        self.link = self.auto / "web.cfg"
        self.auto.mkdir()
        self.config.touch()
        self.links = AutostartLinks(Directories())

    def subject(self, path: Optional[str] = None, stays: bool = True) -> Subject:
        path = path or str(self.config)
        return Subject("web", path, os.path.realpath(path), stays)

    def planned(
        self,
        wanted: Optional[bool],
        path: Optional[str] = None,
        stays: bool = True,
        directory: Optional[str] = None,
        parents: bool = False,
    ) -> Plan:
        """Plan in the same call as before."""
        subject = self.subject(path, stays)
        return self.links.plan(subject, directory or str(self.auto), parents, wanted)

    def fresh(self, wanted: Optional[bool], **options: object) -> Plan:
        """Plan in a new call."""
        self.links = AutostartLinks(Directories())
        return self.planned(wanted, **options)  # type: ignore[arg-type]

    def done(self, wanted: Optional[bool], **options: object) -> List[str]:
        """Plan and run; the sentences of the actions. Nothing is left to do after them."""
        plan = self.fresh(wanted, **options)
        for action in plan.actions:
            action.run()
        assert plan.read_back() == plan.after
        again = self.fresh(wanted, **options)
        assert not again.actions
        assert again.before == again.after == plan.after
        return [action.sentence for action in plan.actions]

    def refused(self, wanted: Optional[bool], **options: object) -> str:
        before = self.names()
        with pytest.raises(BlockdevError) as error:
            self.fresh(wanted, **options)
        assert self.names() == before
        return str(error.value)

    def names(self) -> List[str]:
        return sorted(os.listdir(self.auto)) if self.auto.is_dir() else []


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


# ---- a link is wanted ----


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_created_even_if_the_config_does_not_exist_yet(host: Host, exists: bool) -> None:
    if not exists:
        host.config.unlink()
    plan = host.fresh(True)
    assert (plan.before, plan.after) == ({"autostart": False}, {"autostart": True})
    assert host.names() == []
    assert host.done(True) == [f"create the link {host.link}, so that xendomains starts domain web"]
    assert os.readlink(host.link) == str(host.config)
    assert host.links.touched == set()


def test_the_directory_of_the_config_may_be_created_after_planning(host: Host) -> None:
    config = host.home / "new" / "web.cfg"
    plan = host.fresh(True, path=str(config))
    config.parent.mkdir()
    for action in plan.actions:
        action.run()
    assert plan.read_back() == {"autostart": True}
    assert not host.fresh(True, path=str(config)).actions


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(
    "target",
    ["{home}/web.cfg", "{home}/./web.cfg", "../web.cfg", "../soft.cfg", "{home}/alias/web.cfg"],
)
def test_a_link_of_any_name_that_leads_to_the_config_is_enough(
    host: Host, target: str, exists: bool
) -> None:
    (host.home / "alias").symlink_to(host.home)
    (host.home / "soft.cfg").symlink_to("web.cfg")
    (host.auto / "10-web.cfg").symlink_to(target.format(home=host.home))
    if not exists:
        host.config.unlink()
    assert host.done(True) == []
    assert host.fresh(None).before == {"autostart": True}
    assert host.names() == ["10-web.cfg"]
    assert host.done(False) == [
        f"remove the link {host.auto}/10-web.cfg, so that xendomains does not start domain web"
    ]
    assert host.names() == []


def test_the_config_may_be_named_by_a_link_of_its_own(host: Host) -> None:
    (host.home / "soft.cfg").symlink_to("web.cfg")
    host.done(True, path=f"{host.home}/soft.cfg")
    assert os.readlink(host.auto / "soft.cfg") == f"{host.home}/soft.cfg"
    assert host.done(True) == []


def test_a_hard_link_is_another_config(host: Host) -> None:
    os.link(host.config, host.home / "hard.cfg")
    (host.auto / "hard.cfg").symlink_to("../hard.cfg")
    assert len(host.done(True)) == 1
    assert host.names() == ["hard.cfg", "web.cfg"]


def test_other_links_stay(host: Host) -> None:
    (host.auto / "db.cfg").symlink_to("../db.cfg")
    (host.auto / "circle.cfg").symlink_to("circle.cfg")
    (host.auto / "file.cfg").touch()
    host.done(True)
    host.done(False)
    host.done(None)
    assert host.names() == ["circle.cfg", "db.cfg", "file.cfg"]


def test_a_name_that_xendomains_does_not_see(host: Host) -> None:
    (host.auto / ".web.cfg").symlink_to(host.config)
    assert host.fresh(None).before == {"autostart": False}
    assert len(host.done(True)) == 1
    assert len(host.done(False)) == 1
    assert host.names() == [".web.cfg"]


@pytest.mark.parametrize("name", [".web.cfg", "my web.cfg", "web*.cfg", "web?", "[web].cfg"])
def test_a_name_that_xendomains_does_not_start(host: Host, name: str) -> None:
    path = f"{host.home}/{name}"
    error = host.refused(True, path=path)
    assert error.startswith(f"xendomains does not start {name!r}: ")
    (host.auto / "10-web").symlink_to(path)
    assert host.done(True, path=path) == []


# ---- what is in the way ----


def test_a_file_in_the_way(host: Host) -> None:
    host.link.touch()
    exists = f"cannot create the link {host.link}: a {{}} of that name exists; move it"
    assert host.refused(True) == exists.format("file")
    host.link.unlink()
    host.link.mkdir()
    assert host.refused(True) == exists.format("directory")


@pytest.mark.parametrize("target", ["../db.cfg", "web.cfg", "/nothing/web.cfg"])
def test_a_link_in_the_way(host: Host, target: str) -> None:
    host.link.symlink_to(target)
    error = host.refused(True)
    assert error.startswith(f"cannot create the link {host.link}: it is a link to {target}; remove")
    assert host.done(False) == []
    assert os.readlink(host.link) == target


def test_two_configs_of_one_call_cannot_have_one_link(host: Host) -> None:
    other = f"{host.home}/db/web.cfg"
    host.planned(True)
    with pytest.raises(AutostartError, match=f"it will be a link to {host.config}; remove"):
        host.planned(True, path=other)
    host.done(True)
    host.fresh(False)
    assert len(host.planned(True, path=other).actions) == 1


# ---- no link is wanted ----


def test_all_links_are_removed(host: Host) -> None:
    for name in ("web.cfg", "10-web.cfg"):
        (host.auto / name).symlink_to("../web.cfg")
    (host.auto / "20-web.cfg").symlink_to("web.cfg")
    assert [sentence.split(",")[0] for sentence in host.done(False)] == [
        f"remove the link {host.auto}/{name}" for name in ("10-web.cfg", "20-web.cfg", "web.cfg")
    ]
    assert host.config.exists()


def test_nothing_is_done_without_a_directory(host: Host) -> None:
    host.auto.rmdir()
    for wanted in (None, False):
        assert host.done(wanted) == []
        assert host.done(wanted, directory=f"{host.config}") == []
    assert not host.auto.exists()


# ---- a config in the directory itself ----


def test_a_config_in_the_directory_starts_by_itself(host: Host) -> None:
    path = str(host.link)
    for wanted in (True, None):
        plan = host.fresh(wanted, path=path)
        assert (plan.before, plan.after) == ({"autostart": False}, {"autostart": True})
        assert plan.actions == []
    host.link.touch()
    assert host.done(True, path=path) == []
    assert host.done(None, path=path) == []
    error = host.refused(False, path=path)
    assert f"{host.auto}, and xendomains starts every config there" in error
    assert "omit autostart: false" in error


def test_a_config_in_the_directory_goes_with_the_links_to_it(host: Host) -> None:
    host.link.touch()
    (host.auto / "10-web.cfg").symlink_to("web.cfg")
    plan = host.fresh(False, path=str(host.link), stays=False)
    assert len(plan.actions) == 1
    assert (plan.before, plan.after) == ({"autostart": True}, {"autostart": False})
    plan.actions[0].run()
    assert host.names() == ["web.cfg"]


def test_a_hidden_config_in_the_directory(host: Host) -> None:
    path = f"{host.auto}/.web.cfg"
    assert host.fresh(None, path=path).after == {"autostart": False}
    assert "begins with a dot" in host.refused(True, path=path)


def test_the_link_that_names_the_config_is_not_removed(host: Host) -> None:
    host.link.symlink_to(host.config)
    assert "move the config to another directory" in host.refused(False, path=str(host.link))
    assert host.done(True, path=str(host.link)) == []


# ---- the directory ----


def test_a_missing_directory(host: Host) -> None:
    host.auto.rmdir()
    error = host.refused(True)
    assert f"the directory {host.auto} does not exist; create it first, or set parents" in error
    assert error.endswith("is Xen installed?")
    assert host.done(True, parents=True)[0] == f"create the directory {host.auto}"
    assert stat.S_IMODE(host.auto.stat().st_mode) == 0o755


def test_a_missing_directory_is_made_once(host: Host) -> None:
    host.auto.rmdir()
    host.fresh(True, parents=True)
    assert len(host.planned(True, path=f"{host.home}/db.cfg").actions) == 1
    assert host.links.touched == {str(host.auto)}


def test_no_directory(host: Host) -> None:
    assert "is not a directory" in host.refused(True, directory=str(host.config))
    for directory in ("auto", "/", ".", "/a\0b"):
        assert "is not the absolute path of a dir" in host.refused(None, directory=directory)


@pytest.mark.parametrize("directory", ["{auto}/", "{home}/alias"])
def test_a_directory_of_another_name_is_the_same(host: Host, directory: str) -> None:
    (host.home / "alias").symlink_to("auto")
    directory = directory.format(auto=host.auto, home=host.home)
    assert len(host.done(True)) == 1
    host.fresh(None)
    assert host.planned(None, directory=directory).before == {"autostart": True}
    assert len(host.done(False, directory=directory)) == 1


def test_a_directory_that_cannot_be_written_is_refused_before_anything_is_done(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != host.auto)
    assert f"cannot create the link {host.link}, so that" in host.refused(True)
    host.link.symlink_to(host.config)
    assert "it is immutable (lsattr)" in host.refused(False)
    assert host.done(None) == host.done(True) == []


# ---- other programs ----


def test_a_file_that_another_program_creates_is_kept(host: Host) -> None:
    plan = host.fresh(True)
    host.link.write_text("made")
    with pytest.raises(AutostartError, match="was changed by another program"):
        plan.actions[0].run()
    assert host.link.read_text() == "made"


def test_a_link_that_another_program_changes_is_kept(host: Host) -> None:
    for made in (host.link.touch, lambda: host.link.symlink_to("other"), lambda: None):
        host.link.unlink(missing_ok=True)
        host.link.symlink_to(host.config)
        plan = host.fresh(False)
        host.link.unlink()
        made()
        before = host.names()
        with pytest.raises(AutostartError, match="was changed by another program"):
            plan.actions[0].run()
        assert host.names() == before


def test_a_missing_link_after_the_run_is_an_error(host: Host) -> None:
    plan = host.fresh(True)
    plan.actions[0].run()
    host.link.unlink()
    with pytest.raises(AutostartError, match="was changed by another program"):
        plan.read_back()
    plan = host.fresh(None)
    host.link.symlink_to(host.config)
    assert plan.read_back() == {"autostart": True}


def test_the_directory_is_read_once(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: read.append(path) or listdir(path))
    host.links = AutostartLinks(Directories())
    for number in range(3):
        host.planned(True, path=f"{host.home}/{number}.cfg")
    assert read == [str(host.auto)]


# A config that the domain had elsewhere


def former(host: Host, *names: str, domain: str = "web") -> Path:
    """A config that this collection wrote for the domain, with links of these names."""
    config = host.home / f"{domain}-old.cfg"
    config.write_text(config_text.render(domain, {"memory": 64}, []))
    for name in names:
        (host.auto / name).symlink_to(config)
    return config


def test_a_link_is_changed_to_the_new_config_of_its_domain(host: Host) -> None:
    old = former(host, "10-web.cfg", "web-old.cfg")
    assert host.done(True) == [
        f"remove the link {host.auto}/{name}, so that xendomains does not start domain web from "
        f"{old}"
        for name in ("10-web.cfg", "web-old.cfg")
    ] + [f"create the link {host.auto}/10-web.cfg, so that xendomains starts domain web"]
    assert os.readlink(host.auto / "10-web.cfg") == str(host.config)


def test_a_second_link_of_the_domain_is_removed(host: Host) -> None:
    former(host, "web-old.cfg")
    host.link.symlink_to(host.config)
    assert len(host.done(True)) == 1
    assert os.listdir(host.auto) == ["web.cfg"]


@pytest.mark.parametrize("stays", [True, False])
def test_a_domain_that_must_not_start_has_no_link_to_another_config(
    host: Host, stays: bool
) -> None:
    former(host, "web-old.cfg")
    host.link.symlink_to(host.config)
    assert len(host.done(False, stays=stays)) == 2
    assert os.listdir(host.auto) == []


def test_without_autostart_a_link_to_another_config_is_a_warning(host: Host) -> None:
    old = former(host, "web.cfg")
    plan = host.fresh(None)
    assert plan.actions == []
    assert plan.warnings == [
        f"xendomains starts domain web from {old}, another config of that domain, because of the "
        f"link {host.link}; set autostart: true to start it from {host.config}, or autostart: "
        "false to start it from neither"
    ]


@pytest.mark.parametrize("wanted", [True, False])
def test_another_config_of_the_domain_in_the_same_call_keeps_its_links(
    host: Host, wanted: bool
) -> None:
    old = former(host, "web-old.cfg")
    links = AutostartLinks(Directories())
    links.expect(str(old))
    plan = links.plan(host.subject(), str(host.auto), False, wanted)
    assert not any("web-old.cfg" in action.sentence for action in plan.actions)


def test_links_to_configs_that_this_collection_did_not_write_are_kept(host: Host) -> None:
    former(host, "db.cfg", domain="db")
    (host.home / "someone.cfg").write_text("name = 'web'\n")
    (host.auto / "someone.cfg").symlink_to(host.home / "someone.cfg")
    (host.auto / "copy.cfg").write_text(config_text.render("web", {}, []))
    os.mkfifo(host.auto / "fifo")
    (host.auto / "none").symlink_to(host.auto / "nothing")
    (host.auto / "to-fifo").symlink_to(host.auto / "fifo")
    for wanted in (True, False, None):
        plan = host.fresh(wanted)
        assert not any("remove" in action.sentence for action in plan.actions)
        assert plan.warnings == []
