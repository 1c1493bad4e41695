# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of real files before they are taken as raw, and what is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.image import raw_content
from ansible_collections.xen.blockdev.plugins.module_utils.image.raw_content import (
    ForeignFormatError,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.imageutil import MIB, image


def refuse(path: Path) -> None:
    raw_content.refuse_foreign(str(path), path.stat())


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, MIB])
def test_what_looks_raw(tmp_path: Path, size: int) -> None:
    refuse(image(tmp_path / "a.raw", size))


def test_both_ends_are_looked_at(tmp_path: Path) -> None:
    for content in (b"QED\0", bytes(MIB - 512) + b"conectix"):
        with pytest.raises(ForeignFormatError, match="has the signature of a"):
            refuse(image(tmp_path / "a.raw", MIB, content))
    refuse(image(tmp_path / "a.raw", MIB, bytes(4096) + b"QED\0"))


def test_it_is_opened_only_if_it_is_the_file_that_was_seen(tmp_path: Path) -> None:
    path = image(tmp_path / "a.raw")
    status = path.stat()
    path.rename(tmp_path / "b.raw")
    # Whoever opens a fifo waits for a writer.
    os.mkfifo(path)
    with pytest.raises(BlockdevError, match="was replaced by another file in the meantime"):
        raw_content.refuse_foreign(str(path), status)


def test_other_kinds_of_files_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, Path("/dev/null")):
        refuse(path)


def test_a_block_device_that_cannot_be_read_is_left_to_others(tmp_path: Path) -> None:
    path = tmp_path / "device"
    os.mknod(path, 0o600 | 0o060000, os.makedev(7, 2**19))
    refuse(path)
