# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts in the page of an audit."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any, List, Tuple
from urllib.parse import unquote

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.audit import page_text
from hypothesis import given
from hypothesis import strategies as st

ANY_TEXT = st.text(st.characters())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/srv/xen/web.raw", "/srv/xen/web.raw"),
        ("žluť 木 💩", "žluť 木 💩"),
        ("a\x00b\x1b[31m\n", "a\\x00b\\x1b[31m\\n"),
        ("a\u202egnp.exe", "a\\u202egnp.exe"),
        ("\u200b\ufeff\xad\u2028", "\\u200b\\ufeff\\xad\\u2028"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_shows_nothing_becomes_visible(text: str, shown: str) -> None:
    assert page_text.visible(text) == shown


@given(ANY_TEXT)
def test_each_text_is_printable(text: str) -> None:
    shown = page_text.visible(text)
    assert shown.isprintable()
    shown.encode()


def test_of_a_long_text_both_ends_are_shown() -> None:
    assert page_text.visible("a" * 1000) == "a" * 1000
    shown = page_text.visible("a" * 501 + "b" * 1000 + "c" * 501)
    assert shown == "a" * 500 + " […1002 characters…] " + "c" * 500


def test_texts_are_found_wherever_they_are() -> None:
    value = {"a\0": ["b\0", {"c": ("d\0", 1, None, True, 2.5)}]}
    assert page_text.visible(value) == {"a\\x00": ["b\\x00", {"c": ["d\\x00", 1, None, True, 2.5]}]}


@given(st.lists(ANY_TEXT.map(page_text.visible), min_size=1))
def test_an_anchor_has_nothing_that_html_or_an_address_would_read(names: List[str]) -> None:
    made = page_text.anchor("disk", *names)
    kind, *quoted = made.split("/")
    assert (kind, [unquote(name) for name in quoted]) == ("disk", names)
    assert made.isascii()
    assert not set(made) & set("\"'<>&#? \t\n")


def test_an_anchor_leaves_out_what_is_not_known() -> None:
    assert page_text.anchor("disk", "xen1", None, "xvda") == "disk/xen1//xvda"


@dataclass(frozen=True)
class Inner:
    name: str
    size: int


@dataclass(frozen=True)
class Outer:
    parts: Tuple[Inner, ...]
    best: Any


SHAPES = (Outer, Inner)


def unpacked(value: Any, names: Any) -> Any:
    """As the page's script does it."""
    if not isinstance(value, list):
        return value
    shape, *parts = value
    values = [unpacked(part, names) for part in parts]
    return values if shape < 0 else dict(zip(names[shape], values))


def test_packed_values_say_the_names_of_fields_once() -> None:
    value = (Outer((Inner("a", 1), Inner("b", 2)), Inner("b", 2)), Outer((), None))
    packed = page_text.packed(value, SHAPES)
    assert packed == [-1, [0, [-1, [1, "a", 1], [1, "b", 2]], [1, "b", 2]], [0, [-1], None]]
    assert unpacked(packed, page_text.shape_names(SHAPES)) == [
        {
            "parts": [{"name": "a", "size": 1}, {"name": "b", "size": 2}],
            "best": {"name": "b", "size": 2},
        },
        {"parts": [], "best": None},
    ]


class Scripts(HTMLParser):
    """What a parser of HTML finds in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: List[str] = []
        self.data = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.data += data


@given(ANY_TEXT | st.sampled_from(["</script><img src=x>", "<!--<script>", "]]>", "&lt;"]))
def test_no_text_ends_the_element_of_the_data(text: str) -> None:
    data = page_text.script_data({text: text})
    assert data.isascii()
    assert json.loads(data) == {text: text}
    parser = Scripts()
    parser.feed(f"<script>{data}</script>")
    parser.close()
    assert (parser.tags, parser.data) == (["script"], data)


def test_the_policy_allows_this_style_and_script_alone() -> None:
    policy = dict(
        part.split(" ", 1) for part in page_text.content_policy("a{}", "let b;").split("; ")
    )
    digest = base64.b64encode(hashlib.sha256(b"let b;").digest()).decode()
    assert policy["script-src"] == f"'sha256-{digest}'"
    assert policy["style-src"].startswith("'sha256-")
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert not any("unsafe" in value or "http" in value for value in policy.values())
