# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with configs that people wrote, which is taken over. The proof is xen_disks itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Sequence, cast

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.xen.blockdev.plugins.module_utils.adopt import adoption
from ansible_collections.xen.blockdev.plugins.module_utils.adopt.model import Adoption
from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import Outcome, run_items
from ansible_collections.xen.blockdev.plugins.module_utils.disk.device_number import parse
from ansible_collections.xen.blockdev.plugins.module_utils.resources import disks
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info import survey_host
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import Survey
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.fake_xen_host import FakeHost

MIB = 1024**2

RUN = partial(run_items, cast(Any, None))
"""Without the module itself, which is only asked for file attributes."""


class AdoptedHost:
    """Configs, images and running guests; there are none yet."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.configs, self.images, self.auto = (home / name for name in ("etc", "srv", "auto"))
        for directory in (self.configs, self.images, self.auto, home / "xen"):
            directory.mkdir()
        self.xen = FakeHost(home / "xen", monkeypatch)
        self.xen.store = {"/local/domain/0/name": "Domain-0"}

    def image(self, path: str, size: int = MIB, content: bytes = b"") -> str:
        """Make an image below the directory for images, and return its path."""
        file = self.images / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as stream:
            stream.write(content)
            stream.truncate(size)
        return str(file)

    def config(self, name: str, *specs: str, more: str = "", path: str = "") -> Path:
        """Write a config with a disk list."""
        lines = "".join(f"  '{spec}',\n" for spec in specs)
        file = self.configs / (path or f"{name}.cfg")
        file.write_text(f"name = '{name}'\n{more}disk = [\n{lines}]\n")
        return file

    def start(self, name: str, domid: int, kind: str = "pvh") -> None:
        """Start a domain, without disks."""
        self.xen.store = {
            **self.xen.store,
            f"/local/domain/{domid}/name": name,
            f"/local/domain/{domid}/vm": f"/vm/{domid}",
            f"/libxl/{domid}/type": kind,
        }

    def attach(self, domid: int, vdev: str, target: str, **nodes: str) -> None:
        """Attach a disk to a running domain, which the kernel or QEMU serves."""
        key = parse(vdev).xenstore_key
        kind = "qdisk" if nodes.get("type") == "qdisk" else "vbd"
        backend = f"/local/domain/0/backend/{kind}/{domid}/{key}"
        entry = f"/libxl/{domid}/device/vbd/{key}"
        values = {
            "params": target,
            "dev": vdev,
            "type": "phy",
            "mode": "w",
            "device-type": "disk",
            "state": "4",
            "online": "1",
            "physical-device": "fd:1",
            **nodes,
        }
        self.xen.store = {
            **self.xen.store,
            f"{entry}/backend": backend,
            **{f"{place}/{n}": value for n, value in values.items() for place in (backend, entry)},
        }

    @property
    def survey(self) -> Survey:
        return survey_host([str(self.configs)], [str(self.images)], str(self.auto), settings=True)

    def adopted(self, *changes: str) -> Adoption:
        return adoption.adopt(self.survey, str(self.images), str(self.configs), changes)

    def provided(self, domains: Sequence[Dict[str, Any]]) -> Outcome:
        """What provision would do with these domains."""
        options = {
            "domains": list(domains),
            "images_dir": str(self.images),
            "config_dir": str(self.configs),
            "autostart_dir": str(self.auto),
            "udev_rule": False,
        }
        validated = ArgumentSpecValidator(disks.OPTIONS).validate(options)
        assert not validated.error_messages
        return disks.provide(disks.HostDisks.read(validated.validated_parameters), RUN, True)

    def proven(self, *changes: str) -> List[Dict[str, Any]]:
        """The domains that are taken over, with which provision changes nothing."""
        adopted = self.adopted(*changes)
        outcome = self.provided(adopted.plain)
        assert not outcome.error, f"{outcome.error} {adopted.plain}"
        assert not outcome.actions, f"{outcome.actions} {adopted.plain}"
        return [dict(domain) for domain in adopted.plain]
