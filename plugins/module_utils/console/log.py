# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The logs that xenconsoled itself writes of the consoles of domains (--log=guest).

It writes the output of a guest first to its log (buffer_append in tools/console/daemon/io.c) and
then to the terminal that ``xl console`` reads. When a domain disappears, it closes that terminal at
once, so output that was not read before is in the log only.
"""

from __future__ import annotations

import glob
import os
import re
from contextlib import suppress
from typing import Dict, Optional

PROC = "/proc"

RECENT = 4096
"""Bytes that are compared to find a position in the log."""

_LOG = re.compile(r".*/guest-(?P<domain>[^/]+)\.log")


def find() -> Dict[str, str]:
    """The paths of the logs by the names of their domains.

    Each path is that of xenconsoled's own descriptor, so it opens the right file whatever options
    xenconsoled has, and even if the file was renamed.
    """
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
    """The part of a log that is written after this was opened."""

    def __init__(self, path: str) -> None:
        """``path``: see ``find``. Raises OSError."""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._start = os.fstat(self._descriptor).st_size

    def beyond(self, received: int, recent: bytes, limit: int) -> bytes:
        """The bytes after the first ``received`` ones, at most ``limit``.

        ``recent``: the last bytes that were received. Nothing is returned if the log has other
        bytes in that place: it has timestamps, or was truncated.
        """
        end = self._start + received
        if os.pread(self._descriptor, len(recent), end - len(recent)) != recent:
            return b""
        return os.pread(self._descriptor, limit, end)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def open_log(path: Optional[str]) -> Optional[ConsoleLog]:
    """The log at ``path``, see ``find``; None if it cannot be opened or ``path`` is None."""
    with suppress(OSError):
        return ConsoleLog(path) if path else None
    return None
