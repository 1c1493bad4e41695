# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The domains and disks that the user wrote, each option checked and resolved by itself.

Names, types, paths, slots and targets are settled here, without a host. What two disks do to
each other is the business of ``disk_plan``.
"""

from __future__ import annotations

import difflib
import itertools
import posixpath
import re
from dataclasses import dataclass
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
    TypeVar,
)

from ansible_collections.xen.blockdev.plugins.module_utils import (
    device_number,
    disk_spec,
    loop_link,
    units,
)
from ansible_collections.xen.blockdev.plugins.module_utils.device_number import DeviceNumber
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

Options = Dict[str, Any]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

_T = TypeVar("_T")


class _Choice(Tuple[str, ...]):
    """The words of which an option is one."""


# The types that YAML gives a value that is written as it is meant.
_STR = (str,)
_BOOL = (bool,)
_STATE = _Choice(("present", "absent"))
_TYPE_NAMES = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a fraction",
    list: "a list",
    dict: "a dictionary",
}
IMAGE_OPTIONS: Dict[str, object] = {
    "size": (str, int),
    "source": _STR,
    "source_format": _STR,
    "allocation": _Choice(("sparse", "full")),
    "shrink": _BOOL,
    "owner": _STR,
    "group": _STR,
    "mode": _STR,
    "seuser": _STR,
    "serole": _STR,
    "setype": _STR,
    "selevel": _STR,
}
LOOP_OPTIONS: Dict[str, object] = {"direct_io": _BOOL, "sector_size": (int,)}
VBD_OPTIONS: Dict[str, object] = {
    "format": _Choice(("raw", "qcow2", "vhd", "qed")),
    "access": _Choice(("rw", "ro")),
    "backendtype": _STR,
    "devtype": _Choice(("disk", "cdrom")),
    "script": _STR,
    "discard": _BOOL,
    "direct_io_safe": _BOOL,
}
_DISK_OPTIONS: Dict[str, object] = {
    "name": _STR,
    "state": _STATE,
    "path": _STR,
    "target": _STR,
    "vdev": (str, int),
    "loop": _BOOL,
    **IMAGE_OPTIONS,
    **LOOP_OPTIONS,
    **VBD_OPTIONS,
}
_DOMAIN_OPTIONS: Dict[str, object] = {
    "name": _STR,
    "state": _STATE,
    "disks": (list,),
    "config": (dict,),
    "config_path": _STR,
    "allow_slot_change": _BOOL,
}


@dataclass
class Disk:
    """One disk, its options checked and resolved."""

    place: str
    """Where it was written, for messages."""
    domain: str
    name: str
    absent: bool
    options: Mapping[str, Any]
    path: Optional[str]
    """The image; None where the disk is a block device or the like."""
    slot: Optional[DeviceNumber]
    """The slot as written; without one it gets the next free disk number. An absent disk gets one
    as well, so that marking a disk absent moves no other."""

    @property
    def image(self) -> bool:
        """Whether the image is a raw one, which xen_raw_disk looks after."""
        return self.path is not None and self.options.get("format", "raw") == "raw"

    @property
    def loop(self) -> bool:
        """Whether the guest gets the image through a loop device of ours."""
        return self.image and bool(self.options.get("loop", True))

    @property
    def target(self) -> str:
        """What xl opens."""
        if self.path is None:
            return str(self.options["target"])
        return loop_link.link_of(self.path) if self.loop else self.path

    @property
    def vdev(self) -> str:
        """The slot as it was written or, where it was not, its Linux device name."""
        assert self.slot
        return str(self.options["vdev"]) if "vdev" in self.options else self.slot.linux_device

    @property
    def ours(self) -> bool:
        """Whether the plan itself would create the image, so that it may delete it."""
        return self.image and (
            "path" not in self.options or bool({"size", "source"} & {*self.options})
        )

    @property
    def spec(self) -> Options:
        """The disk as xl_disk takes it."""
        spec = {
            "target": self.target,
            "format": "raw",
            "vdev": self.vdev,
            "access": "ro" if self.options.get("devtype") == "cdrom" else "rw",
            **chosen(self.options, VBD_OPTIONS),
        }
        if not spec.get("direct_io_safe"):
            spec.pop("direct_io_safe", None)  # xl's default, which it has no word for
        return spec


@dataclass
class Domain:
    """One domain, its options checked."""

    place: str
    name: str
    absent: bool
    options: Mapping[str, Any]
    config_path: str
    disks: List[Disk]


class InventoryReader:
    """Reads what the user wrote and keeps what is wrong with it."""

    def __init__(self, images_dir: str, config_dir: str, state: Optional[str]) -> None:
        self.problems: List[str] = []
        self._broken: Set[str] = set()
        self._images_dir = images_dir
        self._config_dir = config_dir
        self._state = state

    def domains(self, written: object) -> List[Domain]:
        if not isinstance(written, list):
            self._problem("domains", f"are a list, not {_type(written)}")
            return []
        read = [self._domain(f"domains[{i}]", domain) for i, domain in enumerate(written)]
        return [domain for domain in read if domain]

    def _domain(self, place: str, written: object) -> Optional[Domain]:
        options = self._options(place, written, _DOMAIN_OPTIONS)
        name = options.get("name")
        if name is not None:
            place = f"{place} ({name})"
        absent = "absent" in (options.get("state"), self._state)
        read = [
            self._disk(f"{place}, disks[{i}]", str(name), absent, disk)
            for i, disk in enumerate(options.get("disks", ()))
        ]
        disks = [disk for disk in read if disk]
        path = options.get("config_path", f"{self._config_dir}/{name}.cfg")
        self._check_path(place, "config_path", path)
        self._number(disks)
        for disk in disks:
            if not disk.absent and disk.place not in self._broken:
                self._try(disk.place, disk_spec.render, disk.spec)
        return Domain(place, name, absent, options, path, disks) if name is not None else None

    def _disk(self, place: str, domain: str, absent: bool, written: object) -> Optional[Disk]:
        options = self._options(place, written, _DISK_OPTIONS)
        name = options.get("name")
        if name is not None:
            place = f"{place} ({name})"
        path = None
        if "target" not in options:
            path = options.get("path", f"{self._images_dir}/{domain}/{name}.raw")
        slot = None
        if "vdev" in options:
            slot = self._try(place, device_number.parse, options["vdev"])
        if name is None or ("vdev" in options and slot is None):
            return None
        absent = absent or options.get("state") == "absent"
        disk = Disk(place, domain, name, absent, options, path, slot)
        self._check_disk(disk)
        return disk

    def _check_disk(self, disk: Disk) -> None:
        options = disk.options
        if disk.path is None:
            self._check_target(disk)
        else:
            good = self._check_path(disk.place, "path", disk.path)
            if good and disk.loop and not loop_link.SAFE_PATH.fullmatch(disk.path):
                self._problem(
                    disk.place,
                    f"path {disk.path!r} cannot have a loop device with a name that follows it: "
                    "use letters, digits and . _ - / only, or loop: false",
                )
        if not disk.image:
            self._refuse(disk, {*IMAGE_OPTIONS}, "only a raw image is created and changed here")
        if not disk.loop:
            self._refuse(disk, {*LOOP_OPTIONS}, "it has no loop device of ours")
            if options.get("loop"):
                self._problem(
                    disk.place, "loop: true needs a raw image: a loop device shows its bytes"
                )
        if "format" in options and not disk.image and disk.path and "path" not in options:
            self._problem(disk.place, f"format {options['format']} needs the path of an image")
        if "size" in options:
            self._try(disk.place, units.parse_size, options["size"])

    def _check_target(self, disk: Disk) -> None:
        target = disk.options["target"]
        self._refuse(disk, {"path"}, "target is a block device that is there already")
        # A hotplug script of its own may take a target of any form, such as an iSCSI name.
        if "script" not in disk.options:
            self._check_path(disk.place, "target", target)
        if loop_link.is_link(target):
            self._problem(
                disk.place,
                f"target {target} is a loop device: write path: {loop_link.path_of(target)}",
            )

    def _refuse(self, disk: Disk, options: Set[str], why: str) -> None:
        for option in sorted(options & {*disk.options}):
            self._problem(disk.place, f"{option} does not apply: {why}")

    def _check_path(self, place: str, option: str, path: str) -> bool:
        normal = "/" + posixpath.normpath(path).lstrip("/")
        if not path.startswith("/"):
            problem = "is not absolute: write it from / on"
        elif "\0" in path:
            problem = "has a NUL, which no path can have"
        elif path != normal:
            problem = f"is written in a roundabout way: write {normal}"
        else:
            return True
        self._problem(place, f"{option} {path!r} {problem}")
        return False

    def _number(self, disks: Sequence[Disk]) -> None:
        """Give every disk without a slot the next disk number that no written slot touches."""
        touched = {disk.slot.disk for disk in disks if disk.slot}
        numbers = (number for number in itertools.count() if number not in touched)
        for disk in disks:
            if not disk.slot:
                disk.slot = device_number.from_disk_number(next(numbers))

    def _options(self, place: str, written: object, known: Mapping[str, object]) -> Options:
        """The options that are known and of the right type; an option of null is left out."""
        if not isinstance(written, Mapping):
            self._problem(place, f"is a dictionary, not {_type(written)}")
            return {}
        given = {key: value for key, value in written.items() if value is not None}
        for option in given:
            if option not in known:
                self._problem(place, f"{option!r} is no option: {_nearest(option, known)}")
        good = {
            option: given[option]
            for option in known
            if option in given and self._check(place, option, given[option], known[option])
        }
        self._check_name(place, given.get("name"))
        return good

    def _check(self, place: str, option: str, value: object, wanted: object) -> bool:
        before = len(self.problems)
        if isinstance(wanted, _Choice):
            if value not in wanted:
                self._problem(place, f"{option} is {' or '.join(wanted)}, not {_shown(value)}")
        elif isinstance(wanted, tuple) and not _is_a(value, *wanted):
            names = " or ".join(_TYPE_NAMES[type_] for type_ in wanted)
            hint = f'; write it in quotes, {option}: "…"' if wanted == (str,) else ""
            self._problem(place, f"{option} is {names}, not {_shown(value)}{hint}")
        return len(self.problems) == before

    def _check_name(self, place: str, name: object) -> None:
        if name is None:
            self._problem(place, "has no name")
        elif isinstance(name, str):
            if not _NAME.fullmatch(name):
                self._problem(
                    place,
                    f"name {name!r} is not made of letters, digits and . _ - with a letter or "
                    "digit first",
                )
            elif name.isdigit():
                self._problem(place, f"name {name!r} is a number, which xl takes for a domain id")
            elif name == "Domain-0":
                self._problem(place, "name 'Domain-0' is dom0 itself")

    def _try(self, place: str, function: Callable[[Any], _T], value: object) -> Optional[_T]:
        try:
            return function(value)
        except BlockdevError as error:
            self._problem(place, str(error))
            return None

    def _problem(self, place: str, problem: str) -> None:
        self._broken.add(place)
        self.problems.append(f"{place}: {problem}")


def chosen(options: Mapping[str, Any], names: Iterable[str]) -> Options:
    return {name: options[name] for name in names if name in options}


def _is_a(value: object, *types: type) -> bool:
    """Whether C(value) is of one of the types; a truth value is no number here."""
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))


def _nearest(option: object, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(option), [*known], n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def _type(value: object) -> str:
    return next((name for type_, name in _TYPE_NAMES.items() if _is_a(value, type_)), "null")


def _shown(value: object) -> str:
    return f"{value!r:.60} ({_type(value)})" if not isinstance(value, str) else f"{value!r:.60}"
