# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on a disk, as far as blkid(8) can tell: its file system, its label, its partitions.

Guests write what is looked at here. Nothing of it is ever more than a text in a result, and each
disk is looked at by a process of its own: blkid ends at the first one that it makes nothing of, and
what one disk does to it must not take the others along.
"""

from __future__ import annotations

import os
import re
import stat
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any, Callable, Dict, List, Optional, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import by_number, opened
from ansible_collections.xen.blockdev.plugins.module_utils.host.programs import (
    ProgramError,
    ProgramTimeoutError,
)

DISK_SECONDS = 10
"""How long one look at a disk may take. The storage behind it may not answer."""

CALL_SECONDS = 60
"""How long all of them may take. What was not read within that time is unknown."""

_PAIR = re.compile(r"([A-Z_]+)=(.*)")
_PARTITION = re.compile(r'NR="([0-9]{1,9})" NAME="((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})")

Warn = Callable[[str], object]
"""Tells the user what should be known."""


@dataclass(frozen=True)
class Content:
    """What is on a disk; nothing is known but by default."""

    filesystem: Optional[str] = None
    """As blkid calls it; also what is no file system but fills the disk, such as ``swap``."""
    label: Optional[str] = None
    partitions: Sequence[Dict[str, Any]] = field(default_factory=list)
    """Those of a GPT: ``number``, and ``label``, which is the partition's name."""

    def as_state(self) -> Dict[str, Any]:
        """The keys of a result."""
        return asdict(self)


class Prober:
    """Looks at the disks of one module call."""

    def __init__(self, warn: Warn, wanted: bool = True) -> None:
        """``wanted``: whether to look at all."""
        self._warn = warn
        self._until = time.monotonic() + CALL_SECONDS
        self._given_up = not wanted

    def look(
        self,
        path: Optional[str],
        rdev: Optional[int] = None,
        is_the_one: Callable[[], bool] = lambda: True,
    ) -> Content:
        """What is on the block device or in the image ``path``.

        ``rdev``: the device's number; nothing is known of another one. ``is_the_one``: is asked
        once it is open, whether it still is what it is taken for.
        """
        if path is None or self._given_up:
            return Content()
        with ExitStack() as stack:
            try:
                flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
                disk = stack.enter_context(opened(path, flags))
                status = os.fstat(disk)
            except (OSError, ValueError):
                return Content()
            if not _is_disk(status, rdev) or not is_the_one():
                return Content()
            return self._content(disk)

    def _content(self, disk: int) -> Content:
        lines = self._lines(disk, "blkid", "-p", "-o", "udev")
        found = {match[1]: match[2] for match in map(_PAIR.fullmatch, lines) if match}
        partitions = []
        if found.get("ID_PART_TABLE_TYPE") == "gpt":
            lines = self._lines(disk, "partx", "--pairs", "--output", "NR,NAME")
            partitions = [
                {"number": int(match[1]), "label": _unescaped(match[2])}
                for match in map(_PARTITION.fullmatch, lines)
                if match
            ]
        return Content(
            filesystem=_unescaped(found.get("ID_FS_TYPE")),
            label=_unescaped(found.get("ID_FS_LABEL_ENC")),
            partitions=partitions,
        )

    def _lines(self, disk: int, *command: str) -> List[str]:
        """What the command prints of the disk, none if it fails.

        blkid exits with 2 if it finds nothing, and with 8 if the result is ambiguous.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            self._give_up(f"not all disks were read within {CALL_SECONDS} s")
            return []
        seconds = min(left, DISK_SECONDS)
        try:
            ended = programs.run([*command, by_number(disk)], seconds, descriptors=[disk])
        except ProgramTimeoutError:
            return []
        except ProgramError as error:
            self._give_up(str(error))
            return []
        return [] if ended.code else ended.stdout.split("\n")

    def _give_up(self, why: str) -> None:
        self._given_up = True
        self._warn(f"label, filesystem and partitions are unknown: {why}")


def _is_disk(status: os.stat_result, rdev: Optional[int]) -> bool:
    if stat.S_ISBLK(status.st_mode):
        return rdev in (None, status.st_rdev)
    return rdev is None and stat.S_ISREG(status.st_mode)


def _unescaped(text: Optional[str]) -> Optional[str]:
    r"""A text in which ``\x20`` stands for a byte that is no part of plain text; None if empty."""
    if not text:
        return None
    raw = text.encode("utf-8", "surrogateescape")
    data = _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), raw)
    return data.decode("utf-8", "replace")
