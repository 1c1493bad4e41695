# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks of domains that are saved in a file and will be restored from it.

xendomains saves running guests when the host shuts down and restores them when it boots. A restored
guest has cached data of its disks in memory, so nothing may write to them before. A save file
begins with a header and the domain's configuration in JSON (save_file_header in Xen's xl.h).
"""

from __future__ import annotations

import json
import os
import shlex
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Iterator, List, Mapping, Optional, Sequence

DEFAULT_DIR = "/var/lib/xen/save"
SETTINGS = ("/etc/default/xendomains", "/etc/sysconfig/xendomains")
"""The settings of xendomains in several distributions."""

MAGIC = b"Xen saved domain, xl format\n \0 \r"
BYTE_ORDER = 0x01020304
JSON_FLAG = 1
"""XL_MANDATORY_FLAG_JSON: the configuration is in JSON (Xen 4.5 and later)."""

MAX_CONFIG = 2**20
"""Bytes to read of a file; the guest's memory follows the configuration."""


@dataclass(frozen=True)
class SavedDisk:
    """A disk that a saved domain will have once it is restored."""

    domain: str
    vdev: str
    target: str
    """The target that the domain had."""
    read_only: bool
    file: str
    """The path of the save file."""
    format: str = "raw"
    """The format of the target, as xl calls it."""


@dataclass(frozen=True)
class SavedDomain:
    """A domain that is saved in a file."""

    name: str
    file: str
    """The path of the save file."""
    disks: Sequence[SavedDisk]
    """Without empty drives."""


def saved_disks() -> List[SavedDisk]:
    """The disks of all domains that xendomains will restore. Raises OSError."""
    return [disk for domain in saved() for disk in domain.disks]


def saved() -> List[SavedDomain]:
    """All domains that xendomains will restore. Raises OSError."""
    return [domain for domain in map(read_domain, _files(directory())) if domain]


def directory() -> str:
    """The directory in which xendomains saves domains on this host. Raises OSError."""
    found = ""
    for path in SETTINGS:
        with suppress(*NOT_THERE), open(path, encoding="utf-8", errors="replace") as settings:
            for line in settings:
                name, _equals, value = line.strip().partition("=")
                if name == "XENDOMAINS_SAVE":
                    found = _word(value)  # the last one holds, as in a shell
    return found or DEFAULT_DIR


def _word(value: str) -> str:
    """The value of a word without variables, as a shell reads it."""
    try:
        return "".join(shlex.split(value, comments=True)[:1])
    except ValueError:
        return ""


def _files(path: str) -> Iterator[str]:
    with suppress(*NOT_THERE):
        for name in sorted(os.listdir(path)):
            file = os.path.join(path, name)
            if os.path.isfile(file):
                yield file


def read(path: str) -> List[SavedDisk]:
    """The disks of the domain that is saved in the file at ``path``; none if it is not a save file
    or its configuration is not in JSON. Raises OSError."""
    domain = read_domain(path)
    return list(domain.disks) if domain else []


def read_domain(path: str) -> Optional[SavedDomain]:
    """The domain that is saved in the file at ``path``; None if it is not a save file or its
    configuration is not in JSON. Raises OSError."""
    try:
        with open(path, "rb") as file:
            return parse_domain(file.read(MAX_CONFIG), path)
    except (*NOT_THERE, *NOT_SAVED):
        return None


NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""The errors if nothing is saved there. Any other error must not make the disks of a saved domain
look unused."""

NOT_SAVED = (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error)
"""The errors of reading a file that xl has not written."""

_HEADER = struct.Struct("=32s4I")
"""Magic, byte order, mandatory flags, optional flags, length of the rest."""


def parse(data: bytes, path: str) -> List[SavedDisk]:
    """The disks in the beginning of the save file at ``path``. Raises one of NOT_SAVED if it is not
    a save file."""
    return list(parse_domain(data, path).disks)


def parse_domain(data: bytes, path: str) -> SavedDomain:
    """The domain in the beginning of the save file at ``path``. Raises one of NOT_SAVED."""
    config = json.loads(_configuration(data).decode("utf-8", "replace"))
    name = str(config["c_info"]["name"])
    disks = [_disk(name, disk, path) for disk in config.get("disks", ()) if disk.get("pdev_path")]
    return SavedDomain(name, path, disks)


def _configuration(data: bytes) -> bytes:
    if len(data) < _HEADER.size:
        raise ValueError("it ends within its header")
    magic, order, flags, _optional, length = _HEADER.unpack_from(data)
    if (magic, order) != (MAGIC, BYTE_ORDER) or not flags & JSON_FLAG:
        raise ValueError("it does not have the header of a save file")
    (size,) = struct.unpack_from("=I", data, _HEADER.size)
    return data[_HEADER.size + 4 :][: min(size, length)].rstrip(b"\0")


def _disk(domain: str, disk: Mapping[str, Any], path: str) -> SavedDisk:
    return SavedDisk(
        domain=domain,
        vdev=str(disk["vdev"]),
        target=str(disk["pdev_path"]),
        # libxl leaves out what is 0.
        read_only=not disk.get("readwrite"),
        file=path,
        format=str(disk.get("format", "raw")),
    )
