# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a domain and of a disk in the inventory: which there are, and what each takes."""

from __future__ import annotations

import difflib
import posixpath
import re
from typing import Any, Callable, Dict, Iterable, List, Mapping

from ansible_collections.xen.blockdev.plugins.module_utils import units
from ansible_collections.xen.blockdev.plugins.module_utils.config import mirage_xl
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk import options as disk_options
from ansible_collections.xen.blockdev.plugins.module_utils.disk import target as disk_target
from ansible_collections.xen.blockdev.plugins.module_utils.disk.options import Option
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, type_name

Options = Dict[str, Any]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NAME_LENGTH = 200
"""Characters. A name of an image or config file has 255 on Linux, of which some are an ending."""

_BRIDGE = re.compile(r"[A-Za-z0-9._:-]+")
"""With what Open vSwitch takes after the name, as in ``br0.10:20``."""

_MAX_MEMORY = 2**40
"""MiB; more than any host has, and far below what xl's numbers hold."""

EXPANDED = "has a $, which Ansible takes for a variable"


class InventoryError(BlockdevError):
    """A value that an option does not take."""


Reader = Callable[[object], Any]
"""Gives the value that an option has, from the one that was written. Raises BlockdevError."""


def read_text(value: object) -> str:
    if isinstance(value, str):
        return value
    hint = "" if value is None or isinstance(value, (list, Mapping)) else ": write it in quotes"
    raise InventoryError(f"text is wanted, not {shown(value)}{hint}")


def read_flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise InventoryError(f"true or false is wanted, not {shown(value)}")


def one_of(*accepted: object) -> Reader:
    """Takes these words or these numbers."""

    def read(value: object) -> object:
        if isinstance(value, type(accepted[0])) and value in accepted:
            return value
        words = [str(word) for word in accepted]
        raise InventoryError(
            f"{', '.join(words[:-1])} or {words[-1]} is wanted, not {shown(value)}"
        )

    return read


def reader_of(option: Option) -> Reader:
    """Takes what an option of a disk takes; other words of xl become the usual ones."""
    if option.flag:
        return read_flag
    if not option.choices:
        return read_text
    accepted = one_of(*option.accepted)
    return lambda value: option.meaning(accepted(value))


def read_backend(value: object) -> str:
    backend = read_text(value)
    disk_target.check_backend(backend)
    return backend


def read_name(value: object) -> str:
    name = read_text(value)
    if not _NAME.fullmatch(name):
        raise InventoryError(
            f"{shown(name)} is not made of letters, digits and . _ - with a letter or digit first"
        )
    if name.isdigit():
        raise InventoryError(f"{shown(name)} is a number, as xl's domain ids are: add a letter")
    if len(name) > _NAME_LENGTH:
        raise InventoryError(f"{shown(name)} is longer than {_NAME_LENGTH} characters")
    if name == "Domain-0":
        raise InventoryError("Domain-0 is dom0 itself")
    return name


def read_path(value: object) -> str:
    path = read_text(value)
    normal = "/" + posixpath.normpath(path).lstrip("/")
    if not path.startswith("/"):
        raise InventoryError(f"{shown(path)} is not absolute: write it from / on")
    if "\0" in path:
        raise InventoryError(f"{shown(path)} has a NUL, which no path can have")
    if path != normal:
        raise InventoryError(f"{shown(path)} is written in a roundabout way: write {shown(normal)}")
    return path


def read_host_path(value: object) -> str:
    """A path that a module of ours takes, which would expand an environment variable in it."""
    path = read_path(value)
    if "$" in path:
        raise InventoryError(f"{shown(path)} {EXPANDED}")
    return path


def read_directory(value: object) -> str:
    """An absolute path that may end in a slash."""
    path = read_text(value)
    return read_host_path(path[:-1] if path.endswith("/") and path != "/" else path)


def read_vdev(value: object) -> str:
    device_number.parse(value)
    return str(value)


def read_list(value: object) -> List[Any]:
    if isinstance(value, list):
        return value
    raise InventoryError(f"a list is wanted, not {shown(value)}")


def read_dictionary(value: object) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    raise InventoryError(f"a dictionary is wanted, not {shown(value)}")


def read_config(value: object) -> Mapping[str, object]:
    options = read_dictionary(value)
    config_text.render("", options, [])
    return options


def read_template(value: object) -> mirage_xl.MirageConfig:
    return mirage_xl.parse(read_text(value))


def read_memory(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MAX_MEMORY:
        return int(value)
    raise InventoryError(f"a whole number of MiB is wanted, not {shown(value)}")


def read_networks(value: object) -> Mapping[str, str]:
    """Bridges by the names of networks. MirageOS calls its default network 0: a text, too."""
    networks = read_dictionary(value)
    return {read_text(network): _bridge(networks[network]) for network in networks}


def _bridge(value: object) -> str:
    bridge = read_text(value)
    if not _BRIDGE.fullmatch(bridge):
        raise InventoryError(f"{shown(bridge)} is no bridge: letters, digits and . _ : - name one")
    return bridge


STATE = one_of("present", "absent")
IMAGE_OPTIONS: Dict[str, Reader] = {
    "size": units.parse_size,
    "source": read_host_path,
    "source_format": one_of("raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "qed"),
    "filesystem": one_of("ext2", "ext3", "ext4", "vfat", "tar"),
    "label": read_text,
    "fat_sector_size": one_of(512, 4096),
    "preserve": read_flag,
    "allocation": one_of("sparse", "full"),
    "shrink": read_flag,
    "volatile": read_flag,
    "owner": read_text,
    "group": read_text,
    "mode": read_text,
    "seuser": read_text,
    "serole": read_text,
    "setype": read_text,
    "selevel": read_text,
}
LOOP_OPTIONS: Dict[str, Reader] = {
    "direct_io": read_flag,
    "sector_size": one_of(512, 1024, 2048, 4096),
}
VBD_OPTIONS: Dict[str, Reader] = {
    **{
        name: reader_of(option)
        for name, option in disk_options.WITH_TARGET.items()
        if name not in ("target", "vdev")
    },
    "backend": read_backend,
}
"""What is said about a disk to xl, beside what it is and where the guest finds it."""

ATTACH_OPTIONS: Dict[str, Reader] = {"wait_for": one_of("connected", "offered")}
"""Of a disk that is attached to a running domain, and not of one in a config."""

DISK_OPTIONS: Dict[str, Reader] = {
    "name": read_name,
    "state": STATE,
    "path": read_text,
    "target": read_text,
    "vdev": read_vdev,
    "loop": read_flag,
    **IMAGE_OPTIONS,
    **LOOP_OPTIONS,
    **VBD_OPTIONS,
    **ATTACH_OPTIONS,
    "block": read_text,
    "xenstore_id": read_flag,
    "allow_slot_change": read_flag,
}
DOMAIN_OPTIONS: Dict[str, Reader] = {
    "name": read_name,
    "state": STATE,
    "disks": read_list,
    "config": read_config,
    "config_path": read_host_path,
    "autostart": read_flag,
    "allow_slot_change": read_flag,
    "unlisted_disks": one_of("refuse", "keep", "remove"),
    "overwrite": read_flag,
    "template": read_template,
    "kernel": read_path,
    "memory": read_memory,
    "networks": read_networks,
}


# ---- reading what was written ----


class OptionsReader:
    """Reads options and keeps what is wrong with them."""

    def __init__(self) -> None:
        self.problems: List[str] = []

    def options(self, place: str, written: object, known: Mapping[str, Reader]) -> Options:
        """The options whose values are good; an option of null is as one that is left out."""
        given = self.read(place, read_dictionary, written)
        if given is None:
            return {}
        for option in given:
            if option not in known:
                self.problem(place, f"{shown(option)} is no option: {nearest(option, known)}")
        if given.get("name") is None:
            self.problem(place, "it has no name")
        read = {
            option: self.read(f"{place}: {option}", reader, given[option])
            for option, reader in known.items()
            if given.get(option) is not None
        }
        return {option: value for option, value in read.items() if value is not None}

    def read(self, place: str, reader: Callable[[Any], Any], value: object) -> Any:
        """What ``reader`` makes of the value; None after a problem."""
        try:
            return reader(value)
        except BlockdevError as error:
            self.problem(place, str(error))
            return None

    def problem(self, place: str, problem: str) -> None:
        """Keep a problem and where it is."""
        self.problems.append(f"{place}: {problem}")


def with_name(place: str, written: object) -> str:
    """The place with the name of what was written there, if it has one."""
    try:
        return f"{place} ({read_name(read_dictionary(written).get('name'))})"
    except InventoryError:
        return place


# ---- what a message shows ----


def nearest(option: object, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(option, known, n=1) if isinstance(option, str) else []
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def shown(value: object) -> str:
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
