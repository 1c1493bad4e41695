# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing to a new disk, which reads as zeros where nothing was written."""

from __future__ import annotations

import os

COPY_CHUNK = 8 * 1024**2
"""Bytes that are read and written at once if the kernel cannot copy by itself."""

PIECE = 64 * 1024
"""Bytes that are written or left out together."""

_ZEROS = bytes(PIECE)


def write_data(descriptor: int, data: bytes, position: int) -> None:
    """Write ``data`` at the offset ``position``, but not the zeros in it. Raises OSError."""
    view, start = memoryview(data), 0
    for at in range(0, len(data), PIECE):
        piece = data[at : at + PIECE]
        if piece == _ZEROS[: len(piece)]:
            _write_all(descriptor, view[start:at], position + start)
            start = at + PIECE
    _write_all(descriptor, view[start:], position + start)


def _write_all(descriptor: int, data: memoryview, position: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, position)
        data, position = data[written:], position + written
