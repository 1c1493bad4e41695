# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user wants of one logical volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import State
from ansible_collections.xen.blockdev.plugins.module_utils.errors import VolumeError, explained
from ansible_collections.xen.blockdev.plugins.module_utils.image.filling import ContentOptions
from ansible_collections.xen.blockdev.plugins.module_utils.resources.intended_slots import (
    IntendedSlot,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.promises import checked_limit
from ansible_collections.xen.blockdev.plugins.module_utils.units import parse_size
from ansible_collections.xen.blockdev.plugins.module_utils.volume import names as volume_names

MAX_STRIPES = 128
"""As many as LVM takes (lvcreate(8))."""


@dataclass(frozen=True)
class LogicalVolumeItem:
    """One wanted logical volume, the options of xen_logical_volume as their types."""

    group: str
    name: str
    present: bool
    """The option ``state``."""
    size: Optional[int]
    """Bytes; LVM rounds them up to extents of the group."""
    thin_pool: Optional[str]
    stripes: Optional[int]
    tags: Tuple[str, ...]
    wipe: bool
    shrink: bool
    content: ContentOptions
    named_in: Optional[Mapping[str, Any]]
    """See Usage.naming."""
    slots: Tuple[IntendedSlot, ...]
    """The slots whose configs must not have another disk. None with ``allow_slot_change``."""
    domains: Tuple[str, ...]
    """The domains of all these slots, with ``allow_slot_change`` too."""
    max_overcommit: Optional[float]

    @classmethod
    def read(cls, options: State) -> LogicalVolumeItem:
        """From the checked options of an item. Raises BlockdevError for what LVM does not take, a
        size or slot that is not one, and options that contradict each other."""
        group = volume_names.check_group(options["volume_group"] or "")
        if options["volume"] is None:
            raise VolumeError("the option volume is missing: set the name of the logical volume")
        name = volume_names.check_volume(group, options["volume"])
        path = volume_names.path_of(group, name)
        with explained(f"size of {path}"):
            size = None if options["size"] is None else parse_size(options["size"])
        with explained(f"slots of {path}"):
            slots = IntendedSlot.all_of(options)
        with explained(path):
            item = cls(
                group=group,
                name=name,
                present=options["state"] == "present",
                size=size,
                thin_pool=_thin_pool(group, options["thin_pool"]),
                stripes=_stripes(options["stripes"]),
                tags=tuple(map(volume_names.check_tag, options["tags"] or ())),
                wipe=options["wipe"],
                shrink=options["shrink"],
                content=ContentOptions.read(options),
                named_in=options["named_in"],
                slots=slots,
                domains=IntendedSlot.domains_of(options),
                max_overcommit=checked_limit(options["max_overcommit"]),
            )
            item._check()
        return item

    def _check(self) -> None:
        """Raise VolumeError for options that contradict each other."""
        if self.thin_pool is not None and self.stripes is not None:
            raise VolumeError(
                "a volume in a thin pool is stored as the pool is; omit stripes, or omit thin_pool"
            )
        if not self.wipe and self.has_content:
            raise VolumeError(
                "what is between the content of a new volume must read as zeros; omit wipe: false, "
                "or omit source and filesystem"
            )

    @property
    def path(self) -> str:
        """Where its device is."""
        return volume_names.path_of(self.group, self.name)

    @property
    def has_content(self) -> bool:
        """Whether a new volume is more than zeros."""
        return self.content.source is not None or self.content.file_system.kind is not None

    @property
    def takes_any_wiped_extents(self) -> bool:
        """Whether a new volume is nothing but zeros, wherever they are."""
        is_linear = self.thin_pool is None and self.stripes in (None, 1)
        return is_linear and self.wipe and not self.has_content

    @property
    def kind(self) -> str:
        """What kind of volume is made, for a sentence."""
        if self.thin_pool is not None:
            return f"in thin pool {self.thin_pool}"
        wiped = "zeroed" if self.wipe else "not wiped"
        return wiped if self.stripes in (None, 1) else f"{self.stripes} stripes, {wiped}"


def _thin_pool(group: str, name: Optional[str]) -> Optional[str]:
    return None if name is None else volume_names.check_volume(group, name, "thin_pool")


def _stripes(number: Optional[int]) -> Optional[int]:
    if number is not None and not 1 <= number <= MAX_STRIPES:
        raise VolumeError(f"stripes {number} is not possible; set 1 to {MAX_STRIPES}")
    return number
