# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which loop devices are bound, and for which images numbers are reserved."""

from __future__ import annotations

from typing import Collection, Dict, List, Optional, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import (
    Binding,
    File,
    LoopError,
)


class LoopTable:
    """The bound loop devices as the plans made so far will leave them, and as they are after the
    actions."""

    def __init__(self, bindings: Sequence[Binding]) -> None:
        self._bindings = {binding.number: binding for binding in bindings}
        self._deleted = [binding for binding in bindings if binding.deleted]
        self._reserved: Dict[int, str] = {}
        self._now: Optional[List[Binding]] = None
        """As they are after the actions; None until they are read."""

    @property
    def bindings(self) -> Collection[Binding]:
        """All of them, by number."""
        return self._bindings.values()

    def of_file(self, file: Optional[File]) -> List[Binding]:
        """The devices that are bound to a file; none for None."""
        return [binding for binding in self.bindings if binding.file == file]

    def deleted_from(self, path: str) -> List[Binding]:
        """The devices that still hold an image that was deleted from ``path``."""
        deleted = [binding for binding in self._deleted if binding in self.bindings]
        return loop_binding.deleted_from(path, deleted)

    def unbind(self, binding: Binding) -> None:
        """Take a device out whose unbinding is planned: its number is free for another image."""
        del self._bindings[binding.number]

    def reserve(self, number: int, path: str) -> None:
        """Reserve a device for the image at ``path``. Raises LoopError if another image has it."""
        if number in self._bindings:
            other = f"is bound to {self._bindings[number].backing_file}"
        elif number in self._reserved:
            other = f"is reserved for {self._reserved[number]}"
        else:
            self._reserved[number] = path
            return
        raise LoopError(
            f"cannot bind {path} to {loop_binding.device_of(number)}: it {other}; omit device to "
            "use a free one"
        )

    def reread(self) -> None:
        """Read the devices of this host after the actions, once for all images."""
        self._now = loop_binding.scan()

    def now_of_file(self, file: File) -> List[Binding]:
        """The devices that are bound to a file after the actions. If ``reread`` has failed, this
        tries it again, so that the image gets that error instead of a wrong state."""
        if self._now is None:
            self.reread()
        return [binding for binding in self._now or () if binding.file == file]
