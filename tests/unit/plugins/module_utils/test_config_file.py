# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configs on a real file system; the loop devices of the host are given."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, Iterator, List, Optional, Sequence

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils import (
    commands,
    config_file,
    domain_config,
    locks,
    loop_link,
    xen,
)
from ansible_collections.xen.blockdev.plugins.module_utils.actions import Plan, State
from ansible_collections.xen.blockdev.plugins.module_utils.config_file import (
    ConfigError,
    DomainConfigs,
    open_configs,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.loop import Binding, file_id
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

DEFAULTS: Dict[str, Any] = {
    "domain": "web",
    "state": "present",
    "options": None,
    "disks": None,
    "overwrite": False,
    "backup": False,
    "validate": True,
    "parents": False,
    "autostart": None,
    "autostart_dir": "/nowhere",
    "allow_slot_change": False,
    "will_exist": False,
}

FOREIGN = b"""# caf\xe9
name = "web"; memory = 64 # odd
disk = [ 'phy:/dev/vg0/old,xvda,w', # the system
]
vif = ["bridge=b"]
"""


class Host:
    """A directory for configs and images, and the loop devices that are said to be bound."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.bindings: List[Binding] = []
        self.scans = 0
        self._nodes: Dict[str, Any] = {}
        real_stat = os.stat

        def fake_stat(path: Any, **kwargs: Any) -> Any:
            return self._nodes.get(path) or real_stat(path, **kwargs)

        monkeypatch.setattr(os, "stat", fake_stat)

    @property
    def path(self) -> Path:
        return self.home / "web.cfg"

    def image(self, name: str) -> str:
        path = self.home / name
        path.write_bytes(bytes(512))
        return str(path)

    def node(self, path: str, number: int) -> None:
        self._nodes[path] = SimpleNamespace(st_mode=stat.S_IFBLK, st_rdev=os.makedev(7, number))

    def bind(self, path: str, number: int, link: bool = False, offset: int = 0) -> str:
        """Say that an image is bound, and return the link to its loop device."""
        device = f"/dev/loop{number}"
        self.node(device, number)
        if link:
            self.node(loop_link.link_of(path), number)
        self.bindings = [one for one in self.bindings if one.number != number]
        self.bindings.append(
            Binding(
                number=number,
                rdev=os.makedev(7, number),
                file=file_id(os.stat(path)),
                backing_rdev=0,
                backing_file=path,
                deleted=False,
                offset=offset,
                size_limit=0,
                flags=0,
                size=512,
                sector_size=512,
            )
        )
        return loop_link.link_of(path)

    def scan(self) -> Sequence[Binding]:
        self.scans += 1
        return self.bindings

    def configs(self, check_mode: bool = False) -> DomainConfigs:
        return DomainConfigs(check_mode, self.scan)

    def item(self, **options: Any) -> State:
        return {**DEFAULTS, "path": str(self.path), **options}

    def planned(self, check_mode: bool = False, **options: Any) -> Plan:
        return self.configs(check_mode).plan(self.item(**options))

    def done(self, **options: Any) -> State:
        configs = self.configs()
        plan = configs.plan(self.item(**options))
        for action in plan.actions:
            action.run()
        configs.settle()
        state = plan.read_back()
        assert not self.planned(**options).actions
        return state

    def refused(self, **options: Any) -> str:
        with pytest.raises(ConfigError) as error:
            self.planned(**options)
        return str(error.value)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


@pytest.fixture
def foreign(host: Host) -> Host:
    host.path.write_bytes(FOREIGN)
    return host


def disk(target: str, vdev: str = "xvda", **more: Any) -> State:
    """As Ansible hands over a disk: with what was not said as None."""
    return {"target": target, "vdev": vdev, "format": None, "access": None, **more}


def here(host: Host) -> State:
    return {"path": str(host.path), "autostart": False}


def sentences(plan: Plan) -> List[str]:
    return [action.sentence for action in plan.actions]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ---- a config of our own ----


def test_a_new_config_is_rendered(host: Host) -> None:
    state = host.done(options={"memory": 64}, disks=[disk("/dev/vg0/a", access="ro")])
    spec = "vdev=xvda, access=ro, target=/dev/vg0/a"
    assert state == {**here(host), "disks": [spec], "rendered": True}
    assert host.path.read_text() == domain_config.render("web", {"memory": 64}, [spec])
    assert mode_of(host.path) == 0o600
    assert [path.name for path in host.home.iterdir()] == ["web.cfg"]


@pytest.mark.parametrize("disks", [None, []])
def test_a_new_config_may_have_nothing_but_a_name(host: Host, disks: Any) -> None:
    assert host.done(disks=disks)["disks"] == []
    assert host.path.read_text() == domain_config.render("web", {}, [])


def test_the_plan_tells_what_comes(host: Host) -> None:
    plan = host.planned(disks=[disk("/dev/vg0/a")])
    assert sentences(plan) == [f"write {host.path}"]
    assert plan.file == str(host.path)
    assert plan.before == {**here(host), "disks": [], "rendered": False}
    assert plan.after["disks"] == ["vdev=xvda, target=/dev/vg0/a"]
    assert plan.texts and plan.texts[0] == "" and "target=/dev/vg0/a" in plan.texts[1]
    assert not host.path.exists()


def test_the_path_has_a_default(host: Host) -> None:
    plan = host.planned(path=None, domain="no-such-domain", state="absent")
    assert plan.before["path"] == "/etc/xen/no-such-domain.cfg"


def test_our_config_is_rendered_again_with_its_owner_and_mode(host: Host) -> None:
    host.done(options={"memory": 64})
    host.path.chmod(0o640)
    before = host.path.stat()
    host.done(options={"memory": 65})
    assert "memory = 65" in host.path.read_text()
    assert mode_of(host.path) == 0o640
    assert host.path.stat().st_mtime_ns > before.st_mtime_ns
    host.done()
    assert host.path.read_text() == domain_config.render("web", {}, [])


def test_disks_that_are_not_given_stay(host: Host) -> None:
    host.done(disks=[disk("/dev/vg0/a")])
    assert host.done(options={"memory": 64})["disks"] == ["vdev=xvda, target=/dev/vg0/a"]
    assert host.done(disks=[])["disks"] == []


def test_direct_io_safe_false_is_the_default(host: Host) -> None:
    state = host.done(disks=[disk("/dev/vg0/a", direct_io_safe=False, discard=False)])
    assert state["disks"] == ["vdev=xvda, no-discard, target=/dev/vg0/a"]


def test_a_text_that_stays_has_no_text_diff(host: Host) -> None:
    host.done()
    assert host.planned().texts is None
    assert host.planned().file == str(host.path)


def test_a_missing_directory(host: Host) -> None:
    path = host.home / "new" / "web.cfg"
    assert f"the directory {path.parent} does not exist" in host.refused(path=str(path))
    plan = host.planned(path=str(path), parents=True)
    assert sentences(plan) == [f"create the directory {path.parent}", f"write {path}"]
    host.done(path=str(path), parents=True)
    assert path.exists()


# ---- a config of someone else ----


def test_only_the_disk_list_of_a_foreign_config_is_replaced(foreign: Host) -> None:
    foreign.path.chmod(0o644)
    options: State = {"disks": [disk("/dev/vg0/old"), disk("/dev/vg0/b", "51768")]}
    plan = foreign.planned(**options)
    assert sentences(plan) == [f"replace the disk list in {foreign.path}"]
    state = foreign.done(**options)
    assert not state["rendered"]
    assert state["disks"] == [
        "vdev=xvda, target=/dev/vg0/old",
        "vdev=51768, target=/dev/vg0/b",
    ]
    before, after = FOREIGN.split(b"disk = "), foreign.path.read_bytes().split(b"disk = ")
    assert before[0] == after[0]
    assert before[1].split(b"]\n", 1)[1] == after[1].split(b"]\n", 1)[1]
    assert mode_of(foreign.path) == 0o644


def test_what_is_shown_can_be_shown(foreign: Host) -> None:
    plan = foreign.planned(disks=[])
    assert plan.texts
    "".join(plan.texts).encode()
    foreign.path.write_bytes(FOREIGN.replace(b"/old", b"/\xff"))
    "".join(foreign.planned(disks=None).before["disks"]).encode()


def test_options_do_not_replace_a_foreign_config(foreign: Host) -> None:
    error = foreign.refused(options={}, disks=[])
    assert error.startswith(f"{foreign.path}: someone else wrote this config")
    assert "overwrite: true" in error
    foreign.done(options={"memory": 1}, disks=[], overwrite=True)
    assert foreign.path.read_text() == domain_config.render("web", {"memory": 1}, [])


def test_overwrite_replaces_what_xl_could_not_read(host: Host) -> None:
    host.path.write_text("name = 'web'\r\n")
    options = {"options": {"memory": 1}, "disks": [], "overwrite": True}
    assert "carriage return" in host.refused(**{**options, "overwrite": False})
    assert "its slots hold cannot be told: line 1 is not valid" in host.refused(**options)
    assert host.planned(**options, allow_slot_change=True).before["disks"] is None
    assert host.done(**options, allow_slot_change=True)["disks"] == []


def test_overwrite_without_options_keeps_the_rest(foreign: Host) -> None:
    foreign.done(disks=[], overwrite=True)
    assert b"memory = 64" in foreign.path.read_bytes()


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("name = 'db'\n", "the config of domain db, not of web"),
        ("memory = 1\n", "it sets no name; add name = 'web'"),
        ("name = @NAME@\n", "placeholder"),
        ("name = 'web'\ndisk = 'x'\n", "a single string"),
        ("name = 'web'\r\n", "carriage return"),
        (domain_config.render("db", {}, []), "the config of domain db, not of web"),
    ],
)
def test_a_config_that_cannot_be_the_domains(host: Host, text: str, error: str, state: str) -> None:
    host.path.write_bytes(text.encode())
    assert error in host.refused(state=state, disks=[])
    assert host.path.read_bytes() == text.encode()


def test_the_config_of_another_domain_is_overwritten_on_demand(host: Host) -> None:
    host.path.write_text(domain_config.render("db", {}, []))
    assert "not of web" in host.refused(overwrite=True)
    host.done(options={}, overwrite=True)
    assert domain_config.name(host.path.read_text()) == "web"


# ---- absent ----


def test_our_config_is_removed(host: Host) -> None:
    host.done()
    plan = host.planned(state="absent")
    assert sentences(plan) == [f"remove {host.path}"]
    assert plan.file is None
    state = host.done(state="absent")
    assert state == {**here(host), "disks": [], "rendered": False}
    assert not host.path.exists()


def test_a_foreign_config_loses_its_disks_only(foreign: Host) -> None:
    plan = foreign.planned(state="absent")
    assert sentences(plan) == [f"empty the disk list of {foreign.path}"]
    assert foreign.done(state="absent")["disks"] == []
    assert b"memory = 64" in foreign.path.read_bytes()


def test_a_config_in_no_directory_is_absent(host: Host) -> None:
    assert not host.planned(path=str(host.home / "no" / "web.cfg"), state="absent").actions


# ---- paths ----


@pytest.mark.parametrize(
    "path", ["web.cfg", "", "/", "/etc/xen/", "/etc/..", "/a\0b", "/\udfff\ud800", "/x/."]
)
def test_what_is_no_path_of_a_file(host: Host, path: str) -> None:
    assert "is not the absolute path of a file" in host.refused(path=path)


@pytest.mark.parametrize("state", ["present", "absent"])
def test_what_is_no_file(host: Host, state: str) -> None:
    os.mkfifo(host.home / "fifo")
    (host.home / "dangling").symlink_to("nothing")
    (host.home / "circle").symlink_to("circle")
    (host.home / "image").touch()
    os.truncate(host.home / "image", 2**21)
    for name, error in (
        (".", "path"),
        ("fifo", "not a regular file"),
        ("dangling", "symbolic link to"),
        ("circle", "cannot look at"),
        ("image", "has 2097152 bytes"),
    ):
        assert error in host.refused(path=f"{host.home}/{name}", state=state)
    assert "not a regular file" in host.refused(path=str(host.home), state=state)


@pytest.mark.parametrize("domain", ["", "7", "a/b", "../../tmp/x"])
def test_what_is_no_domain(host: Host, domain: str) -> None:
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


def test_one_config_is_named_once(host: Host) -> None:
    host.done()
    (host.home / "link.cfg").symlink_to("web.cfg")
    for other in (host.path, host.home / "link.cfg", f"{host.home}/./web.cfg"):
        configs = host.configs()
        configs.plan(host.item())
        with pytest.raises(ConfigError, match="is the same config as"):
            configs.plan(host.item(path=str(other)))


# ---- autostart ----


@pytest.fixture
def auto(host: Host, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of what xendomains starts."""
    path = host.home / "auto"
    path.mkdir()
    monkeypatch.setitem(DEFAULTS, "autostart_dir", str(path))
    return path


def test_the_config_is_written_before_the_link_is_made(host: Host, auto: Path) -> None:
    link = f"{auto}/web.cfg"
    plan = host.planned(autostart=True)
    assert sentences(plan) == [
        f"write {host.path}",
        f"make the link {link}, so that xendomains starts domain web",
    ]
    state = host.done(autostart=True)
    assert state["autostart"] is True
    assert os.readlink(link) == str(host.path)
    assert host.planned(options={"memory": 1}).after["autostart"] is True


@pytest.mark.parametrize("there", [True, False])
def test_what_is_made_and_removed_survives_a_power_cut(
    host: Host, auto: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    synced: List[str] = []
    monkeypatch.setattr(config_file, "sync_directories", synced.extend)
    host.done(autostart=there)
    synced.clear()
    host.done(autostart=not there)
    assert synced == [str(auto)]


def test_only_the_link_is_made_to_a_config_that_is_as_wanted(host: Host, auto: Path) -> None:
    host.done()
    plan = host.planned(autostart=True)
    assert len(plan.actions) == 1
    assert plan.diff()["before"]["autostart"] is False
    assert plan.diff()["after"]["autostart"] is True
    assert plan.diff()["before"] == {**plan.diff()["after"], "autostart": False}


@pytest.mark.parametrize("autostart", [None, False, True])
def test_links_go_before_the_config_and_also_when_it_is_gone(
    host: Host, auto: Path, autostart: Optional[bool]
) -> None:
    remove = f"remove the link {auto}/web.cfg, so that xendomains does not start domain web"
    host.done(autostart=True)
    plan = host.planned(state="absent", autostart=autostart)
    assert sentences(plan) == [remove, f"remove {host.path}"]
    host.path.unlink()
    assert sentences(host.planned(state="absent", autostart=autostart)) == [remove]
    assert host.done(state="absent", autostart=autostart)["autostart"] is False
    assert os.listdir(auto) == []


@pytest.mark.parametrize("autostart", [None, False, True])
def test_links_to_a_foreign_config_stay_when_it_loses_its_disks(
    foreign: Host, auto: Path, autostart: Optional[bool]
) -> None:
    (auto / "10-web").symlink_to(foreign.path)
    state = foreign.done(state="absent", autostart=autostart)
    assert state["autostart"] is (autostart is not False)
    assert os.listdir(auto) == ([] if autostart is False else ["10-web"])


def test_a_foreign_config_without_its_disks_gets_no_link(foreign: Host, auto: Path) -> None:
    assert foreign.done(state="absent", autostart=True)["autostart"] is False
    assert os.listdir(auto) == []


def test_the_way_is_cleared_first(host: Host, auto: Path) -> None:
    old, new = host.home / "old" / "web.cfg", host.path
    old.parent.mkdir()
    host.done(path=str(old), autostart=True)
    for going in ({"state": "absent"}, {"autostart": False}):
        items = [host.item(autostart=True), host.item(path=str(old), **going)]
        configs = host.configs()
        items.sort(key=configs.rank)
        assert [item["path"] for item in items] == [str(old), str(new)]
        plans = [configs.plan(item) for item in items]
        assert sentences(plans[1])[1].startswith(f"make the link {auto}/web.cfg")


def test_what_is_in_the_way_is_said_with_the_config(host: Host, auto: Path) -> None:
    (auto / "web.cfg").touch()
    assert host.refused(autostart=True).startswith(f"{host.path}: {auto}/web.cfg is in the way")


def test_a_domain_that_starts_with_a_number_is_warned_of_although_one_is(
    host: Host, auto: Path
) -> None:
    host.bind(host.image("a.raw"), 3)
    disks = [disk("/dev/loop3")]
    configs = host.configs()
    warnings = [
        configs.plan(host.item(path=f"{host.home}/{index}.cfg", disks=disks, autostart=autostart))
        .warnings
        for index, autostart in enumerate((None, True, True, None))
    ]  # fmt: skip
    assert [len(warning) for warning in warnings] == [1, 1, 0, 0]
    assert "xendomains" not in warnings[0][0]
    assert warnings[1][0].startswith(
        f"{host.home}/1.cfg names /dev/loop3, which may be another image after the next boot, and "
        "xendomains starts domain web with it then; let udev run"
    )
    assert "or set autostart: false" in warnings[1][0]


def test_a_domain_that_starts_is_warned_of_once_and_whoever_said_so(host: Host, auto: Path) -> None:
    host.bind(host.image("a.raw"), 3)
    host.path.write_text("name='web'\ndisk=['/dev/loop3,raw,xvda', 'what,is,this']\n")
    assert host.planned().warnings == []
    (auto / "10-web").symlink_to(host.path)
    configs = host.configs()
    (warning,) = configs.plan(host.item()).warnings
    assert "xendomains starts domain web with it then" in warning
    other = host.item(path=f"{host.home}/other.cfg", disks=[disk("/dev/loop3")])
    assert configs.plan(other).warnings == []
    assert host.planned(autostart=False).warnings == []


# ---- targets ----


def test_a_link_of_udev_stays(host: Host) -> None:
    link = host.bind(host.image("a.raw"), 3, link=True)
    plan = host.planned(disks=[disk(link)])
    assert plan.after["disks"] == [f"vdev=xvda, target={link}"]
    assert plan.warnings == []


def test_the_link_of_another_path_of_the_image_follows_it_as_well(host: Host) -> None:
    image = host.image("a.raw")
    os.link(image, host.home / "hard.raw")
    link = host.bind(image, 3, link=True)
    plan = host.planned(disks=[disk(loop_link.link_of(f"{host.home}/hard.raw"))])
    assert plan.after["disks"] == [f"vdev=xvda, target={link}"]
    assert plan.warnings == []


def test_without_udev_numbers_are_named_and_one_warning_says_so(host: Host) -> None:
    links = [host.bind(host.image(f"{number}.raw"), number) for number in range(5)]
    disks = [disk(link, f"xvd{'abcde'[number]}") for number, link in enumerate(links)]
    configs = host.configs()
    first = configs.plan(host.item(disks=disks))
    second = configs.plan(host.item(path=str(host.home / "db.cfg"), disks=disks[:1]))
    assert first.after["disks"][1] == "vdev=xvdb, target=/dev/loop1"
    (warning,) = first.warnings
    assert "/dev/loop0, /dev/loop1, /dev/loop2 and 2 more" in warning
    assert second.warnings == []
    assert host.scans == 1


def test_a_number_that_is_given_is_warned_of_as_well(host: Host) -> None:
    host.bind(host.image("a.raw"), 3)
    (warning,) = host.planned(disks=[disk("/dev/loop3")]).warnings
    assert "names /dev/loop3, which may be another image after the next boot" in warning


def test_a_link_that_the_config_has_is_not_given_up_while_it_lacks(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = host.image("a.raw")
    link = host.bind(image, 3, link=True)
    host.done(disks=[disk(link)])
    del host._nodes[link]
    plan = host.planned(disks=[disk(link)])
    assert plan.actions == []
    host.bind(host.image("b.raw"), 4)
    other = loop_link.link_of(f"{host.home}/b.raw")
    plan = host.planned(disks=[disk(link), disk(other, "xvdb")])
    assert plan.after["disks"] == [f"vdev=xvda, target={link}", "vdev=xvdb, target=/dev/loop4"]
    host.node(link, 4)
    lexists = os.path.lexists
    monkeypatch.setattr(os.path, "lexists", lambda path: path == link or lexists(path))
    plan = host.planned(disks=[disk(link)])
    assert plan.after["disks"] == ["vdev=xvda, target=/dev/loop3"]


def test_no_disk_on_a_loop_device_no_scan(host: Host) -> None:
    host.done(disks=[disk("/dev/vg0/a")])
    host.planned(disks=[disk("/dev/vg0/a")])
    assert host.scans == 0


@pytest.mark.parametrize("exists", [True, False])
def test_an_image_that_is_not_bound(host: Host, exists: bool) -> None:
    image = host.image("a.raw") if exists else str(host.home / "a.raw")
    link = loop_link.link_of(image)
    assert host.refused(disks=[disk(link)]).startswith(f"{host.path}: disks[0]: {image}")
    assert "a.raw" in host.refused(disks=[disk(link)], will_exist=True)
    assert "a.raw" in host.refused(disks=[disk(link)], check_mode=True)
    plan = host.planned(check_mode=True, disks=[disk(link)], will_exist=True)
    assert plan.after["disks"] == [f"vdev=xvda, target={link}"]
    assert plan.warnings == []


def test_in_check_mode_a_bound_image_is_found_all_the_same(host: Host) -> None:
    link = host.bind(host.image("a.raw"), 3)
    plan = host.planned(check_mode=True, disks=[disk(link)], will_exist=True)
    assert plan.after["disks"] == ["vdev=xvda, target=/dev/loop3"]


@pytest.mark.parametrize(
    ("disks", "error"),
    [
        ([disk("/dev/a"), disk("/dev/b", "51712")], "disks[1]: slot 51712 is taken, see disks[0]"),
        ([disk("/dev/a", "sdzz")], "disks[0]: vdev:"),
        ([disk("/dev/a\0")], "disks[0]: target cannot contain"),
        ([disk(f"{loop_link.LINK_DIR}/a\0")], "disks[0]: target cannot contain"),
        ([disk(f"{loop_link.LINK_DIR}/\ud800")], "disks[0]: "),
        ([{"vdev": "xvda"}], "disks[0]: a disk needs a target"),
        ([{"target": "/dev/a"}], "disks[0]: a disk needs a vdev"),
    ],
)
def test_bad_disks(host: Host, disks: Any, error: str) -> None:
    assert error in host.refused(disks=disks)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"memory": 1.5}, "option memory"),
        ({"disk": []}, "disk does not belong in the options"),
        ({"Kernel": "x"}, "no name of an xl option"),
    ],
)
def test_bad_options(host: Host, options: Any, error: str) -> None:
    message = host.refused(options=options)
    assert message.startswith(f"{host.path}: ") and error in message


ANYTHING = st.none() | st.text() | st.integers() | st.lists(st.text(), max_size=2)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.text(max_size=8),
    st.dictionaries(st.text(max_size=4), ANYTHING, max_size=3),
    st.lists(st.fixed_dictionaries({"target": st.text(), "vdev": st.text()}), max_size=2),
)
def test_nothing_but_our_errors(host: Host, domain: str, options: State, disks: Any) -> None:
    host.path.write_bytes(FOREIGN)
    for path in (None, str(host.path), str(host.home / "new.cfg"), domain):
        for text in (options, None):
            try:
                host.planned(domain=domain, path=path, options=text, disks=disks, overwrite=True)
            except BlockdevError as error:
                assert str(error)


# ---- slots ----


@pytest.fixture
def images(host: Host) -> Host:
    """a.raw on loop device 3, without a link, and b.raw on 4."""
    host.bind(host.image("a.raw"), 3)
    host.bind(host.image("b.raw"), 4)
    return host


def names_of(host: Host, name: str, number: int) -> List[str]:
    path = str(host.home / name)
    os.link(path, host.home / f"hard.{name}")
    return [path, f"{host.home}/hard.{name}", loop_link.link_of(path), f"/dev/loop{number}"]


def test_an_image_is_the_same_under_every_name(images: Host) -> None:
    names = names_of(images, "a.raw", 3)
    for old in names:
        images.path.write_text(f"name='web'\ndisk=['phy:{old},xvda,w']\n")
        for new in names:
            images.planned(disks=[disk(new, "51712")])


def test_an_image_stays_in_its_slot(images: Host) -> None:
    images.done(disks=[disk(f"{images.home}/a.raw")])
    for name in names_of(images, "a.raw", 3):
        error = images.refused(disks=[disk(name, "xvdb")])
        assert "is in slot xvda of domain web and would move to xvdb" in error
        assert "; set allow_slot_change: true if that is meant; otherwise give each" in error
    images.done(disks=[disk(f"{images.home}/a.raw", "xvdb")], allow_slot_change=True)


def test_a_slot_keeps_its_image(images: Host) -> None:
    images.done(disks=[disk(f"{images.home}/a.raw")])
    for name in names_of(images, "b.raw", 4):
        error = images.refused(disks=[disk(name, "51712")])
        assert f"slot 51712 of domain web has {images.home}/a.raw and would get" in error
        assert "b.raw" in error
    images.done(disks=[disk(f"{images.home}/b.raw")], allow_slot_change=True)


def test_images_do_not_change_places(images: Host) -> None:
    a, b = f"{images.home}/a.raw", f"{images.home}/b.raw"
    images.done(disks=[disk(a), disk(b, "xvdb")])
    error = images.refused(disks=[disk(b), disk(a, "xvdb")])
    assert f"slot xvda of domain web has {a}" in error
    assert f"slot xvdb of domain web has {b}" in error


def test_other_options_too_do_not_allow_it(images: Host) -> None:
    images.path.write_text(f"name='web'\ndisk=['{images.home}/a.raw,,xvda,w']\n")
    error = images.refused(options={}, overwrite=True, disks=[disk(f"{images.home}/b.raw")])
    assert "slot xvda" in error


def test_disks_come_and_go(images: Host) -> None:
    a, b = f"{images.home}/a.raw", f"{images.home}/b.raw"
    images.done(disks=[disk(a)])
    images.done(disks=[disk(a, access="ro"), disk(b, "xvdb")])
    images.done(disks=[disk(b, "xvdb"), disk("/dev/vg0/new", "xvdc")])
    images.done(disks=[{"vdev": "xvdd", "devtype": "cdrom"}])
    images.done(disks=[disk("/srv/some.iso", "xvdd", devtype="cdrom")])


def test_a_number_of_before_the_last_boot(images: Host) -> None:
    """a.raw was on loop device 4 or 9, which now has b.raw or nothing."""
    for number, now in ((4, f"{images.home}/b.raw now"), (9, "not bound now")):
        images.node(f"/dev/loop{number}", number)
        images.path.write_text(domain_config.render("web", {}, [f"/dev/loop{number},raw,xvda"]))
        error = images.refused(disks=[disk(loop_link.link_of(f"{images.home}/a.raw"))])
        assert f"has /dev/loop{number} ({now})" in error
        assert f"would get /dev/loop3 ({images.home}/a.raw now)" in error
        assert "other numbers since the last boot" in error
        images.planned(disks=[disk(f"/dev/loop{number}")])


def test_a_part_of_an_image_is_another_disk(images: Host) -> None:
    images.bind(f"{images.home}/a.raw", 5, offset=512)
    images.done(disks=[disk("/dev/loop3")])
    assert "slot xvda" in images.refused(disks=[disk("/dev/loop5")])


def test_targets_of_a_script_are_names(host: Host) -> None:
    host.done(disks=[disk("iqn=a", script="block-iscsi")])
    assert "has iqn=a and would get iqn=b" in host.refused(disks=[disk("iqn=b", script="x")])


def test_an_old_list_that_cannot_be_told(host: Host) -> None:
    host.path.write_text("name='web'\ndisk=['/dev/a,raw,xvd,w']\n")
    error = host.refused(disks=[disk("/dev/a")])
    assert "what its slots hold cannot be told" in error and "allow_slot_change" in error
    host.planned()
    host.done(disks=[disk("/dev/a")], allow_slot_change=True)


# ---- writing ----


def test_a_copy_is_kept(foreign: Host) -> None:
    foreign.path.chmod(0o644)
    options: State = {"disks": [], "backup": True}
    assert sentences(foreign.planned(**options)) == [
        f"keep a copy of {foreign.path}",
        f"replace the disk list in {foreign.path}",
    ]
    copy = Path(foreign.done(**options)["backup_file"])
    assert copy.name.startswith(f"web.cfg.{os.getpid()}.2") and copy.name.endswith("~")
    assert copy.read_bytes() == FOREIGN
    assert mode_of(copy) == 0o644
    assert foreign.path.read_bytes() != FOREIGN


def test_a_copy_is_kept_of_what_someone_else_wrote_unless_that_is_not_wanted(
    foreign: Host,
) -> None:
    for state in ("present", "absent"):
        options: State = {"disks": [], "state": state}
        assert len(foreign.planned(backup=None, **options).actions) == 2
        assert len(foreign.planned(backup=False, **options).actions) == 1


def test_no_copy_is_kept_of_what_was_rendered_unless_that_is_wanted(host: Host) -> None:
    host.done()
    for options in ({"options": {"memory": 1}}, {"state": "absent"}):
        assert len(host.planned(backup=None, **options).actions) == 1
        assert len(host.planned(backup=True, **options).actions) == 2


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("state", ["present", "absent"])
def test_what_cannot_be_written_is_refused_before(
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


def test_a_copy_is_kept_of_what_is_removed_and_none_of_nothing(host: Host) -> None:
    assert "backup_file" not in host.done(backup=True)
    text = host.path.read_bytes()
    copy = host.done(state="absent", backup=True)["backup_file"]
    assert Path(copy).read_bytes() == text


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize("backup", [False, True])
def test_what_someone_changes_meanwhile_stays(host: Host, state: str, backup: bool) -> None:
    host.done()
    plan = host.planned(state=state, options={"memory": 1}, backup=backup)
    host.path.write_text("edited")
    for action in plan.actions:
        with pytest.raises(ConfigError, match="was changed by another program meanwhile"):
            action.run()
    assert host.path.read_text() == "edited"
    assert len(list(host.home.iterdir())) == 1


def test_what_someone_makes_meanwhile_stays(host: Host) -> None:
    plan = host.planned()
    host.path.write_text("made")
    with pytest.raises(ConfigError, match="meanwhile"):
        plan.actions[0].run()
    assert host.path.read_text() == "made"


def test_what_is_not_there_afterwards_is_an_error(host: Host) -> None:
    plan = host.planned()
    plan.actions[0].run()
    host.path.write_text("edited")
    with pytest.raises(ConfigError, match="meanwhile"):
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


def test_one_run_at_a_time(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    class Lock:
        def __init__(self, name: str) -> None:
            taken.append(name)

        def __enter__(self) -> None:
            pass

        def __exit__(self, *_arguments: Any) -> None:
            pass

    monkeypatch.setattr(locks, "exclusive", Lock)
    with open_configs(check_mode=True):
        assert taken == []
    with open_configs(check_mode=False) as configs:
        assert taken == ["config"]
        configs.plan(host.item())


# ---- xl ----


class FakeXl:
    """Stands in for `xl -N create FILE` on dom0."""

    def __init__(self) -> None:
        self.texts: List[str] = []
        self.ended = commands.Completed(0, "", "")

    def run(self, argv: Sequence[str], _timeout: float) -> commands.Completed:
        assert list(argv[:3]) == ["xl", "-N", "create"]
        self.texts.append(Path(argv[3]).read_text())
        assert mode_of(Path(argv[3])) == 0o600
        return commands.Completed(self.ended.code, "", self.ended.stderr.replace("FILE", argv[3]))


@pytest.fixture
def xl(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeXl]:
    fake = FakeXl()
    monkeypatch.setattr(xen, "is_dom0", lambda: True)
    monkeypatch.setattr(commands, "run", fake.run)
    return fake


def test_xl_reads_what_is_written_once(host: Host, xl: FakeXl) -> None:
    host.done(options={"memory": 1})
    assert set(xl.texts) == {host.path.read_text()}
    assert len(xl.texts) == 1
    host.done(state="absent")
    assert len(xl.texts) == 1


def test_what_xl_refuses_is_not_written(host: Host, xl: FakeXl) -> None:
    xl.ended = commands.Completed(1, "", "FILE:3: config parsing error\n  near `x'\n")
    error = host.refused()
    assert error == (
        f"{host.path}: xl refuses what it would say: the config:3: config parsing error near `x'"
    )
    assert host.refused(check_mode=True) == error
    xl.ended = commands.Completed(1, "", "")
    assert "exit code 1" in host.refused()
    host.done(validate=False)


def test_elsewhere_xl_is_not_asked(host: Host, xl: FakeXl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xen, "is_dom0", lambda: False)
    host.done()
    assert xl.texts == []


# ---- passwords ----


def test_the_plan_shows_no_password(host: Host) -> None:
    host.done(options={"vncpasswd": "old"})
    plan = host.planned(options={"vncpasswd": "s3cret", "vfb": ["type=vnc,vncpasswd=s3cret"]})
    assert plan.texts
    assert "s3cret" not in "".join(plan.texts)
    assert "(changed)" in plan.texts[1]
