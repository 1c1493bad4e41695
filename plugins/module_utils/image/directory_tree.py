# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of this host whose content a new file system gets.

Nothing here follows a symbolic link: each directory is opened relative to its parent, and what is
copied in the end is compared with what was read when the image was planned.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import (
    by_number,
    opened,
    opened_real,
    resolved,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.writing import (
    COPY_CHUNK,
    write_data,
)
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import file_id

MAX_DIRECTORY_DEPTH = 200
"""Directories in one another. All of them are open while the innermost is read."""

NAMES_IN_ERROR = 5
"""How many of the names with the same problem an error lists."""

SELINUX_LABEL = "security.selinux"
"""The extended attribute that every file has on a host with SELinux. It does not count."""


@dataclass(frozen=True)
class TreeEntry:
    """A file, directory, symbolic link or anything else below the directory."""

    path: str
    """Relative to the directory."""
    status: os.stat_result
    target: str = ""
    """Of a symbolic link."""
    attributes: bool = False
    """Whether it has extended attributes or access control lists, which need space."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return os.path.basename(self.path)

    @property
    def parent(self) -> str:
        """The path of the directory that it is in; empty for the topmost one."""
        return os.path.dirname(self.path)

    @property
    def depth(self) -> int:
        """How many directories it is in, the topmost one included."""
        return self.path.count("/") + 1

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
    def fingerprint(self) -> Tuple[object, ...]:
        """Differs once the entry was written, replaced, renamed or given another owner or mode."""
        return (self.path, self.target, fingerprint_of(self.status))


def fingerprint_of(status: os.stat_result) -> Tuple[object, ...]:
    """The part of a file's status that differs after every change of the file."""
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
class DirectoryTree:
    """A directory of this host as it was when it was read."""

    path: str
    """As the user wrote it."""
    real: str
    """The same without symbolic links."""
    status: os.stat_result
    entries: Tuple[TreeEntry, ...]
    """Everything below it: a directory comes before its content, siblings by name."""

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the directory. Raises ImageError if another directory is there now, or
        if the block finds that something in it was changed."""
        with _missing_is_changed(self.path), opened_real(self.real) as descriptor:
            self._check_same(descriptor)
            yield descriptor

    def check_unchanged(self, descriptor: int) -> None:
        """Raise ImageError if anything in the directory was changed. ``descriptor``: see opened."""
        self._check_same(descriptor)
        found = walk(descriptor, self.status.st_dev)
        now = [entry.fingerprint for _parent, entry in found]
        if now != [entry.fingerprint for entry in self.entries]:
            raise self.changed()

    def _check_same(self, descriptor: int) -> None:
        if fingerprint_of(os.fstat(descriptor)) != fingerprint_of(self.status):
            raise self.changed()

    def changed(self) -> ImageError:
        """The error for a directory that was changed after it was read."""
        return _changed(self.path)

    @cached_property
    def by_parent(self) -> Dict[str, List[TreeEntry]]:
        """The entries of each directory by its path, which is empty for the topmost one."""
        found: Dict[str, List[TreeEntry]] = {"": []}
        for entry in self.entries:
            found[entry.parent].append(entry)
            if entry.is_directory:
                found[entry.path] = []
        return found

    def refuse(self, problems: Mapping[str, Iterable[str]]) -> None:
        """Raise ImageError if there are problems: by problem, the names that have it."""
        clauses = [
            f"{problem}: {listed_names(names)}" for problem, names in problems.items() if names
        ]
        if clauses:
            raise ImageError(f"{self.path} cannot be copied into an image: {'; '.join(clauses)}")


class OpenDirectory(NamedTuple):
    """A directory while its content is copied."""

    directory: DirectoryTree
    descriptor: int

    def entries(self) -> Iterator[Tuple[int, TreeEntry]]:
        """Each entry, as it was when the directory was read, with the descriptor of its parent.
        Raises ImageError if it is not the same now, and OSError."""
        found = walk(self.descriptor, self.directory.status.st_dev)
        for expected in self.directory.entries:
            parent, entry = next(found, (self.descriptor, None))
            if entry is None or entry.fingerprint != expected.fingerprint:
                raise self.directory.changed()
            yield parent, entry

    def copy(self, parent: int, entry: TreeEntry, new: int, position: int) -> None:
        """Copy a file in the open directory ``parent`` to the offset ``position`` of the descriptor
        ``new``, which reads as zeros there. Raises ImageError if it was changed, and OSError."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        with opened(entry.name, flags, directory=parent) as old:
            if fingerprint_of(os.fstat(old)) != fingerprint_of(entry.status):
                raise self.directory.changed()
            done = 0
            while done < entry.size:
                data = os.pread(old, min(COPY_CHUNK, entry.size - done), done)
                if not data:
                    raise self.directory.changed()
                write_data(new, data, position + done)
                done += len(data)


def read(path: str) -> DirectoryTree:
    """Read the absolute ``path`` and everything below it.

    Raises ImageError if it is not a directory, or has something in it that no image can get, and
    OSError.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist") from None
    if not stat.S_ISDIR(status.st_mode):
        raise ImageError(
            f"{path} is not a directory: with filesystem, source must be the directory whose "
            "content the image gets"
        )
    with _missing_is_changed(path):
        real = resolved(path)
        with opened_real(real) as descriptor:
            status = os.fstat(descriptor)
            entries = tuple(entry for _parent, entry in walk(descriptor, status.st_dev))
    directory = DirectoryTree(path, real, status, entries)
    directory.refuse(_problems_of_any_image(directory))
    return directory


@contextmanager
def _missing_is_changed(path: str) -> Iterator[None]:
    """Raise ImageError if something below ``path`` turns out to be missing, or of another type,
    when it is opened."""
    try:
        yield
    except OSError as error:
        # EINVAL: what was a link is none now; ELOOP: what was none is a link now.
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ELOOP):
            raise
        raise _changed(path) from None


def _changed(path: str) -> ImageError:
    return ImageError(f"{path} was changed in the meantime; run again")


def walk(descriptor: int, device: int, above: str = "") -> Iterator[Tuple[int, TreeEntry]]:
    """Everything below an open directory on the file system ``device``, each with the descriptor of
    its parent. ``above``: the path of the open directory. Raises OSError."""
    for name in sorted(os.listdir(descriptor), key=os.fsencode):
        path = os.path.join(above, name)
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        target = os.readlink(name, dir_fd=descriptor) if stat.S_ISLNK(status.st_mode) else ""
        attributes = _has_attributes(f"{by_number(descriptor)}/{name}")
        entry = TreeEntry(path, status, target, attributes)
        yield descriptor, entry
        is_near = status.st_dev == device and entry.depth <= MAX_DIRECTORY_DEPTH
        if entry.is_directory and is_near:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            with opened(name, flags, directory=descriptor) as below:
                # Another directory may have been put in its place.
                if file_id(os.fstat(below)) != file_id(status):
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
                yield from walk(below, device, path)


def _has_attributes(path: str) -> bool:
    try:
        return bool(set(os.listxattr(path, follow_symlinks=False)) - {SELINUX_LABEL})
    except OSError:
        return False


def _problems_of_any_image(directory: DirectoryTree) -> Dict[str, List[str]]:
    """By problem, the names that cannot be in any image."""
    problems: Dict[str, List[str]] = {
        "neither a file, a directory nor a symbolic link": [],
        "world-writable, so that any user could replace its content (chmod o-w)": [],
        "a mount point of another file system": [],
        f"more than {MAX_DIRECTORY_DEPTH} directories deep": [],
    }
    special, public, mounted, deep = problems.values()
    if directory.status.st_mode & stat.S_IWOTH:
        public.append(directory.path)
    for entry in directory.entries:
        if not (entry.is_file or entry.is_directory or entry.is_link):
            special.append(entry.path)
        if entry.status.st_dev != directory.status.st_dev:
            mounted.append(entry.path)
        if not entry.is_directory:
            continue
        if entry.status.st_mode & stat.S_IWOTH:
            public.append(entry.path)
        if entry.depth > MAX_DIRECTORY_DEPTH:
            deep.append(entry.path)
    return problems


def listed_names(names: Iterable[str]) -> str:
    """The first of the names, for a sentence, and how many more there are."""
    found = [_printable(name) for name in names]
    more = len(found) - NAMES_IN_ERROR
    words = ", ".join(found[:NAMES_IN_ERROR])
    return f"{words} (and {more} more)" if more > 0 else words


def _printable(name: str) -> str:
    return name if name.isprintable() and name == name.strip() and name else repr(name)
