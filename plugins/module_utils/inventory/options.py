# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a domain and of a disk in the inventory, and the values that each accepts."""

from __future__ import annotations

import difflib
import posixpath
import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Mapping

from ansible_collections.xen.blockdev.plugins.module_utils import units
from ansible_collections.xen.blockdev.plugins.module_utils.config import mirage_xl
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk import options as disk_options
from ansible_collections.xen.blockdev.plugins.module_utils.disk import target as disk_target
from ansible_collections.xen.blockdev.plugins.module_utils.disk.device_number import DeviceNumber
from ansible_collections.xen.blockdev.plugins.module_utils.disk.options import DiskOption
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, type_name
from ansible_collections.xen.blockdev.plugins.module_utils.volume import names as volume_names

Options = Dict[str, Any]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NAME_LENGTH = 200
"""In characters. A file name on Linux has up to 255, including an extension."""

_BRIDGE = re.compile(r"[A-Za-z0-9._:-]+")
"""Including the VLANs that Open vSwitch accepts after the name, as in ``br0.10:20``."""

_MAX_MEMORY = 2**40
"""In MiB; more than any host has, and far below the limit of xl's numbers."""

EXPANDED = "contains $, which Ansible would expand as a variable"


class InventoryError(BlockdevError):
    """A value that an option does not accept."""


@dataclass(frozen=True)
class Vdev:
    """The slot of a disk."""

    text: str
    """As it was written: results repeat it."""
    slot: DeviceNumber


ValueReader = Callable[[object], Any]
"""Converts the value that the user wrote. Raises BlockdevError if it is not accepted."""


def read_text(value: object) -> str:
    if isinstance(value, str):
        return value
    hint = "" if value is None or isinstance(value, (list, Mapping)) else ": put it in quotes"
    raise InventoryError(f"must be text, not {described(value)}{hint}")


def read_flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise InventoryError(f"must be true or false, not {described(value)}")


def one_of(*accepted: object) -> ValueReader:
    """Accepts these words or these numbers."""

    def read(value: object) -> object:
        if isinstance(value, type(accepted[0])) and value in accepted:
            return value
        words = [str(word) for word in accepted]
        raise InventoryError(
            f"must be {', '.join(words[:-1])} or {words[-1]}, not {described(value)}"
        )

    return read


def reader_of(option: DiskOption) -> ValueReader:
    """Accepts the values of an option of a disk; xl's synonyms become the usual words."""
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
            f"{described(name)} is not a name: use letters, digits and . _ -, and begin with a "
            "letter or digit"
        )
    if name.isdigit():
        raise InventoryError(
            f"{described(name)} is a number, which xl would take for a domain ID: add a letter"
        )
    if len(name) > _NAME_LENGTH:
        raise InventoryError(f"{described(name)} is longer than {_NAME_LENGTH} characters")
    if name == "Domain-0":
        raise InventoryError("Domain-0 is dom0 itself")
    return name


def read_path(value: object) -> str:
    path = read_text(value)
    normal = "/" + posixpath.normpath(path).lstrip("/")
    if not path.startswith("/"):
        raise InventoryError(f"{described(path)} is not absolute")
    if "\0" in path:
        raise InventoryError(f"{described(path)} contains a NUL character")
    if path != normal:
        raise InventoryError(f"{described(path)} is not normalized: use {described(normal)}")
    return path


def read_host_path(value: object) -> str:
    """A path for one of our modules, which would expand an environment variable in it."""
    path = read_path(value)
    if "$" in path:
        raise InventoryError(f"{described(path)} {EXPANDED}")
    return path


def read_directory(value: object) -> str:
    """An absolute path that may end in a slash."""
    path = read_text(value)
    return read_host_path(path[:-1] if path.endswith("/") and path != "/" else path)


def read_vdev(value: object) -> Vdev:
    slot = device_number.parse(value)
    return Vdev(str(value), slot)


def read_list(value: object) -> List[Any]:
    if isinstance(value, list):
        return value
    raise InventoryError(f"must be a list, not {described(value)}")


def read_dictionary(value: object) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    raise InventoryError(f"must be a dictionary, not {described(value)}")


def read_config(value: object) -> Mapping[str, object]:
    options = read_dictionary(value)
    config_text.check_options(options)
    return options


def read_template(value: object) -> mirage_xl.MirageConfig:
    return mirage_xl.parse(read_text(value))


def read_memory(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MAX_MEMORY:
        return int(value)
    raise InventoryError(f"must be a whole number of MiB, not {described(value)}")


def read_networks(value: object) -> Mapping[str, str]:
    """Bridges by the names of networks. MirageOS calls its default network "0", which is text."""
    networks = read_dictionary(value)
    return {read_text(network): _bridge(networks[network]) for network in networks}


def _bridge(value: object) -> str:
    bridge = read_text(value)
    if not _BRIDGE.fullmatch(bridge):
        raise InventoryError(
            f"{described(bridge)} is not the name of a bridge: use letters, digits and . _ : -"
        )
    return bridge


def read_group(value: object) -> str:
    return volume_names.check_group(read_text(value))


def read_tags(value: object) -> List[str]:
    return [volume_names.check_tag(read_text(tag)) for tag in read_list(value)]


def read_stripes(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return int(value)
    raise InventoryError(f"must be a positive whole number, not {described(value)}")


STATE = one_of("present", "absent")
CONTENT_OPTIONS: Dict[str, ValueReader] = {
    "size": units.parse_size,
    "source": read_host_path,
    "source_format": one_of("raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "qed"),
    "filesystem": one_of("ext2", "ext3", "ext4", "vfat", "xfs", "swap", "iso9660", "tar"),
    "label": read_text,
    "fat_sector_size": one_of(512, 4096),
    "preserve": read_flag,
    "shrink": read_flag,
}
"""Options of whatever is created for a disk: an image or a logical volume."""

IMAGE_OPTIONS: Dict[str, ValueReader] = {
    **CONTENT_OPTIONS,
    "allocation": one_of("sparse", "full"),
    "volatile": read_flag,
    "owner": read_text,
    "group": read_text,
    "mode": read_text,
    "seuser": read_text,
    "serole": read_text,
    "setype": read_text,
    "selevel": read_text,
}
# Which names LVM accepts depends on the group, so the names are checked with it.
VOLUME_OPTIONS: Dict[str, ValueReader] = {
    "volume_group": read_group,
    "volume": read_text,
    "thin_pool": read_text,
    "stripes": read_stripes,
    "tags": read_tags,
    "wipe": read_flag,
}
LOOP_OPTIONS: Dict[str, ValueReader] = {
    "direct_io": read_flag,
    "sector_size": one_of(512, 1024, 2048, 4096),
}
VBD_OPTIONS: Dict[str, ValueReader] = {
    **{
        name: reader_of(option)
        for name, option in disk_options.OPTIONS.items()
        if name not in ("target", "vdev")
    },
    "backend": read_backend,
}
"""The options of a disk for xl, except for its target and slot."""

ATTACH_OPTIONS: Dict[str, ValueReader] = {"wait_for": one_of("connected", "offered")}
"""Options of a disk that is attached to a running domain, not of one in a config."""

DISK_OPTIONS: Dict[str, ValueReader] = {
    "name": read_name,
    "state": STATE,
    "path": read_text,
    "target": read_text,
    "vdev": read_vdev,
    "loop": read_flag,
    **IMAGE_OPTIONS,
    **VOLUME_OPTIONS,
    **LOOP_OPTIONS,
    **VBD_OPTIONS,
    **ATTACH_OPTIONS,
    "block": read_text,
    "xenstore_id": read_flag,
    "allow_slot_change": read_flag,
}
DOMAIN_OPTIONS: Dict[str, ValueReader] = {
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
    """Reads options and collects their problems."""

    def __init__(self) -> None:
        self.problems: List[str] = []

    def options(self, place: str, written: object, known: Mapping[str, ValueReader]) -> Options:
        """The options whose values are valid; null is the same as an option that is omitted."""
        given = self.read(place, read_dictionary, written)
        if given is None:
            return {}
        for option in given:
            if option not in known:
                self.problem(
                    place, f"{described(option)} is not an option: {suggestion(option, known)}"
                )
        if given.get("name") is None:
            self.problem(place, "name is missing")
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
        """Note a problem and its place."""
        self.problems.append(f"{place}: {problem}")


def with_name(place: str, written: object) -> str:
    """The place, with the name of the domain or disk there if it has one."""
    try:
        return f"{place} ({read_name(read_dictionary(written).get('name'))})"
    except InventoryError:
        return place


# ---- what a message shows ----


def suggestion(option: object, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(option, known, n=1) if isinstance(option, str) else []
    return f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"


def described(value: object) -> str:
    """The value, shortened and with its type, which may not be the one that the user expects."""
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
