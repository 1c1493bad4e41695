# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a file or block device that is to be used as raw has the signature of another format."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from typing import Iterator, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import by_number, opened
from ansible_collections.xen.blockdev.plugins.module_utils.image import signatures
from ansible_collections.xen.blockdev.plugins.module_utils.image.signatures import Signature
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import file_id


class ForeignFormatError(BlockdevError):
    """Something that is to be used as raw has the signature of another format."""


def refuse_foreign(path: str, status: os.stat_result) -> None:
    """Raise ForeignFormatError if the file or block device at ``path`` has the signature of another
    format than raw. The caller checks this unless the user has set ``format: raw``.

    ``status``: of the file that is expected there. A block device that cannot be read is not an
    error here. Raises BlockdevError if another file is there, and OSError.
    """
    found = foreign(path, status)
    if found:
        raise ForeignFormatError(
            f"{path} has the signature of {found.words}; if it is one, {found.remedy}; if it is "
            "a raw disk all the same, set format: raw"
        )


def foreign(path: str, status: os.stat_result) -> Optional[Signature]:
    """The signature of another format than raw in the file or block device at ``path``, if any.

    ``status``, errors: see refuse_foreign.
    """
    if stat.S_ISREG(status.st_mode):
        return _signature(path, status)
    if stat.S_ISBLK(status.st_mode):
        with suppress(OSError, BlockdevError):
            return _signature(path, status)
    return None


def head_and_tail(descriptor: int) -> Tuple[bytes, bytes]:
    """The first and last bytes of an open file or block device, for signatures. Raises OSError."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    head = os.pread(descriptor, signatures.HEAD, 0)
    return head, os.pread(descriptor, signatures.TAIL, max(size - signatures.TAIL, 0))


def _signature(path: str, status: os.stat_result) -> Optional[Signature]:
    with opened_same(path, status) as descriptor:
        return signatures.of_image(*head_and_tail(descriptor))


@contextmanager
def opened_same(path: str, status: os.stat_result) -> Iterator[int]:
    """The file or block device at ``path``, if it is still the same, open for reading. Opening a
    fifo in its place would block, so it is checked first. Raises ImageError, and OSError."""
    with opened(path, os.O_PATH) as place:
        if file_id(os.fstat(place)) != file_id(status):
            raise ImageError(f"{path} was replaced by another file in the meantime; run again")
        # O_NONBLOCK: do not wait for a medium in an optical drive, and do not close its tray.
        blocking = 0 if stat.S_ISREG(status.st_mode) else os.O_NONBLOCK
        with opened(by_number(place), os.O_RDONLY | blocking) as descriptor:
            yield descriptor
