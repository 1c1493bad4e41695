# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written of data to a real file, and what is left out."""

from __future__ import annotations

import os
import tempfile
from typing import Any, List, Tuple

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
    assert zero_pieces(data) == [
        at for at in range(0, len(data), 4) if not covered(written, position + at)
    ]


def zero_pieces(data: bytes) -> List[int]:
    return [at for at in range(0, len(data), 4) if not any(data[at : at + 4])]


def covered(written: List[Tuple[int, bytes]], position: int) -> bool:
    return any(at <= position < at + len(data) for at, data in written)
