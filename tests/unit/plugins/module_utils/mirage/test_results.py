# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of unikernel tests."""

from __future__ import annotations

from typing import Any, Dict, List
from xml.etree import ElementTree

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.mirage import results as mirage_results
from hypothesis import given
from hypothesis import strategies as st

DIRECTORY = "/var/tmp/mirage-x1"
TESTS: List[Dict[str, Any]] = [
    {"name": name, "domain": {"name": f"{name}-x1", "disks": []}} for name in ("one", "two")
]
STARTED = {"domains": [{"name": "one-x1"}, {"name": "two-x1", "msg": "cannot start domain two-x1"}]}
GOOD = {"verdict": "expected", "passed": True, "reason": "fine", "seconds": 0.5, "tail": ["ok"]}
BAD = {"verdict": "crashed", "passed": False, "reason": "bad", "seconds": 1.5, "tail": ["<oops>"]}
FOLLOWED = {"domains": [{"name": "one-x1", "domid": 3, "changed": True, "actions": [], **GOOD}]}
NOTHING = {"passed": False, "seconds": 0.0, "tail": []}


def tried(*tries: Dict[str, Any]) -> Dict[str, Any]:
    """The result of a test with these tries."""
    return {**tries[-1], "tries": list(tries)}


def test_each_has_its_result() -> None:
    two = {**NOTHING, "name": "two", "verdict": "error", "reason": "cannot start domain two-x1"}
    assert mirage_results.results(TESTS, STARTED, FOLLOWED, {}) == [
        tried({"name": "one", **GOOD}),
        tried(two),
    ]


def test_a_test_that_ran_out_of_time_is_tried_again() -> None:
    late = {"verdict": "timeout", "passed": False, "reason": "late", "seconds": 60, "tail": ["x"]}
    slow, once, bad = (
        {"name": name, "retries": retries, "domain": {"name": f"{name}-x1", "disks": []}}
        for name, retries in {"slow": 1, "once": 0, "bad": 1}.items()
    )
    tests = [slow, once, bad]
    started = {"domains": [{"name": test["domain"]["name"]} for test in tests]}
    ends = {"slow-x1": late, "once-x1": late, "bad-x1": BAD}
    followed = {"domains": [{"name": name, **end} for name, end in ends.items()]}
    found = mirage_results.results(tests, started, followed, {})
    assert mirage_results.again(tests, found) == [slow]
    for end in (late, GOOD):
        followed = {"domains": [{"name": "slow-x1", **end}]}
        more = mirage_results.results([slow], started, followed, {}, found)
        assert more == [
            tried({"name": "slow", **late}, {"name": "slow", **end}),
            *found[1:],
        ]
        assert mirage_results.again(tests, more) == []
    assert mirage_results.summary(more[:1]) == [
        "ok: slow: fine (0.5 s)",
        "    try 1 of 2: late (60 s)",
        "    try 2 of 2: fine (0.5 s)",
    ]
    suite = ElementTree.fromstring(mirage_results.junit(more[:1], "lab"))[0]
    assert suite.attrib == {"name": "lab", "tests": "1", "failures": "0", "time": "60.5"}
    assert suite[0].findtext("system-out") == (
        "try 1 of 2: late (60 s)\ntry 2 of 2: fine (0.5 s)\nok"
    )


def test_a_report_may_omit_seconds_and_tail() -> None:
    found = {"verdict": "ended", "passed": True, "reason": "fine"}
    followed = {"domains": [{"name": "one-x1", **found}]}
    assert mirage_results.results(TESTS[:1], STARTED, followed, {}) == [
        tried({**NOTHING, "name": "one", **found})
    ]


@pytest.mark.parametrize(
    ("started", "followed", "failed", "verdict", "reason"),
    [
        ({}, {}, {"msg": "no space"}, "error", "no space"),
        ({}, {}, {"rc": 1}, "error", "a task failed"),
        (
            {},
            {},
            {"msg": "1 of 2 failed", "disks": [{"path": "/a/one-x1/b.raw", "msg": "full"}]},
            "error",
            "full",
        ),
        ({"msg": "not a Xen host"}, {}, {}, "error", "not a Xen host"),
        ({"unreachable": True, "msg": "timed out"}, {}, {}, "lost", "the connection to the host "),
        (STARTED, {"unreachable": True, "msg": "gone"}, {}, "lost", "the connection to the host "),
        (STARTED, {"msg": "killed", "domains": []}, {}, "error", "killed"),
        (STARTED, {}, {}, "error", "no result was reported for it"),
        (STARTED, {"domains": [{"name": "one-x1", "msg": "taken"}]}, {}, "error", "taken"),
    ],
)
def test_what_went_wrong_has_a_verdict(
    started: Dict[str, Any],
    followed: Dict[str, Any],
    failed: Dict[str, Any],
    verdict: str,
    reason: str,
) -> None:
    (result,) = mirage_results.results(TESTS[:1], started, followed, failed)
    assert (result["passed"], result["verdict"]) == (False, verdict)
    assert result["reason"].startswith(reason)


@pytest.mark.parametrize(
    ("failed", "names"),
    [
        ({"disks": [{"path": f"{DIRECTORY}/two-x1/a.raw", "msg": "full"}]}, ["two"]),
        ({"disks": [{"path": "/srv/shared.raw", "msg": "in use"}]}, ["one", "two"]),
        ({"configs": [{"domain": "one-x1", "path": "x", "msg": "bad"}]}, ["one"]),
        (
            {"devices": [{"path": f"{DIRECTORY}/{name}-x1/a.raw"} for name in ("one", "two")]},
            ["one", "two"],
        ),
        ({"msg": "killed"}, ["one", "two"]),
        ({"disks": None}, ["one", "two"]),
    ],
)
def test_blamed_tests(failed: Dict[str, Any], names: List[str]) -> None:
    assert mirage_results.blamed(TESTS, failed) == names


def test_summary() -> None:
    results = [{"name": "one", **GOOD}, {"name": "two", **BAD}]
    assert mirage_results.summary(results) == [
        "ok: one: fine (0.5 s)",
        "failed: two: bad (1.5 s)",
        "    | <oops>",
    ]


def test_junit() -> None:
    found = [{"name": "one", **GOOD}, {"name": "two", **BAD}, {"name": "three", **BAD}]
    suite = ElementTree.fromstring(mirage_results.junit(found, "lab"))[0]
    assert suite.attrib == {"name": "lab", "tests": "3", "failures": "2", "time": "3.5"}
    one, two, _three = suite
    assert one.attrib == {"classname": "lab", "name": "one", "time": "0.5"}
    assert one.find("failure") is None
    assert one.findtext("system-out") == "ok"
    failure = two.find("failure")
    assert failure is not None
    assert failure.attrib == {"type": "crashed", "message": "bad"}
    assert failure.text == "<oops>"


@given(st.text(), st.text())
def test_junit_of_whatever_a_guest_prints(line: str, reason: str) -> None:
    text = mirage_results.junit([{"name": "one", **BAD, "reason": reason, "tail": [line]}], "lab")
    case = ElementTree.fromstring(text)[0][0]
    assert len(case.findtext("system-out") or "") <= len(line) + 1
