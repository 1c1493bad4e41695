# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the checks of the collection and end on a count: `run_all.py test`, or `test-all`.

A step is a make target. What it counts is told by the lines that its tools print; a step that ends
without success counts as a failure of its own, so nothing that breaks goes unseen. What failed and
why is repeated at the end, where it is found without reading an hour's log. What this machine
cannot run is skipped, and named at the end with the reason. Where all packages could be installed
nothing may be skipped, so one that is missing from their list does not go unseen.

Steps of one stage do not disturb each other: as many run at once as there are processors, each with
a copy of the checkout of its own, and what they print is shown when they end. One that would be
disturbed by another, or needs what that makes, is told to run after it.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import time
from typing import Dict, Iterator, List, NamedTuple, Sequence

import mounted_root
import packages

PYTEST = r"==.* (\d+) passed"
OK = r"^ok: "
IS_ROOT = os.geteuid() == 0
OF_USERS = () if IS_ROOT else ("newuidmap",)
LAB = ("mmdebstrap", "qemu-system-x86_64", "qemu-img", "ssh", "mke2fs", *OF_USERS)


class Step(NamedTuple):
    """A make target, with its variables, and what can be told of it."""

    target: str
    passing: str
    """A line that counts as one passed, or its group as so many."""
    needs: Sequence[str] = ()
    """Programs without which it is skipped."""
    is_for_root: bool = False
    after: Sequence[str] = ()
    """Targets of the same stage, listed before it, which end before it begins."""


LOOP = ("losetup", "mke2fs")
LINT = Step("lint", OK)
SANITY = Step("sanity", r"^Running sanity test ")
IMPORTER = Step("importer", OK)
DOCS = Step("docs", OK)
TARGETS = r"^Running (?!setup_)\S+ integration test role"
NO_LOOP_DEVICES = "no_loop_devices/"
"""The integration targets that can run beside all others, by what their files C(aliases) say."""
PAGE = Step("page", PYTEST, ("chromium",))
MOLECULE = Step("molecule", PYTEST, LOOP, is_for_root=True)
LAB_BUILD = Step("lab-build", r"^ok: the disk of a Xen host", LAB)
ON_LOOP_DEVICES = Step(f"integration EXCLUDE={NO_LOOP_DEVICES}", TARGETS, LOOP, is_for_root=True)
ROBUSTNESS = Step("robustness", PYTEST, LOOP, is_for_root=True)

STAGES: Dict[str, List[List[Step]]] = {
    "test": [
        [
            # In it, one target after the other: one looks at all loop devices while another unbinds
            # some.
            ON_LOOP_DEVICES,
            LAB_BUILD,
            # The longest. It has the processors first, see its create.yml, and leaves half of one.
            Step("molecule-xen REBOOT=no", PYTEST, LAB, after=(LAB_BUILD.target,)),
            Step("unit", PYTEST),
            # Not first: two ansible-test that begin together make one key for both.
            Step(f"integration TARGETS={NO_LOOP_DEVICES}", TARGETS, is_for_root=True),
            SANITY,
            LINT,
            IMPORTER,
            DOCS,
            ROBUSTNESS,
            MOLECULE._replace(after=(ON_LOOP_DEVICES.target, ROBUSTNESS.target)),
        ],
    ],
    "test-all": [
        [
            LINT._replace(target="lint EXHAUSTIVE=1"),
            SANITY._replace(target="sanity EXHAUSTIVE=1"),
            IMPORTER,
            DOCS,
        ],
        [PAGE],
        [Step("unit EXHAUSTIVE=1", PYTEST)],
        [Step("coverage UNITS=1", f"{PYTEST}|{OK}")],
        [Step("coverage", f"{PYTEST}|{TARGETS}|{OK}", LOOP, is_for_root=True)],
        [Step("robustness EXHAUSTIVE=1", PYTEST, LOOP, is_for_root=True)],
        [MOLECULE],
        [Step("versions", r"^(\d+) passed, ", LOOP, is_for_root=True)],
        [Step("mutation", r"mutants.*?, (\d+) killed")],
        [Step("molecule-xen RELEASE=bookworm", PYTEST, LAB)],
        [Step("molecule-xen RELEASE=trixie", PYTEST, LAB)],
        [Step("storage RELEASE=bookworm", PYTEST, LAB)],
    ],
}

SKIPPED = re.compile(
    r"^\W*SKIPPED \[(\d+)\] (?!.*(?:XEN_LAB_REBOOT=no|no extended attributes))(.*)"
)
"""What pytest says of tests that were skipped, but for those that are left to C(test-all) and those
that the file system does not allow."""

FAILED = re.compile(r"==.* (\d+) failed|^FAILED: |^ERROR: ")
REASON = re.compile(r"^\W*((?:FAILED|ERROR):? .*|E   .*|fatal: .*)")
REASONS = 60
"""Lines that one step may repeat at the end."""

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Result(NamedTuple):
    """What came of a step."""

    step: Step
    passed: int
    failed: int
    reasons: List[str]
    """Why it failed."""
    skipped: List[str]
    """What it has skipped, and why."""
    seconds: float
    processor: float
    """Seconds of the processors' time; without QEMU's, which runs in the background."""
    said: str = ""
    """What it printed and what has not been shown yet."""

    def line(self) -> str:
        """The result as a line of the summary."""
        counts = f"{self.passed:5} passed {self.failed:3} failed"
        return f"{self.step.target:<38} {counts} {self.seconds:5.0f} s, {self.processor:5.0f} s CPU"


def skipped_because(step: Step) -> str | None:
    """Why this machine cannot run a step, None where it can."""
    missing = [name for name in step.needs if not shutil.which(name, path=search_path())]
    if missing:
        return f"{', '.join(missing)} not found"
    if step.is_for_root and not IS_ROOT:
        return "it needs root"
    if step.is_for_root and not os.path.exists("/dev/loop-control"):
        return "this system has no loop devices"
    return None


def search_path() -> str:
    """Where programs are, those of root included."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def run(step: Step, is_shown: bool) -> Result:
    """Run one step; its output is shown as it comes, or kept."""
    print(f"\n##### make {step.target}" + (":" if is_shown else " has begun"), flush=True)
    started = time.monotonic()
    passing = re.compile(step.passing)
    passed = failed = 0
    reasons = []
    skipped = []
    lines = []
    process = subprocess.Popen(
        ["make", "--no-print-directory", *step.target.split()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdout
    for line in process.stdout:
        lines.append(line)
        if is_shown:
            print(line, end="", flush=True)
        plain = COLOURS.sub("", line)
        reasons += REASON.findall(plain)
        skipped += [" ".join(found) for found in SKIPPED.findall(plain)]
        match, bad = passing.search(plain), FAILED.search(plain)
        if match:
            passed += number_in(match)
        if bad:
            failed += number_in(bad)
    _pid, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    succeeded = process.returncode == 0 and passed
    failed = 0 if succeeded else max(failed, 1)
    said = "" if is_shown else "".join(lines)
    seconds, processor = time.monotonic() - started, used.ru_utime + used.ru_stime
    return Result(step, passed, failed, reasons, skipped, seconds, processor, said)


def number_in(match: re.Match[str]) -> int:
    """How many tests a line tells of."""
    return next((int(group) for group in match.groups() if group), 1)


def run_stage(steps: Sequence[Step]) -> Iterator[Result]:
    """Run the steps, some at a time, and show what each has printed."""
    if len(steps) == 1:
        yield run(steps[0], is_shown=True)
        return
    workers = os.cpu_count() or 1
    futures: Dict[str, concurrent.futures.Future[Result]] = {}
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for step in steps:
            before = [futures[target] for target in step.after if target in futures]
            futures[step.target] = pool.submit(run_after, before, step)
        for done in concurrent.futures.as_completed(futures.values()):
            result = done.result()
            print(f"\n##### make {result.step.target}:\n{result.said}", end="", flush=True)
            yield result


def run_after(before: Sequence[concurrent.futures.Future[Result]], step: Step) -> Result:
    """Run one step when others have ended. These began earlier, so that it cannot wait for ever."""
    concurrent.futures.wait(before)
    return run(step, is_shown=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("stages", choices=STAGES)
    name = parser.parse_args().stages
    stages = STAGES[name]
    # What all steps share is made once, before any of them runs, and without Debian's packages.
    with subprocess.Popen(["make", "--no-print-directory", "environments"]) as environments:
        is_complete = packages.install(for_all=name == "test-all")
    if environments.returncode:
        sys.exit(environments.returncode)
    if IS_ROOT and not mounted_root.is_mounted():
        sys.exit(mounted_root.run([sys.executable, *sys.argv]))
    left_out = {step: skipped_because(step) for stage in stages for step in stage}
    results = [
        result
        for stage in stages
        for result in run_stage([step for step in stage if not left_out[step]])
    ]
    skipped = [f"make {step.target}: {why}" for step, why in left_out.items() if why]
    skipped += [f"make {result.step.target}: {one}" for result in results for one in result.skipped]
    for result in results:
        if result.failed:
            print(f"\n##### make {result.step.target}: why it failed")
            print("\n".join(result.reasons[-REASONS:]))
    word = "FAILED, it was skipped: " if is_complete else "skipped: "
    print(
        "\n" + "\n".join([*(result.line() for result in results), *(word + one for one in skipped)])
    )
    failed = sum(result.failed for result in results) + (len(skipped) if is_complete else 0)
    print(f"{sum(result.passed for result in results)} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
