# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the programs that inspect and fill images. They get files as descriptors, not by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Mapping, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import by_number
from ansible_collections.xen.blockdev.plugins.module_utils.host.programs import (
    ProgramError,
    ProgramMissingError,
)


@dataclass(frozen=True)
class Tool:
    """A program that may be missing on a host."""

    name: str
    purpose: str
    """What it does, as a clause after ``which``."""

    def require(self) -> None:
        """Raise ImageError if it is not on this host."""
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
        output: Optional[int] = None,
    ) -> str:
        """Run it and return its output. Raises ImageError if it fails or does not end in time.

        ``timeout``: seconds. ``descriptors``: those that it inherits, with the names that errors
        show for them. ``action``: the argument that errors show, such as ``convert``.
        ``directory``: a descriptor of its working directory. ``environment``: additional variables.
        ``output``: a descriptor to which it writes instead.
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
                stdout=output,
            )
        except ProgramMissingError:
            raise self._missing() from None
        except ProgramError as error:
            raise ImageError(str(error)) from None
        if done.code:
            words = _with_names(done.stderr.strip(), descriptors)
            raise ImageError(f"{shown} failed: {words}")
        return done.stdout


def _with_names(words: str, descriptors: Mapping[int, str]) -> str:
    """The error of a program, with names in place of the descriptors."""
    for descriptor, name in descriptors.items():
        shown = name.replace("\\", "\\\\")
        words = re.sub(rf"{by_number(descriptor)}\b", shown, words)
    return words
