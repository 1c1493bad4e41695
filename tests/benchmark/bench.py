# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of the benchmark: what it measured, and how well that is."""

from __future__ import annotations

import json
import re
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Dict, Iterator, List

from measuring import Cost, Samples
from ways import Place, Provision


@dataclass
class Goal:
    """Something that is to be so, and how it is."""

    what: str
    limit: float
    value: float | None
    unit: str = "times"
    at_least: bool = False
    why: str = ""
    """What takes the time, for whoever reads that it was not met."""

    @property
    def met(self) -> bool | None:
        """None where it was not measured."""
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass
class Bench:
    """One run of the benchmark."""

    folder: Path
    runs: int
    counts: List[int]
    """Numbers of disks to measure."""
    samples: Samples = field(default_factory=Samples)
    facts: Dict[str, float] = field(default_factory=dict)
    """What was counted, by its name."""
    goals: List[Goal] = field(default_factory=list)
    machines: Dict[str, List[str]] = field(default_factory=dict)
    """By what was measured on, and when: the parts."""

    @property
    def measured_counts(self) -> List[int]:
        """Numbers of disks that were measured, each way."""
        found = (re.fullmatch(rf"{Provision.name}, .*, (\d+) disks", one) for one in self.samples)
        return sorted({int(match[1]) for match in found if match})

    def typical(self, way: str, step: str, disks: int) -> Cost | None:
        """The medians of one cell of the table of disks."""
        return self.samples.typical(f"{way}, {step}, {disks} disks")

    def save(self, file: Path, machine: str) -> None:
        """Keep what was measured, and on what."""
        file.parent.mkdir(parents=True, exist_ok=True)
        samples = {label: [asdict(cost) for cost in costs] for label, costs in self.samples.items()}
        goals = [asdict(goal) for goal in self.goals]
        kept = {"machine": machine, "samples": samples, "facts": self.facts, "goals": goals}
        file.write_text(json.dumps(kept))

    def load(self, file: Path) -> None:
        """Add what was kept."""
        kept = json.loads(file.read_text())
        self.machines.setdefault(kept["machine"], []).append(file.stem)
        for label, costs in kept["samples"].items():
            self.samples[label] = [Cost(**cost) for cost in costs]
        self.facts.update(kept["facts"])
        self.goals += [Goal(**goal) for goal in kept["goals"]]

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A folder that nothing has been in."""
        place = Place(Path(tempfile.mkdtemp(dir=self.folder)))
        try:
            yield place
        finally:
            place.clean()
