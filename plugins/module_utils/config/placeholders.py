# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in config values for what is not known where they are written: ``@MEMORY@``.

Those of MirageOS (see ``mirage_config``), and ``@SLOT:data@`` of our own. They are looked for in
values that were read, not in the text of a config, so that nothing that is filled in can end a
string or begin another setting.
"""

from __future__ import annotations

import re
from typing import Any, Iterator, Mapping, Match

_PLACEHOLDER = re.compile(r"@(NAME|KERNEL|MEMORY|(?:BLOCK|NETWORK|SLOT):[^@\n]*)@")


def found(value: object) -> Iterator[str]:
    """The placeholders in a string, or in the strings of a list, without the ``@`` around them."""
    if isinstance(value, str):
        yield from _PLACEHOLDER.findall(value)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from found(item)


def filled(value: Any, known: Mapping[str, object]) -> Any:
    """The value with what is known in the place of placeholders; others stay.

    A string that is one placeholder and nothing else becomes what is known, of whatever type.
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
