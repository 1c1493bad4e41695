# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The items of a config's disk list, each read or written once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Iterable, Iterator, List, Optional, Union

from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError


@dataclass(frozen=True)
class ListedDisk:
    """An item of a disk list. Made by ``read`` and ``of``."""

    text: str
    """Its specification."""
    spec: Optional[DiskSpec]
    """What that says; its slot is valid. None if it cannot be read."""
    problem: str = ""
    """Why it cannot be read."""

    @classmethod
    def of(cls, spec: DiskSpec) -> ListedDisk:
        """The item for a disk. Raises DiskSpecError as ``DiskSpec.render`` does."""
        return cls(spec.render(), spec)

    @classmethod
    def read(cls, text: str) -> ListedDisk:
        """The item with this text."""
        return _read(text)

    @property
    def identity(self) -> Union[int, str]:
        """What it is known by: its xenstore key, or its text if it cannot be read."""
        return self.text if self.spec is None else self.spec.slot.xenstore_key

    def is_like(self, other: ListedDisk) -> bool:
        """Whether xl makes the same of both."""
        if self.spec is None or other.spec is None:
            return self.text == other.text
        return self.spec.meaning == other.spec.meaning


@lru_cache(maxsize=1024)
def _read(text: str) -> ListedDisk:
    try:
        spec = DiskSpec.parse(text)
        spec.slot  # noqa: B018 - raises if the vdev is no slot
    except BlockdevError as error:
        return ListedDisk(text, None, str(error))
    return ListedDisk(text, spec)


def specs_of(disks: Iterable[ListedDisk]) -> List[DiskSpec]:
    """The disks that can be read."""
    return [disk.spec for disk in disks if disk.spec is not None]


def targets_of(disks: Iterable[ListedDisk]) -> Iterator[str]:
    """The targets of the disks that can be read, but for empty drives."""
    return (spec.target for spec in specs_of(disks) if spec.target is not None)
