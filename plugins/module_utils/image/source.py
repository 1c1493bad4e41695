# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new image is filled with: its source in any format, holes, or allocated blocks.

The format of a source is told, never guessed: a guest can write into its raw disk what looks like
an image of another format and names any file of the host as its content.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from dataclasses import dataclass
from typing import Any, Callable, List, Mapping, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.host.files import by_number, opened
from ansible_collections.xen.blockdev.plugins.module_utils.image import header as image_header
from ansible_collections.xen.blockdev.plugins.module_utils.image import signatures
from ansible_collections.xen.blockdev.plugins.module_utils.image.raw_content import head_and_tail
from ansible_collections.xen.blockdev.plugins.module_utils.image.signatures import Signature
from ansible_collections.xen.blockdev.plugins.module_utils.image.tools import ImageError, Tool
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import file_id
from ansible_collections.xen.blockdev.plugins.module_utils.units import SECTOR

FORMATS = ["raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "qed"]
"""The formats that a source can have."""

QEMU_IMG = Tool("qemu-img", "reads images that are not raw")

QEMU_FORMATS = {"vhd": "vpc"}
"""Formats that qemu-img knows under another name."""

INFO_SECONDS = 60
CONVERT_SECONDS = 12 * 3600

FICLONE = 0x40049409
"""ioctl_ficlone(2): let two files share their blocks until one of them is written."""

CHUNK = 8 * 1024**2
"""Bytes read and written at once where the kernel cannot copy by itself."""

FATAL = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a quicker way to copy that the slower one would meet, too. With any other the file
system or the kernel says that it has no such way."""


@dataclass(frozen=True)
class Source:
    """What a new image is a copy of."""

    path: str
    format: str
    status: os.stat_result
    size: int
    """Bytes of the disk that it holds, rounded up to whole sectors."""


def read(path: str, source_format: Optional[str], status: os.stat_result) -> Source:
    """Look into the regular file C(path), which C(status) was read from.

    C(source_format): one of FORMATS, or None where nobody has said it and the source is raw. Raises
    ImageError where the file is not whole in itself or has another format, as far as that can be
    told, and where it cannot be read.
    """
    try:
        if source_format is None or source_format == "raw":
            return _read_raw(path, status, said=source_format is not None)
        return _read_foreign(path, source_format, status)
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}") from None


def copy(source: Source, new: int, size: int, full: bool) -> None:
    """Fill the new, empty file C(new), a descriptor, from the source and give it C(size) bytes.

    What the source has no data for stays a hole, unless all blocks are wanted (C(full)). Raises
    ImageError where the source is not what was read any more, and OSError such as ENOSPC.
    """
    with opened(source.path, os.O_RDONLY) as old:
        _refuse_changed(source, old)
        if source.format != "raw":
            _convert(source, old, new)
        elif full:
            # First, so that a full disk shows before the copying. Shared blocks are not allocated.
            set_size(new, size, full)
            _copy_data(old, new, _copy_chunk)
        elif not _share_blocks(old, new):
            _copy_data(old, new, _copy_in_kernel)
        # What was cut off of a source meanwhile looks like a hole in it.
        _refuse_changed(source, old)
    set_size(new, size, full)


def set_size(descriptor: int, size: int, full: bool) -> None:
    """Give a new file C(size) bytes: sparse, so that it may also get smaller, or with all blocks.

    Nobody else may write to it: where the file system cannot set blocks aside, the C library writes
    zeros, and so over whatever comes in between.
    """
    if full:
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)


def _refuse_changed(source: Source, descriptor: int) -> None:
    """Raise ImageError unless the file is the one that was read.

    What is in a raw one may change, and a warning says so. Any other one tells where its data is,
    so what was read in it holds only as long as nobody writes to it.
    """
    old, new = source.status, os.fstat(descriptor)
    if (file_id(new), new.st_size) != (file_id(old), old.st_size):
        raise ImageError(f"{source.path} was replaced or resized meanwhile; run again")
    if source.format != "raw" and new.st_ctime_ns != old.st_ctime_ns:
        raise ImageError(f"{source.path} was changed meanwhile; run again")


def _read_raw(path: str, status: os.stat_result, said: bool) -> Source:
    """A raw source; ImageError where it has the signature of another format and nobody C(said) that
    it is raw."""
    if not said:
        with opened(path, os.O_RDONLY) as descriptor:
            found = signatures.of_source(*head_and_tail(descriptor))
        if found:
            raise ImageError(f"cannot copy {path} as a raw image: {_advice(found)}")
    return Source(path, "raw", status, _whole_sectors(status.st_size))


def _advice(found: Signature) -> str:
    remedy = f"set source_format: {found.source_format}" if found.source_format else found.remedy
    raw = "if a guest is to have just these bytes, set source_format: raw and format: raw"
    if found is signatures.TAR:
        raw = "if a MirageOS unikernel is to read it as it is, set source_format: raw"
    return f"it has the signature of {found.words}; if it is one, {remedy}; {raw}"


def _read_foreign(path: str, source_format: str, status: os.stat_result) -> Source:
    """A source in another format; ImageError where it is not whole in itself.

    Such an image names other files of this host by itself, and would bring them into the copy.
    """
    with opened(path, os.O_RDONLY) as old:
        if file_id(os.fstat(old)) != file_id(status):
            raise ImageError(f"{path} was replaced meanwhile; run again")
        # By its descriptor, so that what is looked into here is what is copied later.
        arguments = ("info", "-f", _qemu_format(source_format), "--output=json", by_number(old))
        info = json.loads(_qemu_img(INFO_SECONDS, *arguments, descriptors={old: path}))
        others = _other_files(info, path)
    if source_format == "vhd" and _is_differencing_vhd(path):
        raise ImageError(
            f"cannot copy {path}: it is the difference to a parent image, which qemu-img reads as "
            "zeros; merge both by the program that made them first"
        )
    if others:
        raise ImageError(
            f"cannot copy {path}: it takes data from {', '.join(others)}; make it an image of its "
            "own first (qemu-img convert) where you trust it"
        )
    return Source(path, source_format, status, _whole_sectors(info["virtual-size"]))


def _other_files(info: Mapping[str, Any], path: str) -> List[str]:
    """The files beside the image at C(path) from which, says qemu-img, it takes its data."""
    details = info.get("format-specific", {}).get("data", {})
    backing = info.get("full-backing-filename", info.get("backing-filename"))
    extents = [extent["filename"] for extent in details.get("extents", ())]
    return [
        *(str(name) for name in (backing, details.get("data-file")) if name is not None),
        *(name for name in extents if os.path.realpath(name) != os.path.realpath(path)),
    ]


def _is_differencing_vhd(path: str) -> bool:
    with opened(path, os.O_RDONLY) as descriptor:
        return any(map(image_header.is_differencing_vhd, head_and_tail(descriptor)))


def _qemu_format(source_format: str) -> str:
    return QEMU_FORMATS.get(source_format, source_format)


def _qemu_img(timeout: float, *arguments: str, descriptors: Mapping[int, str]) -> str:
    """What qemu-img prints. C(timeout), C(descriptors): see Tool.run."""
    action = arguments[0]
    return QEMU_IMG.run(*arguments, timeout=timeout, descriptors=descriptors, action=action)


def _whole_sectors(size: int) -> int:
    return -(-size // SECTOR) * SECTOR


def _convert(source: Source, old: int, new: int) -> None:
    paths = by_number(old), by_number(new)
    arguments = ("convert", "-f", _qemu_format(source.format), "-O", "raw", *paths)
    _qemu_img(CONVERT_SECONDS, *arguments, descriptors={old: source.path, new: "the new image"})


def _share_blocks(old: int, new: int) -> bool:
    """Whether the file system could make a copy that costs nothing (a reflink)."""
    try:
        fcntl.ioctl(new, FICLONE, old)
    except OSError as error:
        if error.errno in FATAL:
            raise
        return False
    return True


def _copy_data(old: int, new: int, copy_some: Callable[[int, int, int, int], int]) -> None:
    """Copy where the source has data; the rest is left alone.

    C(copy_some): copies from one to the other between two offsets and returns how far it came.
    """
    position = 0
    while True:
        try:
            position = os.lseek(old, position, os.SEEK_DATA)
            end = os.lseek(old, position, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # From here on the source is a hole, or has ended.
        while position < end:
            copied = copy_some(old, new, position, end)
            if not copied:
                raise ImageError("the source became shorter while it was copied; run again")
            position += copied


def _copy_in_kernel(old: int, new: int, position: int, end: int) -> int:
    """Let the kernel copy, which may be quicker, where it can (copy_file_range(2))."""
    try:
        copied = os.copy_file_range(old, new, end - position, position, position)
    except AttributeError:  # Python has it only where the C library has it.
        copied = 0
    except OSError as error:
        if error.errno in FATAL:
            raise
        copied = 0
    # Zero may also be the answer of a file system that cannot; reading tells that from the end.
    return copied or _copy_chunk(old, new, position, end)


def _copy_chunk(old: int, new: int, position: int, end: int) -> int:
    data = os.pread(old, min(CHUNK, end - position), position)
    return os.pwrite(new, data, position) if data else 0
