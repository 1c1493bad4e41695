# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what the user wrote about domains and their disks to what each module is to do.

Everything that can be told without a host is told here, before any host is touched.
"""

from __future__ import annotations

from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
    Set,
)

from ansible_collections.xen.blockdev.plugins.module_utils import units
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.inventory import (
    IMAGE_OPTIONS,
    LOOP_OPTIONS,
    Disk,
    Domain,
    InventoryReader,
    chosen,
)

IMAGES_DIR = "/srv/xen"
CONFIG_DIR = "/etc/xen"

Entry = Dict[str, Any]
"""One disk of the plan: C(domain), C(name), C(xenstore_key), C(vdev) and, where they apply,
C(image), C(loop), C(vbd): the options of an item of xen_raw_disk, xen_loopdev, xen_vbd_attach."""


class _Placed(Protocol):
    @property
    def place(self) -> str: ...


class DiskPlanError(BlockdevError):
    """What is wrong with the domains, all of it, a line each."""


class DiskPlan(NamedTuple):
    """What is to be done, and what the user should know about it."""

    entries: List[Entry]
    """The disks, in the order in which they were written."""
    configs: List[Entry]
    """The options of an item of xen_domain_config for each domain."""
    warnings: List[str]


def plan(
    domains: object,
    images_dir: str = IMAGES_DIR,
    config_dir: str = CONFIG_DIR,
    state: Optional[str] = None,
) -> DiskPlan:
    """Plan the disks of all domains.

    C(domains): the list of domains as the user wrote it. C(images_dir): where images go that have
    no path of their own, as ``<images_dir>/<domain>/<disk>.raw``. C(config_dir): where configs
    are. C(state): ``absent`` plans every domain as if it were absent.
    Raises DiskPlanError with everything that is wrong.
    """
    reader = InventoryReader(images_dir, config_dir, state)
    planned = reader.domains(domains)
    disks = [disk for domain in planned for disk in domain.disks]
    problems = [*reader.problems, *_duplicates(planned)]
    if problems:
        raise DiskPlanError("\n".join(problems))
    used = {disk.path for disk in disks if not disk.absent}
    return DiskPlan(
        entries=[_entry(disk, used) for disk in disks],
        configs=[_config(domain) for domain in planned],
        warnings=[*_tails(disks), *_partitions_beside_disks(planned)],
    )


def select(entries: Sequence[Entry], query: Optional[str] = None) -> Any:
    """What the JMESPath expression C(query) selects of the entries, all of them without one.

    An image that several read-only disks share is left in the first of them only, so that the
    images of the result can be handed to one module call. Raises DiskPlanError.
    """
    selected = entries if query is None else _search(entries, query)
    if not isinstance(selected, list):
        return selected
    seen: Set[str] = set()
    return [_without_seen_image(entry, seen) for entry in selected]


def _duplicates(domains: Sequence[Domain]) -> Iterator[str]:
    """What is there twice: a name, a slot in a domain, an image or target unless all only read."""
    yield from _twice(domains, lambda domain: domain.name, "the domain is there already")
    yield from _twice(
        domains, lambda domain: domain.config_path, "config_path is another domain's as well"
    )
    for domain in domains:
        yield from _twice(domain.disks, lambda disk: disk.name, "the name is taken in this domain")
        yield from _twice(
            [disk for disk in domain.disks if not disk.absent],
            lambda disk: disk.slot and disk.slot.xenstore_key,
            "the slot is taken",
        )
    present = [disk for domain in domains for disk in domain.disks if not disk.absent]
    yield from _shared(present)


def _twice(things: Iterable[_Placed], key: Callable[[Any], object], problem: str) -> Iterator[str]:
    first: Dict[object, _Placed] = {}
    for thing in things:
        other = first.setdefault(key(thing), thing)
        if other is not thing:
            yield f"{thing.place}: {problem}, see {other.place}"


def _shared(disks: Iterable[Disk]) -> Iterator[str]:
    """What is wrong with disks that share an image or a block device."""
    first: Dict[str, Disk] = {}
    for disk in disks:
        other = first.setdefault(disk.path or disk.target, disk)
        if other is disk:
            continue
        what = f"{disk.path or disk.target} is the disk of {other.place} as well"
        if not _read_only(disk) or not _read_only(other):
            yield f"{disk.place}: {what}: only disks that all have access: ro can share it"
        elif _image_options(disk) != _image_options(other):
            yield f"{disk.place}: {what}, with other options of the image"
        elif disk.domain == other.domain:
            yield f"{disk.place}: {what}, in the same domain"


def _read_only(disk: Disk) -> bool:
    return disk.options.get("access") == "ro"


def _image_options(disk: Disk) -> Entry:
    return {
        "loop": disk.loop,
        "format": disk.options.get("format", "raw"),
        **chosen(disk.options, IMAGE_OPTIONS),
        **chosen(disk.options, LOOP_OPTIONS),
    }


def _tails(disks: Iterable[Disk]) -> Iterator[str]:
    for disk in disks:
        size = None if disk.absent else disk.options.get("size")
        if size is not None and units.parse_size(size) % units.MIRAGE_BLOCK:
            yield (
                f"{disk.place}: size {size} is not a multiple of {units.MIRAGE_BLOCK} bytes: "
                "MirageOS on Xen does not see the rest"
            )


def _partitions_beside_disks(domains: Iterable[Domain]) -> Iterator[str]:
    for domain in domains:
        slots = [(disk, disk.slot) for disk in domain.disks if disk.slot and not disk.absent]
        whole = {(slot.bus, slot.disk): disk for disk, slot in slots if slot.partition == 0}
        for disk, slot in slots:
            other = whole.get((slot.bus, slot.disk)) if slot.partition else None
            if other:
                yield (
                    f"{disk.place}: {disk.vdev} is {slot.linux_device}, a partition of "
                    f"{other.vdev}, which is the whole disk {other.name}: Linux may show only one"
                )


def _entry(disk: Disk, used: Set[Optional[str]]) -> Entry:
    """The disk's entry in the plan.

    C(used): the images of disks that are present. What an absent disk shares with one of them
    stays as it is.
    """
    assert disk.slot
    entry: Entry = {
        "domain": disk.domain,
        "name": disk.name,
        "xenstore_key": disk.slot.xenstore_key,
        "vdev": disk.vdev,
    }
    if disk.absent:
        if disk.path not in used:
            entry.update(_layers_of_absent(disk))
        entry["vbd"] = _vbd_of_absent(disk)
        return entry
    if disk.image:
        entry["image"] = {
            "path": disk.path,
            "state": "present",
            **chosen(disk.options, IMAGE_OPTIONS),
        }
        if "size" in disk.options:
            entry["image"]["size"] = units.parse_size(disk.options["size"])
    if disk.loop:
        entry["loop"] = {
            "path": disk.path,
            "state": "present",
            **chosen(disk.options, LOOP_OPTIONS),
        }
    entry["vbd"] = {"domain": disk.domain, "state": "present", **disk.spec}
    return entry


def _layers_of_absent(disk: Disk) -> Entry:
    layers = {}
    if disk.ours:
        layers["image"] = {"path": disk.path, "state": "absent"}
    if disk.loop:
        layers["loop"] = {"path": disk.path, "state": "absent"}
    return layers


def _vbd_of_absent(disk: Disk) -> Entry:
    """A disk is detached by what it is; by its slot too only where the user wrote that one."""
    vbd = {"domain": disk.domain, "state": "absent", "target": disk.target}
    return {**vbd, "vdev": disk.vdev} if "vdev" in disk.options else vbd


def _config(domain: Domain) -> Entry:
    config: Entry = {
        "domain": domain.name,
        "path": domain.config_path,
        "state": "absent" if domain.absent else "present",
    }
    if not domain.absent:
        config["disks"] = [disk.spec for disk in domain.disks if not disk.absent]
        if "config" in domain.options:
            config["options"] = domain.options["config"]
        if "allow_slot_change" in domain.options:
            config["allow_slot_change"] = domain.options["allow_slot_change"]
    return config


def _search(entries: Sequence[Entry], query: str) -> object:
    try:
        import jmespath  # noqa: PLC0415 - for those only who give a query
    except ImportError:
        raise DiskPlanError("query needs the Python package jmespath on the controller") from None
    try:
        return jmespath.search(query, list(entries))
    except jmespath.exceptions.JMESPathError as error:
        raise DiskPlanError(f"query {query!r}: {error}") from None


def _without_seen_image(entry: Any, seen: Set[str]) -> Any:
    if not isinstance(entry, dict):
        return entry
    path = (entry.get("image") or entry.get("loop") or {}).get("path")
    if path in seen:
        return {key: value for key, value in entry.items() if key not in ("image", "loop")}
    if path is not None:
        seen.add(path)
    return entry
