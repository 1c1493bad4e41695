# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the items of all modules from what the user wrote about domains and their disks.

Everything that does not depend on a host is checked here, before anything is changed.
"""

from __future__ import annotations

import json
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
)

from ansible_collections.xen.blockdev.plugins.module_utils import units
from ansible_collections.xen.blockdev.plugins.module_utils.config.drives import warnings_of
from ansible_collections.xen.blockdev.plugins.module_utils.config.text import CONFIG_DIR
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, type_name
from ansible_collections.xen.blockdev.plugins.module_utils.image import place as image_place
from ansible_collections.xen.blockdev.plugins.module_utils.inventory.options import (
    ATTACH_OPTIONS,
    IMAGE_OPTIONS,
    LOOP_OPTIONS,
)
from ansible_collections.xen.blockdev.plugins.module_utils.inventory.reader import (
    InventoryReader,
    PlannedDisk,
    PlannedDomain,
    chosen,
)

IMAGES_DIR = image_place.IMAGES_DIR

PlanEntry = Dict[str, Any]
"""One disk of the plan: ``domain``, ``name``, ``xenstore_key``, ``vdev`` and, if it has them,
``image``, ``loop`` and ``vbd``: items of xen_raw_disk, xen_loopdev and xen_vbd_attach."""


class DiskPlanError(BlockdevError):
    """All problems of the domains, one a line."""


class Reading(NamedTuple):
    """The domains, as far as they can be read, and all problems."""

    domains: List[PlannedDomain]
    problems: List[str]
    """One line each, which begins with the place."""


class DiskPlan(NamedTuple):
    """The items for the modules, and warnings for the user."""

    entries: List[PlanEntry]
    """The disks, in the order of the user."""
    configs: List[PlanEntry]
    """The options of an item of xen_domain_config for each domain."""
    warnings: List[str]


def plan(
    domains: object,
    images_dir: str = IMAGES_DIR,
    config_dir: str = CONFIG_DIR,
    state: Optional[str] = None,
) -> DiskPlan:
    """Plan the disks of all domains.

    ``domains``: the list of domains as the user wrote it. ``images_dir``: the directory of images
    without a path, which are ``<images_dir>/<domain>/<disk>.raw``. ``config_dir``: the directory of
    configs without a path. ``state``: ``absent`` makes every domain absent.
    Raises DiskPlanError with all problems.
    """
    planned, problems = read(domains, images_dir, config_dir, state)
    if problems:
        raise DiskPlanError("\n".join(problems))
    return DiskPlan(
        entries=_entries([disk for domain in planned for disk in domain.disks]),
        configs=[_config(domain) for domain in planned],
        warnings=[
            *_tails(planned),
            *_unseen(planned),
            *_same_linux_names(planned),
            *_partitions_beside_disks(planned),
        ],
    )


def read(
    domains: object,
    images_dir: str = IMAGES_DIR,
    config_dir: str = CONFIG_DIR,
    state: Optional[str] = None,
    places: Optional[Sequence[str]] = None,
) -> Reading:
    """Read what the user wrote, as ``plan`` does, and return the problems.

    ``places``: how problems refer to each domain, by default by its position and name.
    """
    reader = InventoryReader(images_dir, config_dir, state)
    found = reader.domains(domains, places)
    return Reading(found, [*reader.problems, *_contradictions(found)])


def select(entries: Sequence[PlanEntry], query: Optional[str] = None) -> Any:
    """The result of the JMESPath expression ``query`` on the entries; all entries without one.

    An image that several disks share is only in the first entry of the result, so that all images
    can be passed to one module call. Raises DiskPlanError if the expression fails.
    """
    selected = entries if query is None else _search(entries, query)
    if not isinstance(selected, list):
        return selected
    seen: Set[Tuple[str, str]] = set()
    return [_without_seen_layers(entry, seen) for entry in selected]


def by_role(planned: DiskPlan) -> Dict[str, List[PlanEntry]]:
    """The items of each role's module by the name of the role; an image that several disks share
    has one item."""
    entries = select(planned.entries)
    slots = _slots(planned)
    return {
        "raw_disks": [
            {**entry["image"], **slots.get(entry["image"]["path"], {})}
            for entry in entries
            if "image" in entry
        ],
        "loopdevs": [entry["loop"] for entry in entries if "loop" in entry],
        "domain_config": planned.configs,
        "vbds": [entry["vbd"] for entry in entries],
    }


def _slots(planned: DiskPlan) -> Dict[str, PlanEntry]:
    """By the path of an image, its slots, except for those that may change."""
    kept = {
        (config["domain"], disk["vdev"]): config["path"]
        for config in planned.configs
        for disk in config.get("disks", ())
        if not (config.get("allow_slot_change") or disk.get("allow_slot_change"))
    }
    slots: Dict[str, PlanEntry] = {}
    for entry in planned.entries:
        domain, vdev, image = entry["domain"], entry["vdev"], entry.get("image", {})
        if image.get("state") == "present" and (domain, vdev) in kept:
            slot = {"domain": domain, "vdev": vdev, "config": kept[domain, vdev]}
            slots.setdefault(image["path"], {"slots": []})["slots"].append(slot)
    return slots


# ---- contradictions ----


def _contradictions(domains: Sequence[PlannedDomain]) -> Iterator[str]:
    """Problems of duplicates (a name, a slot in a domain, an image or target unless all disks are
    read-only), and of disks that are both present and absent."""
    yield from _twice(domains, lambda domain: domain.name, "another domain has the same name")
    named = {domain.name: domain for domain in domains}.values()
    yield from _twice(
        named, lambda domain: domain.config_path, "config_path is also that of another domain"
    )
    for domain in domains:
        yield from _twice(
            domain.disks, lambda disk: disk.name, "the name is already used in this domain"
        )
        present = domain.present
        yield from _twice(present, lambda disk: disk.slot.xenstore_key, "the slot is taken")
        yield from _present_and_absent(domain)
        yield from _unfit(domain)
    yield from _shared(disk for domain in domains for disk in domain.present)


def _twice(
    things: Iterable[Union[PlannedDomain, PlannedDisk]], key: Callable[[Any], object], problem: str
) -> Iterator[str]:
    first: Dict[object, Union[PlannedDomain, PlannedDisk]] = {}
    for thing in things:
        other = first.setdefault(key(thing), thing)
        if other is not thing:
            yield f"{thing.place}: {problem}, see {other.place}"


def _present_and_absent(domain: PlannedDomain) -> Iterator[str]:
    """Problems of disks that every run would detach and attach again."""
    present = {_identity(disk): disk for disk in domain.present}
    for disk in domain.disks:
        other = present.get(_identity(disk)) if disk.absent else None
        if other:
            yield (
                f"{disk.place}: state is absent, but {other.place} is the same disk in the same "
                "slot: omit one of them"
            )


def _identity(disk: PlannedDisk) -> Tuple[object, int]:
    """What makes a disk the same in its domain; a drive is the same with any medium."""
    return "a drive" if disk.is_cd else disk.storage, disk.slot.xenstore_key


def _unfit(domain: PlannedDomain) -> Iterator[str]:
    """Problems of disks that do not fit the type of the guest, if the plan says that."""
    try:
        found = domain.judgement
    except BlockdevError as error:
        yield f"{domain.place}: config: {error}"
        return
    yield from (f"{domain.present[one.disk].place}: {one.text}" for one in found.problems)


def _shared(disks: Iterable[PlannedDisk]) -> Iterator[str]:
    """Problems of disks that share an image or a block device."""
    first: Dict[Optional[str], PlannedDisk] = {}
    # Drives last: they are compared with disks, whose options they need not have.
    for disk in sorted(disks, key=lambda disk: disk.is_cd):
        other = first.setdefault(disk.storage, disk)
        if (disk.domain, disk.name) == (other.domain, other.name):
            continue  # itself, or a duplicate name, which is reported already
        what = f"{disk.storage} is also the disk of {other.place}"
        if disk.access != "ro" or other.access != "ro":
            yield f"{disk.place}: {what}: disks can share it only if all have access: ro"
        elif disk.is_cd:
            continue
        elif _image_options(disk) != _image_options(other):
            yield f"{disk.place}: {what}, with different options for the image"
        elif disk.domain == other.domain:
            yield f"{disk.place}: {what}, in the same domain"


def _image_options(disk: PlannedDisk) -> PlanEntry:
    """The options that must be equal for all disks that share an image."""
    return {
        "loop": disk.loop,
        "format": disk.format,
        **chosen(disk.options, IMAGE_OPTIONS),
        **chosen(disk.options, LOOP_OPTIONS),
    }


# ---- warnings ----


def _unseen(domains: Iterable[PlannedDomain]) -> Iterator[str]:
    for domain in domains:
        specs = [disk.spec for disk in domain.present]
        yield from warnings_of(domain.name, specs, domain.judgement)


def _tails(domains: Iterable[PlannedDomain]) -> Iterator[str]:
    for disk in (disk for domain in domains for disk in domain.present):
        size = disk.options.get("size", 0)
        if size % units.MIRAGE_BLOCK:
            yield (
                f"{disk.place}: size {units.format_size(size)} is not a multiple of "
                f"{units.MIRAGE_BLOCK} bytes: MirageOS on Xen does not see the rest"
            )


def _same_linux_names(domains: Iterable[PlannedDomain]) -> Iterator[str]:
    for domain in domains:
        first: Dict[str, PlannedDisk] = {}
        for disk, name in _named_by_linux(domain):
            other = first.setdefault(name, disk)
            if other.slot != disk.slot:
                yield (
                    f"{disk.place}: Linux has the same name, {name}, for {disk.vdev} and for "
                    f"{other.vdev} of {other.name}: it may show only one"
                )


def _named_by_linux(domain: PlannedDomain) -> Iterator[Tuple[PlannedDisk, str]]:
    """The present disks with their names in Linux, which are those of vbds. It does not show the CD
    drives of HVM guests as vbds, and other guests have none."""
    for disk in domain.present:
        if disk.slot.vbd_name and not disk.is_cd:
            yield disk, disk.slot.vbd_name


def _partitions_beside_disks(domains: Iterable[PlannedDomain]) -> Iterator[str]:
    for domain in domains:
        named = {name: disk for disk, name in _named_by_linux(domain)}
        for name, disk in named.items():
            whole = named.get(name.rstrip("0123456789"), disk)
            if whole is not disk:
                yield (
                    f"{disk.place}: {disk.vdev} is {name}, a partition of {whole.vdev}, which is "
                    f"the whole disk {whole.name}: Linux may show only one"
                )


# ---- what is to be done ----


def _entries(disks: Sequence[PlannedDisk]) -> List[PlanEntry]:
    """The entries of all disks. That of an absent disk keeps what a present disk needs."""
    needed = {disk.storage for disk in disks if not disk.absent}
    in_domain = {(disk.domain, disk.storage) for disk in disks if not disk.absent}
    entries = []
    for disk in disks:
        if disk.absent:
            layers = {} if disk.storage in needed else _absent_layers(disk)
            vbd = _absent_vbd(disk, (disk.domain, disk.storage) in in_domain)
        else:
            layers = _present_layers(disk)
            attach = chosen(disk.options, ATTACH_OPTIONS)
            vbd = {"domain": disk.domain, "state": "present", **_said(disk), **attach}
        entry = {
            "domain": disk.domain,
            "name": disk.name,
            "xenstore_key": disk.slot.xenstore_key,
            "vdev": disk.vdev,
        }
        entries.append({**entry, **layers, "vbd": vbd})
    return entries


def _present_layers(disk: PlannedDisk) -> PlanEntry:
    here = {"path": disk.path, "state": "present", **chosen(disk.options, ["format"])}
    layers: PlanEntry = {}
    if disk.image:
        layers["image"] = {**here, **chosen(disk.options, IMAGE_OPTIONS)}
    if disk.loop:
        layers["loop"] = {**here, **chosen(disk.options, LOOP_OPTIONS)}
    elif disk.may_have_loop:
        # An earlier plan may have bound it. A running guest keeps the device until it ends.
        layers["loop"] = {**_taken_back(disk), "in_use": "leave"}
    return layers


def _absent_layers(disk: PlannedDisk) -> PlanEntry:
    gone = {"path": disk.path, "state": "absent"}
    layers: PlanEntry = {}
    if disk.ours:
        layers["image"] = {**gone}
    if disk.loop:
        layers["loop"] = {**gone}
    elif disk.may_have_loop:
        layers["loop"] = _taken_back(disk)
    return layers


def _taken_back(disk: PlannedDisk) -> PlanEntry:
    """Unbinds the image from loop devices that we bound. Xen's own script unbinds its loop devices
    when the disk is detached."""
    return {"path": disk.path, "state": "absent", "ours_only": True}


def _absent_vbd(disk: PlannedDisk, elsewhere_in_domain: bool) -> PlanEntry:
    """A disk is detached by its target from all slots. It is detached only from its own slot if the
    user wrote that, or if the same disk stays in another slot of the domain. A drive is known by
    its slot."""
    if disk.is_cd:
        return {"domain": disk.domain, "state": "absent", "devtype": "cdrom", "vdev": disk.vdev}
    vbd = {
        "domain": disk.domain,
        "state": "absent",
        "target": disk.target,
        **chosen(disk.options, ("backend",)),
    }
    if elsewhere_in_domain or "vdev" in disk.options:
        vbd["vdev"] = disk.vdev
    return vbd


def _said(disk: PlannedDisk) -> PlanEntry:
    """The disk by the options of xl; that a drive is read-only need not be said."""
    said = disk.spec.as_dict()
    return {key: value for key, value in said.items() if key != "access" or not disk.is_cd}


def _in_config(disk: PlannedDisk) -> PlanEntry:
    """The options that the user has set for the disk. xl's defaults are omitted, so that a config
    that this collection did not write keeps its own options of the disk."""
    said = {name: value for name, value in disk.spec.as_dict().items() if name != "access"}
    return {**said, **chosen(disk.options, ("access", "direct_io_safe", "allow_slot_change"))}


def _config(domain: PlannedDomain) -> PlanEntry:
    config: PlanEntry = {
        "domain": domain.name,
        "path": domain.config_path,
        "state": "absent" if domain.absent else "present",
    }
    if not domain.absent:
        if "disks" in domain.options or domain.config is not None:
            config["disks"] = [_in_config(disk) for disk in domain.present]
            removed = [_given_up(disk) for disk in domain.disks if disk.absent]
            config.update({"removed_disks": removed} if removed else {})
        if domain.config is not None:
            config["options"] = domain.config
        consents = ("allow_slot_change", "unlisted_disks", "overwrite")
        config.update(chosen(domain.options, consents))
    return {**config, **chosen(domain.options, ("autostart",))}


def _given_up(disk: PlannedDisk) -> PlanEntry:
    """An absent disk that may be removed from a config; with its slot if the user wrote that. A
    drive is removed with any medium."""
    if disk.is_cd:
        return {"devtype": "cdrom", "vdev": disk.vdev}
    given_up: PlanEntry = {"target": disk.target}
    return {**given_up, "vdev": disk.vdev} if "vdev" in disk.options else given_up


# ---- selecting ----


def _search(entries: Sequence[PlanEntry], query: object) -> object:
    if not isinstance(query, str):
        raise DiskPlanError(f"query must be a JMESPath expression, not {type_name(query)}")
    try:
        import jmespath  # noqa: PLC0415 - needed only for a query
    except ImportError:
        raise DiskPlanError("query needs the Python package jmespath on the controller") from None
    # Its functions accept only plain JSON types, not text or numbers with Ansible's tags.
    document = json.loads(json.dumps(entries))
    try:
        return jmespath.search(query, document)
    # It raises Python's errors as well as its own, such as ValueError for [::0].
    except Exception as error:
        raise DiskPlanError(f"query {query!r:.200}: {error}") from error


def _without_seen_layers(entry: Any, seen: Set[Tuple[str, str]]) -> Any:
    """The entry without an image and loop device that an earlier entry has; other results of a
    query unchanged."""
    if not isinstance(entry, dict):
        return entry
    left = dict(entry)
    for layer in ("image", "loop"):
        item = entry.get(layer)
        path = item.get("path") if isinstance(item, dict) else None
        if not isinstance(path, str):
            continue
        if (layer, path) in seen:
            del left[layer]
        seen.add((layer, path))
    return left
