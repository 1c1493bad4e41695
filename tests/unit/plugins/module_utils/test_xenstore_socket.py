# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""xenstored by its socket: the same disks as in the listing of xenstore-ls, or that instead."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Callable, Iterator, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils import (
    programs,
    xen,
    xenstore,
    xenstore_socket,
)
from ansible_collections.xen.blockdev.plugins.module_utils.programs import Completed
from ansible_collections.xen.blockdev.plugins.module_utils.xen import Domain
from ansible_collections.xen.blockdev.plugins.module_utils.xenstore import Store
from ansible_collections.xen.blockdev.plugins.module_utils.xenstore_socket import (
    DIRECTORY,
    ERROR,
    HEADER,
    READ,
    UnavailableError,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.xenutil import (
    recorded_store,
)

Answer = Callable[[int, str], bytes]


class Xenstored:
    """Answers from a store, or as the test says."""

    def __init__(self, path: Path) -> None:
        self.store = Store({})
        self.asked: List[str] = []
        self.answer: Answer = self.from_store
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def from_store(self, kind: int, path: str) -> bytes:
        value = self.store.get(path)
        if kind == READ and value is not None:
            return message(READ, value.encode("utf-8", "surrogateescape"))
        children = self.store.children(path)
        if kind == DIRECTORY and (children or value is not None):
            return message(DIRECTORY, "".join(f"{name}\0" for name in children).encode())
        return message(ERROR, b"ENOENT\0")

    def _serve(self) -> None:
        while True:
            channel, _address = self._listener.accept()
            with channel, channel.makefile("rb") as questions:
                while True:
                    header = questions.read(HEADER.size)
                    if len(header) < HEADER.size:
                        break
                    kind, _number, _transaction, length = HEADER.unpack(header)
                    path = questions.read(length).rstrip(b"\0").decode("utf-8", "surrogateescape")
                    self.asked.append(path)
                    answer = self.answer(kind, path)
                    if not answer:
                        break
                    channel.sendall(answer)


def message(kind: int, text: bytes) -> bytes:
    return HEADER.pack(kind, 0, 0, len(text)) + text


@pytest.fixture
def xenstored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Xenstored]:
    path = tmp_path / "socket"
    server = Xenstored(path)
    monkeypatch.setenv("XENSTORED_PATH", str(path))
    monkeypatch.setattr(programs, "run", lambda argv, timeout: pytest.fail(f"{argv} is not wanted"))
    return server


def listing(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(programs, "run", lambda argv, timeout: Completed(0, text, ""))


def test_the_same_as_in_the_listing(xenstored: Xenstored) -> None:
    values = xenstore.parse(recorded_store())
    xenstored.store = Store(values)
    read = xen.read_store()
    assert xen.domains(read) == xen.domains(xenstored.store) != []
    assert xen.vbds(read) == xen.vbds(xenstored.store) != []
    assert len(xenstored.asked) < len(values)


def test_nothing_is_asked_for_twice_or_in_vain(xenstored: Xenstored) -> None:
    entry, backend = "/libxl/1/device/vbd/51712", "/local/domain/0/backend/vbd/1/51712"
    xenstored.store = Store({f"{entry}/backend": backend, f"{backend}/params": "/dev/loop0"})
    xen.read_store()
    asked = [path for path in xenstored.asked if "51712" in path]
    assert len(asked) == len(set(asked))
    assert f"{entry}/params" not in asked
    assert f"{entry}/mode" in asked
    assert not [path for path in asked if "/qdisk/" in path]


def test_one_slot(xenstored: Xenstored) -> None:
    xenstored.store = Store(xenstore.parse(recorded_store()))
    for vbd in xen.vbds(xenstored.store):
        domain = Domain(vbd.domid, vbd.domain, "")
        assert xen.read_slot(domain, vbd.xenstore_key) == vbd
        assert xen.read_slot(domain, 1) is None


def test_a_disk_that_has_lost_one_of_its_ends(xenstored: Xenstored) -> None:
    whole = xenstore.parse(recorded_store())
    for gone in ("/libxl/", "/local/domain/0/backend/", "/local/domain/1/device/"):
        xenstored.store = Store(
            {path: value for path, value in whole.items() if not path.startswith(gone)}
        )
        assert xen.vbds(xen.read_store()) == xen.vbds(xenstored.store) != []


def test_bytes_that_are_no_text(xenstored: Xenstored) -> None:
    node = "/libxl/1/device/vbd/51712/params"
    values = {**xenstore.parse(recorded_store()), node: "/srv/\udcff\nx"}
    values.pop("/local/domain/0/backend/vbd/1/51712/params")
    xenstored.store = Store(values)
    assert xen.vbds(xen.read_store()) == xen.vbds(xenstored.store)


def test_many_disks(xenstored: Xenstored) -> None:
    names = range(51712, 51712 + 600)
    disks = {f"/libxl/1/device/vbd/{key}/dev": str(key) for key in names}
    xenstored.store = Store({"/local/domain/1/name": "web", **disks})
    assert [vbd.xenstore_key for vbd in xen.vbds(xen.read_store())] == list(names)


@pytest.mark.parametrize(
    "answer",
    [
        lambda kind, path: message(ERROR, b"E2BIG\0"),
        lambda kind, path: message(READ + DIRECTORY, b""),
        lambda kind, path: b"",
        lambda kind, path: b"short",
        lambda kind, path: HEADER.pack(kind, 0, 0, 10**6),
    ],
)
def test_an_answer_that_is_none_leads_to_the_listing(
    xenstored: Xenstored, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr(xenstore_socket, "SECONDS", 0.2)
    xenstored.answer = answer
    listing(monkeypatch, recorded_store())
    expected = xen.vbds(Store(xenstore.parse(recorded_store())))
    assert xen.vbds(xen.read_store()) == expected


def test_no_socket_leads_to_the_listing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XENSTORED_PATH", str(tmp_path / "none"))
    listing(monkeypatch, recorded_store())
    assert xen.vbds(xen.read_store()) != []
    with pytest.raises(UnavailableError, match="/none: "), xenstore_socket.connected():
        pass
