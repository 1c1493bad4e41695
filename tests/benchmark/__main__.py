# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what disks cost, by this collection and otherwise.

The report has the parts that were run now, and of the others what was measured last.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

import bare
import parts
import remote
import report
from bench import Bench
from measuring import CACHE, say

PARTS = {
    part.__name__: part
    for part in (
        parts.disks,
        parts.inside,
        parts.processes,
        parts.payload,
        parts.domains,
        parts.hosts,
        parts.planning,
        parts.auditing,
        remote.ssh,
        remote.attach,
        remote.read,
    )
}

RESULTS = CACHE / "benchmark/results"
"""Of each part, those of its last run."""


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all without one"
    )
    parser.add_argument("--runs", type=int, default=3, help="of which the median counts (3)")
    parser.add_argument(
        "--counts", default="1,8,64,256,1024", help="numbers of disks (1,8,64,256,1024)"
    )
    parser.add_argument(
        "--folder", default="/var/tmp", help="where images are made, on a real file system"
    )
    parser.add_argument("--record", type=Path, help="a folder to write performance.md and .svg to")
    parser.add_argument("--report", action="store_true", help="run nothing, only report")
    chosen = parser.parse_args()
    wrong = set(chosen.parts) - set(PARTS)
    if wrong:
        parser.error(f"no such part: {', '.join(sorted(wrong))}")
    return chosen


def main() -> None:
    chosen = options()
    counts = [int(count) for count in chosen.counts.split(",")]
    before = bare.loop_devices()
    try:
        with tempfile.TemporaryDirectory(prefix="xen-blockdev-bench.", dir=chosen.folder) as folder:
            for name in [] if chosen.report else chosen.parts or PARTS:
                say(f"\n### {name}: {PARTS[name].__doc__}")
                bench = Bench(Path(folder), chosen.runs, counts)
                PARTS[name](bench)
                bench.save(RESULTS / f"{name}.json", _machine())
    finally:
        bare.remove_loop_devices(before)
    everything = Bench(RESULTS, chosen.runs, counts)
    for name in PARTS:
        if (RESULTS / f"{name}.json").exists():
            everything.load(RESULTS / f"{name}.json")
    text = report.text(everything)
    say(f"\n{text}")
    if chosen.record:
        report.record(everything, text, chosen.record)


def _machine() -> str:
    """What it was measured on, and when."""
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        names = [line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")]
    kernel = platform.release().partition("-")[0]
    return (
        f"{datetime.date.today()}; {len(names)} cores of {names[0]}; Linux {kernel}; "
        f"Python {platform.python_version()}; ansible-core {version('ansible-core')}"
    )


if __name__ == "__main__":
    main()
