# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which file each loop device shows, by the kernel's own interface: see loop(4) and linux/loop.h.

A file is identified by its device and inode, which the kernel keeps. A path is only a name of it:
the file may have been renamed, or have another name as well.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import struct
from dataclasses import dataclass
from typing import (
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import opened
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.loop import node as loop_node

LOOP_GET_STATUS64 = 0x4C05
BLKSSZGET = 0x1268
BLKGETSIZE64 = 0x80081272

READ_ONLY = 1
AUTOCLEAR = 4
DIRECT_IO = 16

INFO64 = struct.Struct("=5Q4I64s64s32s2Q")

DEVICE = re.compile("/dev/loop(0|[1-9][0-9]{0,6})")
MAX_NUMBER = (1 << 20) - 1
"""A minor number of Linux has 20 bits (MINORBITS in linux/kdev_t.h)."""

ATTRIBUTE_BYTES = 4096
"""The most that a read of sysfs returns: a page."""

MARK = b"xen.blockdev:"
"""How the name of a binding in the kernel (``lo_file_name``) begins if this collection bound it.
The kernel stores that name for the program that binds, and does not use it."""

NAME_BYTES = 63
"""How much of such a name the kernel stores (LO_NAME_SIZE in linux/loop.h, less a NUL)."""

DELETED = " (deleted)"
"""What the kernel appends to the path of a file that no longer exists (d_path)."""

File = Tuple[int, int]
"""What identifies a file: st_dev and st_ino."""


class Info(NamedTuple):
    """struct loop_info64. Device numbers are in the kernel's encoding: see _decode_dev."""

    device: int = 0
    inode: int = 0
    rdevice: int = 0
    offset: int = 0
    sizelimit: int = 0
    number: int = 0
    encrypt_type: int = 0
    encrypt_key_size: int = 0
    flags: int = 0
    file_name: bytes = b""
    crypt_name: bytes = b""
    encrypt_key: bytes = b""
    init_0: int = 0
    init_1: int = 0

    @property
    def file(self) -> File:
        """The backing file, as file_id gives it."""
        return _decode_dev(self.device), self.inode


class LoopError(BlockdevError):
    """A loop device cannot be bound, changed or unbound as wanted."""


@dataclass(frozen=True)
class Binding:
    """A loop device that is bound to a file."""

    number: int
    """The N of /dev/loopN."""
    rdev: int
    """The block device's own number (st_rdev)."""
    file: File
    """Device and inode of the backing file."""
    backing_rdev: int
    """st_rdev of the backing file if that is a block device itself, otherwise 0."""
    backing_file: str
    """The backing file's path in the mount namespace of the process that bound it."""
    deleted: bool
    """Whether the backing file has been deleted; its data exists while it is bound."""
    offset: int
    """Bytes of the file before the device begins."""
    size_limit: int
    """Bytes of the file that the device shows; 0 for all."""
    flags: int
    size: int
    """Of the device, in bytes. It does not follow the file by itself."""
    sector_size: int
    """The logical block size, in bytes."""
    marked: bool = False
    """Whether a module of this collection bound it, see mark. A binding by a boot unit is not."""
    recorded: str = ""
    """The path of the backing file when it was bound, according to the program that bound it."""
    recorded_whole: bool = True
    """Whether that is the whole path. The kernel stores only the beginning of a long one."""

    @property
    def device(self) -> str:
        """The path of the loop device."""
        return device_of(self.number)

    @property
    def whole(self) -> bool:
        """Whether the device shows the file from its first to its last sector."""
        return self.offset == 0 and self.size_limit == 0

    @property
    def read_only(self) -> bool:
        """Whether the device refuses writes."""
        return bool(self.flags & READ_ONLY)

    @property
    def direct_io(self) -> bool:
        """Whether the device bypasses dom0's page cache."""
        return bool(self.flags & DIRECT_IO)

    @property
    def autoclear(self) -> bool:
        """Whether the kernel unbinds the device when its last user closes it."""
        return bool(self.flags & AUTOCLEAR)


def device_of(number: int) -> str:
    """The path of loop device number ``number``."""
    return f"/dev/loop{number}"


def number_of(device: str) -> Optional[int]:
    """The N of ``/dev/loopN``, or None for any other path."""
    match = DEVICE.fullmatch(device)
    return int(match[1]) if match and int(match[1]) <= MAX_NUMBER else None


def mark(path: str) -> bytes:
    """The name that marks a binding of the image at ``path`` as ours, cut to the 63 bytes that the
    kernel stores."""
    return (MARK + os.fsencode(path))[:NAME_BYTES]


def file_id(status: os.stat_result) -> File:
    """What identifies the file with this status."""
    return status.st_dev, status.st_ino


def scan() -> List[Binding]:
    """Every bound loop device of this host, by number; one pass over sysfs."""
    return [binding for binding in map(read, _numbers()) if binding]


def read(number: int) -> Optional[Binding]:
    """What loop device ``number`` is bound to, or None if it is not bound.

    Raises NodeError if the kernel has the binding but the device cannot be opened here.
    """
    backing_file = _backing_path(number)
    if backing_file is None:
        return None
    try:
        with loop_node.opened_device(device_of(number), os.O_RDONLY) as device:
            return _read_open(number, device, backing_file)
    except OSError as error:
        if error.errno == errno.ENXIO or _backing_path(number) is None:
            return None
        raise


def _read_open(number: int, device: int, backing_file: str) -> Binding:
    info = status_of(device)
    path, deleted = _split_deleted(backing_file, info.file)
    recorded = info.file_name.rstrip(b"\0")
    return Binding(
        number=number,
        rdev=os.fstat(device).st_rdev,
        file=info.file,
        backing_rdev=_decode_dev(info.rdevice),
        backing_file=path,
        deleted=deleted,
        offset=info.offset,
        size_limit=info.sizelimit,
        flags=info.flags,
        size=_number(device, BLKGETSIZE64, "=Q"),
        sector_size=_number(device, BLKSSZGET, "=i"),
        marked=info.file_name.startswith(MARK),
        recorded=os.fsdecode(recorded[len(MARK) :] if recorded.startswith(MARK) else recorded),
        recorded_whole=len(recorded) < NAME_BYTES,
    )


def deleted_from(path: str, deleted: Sequence[Binding]) -> List[Binding]:
    """Those of the ``deleted`` bindings whose image was deleted from ``path``.

    Another file may now have that path.
    """
    if not deleted:
        return []
    paths = (path, os.path.realpath(path))
    return [one for one in deleted if one.backing_file in paths]


def deleted_images() -> Dict[str, str]:
    """Path and loop device of each image that was deleted while it was bound. This reads only
    sysfs, so it also works if ``/dev`` is not the host's."""
    found = {}
    for number, backing_file in backing_files():
        if backing_file.endswith(DELETED) and not os.path.lexists(backing_file):
            found[backing_file[: -len(DELETED)]] = device_of(number)
    return found


def backing_files() -> Iterator[Tuple[int, str]]:
    """The number of each bound loop device and the path of its file, as sysfs shows it. This is
    cheaper than a scan, but by now another file may have that path."""
    for number in _numbers():
        backing_file = _backing_path(number)
        if backing_file is not None:
            yield number, backing_file


def lives_on(path: str, device: str) -> str:
    """The error about an image that was deleted from ``path`` and is bound to ``device``."""
    return (
        f"{path} has been deleted but lives on in {device}; copy it from there if it is "
        "still needed (cp --sparse=always), then unbind it (xen_loopdev with state: absent and "
        "discard_deleted: true)"
    )


def verified_link(binding: Binding) -> Optional[str]:
    """The link of the device that follows its image; None if udev has not created it, or if it
    leads to another device."""
    link = loop_link.link_of(binding.backing_file)
    try:
        status = os.stat(link)
    except OSError:
        return None
    is_this = stat.S_ISBLK(status.st_mode) and status.st_rdev == binding.rdev
    return link if is_this and binding.whole else None


def device_of_link(link: str, bindings: Callable[[], Iterable[Binding]] = scan) -> str:
    """The path at which the loop device of a link (see loop/link.py) can be opened now.

    That is a link of the image if udev has created it and it leads to the image's device, otherwise
    ``/dev/loopN``. ``bindings`` is called at most once.
    Raises LoopError if the image does not exist or is not bound.
    """
    image = loop_link.linked_image(link)
    try:
        wanted = file_id(os.stat(image))
    except OSError as error:
        raise LoopError(f"{image}: {error.strerror}; it has no loop device") from None
    for binding in bindings():
        if binding.file == wanted and binding.whole:
            return verified_link(binding) or binding.device
    raise LoopError(f"{image} is not bound to a loop device; bind it first (xen_loopdev)")


def _numbers() -> List[int]:
    """The numbers of all loop devices, bound or not."""
    return sorted(
        int(name[4:])
        for name in os.listdir("/sys/block")
        if name.startswith("loop") and name[4:].isdigit()
    )


def _backing_path(number: int) -> Optional[str]:
    """The path of the backing file as sysfs shows it, or None if the device is not bound."""
    try:
        with opened(f"/sys/block/loop{number}/loop/backing_file", os.O_RDONLY) as attribute:
            return os.fsdecode(os.read(attribute, ATTRIBUTE_BYTES)[:-1])
    except OSError as error:
        # After any other error the device may be bound; its image must not be bound twice.
        if error.errno not in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
            raise
        return None


def _split_deleted(backing_file: str, file: File) -> Tuple[str, bool]:
    """The path without DELETED, and whether the kernel appended that: an existing file may have
    such a name, too."""
    if not backing_file.endswith(DELETED) or is_at(backing_file, file):
        return backing_file, False
    return backing_file[: -len(DELETED)], True


def is_at(path: str, file: File) -> bool:
    """Whether ``path`` leads to this file; False if it cannot be followed."""
    try:
        return file_id(os.stat(path)) == file
    except OSError:
        return False


def _decode_dev(kernel: int) -> int:
    """The st_dev of a device number in the encoding of the kernel's ioctls (new_encode_dev)."""
    return os.makedev((kernel >> 8) & 0xFFF, (kernel & 0xFF) | ((kernel >> 12) & 0xFFF00))


def status_of(device: int) -> Info:
    """The kernel's status of the loop device with the descriptor ``device``. Raises OSError, with
    ENXIO if it is not bound."""
    return Info(*INFO64.unpack(fcntl.ioctl(device, LOOP_GET_STATUS64, bytes(INFO64.size))))


def _number(device: int, request: int, form: str) -> int:
    (value,) = struct.unpack(form, fcntl.ioctl(device, request, bytes(struct.calcsize(form))))
    return int(value)
