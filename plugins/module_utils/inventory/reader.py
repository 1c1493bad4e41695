# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The domains and disks that the user wrote, each checked and resolved by itself.

This determines names, types, paths, slots and targets. ``disk_plan`` finds conflicts between disks.
"""

from __future__ import annotations

import itertools
import posixpath
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Set

from ansible_collections.xen.blockdev.plugins.module_utils.config.drives import Judgement, judge
from ansible_collections.xen.blockdev.plugins.module_utils.config.guest import guest_of
from ansible_collections.xen.blockdev.plugins.module_utils.config.mirage_xl import MirageConfig
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk import target as disk_target
from ansible_collections.xen.blockdev.plugins.module_utils.disk.device_number import DeviceNumber
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.image import place as image_place
from ansible_collections.xen.blockdev.plugins.module_utils.inventory import domain_template
from ansible_collections.xen.blockdev.plugins.module_utils.inventory.options import (
    ATTACH_OPTIONS,
    CONTENT_OPTIONS,
    DISK_OPTIONS,
    DOMAIN_OPTIONS,
    EXPANDED,
    IMAGE_OPTIONS,
    LOOP_OPTIONS,
    STATE,
    VBD_OPTIONS,
    VOLUME_OPTIONS,
    Options,
    OptionsReader,
    Vdev,
    described,
    read_config,
    read_directory,
    read_list,
    read_path,
    with_name,
)
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.volume import names as volume_names

_CD_SLOT = device_number.parse("hdc")
"""Where PCs have had their CD drive, and where libxl has always emulated one."""

# ---- what was written ----


@dataclass(frozen=True)
class PlannedVolume:
    """The logical volume that a disk is."""

    group: str
    name: str

    @property
    def path(self) -> str:
        """Where its device is."""
        return volume_names.path_of(self.group, self.name)


@dataclass(frozen=True)
class PlannedDisk:
    """One disk, its options checked and resolved."""

    place: str
    """Its position in the list, for messages."""
    domain: str
    name: str
    absent: bool
    options: Mapping[str, Any]
    """Those of the user, with the size in bytes, and those of the domain's template."""
    path: Optional[str]
    """The image; None if the disk is a logical volume, another block device or the like, or an
    empty drive."""
    slot: DeviceNumber

    @property
    def is_cd(self) -> bool:
        """Whether it is a CD drive. Its medium is used as it is, and never made or deleted."""
        return is_cd_drive(self.options)

    @property
    def image(self) -> bool:
        """Whether it has a raw image, which xen_raw_disk manages."""
        return self.path is not None and self.format == "raw" and not self.is_cd

    @property
    def volume(self) -> Optional[PlannedVolume]:
        """The logical volume that it is, which xen_logical_volume manages."""
        group = self.options.get("volume_group")
        name = self.options.get("volume", f"{self.domain}-{self.name}")
        return PlannedVolume(group, name) if group else None

    @property
    def loop(self) -> bool:
        """Whether we bind the image to a loop device. QEMU needs none, as it opens the image
        itself."""
        by_qemu = self.options.get("backendtype") == "qdisk"
        return self.image and bool(self.options.get("loop", not by_qemu))

    @property
    def may_have_loop(self) -> bool:
        """Whether an earlier plan may have bound the image to a loop device."""
        is_safe = self.path is not None and loop_link.SAFE_PATH.fullmatch(self.path) is not None
        return is_safe and not self.is_cd

    @property
    def format(self) -> str:
        """The format of the image or block device."""
        return str(self.options.get("format", "raw"))

    @property
    def storage(self) -> Optional[str]:
        """What identifies its data: the image or the target, and the domain that serves it if that
        is not dom0. None for an empty drive."""
        backend = self.spec.backend_domain
        return f"{self.target} of domain {backend}" if backend else self.path or self.target

    @property
    def target(self) -> Optional[str]:
        """What xl opens; None for an empty drive."""
        if self.volume:
            return self.volume.path
        if self.path is None:
            return self.options.get("target")
        return loop_link.link_of(self.path) if self.loop else self.path

    @property
    def vdev(self) -> str:
        """The slot as the user or the template has it, otherwise its Linux device name."""
        written: Optional[Vdev] = self.options.get("vdev")
        return written.text if written else self.slot.linux_device

    @property
    def access(self) -> str:
        """``rw`` or ``ro``, as it says; what it may not say is refused when it is rendered."""
        return str(self.spec.access)

    @property
    def ours(self) -> bool:
        """Whether the plan itself would create the image or the logical volume, so that it may
        delete it."""
        named = "volume" if self.volume else "path"
        sized = "size" in self.options or "source" in self.options
        return (self.image or self.volume is not None) and (named not in self.options or sized)

    @property
    def in_template(self) -> bool:
        """Whether it may be a block of the domain's template, which has a slot for each block."""
        return "vdev" in self.options and not self.options.get("xenstore_id")

    @cached_property
    def spec(self) -> DiskSpec:
        """The disk as xl has it, not checked. It says its format only if the user has said it: the
        modules do not take what looks like another format as raw unless it is."""
        said = chosen(self.options, VBD_OPTIONS)
        if self.is_cd and self.target is None:
            said.pop("format", None)  # A drive without a target is empty, whatever its format.
        spec = DiskSpec(target=self.target, vdev=self.vdev, **said)
        return replace(spec, access=spec.access or spec.effective_access)


@dataclass(frozen=True)
class PlannedDomain:
    """One domain, its options checked."""

    place: str
    name: str
    absent: bool
    options: Mapping[str, Any]
    config_path: str
    disks: Sequence[PlannedDisk]
    config: Optional[Mapping[str, Any]]
    """The options in its config; None if they are not to be changed."""

    @cached_property
    def present(self) -> List[PlannedDisk]:
        """Its disks without the absent ones."""
        return [disk for disk in self.disks if not disk.absent]

    @cached_property
    def judgement(self) -> Judgement:
        """Of its disks by the type of the guest, if the plan says that. Raises GuestTypeError for a
        type that xl does not know, and DeviceNumberError."""
        if self.config is None:
            return Judgement()
        return judge(guest_of(self.config), [disk.spec for disk in self.present])


class InventoryReader(OptionsReader):
    """Reads what the user wrote and collects the problems."""

    def __init__(self, images_dir: object, config_dir: object, state: object) -> None:
        """``images_dir``, ``config_dir``: the directories of images and configs without a path.
        ``state``: ``absent`` makes every domain absent, or None."""
        super().__init__()
        self._images_dir = self.read("images_dir", read_directory, images_dir) or "/"
        self._config_dir = self.read("config_dir", read_directory, config_dir) or "/"
        self._all_absent = state is not None and self.read("state", STATE, state) == "absent"

    def domains(
        self, written: object, places: Optional[Sequence[str]] = None
    ) -> List[PlannedDomain]:
        """The domains, except for those without a valid name. ``places``: how messages refer to
        each of them."""
        domains = self.read("domains", read_list, written) or []
        if places is None:
            places = [with_name(f"domains[{i}]", domain) for i, domain in enumerate(domains)]
        read = [self._domain(place, domain) for place, domain in zip(places, domains)]
        return [domain for domain in read if domain]

    def _domain(self, place: str, written: object) -> Optional[PlannedDomain]:
        options = self.options(place, written, DOMAIN_OPTIONS)
        name = str(options.get("name"))
        absent = self._all_absent or options.get("state") == "absent"
        # A template that cannot be read is one problem; what follows from it is not reported.
        lenient = absent or (_is_given(written, "template") and "template" not in options)
        disks = self._disks(place, name, absent, options, lenient)
        config = None if lenient else self._config(place, name, options, disks)
        path = options.get("config_path", posixpath.join(self._config_dir, f"{name}.cfg"))
        if "name" not in options:
            return None
        return PlannedDomain(place, name, absent, options, path, disks, config)

    def _config(
        self, place: str, domain: str, options: Options, disks: Sequence[PlannedDisk]
    ) -> Optional[Options]:
        present = [disk for disk in disks if not disk.absent]
        if "template" in options:
            keys = [disk.slot.xenstore_key for disk in present if disk.in_template]
            for problem in domain_template.blocks_without_disk(options["template"], keys):
                self.problem(place, problem)
        config = domain_template.config_of(
            domain, options, _slots_by_name(present), partial(self.problem, place)
        )
        return None if config is None else self.read(place, read_config, config)

    def _disks(
        self, domain_place: str, domain: str, absent: bool, options: Options, lenient: bool
    ) -> List[PlannedDisk]:
        written, template = options.get("disks", []), options.get("template")
        places = [with_name(f"{domain_place}, disks[{i}]", disk) for i, disk in enumerate(written)]
        read = [self.options(place, disk, DISK_OPTIONS) for place, disk in zip(places, written)]
        read = [
            self._with_block(place, disk, template, lenient) for place, disk in zip(places, read)
        ]
        disks = [
            self._disk(place, domain, absent, disk, slot)
            for place, disk, slot in zip(places, read, _slots(read))
        ]
        return [disk for disk in disks if disk]

    def _with_block(
        self, place: str, options: Options, template: Optional[MirageConfig], lenient: bool
    ) -> Options:
        absent = lenient or options.get("state") == "absent"
        with_block = partial(domain_template.with_block, template=template, absent=absent)
        return self.read(place, with_block, options) or options

    def _disk(
        self, place: str, domain: str, absent: bool, options: Options, slot: DeviceNumber
    ) -> Optional[PlannedDisk]:
        if "name" not in options:
            return None
        name = options["name"]
        path = options.get("path")
        if path is None and not is_cd_drive(options):
            path = posixpath.join(self._images_dir, domain, f"{name}.raw")
        if "target" in options or "volume_group" in options:
            path = None
        absent = absent or options.get("state") == "absent"
        disk = PlannedDisk(place, domain, name, absent, options, path, slot)
        self._check(disk)
        return disk

    def _check(self, disk: PlannedDisk) -> None:
        before = len(self.problems)
        (self._check_drive if disk.is_cd else self._check_disk)(disk)
        if not disk.absent and len(self.problems) == before:
            self.read(disk.place, DiskSpec.check, disk.spec)

    def _check_drive(self, disk: PlannedDisk) -> None:
        """A CD drive: its medium is a file (``path``) or a block device (``target``)."""
        made = {**IMAGE_OPTIONS, **VOLUME_OPTIONS}
        self._refuse(disk, made, "the medium of a CD drive is used as it is, never made")
        self._refuse(disk, LOOP_OPTIONS, "QEMU opens the medium of a CD drive itself")
        self._refuse(disk, ATTACH_OPTIONS, "a guest does not connect to the medium of a CD drive")
        if disk.options.get("loop"):
            self.problem(
                disk.place, "loop: true does not apply: QEMU opens the medium of a CD drive itself"
            )
        if disk.format == "empty" and disk.target is not None:
            self.problem(
                disk.place,
                f"format: empty is for a drive without a medium, but this one has {disk.target}: "
                "omit one of them",
            )
        elif disk.path is not None:
            self.read(f"{disk.place}: path", read_path, disk.path)
            self._refuse_backend(disk)
        elif disk.target is not None:
            self._check_target(disk, disk.target)

    def _check_disk(self, disk: PlannedDisk) -> None:
        if disk.format == "empty":
            self.problem(disk.place, "format: empty is for a CD drive only (devtype: cdrom)")
            return
        if disk.volume:
            self._check_volume(disk, disk.volume)
        elif disk.path is None:
            self._check_target(disk, str(disk.target))
        else:
            self._check_image(disk, disk.path)
        if not disk.volume:
            self._refuse(disk, VOLUME_OPTIONS, "the disk is no logical volume without volume_group")
        if not disk.image and not disk.volume:
            why = "only raw images and logical volumes are created and changed"
            self._refuse(disk, IMAGE_OPTIONS, why)
        if not disk.loop:
            self._refuse(disk, LOOP_OPTIONS, "the image gets no loop device")
            if disk.options.get("loop"):
                self.problem(
                    disk.place,
                    "loop: true needs a raw image: a loop device does not convert other formats",
                )

    def _check_image(self, disk: PlannedDisk, path: str) -> None:
        if self.read(f"{disk.place}: path", read_path, path) is None:
            return
        if disk.loop and not loop_link.SAFE_PATH.fullmatch(path):
            self.problem(
                disk.place,
                f"path {described(path)} cannot be part of the name of a link in /dev: use only "
                "letters, digits and . _ - /, or set loop: false",
            )
        place = image_place.problem_of_kernel(path)
        if disk.image and not disk.absent and place:
            self.problem(disk.place, f"path {described(path)}: {place}")
        if disk.image and not disk.loop and "$" in path:
            # xen_raw_disk would expand an environment variable in it, and xl would not.
            self.problem(disk.place, f"path {described(path)} {EXPANDED}")
        self._refuse_backend(disk)
        if not disk.image and "path" not in disk.options:
            self.problem(
                disk.place, f"format {disk.format} needs path: such an image is not created"
            )

    def _check_volume(self, disk: PlannedDisk, volume: PlannedVolume) -> None:
        why = f"the disk is the logical volume {volume.path}"
        self._refuse(disk, ["path", "target"], why)
        self._refuse(disk, [name for name in IMAGE_OPTIONS if name not in CONTENT_OPTIONS], why)
        if disk.format != "raw":
            self.problem(
                disk.place,
                f"format {disk.format} does not apply: {why}, which is raw; if it has another "
                "format already, set target in place of volume_group",
            )
        names = {"volume": volume.name, **chosen(disk.options, ["thin_pool"])}
        for option, name in names.items():
            check = partial(volume_names.check_volume, volume.group, option=option)
            self.read(disk.place, check, name)
        self._refuse_backend(disk)

    def _refuse_backend(self, disk: PlannedDisk) -> None:
        """A path is one in dom0, and so is a volume group."""
        if disk.spec.backend_domain:
            made = "logical volumes are created" if disk.volume else "images are created and bound"
            self.problem(
                disk.place,
                f"domain {disk.options['backend']} serves this disk, but {made} in dom0 only: set "
                "target to the path or name that it has in that domain",
            )

    def _check_target(self, disk: PlannedDisk, target: str) -> None:
        self._refuse(disk, ["path"], "target is a block device that exists already")
        if not self._is_good_target(disk) or disk_target.is_left_to_others(disk.spec):
            return
        self.read(f"{disk.place}: target", read_path, target)
        if loop_link.is_link(target):
            self.problem(
                disk.place,
                f"target {described(target)} is the link of a loop device: use path: "
                f"{loop_link.linked_image(target)}",
            )

    def _is_good_target(self, disk: PlannedDisk) -> bool:
        try:
            disk_target.check(disk.spec)
        except BlockdevError as error:
            self.problem(disk.place, str(error))
            return False
        return True

    def _refuse(self, disk: PlannedDisk, options: Iterable[str], why: str) -> None:
        for option in options:
            if option in disk.options:
                self.problem(disk.place, f"{option} does not apply: {why}")


def chosen(options: Mapping[str, Any], names: Iterable[str]) -> Options:
    """The options with these names, in the order of the names."""
    return {name: options[name] for name in names if name in options}


def is_cd_drive(options: Mapping[str, Any]) -> bool:
    """Whether these options of a disk are those of a CD drive."""
    return options.get("devtype") == "cdrom"


def _slots(disks: Sequence[Options]) -> List[DeviceNumber]:
    """The slot of each disk of a domain: the one that the user wrote, or the next disk number that
    is not in use. Absent disks get one as well, so that no other disk moves when one is marked
    absent. A CD drive gets the same slot in any domain, so that it moves no disk either."""
    written = [disk["vdev"].slot if "vdev" in disk else None for disk in disks]
    touched: Set[Optional[int]] = {slot.disk for slot in written if slot}
    free = (number for number in itertools.count() if number not in touched)
    return [
        slot or (_CD_SLOT if is_cd_drive(disk) else device_number.from_disk_number(next(free)))
        for slot, disk in zip(written, disks)
    ]


def _slots_by_name(disks: Iterable[PlannedDisk]) -> Dict[str, List[int]]:
    """The xenstore keys of the disks that have a name, or a label, in the order of the disks."""
    slots: Dict[str, List[int]] = {}
    for disk in disks:
        for name in dict.fromkeys([disk.name, disk.options.get("label")]):
            if isinstance(name, str):
                slots.setdefault(name, []).append(disk.slot.xenstore_key)
    return slots


def _is_given(written: object, option: str) -> bool:
    return isinstance(written, Mapping) and written.get(option) is not None
