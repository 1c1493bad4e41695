# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What will stop: file systems that have promised more than they have, and slots without a disk."""

from __future__ import annotations

from collections import defaultdict
from typing import Dict, Iterator, List, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.audit.codes import finding
from ansible_collections.xen.blockdev.plugins.module_utils.audit.index import HostIndex
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import AuditFinding
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.promises import (
    FILE_SYSTEM_REMEDY,
    DiskStore,
    PromisedDisk,
)
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    MountedFileSystem,
)
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_about

NEARLY_FULL = 20
"""A file system is nearly full if less than one part of so many is free."""


def space_findings(
    host: HostIndex, stores: Sequence[Tuple[MountedFileSystem, DiskStore]]
) -> Iterator[AuditFinding]:
    """All findings of this file. ``stores``: those of the host."""
    for _file_system, store in stores:
        if store.excess:
            yield _overcommitted(host, store)
    for disk in host.survey.disks:
        for vbd in disk.attached:
            if vbd.flaw is not None:
                yield finding(
                    "occupied-slot",
                    host.at_disk(disk, vbd.storage or vbd.target),
                    vbd.flaw + (f": {vbd.hotplug_error}" if vbd.hotplug_error else ""),
                    "xen.blockdev.provision detaches what is left over from a failed attach; a "
                    "guest that does not release the disk needs --force, or a restart",
                )


def _overcommitted(host: HostIndex, store: DiskStore) -> AuditFinding:
    is_nearly_full = store.free * NEARLY_FULL < store.size
    left = store.promised - store.taken
    return finding(
        "nearly-full" if is_nearly_full else "overcommitted",
        host.at(path=store.name),
        f"{format_about(store.free)} of {format_about(store.size)} are free, and guests may still "
        f"take {format_about(left)} by the images on it: {store.takers}",
        store.remedy,
        size=store.excess,
    )


def stores_of(host: HostIndex) -> Sequence[Tuple[MountedFileSystem, DiskStore]]:
    """The file systems of a host with the images on them to which guests may write.

    An image of another format than raw counts only with what it takes: how large its guest sees it
    is not known. What is reserved for root counts as free: loop devices and QEMU write as root.
    """
    disks: Dict[str, List[PromisedDisk]] = defaultdict(list)
    for storage, uses in host.used():
        file = storage.file
        if file is None or file.file_system is None or file.size is None:
            continue
        written = [use for use in uses if use.may_write]
        if not written:
            continue
        taken = file.allocated or 0
        is_raw = any(use.format == "raw" and use.role is None for use in written)
        size = file.size if is_raw else taken
        domains = tuple(dict.fromkeys(use.domain for use in written))
        disks[file.file_system].append(PromisedDisk(file.path, size, taken, domains))
    return [
        (one, _store(one, one.size, one.free, disks[one.mount_point]))
        for one in host.survey.file_systems
        if one.size and one.free is not None
    ]


def _store(
    file_system: MountedFileSystem, size: int, free: int, disks: Sequence[PromisedDisk]
) -> DiskStore:
    point = file_system.mount_point
    return DiskStore(
        name=point,
        what=f"the file system of {point}",
        remedy=FILE_SYSTEM_REMEDY,
        size=size,
        free=free,
        disks=disks,
    )
