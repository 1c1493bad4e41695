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
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Set

from ansible_collections.xen.blockdev.plugins.module_utils import (
    device_number,
    disk_spec,
    domain_config,
    loop_link,
    units,
)
from ansible_collections.xen.blockdev.plugins.module_utils.device_number import DeviceNumber
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, type_name

Options = Dict[str, Any]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NAME_LENGTH = 200
"""Characters. A name of an image or config file has 255 on Linux, of which some are an ending."""

_EXPANDED = "has a $, which Ansible takes for a variable"


class InventoryError(BlockdevError):
    """A value that an option does not take."""


# ---- what an option takes ----

_Reader = Callable[[object], Any]
"""Gives the value that an option has, from the one that was written. Raises BlockdevError."""


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    hint = "" if value is None or isinstance(value, (list, Mapping)) else ": write it in quotes"
    raise InventoryError(f"text is wanted, not {_shown(value)}{hint}")


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise InventoryError(f"true or false is wanted, not {_shown(value)}")


def _one_of(*accepted: object) -> _Reader:
    """Takes these words or these numbers."""

    def read(value: object) -> object:
        if isinstance(value, type(accepted[0])) and value in accepted:
            return value
        words = [str(word) for word in accepted]
        raise InventoryError(
            f"{', '.join(words[:-1])} or {words[-1]} is wanted, not {_shown(value)}"
        )

    return read


def _name(value: object) -> str:
    name = _text(value)
    if not _NAME.fullmatch(name):
        raise InventoryError(
            f"{_shown(name)} is not made of letters, digits and . _ - with a letter or digit first"
        )
    if name.isdigit():
        raise InventoryError(f"{_shown(name)} is a number, as xl's domain ids are: add a letter")
    if len(name) > _NAME_LENGTH:
        raise InventoryError(f"{_shown(name)} is longer than {_NAME_LENGTH} characters")
    if name == "Domain-0":
        raise InventoryError("Domain-0 is dom0 itself")
    return name


def _path(value: object) -> str:
    path = _text(value)
    normal = "/" + posixpath.normpath(path).lstrip("/")
    if not path.startswith("/"):
        raise InventoryError(f"{_shown(path)} is not absolute: write it from / on")
    if "\0" in path:
        raise InventoryError(f"{_shown(path)} has a NUL, which no path can have")
    if path != normal:
        raise InventoryError(
            f"{_shown(path)} is written in a roundabout way: write {_shown(normal)}"
        )
    return path


def _host_path(value: object) -> str:
    """A path that a module of ours takes, which would expand an environment variable in it."""
    path = _path(value)
    if "$" in path:
        raise InventoryError(f"{_shown(path)} {_EXPANDED}")
    return path


def _directory(value: object) -> str:
    """An absolute path that may end in a slash."""
    path = _text(value)
    return _host_path(path[:-1] if path.endswith("/") and path != "/" else path)


def _vdev(value: object) -> str:
    device_number.parse(value)
    return str(value)


def _list(value: object) -> List[Any]:
    if isinstance(value, list):
        return value
    raise InventoryError(f"a list is wanted, not {_shown(value)}")


def _dictionary(value: object) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    raise InventoryError(f"a dictionary is wanted, not {_shown(value)}")


def _config(value: object) -> Mapping[str, object]:
    options = _dictionary(value)
    domain_config.render("", options, [])
    return options


_STATE = _one_of("present", "absent")
IMAGE_OPTIONS: Dict[str, _Reader] = {
    "size": units.parse_size,
    "source": _host_path,
    "source_format": _one_of("raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "qed"),
    "allocation": _one_of("sparse", "full"),
    "shrink": _flag,
    "owner": _text,
    "group": _text,
    "mode": _text,
    "seuser": _text,
    "serole": _text,
    "setype": _text,
    "selevel": _text,
}
LOOP_OPTIONS: Dict[str, _Reader] = {
    "direct_io": _flag,
    "sector_size": _one_of(512, 1024, 2048, 4096),
}
VBD_OPTIONS: Dict[str, _Reader] = {
    "format": _one_of("raw", "qcow2", "vhd", "qed"),
    "access": _one_of("rw", "ro"),
    "backendtype": _one_of("phy", "qdisk", "tap"),
    "devtype": _one_of("disk", "cdrom"),
    "script": _text,
    "discard": _flag,
    "direct_io_safe": _flag,
}
_DISK_OPTIONS: Dict[str, _Reader] = {
    "name": _name,
    "state": _STATE,
    "path": _text,
    "target": _text,
    "vdev": _vdev,
    "loop": _flag,
    **IMAGE_OPTIONS,
    **LOOP_OPTIONS,
    **VBD_OPTIONS,
}
_DOMAIN_OPTIONS: Dict[str, _Reader] = {
    "name": _name,
    "state": _STATE,
    "disks": _list,
    "config": _config,
    "config_path": _host_path,
    "autostart": _flag,
    "allow_slot_change": _flag,
    "overwrite": _flag,
}


# ---- what was written ----


@dataclass(frozen=True)
class Disk:
    """One disk, its options checked and resolved."""

    place: str
    """Where it was written, for messages."""
    domain: str
    name: str
    absent: bool
    options: Mapping[str, Any]
    """Those that were written, the size in bytes."""
    path: Optional[str]
    """The image; None where the disk is a block device or the like."""
    slot: DeviceNumber

    @property
    def image(self) -> bool:
        """Whether the image is a raw one, which xen_raw_disk looks after."""
        return self.path is not None and self.format == "raw"

    @property
    def loop(self) -> bool:
        """Whether the guest gets the image through a loop device of ours."""
        return self.image and bool(self.options.get("loop", True))

    @property
    def format(self) -> str:
        """What is in the image or block device."""
        return str(self.options.get("format", "raw"))

    @property
    def storage(self) -> str:
        """Where its data is: the image or the target. Disks with the same one are the same."""
        return self.path or self.target

    @property
    def target(self) -> str:
        """What xl opens."""
        if self.path is None:
            return str(self.options["target"])
        return loop_link.link_of(self.path) if self.loop else self.path

    @property
    def vdev(self) -> str:
        """The slot as it was written or, where it was not, its Linux device name."""
        return str(self.options["vdev"]) if "vdev" in self.options else self.slot.linux_device

    @property
    def access(self) -> str:
        """C(rw) or C(ro); xl makes every cdrom C(ro)."""
        default = "ro" if self.options.get("devtype") == "cdrom" else "rw"
        return str(self.options.get("access", default))

    @property
    def ours(self) -> bool:
        """Whether the plan itself would create the image, so that it may delete it."""
        return self.image and (
            "path" not in self.options or "size" in self.options or "source" in self.options
        )

    @property
    def spec(self) -> Options:
        """The disk as xl_disk takes it."""
        spec = {
            "target": self.target,
            "vdev": self.vdev,
            **chosen(self.options, VBD_OPTIONS),
            "format": self.format,
            "access": self.access,
        }
        if not spec.get("direct_io_safe"):
            spec.pop("direct_io_safe", None)  # xl's default, which it has no word for
        return spec


@dataclass(frozen=True)
class Domain:
    """One domain, its options checked."""

    place: str
    name: str
    absent: bool
    options: Mapping[str, Any]
    config_path: str
    disks: Sequence[Disk]


class InventoryReader:
    """Reads what the user wrote and keeps what is wrong with it."""

    def __init__(self, images_dir: object, config_dir: object, state: object) -> None:
        """C(images_dir), C(config_dir): where images and configs are that have no path of their
        own. C(state): C(absent) to take every domain as absent, or None."""
        self.problems: List[str] = []
        self._images_dir = self._read("images_dir", _directory, images_dir) or "/"
        self._config_dir = self._read("config_dir", _directory, config_dir) or "/"
        self._all_absent = state is not None and self._read("state", _STATE, state) == "absent"

    def domains(self, written: object) -> List[Domain]:
        """The domains; those are left out of which not even the name can be read."""
        domains = self._read("domains", _list, written) or []
        read = [self._domain(f"domains[{i}]", domain) for i, domain in enumerate(domains)]
        return [domain for domain in read if domain]

    def _domain(self, place: str, written: object) -> Optional[Domain]:
        place = _with_name(place, written)
        options = self._options(place, written, _DOMAIN_OPTIONS)
        name = str(options.get("name"))
        absent = self._all_absent or options.get("state") == "absent"
        disks = self._disks(place, name, absent, options.get("disks", []))
        path = options.get("config_path", posixpath.join(self._config_dir, f"{name}.cfg"))
        return Domain(place, name, absent, options, path, disks) if "name" in options else None

    def _disks(
        self, domain_place: str, domain: str, absent: bool, written: List[Any]
    ) -> List[Disk]:
        places = [_with_name(f"{domain_place}, disks[{i}]", disk) for i, disk in enumerate(written)]
        read = [self._options(place, disk, _DISK_OPTIONS) for place, disk in zip(places, written)]
        disks = [
            self._disk(place, domain, absent, options, slot)
            for place, options, slot in zip(places, read, _slots(read))
        ]
        return [disk for disk in disks if disk]

    def _disk(
        self, place: str, domain: str, absent: bool, options: Options, slot: DeviceNumber
    ) -> Optional[Disk]:
        if "name" not in options:
            return None
        name = options["name"]
        path = None
        if "target" not in options:
            default = posixpath.join(self._images_dir, domain, f"{name}.raw")
            path = options.get("path", default)
        absent = absent or options.get("state") == "absent"
        disk = Disk(place, domain, name, absent, options, path, slot)
        self._check(disk)
        return disk

    def _check(self, disk: Disk) -> None:
        before = len(self.problems)
        if disk.path is None:
            self._check_target(disk)
        else:
            self._check_image(disk, disk.path)
        if not disk.image:
            self._refuse(disk, IMAGE_OPTIONS, "only a raw image is created and changed here")
        if not disk.loop:
            self._refuse(disk, LOOP_OPTIONS, "it has no loop device of ours")
            if disk.options.get("loop"):
                self._problem(
                    disk.place, "loop: true needs a raw image: a loop device shows its bytes"
                )
        if not disk.absent and len(self.problems) == before:
            self._read(disk.place, _xl_word, disk.spec)

    def _check_image(self, disk: Disk, path: str) -> None:
        if self._read(f"{disk.place}: path", _path, path) is None:
            return
        if disk.loop and not loop_link.SAFE_PATH.fullmatch(path):
            self._problem(
                disk.place,
                f"path {_shown(path)} cannot have a loop device with a name that follows it: use "
                "letters, digits and . _ - / only, or loop: false",
            )
        if disk.image and not disk.loop and "$" in path:
            # xen_raw_disk would expand an environment variable in it, and xl would not.
            self._problem(disk.place, f"path {_shown(path)} {_EXPANDED}")
        if not disk.image and "path" not in disk.options:
            self._problem(disk.place, f"format {disk.format} needs the path of an image")

    def _check_target(self, disk: Disk) -> None:
        self._refuse(disk, ["path"], "target is a block device that is there already")
        # A hotplug script of its own may take a target of any form, such as an iSCSI name.
        if "script" not in disk.options:
            self._read(f"{disk.place}: target", _path, disk.target)
        if loop_link.is_link(disk.target):
            self._problem(
                disk.place,
                f"target {_shown(disk.target)} is a loop device: write path: "
                f"{loop_link.path_of(disk.target)}",
            )

    def _refuse(self, disk: Disk, options: Iterable[str], why: str) -> None:
        for option in options:
            if option in disk.options:
                self._problem(disk.place, f"{option} does not apply: {why}")

    def _options(self, place: str, written: object, known: Mapping[str, _Reader]) -> Options:
        """The options whose values are good; an option of null is as one that is left out."""
        given = self._read(place, _dictionary, written)
        if given is None:
            return {}
        for option in given:
            if option not in known:
                self._problem(place, f"{_shown(option)} is no option: {_nearest(option, known)}")
        if given.get("name") is None:
            self._problem(place, "it has no name")
        read = {
            option: self._read(f"{place}: {option}", reader, given[option])
            for option, reader in known.items()
            if given.get(option) is not None
        }
        return {option: value for option, value in read.items() if value is not None}

    def _read(self, place: str, reader: Callable[[Any], Any], value: object) -> Any:
        """What C(reader) makes of the value; None after a problem."""
        try:
            return reader(value)
        except BlockdevError as error:
            self._problem(place, str(error))
            return None

    def _problem(self, place: str, problem: str) -> None:
        self.problems.append(f"{place}: {problem}")


def _xl_word(spec: Options) -> str:
    """The disk as it stands in a config."""
    return domain_config.quote(disk_spec.render(spec))


def chosen(options: Mapping[str, Any], names: Iterable[str]) -> Options:
    """Those of the options that have one of the names, in the order of the names."""
    return {name: options[name] for name in names if name in options}


def _slots(disks: Sequence[Options]) -> List[DeviceNumber]:
    """The slot of each disk of a domain: the written one, or the next disk number that no written
    one touches. An absent disk has one as well, so that marking a disk absent moves no other."""
    written = [device_number.parse(disk["vdev"]) if "vdev" in disk else None for disk in disks]
    touched: Set[Optional[int]] = {slot.disk for slot in written if slot}
    free = (number for number in itertools.count() if number not in touched)
    return [slot or device_number.from_disk_number(next(free)) for slot in written]


def _with_name(place: str, written: object) -> str:
    try:
        return f"{place} ({_name(_dictionary(written).get('name'))})"
    except InventoryError:
        return place


def _nearest(option: object, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(option, known, n=1) if isinstance(option, str) else []
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def _shown(value: object) -> str:
    """The value, short and with its type: what YAML made of it may surprise whoever wrote it."""
    if isinstance(value, str):
        return f"{value!r:.80}"
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= 64):
        return f"the number {value!r}"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, Mapping):
        return "a dictionary"
    return "null" if value is None else f"a value of type {type_name(value)}"
