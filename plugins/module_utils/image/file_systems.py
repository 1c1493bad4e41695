# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of a new image to the file system that it gets."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.image import content as image_content
from ansible_collections.xen.blockdev.plugins.module_utils.image import ext as image_ext
from ansible_collections.xen.blockdev.plugins.module_utils.image import fat as image_fat
from ansible_collections.xen.blockdev.plugins.module_utils.image.content import FileSystem
from ansible_collections.xen.blockdev.plugins.module_utils.image.tar import TarArchive
from ansible_collections.xen.blockdev.plugins.module_utils.image.tools import ImageError

FILE_SYSTEMS = [*image_ext.KINDS, "vfat", "tar"]

DEFAULT_SECTOR = 512


def plan(item: Mapping[str, Any], image: str) -> Optional[FileSystem]:
    """What the new image C(image) gets, None where it gets no file system; C(item) has the options
    of xen_raw_disk. Raises ImageError and OSError."""
    kind = item["filesystem"]
    _check(item)
    if kind is None:
        return None
    folder = None
    if item["source"] is not None:
        folder = image_content.read(item["source"])
        if image.startswith(f"{folder.real.rstrip('/')}/"):
            raise ImageError(f"the image would be in {folder.path} itself; put it elsewhere")
    if kind == "vfat":
        return image_fat.Fat(item["label"], folder, item["fat_sector_size"] or DEFAULT_SECTOR)
    if kind != "tar":
        return image_ext.Ext(kind, item["label"], folder)
    if folder is None:
        raise ImageError("a tar archive is made of a source, a directory: set source")
    return TarArchive(folder, item["preserve"])


def _check(item: Mapping[str, Any]) -> None:
    """Raise ImageError for an option that goes with no or another file system."""
    kind = item["filesystem"]
    if item["label"] is not None and kind in (None, "tar"):
        raise ImageError(
            "a label is that of a file system: set filesystem to "
            f"{', '.join(image_ext.KINDS)} or vfat, or leave label out"
        )
    if item["fat_sector_size"] is not None and kind != "vfat":
        raise ImageError("fat_sector_size goes with filesystem: vfat only; leave it out")
    if item["preserve"] and kind != "tar":
        raise ImageError("preserve goes with filesystem: tar only; leave it out")
    if kind is not None and item["source_format"] not in (None, "raw"):
        raise ImageError(
            "with filesystem, source is a directory and not an image: leave source_format out"
        )
