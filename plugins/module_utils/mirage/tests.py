# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of unikernels: from the options that the user wrote to the items of modules, and from the
reports of modules to results for people and CI systems.

Each test has a domain whose name no other run uses, and all files of a run are in one directory.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence
from xml.etree import ElementTree

from ansible_collections.xen.blockdev.plugins.module_utils.console import (
    transcript as console_transcript,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.inventory import disk_plan
from ansible_collections.xen.blockdev.plugins.module_utils.inventory.options import (
    IMAGE_OPTIONS,
    InventoryError,
    Options,
    OptionsReader,
    Reader,
    read_dictionary,
    read_flag,
    read_list,
    read_name,
    read_text,
    shown,
    with_name,
)

MEMORY = 32
"""MiB, for a unikernel without a config."""

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot contain."""

PRESERVE = dict.fromkeys(("on_poweroff", "on_reboot", "on_crash", "on_watchdog"), "preserve")
"""With these, xl keeps a domain whose guest has ended, so that its console can be read to the end
and a crash can be told from an ordinary end."""

QUIET = "--solo5:quiet"
"""With this option Solo5 prints no exit status (bindings/cmdline.c)."""


class MirageTestsError(BlockdevError):
    """All problems of the tests, one per line."""


class MirageTestsPlan(NamedTuple):
    """The files to copy to the host, and the tests."""

    copies: List[Options]
    """``src`` on the controller, ``dest``, a directory on the host."""
    tests: List[Options]
    """``name`` and ``retries``; ``domain``, an element of xen_domains; ``start`` and ``console``,
    items of xen_domain and xen_console; ``fetch``, a list of ``src`` on the host and ``dest`` below
    the report."""


# ---- plan ----


def _expression(value: object) -> str:
    text = read_text(value)
    console_transcript.expression(text)
    return text


def _seconds(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
        return float(value)
    raise InventoryError(f"a number of seconds above 0 is wanted, not {shown(value)}")


def _times(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return int(value)
    raise InventoryError(f"a whole number of 0 or more is wanted, not {shown(value)}")


def _unread(value: object) -> object:
    """For an option that the disk plan reads."""
    return value


_OPTIONS: Dict[str, Reader] = {
    "name": read_name,
    "unikernel": read_text,
    "remote_src": read_flag,
    "config": read_text,
    "memory": _unread,
    "networks": _unread,
    "options": read_dictionary,
    "disks": read_list,
    "fetch": read_list,
    "expect": _expression,
    "fail": _expression,
    "timeout": _seconds,
    "retries": _times,
}


class _MirageReader(OptionsReader):
    """Reads the tests and collects the problems in them."""

    def __init__(
        self, directory: str, source_dir: str, configs: Mapping[str, str], remote: bool
    ) -> None:
        super().__init__()
        self._directory = directory
        self._source_dir = source_dir
        self._configs = configs
        self._remote = remote
        self._copied: Dict[str, str] = {}
        """Directories on the host by paths on the controller."""

    @property
    def copies(self) -> List[Options]:
        return [{"src": src, "dest": f"{dest}/"} for src, dest in self._copied.items()]

    def test(self, number: int, written: object, timeout: float) -> Optional[Options]:
        """The plan of one test; None if it is not a dictionary. If the name or the unikernel is
        invalid, a default takes its place, so that the other options are checked as well."""
        place = _place(number, written)
        options = self.options(place, written, _OPTIONS)
        if not isinstance(written, Mapping):
            return None
        if written.get("unikernel") is None:
            self.problem(place, "it has no unikernel")
        options = {"name": f"test-{number}", "unikernel": "unikernel", **options}
        run = posixpath.basename(self._directory).rpartition("-")[2]
        domain = f"{options['name']}-{run}"
        config = self._config(place, options)
        disks = [
            self._disk(with_name(f"{place}, disks[{i}]", disk), disk)
            for i, disk in enumerate(options.get("disks", []))
        ]
        log = f"{self._directory}/{domain}.log"
        return {
            "name": options["name"],
            "retries": options.get("retries", 0),
            "domain": {"name": domain, **config, "disks": disks},
            "start": {"name": domain, "config": f"{self._directory}/{domain}.cfg"},
            "console": {
                "name": domain,
                "expect": options.get("expect"),
                "fail": options.get("fail"),
                "timeout": options.get("timeout", timeout),
                "log": log,
            },
            "fetch": [
                {"src": log, "dest": f"{options['name']}.log"},
                *self._fetched(place, options, domain),
            ],
        }

    def _config(self, place: str, options: Options) -> Options:
        """The options of the domain for its config."""
        remote = options.get("remote_src", self._remote)
        kernel = self._on_host(options["unikernel"], remote)
        more = {**options.get("options", {}), **PRESERVE}
        self._check_ends(place, options.get("options", {}))
        if "config" in options:
            template = self._configs[self._on_controller(options["config"])]
            filled: Options = {
                key: options[key] for key in ("memory", "networks") if key in options
            }
            return {"template": template, "kernel": kernel, **filled, "config": more}
        if "networks" in options:
            self.problem(place, "networks needs a config; without one, set vif in options")
        memory = options.get("memory", MEMORY)
        return {"config": {"type": "pvh", "kernel": kernel, "memory": memory, **more}}

    def _check_ends(self, place: str, options: Mapping[Any, object]) -> None:
        for option in PRESERVE:
            if options.get(option, "preserve") != "preserve":
                self.problem(
                    place,
                    f"options: {option} is always 'preserve' in a test, so that the console can be "
                    "read to the end; omit it",
                )

    def _disk(self, place: str, written: object) -> object:
        """The disk with the path of its source on the host. The disk plan checks the options."""
        if isinstance(written, dict) and "path" in written:
            return self._existing_disk(place, written)
        if not isinstance(written, dict) or not isinstance(written.get("source"), str):
            return written
        left = {option: value for option, value in written.items() if option != "remote_src"}
        remote = written.get("remote_src", self._remote)
        return {**left, "source": self._on_host(written["source"], remote is True)}

    def _existing_disk(self, place: str, written: Mapping[str, object]) -> Options:
        """An existing image, which stays unchanged: as a target, the disk plan neither creates nor
        removes anything for it. xl's own script attaches the file to the guest."""
        for option in [*IMAGE_OPTIONS, "loop"]:
            if written.get(option) not in (None, False):
                self.problem(
                    place,
                    f"{option} does not apply to a disk with a path: a test neither changes nor "
                    "binds an existing image; omit path to create an image for the test",
                )
        left = {
            option: value for option, value in written.items() if option not in ("path", "loop")
        }
        return {"target": written["path"], **left}

    def _fetched(self, place: str, options: Options, domain: str) -> List[Options]:
        images = {
            disk["name"]: disk
            for disk in options.get("disks", [])
            if isinstance(disk, dict) and "name" in disk and "target" not in disk
        }
        fetched = []
        for name in options.get("fetch", []):
            disk = images.get(name) if isinstance(name, str) else None
            if disk is None:
                known = ", ".join(map(str, images)) or "none"
                self.problem(
                    place, f"fetch: {shown(name)} is not one of the disks with an image: {known}"
                )
            else:
                default = f"{self._directory}/{domain}/{name}.raw"
                dest = f"{options['name']}-{name}.raw"
                fetched.append({"src": disk.get("path", default), "dest": dest})
        return fetched

    def _on_host(self, path: str, remote: bool) -> str:
        """The path on the host of a file or directory that the user gave."""
        if remote:
            return path
        source = self._on_controller(path)
        dest = self._copied.setdefault(source, f"{self._directory}/sources/{len(self._copied)}")
        return posixpath.join(dest, posixpath.basename(source))

    def _on_controller(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self._source_dir, path))


def plan(
    tests: Sequence[object],
    directory: str,
    source_dir: str,
    configs: Mapping[str, str],
    *,
    remote: bool = False,
    timeout: float = 60,
) -> MirageTestsPlan:
    """Plan all tests.

    ``directory``: of this run on the host; the part of its name after the last hyphen becomes the
    suffix of the domains' names. ``source_dir``: the base of relative paths on the controller.
    ``configs``: the text of each config by its absolute path. ``remote``: whether unikernels and
    sources are already on the host. ``timeout``: seconds, for tests without a timeout. Raises
    MirageTestsError with all problems.
    """
    reader = _MirageReader(directory, source_dir, configs, remote)
    read = [reader.test(number, test, timeout) for number, test in enumerate(tests)]
    planned = {
        _place(number, written): test
        for number, (written, test) in enumerate(zip(tests, read))
        if test
    }
    problems = [*reader.problems, *_problems(planned, directory)]
    if problems:
        raise MirageTestsError("\n".join(problems))
    return MirageTestsPlan(reader.copies, list(planned.values()))


def _place(number: int, written: object) -> str:
    return with_name(f"mirage_vms[{number}]", written)


def _problems(tests: Mapping[str, Options], directory: str) -> List[str]:
    """The problems of the domains of the tests. ``tests``: by their places."""
    domains = [test["domain"] for test in tests.values()]
    read = disk_plan.read(domains, directory, directory, places=list(tests))
    quiet = [
        f"{domain.place}: {QUIET} hides the exit status, so a unikernel that fails would pass; "
        f"set expect, or remove {QUIET}"
        for domain in read.domains
        if tests[domain.place]["console"]["expect"] is None and _is_quiet(domain.config or {})
    ]
    return [*read.problems, *quiet]


def _is_quiet(config: Mapping[str, Any]) -> bool:
    """Whether Solo5 gets QUIET. ``cmdline`` replaces ``root`` and ``extra`` (xl.cfg(5))."""
    words = config.get("cmdline") or config.get("extra")
    return isinstance(words, str) and QUIET in words.split()


# ---- results ----


def blamed(tests: Sequence[Options], failed: Mapping[str, Any]) -> List[str]:
    """The names of the tests for whose images, loop devices or configs a module has failed; all
    tests if its result names none. ``failed``: the result of the module."""
    names = [test["name"] for test in tests if _messages(test, failed)]
    return names or [test["name"] for test in tests]


def _messages(test: Options, failed: Mapping[str, Any]) -> List[str]:
    """The errors of a failed module about the images, loop devices and configs of a test."""
    return [
        str(entry["msg"])
        for items in ("disks", "devices", "configs")
        for entry in failed.get(items) or ()
        if "msg" in entry and _is_of(test, entry)
    ]


def _is_of(test: Options, entry: Mapping[str, Any]) -> bool:
    domain, path = test["domain"]["name"], str(entry.get("path"))
    paths = [disk.get("path") for disk in test["domain"]["disks"]]
    return domain in (entry.get("domain"), *path.split("/")) or path in paths


def results(
    tests: Sequence[Options],
    started: Mapping[str, Any],
    followed: Mapping[str, Any],
    failed: Mapping[str, Any],
    earlier: Sequence[Options] = (),
) -> List[Options]:
    """The results of the tests: ``name``, ``passed``, ``verdict``, ``reason``, ``seconds``,
    ``tail``, and in ``tries`` the same for each try.

    ``started``, ``followed``: the results of xen_domain and xen_console, as Ansible registers them.
    ``failed``: the result of the task that failed before these; empty if none did. ``earlier``: the
    results so far. They stay; those of a test that was tried again become its earlier tries.
    """
    found = {result["name"]: result for result in earlier}
    for test in tests:
        result = _result(test, started, followed, failed)
        tries = found[test["name"]]["tries"] if test["name"] in found else []
        found[test["name"]] = {**result, "tries": [*tries, result]}
    return list(found.values())


def again(tests: Sequence[Options], found: Sequence[Options]) -> List[Options]:
    """The tests that timed out and have retries left. ``found``: the results so far."""
    tries = {
        result["name"]: len(result["tries"]) for result in found if result["verdict"] == "timeout"
    }
    return [test for test in tests if 0 < tries.get(test["name"], 0) <= test["retries"]]


def _result(
    test: Options,
    started: Mapping[str, Any],
    followed: Mapping[str, Any],
    failed: Mapping[str, Any],
) -> Options:
    base = {"name": test["name"], "passed": False, "seconds": 0.0, "tail": []}
    if failed:
        message = "\n".join(_messages(test, failed)) or failed.get("msg")
        reason = str(message or "a task failed, see the output of Ansible")
        return {**base, "verdict": "error", "reason": reason}
    for report in (started, followed):
        if report.get("unreachable"):
            reason = f"the connection to the host was lost: {report.get('msg')}"
            return {**base, "verdict": "lost", "reason": reason}
        found = _entry(report, test["domain"]["name"])
        if found is None or "msg" in found:
            reason = (found or report).get("msg", "no result was reported for it")
            return {**base, "verdict": "error", "reason": str(reason)}
    keys = ("passed", "verdict", "reason", "seconds", "tail")
    return {**base, **{key: found[key] for key in keys if found and key in found}}


def _entry(report: Mapping[str, Any], domain: str) -> Optional[Mapping[str, Any]]:
    return next((entry for entry in report.get("domains", ()) if entry["name"] == domain), None)


def summary(found: Sequence[Options]) -> List[str]:
    """A line for each result, then a line for each try of a test that was tried again, and the last
    lines of the console of a test that failed."""
    lines = []
    for result in found:
        mark = "ok" if result["passed"] else "failed"
        lines.append(f"{mark}: {result['name']}: {_sentence(result)}")
        lines += [f"    {line}" for line in _tries(result)]
        if not result["passed"]:
            lines += [f"    | {line}" for line in result["tail"]]
    return lines


def _sentence(result: Options) -> str:
    return f"{result['reason']} ({result['seconds']:g} s)"


def _tries(result: Options) -> List[str]:
    """A line for each try of a test, if there was more than one."""
    tries = result.get("tries", [result])
    if len(tries) == 1:
        return []
    return [f"try {i} of {len(tries)}: {_sentence(one)}" for i, one in enumerate(tries, 1)]


def junit(found: Sequence[Options], suite: str) -> str:
    """The results as JUnit XML, for CI systems. ``suite``: the name of the host."""
    failures = sum(not result["passed"] for result in found)
    counts = {"tests": str(len(found)), "failures": str(failures)}
    time = f"{sum(map(_seconds_of, found)):.1f}"
    root = ElementTree.Element("testsuites")
    parent = ElementTree.SubElement(root, "testsuite", {"name": suite, **counts, "time": time})
    parent.text = "\n"
    for result in found:
        _add_case(parent, result, suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


def _add_case(parent: ElementTree.Element, result: Options, suite: str) -> None:
    names = {"classname": suite, "name": result["name"], "time": f"{_seconds_of(result):.1f}"}
    case = ElementTree.SubElement(parent, "testcase", names)
    case.tail = "\n"
    output = _in_xml("\n".join([*_tries(result), *result["tail"]]))
    if not result["passed"]:
        attributes = {"type": result["verdict"], "message": _in_xml(result["reason"])}
        ElementTree.SubElement(case, "failure", attributes).text = output
    ElementTree.SubElement(case, "system-out").text = output


def _seconds_of(result: Options) -> float:
    """The seconds of all tries."""
    return float(sum(one["seconds"] for one in result.get("tries", [result])))


def _in_xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
