# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts that go over SSH: to this machine, and to a real Xen host in QEMU."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from string import ascii_lowercase
from typing import Any, Dict, Iterator, List

from bench import Bench, Goal
from measuring import CACHE, Cost, cost_of, ratio
from ways import ENVIRONMENT, HERE, Looped, Provision, Way, host


def ssh(bench: Bench) -> None:
    """The same over SSH to this machine, with a connection that stays."""
    with bench.place() as place, _sshd(place.folder) as access:
        for pipelining, count, run, way in product(
            (False, True), (1, 16), range(bench.runs), (Provision, Looped)
        ):
            if way is Looped and count > 1 and run:
                continue  # it takes long enough
            label = f"SSH, {'pipelining' if pipelining else 'no pipelining'}, {way.name}"
            variables = {**access, "ansible_pipelining": pipelining}
            _over_ssh(bench, label, way, count, variables)


def _over_ssh(bench: Bench, label: str, way: type[Way], count: int, access: Dict[str, Any]) -> None:
    with bench.place() as place:
        place.write({"here": {**host(place.folder, count), **access}})
        for step in "first run", "second run":
            bench.samples.add(f"{label}, {step}, {count} disks", way(place, count).first())


PORT = 22022
SETTINGS = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
SetEnv PYTHON_COMPILES_ARCHIVES=yes
"""
CLIENT = [
    "StrictHostKeyChecking=no",
    "UserKnownHostsFile=/dev/null",
    "LogLevel=ERROR",
    "ControlMaster=auto",
    "ControlPersist=60s",
]


@contextmanager
def _sshd(folder: Path) -> Iterator[Dict[str, Any]]:
    """A server of our own on loopback, and the variables of a host that is reached by it."""
    for name in "host_key", "user_key":
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
    (folder / "sshd_config").write_text(SETTINGS.format(port=PORT, folder=folder))
    Path("/run/sshd").mkdir(exist_ok=True)
    options = [*CLIENT, f"ControlPath={folder}/%C"]
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", str(folder / "sshd_config")])
    try:
        yield {
            "ansible_connection": "ssh",
            "ansible_host": "127.0.0.1",
            "ansible_port": PORT,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(folder / "user_key"),
            "ansible_ssh_common_args": " ".join(f"-o {option}" for option in options),
        }
    finally:
        server.terminate()
        server.wait()


LAB = CACHE / "benchmark/lab-inventory.yml"
LETTERS = [*ascii_lowercase, *(f"a{letter}" for letter in ascii_lowercase)]
VBDS = [
    {
        "domain": "bench",
        "vdev": f"xvd{LETTERS[number]}",
        "target": f"/dev/disk/by-loop-file/srv/bench/d{number}.raw",
    }
    for number in range(32)
]
IDLE = [f"idle{number}" for number in range(50)]
"""Domains that are never let run."""


def attach(bench: Bench) -> None:
    """Attach disks to a running guest of a real Xen host in QEMU."""
    with _lab(bench) as plays:
        for count in (1, 8, 32):
            for _run in range(bench.runs):
                _attach(bench, plays, VBDS[:count])
    costs = [
        bench.samples.typical(f"lab, attach 32 vbds, {how}")
        for how in ("one module call", "shell loop")
    ]
    bench.goals.append(
        Goal(
            "attach 32 vbds, against a shell loop of xl block-attach",
            1.1,
            ratio(*costs),
            why="above xl's own time is a look at all disks of the host before each is attached, "
            "so that none is given to two guests. An emulated processor makes that much of it.",
        )
    )


def _attach(bench: Bench, plays: LabPlays, vbds: List[Dict[str, Any]]) -> None:
    gone = [{**vbd, "state": "absent"} for vbd in vbds]
    for how, play in {"one module call": "ours", "shell loop": "by_hand"}.items():
        bench.samples.add(f"lab, attach {len(vbds)} vbds, {how}", plays.run(play, vbds=vbds))
        cost = plays.run("ours", vbds=gone)
        bench.samples.add(f"lab, detach {len(vbds)} vbds, one module call", cost)


def read(bench: Bench) -> None:
    """Read the disks of one domain, and of 51, on that host."""
    with _lab(bench) as plays:
        for count in (1, 51):
            if count > 1:
                plays.run("many")
            for _run in range(bench.runs):
                bench.samples.add(f"lab, read the disks of {count} domains", plays.run("read"))


@contextmanager
def _lab(bench: Bench) -> Iterator[LabPlays]:
    images = [{"path": f"/srv/bench/d{number}.raw"} for number in range(len(VBDS))]
    disk = {"vdev": VBDS[0]["vdev"], "target": VBDS[0]["target"], "access": "ro"}
    idle = [{"domain": name, "disks": [disk]} for name in IDLE]
    names = [{"name": name} for name in IDLE]
    plays = LabPlays(bench, {"images": images, "idle": idle, "names": names})
    plays.boot()
    try:
        plays.run("prepare")
        yield plays
    finally:
        plays.end()


@dataclass
class LabPlays:
    """The plays of the folder lab, on a Xen host of their own."""

    bench: Bench
    variables: Dict[str, Any]

    def boot(self) -> None:
        """Have the host."""
        self._playbook("xen.blockdev.lab", "localhost,", xen_lab_state="present")

    def end(self) -> None:
        """Have it no more."""
        self._playbook("xen.blockdev.lab", "localhost,", xen_lab_state="absent")

    def run(self, play: str, **variables: Any) -> Cost:
        """What a run of a play costs."""
        return self._playbook(str(HERE / f"lab/{play}.yml"), str(LAB), **variables)

    def _playbook(self, name: str, inventory: str, **variables: Any) -> Cost:
        said = self.bench.folder / "variables.json"
        lab_options = {"xen_lab_name": "benchmark", "xen_lab_inventory": str(LAB)}
        said.write_text(json.dumps({**self.variables, **lab_options, **variables}))
        command = [f"{sys.prefix}/bin/ansible-playbook", "-i", inventory, name, "-e", f"@{said}"]
        return cost_of(command, ENVIRONMENT)
