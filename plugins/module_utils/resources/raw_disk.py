# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw disk images: which files are wanted, compared with those that are there."""

from __future__ import annotations

import os
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
    Sequence,
    Set,
)

from ansible_collections.xen.blockdev.plugins.module_utils.config import file as config_file
from ansible_collections.xen.blockdev.plugins.module_utils.config.former import FormerConfigs
from ansible_collections.xen.blockdev.plugins.module_utils.config.slots import (
    TO_LOSSES,
    ConfigSlots,
)
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import (
    Action,
    Plan,
    Resource,
    State,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk.listed import ListedDisk
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, explained
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import (
    Directories,
    check_writable,
    nearest,
    sync_directories,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image import file as image_file
from ansible_collections.xen.blockdev.plugins.module_utils.image import file_systems, raw_content
from ansible_collections.xen.blockdev.plugins.module_utils.image import source as image_source
from ansible_collections.xen.blockdev.plugins.module_utils.image.content import FileSystem
from ansible_collections.xen.blockdev.plugins.module_utils.image.file import Image, ImagePath
from ansible_collections.xen.blockdev.plugins.module_utils.image.source import Source
from ansible_collections.xen.blockdev.plugins.module_utils.image.tools import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import File, file_id
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.renamed import FormerNames
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import (
    SAVED_REMEDY,
    Usage,
    User,
    emptied,
    join,
)
from ansible_collections.xen.blockdev.plugins.module_utils.units import (
    MIRAGE_BLOCK,
    SizeError,
    format_size,
    parse_size,
)


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
def open_images(pending: Pending) -> Iterator[RawImages]:
    """This host's images. They need no lock for all of it: a new one never replaces another, what
    is destroyed is held by a lease, and growth, which comes without one, has a lock of its own."""
    yield RawImages(Usage(), pending)


class RawImages(Resource[Mapping[str, Any]]):
    """The raw images of this host."""

    def __init__(self, usage: Usage, pending: Pending) -> None:
        self._usage = usage
        self._former_names = FormerNames(usage)
        self._former_configs = FormerConfigs()
        self._slots = ConfigSlots(lambda: usage.bindings)
        self._pending = pending
        self._emptied = emptied(pending)
        self._wanted: Dict[object, str] = {}
        self._deleted: Set[File] = set()
        self._directories = Directories()
        self._promised: Dict[int, int] = {}
        """Bytes by st_dev that the plans so far take from a file system's free space."""
        self._touched: Set[str] = set()
        """Directories in which a name was made or removed."""

    def rank(self, item: Mapping[str, Any]) -> int:
        """See Resource.rank."""
        return int(item["state"] != "absent")

    def plan(self, item: Mapping[str, Any]) -> Plan:
        """See Resource.plan; C(item) has the options of xen_raw_disk."""
        image = image_file.find(item["path"])
        self._refuse_twice(image)
        if item["state"] == "absent":
            return self._plan_absent(item, image)
        if isinstance(image, Image):
            plan = self._plan_old(item, image)
        else:
            plan = self._plan_new(item, image)
        plan.file = image.file
        rest = plan.after["size"] % MIRAGE_BLOCK
        if rest and _is_raw(item, image):
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
        return loop_binding.deleted_images()

    def _refuse_twice(self, image: ImagePath) -> None:
        key = file_id(image.status) if isinstance(image, Image) else image.file
        # A new file may have the inode of one that another run has deleted since it was seen here.
        is_reused = isinstance(key, tuple) and not loop_binding.is_at(
            self._wanted.get(key, image.path), key
        )
        if key in self._wanted and not is_reused:
            raise ImageError(
                f"{image.path} is the same image as {self._wanted[key]}: name it once in a call"
            )
        self._wanted[key] = image.path

    def _plan_new(self, item: Mapping[str, Any], image: ImagePath) -> Plan:
        # An empty image in its place would be taken for it, by the link that follows its path.
        device = self._deleted_images.get(image.file)
        if device:
            raise ImageError(
                f"cannot create {image.path}: {loop_binding.lives_on(image.file, device)}"
            )
        with explained(f"cannot create {image.path}"):
            self._former_names.refuse_new(image.file)
            self._refuse_slots(item, image)
        place = nearest(image.directory)
        image_file.check_place(image, place, item["volatile"])
        directories = self._plan_directory(image, item["parents"])
        check_writable(place, f"create {image.path}")
        filling = self._filling(item, image)
        image_file.check_limit(image, place, filling.size)
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

    def _refuse_slots(self, item: Mapping[str, Any], image: ImagePath) -> None:
        """Raise BlockdevError if a config has another disk in a slot that the image is for: it
        could not be written with the image there."""
        for slot in [] if item["allow_slot_change"] else item["slots"] or []:
            domain = slot["domain"]
            disk = ListedDisk.of(DiskSpec(vdev=slot["vdev"], target=image.path))
            config = config_file.find(config_file.config_path(domain, slot["config"]))
            for had in self._former_configs.or_itself(domain, config, item["autostart_dir"]):
                with explained(had.file):
                    self._slots.refuse(domain, had, [disk], TO_LOSSES)

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
        _refuse_foreign(item, image, f"grow {_from_to(image, size)}")
        image_file.check_limit(image, image.directory, size)
        if full:
            self._reserve(image, image.directory, size - image_file.allocated(image.status))
        return Action(f"grow {_from_to(image, size)}", lambda: image_file.grow(image, size, full))

    def _shrinking(self, item: Mapping[str, Any], image: Image, size: int) -> Action:
        if not item["shrink"]:
            raise ImageError(
                f"cannot shrink {_from_to(image, size)}: what lies beyond would be lost; set "
                "shrink: true if that is meant, or leave size out"
            )
        self._refuse_in_use(image, f"shrink {image.path}")
        _refuse_foreign(item, image, f"shrink {_from_to(image, size)}")
        check_writable(image.file, f"shrink {image.path}")
        return Action(f"shrink {_from_to(image, size)}", lambda: image_file.shrink(image, size))

    def _plan_absent(self, item: Mapping[str, Any], image: ImagePath) -> Plan:
        if not isinstance(image, Image):
            return Plan(_no_state(), _no_state(), _no_state)
        if image.linked:
            raise ImageError(
                f"cannot delete {image.path}: it is a symbolic link to {image.file}; name the "
                "image itself, or remove the link with ansible.builtin.file"
            )
        named = self._usage.naming(image.file, item["named_in"])
        self._refuse_in_use(
            image, f"delete {image.path}", lambda user: self._leaves(item, user), named
        )
        check_writable(image.directory, f"delete {image.path}")
        self._deleted.add(file_id(image.status))
        if image.status.st_nlink == 1:
            self._promise(image.status.st_dev, -image_file.allocated(image.status))
        return Plan(
            before=_state(image.status),
            after=_no_state(),
            read_back=lambda: _read_back_absent(image),
            actions=[Action(f"delete {image.path}", lambda: self._delete(image))],
        )

    def _leaves(self, item: Mapping[str, Any], user: User) -> bool:
        """Whether an earlier task would have taken this user away but for check mode."""

        def is_detached(vbd: User) -> bool:
            return (vbd.domain, vbd.xenstore_key) in self._emptied

        if user.kind != "loop" or user.rdev is None:
            return is_detached(user)
        # xl's hotplug script unbinds what it has bound when the disk is detached.
        attached = self._usage.attachments(user.rdev)
        unbound = item["path"] in self._pending.unbound
        return unbound or (bool(attached) and all(map(is_detached, attached)))

    def _refuse_in_use(
        self,
        image: Image,
        what: str,
        leaves: Callable[[User], bool] = lambda user: False,
        named: Sequence[User] = (),
    ) -> None:
        """C(named): the configs that count as users as well."""
        users = [*named, *self._usage.of_file(image.status, leaves, image.file)]
        if users:
            # A bound image is most often that of a guest, which is what matters most.
            rdevs = [user.rdev for user in users if user.rdev is not None]
            users = [vbd for rdev in rdevs for vbd in self._usage.attachments(rdev)] + users
            raise ImageError(f"cannot {what}: {join(users)}; {_remedies(users)}")

    def _warn_of_users(self, source: Source) -> List[str]:
        users = self._usage.of_file(source.status, path=source.path)
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
        found = image_file.find(item["source"], "source")
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
        image_file.create(image, fill)
        self._touched.add(image.directory)

    def _delete(self, image: Image) -> None:
        image_file.delete(image)
        self._touched.add(image.directory)


def _no_state() -> State:
    return {"size": None, "allocated": None}


def _state(status: os.stat_result) -> State:
    """The result keys of an image."""
    return {"size": status.st_size, "allocated": image_file.allocated(status)}


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


def _is_raw(item: Mapping[str, Any], image: ImagePath) -> bool:
    """Whether nothing but raw is to be seen in the image, or the user says that it is raw."""
    if item["format"] is not None or not isinstance(image, Image):
        return True
    return raw_content.foreign(image.file, image.status) is None


def _refuse_foreign(item: Mapping[str, Any], image: Image, what: str) -> None:
    """Raise BlockdevError where a new size would break an image that is not raw."""
    if item["format"] is None:
        with explained(f"cannot {what}"):
            raw_content.refuse_foreign(image.file, image.status)


def _from_to(image: Image, size: int) -> str:
    return f"{image.path} from {format_size(image.status.st_size)} to {format_size(size)}"


def _remedies(users: List[User]) -> str:
    remedies = {
        "loop": "unbind it first (xen_loopdev with state: absent)",
        "vbd": "detach it first (xen_vbd_attach with state: absent)",
        "saved": SAVED_REMEDY,
        "swap": "take it out of use first (swapoff)",
        "config": "take the disk out of that config first",
    }
    return ", ".join(dict.fromkeys(remedies.get(user.kind, "end that first") for user in users))


def _read_back(image: ImagePath, size: int) -> State:
    status = os.stat(image.file)
    if status.st_size != size:
        raise ImageError(
            f"{image.path} has {format_size(status.st_size)}, not {format_size(size)}: another "
            "program changed it meanwhile; run again"
        )
    return _state(status)


def _read_back_absent(image: ImagePath) -> State:
    if os.path.lexists(image.file):
        raise ImageError(
            f"{image.path} was deleted, and made again by someone else meanwhile; run again"
        )
    return _no_state()
