# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which configs of this host refer to an image, including those of domains that do not run."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from functools import lru_cache
from typing import (
    Any,
    Callable,
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Pattern,
    Sequence,
    Tuple,
)

from ansible_collections.xen.blockdev.plugins.module_utils.config import syntax as config_syntax
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link


def image_of(target: str, bindings: Callable[[], Sequence[loop_binding.Binding]]) -> Optional[str]:
    """The path of the image behind the target of a disk: a file, or a loop device by its link or
    number. None for any other target. ``bindings`` is called only for a number."""
    if loop_link.is_link(target):
        return loop_link.linked_image(target)
    number = loop_binding.number_of(target)
    if number is not None:
        return next((b.backing_file for b in bindings() if b.number == number), None)
    return target if os.path.isabs(target) and os.path.isfile(target) else None


def file_of(image: str) -> object:
    """What identifies the image under any path; its path if the file does not exist."""
    with suppress(OSError, ValueError):
        return loop_binding.file_id(os.stat(image))
    return image


class _Names(NamedTuple):
    """What a config refers to."""

    files: FrozenSet[object]
    """The images of its disks, see file_of."""
    words: str
    """What else may refer to an image: the text without comments, or the whole text if it cannot be
    parsed, such as that of xm's configs, which is Python."""


class NamingConfigs:
    """Finds the configs that refer to an image. Each directory and each text is read once.

    ``bindings`` gives the host's bound loop devices.
    """

    def __init__(self, bindings: Callable[[], Sequence[loop_binding.Binding]]) -> None:
        self._bindings = bindings
        self._texts: Dict[str, List[Tuple[str, str]]] = {}
        self._names = lru_cache(maxsize=None)(self._names_of)

    def of(self, image: str, named_in: Optional[Mapping[str, Any]]) -> List[str]:
        """The files of the configs that refer to the image with the path ``image``, by any name.

        ``named_in``: the option of that name; without it, none are found.
        """
        if named_in is None:
            return []
        skipped = set(map(os.path.realpath, named_in["but_for"] or ()))
        texts = self.texts(named_in["directories"])
        others = {file: text for file, text in texts.items() if file not in skipped}
        return sorted(self.among(image, others))

    def texts(self, directories: Iterable[str]) -> Dict[str, str]:
        """By file, the texts of the configs in the directories."""
        for directory in directories:
            if directory not in self._texts:
                self._texts[directory] = list(_texts_in(directory))
        return dict(one for directory in directories for one in self._texts[directory])

    def among(self, image: str, texts: Mapping[str, str]) -> Iterator[str]:
        """The keys of those of the ``texts`` that refer to the image."""
        file, pattern = file_of(image), self._pattern(image)
        for key, text in texts.items():
            names = self._names(text)
            if file in names.files or pattern.search(names.words):
                yield key

    def _names_of(self, text: str) -> _Names:
        try:
            targets = [DiskSpec.parse(spec).target for spec in config_text.meant(text)]
            tokens = config_syntax.tokenize(text)
        except BlockdevError:
            return _Names(frozenset(), text)
        images = (image_of(str(target), self._bindings) for target in targets if target)
        return _Names(
            frozenset(file_of(image) for image in images if image),
            "\n".join(token.text for token in tokens if token.kind != "comment"),
        )

    def _pattern(self, image: str) -> Pattern[str]:
        names = [image, *(b.device for b in self._bindings() if b.backing_file == image)]
        return re.compile(rf"(?:{'|'.join(map(re.escape, names))})(?![A-Za-z0-9._/-])")


def _texts_in(directory: str) -> Iterator[Tuple[str, str]]:
    """File and text of each possible config in the directory."""
    for path in possible_configs(directory):
        file = os.path.realpath(path)
        text = text_of_config(file)
        if text is not None:
            yield file, text.replace("\r\n", "\n")  # xl rejects it; what it names is clear.


def possible_configs(directory: str) -> Iterator[str]:
    """The paths in a directory that may be configs: not hidden files, nor copies by editors or by
    Ansible. None if there is no such directory; raises OSError if it cannot be read."""
    with suppress(FileNotFoundError, NotADirectoryError):
        for name in sorted(os.listdir(directory)):
            if not (name.startswith(".") or name.endswith("~")):
                yield os.path.join(directory, name)


def text_of_config(file: str) -> Optional[str]:
    """What is in a file; None if there is none, or if it is no regular file or too large for a
    config. Raises OSError if it cannot be read."""
    with suppress(FileNotFoundError):
        status = os.stat(file)
        if stat.S_ISREG(status.st_mode) and status.st_size <= config_text.MAX_SIZE:
            # newline: a carriage return is an error of the config, and must be seen.
            with open(file, encoding="utf-8", errors="surrogateescape", newline="") as config:
                return config.read()
    return None
