# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's domains and disks through all layers, as xen_disks_info shows them.

Each source is read once for all of them: xenstore, sysfs, the configs, the mounts, the open files.
Only two processes are started: xl, for what it knows of domains, and LVM if there are volumes.
"""

from __future__ import annotations

import os
import time
from typing import List, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import State
from ansible_collections.xen.blockdev.plugins.module_utils.host import mounts
from ansible_collections.xen.blockdev.plugins.module_utils.host.blkid import Warn
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info_configs import (
    ConfigReader,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info_disks import (
    DiskTable,
    domains_of,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info_file_systems import (  # noqa: E501
    FileSystems,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info_gaps import Gaps
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info_groups import (
    volume_groups,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info_guests import (
    GuestReader,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info_layers import (
    LayerReader,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info_storages import (
    StorageTable,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage
from ansible_collections.xen.blockdev.plugins.module_utils.survey.leftovers import LeftoverFinder
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    VERSION,
    SaveFile,
    Survey,
)
from ansible_collections.xen.blockdev.plugins.module_utils.survey.record import recorded
from ansible_collections.xen.blockdev.plugins.module_utils.xen import saved_domains
from ansible_collections.xen.blockdev.plugins.module_utils.xen.saved_domains import SavedDomain


def show_host(
    config_dirs: Sequence[str],
    images_dirs: Sequence[str],
    autostart_dir: str,
    settings: bool,
    warn: Warn,
) -> State:
    """What is on this host, as plain values: see Survey. ``settings``: whether FoundConfig.settings
    is wanted. ``warn`` gets a warning if something cannot be read."""
    survey = survey_host(config_dirs, images_dirs, autostart_dir, settings)
    if survey.unread:
        first = survey.unread[0]
        about = " ".join(filter(None, (first.source, first.subject)))
        count = len(survey.unread)
        warn(f"host.unread has what cannot be read ({count}), such as {about}: {first.error}")
    shown: State = recorded(survey)
    return shown


def survey_host(
    config_dirs: Sequence[str], images_dirs: Sequence[str], autostart_dir: str, settings: bool
) -> Survey:
    """The same as a type. No error ends it: see Survey.unread."""
    began, gaps = time.time(), Gaps()
    configs = ConfigReader(config_dirs, autostart_dir, settings, gaps)
    read, saved, guests = configs.configs(), _saved(gaps), GuestReader(gaps)
    usage = Usage(guests.vbds, [disk for domain in saved for disk in domain.disks])
    usage.bindings = _bindings(gaps)
    file_systems = FileSystems(_mounts(gaps))
    storages = StorageTable(usage, file_systems)
    disks = DiskTable(usage, storages, guests, gaps)
    disks.add_configured(read)
    disks.add_attached()
    disks.add_saved(saved)
    layers = LayerReader(usage, storages, gaps)
    loop_devices, boot_units, links = layers.loop_devices(), layers.boot_units(), layers.links()
    images = layers.images_in(images_dirs)
    storages.add_volumes()
    all_disks, all_storages = disks.all(), storages.all()
    finder = LeftoverFinder(all_disks, all_storages)
    return Survey(
        version=VERSION,
        host=os.uname().nodename,
        time=round(began, 3),
        is_xen=guests.is_xen,
        config_dirs=tuple(config_dirs),
        images_dirs=tuple(images_dirs),
        autostart_dir=autostart_dir,
        domains=domains_of([one.config for one in read], guests.guests or (), saved, all_disks),
        configs=tuple(one.config for one in read),
        autostart=configs.autostart(read),
        guests=guests.guests,
        saves=tuple(map(_save_file, saved)),
        disks=all_disks,
        storages=all_storages,
        file_systems=file_systems.all(),
        volume_groups=volume_groups(all_storages, gaps),
        loop_devices=loop_devices,
        boot_units=boot_units,
        links=links,
        leftovers=finder.find(images, loop_devices, boot_units, links, guests.lost),
        unread=tuple(gaps.unread),
    )


def _saved(gaps: Gaps) -> List[SavedDomain]:
    with gaps.noted("save"):
        return saved_domains.saved()
    return []


def _bindings(gaps: Gaps) -> List[loop_binding.Binding]:
    with gaps.noted("loop"):
        return loop_binding.scan()
    return []


def _mounts(gaps: Gaps) -> List[mounts.MountEntry]:
    with gaps.noted("mounts"):
        return list(mounts.all_in(mounts.MOUNTS))
    return []


def _save_file(domain: SavedDomain) -> SaveFile:
    try:
        written = os.stat(domain.file).st_mtime
    except OSError:
        return SaveFile(domain.file, domain.name)
    return SaveFile(domain.file, domain.name, written)
