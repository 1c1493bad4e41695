# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files, and the directories that they are to be made in."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager, suppress
from functools import partial
from typing import ContextManager, Iterable, Iterator, List, Optional, Set

from ansible_collections.xen.blockdev.plugins.module_utils.actions import Action
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

NEW_FILE = ".xen-blockdev.new"
"""Name of a file that is not complete yet, in the directory where it is to be."""


@contextmanager
def opened(path: str, flags: int, mode: int = 0o600) -> Iterator[int]:
    """A descriptor of C(path), closed in the end. C(mode): of a new file. Raises OSError."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, mode)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def opened_directory(path: str) -> ContextManager[int]:
    """A descriptor of the directory C(path), closed in the end. Raises OSError."""
    return opened(path, os.O_RDONLY | os.O_DIRECTORY)


def is_file_path(path: str) -> bool:
    """Whether C(path) is absolute and can be that of a file: the kernel takes its characters, and
    it does not end as only a directory's path does."""
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:
        return False
    name = os.path.basename(path)
    return os.path.isabs(path) and b"\0" not in encoded and name not in ("", ".", "..")


def check_writable(path: str, what: str) -> None:
    """Raise BlockdevError where C(path) cannot be written, with C(what) that is needed for.

    As root this fails for nothing but what the file system itself forbids.
    """
    if not os.access(path, os.W_OK):
        if not os.path.lexists(path):
            raise BlockdevError(f"cannot {what}: {path} was removed meanwhile; run again")
        raise BlockdevError(
            f"cannot {what}: {path} cannot be written; its file system is mounted read-only or it "
            "is immutable (lsattr)"
        )


def sync_directories(directories: Iterable[str]) -> None:
    """Make names that were made or removed in these directories survive a power cut.

    Raises BlockdevError.
    """
    for directory in sorted(directories):
        try:
            with opened_directory(directory) as descriptor:
                os.fsync(descriptor)
        except OSError as error:
            # Not every file system can, and then there is nothing to be done.
            if error.errno != errno.EINVAL:
                raise BlockdevError(f"cannot sync {directory}: {error.strerror}") from None


def replace_file(path: str, data: bytes, mode: int, like: Optional[str] = None) -> None:
    """Put C(data) into the file at C(path), which is there as a whole then, or as it was.

    The caller holds a lock that keeps other runs from the directory. C(mode): of the new file, or
    else it gets the owner, mode and SELinux context of the file at C(like). Raises OSError.
    """
    # Always the same name: the next run takes away what one that was killed has left.
    new = os.path.join(os.path.dirname(path), NEW_FILE)
    with suppress(FileNotFoundError):
        os.unlink(new)
    try:
        with opened(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600) as descriptor:
            with open(descriptor, "wb", closefd=False) as stream:
                stream.write(data)
            if like is None:
                os.fchmod(descriptor, mode)
            else:
                _copy_attributes(like, new)
            os.fsync(descriptor)
        os.rename(new, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(new)
        raise


def _copy_attributes(old: str, new: str) -> None:
    status = os.stat(old)
    os.chown(new, status.st_uid, status.st_gid)
    shutil.copystat(old, new)
    os.utime(new)


def nearest(path: str) -> str:
    """The absolute C(path) itself where it exists, otherwise what is first above it."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


class Directories:
    """The directories that one module call makes, each by the first item that needs it."""

    def __init__(self) -> None:
        self._planned: Set[str] = set()

    def plan(self, path: str, wanted: bool) -> List[Action]:
        """The step that makes the directory C(path), absolute, and those above it, if any lacks.

        They get mode 0755. Raises BlockdevError where something else has the name of one, and
        where the directory is not there and not C(wanted); the caller says what it is needed for.
        """
        if os.path.isdir(path) or path in self._planned:
            return []
        above = nearest(path)
        if not os.path.isdir(above):
            raise BlockdevError(f"{above} is not a directory")
        if not wanted:
            raise BlockdevError(
                f"the directory {path} does not exist; create it first, or set parents: true"
            )
        missing = path
        while missing != above:
            self._planned.add(missing)
            missing = os.path.dirname(missing)
        return [Action(f"create the directory {path}", partial(_create, path))]


def _create(path: str) -> None:
    # The umask, unlike the mode of makedirs, counts for those above as well.
    before = os.umask(0o022)
    try:
        os.makedirs(path, exist_ok=True)
    finally:
        os.umask(before)
