# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loop devices, their links and boot units, and image files of a host, for xen_disks_info."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from itertools import islice
from typing import Dict, FrozenSet, Iterator, List, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop.boot_unit import BootUnits
from ansible_collections.xen.blockdev.plugins.module_utils.resources import loopdev_info
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info_gaps import Gaps
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info_storages import (
    StorageTable,
    device_path,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import block_script
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    BootUnitFile,
    LoopDevice,
    LoopLink,
)

MAX_IMAGES = 20000
"""Files in the directories for images that are looked at. Where there are more, most are something
else, and a result with all of them would be of no use."""

_NO_DIRECTORY = (FileNotFoundError, NotADirectoryError)


class LayerReader:
    """Reads what is between images and the disks of guests."""

    def __init__(self, usage: Usage, storages: StorageTable, gaps: Gaps) -> None:
        self._usage = usage
        self._storages = storages
        self._gaps = gaps
        self._units = BootUnits()

    def loop_devices(self) -> Tuple[LoopDevice, ...]:
        """All bound loop devices, by number."""
        scripts = block_script.devices(self._usage.vbds)
        return tuple(
            LoopDevice(
                **loopdev_info.full_state(binding, self._units),
                marked=binding.marked,
                by_script=binding.rdev in scripts,
                storage=self._storages.add_binding(binding),
            )
            for binding in self._usage.bindings
        )

    def boot_units(self) -> Tuple[BootUnitFile, ...]:
        """All boot units, by name."""
        with self._gaps.noted("units"):
            return tuple(
                BootUnitFile(
                    name=unit.name,
                    enabled=unit.enabled,
                    image=unit.image,
                    exists=None if unit.image is None else os.path.exists(unit.image),
                    storage=None if unit.image is None else self._image(unit.image),
                )
                for unit in self._units.found()
            )
        return ()

    def links(self) -> Tuple[LoopLink, ...]:
        """All links below /dev/disk/by-loop-file, by path."""
        bound = {binding.rdev: binding for binding in self._usage.bindings}
        return tuple(self._link(path, bound) for path in sorted(_links()))

    def images_in(self, directories: Sequence[str]) -> FrozenSet[str]:
        """Add the files below some directories to the storages, and return their names in the
        survey."""
        paths = (path for directory in directories for path in self._files_below(directory))
        first = list(islice(paths, MAX_IMAGES))
        if next(paths, None) is not None:
            self._gaps.note(
                "images",
                ", ".join(directories),
                BlockdevError(
                    f"there are more than {MAX_IMAGES} files, and the rest is left out; name "
                    "directories that have images only"
                ),
            )
        return frozenset(filter(None, map(self._image, first)))

    def _files_below(self, directory: str) -> Iterator[str]:
        """The paths of the regular files in a directory and in those below it, without those to
        which only symbolic links lead. None if it does not exist."""
        entries: List[os.DirEntry[str]] = []
        with self._gaps.noted("images", directory), suppress(*_NO_DIRECTORY), os.scandir(
            directory
        ) as found:
            entries = sorted(found, key=lambda one: one.name)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from self._files_below(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield entry.path

    def _image(self, path: str) -> Optional[str]:
        with suppress(OSError, ValueError):
            status = os.stat(path)
            if stat.S_ISREG(status.st_mode):
                return self._storages.add(self._usage.storages.of_status(path, status))
        return None

    def _link(self, path: str, bound: Dict[int, Binding]) -> LoopLink:
        image = loop_link.linked_image(path)
        with suppress(OSError):
            status = os.stat(path)
            if stat.S_ISBLK(status.st_mode):
                binding = bound.get(status.st_rdev)
                storage = self._storages.add_binding(binding) if binding else None
                return LoopLink(path, image, device_path(status.st_rdev), storage)
        return LoopLink(path, image)


def _links() -> Iterator[str]:
    for directory, _directories, names in os.walk(loop_link.LINK_DIR):
        yield from (os.path.join(directory, name) for name in names)
