# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw disk images: which files are wanted, compared with those that are there.

An image appears under its name only when it is complete, and never over another file: it is made
without a name (O_TMPFILE) and linked, see open(2) and linkat(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import signal
import stat
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Set,
)

from ansible_collections.xen.blockdev.plugins.module_utils import (
    file_systems,
    image_source,
    locks,
    loop,
)
from ansible_collections.xen.blockdev.plugins.module_utils.actions import (
    Action,
    Plan,
    Resource,
    State,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, explained
from ansible_collections.xen.blockdev.plugins.module_utils.files import (
    Directories,
    by_number,
    check_writable,
    is_file_path,
    nearest,
    opened,
    opened_directory,
    opened_real,
    resolved,
    sync_directories,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image_content import FileSystem
from ansible_collections.xen.blockdev.plugins.module_utils.image_source import Source
from ansible_collections.xen.blockdev.plugins.module_utils.image_tools import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.loop import File, file_id
from ansible_collections.xen.blockdev.plugins.module_utils.units import (
    MIRAGE_BLOCK,
    SizeError,
    format_size,
    parse_size,
)
from ansible_collections.xen.blockdev.plugins.module_utils.usage import (
    SAVED_REMEDY,
    Usage,
    User,
    join,
    released,
)

MODE = 0o600
"""Of a new image: what a guest keeps in it is nobody's business."""

GROWTH_LOCK = "image-growth"
"""The lock (see locks.exclusive) that is held from the look at an image's size until it has grown.
Another run that comes between would grow it further, and have that cut off again."""

GROWTH_SECONDS = 300
"""How long another run may take for that, as to set blocks aside can take long."""

PROBED_FROM = 2 * 1024**4
"""Bytes. Whether a file system can hold a file of at least this size is tried out when planning.

Smaller files fit every file system that is made for disk images (ext4 with blocks of 1 KiB holds
4 TiB), so an ordinary plan costs no such trial."""


@dataclass(frozen=True)
class ImagePath:
    """A path under which an image is to be."""

    path: str
    """As it was given."""
    file: str
    """The same without symbolic links."""

    @property
    def directory(self) -> str:
        """Where the file is, or is to be."""
        return os.path.dirname(self.file)


@dataclass(frozen=True)
class Image(ImagePath):
    """A path under which there is an image."""

    status: os.stat_result
    """Of the regular file."""
    linked: bool
    """Whether the path itself is a symbolic link to it."""


@dataclass(frozen=True)
class Filling:
    """What a new image gets."""

    what: str
    """The beginning of the sentence that says so."""
    size: int
    full: bool
    """Whether all of its blocks are set aside."""
    fill: Callable[[int], None]
    """Does it, with the descriptor of the new file."""
    holes: Optional[int] = None
    """Bytes that are set aside otherwise, where that is known."""
    then: str = ""
    """The end of the sentence."""
    warnings: List[str] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """What is done, for an action."""
        allocation = "full" if self.full else "sparse"
        return f"{self.what}, {format_size(self.size)}, {allocation}{self.then}"

    @property
    def allocated(self) -> Optional[int]:
        """Bytes that the file system sets aside, where that is known."""
        return self.size if self.full else self.holes


@contextmanager
def open_images(check_mode: bool) -> Iterator[RawImages]:
    """This host's images. They need no lock for all of it: a new one never replaces another, what
    is destroyed is held by a lease, and growth, which comes without one, has a lock of its own."""
    yield RawImages(Usage(), check_mode)


class RawImages(Resource):
    """The raw images of this host."""

    def __init__(self, usage: Usage, check_mode: bool) -> None:
        self._usage = usage
        self._check_mode = check_mode
        self._wanted: Dict[object, str] = {}
        self._deleted: Set[File] = set()
        self._directories = Directories()
        self._promised: Dict[int, int] = {}
        """Bytes by st_dev that the plans so far take from a file system's free space."""
        self._touched: Set[str] = set()
        """Directories in which a name was made or removed."""

    def plan(self, item: Mapping[str, Any]) -> Plan:
        """See Resource.plan; C(item) has the options of xen_raw_disk."""
        image = _find(item["path"])
        self._refuse_twice(image)
        if item["state"] == "absent":
            return self._plan_absent(item, image)
        if isinstance(image, Image):
            plan = self._plan_old(item, image)
        else:
            plan = self._plan_new(item, image)
        plan.file = image.file
        rest = plan.after["size"] % MIRAGE_BLOCK
        if rest:
            plan.warnings.append(
                f"{image.path}: {format_size(plan.after['size'])} is not a multiple of "
                f"{MIRAGE_BLOCK} bytes: MirageOS on Xen does not see the last {rest} bytes"
            )
        return plan

    def settle(self) -> None:
        """Make the new and removed names survive a power cut, once for each directory."""
        sync_directories(self._touched)

    @cached_property
    def _deleted_images(self) -> Dict[str, str]:
        return loop.deleted_images()

    def _refuse_twice(self, image: ImagePath) -> None:
        key = file_id(image.status) if isinstance(image, Image) else image.file
        if key in self._wanted:
            raise ImageError(
                f"{image.path} is the same image as {self._wanted[key]}: name it once in a call"
            )
        self._wanted[key] = image.path

    def _plan_new(self, item: Mapping[str, Any], image: ImagePath) -> Plan:
        # An empty image in its place would be taken for it, by the link that follows its path.
        device = self._deleted_images.get(image.file)
        if device:
            raise ImageError(f"cannot create {image.path}: {loop.lives_on(image.file, device)}")
        directories = self._plan_directory(image, item["parents"])
        place = nearest(image.directory)
        check_writable(place, f"create {image.path}")
        filling = self._filling(item, image)
        _check_limit(image, place, filling.size)
        if filling.full:
            self._reserve(image, place, filling.size)
        action = Action(filling.sentence, lambda: self._create(image, filling.fill))
        return Plan(
            before=_no_state(),
            after={"size": filling.size, "allocated": filling.allocated},
            read_back=lambda: _read_back(image, filling.size),
            actions=[*directories, action],
            warnings=filling.warnings,
        )

    def _filling(self, item: Mapping[str, Any], image: ImagePath) -> Filling:
        with explained(f"cannot create {image.path}"):
            file_system = file_systems.plan(item, image.file)
        if file_system:
            return _fill_file_system(item, image, file_system)
        source = None if item["source"] is None else self._find_source(item, image)
        size = _size_of_new(item, image, source)
        full = item["allocation"] == "full"
        if source is None:
            fill = partial(image_source.set_size, size=size, full=full)
            return Filling(f"create {image.path}", size, full, fill, holes=0)
        what = f"copy {source.path} to {image.path}"
        fill = partial(image_source.copy, source, size=size, full=full)
        return Filling(what, size, full, fill, warnings=self._warn_of_users(source))

    def _plan_old(self, item: Mapping[str, Any], image: Image) -> Plan:
        state = _state(image.status)
        before = state["size"]
        size = before if item["size"] is None else _wanted_size(item, image)
        actions = []
        after = dict(state, size=size)
        if size > before:
            actions = [self._growth(item, image, size)]
            after["allocated"] = size if item["allocation"] == "full" else state["allocated"]
        elif size < before:
            actions = [self._shrinking(item, image, size)]
            after["allocated"] = min(size, state["allocated"])
        return Plan(state, after, lambda: _read_back(image, size), actions)

    def _growth(self, item: Mapping[str, Any], image: Image, size: int) -> Action:
        full = item["allocation"] == "full"
        check_writable(image.file, f"grow {image.path}")
        _check_limit(image, image.directory, size)
        if full:
            self._reserve(image, image.directory, size - _allocated(image.status))
        return Action(f"grow {_from_to(image, size)}", lambda: _grow(image, size, full))

    def _shrinking(self, item: Mapping[str, Any], image: Image, size: int) -> Action:
        if not item["shrink"]:
            raise ImageError(
                f"cannot shrink {_from_to(image, size)}: what lies beyond would be lost; set "
                "shrink: true if that is meant, or leave size out"
            )
        self._refuse_in_use(image, f"shrink {image.path}")
        check_writable(image.file, f"shrink {image.path}")
        return Action(f"shrink {_from_to(image, size)}", lambda: _shrink(image, size))

    def _plan_absent(self, item: Mapping[str, Any], image: ImagePath) -> Plan:
        if not isinstance(image, Image):
            return Plan(_no_state(), _no_state(), _no_state)
        if image.linked:
            raise ImageError(
                f"cannot delete {image.path}: it is a symbolic link to {image.file}; name the "
                "image itself, or remove the link with ansible.builtin.file"
            )
        self._refuse_in_use(image, f"delete {image.path}", lambda user: self._leaves(item, user))
        check_writable(image.directory, f"delete {image.path}")
        self._deleted.add(file_id(image.status))
        if image.status.st_nlink == 1:
            self._promise(image.status.st_dev, -_allocated(image.status))
        return Plan(
            before=_state(image.status),
            after=_no_state(),
            read_back=lambda: _read_back_absent(image),
            actions=[Action(f"delete {image.path}", lambda: self._delete(image))],
        )

    def _leaves(self, item: Mapping[str, Any], user: User) -> bool:
        """Whether, in check mode, an earlier task would have taken this user away."""
        if not self._check_mode:
            return False
        if user.kind != "loop" or user.rdev is None:
            return released(item, user)
        # xl's hotplug script unbinds what it has bound when the disk is detached.
        attached = self._usage.attachments(user.rdev)
        unbound = item["path"] in (item["unbound_paths"] or ())
        return unbound or (bool(attached) and all(released(item, vbd) for vbd in attached))

    def _refuse_in_use(
        self, image: Image, what: str, leaves: Callable[[User], bool] = lambda user: False
    ) -> None:
        users = self._usage.of_file(image.status, leaves)
        if users:
            # A bound image is most often that of a guest, which is what matters most.
            rdevs = [user.rdev for user in users if user.rdev is not None]
            users = [vbd for rdev in rdevs for vbd in self._usage.attachments(rdev)] + users
            raise ImageError(f"cannot {what}: {join(users)}; {_remedies(users)}")

    def _warn_of_users(self, source: Source) -> List[str]:
        users = self._usage.of_file(source.status)
        if not users:
            return []
        return [
            f"{source.path} is in use ({join(users)}): what is written to it meanwhile may be "
            "missing or incomplete in the copy"
        ]

    def _find_source(self, item: Mapping[str, Any], image: ImagePath) -> Source:
        if isinstance(item["source"], str) and os.path.isdir(item["source"]):
            raise ImageError(
                f"cannot create {image.path}: its source {item['source']} is a directory; say by "
                "filesystem which file system is to get its content, or name an image"
            )
        found = _find(item["source"], "source")
        if not isinstance(found, Image):
            raise ImageError(f"cannot create {image.path}: its source {found.path} does not exist")
        if file_id(found.status) in self._deleted:
            raise ImageError(
                f"cannot create {image.path}: its source {found.path} is to be deleted in the "
                "same call, before the copy; delete it in a later task"
            )
        return image_source.read(found.path, item["source_format"], found.status)

    def _plan_directory(self, image: ImagePath, parents: bool) -> List[Action]:
        try:
            return self._directories.plan(image.directory, parents)
        except BlockdevError as error:
            raise ImageError(f"cannot create {image.path}: {error}") from None

    def _reserve(self, image: ImagePath, place: str, needed: int) -> None:
        """Set bytes aside for an image in the directory C(place); ImageError where they lack."""
        free = os.statvfs(place)
        device = os.stat(place).st_dev
        left = free.f_bfree * free.f_frsize - self._promised.get(device, 0)
        if needed > left:
            raise ImageError(
                f"cannot allocate {image.path} in full: it needs {needed} more bytes, but "
                f"{max(left, 0)} are free in {place} with what this call changes; make "
                "room, or set allocation: sparse"
            )
        self._promise(device, max(needed, 0))

    def _promise(self, device: int, size: int) -> None:
        self._promised[device] = self._promised.get(device, 0) + size

    def _create(self, image: ImagePath, fill: Callable[[int], None]) -> None:
        with opened_real(image.directory) as directory, _nameless(directory) as new:
            fill(new)
            os.fsync(new)
            _link(new, directory, image)
        self._touched.add(image.directory)

    def _delete(self, image: Image) -> None:
        what = f"delete {image.path}"
        with opened_real(image.directory) as directory, _exclusive(image, directory, what):
            os.unlink(os.path.basename(image.file), dir_fd=directory)
        self._touched.add(image.directory)


def _find(path: object, option: str = "path") -> ImagePath:
    """Look at what is at C(path); ImageError where it is neither an image nor the place for one."""
    if not isinstance(path, str) or not is_file_path(path):
        raise ImageError(
            f"{option} {path!r} is not the absolute path of a file: write it from / on, such as "
            "/srv/xen/web/boot.raw"
        )
    try:
        status = os.lstat(path)
        linked = stat.S_ISLNK(status.st_mode)
        if linked:
            status = _follow(path)
    except (FileNotFoundError, NotADirectoryError):
        return ImagePath(path, resolved(path))
    except OSError as error:
        raise ImageError(f"cannot look at {path}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{path} is {_kind(status.st_mode)}, not an image: that is a regular file")
    file = resolved(path)
    try:
        with opened_real(os.path.dirname(file)) as directory:
            real = os.stat(os.path.basename(file), dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        raise ImageError(f"{path} was removed meanwhile; run again") from None
    if file_id(real) != file_id(status):
        raise ImageError(f"{path} was replaced by another file meanwhile; run again")
    return Image(path, file, status, linked)


def _follow(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(
            f"{path} is a symbolic link to {os.path.realpath(path)}, which does not exist; remove "
            "the link or name the image itself"
        ) from None


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFBLK: "a block device",
        stat.S_IFCHR: "a character device",
        stat.S_IFIFO: "a fifo",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a special file")


def _no_state() -> State:
    return {"size": None, "allocated": None}


def _state(status: os.stat_result) -> State:
    """The result keys of an image."""
    return {"size": status.st_size, "allocated": _allocated(status)}


def _allocated(status: os.stat_result) -> int:
    """Bytes; st_blocks counts 512 of them on every file system (stat(2))."""
    return status.st_blocks * 512


def _wanted_size(item: Mapping[str, Any], image: ImagePath) -> int:
    try:
        return parse_size(item["size"])
    except SizeError as error:
        raise ImageError(f"size of {image.path}: {error}") from None


def _size_of_new(item: Mapping[str, Any], image: ImagePath, source: Optional[Source]) -> int:
    if item["size"] is not None:
        size = _wanted_size(item, image)
        if source and size < source.size:
            raise ImageError(
                f"cannot copy {source.path} to {image.path}: it has {format_size(source.size)} "
                f"and size is only {format_size(size)}; give at least that, or leave size out"
            )
        return size
    if source is None:
        raise ImageError(f"cannot create {image.path}: it does not exist; give its size")
    if source.size == 0:
        raise ImageError(f"cannot create {image.path}: {source.path} is empty; give a size")
    return source.size


def _fill_file_system(
    item: Mapping[str, Any], image: ImagePath, file_system: FileSystem
) -> Filling:
    if item["size"] is not None:
        size = _wanted_size(item, image)
    elif file_system.folder:
        size = file_system.size
    else:
        raise ImageError(f"cannot create {image.path}: it does not exist; give its size")
    full = item["allocation"] == "full"
    with explained(f"cannot create {image.path}"):
        file_system.check(size)
    return Filling(
        what=f"create {image.path}",
        size=size,
        full=full,
        fill=partial(file_system.fill, size=size, full=full),
        then=f", {file_system.words}",
        warnings=[f"{image.path}: {warning}" for warning in file_system.warnings(size)],
    )


def _check_limit(image: ImagePath, place: str, size: int) -> None:
    """Raise ImageError where the file system of C(place) holds no file of C(size) bytes.

    Nothing but a trial tells that. The file that is tried never has a name and is gone when it is
    closed, so this touches nothing that anyone can see and is right in check mode too.
    """
    if size < PROBED_FROM:
        return
    with opened_directory(place) as directory:
        try:
            trial = _open_nameless(directory)
        except OSError:
            return
        try:
            os.ftruncate(trial, size)
        except OSError as error:
            if error.errno in (errno.EFBIG, errno.EINVAL):
                raise ImageError(
                    f"{image.path} cannot have {format_size(size)}: the file system of "
                    f"{place} holds no file of that size"
                ) from None
        finally:
            os.close(trial)


def _from_to(image: Image, size: int) -> str:
    return f"{image.path} from {format_size(image.status.st_size)} to {format_size(size)}"


def _remedies(users: List[User]) -> str:
    remedies = {
        "loop": "unbind it first (xen_loopdev with state: absent)",
        "vbd": "detach it first (xen_vbd_attach with state: absent)",
        "saved": SAVED_REMEDY,
        "swap": "take it out of use first (swapoff)",
    }
    return ", ".join(dict.fromkeys(remedies.get(user.kind, "end that first") for user in users))


def _read_back(image: ImagePath, size: int) -> State:
    status = os.stat(image.file)
    if status.st_size != size:
        raise ImageError(
            f"{image.path} has {format_size(status.st_size)}, not {format_size(size)}: another "
            "program changed it meanwhile"
        )
    return _state(status)


def _read_back_absent(image: ImagePath) -> State:
    if os.path.lexists(image.file):
        raise ImageError(f"{image.path} was deleted, and made again by someone else meanwhile")
    return _no_state()


def _open_nameless(directory: int) -> int:
    return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, MODE, dir_fd=directory)


@contextmanager
def _nameless(directory: int) -> Iterator[int]:
    """A new file that vanishes when it is closed, unless it was linked to a name by then.

    Where the file system has no such files, it has a hidden name for as long.
    """
    name = None
    try:
        descriptor = _open_nameless(directory)
    except OSError as error:
        # EISDIR: the kernel's answer where it does not know the flag.
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
            raise
        name = f".xen_raw_disk.{secrets.token_hex(8)}"
        flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_RDWR | os.O_CLOEXEC
        descriptor = os.open(name, flags, MODE, dir_fd=directory)
    try:
        os.fchmod(descriptor, MODE)
        yield descriptor
    finally:
        os.close(descriptor)
        if name:
            os.unlink(name, dir_fd=directory)


def _link(new: int, directory: int, image: ImagePath) -> None:
    """Give the file its name, which no other file may have."""
    try:
        # With a dir_fd this is linkat(2), which follows the magic link; link(2) would not.
        os.link(by_number(new), os.path.basename(image.file), dst_dir_fd=directory)
    except FileExistsError:
        raise ImageError(
            f"cannot create {image.path}: it was made by someone else meanwhile; run again"
        ) from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP):
            raise
        raise ImageError(
            f"cannot create {image.path}: the file system of {image.directory} has no hard links, "
            "without which an image cannot appear complete; use another file system"
        ) from None


def _grow(image: Image, size: int, full: bool) -> None:
    """Add to the end of an image. This is safe while a guest uses it: nobody sees it yet."""
    flags = os.O_RDWR | os.O_NOFOLLOW
    with locks.exclusive(GROWTH_LOCK, GROWTH_SECONDS), opened(image.file, flags) as descriptor:
        _check_same(image, descriptor)
        before = os.fstat(descriptor).st_size
        if before > size:
            raise ImageError(
                f"{image.path} was grown to {format_size(before)} by someone else meanwhile; run "
                "again"
            )
        try:
            image_source.set_size(descriptor, size, full)
        except OSError:
            # A full disk can end an allocation halfway.
            os.ftruncate(descriptor, before)
            raise
        os.fsync(descriptor)


def _shrink(image: Image, size: int) -> None:
    what = f"shrink {image.path}"
    with opened_real(image.directory) as directory, _exclusive(image, directory, what) as old:
        os.ftruncate(old, size)
        os.fsync(old)


def _check_same(image: Image, descriptor: int) -> None:
    """Raise ImageError unless both the open file and the one at the path are the image.

    To open it may have waited for another run that deleted it, and there may be a new one since.
    """
    try:
        files = {file_id(os.fstat(descriptor)), file_id(os.lstat(image.file))}
    except FileNotFoundError:
        raise ImageError(f"{image.path} was deleted by someone else meanwhile") from None
    if files != {file_id(image.status)}:
        raise ImageError(f"{image.path} was replaced by another file meanwhile; run again")


@contextmanager
def _exclusive(image: Image, directory: int, what: str) -> Iterator[int]:
    """The image in C(directory) opened by nobody else, a loop device included, and kept so.

    A write lease (fcntl(2)) is granted only to the one who has the file open alone, and whoever
    opens it then waits. This closes the gap between plan and action. Network file systems have no
    leases; there the plan's own look at the users has to do.
    """
    name = os.path.basename(image.file)
    with opened(name, os.O_RDWR | os.O_NOFOLLOW, directory=directory) as descriptor:
        try:
            # Somebody waiting is told by a signal. The usual one would end this process.
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                raise ImageError(f"cannot {what}: it came into use meanwhile; run again") from None
            if error.errno != errno.EINVAL:
                raise
        # Only now, as no other run can replace or delete it any more.
        _check_same(image, descriptor)
        yield descriptor
