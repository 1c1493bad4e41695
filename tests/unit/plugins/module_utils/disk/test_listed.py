# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The items of a disk list."""

from __future__ import annotations

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.disk.listed import (
    ListedDisk,
    specs_of,
    targets_of,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec

READABLE = ["/a,raw,xvda,w", "/b,,51728", ",,hdc,cdrom"]
UNREADABLE = ["what,is,this", "/c,,nonsense"]


def test_an_item_is_what_its_text_says() -> None:
    for text in READABLE:
        item = ListedDisk.read(text)
        assert (item.text, item.spec, item.problem) == (text, DiskSpec.parse(text), "")
    assert [ListedDisk.read(text).identity for text in READABLE] == [51712, 51728, 5632]


@pytest.mark.parametrize("text", UNREADABLE)
def test_an_item_that_cannot_be_read_is_its_text(text: str) -> None:
    item = ListedDisk.read(text)
    assert (item.text, item.spec, item.identity) == (text, None, text)
    assert item.problem
    assert item.is_like(ListedDisk.read(text))
    assert not item.is_like(ListedDisk.read(f"{text},"))
    assert not item.is_like(ListedDisk.read(READABLE[0]))
    assert not ListedDisk.read(READABLE[0]).is_like(item)


def test_a_new_item_is_written() -> None:
    spec = DiskSpec(target="/a", vdev="xvda")
    assert ListedDisk.of(spec) == ListedDisk("vdev=xvda, target=/a", spec)
    assert ListedDisk.of(spec).is_like(ListedDisk.read(READABLE[0]))
    assert not ListedDisk.of(spec).is_like(ListedDisk.read(READABLE[1]))


def test_what_cannot_be_read_has_no_target_and_an_empty_drive_neither() -> None:
    items = [ListedDisk.read(text) for text in (*READABLE, *UNREADABLE)]
    assert [spec.vdev for spec in specs_of(items)] == ["xvda", "51728", "hdc"]
    assert list(targets_of(items)) == ["/a", "/b"]
