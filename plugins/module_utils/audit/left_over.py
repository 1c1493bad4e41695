# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to no domain, with the bytes that it takes."""

from __future__ import annotations

import shlex
from typing import Iterator

from ansible_collections.xen.blockdev.plugins.module_utils.audit.codes import finding
from ansible_collections.xen.blockdev.plugins.module_utils.audit.index import HostIndex, is_lost
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import AuditFinding
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_size

_NOBODY = "no config, running guest or save file has it"


def leftover_findings(host: HostIndex) -> Iterator[AuditFinding]:
    """All findings of this file.

    Where something could not be read that may name disks, nothing is called left over that such a
    disk may need: see the findings about what was not read.
    """
    yield from _boot_units(host)
    yield from _links(host)
    yield from _vbds(host)
    yield from _guests(host)
    if not host.gaps:
        yield from _images(host)
        yield from _volumes(host)
        yield from _loops(host)
        yield from _saves(host)


def _images(host: HostIndex) -> Iterator[AuditFinding]:
    for name in host.survey.leftovers.images:
        storage = host.storage(name)
        file = storage.file if storage else None
        taken = file.allocated if file else None
        size = f" ({format_size(taken)} on its file system)" if taken is not None else ""
        yield finding(
            "leftover-image",
            host.at(path=name),
            f"{_NOBODY}{size}",
            f"rm {shlex.quote(name)} if nobody needs the data; or list it in xen_domains",
            size=taken,
        )


def _volumes(host: HostIndex) -> Iterator[AuditFinding]:
    for name in host.survey.leftovers.volumes:
        storage = host.storage(name)
        device = storage.device if storage else None
        volume = device.volume if device else None
        is_thin = bool(volume and volume.pool)
        size = storage.size if storage else None
        how_big = f" ({format_size(size)}{', thin' if is_thin else ''})" if size else ""
        yield finding(
            "leftover-volume",
            host.at(path=name),
            f"{_NOBODY}, and dom0 does not use it{how_big}",
            f"lvremove {volume.group}/{volume.volume} if nobody needs the data"
            if volume
            else "remove it if nobody needs the data",
            size=None if is_thin else size,
        )


def _loops(host: HostIndex) -> Iterator[AuditFinding]:
    for name in host.survey.leftovers.loop_devices:
        device = host.loop_devices.get(name)
        bound = f"it is bound to {device.backing_file}, and " if device else ""
        storage = host.storage(device.storage) if device else None
        keep = "" if storage is None or not is_lost(storage) else f", after {_copy_of(name)}"
        yield finding(
            "leftover-loop-device",
            host.at(path=name),
            f"{bound}{_NOBODY}",
            f"losetup --detach {name}{keep}",
        )


def _copy_of(device: str) -> str:
    return f"a copy of it if anybody needs the data, which is nowhere else: cp {device} FILE"


def _saves(host: HostIndex) -> Iterator[AuditFinding]:
    for save in host.survey.saves:
        domain = host.domains.get(save.domain)
        if domain and (domain.configs or domain.domids):
            continue
        yield finding(
            "leftover-save",
            host.at(save.domain, path=save.path),
            f"domain {save.domain} is saved in {save.path}, and no config has its name",
            f"rm {shlex.quote(save.path)} if the domain is not needed, or restore it: xl restore "
            f"{shlex.quote(save.path)}",
        )


def _boot_units(host: HostIndex) -> Iterator[AuditFinding]:
    units = {one.name: one for one in host.survey.boot_units}
    for name in host.survey.leftovers.boot_units:
        unit = units.get(name)
        image = unit.image if unit else None
        yield finding(
            "leftover-boot-unit",
            host.at(path=image or name),
            f"{name} binds {image}, which does not exist" if image else f"{name} names no image",
            f"systemctl disable {name}, and delete it, or put the image back",
        )


def _links(host: HostIndex) -> Iterator[AuditFinding]:
    links = {one.path: one for one in host.survey.links}
    for path in host.survey.leftovers.links:
        device = links[path].device if path in links else None
        yield finding(
            "leftover-link",
            host.at(path=path),
            f"it leads to {device}, which is another image" if device else "it leads nowhere",
            "udevadm trigger --subsystem-match=block; where no udev runs, rm the link",
        )


def _vbds(host: HostIndex) -> Iterator[AuditFinding]:
    for vbd in host.survey.leftovers.vbds:
        yield finding(
            "leftover-vbd",
            host.at(f"with the id {vbd.domid}", str(vbd.xenstore_key)),
            "the kernel still serves it, and xenstore no longer has it",
            "wait until the guest's last requests have ended, or end that domain (xl destroy "
            f"{vbd.domid})",
        )


def _guests(host: HostIndex) -> Iterator[AuditFinding]:
    with_disks = {one.domid for disk in host.survey.disks for one in disk.attached}
    for guest in host.survey.guests or ():
        if guest.is_left and guest.domid not in with_disks:
            yield finding(
                "leftover-domain",
                host.at(f"with the id {guest.domid}"),
                "it was destroyed, and Xen still has it",
                "wait until `xl list` no longer has it, and give its disks to nobody before; if it "
                "stays, look for storage that does not answer (dmesg)",
            )
