# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names that a person would give to the disks of a domain.

The name of an image or a logical volume, without what only repeats the name of the domain, or else
the slot.
"""

from __future__ import annotations

import posixpath
import re
from typing import Iterable, Iterator, Optional, Set

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.inventory.options import read_name

_EXTENSION = re.compile(r"\.(?:raw|img|image|disk|qcow2?|vhd|vmdk|qed|iso|bin)\Z", re.IGNORECASE)
_SEPARATORS = "-_."
_VOLUME = re.compile(r"/dev/(?!disk/|mapper/|block/|shm/)(?:zvol/)?(?:[^/]+/)+(?P<volume>[^/]+)")
_MAPPED = re.compile(r"/dev/mapper/(?:[^-/]|--)+-(?P<volume>(?:[^-/]|--)+)")
"""The name that LVM gives to a volume in device-mapper: group and volume, with each hyphen in them
doubled (``dm_build_dm_name`` in libdevmapper)."""


def disk_name(candidates: Iterable[str], slot: str, taken: Set[str]) -> str:
    """The first of the candidates that is a name and not ``taken``, or else one made of the slot,
    such as ``xvda``. It is added to ``taken``."""
    for name in (*candidates, slot, *(f"{slot}-{number}" for number in range(2, len(taken) + 3))):
        if name not in taken and _is_name(name):
            break
    taken.add(name)
    return name


def candidates_of_file(path: str, domain: str) -> Iterator[str]:
    """The names that the path of an image suggests for a disk of the domain."""
    yield from _without_domain(_EXTENSION.sub("", posixpath.basename(path)), domain)


def candidates_of_target(target: str, domain: str) -> Iterator[str]:
    """The names that a block device suggests. Only that of a logical volume says what is on it."""
    volume = name_of_volume(target)
    if volume is not None:
        yield from _without_domain(volume, domain)


def name_of_volume(target: str) -> Optional[str]:
    """The name of a logical volume, or of a ZFS volume, with such a path; None if it is the path of
    something else."""
    mapped = _MAPPED.fullmatch(target)
    if mapped:
        return mapped["volume"].replace("--", "-")
    match = _VOLUME.fullmatch(target)
    return match and match["volume"]


def _without_domain(stem: str, domain: str) -> Iterator[str]:
    """The stem of a name without the name of the domain before or behind it."""
    lower, owner = stem.lower(), domain.lower()
    if lower == owner:
        return
    if lower.startswith(owner) and stem[len(owner)] in _SEPARATORS:
        yield stem[len(owner) + 1 :]
    elif lower.endswith(owner) and stem[-len(owner) - 1] in _SEPARATORS:
        yield stem[: -len(owner) - 1]
    yield stem


def _is_name(name: str) -> bool:
    try:
        read_name(name)
    except BlockdevError:
        return False
    return True
