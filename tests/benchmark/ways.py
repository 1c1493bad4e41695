# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways to give a domain its disks that are compared."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List

from measuring import CACHE, Cost, cost_of

HERE = Path(__file__).resolve().parent
BYTES = 1024**2
"""Of each image; it is sparse."""
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
COLLECTIONS = str(CACHE / "collections")
"""Where this one is installed."""
ENVIRONMENT = {
    "ANSIBLE_COLLECTIONS_PATH": f"{COLLECTIONS}:{CACHE}/benchmark/peers",
    "ANSIBLE_LOCALHOST_WARNING": "false",
    "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
    # As on a host that nobody has prepared for tests.
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHON_COMPILES_ARCHIVES": "yes",
}


@dataclass(frozen=True)
class Place:
    """A folder in which all of one measurement happens."""

    folder: Path

    @property
    def inventory(self) -> Path:
        """The file that tells Ansible of the hosts."""
        return self.folder / "inventory.json"

    def write(self, hosts: Dict[str, Dict[str, Any]]) -> None:
        """Write the inventory, of hosts in the group xen."""
        self.inventory.write_text(json.dumps({"xen": {"hosts": hosts}}))

    def clean(self) -> None:
        """Unbind and delete everything."""
        cost_of([sys.executable, str(HERE / "bare.py"), "clean", str(self.folder)])


def host(folder: Path, disks: int, domains: int = 1) -> Dict[str, Any]:
    """A host's variables: for our playbook, and for the looped play the same."""
    return {
        **LOCAL,
        "xen_images_dir": f"{folder}/images",
        "xen_config_dir": f"{folder}/configs",
        "xen_autostart_dir": f"{folder}/auto",
        "xen_domains": [
            {
                "name": f"bench{number}",
                "config": {"memory": 32},
                "disks": [{"name": f"d{disk}", "size": BYTES} for disk in range(disks)],
            }
            for number in range(domains)
        ],
        "folder": f"{folder}/looped",
        "bytes": BYTES,
        "images": [f"{folder}/looped/d{disk}.raw" for disk in range(disks)],
    }


def playbook(place: Place, name: str, *options: str, **environment: str) -> Cost:
    """What a run of a playbook costs."""
    command = [f"{sys.prefix}/bin/ansible-playbook", "--inventory", str(place.inventory)]
    return cost_of([*command, name, *options], {**ENVIRONMENT, **environment})


class Way:
    """One way to do it, in a place for a number of disks; a step that it has not is None."""

    name: str

    def __init__(self, place: Place, disks: int) -> None:
        self.place = place
        self.disks = disks

    def check(self) -> Cost | None:
        """Foretell, where there is nothing yet."""
        return None

    def first(self) -> Cost:
        """Make and bind all."""
        raise NotImplementedError

    def again(self) -> Cost | None:
        """The same, where all is as wanted."""
        return self.first()


class Provision(Way):
    """The playbook of this collection."""

    name = "xen.blockdev"

    def check(self) -> Cost | None:
        return playbook(self.place, "xen.blockdev.provision", "--check")

    def first(self) -> Cost:
        return playbook(self.place, "xen.blockdev.provision")


class Looped(Way):
    """A play that loops over the disks with the peers' modules. Its check mode fails on a host that
    has nothing yet, as filesize wants the directory that an earlier task would have made."""

    name = "looped play"

    def first(self) -> Cost:
        return playbook(self.place, str(HERE / "looped.yml"))


class ByHand(Way):
    """A shell script."""

    name = "shell script"

    def first(self) -> Cost:
        folder = str(self.place.folder / "by_hand")
        return cost_of([str(HERE / "by_hand.sh"), folder, str(self.disks), str(BYTES)])


class Bare(Way):
    """System calls and nothing else. It cannot be run again."""

    name = "system calls"

    def first(self) -> Cost:
        folder = str(self.place.folder / "bare")
        program = [sys.executable, "-S", "-E", str(HERE / "bare.py"), "make", folder]
        return cost_of([*program, str(self.disks), str(BYTES)])

    def again(self) -> Cost | None:
        return None


WAYS: List[type[Way]] = [Provision, Looped, ByHand, Bare]
