# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to write instead of disk specifications that xl rejects.

xl names the word at which it stopped. The mistake is often another word: a field that is missing
before it, or a habit from xm, whose syntax had other fields (xm's xmdomain.cfg(5)). A hint begins
with its separator, so that it can follow an error; it is empty if nothing is known.
"""

from __future__ import annotations

import difflib
import posixpath
import re
from typing import Iterable, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk.options import KEYS, xl_name

ORDER = "target,format,vdev,access"
PREFIXED_ORDER = "target,vdev,access"

SHARED = (
    "xm used it for a disk to which several guests write, and xl has no such access; give a shared "
    "disk access ro (or r) in all of its guests"
)

PREFIXES = (
    "phy:, file:, tap:, tap2:, tapdisk:, aio:, ioemu:, raw:, qcow:, qcow2:, vhd:, iscsi:, nbd:, "
    "enbd: and drbd:"
)
"""The deprecated prefixes that libxl's libxlu_disk_l.l knows."""

_FLAG_WORDS = ("cdrom", *(word for option in KEYS.values() for word in option.words.values()))
_NAMES = tuple(xl_name(key) for key, option in KEYS.items() if not option.flag)
_OTHER_KEYS = {
    "mode": "access=ro or access=rw",
    "readonly": "access=ro",
    "path": "target=",
    "file": "target=",
    "dev": "vdev=",
    "type": "devtype= or format=",
    "driver": "format=",
    "backend-domain": "backend=",
}
"""Keys of other programs, and those of xl to write instead."""

_UNREAD_FORMATS = ("vmdk", "vdi", "vhdx", "cow", "iso")
_LIKE_A_PREFIX = re.compile(r"[a-z][a-z0-9]*:")
_TRIMMED = " \t\r'\""


def of_spelling(word: str, accepted: Iterable[str]) -> str:
    """The accepted word that differs in case, or by blanks or quotes at its ends."""
    right = word.strip(_TRIMMED).lower()
    if right == word or right not in accepted:
        return ""
    return f"; write {right}, in lower case and without blanks or quotes"


def of_missing_format(word: str, target: str) -> Optional[str]:
    """The problem with a slot in the place of the format; None if it is no slot."""
    if not target or not _is_slot(word):
        return None
    unknown = of_unknown_prefix(target)
    if unknown:
        return unknown
    ending = posixpath.splitext(target)[1][1:]
    guessed = ending if ending in ("qcow", "qcow2", "vhd", "qed") else "raw"
    return (
        f"the format field is missing before {word!r}: write {target},{guessed},{word} "
        f"and then the access; the order is {ORDER}"
    )


def of_misplaced_slot(word: str, vdev: str, target: str, prefix: str) -> Optional[str]:
    """The problem with a slot in the place of the access; None if it is no slot. ``vdev``: what is
    in the place of the slot. ``prefix``: the deprecated one before the target."""
    if not _is_slot(word) or _is_slot(vdev):
        return None
    if prefix:
        return (
            f"there is no format field after the prefix {prefix!r}, but {vdev!r} is in the place "
            f"of the slot: write {prefix}{target},{word} and then the access; the order is "
            f"{PREFIXED_ORDER}"
        )
    return (
        f"{word!r} is in the place of the access and {vdev!r} in that of the slot: the order is "
        f"{ORDER}"
    )


def of_surplus(word: str) -> str:
    """What to do with a word after the last position."""
    if not word:
        return f": the last of {ORDER} was given already"
    return (
        f": the last of {ORDER} was given already; name the key, such as backend={word} if it is "
        "the domain that serves the disk"
    )


def of_unknown_prefix(target: str) -> Optional[str]:
    """The problem with what looks like a prefix of the target, which for xl is part of the name of
    a file; None without one."""
    match = _LIKE_A_PREFIX.match(target)
    if not match:
        return None
    return f"{match.group()!r} is not a prefix that xl knows{of_prefix(match.group())}"


def of_prefix(prefix: str) -> str:
    """What to write in place of an unknown prefix, which ends in a colon."""
    word = prefix[:-1]
    if _is_slot(word):
        return ": after a slot, write :cdrom or :disk, in lower case"
    if word in KEYS["format"].choices:
        return f": omit it and write format={word}"
    if word in _UNREAD_FORMATS:
        return f": xl cannot read {word} images; convert it to raw or qcow2"
    return (
        f"; it knows {PREFIXES}. Use script= for a hotplug script, or backendtype=qdisk and, last, "
        "target= for what QEMU opens"
    )


def of_key(key: str) -> str:
    """The right key in place of an unknown one."""
    flag = key.replace("_", "-")
    values = [word for word in _FLAG_WORDS if word.startswith(f"{key}=")]
    if values:
        return f": write {' or '.join(values)}"
    if flag in _FLAG_WORDS:
        return f": {flag} is a flag; write it without = and a value"
    if key in _OTHER_KEYS:
        return f": write {_OTHER_KEYS[key]}"
    near = difflib.get_close_matches(key, _NAMES, n=1)
    return f": did you mean {near[0]}?" if near else ""


def of_nonsense(rest: str) -> str:
    """Why what begins with ``rest`` is no parameter."""
    if not rest.startswith("="):
        return ""
    return "; a key is in lower case, with no blank before the equals sign"


def of_no_vdev(target: str, prefix: str) -> str:
    """Why a specification with this target may have no slot."""
    if "," in target:
        return f": everything after target= is the target, {target!r}; put target= last"
    order = PREFIXED_ORDER if prefix else ORDER
    return f", the slot in the guest: the order is {order}, with commas between them"


def _is_slot(word: str) -> bool:
    vdev = word.partition(":")[0]
    try:
        device_number.parse(vdev)
    except device_number.DeviceNumberError:
        return False
    return True
