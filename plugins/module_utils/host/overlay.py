# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an overlay file system keeps a file.

A file in ``merged`` and the one in ``upper`` that it is have two inodes, although a write to one is
a write to the other. Documentation/filesystems/overlayfs.rst of Linux describes how they belong
together.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Dict, FrozenSet, Iterable, Iterator, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host import mounts
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import by_number, opened
from ansible_collections.xen.blockdev.plugins.module_utils.host.mounts import (
    MountEntry,
    id_of_mount,
    unescaped,
)

MAX_NESTED = 8
"""Overlays on overlays that are followed; Linux allows two."""

LAYER_END = re.compile(r"(?<!\\):")
"""What ends a directory in ``lowerdir``; a colon in its name has a backslash before it."""


class HiddenError(XenError):
    """Where an overlay keeps a file cannot be seen."""


@dataclass(frozen=True)
class RealFile:
    """The file that a file of an overlay is."""

    path: str
    status: os.stat_result
    is_lower: bool
    """Whether it is in a lower directory, from which it is only read: the first write makes a copy
    of it in the upper one."""


@dataclass(frozen=True)
class _Mount:
    root: str
    """The directory of the overlay that is mounted."""
    point: str
    device: int
    layers: Tuple[str, ...]
    """From top to bottom."""
    has_upper: bool

    def real(self, path: str, status: os.stat_result) -> RealFile:
        """The real file of ``path`` on this mount, which ``status`` was read from. Raises
        HiddenError."""
        inside = os.path.join(self.root, os.path.relpath(path, self.point)).lstrip("/")
        for number, layer in enumerate(self.layers):
            candidate = os.path.join(layer, inside)
            with suppress(OSError, ValueError):
                found = os.lstat(candidate)
                # A file whose data is elsewhere (metacopy, redirect_dir) is not the one.
                if stat.S_ISREG(found.st_mode) and found.st_size == status.st_size:
                    return RealFile(candidate, found, not self.has_upper or number > 0)
                break
        raise HiddenError(
            f"{path} is on an overlay file system whose directories cannot be seen from here: who "
            "uses the file in them by another path is not known"
        )


class Overlays:
    """The overlay file systems that are mounted, read when first needed."""

    @property
    def exist(self) -> bool:
        """Whether any is mounted."""
        return bool(self._mounts)

    def nested(self, path: str, status: os.stat_result) -> Iterator[RealFile]:
        """The real file of the one at ``path``, which has ``status``; then the real file of that
        one if it is on an overlay as well, and so on. Raises HiddenError."""
        for _depth in range(MAX_NESTED if self.exist else 0):
            place, mount = self._place(path)
            if mount is None:
                return
            real = mount.real(place, status)
            yield real
            path, status = real.path, real.status

    def has_device(self, device: int) -> bool:
        """Whether ``device`` is the st_dev of what is in the upper directory of an overlay."""
        return device in self._devices

    def _place(self, path: str) -> Tuple[str, Optional[_Mount]]:
        """The path without links, and the overlay that it is on, None for another file system."""
        with suppress(OSError, ValueError), opened(path, os.O_PATH) as descriptor:
            mount = self._mounts.get(id_of_mount(descriptor))
            return os.readlink(by_number(descriptor)), mount
        return path, None

    @cached_property
    def _mounts(self) -> Dict[str, _Mount]:
        return dict(overlays_among(mounts.all_in(mounts.MOUNTS)))

    @cached_property
    def _devices(self) -> FrozenSet[int]:
        return frozenset(mount.device for mount in self._mounts.values())


def overlays_among(entries: Iterable[MountEntry]) -> Iterator[Tuple[str, _Mount]]:
    """The overlays among mounts, by the id of their mount."""
    for mount in entries:
        if mount.type != "overlay":
            continue
        options = [_option(option) for option in mount.super_options]
        upper = [unescaped(value) for name, value in options if name == "upperdir"]
        yield (
            mount.id,
            _Mount(
                root=mount.root,
                point=mount.point,
                device=mount.device,
                layers=(*upper, *_lowers(options)),
                has_upper=bool(upper),
            ),
        )


def _option(text: str) -> Tuple[str, str]:
    name, _equals, value = text.partition("=")
    return name, value


def _lowers(options: Iterable[Tuple[str, str]]) -> Iterator[str]:
    for name, value in options:
        if name == "lowerdir+":
            yield unescaped(value)
        elif name == "lowerdir":
            for directory in LAYER_END.split(unescaped(value)):
                if directory:
                    yield re.sub(r"\\(.)", r"\1", directory)
