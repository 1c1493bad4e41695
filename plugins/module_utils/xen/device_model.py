# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What QEMU says of the drives that it emulates for an HVM guest.

xenstore has what libxl wrote; which medium is in a drive, and whether the guest still uses the
drive, only QEMU knows. A guest with PV drivers has QEMU give up the emulated disks when it boots.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host import qmp
from ansible_collections.xen.blockdev.plugins.module_utils.host.qmp import (
    NotListeningError,
    QmpError,
)

RUN_DIR = "/var/run/xen"
"""libxl's XEN_RUN_DIR."""

SECONDS = 30
"""How long QEMU may take to answer. It does not while another program asks it."""

_FDSET = "/dev/fdset/"
"""QEMU's name of a file that it was given open, before the number of its set."""


@dataclass(frozen=True)
class EmulatedDrive:
    """A drive that QEMU emulates for a guest now."""

    name: str
    """QEMU's: ``ide0-hd0``, ``ide-5632``."""
    medium: Optional[str]
    """The path that was opened; None if the drive is empty."""
    is_locked: bool = False
    """Whether the guest keeps the medium in: it has locked the tray, which is closed."""


def is_in_dom0(domid: int) -> bool:
    """Whether a QEMU in dom0 was started for a domain; not, if it has one in a stub domain."""
    return os.path.exists(_socket_of(domid))


def _socket_of(domid: int) -> str:
    # libxl has a socket of its own, since QEMU talks to one client at a time on each.
    return f"{RUN_DIR}/qmp-libxenstat-{domid}"


def drives(domid: int) -> List[EmulatedDrive]:
    """The drives that QEMU emulates for a domain; none if no QEMU in dom0 runs for it.

    A disk that QEMU only serves to PV drivers (``qdisk``) is none of them. Raises XenError if there
    is a QEMU that does not answer.
    """
    try:
        with qmp.connect(_socket_of(domid), SECONDS) as qemu:
            blocks: List[Dict[str, Any]] = qemu.execute("query-block")
            files = [block.get("inserted", {}).get("file", "") for block in blocks]
            has_sets = any(file.startswith(_FDSET) for file in files)
            sets = qemu.execute("query-fdsets") if has_sets else []
    except NotListeningError:
        return []
    except QmpError as error:
        raise XenError(f"cannot ask the QEMU of domain {domid} for its drives: {error}") from None
    paths = _paths_of_sets(sets)
    return [
        EmulatedDrive(
            name=block["device"],
            medium=paths.get(file, file) or None,
            is_locked=bool(block.get("locked")) and not block.get("tray_open"),
        )
        for block, file in zip(blocks, files)
        if block.get("device")
    ]


def drive_now(domid: int, name: str) -> EmulatedDrive:
    """The drive of a domain that QEMU calls ``name``. Raises XenError if QEMU does not tell."""
    found = next((drive for drive in drives(domid) if drive.name == name), None)
    if found is None:
        raise XenError(f"QEMU does not emulate drive {name} of domain {domid} any more")
    return found


def _paths_of_sets(sets: Iterable[Mapping[str, Any]]) -> Dict[str, str]:
    """By QEMU's name of a set, the path of its file, which libxl says together with the format when
    it passes a medium: ``raw:/srv/tools.iso`` (libxl_disk.c)."""
    return {
        f"{_FDSET}{one['fdset-id']}": str(fd.get("opaque", "")).partition(":")[2]
        for one in sets
        for fd in one.get("fds", [])[:1]
    }
