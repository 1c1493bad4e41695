# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters for device numbers; the rules themselves are tested with the module_utils."""

from __future__ import annotations

import re

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.xen.blockdev.plugins.filter.device_number import FilterModule
from jinja2 import StrictUndefined, UndefinedError

FILTERS = FilterModule().filters()


@pytest.mark.parametrize("value", ["xvdd8", "/dev/xvdd8", "d3p8", 51768, "51768", "0xca38"])
def test_that_each_filter_takes_every_form(value: object) -> None:
    assert FILTERS["to_xenstore_key"](value) == 51768
    assert FILTERS["to_linux_device"](value) == "xvdd8"
    assert FILTERS["to_disk_number"](value) == 3
    assert FILTERS["to_xen_vdev"](value) == "d3p8"
    assert FILTERS["device_number"](value) == {
        "xenstore_key": 51768,
        "bus": "xvd",
        "disk_number": 3,
        "partition": 8,
        "linux_device": "xvdd8",
        "xen_vdev": "d3p8",
        "extended": False,
    }


def test_from_disk_number() -> None:
    assert FILTERS["from_disk_number"](536) == "xvdtq"
    assert FILTERS["from_disk_number"](2, "hd", 2) == "hdc2"
    assert FILTERS["from_disk_number"](1, bus="sd", partition=3) == "sdb3"


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("value", [None, True, 1.5, "xvd", -1, [], {}])
def test_that_an_error_names_the_filter(name: str, value: object) -> None:
    with pytest.raises(AnsibleFilterError, match=rf"xen\.blockdev\.{name}: "):
        FILTERS[name](value)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("to_linux_device", "5 is a valid slot but names no Linux device"),
        ("to_disk_number", "5 is a valid slot but has no disk number"),
        ("to_xen_vdev", "5 is a valid slot but has no name of the form d0p0"),
    ],
)
def test_that_an_impossible_conversion_says_why(name: str, problem: str) -> None:
    with pytest.raises(AnsibleFilterError, match=re.escape(problem)):
        FILTERS[name](5)


@pytest.mark.parametrize("name", FILTERS)
def test_that_an_undefined_value_is_undefined(name: str) -> None:
    with pytest.raises(UndefinedError, match="'nothing' is undefined"):
        FILTERS[name](StrictUndefined(name="nothing"))
