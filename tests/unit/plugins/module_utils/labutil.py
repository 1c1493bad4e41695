# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine to test labs on: stand-ins for what takes minutes, and a cache."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Callable, List, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import State
from ansible_collections.xen.blockdev.plugins.module_utils.lab import files as lab_files
from ansible_collections.xen.blockdev.plugins.module_utils.lab import machine as lab_machine
from ansible_collections.xen.blockdev.plugins.module_utils.lab.build import read_recipe
from ansible_collections.xen.blockdev.plugins.module_utils.lab.files import Cache
from ansible_collections.xen.blockdev.plugins.module_utils.lab.recipe import CUSTOMISE
from ansible_collections.xen.blockdev.plugins.module_utils.lab.start import (
    Start,
    WantedLab,
    state_of,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources import lab
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.contentutil import (
    skip_without,
)

FAKE = (
    Path(__file__).parents[3] / "integration/targets/setup_fake_lab/files/fake_lab.py"
).read_text()
STAND_INS = ("mmdebstrap", "qemu-system-x86_64", "qemu-img", "ssh")
REAL = ("mke2fs", "ssh-keygen")
"""What is run as it is."""


class Bench:
    """Makes labs in C(home)/cache."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        skip_without(*REAL)
        self.home = home
        self.cache = Cache(str(home / "cache, with blanks"))
        self.done: List[str] = []
        commands = home / "bin"
        commands.mkdir()
        for name in STAND_INS:
            (commands / name).write_text(f"#!{sys.executable} -ES\n{FAKE}")
            (commands / name).chmod(0o755)
        self.behave()
        customise = home / "files" / CUSTOMISE
        customise.parent.mkdir(parents=True)
        customise.write_text("#!/bin/sh\n")
        customise.chmod(0o755)
        monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
        monkeypatch.setenv("FAKE_LAB", str(home))
        monkeypatch.setenv("TMPDIR", str(home))
        monkeypatch.setattr(tempfile, "tempdir", None)
        monkeypatch.setattr(lab_files, "END_SECONDS", 2)
        monkeypatch.setattr(lab_machine, "QUIT_SECONDS", 0.5)

    def behave(self, **behaviour: Any) -> None:
        """Say what goes wrong from now on, see fake_lab.py."""
        (self.home / "behaviour.json").write_text(json.dumps(behaviour))

    def commands(self, name: str) -> List[List[str]]:
        """The commands C(name) that were run, without the name."""
        log = self.home / "log"
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [line[1:] for line in lines if line[0] == name]

    def processes(self) -> List[int]:
        """Those of the stand-ins that still run."""
        file = self.home / "pids"
        pids = [int(line) for line in file.read_text().split()] if file.exists() else []
        return [pid for pid in pids if _runs(pid)]

    def end_all(self) -> None:
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.await_(lambda: not self.processes())

    @staticmethod
    def await_(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    # ---- labs ----

    def wanted(self, name: str = "lab", **options: Any) -> WantedLab:
        files = str(self.home / "files")
        recipe = read_recipe(files, options.pop("release", "bookworm"), ["linux"], None)
        defaults = {"memory": 3072, "cpus": 2, "port": None, "boot_seconds": 5}
        return WantedLab(name=name, recipe=recipe, **{**defaults, **options})

    def start(self, name: str = "lab", check_mode: bool = False, **options: Any) -> List[str]:
        """What was done until the lab runs."""
        return self._bring(Start(self.cache, self.wanted(name, **options)).plan, check_mode)

    def end(self, name: str = "lab", check_mode: bool = False) -> List[str]:
        return self._bring(partial(lab.plan_absent, self.cache, name), check_mode)

    def clear(self, name: str = "lab", check_mode: bool = False) -> List[str]:
        return self._bring(partial(lab.plan_cleared, self.cache, name), check_mode)

    def _bring(self, plan: Any, check_mode: bool) -> List[str]:
        self.done = []
        lab.bring(self.cache, plan, check_mode, self.done)
        return self.done

    def state(self, name: str = "lab") -> Optional[State]:
        return state_of(self.cache.machine(name))

    def runs(self, name: str = "lab") -> bool:
        return lab_machine.runs(self.cache.machine(name))

    def tree(self) -> List[str]:
        """All that is in the cache, with a sum where a file is small."""
        folder = Path(self.cache.path)
        return sorted(f"{path.relative_to(folder)} {_sum(path)}" for path in folder.rglob("*"))


def _sum(path: Path) -> object:
    status = path.lstat()
    return (status.st_ino, status.st_size if path.is_file() else 0)


def _runs(pid: int) -> bool:
    """Whether it is there and no zombie: that has no open files."""
    try:
        return bool(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError):
        return False
