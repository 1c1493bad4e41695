# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The logical volume that a device of device-mapper is, by the name and UUID that LVM gave it.

LVM joins the names of group and volume by a hyphen, and doubles hyphens within them
(``dm_build_dm_name`` of libdevmapper). Its UUID is ``LVM-``, that of the group, that of the volume,
32 characters each, and for a part of another volume a suffix such as ``-tpool``.
"""

from __future__ import annotations

import re
from typing import Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import VolumeName

_UUID = re.compile(r"LVM-([A-Za-z0-9]{64})(-[a-z0-9_]+)?")
_NAME = re.compile(r"((?:[^-]|--)+)-((?:[^-]|--)+)")
_POOL = re.compile(r"((?:[^-]|--)+)-((?:[^-]|--)+)-tpool")


def volume_of(name: str, uuid: str, below: Sequence[Tuple[str, str]]) -> Optional[VolumeName]:
    """The volume that a device with this name and UUID is; None if it is none, or a part of
    another one. ``below``: name and UUID of the devices directly below it."""
    identified, named = _UUID.fullmatch(uuid), _NAME.fullmatch(name)
    if not identified or identified[2] or not named:
        return None
    pools = (_POOL.fullmatch(one) for one, its in below if its.endswith("-tpool"))
    pool = next((_plain(match[2]) for match in pools if match), None)
    return VolumeName(_plain(named[1]), _plain(named[2]), identified[1], pool)


def _plain(text: str) -> str:
    return text.replace("--", "-")
