# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""xl's own configuration parser, libxlutil, for tests to compare with if it is installed."""

from __future__ import annotations

import ctypes
from typing import List, Optional, Union

Value = Union[None, str, List["Value"]]

# Debian 12, Debian 13, and what other distributions have.
_VERSIONS = ("4.17", "4.20", "4.22", "4.21", "4.19", "4.18", "4.16", "4.14")
_STRING = 0  # of enum XLU_ConfigValueType


def load() -> Optional[ctypes.CDLL]:
    for version in _VERSIONS:
        try:
            return _declared(ctypes.CDLL(f"libxlutil.so.{version}"))
        except OSError:
            continue
    return None


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, integer, string = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    out = ctypes.POINTER(ctypes.c_void_p)
    signatures = {
        "xlu_cfg_init": (pointer, [pointer, string]),
        "xlu_cfg_readdata": (integer, [pointer, string, integer]),
        "xlu_cfg_destroy": (None, [pointer]),
        "xlu_cfg_get_string": (integer, [pointer, string, ctypes.POINTER(string), integer]),
        "xlu_cfg_get_long": (
            integer,
            [pointer, string, ctypes.POINTER(ctypes.c_long), integer],
        ),
        "xlu_cfg_get_list": (
            integer,
            [pointer, string, out, ctypes.POINTER(integer), integer],
        ),
        "xlu_cfg_get_listitem2": (pointer, [pointer, integer]),
        "xlu_cfg_value_type": (integer, [pointer]),
        "xlu_cfg_value_get_string": (integer, [pointer, pointer, ctypes.POINTER(string), integer]),
        "xlu_cfg_value_get_list": (integer, [pointer, pointer, out, integer]),
    }
    for function, (result, arguments) in signatures.items():
        getattr(library, function).restype = result
        getattr(library, function).argtypes = arguments
    return library


def _text(value: Optional[bytes]) -> str:
    assert value is not None
    return value.decode("utf-8", "surrogateescape")


class Config:
    """A configuration as xl reads it. ``valid``: whether xl accepts it."""

    def __init__(self, library: Optional[ctypes.CDLL], text: str) -> None:
        assert library is not None
        assert "\0" not in text, "xl aborts on a NUL in a string"
        self._library = library
        self._libc = ctypes.CDLL(None)
        self._libc.fopen.restype = ctypes.c_void_p
        self._libc.fclose.argtypes = [ctypes.c_void_p]
        self._report = self._libc.fopen(b"/dev/null", b"w")
        self._config = library.xlu_cfg_init(self._report, b"test")
        data = text.encode("utf-8", "surrogateescape")
        self.valid = library.xlu_cfg_readdata(self._config, data, len(data)) == 0

    def __enter__(self) -> Config:
        return self

    def __exit__(self, *exception: object) -> None:
        self._library.xlu_cfg_destroy(self._config)
        self._libc.fclose(self._report)

    def get(self, option: str) -> Value:
        """An option's value: a string (numbers too), a list, or None if it is not set."""
        string = ctypes.c_char_p()
        if self._library.xlu_cfg_get_string(self._config, option.encode(), string, 1) == 0:
            return _text(string.value)
        items = ctypes.c_void_p()
        if self._library.xlu_cfg_get_list(self._config, option.encode(), items, None, 1) == 0:
            return self._items(items)
        return None

    def get_long(self, option: str) -> Optional[int]:
        number = ctypes.c_long()
        error = self._library.xlu_cfg_get_long(self._config, option.encode(), number, 1)
        return None if error else number.value

    def _items(self, items: ctypes.c_void_p) -> List[Value]:
        found: List[Value] = []
        while True:
            value = self._library.xlu_cfg_get_listitem2(items, len(found))
            if value is None:
                return found
            found.append(self._value(value))

    def _value(self, value: int) -> Value:
        if self._library.xlu_cfg_value_type(value) == _STRING:
            string = ctypes.c_char_p()
            self._library.xlu_cfg_value_get_string(self._config, value, string, 1)
            return _text(string.value)
        items = ctypes.c_void_p()
        self._library.xlu_cfg_value_get_list(self._config, value, items, 1)
        return self._items(items)
