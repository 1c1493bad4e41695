# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The emulated drives of a guest, as QEMU tells them."""

from __future__ import annotations

import array
import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any, Iterator, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host import qmp
from ansible_collections.xen.blockdev.plugins.module_utils.xen import device_model
from ansible_collections.xen.blockdev.plugins.module_utils.xen.device_model import EmulatedDrive
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.contentutil import (
    skip_without,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.qmp_server import (
    DONE,
    QmpServer,
)

QEMU = "qemu-system-x86_64"
DOMID = 7


@pytest.fixture(autouse=True)
def socket_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(device_model, "RUN_DIR", str(tmp_path))
    return str(tmp_path / f"qmp-libxenstat-{DOMID}")


@pytest.fixture
def server(socket_path: str) -> Iterator[QmpServer]:
    one = QmpServer(Path(socket_path))
    yield one
    one.close()


@pytest.fixture
def images(tmp_path: Path) -> List[str]:
    """Two disks and an ISO."""
    paths = [tmp_path / name for name in ("first.raw", "second.raw", "tools.iso")]
    for path in paths:
        path.write_bytes(bytes(2**20))
    return [str(path) for path in paths]


@pytest.fixture
def qemu(socket_path: str, images: List[str]) -> Iterator[str]:
    """The path of the socket of a real QEMU, with drives as libxl has it make them."""
    skip_without(QEMU)
    first, second, iso = images
    pid_file = f"{socket_path}.pid"
    command = [QEMU, "-S", "-nodefaults", "-no-user-config", "-display", "none", "-daemonize"]
    command += ["-machine", "pc", "-accel", "tcg", "-m", "16", "-pidfile", pid_file]
    command += ["-qmp", f"unix:{socket_path},server=on,wait=off", "-device", "lsi53c895a"]
    command += ["-drive", f"file={first},if=ide,index=0,media=disk,format=raw"]
    command += ["-drive", f"file={second},id=scsi0-hd2,format=raw,if=none,readonly=on"]
    command += ["-device", "scsi-hd,drive=scsi0-hd2,scsi-id=2"]
    command += ["-drive", f"if=none,readonly=on,id=ide-5632,file={iso},format=raw"]
    command += ["-device", "ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0"]
    command += ["-drive", "if=none,readonly=on,id=ide-5696"]
    command += ["-device", "ide-cd,id=ide-5696,drive=ide-5696,bus=ide.1,unit=1"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    yield socket_path
    os.kill(int(Path(pid_file).read_text()), signal.SIGKILL)


def test_drives_of_a_real_qemu(qemu: str, images: List[str]) -> None:
    first, second, iso = images
    assert sorted(device_model.drives(DOMID), key=lambda drive: drive.name) == [
        EmulatedDrive("ide-5632", iso),
        EmulatedDrive("ide-5696", None),
        EmulatedDrive("ide0-hd0", first),
        EmulatedDrive("scsi0-hd2", second),
    ]


def test_a_medium_that_was_passed_as_an_open_file(qemu: str, images: List[str]) -> None:
    change(qemu, "ide-5632", images[1])
    assert EmulatedDrive("ide-5632", images[1]) in device_model.drives(DOMID)
    with qmp.connect(qemu) as client:
        client.execute("eject", id="ide-5632")
    assert EmulatedDrive("ide-5632", None) in device_model.drives(DOMID)


def change(path: str, drive: str, medium: str) -> None:
    """Change the medium of a drive as libxl does (libxl_disk.c)."""
    with socket.socket(socket.AF_UNIX) as connection, open(medium, "rb") as file:
        connection.connect(path)
        answers = connection.makefile("r")

        def execute(command: str, *files: int, **arguments: object) -> Any:
            message = json.dumps({"execute": command, "arguments": arguments}).encode()
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))
            connection.sendmsg([message], [rights] if files else [])
            while True:
                answer = json.loads(answers.readline())
                if "return" in answer:
                    return answer["return"]
                assert "error" not in answer, answer

        execute("qmp_capabilities")
        execute("eject", id=drive)
        opened = execute("add-fd", file.fileno(), opaque=f"raw:{medium}")
        name = f"/dev/fdset/{opened['fdset-id']}"
        execute("blockdev-change-medium", id=drive, filename=name, format="raw")


def test_a_guest_that_has_locked_its_medium(server: QmpServer) -> None:
    block = {"device": "ide-5632", "locked": True, "inserted": {"file": "/srv/a.iso"}}
    server.play([DONE, {"return": [block, {"device": "", "locked": False}]}])
    assert device_model.drives(DOMID) == [EmulatedDrive("ide-5632", "/srv/a.iso", is_locked=True)]


def test_a_medium_in_an_open_tray_can_be_taken_out(server: QmpServer) -> None:
    block = {"device": "ide-5632", "locked": True, "tray_open": True}
    server.play([DONE, {"return": [{**block, "inserted": {"file": "/srv/a.iso"}}]}])
    assert device_model.drives(DOMID) == [EmulatedDrive("ide-5632", "/srv/a.iso")]


def test_a_domain_without_qemu_has_no_drives() -> None:
    assert device_model.drives(DOMID) == []


def test_a_qemu_that_does_not_answer(server: QmpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_model, "SECONDS", 0.1)
    with pytest.raises(XenError, match="cannot ask the QEMU of domain 7 for its drives: QEMU does"):
        device_model.drives(DOMID)
