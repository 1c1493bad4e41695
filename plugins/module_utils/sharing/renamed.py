# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The users of an image that was renamed while in use.

A loop device stays bound to a file that is renamed. The names that were recorded when it was bound
or attached stay the old ones: the path in the loop device (lo_file_name, loop(4)), udev's link,
which changes only at the next event, and the target in xenstore. A new image with the old name
would be empty, and everything that uses the name would get it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import FrozenSet, Iterable, List, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, XenError
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding, File
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import storage
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import (
    DiskSlot,
    Usage,
    join,
)
from ansible_collections.xen.blockdev.plugins.module_utils.xen import saved_domains
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state


class RenamedError(BlockdevError):
    """The image that had this path was renamed, and is in use."""


class FormerNames:
    """Finds the users of images that had a path and were renamed.

    Not of deleted images: see loop/binding.py.
    """

    def __init__(self, usage: Usage, emptied: FrozenSet[DiskSlot] = frozenset()) -> None:
        """``emptied``: the slots whose disks an earlier task would have detached but for check
        mode."""
        self._usage = usage
        self._emptied = emptied
        self._place = lru_cache(maxsize=None)(_place)

    def refuse_binding(self, path: str, file: Optional[File], bindings: Iterable[Binding]) -> None:
        """Raise RenamedError if one of the ``bindings`` was bound under this ``path``, but to
        another file than ``file``, the one at the path now; None if there is none."""
        real = self._place(path) if file is None else os.path.realpath(path)
        for binding in bindings:
            if binding.deleted or binding.file == file:
                continue
            if self._was_bound_by(binding, real) or (
                _may_have_been_bound_by(binding, real) and _has_link(binding, real)
            ):
                raise RenamedError(self._bound_elsewhere(path, binding))

    def refuse_new(self, path: str) -> None:
        """Raise RenamedError if a loop device, a guest or a saved domain has the image that was at
        ``path``, where there is none now."""
        # If /dev is not the host's, only the names in xenstore are known.
        with suppress(loop_binding.LoopError):
            self.refuse_binding(path, None, self._usage.bindings)
        real = self._place(path)
        for vbd in self._connected:
            if self._is_named(vbd.target, real):
                raise RenamedError(_attached_elsewhere(path, vbd))
        for disk in self._saved:
            if self._is_named(disk.target, real):
                raise RenamedError(
                    f"domain {disk.domain}, which is saved in {disk.file}, has an image of this "
                    f"name as {disk.vdev}; put the image back, or delete the save file if the "
                    "domain is no longer needed"
                )

    @cached_property
    def _connected(self) -> List[xen_state.Vbd]:
        """The disks that dom0 serves to guests. None without xenstore: they are not known then, and
        no guest can get another one."""
        with suppress(XenError):
            return [
                vbd
                for vbd in self._usage.vbds
                if vbd.backend_domid == 0
                and vbd.backend_state == xen_state.CONNECTED
                and (vbd.domain, vbd.xenstore_key) not in self._emptied
            ]
        return []

    @cached_property
    def _saved(self) -> List[saved_domains.SavedDisk]:
        return saved_domains.saved_disks()

    def _is_named(self, target: str, real: str) -> bool:
        path = loop_link.linked_image(target) if loop_link.is_link(target) else target
        return os.path.isabs(path) and self._place(path) == real

    def _was_bound_by(self, binding: Binding, real: str) -> bool:
        if binding.recorded_whole:
            return self._is_named(binding.recorded, real)
        # Of a long path only the beginning is recorded. It proves a renaming if it has changed.
        recorded = os.fsencode(binding.recorded)
        was, now = os.fsencode(real), os.fsencode(binding.backing_file)
        return was.startswith(recorded) and not now.startswith(recorded)

    def _bound_elsewhere(self, path: str, binding: Binding) -> str:
        attached = self._usage.attachments(binding.rdev)
        who = f" ({join(attached)})" if attached else ""
        if loop_binding.is_at(binding.backing_file, binding.file):
            now, remedy = f"which is now {binding.backing_file}", "rename it back"
        else:
            now, remedy = "which cannot be reached", "mount its file system again"
        return (
            f"{binding.device}{who} is bound to the image that was {path}, {now}; {remedy}, or "
            f"unbind {binding.device} first (losetup -d) to give this name to another image"
        )


def _attached_elsewhere(path: str, vbd: xen_state.Vbd) -> str:
    now = storage.backing_file_of(vbd)
    is_now = f", which is now {now}" if now else ""
    return (
        f"domain {vbd.domain} has the image that was {path} as {vbd.vdev}{is_now}; rename it back, "
        "or detach it first to give this name to another image"
    )


def _place(path: str) -> str:
    """The path without symbolic links above its last part."""
    directory, name = os.path.split(path)
    return os.path.join(os.path.realpath(directory), name)


def _may_have_been_bound_by(binding: Binding, path: str) -> bool:
    """Whether the recorded path does not rule out that the device was bound under this one. udev's
    link alone proves nothing: without udev it may be left from an earlier image."""
    recorded = os.fsencode(binding.recorded)
    return os.fsencode(path).startswith(recorded) and not (recorded and binding.recorded_whole)


def _has_link(binding: Binding, path: str) -> bool:
    """Whether udev's link for ``path`` leads to the device."""
    try:
        return os.stat(loop_link.link_of(path)).st_rdev == binding.rdev
    except OSError:
        return False
