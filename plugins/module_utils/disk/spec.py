# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk as xl writes it: one item of ``disk = [ … ]``, or an argument of ``xl block-attach``.

The syntax is that of xl-disk-configuration(5) as its only implementation reads it, the scanner of
libxlutil (``libxlu_disk_l.l``). Specifications are written in one of two styles, both of which xl
reads alike:

    format=raw, vdev=xvda, access=rw, target=/dev/loop0     keyed
    /dev/loop0,raw,xvda,rw                                  positional
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, replace
from typing import Any, Dict, Iterator, Mapping, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk.device_number import DeviceNumber
from ansible_collections.xen.blockdev.plugins.module_utils.disk.options import KEYS, xl_name
from ansible_collections.xen.blockdev.plugins.module_utils.disk.scanner import PREFIX, SpecScanner
from ansible_collections.xen.blockdev.plugins.module_utils.disk.values import (
    DiskSpecError,
    DiskValue,
    abridged,
    checked,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import type_name

STYLES = ("keyed", "positional")

SCRIPTS = "/etc/xen/scripts"
"""Where libxl looks for a hotplug script that is given without a directory."""

_POSITIONS = ("target", "format", "vdev", "access")

# The manual page keeps this syntax for flags of the future.
_LIKE_A_FLAG = re.compile(r"[A-Za-z][-_A-Za-z0-9]*")


@dataclass(frozen=True)
class DiskSpec:
    """A disk of a config, by the keys of ``options.KEYS``. None leaves a key to xl's default.

    ``of``, ``of_options`` and ``parse`` make one that is checked; ``render`` checks it again, so
    that ``dataclasses.replace`` can be used on it.
    """

    target: Optional[str] = None
    format: Optional[str] = None
    vdev: str = ""
    """As it was written; see ``slot``."""
    access: Optional[str] = None
    """``ro`` or ``rw``; see ``effective_access``."""
    devtype: Optional[str] = None
    backendtype: Optional[str] = None
    backend: Optional[str] = None
    """A domain; see ``backend_domain``."""
    script: Optional[str] = None
    """A hotplug script; see ``script_path``."""
    direct_io_safe: Optional[bool] = None
    """xl has no word for False, which is its default: it is not written."""
    discard: Optional[bool] = None
    trusted: Optional[bool] = None
    specification: Optional[str] = None
    grant_usage: Optional[bool] = None
    colo: Optional[bool] = None
    colo_host: Optional[str] = None
    colo_port: Optional[int] = None
    colo_export: Optional[str] = None
    active_disk: Optional[str] = None
    hidden_disk: Optional[str] = None

    # ---- making one ----

    @classmethod
    def of(cls, disk: Mapping[str, object]) -> DiskSpec:
        """The disk that a mapping of keys describes; ``vdev`` may also be an integer.

        Raises DiskSpecError if xl's syntax cannot express it, and for what xl reads but libxl then
        refuses (a missing target, a ``vdev`` that is not a slot).
        """
        if not isinstance(disk, Mapping):
            raise DiskSpecError(f"a disk is a mapping of {', '.join(KEYS)}, not {type_name(disk)}")
        for key in disk:
            if key not in KEYS:
                raise DiskSpecError(
                    f"a disk has no key {abridged(key)}: accepted are {', '.join(KEYS)}"
                )
        values: Dict[str, Any] = {key: checked(key, disk[key]) for key in KEYS if key in disk}
        spec = cls(**values)
        spec._check_together()
        return spec

    @classmethod
    def of_options(cls, options: Mapping[str, Any]) -> DiskSpec:
        """The disk that the options of a module describe: None if they are left out.

        ``direct_io_safe`` may be false; what is no key of a disk is ignored. Raises DiskSpecError.
        """
        said = {key: options[key] for key in KEYS if options.get(key) is not None}
        if said.get("direct_io_safe") is not False:
            return cls.of(said)
        del said["direct_io_safe"]
        return replace(cls.of(said), direct_io_safe=False)

    @classmethod
    def parse(cls, text: object) -> DiskSpec:
        """The disk that a specification describes: what it says, without xl's defaults.

        Reads both styles, mixed as xl allows, and the deprecated prefixes. ``vdev`` and ``target``
        are the text as it stands; ``access`` is ro for every cdrom that says one, as xl makes it.
        Raises DiskSpecError for what xl refuses, and for what it accepts by accident: an empty
        vdev, a disk without a target, a lone equals sign at the end, a line break, a port with
        other characters behind it.
        """
        if not isinstance(text, str):
            raise DiskSpecError(f"a disk specification is text, not {type_name(text)}")
        try:
            spec = cls(**SpecScanner().read(text))
        except DiskSpecError as error:
            raise DiskSpecError(f"disk specification {abridged(text)}: {error}") from error
        return replace(spec, access="ro") if spec.access and spec.is_cd else spec

    # ---- what it means ----

    @property
    def slot(self) -> DeviceNumber:
        """Where the guest finds it. Raises DeviceNumberError if ``vdev`` is no slot, which a config
        can say."""
        return device_number.parse(self.vdev)

    @property
    def is_cd(self) -> bool:
        """Whether it is a CD drive, which is empty without a target."""
        return self.devtype == "cdrom"

    @property
    def effective_access(self) -> str:
        """Whether the guest may write it, ``rw``, or not, ``ro``. xl makes a cdrom read-only."""
        return "ro" if self.is_cd else self.access or "rw"

    def with_defaults(self) -> DiskSpec:
        """It as a config that this collection writes has it: with xl's defaults for its target, so
        that a reader need not know them. An empty drive has no target."""
        if self.target is None:
            return self
        return replace(self, format=self.format or "raw", access=self.effective_access)

    @property
    def backend_domain(self) -> Optional[str]:
        """The driver domain that serves it; None if dom0 does."""
        return None if self.backend in (None, "0", "Domain-0") else self.backend

    @property
    def script_path(self) -> Optional[str]:
        """The path of its hotplug script, as libxl finds it (``libxl__abs_path``); None if it names
        none."""
        return posixpath.join(SCRIPTS, self.script) if self.script else None

    @property
    def meaning(self) -> DiskSpec:
        """What xl makes of it: equal for disks that xl takes alike.

        Has xl's defaults for what is not said, and the xenstore key as ``vdev``. Raises
        DeviceNumberError if ``vdev`` is no slot.
        """
        return replace(
            self,
            format="empty" if self.target is None else self.format or "raw",
            vdev=str(self.slot.xenstore_key),
            access=self.effective_access,
            devtype=self.devtype or "disk",
            script=self.script_path,
            direct_io_safe=bool(self.direct_io_safe),
            specification=self.specification or "xen",
        )

    def with_unsaid(self, other: DiskSpec) -> DiskSpec:
        """The disk, and what only the other one says."""
        return replace(self, **self.unsaid(other))

    def unsaid(self, other: DiskSpec) -> Dict[str, Any]:
        """What only the other one says, by key."""
        return {k: v for k, v in other.as_dict().items() if getattr(self, k) is None}

    # ---- writing ----

    def check(self) -> Dict[str, str]:
        """What is said, by key, as xl writes it. Raises DiskSpecError as ``of`` does."""
        words = {key: _word(key, value) for key, value in self.as_dict().items()}
        self._check_together()
        return words

    def as_dict(self) -> Dict[str, DiskValue]:
        """What is said, by key, in the order of KEYS: ``of`` makes the same disk of it."""
        values = ((key, getattr(self, key)) for key in KEYS)
        return {key: value for key, value in values if value is not None and _is_said(key, value)}

    def render(self, style: str = "keyed") -> str:
        """The specification in one of the STYLES, which means the same to xl, and to ``parse``.

        Raises DiskSpecError as ``of`` does, and for a target that the positional style cannot
        carry.
        """
        words = self.check()
        if style == "keyed":
            return ", ".join(_keyed(words))
        if style == "positional":
            return ",".join(_positional(words))
        raise DiskSpecError(
            f"there is no style {abridged(style)}: accepted are {' and '.join(STYLES)}"
        )

    def _check_together(self) -> None:
        if not self.vdev:
            raise DiskSpecError("a disk needs a vdev, its slot in the guest, such as xvda")
        if self.is_cd:
            if self.access == "rw":
                raise DiskSpecError("xl makes a cdrom read-only: leave out access: rw")
        elif self.target is None:
            raise DiskSpecError(
                "a disk needs a target, unless it is a cdrom, whose drive may be empty"
            )
        elif self.format == "empty":
            raise DiskSpecError("format: empty is for a cdrom drive only")
        if self.format == "empty" and self.target is not None:
            raise DiskSpecError("format: empty is for a drive without a target")


def without_prefixes(target: str) -> DiskSpec:
    """What the deprecated prefixes at the beginning of a target say to xl: the rest of the target,
    and perhaps its format and script. Raises DiskSpecError for a prefix that xl does not know."""
    return DiskSpec(**SpecScanner().read_prefixes(target))


def _is_said(key: str, value: object) -> bool:
    words = KEYS[key].words
    return value in words if words else bool(value) or key != "vdev"


def _word(key: str, value: DiskValue) -> str:
    """A value as xl writes it. Raises DiskSpecError."""
    good = checked(key, value)
    return KEYS[key].words[good] if isinstance(good, bool) else str(good)


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
    return word if KEYS[key].flag else f"{xl_name(key)}={word}"


def _positional_target(target: str) -> str:
    prefix = PREFIX.match(f"{target},")
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
        f"target {abridged(target)} cannot be written in the positional style: {problem}; "
        "use the keyed style"
    )
