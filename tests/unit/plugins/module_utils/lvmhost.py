# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with the stand-in for LVM, whose devices are files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import Outcome, run_items
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.host.programs import Completed
from ansible_collections.xen.blockdev.plugins.module_utils.resources import (
    logical_volume,
    logical_volume_users,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.logical_volume import (
    open_volumes,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.logical_volume_interface import (  # noqa: E501
    INTERFACE,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage, User
from ansible_collections.xen.blockdev.tests.fake_lvm import MAJOR, FakeLvm
from ansible_collections.xen.blockdev.tests.fake_lvm import run as fake_lvm_run
from ansible_collections.xen.blockdev.tests.lvm_host import fake_lvm

KIB = 1024
MIB = 1024 * KIB
EXTENT = 64 * KIB


def run_here(fake: FakeLvm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have LVM run in this process, which is much faster."""
    real_run = programs.run

    def run(argv: Sequence[str], timeout: float, **options: Any) -> Completed:
        if argv[0] != "lvm":
            return real_run(argv, timeout, **options)
        return Completed(*fake_lvm_run(fake, argv[1:]))

    monkeypatch.setattr(programs, "run", run)


class KnownUsage(Usage):
    """Volumes have the users that a test sets, by minor number."""

    users: Dict[int, List[User]] = {}  # noqa: RUF012

    def of_device(self, rdev: int, leaves: Any = None, *_options: object) -> List[User]:
        assert os.major(rdev) == MAJOR
        found = self.users.get(os.minor(rdev), [])
        return [user for user in found if leaves is None or not leaves(user)]


class LvmHost:
    """Runs xen_logical_volume on the stand-in."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake = fake_lvm(home, monkeypatch)
        run_here(self.fake, monkeypatch)
        self.users: Dict[int, List[User]] = {}
        monkeypatch.setattr(KnownUsage, "users", self.users)
        for module in (logical_volume, logical_volume_users):
            monkeypatch.setattr(module, "Usage", KnownUsage)

    def run(
        self,
        *volumes: Dict[str, Any],
        check: bool = False,
        pending: Any = None,
        fault: Optional[Dict[str, Any]] = None,
        **common: Any,
    ) -> Outcome:
        """What the module does with the volumes, each in vg0 unless it says otherwise. ``fault``:
        see FakeLvm.behave."""
        items = [{"volume_group": "vg0", **volume} for volume in volumes]
        params = INTERFACE.checked_params({"volumes": items, "pending": pending, **common})
        self.fake.behave(**(fault or {}))
        return run_items(None, INTERFACE, open_volumes, params, check)  # type: ignore[arg-type]

    def done(self, *volumes: Dict[str, Any], **options: Any) -> Sequence[Dict[str, Any]]:
        """The entries of the result, after check mode has announced the same, and a second run has
        changed nothing."""
        before = self.fake.read()
        announced = self.run(*volumes, check=True, **options)
        assert announced.error is None, announced.error
        assert self.fake.read() == before, "check mode has changed something"
        outcome = self.run(*volumes, **options)
        assert outcome.error is None, outcome.error
        assert outcome.actions == announced.actions
        assert outcome.entries == announced.entries
        assert outcome.warnings == announced.warnings
        commands = self.fake.calls
        again = self.run(*volumes, **options)
        assert (again.error, again.changed) == (None, False)
        assert self.fake.commands == ["fullreport"]
        (self.fake.home / "calls.log").write_text("")
        self.calls = commands
        return outcome.entries["volumes"]

    def refused(self, *volumes: Dict[str, Any], **options: Any) -> str:
        """The error, the same with and without check mode; nothing is touched."""
        before = self.fake.read()
        errors = [self.run(*volumes, check=check, **options).error for check in (True, False)]
        assert errors[0] is not None
        assert errors[0] == errors[1]
        assert self.fake.read() == before
        assert self.fake.changes == []
        words = errors[0].replace(f"{self.fake.home}/dev/", "/dev/")
        return words[len("volumes[0]: ") :] if len(volumes) == 1 else words
