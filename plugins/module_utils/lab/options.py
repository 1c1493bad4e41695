# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user may ask of a lab: names, paths and numbers that everything behind can take."""

from __future__ import annotations

import re
from typing import Iterator, Optional, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""It names a directory and an inventory host, in which colons and brackets have a meaning."""

TAKEN_NAMES = ("all", "localhost", "ungrouped", "xen")
"""Those that an inventory has already, or that are this machine."""

NOT_IN_PATHS = re.compile(r'["%$\\\x00-\x1f\x7f]')
"""What SSH takes for more than a part of a file's name, and Ansible does not quote for it."""

RELEASE = re.compile(r"[a-z][a-z0-9.-]*")
PACKAGE = re.compile(r"[A-Za-z0-9?][^\s,]*")
MIRROR = re.compile(r"[a-z][a-z0-9+]*:/\S+")
"""mmdebstrap takes other words for the name of a file, an option, or a line of sources.list."""

MEMORY = range(1024, (1 << 20) + 1)
"""MiB. With less dom0 does not come up."""

CPUS = range(1, 65)
PORTS = range(1, 65536)


def check_name(name: str) -> None:
    """Raise BlockdevError if ``name`` cannot be that of a lab."""
    if not NAME.fullmatch(name):
        raise BlockdevError(
            f"invalid name of a lab: {name!r} (xen_lab_name); use a letter or digit, then at most "
            "62 letters, digits, dots, underscores and hyphens"
        )
    if name in TAKEN_NAMES or re.fullmatch(r"[0-9.]+", name):
        raise BlockdevError(
            f"invalid name of a lab: {name!r} (xen_lab_name) means something else in an inventory; "
            "choose another"
        )


def check_cache(path: str) -> None:
    """Raise BlockdevError if ``path`` cannot be the directory of all labs."""
    if not path.startswith("/"):
        raise BlockdevError(f"{path!r} is not an absolute path of a directory (xen_lab_cache)")
    bad = NOT_IN_PATHS.search(path)
    if bad:
        raise BlockdevError(
            f"{path!r} contains {bad[0]!r}, which cannot be passed to SSH; choose another "
            "directory (xen_lab_cache)"
        )


def check_dom0(release: str, packages: Sequence[str], mirror: Optional[str]) -> None:
    """Raise BlockdevError, with all that is wrong, where dom0 cannot be built from that."""
    _raise_all(_faults_of_dom0(release, packages, mirror))


def check_machine(memory: int, cpus: int, port: Optional[int], boot_seconds: float) -> None:
    """Raise BlockdevError, with all that is wrong, where there cannot be such a machine.

    ``memory``: in MiB.
    """
    _raise_all(_faults_of_machine(memory, cpus, port, boot_seconds))


def _raise_all(faults: Iterator[str]) -> None:
    sentence = "; ".join(faults)
    if sentence:
        raise BlockdevError(sentence)


def _faults_of_dom0(release: str, packages: Sequence[str], mirror: Optional[str]) -> Iterator[str]:
    if not RELEASE.fullmatch(release):
        yield f"{release!r} is not the code name of a release of Debian (xen_lab_release)"
    for package in packages:
        if not PACKAGE.fullmatch(package):
            yield f"{package!r} is not the name of a package (xen_lab_packages)"
    if mirror and not MIRROR.fullmatch(mirror):
        yield f"{mirror!r} is not the URL of a mirror (xen_lab_mirror)"


def _faults_of_machine(
    memory: int, cpus: int, port: Optional[int], boot_seconds: float
) -> Iterator[str]:
    if memory not in MEMORY:
        yield (
            f"{memory} MiB of memory (xen_lab_memory) are not between {MEMORY[0]} and {MEMORY[-1]}"
        )
    if cpus not in CPUS:
        yield f"{cpus} processors (xen_lab_cpus) are not between {CPUS[0]} and {CPUS[-1]}"
    if port is not None and port not in PORTS:
        yield f"port {port} (xen_lab_port) is not between {PORTS[0]} and {PORTS[-1]}"
    if not 0 < boot_seconds < float("inf"):
        yield f"{boot_seconds:g} s is not a time to wait for (xen_lab_boot_timeout)"
