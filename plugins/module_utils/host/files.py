# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files, and the directories in which they are created."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import contextmanager, suppress
from functools import partial
from typing import ContextManager, Iterable, Iterator, List, Optional, Set, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Action
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

NEW_FILE = ".xen-blockdev.new"
"""Name of a file that is not complete yet, in its final directory."""

MAX_LINKS = 40
"""As many as the kernel follows in one path (path_resolution(7))."""


@contextmanager
def opened(
    path: str, flags: int, mode: int = 0o600, directory: Optional[int] = None
) -> Iterator[int]:
    """A descriptor of ``path``, closed in the end. ``mode``: of a new file. ``directory``: where a
    relative path begins. Raises OSError."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, mode, dir_fd=directory)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def by_number(descriptor: int) -> str:
    """The path of what ``descriptor`` has open, for this process and those that inherit it. Unlike
    a name, it cannot be something else by now."""
    return f"/proc/self/fd/{descriptor}"


def opened_directory(path: str) -> ContextManager[int]:
    """A descriptor of the directory ``path``, closed in the end. Raises OSError."""
    return opened(path, os.O_RDONLY | os.O_DIRECTORY)


@contextmanager
def opened_real(path: str, make: bool = False) -> Iterator[int]:
    """A descriptor of the directory ``path``, see resolved, which no link leads to.

    Who can write to a directory above could have put a link into the way since the path was
    resolved, and what is done by path would be done elsewhere. ``make``: whether what is missing is
    made, with mode 0755 less the umask. Raises OSError, and BlockdevError where a part of the path
    is no directory.
    """
    # A descriptor that is only a place (O_PATH) cannot be synced, but needs no right to read.
    flags, at = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, "/"
    descriptor = os.open(at, flags | os.O_PATH)
    try:
        for name in path.split("/"):
            if not name:
                continue
            at = os.path.join(at, name)
            place = os.O_RDONLY if at == path else os.O_PATH
            if make:
                with suppress(FileExistsError):
                    os.mkdir(name, 0o755, dir_fd=descriptor)
            try:
                below = os.open(name, flags | place, dir_fd=descriptor)
            except OSError as error:
                if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
                raise BlockdevError(
                    f"{at} is not a directory: another program has just created it; find out "
                    "which, then run again"
                ) from None
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def resolved(path: str) -> str:
    """The absolute ``path`` without symbolic links; it need not exist.

    Below a directory that everyone can write to, such as /tmp, anyone may have put a link into the
    way, so only those of root (or the user who runs this) are followed there. Raises BlockdevError
    for another one and for a path that the kernel never takes, and OSError.
    """
    real, left, links, public = "/", path.split("/")[::-1], 0, False
    mode = _mode(real)
    while left:
        name = left.pop()
        if name in ("", "."):
            continue
        if name == "..":
            if not os.path.isdir(real):
                raise BlockdevError(
                    f"{path} contains .. after {real}, which is not a directory, so the path can "
                    "never be opened; write it without .."
                )
            real = os.path.dirname(real)
            mode = _mode(real)
            continue
        public = public or bool(mode & stat.S_IWOTH)
        below = os.path.join(real, name)
        target, mode_below = _link_target(below, public)
        if target is None:
            real, mode = below, mode_below
            continue
        links += 1
        if links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        left += target.split("/")[::-1]
        if target.startswith("/"):
            real, mode, public = "/", _mode("/"), False
    return real


def _mode(path: str) -> int:
    """The st_mode of what is at ``path`` itself, 0 if nothing is."""
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _link_target(path: str, public: bool) -> Tuple[Optional[str], int]:
    """What the link at ``path`` says, None if there is no link, and the st_mode of what is there.
    ``public``: whether anyone may have made it."""
    mode = _mode(path)
    if not stat.S_ISLNK(mode):
        return None, mode
    try:
        with opened(path, os.O_PATH | os.O_NOFOLLOW) as link:
            status = os.fstat(link)
            if not stat.S_ISLNK(status.st_mode):
                return None, status.st_mode
            if public and status.st_uid not in (0, os.geteuid()):
                raise BlockdevError(
                    f"{path} is a symbolic link of user {status.st_uid} in a world-writable "
                    "directory, where only links of root are followed; remove it"
                )
            return os.readlink("", dir_fd=link), status.st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None, 0


def is_file_path(path: str) -> bool:
    """Whether ``path`` is absolute and can be that of a file: the kernel takes its characters, and
    it does not end as only a directory's path does."""
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:
        return False
    name = os.path.basename(path)
    return os.path.isabs(path) and b"\0" not in encoded and name not in ("", ".", "..")


def check_writable(path: str, what: str) -> None:
    """Raise BlockdevError if ``path`` cannot be written, with ``what`` that is needed for.

    As root this fails for nothing but what the file system itself forbids.
    """
    if not os.access(path, os.W_OK):
        if not os.path.lexists(path):
            raise BlockdevError(f"cannot {what}: {path} was removed by another program; run again")
        raise BlockdevError(
            f"cannot {what}: {path} is not writable: its file system is mounted read-only or it is "
            "immutable (lsattr)"
        )


def sync_directories(directories: Iterable[str]) -> None:
    """Make names that were made or removed in these directories survive a power cut.

    One that is not there has no names. Raises BlockdevError once all are done.
    """
    failed = []
    for directory in sorted(directories):
        try:
            with opened_directory(directory) as descriptor:
                os.fsync(descriptor)
        except OSError as error:
            # Not every file system can, and then there is nothing to be done.
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                failed.append(f"cannot sync {directory}: {error.strerror}")
    if failed:
        raise BlockdevError("; ".join(failed))


def replace_file(path: str, data: bytes, mode: int, keep: bool = False) -> None:
    """Put ``data`` into the file at ``path``, which is there as a whole then, or as it was.

    The caller holds a lock that keeps other runs from the directory. ``path``: see resolved.
    ``mode``: of the new file, unless it is to get the owner, mode and SELinux context of the old
    one (``keep``). Raises OSError, and BlockdevError if something other than a file has its name.
    """
    parent, name = os.path.split(path)
    with opened_real(parent) as directory:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(name, dir_fd=directory).st_mode):
                raise BlockdevError(f"{path} is not a regular file, so it is not replaced")
        # Always the same name: the next run takes away what one that was killed has left.
        with suppress(FileNotFoundError):
            os.unlink(NEW_FILE, dir_fd=directory)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with opened(NEW_FILE, flags, 0o600, directory) as descriptor:
                with open(descriptor, "wb", closefd=False) as stream:
                    stream.write(data)
                if keep:
                    _copy_attributes(name, directory, descriptor)
                else:
                    os.fchmod(descriptor, mode)
                os.fsync(descriptor)
            os.rename(NEW_FILE, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with suppress(OSError):
                os.unlink(NEW_FILE, dir_fd=directory)
            raise


def _copy_attributes(name: str, directory: int, new: int) -> None:
    """Give the file ``new`` the attributes of the one called ``name``, which is no link."""
    with opened(name, os.O_RDONLY | os.O_NOFOLLOW, directory=directory) as old:
        status = os.fstat(old)
        os.fchown(new, status.st_uid, status.st_gid)
        shutil.copystat(by_number(old), by_number(new))
        os.utime(new)


def nearest(path: str) -> str:
    """The absolute ``path`` itself if it exists, otherwise its nearest existing parent."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


class Directories:
    """The directories that one module call makes, each by the first item that needs it."""

    def __init__(self) -> None:
        self._planned: Set[str] = set()

    def plan(self, path: str, wanted: bool) -> List[Action]:
        """The step that makes the directory ``path``, absolute, and those above it, if any lacks.

        They get mode 0755. Raises BlockdevError if something else has the name of one, and
        where the directory is not there and not ``wanted``; the caller says what it is needed for.
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
        return [Action(f"create the directory {path}", partial(_create, resolved(path)))]


def _create(path: str) -> None:
    before = os.umask(0o022)
    try:
        with opened_real(path, make=True):
            pass
    finally:
        os.umask(before)
