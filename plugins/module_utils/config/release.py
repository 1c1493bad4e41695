# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images are released: removed from a config, and not in any other config of this host.

The old text of a config is the only record of the disks that its domain had. An image that was in
it, and is not in any config any more, needs no loop device. Its data is kept.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Callable, Dict, Iterable, List, Optional, Sequence, Set

from ansible_collections.xen.blockdev.plugins.module_utils.config.config_file import Config
from ansible_collections.xen.blockdev.plugins.module_utils.config.images import (
    NamingConfigs,
    file_of,
    image_of,
)
from ansible_collections.xen.blockdev.plugins.module_utils.config.target_images import (
    is_loop_device,
)
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Plan
from ansible_collections.xen.blockdev.plugins.module_utils.disk.listed import specs_of
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding


class Releases:
    """The images that the configs of one module call release.

    ``bindings`` gives the host's bound loop devices; it is asked once, for the first target that
    needs it.
    """

    def __init__(self, bindings: Callable[[], Sequence[loop_binding.Binding]]) -> None:
        self._bindings = bindings
        self._configs = NamingConfigs(bindings)
        self._directories: Set[str] = set()
        """Those of the configs of this call."""
        self._wanted: Set[object] = set()
        """The images of all disks that this call wants: see file_of."""
        self._texts: Dict[str, Optional[str]] = {}
        """The texts that the configs planned so far will have, by their files."""

    def expect(self, config: str, targets: Iterable[str]) -> None:
        """Note that the config with the path ``config`` will be planned, with disks that have these
        targets among others. An image that moves to another config is not released."""
        self._directories.add(os.path.dirname(os.path.realpath(config)))
        self._wanted.update(map(file_of, self._images(targets)))

    def plan(
        self,
        config: Config,
        text: Optional[str],
        targets: Iterable[str],
        directories: Iterable[str],
        known: Iterable[str],
    ) -> Plan:
        """Plan the result key ``released``, with a warning for each image in it, as a part of the
        plan for the config.

        ``text``: the new text of the config, None if it is removed. ``targets``: those of its new
        disks. ``directories``: where other configs are, besides those of this call. ``known``:
        images that other tasks manage.
        """
        self._texts[config.file] = text
        had = config.targets - _media(config)
        images: List[str] = []
        if text != config.text:
            kept = {*self._wanted, *map(file_of, {*self._images(targets), *known})}
            removed = [one for one in self._images(had) if file_of(one) not in kept]
            images = self._named_nowhere(
                removed, {config.directory, *self._directories, *directories}
            )
        devices = self._devices(had) if images else {}
        released = [image for image in images if image not in devices]
        return Plan(
            before={"released": []},
            after={"released": released},
            read_back=lambda: {"released": released},
            warnings=[
                _warning_of_device(image, devices[image]) if image in devices else _warning(image)
                for image in images
                if image in devices or os.path.isfile(image)
            ],
        )

    def _devices(self, targets: Iterable[str]) -> Dict[str, str]:
        """By image, the loop device by whose number a target refers to it.

        Such a device was bound by someone else, or udev does not run: it is not released.
        """
        numbered = [one for one in sorted(targets) if loop_binding.number_of(one) is not None]
        images = {device: image_of(device, self._bindings) for device in numbered}
        return {image: device for device, image in images.items() if image is not None}

    def _images(self, targets: Iterable[str]) -> Set[str]:
        """The images behind the targets: files, and images that loop devices are named after."""
        return {
            image for target in targets for image in [image_of(target, self._bindings)] if image
        }

    def _named_nowhere(self, images: Sequence[str], directories: Iterable[str]) -> List[str]:
        """Those of the images that no config refers to, now or as planned; in order."""
        texts = self._all_texts(directories) if images else {}
        return [one for one in sorted(images) if not any(self._configs.among(one, texts))]

    def _all_texts(self, directories: Iterable[str]) -> Dict[str, str]:
        """By file, the texts of the configs in the directories, and those that are planned."""
        texts = {**self._configs.texts(directories), **self._texts}
        return {file: text for file, text in texts.items() if text is not None}


def _media(config: Config) -> Set[str]:
    """What is in its CD drives: a config may name it one day and not the next. A loop device is not
    among it: only a plan of before there were drives has bound one."""
    with suppress(BlockdevError):
        return {
            disk.target
            for disk in specs_of(config.disks)
            if disk.is_cd and disk.target is not None and not is_loop_device(disk.target)
        }
    return set()


def _warning(image: str) -> str:
    return (
        f"no config refers to {image} any more; it keeps its data: delete it if it is not needed "
        "(xen_raw_disk with state: absent)"
    )


def _warning_of_device(image: str, device: str) -> str:
    return (
        f"no config refers to {device} any more, which is bound to {image} now; it stays bound, as "
        "the number does not say who needs it: unbind it if it is not needed (xen_loopdev with "
        "state: absent)"
    )
