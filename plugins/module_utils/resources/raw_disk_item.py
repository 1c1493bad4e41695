# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user wants of one raw image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import State
from ansible_collections.xen.blockdev.plugins.module_utils.errors import explained
from ansible_collections.xen.blockdev.plugins.module_utils.image.filling import ContentOptions
from ansible_collections.xen.blockdev.plugins.module_utils.image.path import check_path
from ansible_collections.xen.blockdev.plugins.module_utils.resources.intended_slots import (
    IntendedSlot,
)
from ansible_collections.xen.blockdev.plugins.module_utils.units import parse_size


@dataclass(frozen=True)
class RawDiskItem:
    """One wanted raw image, the options of xen_raw_disk as their types."""

    path: str
    """The absolute path of a file."""
    present: bool
    """The option ``state``."""
    size: Optional[int]
    """Bytes."""
    content: ContentOptions
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

    @classmethod
    def read(cls, options: State) -> RawDiskItem:
        """From the checked options of an item. Raises BlockdevError for a path, size or slot that
        is not one."""
        path = check_path(options["path"], "path")
        with explained(f"size of {path}"):
            size = None if options["size"] is None else parse_size(options["size"])
        with explained(f"slots of {path}"):
            slots = IntendedSlot.all_of(options)
        return cls(
            path=path,
            present=options["state"] == "present",
            size=size,
            content=ContentOptions.read(options),
            is_raw=options["format"] == "raw",
            full=options["allocation"] == "full",
            shrink=options["shrink"],
            volatile=options["volatile"],
            parents=options["parents"],
            named_in=options["named_in"],
            slots=slots,
        )

    @property
    def allocation(self) -> str:
        """The value of the option."""
        return "full" if self.full else "sparse"
