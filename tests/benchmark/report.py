# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, as tables and as a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Iterable, List, Sequence

from bench import Bench, Goal
from measuring import Cost
from ways import WAYS, Provision

# REUSE-IgnoreStart
LICENCE = (
    "SPDX-FileCopyrightText: 2026 The xen.blockdev authors\n"
    "SPDX-License-Identifier: GPL-3.0-or-later"
)
# REUSE-IgnoreEnd
STEPS = ("check mode", "first run", "second run")


def text(bench: Bench) -> str:
    """All of it, in Markdown."""
    sections = [f"{_machines(bench)}\n\nMedians; seconds unless it says otherwise."]
    if bench.measured_counts:
        for title, shown in {
            "Time": lambda cost: f"{cost.wall:.2f}",
            "Times as long as ours": None,
            "Processor time": lambda cost: f"{cost.cpu:.2f}",
            "Memory of the largest process (MiB)": lambda cost: f"{cost.memory / 1024**2:.0f}",
        }.items():
            sections.append(f"### {title}\n\n{_disks(bench, shown)}")
    others = [
        label
        for label in bench.samples
        if not label.startswith(tuple(f"{way.name}, " for way in WAYS))
    ]
    if others:
        rows = [
            [label, f"{cost.wall:.3f}", f"{cost.cpu:.3f}"]
            for label in others
            if (cost := bench.samples.typical(label))
        ]
        sections.append(f"### The rest\n\n{_table(['measured', 'seconds', 'of processor'], rows)}")
    if bench.facts:
        rows = [[label, f"{value:g}"] for label, value in bench.facts.items()]
        sections.append(f"### Counted\n\n{_table(['what', 'number'], rows)}")
    if bench.goals:
        sections.append(
            f"### Goals\n\n{_table(['what', 'goal', 'measured', ''], map(_goal, bench.goals))}"
        )
        sections += [
            f"Not met, {goal.what}: {goal.why}"
            for goal in bench.goals
            if goal.met is False and goal.why
        ]
    return "\n\n".join(sections)


def _machines(bench: Bench) -> str:
    """On what all of it was measured, or each part."""
    if len(bench.machines) == 1:
        return f"Measured on {next(iter(bench.machines))}."
    lines = [f"- {machine}: {', '.join(parts)}." for machine, parts in bench.machines.items()]
    return "\n".join(["Measured on", "", *lines])


def _disks(bench: Bench, shown: Callable[[Cost], str] | None) -> str:
    """The table of disks; without C(shown), of ratios to our own time."""
    rows = []
    for step in STEPS:
        for way in WAYS:
            cells = []
            for count in bench.measured_counts:
                cost, ours = (
                    bench.typical(name, step, count) for name in (way.name, Provision.name)
                )
                if not cost or not ours:
                    cells.append("")
                else:
                    cells.append(shown(cost) if shown else f"{cost.wall / ours.wall:.2f}")
            if any(cells):
                rows.append([f"{step}, {way.name}", *cells])
    return _table(["disks", *map(str, bench.measured_counts)], rows)


def _goal(goal: Goal) -> List[str]:
    sign = "≥" if goal.at_least else "≤"
    value = "" if goal.value is None else f"{goal.value:.3g}"
    verdict = {True: "met", False: "**not met**", None: "not measured"}[goal.met]
    return [goal.what, f"{sign} {goal.limit:g} {goal.unit}", value, verdict]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose source can be read, too."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    written = [
        "| " + " | ".join([cell.ljust(width) for cell, width in zip(line, widths)]) + " |"
        for line in lines
    ]
    written.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(written)


def record(bench: Bench, said: str, folder: Path) -> None:
    """Write the tables, and the plot of the first and the second run."""
    (folder / "performance.md").write_text(
        f"<!--\n{LICENCE}\n-->\n# What disks cost\n\n"
        f"![Time against disks](performance.svg)\n\n{said}\n"
    )
    from matplotlib import pyplot  # noqa: PLC0415 so large that it would count in what is measured

    pyplot.rcParams["svg.fonttype"] = "none"
    pyplot.rcParams["svg.hashsalt"] = "xen.blockdev"
    figure, plots = pyplot.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    for plot, step in zip(plots, ("first run", "second run")):
        for way in WAYS:
            points = [
                (count, cost.wall)
                for count in bench.measured_counts
                if (cost := bench.typical(way.name, step, count))
            ]
            if points:
                plot.plot(*zip(*points), marker="o", markersize=4, label=way.name)
        plot.set(xscale="log", yscale="log", title=step, xlabel="disks")
        counts = bench.measured_counts
        plot.set_xticks(counts, [str(count) for count in counts])
        plot.minorticks_off()
        plot.grid(alpha=0.3)
    plots[0].set_ylabel("seconds")
    plots[0].set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    plots[0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(folder / "performance.svg", metadata={"Date": None})
    drawn = (folder / "performance.svg").read_text()
    (folder / "performance.svg").write_text(
        drawn.replace("<svg ", f"<!--\n{LICENCE}\n-->\n<svg ", 1)
    )
