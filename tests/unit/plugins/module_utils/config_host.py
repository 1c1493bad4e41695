# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configs on a real file system; the loop devices of the host are given."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, Sequence

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.config.config_file import ConfigError
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Plan, State
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding, file_id
from ansible_collections.xen.blockdev.plugins.module_utils.resources.domain_config import (
    DomainConfigs,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.domain_config_item import (
    DomainConfigItem,
)
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Vbd

DEFAULTS: Dict[str, Any] = {
    "domain": "web",
    "state": "present",
    "options": None,
    "disks": None,
    "overwrite": False,
    "backup": False,
    "validate": True,
    "parents": False,
    "autostart": None,
    "autostart_dir": "/nowhere",
    "allow_slot_change": False,
    "unlisted_disks": None,
    "removed_disks": None,
    "known_images": None,
}

FOREIGN = b"""# caf\xe9
name = "web"; memory = 64 # odd
disk = [ 'phy:/dev/vg0/old,xvda,w', # the system
]
vif = ["bridge=b"]
"""


class Host:
    """A directory for configs and images, and the loop devices that are said to be bound."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.bindings: List[Binding] = []
        self.vbds: List[Vbd] = []
        self.scans = 0
        self._nodes: Dict[str, Any] = {}
        real_stat = os.stat

        def fake_stat(path: Any, **kwargs: Any) -> Any:
            return self._nodes.get(path) or real_stat(path, **kwargs)

        monkeypatch.setattr(os, "stat", fake_stat)

    @property
    def path(self) -> Path:
        return self.home / "web.cfg"

    def image(self, name: str) -> str:
        path = self.home / name
        path.write_bytes(bytes(512))
        return str(path)

    def node(self, path: str, number: int) -> None:
        self._nodes[path] = SimpleNamespace(
            st_mode=stat.S_IFBLK, st_rdev=os.makedev(7, number), st_dev=0, st_ino=number
        )

    def bind(self, path: str, number: int, link: bool = False, offset: int = 0) -> str:
        """Say that an image is bound, and return the link to its loop device."""
        device = f"/dev/loop{number}"
        self.node(device, number)
        if link:
            self.node(loop_link.link_of(path), number)
        self.bindings = [one for one in self.bindings if one.number != number]
        self.bindings.append(
            Binding(
                number=number,
                rdev=os.makedev(7, number),
                file=file_id(os.stat(path)),
                backing_rdev=0,
                backing_file=path,
                deleted=False,
                offset=offset,
                size_limit=0,
                flags=0,
                size=512,
                sector_size=512,
            )
        )
        return loop_link.link_of(path)

    def scan(self) -> Sequence[Binding]:
        self.scans += 1
        return self.bindings

    def configs(self, check_mode: bool = False, pending: Any = None) -> DomainConfigs:
        return DomainConfigs(Pending.read(pending, check_mode), self.scan, lambda: self.vbds)

    def item(self, **options: Any) -> DomainConfigItem:
        return DomainConfigItem.read({**DEFAULTS, "path": str(self.path), **options})

    def planned(self, check_mode: bool = False, pending: Any = None, **options: Any) -> Plan:
        return self.configs(check_mode, pending).plan(self.item(**options))

    def plans(self, *items: State) -> List[Plan]:
        """Plan several configs in one call."""
        configs = self.configs()
        wanted = [self.item(**item) for item in items]
        configs.expect(wanted)
        return [configs.plan(item) for item in wanted]

    def done(self, **options: Any) -> State:
        configs = self.configs()
        plan = configs.plan(self.item(**options))
        learned = run_actions(plan)
        configs.settle()
        state = {**plan.read_back(), **learned}
        assert not self.planned(**options).actions
        return state

    def refused(self, **options: Any) -> str:
        with pytest.raises(ConfigError) as error:
            self.planned(**options)
        return str(error.value)


def disk(target: str, vdev: str = "xvda", **more: Any) -> State:
    """As Ansible hands over a disk: with what was not said as None."""
    return {"target": target, "vdev": vdev, "format": None, "access": None, **more}


def run_actions(plan: Plan) -> State:
    """Run the actions of a plan and return the result keys that only they know."""
    state: State = {}
    for action in plan.actions:
        learned = action.run()
        state.update(learned.state if learned else {})
    return state


def sentences(plan: Plan) -> List[str]:
    return [action.sentence for action in plan.actions]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
