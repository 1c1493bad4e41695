# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop devices of this host: which images are to be bound and which are."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Dict, Iterator, List, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Plan, Resource
from ansible_collections.xen.blockdev.plugins.module_utils.host import locks, mounts
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding, LoopError
from ansible_collections.xen.blockdev.plugins.module_utils.loop.boot_unit import BootUnits
from ansible_collections.xen.blockdev.plugins.module_utils.loop.udev_rule import UdevRule
from ansible_collections.xen.blockdev.plugins.module_utils.resources import (
    loopdev_absent,
    loopdev_present,
    loopdev_taken_back,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_host import LoopHost
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_image import (
    FoundImage,
    image_at,
    regular_file,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_item import LoopdevItem
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import unbinding
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Vbd


@contextmanager
def open_devices(pending: Pending) -> Iterator[LoopDevices]:
    """This host's loop devices, locked against other programs until they are closed."""
    with nullcontext() if pending.check_mode else locks.loop_devices():
        yield LoopDevices(LoopHost.of(Usage(), BootUnits(), UdevRule(), pending))


class LoopDevices(Resource[LoopdevItem]):
    """The loop devices of this host."""

    def __init__(self, host: LoopHost) -> None:
        self._host = host
        self._wanted: Dict[object, str] = {}
        self._left: Dict[str, Vbd] = {}
        """Paths of the images that are left to Xen's script for now, and which disk each is."""
        self._bound: Dict[int, List[str]] = {}
        """Paths of the images that are to be bound by their file system (st_dev)."""

    def rank(self, item: LoopdevItem) -> int:
        """See Resource.rank. A device that is wanted by its number must not be used as a free one,
        and an image that is wanted under another path must not be taken back."""
        if not item.present:
            return 3 if item.ours_only else 0
        return 2 if item.number is None else 1

    def plan(self, item: LoopdevItem) -> Plan:
        """See Resource.plan."""
        if not item.present and item.ours_only:
            return self._plan_taken_back(item)
        image = image_at(item.path)
        if image.key in self._wanted:
            raise LoopError(
                f"{item.path} is the same image as {self._wanted[image.key]}: name it once"
            )
        self._wanted[image.key] = item.path
        if item.present:
            return self._plan_present(item, image)
        return loopdev_absent.plan(self._host, item, image)

    def warnings(self) -> List[str]:
        """See Resource.warnings."""
        return [*self._warnings_of_left(), *self._warnings_of_servers()]

    def _warnings_of_servers(self) -> Iterator[str]:
        for device, paths in self._bound.items():
            for kind in filter(mounts.is_network, mounts.types_of(device)):
                yield (
                    f"{', '.join(paths)}: as long as the loop devices are bound, the file system "
                    f"({kind}) cannot be unmounted when this host shuts down, and what the server "
                    "has not got by then is lost; have Xen bind them while their guests run (loop: "
                    "false), or unbind them before"
                )

    def _warnings_of_left(self) -> List[str]:
        """One for each domain that has images that are left to Xen's script."""
        left: Dict[str, List[str]] = {}
        for path, vbd in self._left.items():
            left.setdefault(vbd.domain, []).append(f"{path} ({vbd.vdev})")
        return [
            f"domain {domain} has image files as disks, {', '.join(disks)}: Xen's script has bound "
            "them and unbinds them when the domain ends, so they are left as they are, and its "
            f"config still refers to the files; shut down {domain} and run again to change that"
            for domain, disks in left.items()
        ]

    def settle(self) -> None:
        """Read the loop devices again, let udev handle those that were bound and unbound, and have
        systemd read its units."""
        self._host.table.reread()
        unbinding.settle_udev()
        self._host.units.settle()

    def _plan_taken_back(self, item: LoopdevItem) -> Plan:
        image = regular_file(item.path)
        if image.key in self._wanted:
            # The other item alone decides about the image.
            return loopdev_taken_back.plan_nothing()
        self._wanted[image.key] = item.path
        return loopdev_taken_back.plan(self._host, item, image)

    def _plan_present(self, item: LoopdevItem, image: FoundImage) -> Plan:
        # udev has to have the rule before anything is bound.
        rule = self._host.udev_rule.plan() if item.udev_rule else []
        bound = loopdev_present.whole_device(self._host, image)
        vbd = self._script_disk(bound)
        if bound and vbd:
            # A boot unit would bind the image twice, as the domain's config refers to the file.
            self._left[item.path] = vbd
            item = replace(item, persistent=None)
            plan = loopdev_present.plan_left(self._host, item, image, bound)
        else:
            plan = loopdev_present.plan(self._host, item, image, bound)
        if image.status:
            if not vbd:
                self._bound.setdefault(image.status.st_dev, []).append(item.path)
            deleted = loopdev_present.warn_of_deleted(self._host, item.path, bound)
            plan = replace(plan, warnings=[*plan.warnings, *deleted])
        return self._with_unit(item, replace(plan, actions=[*rule, *plan.actions]))

    def _with_unit(self, item: LoopdevItem, plan: Plan) -> Plan:
        """The plan with what happens to the boot unit of the image."""
        units = self._host.units
        if item.persistent is None:
            return plan + units.plan_kept(item.path)
        if item.persistent:
            direct_io = bool(plan.after["direct_io"])
            return plan + units.plan_written(item.path, item.sector_size, direct_io)
        return units.plan_removed(item.path) + plan

    def _script_disk(self, bound: Optional[Binding]) -> Optional[Vbd]:
        """The disk of a guest for which Xen's script has bound the device. The script gives its
        devices no mark, so xenstore is seldom read for this."""
        return self._host.scripts.get(bound.rdev) if bound and not bound.marked else None
