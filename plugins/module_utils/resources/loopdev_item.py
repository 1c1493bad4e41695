# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user wants of one image and its loop device."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Mapping, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import State
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import LoopError


@dataclass(frozen=True)
class LoopdevItem:
    """One item of xen_loopdev."""

    path: str
    """Of the image: absolute."""
    number: Optional[int] = None
    """The N of the /dev/loopN to use; None for any."""
    present: bool = True
    """Whether the image is to be bound; otherwise it is to be unbound."""
    is_raw: bool = False
    """Whether the image is raw although it has the signature of another format."""
    direct_io: Optional[bool] = None
    """None leaves a device as it is."""
    persistent: Optional[bool] = None
    """Whether systemd is to bind the image at boot; None leaves its unit as it is."""
    udev_rule: bool = False
    """Whether udev is to have the rule for links to loop devices."""
    sector_size: int = 512
    """In bytes."""
    discard_deleted: bool = False
    """Whether to unbind an image that was deleted, which destroys it."""
    leave_in_use: bool = False
    """Whether a device in use stays bound with a warning; otherwise that is an error."""
    ours_only: bool = False
    """Whether to unbind only what this collection has bound."""
    named_in: Optional[Mapping[str, Any]] = None
    """The option ``named_in``, see Usage.naming."""

    @classmethod
    def read(cls, options: State) -> LoopdevItem:
        """The item that these options of xen_loopdev describe. Raises LoopError if ``path`` or
        ``device`` is not valid."""
        return cls(
            path=_checked_path(options["path"]),
            number=_wanted_number(options["device"]),
            present=options["state"] == "present",
            is_raw=options["format"] == "raw",
            direct_io=options["direct_io"],
            persistent=options["persistent"],
            udev_rule=options["udev_rule"],
            sector_size=options["sector_size"],
            discard_deleted=options["discard_deleted"],
            leave_in_use=options["in_use"] == "leave",
            ours_only=options["ours_only"],
            named_in=options["named_in"],
        )


def _checked_path(path: str) -> str:
    if not os.path.isabs(path):
        raise LoopError(f"path {path!r} is not absolute; start it with /")
    try:
        is_valid = b"\0" not in os.fsencode(path)
    except ValueError:
        is_valid = False
    if not is_valid:
        raise LoopError(f"path {path!r} contains characters that a file name cannot contain")
    return path


def _wanted_number(device: Optional[str]) -> Optional[int]:
    if device is None:
        return None
    number = loop_binding.number_of(device)
    if number is None:
        raise LoopError(
            f"device {device!r} is not a loop device; use /dev/loop0, /dev/loop1 and so on"
        )
    return number
