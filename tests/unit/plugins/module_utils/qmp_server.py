# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for QEMU's control socket, which follows a script."""

from __future__ import annotations

import array
import json
import socket
import threading
from pathlib import Path
from typing import Any, Dict, List, Sequence

GREETING = {"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": ["oob"]}}
DONE: Dict[str, Any] = {"return": {}}


class QmpServer:
    """Serves one client at a time, as QEMU does: one answer, or several lines, for each command."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.received: List[Any] = []
        self.files: List[int] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self.path)
        self._socket.listen()

    def play(self, *scripts: Sequence[Any]) -> None:
        """Follow a script for each client; it begins with the answer to qmp_capabilities."""
        thread = threading.Thread(target=self._play, args=scripts, daemon=True)
        thread.start()

    def _play(self, *scripts: Sequence[Any]) -> None:
        for script in scripts:
            connection, _peer = self._socket.accept()
            with connection:
                self._send(connection, GREETING)
                for answer in script:
                    if not self._receive(connection):
                        break
                    self._send(connection, answer)
                else:
                    self._receive(connection)

    def _receive(self, connection: socket.socket) -> bool:
        line, rights, _flags, _peer = connection.recvmsg(65536, socket.CMSG_LEN(4))
        if line:
            self.received.append(json.loads(line))
        self.files += [array.array("i", data)[0] for _level, _kind, data in rights]
        return bool(line)

    @staticmethod
    def _send(connection: socket.socket, answer: Any) -> None:
        if isinstance(answer, bytes):
            connection.sendall(answer)
            return
        for message in answer if isinstance(answer, list) else [answer]:
            connection.sendall(json.dumps(message).encode() + b"\r\n")

    def close(self) -> None:
        self._socket.close()
