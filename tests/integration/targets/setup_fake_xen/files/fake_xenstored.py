# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake xenstored: answers read requests on a Unix socket with the values in a file.

``fake_xenstored.py STORE SOCKET`` runs in the background. It accepts connections once the command
has returned, reads STORE (values by path, in JSON) again for each connection, and ends when SOCKET
is deleted. Answers, errors and limits are those of Xen 4.17's xenstored in C.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Callable, Dict, List

HEADER = struct.Struct("=IIII")
"""Kind, ids of request and transaction, number of bytes that follow."""
DIRECTORY, READ, ERROR, DIRECTORY_PART = 1, 2, 16, 22
PAYLOAD_MAX = 4096
PATH = re.compile(rb"/|(?:/[-A-Za-z0-9_@]+)+")
GENERATION = b"7\0"
LOOK_SECONDS = 0.5
IDLE_SECONDS = 3600
"""When to end without requests, e.g. after a test was killed."""


class Tree:
    """Values by path. The directories above them exist and have empty values."""

    def __init__(self, values: Dict[str, str]) -> None:
        self.values: Dict[bytes, bytes] = {b"": b""}
        self.names: Dict[bytes, bytes] = {}
        for path, value in values.items():
            self._place(path.encode())
            self.values[path.encode()] = value.encode("utf-8", "surrogateescape")

    def _place(self, path: bytes) -> None:
        if path not in self.values:
            parent, _slash, name = path.rpartition(b"/")
            self._place(parent)
            self.values[path] = b""
            self.names[parent] = self.names.get(parent, b"") + name + b"\0"


class Xenstored:
    """Listens on a socket, and answers from what ``read`` returns for each connection."""

    def __init__(self, path: str, read: Callable[[], Tree]) -> None:
        self.read = read
        self.connections = 0
        self.asked: List[str] = []
        """The requested paths."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._listener.settimeout(LOOK_SECONDS)

    def start(self) -> None:
        """Serve in a thread."""
        threading.Thread(target=self.serve, daemon=True).start()

    def stop(self) -> None:
        """Refuse connections; the socket stays, as if xenstored had crashed."""
        with suppress(OSError):  # a second time
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def serve(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Serve until ``stop``, or until ``goes_on``, which is polled, is false."""
        while goes_on():
            try:
                channel, _address = self._listener.accept()
            except socket.timeout:
                continue
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._converse, args=[channel], daemon=True).start()

    def _converse(self, channel: socket.socket) -> None:
        tree = self.read()
        with channel, channel.makefile("rb") as questions:
            while True:
                header = questions.read(HEADER.size)
                if len(header) < HEADER.size:
                    return
                kind, number, _transaction, length = HEADER.unpack(header)
                if length > PAYLOAD_MAX:
                    return
                answer = self.answer(tree, kind, number, questions.read(length))
                try:
                    channel.sendall(answer)
                except OSError:
                    return

    def answer(self, tree: Tree, kind: int, number: int, question: bytes) -> bytes:
        """The answer to a request."""
        path, _nul, rest = question.partition(b"\0")
        self.asked.append(path.decode("utf-8", "surrogateescape"))
        if not PATH.fullmatch(path) or (rest and kind != DIRECTORY_PART):
            return error(number, "EINVAL")
        path = path.rstrip(b"/")
        if path not in tree.values:
            return error(number, "ENOENT")
        names = tree.names.get(path, b"")
        if kind == READ:
            return message(READ, number, tree.values[path])
        if kind == DIRECTORY_PART:
            return message(DIRECTORY_PART, number, part(names, int(rest.rstrip(b"\0"))))
        if len(names) > PAYLOAD_MAX:
            return error(number, "E2BIG")
        return message(DIRECTORY, number, names)


def part(names: bytes, offset: int) -> bytes:
    """As many whole names as fit into an answer; the last part ends with an empty name."""
    names = names[offset:]
    room = PAYLOAD_MAX - len(GENERATION) - 1
    if len(names) <= room:
        return GENERATION + names + b"\0"
    return GENERATION + names[: names.rindex(b"\0", 0, room) + 1]


def message(kind: int, number: int, text: bytes) -> bytes:
    """A message to the client."""
    return HEADER.pack(kind, number, 0, len(text)) + text


def error(number: int, name: str) -> bytes:
    """An error answer."""
    return message(ERROR, number, f"{name}\0".encode())


def tree_in(file: Path) -> Tree:
    """The values in a file; none if it does not exist."""
    return Tree(json.loads(file.read_text()) if file.exists() else {})


def main() -> None:
    """Serve in a background process."""
    store, path = sys.argv[1:]
    server = Xenstored(path, lambda: tree_in(Path(store)))
    if os.fork():
        return
    os.setsid()
    for descriptor in range(3):
        os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
    end = time.monotonic() + IDLE_SECONDS
    server.serve(lambda: os.path.exists(path) and time.monotonic() < end)


if __name__ == "__main__":
    main()
