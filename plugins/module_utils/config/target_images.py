# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images behind the targets of disks: the same one under any path, link or loop device."""

from __future__ import annotations

import os
import stat
from functools import lru_cache
from typing import Callable, Container, Optional, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.image import raw_content
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link


class TargetImages:
    """Finds the images on this host; each target is looked up once.

    ``bindings`` gives the host's bound loop devices.
    """

    def __init__(self, bindings: Callable[[], Sequence[loop_binding.Binding]]) -> None:
        self._bindings = bindings
        self.image = lru_cache(maxsize=None)(self._image)

    def _image(self, target: str) -> object:
        """What identifies the image behind a target: equal for a file and all loop devices and
        links to it.

        A target that does not exist is identified by its name; so is a loop device that is not
        bound, as nothing says which image it had.
        """
        path = _path(target)
        if not os.path.isabs(path):
            return target
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return path
        if not stat.S_ISBLK(status.st_mode):
            return loop_binding.file_id(status)
        for binding in self._bindings():
            if binding.rdev == status.st_rdev and binding.whole:
                return binding.backing_rdev or binding.file
        return status.st_rdev

    def same(self, target: Optional[str], other: Optional[str]) -> bool:
        """Whether two targets, None for an empty drive, have the same image."""
        if target is None or other is None or target == other:
            return target == other
        return self.image(target) == self.image(other)

    def same_disk(self, one: DiskSpec, other: DiskSpec) -> bool:
        """Whether two disks have the same data. A path in another domain says nothing about the
        files of this host."""
        backends = [one.backend_domain, other.backend_domain]
        if any(backends):
            return backends[0] == backends[1] and one.target == other.target
        return self.same(one.target, other.target)

    def named(self, target: Optional[str]) -> str:
        """The target for an error, with the image to which a ``/dev/loopN`` is bound now."""
        if target is None:
            return "an empty drive"
        number = loop_binding.number_of(target)
        if number is None:
            return target
        files = [one.backing_file for one in self._bindings() if one.number == number]
        return f"{target} ({f'{files[0]} now' if files else 'not bound now'})"

    def refuse_foreign(self, disk: DiskSpec, raw: Container[object]) -> None:
        """Raise BlockdevError if a config would have as raw what looks like another format.

        Not if the disk says its format, if only a hotplug script or another domain understands its
        target, or if its image is among the ``raw`` ones that the config has as raw already: its
        guest may have written the signature.
        """
        target = disk.target or ""
        if disk.backend_domain or disk.format or disk.script or not os.path.isabs(target):
            return
        path = _path(target)
        try:
            status = os.stat(path)
        except OSError:
            return  # It may exist when the domain starts; if not, xl itself says so.
        if self.image(target) not in raw:
            raw_content.refuse_foreign(path, status)


def is_loop_device(target: Optional[str]) -> bool:
    """Whether the name of the target is that of a loop device or of a link to one."""
    return target is not None and (
        loop_link.is_link(target) or loop_binding.number_of(target) is not None
    )


def _path(target: str) -> str:
    return loop_link.linked_image(target) if loop_link.is_link(target) else target
