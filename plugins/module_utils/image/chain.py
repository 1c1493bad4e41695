# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that QEMU opens together with an image: its backing files and data files.

The format of the image is given, as in a guest's config. The format of a backing file is guessed
only if its image does not give it, because QEMU guesses it, too. The result only shows which files
are in use; their content is not passed on.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Iterator, Optional, Union

from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import opened
from ansible_collections.xen.blockdev.plugins.module_utils.image import header as image_header
from ansible_collections.xen.blockdev.plugins.module_utils.image.header import HeaderError, Named

MAX_CHAIN_LENGTH = 200
"""Images of a chain that are read. QEMU itself has no limit; real chains are short."""

PROTOCOL = re.compile("[^/:]*:")
"""The beginning of a name that is not a path (path_has_protocol in block.c of QEMU)."""


class ChainError(XenError):
    """Not all files of a chain can be found."""


@dataclass(frozen=True)
class Link:
    """A file that is opened with an image."""

    path: str
    role: str
    """``backing file`` or ``data file``."""
    is_written: bool
    """Whether it is written when the image is."""


def links(path: str, image_format: str) -> Iterator[Union[Link, ChainError]]:
    """The files of the chain that begins with the image at ``path``, and an error for each that
    cannot be found. ``image_format``: of that image, as xl calls it."""
    current: Optional[str] = image_format
    is_top, seen = True, {os.path.realpath(path)}
    while True:
        try:
            named = _named(path, current)
        except (OSError, HeaderError) as error:
            reason = getattr(error, "strerror", None) or error
            yield ChainError(f"cannot find the backing and data files of {path}: {reason}")
            return
        following = None
        for name, role in ((named.data, "data file"), (named.backing, "backing file")):
            if name is None:
                continue
            beside = _path(name, path)
            if beside is None:
                yield ChainError(
                    f"{path} has the {role} {name!r}, which is not a path, so its other users are "
                    "unknown"
                )
                continue
            yield Link(beside, role, is_written=is_top and role == "data file")
            following = beside if role == "backing file" else following
        if following is None:
            return
        real = os.path.realpath(following)
        if real in seen or len(seen) >= MAX_CHAIN_LENGTH:
            yield ChainError(f"the chain of backing files from {path} on is circular or too long")
            return
        seen.add(real)
        path, current, is_top = following, named.backing_format, False


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
    """The path for a ``name`` in the header of ``image``; None if it is not a path."""
    if name.startswith("file:"):
        name = name[len("file:") :]
    elif PROTOCOL.match(name):
        return None
    return os.path.join(os.path.dirname(image), name) if "\0" not in name else None
