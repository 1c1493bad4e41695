# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new disk is filled with, and the size that it gets."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import AbstractSet, Any, Callable, Mapping, Optional, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError, explained
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import is_file_path
from ansible_collections.xen.blockdev.plugins.module_utils.image import path as image_path
from ansible_collections.xen.blockdev.plugins.module_utils.image import source as image_source
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system import FileSystem
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system_options import (
    FileSystemOptions,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.new_disk import NewDisk
from ansible_collections.xen.blockdev.plugins.module_utils.image.path import Image
from ansible_collections.xen.blockdev.plugins.module_utils.image.source import Source
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import File, file_id
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_size


@dataclass(frozen=True)
class ContentOptions:
    """The options of a module that describe the content of a new disk."""

    file_system: FileSystemOptions
    source: Optional[str]
    """Absolute, of an image or directory."""
    source_format: Optional[str]

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> ContentOptions:
        """From the checked options of an item. Raises ImageError if the source is no path."""
        return cls(
            file_system=FileSystemOptions.read(options),
            source=_absolute_source(options["source"]),
            source_format=options["source_format"],
        )


@dataclass(frozen=True)
class Destination:
    """The disk that is created."""

    path: str
    """As the user wrote it."""
    file: str
    """The same without symbolic links."""
    size: Optional[int]
    """Bytes that the user wants; None for as many as the content needs."""
    kind: str
    """What kind of disk, for the sentence of the action: ``sparse``."""
    rounded: Callable[[int], int] = int
    """From the bytes that are needed to the bytes that such a disk then has."""


@dataclass(frozen=True)
class Filling:
    """The content of a new disk."""

    sentence: str
    """For the action: ``create /srv/a.raw, 16MiB, sparse``."""
    size: int
    """Bytes of the disk."""
    fill: Callable[[NewDisk], None]
    """Writes the content to the disk. Raises ImageError, and OSError such as ENOSPC."""
    is_empty: bool = False
    """Whether there is nothing to be written."""
    warnings: Sequence[str] = ()
    source: Optional[Source] = None
    """The image that is copied, if any."""


def plan(wanted: ContentOptions, new: Destination, deleted: AbstractSet[File]) -> Filling:
    """The content of the new disk.

    ``deleted``: the images that the same call deletes. Raises BlockdevError if the source, the file
    system or the size is not possible, and OSError.
    """
    with explained(f"cannot create {new.path}"):
        file_system = _wanted_file_system(wanted, new)
    if file_system:
        return _file_system(new, file_system)
    if wanted.source is not None:
        return _copy(new, _find_source(wanted.source, wanted.source_format, new, deleted))
    size = new.rounded(_required_size(new))
    return Filling(
        sentence=f"create {new.path}, {format_size(size)}, {new.kind}",
        size=size,
        fill=lambda disk: disk.begin(),
        is_empty=True,
    )


def _wanted_file_system(wanted: ContentOptions, new: Destination) -> Optional[FileSystem]:
    if wanted.file_system.kind is not None and wanted.source_format not in (None, "raw"):
        raise ImageError(
            "with filesystem, source is a directory and not an image; omit source_format"
        )
    return wanted.file_system.file_system(new.file, wanted.source)


def _file_system(new: Destination, file_system: FileSystem) -> Filling:
    size = new.size
    if size is None:
        size = file_system.size if file_system.directory else _required_size(new)
    size = new.rounded(size)
    with explained(f"cannot create {new.path}"):
        file_system.check(size)
    return Filling(
        sentence=f"create {new.path}, {format_size(size)}, {new.kind}, {file_system.words}",
        size=size,
        fill=file_system.fill,
        warnings=[f"{new.path}: {warning}" for warning in file_system.warnings(size)],
    )


def _copy(new: Destination, source: Source) -> Filling:
    what = f"copy {source.path} to {new.path}"
    size = new.rounded(source.size if new.size is None else new.size)
    if size < source.size:
        raise ImageError(
            f"cannot {what}: the source has {format_size(source.size)}, but size is "
            f"{format_size(size)}; increase size, or omit it"
        )
    if size == 0:
        raise ImageError(f"cannot create {new.path}: its source {source.path} is empty; set size")
    return Filling(
        sentence=f"{what}, {format_size(size)}, {new.kind}",
        size=size,
        fill=partial(image_source.copy, source),
        source=source,
    )


def _required_size(new: Destination) -> int:
    if new.size is None:
        raise ImageError(f"cannot create {new.path}: it does not exist yet; set its size")
    return new.size


def _absolute_source(source: object) -> Optional[str]:
    """The source. Raises ImageError unless it can be the absolute path of a file or directory."""
    if source is None:
        return None
    if not isinstance(source, str) or not is_file_path(os.path.join(source, "file")):
        raise ImageError(
            f"source {source!r} is not an absolute path, such as /srv/xen/base/debian.raw"
        )
    return source


def _find_source(
    path: str, source_format: Optional[str], new: Destination, deleted: AbstractSet[File]
) -> Source:
    if os.path.isdir(path):
        raise ImageError(
            f"cannot create {new.path}: its source {path} is a directory; set filesystem to copy "
            "its content into a file system, or set source to an image"
        )
    found = image_path.find(image_path.check_path(path, "source"))
    if not isinstance(found, Image):
        raise ImageError(f"cannot create {new.path}: its source {path} does not exist")
    if file_id(found.status) in deleted:
        raise ImageError(
            f"cannot create {new.path}: the same call deletes its source {path} before the copy; "
            "delete it in a later task"
        )
    return image_source.read(path, source_format, found.status)
