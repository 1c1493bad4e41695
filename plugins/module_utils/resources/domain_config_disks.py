# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disks a config gets: the wanted ones, with what the config and this host add to them."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import lru_cache
from typing import Callable, List, Optional, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.config.config_file import Config
from ansible_collections.xen.blockdev.plugins.module_utils.config.slots import ConfigSlots
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.disk.listed import ListedDisk
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import explained
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.resources.domain_config_item import (
    DomainConfigItem,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import block_script
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state


class DisksOfConfig:
    """Makes the disk lists. ``bindings`` gives the host's bound loop devices, ``vbds`` the disks of
    its running domains; the latter are asked for once, when a disk needs them."""

    def __init__(
        self,
        pending: Pending,
        slots: ConfigSlots,
        bindings: Callable[[], Sequence[loop_binding.Binding]],
        vbds: Callable[[], Sequence[xen_state.Vbd]],
    ) -> None:
        self._pending = pending
        self._slots = slots
        self._bindings = bindings
        self._scripts = lru_cache(maxsize=None)(lambda: block_script.devices(vbds()))

    def wanted(
        self, item: DomainConfigItem, config: Config, former: Sequence[Config]
    ) -> List[ListedDisk]:
        """The disks that the config gets. ``former``: see ``FormerConfigs.or_itself``."""
        if item.disks is None and config.text is not None:
            return config.disks
        listed = []
        for index, disk in enumerate(item.disks or ()):
            with explained(f"disks[{index}]"):
                listed.append(ListedDisk.of(self._disk(item, config, disk)))
        for one in former:
            if item.unlisted(one) == "keep":
                listed = self._slots.with_unlisted(one, listed, item.removed_disks)
        return listed

    def _disk(self, item: DomainConfigItem, config: Config, disk: DiskSpec) -> DiskSpec:
        """A disk as the config gets it. If only the disk list changes, options that only the config
        has are kept."""
        found = replace(disk, target=self._target(config, disk))
        if item.only_disks(config):
            with explained("with the options that only the config has"):
                wanted = found = self._slots.with_unsaid(config, found)
                wanted.check()
        else:
            wanted = found.with_defaults()
        self._slots.refuse_foreign(config, replace(found, target=disk.target))
        return wanted

    def _target(self, config: Config, disk: DiskSpec) -> Optional[str]:
        """The target by the name under which it can be opened now.

        A link that the config has already stays as long as it does not exist, as before udev runs;
        a link that leads to another device is replaced by a number. In check mode an image that an
        earlier task would have bound keeps the link that it may get. An image whose device Xen's
        script unbinds when the guest ends is named itself, so that the script binds it again when
        the guest starts.
        """
        target = disk.target
        if target is None or disk.backend_domain or not loop_link.is_link(target):
            return target
        try:
            found = loop_binding.device_of_link(target, self._bindings)
            image = loop_link.linked_image(target)
            if self._is_left_to_script(image):
                return image
            if loop_link.is_link(found) or os.path.lexists(target) or target not in config.targets:
                return found
            return target
        except loop_binding.LoopError:
            if loop_link.is_announced(target, self._pending):
                return target
            raise

    def _is_left_to_script(self, image: str) -> bool:
        file = loop_binding.file_id(os.stat(image))
        bound = [one for one in self._bindings() if one.file == file]
        # The script marks none, so xenstore is rarely needed.
        is_ours = any(one.marked for one in bound)
        return not is_ours and block_script.has(file, bound, self._scripts())
