# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for xenstored: reads of the values in a file, by a Unix socket.

``fake_xenstored.py STORE SOCKET`` serves in the background. It can be asked as soon as the command
has returned, reads STORE (path to value, in JSON) anew for each connection, and ends when SOCKET is
deleted. Answers, errors and limits are those of the xenstored in C of Xen 4.17.
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
"""Kind, number of the question, transaction, bytes that follow."""
DIRECTORY, READ, ERROR, DIRECTORY_PART = 1, 2, 16, 22
PAYLOAD_MAX = 4096
PATH = re.compile(rb"/|(?:/[-A-Za-z0-9_@]+)+")
GENERATION = b"7\0"
LOOK_SECONDS = 0.5
IDLE_SECONDS = 3600
"""Nobody asks for so long but after a test that was killed."""


class Tree:
    """Values by their paths. The directories above them are there as well, and are empty."""

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
    """Listens at a socket, and answers from what C(read) returns at the time of a connection."""

    def __init__(self, path: str, read: Callable[[], Tree]) -> None:
        self.read = read
        self.connections = 0
        self.asked: List[str] = []
        """The paths that were asked for."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._listener.settimeout(LOOK_SECONDS)

    def start(self) -> None:
        """Serve in a thread."""
        threading.Thread(target=self.serve, daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from here on; the socket stays, as if xenstored had crashed."""
        with suppress(OSError):  # a second time
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def serve(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Until L(stop), or as long as it C(goes_on), which is asked now and then."""
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
        """The message that answers another one."""
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
    """As many whole names as fit into an answer; one that has the last ends with an empty one."""
    names = names[offset:]
    room = PAYLOAD_MAX - len(GENERATION) - 1
    if len(names) <= room:
        return GENERATION + names + b"\0"
    return GENERATION + names[: names.rindex(b"\0", 0, room) + 1]


def message(kind: int, number: int, text: bytes) -> bytes:
    """A message to whoever has asked."""
    return HEADER.pack(kind, number, 0, len(text)) + text


def error(number: int, name: str) -> bytes:
    """The answer that is an error."""
    return message(ERROR, number, f"{name}\0".encode())


def tree_in(file: Path) -> Tree:
    """What a file holds, if it is there."""
    return Tree(json.loads(file.read_text()) if file.exists() else {})


def main() -> None:
    """Serve in a process of its own."""
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
