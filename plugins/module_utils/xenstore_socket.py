# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads single nodes of xenstore from xenstored itself, many with one turn.

xenstore-ls reads whole trees, two questions a node, most of which are of no interest here. The
protocol is that of Xen's docs/misc/xenstore.txt and public/io/xs_wire.h.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import contextmanager
from typing import BinaryIO, Iterator, List, Optional, Sequence, Tuple

SOCKET = "/var/run/xenstored/socket"
"""Where xenstored listens, unless the environment says otherwise, as for Xen's own library."""

SECONDS = 180

WINDOW = 64
"""Questions before the answers to them are read. Both have to fit into the socket's buffers."""

HEADER = struct.Struct("=IIII")
"""Of a message: its kind, the number of the question, that of a transaction, bytes that follow."""
DIRECTORY, READ, ERROR = 1, 2, 16
ABSENT = b"ENOENT\0"


class UnavailableError(Exception):
    """xenstored cannot be asked this way. xenstore-ls may know another one, or why not."""


@contextmanager
def connected() -> Iterator[Connection]:
    """A connection to xenstored. Raises UnavailableError, then and whenever it is used."""
    path = os.environ.get("XENSTORED_PATH", SOCKET)
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(SECONDS)
            channel.connect(path)
            with channel.makefile("rb") as answers:
                yield Connection(channel, answers)
    except OSError as error:
        raise UnavailableError(f"{path}: {error}") from None


class Connection:
    """What xenstored can be asked."""

    def __init__(self, channel: socket.socket, answers: BinaryIO) -> None:
        self._channel = channel
        self._answers = answers

    def children(self, paths: Sequence[str]) -> List[List[str]]:
        """The names of the nodes directly below each path; none where there is no such node."""
        answers = self._asked([(DIRECTORY, path) for path in paths])
        return [answer.split("\0")[:-1] if answer else [] for answer in answers]

    def values(self, paths: Sequence[str]) -> List[Optional[str]]:
        """The value of each node, None where there is no such node."""
        return self._asked([(READ, path) for path in paths])

    def _asked(self, questions: Sequence[Tuple[int, str]]) -> List[Optional[str]]:
        answers: List[Optional[str]] = []
        for start in range(0, len(questions), WINDOW):
            asked = questions[start : start + WINDOW]
            self._channel.sendall(b"".join(_message(*question) for question in asked))
            answers += [self._answer(kind) for kind, _path in asked]
        return answers

    def _answer(self, wanted: int) -> Optional[str]:
        kind, _number, _transaction, length = HEADER.unpack(self._read(HEADER.size))
        text = self._read(length)
        if kind == ERROR and text == ABSENT:
            return None
        if kind != wanted:
            # Such as E2BIG, for a directory that takes more than one answer.
            raise UnavailableError(f"xenstored answered {kind} {text!r:.80} to {wanted}")
        return text.decode("utf-8", "surrogateescape")

    def _read(self, length: int) -> bytes:
        data = self._answers.read(length)
        if len(data) < length:
            raise UnavailableError("xenstored hung up")
        return data


def _message(kind: int, path: str) -> bytes:
    text = path.encode("utf-8", "surrogateescape") + b"\0"
    return HEADER.pack(kind, 0, 0, len(text)) + text
