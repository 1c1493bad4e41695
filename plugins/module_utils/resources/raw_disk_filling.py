# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new raw image is filled with, and the size that it gets."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import AbstractSet, Callable, Optional, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError, explained
from ansible_collections.xen.blockdev.plugins.module_utils.image import file_actions
from ansible_collections.xen.blockdev.plugins.module_utils.image import path as image_path
from ansible_collections.xen.blockdev.plugins.module_utils.image import source as image_source
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system import FileSystem
from ansible_collections.xen.blockdev.plugins.module_utils.image.path import Image, ImagePath
from ansible_collections.xen.blockdev.plugins.module_utils.image.source import Source
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import File, file_id
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk_item import (
    RawDiskItem,
)
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_size


@dataclass(frozen=True)
class Filling:
    """The content of a new image."""

    sentence: str
    """For the action: ``create /srv/a.raw, 16MiB, sparse``."""
    size: int
    """Bytes."""
    fill: Callable[[int], None]
    """Writes it to the new file with this descriptor."""
    allocated: Optional[int]
    """Bytes of the blocks that the file then has; None if that is not known."""
    warnings: Sequence[str] = ()
    source: Optional[Source] = None
    """The image that is copied, if any."""


def plan(item: RawDiskItem, image: ImagePath, deleted: AbstractSet[File]) -> Filling:
    """The content of the new image.

    ``deleted``: the images that the same call deletes. Raises BlockdevError if the source, the file
    system or the size is not possible, and OSError.
    """
    with explained(f"cannot create {image.path}"):
        file_system = _wanted_file_system(item, image)
    if file_system:
        return _file_system(item, image, file_system)
    if item.source is not None:
        return _copy(item, image, _find_source(item.source, item, image, deleted))
    size = _required_size(item, image)
    return Filling(
        sentence=f"create {image.path}, {format_size(size)}, {item.allocation}",
        size=size,
        fill=partial(file_actions.set_size, size=size, full=item.full),
        allocated=size if item.full else 0,
    )


def _wanted_file_system(item: RawDiskItem, image: ImagePath) -> Optional[FileSystem]:
    if item.file_system.kind is not None and item.source_format not in (None, "raw"):
        raise ImageError(
            "with filesystem, source is a directory and not an image; omit source_format"
        )
    return item.file_system.file_system(image.file, item.source)


def _file_system(item: RawDiskItem, image: ImagePath, file_system: FileSystem) -> Filling:
    size = item.size
    if size is None:
        size = file_system.size if file_system.directory else _required_size(item, image)
    with explained(f"cannot create {image.path}"):
        file_system.check(size)
    shown = format_size(size)
    return Filling(
        sentence=f"create {image.path}, {shown}, {item.allocation}, {file_system.words}",
        size=size,
        fill=partial(file_system.fill, size=size, full=item.full),
        allocated=size if item.full else None,
        warnings=[f"{image.path}: {warning}" for warning in file_system.warnings(size)],
    )


def _copy(item: RawDiskItem, image: ImagePath, source: Source) -> Filling:
    what = f"copy {source.path} to {image.path}"
    size = source.size if item.size is None else item.size
    if size < source.size:
        raise ImageError(
            f"cannot {what}: the source has {format_size(source.size)}, but size is "
            f"{format_size(size)}; increase size, or omit it"
        )
    if size == 0:
        raise ImageError(f"cannot create {image.path}: its source {source.path} is empty; set size")
    return Filling(
        sentence=f"{what}, {format_size(size)}, {item.allocation}",
        size=size,
        fill=partial(image_source.copy, source, size=size, full=item.full),
        allocated=size if item.full else None,
        source=source,
    )


def _required_size(item: RawDiskItem, image: ImagePath) -> int:
    if item.size is None:
        raise ImageError(f"cannot create {image.path}: it does not exist yet; set its size")
    return item.size


def _find_source(
    path: str, item: RawDiskItem, image: ImagePath, deleted: AbstractSet[File]
) -> Source:
    if os.path.isdir(path):
        raise ImageError(
            f"cannot create {image.path}: its source {path} is a directory; set filesystem to copy "
            "its content into a file system, or set source to an image"
        )
    found = image_path.find(image_path.check_path(path, "source"))
    if not isinstance(found, Image):
        raise ImageError(f"cannot create {image.path}: its source {path} does not exist")
    if file_id(found.status) in deleted:
        raise ImageError(
            f"cannot create {image.path}: the same call deletes its source {path} before the copy; "
            "delete it in a later task"
        )
    return image_source.read(path, item.source_format, found.status)
