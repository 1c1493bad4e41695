# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What xenstore-ls prints."""

from __future__ import annotations

from contextlib import suppress

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils import xenstore
from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("printed", "value"),
    [
        ("", ""),
        ("plain", "plain"),
        (r"two\nlines", "two\nlines"),
        (r"\t\r\\", "\t\r\\"),
        (r"\\n", r"\n"),
        (r"\xc3\xa4", "ä"),
        (r"\x7f\x1b", "\x7f\x1b"),
        (r"\000\007\033", "\x00\x07\x1b"),
        (r"\xff", "\udcff"),
        (r'"quoted" = "too"', '"quoted" = "too"'),
        (r"\"", '"'),
        ("/dev/disk/a = b:", "/dev/disk/a = b:"),
        ("\\", "\\"),
    ],
)
def test_values_are_unescaped(printed: str, value: str) -> None:
    assert xenstore.parse(f'/a/b = "{printed}"\n') == {"/a/b": value}


def test_a_value_that_cannot_be_read_is_left_out() -> None:
    assert xenstore.parse('/a:\n/b = "1"\n') == {"/b": "1"}


@pytest.mark.parametrize("text", ["a = 1", "/a = 1", "/a", '/a = "', 'x\n/a = ""', "/a b:"])
def test_other_text_is_an_error(text: str) -> None:
    with pytest.raises(XenError, match="no node of xenstore"):
        xenstore.parse(text)


def test_lone_surrogates_are_an_error() -> None:
    with pytest.raises(XenError, match="no text"):
        xenstore.parse('/a = "\ud800"')


@given(st.text(alphabet=st.characters(), max_size=60))
def test_any_text_is_parsed_or_a_xen_error(text: str) -> None:
    for candidate in (text, f'/a = "{text}"'):
        with suppress(XenError):
            xenstore.parse(candidate)


@given(st.binary(max_size=40))
def test_what_xenstore_ls_escapes_comes_back(value: bytes) -> None:
    printed = "".join(
        chr(byte)
        if 0x20 <= byte <= 0x7E and byte != 0x5C
        else {9: r"\t", 10: r"\n", 13: r"\r", 92: r"\\"}.get(
            byte, f"\\{byte:03o}" if byte < 8 else f"\\x{byte:02x}"
        )
        for byte in value
    )
    parsed = xenstore.parse(f'/a = "{printed}"')["/a"]
    assert parsed.encode("utf-8", "surrogateescape") == value
