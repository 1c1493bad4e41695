# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of unikernels: from the options that the user wrote to the items of modules.

Each test has a domain whose name no other run uses, and all files of a run are in one directory.
"""

from __future__ import annotations

import math
import posixpath
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence

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
    ValueReader,
    described,
    read_dictionary,
    read_flag,
    read_list,
    read_name,
    read_text,
    with_name,
)

MEMORY = 32
"""MiB, for a unikernel without a config."""

PRESERVE = dict.fromkeys(("on_poweroff", "on_reboot", "on_crash", "on_watchdog"), "preserve")
"""With these, xl keeps a domain whose guest has ended, so that its console can be read to the end
and a crash can be told from an ordinary end."""

QUIET = "--solo5:quiet"
"""With this option Solo5 prints no exit status (bindings/cmdline.c)."""


class MirageTestsError(BlockdevError):
    """All problems of the tests, one per line."""


@dataclass(frozen=True)
class Copy:
    """A file or directory to copy, from one machine to the other."""

    src: str
    dest: str

    def as_dict(self) -> Dict[str, str]:
        """For templates."""
        return {"src": self.src, "dest": self.dest}


@dataclass(frozen=True)
class MirageTest:
    """The plan of one test."""

    name: str
    retries: int
    domain: Options
    """An element of xen_domains."""
    start: Options
    """An item of xen_domain."""
    console: Options
    """An item of xen_console."""
    fetch: Sequence[Copy]
    """From the host to a path in the report."""

    def as_dict(self) -> Options:
        """For templates."""
        return {**vars(self), "fetch": [copy.as_dict() for copy in self.fetch]}


@dataclass(frozen=True)
class MirageTestsPlan:
    """The files to copy to the host, and the tests."""

    copies: Sequence[Copy]
    """From the controller to directories on the host."""
    tests: Sequence[MirageTest]

    def as_dict(self) -> Dict[str, List[Options]]:
        """For templates."""
        return {
            "copies": [copy.as_dict() for copy in self.copies],
            "tests": [test.as_dict() for test in self.tests],
        }


def _expression(value: object) -> str:
    text = read_text(value)
    console_transcript.expression(text)
    return text


def _seconds(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf:
        return float(value)
    raise InventoryError(f"must be a number of seconds above 0, not {described(value)}")


def _times(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return int(value)
    raise InventoryError(f"must be a whole number of at least 0, not {described(value)}")


def _unread(value: object) -> object:
    """For an option that the disk plan reads."""
    return value


_OPTIONS: Dict[str, ValueReader] = {
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
    def copies(self) -> List[Copy]:
        return [Copy(src, f"{dest}/") for src, dest in self._copied.items()]

    def test(self, number: int, written: object, timeout: float) -> Optional[MirageTest]:
        """The plan of one test; None if it is not a dictionary. If the name or the unikernel is
        invalid, a default takes its place, so that the other options are checked as well."""
        place = _place(number, written)
        options = self.options(place, written, _OPTIONS)
        if not isinstance(written, Mapping):
            return None
        if written.get("unikernel") is None:
            self.problem(place, "unikernel is missing")
        options = {"name": f"test-{number}", "unikernel": "unikernel", **options}
        run = posixpath.basename(self._directory).rpartition("-")[2]
        domain = f"{options['name']}-{run}"
        config = self._config(place, options)
        disks = [
            self._disk(with_name(f"{place}, disks[{i}]", disk), disk)
            for i, disk in enumerate(options.get("disks", []))
        ]
        log = f"{self._directory}/{domain}.log"
        return MirageTest(
            name=options["name"],
            retries=options.get("retries", 0),
            domain={"name": domain, **config, "disks": disks},
            start={"name": domain, "config": f"{self._directory}/{domain}.cfg"},
            console={
                "name": domain,
                "expect": options.get("expect"),
                "fail": options.get("fail"),
                "timeout": options.get("timeout", timeout),
                "log": log,
            },
            fetch=[
                Copy(log, f"{options['name']}.log"),
                *self._fetched(place, options, domain),
            ],
        )

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

    def _fetched(self, place: str, options: Options, domain: str) -> List[Copy]:
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
                    place,
                    f"fetch: {described(name)} is not one of the disks with an image: {known}",
                )
            else:
                default = f"{self._directory}/{domain}/{name}.raw"
                dest = f"{options['name']}-{name}.raw"
                fetched.append(Copy(disk.get("path", default), dest))
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


def _problems(tests: Mapping[str, MirageTest], directory: str) -> List[str]:
    """The problems of the domains of the tests. ``tests``: by their places."""
    domains = [test.domain for test in tests.values()]
    read = disk_plan.read(domains, directory, directory, places=list(tests))
    quiet = [
        f"{domain.place}: {QUIET} hides the exit status, so a unikernel that fails would pass; "
        f"set expect, or remove {QUIET}"
        for domain in read.domains
        if tests[domain.place].console["expect"] is None and _is_quiet(domain.config or {})
    ]
    return [*read.problems, *quiet]


def _is_quiet(config: Mapping[str, Any]) -> bool:
    """Whether Solo5 gets QUIET. ``cmdline`` replaces ``root`` and ``extra`` (xl.cfg(5))."""
    words = config.get("cmdline") or config.get("extra")
    return isinstance(words, str) and QUIET in words.split()
