# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk as xl writes it: one item of ``disk = [ … ]``, or what ``xl block-attach`` takes.

The syntax is that of xl-disk-configuration(5) as its only implementation reads it, the scanner of
libxlutil (``libxlu_disk_l.l``). A disk is a dict of the keys in KEYS; a key that is absent is left
to xl's default. Specifications are written in one of two styles, both of which xl reads alike:

    format=raw, vdev=xvda, access=rw, target=/dev/loop0     keyed
    /dev/loop0,raw,xvda,rw                                  positional
"""

from __future__ import annotations

import posixpath
import re
from contextlib import suppress
from typing import Any, Dict, Iterable, Iterator, Mapping, Match, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk import hints as disk_hints
from ansible_collections.xen.blockdev.plugins.module_utils.disk.options import OPTIONS
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, type_name

STYLES = ("keyed", "positional")

SCRIPTS = "/etc/xen/scripts"
"""Where libxl looks for a hotplug script that is given without a directory."""

_FLAGS: Dict[str, Dict[bool, str]] = {
    "direct_io_safe": {True: "direct-io-safe"},
    "discard": {True: "discard", False: "no-discard"},
    "trusted": {True: "trusted", False: "untrusted"},
}

KEYS = tuple(OPTIONS)
"""The keys of a disk: texts, except for direct_io_safe, discard and trusted, which are bools."""

_TEXTS = ("target", "vdev", "backend", "script")
_FLAG_WORDS: Dict[str, Tuple[str, object]] = {
    "cdrom": ("devtype", "cdrom"),
    **{word: (key, value) for key, words in _FLAGS.items() for value, word in words.items()},
}
_COLO_FLAGS = ("colo", "no-colo")
_POSITIONS = ("target", "format", "vdev", "access")

_PREFIX = re.compile(
    r"(?P<format>raw|qcow2?|vhd):|(?P<script>iscsi|e?nbd|drbd):|"
    r"(?:tapdisk|tap2?|aio|ioemu|file|phy):|"
    r"(?P<unknown>[a-z][a-z0-9]*:)(?![a-z0-9])"
)
_TARGET = re.compile(r"(target)=(.*?),?\Z")
_KEYED = re.compile(r"([a-z][-_a-z0-9]*)=([^,]*),?")
_PLAIN = re.compile(r"([^=,]+),?|,")
_BLANKS = " \t"
# The manual page keeps this syntax for flags of the future.
_LIKE_A_FLAG = re.compile(r"[A-Za-z][-_A-Za-z0-9]*")


class DiskSpecError(BlockdevError):
    """A disk that xl's syntax cannot express, or a specification that is not one."""


# ---- rendering ----


def render(disk: Mapping[str, object], style: str = "keyed") -> str:
    """The specification of a disk, a mapping of KEYS; ``vdev`` may also be an integer.

    What is accepted means the same to xl, and to parse, as it says. Raises DiskSpecError for
    anything else, including what xl reads but libxl then refuses (a missing target, a vdev that is
    not a slot), and for a target that the positional style cannot carry.
    """
    words = _words(disk)
    if style == "keyed":
        return ", ".join(_keyed(words))
    if style == "positional":
        return ",".join(_positional(words))
    raise DiskSpecError(f"there is no style {_shown(style)}: accepted are {' and '.join(STYLES)}")


def said(disk: Mapping[str, Any]) -> Dict[str, Any]:
    """What is said about a disk by options that have no value where they are left out."""
    # False is xl's default for direct_io_safe, which it has no word for.
    return {k: v for k, v in disk.items() if v is not None and (k, v) != ("direct_io_safe", False)}


def access_of(disk: Mapping[str, Any]) -> str:
    """Whether a guest may write a disk with these options, C(rw), or not, C(ro).

    xl makes every cdrom read-only.
    """
    if disk.get("devtype") == "cdrom":
        return "ro"
    access = str(disk.get("access", "rw"))
    return OPTIONS["access"].meaning(access) or access


def backend_of(disk: Mapping[str, Any]) -> Optional[str]:
    """The driver domain that serves a disk with these options; None where dom0 does."""
    backend = disk.get("backend")
    return None if backend in (None, "0", "Domain-0") else str(backend)


def script_of(disk: Mapping[str, Any]) -> Optional[str]:
    """The path of the hotplug script that a disk with these options names, as libxl finds it
    (``libxl__abs_path``); None if it names none."""
    script = disk.get("script")
    return posixpath.join(SCRIPTS, str(script)) if script else None


def _words(disk: Mapping[str, object]) -> Dict[str, str]:
    """The checked disk: by key, in the order of KEYS, the value as xl writes it."""
    if not isinstance(disk, Mapping):
        raise DiskSpecError(f"a disk is a mapping of {', '.join(KEYS)}, not {type_name(disk)}")
    for key in disk:
        if key not in KEYS:
            raise DiskSpecError(f"a disk has no key {_shown(key)}: accepted are {', '.join(KEYS)}")
    words = {key: _word(key, disk[key]) for key in KEYS if key in disk}
    _check_together(words)
    return words


def _word(key: str, value: object) -> str:
    if key in _FLAGS:
        return _flag(key, value)
    if key == "vdev":
        return _vdev(value)
    if not isinstance(value, str):
        raise DiskSpecError(f"{key} is text, not {type_name(value)}; leave it out for xl's default")
    if OPTIONS[key].choices:
        return _choice(key, value)
    return _text(key, value)


def _flag(key: str, value: object) -> str:
    if not isinstance(value, bool):
        raise DiskSpecError(f"{key} is true or false, not {_shown(value)}")
    if value not in _FLAGS[key]:
        raise DiskSpecError(f"xl cannot say {key}: false, which is its default: leave {key} out")
    return _FLAGS[key][value]


def _vdev(value: object) -> str:
    try:
        slot = device_number.parse(value)
    except device_number.DeviceNumberError as error:
        raise DiskSpecError(f"vdev: {error}") from error
    if not isinstance(value, str):
        return str(slot.xenstore_key)
    if value.startswith("/dev/"):
        raise DiskSpecError(f"vdev: xl does not take {value!r}: write {slot.linux_device}")
    return value


def _choice(key: str, value: str) -> str:
    """The value as it is written here: C(access: w) is rw, as for xl."""
    meaning = OPTIONS[key].meaning(value)
    if meaning is None:
        accepted = OPTIONS[key].choices
        hint = disk_hints.of_spelling(value, OPTIONS[key].accepted)
        raise DiskSpecError(
            f"{key} cannot be {_shown(value)}: accepted are {', '.join(accepted)}{hint}"
        )
    return meaning


def _text(key: str, value: str) -> str:
    if not value:
        raise DiskSpecError(f"{key} is empty: leave it out for xl's default")
    # xl has no escape for these; only target, which ends a specification, may hold a comma.
    refused = "\n\0" if key == "target" else "\n\0,"
    for character in refused:
        if character in value:
            raise DiskSpecError(f"{key} cannot contain {character!r}: {_shown(value)}")
    return value


def _check_together(words: Mapping[str, str]) -> None:
    if "vdev" not in words:
        raise DiskSpecError("a disk needs a vdev, its slot in the guest, such as xvda")
    if words.get("devtype") == "cdrom":
        if words.get("access") == "rw":
            raise DiskSpecError("xl makes a cdrom read-only: leave out access: rw")
    elif "target" not in words:
        raise DiskSpecError("a disk needs a target, unless it is a cdrom, whose drive may be empty")
    elif words.get("format") == "empty":
        raise DiskSpecError("format: empty is for a cdrom drive only")
    if words.get("format") == "empty" and "target" in words:
        raise DiskSpecError("format: empty is for a drive without a target")


def _keyed(words: Mapping[str, str]) -> Iterator[str]:
    yield from (_parameter(key, word) for key, word in words.items() if key != "target")
    if "target" in words:
        # xl drops one comma at the end of a target.
        yield f"target={words['target']}" + ("," if words["target"].endswith(",") else "")


def _positional(words: Mapping[str, str]) -> Iterator[str]:
    yield _positional_target(words.get("target", ""))
    yield words.get("format", "")
    yield words["vdev"]
    if "access" in words:
        yield words["access"]
    yield from (_parameter(key, word) for key, word in words.items() if key not in _POSITIONS)


def _parameter(key: str, word: str) -> str:
    return word if key in _FLAGS else f"{key}={word}"


def _positional_target(target: str) -> str:
    prefix = _PREFIX.match(f"{target},")
    if "," in target or "=" in target:
        problem = "it contains a comma or an equals sign, which ends or names a parameter"
    elif target.startswith((" ", "\t")):
        problem = "xl skips blanks at its beginning"
    elif prefix:
        problem = f"xl takes {prefix.group()!r} at its beginning for a deprecated prefix"
    elif _LIKE_A_FLAG.fullmatch(target):
        problem = "xl may take it for a flag"
    else:
        return target
    raise DiskSpecError(
        f"target {_shown(target)} cannot be written in the positional style: {problem}; "
        "use the keyed style"
    )


# ---- parsing ----


def parse(spec: object) -> Dict[str, object]:
    """The disk that a specification describes: what it says, without xl's defaults.

    Reads both styles, mixed as xl allows, and the deprecated prefixes. ``vdev`` and ``target`` are
    the text as it stands; ``access`` is ro for every cdrom that says one, as xl makes it. Raises
    DiskSpecError for what xl refuses, and for what xl reads and nobody can mean: an empty vdev, a
    disk without a target, a lone equals sign at the end, a line break; also for COLO's keys, which
    a disk here does not have.
    """
    if not isinstance(spec, str):
        raise DiskSpecError(f"a disk specification is text, not {type_name(spec)}")
    try:
        return _Reader().read(spec)
    except DiskSpecError as error:
        raise DiskSpecError(f"disk specification {_shown(spec)}: {error}") from error


def targets_of(specs: Iterable[str]) -> Iterator[str]:
    """The targets of the disks that can be read, but for empty drives."""
    for spec in specs:
        with suppress(BlockdevError):
            target = parse(spec).get("target")
            if target is not None:
                yield str(target)


def without_prefixes(target: str) -> Dict[str, object]:
    """What the deprecated prefixes at the beginning of a target say to xl: C(target) is what is
    left of it, beside that may be C(format) and C(script). Raises DiskSpecError for a prefix that
    xl does not know."""
    return _Reader().read_prefixes(target)


class _Reader:
    """Goes through one specification, parameter by parameter, as xl's scanner does.

    What was said stays in C(_disk) even if it is empty: an empty value means xl's default, but
    takes its position all the same.
    """

    def __init__(self) -> None:
        self._disk: Dict[str, object] = {}
        self._prefix_text = ""
        self._positional_access = False

    def read(self, spec: str) -> Dict[str, object]:
        for character in "\n\0":
            if character in spec:
                raise DiskSpecError(f"it contains {character!r}")
        rest = spec.lstrip(_BLANKS)
        while rest:
            rest = self._parameter(rest).lstrip(_BLANKS)
        return self._result()

    def read_prefixes(self, target: str) -> Dict[str, object]:
        match = _PREFIX.match(target)
        while match:
            self._prefix(match)
            target = target[match.end() :]
            match = _PREFIX.match(target)
        return {**self._disk, "target": target}

    def _parameter(self, rest: str) -> str:
        """Take in the first parameter and return what follows it."""
        for pattern, take_in in (
            (_TARGET, self._keyed),
            (_KEYED, self._keyed),
            (_PREFIX, self._prefix),
            (_PLAIN, self._plain),
        ):
            match = pattern.match(rest)
            if match:
                take_in(match)
                return rest[match.end() :]
        hint = disk_hints.of_nonsense(rest)
        raise DiskSpecError(f"it makes no sense from {_shown(rest)} on{hint}")

    def _keyed(self, match: Match[str]) -> None:
        key, value = match.groups()
        if key in _TEXTS:
            self._say_text(key, value)
        elif key in ("backendtype", "specification"):
            self._say_once(key, value)
        elif key == "format":
            self._say_format(value)
        elif key == "access":
            self._say_access(value)
        elif key == "devtype":
            self._say_devtype(value)
        else:
            hint = disk_hints.of_key(key)
            raise DiskSpecError(f"the key {_shown(key)} is unknown or not supported here{hint}")

    def _prefix(self, match: Match[str]) -> None:
        if match["unknown"]:
            hint = disk_hints.of_prefix(match["unknown"])
            raise DiskSpecError(f"{_shown(match['unknown'])} is not a prefix that xl knows{hint}")
        self._prefix_text += match.group()
        if match["format"]:
            self._say_format(match["format"])
        if match["script"]:
            self._say_text("script", f"block-{match['script']}")

    def _plain(self, match: Match[str]) -> None:
        word = match[1] or ""
        if word in _FLAG_WORDS:
            self._disk.update([_FLAG_WORDS[word]])
        elif word in _COLO_FLAGS:
            raise DiskSpecError(f"{word} is not supported here")
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
            raise DiskSpecError(
                f"{_shown(word)} is one positional parameter too many{disk_hints.of_surplus(word)}"
            )

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
            raise DiskSpecError(f"{key} is given twice")
        self._disk[key] = value

    def _say_once(self, key: str, value: str) -> None:
        if self._disk.get(key, value) != value:
            raise DiskSpecError(f"{key} is given twice")
        self._disk[key] = _choice(key, value)

    def _say_format(self, value: str) -> None:
        checked = value and _choice("format", value)
        said = self._disk.get("format", checked)
        if (said or "raw") != (checked or "raw"):
            raise DiskSpecError("format is given twice")
        self._disk["format"] = said or checked

    def _say_access(self, value: str) -> None:
        if value.endswith("!"):
            raise DiskSpecError(f"access cannot be {_shown(value)}: {disk_hints.SHARED}")
        self._disk["access"] = value and _choice("access", value)

    def _say_devtype(self, value: str) -> None:
        self._disk["devtype"] = _choice("devtype", value)

    def _result(self) -> Dict[str, object]:
        disk = {key: self._disk[key] for key in KEYS if self._disk.get(key, "") != ""}
        if "vdev" not in disk:
            target = str(self._disk.get("target", ""))
            raise DiskSpecError(f"it has no vdev{disk_hints.of_no_vdev(target, self._prefix_text)}")
        if "target" not in disk and disk.get("devtype") != "cdrom":
            raise DiskSpecError("it has no target and is not a cdrom")
        if "access" in disk:
            disk["access"] = access_of(disk)
        return disk


def _shown(value: object) -> str:
    return f"{value!r:.200}" if isinstance(value, (str, bool)) else type_name(value)


# ---- comparing ----


def meaning(disk: Mapping[str, Any]) -> Dict[str, Any]:
    """What xl makes of a disk that it can read: equal for disks that it takes alike.

    Has all of KEYS: xl's default for what is not said, None where it has no single one, and the
    xenstore key as C(vdev). Raises DeviceNumberError where C(vdev) is no slot.
    """
    defaults = {"format": "raw", "devtype": "disk", "direct_io_safe": False, "specification": "xen"}
    resolved = {**dict.fromkeys(KEYS), **defaults, **disk}
    resolved["vdev"] = device_number.parse(disk["vdev"]).xenstore_key
    resolved["access"] = access_of(disk)
    resolved["script"] = script_of(disk)
    if resolved["target"] is None:
        resolved["format"] = "empty"
    return resolved
