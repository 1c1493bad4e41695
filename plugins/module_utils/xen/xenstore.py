# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads xenstore.

xenstored listens on a Unix socket in dom0. If it runs in a domain of its own, the kernel forwards
requests to it through a device that takes one at a time. Both speak the protocol of Xen's
docs/misc/xenstore.txt and public/io/xs_wire.h.
"""

from __future__ import annotations

import errno
import io
import os
import select
import socket
import stat
import struct
import time
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError, explained

SOCKETS = ("/var/run/xenstored/socket", "/run/xenstored/socket")
DEVICES = ("/dev/xen/xenbus", "/proc/xen/xenbus")
"""The kernel's device, and its path before Linux 3.3."""

SECONDS = 180
"""How long a connection may take, from opening it to the last answer."""

WINDOW = 64
"""Requests that are sent before their answers are read. Both must fit into the socket's buffers."""
WINDOW_OF_DEVICE = 1
"""The device keeps one request: a second one before the answer overwrites it."""

HEADER = struct.Struct("=IIII")
"""Of a message: its kind, the ids of request and transaction, the number of bytes that follow."""
DIRECTORY, READ, ERROR, DIRECTORY_PART = 1, 2, 16, 22
LONGEST = 2**24
"""Bytes that may follow a header. XENSTORE_PAYLOAD_MAX is 4096, but oxenstored puts all names of a
directory into one answer."""
BUFFER = 2**18
PARTS = 1000
"""The most answers for one directory. Each holds about 800 domain ids."""

ABSENT = "ENOENT"
TOO_BIG = "E2BIG"


class Store:
    """Part of xenstore, as it was read."""

    def __init__(self, values: Dict[str, str]) -> None:
        self._values = values
        self._children: Dict[str, Dict[str, None]] = {}
        for path in values:
            self._place(path)

    def _place(self, path: str) -> None:
        """Make ``path`` a child of its parent, and so on up to the root: values were read, not the
        directories above them."""
        while path:
            parent, _slash, name = path.rpartition("/")
            siblings = self._children.setdefault(parent, {})
            if name in siblings:
                return
            siblings[name] = None
            path = parent

    def get(self, path: str) -> Optional[str]:
        """The value of a node, None if there is no such node."""
        return self._values.get(path)

    def children(self, path: str) -> List[str]:
        """The names of the nodes directly below ``path``."""
        return list(self._children.get(path, ()))


@contextmanager
def connected() -> Iterator[Connection]:
    """A connection to xenstored. Opening and using it raise XenError."""
    path = _path()
    with explained(f"cannot read xenstore through {path}"):
        try:
            descriptor, window = _opened(path)
            try:
                yield Connection(Channel(descriptor), window)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise XenError(f"{error.strerror or error}; is xenstored running?") from None


def _path() -> str:
    """The path of xenstored's socket or device, from the environment as in Xen's library (xs.c).

    Unlike the library, this does not fall back to the device if the socket refuses: if xenstored
    has crashed, a request to the device is never answered.
    """
    configured = os.environ.get("XENSTORED_PATH")
    paths = [configured] if configured else [*SOCKETS, *DEVICES]
    found = next((path for path in paths if os.path.exists(path)), None)
    if found is None:
        raise XenError(
            f"cannot read xenstore: there is no {' or '.join(paths)}; is xenstored running, and is "
            "this dom0?"
        )
    return found


def _opened(path: str) -> Tuple[int, int]:
    """A descriptor that does not block, and how many requests it takes at once."""
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        return os.open(path, os.O_RDWR | os.O_NONBLOCK), WINDOW_OF_DEVICE
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        connection.connect(path)
        return connection.detach(), WINDOW


class Channel(io.RawIOBase):
    """Bytes from and to xenstored, through a descriptor that does not block. Raises OSError."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._deadline = time.monotonic() + SECONDS

    def readable(self) -> bool:
        """For BufferedReader."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Wait for bytes and return how many there are; 0 if there will be no more."""
        while True:
            try:
                return os.readv(self._descriptor, [buffer])
            except BlockingIOError:
                self._wait(select.POLLIN)

    def send(self, data: bytes) -> None:
        """Write ``data``, all of it."""
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                self._wait(select.POLLOUT)

    def _wait(self, event: int) -> None:
        left = self._deadline - time.monotonic()
        poll = select.poll()
        poll.register(self._descriptor, event)
        if left <= 0 or not poll.poll(left * 1000):
            raise TimeoutError(errno.ETIMEDOUT, f"no answer within {SECONDS} s")


class Answer(NamedTuple):
    """The answer of xenstored to a request."""

    content: bytes
    error: str = ""
    """The name of an errno; empty if there is none."""

    def about(self, path: str) -> Optional[bytes]:
        """The content, None if there is no such node. Raises XenError for any other error."""
        if self.error not in ("", ABSENT):
            raise XenError(f"xenstored answered {self.error} for {path!r:.200}")
        return None if self.error else self.content


class Connection:
    """Requests to xenstored, up to ``window`` at once."""

    def __init__(self, channel: Channel, window: int) -> None:
        self._channel = channel
        self._answers = io.BufferedReader(channel, BUFFER)
        self._window = window

    def children(self, paths: Sequence[str]) -> List[List[str]]:
        """The names of the nodes directly below each path; none if there is no such node."""
        answers = zip(paths, self._asked(DIRECTORY, paths))
        return [
            _text(
                self._in_parts(path) if answer.error == TOO_BIG else answer.about(path) or b""
            ).split("\0")[:-1]
            for path, answer in answers
        ]

    def values(self, paths: Sequence[str]) -> List[Optional[str]]:
        """The value of each node, None if there is no such node."""
        contents = (answer.about(path) for path, answer in zip(paths, self._asked(READ, paths)))
        return [None if content is None else _text(content) for content in contents]

    def _in_parts(self, path: str) -> bytes:
        """The names in a directory that is too big for one answer, each ended by a zero byte.

        A part begins with the directory's generation; if that has changed, reading starts again.
        The last part ends with an empty name.
        """
        names = generation = b""
        for _answer in range(PARTS):
            (answer,) = self._asked(DIRECTORY_PART, [f"{path}\0{len(names)}"])
            content = answer.about(path)
            if content is None:
                return b""
            now, _zero, part = content.partition(b"\0")
            names = names + part if now == generation or not names else b""
            generation = now
            if names[-2:] in (b"\0", b"\0\0"):
                return names[:-1]
        raise XenError(f"the directory {path} of xenstore is too big, or changes all the time")

    def _asked(self, kind: int, requests: Sequence[str]) -> List[Answer]:
        answers: List[Answer] = []
        for start in range(0, len(requests), self._window):
            answers += self._turn(kind, requests[start : start + self._window])
        return answers

    def _turn(self, kind: int, requests: Sequence[str]) -> List[Answer]:
        """The answers may come in any order."""
        messages = [_message(kind, *numbered) for numbered in enumerate(requests)]
        self._channel.send(b"".join(messages))
        answers = dict(self._answer(kind) for _request in requests)
        if set(answers) != set(range(len(requests))):
            raise XenError("xenstored answered a request that was not sent")
        return [answers[number] for number in range(len(requests))]

    def _answer(self, kind: int) -> Tuple[int, Answer]:
        answered, number, _transaction, length = HEADER.unpack(self._received(HEADER.size))
        if answered not in (kind, ERROR) or length > LONGEST:
            raise XenError(f"xenstored answered with {length} bytes of kind {answered}")
        content = self._received(length)
        if answered == ERROR:
            return number, Answer(b"", _text(content).rstrip("\0"))
        return number, Answer(content)

    def _received(self, length: int) -> bytes:
        data = self._answers.read(length)
        if len(data) < length:
            raise XenError("xenstored closed the connection; is it running?")
        return data


def _message(kind: int, number: int, request: str) -> bytes:
    text = request.encode("utf-8", "surrogateescape") + b"\0"
    return HEADER.pack(kind, number, 0, len(text)) + text


def _text(content: bytes) -> str:
    """Bytes that are not UTF-8 become surrogates (PEP 383), as in a path."""
    return content.decode("utf-8", "surrogateescape")
