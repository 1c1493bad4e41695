# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every check of the collection, one after the other, and end on a count.

A step is a make target. What it counts is told by the lines that its tools print; a step that ends
without success counts as a failure of its own, so nothing that breaks goes unseen. What failed and
why is repeated at the end, where it is found without reading an hour's log.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time

STEPS = {
    "lint": r"^ok: ",
    "sanity": r"^Running sanity test ",
    "coverage UNITS=1": r"==.* (\d+) passed",
    "integration": r"^Running (?!setup_)\S+ integration test role",
    "robustness": r"==.* (\d+) passed",
    "molecule": r"==.* (\d+) passed",
    "versions QUICK=1": r"^(\d+) passed, ",
    "importer": r"^ok: ",
    "docs": r"^ok: ",
    "molecule-xen REBOOT=no": r"==.* (\d+) passed",
}
FAILED = re.compile(r"==.* (\d+) failed|^FAILED: |^ERROR: ")
REASON = re.compile(r"^\W*((?:FAILED|ERROR):? .*|E   .*|fatal: .*)")
REASONS = 60
"""Lines that one step may repeat at the end."""

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def run(step: str, passing: re.Pattern[str]) -> tuple[int, int, list[str]]:
    """Run one step with its output shown: how many tests passed and failed, and the reasons."""
    passed = failed = 0
    reasons = []
    process = subprocess.Popen(
        ["make", "--no-print-directory", *step.split()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdout
    for line in process.stdout:
        print(line, end="", flush=True)
        plain = COLOURS.sub("", line)
        reasons += REASON.findall(plain)
        match, bad = passing.search(plain), FAILED.search(plain)
        if match:
            passed += int(match[1]) if match.groups() else 1
        if bad:
            failed += int(bad[1]) if bad[1] else 1
    if process.wait() == 0:
        return passed, 0 if passed else 1, reasons
    return passed, max(failed, 1), reasons


def main() -> None:
    totals = [0, 0]
    summary = []
    failures: list[str] = []
    for step, pattern in STEPS.items():
        print(f"\n##### make {step}", flush=True)
        started = time.monotonic()
        *counts, reasons = run(step, re.compile(pattern))
        totals = [total + count for total, count in zip(totals, counts)]
        if counts[1]:
            failures += [f"\n##### make {step}: why it failed", *reasons[-REASONS:]]
        seconds = time.monotonic() - started
        summary.append(f"{step:<22} {counts[0]:5} passed {counts[1]:3} failed {seconds:5.0f} s")
    print("\n".join([*failures, "", *summary]))
    print(f"{totals[0]} passed, {totals[1]} failed")
    sys.exit(1 if totals[1] else 0)


if __name__ == "__main__":
    main()
