# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change the pure files of module_utils in one place at a time, and see whether a test notices.

A change is a mutant; one that no test notices has survived. It shows a test that is missing, code
that is not needed, or a change that makes no difference: the last are in explained.txt with the
reason. Ends with a count, and without success if there is a survivor that is not explained.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

CACHE = Path(os.environ["XEN_BLOCKDEV_CACHE"])
TOOLS = CACHE / "mutation/bin"
COLLECTION = Path("ansible_collections/xen/blockdev")
EXPLAINED = Path(__file__).parent / "explained.txt"
UNITS = "tests/unit/plugins"

FILES: Dict[str, Tuple[str, ...]] = {
    "config/drives": (),
    "config/guest": (),
    "config/mirage_xl": (),
    "config/passwords": (),
    "config/placeholders": (),
    "config/syntax": ("config/test_syntax", "config/test_text"),
    "config/text": (),
    "console/transcript": (),
    "converge/pending": (),
    "disk/device_number": (),
    "disk/emulation": (),
    "disk/listed": (),
    "disk/scanner": ("disk/test_spec",),
    "disk/spec": (),
    "disk/values": ("disk/test_spec",),
    "inventory/disk_plan": (),
    "inventory/domain_template": (),
    "inventory/options": ("inventory/test_reader", "inventory/test_domain_template"),
    "inventory/reader": (
        "inventory/test_reader",
        "inventory/test_domain_template",
        "inventory/test_disk_plan",
    ),
    "lab/recipe": (),
    "loop/link": ("loop/test_binding", "loop/test_boot_unit"),
    "mirage/results": (),
    "mirage/tests": (),
    "units": ("test_units", "inventory/test_disk_plan"),
}
"""The pure files that decide something, and their tests if these have other names."""

SLOW = (
    "test_that_a_disk_is_found_again",
    "test_that_every_small_key_stands_for_itself",
    "test_that_libxlutil",
    "test_that_the_modules_accept_every_plan",
    "test_that_xl_reads_what_was_filled_alike",
    "test_xl_",
)
"""Tests that are left out, by how their names start: they take seconds, or ask a part of Xen that
is not installed everywhere."""

# Of the many operators that could stand in the place of another, those that are nearly right.
KEPT = (
    "Add_Sub|Sub_Add|Mul_FloorDiv|Mul_Add|FloorDiv_Mul|Mod_Mul|Pow_Mul|LShift_RShift|RShift_LShift|"
    "BitOr_BitAnd|BitAnd_BitOr|BitXor_BitOr|Eq_NotEq|NotEq_Eq|Lt_LtE|Lt_GtE|LtE_Lt|LtE_Gt|"
    "Gt_GtE|Gt_LtE|GtE_Gt|GtE_Lt|Is_IsNot|IsNot_Is|USub_UAdd|Delete_USub|Delete_Not"
)
LEFT_OUT = rf"core/Replace(Binary|Comparison|Unary)Operator_(?!({KEPT})$)"

Change = Tuple[Tuple[str, ...], Tuple[str, ...]]
"""The lines that a mutant takes away and those that it puts there."""


@dataclass
class Outcome:
    """What became of the mutants of one file."""

    killed: int = 0
    stopped: int = 0
    """Of these, how many no test noticed before they ran into a limit."""

    unmade: int = 0
    """How many Cosmic Ray did not manage to make; they are no mutants then."""

    explained: int = 0
    unexplained: List[Tuple[str, Change]] = field(default_factory=list)
    """Where, and the change."""

    stale: List[Change] = field(default_factory=list)
    """Explanations of what does not survive."""

    @property
    def mutants(self) -> int:
        return self.killed + self.explained + len(self.unexplained)


def main() -> int:
    """Test the mutants of the files that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path, help="a copy of the collection in its folders")
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"of {', '.join(FILES)}; or all")
    chosen = parser.parse_args()
    wrong = set(chosen.files) - set(FILES)
    if wrong:
        parser.error(f"{', '.join(sorted(wrong))}: there are {', '.join(FILES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and clear away the copy
    explained = explanations(EXPLAINED.read_text())
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="mutants-", dir=CACHE) as folder:
        copy = Path(folder) / COLLECTION
        shutil.copytree(chosen.tree, copy, ignore=shutil.ignore_patterns(".git", "__pycache__"))
        for name in chosen.files or FILES:
            session = Path(folder) / f"{name.replace('/', '-')}.sqlite"
            outcome = tested(name, copy, session, explained.get(name, []))
            show(name, outcome)
            outcomes.append(outcome)
    unexplained = sum(len(outcome.unexplained) for outcome in outcomes)
    stale = sum(len(outcome.stale) for outcome in outcomes)
    print(
        f"{sum(outcome.mutants for outcome in outcomes)} mutants: "
        f"{sum(outcome.killed for outcome in outcomes)} killed, "
        f"{sum(outcome.explained for outcome in outcomes)} explained, "
        f"{unexplained} survived; {stale} explanations of what does not survive"
    )
    return 1 if unexplained or stale else 0


def tested(name: str, copy: Path, session: Path, explained: List[Change]) -> Outcome:
    """Make and test the mutants of a file of the copy."""
    path = f"plugins/module_utils/{name}.py"
    tests = [f"{UNITS}/module_utils/{test}.py" for test in FILES[name] or (own_test(name),)]
    without = " and ".join(f"not {slow}" for slow in SLOW)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=no", "-p", "no:cacheprovider"]
    command += ["-p", "_hypothesis_pytestplugin", "-p", "mutant", "-k", without, *tests]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{copy.parents[2]}:{Path(__file__).parent}",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    # Each test has to pass before a failure means something. Compiles them for later, too.
    seconds = children_seconds()
    run(command, copy, {**environment, "XEN_BLOCKDEV_MUTANT_SECONDS": "600"})
    seconds = children_seconds() - seconds
    environment["XEN_BLOCKDEV_MUTANT_SECONDS"] = str(round(5 + 5 * seconds))

    config = session.with_suffix(".toml")
    config.write_text(
        "[cosmic-ray]\n"
        f"module-path = {json.dumps(path)}\n"
        "timeout = 3600\n"
        f"test-command = {json.dumps(shlex.join(command))}\n"
        'distributor.name = "local"\n'
        "[cosmic-ray.filters.operators-filter]\n"
        f"exclude-operators = [{json.dumps(LEFT_OUT)}]\n"
    )
    for step in (
        ["cosmic-ray", "init", str(config), str(session)],
        ["cr-filter-operators", str(session), str(config)],
        ["cosmic-ray", "exec", str(config), str(session)],
    ):
        run([str(TOOLS / step[0]), *step[1:]], copy, environment)
    dump = run([str(TOOLS / "cosmic-ray"), "dump", str(session)], copy, environment)
    return counted(dump, explained)


def own_test(name: str) -> str:
    """The test of the same name: ``disk/test_spec`` of ``disk/spec``."""
    package, slash, stem = name.rpartition("/")
    return f"{package}{slash}test_{stem}"


def children_seconds() -> float:
    """The processor's time of all processes that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(command: List[str], folder: Path, environment: Dict[str, str]) -> str:
    """What a command prints. If it fails that is shown, and this is the end."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        sys.exit(f"{shlex.join(command)}\n{done.stdout}")
    return done.stdout


def counted(dump: str, explained: List[Change]) -> Outcome:
    """What cosmic-ray tells of the mutants, with what is known of them."""
    outcome = Outcome()
    left = Counter(explained)
    for line in dump.splitlines():
        work, result = json.loads(line)
        if result["worker_outcome"] == "skipped":
            continue
        if result["worker_outcome"] == "exception":
            outcome.unmade += 1
            continue
        if result["test_outcome"] == "killed":
            outcome.killed += 1
            outcome.stopped += not re.search(r"\d (failed|error)", result["output"])
            continue
        if result["test_outcome"] != "survived":
            sys.exit(f"{work}\n{result['output']}")
        change = changed(result["diff"])
        if left[change]:
            left[change] -= 1
            outcome.explained += 1
        else:
            mutation = work["mutations"][0]
            place = f"{mutation['module_path']}:{mutation['start_pos'][0]}"
            outcome.unexplained.append((place, change))
    outcome.stale = list(left.elements())
    return outcome


def changed(diff: str) -> Change:
    """The lines that a diff takes away and adds, without their indentation."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    return (
        tuple(line[1:].strip() for line in lines if line.startswith("-") and line[1:].strip()),
        tuple(line[1:].strip() for line in lines if line.startswith("+") and line[1:].strip()),
    )


def explanations(text: str) -> Dict[str, List[Change]]:
    """The changes that are listed, by file."""
    changes: Dict[str, List[Change]] = {}
    name = ""
    for block in re.findall(r"^\[([\w/]+)\]$|((?:^- .*\n)+(?:^\+ .*\n)*)", text, re.MULTILINE):
        if block[0]:
            name = block[0]
        else:
            changes.setdefault(name, []).append(changed(block[1]))
    return changes


def show(name: str, outcome: Outcome) -> None:
    """Print what became of a file's mutants, and each that needs a person."""
    unmade = f" ({outcome.unmade} more could not be made)" if outcome.unmade else ""
    stopped = f" ({outcome.stopped} ran into a limit)" if outcome.stopped else ""
    print(
        f"{name}: {outcome.mutants} mutants{unmade}, {outcome.killed} killed{stopped}, "
        f"{outcome.explained} explained, {len(outcome.unexplained)} survived"
    )
    for place, change in sorted(outcome.unexplained):
        print(f"  {place}", *indented(change), sep="\n")
    for change in outcome.stale:
        print("  explained, but does not survive", *indented(change), sep="\n")
    sys.stdout.flush()


def indented(change: Change) -> Iterator[str]:
    """The lines of a change, as explained.txt has them."""
    yield from (f"- {line}" for line in change[0])
    yield from (f"+ {line}" for line in change[1])


if __name__ == "__main__":
    sys.exit(main())
