# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written of data to a real file, and what is left out."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.image import writing
from hypothesis import given
from hypothesis import strategies as st

PIECES = st.lists(st.sampled_from([b"\0\0\0\0", b"\0x\0\0", b"abcd"]), max_size=12).map(b"".join)


@given(PIECES, st.sampled_from([b"", b"\0", b"x", b"\0\0x"]), st.integers(0, 9))
def test_reads_back_and_leaves_out_zeros(start: bytes, end: bytes, position: int) -> None:
    data, written = start + end, []

    def pwrite(descriptor: int, view: Any, at: int) -> int:
        few = view[:3]  # as if a signal had come in between
        written.append((at, bytes(few)))
        return real(descriptor, few, at)

    real = os.pwrite
    with tempfile.TemporaryFile() as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "PIECE", 4)
        patch.setattr(os, "pwrite", pwrite)
        file.truncate(position + len(data))
        writing.write_data(file.fileno(), data, position)
        assert file.read() == bytes(position) + data
    disk = bytes(position) + data
    covered = {at + step for at, view in written for step in range(len(view))}
    assert covered == {
        at
        for start in range(0, len(disk), 4)
        if any(disk[start : start + 4])
        for at in range(max(start, position), min(start + 4, len(disk)))
    }
