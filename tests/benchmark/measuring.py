# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command costs, and many of them in turn."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Dict, List, Mapping, Sequence

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XEN_BLOCKDEV_CACHE", REPOSITORY / ".cache"))


@dataclass(frozen=True)
class Cost:
    """Of one command, with all the processes that it waited for."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds of processor time."""
    memory: int
    """Bytes, of the largest process."""


class Samples(Dict[str, List[Cost]]):
    """By label, what was measured."""

    def add(self, label: str, cost: Cost) -> None:
        """Keep one more measurement, and show that it was made."""
        self.setdefault(label, []).append(cost)
        say(f"    {label:<44} {cost.wall:8.2f} s {cost.cpu:8.2f} s of processor")

    def typical(self, label: str) -> Cost | None:
        """The medians, None where nothing was measured."""
        costs = self.get(label)
        if not costs:
            return None
        return Cost(
            median(cost.wall for cost in costs),
            median(cost.cpu for cost in costs),
            int(median(cost.memory for cost in costs)),
        )


def cost_of(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end, which must be a good one."""
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
        )
        _pid, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            text = output.read().decode(errors="replace")
            sys.exit(f"failed: {' '.join(command)}\n{text[-4000:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def say(line: str) -> None:
    """Show how far it is."""
    print(line, flush=True)


def ratio(one: Cost | None, other: Cost | None) -> float | None:
    """How many times as long one took as the other; None where one was not measured."""
    return one.wall / other.wall if one and other else None
