# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which other files the header of an image names, so that QEMU opens them with it.

The layouts: docs/interop/qcow2.rst and docs/interop/qed_spec.rst of QEMU; of qcow, block/qcow.c.
What a header says is data of whoever has made the image: nothing here trusts it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Dict, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.image import signatures

CHAINED = ("qcow", "qcow2", "qed", "vhd")
"""The formats, as xl calls them, whose images may name other files."""

PROBED = ("qcow", "qcow2", "qed")
"""Those by which a backing file of a format that nobody tells may lead to others."""

HEADER_BYTES = (2**16, 2**21)
"""Where what is looked for is: in the first cluster, of the usual size and at most."""

MAX_NAME = 1023
"""Bytes of a name (block/qcow2.h)."""

EXTERNAL_DATA = 1 << 2
"""Incompatible feature of qcow2: the data is in a file beside it."""

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
    """It is no image of its format, or is damaged."""


@dataclass(frozen=True)
class Named:
    """What a header names, each as it stands there; None for what it does not name."""

    backing: Optional[str] = None
    """What is read where the image itself has nothing."""
    backing_format: Optional[str] = None
    data: Optional[str] = None
    """What holds the data of the image."""


def named(data: bytes, image_format: str) -> Named:
    """What an image that begins with C(data) names; C(image_format): one of CHAINED.

    Raises HeaderError.
    """
    try:
        if image_format == "qed":
            return _qed(data)
        if image_format == "vhd":
            return _vhd(data)
        return _qcow(data)
    except struct.error:
        raise HeaderError("it ends within its header") from None


def probed(data: bytes) -> str:
    """The format of an image of which none is told, as QEMU guesses it by the first bytes."""
    found = signatures.of_source(data[: signatures.HEAD], b"")
    return found.format if found and found.format in PROBED else "raw"


def is_differencing_vhd(block: bytes) -> bool:
    """Whether C(block) is the footer of a VHD that takes data from a parent; other VHDs than those
    of fixed size begin with a copy of it. Whom its locators name does not matter here: QEMU's
    driver (block/vpc.c) reads none of them."""
    if len(block) < _VHD_FOOTER.size:
        return False
    cookie, disk_type = _VHD_FOOTER.unpack_from(block)
    return bool(cookie == b"conectix" and disk_type == VHD_DIFFERENCING)


def _qcow(data: bytes) -> Named:
    magic, version, offset, size = _QCOW.unpack_from(data)
    if magic != b"QFI\xfb" or version not in (1, 2, 3):
        raise HeaderError("it has no header of this format")
    backing = _name(data, offset, size) if offset else None
    if version == 1:
        return Named(backing)
    extensions = _extensions(data[: offset or len(data)], version)
    data_file = extensions.get(DATA_FILE)
    if version == 3 and struct.unpack_from(">Q", data, 72)[0] & EXTERNAL_DATA and not data_file:
        raise HeaderError("its data is in another file, which it does not name")
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
        raise HeaderError("its header does not end")
    return found


def _qed(data: bytes) -> Named:
    header = _QED.unpack_from(data)
    features, (offset, size) = header[4], header[-2:]
    if header[0] != b"QED\0":
        raise HeaderError("it has no header of this format")
    if not features & QED_HAS_BACKING:
        return Named()
    return Named(_name(data, offset, size), "raw" if features & QED_BACKING_IS_RAW else None)


def _vhd(data: bytes) -> Named:
    if data.startswith(b"conectix") and len(data) < _VHD_FOOTER.size:
        raise HeaderError("it ends within its header")
    if is_differencing_vhd(data):
        raise HeaderError(
            "it is the difference to a parent, which QEMU does not open: what only that has reads "
            "as zeros"
        )
    return Named()


def _name(data: bytes, offset: int, size: int) -> str:
    if size > MAX_NAME or offset + size > len(data):
        raise HeaderError("a name in its header lies outside of it")
    return data[offset : offset + size].decode("utf-8", "surrogateescape")
