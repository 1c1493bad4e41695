# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The source of a new disk, a copy: another image in any format, or a block device.

The format of a source is given by the user, never guessed: a guest can write an image of another
format into its raw disk, which refers to any file of the host. Only that a file is compressed is
taken from its signature. What is in it is copied as raw, so it can refer to nothing.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from dataclasses import dataclass
from typing import Any, Callable, List, Mapping, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import by_number, opened
from ansible_collections.xen.blockdev.plugins.module_utils.image import (
    compressed,
    signatures,
    uncompress,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image import header as image_header
from ansible_collections.xen.blockdev.plugins.module_utils.image.compressed import CompressedContent
from ansible_collections.xen.blockdev.plugins.module_utils.image.new_disk import NewDisk
from ansible_collections.xen.blockdev.plugins.module_utils.image.raw_content import (
    head_and_tail,
    opened_same,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.signatures import Signature
from ansible_collections.xen.blockdev.plugins.module_utils.image.tool import Tool
from ansible_collections.xen.blockdev.plugins.module_utils.image.writing import (
    COPY_CHUNK,
    write_data,
)
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

FATAL = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a faster way to copy that the slower one would have, too. Any other error means that
the file system or the kernel does not support the faster way."""


@dataclass(frozen=True)
class Source:
    """An image or block device that is copied."""

    path: str
    format: str
    status: os.stat_result
    length: int
    """Bytes of the file or device itself."""
    size: int
    """Bytes of the disk in it, rounded up to whole sectors."""
    content: Optional[CompressedContent] = None
    """What is in a compressed file."""

    @property
    def is_device(self) -> bool:
        """Whether it is a block device."""
        return stat.S_ISBLK(self.status.st_mode)


def read(
    path: str,
    source_format: Optional[str],
    status: os.stat_result,
    most: Callable[[], Optional[int]] = lambda: None,
) -> Source:
    """Inspect the regular file or block device ``path`` with the status ``status``.

    ``source_format``: one of FORMATS, or None for a raw source whose format the user has not given.
    ``most``: asked for a compressed file, how many bytes of it are uncompressed at most to find its
    size. Raises ImageError if the source cannot be read, needs other files, has the signature of
    another format, or is damaged.
    """
    try:
        length = _length(path, status)
        if source_format is None:
            found = _signature(path)
            if found and found.format in uncompress.KINDS and stat.S_ISREG(status.st_mode):
                return _read_compressed(path, found.format, status, most())
            if found:
                raise ImageError(f"cannot copy {path} as a raw image: {_advice(found)}")
        if source_format is None or source_format == "raw":
            return Source(path, "raw", status, length, round_up(length, SECTOR))
        return _read_foreign(path, source_format, status, length)
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
        if source.content:
            disk.begin()
            compressed.uncompress_to(source.path, source.content, old, disk)
        elif source.format != "raw":
            _convert(source, old, disk)
        elif disk.full or source.is_device:
            # Before the copy, so that a full disk is noticed early. Shared blocks would not be
            # preallocated.
            disk.begin()
            if source.is_device:
                _copy_part(old, new, 0, source.length, _copy_chunk)
            else:
                _copy_data(old, new, _copy_chunk)
        elif not _share_blocks(old, new):
            _copy_data(old, new, _copy_in_kernel)
        # If the source was truncated during the copy, its end was read as a hole.
        _check_unchanged(source, old)
    disk.end()


def _check_unchanged(source: Source, descriptor: int) -> None:
    """Raise ImageError unless the file or device is the one that was read.

    The content of a raw source may change, which gives a warning. The header of any other format
    says where the data is, and is valid only as long as no process writes to the file. The size of
    what is in a compressed file is known only of the file that was read.
    """
    old, new = source.status, os.fstat(descriptor)
    if (file_id(new), new.st_rdev) != (file_id(old), old.st_rdev) or os.lseek(
        descriptor, 0, os.SEEK_END
    ) != source.length:
        raise ImageError(f"{source.path} was replaced or resized in the meantime; run again")
    is_strict = source.format != "raw" or source.content is not None
    if is_strict and not source.is_device and new.st_ctime_ns != old.st_ctime_ns:
        raise ImageError(f"{source.path} was changed in the meantime; run again")


def _length(path: str, status: os.stat_result) -> int:
    """Bytes of the file, or of the block device."""
    if not stat.S_ISBLK(status.st_mode):
        return status.st_size
    with opened_same(path, status) as descriptor:
        return os.lseek(descriptor, 0, os.SEEK_END)


def _signature(path: str) -> Optional[Signature]:
    with opened(path, os.O_RDONLY) as descriptor:
        return signatures.of_source(*head_and_tail(descriptor))


def _read_compressed(path: str, kind: str, status: os.stat_result, most: Optional[int]) -> Source:
    """A compressed raw image. Raises ImageError if another format is in it."""
    with opened_same(path, status) as descriptor:
        content = compressed.measured(path, kind, descriptor, most)
    found = content.signature
    if found:
        raise ImageError(
            f"cannot copy {path}: it is compressed by {kind}, and has the signature of "
            f"{found.words} in it; {_remedy_inside(kind, found)}"
        )
    return Source(path, "raw", status, status.st_size, round_up(content.size, SECTOR), content)


def _remedy_inside(kind: str, found: Signature) -> str:
    first = f"uncompress it first ({kind} -d)"
    if found.source_format:
        return f"{first}, then set source_format: {found.source_format}"
    if found is signatures.TAR:
        return f"{first}, then unpack it (tar -xf), or for MirageOS set source_format: raw"
    return f"{first}, then {found.remedy}"


def _advice(found: Signature) -> str:
    remedy = f"set source_format: {found.source_format}" if found.source_format else found.remedy
    raw = "to copy it unchanged, set source_format: raw and format: raw"
    if found is signatures.TAR:
        raw = "to copy it unchanged, for a MirageOS unikernel, set source_format: raw"
    return f"it has the signature of {found.words}; if it is one, {remedy}; {raw}"


def _read_foreign(path: str, source_format: str, status: os.stat_result, length: int) -> Source:
    """A source in another format. Raises ImageError if it takes data from other files: it could
    refer to any file of this host, whose content would be copied."""
    found = _signature(path)
    if found and found.format in uncompress.KINDS:
        raise ImageError(
            f"cannot copy {path} as a {source_format} image: it has the signature of "
            f"{found.words}; if it is one, {found.remedy}"
        )
    with opened_same(path, status) as old:
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
    size = round_up(info["virtual-size"], SECTOR)
    return Source(path, source_format, status, length, size)


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


CopySome = Callable[[int, int, int, int], int]


def _copy_data(old: int, new: int, copy_some: CopySome) -> None:
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
        _copy_part(old, new, position, end, copy_some)
        position = end


def _copy_part(old: int, new: int, position: int, end: int, copy_some: CopySome) -> None:
    """Copy what is between two offsets. ``copy_some``: see _copy_data."""
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
    write_data(new, data, position)
    return len(data)
