# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The types of survey/model.py as the plain values of a module's result, and back."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from typing import Any, Callable, Dict, List, Mapping, Match, Union, get_type_hints

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, type_name
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import VERSION, Survey

_SURROGATE = re.compile("[\ud800-\udfff]")
"""A code that is no character: no result can hold it."""


class SurveyError(BlockdevError):
    """A value that is not the record of what it should be, such as the result of xen_disks_info."""


def recorded(value: Any) -> Any:
    """A value of survey/model.py as dictionaries, lists and plain values.

    Bytes of a name that are not UTF-8 become text such as ``\\xe9``.
    """
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return value if value.isascii() else _printable(value)
    if isinstance(value, (tuple, list)):
        return [recorded(one) for one in value]
    found = value if isinstance(value, dict) else vars(value)
    return {recorded(name): recorded(one) for name, one in found.items()}


def _printable(text: str) -> str:
    return _SURROGATE.sub(_escaped, text)


def _escaped(match: Match[str]) -> str:
    code = ord(match[0])
    is_byte = 0xDC80 <= code <= 0xDCFF  # as os.fsdecode keeps it (PEP 383)
    return f"\\x{code - 0xDC00:02x}" if is_byte else f"\\u{code:04x}"


def survey_of(value: object) -> Survey:
    """The survey that ``recorded`` made ``value`` of. Raises SurveyError if it is none, or one that
    another version of this collection made with other keys."""
    if isinstance(value, Mapping) and value.get("version", VERSION) != VERSION:
        raise SurveyError(
            f"host: its version is {value['version']!r:.20}, and this collection reads {VERSION}: "
            "use the same version of xen.blockdev for the module and for what reads its result"
        )
    survey: Survey = read_plain(Survey, value, "host", "is it from xen_disks_info, unchanged?")
    return survey


def read_plain(kind: Any, value: object, place: str, question: str) -> Any:
    """The ``kind``, a frozen dataclass, that ``recorded`` made ``value`` of. Raises SurveyError,
    which begins with the ``place`` and ends in the ``question``, if it is none."""
    try:
        return _read_as(kind, value, place)
    except SurveyError as error:
        raise SurveyError(f"{error}: {question}") from None


def _read_as(kind: Any, value: Any, place: str) -> Any:
    """``value`` as the type ``kind``: a dataclass, Optional, Tuple, Dict or a plain type."""
    origin: Any = getattr(kind, "__origin__", None)
    arguments: Any = getattr(kind, "__args__", ())
    if origin is Union:
        return None if value is None else _read_as(arguments[0], value, place)
    if origin is tuple:
        _require(list, value, place)
        return tuple(_read_as(arguments[0], one, f"{place}[{n}]") for n, one in enumerate(value))
    if is_dataclass(kind):
        return _record_as(kind, value, place)
    if kind is not Any:
        _require(dict if origin is dict else kind, value, place)
    return value


def _record_as(kind: Any, value: Any, place: str) -> Any:
    _require(Mapping, value, place)
    return _reader(kind)(value, place)


@lru_cache(maxsize=None)
def _reader(kind: Any) -> Callable[[Mapping[str, Any], str], Any]:
    """Reads a dataclass of its keys. Those that it does not know are left out: a later version
    may have more."""
    hints = get_type_hints(kind)
    needed = {one.name: one.default is MISSING for one in fields(kind)}

    def read(value: Mapping[str, Any], place: str) -> Any:
        missing: List[str] = [name for name in needed if needed[name] and name not in value]
        if missing:
            raise SurveyError(f"{place} has no key {missing[0]}")
        known: Dict[str, Any] = {
            name: _read_as(hints[name], value[name], f"{place}.{name}")
            for name in needed
            if name in value
        }
        return kind(**known)

    return read


def _require(kind: Any, value: Any, place: str) -> None:
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (kind in (int, float) and isinstance(value, bool)):
        raise SurveyError(f"{place} is of type {type_name(value)}")
