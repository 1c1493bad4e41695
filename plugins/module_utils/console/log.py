# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What xenconsoled itself logs of the consoles of domains (--log=guest).

It writes to its log as soon as it has taken something from a guest (buffer_append in
tools/console/daemon/io.c), before the terminal that ``xl console`` reads. When a domain goes, it
closes that terminal at once, and what nobody has read by then is in the log only.
"""

from __future__ import annotations

import glob
import os
import re
from contextlib import suppress
from typing import Dict, Optional

PROC = "/proc"

RECENT = 4096
"""Bytes by which a place in the log is recognised."""

_LOG = re.compile(r".*/guest-(?P<domain>[^/]+)\.log")


def found() -> Dict[str, str]:
    """By the name of a domain, a path that opens its log. It leads to the very file that
    xenconsoled writes to, whatever its options say and wherever the file was moved."""
    logs = {}
    for command in glob.glob(f"{PROC}/[0-9]*/comm"):
        with suppress(OSError):  # a process may end
            if _read(command).strip() == b"xenconsoled":
                logs.update(_open_in(os.path.dirname(command)))
    return logs


def _open_in(process: str) -> Dict[str, str]:
    logs = {}
    for path in glob.glob(f"{process}/fd/*"):
        with suppress(OSError):
            match = _LOG.fullmatch(os.readlink(path))
            if match:
                logs[match["domain"]] = path
    return logs


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


class ConsoleLog:
    """The part of a log that is written from now on."""

    def __init__(self, path: str) -> None:
        """``path``: see ``found``. Raises OSError."""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._start = os.fstat(self._descriptor).st_size

    def beyond(self, received: int, recent: bytes, limit: int) -> bytes:
        """What follows after so many bytes, of which ``recent`` are the last; at most ``limit``.

        Nothing where other bytes are in their place: the log has timestamps, or was begun anew.
        """
        end = self._start + received
        if os.pread(self._descriptor, len(recent), end - len(recent)) != recent:
            return b""
        return os.pread(self._descriptor, limit, end)

    def close(self) -> None:
        """Let the file be."""
        os.close(self._descriptor)


def opened(path: Optional[str]) -> Optional[ConsoleLog]:
    """The log at ``path``, see ``found``; None if there is none, or not any more."""
    with suppress(OSError):
        return ConsoleLog(path) if path else None
    return None
