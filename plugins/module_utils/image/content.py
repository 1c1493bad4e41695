# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a folder that a new image is filled from, and what such an image is.

Nothing here follows a link: each directory is opened in the one above it, and what is read in the
end is compared with what was there when the image was planned.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.host.files import (
    by_number,
    opened,
    opened_real,
    resolved,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.source import set_size
from ansible_collections.xen.blockdev.plugins.module_utils.image.tools import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import file_id
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_size

MAX_DEPTH = 200
"""Directories in each other. Each is open while what is below it is looked at."""

SHOWN = 5
"""Names that an error gives of those that something is wrong with."""

FILL_SECONDS = 12 * 3600
"""How long a program may take to fill an image."""

FOLLOWING_LABEL = "security.selinux"
"""The extended attribute that every file has on a host with SELinux."""


@dataclass(frozen=True)
class Entry:
    """A file, directory, link or anything else in a folder."""

    path: str
    """From the folder on."""
    status: os.stat_result
    target: str = ""
    """What a link says."""
    attributes: bool = False
    """Whether it has extended attributes, or access control lists, that need a place."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return os.path.basename(self.path)

    @property
    def directory(self) -> str:
        """The path of what it is in, empty for the folder itself."""
        return os.path.dirname(self.path)

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.status.st_mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.status.st_mode)

    @property
    def size(self) -> int:
        """Bytes of a file's content, holes included; 0 for anything else."""
        return self.status.st_size if self.is_file else 0

    @property
    def mark(self) -> Tuple[object, ...]:
        """What differs once it was written, replaced, renamed or given to someone else."""
        return (self.path, self.target, mark_of(self.status))


def mark_of(status: os.stat_result) -> Tuple[object, ...]:
    """What of a file's status differs after every change of the file."""
    return (
        file_id(status),
        status.st_mode,
        status.st_uid,
        status.st_gid,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


@dataclass(frozen=True)
class Folder:
    """A directory of this host as it was when it was read."""

    path: str
    """As it was given."""
    real: str
    """The same without symbolic links."""
    root: Entry
    entries: Tuple[Entry, ...]
    """All that is below it: what is in a directory after the directory, siblings by name."""

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the directory. Raises ImageError where it is another one by now, and
        where something in it is not what it was, but only what is done here notices that."""
        with _gone_is_changed(self.path), opened_real(self.real) as directory:
            if mark_of(os.fstat(directory)) != self.root.mark[2]:
                raise self.changed()
            yield directory

    def refuse_changed(self, directory: int) -> None:
        """Raise ImageError unless all is as it was. C(directory): see opened."""
        if mark_of(os.fstat(directory)) != self.root.mark[2]:
            raise self.changed()
        now = [entry.mark for _place, entry in walk(directory, self.root.status.st_dev)]
        if now != [entry.mark for entry in self.entries]:
            raise self.changed()

    def changed(self) -> ImageError:
        """The error of a folder that is not what it was."""
        return _changed(self.path)

    @cached_property
    def below(self) -> Dict[str, List[Entry]]:
        """What is in each directory, by the directory's path (empty for the folder itself)."""
        found: Dict[str, List[Entry]] = {"": []}
        for entry in self.entries:
            found[entry.directory].append(entry)
            if entry.is_directory:
                found[entry.path] = []
        return found

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.entries)

    def refuse(self, problems: Mapping[str, Iterable[str]]) -> None:
        """Raise ImageError where something is wrong: what, and the names it is true of."""
        clauses = [f"{what}: {_listed(names)}" for what, names in problems.items() if names]
        if clauses:
            raise ImageError(
                f"{self.path} cannot be the content of the image: {'; '.join(clauses)}"
            )


class OpenFolder(NamedTuple):
    """A folder that is being read."""

    folder: Folder
    descriptor: int


class FileSystem:
    """What a new image gets: a file system or an archive, filled from a folder or empty."""

    unit = "file system"
    join = "from"

    def __init__(self, kind: str, label: Optional[str], folder: Optional[Folder]) -> None:
        self.kind = kind
        self.label = label
        self.folder = folder

    @property
    def words(self) -> str:
        """What it is, for a sentence: ``ext4 file system DATA from /srv/content``."""
        label = f" {self.label}" if self.label else ""
        origin = f" {self.join} {self.folder.path}" if self.folder else ""
        return f"{self.kind} {self.unit}{label}{origin}"

    @property
    def size(self) -> int:
        """Bytes, a multiple of 4096, of the image that has room for the content."""
        raise NotImplementedError

    def check(self, size: int) -> None:
        """Raise ImageError where an image of C(size) bytes cannot do."""
        raise NotImplementedError

    def warnings(self, size: int) -> List[str]:
        """What the user should know of such an image of C(size) bytes."""
        del size
        return []

    def fill(self, new: int, size: int, full: bool) -> None:
        """Make the new, empty file C(new), a descriptor, an image of C(size) bytes.

        C(full): whether all of its blocks are set aside. Raises ImageError where the folder is not
        what was read any more, and OSError such as ENOSPC.
        """
        # First, so that a full disk shows before the work.
        set_size(new, size, full)
        with self._opened() as source:
            self._write(new, size, source)
            if source:
                source.folder.refuse_changed(source.descriptor)
        # Again, as mke2fs gives back what it does not write.
        set_size(new, size, full)

    @contextmanager
    def _opened(self) -> Iterator[Optional[OpenFolder]]:
        if self.folder is None:
            yield None
            return
        with self.folder.opened() as descriptor:
            yield OpenFolder(self.folder, descriptor)

    def _write(self, new: int, size: int, source: Optional[OpenFolder]) -> None:
        """C(source): the folder, None for an empty file system."""
        raise NotImplementedError

    def _too_small(self, size: int) -> ImageError:
        return ImageError(
            f"{format_size(size)} is too small for the {self.words}: give at least "
            f"{format_size(self.size)}"
        )


def read(path: str) -> Folder:
    """Look at all that is in the directory C(path), absolute.

    Raises ImageError where it is none, and where something in it cannot be content, and OSError.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist") from None
    if not stat.S_ISDIR(status.st_mode):
        raise ImageError(
            f"{path} is not a directory: with filesystem, source is the directory whose content "
            "the image gets"
        )
    with _gone_is_changed(path):
        real = resolved(path)
        with opened_real(real) as directory:
            root = Entry("", os.fstat(directory))
            found = tuple(entry for _place, entry in walk(directory, root.status.st_dev))
    folder = Folder(path, real, root, found)
    folder.refuse(_problems(folder))
    return folder


@contextmanager
def _gone_is_changed(path: str) -> Iterator[None]:
    """Raise ImageError where something in the folder C(path) turns out to be gone, or another kind
    of thing, when it is opened."""
    try:
        yield
    except OSError as error:
        # EINVAL: a link to be read is none; ELOOP: what is to be opened has become one.
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ELOOP):
            raise
        raise _changed(path) from None


def _changed(path: str) -> ImageError:
    return ImageError(f"{path} was changed meanwhile; run again")


def walk(directory: int, device: int, above: str = "") -> Iterator[Tuple[int, Entry]]:
    """Everything below an open directory on the file system C(device), with the descriptor of what
    it is in. C(above): the directory's own path. Raises OSError."""
    for name in sorted(os.listdir(directory), key=os.fsencode):
        path = os.path.join(above, name)
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        target = os.readlink(name, dir_fd=directory) if stat.S_ISLNK(status.st_mode) else ""
        entry = Entry(path, status, target, _has_attributes(f"{by_number(directory)}/{name}"))
        yield directory, entry
        if entry.is_directory and status.st_dev == device and depth(path) <= MAX_DEPTH:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            with opened(name, flags, directory=directory) as below:
                # A directory that was put in its place since has a mark of its own.
                if file_id(os.fstat(below)) != file_id(status):
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
                yield from walk(below, device, path)


def depth(path: str) -> int:
    """How many directories are above what has this path in a folder, itself included."""
    return path.count("/") + 1


def _shown(name: str) -> str:
    """The name for a person to read, whatever is in it."""
    return name if name.isprintable() and name == name.strip() and name else repr(name)


def _has_attributes(path: str) -> bool:
    try:
        return bool(set(os.listxattr(path, follow_symlinks=False)) - {FOLLOWING_LABEL})
    except OSError:
        return False


def _problems(folder: Folder) -> Dict[str, List[str]]:
    """What makes the folder no content of any image, and the names each is true of."""
    problems: Dict[str, List[str]] = {
        "neither a file, a directory nor a symbolic link": [],
        "writable by everyone (chmod o-w), who could exchange what is in there": [],
        "on another file system that is mounted there": [],
        f"more than {MAX_DEPTH} directories deep": [],
    }
    special, public, mounted, deep = problems.values()
    if folder.root.status.st_mode & stat.S_IWOTH:
        public.append(folder.path)
    for entry in folder.entries:
        if not (entry.is_file or entry.is_directory or entry.is_link):
            special.append(entry.path)
        if entry.status.st_dev != folder.root.status.st_dev:
            mounted.append(entry.path)
        if not entry.is_directory:
            continue
        if entry.status.st_mode & stat.S_IWOTH:
            public.append(entry.path)
        if depth(entry.path) > MAX_DEPTH:
            deep.append(entry.path)
    return problems


def _listed(names: Iterable[str]) -> str:
    listed = [_shown(name) for name in names]
    more = len(listed) - SHOWN
    words = ", ".join(listed[:SHOWN])
    return f"{words} (and {more} more)" if more > 0 else words
