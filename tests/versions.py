# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the collection with each ansible-core and each Python that it supports.

Run in a copy of the checkout in which ansible-test can work. For each ansible-core all of
ansible-test's own checks are run once, as the controller sees them; for each Python of a target
those that depend on it, one integration target, and the unit tests; for each ansible-core the
targets with playbooks and roles as well. A Python that is not on this machine is named and left
out. With --quick only the oldest and the newest of both, and the unit tests, which take most of the
time, with the oldest of both alone.

Environments are kept below $XEN_BLOCKDEV_CACHE/versions. A folder with links to the interpreters
comes first on PATH, because pyenv's own may not run.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

CACHE = Path(os.environ["XEN_BLOCKDEV_CACHE"]) / "versions"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
TARGET = "one_of_each"
OF_A_CONTROLLER = ["playbooks", "mirage_tests"]
"""Targets with the roles, and with what is templated on the controller."""

SANITY = ["tests/ansible-test", "sanity", "--color", "no"]
SANITY_TEST = r"^Running sanity test "
# Sanity tests that look at the code as the Python of a target sees it.
OF_A_PYTHON = ["--test", "compile", "--test", "import"]


class Core(NamedTuple):
    version: str
    controllers: List[str]  # Pythons that run it
    targets: List[str]  # Pythons that its modules support


CORES = [
    Core("2.18.19", ["3.11", "3.12", "3.13"], ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"]),
    Core("2.19.14", ["3.11", "3.12", "3.13"], ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"]),
    Core("2.20.10", ["3.12", "3.13", "3.14"], ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14"]),
    Core("2.21.5", ["3.12", "3.13", "3.14"], ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14"]),
]


class Step(NamedTuple):
    name: str
    command: List[str]
    passing: str  # a line that counts as one passed, or its group as so many


class Result(NamedTuple):
    core: str
    python: str
    name: str
    passed: int
    failed: int
    seconds: float


# Interpreters


def interpreters(wanted: List[str]) -> Dict[str, Path]:
    """Those that are on this machine and run."""
    found = {}
    for version in wanted:
        for candidate in candidates(version):
            if runs_as(candidate, version):
                found[version] = candidate
                break
    return found


def candidates(version: str) -> Iterator[Path]:
    """Where one may be: pyenv, uv, and whatever else is on PATH."""
    name = f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/{name}"))
    yield from sorted((Path.home() / ".local/share/uv/python").glob(f"*/bin/{name}"))
    on_path = shutil.which(name)
    if on_path:
        yield Path(on_path)


def runs_as(candidate: Path, version: str) -> bool:
    program = "import ssl, sys, venv; print('%d.%d' % sys.version_info[:2])"
    process = subprocess.run(
        [candidate, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )
    return process.stdout.decode().strip() == version


def link(pythons: Dict[str, Path]) -> Path:
    """The folder in which each of them has its usual name, and nothing else is."""
    folder = CACHE / "pythons"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for version, path in pythons.items():
        (folder / f"python{version}").symlink_to(path)
    return folder


# Environments


def environment(core: Core, python: Path, links: Path) -> Dict[str, str]:
    """Variables with which ansible-test is that of C(core), installed if it is not yet."""
    home = CACHE / core.version
    venv = home / "venv"
    if not (venv / ".installed").exists():
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([python, "-m", "venv", venv], check=True)
        pip = [str(venv / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"ansible-core=={core.version}", "jmespath"], check=True)
        (venv / ".installed").touch()
    path = f"{venv / 'bin'}:{links}:{os.environ['PATH']}"
    return {**os.environ, "XEN_BLOCKDEV_CACHE": str(home), "PATH": path}


# Steps


def steps(core: Core, python: str, interpreter: Path, units: bool) -> Iterator[Step]:
    """What is run for a Python of a target, with the unit tests or without."""
    yield Step("sanity", [*SANITY, *OF_A_PYTHON, "--python", python], SANITY_TEST)
    yield integration(TARGET, python, interpreter)
    if units:
        command = ["tests/ansible-test", "units", "--color", "no", "--python", python]
        yield Step("units", command, r"==.* (\d+) passed")


def integration(target: str, python: str, interpreter: Path) -> Step:
    """One integration target, its modules run by a Python of a target."""
    command = ["ansible-test", "integration", "--color", "no", "--allow-destructive", target]
    where = ["--target", f"controller:python={python}@{interpreter}"]
    name = "integration" if target == TARGET else target
    return Step(name, [*command, *where], rf"^Running {target} integration test role")


def run(step: Step, environ: Dict[str, str]) -> Tuple[int, int]:
    """The number of tests that passed and that failed; the output is shown if one did."""
    process = subprocess.run(
        step.command,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    passing = re.compile(step.passing)
    matches = [passing.search(COLOURS.sub("", line)) for line in process.stdout.splitlines()]
    passed = sum(int(match[1]) if match.groups() else 1 for match in matches if match)
    if process.returncode == 0 and passed:
        return passed, 0
    print(process.stdout, flush=True)
    failed = re.search(r"==.* (\d+) failed", process.stdout)
    return passed if failed else 0, int(failed[1]) if failed else 1


def timed(core: Core, python: str, step: Step, environ: Dict[str, str]) -> Result:
    started = time.monotonic()
    passed, failed = run(step, environ)
    result = Result(core.version, python, step.name, passed, failed, time.monotonic() - started)
    print(line(result), flush=True)
    return result


def line(result: Result) -> str:
    where = f"core {result.core:<8} Python {result.python:<5} {result.name:<12}"
    return f"{where} {result.passed:5} passed {result.failed:3} failed {result.seconds:5.0f} s"


def check(core: Core, pythons: Dict[str, Path], links: Path, is_quick: bool) -> Iterator[Result]:
    controllers, targets = here(core.controllers, pythons), here(core.targets, pythons)
    if not controllers:
        return
    environ = environment(core, pythons[controllers[0]], links)
    if not is_quick:
        yield timed(core, controllers[0], Step("all sanity", SANITY, SANITY_TEST), environ)
        interpreter = pythons[controllers[0]]
        for target in OF_A_CONTROLLER:
            yield timed(
                core, controllers[0], integration(target, controllers[0], interpreter), environ
            )
    for python in dict.fromkeys([targets[0], targets[-1]]) if is_quick else targets:
        units = not is_quick or (core, python) == (CORES[0], targets[0])
        for step in steps(core, python, pythons[python], units):
            yield timed(core, python, step, environ)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    is_quick = parser.parse_args().quick
    wanted = sorted({version for core in CORES for version in core.targets}, key=number)
    pythons = interpreters(wanted)
    links = link(pythons)
    results = [
        result
        for core in ([CORES[0], CORES[-1]] if is_quick else CORES)
        for result in check(core, pythons, links, is_quick)
    ]
    print("\n" + "\n".join(line(result) for result in results))
    print("\n".join(left_out(wanted, pythons)))
    failed = sum(result.failed for result in results)
    print(f"{sum(result.passed for result in results)} passed, {failed} failed")
    sys.exit(1 if failed else 0)


def here(versions: List[str], pythons: Dict[str, Path]) -> List[str]:
    return [version for version in versions if version in pythons]


def left_out(wanted: List[str], pythons: Dict[str, Path]) -> List[str]:
    """What could not be checked, a sentence each."""
    missing = [f"Python {version} is not here" for version in wanted if version not in pythons]
    for core in CORES:
        if not here(core.controllers, pythons):
            missing.append(f"ansible-core {core.version} wants {' or '.join(core.controllers)}")
    return [f"left out: {sentence}" for sentence in missing]


def number(version: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


if __name__ == "__main__":
    main()
