# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters for xl's disk syntax; the syntax itself is tested with the module_utils."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.xen.blockdev.plugins.filter.disk_spec import FilterModule
from jinja2 import StrictUndefined, UndefinedError

FILTERS = FilterModule().filters()
xl_disk, from_xl_disk = FILTERS["xl_disk"], FILTERS["from_xl_disk"]
DISK = {"target": "/dev/loop0", "format": "raw", "vdev": "xvda", "access": "rw"}
NOTHING = StrictUndefined(name="nothing")


def test_that_both_styles_are_written_and_read_back() -> None:
    assert xl_disk(DISK) == "format=raw, vdev=xvda, access=rw, target=/dev/loop0"
    assert xl_disk(DISK, style="positional") == "/dev/loop0,raw,xvda,rw"
    assert from_xl_disk(xl_disk(DISK)) == from_xl_disk(xl_disk(DISK, "positional")) == DISK


@pytest.mark.parametrize("disk", [None, "xvda", [DISK], {}, {**DISK, "vdev": "xvd"}])
def test_that_an_error_of_xl_disk_names_it(disk: object) -> None:
    with pytest.raises(AnsibleFilterError, match=r"^xen\.blockdev\.xl_disk: "):
        xl_disk(disk)


@pytest.mark.parametrize("spec", [None, 1, DISK, "", "/x", "color=1,vdev=xvda,target=/x"])
def test_that_an_error_of_from_xl_disk_names_it(spec: object) -> None:
    with pytest.raises(AnsibleFilterError, match=r"^xen\.blockdev\.from_xl_disk: "):
        from_xl_disk(spec)


@pytest.mark.parametrize("disk", [NOTHING, {**DISK, "target": NOTHING}])
def test_that_an_undefined_disk_is_undefined(disk: object) -> None:
    with pytest.raises(UndefinedError, match="'nothing' is undefined"):
        xl_disk(disk)


def test_that_an_undefined_specification_is_undefined() -> None:
    with pytest.raises(UndefinedError, match="'nothing' is undefined"):
        from_xl_disk(NOTHING)
