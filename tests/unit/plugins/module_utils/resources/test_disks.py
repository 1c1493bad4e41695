# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which steps are planned and done, in which order, and what each passes on to those after it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, NamedTuple, Optional, Set

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import State
from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import Interface, Outcome
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.resources import disks
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks import HostDisks

WEB: Dict[str, Any] = {
    "name": "web",
    "config": {"memory": 32},
    "disks": [
        {"name": "boot", "size": "1MiB"},
        {"name": "plain", "size": "1MiB", "loop": False},
        {"name": "old", "size": "1MiB", "state": "absent"},
    ],
}
DB: Dict[str, Any] = {
    "name": "db",
    "disks": [
        {"name": "data", "volume_group": "vg0", "size": "1GiB"},
        {"name": "log", "volume_group": "vg0", "state": "absent"},
    ],
}
OLD = "/srv/xen/web/old.raw"
DISKS = ["/srv/xen/web/boot.raw", "/srv/xen/web/plain.raw"]


class Call(NamedTuple):
    """What a module was asked to do."""

    items: str
    """The name of its list."""
    names: List[str]
    """The path or target of each item."""
    check: bool


class Host:
    """In place of the modules: every item changes, or none does."""

    def __init__(self, changes: bool = True, fails: Optional[str] = None, late: bool = False):
        self.changes = changes
        self.fails = fails
        """The list with which a step fails: when it is planned or, if ``late``, when it is done."""
        self.late = late
        self.calls: List[Call] = []
        self.params: List[State] = []
        self.released: List[str] = []

    def run(self, interface: Interface[Any], _opener: Any, params: State, check: bool) -> Outcome:
        name = interface.items
        items = params[name]
        names = [
            str(item.get("path") or item.get("target") or item.get("volume")) for item in items
        ]
        self.calls.append(Call(name, names, check))
        self.params.append(params)
        if name == self.fails and check != self.late:
            return Outcome({name: [{"changed": False}]}, error=f"no {name}", warnings=["w"])
        entries = [{**item, "changed": self.changes} for item in items]
        if name == "configs":
            entries[0]["released"] = self.released
        pending = {name: [{"path": one} for one in names] if self.changes else []}
        actions = [f"{name}: {one}" for one in names if self.changes]
        return Outcome({name: entries}, pending if check else {}, actions, warnings=[name])


def wanted(domains: object = None, **options: Any) -> HostDisks:
    given = {"domains": [WEB] if domains is None else domains, **options}
    validated = ArgumentSpecValidator(disks.OPTIONS).validate(given)
    assert not validated.error_messages
    return HostDisks.read(validated.validated_parameters)


def provide(host: Host, check: bool = False, **options: Any) -> Outcome:
    return disks.provide(wanted(**options), host.run, check)


def test_everything_is_planned_and_then_done_in_one_order() -> None:
    host = Host()
    outcome = provide(host, remove_images=True)
    lists = ["vbds", "disks", "devices", "configs", "vbds", "devices", "disks"]
    assert [(call.items, call.check) for call in host.calls] == [
        *((name, True) for name in lists),
        *((name, False) for name in lists),
    ]
    done = [call.names for call in host.calls if not call.check]
    link = "/dev/disk/by-loop-file"
    assert done == [
        [link + OLD],
        DISKS,
        [DISKS[0]],
        ["/etc/xen/web.cfg"],
        [link + DISKS[0], DISKS[1]],
        [*DISKS, OLD],
        [OLD],
    ]
    # While it is planned, the present disk is not bound yet.
    planned = [call.names for call in host.calls if call.check]
    assert planned == [*done[:5], [DISKS[1], OLD], done[6]]
    assert outcome.pending == {}
    assert outcome.actions[0].startswith("vbds: ")
    assert outcome.actions[-1] == f"disks: {OLD}"
    assert set(outcome.entries) == {"vbds", "disks", "volumes", "devices", "configs"}
    assert len(outcome.entries["vbds"]) == 3


def test_in_check_mode_it_is_planned_only_and_announced() -> None:
    host = Host()
    outcome = provide(host, check=True)
    assert {call.check for call in host.calls} == {True}
    assert [one["path"] for one in outcome.pending["disks"]] == DISKS
    assert outcome.changed


def test_if_nothing_changes_the_plan_is_the_result() -> None:
    host = Host(changes=False)
    outcome = provide(host)
    assert {call.check for call in host.calls} == {True}
    assert (outcome.changed, outcome.pending, outcome.actions) == (False, {}, [])
    assert len(outcome.entries["disks"]) == 2


@pytest.mark.parametrize("fails", ["disks", "devices", "configs", "vbds"])
def test_nothing_is_touched_if_one_step_is_impossible(fails: str) -> None:
    for check in (False, True):
        host = Host(fails=fails)
        outcome = provide(host, check)
        assert {call.check for call in host.calls} == {True}
        assert host.calls[-1].items == fails
        assert (outcome.error, outcome.changed, outcome.actions) == (f"no {fails}", False, [])
        lists = {name: [] for name in ("disks", "volumes", "devices", "configs", "vbds")}
        assert outcome.entries == {**lists, fails: [{"changed": False}]}


def test_after_a_failure_it_says_what_was_not_done() -> None:
    host = Host(fails="configs", late=True)
    outcome = provide(host)
    assert outcome.error == (
        "no configs\nnot done after that: attach disks; unbind loop devices that no disk needs any "
        "more"
    )
    assert outcome.changed
    assert f"disks: {DISKS[0]}" in outcome.actions
    assert host.calls[-1].items == "configs"


def test_after_the_last_step_nothing_is_left() -> None:
    outcome = provide(Host(fails="disks", late=True), steps=["create"])
    assert outcome.error == "no disks"


def test_what_no_config_needs_any_more_is_unbound_after_the_configs_are_written() -> None:
    host = Host()
    host.released = ["/srv/b.raw", "/srv/a.raw", DISKS[0]]
    provide(host)
    bound, unbound = (params["devices"] for params in host.params[-5:] if params.get("devices"))
    assert [(one["path"], one["state"]) for one in bound] == [(DISKS[0], "present")]
    kept, *lost = unbound
    assert (kept["path"], kept["state"]) == (DISKS[0], "present")
    assert [(one["path"], one["ours_only"], one["in_use"]) for one in lost] == [
        (DISKS[1], True, "leave"),
        (OLD, None, None),
        ("/srv/a.raw", True, "leave"),
        ("/srv/b.raw", True, "leave"),
    ]
    assert {one["state"] for one in lost} == {"absent"}


@pytest.mark.parametrize(
    ("steps", "devices"),
    [
        (["bind"], [[*DISKS, OLD]]),
        (["bind", "configure"], [[*DISKS, OLD]]),
        (["bind", "unbind"], [[DISKS[0], OLD]]),
        (["configure", "unbind"], [[DISKS[0], "/srv/x.raw"]]),
        (["unbind"], []),
    ],
)
def test_what_is_unbound_without_some_of_the_steps(
    steps: List[str], devices: List[List[str]]
) -> None:
    host = Host()
    host.released = ["/srv/x.raw"]
    provide(host, check=True, steps=steps)
    assert [call.names for call in host.calls if call.items == "devices"] == devices


def test_only_what_is_absent() -> None:
    host = Host()
    provide(host, check=True, absent_only=True, remove_images=True)
    # The present domain's config, which may still refer to the absent disk, is of the plan.
    assert host.params[1]["named_in"]["but_for"] == ["/etc/xen/web.cfg"]
    assert [call.names for call in host.calls] == [
        ["/dev/disk/by-loop-file" + OLD],
        [OLD],
        [OLD],
    ]


def test_images_are_deleted_only_when_told_to() -> None:
    for remove in (False, True):
        host = Host()
        provide(host, steps=["delete"], remove_images=remove)
        assert [call.names for call in host.calls] == ([[OLD]] * 2 if remove else [])


@pytest.mark.parametrize(
    ("step", "name"),
    [
        ("detach", "vbds"),
        ("create", "disks"),
        ("create_volumes", "volumes"),
        ("bind", "devices"),
        ("configure", "configs"),
        ("attach", "vbds"),
        ("delete", "disks"),
        ("delete_volumes", "volumes"),
    ],
)
def test_a_step_can_be_done_alone(step: str, name: str) -> None:
    host = Host()
    provide(host, check=True, domains=[WEB, DB], steps=[step], remove_images=True)
    assert [call.items for call in host.calls] == [name]


def test_volumes_come_before_the_configs_and_go_last() -> None:
    host = Host()
    outcome = provide(host, domains=[DB], remove_images=True)
    done = [(call.items, call.names) for call in host.calls if not call.check]
    assert done == [
        ("vbds", ["/dev/vg0/db-log"]),
        ("volumes", ["db-data"]),
        ("configs", ["/etc/xen/db.cfg"]),
        ("vbds", ["/dev/vg0/db-data"]),
        ("volumes", ["db-log"]),
    ]
    assert [volume["volume"] for volume in outcome.entries["volumes"]] == ["db-data", "db-log"]
    made, removed = (params for params in host.params[-5:] if params.get("volumes"))
    slot = {"domain": "db", "vdev": "xvda", "config": "/etc/xen/db.cfg"}
    assert made["volumes"][0]["slots"] == [slot]
    assert removed["named_in"]["but_for"] == ["/etc/xen/db.cfg"]


def test_volumes_are_removed_only_when_told_to() -> None:
    host = Host()
    provide(host, domains=[DB], state="absent", check=True)
    assert "volumes" not in [call.items for call in host.calls]


def test_absent_domains_lose_everything() -> None:
    host = Host()
    provide(host, check=True, state="absent", remove_images=True)
    assert [call.items for call in host.calls] == ["vbds", "configs", "devices", "disks"]
    states: Set[str] = {
        item["state"] for params in host.params for item in params.get("disks") or ()
    }
    assert states == {"absent"}


def test_each_step_plans_with_what_was_announced_before_it() -> None:
    host = Host()
    announced = {"domains": [{"name": "web"}], "disks": None}
    provide(host, check=True, pending=announced)
    assert [len(params["pending"].get("disks") or ()) for params in host.params][:4] == [0, 0, 2, 2]
    assert all(params["pending"]["domains"] == [{"name": "web"}] for params in host.params)


def test_announcements_count_in_check_mode_only() -> None:
    host = Host()
    provide(host, pending={"disks": [{"path": "/srv/x.raw"}]})
    assert not host.params[0]["pending"]["disks"]
    with pytest.raises(BlockdevError, match=r"pending.disks\[0\] has no path"):
        wanted(pending={"disks": [{}]})


def test_options_go_to_the_steps_that_have_them() -> None:
    host = Host()
    options: Dict[str, Any] = {
        "autostart_dir": "/auto",
        "allow_slot_change": True,
        "max_overcommit": 1.5,
        "persistent": False,
        "udev_rule": False,
        "timeout": 7.5,
        "replace": True,
        "force": True,
        "config_dir": "/configs",
    }
    provide(host, check=True, **options)
    detach, create, bind, configure, attach = host.params[:5]
    assert (detach["timeout"], detach["force"], detach["when_not_running"]) == (7.5, True, "skip")
    assert (attach["timeout"], attach["force"], attach["replace"]) == (7.5, True, True)
    assert (attach["unlisted"], detach["replace"]) == ("warn", False)
    assert (create["allow_slot_change"], create["autostart_dir"]) == (True, "/auto")
    assert create["max_overcommit"] == 1.5
    assert (bind["persistent"], bind["udev_rule"]) == (False, False)
    assert bind["named_in"] == {
        "directories": ["/configs", "/auto"],
        "but_for": ["/configs/web.cfg"],
    }
    assert configure["allow_slot_change"]
    assert configure["known_images"] == [*DISKS, OLD]


def test_all_problems_of_the_domains_are_one_error() -> None:
    with pytest.raises(BlockdevError) as error:
        wanted([{"name": "web", "disks": [{"name": "a", "size": "1MB"}, {"name": "a"}]}])
    assert [line.split(":")[0] for line in str(error.value).splitlines()] == [
        "domains[0] (web), disks[0] (a)",
        "domains[0] (web), disks[1] (a)",
    ]


def test_what_the_plan_warns_of_comes_first() -> None:
    disk = {"name": "boot", "size": 1536}
    outcome = provide(Host(), check=True, domains=[{"name": "web", "disks": [disk]}])
    assert "is not a multiple of" in outcome.warnings[0]
    assert outcome.warnings[1:] == ["disks", "devices", "configs", "vbds"]


def test_an_item_that_a_module_would_not_take_is_an_error() -> None:
    host = Host()
    empty = wanted([{"name": "web", "disks": []}])
    bad = {"path": "/srv/a.raw", "state": "present", "colour": "red"}
    outcome = disks.provide(
        replace(empty, items={**empty.items, "raw_disks": [bad]}), host.run, False
    )
    assert "colour" in str(outcome.error)
    assert host.calls == []


def test_a_limit_that_is_none_is_one_error() -> None:
    with pytest.raises(BlockdevError, match=r"^max_overcommit 0.5 is less than 1"):
        wanted(max_overcommit=0.5)
