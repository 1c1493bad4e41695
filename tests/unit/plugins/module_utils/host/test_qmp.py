# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU's control protocol, against a server that follows a script."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Iterator, List, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.host import qmp
from ansible_collections.xen.blockdev.plugins.module_utils.host.qmp import Qmp, QmpError
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.qmp_server import (
    DONE,
    QmpServer,
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[QmpServer]:
    one = QmpServer(tmp_path / "qmp")
    yield one
    one.close()


def test_a_command_and_its_result(server: QmpServer) -> None:
    server.play([DONE, {"return": {"status": "running"}}])
    with qmp.connect(server.path) as qemu:
        assert qemu.execute("query-status", detail=5) == {"status": "running"}
    assert server.received == [
        {"execute": "qmp_capabilities", "arguments": {}},
        {"execute": "query-status", "arguments": {"detail": 5}},
    ]


def test_events_are_no_answers(server: QmpServer) -> None:
    event = {"event": "STOP", "data": {}, "timestamp": {"seconds": 1}}
    server.play([[event, DONE], [event, event, {"return": [1]}]])
    with qmp.connect(server.path) as qemu:
        assert qemu.execute("query-cpus") == [1]


def test_a_file_is_passed(server: QmpServer, tmp_path: Path) -> None:
    server.play([DONE, DONE, DONE])
    with open(tmp_path / "memory", "wb") as memory, qmp.connect(server.path) as qemu:
        qemu.pass_file("memory", memory.fileno())
        qemu.execute("stop")
    assert server.received[1] == {"execute": "getfd", "arguments": {"fdname": "memory"}}
    (descriptor,) = server.files
    os.write(descriptor, b"content")
    os.close(descriptor)
    assert (tmp_path / "memory").read_bytes() == b"content"


def test_the_connection_ends_although_its_object_is_kept(server: QmpServer) -> None:
    server.play([DONE], [DONE])
    with qmp.connect(server.path) as first:
        pass
    with qmp.connect(server.path, 5) as second:
        assert isinstance(first, Qmp) and isinstance(second, Qmp)


# ---- statuses ----


def statuses(*names: str, why: Optional[str] = None) -> List[Any]:
    more = {} if why is None else {"error-desc": why}
    return [DONE, *({"return": {"status": name, **more}} for name in names)]


def test_a_status_is_awaited(server: QmpServer) -> None:
    server.play(statuses("setup", "active", "completed"))
    with qmp.connect(server.path) as qemu:
        assert qemu.await_status("query-migrate", ("completed", "other"), 10) == "completed"
    assert len(server.received) == 4


def test_there_need_be_no_status_yet(server: QmpServer) -> None:
    server.play([DONE, DONE, {"return": {"status": "completed"}}])
    with qmp.connect(server.path) as qemu:
        assert qemu.await_status("query-migrate", ("completed",), 10) == "completed"


def test_what_has_failed_is_not_awaited(server: QmpServer) -> None:
    server.play(statuses("active", "failed", why="Unable to write"))
    with qmp.connect(server.path) as qemu, pytest.raises(QmpError) as caught:
        qemu.await_status("query-migrate", ("completed",), 10)
    assert str(caught.value) == "QEMU did not finish (query-migrate): Unable to write"


def test_a_status_that_does_not_come(server: QmpServer) -> None:
    server.play(statuses(*["active"] * 100))
    with qmp.connect(server.path) as qemu, pytest.raises(QmpError) as caught:
        qemu.await_status("query-migrate", ("completed",), 0.2)
    assert str(caught.value) == (
        "QEMU did not finish (query-migrate): after 0.2 s it still says active"
    )


# ---- errors ----


def error_of(server: QmpServer, seconds: float = 5) -> str:
    with pytest.raises(QmpError) as caught, qmp.connect(server.path, seconds) as qemu:
        qemu.execute("migrate", uri="fd:memory")
    return str(caught.value)


def test_a_command_that_is_refused(server: QmpServer) -> None:
    server.play([DONE, {"error": {"class": "GenericError", "desc": "No file descriptor"}}])
    assert error_of(server) == "QEMU refused: No file descriptor"


def test_qemu_ends_before_it_answers(server: QmpServer) -> None:
    server.play([])
    assert error_of(server) == "QEMU ended"


def test_qemu_ends_between_commands(server: QmpServer) -> None:
    server.play([DONE])
    with qmp.connect(server.path) as qemu:
        with pytest.raises(QmpError, match="QEMU ended"):
            qemu.execute("stop")
        with pytest.raises(QmpError, match="QEMU stopped listening: "):
            qemu.execute("cont")


def test_qemu_does_not_answer_in_time(server: QmpServer) -> None:
    server.play([DONE, b""])
    started = time.monotonic()
    assert error_of(server, 0.2) == "QEMU does not answer: timed out"
    assert time.monotonic() - started < 3


def test_qemu_does_not_speak_qmp(server: QmpServer) -> None:
    server.play([DONE, b"QEMU 7.2.22 monitor\r\n"])
    assert error_of(server) == "QEMU does not speak QMP: b'QEMU 7.2.22 monitor\\r\\n'"


def test_nobody_listens(tmp_path: Path, server: QmpServer) -> None:
    server.close()
    assert error_of(server) == "QEMU does not listen: Connection refused"
    Path(server.path).unlink()
    assert error_of(server) == "QEMU does not listen: No such file or directory"
