# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The domains and disks that the user wrote, each option checked and resolved by itself.

Names, types, paths, slots and targets are settled here, without a host. What two disks do to
each other is the business of ``disk_plan``.
"""

from __future__ import annotations

import itertools
import posixpath
from dataclasses import dataclass
from functools import partial
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Set

from ansible_collections.xen.blockdev.plugins.module_utils.config import syntax as config_syntax
from ansible_collections.xen.blockdev.plugins.module_utils.config.mirage_xl import MirageConfig
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk import spec as disk_spec
from ansible_collections.xen.blockdev.plugins.module_utils.disk import target as disk_target
from ansible_collections.xen.blockdev.plugins.module_utils.disk.device_number import DeviceNumber
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.image import place as image_place
from ansible_collections.xen.blockdev.plugins.module_utils.inventory import domain_template
from ansible_collections.xen.blockdev.plugins.module_utils.inventory.options import (
    DISK_OPTIONS,
    DOMAIN_OPTIONS,
    EXPANDED,
    IMAGE_OPTIONS,
    LOOP_OPTIONS,
    STATE,
    VBD_OPTIONS,
    Options,
    OptionsReader,
    read_config,
    read_directory,
    read_list,
    read_path,
    shown,
    with_name,
)
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link

# ---- what was written ----


@dataclass(frozen=True)
class Disk:
    """One disk, its options checked and resolved."""

    place: str
    """Where it was written, for messages."""
    domain: str
    name: str
    absent: bool
    options: Mapping[str, Any]
    """Those that were written, the size in bytes, and those that the domain's template has."""
    path: Optional[str]
    """The image; None if the disk is a block device or the like."""
    slot: DeviceNumber

    @property
    def image(self) -> bool:
        """Whether the image is a raw one, which xen_raw_disk looks after."""
        return self.path is not None and self.format == "raw"

    @property
    def loop(self) -> bool:
        """Whether the guest gets the image through a loop device of ours. QEMU opens the image
        itself, so it needs none."""
        by_qemu = self.options.get("backendtype") == "qdisk"
        return self.image and bool(self.options.get("loop", not by_qemu))

    @property
    def may_have_loop(self) -> bool:
        """Whether an earlier plan may have given the image a loop device, whatever this says."""
        return self.path is not None and loop_link.SAFE_PATH.fullmatch(self.path) is not None

    @property
    def format(self) -> str:
        """What is in the image or block device."""
        return str(self.options.get("format", "raw"))

    @property
    def storage(self) -> str:
        """Where its data is: the image or the target, of the domain that serves it if that is not
        dom0. Disks with the same one are the same."""
        backend = disk_spec.backend_of(self.options)
        return f"{self.target} of domain {backend}" if backend else self.path or self.target

    @property
    def target(self) -> str:
        """What xl opens."""
        if self.path is None:
            return str(self.options["target"])
        return loop_link.link_of(self.path) if self.loop else self.path

    @property
    def vdev(self) -> str:
        """The slot as it was written, here or in the template, or else its Linux device name."""
        return str(self.options["vdev"]) if "vdev" in self.options else self.slot.linux_device

    @property
    def access(self) -> str:
        """``rw`` or ``ro``, as it says; what it may not say is refused when it is rendered."""
        return str(self.options.get("access", disk_spec.access_of(self.options)))

    @property
    def ours(self) -> bool:
        """Whether the plan itself would create the image, so that it may delete it."""
        return self.image and (
            "path" not in self.options or "size" in self.options or "source" in self.options
        )

    @property
    def in_template(self) -> bool:
        """Whether it may be a block of the domain's template: those have slots that are written."""
        return "vdev" in self.options and not self.options.get("xenstore_id")

    @property
    def spec(self) -> Options:
        """The disk as xl_disk takes it. It says its format only where the user has said it: the
        modules do not take what looks like another format as raw unless it is."""
        spec = {
            "target": self.target,
            "vdev": self.vdev,
            **chosen(self.options, VBD_OPTIONS),
            "access": self.access,
        }
        if not spec.get("direct_io_safe"):
            spec.pop("direct_io_safe", None)  # xl's default, which it has no word for
        return spec


@dataclass(frozen=True)
class Domain:
    """One domain, its options checked."""

    place: str
    name: str
    absent: bool
    options: Mapping[str, Any]
    config_path: str
    disks: Sequence[Disk]
    config: Optional[Mapping[str, Any]]
    """What its config says beside name and disks; None if that is not to be changed."""


class InventoryReader(OptionsReader):
    """Reads what the user wrote and keeps what is wrong with it."""

    def __init__(self, images_dir: object, config_dir: object, state: object) -> None:
        """``images_dir``, ``config_dir``: where images and configs are that have no path of their
        own. ``state``: ``absent`` to take every domain as absent, or None."""
        super().__init__()
        self._images_dir = self.read("images_dir", read_directory, images_dir) or "/"
        self._config_dir = self.read("config_dir", read_directory, config_dir) or "/"
        self._all_absent = state is not None and self.read("state", STATE, state) == "absent"

    def domains(self, written: object, places: Optional[Sequence[str]] = None) -> List[Domain]:
        """The domains; those are left out of which not even the name can be read. ``places``: what
        each is called in a problem."""
        domains = self.read("domains", read_list, written) or []
        if places is None:
            places = [with_name(f"domains[{i}]", domain) for i, domain in enumerate(domains)]
        read = [self._domain(place, domain) for place, domain in zip(places, domains)]
        return [domain for domain in read if domain]

    def _domain(self, place: str, written: object) -> Optional[Domain]:
        options = self.options(place, written, DOMAIN_OPTIONS)
        name = str(options.get("name"))
        absent = self._all_absent or options.get("state") == "absent"
        # Of a template that cannot be read only that is told, and not what follows from it.
        lenient = absent or (_is_given(written, "template") and "template" not in options)
        disks = self._disks(place, name, absent, options, lenient)
        config = None if lenient else self._config(place, name, options, disks)
        path = options.get("config_path", posixpath.join(self._config_dir, f"{name}.cfg"))
        if "name" not in options:
            return None
        return Domain(place, name, absent, options, path, disks, config)

    def _config(
        self, place: str, domain: str, options: Options, disks: Sequence[Disk]
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
    ) -> List[Disk]:
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
    ) -> Optional[Disk]:
        if "name" not in options:
            return None
        name = options["name"]
        path = None
        if "target" not in options:
            default = posixpath.join(self._images_dir, domain, f"{name}.raw")
            path = options.get("path", default)
        absent = absent or options.get("state") == "absent"
        disk = Disk(place, domain, name, absent, options, path, slot)
        self._check(disk)
        return disk

    def _check(self, disk: Disk) -> None:
        before = len(self.problems)
        if disk.path is None:
            self._check_target(disk)
        else:
            self._check_image(disk, disk.path)
        if not disk.image:
            self._refuse(disk, IMAGE_OPTIONS, "only a raw image is created and changed here")
        if not disk.loop:
            self._refuse(disk, LOOP_OPTIONS, "it has no loop device of ours")
            if disk.options.get("loop"):
                self.problem(
                    disk.place, "loop: true needs a raw image: a loop device shows its bytes"
                )
        if not disk.absent and len(self.problems) == before:
            self.read(disk.place, _xl_word, disk.spec)

    def _check_image(self, disk: Disk, path: str) -> None:
        if self.read(f"{disk.place}: path", read_path, path) is None:
            return
        if disk.loop and not loop_link.SAFE_PATH.fullmatch(path):
            self.problem(
                disk.place,
                f"path {shown(path)} cannot have a loop device with a name that follows it: use "
                "letters, digits and . _ - / only, or loop: false",
            )
        place = image_place.problem_of_kernel(path)
        if disk.image and not disk.absent and place:
            self.problem(disk.place, f"path {shown(path)}: {place}")
        if disk.image and not disk.loop and "$" in path:
            # xen_raw_disk would expand an environment variable in it, and xl would not.
            self.problem(disk.place, f"path {shown(path)} {EXPANDED}")
        if disk_spec.backend_of(disk.options):
            self.problem(
                disk.place,
                f"domain {disk.options['backend']} serves it, where no image is made or bound: "
                "write target, as that domain knows it, in place of the image",
            )
        if not disk.image and "path" not in disk.options:
            self.problem(disk.place, f"format {disk.format} needs the path of an image")

    def _check_target(self, disk: Disk) -> None:
        self._refuse(disk, ["path"], "target is a block device that is there already")
        if not self._is_good_target(disk) or disk_target.is_left_to_others(disk.options):
            return
        self.read(f"{disk.place}: target", read_path, disk.target)
        if loop_link.is_link(disk.target):
            self.problem(
                disk.place,
                f"target {shown(disk.target)} is a loop device: write path: "
                f"{loop_link.linked_image(disk.target)}",
            )

    def _is_good_target(self, disk: Disk) -> bool:
        try:
            disk_target.check(disk.options)
        except BlockdevError as error:
            self.problem(disk.place, str(error))
            return False
        return True

    def _refuse(self, disk: Disk, options: Iterable[str], why: str) -> None:
        for option in options:
            if option in disk.options:
                self.problem(disk.place, f"{option} does not apply: {why}")


def _xl_word(spec: Options) -> str:
    """The disk as it stands in a config."""
    return config_syntax.quote(disk_spec.render(spec))


def chosen(options: Mapping[str, Any], names: Iterable[str]) -> Options:
    """Those of the options that have one of the names, in the order of the names."""
    return {name: options[name] for name in names if name in options}


def _slots(disks: Sequence[Options]) -> List[DeviceNumber]:
    """The slot of each disk of a domain: the written one, or the next disk number that no written
    one touches. An absent disk has one as well, so that marking a disk absent moves no other."""
    written = [device_number.parse(disk["vdev"]) if "vdev" in disk else None for disk in disks]
    touched: Set[Optional[int]] = {slot.disk for slot in written if slot}
    free = (number for number in itertools.count() if number not in touched)
    return [slot or device_number.from_disk_number(next(free)) for slot in written]


def _slots_by_name(disks: Iterable[Disk]) -> Dict[str, List[int]]:
    """The xenstore keys of the disks that have a name, or a label, in the order of the disks."""
    slots: Dict[str, List[int]] = {}
    for disk in disks:
        for name in dict.fromkeys([disk.name, disk.options.get("label")]):
            if isinstance(name, str):
                slots.setdefault(name, []).append(disk.slot.xenstore_key)
    return slots


def _is_given(written: object, option: str) -> bool:
    return isinstance(written, Mapping) and written.get(option) is not None
