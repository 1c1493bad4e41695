# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which configs of this host name an image, also those of domains that do not run."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils import (
    disk_spec,
    domain_config,
    loop,
    loop_link,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError


def image_of(target: str, bindings: Callable[[], Sequence[loop.Binding]]) -> Optional[str]:
    """The path of the image behind the target of a disk, a file or a loop device by its link or its
    number; None for any other target. C(bindings) is asked for a number only."""
    if loop_link.is_link(target):
        return loop_link.path_of(target)
    number = loop.number_of(target)
    if number is not None:
        return next((b.backing_file for b in bindings() if b.number == number), None)
    return target if os.path.isabs(target) and os.path.isfile(target) else None


def file_of(image: str) -> object:
    """What makes the image this one; its path where there is none."""
    with suppress(OSError, ValueError):
        return loop.file_id(os.stat(image))
    return image


def read_all(directory: str) -> Iterator[Tuple[str, str]]:
    """File and text of what may be a config here; not of copies, and of what is hidden."""
    with suppress(FileNotFoundError, NotADirectoryError):
        for name in sorted(os.listdir(directory)):
            file = os.path.realpath(os.path.join(directory, name))
            if name.startswith(".") or name.endswith("~"):
                continue
            with suppress(FileNotFoundError):
                status = os.stat(file)
                if stat.S_ISREG(status.st_mode) and status.st_size <= domain_config.MAX_SIZE:
                    with open(file, encoding="utf-8", errors="surrogateescape") as config:
                        yield file, config.read()


class NamingConfigs:
    """The configs that name an image; a directory is read once, when it is first asked for.

    C(bindings) gives the host's bound loop devices.
    """

    def __init__(self, bindings: Callable[[], Sequence[loop.Binding]]) -> None:
        self._bindings = bindings
        self._texts: Dict[str, List[Tuple[str, str]]] = {}

    def of(self, image: str, named_in: Optional[Mapping[str, Any]]) -> List[str]:
        """The files of the configs that name the image at the path C(image), whatever they call it.

        C(named_in): the option of that name; None looks nowhere.
        """
        if named_in is None:
            return []
        skipped = set(map(os.path.realpath, named_in["but_for"] or ()))
        texts = {
            file: text for place in named_in["directories"] for file, text in self._read(place)
        }
        return sorted(
            file
            for file, text in texts.items()
            if file not in skipped and self._is_named(image, text)
        )

    def _read(self, directory: str) -> List[Tuple[str, str]]:
        if directory not in self._texts:
            self._texts[directory] = list(read_all(directory))
        return self._texts[directory]

    def _is_named(self, image: str, text: str) -> bool:
        try:
            targets = list(disk_spec.targets_of(domain_config.disks(text)))
        except BlockdevError:
            return image in text  # Nobody can tell what it is; xm's configs are Python.
        images = (image_of(target, self._bindings) for target in targets)
        return any(one is not None and file_of(one) == file_of(image) for one in images)
