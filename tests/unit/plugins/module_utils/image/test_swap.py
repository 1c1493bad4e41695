# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Swap areas, made by the real mkswap; their header as Linux reads it (union swap_header)."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.image.swap import SwapArea
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.contentutil import (
    blkid,
    filled,
    needs,
    ran,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.imageutil import (
    MIB,
    allocated,
)

pytestmark = needs("mkswap", "blkid")


@pytest.mark.parametrize("size", [40 * 1024, MIB + 512, 3 * 1024 * MIB])
def test_header(tmp_path: Path, size: int) -> None:
    file_system = SwapArea("SWAP")
    file_system.check(size)
    image = filled(file_system, tmp_path / "a.raw", size)
    assert image.stat().st_size == size
    with open(image, "rb") as file:
        page = file.read(4096)
    assert page.endswith(b"SWAPSPACE2")
    version, last_page, bad_pages = struct.unpack_from("<III", page, 1024)
    assert (version, last_page, bad_pages) == (1, size // 4096 - 1, 0)
    found = blkid(image)
    assert (found["TYPE"], found["LABEL"]) == ("swap", "SWAP")
    assert allocated(image) < 64 * 1024


def test_sizes_that_are_none() -> None:
    with pytest.raises(ImageError, match="40448 bytes is too small for the swap area: it needs"):
        SwapArea(None).check(40 * 1024 - 512)
    SwapArea(None).check((2**32 - 1) * 4096)
    with pytest.raises(ImageError, match=r"^16TiB is too large for a swap area, which has at most"):
        SwapArea(None).check(2**32 * 4096)


@pytest.mark.parametrize("label", ["lower", "A B", "-x", "ä", "x" * 15])
def test_label(tmp_path: Path, label: str) -> None:
    image = filled(SwapArea(label), tmp_path / "a.raw")
    assert ran("blkid", "-p", "-o", "value", "-s", "LABEL", str(image)) == f"{label}\n"


@pytest.mark.parametrize("label", ["", "x" * 16, "ä" * 8, "a\nb"])
def test_label_that_is_none(label: str) -> None:
    with pytest.raises(ImageError, match=r"invalid swap label .*: it must be 1 to 15 bytes"):
        SwapArea(label)
