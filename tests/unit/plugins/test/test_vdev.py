# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test for device numbers."""

from __future__ import annotations

import pytest
from ansible_collections.xen.blockdev.plugins.test.device_number import TestModule as Plugin
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import StrictUndefined, UndefinedError

vdev = Plugin().tests()["vdev"]


@pytest.mark.parametrize(
    "value", ["xvda", "/dev/xvda1", "hdc2", "sdb3", "d0p0", 0, 5, 51712, "51712", "0xca00"]
)
def test_that_every_form_is_a_device_number(value: object) -> None:
    assert vdev(value) is True


@pytest.mark.parametrize(
    "value",
    ["", "xvd", "xvda0", "XVDA", "d0", "051712", -1, 2**31, True, None, 1.0, [], {}, b"xvda"],
)
def test_that_anything_else_is_not(value: object) -> None:
    assert vdev(value) is False


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()))
def test_that_it_never_fails(value: object) -> None:
    assert vdev(value) in (True, False)


def test_that_an_undefined_value_is_undefined() -> None:
    with pytest.raises(UndefinedError, match="'nothing' is undefined"):
        vdev(StrictUndefined(name="nothing"))
