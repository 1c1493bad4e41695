# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user wants of one raw image."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.config.config_file import config_path
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import State
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError, explained
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import is_file_path
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system_options import (
    FileSystemOptions,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.path import check_path
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.promises import checked_limit
from ansible_collections.xen.blockdev.plugins.module_utils.units import parse_size


@dataclass(frozen=True)
class IntendedSlot:
    """A slot that a new image is for."""

    domain: str
    vdev: str
    """As the user wrote it, which errors show. It is valid."""
    config: str
    """The path of the domain's config."""

    @classmethod
    def read(cls, options: State) -> IntendedSlot:
        """From an element of the option ``slots``. Raises BlockdevError for a name or slot that
        cannot exist."""
        device_number.parse(options["vdev"])
        config = config_path(options["domain"], options["config"])
        return cls(options["domain"], options["vdev"], config)


@dataclass(frozen=True)
class RawDiskItem:
    """One wanted raw image, the options of xen_raw_disk as their types."""

    path: str
    """The absolute path of a file."""
    present: bool
    """The option ``state``."""
    size: Optional[int]
    """Bytes."""
    file_system: FileSystemOptions
    source: Optional[str]
    """Absolute, of an image or directory."""
    source_format: Optional[str]
    is_raw: bool
    """The option ``format``: whether the image is raw although it has the signature of another
    format."""
    full: bool
    """The option ``allocation``: whether all blocks are preallocated."""
    shrink: bool
    volatile: bool
    parents: bool
    named_in: Optional[Mapping[str, Any]]
    """See Usage.naming."""
    slots: Tuple[IntendedSlot, ...]
    """The slots whose configs must not have another disk. None with ``allow_slot_change``."""
    autostart_dir: str
    domains: Tuple[str, ...]
    """The domains of all these slots, with ``allow_slot_change`` too."""
    max_overcommit: Optional[float]

    @classmethod
    def read(cls, options: State) -> RawDiskItem:
        """From the checked options of an item. Raises BlockdevError for a path, size or slot that
        is not one."""
        path = check_path(options["path"], "path")
        with explained(f"size of {path}"):
            size = None if options["size"] is None else parse_size(options["size"])
        slots = [] if options["allow_slot_change"] else options["slots"] or []
        with explained(f"slots of {path}"):
            intended = tuple(map(IntendedSlot.read, slots))
        return cls(
            path=path,
            present=options["state"] == "present",
            size=size,
            file_system=FileSystemOptions.read(options),
            source=_absolute_source(options["source"]),
            source_format=options["source_format"],
            is_raw=options["format"] == "raw",
            full=options["allocation"] == "full",
            shrink=options["shrink"],
            volatile=options["volatile"],
            parents=options["parents"],
            named_in=options["named_in"],
            slots=intended,
            autostart_dir=options["autostart_dir"],
            domains=tuple(dict.fromkeys(slot["domain"] for slot in options["slots"] or ())),
            max_overcommit=checked_limit(options["max_overcommit"]),
        )

    @property
    def allocation(self) -> str:
        """The value of the option."""
        return "full" if self.full else "sparse"


def _absolute_source(source: object) -> Optional[str]:
    """The source. Raises ImageError unless it can be the absolute path of a file or directory."""
    if source is None:
        return None
    if not isinstance(source, str) or not is_file_path(os.path.join(source, "file")):
        raise ImageError(
            f"source {source!r} is not an absolute path, such as /srv/xen/base/debian.raw"
        )
    return source
