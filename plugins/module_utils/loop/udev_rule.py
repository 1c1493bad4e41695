# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The udev rule that links loop devices under the paths of their images: see link.py."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import List, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Action
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import (
    Directories,
    check_writable,
    nearest,
    replace_file,
    resolved,
)
from ansible_collections.xen.blockdev.plugins.module_utils.host.programs import ProgramError
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link

UDEV_CONTROL = "/run/udev/control"
"""Exists while udev runs."""

RELOAD_SECONDS = 30


class UdevRule:
    """The rule on this host, as one module call may write it."""

    def __init__(self, path: str = loop_link.RULE) -> None:
        """``path``: of the file of the rule, absolute."""
        self._path = path
        self._planned = False

    def names_devices(self) -> bool:
        """Whether udev runs here and has the rule, or will have it after the planned actions."""
        has_rule = os.path.exists(self._path) and not self._is_masked()
        return udev_runs() and (self._planned or has_rule)

    def plan(self) -> List[Action]:
        """The actions that write the rule, once for all items: none if udev does not run, if the
        rule is as it should be, or if the administrator has masked it. Raises BlockdevError if it
        cannot be written."""
        rule = loop_link.RULE_TEXT.encode()
        if self._planned or not udev_runs() or self._is_masked() or self._read() == rule:
            return []
        sentence = f"have udev link loop devices under the paths of their images ({self._path})"
        parent = os.path.dirname(self._path)
        check_writable(nearest(parent), sentence)
        self._planned = True
        return [*Directories().plan(parent, wanted=True), Action(sentence, self._write)]

    def _is_masked(self) -> bool:
        """Whether a link to /dev/null disables every rules file of this name (udev(7))."""
        return os.path.realpath(self._path) == os.devnull

    def _read(self) -> Optional[bytes]:
        with suppress(FileNotFoundError), open(self._path, "rb") as rule:
            return rule.read()
        return None

    def _write(self) -> None:
        path, before = resolved(self._path), self._read()
        replace_file(path, loop_link.RULE_TEXT.encode(), mode=0o644)
        # udev notices a new rule by itself, but later.
        words = _reload()
        if words is None:
            return
        if before is None:
            os.unlink(path)
        else:
            replace_file(path, before, mode=0o644)
        raise BlockdevError(
            f"udev cannot reload its rules: {words}; the change to {self._path} was undone"
        )


def _reload() -> Optional[str]:
    """Have udev reload its rules. Returns what went wrong, None if nothing did."""
    try:
        ended = programs.run(["udevadm", "control", "--reload"], RELOAD_SECONDS)
    except ProgramError as error:
        return str(error)
    return programs.in_one_line(ended.stderr) if ended.code else None


def udev_runs() -> bool:
    """Whether udev runs on this host."""
    return os.path.exists(UDEV_CONTROL)
