# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The source of a new image, a copy: another image in any format.

The format of a source is given by the user, never guessed: a guest can write an image of another
format into its raw disk, which refers to any file of the host.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from dataclasses import dataclass
from typing import Any, Callable, List, Mapping, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import by_number, opened
from ansible_collections.xen.blockdev.plugins.module_utils.image import header as image_header
from ansible_collections.xen.blockdev.plugins.module_utils.image import signatures
from ansible_collections.xen.blockdev.plugins.module_utils.image.new_disk import NewDisk
from ansible_collections.xen.blockdev.plugins.module_utils.image.raw_content import head_and_tail
from ansible_collections.xen.blockdev.plugins.module_utils.image.signatures import Signature
from ansible_collections.xen.blockdev.plugins.module_utils.image.tool import Tool
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import file_id
from ansible_collections.xen.blockdev.plugins.module_utils.units import SECTOR, round_up

FORMATS = ["raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "qed"]
"""The formats that a source can have."""

QEMU_IMG = Tool("qemu-img", "reads images that are not raw")

QEMU_FORMATS = {"vhd": "vpc"}
"""Formats to which qemu-img gives another name."""

INFO_SECONDS = 60
CONVERT_SECONDS = 12 * 3600

FICLONE = 0x40049409
"""ioctl_ficlone(2): makes two files share their blocks until one of them is written."""

COPY_CHUNK = 8 * 1024**2
"""Bytes that are read and written at once if the kernel cannot copy by itself."""

FATAL = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a faster way to copy that the slower one would have, too. Any other error means that
the file system or the kernel does not support the faster way."""


@dataclass(frozen=True)
class Source:
    """An image that is copied."""

    path: str
    format: str
    status: os.stat_result
    size: int
    """Bytes of the disk in it, rounded up to whole sectors."""


def read(path: str, source_format: Optional[str], status: os.stat_result) -> Source:
    """Inspect the regular file ``path`` with the status ``status``.

    ``source_format``: one of FORMATS, or None for a raw source whose format the user has not given.
    Raises ImageError if the file cannot be read, needs other files, or has the signature of another
    format.
    """
    try:
        if source_format is None or source_format == "raw":
            return _read_raw(path, status, is_given=source_format is not None)
        return _read_foreign(path, source_format, status)
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}") from None


def copy(source: Source, disk: NewDisk) -> None:
    """Copy the source to a new disk that is large enough.

    Holes of the source are not written. Raises ImageError if the source was changed after it was
    read, and OSError such as ENOSPC.
    """
    new = disk.descriptor
    with opened(source.path, os.O_RDONLY) as old:
        _check_unchanged(source, old)
        if source.format != "raw":
            _convert(source, old, disk)
        elif disk.full:
            # Before the copy, so that a full disk is noticed early. Shared blocks would not be
            # preallocated.
            disk.begin()
            _copy_data(old, new, _copy_chunk)
        elif not _share_blocks(old, new):
            _copy_data(old, new, _copy_in_kernel)
        # If the source was truncated during the copy, its end was read as a hole.
        _check_unchanged(source, old)
    disk.end()


def _check_unchanged(source: Source, descriptor: int) -> None:
    """Raise ImageError unless the file is the one that was read.

    The content of a raw source may change, which gives a warning. The header of any other format
    says where the data is, and is valid only as long as no process writes to the file.
    """
    old, new = source.status, os.fstat(descriptor)
    if (file_id(new), new.st_size) != (file_id(old), old.st_size):
        raise ImageError(f"{source.path} was replaced or resized in the meantime; run again")
    if source.format != "raw" and new.st_ctime_ns != old.st_ctime_ns:
        raise ImageError(f"{source.path} was changed in the meantime; run again")


def _read_raw(path: str, status: os.stat_result, is_given: bool) -> Source:
    """A raw source. Raises ImageError if it has the signature of another format, unless the format
    ``is_given`` by the user."""
    if not is_given:
        with opened(path, os.O_RDONLY) as descriptor:
            found = signatures.of_source(*head_and_tail(descriptor))
        if found:
            raise ImageError(f"cannot copy {path} as a raw image: {_advice(found)}")
    return Source(path, "raw", status, round_up(status.st_size, SECTOR))


def _advice(found: Signature) -> str:
    remedy = f"set source_format: {found.source_format}" if found.source_format else found.remedy
    raw = "to copy it unchanged, set source_format: raw and format: raw"
    if found is signatures.TAR:
        raw = "to copy it unchanged, for a MirageOS unikernel, set source_format: raw"
    return f"it has the signature of {found.words}; if it is one, {remedy}; {raw}"


def _read_foreign(path: str, source_format: str, status: os.stat_result) -> Source:
    """A source in another format. Raises ImageError if it takes data from other files: it could
    refer to any file of this host, whose content would be copied."""
    with opened(path, os.O_RDONLY) as old:
        if file_id(os.fstat(old)) != file_id(status):
            raise ImageError(f"{path} was replaced in the meantime; run again")
        # By its descriptor, so that no other file can be in its place.
        arguments = ("info", "-f", _qemu_format(source_format), "--output=json", by_number(old))
        info = json.loads(_qemu_img(INFO_SECONDS, *arguments, descriptors={old: path}))
        others = _other_files(info, path)
    if source_format == "vhd" and _has_vhd_parent(path):
        raise ImageError(
            f"cannot copy {path}: it is a differencing VHD, and qemu-img does not read its parent; "
            "merge it into its parent first, with the program that created it"
        )
    if others:
        raise ImageError(
            f"cannot copy {path}: it takes data from {', '.join(others)}; if you trust it, convert "
            "it into an image without other files first (qemu-img convert)"
        )
    return Source(path, source_format, status, round_up(info["virtual-size"], SECTOR))


def _other_files(info: Mapping[str, Any], path: str) -> List[str]:
    """The other files from which the image at ``path`` takes data, according to qemu-img."""
    details = info.get("format-specific", {}).get("data", {})
    backing = info.get("full-backing-filename", info.get("backing-filename"))
    extents = [extent["filename"] for extent in details.get("extents", ())]
    return [
        *(str(name) for name in (backing, details.get("data-file")) if name is not None),
        *(name for name in extents if os.path.realpath(name) != os.path.realpath(path)),
    ]


def _has_vhd_parent(path: str) -> bool:
    with opened(path, os.O_RDONLY) as descriptor:
        return any(map(image_header.is_differencing_vhd, head_and_tail(descriptor)))


def _qemu_format(source_format: str) -> str:
    return QEMU_FORMATS.get(source_format, source_format)


def _qemu_img(timeout: float, *arguments: str, descriptors: Mapping[int, str]) -> str:
    """The output of qemu-img. ``timeout``, ``descriptors``: see Tool.run."""
    action = arguments[0]
    return QEMU_IMG.run(*arguments, timeout=timeout, descriptors=descriptors, action=action)


def _convert(source: Source, old: int, disk: NewDisk) -> None:
    arguments = ["convert", "-f", _qemu_format(source.format), "-O", "raw"]
    if disk.is_device:
        disk.begin()
        # Such a target is not created, and what the source has no data for is not written.
        arguments += ["-n", "--target-is-zero"]
    arguments += [by_number(old), by_number(disk.descriptor)]
    descriptors = {old: source.path, disk.descriptor: disk.name}
    _qemu_img(CONVERT_SECONDS, *arguments, descriptors=descriptors)


def _share_blocks(old: int, new: int) -> bool:
    """Copy without using space (a reflink). Returns whether the file system supports that."""
    try:
        fcntl.ioctl(new, FICLONE, old)
    except OSError as error:
        if error.errno in FATAL:
            raise
        return False
    return True


def _copy_data(old: int, new: int, copy_some: Callable[[int, int, int, int], int]) -> None:
    """Copy the data of the source, but not its holes.

    ``copy_some``: copies from ``old`` to ``new`` between two offsets, at least a part, and returns
    how many bytes it has copied.
    """
    position = 0
    while True:
        try:
            position = os.lseek(old, position, os.SEEK_DATA)
            end = os.lseek(old, position, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # The rest is a hole, or empty.
        while position < end:
            copied = copy_some(old, new, position, end)
            if not copied:
                raise ImageError("the source was truncated while it was copied; run again")
            position += copied


def _copy_in_kernel(old: int, new: int, position: int, end: int) -> int:
    """Let the kernel copy if it can, which may be faster (copy_file_range(2))."""
    try:
        copied = os.copy_file_range(old, new, end - position, position, position)
    except AttributeError:  # Python has it only if the C library does.
        copied = 0
    except OSError as error:
        if error.errno in FATAL:
            raise
        copied = 0
    # Zero means the end, or that the file system cannot copy. Reading shows which.
    return copied or _copy_chunk(old, new, position, end)


def _copy_chunk(old: int, new: int, position: int, end: int) -> int:
    data = os.pread(old, min(COPY_CHUNK, end - position), position)
    return os.pwrite(new, data, position) if data else 0
