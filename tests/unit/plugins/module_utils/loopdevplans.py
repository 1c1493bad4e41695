# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of xen_loopdev against made-up loop devices."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Plan
from ansible_collections.xen.blockdev.plugins.module_utils.loop import control as loop_control
from ansible_collections.xen.blockdev.plugins.module_utils.loop import node as loop_node
from ansible_collections.xen.blockdev.plugins.module_utils.loop import udev_rule
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding, LoopError
from ansible_collections.xen.blockdev.plugins.module_utils.loop.boot_unit import BootUnits
from ansible_collections.xen.blockdev.plugins.module_utils.loop.udev_rule import UdevRule
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev import LoopDevices
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_host import LoopHost
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_item import (
    LoopdevItem,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Leaves, Usage, User

MIB = 1024**2

DEFAULTS: Dict[str, Any] = {
    "device": None,
    "state": "present",
    "format": None,
    "direct_io": None,
    "persistent": None,
    "udev_rule": False,
    "sector_size": 512,
    "discard_deleted": False,
    "in_use": "fail",
    "ours_only": False,
    "named_in": None,
}

UNBOUND = {
    "device": None,
    "link": None,
    "major": None,
    "minor": None,
    "size": None,
    "direct_io": None,
    "read_only": None,
    "persistent": False,
}

MOUNT = User("mount", "mounted on /mnt")
WEB = User("vbd", "attached to domain web as xvdb", "web", 51728)


class KnownUsage(Usage):
    """The usage of these loop devices, and of nothing else."""

    def __init__(self, bindings: Sequence[Binding], users: Dict[int, List[User]]) -> None:
        super().__init__()
        self.bindings = list(bindings)
        self._users = users

    def of_device(self, rdev: int, leaves: Leaves = lambda user: False) -> List[User]:
        return [user for user in self._users.get(os.minor(rdev), []) if not leaves(user)]


def plain_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with the loop driver and without udev."""
    (tmp_path / "loop-control").touch()
    monkeypatch.setattr(loop_control, "CONTROL", str(tmp_path / "loop-control"))
    monkeypatch.setattr(loop_node, "SYS_MISC", str(tmp_path / "no-sys"))
    monkeypatch.setattr(udev_rule, "UDEV_CONTROL", str(tmp_path / "no-udev"))


def make(path: Path, size: int = MIB) -> Path:
    path.touch()
    os.truncate(path, size)
    return path


def item(path: object, **options: Any) -> LoopdevItem:
    return LoopdevItem.read({**DEFAULTS, "path": str(path), **options})


def devices(
    *bindings: Binding,
    users: Optional[Dict[int, List[User]]] = None,
    check_mode: bool = False,
    pending: Optional[Dict[str, Any]] = None,
    rule: str = "/nowhere/61.rules",
    units: str = "/nowhere",
) -> LoopDevices:
    usage = KnownUsage(bindings, users or {})
    planned = Pending.read(pending, check_mode)
    return LoopDevices(LoopHost.of(usage, BootUnits(units), UdevRule(rule), planned))


def sentences(plan: Plan) -> List[str]:
    return [action.sentence for action in plan.actions]


def refused(resource: LoopDevices, path: object, **options: Any) -> str:
    with pytest.raises(LoopError) as error:
        resource.plan(item(path, **options))
    return str(error.value)
