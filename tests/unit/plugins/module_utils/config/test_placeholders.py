# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names for what is not known yet: where they are found, and what becomes of them."""

from __future__ import annotations

from typing import Any, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.config import placeholders
from hypothesis import given
from hypothesis import strategies as st

KNOWN = {"NAME": "web", "MEMORY": 128, "SLOT:my data": "51728", "NETWORK:0": "it's, a\\'b"}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("@NAME@", ["NAME"]),
        ("a@KERNEL@b@MEMORY@", ["KERNEL", "MEMORY"]),
        ("@BLOCK:data/my disk.tar@", ["BLOCK:data/my disk.tar"]),
        ("@SLOT:@", ["SLOT:"]),
        (["@SLOT:a@", 5, ["x", ("@NETWORK:0@",)]], ["SLOT:a", "NETWORK:0"]),
        ("@name@ @NAMES@ @NAME @SLOT@ @SLOT:a\n@ a@b.c @@", []),
        (5, []),
        (None, []),
    ],
)
def test_that_a_placeholder_is_found(value: object, found: List[str]) -> None:
    assert [*placeholders.names_in(value)] == found


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        ("@NAME@", "web"),
        ("@MEMORY@", 128),
        ("m=@MEMORY@", "m=128"),
        ("@NAME@@NAME@-@SLOT:my data@", "webweb-51728"),
        (["@MEMORY@", ["a=@NAME@"], 5, True], [128, ["a=web"], 5, True]),
        (("@NAME@",), ["web"]),
        ("bridge=@NETWORK:0@", "bridge=it's, a\\'b"),
        ("@KERNEL@ @SLOT:other@", "@KERNEL@ @SLOT:other@"),
        (5, 5),
    ],
)
def test_that_what_is_known_is_filled_in(value: object, filled: object) -> None:
    assert placeholders.filled(value, KNOWN) == filled


VALUES = st.recursive(
    st.text() | st.sampled_from(["@NAME@", "a@KERNEL@", "@SLOT:a@@NAME@"]) | st.integers(),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


@given(VALUES)
def test_that_all_that_is_found_can_be_filled(value: Any) -> None:
    found = [*placeholders.names_in(value)]
    assert placeholders.filled(value, {}) == value
    # No placeholder can begin or end in a line end.
    assert not [*placeholders.names_in(placeholders.filled(value, dict.fromkeys(found, "\n")))]
