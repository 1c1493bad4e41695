# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The udev rule that links loop devices under the paths of their images: see L(loop_link)."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import List

from ansible_collections.xen.blockdev.plugins.module_utils import commands, loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.actions import Action
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.files import (
    check_writable,
    nearest,
    opened_real,
    replace_file,
    resolved,
)

UDEV_CONTROL = "/run/udev/control"
"""Exists while udev runs."""

RELOAD_SECONDS = 30


class UdevRule:
    """The rule on this host, as one module call may write it."""

    def __init__(self, path: str = loop_link.RULE) -> None:
        """C(path): the absolute path of the rule's file."""
        self._path = path
        self._planned = False

    def names_devices(self) -> bool:
        """Whether udev runs here and has the rule, or will have it once what is planned is done."""
        return udev_runs() and (self._planned or os.path.exists(self._path))

    def plan(self) -> List[Action]:
        """The step that writes the rule, the first time that it is asked for on a host where udev
        runs and the rule is not as it should be. Raises BlockdevError if it cannot be written."""
        if self._planned or not udev_runs() or self._is_written():
            return []
        sentence = f"have udev name loop devices after their images ({self._path})"
        check_writable(nearest(os.path.dirname(self._path)), sentence)
        self._planned = True
        return [Action(sentence, self._write)]

    def _is_written(self) -> bool:
        with suppress(FileNotFoundError), open(self._path, "rb") as rule:
            return rule.read() == loop_link.RULE_TEXT.encode()
        return False

    def _write(self) -> None:
        path = resolved(self._path)
        with opened_real(os.path.dirname(path), make=True):
            pass
        replace_file(path, loop_link.RULE_TEXT.encode(), mode=0o644)
        # udev notices a new rule by itself, but not at once.
        reload = commands.run(["udevadm", "control", "--reload"], RELOAD_SECONDS)
        if reload.code != 0:
            words = commands.in_one_line(reload.stderr)
            raise BlockdevError(f"udev does not read its rules again: {words}")


def udev_runs() -> bool:
    """Whether udev runs on this host."""
    return os.path.exists(UDEV_CONTROL)
