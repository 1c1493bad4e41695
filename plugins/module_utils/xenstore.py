# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was read of xenstore, and the text that ``xenstore-ls -f`` prints, read back into that.

A line is a path and its value, ``/vm = ""``, or a path and a colon where the value cannot be read.
Every character of a value that is no printable ASCII, and the backslash, is escaped, so a value
never goes on in another line. A quotation mark is not, hence the value reaches up to the last one.
"""

from __future__ import annotations

import re
from typing import Dict, List, Match, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError

_LINE = re.compile(r'(?P<path>/[^\s=]*)(?: = "(?P<value>.*)"|:)')
_ESCAPE = re.compile(rb"\\(?:(?P<letter>[tnr])|x(?P<hex>[0-9a-f]{2})|(?P<octal>[0-3][0-7]{2})|(.))")
_LETTERS = {b"t": b"\t", b"n": b"\n", b"r": b"\r"}


class Store:
    """Part of xenstore, as it was read."""

    def __init__(self, values: Dict[str, str]) -> None:
        self._values = values
        self._children: Dict[str, Dict[str, None]] = {}
        for path in values:
            self._place(path)

    def _place(self, path: str) -> None:
        """Make C(path) a child of its parent, and that of its own: the listing of a part of the
        store does not have the directories above."""
        while path:
            parent, _slash, name = path.rpartition("/")
            siblings = self._children.setdefault(parent, {})
            if name in siblings:
                return
            siblings[name] = None
            path = parent

    def get(self, path: str) -> Optional[str]:
        """The value of a node, None where there is no such node."""
        return self._values.get(path)

    def children(self, path: str) -> List[str]:
        """The names of the nodes directly below C(path)."""
        return list(self._children.get(path, ()))


def parse(text: str) -> Dict[str, str]:
    """Path to value, of all nodes in the output of ``xenstore-ls -f``.

    Bytes that are no UTF-8 become surrogates (PEP 383), as everywhere in Python that a path may
    hold them. Raises XenError for text that is something else.
    """
    values = {}
    for line in text.split("\n"):
        match = _LINE.fullmatch(line)
        if match and match["value"] is not None:
            values[match["path"]] = _unescaped(match["value"])
        elif line and not match:
            raise XenError(f"xenstore-ls printed what is no node of xenstore: {line!r:.200}")
    return values


def _unescaped(value: str) -> str:
    try:
        raw = value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise XenError(f"xenstore-ls printed what is no text: {value!r:.200}") from None
    return _ESCAPE.sub(_unescaped_byte, raw).decode("utf-8", "surrogateescape")


def _unescaped_byte(match: Match[bytes]) -> bytes:
    if match["letter"]:
        return _LETTERS[match["letter"]]
    if match["hex"]:
        return bytes([int(match["hex"], 16)])
    if match["octal"]:
        return bytes([int(match["octal"], 8)])
    return match[4]
