# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other files that the header of an image names, which QEMU opens together with it.

The layouts: docs/interop/qcow2.rst and docs/interop/qed_spec.rst of QEMU; of qcow, block/qcow.c.
A header may come from a guest, so it is not trusted.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Dict, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.image import signatures

CHAINED = ("qcow", "qcow2", "qed", "vhd")
"""The formats, as xl calls them, whose images may name other files."""

PROBED = ("qcow", "qcow2", "qed")
"""Those of them that QEMU detects in a backing file whose format is not given."""

HEADER_BYTES = (2**16, 2**21)
"""Bytes to read, which is the first cluster: its usual size, and its largest."""

MAX_NAME_BYTES = 1023
"""Of a name (block/qcow2.h)."""

EXTERNAL_DATA = 1 << 2
"""Incompatible feature of qcow2: the data is in another file."""

QED_HAS_BACKING = 1
QED_BACKING_IS_RAW = 4

DATA_FILE, BACKING_FORMAT = 0x44415441, 0xE2792ACA
"""Header extensions of qcow2 that hold a name."""

_QCOW = struct.Struct(">4sIQI")
_QED = struct.Struct("<4s3I5Q2I")
_EXTENSION = struct.Struct(">II")
_VHD_FOOTER = struct.Struct(">8s52xI")
VHD_DIFFERENCING = 4


class HeaderError(ValueError):
    """The header is damaged, or of another format."""


@dataclass(frozen=True)
class Named:
    """The names in a header, unchanged; None for those that it does not have."""

    backing: Optional[str] = None
    """The file that is read where the image itself has no data."""
    backing_format: Optional[str] = None
    data: Optional[str] = None
    """The file that holds the data of the image."""


def named(data: bytes, image_format: str) -> Named:
    """The names in an image that begins with ``data``. ``image_format``: one of CHAINED.

    Raises HeaderError.
    """
    try:
        if image_format == "qed":
            return _qed(data)
        if image_format == "vhd":
            return _vhd(data)
        return _qcow(data)
    except struct.error:
        raise HeaderError("its header is truncated") from None


def probed(data: bytes) -> str:
    """The format of an image, as QEMU guesses it from the first bytes if it is not given."""
    found = signatures.of_source(data[: signatures.HEAD], b"")
    return found.format if found and found.format in PROBED else "raw"


def is_differencing_vhd(block: bytes) -> bool:
    """Whether ``block`` is the footer of a VHD that takes data from a parent; VHDs other than those
    of fixed size begin with a copy of it. The name of the parent does not matter, because QEMU's
    driver (block/vpc.c) does not read it."""
    if len(block) < _VHD_FOOTER.size:
        return False
    cookie, disk_type = _VHD_FOOTER.unpack_from(block)
    return bool(cookie == b"conectix" and disk_type == VHD_DIFFERENCING)


def _qcow(data: bytes) -> Named:
    magic, version, offset, size = _QCOW.unpack_from(data)
    if magic != b"QFI\xfb" or version not in (1, 2, 3):
        raise HeaderError("it does not have a header of this format")
    backing = _name(data, offset, size) if offset else None
    if version == 1:
        return Named(backing)
    extensions = _extensions(data[: offset or len(data)], version)
    data_file = extensions.get(DATA_FILE)
    if version == 3 and struct.unpack_from(">Q", data, 72)[0] & EXTERNAL_DATA and not data_file:
        raise HeaderError("its data is in another file, whose name is missing")
    return Named(backing, extensions.get(BACKING_FORMAT), data_file)


def _extensions(data: bytes, version: int) -> Dict[int, str]:
    """The header extensions of qcow2 that hold a name."""
    found = {}
    at = 72 if version == 2 else struct.unpack_from(">I", data, 100)[0]
    while at + _EXTENSION.size <= len(data):
        kind, size = _EXTENSION.unpack_from(data, at)
        if kind == 0:
            break
        if kind in (DATA_FILE, BACKING_FORMAT):
            found[kind] = _name(data, at + _EXTENSION.size, size)
        at += _EXTENSION.size + (size + 7) // 8 * 8
    if at > len(data):
        raise HeaderError("its header has no end")
    return found


def _qed(data: bytes) -> Named:
    header = _QED.unpack_from(data)
    features, (offset, size) = header[4], header[-2:]
    if header[0] != b"QED\0":
        raise HeaderError("it does not have a header of this format")
    if not features & QED_HAS_BACKING:
        return Named()
    return Named(_name(data, offset, size), "raw" if features & QED_BACKING_IS_RAW else None)


def _vhd(data: bytes) -> Named:
    if data.startswith(b"conectix") and len(data) < _VHD_FOOTER.size:
        raise HeaderError("its header is truncated")
    if is_differencing_vhd(data):
        raise HeaderError(
            "it is a differencing VHD, whose parent QEMU does not open: its data is read as zeros"
        )
    return Named()


def _name(data: bytes, offset: int, size: int) -> str:
    if size > MAX_NAME_BYTES or offset + size > len(data):
        raise HeaderError("a name in its header is outside of the header")
    return data[offset : offset + size].decode("utf-8", "surrogateescape")
