# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values that the keys of a disk can have, each checked by itself."""

from __future__ import annotations

from typing import Union

from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk import hints as disk_hints
from ansible_collections.xen.blockdev.plugins.module_utils.disk.options import KEYS
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, type_name

DiskValue = Union[str, int, bool]

MAX_PORT = 65535


class DiskSpecError(BlockdevError):
    """A disk that xl's syntax cannot express, or a text that does not specify a disk."""


def checked(key: str, value: object) -> DiskValue:
    """The value of a key as ``DiskSpec`` has it: ``access: w`` is rw, a number as ``vdev`` is text.

    Raises DiskSpecError if xl's syntax cannot express it, or libxl would refuse it.
    """
    if KEYS[key].flag:
        return _flag(key, value)
    if KEYS[key].port:
        return _port(key, value)
    if key == "vdev":
        return _vdev(value)
    if not isinstance(value, str):
        raise DiskSpecError(f"{key} is text, not {type_name(value)}; leave it out for xl's default")
    return choice(key, value) if KEYS[key].choices else _text(key, value)


def choice(key: str, value: str) -> str:
    """The choice that a text stands for. Raises DiskSpecError."""
    meaning = KEYS[key].meaning(value)
    if meaning is None:
        accepted = ", ".join(KEYS[key].choices)
        hint = disk_hints.of_spelling(value, KEYS[key].accepted)
        raise DiskSpecError(f"{key} cannot be {abridged(value)}: accepted are {accepted}{hint}")
    return meaning


def abridged(value: object) -> str:
    """A value in an error: cut if it is long, and its type only if it is no text."""
    return f"{value!r:.200}" if isinstance(value, (str, bool)) else type_name(value)


def _flag(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise DiskSpecError(f"{key} is true or false, not {abridged(value)}")
    if value not in KEYS[key].words:
        raise DiskSpecError(f"xl cannot say {key}: false, which is its default: leave {key} out")
    return value


def _port(key: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_PORT:
        return int(value)
    raise DiskSpecError(f"{key} is a TCP port, a number from 1 to {MAX_PORT}")


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


def _text(key: str, value: str) -> str:
    if not value:
        raise DiskSpecError(f"{key} is empty: leave it out for xl's default")
    # xl has no escape for these; only target, which ends a specification, may hold a comma.
    refused = "\n\0" if key == "target" else "\n\0,"
    for character in refused:
        if character in value:
            raise DiskSpecError(f"{key} cannot contain {character!r}: {abridged(value)}")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise DiskSpecError(f"{key} cannot be encoded as UTF-8: {abridged(value)}") from error
    return value
