# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a string is written. What is read is in test_domain_config, beside xl's own parser."""

from __future__ import annotations

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.config import syntax as config_syntax
from ansible_collections.xen.blockdev.plugins.module_utils.config.syntax import DomainConfigError
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", "''"),
        ("web", "'web'"),
        ("it's", r"'it\'s'"),
        ('say "x"', "'say \"x\"'"),
        ("C:\\x", r"'C:\\x'"),
        ("\a\b\f\n\r\t\v", r"'\a\b\f\n\r\t\v'"),
        ("# not a comment; nor = [ a list ]", "'# not a comment; nor = [ a list ]'"),
        ("é\u2028\udcff\x01\x7f", "'é\u2028\udcff\x01\x7f'"),
    ],
)
def test_quote(text: str, written: str) -> None:
    assert config_syntax.quote(text) == written


@pytest.mark.parametrize(
    ("text", "message"),
    [("a\0b", "NUL"), ("\ud800", "UTF-8"), (5, "type int"), (None, "type NoneType")],
)
def test_quote_refuses(text: str, message: str) -> None:
    with pytest.raises(DomainConfigError, match=message):
        config_syntax.quote(text)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_either_mark_reads_back(text: str) -> None:
    for mark in "'\"":
        written = config_syntax.quote(text, mark)
        assert written[0] == written[-1] == mark
        assert config_syntax.parse(f"a = {written}")[0].value == text
