# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Placeholders in config values, such as ``@MEMORY@``.

Those of MirageOS (see ``config/mirage_xl``), and ``@SLOT:data@`` of this collection. They are
replaced in values that were parsed, not in the text of a config, so that no replacement can end a
string or begin another setting.
"""

from __future__ import annotations

import re
from typing import Any, Iterator, Mapping, Match

_PLACEHOLDER = re.compile(r"@(NAME|KERNEL|MEMORY|(?:BLOCK|NETWORK|SLOT):[^@\n]*)@")


def names_in(value: object) -> Iterator[str]:
    """The placeholders in a string, or in the strings of a list, each without its ``@``."""
    if isinstance(value, str):
        yield from _PLACEHOLDER.findall(value)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from names_in(item)


def filled(value: Any, known: Mapping[str, object]) -> Any:
    """The value with the ``known`` placeholders replaced; others remain.

    A string that is one placeholder and nothing else becomes the known value with its type.
    """
    if isinstance(value, (list, tuple)):
        return [filled(item, known) for item in value]
    if not isinstance(value, str):
        return value
    whole = _PLACEHOLDER.fullmatch(value)
    if whole and whole[1] in known:
        return known[whole[1]]

    def known_or_same(match: Match[str]) -> str:
        return str(known.get(match[1], match[0]))

    return _PLACEHOLDER.sub(known_or_same, value)
