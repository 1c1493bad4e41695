# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is against the rules: of the type of a guest, of who may read an image, and of the plan."""

from __future__ import annotations

import shlex
from collections import defaultdict
from dataclasses import fields
from typing import Dict, Iterator, List, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.audit.codes import finding
from ansible_collections.xen.blockdev.plugins.module_utils.audit.hosts import PlannedSlot
from ansible_collections.xen.blockdev.plugins.module_utils.audit.index import HostIndex
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import AuditFinding
from ansible_collections.xen.blockdev.plugins.module_utils.config import drives
from ansible_collections.xen.blockdev.plugins.module_utils.config.guest import Guest
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import DiskInConfig

_SPEC_KEYS = frozenset(one.name for one in fields(DiskSpec))


def rule_findings(host: HostIndex, planned: Sequence[PlannedSlot]) -> Iterator[AuditFinding]:
    """All findings of this file. ``planned``: the disks that ``xen_domains`` has for the host."""
    yield from _unfit(host)
    yield from _readable(host)
    yield from _moved(host, planned)


# ---- the type of the guest ----


def _unfit(host: HostIndex) -> Iterator[AuditFinding]:
    for path, disks in _disks_by_config(host).items():
        config = host.configs.get(path)
        if config is None or config.guest is None:
            continue
        yield from _judged(host, path, config.guest, disks)


def _judged(
    host: HostIndex, path: str, guest: Guest, disks: Sequence[Tuple[str, DiskInConfig]]
) -> Iterator[AuditFinding]:
    config = host.configs[path]
    specs = [_spec_in_config(disk) for _slot, disk in disks]
    found = drives.judge(guest, specs)
    for code, ones in (("unfit-disk", found.problems), ("unseen-disk", found.warnings)):
        for one in ones:
            slot, _disk = disks[one.disk]
            yield finding(
                code,
                host.at(config.domain, slot, path),
                one.text,
                f"change the disk in {path}, or in xen_domains and run xen.blockdev.provision",
            )


def _disks_by_config(host: HostIndex) -> Dict[str, List[Tuple[str, DiskInConfig]]]:
    """By the path of a config, its disks in its order, each with its slot. Those that cannot be
    read are left out: they are findings of their own."""
    found: Dict[str, List[Tuple[str, DiskInConfig]]] = defaultdict(list)
    for disk in host.survey.disks:
        for one in disk.configured:
            if one.said is not None and disk.xenstore_key is not None:
                found[one.config].append((str(disk.vdev), one))
    for disks in found.values():
        disks.sort(key=lambda one: one[1].position)
    return found


def _spec_in_config(disk: DiskInConfig) -> DiskSpec:
    """The disk as the config says it: what it says was checked when it was read."""
    return DiskSpec(**{key: value for key, value in (disk.said or {}).items() if key in _SPEC_KEYS})


# ---- who can read it ----


def _readable(host: HostIndex) -> Iterator[AuditFinding]:
    """Images that a guest writes to: what all guests only read is seldom a secret."""
    for storage, uses in host.used():
        file = storage.file
        written = [use for use in uses if use.may_write]
        if file is None or not file.read_by_others or not written:
            continue
        places = [use.place for use in written]
        yield finding(
            "readable-by-others",
            places[0],
            f"{file.path} has the mode {file.mode}, and every user may pass its directories",
            f"chmod o= {shlex.quote(file.path)}, or mode: '0600' for the disk in xen_domains",
            others=places[1:],
        )


# ---- the plan ----


def _moved(host: HostIndex, planned: Sequence[PlannedSlot]) -> Iterator[AuditFinding]:
    """Disks of the plan that are in another slot of their domain."""
    there: Dict[Tuple[str, int], List[str]] = {}
    slots: Dict[Tuple[str, str], List[Tuple[int, str, str]]] = defaultdict(list)
    for disk in host.survey.disks:
        if disk.domain is None or disk.xenstore_key is None:
            continue
        where = [(one.config, one.target, one.storage) for one in disk.configured]
        where += [("the running guest", one.target, one.storage) for one in disk.attached]
        there[disk.domain, disk.xenstore_key] = []
        for who, target, storage in where:
            for data in {target, storage} - {None}:
                there[disk.domain, disk.xenstore_key].append(str(data))
                slots[disk.domain, str(data)].append((disk.xenstore_key, str(disk.vdev), who))
    for one in planned:
        if one.data in there.get((one.domain, one.xenstore_key), ()):
            continue
        for _key, vdev, who in slots.get((one.domain, one.data), ())[:1]:
            yield finding(
                "slot-moved",
                host.at(one.domain, vdev, one.data),
                f"xen_domains has the disk {one.name} as {one.vdev}, and {who} has it as {vdev}",
                f"write vdev: {vdev} for the disk in xen_domains; to move it, run "
                "xen.blockdev.provision with allow_slot_change: true",
            )
