# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the options of xen_loopdev become before an image is planned."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import LoopError
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_item import LoopdevItem
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.loopdevplans import (
    DEFAULTS,
    item,
)


def test_defaults_are_those_of_the_module() -> None:
    assert LoopdevItem.read({**DEFAULTS, "path": "/srv/a.raw"}) == LoopdevItem("/srv/a.raw")


def test_options_are_read() -> None:
    options = {"device": "/dev/loop0", "state": "absent", "format": "raw", "in_use": "leave"}
    named_in = {"directories": ["/etc/xen"], "but_for": None}
    assert item("/srv/a.raw", named_in=named_in, **options) == LoopdevItem(
        "/srv/a.raw", 0, present=False, is_raw=True, leave_in_use=True, named_in=named_in
    )
    same = {"direct_io": False, "persistent": True, "udev_rule": True, "sector_size": 4096}
    same.update(discard_deleted=True, ours_only=True)
    read = dataclasses.asdict(item("/srv/a.raw", **same))
    assert {name: read[name] for name in same} == same


@pytest.mark.parametrize("path", ["a.raw", "", "~/a.raw", "/srv/\0.raw", "/srv/\ud800.raw"])
def test_a_path_that_is_not_valid_is_refused(path: str) -> None:
    with pytest.raises(LoopError) as caught:
        item(path)
    assert str(caught.value).startswith(f"path {path!r} ")
