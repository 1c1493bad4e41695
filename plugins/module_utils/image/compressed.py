# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compressed raw images: their size, which only uncompressing shows, and copies of them.

What a file says of its size is not relied on: gzip has it only modulo 4 GiB and only of the last
stream, bzip2 not at all, and xz and zstd not always. So a source is uncompressed once while the
copy is planned. This also shows that the whole file is undamaged, before anything is touched.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Dict, Iterator, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.image import signatures, uncompress
from ansible_collections.xen.blockdev.plugins.module_utils.image.new_disk import NewDisk
from ansible_collections.xen.blockdev.plugins.module_utils.image.signatures import Signature
from ansible_collections.xen.blockdev.plugins.module_utils.image.uncompress import DamagedError
from ansible_collections.xen.blockdev.plugins.module_utils.image.writing import (
    parts_with_data,
    write_data,
)
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import file_id
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_size


@dataclass(frozen=True)
class CompressedContent:
    """What is in a compressed file."""

    kind: str
    """One of uncompress.KINDS."""
    size: int
    """Bytes."""
    data: int
    """Those of them that are written to a new disk: the others are zeros."""
    signature: Optional[Signature]
    """Of another format than raw."""


_measured: Dict[Tuple[object, ...], CompressedContent] = {}
"""By the identity of the file: one call plans twice, and may copy a file to many disks."""


def measured(path: str, kind: str, descriptor: int, most: Optional[int]) -> CompressedContent:
    """What is in the compressed file that ``descriptor`` has open.

    ``most``: bytes. Raises ImageError if it has more, or is damaged, and OSError.
    """
    uncompress.require(kind)
    status = os.fstat(descriptor)
    key = (file_id(status), status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if key not in _measured:
        _measured[key] = _measure(path, kind, descriptor, most)
    content = _measured[key]
    _refuse_more(path, content.size, most)
    return content


def _measure(path: str, kind: str, descriptor: int, most: Optional[int]) -> CompressedContent:
    size, data, head, tail = 0, 0, b"", b""
    for piece in _pieces(path, kind, descriptor):
        data += sum(end - start for start, end in parts_with_data(piece, size))
        size += len(piece)
        if len(head) < signatures.HEAD:
            head = (head + piece)[: signatures.HEAD]
            if signatures.of_source(head, b""):
                break  # What follows makes no difference.
        tail = (tail + piece[-signatures.TAIL :])[-signatures.TAIL :]
        _refuse_more(path, size, most)
    return CompressedContent(kind, size, data, signatures.of_source(head, tail))


def _refuse_more(path: str, size: int, most: Optional[int]) -> None:
    if most is not None and size > most:
        raise ImageError(
            f"cannot copy {path}: uncompressed it has more than {format_size(most)}; set size, or "
            "increase it"
        )


def _pieces(path: str, kind: str, descriptor: int) -> Iterator[bytes]:
    try:
        yield from uncompress.pieces(kind, descriptor)
    except DamagedError as error:
        raise ImageError(
            f"cannot copy {path}: it has the signature of a file compressed by {kind}, but is "
            f"damaged ({error}); if it is none, set source_format: raw and format: raw to copy it "
            "unchanged"
        ) from None


def uncompress_to(path: str, content: CompressedContent, old: int, disk: NewDisk) -> None:
    """Copy what is in the compressed file ``old`` to a new disk that is large enough.

    Raises ImageError if it is something else than ``content``, and OSError.
    """
    position = 0
    for piece in _pieces(path, content.kind, old):
        if position + len(piece) > content.size:
            raise ImageError(f"{path} was changed in the meantime; run again")
        if not disk.full:
            _keep_room(disk.descriptor, len(piece))
        write_data(disk.descriptor, piece, position)
        position += len(piece)
    if position != content.size:
        raise ImageError(f"{path} was changed in the meantime; run again")


def _keep_room(new: int, needed: int) -> None:
    """Raise OSError before a sparse file takes the last free bytes. While it had them, no guest
    could write to its own sparse image."""
    status = os.fstatvfs(new)
    # Some network file systems do not tell how many they have.
    if status.f_blocks and status.f_bavail * status.f_frsize < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
