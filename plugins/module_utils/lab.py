# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labs: real Xen hosts that run in QEMU on the controller, planned and brought to their state."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils import (
    lab_build,
    lab_machine,
    locks,
)
from ansible_collections.xen.blockdev.plugins.module_utils.actions import Action, State
from ansible_collections.xen.blockdev.plugins.module_utils.lab_files import (
    Cache,
    LabError,
    complete_folder,
    require_space,
    require_tools,
    run,
)
from ansible_collections.xen.blockdev.plugins.module_utils.lab_recipe import Machine, Recipe

LOCK_SECONDS = 3600
"""How long another run may build before it is an error to wait for it."""

SNAPSHOT_BYTES = 1 << 30
"""Room for a snapshot: dom0's memory as far as it is used, and what it writes while it boots."""


@dataclass(frozen=True)
class Wanted:
    """A lab as it is wanted."""

    name: str
    recipe: Recipe
    memory: int
    """MiB."""
    cpus: int
    port: Optional[int]
    """None for any that is free."""
    boot_seconds: float


class Lab:
    """One lab, its state read once."""

    def __init__(self, cache: Cache, wanted: Wanted) -> None:
        self._cache = cache
        self._wanted = wanted
        self._folder = cache.machine(wanted.name)
        self._image = cache.image(wanted.recipe.key)
        self.before = _state_of(self._folder)

    # ---- present ----

    def plan_present(self) -> List[Action]:
        """What is to be done until the lab runs. Raises LabError where it cannot be had."""
        if self.before:
            self._require_as_wanted(self.before)
            return []
        require_tools(["qemu-system-x86_64", "qemu-img", "ssh"])
        if self._wanted.port:
            lab_machine.require_free_port(self._wanted.port)
        release, name = self._wanted.recipe.release, self._wanted.name
        actions = [Action(f"start lab {name} from the snapshot", self._start)]
        if not os.path.isdir(self._snapshot):
            actions.insert(0, Action("boot it once and keep a snapshot", self._take_snapshot))
        if not os.path.isdir(self._image):
            require_tools(["mmdebstrap", "mke2fs", "ssh-keygen"])
            build = partial(lab_build.build, self._wanted.recipe, self._image)
            actions.insert(0, Action(f"build a dom0 of Debian {release}", build))
        return actions

    def _require_as_wanted(self, state: State) -> None:
        wanted: Dict[str, Tuple[object, object]] = {
            "port": (state["port"], self._wanted.port or state["port"]),
            "release": (state["release"], self._wanted.recipe.release),
            "memory": (state["memory"], self._wanted.memory),
            "cpus": (state["cpus"], self._wanted.cpus),
            "contents": (state["image"], self._image),
        }
        other = [
            f"{name} {has}, not {wants}" for name, (has, wants) in wanted.items() if has != wants
        ]
        if other:
            raise LabError(
                f"lab {self._wanted.name} runs already, with {', '.join(other)}; end it first "
                "(xen_lab_state: absent), or give the new one another name (xen_lab_name)"
            )

    @cached_property
    def _machine(self) -> Machine:
        qemu = run(["qemu-system-x86_64", "--version"], 60).split("\n", maxsplit=1)[0]
        return Machine(
            image_key=self._wanted.recipe.key,
            qemu=qemu,
            memory=self._wanted.memory,
            cpus=self._wanted.cpus,
        )

    @cached_property
    def _snapshot(self) -> str:
        return self._cache.snapshot(self._machine.key)

    @property
    def _image_from_folder(self) -> str:
        """The image relative to any folder that has a disk."""
        return f"../../images/{self._wanted.recipe.key}"

    def _take_snapshot(self) -> None:
        os.makedirs(os.path.dirname(self._snapshot), mode=0o700, exist_ok=True)
        require_space(os.path.dirname(self._snapshot), SNAPSHOT_BYTES)
        port = lab_machine.free_port()
        with complete_folder(self._snapshot) as folder:
            try:
                _make_disk(folder, f"{self._image_from_folder}/root.img", "raw")
                lab_machine.start(self._machine, folder, self._image_from_folder, port, None)
                lab_machine.await_boot(folder, self._image, port, self._wanted.boot_seconds)
                lab_machine.save(folder, f"{folder}/memory")
            finally:
                lab_machine.end(folder)

    def _start(self) -> None:
        port = self._wanted.port or lab_machine.free_port()
        lab_build.remove(self._folder)
        os.makedirs(self._folder, mode=0o700)
        try:
            _make_disk(self._folder, f"../../snapshots/{self._machine.key}/disk.qcow2", "qcow2")
            _write_state(self._folder, self._describe(port))
            memory = f"{self._snapshot}/memory"
            lab_machine.start(self._machine, self._folder, self._image_from_folder, port, memory)
            lab_machine.await_login(self._folder, self._image, port, self._wanted.boot_seconds)
        except BaseException:
            lab_machine.end(self._folder)
            raise

    def _describe(self, port: int) -> State:
        return {
            "host": "127.0.0.1",
            "port": port,
            "user": "root",
            "private_key_file": f"{self._image}/id_ed25519",
            "ssh_options": lab_machine.ssh_options(self._image),
            "console": f"{self._folder}/console.log",
            "image": self._image,
            "release": self._wanted.recipe.release,
            "memory": self._wanted.memory,
            "cpus": self._wanted.cpus,
        }

    # ---- absent ----

    def plan_absent(self) -> List[Action]:
        """What is to be done until the lab is gone; the cache stays."""
        if not os.path.isdir(self._folder):
            return []
        sentence = f"{'end' if self.before else 'remove what is left of'} lab {self._wanted.name}"
        return [Action(sentence, self._remove)]

    def _remove(self) -> None:
        lab_machine.end(self._folder)
        lab_build.remove(self._folder)

    def plan_cleared(self) -> List[Action]:
        """What is to be done until the lab and the cache are gone.

        Raises LabError where another lab runs from the cache.
        """
        others = [
            name
            for name in self._cache.machines()
            if name != self._wanted.name and lab_machine.runs(self._cache.machine(name))
        ]
        if others:
            raise LabError(
                f"lab {', '.join(others)} runs from the cache in {self._cache.path}; end it first "
                "(xen_lab_state: absent, xen_lab_name)"
            )
        parts = [os.path.join(self._cache.path, name) for name in ("images", "snapshots")]
        clear = [
            Action(f"remove {part}", partial(lab_build.remove, part))
            for part in parts
            if os.path.isdir(part)
        ]
        return [*self.plan_absent(), *clear]

    def read_back(self) -> Optional[State]:
        """The lab as it is now, None where it does not run."""
        return _state_of(self._folder)


def bring(
    cache: Cache, wanted: Wanted, state: str, check_mode: bool, done: List[str]
) -> Optional[State]:
    """Bring a lab to C(state): C(present), C(absent) or C(cleared). Returns it if it runs.

    C(done) gets a sentence for each thing that was done or, in check mode, would be. Raises
    LabError or OSError.
    """
    with ExitStack() as stack:
        if not check_mode:
            # Labs of different names share images and snapshots, so one run builds for all.
            stack.enter_context(locks.of_file(cache.lock("cache"), LOCK_SECONDS))
        lab = Lab(cache, wanted)
        plans = {
            "present": lab.plan_present,
            "absent": lab.plan_absent,
            "cleared": lab.plan_cleared,
        }
        for action in plans[state]():
            if not check_mode:
                action.run()
            done.append(action.sentence)
        return lab.before if check_mode else lab.read_back()


def read_recipe(
    folder: str, release: str, packages: Sequence[str], mirror: Optional[str]
) -> Recipe:
    """What a dom0 is built from; C(folder) has the files to be added. Raises OSError."""
    files: Dict[str, bytes] = {}
    executables = []
    for parent, _folders, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            relative = os.path.relpath(path, folder)
            with open(path, "rb") as file:
                files[relative] = file.read()
            if os.access(path, os.X_OK):
                executables.append(relative)
    return Recipe(release, tuple(packages), mirror, files, tuple(sorted(executables)))


def _make_disk(folder: str, base: str, base_format: str) -> None:
    """Make the disk of a machine, which keeps what differs from C(base)."""
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", base_format, "-b", base]
    run([*command, "disk.qcow2"], 60, folder)


def _write_state(folder: str, state: Mapping[str, Any]) -> None:
    with open(os.path.join(folder, "machine.json"), "w", encoding="utf-8") as file:
        json.dump(state, file, indent=2)


def _state_of(folder: str) -> Optional[State]:
    """What was written of the lab in C(folder), None where it does not run."""
    if not lab_machine.runs(folder):
        return None
    with open(os.path.join(folder, "machine.json"), encoding="utf-8") as file:
        state: State = json.load(file)
    return state
