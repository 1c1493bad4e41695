# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""xenstore as it is read from xenstored, by its socket and by the kernel's device."""

from __future__ import annotations

import errno
import os
import random
import socket
import struct
import threading
from pathlib import Path
from typing import Callable, Dict, Iterator, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.plugins.module_utils.xen import xenstore
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Domain
from ansible_collections.xen.blockdev.plugins.module_utils.xen.xenstore import (
    DIRECTORY,
    DIRECTORY_PART,
    ERROR,
    HEADER,
    READ,
    Store,
)
from ansible_collections.xen.blockdev.tests.integration.targets.setup_fake_xen.files.fake_xenstored import (  # noqa: E501
    Tree,
    Xenstored,
    error,
    message,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.fake_xen_host import (
    recorded_store,
)

Answer = Callable[[Tree, int, int, bytes], bytes]
"""What xenstored sends: to a question of a kind, with a number and a text."""


class Server(Xenstored):
    """Has the values that the test says."""

    def __init__(self, path: Path) -> None:
        self.values: Dict[str, str] = {}
        super().__init__(str(path), lambda: Tree(self.values))
        self.start()


@pytest.fixture
def xenstored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    path = tmp_path / "socket"
    monkeypatch.setenv("XENSTORED_PATH", str(path))
    server = Server(path)
    yield server
    server.stop()


# ---- what is read ----


def test_all_that_is_needed_and_no_more(xenstored: Server) -> None:
    xenstored.values = recorded_store()
    read, whole = xen_state.read_store(), Store(xenstored.values)
    assert xen_state.domains(read) == xen_state.domains(whole) != []
    assert xen_state.vbds(read) == xen_state.vbds(whole) != []
    assert len(xenstored.asked) < len(xenstored.values)


def test_nothing_is_asked_for_twice_or_in_vain(xenstored: Server) -> None:
    entry, backend = "/libxl/1/device/vbd/51712", "/local/domain/0/backend/vbd/1/51712"
    xenstored.values = {f"{entry}/backend": backend, f"{backend}/params": "/dev/loop0"}
    xen_state.read_store()
    asked = [path for path in xenstored.asked if "51712" in path]
    assert len(asked) == len(set(asked))
    assert f"{entry}/params" not in asked
    assert f"{entry}/mode" in asked
    assert not [path for path in asked if "/qdisk/" in path]


def test_one_slot(xenstored: Server) -> None:
    xenstored.values = recorded_store()
    for vbd in xen_state.vbds(Store(xenstored.values)):
        domain = Domain(vbd.domid, vbd.domain, "")
        assert xen_state.read_slot(domain, vbd.xenstore_key) == vbd
        assert xen_state.read_slot(domain, 1) is None


@pytest.mark.parametrize("gone", ["/libxl/", "/local/domain/0/backend/", "/local/domain/1/device/"])
def test_a_disk_that_has_lost_one_of_its_ends(xenstored: Server, gone: str) -> None:
    whole = recorded_store()
    xenstored.values = {path: whole[path] for path in whole if not path.startswith(gone)}
    assert xen_state.vbds(xen_state.read_store()) == xen_state.vbds(Store(xenstored.values)) != []


def test_bytes_that_are_no_text(xenstored: Server) -> None:
    xenstored.values = {"/libxl/1/device/vbd/51712/params": "/srv/\udcff\nä"}
    assert [vbd.target for vbd in xen_state.vbds(xen_state.read_store())] == ["/srv/\udcff\nä"]


def test_answers_in_another_order(xenstored: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: List[bytes] = []
    in_order = xenstored.answer

    def answer(tree: Tree, kind: int, number: int, question: bytes) -> bytes:
        waiting.append(in_order(tree, kind, number, question))
        if len(waiting) < 3:
            return b""
        random.Random(1).shuffle(waiting)
        together = b"".join(waiting)
        waiting.clear()
        return together

    monkeypatch.setattr(xenstored, "answer", answer)
    xenstored.values = {"/a": "1", "/b": "2", "/c": "3"}
    with xenstore.connected() as connection:
        assert connection.values(["/b", "/a", "/c"]) == ["2", "1", "3"]


# ---- big directories ----


def test_many_disks(xenstored: Server) -> None:
    names = range(51712, 51712 + 1500)
    disks = {f"/libxl/1/device/vbd/{key}/dev": str(key) for key in names}
    xenstored.values = {"/local/domain/1/name": "web", **disks}
    assert [vbd.xenstore_key for vbd in xen_state.vbds(xen_state.read_store())] == list(names)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
@pytest.mark.parametrize("length", [1, 4088, 4089, 4090, 4091])
def test_directories_in_parts(xenstored: Server, count: int, length: int) -> None:
    names = [f"{number:0{length}}" for number in range(min(count, 10**length))]
    tree = Tree({"/a": "", **{f"/a/{name}": "" for name in names}})
    xenstored.read = lambda: tree
    with xenstore.connected() as connection:
        assert connection.children(["/a", "/none"]) == [names, []]
        assert connection._in_parts("/a").decode() == "".join(f"{name}\0" for name in names)


def test_a_big_directory_of_oxenstored(xenstored: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not divide it (seen with Xen 4.17)."""
    names = [f"{number:07}" for number in range(2000)]
    answer = "".join(f"{name}\0" for name in names).encode()
    monkeypatch.setattr(
        xenstored, "answer", lambda _tree, kind, number, _question: message(kind, number, answer)
    )
    with xenstore.connected() as connection:
        assert connection.children(["/a"]) == [names]


def test_a_directory_that_changes_between_its_parts(
    xenstored: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first part of the old one is forgotten."""
    parts = iter([b"1\0old\0", b"2\0ne\0", b"2\0new\0", b"2\0er\0\0"])
    monkeypatch.setattr(
        xenstored,
        "answer",
        lambda _tree, kind, number, _question: (
            error(number, "E2BIG") if kind == DIRECTORY else message(kind, number, next(parts))
        ),
    )
    with xenstore.connected() as connection:
        assert connection.children(["/a"]) == [["new", "er"]]


def test_a_directory_that_goes_between_its_parts(
    xenstored: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = iter(["E2BIG", "ENOENT"])
    monkeypatch.setattr(
        xenstored, "answer", lambda _tree, _kind, number, _question: error(number, next(names))
    )
    with xenstore.connected() as connection:
        assert connection.children(["/a"]) == [[]]


# ---- answers that are none ----


def too_big(parts: Callable[[int], bytes]) -> Answer:
    """An answer to a question for a directory, and one for each of its parts."""

    def answer(_tree: Tree, kind: int, number: int, question: bytes) -> bytes:
        if kind == DIRECTORY:
            return error(number, "E2BIG")
        return parts(int(question.split(b"\0")[1]))

    return answer


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda _tree, _kind, number, _path: error(number, "EACCES"), "EACCES for '/lo"),
        (lambda _tree, _kind, number, _path: message(ERROR, number, b"\xff"), r"answered .* for"),
        (lambda _tree, kind, number, _path: message(kind + 1, number, b""), "0 bytes of kind 2"),
        (
            lambda _tree, kind, number, _path: message(kind, number + 9, b""),
            "a request that was not sent",
        ),
        (lambda _tree, kind, _number, _path: message(kind, 0, b""), "a request that was not sent"),
        (lambda _tree, kind, number, _path: HEADER.pack(kind, number, 0, 2**31), "2147483648 b"),
        (lambda _tree, kind, number, _path: HEADER.pack(kind, number, 0, 10), "no answer within"),
        (lambda *_question: b"short", "no answer within"),
        (lambda *_question: b"", "no answer within"),
        (too_big(lambda _offset: error(0, "ENOSYS")), "ENOSYS for"),
        (too_big(lambda _offset: message(DIRECTORY_PART, 0, b"")), "is too big, or changes"),
        (too_big(lambda _offset: message(DIRECTORY_PART, 0, b"7\0")), "is too big, or changes"),
        (too_big(lambda _offset: message(DIRECTORY_PART, 0, b"7\0a\0")), "is too big, or changes"),
        (
            too_big(lambda offset: message(DIRECTORY_PART, 0, b"%d\0a\0" % (offset == 0))),
            "changes all the time",
        ),
    ],
)
def test_bad_answers(
    xenstored: Server, monkeypatch: pytest.MonkeyPatch, answer: Answer, words: str
) -> None:
    monkeypatch.setattr(xenstore, "SECONDS", 0.2 if "within" in words else 60)
    monkeypatch.setattr(xenstore, "PARTS", 20)
    monkeypatch.setattr(xenstored, "answer", answer)
    with pytest.raises(XenError, match=f"cannot read xenstore through /.*/socket: .*{words}"):
        xen_state.read_store()


@pytest.mark.parametrize("sent", [b"", b"short", HEADER.pack(DIRECTORY, 0, 0, 10) + b"half"])
def test_xenstored_that_hangs_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    def serve() -> None:
        channel, _address = listener.accept()
        with channel:
            channel.recv(1)
            channel.sendall(sent)
            channel.shutdown(socket.SHUT_WR)
            while channel.recv(4096):
                pass

    monkeypatch.setenv("XENSTORED_PATH", str(tmp_path / "socket"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(XenError, match="xenstored closed the connection"):
            xen_state.read_store()
        thread.join()


def test_a_question_that_xenstored_does_not_take(xenstored: Server) -> None:
    """A path as libxl would never write it."""
    with xenstore.connected() as connection:
        for path, words in (("/a\0b", "EINVAL"), ("/a b", "EINVAL"), ("/a" * 2049, "closed the")):
            with pytest.raises(XenError, match=words):
                connection.values([path])


def test_more_than_fits_into_the_buffers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits forever for room."""
    monkeypatch.setattr(xenstore, "SECONDS", 0.2)
    monkeypatch.setenv("XENSTORED_PATH", str(tmp_path / "socket"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        with pytest.raises(XenError, match="no answer within"), xenstore.connected() as connection:
            connection._channel.send(bytes(10**7))


# ---- where xenstored is ----


def test_xenstored_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XENSTORED_PATH", str(tmp_path / "none"))
    with pytest.raises(XenError, match=r"there is no /.*/none; is xenstored running, and is this"):
        xen_state.read_store()


def test_sockets_go_before_devices(
    xenstored: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XENSTORED_PATH")
    monkeypatch.setattr(xenstore, "SOCKETS", (str(tmp_path / "none"), str(tmp_path / "socket")))
    device = tmp_path / "xenbus"
    device.touch()
    monkeypatch.setattr(xenstore, "DEVICES", (str(device),))
    xen_state.read_store()
    xenstored.stop()
    with pytest.raises(XenError, match=r"/socket: Connection refused"):
        xen_state.read_store()
    (tmp_path / "socket").unlink()
    with pytest.raises(XenError, match=r"/xenbus: xenstored closed the connection"):
        xen_state.read_store()
    device.unlink()
    with pytest.raises(XenError, match=r"no /.*/none or /.*/socket or /.*/xenbus"):
        xen_state.read_store()


def test_a_socket_that_only_root_may_use(
    xenstored: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Socket(socket.socket):
        def connect(self, *_address: object) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket, "socket", Socket)
    with pytest.raises(XenError, match="Permission denied"):
        xen_state.read_store()


class Xenbus(Server):
    """The kernel's device, as xenbus_dev_frontend.c has it: a message a write, of which it drops
    what follows, and an answer in two pieces of which the second may be empty."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        path.unlink()
        path.touch()

    def open(self, *_path: object) -> int:
        """A descriptor such as that of the device, with packets for its pieces."""
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        near.setblocking(False)
        threading.Thread(target=self._pass_on, args=[far], daemon=True).start()
        return near.detach()

    def _pass_on(self, channel: socket.socket) -> None:
        tree = self.read()
        with channel:
            for written in iter(lambda: channel.recv(2**20), b""):
                assert len(written) <= 4096
                kind, number, _transaction, length = struct.unpack("=IIII", written[:16])
                answer = self.answer(tree, kind, number, written[16 : 16 + length])
                for piece in filter(None, (answer[:16], answer[16:])):
                    channel.sendall(piece)


def test_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Xenbus(tmp_path / "xenbus")
    monkeypatch.setenv("XENSTORED_PATH", str(tmp_path / "xenbus"))
    monkeypatch.setattr(os, "open", device.open)
    monkeypatch.setattr(xenstore, "SECONDS", 20)
    no_slots = {f"/libxl/1/device/vbd/{letter * 2000}": "" for letter in "abc"}
    device.values = {**no_slots, **recorded_store(), "/libxl/1/device/vbd/51712/specification": ""}
    assert xen_state.vbds(xen_state.read_store()) == xen_state.vbds(Store(device.values))
    assert device.connections == 0
    monkeypatch.setattr(xenstore, "SECONDS", 0.2)
    monkeypatch.setattr(device, "answer", lambda *_question: b"")
    with pytest.raises(XenError, match=r"/xenbus: no answer within 0\.2 s; is xenstored"):
        xen_state.read_store()


def test_values_are_read_many_at_once(xenstored: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: List[int] = []
    send = xenstore.Channel.send

    def counted(channel: xenstore.Channel, data: bytes) -> None:
        sent.append(len(data))
        send(channel, data)

    monkeypatch.setattr(xenstore.Channel, "send", counted)
    with xenstore.connected() as connection:
        assert connection.values(["/a"] * 2 * xenstore.WINDOW) == [None] * 2 * xenstore.WINDOW
    assert len(sent) == 2
    assert READ == 2


def test_no_descriptor_is_left(xenstored: Server) -> None:
    before = os.listdir("/proc/self/fd")
    for _time in range(5):
        with pytest.raises(ZeroDivisionError), xenstore.connected():
            raise ZeroDivisionError
    # Those of the stand-in go when it notices, in its own time.
    assert len(os.listdir("/proc/self/fd")) <= len(before) + 5
