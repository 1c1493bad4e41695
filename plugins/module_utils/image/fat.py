# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""FAT file systems, created by mkfs.vfat (dosfstools) and filled by mcopy (mtools), not mounted.

The number of clusters decides between FAT12, FAT16 and FAT32. To Linux and others, fewer than 4085
are FAT12; MirageOS's ocaml-fat (fat_boot_sector.ml) does not know FAT12 and needs at least 4087 for
FAT16. Here a file system has at least 4087 clusters, so that all agree on FAT16; it is FAT32 only
if FAT16 cannot have enough clusters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Callable, Dict, Iterator, List, Optional, Set

from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import by_number
from ansible_collections.xen.blockdev.plugins.module_utils.image.directory_tree import (
    DirectoryTree,
    OpenDirectory,
    TreeEntry,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system import (
    FILL_SECONDS,
    FileSystem,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.new_disk import NewDisk
from ansible_collections.xen.blockdev.plugins.module_utils.image.tool import Tool
from ansible_collections.xen.blockdev.plugins.module_utils.units import (
    MIRAGE_BLOCK,
    format_size,
    round_up,
)

MKFS = Tool("mkfs.vfat", "creates FAT file systems")
MCOPY = Tool("mcopy", "fills FAT file systems")
MDIR = Tool("mdir", "lists the content of FAT file systems")

ENVIRONMENT = {"LC_ALL": "C.UTF-8", "MTOOLSRC": "/dev/null"}
"""mtools takes the encoding of names from the locale, and drives from a file of the user."""

SECTOR_SIZES = (512, 4096)

FAT_LABEL = re.compile(r'(?! )[^\x00-\x1f"*+,./:;<=>?\[\\\]|\x7f-\U0010ffff]{1,11}(?<! )')
NO_LABEL = "NO NAME"
"""What a file system without a label has in its place."""

FAT16_CLUSTERS = (4087, 65524)
FAT32_CLUSTERS = (65525, 268435444)

MAX_CLUSTER = 32768
"""Bytes. Not every reader of FAT supports larger ones."""

FAT32_STEPS = ((8, 4096), (16, 8192), (32, 16384))
"""GiB, and the bytes of a cluster up to that size; other programs choose the same."""

FAT32_RESERVED = 32
"""Sectors before the first table; FAT16 has only the boot sector."""

ROOT_ENTRIES = 512
"""Entries of FAT16's root directory, which has a fixed size: at least these."""

MAX_ENTRIES = 65504
"""Entries that a directory can have: a 16-bit number of them, in whole sectors."""

ENTRY_BYTES = 32
"""A name takes one entry, and another one for each 13 of its characters."""

MAX_FILE_SIZE = 2**32 - 1
"""Bytes of a file in a FAT file system."""

ARGUMENT_BYTES = 64 * 1024
"""Bytes of file names for one run of mcopy, far below the limit of a command (execve(2))."""

_BAD_CHARACTERS = re.compile(r'[\x00-\x1f"*:<>?\\|]')
_DEVICE_NAMES = re.compile(r"con|prn|aux|nul|com[0-9]|lpt[0-9]", re.IGNORECASE)


@dataclass(frozen=True)
class Geometry:
    """How a FAT file system divides its image, as mkfs.vfat does without alignment."""

    bits: int
    """16 or 32."""
    sector: int
    """Bytes."""
    cluster: int
    """Sectors of a cluster."""
    root: int
    """Entries of FAT16's root directory."""

    @property
    def _reserved(self) -> int:
        return 1 + self.root * ENTRY_BYTES // self.sector if self.bits == 16 else FAT32_RESERVED

    def clusters(self, size: int) -> int:
        """How many clusters ``size`` bytes have."""
        number = self.bits // 8
        sectors = size // self.sector - self._reserved
        room = sectors * self.sector + 4 * number
        table = self._table(room // (self.cluster * self.sector + 2 * number))
        return min((sectors - 2 * table) // self.cluster, table * self.sector // number)

    def size(self, clusters: int) -> int:
        """The bytes, a multiple of 4096, that have at least so many clusters."""
        sectors = self._reserved + clusters * self.cluster + 2 * self._table(clusters)
        size = round_up(sectors * self.sector, MIRAGE_BLOCK)
        while self.clusters(size) < clusters:
            size += MIRAGE_BLOCK
        return size

    def _table(self, clusters: int) -> int:
        """Sectors of a table for so many clusters."""
        return -(-(clusters + 2) * self.bits // 8 // self.sector)

    @property
    def arguments(self) -> List[str]:
        """The arguments of mkfs.vfat for this geometry."""
        root = ["-r", str(self.root), "-R", "1"] if self.bits == 16 else ["-R", str(FAT32_RESERVED)]
        sizes = ["-F", str(self.bits), "-S", str(self.sector), "-s", str(self.cluster)]
        return ["-a", "-f", "2", *sizes, *root]


class Fat(FileSystem):
    """A FAT file system. It has no owners, modes or links; all times are those of its creation."""

    def __init__(
        self, label: Optional[str], directory: Optional[DirectoryTree], sector: int
    ) -> None:
        """``sector``: bytes, one of SECTOR_SIZES."""
        _check_fat_label(label)
        super().__init__("vfat", label, directory)
        if directory:
            directory.refuse(_problems_of_fat(directory))
        self._sector = sector
        for tool in (MKFS, MCOPY, MDIR):
            tool.require()

    @cached_property
    def size(self) -> int:
        """See FileSystem.size."""
        for geometry in self._fat16():
            size = geometry.size(max(self._clusters(geometry), FAT16_CLUSTERS[0]))
            if geometry.clusters(size) <= FAT16_CLUSTERS[1]:
                return size
        size = 0
        while True:
            geometry = self._fat32(size)
            needed = geometry.size(max(self._clusters(geometry), FAT32_CLUSTERS[0]))
            if needed <= size:
                return size
            size = needed

    def check(self, size: int) -> None:
        """See FileSystem.check."""
        self._geometry(size)

    def warnings(self, size: int) -> List[str]:
        """See FileSystem.warnings."""
        if self._geometry(size).bits == 16:
            return []
        return [f"the {self.words} is so large that it is FAT32, which MirageOS cannot read"]

    def _geometry(self, size: int) -> Geometry:
        """The one with the smallest clusters that has room. Raises ImageError if none has."""
        least, most = FAT16_CLUSTERS
        for geometry in self._fat16():
            if max(least, self._clusters(geometry)) <= geometry.clusters(size) <= most:
                return geometry
        geometry = self._fat32(size)
        least, most = FAT32_CLUSTERS
        if geometry.clusters(size) < max(least, self._clusters(geometry)):
            raise self._too_small(size)
        if geometry.clusters(size) > most or size // self._sector >= 2**32:
            raise ImageError(f"{format_size(size)} is too large for a FAT file system")
        return geometry

    def _fat16(self) -> Iterator[Geometry]:
        cluster = 1
        while cluster * self._sector <= MAX_CLUSTER:
            yield Geometry(16, self._sector, cluster, self._root_entries)
            cluster *= 2

    def _fat32(self, size: int) -> Geometry:
        steps = (cluster for limit, cluster in FAT32_STEPS if size <= limit * 1024**3)
        return Geometry(32, self._sector, next(steps, MAX_CLUSTER) // self._sector, 0)

    @cached_property
    def _root_entries(self) -> int:
        entries = 1 + sum(map(_entries, self.directory.by_parent[""])) if self.directory else 1
        return max(ROOT_ENTRIES, round_up(entries, self._sector // ENTRY_BYTES))

    def _clusters(self, geometry: Geometry) -> int:
        """How many clusters the content takes."""
        if not self.directory:
            return 1
        cluster = geometry.cluster * geometry.sector
        directories = sum(
            -(-(2 + sum(map(_entries, entries))) * ENTRY_BYTES // cluster)
            for path, entries in self.directory.by_parent.items()
            if path or geometry.bits == 32
        )
        return directories + sum(-(-entry.size // cluster) for entry in self.directory.entries)

    def _write(self, disk: NewDisk, source: Optional[OpenDirectory]) -> None:
        new, image = disk.descriptor, {disk.descriptor: disk.name}
        label = ["-n", self.label] if self.label else []
        arguments = [*self._geometry(disk.size).arguments, *label, by_number(new)]
        MKFS.run(*arguments, timeout=FILL_SECONDS, descriptors=image)
        if source is None:
            return
        for names in _batches(source.directory.by_parent[""]):
            arguments = ["-s", "-i", by_number(new), *names, "::/"]
            MCOPY.run(
                *arguments,
                timeout=FILL_SECONDS,
                descriptors=image,
                directory=source.descriptor,
                environment=ENVIRONMENT,
            )
        _verify(new, source.directory)


def _verify(new: int, directory: DirectoryTree) -> None:
    """Raise ImageError unless all names are in the image: mcopy changes some."""
    wanted = {f"::/{one.path}{'/' * one.is_directory}" for one in directory.entries}
    if not wanted:
        return
    arguments = ["-/", "-b", "-i", by_number(new), "::/"]
    image = {new: "the new image"}
    listed = MDIR.run(*arguments, timeout=FILL_SECONDS, descriptors=image, environment=ENVIRONMENT)
    missing = wanted.symmetric_difference(listed.split("\n")) - {""}
    directory.refuse({"names that mcopy changed in the FAT image": sorted(missing)})


def _check_fat_label(label: Optional[str]) -> None:
    """Raise ImageError if a FAT file system cannot have the label."""
    if label is None or (FAT_LABEL.fullmatch(label) and label != NO_LABEL):
        return
    raise ImageError(
        f"invalid FAT label {label!r}: it must be 1 to 11 ASCII characters without "
        f'"*+,./:;<=>?[\\]|, without a space at either end, and not {NO_LABEL}'
    )


def _entries(entry: TreeEntry) -> int:
    """How many directory entries a name takes."""
    return 1 + -(-_length(entry.name) // 13)


def _length(name: str) -> int:
    return len(name.encode("utf-16-le", "surrogatepass")) // 2


def _batches(entries: List[TreeEntry]) -> Iterator[List[str]]:
    """The names for each run of mcopy."""
    batch: List[str] = []
    length = 0
    for entry in entries:
        name = f"./{entry.name}"  # so that it is neither an option nor a drive
        length += len(name.encode()) + 1
        if length > ARGUMENT_BYTES:
            yield batch
            batch, length = [], len(name.encode()) + 1
        batch.append(name)
    if batch:
        yield batch


def _problems_of_fat(directory: DirectoryTree) -> Dict[str, List[str]]:
    """By problem, the names that FAT cannot hold."""
    problems = {
        what: [entry.path for entry in directory.entries if wrong(entry)]
        for what, wrong in _IMPOSSIBLE.items()
    }
    twice, crowded = [], []
    for path, entries in directory.by_parent.items():
        seen: Set[str] = set()
        for entry in entries:
            key = entry.name.upper()
            if key in seen:
                twice.append(entry.path)
            seen.add(key)
        if 2 + sum(map(_entries, entries)) > MAX_ENTRIES:
            crowded.append(path or directory.path)
    problems["names that differ from others only by case"] = twice
    problems["directories with more names than FAT has room for"] = crowded
    return problems


def _is_impossible_name(entry: TreeEntry) -> bool:
    name = entry.name
    return (
        bool(_BAD_CHARACTERS.search(name) or _DEVICE_NAMES.fullmatch(name))
        or any(ord(character) > 0xFFFF or 0xD800 <= ord(character) < 0xE000 for character in name)
        or name[-1] in ". "
        or _length(name) > 255
    )


_IMPOSSIBLE: Dict[str, Callable[[TreeEntry], bool]] = {
    "symbolic links, which FAT does not support": lambda entry: entry.is_link,
    "names that FAT does not allow": _is_impossible_name,
    "files of 4 GiB or more, which are too large for FAT": lambda entry: entry.size > MAX_FILE_SIZE,
}
