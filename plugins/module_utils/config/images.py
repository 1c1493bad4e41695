# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which configs of this host name an image, also those of domains that do not run."""

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
from ansible_collections.xen.blockdev.plugins.module_utils.disk import spec as disk_spec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link


def image_of(target: str, bindings: Callable[[], Sequence[loop_binding.Binding]]) -> Optional[str]:
    """The path of the image behind the target of a disk, a file or a loop device by its link or its
    number; None for any other target. ``bindings`` is asked for a number only."""
    if loop_link.is_link(target):
        return loop_link.linked_image(target)
    number = loop_binding.number_of(target)
    if number is not None:
        return next((b.backing_file for b in bindings() if b.number == number), None)
    return target if os.path.isabs(target) and os.path.isfile(target) else None


def file_of(image: str) -> object:
    """What makes the image this one; its path where there is none."""
    with suppress(OSError, ValueError):
        return loop_binding.file_id(os.stat(image))
    return image


class _Names(NamedTuple):
    """What a config names."""

    files: FrozenSet[object]
    """The images of its disks, see file_of."""
    words: str
    """All else that may name an image: its text without comments, or all of one that nobody can
    read, such as xm's, which is Python."""


class NamingConfigs:
    """Tells which configs name an image. A directory, and a text, is read once.

    ``bindings`` gives the host's bound loop devices; it is asked when an image is looked for.
    """

    def __init__(self, bindings: Callable[[], Sequence[loop_binding.Binding]]) -> None:
        self._bindings = bindings
        self._texts: Dict[str, List[Tuple[str, str]]] = {}
        self._names = lru_cache(maxsize=None)(self._names_of)

    def of(self, image: str, named_in: Optional[Mapping[str, Any]]) -> List[str]:
        """The files of the configs that name the image at the path ``image``, whatever they call
        it.

        ``named_in``: the option of that name; None looks nowhere.
        """
        if named_in is None:
            return []
        skipped = set(map(os.path.realpath, named_in["but_for"] or ()))
        texts = self.texts(named_in["directories"])
        others = {file: text for file, text in texts.items() if file not in skipped}
        return sorted(self.among(image, others))

    def texts(self, directories: Iterable[str]) -> Dict[str, str]:
        """By file, what the configs in the directories say."""
        for directory in directories:
            if directory not in self._texts:
                self._texts[directory] = list(_read_all(directory))
        return dict(one for directory in directories for one in self._texts[directory])

    def among(self, image: str, texts: Mapping[str, str]) -> Iterator[str]:
        """The keys of those of the ``texts`` that name the image."""
        file, pattern = file_of(image), self._pattern(image)
        for key, text in texts.items():
            names = self._names(text)
            if file in names.files or pattern.search(names.words):
                yield key

    def _names_of(self, text: str) -> _Names:
        try:
            targets = [disk_spec.parse(spec).get("target") for spec in config_text.meant(text)]
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


def _read_all(directory: str) -> Iterator[Tuple[str, str]]:
    """File and text of what may be a config here; not of copies, and of what is hidden."""
    with suppress(FileNotFoundError, NotADirectoryError):
        for name in sorted(os.listdir(directory)):
            file = os.path.realpath(os.path.join(directory, name))
            if name.startswith(".") or name.endswith("~"):
                continue
            with suppress(FileNotFoundError):
                status = os.stat(file)
                if stat.S_ISREG(status.st_mode) and status.st_size <= config_text.MAX_SIZE:
                    with open(file, encoding="utf-8", errors="surrogateescape") as config:
                        yield file, config.read()
