# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a disk specification, as the scanner of libxlutil does (``libxlu_disk_l.l``)."""

from __future__ import annotations

import re
from typing import Any, Dict, Match, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.disk import hints as disk_hints
from ansible_collections.xen.blockdev.plugins.module_utils.disk.options import KEYS, xl_name
from ansible_collections.xen.blockdev.plugins.module_utils.disk.values import (
    MAX_PORT,
    DiskSpecError,
    DiskValue,
    abridged,
    choice,
)

PREFIX = re.compile(
    r"(?P<format>raw|qcow2?|vhd):|(?P<script>iscsi|e?nbd|drbd):|"
    r"(?:tapdisk|tap2?|aio|ioemu|file|phy):|"
    r"(?P<unknown>[a-z][a-z0-9]*:)(?![a-z0-9])"
)
"""A deprecated prefix of a target, or what xl takes for one."""

_KEY_OF = {xl_name(key): key for key, option in KEYS.items() if not option.flag}
_FLAG_WORDS: Dict[str, Tuple[str, DiskValue]] = {
    "cdrom": ("devtype", "cdrom"),
    **{word: (key, said) for key, one in KEYS.items() for said, word in one.words.items()},
}
_TARGET = re.compile(r"(target)=(.*?),?\Z")
_KEYED = re.compile(r"([a-z][-_a-z0-9]*)=([^,]*),?")
_PLAIN = re.compile(r"([^=,]+),?|,")
_BLANKS = " \t"
_PORT = re.compile(r"[1-9][0-9]{0,4}")


class SpecScanner:
    """Reads one specification, parameter by parameter.

    What is said stays in ``_disk`` even if it is empty: an empty value means xl's default, but
    takes its position all the same.
    """

    def __init__(self) -> None:
        self._disk: Dict[str, Any] = {}
        self._prefix_text = ""
        self._positional_access = False

    def read(self, spec: str) -> Dict[str, Any]:
        """What the specification says, by key. Raises DiskSpecError."""
        for character in "\n\0":
            if character in spec:
                raise DiskSpecError(f"it contains {character!r}")
        rest = spec.lstrip(_BLANKS)
        while rest:
            rest = self._parameter(rest).lstrip(_BLANKS)
        return self._result()

    def read_prefixes(self, target: str) -> Dict[str, Any]:
        """What the deprecated prefixes at the beginning of a target say to xl: ``target`` is the
        rest of it, beside that may be ``format`` and ``script``. Raises DiskSpecError for a prefix
        that xl does not know."""
        match = PREFIX.match(target)
        while match:
            self._prefix(match)
            target = target[match.end() :]
            match = PREFIX.match(target)
        return {**self._disk, "target": target}

    def _parameter(self, rest: str) -> str:
        """Read the first parameter and return what follows it."""
        for pattern, read in (
            (_TARGET, self._keyed),
            (_KEYED, self._keyed),
            (PREFIX, self._prefix),
            (_PLAIN, self._plain),
        ):
            match = pattern.match(rest)
            if match:
                read(match)
                return rest[match.end() :]
        hint = disk_hints.of_nonsense(rest)
        raise DiskSpecError(f"it makes no sense from {abridged(rest)} on{hint}")

    def _keyed(self, match: Match[str]) -> None:
        name, value = match.groups()
        if f"{name}={value}" in _FLAG_WORDS:
            self._disk.update([_FLAG_WORDS[f"{name}={value}"]])
            return
        key = _KEY_OF.get(name)
        if key is None:
            raise DiskSpecError(f"the key {abridged(name)} is unknown{disk_hints.of_key(name)}")
        self._say(key, value)

    def _say(self, key: str, value: str) -> None:
        if key == "format":
            self._say_format(value)
        elif key == "access":
            self._say_access(value)
        elif key == "devtype":
            self._say_devtype(value)
        elif KEYS[key].choices:
            self._say_once(key, value)
        elif KEYS[key].port:
            self._say_port(key, value)
        else:
            self._say_text(key, value)

    def _prefix(self, match: Match[str]) -> None:
        if match["unknown"]:
            hint = disk_hints.of_prefix(match["unknown"])
            raise DiskSpecError(f"{abridged(match['unknown'])} is not a prefix that xl knows{hint}")
        self._prefix_text += match.group()
        if match["format"]:
            self._say_format(match["format"])
        if match["script"]:
            self._say_text("script", f"block-{match['script']}")

    def _plain(self, match: Match[str]) -> None:
        word = match[1] or ""
        if word in _FLAG_WORDS:
            self._disk.update([_FLAG_WORDS[word]])
        else:
            self._positional(word)

    def _positional(self, word: str) -> None:
        if "target" not in self._disk:
            self._say_text("target", word)
        elif "format" not in self._disk and not self._prefix_text:
            self._format_or_empty_drive(word)
        elif "vdev" not in self._disk:
            self._vdev_and_devtype(word)
        elif not self._positional_access:
            self._positional_access = True
            self._access_in_its_place(word)
        else:
            hint = disk_hints.of_surplus(word)
            raise DiskSpecError(f"{abridged(word)} is one positional parameter too many{hint}")

    def _format_or_empty_drive(self, word: str) -> None:
        if ":" in word and not self._disk["target"]:
            self._vdev_and_devtype(word)
            self._disk["format"] = "empty"
            return
        problem = disk_hints.of_missing_format(word, str(self._disk["target"]))
        if problem:
            raise DiskSpecError(problem)
        self._say_format(word)

    def _access_in_its_place(self, word: str) -> None:
        target, vdev = (str(self._disk[key]) for key in ("target", "vdev"))
        problem = disk_hints.of_misplaced_slot(word, vdev, target, self._prefix_text)
        if problem:
            raise DiskSpecError(problem)
        self._say_access(word)

    def _vdev_and_devtype(self, word: str) -> None:
        vdev, colon, devtype = word.rpartition(":")
        if colon:
            self._say_devtype(devtype)
        self._say_text("vdev", vdev if colon else word)

    def _say_text(self, key: str, value: str) -> None:
        if self._disk.get(key):
            raise DiskSpecError(f"{xl_name(key)} is given twice")
        self._disk[key] = value

    def _say_once(self, key: str, value: str) -> None:
        if self._disk.get(key, value) != value:
            raise DiskSpecError(f"{key} is given twice")
        self._disk[key] = choice(key, value)

    def _say_port(self, key: str, value: str) -> None:
        # libxl stops reading at the first character that is no digit.
        if not _PORT.fullmatch(value) or int(value) > MAX_PORT:
            raise DiskSpecError(f"{xl_name(key)} is a TCP port, not {abridged(value)}")
        self._disk[key] = int(value)

    def _say_format(self, value: str) -> None:
        checked = value and choice("format", value)
        said = self._disk.get("format", checked)
        if (said or "raw") != (checked or "raw"):
            raise DiskSpecError("format is given twice")
        self._disk["format"] = said or checked

    def _say_access(self, value: str) -> None:
        if value.endswith("!"):
            raise DiskSpecError(f"access cannot be {abridged(value)}: {disk_hints.SHARED}")
        self._disk["access"] = value and choice("access", value)

    def _say_devtype(self, value: str) -> None:
        self._disk["devtype"] = choice("devtype", value)

    def _result(self) -> Dict[str, Any]:
        disk = {key: value for key, value in self._disk.items() if value != ""}
        if "vdev" not in disk:
            target = str(self._disk.get("target", ""))
            raise DiskSpecError(f"it has no vdev{disk_hints.of_no_vdev(target, self._prefix_text)}")
        if "target" not in disk and disk.get("devtype") != "cdrom":
            raise DiskSpecError("it has no target and is not a cdrom")
        return disk
