# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who still holds the image that had a path, when the file has another name by now.

The kernel follows a file that is renamed, and its loop device stays bound to it. What was said when
it was bound or attached does not follow: the path in the loop device (lo_file_name, loop(4)), the
link of udev, which is made anew only at the next event, and the target in xenstore. An image that
is made under the old name would be empty, and those who go by the name would get it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import Iterable, List, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, XenError
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding, File
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import storage
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage, join
from ansible_collections.xen.blockdev.plugins.module_utils.xen import saved_domains
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state


class RenamedError(BlockdevError):
    """The image that had this path has another name by now, and is in use."""


class FormerNames:
    """What was known by a path, and is not at this path any more.

    What is deleted is not looked for: see loop.deleted_from.
    """

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self._place = lru_cache(maxsize=None)(_place)

    def refuse_binding(self, path: str, file: Optional[File], bindings: Iterable[Binding]) -> None:
        """Raise RenamedError where one of the C(bindings) was bound by this C(path) and is to
        another file than C(file), which is there now; None where nothing is."""
        real = self._place(path) if file is None else os.path.realpath(path)
        for binding in bindings:
            if binding.deleted or binding.file == file:
                continue
            if self._was_bound_by(binding, real) or (
                _may_have_been_bound_by(binding, real) and _has_link(binding, real)
            ):
                raise RenamedError(self._bound_elsewhere(path, binding))

    def refuse_new(self, path: str) -> None:
        """Raise RenamedError where a loop device, a guest or a saved domain holds what was at
        C(path), where nothing is now."""
        # Where /dev is not the host's, only the names in xenstore tell.
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
                    f"name as {disk.vdev}; put that back, or delete {disk.file} if nothing is to "
                    "go on from it"
                )

    @cached_property
    def _connected(self) -> List[xen_state.Vbd]:
        """The disks that guests have from this host; without xenstore nobody can tell, and no guest
        can get another one."""
        with suppress(XenError):
            return [
                vbd
                for vbd in self._usage.vbds
                if vbd.backend_domid == 0 and vbd.backend_state == xen_state.CONNECTED
            ]
        return []

    @cached_property
    def _saved(self) -> List[saved_domains.SavedDisk]:
        return saved_domains.read_all()

    def _is_named(self, target: str, real: str) -> bool:
        path = loop_link.linked_image(target) if loop_link.is_link(target) else target
        return os.path.isabs(path) and self._place(path) == real

    def _was_bound_by(self, binding: Binding, real: str) -> bool:
        if binding.recorded_whole:
            return self._is_named(binding.recorded, real)
        # Of a long path only the beginning is known. It says something where it is no longer true.
        recorded = os.fsencode(binding.recorded)
        was, now = os.fsencode(real), os.fsencode(binding.backing_file)
        return was.startswith(recorded) and not now.startswith(recorded)

    def _bound_elsewhere(self, path: str, binding: Binding) -> str:
        attached = self._usage.attachments(binding.rdev)
        who = f" ({join(attached)})" if attached else ""
        if loop_binding.is_at(binding.backing_file, binding.file):
            now, remedy = f"{binding.backing_file} now", "rename it back"
        else:
            now, remedy = "out of reach", "mount its file system again"
        return (
            f"{binding.device}{who} holds the image that was {path}, which is {now}; {remedy}, or "
            f"unbind {binding.device} first (losetup -d) if another image is to have this name"
        )


def _attached_elsewhere(path: str, vbd: xen_state.Vbd) -> str:
    now = storage.backing_file(vbd)
    is_now = f", which is {now} now" if now else ""
    return (
        f"domain {vbd.domain} has the image that was {path} as {vbd.vdev}{is_now}; put it back "
        "under its name, or detach it first if another image is to have this name"
    )


def _place(path: str) -> str:
    """The path without symbolic links above its last part."""
    directory, name = os.path.split(path)
    return os.path.join(os.path.realpath(directory), name)


def _may_have_been_bound_by(binding: Binding, path: str) -> bool:
    """Whether nothing recorded says that the device was bound by another path. A link alone may be
    left from an image that had the device before, where udev does not run."""
    recorded = os.fsencode(binding.recorded)
    return os.fsencode(path).startswith(recorded) and not (recorded and binding.recorded_whole)


def _has_link(binding: Binding, path: str) -> bool:
    """Whether udev's link for C(path) leads to the device."""
    try:
        return os.stat(loop_link.link_of(path)).st_rdev == binding.rdev
    except OSError:
        return False
