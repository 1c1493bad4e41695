# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations are killed, and a step of them fails, where they touch the system.

At every such point where tests are exhaustive, otherwise at one of five.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.host import dom0
from ansible_collections.xen.blockdev.plugins.module_utils.loop import boot_unit
from ansible_collections.xen.blockdev.plugins.module_utils.xen import device_model, xl
from ansible_collections.xen.blockdev.tests.exhaustive import STRIDE
from ansible_collections.xen.blockdev.tests.integration.targets.setup_fake_xen.files.fake_qemu import (  # noqa: E501
    Qemu,
)
from ansible_collections.xen.blockdev.tests.integration.targets.setup_fake_xen.files.fake_xenstored import (  # noqa: E501
    Xenstored,
    tree_in,
)
from ansible_collections.xen.blockdev.tests.robustness import harness
from ansible_collections.xen.blockdev.tests.robustness.harness import Outcome

KIB = 1024
MIB = 1024 * KIB
CONTENT = bytes(range(256)) * 4 * KIB
"""Of an image with something to lose: 1 MiB, no block of it empty."""

ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES, errno.EROFS)


def no_preparation(_folder: Path) -> None:
    """For an operation that begins with nothing."""


def image(folder: Path) -> None:
    """An image with content."""
    (folder / "a.raw").write_bytes(CONTENT)


def source_image(folder: Path) -> None:
    """An image to copy from."""
    (folder / "s.raw").write_bytes(CONTENT)


def source_folder(folder: Path) -> None:
    """A directory to fill an image from."""
    (folder / "content").mkdir()
    (folder / "content/file").write_bytes(CONTENT)


def bound_image(folder: Path, **options: Any) -> None:
    """An image on a loop device."""
    image(folder)
    (folder / "units").mkdir()
    assert harness.call("xen_loopdev", path=str(folder / "a.raw"), **options).changed


def persistent_image(folder: Path) -> None:
    """An image that is bound now and at boot."""
    bound_image(folder, persistent=True)


def grown_image(folder: Path) -> None:
    """An image that is larger than its loop device."""
    bound_image(folder)
    os.truncate(folder / "a.raw", 2 * MIB)


def attached_image(folder: Path) -> None:
    """An image that the domain web has."""
    image(folder)
    outcome = harness.call("xen_vbd_attach", **{**VBD, "target": str(folder / "a.raw")})
    assert outcome.changed, outcome.said


def domain_to_start(folder: Path) -> None:
    """The config of a domain that does not run."""
    (folder / "new.cfg").write_text("name = 'new'\nmemory = 64\nkernel = '/boot/new'\n")


def config(folder: Path, **options: Any) -> None:
    """A config that starts its domain at boot."""
    (folder / "auto").mkdir()
    assert harness.call("xen_domain_config", **config_options(folder, **options)).changed


def config_options(folder: Path, **options: Any) -> Dict[str, Any]:
    """Those of xen_domain_config for the config of the domain web."""
    return {
        "domain": "web",
        "path": str(folder / "web.cfg"),
        "options": {"memory": 64},
        "disks": [{"vdev": "xvda", "target": "/dev/vg0/web"}],
        "autostart": True,
        "autostart_dir": str(folder / "auto"),
        **options,
    }


@dataclass(frozen=True)
class Operation:
    """Something that a user has a module do."""

    module: str
    options: Dict[str, Any]
    """A path is relative to the folder of the test."""
    prepare: Callable[[Path], None] = no_preparation
    left: Tuple[str, ...] = ("a.raw",)
    """What is in the folder once it is done."""
    kept: Tuple[str, ...] = ()
    """Files in the folder of which not a byte may change, whatever happens."""
    devices: int = 0
    """Loop devices that are bound once it is done."""

    def arguments(self, folder: Path) -> Dict[str, Any]:
        """The module's options."""
        if self.module == "xen_domain_config":
            return config_options(folder, **self.options)
        paths = ("path", "source", "target", "config")
        return {
            name: str(folder / value) if name in paths else value
            for name, value in self.options.items()
        }


disk, loopdev, config_of, vbd, domain = (
    partial(Operation, f"xen_{module}")
    for module in ("raw_disk", "loopdev", "domain_config", "vbd_attach", "domain")
)
A: Dict[str, Any] = {"path": "a.raw"}
VBD: Dict[str, Any] = {"domain": "web", "vdev": "xvdb", "target": "a.raw", "timeout": 1}
CD = {"domain": "win", "vdev": "hdc", "devtype": "cdrom", "timeout": 1}
CONFIG = ("auto/", "auto/web.cfg", "web.cfg")
UNIT = (
    "units/",
    "units/multi-user.target.wants/",
    "units/multi-user.target.wants/{unit}",
    "units/{unit}",
)

FILLED: Dict[str, Any] = {
    "left": ("a.raw", "content/", "content/file"),
    "kept": ("content/file",),
}

OPERATIONS = {
    "create": disk({**A, "size": MIB}),
    "create-full": disk({**A, "size": MIB, "allocation": "full"}),
    "create-with-parents": disk(
        {"path": "x/y/a.raw", "size": MIB, "parents": True}, left=("x/", "x/y/", "x/y/a.raw")
    ),
    "create-with-mode": disk({**A, "size": MIB, "mode": "0640", "owner": "daemon"}),
    "copy": disk(
        {**A, "source": "s.raw", "size": 2 * MIB},
        source_image,
        left=("a.raw", "s.raw"),
        kept=("s.raw",),
    ),
    "fill-tar": disk(
        {**A, "filesystem": "tar", "source": "content", "size": 2 * MIB}, source_folder, **FILLED
    ),
    "fill-ext4": disk(
        {**A, "filesystem": "ext4", "source": "content", "size": 16 * MIB},
        source_folder,
        **FILLED,
    ),
    "fill-vfat": disk(
        {**A, "filesystem": "vfat", "source": "content", "size": 4 * MIB}, source_folder, **FILLED
    ),
    "fill-iso9660": disk(
        {**A, "filesystem": "iso9660", "source": "content", "size": 2 * MIB},
        source_folder,
        **FILLED,
    ),
    "create-swap": disk({**A, "filesystem": "swap", "size": MIB}),
    "grow": disk({**A, "size": 2 * MIB}, image),
    "shrink": disk({**A, "size": 64 * KIB, "shrink": True}, image),
    "delete": disk({**A, "state": "absent"}, image, ()),
    "bind": loopdev(A, image, kept=("a.raw",), devices=1),
    "bind-with-sectors": loopdev(
        {**A, "sector_size": 4096},
        image,
        kept=("a.raw",),
        devices=1,
    ),
    "bind-anew": loopdev(
        {**A, "sector_size": 4096}, bound_image, ("a.raw", "units/"), kept=("a.raw",), devices=1
    ),
    "capacity": loopdev(A, grown_image, ("a.raw", "units/"), kept=("a.raw",), devices=1),
    "unbind": loopdev({**A, "state": "absent"}, bound_image, ("a.raw", "units/"), kept=("a.raw",)),
    "bind-at-boot": loopdev(
        {**A, "persistent": True}, bound_image, ("a.raw", *UNIT), kept=("a.raw",), devices=1
    ),
    "not-at-boot": loopdev(
        {**A, "state": "absent"}, persistent_image, ("a.raw", *UNIT[:2]), kept=("a.raw",)
    ),
    "write-config": config_of({}, lambda folder: (folder / "auto").mkdir(), CONFIG),
    "change-config": config_of({"options": {"memory": 128}}, config, CONFIG),
    "remove-config": config_of({"state": "absent"}, config, ("auto/",)),
    "attach": vbd(VBD, image, kept=("a.raw",)),
    "detach": vbd({**VBD, "state": "absent"}, attached_image, kept=("a.raw",)),
    "replace": vbd({**VBD, "access": "ro", "replace": True}, attached_image, kept=("a.raw",)),
    "insert": vbd({**CD, "target": "a.raw"}, image, kept=("a.raw",)),
    "start": domain({"name": "new", "config": "new.cfg"}, domain_to_start, ("new.cfg",)),
    "destroy": domain({"name": "web", "state": "destroyed"}, left=()),
}


@pytest.fixture(autouse=True)
def systemd(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A systemd that has its units in the folder."""
    systemctl = tmp_path / "bin/systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text("#!/bin/sh\n")
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{systemctl.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(boot_unit, "SYSTEMD_RUNS", str(tmp_path))
    monkeypatch.setattr(boot_unit.BootUnits, "__init__", _in(folder))


STANDIN = Path(__file__).parents[1] / "integration/targets/setup_fake_xen/files/fake_xen.py"
DRIVE = "/local/domain/0/backend/qdisk/2/5632"

STORE = {
    "/local/domain/0/name": "Domain-0",
    "/local/domain/1/name": "web",
    "/local/domain/1/vm": "/vm/92570f6a-4685-42c0-ba86-b8ab72039821",
    "/local/domain/2/name": "win",
    "/libxl/2/type": "hvm",
    **{
        f"{place}/{node}": value
        for node, value in {
            "params": "aio:/srv/old.iso",
            "dev": "hdc",
            "type": "qdisk",
            "mode": "r",
            "device-type": "cdrom",
            "backend": DRIVE,
        }.items()
        for place in (DRIVE, "/libxl/2/device/vbd/5632")
    },
}


@pytest.fixture(autouse=True)
def fake_xen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """A Xen host by the integration tests' stand-ins; a call has two domains run on it, web, and
    the HVM guest win with a CD in its drive."""
    home = tmp_path / "xen"
    (home / "bin").mkdir(parents=True)
    (home / "bin/xl").write_text(f"#!{sys.executable} -ES\n{STANDIN.read_text()}")
    (home / "bin/xl").chmod(0o755)
    xenstored = Xenstored(str(home / "xenstored"), lambda: tree_in(home / "store.json"))
    xenstored.start()
    (home / "type").write_text("xen\n")
    (home / "capabilities").write_text("control_d\n")
    monkeypatch.setenv("PATH", f"{home}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("XENSTORED_PATH", str(home / "xenstored"))
    monkeypatch.setenv("FAKE_XEN", str(home))
    monkeypatch.setattr(dom0, "HYPERVISOR_TYPE", str(home / "type"))
    monkeypatch.setattr(dom0, "CAPABILITIES", str(home / "capabilities"))
    monkeypatch.setattr(device_model, "RUN_DIR", str(home))
    qemu = Qemu(home / "drives.json", 2, str(home / "qmp-libxenstat-2"))
    qemu.start()
    # Nobody who is waited for here is slow.
    monkeypatch.setattr(xl, "POLL_SECONDS", 0.01)

    def start() -> None:
        (home / "behaviour.json").write_text("{}")
        (home / "domains.json").write_text("{}")
        (home / "store.json").write_text(json.dumps(STORE))
        drive = {"medium": "/srv/old.iso", "locked": False}
        (home / "drives.json").write_text(json.dumps({"2": {"ide-5632": drive}}))

    yield start
    xenstored.stop()
    qemu.close()


def _in(folder: Path) -> Callable[..., None]:
    original = boot_unit.BootUnits.__init__
    return lambda units: original(units, str(folder / "units"))


def state(folder: Path) -> Dict[str, bytes]:
    """Every file in the folder with its content."""
    return {name: (folder / name).read_bytes() for name in names(folder) if name[-1] != "/"}


def names(folder: Path) -> List[str]:
    """All that is in the folder."""
    return harness.names(folder)


def clear(folder: Path) -> None:
    """Take away what an attempt has left, and nothing else."""
    harness.unbind_all(folder)
    subprocess.run(["find", str(folder), "-mindepth", "1", "-delete"], check=True)


def expected(operation: Operation, folder: Path) -> List[str]:
    """What is in the folder once the operation is done."""
    unit = boot_unit.name_of(os.path.realpath(folder / "a.raw"))
    return sorted(name.format(unit=unit) for name in operation.left)


XEN = ("attach", "detach", "replace", "insert", "start", "destroy")
"""Operations by way of the stand-in for Xen, which takes its time."""


@pytest.fixture(params=[name for name in OPERATIONS if name not in XEN])
def operation(request: pytest.FixtureRequest) -> Operation:
    return OPERATIONS[request.param]


def attempts(
    operation: Operation,
    folder: Path,
    begin: Callable[[], None],
    act: Callable[[], None],
    first: int = 1,
) -> Iterator[Tuple[int, Outcome]]:
    """The outcomes of an operation that begins anew each time, with C(act) at one of its touches:
    the C(first), and every STRIDE after it. One more run comes to its end."""
    number = first
    while True:
        begin()
        operation.prepare(folder)
        before = state(folder)
        reached = folder.parent / "reached"

        def act_once(mark: Path = reached) -> None:
            os.mkdir(mark)
            act()

        outcome = harness.call(
            operation.module, harness.at_touch(number, act_once), **operation.arguments(folder)
        )
        if not reached.exists():
            assert outcome.changed, outcome.said
            assert number > first, "nothing was tried"
            return
        reached.rmdir()
        yield number, outcome
        for name in operation.kept:
            assert (folder / name).read_bytes() == before[name], f"{name} at {number}"
        assert_whole(operation, folder, before)
        assert_converges(operation, folder)
        clear(folder)
        number += STRIDE


def assert_whole(operation: Operation, folder: Path, before: Dict[str, bytes]) -> None:
    """Nothing is half made, and no image is bound twice."""
    bound = harness.bindings(folder)
    assert len({one.file for one in bound}) == len(bound)
    path = folder / str(operation.options.get("path", ""))
    if operation.module == "xen_raw_disk" and path.is_file():
        wanted = {operation.options.get("size"), len(before.get("a.raw", b"")) or None}
        assert path.stat().st_size in wanted
        kind = operation.options.get("filesystem")
        if kind:
            assert (b"SWAPSPACE2" if kind == "swap" else CONTENT) in path.read_bytes()
        elif "source" in operation.options:
            assert path.read_bytes() == CONTENT + bytes(MIB)
    for name, content in state(folder).items():
        if name.endswith((".cfg", ".service")):
            assert content.endswith(b"\n")
            assert name in before or content.startswith(b"# ")


def assert_converges(operation: Operation, folder: Path) -> None:
    """The next run does what is left to do, and the one after it nothing; nothing else is there."""
    arguments = operation.arguments(folder)
    outcome = harness.call(operation.module, **arguments)
    assert outcome.result, outcome.said
    assert not outcome.failed, outcome.message
    again = harness.call(operation.module, **arguments)
    assert (again.failed, again.changed) == (False, False), again.said
    assert names(folder) == expected(operation, folder)
    assert len(harness.bindings(folder)) == operation.devices


def test_killed_at_touches(
    folder: Path, operation: Operation, fake_xen: Callable[[], None]
) -> None:
    for number, outcome in attempts(operation, folder, fake_xen, harness.kill):
        assert outcome.killed, f"{number}: {outcome.said}"
        harness.count("points killed at")


@pytest.mark.parametrize("name", ["attach", "detach", "insert", "start"])
def test_killed_at_touches_of_xen(folder: Path, name: str, fake_xen: Callable[[], None]) -> None:
    for number, outcome in attempts(OPERATIONS[name], folder, fake_xen, harness.kill):
        assert outcome.killed, f"{number}: {outcome.said}"
        harness.count("points killed at")


def test_failed_at_touches(
    folder: Path, operation: Operation, fake_xen: Callable[[], None]
) -> None:
    """Each time with the next of the errors; the module says so, or does what is wanted."""
    tried = iter(range(10**6))

    def fail() -> None:
        error = ERRORS[next(tried) % len(ERRORS)]
        raise OSError(error, os.strerror(error))

    for number, outcome in attempts(operation, folder, fake_xen, fail, min(2, STRIDE)):
        assert outcome.result, f"{number}: {outcome.said}"
        assert "Traceback" not in outcome.said, f"{number}: {outcome.said}"
        if outcome.failed:
            words = ("chown failed", *map(os.strerror, ERRORS))  # as Ansible says, and we
            assert any(word in outcome.message for word in words), outcome.message
        harness.count("points failed at")


# File systems that are full or cannot be written


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a file system on a folder of its own, and unmounts it in the end."""
    places: List[Path] = []

    def mount(*arguments: str) -> Path:
        places.append(tmp_path / f"mounted{len(places)}")
        places[-1].mkdir()
        subprocess.run(["mount", *arguments, str(places[-1])], check=True)
        return places[-1]

    yield mount
    for place in reversed(places):
        harness.unbind_all(place)
        subprocess.run(["umount", str(place)], check=True)


def test_full_file_system(
    folder: Path, mounted: Callable[..., Path], fake_xen: Callable[[], None]
) -> None:
    """What has no room is not there, and what was there is as it was."""
    fake_xen()
    place = mounted("-t", "tmpfs", "-o", "size=2m,mode=0755", "full")
    source_image(folder)
    image(place)
    full = {"size": 4 * MIB, "allocation": "full", "volatile": True}
    too_large = [
        {"path": str(place / "b.raw"), **full},
        {"path": str(place / "c.raw"), "source": str(folder / "s.raw"), **full},
    ]
    for options in too_large:
        outcome = harness.call("xen_raw_disk", **options)
        assert outcome.failed
        assert str(place) in outcome.message
        harness.count("full file systems")
    (place / "filler").write_bytes(bytes(700 * KIB))
    small = {"path": str(place / "d.raw"), "source": str(folder / "s.raw"), "volatile": True}
    outcome = harness.call("xen_raw_disk", **small)
    assert outcome.failed
    assert os.strerror(errno.ENOSPC) in outcome.message
    (place / "auto").mkdir()
    with (place / "rest").open("wb", buffering=0) as rest, contextlib.suppress(OSError):
        while True:
            rest.write(bytes(4096))
    outcome = harness.call("xen_domain_config", **config_options(place))
    assert outcome.failed
    assert os.strerror(errno.ENOSPC) in outcome.message
    harness.count("full file systems", 2)
    assert names(place) == ["a.raw", "auto/", "filler", "rest"]
    assert (place / "a.raw").read_bytes() == CONTENT


# The units are not where the images are.
@pytest.mark.parametrize("name", [name for name in OPERATIONS if "at-boot" not in name])
def test_read_only_file_system(
    folder: Path, mounted: Callable[..., Path], fake_xen: Callable[[], None], name: str
) -> None:
    """Nothing changes there; what needs no writing works."""
    operation = OPERATIONS[name]
    fake_xen()
    operation.prepare(folder)
    before = state(folder)
    place = mounted("--bind", "-o", "ro", str(folder))
    outcome = harness.call(operation.module, **operation.arguments(place))
    assert outcome.result, outcome.said
    if outcome.failed:
        assert str(place) in outcome.message
    assert state(folder) == before
    harness.count("read-only file systems")
