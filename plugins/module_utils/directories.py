# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories that files are to be made in."""

from __future__ import annotations

import os
from functools import partial
from typing import List, Set

from ansible_collections.xen.blockdev.plugins.module_utils.actions import Action
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError


def nearest(path: str) -> str:
    """C(path) itself where it exists, otherwise the first directory above it that does."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


class Directories:
    """The directories that one module call makes, each by the first item that needs it."""

    def __init__(self) -> None:
        self._planned: Set[str] = set()

    def plan(self, path: str, wanted: bool) -> List[Action]:
        """The step that makes the directory C(path) and those above it; none where it is there.

        Raises BlockdevError where something else has that name, and where the directory is not
        there and not C(wanted).
        """
        if os.path.isdir(path) or path in self._planned:
            return []
        if os.path.lexists(path) or not os.path.isdir(nearest(path)):
            raise BlockdevError(f"{nearest(path)} is not a directory")
        if not wanted:
            raise BlockdevError(
                f"the directory {path} does not exist; create it first, or set parents: true"
            )
        self._planned.add(path)
        create = partial(os.makedirs, path, mode=0o755, exist_ok=True)
        return [Action(f"create the directory {path}", create)]
