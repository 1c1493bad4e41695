# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that QEMU opens together with an image: its backing files and data files.

The format of an image is told, as by a guest's config. Only a backing file whose format nobody
tells is guessed, because QEMU does so too. Nothing of what is read here goes anywhere: it tells
which files are in use.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Iterator, Optional, Set, Union

from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import opened
from ansible_collections.xen.blockdev.plugins.module_utils.image import header as image_header
from ansible_collections.xen.blockdev.plugins.module_utils.image.header import HeaderError, Named

MAX_DEPTH = 200
"""Images of a chain that are read. QEMU itself has no limit; chains are a few long."""

PROTOCOL = re.compile("[^/:]*:")
"""What a name that is no path begins with (path_has_protocol in block.c of QEMU)."""


class ChainError(XenError):
    """Not all files of a chain can be told."""


@dataclass(frozen=True)
class Link:
    """A file that is opened with an image."""

    path: str
    role: str
    """What it is to the image: C(backing file) or C(data file)."""
    is_written: bool
    """Whether it is written where the image is."""


def links(path: str, image_format: str) -> Iterator[Union[Link, ChainError]]:
    """The files of the chain that begins with the image at C(path), and what of it cannot be told.

    C(image_format): of that image, as xl calls it.
    """
    current: Optional[str] = image_format
    is_top, seen = True, {os.path.realpath(path)}
    while True:
        try:
            named = _named(path, current)
        except (OSError, HeaderError) as error:
            reason = getattr(error, "strerror", None) or error
            yield ChainError(f"which files {path} is made of cannot be told: {reason}")
            return
        following = None
        for name, role in ((named.data, "data file"), (named.backing, "backing file")):
            if name is None:
                continue
            beside = _path(name, path)
            if beside is None:
                yield ChainError(
                    f"{path} has the {role} {name!r}, which is no path: who else uses it is not "
                    "known"
                )
                continue
            yield Link(beside, role, is_written=is_top and role == "data file")
            following = beside if role == "backing file" else following
        if following is None:
            return
        if _is_seen(following, seen):
            yield ChainError(f"the backing files of {path} lead back to it or never end")
            return
        path, current, is_top = following, named.backing_format, False


def _is_seen(path: str, seen: Set[str]) -> bool:
    real = os.path.realpath(path)
    is_seen = real in seen or len(seen) >= MAX_DEPTH
    seen.add(real)
    return is_seen


def _named(path: str, image_format: Optional[str]) -> Named:
    if image_format is not None and image_format not in image_header.CHAINED:
        return Named()
    usual, most = image_header.HEADER_BYTES
    with opened(path, os.O_RDONLY | os.O_NONBLOCK) as image:
        data = os.pread(image, usual, 0)
        kind = image_format or image_header.probed(data)
        if kind == "raw":
            return Named()
        try:
            return image_header.named(data, kind)
        except HeaderError:
            return image_header.named(os.pread(image, most, 0), kind)


def _path(name: str, image: str) -> Optional[str]:
    """The path that C(name) stands for in the header of C(image); None where it is no path."""
    if name.startswith("file:"):
        name = name[len("file:") :]
    elif PROTOCOL.match(name):
        return None
    return os.path.join(os.path.dirname(image), name) if "\0" not in name else None
