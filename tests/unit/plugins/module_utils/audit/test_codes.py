# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide to the audit knows all codes, and each has a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.audit.codes import (
    CODES,
    GROUPS,
    FindingCode,
)

PROJECT = Path(__file__).parents[5]
GUIDE = (PROJECT / "docs/docsite/rst/guide_audit.rst").read_text()
ROW = re.compile(r"^``([a-z0-9-]+)`` +(error|warning|note) +(.+)$", re.MULTILINE)
HEADING = re.compile(r"^``([a-z0-9-]+)``\n\^+$", re.MULTILINE)
GROUP = re.compile(r"^([A-Z].+)\n-+$", re.MULTILINE)
ON_THE_LAB = (PROJECT / "molecule/xen/tests/running/test_0_audit.py").read_text()
TESTS = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))


def test_the_index_of_the_guide_is_that_of_the_code() -> None:
    expected = [(one.name, one.severity, one.title) for one in CODES.values()]
    assert ROW.findall(GUIDE) == expected


def test_the_guide_has_a_section_for_each_code_in_its_group() -> None:
    assert HEADING.findall(GUIDE) == list(CODES)
    groups = [name.lower() for name in GROUP.findall(GUIDE) if name.lower() in GROUPS]
    assert groups == list(GROUPS)
    places = {match[1].lower(): match.start() for match in GROUP.finditer(GUIDE)}
    for match in HEADING.finditer(GUIDE):
        before = [group for group in GROUPS if places[group] < match.start()]
        assert before[-1] == CODES[match[1]].group, match[1]


@pytest.mark.parametrize("code", CODES.values(), ids=lambda one: one.name)
def test_each_code_has_a_test_and_good_words(code: FindingCode) -> None:
    assert f'"{code.name}"' in TESTS
    assert f'"{code.name}"' in ON_THE_LAB, "see NOT_MADE there"
    assert re.fullmatch("[a-z]+(-[a-z0-9]+)*", code.name)
    for words in (code.title, code.leads_to):
        assert words
        assert not words.endswith((".", " "))
    assert code.layer in (None, "storage", "binding", "slot", "guest")
