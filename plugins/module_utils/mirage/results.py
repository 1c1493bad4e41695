# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of unikernel tests: from the reports of modules to texts for people and CI systems.

The functions are filters: they take tests and results as the dictionaries that templates have.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple
from xml.etree import ElementTree

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot contain."""

TaskResult = Mapping[str, Any]
"""The result of a task, as Ansible registers it."""


@dataclass(frozen=True)
class Try:
    """How one try of a test ended, see the result of xen_console."""

    verdict: str
    reason: str
    passed: bool = False
    seconds: float = 0.0
    tail: Sequence[str] = ()

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Try:
        """From an entry of xen_console, or from ``as_dict``."""
        return cls(
            verdict=entry["verdict"],
            reason=entry["reason"],
            passed=entry["passed"],
            seconds=entry.get("seconds", 0.0),
            tail=entry.get("tail", ()),
        )

    def as_dict(self) -> Dict[str, Any]:
        """For templates."""
        return {
            "passed": self.passed,
            "verdict": self.verdict,
            "reason": self.reason,
            "seconds": self.seconds,
            "tail": list(self.tail),
        }

    @property
    def sentence(self) -> str:
        """The reason with the time that it took."""
        return f"{self.reason} ({self.seconds:g} s)"


@dataclass(frozen=True)
class TriedTest:
    """A test with all its tries, at least one. The last one counts."""

    name: str
    tries: Tuple[Try, ...]

    @classmethod
    def read(cls, result: Mapping[str, Any]) -> TriedTest:
        """From ``as_dict``; without ``tries`` the result is that of the only try."""
        return cls(result["name"], tuple(map(Try.read, result.get("tries", [result]))))

    def as_dict(self) -> Dict[str, Any]:
        """For templates."""
        tries = [{"name": self.name, **one.as_dict()} for one in self.tries]
        return {**tries[-1], "tries": tries}

    @property
    def last(self) -> Try:
        return self.tries[-1]

    @property
    def seconds(self) -> float:
        """Of all tries together."""
        return float(sum(one.seconds for one in self.tries))

    @property
    def lines(self) -> List[str]:
        """A line for each try, if there was more than one."""
        count = len(self.tries)
        if count == 1:
            return []
        return [f"try {i} of {count}: {one.sentence}" for i, one in enumerate(self.tries, 1)]


def blamed(tests: Sequence[Mapping[str, Any]], failed: TaskResult) -> List[str]:
    """The names of the tests for whose images, loop devices or configs a module has failed; all
    tests if its result names none. ``failed``: the result of the module."""
    names = [test["name"] for test in tests if _messages(_domain(test), failed)]
    return names or [test["name"] for test in tests]


def _domain(test: Mapping[str, Any]) -> str:
    return str(test["domain"]["name"])


def _messages(domain: str, failed: TaskResult) -> List[str]:
    """The errors of a failed module about the images, loop devices and configs of a domain."""
    return [
        str(entry["msg"])
        for items in ("disks", "devices", "configs")
        for entry in failed.get(items) or ()
        if "msg" in entry and domain in (entry.get("domain"), *str(entry.get("path")).split("/"))
    ]


def results(
    tests: Sequence[Mapping[str, Any]],
    started: TaskResult,
    followed: TaskResult,
    failed: TaskResult,
    earlier: Sequence[Mapping[str, Any]] = (),
) -> List[Dict[str, Any]]:
    """The results of the tests: ``name``, ``passed``, ``verdict``, ``reason``, ``seconds``,
    ``tail``, and in ``tries`` the same for each try.

    ``started``, ``followed``: the results of xen_domain and xen_console. ``failed``: the result of
    the task that failed before these; empty if none did. ``earlier``: the results so far. They
    stay; those of a test that was tried again become its earlier tries.
    """
    tried = {one.name: one for one in map(TriedTest.read, earlier)}
    for test in tests:
        name, new = test["name"], _tried(_domain(test), started, followed, failed)
        before = tried[name].tries if name in tried else ()
        tried[name] = TriedTest(name, (*before, new))
    return [one.as_dict() for one in tried.values()]


def _tried(domain: str, started: TaskResult, followed: TaskResult, failed: TaskResult) -> Try:
    if failed:
        message = "\n".join(_messages(domain, failed)) or failed.get("msg")
        return Try("error", str(message or "a task failed, see the output of Ansible"))
    failure = _failure(started, domain) or _failure(followed, domain)
    return failure or Try.read(_entry(followed, domain))


def _failure(result: TaskResult, domain: str) -> Optional[Try]:
    """The try of a domain that a module could not start or follow."""
    if result.get("unreachable"):
        return Try("lost", f"the connection to the host was lost: {result.get('msg')}")
    entry = _entry(result, domain)
    return Try("error", str(entry["msg"])) if "msg" in entry else None


def _entry(result: TaskResult, domain: str) -> Mapping[str, Any]:
    """The entry of a domain, or one with the error for all domains."""
    missing = {"msg": result.get("msg", "no result was reported for it")}
    return next((one for one in result.get("domains", ()) if one["name"] == domain), missing)


def again(
    tests: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]
) -> List[Mapping[str, Any]]:
    """The tests that timed out and have retries left. ``found``: the results so far."""
    tries = {
        result["name"]: len(result["tries"]) for result in found if result["verdict"] == "timeout"
    }
    return [test for test in tests if 0 < tries.get(test["name"], 0) <= test["retries"]]


def summary(found: Sequence[Mapping[str, Any]]) -> List[str]:
    """A line for each result, then one for each try of a test that was tried again, and the last
    lines of the console of a test that failed."""
    lines = []
    for test in map(TriedTest.read, found):
        mark = "ok" if test.last.passed else "failed"
        lines.append(f"{mark}: {test.name}: {test.last.sentence}")
        lines += [f"    {line}" for line in test.lines]
        if not test.last.passed:
            lines += [f"    | {line}" for line in test.last.tail]
    return lines


def junit(found: Sequence[Mapping[str, Any]], suite: str) -> str:
    """The results as JUnit XML, for CI systems. ``suite``: the name of the host."""
    tests = [TriedTest.read(result) for result in found]
    failures = sum(not test.last.passed for test in tests)
    counts = {"tests": str(len(tests)), "failures": str(failures)}
    time = f"{sum(test.seconds for test in tests):.1f}"
    root = ElementTree.Element("testsuites")
    parent = ElementTree.SubElement(root, "testsuite", {"name": suite, **counts, "time": time})
    parent.text = "\n"
    for test in tests:
        _add_case(parent, test, suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


def _add_case(parent: ElementTree.Element, test: TriedTest, suite: str) -> None:
    names = {"classname": suite, "name": test.name, "time": f"{test.seconds:.1f}"}
    case = ElementTree.SubElement(parent, "testcase", names)
    case.tail = "\n"
    last = test.last
    output = _in_xml("\n".join([*test.lines, *last.tail]))
    if not last.passed:
        attributes = {"type": last.verdict, "message": _in_xml(last.reason)}
        ElementTree.SubElement(case, "failure", attributes).text = output
    ElementTree.SubElement(case, "system-out").text = output


def _in_xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
