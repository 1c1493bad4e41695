# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks of domains that are saved in a file and will go on from it.

xendomains saves running guests when the host shuts down and restores them when it boots. A guest
that goes on finds in its memory what it knew of its disks, so nobody may have written to them. What
C(xl save) writes begins with a header and the domain's configuration in JSON (save_file_header in
xl.h of Xen).
"""

from __future__ import annotations

import json
import os
import shlex
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Iterator, List, Mapping

DEFAULT_DIR = "/var/lib/xen/save"
SETTINGS = ("/etc/default/xendomains", "/etc/sysconfig/xendomains")
"""Where distributions have the settings of xendomains."""

MAGIC = b"Xen saved domain, xl format\n \0 \r"
BYTE_ORDER = 0x01020304
JSON_FLAG = 1
"""XL_MANDATORY_FLAG_JSON: the configuration is in JSON, as Xen 4.5 and later write it."""

MAX_CONFIG = 2**20
"""Bytes that are read of a file, which goes on with the guest's memory."""


@dataclass(frozen=True)
class SavedDisk:
    """A disk that a saved domain will have again."""

    domain: str
    vdev: str
    target: str
    """As the domain had it."""
    read_only: bool
    file: str
    """Where the domain is saved."""
    format: str = "raw"
    """What is in the target, as xl calls that."""


def saved_disks() -> List[SavedDisk]:
    """The disks of all domains that xendomains will restore. Raises OSError."""
    return [disk for path in _files(directory()) for disk in read(path)]


def directory() -> str:
    """Where xendomains saves domains on this host. Raises OSError."""
    found = ""
    for path in SETTINGS:
        with suppress(*NOT_THERE), open(path, encoding="utf-8", errors="replace") as settings:
            for line in settings:
                name, _equals, value = line.strip().partition("=")
                if name == "XENDOMAINS_SAVE":
                    found = _word(value)  # the last one counts, as for a shell
    return found or DEFAULT_DIR


def _word(value: str) -> str:
    """What a shell makes of a word without variables."""
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
    """The disks of the domain that is saved in the file at C(path); none where it is no such file
    or has a configuration that is older than xl's JSON. Raises OSError."""
    try:
        with open(path, "rb") as saved:
            return parse(saved.read(MAX_CONFIG), path)
    except (*NOT_THERE, *NOT_SAVED):
        return []


NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""What comes of looking where nothing is saved, or nothing any more. Whatever else goes wrong must
not make the disks of a saved domain look unused."""

NOT_SAVED = (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error)
"""What comes of reading what xl has not written."""

_HEADER = struct.Struct("=32s4I")
"""Magic, byte order, mandatory flags, optional flags, length of what follows."""


def parse(data: bytes, path: str) -> List[SavedDisk]:
    """The disks in what the file at C(path) begins with. Raises one of NOT_SAVED where it is no
    such file."""
    config = json.loads(_configuration(data).decode("utf-8", "replace"))
    domain = str(config["c_info"]["name"])
    return [_disk(domain, disk, path) for disk in config.get("disks", ()) if disk.get("pdev_path")]


def _configuration(data: bytes) -> bytes:
    if len(data) < _HEADER.size:
        raise ValueError("it ends within its header")
    magic, order, flags, _optional, length = _HEADER.unpack_from(data)
    if (magic, order) != (MAGIC, BYTE_ORDER) or not flags & JSON_FLAG:
        raise ValueError("it does not begin as what xl saves")
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
