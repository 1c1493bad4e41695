# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the integration targets in a copy of the checkout in which ansible-test can work.

As many run at once as there are processors, the longest first, each in a copy of its own; what one
has printed is shown when it ends. The arguments are names of targets, none stands for all.
"""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TARGETS = Path("tests/integration/targets")
COMMAND = ["ansible-test", "integration", "--color", "no", "--allow-destructive"]


def targets() -> list[str]:
    """Their names; more text stands for more time."""
    names = [folder.name for folder in TARGETS.iterdir() if not folder.name.startswith("setup_")]
    return sorted(names, key=_length, reverse=True)


def _length(name: str) -> int:
    return sum(path.stat().st_size for path in (TARGETS / name / "tasks").glob("*.yml"))


def run(target: str) -> subprocess.CompletedProcess[str]:
    """Run one target, in a new copy of this folder."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="xen-blockdev-target.") as scratch:
        copy = Path(scratch).joinpath(*here.parts[-3:])
        shutil.copytree(here, copy, symlinks=True)
        return subprocess.run(
            [*COMMAND, target],
            cwd=copy,
            # A home of its own: ansible-test makes a key there, which two at once cannot.
            env={**os.environ, "HOME": scratch},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )


def main() -> None:
    failed = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        running = {pool.submit(run, target): target for target in sys.argv[1:] or targets()}
        for done in concurrent.futures.as_completed(running):
            ended = done.result()
            print(ended.stdout, flush=True)
            if ended.returncode:
                failed.append(running[done])
                print(f"FAILED: integration target {running[done]}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
