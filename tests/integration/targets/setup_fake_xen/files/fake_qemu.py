# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket of a QEMU without a guest: it tells which CDs are in its drives.

``fake_qemu.py DRIVES DOMID SOCKET`` runs in the background. It reads DRIVES again for each
connection: by domain id and name of the drive, whether the guest has it ``locked`` and the path of
its ``medium``. It accepts connections once the command has returned, and ends when SOCKET is
deleted. Of a domain that is not in DRIVES it has crashed: connections end at once.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Dict, List

GREETING = {"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": ["oob"]}}
LOOK_SECONDS = 0.5
IDLE_SECONDS = 3600
"""When to end without requests, e.g. after a test was killed."""


class Qemu:
    """Listens on a socket, for one client at a time as QEMU does."""

    def __init__(self, drives: Path, domid: int, path: str) -> None:
        self._drives = drives
        self._domid = str(domid)
        self.connections = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._listener.settimeout(LOOK_SECONDS)

    def start(self) -> None:
        """Serve in a thread."""
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self) -> None:
        """Refuse connections from now on."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def serve(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Serve until ``close``, or until ``goes_on``, which is polled, is false."""
        while goes_on():
            try:
                channel, _address = self._listener.accept()
            except socket.timeout:
                continue
            except OSError:
                return
            self.connections += 1
            with channel, suppress(OSError):
                self._converse(channel)

    def _converse(self, channel: socket.socket) -> None:
        drives = json.loads(self._drives.read_text()).get(self._domid)
        if drives is None:
            return
        answers = {"query-block": blocks(drives), "query-fdsets": sets(drives)}
        send(channel, GREETING)
        while True:
            question = channel.recv(65536)  # a whole one: the client waits for each answer
            if not question:
                return
            send(channel, {"return": answers.get(json.loads(question)["execute"], {})})


def blocks(drives: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The drives. A medium that xl has inserted was passed as an open file."""
    return [
        {
            "device": name,
            "locked": drive.get("locked", False),
            "tray_open": False,
            **({"inserted": {"file": file_of(name, drive)}} if drive["medium"] else {}),
        }
        for name, drive in drives.items()
    ]


def sets(drives: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The files that were passed."""
    return [
        {
            "fdset-id": number_of(name),
            "fds": [{"fd": 30, "opaque": f"raw:{drive['medium']}"}],
        }
        for name, drive in drives.items()
        if drive.get("is_passed")
    ]


def file_of(name: str, drive: Dict[str, Any]) -> str:
    """QEMU's name of the medium."""
    return f"/dev/fdset/{number_of(name)}" if drive.get("is_passed") else drive["medium"]


def number_of(name: str) -> int:
    """The number of the set with the medium of a drive."""
    return int(name.rpartition("-")[2])


def send(channel: socket.socket, message: Any) -> None:
    """Send a message to the client."""
    channel.sendall(json.dumps(message).encode() + b"\r\n")


def main() -> None:
    """Serve in a background process."""
    drives, domid, path = sys.argv[1:]
    qemu = Qemu(Path(drives), int(domid), path)
    if os.fork():
        return
    os.setsid()
    for descriptor in range(3):
        os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
    end = time.monotonic() + IDLE_SECONDS
    qemu.serve(lambda: os.path.exists(path) and time.monotonic() < end)


if __name__ == "__main__":
    main()
