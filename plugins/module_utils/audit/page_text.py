# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of a report, which guests may have written, in a page: what they look like, and how the
page's script gets them. Nothing of them becomes markup or a program."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import fields, is_dataclass
from hashlib import sha256
from typing import Any, Sequence
from urllib.parse import quote

LONGEST = 1000
"""Characters of a text that are shown."""

_ESCAPES = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&"})


def visible(value: Any) -> Any:
    """A plain value in which each text can be read as it is: what shows nothing, or changes the
    order of what is beside it, becomes an escape such as ``\\x00`` or ``\\u202e``. Of a very long
    text the middle is left out."""
    if isinstance(value, str):
        return _shortened(value if value.isprintable() else _escaped(value))
    if isinstance(value, dict):
        return {visible(key): visible(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [visible(one) for one in value]
    return value


def _escaped(text: str) -> str:
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def _shortened(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    kept = LONGEST // 2
    return f"{text[:kept]} […{len(text) - 2 * kept} characters…] {text[-kept:]}"


def anchor(*names: object) -> str:
    """The fragment of the page's address for something that has these names. As an id, it has no
    blank, and no character that means something in HTML."""
    return "/".join("" if name is None else quote(str(name), safe="") for name in names)


def packed(value: Any, shapes: Sequence[type]) -> Any:
    """A value of dataclasses, tuples and plain values as lists: of a dataclass its index in
    ``shapes`` and its fields, of a tuple -1 and its items. The names of the fields are said once
    then, and not for each of many thousands: see shape_names."""
    if is_dataclass(value):
        own = (packed(getattr(value, one.name), shapes) for one in fields(value))
        return [shapes.index(type(value)), *own]
    if isinstance(value, tuple):
        return [-1, *(packed(one, shapes) for one in value)]
    return value


def shape_names(shapes: Sequence[Any]) -> Any:
    """What a reader of packed values must know: the names of the fields of each."""
    return [[one.name for one in fields(shape)] for shape in shapes]


def script_data(value: Any) -> str:
    """JSON as the text of a ``script`` element with data. It has no character with which such an
    element could end, or a comment begin, and none that is not ASCII."""
    return json.dumps(value, separators=(",", ":")).translate(_ESCAPES)


def content_policy(style: str, script: str) -> str:
    """The page's Content-Security-Policy: nothing but this style and this script, no network, and
    no text that becomes markup while the page is open."""
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_digest(style)}'",
            f"script-src '{_digest(script)}'",
            "img-src data:",  # for the icon, which browsers ask a server for otherwise
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
