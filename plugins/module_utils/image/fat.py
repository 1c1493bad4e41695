# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""FAT file systems, created by mkfs.vfat (dosfstools) and filled here, not mounted.

The number of clusters decides between FAT12, FAT16 and FAT32. To Linux and others, fewer than 4085
are FAT12; MirageOS's ocaml-fat (fat_boot_sector.ml) does not know FAT12 and needs at least 4087 for
FAT16. It takes numbers from 65520 on for bad clusters (fat_entry.ml), so the last of 65518 clusters
is the last that it can read. Here a file system has 4087 to 65518 clusters, so that all agree on
FAT16; it is FAT32 only if FAT16 cannot have enough clusters.

The content lies in the order of the directory's entries, each file and directory in one piece.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import by_number
from ansible_collections.xen.blockdev.plugins.module_utils.image import fat_format
from ansible_collections.xen.blockdev.plugins.module_utils.image.directory_tree import (
    DirectoryTree,
    OpenDirectory,
    TreeEntry,
    listed_names,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.fat_format import (
    DEVICE_NAMES,
    ENTRY_BYTES,
    FIRST_CLUSTER,
    Boot,
    Member,
    Stamp,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system import (
    FILL_SECONDS,
    FileSystem,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.new_disk import NewDisk
from ansible_collections.xen.blockdev.plugins.module_utils.image.tool import Tool
from ansible_collections.xen.blockdev.plugins.module_utils.image.writing import write_data
from ansible_collections.xen.blockdev.plugins.module_utils.units import (
    MIRAGE_BLOCK,
    format_size,
    round_up,
)

MKFS = Tool("mkfs.vfat", "creates FAT file systems")

SECTOR_SIZES = (512, 4096)

FAT_LABEL = re.compile(r'(?! )[^\x00-\x1f"*+,./:;<=>?\[\\\]|\x7f-\U0010ffff]{1,11}(?<! )')
NO_LABEL = "NO NAME"
"""What a file system without a label has in its place."""

FAT16_CLUSTERS = (4087, 65518)
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

MAX_FILE_SIZE = 2**32 - 1
"""Bytes of a file in a FAT file system."""

BOOT_BYTES = 512
"""Of the boot sector, those that are in use however long the sector is."""

_BAD_CHARACTERS = re.compile(r'[\x00-\x1f"*:<>?\\|]')


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
        MKFS.require()

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
        if self._geometry(size).bits == 32:
            return [f"the {self.words} is so large that it is FAT32, which MirageOS cannot read"]
        return self._not_found_by_mirage() if self._sector == MIRAGE_BLOCK else []

    def _not_found_by_mirage(self) -> List[str]:
        """What is lost on a unikernel, which is what sectors of this size are for."""
        warnings = []
        entries = self.directory.entries if self.directory else ()
        lost = [one.path for one in entries if not fat_format.is_found_by_mirage(one.name)]
        if lost:
            warnings.append(
                f"MirageOS will neither find {listed_names(lost)} in the {self.words} nor list the "
                "directories that have these names; give them ASCII names with a lower-case letter"
            )
        if self.label and self.label != self.label.upper():
            warnings.append(
                f"MirageOS will not list the topmost directory of the {self.words}, because the "
                "label has lower-case letters; write it in capital letters"
            )
        return warnings

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
        entries = 1 + _entries(self.directory.by_parent[""]) if self.directory else 1
        return max(ROOT_ENTRIES, round_up(entries, self._sector // ENTRY_BYTES))

    def _clusters(self, geometry: Geometry) -> int:
        """How many clusters the content takes."""
        if not self.directory:
            return 1
        cluster = geometry.cluster * geometry.sector
        directories = sum(
            -(-(2 + _entries(entries)) * ENTRY_BYTES // cluster)
            for path, entries in self.directory.by_parent.items()
            if path or geometry.bits == 32
        )
        return directories + sum(-(-entry.size // cluster) for entry in self.directory.entries)

    def _write(self, disk: NewDisk, source: Optional[OpenDirectory]) -> None:
        label = ["-n", self.label] if self.label else []
        arguments = [*self._geometry(disk.size).arguments, *label, by_number(disk.descriptor)]
        MKFS.run(*arguments, timeout=FILL_SECONDS, descriptors={disk.descriptor: disk.name})
        if source:
            _FatContent(disk.descriptor, source).write()


class _FatContent:
    """Writes the content of a directory to a new, empty file system."""

    def __init__(self, new: int, source: OpenDirectory) -> None:
        self._new = new
        self._source = source
        self._boot = Boot.read(os.pread(new, BOOT_BYTES, 0))
        self._stamp = Stamp.of(time.localtime())
        self._label = os.pread(new, ENTRY_BYTES, self._boot.root)
        """The first entry of the topmost directory, which is the label or zeros."""
        self._clusters: Dict[str, int] = {}
        """The first one of each file and directory that has any."""
        self._ends: List[int] = []
        """The last one of each."""

    def write(self) -> None:
        """Write everything. Raises ImageError if the directory was changed, and OSError."""
        self._place()
        for path, entries in self._source.directory.by_parent.items():
            self._write_directory(path, entries)
        for parent, entry in self._source.entries():
            if entry.size:
                self._source.copy(parent, entry, self._new, self._offset(entry.path))
        self._write_table()

    def _place(self) -> None:
        """Give all files and directories their clusters."""
        following = FIRST_CLUSTER
        for path, size in self._sizes():
            if size:
                self._clusters[path] = following
                following += -(-size // self._boot.cluster)
                self._ends.append(following - 1)

    def _sizes(self) -> Iterator[Tuple[str, int]]:
        """Path and bytes of everything that may take clusters."""
        directory = self._source.directory
        if self._boot.bits == 32:
            yield "", ENTRY_BYTES * (1 + _entries(directory.by_parent[""]))
        for entry in directory.entries:
            if entry.is_directory:
                yield entry.path, ENTRY_BYTES * (2 + _entries(directory.by_parent[entry.path]))
            else:
                yield entry.path, entry.size

    def _write_directory(self, path: str, entries: Sequence[TreeEntry]) -> None:
        members = [
            Member(one.name, one.is_directory, self._clusters.get(one.path, 0), one.size)
            for one in entries
        ]
        if path:
            above = os.path.dirname(path)
            parent = self._clusters[above] if above else 0
            first = fat_format.dots(self._clusters[path], parent, self._stamp)
        else:
            first = self._label if any(self._label) else b""
        data = first + fat_format.directory_data(members, self._stamp)
        write_data(self._new, data, self._offset(path))

    def _offset(self, path: str) -> int:
        if path in self._clusters:
            return self._boot.offset(self._clusters[path])
        return self._boot.root

    def _write_table(self) -> None:
        done = self._boot.entry * FIRST_CLUSTER
        for piece in fat_format.table(self._boot.bits, self._ends):
            for copy in self._boot.tables:
                write_data(self._new, piece, copy + done)
            done += len(piece)
        taken = self._ends[-1] + 1 - FIRST_CLUSTER if self._ends else 0
        for place in self._boot.info:
            sector = os.pread(self._new, BOOT_BYTES, place)
            write_data(self._new, fat_format.with_free(sector, taken), place)


def _check_fat_label(label: Optional[str]) -> None:
    """Raise ImageError if a FAT file system cannot have the label."""
    if label is None or (FAT_LABEL.fullmatch(label) and label != NO_LABEL):
        return
    raise ImageError(
        f"invalid FAT label {label!r}: it must be 1 to 11 ASCII characters without "
        f'"*+,./:;<=>?[\\]|, without a space at either end, and not {NO_LABEL}'
    )


def _entries(entries: Iterable[TreeEntry]) -> int:
    """How many entries of a directory the names take."""
    return sum(fat_format.count(entry.name) for entry in entries)


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
        if 2 + _entries(entries) > MAX_ENTRIES:
            crowded.append(path or directory.path)
    problems["names that differ from others only by case"] = twice
    problems["directories with more names than FAT has room for"] = crowded
    return problems


def _is_impossible_name(entry: TreeEntry) -> bool:
    name = entry.name
    return (
        bool(_BAD_CHARACTERS.search(name) or DEVICE_NAMES.fullmatch(name))
        or any(ord(character) > 0xFFFF or 0xD800 <= ord(character) < 0xE000 for character in name)
        or name[-1] in ". "
        or fat_format.length(name) > 255
    )


_IMPOSSIBLE: Dict[str, Callable[[TreeEntry], bool]] = {
    "symbolic links, which FAT does not support": lambda entry: entry.is_link,
    "names that FAT does not allow": _is_impossible_name,
    "files of 4 GiB or more, which are too large for FAT": lambda entry: entry.size > MAX_FILE_SIZE,
}
