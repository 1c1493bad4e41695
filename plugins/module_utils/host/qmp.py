# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of QMP, QEMU's protocol for its own control (docs/interop/qmp-spec of QEMU)."""

from __future__ import annotations

import array
import json
import socket
import time
from contextlib import contextmanager
from typing import IO, Any, Dict, Iterator, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

POLL_SECONDS = 0.05


class QmpError(BlockdevError):
    """QEMU does not do what it was asked for."""


class NotListeningError(QmpError):
    """No QEMU listens at the socket."""


class Qmp:
    """A connection to one QEMU process."""

    def __init__(self, connection: socket.socket, lines: IO[bytes]) -> None:
        self._socket = connection
        self._lines = lines
        self._answer()  # the greeting
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: object) -> Any:
        """Run a command and return its result. Raises QmpError if QEMU refuses it."""
        self._send(command, arguments)
        return self._answer()

    def pass_file(self, name: str, descriptor: int) -> None:
        """Give an open file to QEMU, which then knows it as ``fd:name``."""
        rights = array.array("i", [descriptor])
        self._send("getfd", {"fdname": name}, (socket.SOL_SOCKET, socket.SCM_RIGHTS, rights))
        self._answer()

    def await_status(self, command: str, ended: Tuple[str, ...], seconds: float) -> str:
        """Ask with ``command`` until the status is one of ``ended``, and return it.

        Raises QmpError if it is not within ``seconds``, or where it is ``failed``.
        """
        deadline = time.monotonic() + seconds
        while True:
            answer = self.execute(command)
            status = str(answer.get("status"))
            if status in ended:
                return status
            if status == "failed" or time.monotonic() >= deadline:
                why = answer.get("error-desc", f"after {seconds:g} s it still says {status}")
                raise QmpError(f"QEMU did not finish ({command}): {why}")
            time.sleep(POLL_SECONDS)

    def _send(
        self,
        command: str,
        arguments: Dict[str, Any],
        ancillary: Optional[Tuple[int, int, Any]] = None,
    ) -> None:
        message = json.dumps({"execute": command, "arguments": arguments}).encode()
        try:
            self._socket.sendmsg([message], [ancillary] if ancillary else [])
        except OSError as error:
            raise QmpError(f"QEMU stopped listening: {error}") from None

    def _answer(self) -> Any:
        """The next message that is no event."""
        while True:
            try:
                line = self._lines.readline()
            except OSError as error:
                raise QmpError(f"QEMU does not answer: {error}") from None
            if not line:
                raise QmpError("QEMU ended")
            try:
                message = json.loads(line)
            except ValueError:
                raise QmpError(f"QEMU does not speak QMP: {line[:80]!r}") from None
            if "error" in message:
                raise QmpError(f"QEMU refused: {message['error'].get('desc')}")
            if "event" not in message:
                return message.get("return", message)


@contextmanager
def connect(path: str, seconds: float = 30) -> Iterator[Qmp]:
    """A connection to the QEMU whose socket is at ``path``, which has at most 107 bytes.

    ``seconds``: how long an answer may take. Raises NotListeningError if nothing listens there.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        try:
            connection.connect(path)
        except OSError as error:
            raise NotListeningError(f"QEMU does not listen: {error.strerror}") from None
        # QEMU talks to one at a time: the connection ends here, even if somebody keeps its object.
        with connection.makefile("rb") as lines:
            yield Qmp(connection, lines)
