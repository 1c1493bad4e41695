# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the disks that a config gets fit the type of its guest.

What a config has already is not judged, as long as neither the disk nor the guest changes: it is
not for this run to say that a guest which starts must be another one.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Iterable, List, Set

from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.config.config_file import (
    Config,
    ConfigError,
)
from ansible_collections.xen.blockdev.plugins.module_utils.config.drives import (
    Finding,
    Judgement,
    judge,
    warnings_of,
)
from ansible_collections.xen.blockdev.plugins.module_utils.config.guest import Guest, guest_of
from ansible_collections.xen.blockdev.plugins.module_utils.disk.listed import ListedDisk, specs_of
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.resources.domain_config_item import (
    DomainConfigItem,
)


def warnings_of_drives(
    item: DomainConfigItem,
    config: Config,
    former: Iterable[Config],
    text: str,
    listed: Iterable[ListedDisk],
) -> List[str]:
    """What the guest will not see of the ``listed`` disks once its config has this ``text``.

    ``former``: see ``FormerConfigs.or_itself``. Raises ConfigError if the guest would not start.
    """
    try:
        guest = guest_of(config_text.settings(text))
    except BlockdevError:
        if item.only_disks(config):
            return []  # xl does not start it as it is, whatever its disks.
        raise
    disks = specs_of(listed)
    if item.only_disks(config):
        disks = _as_config_writes(config, disks)
    had = {disk for one in former for disk in _disks_of(one, guest)}
    new = {index for index, disk in enumerate(disks) if _as_told_apart(disk) not in had}
    found = judge(guest, disks)
    problems = _about(new, found.problems)
    if problems:
        raise ConfigError("; ".join(f"disk {disks[one.disk].vdev}: {one.text}" for one in problems))
    return warnings_of(item.domain, disks, Judgement(warnings=_about(new, found.warnings)))


def _as_config_writes(config: Config, disks: Iterable[DiskSpec]) -> List[DiskSpec]:
    """The disks with the slots as they are written in the config, which keeps that."""
    written = {disk.slot: disk.vdev for disk in _read(config)}
    return [replace(disk, vdev=written.get(disk.slot, disk.vdev)) for disk in disks]


def _disks_of(config: Config, guest: Guest) -> List[DiskSpec]:
    """The disks of a config, if it is of the same kind of guest."""
    try:
        same = config.text is not None and guest_of(config_text.settings(config.text)) == guest
    except BlockdevError:
        return []
    return [_as_told_apart(disk) for disk in _read(config)] if same else []


def _read(config: Config) -> List[DiskSpec]:
    """The disks of a config, as far as they can be read."""
    with suppress(BlockdevError):
        return specs_of(config.disks)
    return []


def _as_told_apart(disk: DiskSpec) -> DiskSpec:
    """Equal for disks that libxl takes alike: it makes no drive of a slot that is a number."""
    return replace(disk.meaning, vdev=disk.vdev)


def _about(disks: Set[int], found: Iterable[Finding]) -> List[Finding]:
    return [one for one in found if {one.disk, one.other} & disks]
