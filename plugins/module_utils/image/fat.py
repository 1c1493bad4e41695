# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""FAT file systems, made by mkfs.vfat (dosfstools) and filled by mcopy (mtools), without a mount.

How many clusters there are tells a FAT's kind. Linux and others take less than 4085 for FAT12, but
MirageOS's ocaml-fat (fat_boot_sector.ml) takes less than 4087 for FAT16, and knows no FAT12. Here
are always at least 4087 of them, so that all agree on FAT16, and FAT32 only where that has not
enough of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Callable, Dict, Iterator, List, Optional, Set

from ansible_collections.xen.blockdev.plugins.module_utils.host.files import by_number
from ansible_collections.xen.blockdev.plugins.module_utils.image.content import (
    FILL_SECONDS,
    Entry,
    FileSystem,
    Folder,
    OpenFolder,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.tools import ImageError, Tool
from ansible_collections.xen.blockdev.plugins.module_utils.units import (
    MIRAGE_BLOCK,
    format_size,
)

MKFS = Tool("mkfs.vfat", "makes FAT file systems")
MCOPY = Tool("mcopy", "fills FAT file systems")
MDIR = Tool("mdir", "lists what is in FAT file systems")

ENVIRONMENT = {"LC_ALL": "C.UTF-8", "MTOOLSRC": "/dev/null"}
"""mtools takes the encoding of names from its locale, and drives from a file of its user."""

SECTOR_SIZES = (512, 4096)

LABEL = re.compile(r'(?! )[^\x00-\x1f"*+,./:;<=>?\[\\\]|\x7f-\U0010ffff]{1,11}(?<! )')
NO_LABEL = "NO NAME"
"""What stands in the place of a label where there is none."""

FAT16_CLUSTERS = (4087, 65524)
FAT32_CLUSTERS = (65525, 268435444)

MAX_CLUSTER = 32768
"""Bytes. Not all that read FAT can do with more."""

FAT32_STEPS = ((8, 4096), (16, 8192), (32, 16384))
"""GiB up to which clusters have so many bytes, as others choose them too."""

FAT32_RESERVED = 32
"""Sectors before the first table; FAT16 has only the boot sector there."""

ROOT_ENTRIES = 512
"""Those of FAT16's root directory, whose room is set aside, at least."""

MAX_ENTRIES = 65504
"""Entries that a directory can have: a 16-bit number, and whole sectors of them."""

ENTRY = 32
"""Bytes of a directory's entry. A name has one more for each 13 of its characters."""

MAX_FILE = 2**32 - 1
"""Bytes."""

ARGUMENTS = 64 * 1024
"""Bytes of file names that mcopy gets at once, far from what a command may get (execve(2))."""

_BAD_CHARACTERS = re.compile(r'[\x00-\x1f"*:<>?\\|]')
_DEVICES = re.compile(r"con|prn|aux|nul|com[0-9]|lpt[0-9]", re.IGNORECASE)


@dataclass(frozen=True)
class Geometry:
    """How a FAT file system divides its image, as mkfs.vfat does when nothing is aligned."""

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
        return 1 + self.root * ENTRY // self.sector if self.bits == 16 else FAT32_RESERVED

    def clusters(self, size: int) -> int:
        """How many there are in C(size) bytes."""
        number = self.bits // 8
        sectors = size // self.sector - self._reserved
        room = sectors * self.sector + 4 * number
        table = self._table(room // (self.cluster * self.sector + 2 * number))
        return min((sectors - 2 * table) // self.cluster, table * self.sector // number)

    def size(self, clusters: int) -> int:
        """The bytes, a multiple of 4096, in which there are at least so many."""
        sectors = self._reserved + clusters * self.cluster + 2 * self._table(clusters)
        size = _up(sectors * self.sector, MIRAGE_BLOCK)
        while self.clusters(size) < clusters:
            size += MIRAGE_BLOCK
        return size

    def _table(self, clusters: int) -> int:
        """The sectors of a table for so many clusters."""
        return -(-(clusters + 2) * self.bits // 8 // self.sector)

    @property
    def arguments(self) -> List[str]:
        """Those that have mkfs.vfat divide an image so."""
        root = ["-r", str(self.root), "-R", "1"] if self.bits == 16 else ["-R", str(FAT32_RESERVED)]
        sizes = ["-F", str(self.bits), "-S", str(self.sector), "-s", str(self.cluster)]
        return ["-a", "-f", "2", *sizes, *root]


class Fat(FileSystem):
    """A FAT file system. It has no owners, modes and links; its times are those of its making."""

    def __init__(self, label: Optional[str], folder: Optional[Folder], sector: int) -> None:
        """C(sector): bytes, one of SECTOR_SIZES."""
        check_label(label)
        super().__init__("vfat", label, folder)
        if folder:
            folder.refuse(_problems(folder))
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
        return [f"the {self.words} is FAT32 for its size, which MirageOS's FAT does not read"]

    def _geometry(self, size: int) -> Geometry:
        """The one with the smallest clusters that has room. Raises ImageError where none has."""
        least, most = FAT16_CLUSTERS
        for geometry in self._fat16():
            if max(least, self._clusters(geometry)) <= geometry.clusters(size) <= most:
                return geometry
        geometry = self._fat32(size)
        least, most = FAT32_CLUSTERS
        if geometry.clusters(size) < max(least, self._clusters(geometry)):
            raise self._too_small(size)
        if geometry.clusters(size) > most or size // self._sector >= 2**32:
            raise ImageError(f"no FAT file system is as large as {format_size(size)}")
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
        entries = 1 + sum(map(_entries, self.folder.below[""])) if self.folder else 1
        return max(ROOT_ENTRIES, _up(entries, self._sector // ENTRY))

    def _clusters(self, geometry: Geometry) -> int:
        """How many of the clusters the folder's content takes."""
        if not self.folder:
            return 1
        cluster = geometry.cluster * geometry.sector
        directories = sum(
            -(-(2 + sum(map(_entries, entries))) * ENTRY // cluster)
            for path, entries in self.folder.below.items()
            if path or geometry.bits == 32
        )
        return directories + sum(-(-entry.size // cluster) for entry in self.folder.entries)

    def _write(self, new: int, size: int, source: Optional[OpenFolder]) -> None:
        image = {new: "the new image"}
        label = ["-n", self.label] if self.label else []
        arguments = [*self._geometry(size).arguments, *label, by_number(new)]
        MKFS.run(*arguments, timeout=FILL_SECONDS, descriptors=image)
        if source is None:
            return
        for names in _batches(source.folder.below[""]):
            arguments = ["-s", "-i", by_number(new), *names, "::/"]
            MCOPY.run(
                *arguments,
                timeout=FILL_SECONDS,
                descriptors=image,
                directory=source.descriptor,
                environment=ENVIRONMENT,
            )
        _verify(new, source.folder)


def _verify(new: int, folder: Folder) -> None:
    """Raise ImageError unless everything is there: mcopy has its own idea of some names."""
    wanted = {f"::/{one.path}{'/' * one.is_directory}" for one in folder.entries}
    if not wanted:
        return
    arguments = ["-/", "-b", "-i", by_number(new), "::/"]
    image = {new: "the new image"}
    listed = MDIR.run(*arguments, timeout=FILL_SECONDS, descriptors=image, environment=ENVIRONMENT)
    missing = wanted.symmetric_difference(listed.split("\n")) - {""}
    folder.refuse({"not as they are called in the FAT image": sorted(missing)})


def check_label(label: Optional[str]) -> None:
    """Raise ImageError for a label that no FAT can have."""
    if label is None or (LABEL.fullmatch(label) and label != NO_LABEL):
        return
    raise ImageError(
        f"label {label!r} does not do for FAT: it takes 1 to 11 ASCII characters without "
        f'"*+,./:;<=>?[\\]|, no space at either end, and not {NO_LABEL}'
    )


def _up(number: int, unit: int) -> int:
    return -(-number // unit) * unit


def _entries(entry: Entry) -> int:
    """How many entries of a directory a name takes."""
    return 1 + -(-_length(entry.name) // 13)


def _length(name: str) -> int:
    return len(name.encode("utf-16-le", "surrogatepass")) // 2


def _batches(entries: List[Entry]) -> Iterator[List[str]]:
    """The names for mcopy, as many at once as a command takes."""
    batch: List[str] = []
    length = 0
    for entry in entries:
        name = f"./{entry.name}"  # which is neither an option nor on a drive
        length += len(name.encode()) + 1
        if length > ARGUMENTS:
            yield batch
            batch, length = [], len(name.encode()) + 1
        batch.append(name)
    if batch:
        yield batch


def _problems(folder: Folder) -> Dict[str, List[str]]:
    """What FAT cannot hold, and the names each is true of."""
    problems = {
        what: [entry.path for entry in folder.entries if wrong(entry)]
        for what, wrong in _IMPOSSIBLE.items()
    }
    twice, crowded = [], []
    for path, entries in folder.below.items():
        seen: Set[str] = set()
        for entry in entries:
            key = entry.name.upper()
            if key in seen:
                twice.append(entry.path)
            seen.add(key)
        if 2 + sum(map(_entries, entries)) > MAX_ENTRIES:
            crowded.append(path or folder.path)
    problems["the same name but for upper and lower case as another one"] = twice
    problems["more names in one directory than FAT has room for"] = crowded
    return problems


def _is_impossible_name(entry: Entry) -> bool:
    name = entry.name
    return (
        bool(_BAD_CHARACTERS.search(name) or _DEVICES.fullmatch(name))
        or any(ord(character) > 0xFFFF or 0xD800 <= ord(character) < 0xE000 for character in name)
        or name[-1] in ". "
        or _length(name) > 255
    )


_IMPOSSIBLE: Dict[str, Callable[[Entry], bool]] = {
    "symbolic links, which FAT does not have": lambda entry: entry.is_link,
    "names that FAT does not have": _is_impossible_name,
    "files of 4 GiB or more, which FAT cannot hold": lambda entry: entry.size > MAX_FILE,
}
