# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of a module to its result: how items are read, planned, run and reported."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Sequence

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import (
    Action,
    Figures,
    Learned,
    Plan,
    Resource,
    State,
)
from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import (
    Interface,
    ItemError,
    Outcome,
    converge,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

INTERFACE = Interface(
    items="things",
    identity=("name",),
    options={
        "name": {"type": "str"},
        "parts": {
            "type": "list",
            "elements": "raw",
            "options": {
                "vdev": {"type": "str", "required": True},
                "discard": {"type": "bool"},
                "access": {"type": "str", "choices": ["ro", "rw"]},
            },
        },
        "words": {"type": "list", "elements": "raw"},
    },
    read=dict,
)


def item(**options: Any) -> Dict[str, Any]:
    return {"name": "web", "parts": None, "words": [{"x": 1}], **options}


def test_that_dictionaries_are_checked_and_the_rest_is_left_alone() -> None:
    checked = INTERFACE.checked(item(parts=["a,b", 5, {"vdev": 51712, "discard": "no"}]))
    disk = {"vdev": "51712", "discard": False, "access": None}
    assert checked == item(parts=["a,b", 5, disk])
    assert INTERFACE.checked(item()) == item()


def test_that_everything_that_is_wrong_is_told() -> None:
    parts = [{"access": "w!"}, "x", {"vdev": "a", "colour": 1}, {"vdev": "a", "discard": "maybe"}]
    with pytest.raises(ItemError) as error:
        INTERFACE.checked(item(parts=parts))
    message = str(error.value)
    for problem in (
        "parts[0]: missing required arguments: vdev; ",
        "parts[0]: value of access must be one of: ro, rw, got: w!",
        "parts[2]: Unsupported parameters: colour. Supported parameters include: access, discard",
        "parts[3]: argument 'discard' is of type str",
    ):
        assert problem in message
    assert "parts[1]" not in message


# ---- from a list of items to results ----


@dataclass(frozen=True)
class Thing:
    """What the user wants of a thing."""

    name: str
    size: int

    @classmethod
    def read(cls, options: State) -> Thing:
        if not options["size"].isdigit():
            raise BlockdevError(f"size {options['size']} is not a number")
        return cls(options["name"], int(options["size"]))


class Things(Resource[Thing]):
    """Things that exist once they are made, with a size that only making them tells."""

    def __init__(self, made: Dict[str, int]) -> None:
        self.made = made
        self.expected: List[str] = []

    def expect(self, items: Sequence[Thing]) -> None:
        self.expected = [item.name for item in items]

    def rank(self, item: Thing) -> int:
        return -item.size

    def problem(self) -> Optional[str]:
        return "too many" if len(self.expected) > 3 else None

    def figures(self) -> Figures:
        return {"boxes": [{"name": "b", "things": len(self.made)}]}

    def plan(self, item: Thing) -> Plan:
        if item.size > 100:
            raise BlockdevError(f"{item.name} is too large")
        made = item.name in self.made
        return Plan(
            {"made": made},
            {"made": True},
            lambda: {"made": item.name in self.made},
            [] if made else [Action(f"make {item.name}", lambda: self._make(item))],
            [] if made else [f"{item.name} is new"],
        )

    def _make(self, item: Thing) -> Learned:
        if item.size == 13:
            raise BlockdevError(f"cannot make {item.name}: bad luck")
        self.made[item.name] = item.size
        return Learned({"order": len(self.made)}, ["this took long"])


THINGS = Interface(
    items="things",
    identity=("name",),
    options={"name": {"type": "str"}, "size": {"type": "str", "default": "1"}},
    read=Thing.read,
)


def converged(
    things: Things, capsys: pytest.CaptureFixture[str], *wanted: Dict[str, Any], check: bool = False
) -> Dict[str, Any]:
    """The result of the module whose items are ``wanted``."""

    @contextmanager
    def opened(_pending: Pending) -> Iterator[Things]:
        yield things

    params = {"things": list(wanted), "_ansible_check_mode": check}
    with patch_module_args(params), pytest.raises(SystemExit):
        converge(THINGS, opened)
    result: Dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_what_an_action_learned_is_in_the_result(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: List[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _self, warning: shown.append(warning))
    things = Things({})
    result = converged(things, capsys, {"name": "a"}, {"name": "b", "size": "2"})
    made = [(one["name"], one["made"], one["order"], one["actions"]) for one in result["things"]]
    assert made == [("a", True, 2, ["make a"]), ("b", True, 1, ["make b"])]
    assert shown == [
        *("a is new", "b is new"),
        *("make a: this took long", "make b: this took long"),
    ]
    again = converged(things, capsys, {"name": "a"}, {"name": "b", "size": "2"})
    assert not again["changed"]
    assert "order" not in again["things"][0]


def test_check_mode_announces_and_learns_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    things = Things({"a": 1})
    result = converged(things, capsys, {"name": "a"}, {"name": "b"}, check=True)
    assert things.made == {"a": 1}
    assert [one["changed"] for one in result["things"]] == [False, True]
    assert [one["name"] for one in result["pending"]["things"]] == ["b"]
    assert "order" not in result["things"][1]


def test_an_item_that_cannot_be_read_is_reported_with_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    things = Things({})
    sizes = ("x", "1", "101")
    wanted = [{"name": name, "size": size} for name, size in zip("abc", sizes)]
    result = converged(things, capsys, *wanted)
    assert result["msg"] == (
        "2 of 3 things failed, none was touched:\n"
        "things[0]: size x is not a number\n"
        "things[2]: c is too large"
    )
    assert (things.made, sorted(things.expected)) == ({}, ["b", "c"])


def test_an_error_stays_with_its_item(capsys: pytest.CaptureFixture[str]) -> None:
    things = Things({})
    result = converged(things, capsys, {"name": "a", "size": "13"}, {"name": "b"})
    assert things.made == {"b": 1}
    assert result["msg"].endswith("things[0]: cannot make a: bad luck")
    assert [one["changed"] for one in result["things"]] == [False, True]
    assert result["things"][0]["msg"] == "cannot make a: bad luck"


def test_plans_that_are_impossible_together(capsys: pytest.CaptureFixture[str]) -> None:
    things = Things({})
    result = converged(things, capsys, *({"name": name} for name in "abcd"))
    assert (result["msg"], result["changed"], things.made) == ("too many", False, {})
    assert [one["name"] for one in result["things"]] == [*"abcd"]
    one_bad = [*({"name": name} for name in "abcd"), {"name": "e", "size": "101"}]
    assert converged(things, capsys, *one_bad)["msg"].endswith("things[4]: e is too large")


def test_figures_are_those_of_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert converged(Things({}), capsys, {"name": "a"})["boxes"] == [{"name": "b", "things": 1}]
    assert converged(Things({}), capsys, {"name": "a"}, check=True)["boxes"][0]["things"] == 0


def test_the_last_figures_of_a_thing_count() -> None:
    first = Outcome({}, figures={"boxes": [{"name": "a", "n": 1}, {"name": "b", "n": 1}]})
    second = Outcome({}, figures={"boxes": [{"name": "b", "n": 2}], "bags": []})
    assert (first + second).figures == {
        "boxes": [{"name": "a", "n": 1}, {"name": "b", "n": 2}],
        "bags": [],
    }
