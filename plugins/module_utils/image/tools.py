# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that look into images and fill them. They get files by number, not by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Mapping, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import by_number
from ansible_collections.xen.blockdev.plugins.module_utils.host.programs import (
    ProgramError,
    ProgramMissingError,
)


class ImageError(BlockdevError):
    """An image cannot be had as wanted."""


@dataclass(frozen=True)
class Tool:
    """A program that need not be on a host."""

    name: str
    purpose: str
    """What it does, after ``which``."""

    def require(self) -> None:
        """Raise ImageError where it is not on this host."""
        if programs.find(self.name) is None:
            raise self._missing()

    def _missing(self) -> ImageError:
        return ImageError(str(ProgramMissingError(self.name, self.purpose)))

    def run(
        self,
        *arguments: str,
        timeout: float,
        descriptors: Mapping[int, str],
        action: Optional[str] = None,
        directory: Optional[int] = None,
        environment: Optional[Mapping[str, str]] = None,
    ) -> str:
        """What it prints. Raises ImageError where it fails, and where it does not end.

        C(timeout): seconds. C(descriptors): those that it inherits, and what an error calls each.
        C(action): the argument that says what it does, for errors. C(directory): a descriptor of
        where it runs. C(environment): variables that it needs beside ours.
        """
        shown = f"{self.name} {action}" if action else self.name
        try:
            done = programs.run(
                [self.name, *arguments],
                timeout,
                descriptors=tuple(descriptors),
                directory=None if directory is None else by_number(directory),
                variables=environment,
                shown=shown,
            )
        except ProgramMissingError:
            raise self._missing() from None
        except ProgramError as error:
            raise ImageError(str(error)) from None
        if done.code:
            words = _named(done.stderr.strip(), descriptors)
            raise ImageError(f"{shown} failed: {words}")
        return done.stdout


def _named(words: str, descriptors: Mapping[int, str]) -> str:
    """What a program said, with names in the place of the numbers that it got."""
    for descriptor, name in descriptors.items():
        shown = name.replace("\\", "\\\\")
        words = re.sub(rf"{by_number(descriptor)}\b", shown, words)
    return words
