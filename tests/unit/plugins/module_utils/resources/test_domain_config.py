# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which configs are wanted: what is planned, with configs on a real file system."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, List, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.config.config_file import ConfigError
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import State
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk.scanner import SpecScanner
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host import locks
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.resources import domain_config
from ansible_collections.xen.blockdev.plugins.module_utils.resources.domain_config import (
    open_configs,
)
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Vbd
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.config_host import (
    DEFAULTS,
    FOREIGN,
    Host,
    disk,
    mode_of,
    sentences,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


@pytest.fixture
def foreign(host: Host) -> Host:
    host.path.write_bytes(FOREIGN)
    return host


def here(host: Host) -> State:
    return {"path": str(host.path), "autostart": False, "released": []}


# ---- a config of our own ----


def test_a_new_config_is_rendered(host: Host) -> None:
    state = host.done(options={"memory": 64}, disks=[disk("/dev/vg0/a", access="ro")])
    spec = "format=raw, vdev=xvda, access=ro, target=/dev/vg0/a"
    assert state == {**here(host), "disks": [spec], "rendered": True}
    assert host.path.read_text() == config_text.render("web", {"memory": 64}, [spec])
    assert mode_of(host.path) == 0o600
    assert [path.name for path in host.home.iterdir()] == ["web.cfg"]


@pytest.mark.parametrize("disks", [None, []])
def test_a_new_config_may_have_nothing_but_a_name(host: Host, disks: Any) -> None:
    assert host.done(disks=disks)["disks"] == []
    assert host.path.read_text() == config_text.render("web", {}, [])


def test_the_plan_tells_what_comes(host: Host) -> None:
    plan = host.planned(disks=[disk("/dev/vg0/a")])
    assert sentences(plan) == [f"write {host.path}"]
    assert plan.file == str(host.path)
    assert plan.before == {**here(host), "disks": [], "rendered": False}
    assert plan.after["disks"] == ["format=raw, vdev=xvda, access=rw, target=/dev/vg0/a"]
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
    assert host.path.read_text() == config_text.render("web", {}, [])


def test_disks_that_are_not_given_stay(host: Host) -> None:
    host.done(disks=[disk("/dev/vg0/a")])
    assert host.done(options={"memory": 64})["disks"] == [
        "format=raw, vdev=xvda, access=rw, target=/dev/vg0/a"
    ]
    assert host.done(disks=[])["disks"] == []


def test_a_new_disk_is_rendered_once_and_read_once(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: List[str] = []
    for owner, name in ((DiskSpec, "render"), (SpecScanner, "read")):
        monkeypatch.setattr(owner, name, counted(calls, name, getattr(owner, name)))
    device_number._parse_text.cache_clear()
    host.planned(disks=[disk("/dev/vg0/new", "xvdzy", access="ro")])
    assert calls == ["render"]
    assert device_number._parse_text.cache_info().misses == 1
    host.planned(disks=["/dev/vg0/new,raw,xvdzx,w"])
    assert calls == ["render", "read", "render"]


def counted(calls: List[str], name: str, function: Any) -> Any:
    def call(*args: Any) -> Any:
        calls.append(name)
        return function(*args)

    return call


def test_all_keys_of_xl_are_kept_in_a_config(host: Host) -> None:
    colo = "colo, colo-host=h, colo-port=9000, colo-export=e, active-disk=/a, hidden-disk=/h"
    old = f"/dev/vg0/a,raw,xvda,w,{colo},grant_usage=0"
    host.path.write_text(f"name='web'\ndisk=[\n    '{old}',\n]\n")
    host.done(disks=[disk("/dev/vg0/a"), disk("/dev/vg0/b", "xvdb")])
    assert f"    '{old}',\n" in host.path.read_text()
    host.done(disks=[disk("/dev/vg0/a", discard=True), disk("/dev/vg0/b", "xvdb")])
    text = host.path.read_text().replace(",", ", ")
    assert f"discard, grant_usage=0, {colo}'" in text.replace("  ", " ")


def test_direct_io_safe_false_is_the_default(host: Host) -> None:
    state = host.done(disks=[disk("/dev/vg0/a", direct_io_safe=False, discard=False)])
    assert state["disks"] == ["format=raw, vdev=xvda, access=rw, no-discard, target=/dev/vg0/a"]


def test_disks_may_be_strings_of_xl(host: Host) -> None:
    strings = ["phy:/dev/vg0/a,xvda,w", "/srv/b.qcow2,qcow2,xvdb,r"]
    dictionaries = [
        disk("/dev/vg0/a", access="w"),
        disk("/srv/b.qcow2", "xvdb", format="qcow2", access="ro"),
    ]
    state = host.done(disks=strings)
    assert state["disks"] == [
        "format=raw, vdev=xvda, access=rw, target=/dev/vg0/a",
        "format=qcow2, vdev=xvdb, access=ro, target=/srv/b.qcow2",
    ]
    for same in (dictionaries, [strings[0], dictionaries[1]]):
        assert not host.planned(disks=same).actions


@pytest.mark.parametrize(
    ("disks", "error"),
    [
        (["/dev/vg0/a,xvda,w"], "disks[0]: disk specification '/dev/vg0/a,xvda,w': the format fi"),
        (["vdev=xvda,target=/a,access=ro"], "disks[0]: target: '/a,access=ro' has access= in it"),
        (["phy:vg0/a,xvda,w"], "disks[0]: target: 'vg0/a' is not absolute"),
        (["/a,raw,xvdaa9999,w"], "disks[0]: vdev: 'xvdaa9999' is out of range"),
        (
            ["vdev=xvda", "target=/a"],
            "disks must be a list of disks: write ['vdev=xvda,t",
        ),
        ([5], "disks[0]: a disk specification is text, not int"),
        ([disk("phy:/dev/vg0/a")], "disks[0]: target: 'phy:/dev/vg0/a' has a prefix"),
        ([disk("tap:qcow2:/a")], "write target: /a and format: qcow2"),
        ([disk("vg0/a")], "such as /dev/vg0/a for a volume"),
        ([disk("/a", backend="phy")], "disks[0]: backend is the domain that serves the disk"),
        ([disk("a"), disk("/b", "xvd")], "; disks[1]: vdev: 'xvd' lacks"),
        (["phy:/a,xvda,w", disk("/b")], "disks[1]: slot xvda is taken, see disks[0]"),
    ],
)
def test_what_is_no_disk_is_refused(host: Host, disks: Any, error: str) -> None:
    assert error in host.refused(disks=disks)
    assert not host.path.exists()


@pytest.mark.parametrize(
    "options",
    [
        {"target": "iqn=x,portal=y", "script": "block-iscsi"},
        {"target": "vg0/a", "backend": "storage"},
        {"target": loop_link.link_of("/no/such.raw"), "backend": "storage"},
        {"target": "rbd:pool/a", "backendtype": "qdisk"},
    ],
)
def test_others_may_make_sense_of_a_target(host: Host, options: Any) -> None:
    (written,) = host.done(disks=[{"vdev": "xvda", **options}])["disks"]
    assert written.endswith(f"target={options['target']}")


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
    assert state["disks"] == ["phy:/dev/vg0/old,xvda,w", "/dev/vg0/b,,51768"]
    new = b"# the system\n         '/dev/vg0/b,,51768',\n"
    assert foreign.path.read_bytes() == FOREIGN.replace(b"# the system\n", new)
    assert mode_of(foreign.path) == 0o644


def test_what_is_shown_can_be_shown(foreign: Host) -> None:
    plan = foreign.planned(disks=[], unlisted_disks="remove")
    assert plan.texts
    "".join(plan.texts).encode()
    foreign.path.write_bytes(FOREIGN.replace(b"/old", b"/\xff"))
    "".join(foreign.planned(disks=None).before["disks"]).encode()


def test_options_do_not_replace_a_foreign_config(foreign: Host) -> None:
    error = foreign.refused(options={}, disks=[])
    assert error.startswith(f"{foreign.path}: this config was not written by xen_domain_config")
    assert "overwrite: true" in error
    foreign.done(options={"memory": 1}, disks=[], overwrite=True, unlisted_disks="remove")
    assert foreign.path.read_text() == config_text.render("web", {"memory": 1}, [])


def test_overwrite_replaces_what_xl_could_not_read(host: Host) -> None:
    host.path.write_text("name = 'web'\r\n")
    options = {"options": {"memory": 1}, "disks": [], "overwrite": True}
    assert "carriage return" in host.refused(**{**options, "overwrite": False})
    assert "cannot read the disks in the existing config: line 1 is not valid" in host.refused(
        **options
    )
    assert host.planned(**options, allow_slot_change=True).before["disks"] is None
    assert host.done(**options, allow_slot_change=True)["disks"] == []


def test_overwrite_without_options_keeps_the_rest(foreign: Host) -> None:
    foreign.done(disks=[], overwrite=True, unlisted_disks="remove")
    assert b"memory = 64" in foreign.path.read_bytes()


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("name = 'db'\n", "the config of domain db, not of web"),
        ("memory = 1\n", "it does not set a name; add name = 'web'"),
        ("name = @NAME@\n", "placeholder"),
        ("name = 'web'\ndisk = [['x']]\n", "a list inside its list"),
        ("name = 'web'\r\n", "carriage return"),
        (config_text.render("db", {}, []), "the config of domain db, not of web"),
    ],
)
def test_a_config_that_cannot_be_the_domains(host: Host, text: str, error: str, state: str) -> None:
    host.path.write_bytes(text.encode())
    assert error in host.refused(state=state, disks=[])
    assert host.path.read_bytes() == text.encode()


def test_the_config_of_another_domain_is_overwritten_on_demand(host: Host) -> None:
    host.path.write_text(config_text.render("db", {}, []))
    assert "not of web" in host.refused(overwrite=True)
    host.done(options={}, overwrite=True)
    assert config_text.name(host.path.read_text()) == "web"


# ---- the disks of someone else's config ----

PEOPLE = """name = "web"
disk = [
  'phy:/dev/vg0/root,xvda,w', # root
  "/srv/data.qcow2,qcow2,xvdb,r,discard,backendtype=qdisk",
  ',,hdc:cdrom',
]
"""
ROOT = disk("/dev/vg0/root", "51712")
DATA = disk("/srv/data.qcow2", "xvdb", format="qcow2", access="ro")
DRIVE = {"target": None, "vdev": "hdc", "devtype": "cdrom", "format": "empty"}


@pytest.fixture
def people(host: Host) -> Host:
    host.path.write_text(PEOPLE)
    return host


def test_the_same_disks_are_no_change_and_make_no_copy(people: Host) -> None:
    for disks in ([ROOT, DATA, DRIVE], [DRIVE, DATA, ROOT]):
        assert people.planned(disks=disks, backup=True).actions == []


def test_what_is_not_said_of_a_disk_stays(people: Host) -> None:
    people.done(disks=[ROOT, {**DATA, "access": "rw"}, DRIVE])
    assert people.path.read_text() == PEOPLE.replace(
        "qcow2,xvdb,r,discard,backendtype=qdisk", "qcow2,xvdb,rw,backendtype=qdisk,discard"
    )


@pytest.mark.parametrize(
    ("unsaid", "error"),
    [
        ("access", "the disk is read-only in the config; set access: ro, or access: rw to let"),
        ("format", "the disk has format qcow2 in the config; set format: qcow2, or format: raw"),
    ],
)
def test_what_others_would_take_for_the_default_is_to_be_said(
    people: Host, unsaid: str, error: str
) -> None:
    assert error in people.refused(disks=[ROOT, {**DATA, unsaid: None}, DRIVE])


QDISK = """name = "web"
disk = ["vdev=xvda, backendtype=qdisk, target={}"]
"""


def test_a_loop_device_for_what_qemu_opens_itself_is_to_be_said(host: Host) -> None:
    image = host.image("a.raw")
    link = host.bind(image, 3, link=True)
    host.path.write_text(QDISK.format(image))
    for target in (link, "/dev/loop3"):
        error = (
            f"disks[0]: with the options that only the config has: in the config, QEMU opens "
            f"{image} itself (backendtype=qdisk), which needs no loop device; set backendtype: "
            "qdisk, or backendtype: phy to have the kernel serve the loop device"
        )
        assert error in host.refused(disks=[disk(target)])
    assert host.planned(disks=[disk(image)]).actions == []
    assert host.planned(disks=[disk(image, backendtype="qdisk")]).actions == []
    host.done(disks=[disk(link, backendtype="phy")])
    assert "backendtype=phy" in host.path.read_text()


def test_a_loop_device_that_the_config_has_qemu_open_stays(host: Host) -> None:
    link = host.bind(host.image("a.raw"), 3, link=True)
    for target in (link, "/dev/loop3"):
        host.path.write_text(QDISK.format(target))
        assert "qdisk" in str(host.done(disks=[disk(link)])["disks"])


def test_what_is_said_of_a_disk_is_changed(people: Host) -> None:
    text = PEOPLE.replace("xvda,w'", "xvda,w,direct-io-safe'")
    people.path.write_text(text)
    people.done(disks=[{**ROOT, "direct_io_safe": False}, DATA, DRIVE])
    new = PEOPLE.replace("phy:/dev/vg0/root,xvda,w", "/dev/vg0/root,,xvda,rw")
    assert people.path.read_text() == new


def test_another_image_has_options_of_its_own(people: Host) -> None:
    other = disk("/srv/other.qcow2", "xvdb", access="ro")
    people.done(disks=[ROOT, {**other, "format": "qcow2"}, DRIVE], allow_slot_change=True)
    assert '"/srv/other.qcow2,qcow2,xvdb,ro"' in people.path.read_text()


def test_what_does_not_go_with_what_stays_is_refused(people: Host) -> None:
    people.path.write_text(PEOPLE.replace(",,hdc", "/srv/a.iso,,hdc"))
    error = people.refused(disks=[ROOT, DATA, disk("/srv/a.iso", "hdc", access="rw")])
    assert "disks[2]: with the options that only the config has: xl makes a cdrom" in error


def test_a_config_that_is_replaced_as_a_whole_keeps_nothing_unsaid(people: Host) -> None:
    disks = [ROOT, {**DATA, "access": None}, DRIVE]
    state = people.done(disks=disks, options={}, overwrite=True)
    assert state["disks"][1] == "format=qcow2, vdev=xvdb, access=rw, target=/srv/data.qcow2"


@pytest.mark.parametrize("more", [{}, {"options": {}, "overwrite": True}])
@pytest.mark.parametrize("check_mode", [True, False])
def test_disks_are_not_lost_without_a_word(people: Host, more: State, check_mode: bool) -> None:
    error = people.refused(disks=[ROOT], check_mode=check_mode, **more)
    assert (
        "domain web would lose the disks that are not listed: xvdb (/srv/data.qcow2), "
        "hdc (an empty drive); list them, or name those to remove in removed_disks"
    ) in error
    assert "state: absent" in error and "unlisted_disks: keep" in error
    error = people.refused(disks=[], allow_slot_change=True, **more)
    assert "xvda (/dev/vg0/root), xvdb (/srv/data.qcow2), hdc (an empty drive)" in error


def test_all_that_is_wrong_with_the_disks_is_said_at_once(people: Host) -> None:
    error = people.refused(disks=[disk("/dev/vg0/other"), DRIVE])
    assert "slot xvda of domain web has /dev/vg0/root" in error
    assert "would lose the disks that are not listed: xvdb" in error


def test_unlisted_disks_go_or_stay_where_that_is_said(people: Host) -> None:
    assert people.planned(disks=[ROOT], unlisted_disks="keep").actions == []
    people.done(disks=[ROOT, disk("/dev/vg0/new", "xvdc")], unlisted_disks="keep")
    new = "# root\n  '/dev/vg0/new,,xvdc',\n"
    assert people.path.read_text() == PEOPLE.replace("# root\n", new)
    people.done(disks=[disk("/dev/vg0/first", "xvdd")], unlisted_disks="keep")
    assert people.path.read_text() == PEOPLE.replace("# root\n", new).replace(
        "',,hdc:cdrom',\n", "',,hdc:cdrom',\n  '/dev/vg0/first,,xvdd',\n"
    )
    assert people.done(disks=[ROOT], unlisted_disks="remove")["disks"] == [
        "phy:/dev/vg0/root,xvda,w"
    ]


@pytest.mark.parametrize(
    "removed",
    [
        [{"vdev": "51728", "target": None}, {"vdev": "hdc", "target": None}],
        [{"vdev": None, "target": "/srv/data.qcow2"}, {"vdev": "hdc", "target": "/srv/any"}],
        [{"vdev": "xvdb", "target": "/srv/data.qcow2"}, {"vdev": "5632", "target": None}],
    ],
)
@pytest.mark.parametrize("unlisted", [None, "refuse", "keep"])
def test_disks_that_are_given_up_go(people: Host, removed: Any, unlisted: str) -> None:
    options = {"disks": [ROOT], "removed_disks": removed, "unlisted_disks": unlisted}
    assert people.done(**options)["disks"] == ["phy:/dev/vg0/root,xvda,w"]


@pytest.mark.parametrize(
    "removed",
    [
        [{"vdev": "xvdc", "target": None}],
        [{"vdev": None, "target": "/srv/other.qcow2"}],
        [{"vdev": "xvdb", "target": "/srv/other.qcow2"}],
        [{"vdev": "xvdc", "target": "/srv/data.qcow2"}],
        [{"vdev": None, "target": "/srv/any.iso"}],
    ],
)
def test_a_disk_that_is_given_up_is_no_other(people: Host, removed: Any) -> None:
    error = people.refused(disks=[ROOT, DRIVE], removed_disks=removed)
    assert "would lose the disks that are not listed: xvdb (/srv/data.qcow2);" in error


@pytest.mark.parametrize(
    ("removed", "error"),
    [
        ({"vdev": None, "target": None}, "removed_disks[0]: nothing says which disk: set vdev"),
        ({"vdev": "sdzz", "target": None}, "removed_disks[0]: "),
    ],
)
def test_bad_removed_disks(people: Host, removed: Any, error: str) -> None:
    assert error in people.refused(disks=[ROOT], removed_disks=[removed])


def test_a_disk_that_moves_is_not_lost(people: Host) -> None:
    options = {"disks": [disk("/dev/vg0/root", "xvdd"), DATA, DRIVE], "allow_slot_change": True}
    assert people.done(**options)["disks"][0] == "/dev/vg0/root,,xvdd"
    assert "# 'phy:/dev/vg0/root,xvda,w', # root\n" in people.path.read_text()


def test_our_own_config_loses_disks_without_a_word(host: Host) -> None:
    hvm = {"type": "hvm"}
    host.done(options=hvm, disks=[ROOT, DRIVE])
    assert "hdc" in host.refused(options=hvm, disks=[ROOT], unlisted_disks="refuse")
    assert len(host.done(options=hvm, disks=[ROOT], unlisted_disks="keep")["disks"]) == 2
    assert len(host.done(options=hvm, disks=[ROOT])["disks"]) == 1


def test_a_string_is_read_and_made_a_list(host: Host) -> None:
    host.path.write_text("name = 'web'\ndisk = \"phy:/dev/vg0/root,xvda,w\" # root\n")
    plan = host.planned(disks=[ROOT])
    (sentence,) = sentences(plan)
    assert sentence.startswith(f"write disk in {host.path} as a list, since xl")
    assert plan.before["disks"] == ["phy:/dev/vg0/root,xvda,w"]
    assert "xvda (/dev/vg0/root)" in host.refused(disks=[DATA])
    assert host.planned().actions == []
    host.done(disks=[ROOT])
    assert host.path.read_text().endswith('disk = [ "phy:/dev/vg0/root,xvda,w" ] # root\n')


def test_two_disks_in_one_slot_cannot_be_told(host: Host) -> None:
    host.path.write_text("name='web'\ndisk=['/dev/b,,xvda', '/dev/vg0/root,,51712']\n")
    assert "there are two disks in slot 51712" in host.refused(disks=[ROOT])
    assert len(host.done(disks=[ROOT], allow_slot_change=True)["disks"]) == 1


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


# ---- several configs ----


def test_one_config_is_named_once(host: Host) -> None:
    host.done()
    (host.home / "link.cfg").symlink_to("web.cfg")
    for other in (host.path, host.home / "link.cfg", f"{host.home}/./web.cfg"):
        configs = host.configs()
        configs.plan(host.item())
        with pytest.raises(ConfigError, match="is the same config as"):
            configs.plan(host.item(path=str(other)))


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
    with open_configs(Pending(check_mode=True)):
        assert taken == []
    with open_configs(Pending()) as configs:
        assert taken == ["config"]
        configs.plan(host.item())


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
        f"create the link {link}, so that xendomains starts domain web",
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
    monkeypatch.setattr(domain_config, "sync_directories", synced.extend)
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


def test_links_go_before_the_config_changes(host: Host, auto: Path) -> None:
    host.done(autostart=True)
    plan = host.planned(autostart=False, options={"memory": 9})
    assert sentences(plan) == [
        f"remove the link {auto}/web.cfg, so that xendomains does not start domain web",
        f"write {host.path}",
    ]


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
        assert [item.path for item in items] == [str(old), str(new)]
        plans = [configs.plan(item) for item in items]
        assert sentences(plans[1])[1].startswith(f"create the link {auto}/web.cfg")


def test_what_is_in_the_way_is_said_with_the_config(host: Host, auto: Path) -> None:
    (auto / "web.cfg").touch()
    error = host.refused(autostart=True)
    assert error.startswith(f"{host.path}: cannot create the link {auto}/web.cfg: ")


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
        f"{host.home}/1.cfg refers to /dev/loop3 by number, which may be a different image after a "
        "reboot, and xendomains would start domain web with it; let udev run"
    )
    assert "or set autostart: false" in warnings[1][0]


def test_a_domain_that_starts_is_warned_of_once_and_whoever_said_so(host: Host, auto: Path) -> None:
    host.bind(host.image("a.raw"), 3)
    host.path.write_text("name='web'\ndisk=['/dev/loop3,raw,xvda', 'what,is,this']\n")
    assert host.planned().warnings == []
    (auto / "10-web").symlink_to(host.path)
    configs = host.configs()
    other = host.item(path=f"{host.home}/other.cfg", disks=[disk("/dev/loop3")])
    configs.expect([host.item(), other])
    (warning,) = configs.plan(host.item()).warnings
    assert "xendomains would start domain web with it" in warning
    assert configs.plan(other).warnings == []
    assert host.planned(autostart=False).warnings == []


# ---- targets ----


def test_a_link_of_udev_stays(host: Host) -> None:
    link = host.bind(host.image("a.raw"), 3, link=True)
    plan = host.planned(disks=[disk(link)])
    assert plan.after["disks"] == [f"format=raw, vdev=xvda, access=rw, target={link}"]
    assert plan.warnings == []


def test_an_image_that_is_left_to_the_script_is_named_itself(host: Host) -> None:
    image = host.image("a.raw")
    link = host.bind(image, 3, link=True)
    script = "/etc/xen/scripts/block"
    vbd = Vbd(1, "web", 51712, "xvda", image, "rw", script=script, physical_device=(7, 3))
    host.vbds = [vbd]
    state = host.done(disks=[disk(link)])
    assert state["disks"] == [f"format=raw, vdev=xvda, access=rw, target={image}"]
    host.vbds = [replace(vbd, target=link)]
    assert host.planned(disks=[disk(link)]).after["disks"] == [
        f"format=raw, vdev=xvda, access=rw, target={link}"
    ]


def test_the_link_of_another_path_of_the_image_follows_it_as_well(host: Host) -> None:
    image = host.image("a.raw")
    os.link(image, host.home / "hard.raw")
    link = host.bind(image, 3, link=True)
    plan = host.planned(disks=[disk(loop_link.link_of(f"{host.home}/hard.raw"))])
    assert plan.after["disks"] == [f"format=raw, vdev=xvda, access=rw, target={link}"]
    assert plan.warnings == []


def test_without_udev_numbers_are_named_and_one_warning_says_so(host: Host) -> None:
    links = [host.bind(host.image(f"{number}.raw"), number) for number in range(5)]
    disks = [disk(link, f"xvd{'abcde'[number]}") for number, link in enumerate(links)]
    configs = host.configs()
    first = configs.plan(host.item(disks=disks))
    second = configs.plan(host.item(path=str(host.home / "db.cfg"), disks=disks[:1]))
    assert first.after["disks"][1] == "format=raw, vdev=xvdb, access=rw, target=/dev/loop1"
    (warning,) = first.warnings
    assert "/dev/loop0, /dev/loop1, /dev/loop2 and 2 more" in warning
    assert second.warnings == []
    assert host.scans == 1


def test_a_number_that_is_given_is_warned_of_as_well(host: Host) -> None:
    host.bind(host.image("a.raw"), 3)
    (warning,) = host.planned(disks=[disk("/dev/loop3")]).warnings
    assert (
        "refers to /dev/loop3 by number, which may be a different image after a reboot" in warning
    )


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
    assert plan.after["disks"] == [
        f"format=raw, vdev=xvda, access=rw, target={link}",
        "format=raw, vdev=xvdb, access=rw, target=/dev/loop4",
    ]
    host.node(link, 4)
    lexists = os.path.lexists
    monkeypatch.setattr(os.path, "lexists", lambda path: path == link or lexists(path))
    plan = host.planned(disks=[disk(link)])
    assert plan.after["disks"] == ["format=raw, vdev=xvda, access=rw, target=/dev/loop3"]


def test_no_disk_on_a_loop_device_no_scan(host: Host) -> None:
    host.done(disks=[disk("/dev/vg0/a")])
    host.planned(disks=[disk("/dev/vg0/a")])
    assert host.scans == 0


@pytest.mark.parametrize("exists", [True, False])
def test_an_image_that_is_not_bound(host: Host, exists: bool) -> None:
    image = host.image("a.raw") if exists else str(host.home / "a.raw")
    link = loop_link.link_of(image)
    assert host.refused(disks=[disk(link)]).startswith(f"{host.path}: disks[0]: {image}")
    pending = {"devices": [{"path": image}]}
    created = {"disks": [{"path": image}]}
    assert "a.raw" in host.refused(disks=[disk(link)], pending=pending)
    assert "a.raw" in host.refused(disks=[disk(link)], check_mode=True)
    assert "a.raw" in host.refused(disks=[disk(link)], check_mode=True, pending=created)
    plan = host.planned(check_mode=True, disks=[disk(link)], pending=pending)
    assert plan.after["disks"] == [f"format=raw, vdev=xvda, access=rw, target={link}"]
    assert plan.warnings == []


def test_in_check_mode_a_bound_image_is_found_all_the_same(host: Host) -> None:
    link = host.bind(host.image("a.raw"), 3)
    pending = {"devices": [{"path": loop_link.linked_image(link)}]}
    plan = host.planned(check_mode=True, disks=[disk(link)], pending=pending)
    assert plan.after["disks"] == ["format=raw, vdev=xvda, access=rw, target=/dev/loop3"]


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
        ({"Kernel": "x"}, "not the name of an xl option"),
    ],
)
def test_bad_options(host: Host, options: Any, error: str) -> None:
    message = host.refused(options=options)
    assert message.startswith(f"{host.path}: ") and error in message


ANYTHING = st.none() | st.text() | st.integers() | st.lists(st.text(), max_size=2)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
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


# ---- the type of the guest ----

READ_ONLY = disk("/dev/vg0/base", "xvdb", access="ro")
HVM = {"type": "hvm"}
REFUSED = "disk xvdb: QEMU emulates xvdb of an HVM guest as an IDE disk, which cannot be read-only"


def test_a_config_of_ours_is_judged_by_its_options(host: Host) -> None:
    for options in (HVM, {"builder": "hvm"}, {**HVM, "hdtype": "ide"}):
        assert REFUSED in host.refused(options=options, disks=[ROOT, READ_ONLY])
    ahci = {**HVM, "hdtype": "ahci"}
    assert "as an AHCI disk" in host.refused(options=ahci, disks=[ROOT, READ_ONLY])
    for options in ({"type": "pvh"}, {"type": "pv"}, {}):
        assert host.planned(options=options, disks=[ROOT, READ_ONLY]).actions
        error = host.refused(options=options, disks=[ROOT, DRIVE])
        assert "guest has no CD drives, so devtype: cdrom does not apply" in error
    assert host.planned(options=HVM, disks=[disk("/dev/vg0/root"), DRIVE]).warnings == []


def test_a_config_of_another_is_judged_by_its_text(host: Host) -> None:
    for line in ("type = 'hvm'", "builder = 'hvm'", "type = \"pv\"\ntype = 'hvm'"):
        host.path.write_text(f"name = 'web'\n{line}\ndisk = ['phy:/dev/vg0/root,xvda,w']\n")
        assert REFUSED in host.refused(disks=[ROOT, READ_ONLY])
        assert host.planned(disks=[ROOT, DRIVE]).actions
    host.path.write_text("name = 'web'\ntype = 'pv'\ndisk = ['phy:/dev/vg0/root,xvda,w']\n")
    assert host.planned(disks=[ROOT, READ_ONLY]).actions
    assert "a PV guest has no CD drives" in host.refused(disks=[ROOT, DRIVE])


def test_what_a_config_has_already_is_not_judged(host: Host) -> None:
    """A PV guest can have a disk that says it is a CD; it starts."""
    old = "name='web'\ntype='pv'\ndisk=['/srv/a.iso,,xvdc,cdrom', '/dev/vg0/root,,xvda']\n"
    host.path.write_text(old)
    iso = disk("/srv/a.iso", "xvdc", devtype="cdrom")
    assert host.planned(disks=[ROOT, iso]).actions == []
    host.done(disks=[ROOT, DATA], unlisted_disks="keep")
    assert "/srv/a.iso,,xvdc,cdrom" in host.path.read_text()
    other = disk("/srv/b.iso", "xvdc", devtype="cdrom")
    assert "disk xvdc: a PV guest has no CD drives" in host.refused(disks=[ROOT, DATA, other])
    host.path.write_text(old.replace("'pv'", "'nonsense'"))
    assert host.planned(disks=[ROOT, iso, DATA]).actions


def test_a_guest_of_another_type_is_another_guest(host: Host) -> None:
    host.done(options={"type": "pvh"}, disks=[ROOT, READ_ONLY])
    assert REFUSED in host.refused(options=HVM, disks=[ROOT, READ_ONLY])
    host.done(options={"type": "pvh", "memory": 9}, disks=[ROOT, READ_ONLY])


def test_a_new_disk_is_judged_with_those_that_are_there(host: Host) -> None:
    host.path.write_text("name='web'\ntype='hvm'\ndisk=['/dev/vg0/root,,xvda,w']\n")
    again = disk("/dev/vg0/again", "hda")
    error = host.refused(disks=[again], unlisted_disks="keep")
    assert "is the same drive as" in error and "xvda" in error and "hda" in error


def test_a_slot_is_judged_as_it_is_written_in_the_config(host: Host) -> None:
    """libxl makes no drive of a slot that is a number; the config keeps how a slot is written."""
    host.path.write_text("name='web'\ntype='hvm'\ndisk=['/dev/vg0/root,,xvda,w']\n")
    numbered = disk("/dev/vg0/root", "51712", access="ro")
    assert "disk xvda: QEMU emulates xvda" in host.refused(disks=[numbered])
    host.path.write_text("name='web'\ntype='hvm'\ndisk=['/dev/vg0/root,,51712,w']\n")
    host.done(disks=[disk("/dev/vg0/root", "xvda", access="ro")])
    host.done(options=HVM, overwrite=True, disks=[disk("/dev/vg0/root", "51712", access="ro")])
    named = disk("/dev/vg0/root", "xvda", access="ro")
    assert "disk xvda: QEMU emulates" in host.refused(options=HVM, disks=[named])


def test_what_a_guest_will_not_see_is_said(host: Host) -> None:
    late = disk("/srv/a.iso", "xvdf", devtype="cdrom")
    options: State = {"options": HVM, "disks": [disk("/dev/vg0/root"), late]}
    (warning,) = host.planned(**options).warnings
    assert warning.startswith("domain web, disk xvdf: an HVM guest cannot boot from this CD")
    host.done(**options)
    assert host.planned(**options).warnings == []


def test_a_type_that_xl_does_not_know(host: Host) -> None:
    assert "type 'HVM' is none that xl knows" in host.refused(options={"type": "HVM"})
    host.path.write_text("name='web'\ntype='HVM'\ndisk=['/dev/vg0/root,,xvda,w']\n")
    assert host.planned(disks=[ROOT, READ_ONLY, DRIVE]).actions


# ---- passwords ----


def test_the_plan_shows_no_password(host: Host) -> None:
    host.done(options={"vncpasswd": "old"})
    plan = host.planned(options={"vncpasswd": "s3cret", "vfb": ["type=vnc,vncpasswd=s3cret"]})
    assert plan.texts
    assert "s3cret" not in "".join(plan.texts)
    assert "(changed)" in plan.texts[1]


def test_a_config_that_the_domain_had_elsewhere_is_said_once(host: Host) -> None:
    host.done(disks=[])
    moved = {"path": str(host.home / "moved.cfg"), "disks": []}
    assert host.planned(**moved).warnings == [
        f"domain web has another config that this collection wrote, {host.path}; delete it if "
        f"{host.home}/moved.cfg replaces it"
    ]
    host.done(**moved)
    assert host.planned(**moved, options={"memory": 9}).warnings == []
    for text in ("name = 'web'\n", config_text.render("db", {}, []), ""):
        host.path.write_text(text)
        assert host.planned(**{**moved, "path": str(host.home / "new.cfg")}).warnings == []
