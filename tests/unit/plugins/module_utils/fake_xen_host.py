# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake Xen host: recorded or made-up contents of xenstore, and stand-ins for xl and xenstored."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, Optional, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.disk.device_number import parse
from ansible_collections.xen.blockdev.plugins.module_utils.host import block_device, dom0, locks
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.storage import Storage
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage, User
from ansible_collections.xen.blockdev.plugins.module_utils.xen import blkback, device_model, xl
from ansible_collections.xen.blockdev.tests.integration.targets.setup_fake_xen.files.fake_qemu import (  # noqa: E501
    Qemu,
)
from ansible_collections.xen.blockdev.tests.integration.targets.setup_fake_xen.files.fake_xenstored import (  # noqa: E501
    Xenstored,
    tree_in,
)

TESTS = Path(__file__).parents[3]
DATA = TESTS / "unit" / "data"
FAKE = TESTS / "integration" / "targets" / "setup_fake_xen" / "files" / "fake_xen.py"

WEB_UUID = "92570f6a-4685-42c0-ba86-b8ab72039821"

DOMAINS = {
    "/local/domain/0/name": "Domain-0",
    "/local/domain/0/vm": "/vm/00000000-0000-0000-0000-000000000000",
    "/local/domain/1/name": "web",
    "/local/domain/1/vm": f"/vm/{WEB_UUID}",
    "/local/domain/2/name": "db",
    "/local/domain/2/vm": "/vm/0b1c2d3e-0000-4000-8000-00000000000b",
}


def recorded(command: str, file: str = "recorded-xen-4.17.txt") -> str:
    """The output of a command on the real host."""
    text = (DATA / file).read_text()
    printed = text.split(f"$ {command}\n", 1)[1]
    return printed.split("[exit ", 1)[0]


def recorded_store() -> Dict[str, str]:
    """The recorded contents of xenstore: values by path."""
    commands = [
        "xenstore-ls -f /local/domain/0/backend",
        "xenstore-ls -f /local/domain/1/device",
        "xenstore-ls -f /libxl/1/device/vbd/51712",
    ]
    listing = "".join(recorded(command) for command in commands)
    return {**DOMAINS, **dict(re.findall('^(/.*?) = "(.*)"$', listing, re.MULTILINE))}


def binding(number: int, inode: int, backing_rdev: int = 0) -> Binding:
    """Loop device ``number``, bound to a whole file on device 1."""
    return Binding(
        number=number,
        rdev=os.makedev(7, number),
        file=(1, inode),
        backing_rdev=backing_rdev,
        backing_file=f"/srv/{inode}.raw",
        deleted=False,
        offset=0,
        size_limit=0,
        flags=0,
        size=16777216,
        sector_size=512,
    )


class QuietUsage(Usage):
    """Uses by dom0 that the test sets."""

    users: Dict[int, List[User]] = {}  # noqa: RUF012
    file_users: List[User] = []  # noqa: RUF012
    writing: List[User] = []  # noqa: RUF012
    lost: List[User] = []  # noqa: RUF012

    def of_device(self, rdev: int, *_options: object, **_more: object) -> List[User]:
        return self.users.get(rdev, [])

    def of_file(self, status: os.stat_result, *_leaves: object, **_more: object) -> List[User]:
        return self.file_users

    def writers(self, storage: Storage) -> List[User]:
        return self.writing

    def left_open(self, storage: Storage, for_writing: bool = False) -> List[User]:
        return [user for user in self.lost if "for writing" in user.sentence or not for_writing]


class FakeHost:
    """A host with stand-ins for xl and xenstored, and the domains web (1) and db (2)."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self._monkeypatch = monkeypatch
        self._behaviour: Dict[str, Any] = {"devices": {}}
        self._statuses: Dict[str, Any] = {}
        self.store = dict(DOMAINS)
        self.bindings: List[Binding] = []
        self._qemus: List[Qemu] = []
        self.behave()
        self._install_commands()
        self._redirect_paths()
        self._start_xenstored()

    def __enter__(self) -> FakeHost:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.xenstored.stop()
        for qemu in self._qemus:
            qemu.close()

    def _start_xenstored(self) -> None:
        path = str(self.home / "xenstored")
        self.xenstored = Xenstored(path, lambda: tree_in(self.home / "store.json"))
        self.xenstored.start()
        self._monkeypatch.setenv("XENSTORED_PATH", path)

    def _install_commands(self) -> None:
        commands = self.home / "bin"
        commands.mkdir()
        program = FAKE.read_text().split("\n", 1)[1]
        (commands / "xl").write_text(f"#!{sys.executable} -ES\n{program}")
        (commands / "xl").chmod(0o755)
        self._monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
        self._monkeypatch.setenv("FAKE_XEN", str(self.home))

    def _redirect_paths(self) -> None:
        set_to = self._monkeypatch.setattr
        for name, text in (("HYPERVISOR_TYPE", "xen\n"), ("CAPABILITIES", "control_d\n")):
            (self.home / name).write_text(text)
            set_to(dom0, name, str(self.home / name))
        set_to(xl, "POLL_SECONDS", 0.01)
        set_to(locks, "OWN_DIR", str(self.home / "locks"))
        set_to(block_device, "SYS_BLOCK_BY_NUMBER", str(self.home / "block"))
        set_to(blkback, "DEVICES", str(self.home / "devices"))
        set_to(device_model, "RUN_DIR", str(self.home / "run"))
        set_to(loop_binding, "scan", lambda: self.bindings)
        real_stat = os.stat
        set_to(os, "stat", lambda path, **kw: self._statuses.get(path) or real_stat(path, **kw))

    @property
    def store(self) -> Dict[str, str]:
        """The contents of xenstore now: values by path."""
        values: Dict[str, str] = json.loads((self.home / "store.json").read_text())
        return values

    @store.setter
    def store(self, values: Dict[str, str]) -> None:
        (self.home / "store.json").write_text(json.dumps(values))

    def behave(self, **behaviour: Any) -> None:
        """Set how xl misbehaves from now on."""
        self._behaviour.update(behaviour)
        (self.home / "behaviour.json").write_text(json.dumps(self._behaviour))

    @property
    def reads(self) -> int:
        """How many times xenstore was read."""
        return self.xenstored.connections

    @property
    def listed(self) -> Dict[str, str]:
        """The state flags in xl's list by domain id, for domains that have others than running."""
        path = self.home / "domains.json"
        domains = json.loads(path.read_text()) if path.exists() else {}
        return {domid: domain["flags"] for domid, domain in domains.items()}

    def list_as(self, **flags: str) -> None:
        """Put domains into other states: ``list_as(web="--p---")``."""
        ids = {name: path.split("/")[3] for path, name in self.store.items() if "/name" in path}
        domains = {ids[name]: {"flags": its} for name, its in flags.items()}
        (self.home / "domains.json").write_text(json.dumps(domains))

    def keep_destroyed(self, domid: int) -> None:
        """Have Xen keep a domain that was destroyed, of which xenstore knows nothing."""
        (self.home / "domains.json").write_text(json.dumps({str(domid): {"flags": "--ps-d"}}))

    def device(self, path: str, major: int, minor: int) -> None:
        """Add a block device."""
        rdev = os.makedev(major, minor)
        self._statuses[path] = SimpleNamespace(
            st_mode=stat.S_IFBLK, st_rdev=rdev, st_dev=0, st_ino=rdev
        )
        self.behave(devices={**self._behaviour["devices"], path: f"{major:x}:{minor:x}"})

    def file(self, path: str, inode: int) -> None:
        """Add a regular file on device 1."""
        self._statuses[path] = SimpleNamespace(st_mode=stat.S_IFREG, st_dev=1, st_ino=inode)
        self.behave(devices={**self._behaviour["devices"], path: f"7:{0x100 + inode:x}"})

    def partition(self, disk: Tuple[int, int], partition: Tuple[int, int]) -> None:
        """Make one block device a partition of the other one."""
        directory = self.home / "block" / "{}:{}".format(*disk)
        (directory / "part").mkdir(parents=True)
        (directory / "dev").write_text("{}:{}\n".format(*disk))
        (directory / "part" / "dev").write_text("{}:{}\n".format(*partition))
        (directory / "part" / "partition").write_text("1\n")
        (directory / "part" / "start").write_text("2048\n")
        (self.home / "block" / "{}:{}".format(*partition)).symlink_to(directory / "part")

    def unit(self, wwid: str, *numbers: Tuple[int, int]) -> None:
        """Make block devices paths to one unit."""
        for number in numbers:
            directory = self.home / "block" / "{}:{}".format(*number) / "device"
            directory.mkdir(parents=True)
            (directory / "wwid").write_text(f"{wwid}\n")

    def serve(self, domid: int, key: int) -> Path:
        """Have the kernel serve a slot until the returned directory is removed."""
        entry = self.home / "devices" / f"vbd-{domid}-{key}"
        entry.mkdir(parents=True)
        return entry

    def emulate(self, domid: int, **media: Optional[str]) -> None:
        """Have QEMU emulate drives for a domain, which is HVM then. ``media``: by QEMU's name of
        each drive, with an underscore for a hyphen, the path of its medium."""
        self.store = {**self.store, f"/libxl/{domid}/type": "hvm"}
        drives = {name.replace("_", "-"): {"medium": path} for name, path in media.items()}
        self._start_qemu(domid, drives)

    def _start_qemu(self, domid: int, drives: Dict[str, Any]) -> Qemu:
        """``drives``: see fake_qemu.py."""
        (self.home / "drives.json").write_text(json.dumps({str(domid): drives}))
        (self.home / "run").mkdir(exist_ok=True)
        path = self.home / "run" / f"qmp-libxenstat-{domid}"
        qemu = Qemu(self.home / "drives.json", domid, str(path))
        qemu.start()
        self._qemus.append(qemu)
        return qemu

    def hvm_guest(self, *slots: str, **media: Optional[str]) -> Qemu:
        """Start the HVM guest win (3) with CD drives in hdc and hdd, or in other ``slots``; return
        its QEMU. ``media``: the path of the medium of each drive that is not empty."""
        base = {
            "/local/domain/3/name": "win",
            "/local/domain/3/vm": "/vm/3",
            "/libxl/3/type": "hvm",
        }
        drives = {}
        for vdev in slots or ("hdc", "hdd"):
            key, path = parse(vdev).xenstore_key, media.get(vdev)
            backend, entry = f"/local/domain/0/backend/qdisk/3/{key}", f"/libxl/3/device/vbd/{key}"
            nodes = {
                "params": f"aio:{path}" if path else ":",
                "dev": vdev,
                "type": "qdisk",
                "mode": "r",
                "device-type": "cdrom",
            }
            base.update({f"{place}/{n}": v for n, v in nodes.items() for place in (backend, entry)})
            base[f"{entry}/backend"] = backend
            drives[f"ide-{key}"] = {"medium": path, "locked": False}
        self.store = {**self.store, **base}
        return self._start_qemu(3, drives)

    @property
    def drives(self) -> Dict[str, Any]:
        """What QEMU has in the drives of win now, see fake_qemu.py."""
        drives: Dict[str, Any] = json.loads((self.home / "drives.json").read_text())["3"]
        return drives

    @drives.setter
    def drives(self, drives: Dict[str, Any]) -> None:
        (self.home / "drives.json").write_text(json.dumps({"3": drives}))

    def stack(self, upper: Tuple[int, int], lower: Tuple[int, int]) -> None:
        """Stack one block device on another, as device-mapper does."""
        directory = self.home / "block" / "{}:{}".format(*upper) / "slaves" / "lower"
        directory.mkdir(parents=True)
        (directory / "dev").write_text("{}:{}\n".format(*lower))

    def commands(self) -> List[str]:
        """The xl commands that were run so far."""
        log = self.home / "log"
        return log.read_text().splitlines() if log.exists() else []

    def changes(self) -> List[str]:
        """Those of them that change something."""
        return [command for command in self.commands() if not command.startswith("xl list")]
