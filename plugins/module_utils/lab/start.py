# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts a lab: from an image, by way of a snapshot that is taken of it once."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Dict, List, Optional, Set, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Action, State
from ansible_collections.xen.blockdev.plugins.module_utils.host.qmp import QmpError
from ansible_collections.xen.blockdev.plugins.module_utils.lab import build as lab_build
from ansible_collections.xen.blockdev.plugins.module_utils.lab import machine as lab_machine
from ansible_collections.xen.blockdev.plugins.module_utils.lab.files import (
    BUILD_BYTES,
    SNAPSHOT_BYTES,
    Cache,
    LabError,
    complete_folder,
    read_json,
    remove,
    require_space,
    require_tools,
    run,
    write_json,
)
from ansible_collections.xen.blockdev.plugins.module_utils.lab.recipe import Machine, Recipe


@dataclass(frozen=True)
class WantedLab:
    """A lab as it is wanted."""

    name: str
    recipe: Recipe
    memory: int
    """MiB."""
    cpus: int
    port: Optional[int]
    """None for any that is free."""
    boot_seconds: float


class Start:
    """What makes a lab run as it is wanted."""

    def __init__(self, cache: Cache, wanted: WantedLab) -> None:
        self._cache = cache
        self._wanted = wanted
        self._folder = cache.machine(wanted.name)
        self._image = cache.image(wanted.recipe.key)

    def plan(self) -> List[Action]:
        """The actions until the lab runs. Raises LabError if that is impossible."""
        state = state_of(self._folder)
        if state is not None:
            self._require_as_wanted(state)
            return []
        require_tools(["setpriv", "qemu-system-x86_64", "qemu-img", "ssh"])
        if self._wanted.port:
            lab_machine.require_free_port(self._wanted.port)
        return [*self._plan_image(), *self._plan_snapshot(), *self._plan_machine()]

    def _require_as_wanted(self, state: State) -> None:
        wanted: Dict[str, Tuple[object, object]] = {
            "port": (state.get("port"), self._wanted.port or state.get("port")),
            "release": (state.get("release"), self._wanted.recipe.release),
            "memory": (state.get("memory"), self._wanted.memory),
            "cpus": (state.get("cpus"), self._wanted.cpus),
            "contents": (state.get("image"), self._image),
        }
        other = [
            f"{name} {has}, not {wants}" for name, (has, wants) in wanted.items() if has != wants
        ]
        if other:
            raise LabError(
                f"lab {self._wanted.name} is already running, with {', '.join(other)}; end it "
                "first (xen_lab_state: absent), or give the new one another name (xen_lab_name)"
            )

    # ---- image ----

    def _plan_image(self) -> List[Action]:
        if os.path.isdir(self._image):
            return []
        require_space(self._cache.path, BUILD_BYTES)
        lab_build.require_buildable()
        build = partial(lab_build.build, self._wanted.recipe, self._image)
        return [Action(f"build a dom0 of Debian {self._wanted.recipe.release}", build)]

    @property
    def _image_from_folder(self) -> str:
        """The image relative to any directory that has a disk."""
        return f"../../images/{self._wanted.recipe.key}"

    # ---- snapshot ----

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

    def _plan_snapshot(self) -> List[Action]:
        if os.path.isdir(self._snapshot):
            return []
        require_space(self._cache.path, SNAPSHOT_BYTES)
        take = Action("boot it once and keep a snapshot", self._take_snapshot)
        old = [
            Action(f"remove {path}, which another version of QEMU made", partial(remove, path))
            for path in self._useless_snapshots()
        ]
        return [take, *old]

    def _useless_snapshots(self) -> List[str]:
        """Those that the QEMU of this machine cannot go on from, and that no lab stands on."""
        used: Set[str] = set()
        for name in self._cache.machines():
            used |= lab_machine.open_files(self._cache.machine(name))
        useless = []
        for path in self._cache.folders():
            made_for = read_json(f"{path}/made_for.json")
            disk = os.path.realpath(f"{path}/disk.qcow2")
            if made_for and made_for.get("qemu") != self._machine.qemu and disk not in used:
                useless.append(path)
        return useless

    def _take_snapshot(self) -> None:
        with complete_folder(self._snapshot) as folder:
            try:
                _make_overlay(folder, f"{self._image_from_folder}/root.img", "raw")
                port = lab_machine.start(self._machine, folder, self._image_from_folder, None, None)
                lab_machine.await_boot(folder, self._image, port, self._wanted.boot_seconds)
                lab_machine.save(folder, f"{folder}/memory")
                write_json(f"{folder}/made_for.json", asdict(self._machine))
            finally:
                lab_machine.end(folder)

    # ---- machine ----

    def _plan_machine(self) -> List[Action]:
        name = self._wanted.name
        actions = [Action(f"start lab {name} from the snapshot", self._start)]
        if lab_machine.runs(self._folder):
            end = partial(lab_machine.end, self._folder)
            actions.insert(0, Action(f"end what a killed run has left of lab {name}", end))
        return actions

    def _start(self) -> None:
        remove(self._folder)
        os.makedirs(self._folder, mode=0o700)
        try:
            _make_overlay(self._folder, f"../../snapshots/{self._machine.key}/disk.qcow2", "qcow2")
            port = self._go_on()
            lab_machine.await_login(self._folder, self._image, port, self._wanted.boot_seconds)
            write_json(_state_file(self._folder), self._describe(port))
        except BaseException:
            lab_machine.end(self._folder)
            raise

    def _go_on(self) -> int:
        wanted, memory = self._wanted, f"{self._snapshot}/memory"
        try:
            return lab_machine.start(
                self._machine, self._folder, self._image_from_folder, wanted.port, memory
            )
        except (QmpError, FileNotFoundError) as error:
            raise LabError(
                f"cannot resume from the snapshot in {self._snapshot}: {error}; delete that "
                "directory and run again to take a new one"
            ) from None

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


def state_of(folder: str) -> Optional[State]:
    """What was written of the lab in ``folder``, None if it does not run.

    Raises LabError if it runs and that cannot be read.
    """
    if not lab_machine.runs(folder):
        return None
    try:
        return read_json(_state_file(folder))
    except LabError as error:
        message = f"a lab is running, but {error}; end it first (xen_lab_state: absent)"
        raise LabError(message) from None


def _state_file(folder: str) -> str:
    return os.path.join(folder, "machine.json")


def _make_overlay(folder: str, base: str, base_format: str) -> None:
    """Make the disk of a machine, which keeps what differs from ``base``."""
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", base_format, "-b", base]
    run([*command, "disk.qcow2"], 60, folder)
