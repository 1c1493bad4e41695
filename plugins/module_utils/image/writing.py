# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing to a new disk, which reads as zeros where nothing was written."""

from __future__ import annotations

import os
from typing import Iterator, Tuple

COPY_CHUNK = 8 * 1024**2
"""Bytes that are read and written at once if the kernel cannot copy by itself."""

PIECE = 64 * 1024
"""Bytes that are written or left out together."""

_ZEROS = bytes(PIECE)


def write_data(descriptor: int, data: bytes, position: int) -> None:
    """Write ``data`` at the offset ``position``, but not the zeros in it. Raises OSError."""
    view = memoryview(data)
    for start, end in parts_with_data(data, position):
        _write_all(descriptor, view[start:end], position + start)


def parts_with_data(data: bytes, position: int) -> Iterator[Tuple[int, int]]:
    """Start and end, in ``data``, of what is to be written of it at the offset ``position``: all
    but the pieces that are nothing but zeros."""
    start = 0
    for at in range(-(position % PIECE), len(data), PIECE):
        piece = data[max(at, 0) : at + PIECE]
        if piece == _ZEROS[: len(piece)]:
            if start < at:
                yield start, at
            start = at + PIECE
    if start < len(data):
        yield start, len(data)


def _write_all(descriptor: int, data: memoryview, position: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, position)
        data, position = data[written:], position + written
