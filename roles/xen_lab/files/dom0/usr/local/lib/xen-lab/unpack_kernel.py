# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the ELF file inside a bzImage: ``unpack_kernel.py BZIMAGE ELF``.

xl takes a bzImage as well, but unpacks it each time, which takes 15 s in an emulated dom0.
"""

from __future__ import annotations

import gzip
import lzma
import struct
import subprocess
import sys

SETUP_SECTORS = 0x1F1
PAYLOAD = 0x248
"""Offsets in a bzImage, see "The Linux/x86 Boot Protocol" in Linux: the size of the real-mode code,
and where the payload is from its end on (offset and length)."""


def unpack(image: bytes) -> bytes:
    """The ELF file in a bzImage."""
    sectors = image[SETUP_SECTORS] or 4
    offset, length = struct.unpack_from("<II", image, PAYLOAD)
    start = (sectors + 1) * 512 + offset
    # The last four bytes are the length of what comes out.
    packed = image[start : start + length - 4]
    if packed.startswith(b"\xfd7zXZ"):
        return lzma.decompress(packed)
    if packed.startswith(b"\x1f\x8b"):
        return gzip.decompress(packed)
    return subprocess.run(["zstd", "-dc"], input=packed, stdout=subprocess.PIPE, check=True).stdout


with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as target:
    target.write(unpack(source.read()))
