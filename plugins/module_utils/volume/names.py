# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of volume groups, logical volumes and tags: which ones LVM takes, and where their
devices are.

The rules are those of lvm(8) and of lib/misc/lvm-string.c of LVM, so that a name which LVM refuses
is refused before anything is touched.
"""

from __future__ import annotations

import re
from typing import Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.errors import VolumeError

DEV = "/dev"
"""Where the devices are."""

TAG = "xen.blockdev"
"""The tag of every volume that this collection has made."""

NEW = "xen.blockdev.new."
"""How a volume is called until it is complete; its final name follows."""

ROOM = "xen.blockdev.room."
"""How the extents are called by which a volume will grow, until they are wiped; the name of that
volume follows."""

MAX_NAME = 127
"""Characters of a name of device-mapper (DM_NAME_LEN in linux/dm-ioctl.h, less a NUL), and of
group and volume together with what LVM puts between them."""

MAX_TAG = 1024
"""Characters (lvm(8))."""

BETWEEN = 3
"""What LVM adds to the lengths of group and volume before it compares them with MAX_NAME."""

RESERVED_BEGINNINGS = ("snapshot", "pvmove", NEW, ROOM)
RESERVED_PARTS = (
    *("_cdata", "_cmeta", "_corig", "_cpool", "_cvol", "_imeta", "_iorig", "_mimage", "_mlog"),
    *("_pmspare", "_rimage", "_rmeta", "_tdata", "_tmeta", "_vdata", "_vorigin", "_wcorig"),
)

_NAME = re.compile(r"[A-Za-z0-9_+.][A-Za-z0-9_+.-]*")
_TAG = re.compile(r"[A-Za-z0-9_+./=!:&#][A-Za-z0-9_+./=!:&#-]*")
_ALLOWED = "use letters, digits and any of _ + . - (not first)"


def check_group(name: str) -> str:
    """The name of a volume group. Raises VolumeError if it cannot be one."""
    _check_characters("volume_group", name)
    return name


def check_volume(group: str, name: str, option: str = "volume") -> str:
    """The name of a logical volume in the group ``group``. Raises VolumeError for one that LVM does
    not take or keeps for itself, and one of ours. ``option``: that has it."""
    _check_characters(option, name)
    for beginning in RESERVED_BEGINNINGS:
        if name.startswith(beginning):
            owner = "this collection" if beginning in (NEW, ROOM) else "LVM"
            raise VolumeError(
                f"{option} {name!r} is reserved: names that begin with {beginning!r} are for "
                f"{owner} itself; choose another name"
            )
    for part in RESERVED_PARTS:
        if part in name:
            raise VolumeError(
                f"{option} {name!r} is reserved: names that contain {part!r} are for LVM itself; "
                "choose another name"
            )
    longest = max((new_name(name), room_name(name)), key=len)
    beyond = max(
        len(group) + len(longest) + BETWEEN - MAX_NAME,
        len(name_in_mapper(group, longest)) - MAX_NAME,
    )
    if beyond > 0:
        raise VolumeError(
            f"{option} {name!r} is too long by {beyond} characters in the group {group} (a hyphen "
            "counts twice, and the name that it has until it is complete is longer); choose a "
            "shorter name"
        )
    return name


def check_tag(tag: str) -> str:
    """A tag. Raises VolumeError if LVM does not take it."""
    if not _TAG.fullmatch(tag) or len(tag) > MAX_TAG:
        raise VolumeError(
            f"tag {tag!r:.80} is not possible: use letters, digits and any of _ + . - / = ! : & # "
            f"(a hyphen not first), at most {MAX_TAG} of them"
        )
    return tag


def _check_characters(option: str, name: str) -> None:
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise VolumeError(f"{option} {name!r:.80} is not a name: {_ALLOWED}, without a path")
    if len(name) > MAX_NAME:
        raise VolumeError(f"{option} {name!r:.80} is too long: use at most {MAX_NAME} characters")


# ---- temporary names ----


def new_name(volume: str) -> str:
    """What a volume is called until it is complete."""
    return f"{NEW}{volume}"


def room_name(volume: str) -> str:
    """What the extents are called by which a volume will grow."""
    return f"{ROOM}{volume}"


def is_temporary(volume: str) -> bool:
    """Whether a volume has such a name."""
    return volume.startswith((NEW, ROOM))


# ---- where a volume's device is ----


def path_of(group: str, volume: str) -> str:
    """The path of the volume's device, a link that LVM's udev rules make: ``/dev/vg0/web-data``."""
    return f"{DEV}/{group}/{volume}"


def name_in_mapper(group: str, volume: str) -> str:
    """What device-mapper calls the volume: ``vg0-web--data``, see build_dm_name of LVM."""
    return f"{_doubled(group)}-{_doubled(volume)}"


def _doubled(name: str) -> str:
    return name.replace("-", "--")


def paths_of(group: str, volume: str, uuid: str) -> Tuple[str, ...]:
    """Everything by which a config may name the volume, the path of ``path_of`` first.

    ``uuid``: of device-mapper, see Volume.mapper_uuid.
    """
    mapper = name_in_mapper(group, volume)
    return (
        path_of(group, volume),
        f"{DEV}/mapper/{mapper}",
        f"{DEV}/disk/by-id/dm-name-{mapper}",
        f"{DEV}/disk/by-id/dm-uuid-{uuid}",
        # xl takes this to be below /dev.
        f"phy:{group}/{volume}",
    )
