# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""XFS file systems, made by the real mkfs.xfs and read by xfs_db."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.image.xfs import Xfs
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

pytestmark = needs("mkfs.xfs", "xfs_repair", "xfs_db", "blkid")


@pytest.mark.parametrize("size", [300 * MIB, 333 * MIB + 512, 20 * 1024 * MIB])
def test_sizes(tmp_path: Path, size: int) -> None:
    file_system = Xfs("DATA")
    file_system.check(size)
    image = filled(file_system, tmp_path / "a.raw", size)
    assert image.stat().st_size == size
    ran("xfs_repair", "-n", str(image), stderr=-2)
    found = blkid(image)
    assert (found["TYPE"], found["LABEL"]) == ("xfs", "DATA")
    said = ran("xfs_db", "-r", "-c", "sb 0", "-c", "print dblocks sectsize blocksize", str(image))
    assert said.splitlines() == [f"dblocks = {size // 4096}", "sectsize = 4096", "blocksize = 4096"]
    assert allocated(image) < 70 * MIB


def test_size_that_mkfs_would_refuse() -> None:
    with pytest.raises(ImageError) as error:
        Xfs(None).check(300 * MIB - 512)
    assert str(error.value) == (
        f"{300 * MIB - 512} bytes is too small for the xfs file system: it needs at least 300MiB"
    )


@pytest.mark.parametrize("label", ["lower", "A B", "-x", "ä", "x" * 12])
def test_label(tmp_path: Path, label: str) -> None:
    image = filled(Xfs(label), tmp_path / "a.raw")
    assert ran("blkid", "-p", "-o", "value", "-s", "LABEL", str(image)) == f"{label}\n"


@pytest.mark.parametrize("label", ["", "x" * 13, "ä" * 7, "a\nb"])
def test_label_that_is_none(label: str) -> None:
    with pytest.raises(ImageError, match=r"invalid xfs label .*: it must be 1 to 12 bytes"):
        Xfs(label)
