# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what the user wrote about domains and their disks to what each module is to do.

Everything that can be told without a host is told here, before any host is touched.
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
from ansible_collections.xen.blockdev.plugins.module_utils.config.text import CONFIG_DIR
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, type_name
from ansible_collections.xen.blockdev.plugins.module_utils.inventory.options import (
    ATTACH_OPTIONS,
    IMAGE_OPTIONS,
    LOOP_OPTIONS,
)
from ansible_collections.xen.blockdev.plugins.module_utils.inventory.reader import (
    Disk,
    Domain,
    InventoryReader,
    chosen,
)

IMAGES_DIR = "/srv/xen"

Entry = Dict[str, Any]
"""One disk of the plan: ``domain``, ``name``, ``xenstore_key``, ``vdev`` and, where they apply,
``image``, ``loop``, ``vbd``: the options of an item of xen_raw_disk, xen_loopdev,
xen_vbd_attach."""


class DiskPlanError(BlockdevError):
    """What is wrong with the domains, all of it, a line each."""


class Reading(NamedTuple):
    """What was written about domains, as far as it can be read, and all that is wrong with it."""

    domains: List[Domain]
    problems: List[str]
    """A line each, which begins with the place."""


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

    ``domains``: the list of domains as the user wrote it. ``images_dir``: where images go that have
    no path of their own, as ``<images_dir>/<domain>/<disk>.raw``. ``config_dir``: where configs
    are. ``state``: ``absent`` plans every domain as if it were absent.
    Raises DiskPlanError with everything that is wrong.
    """
    planned, problems = read(domains, images_dir, config_dir, state)
    if problems:
        raise DiskPlanError("\n".join(problems))
    return DiskPlan(
        entries=_entries([disk for domain in planned for disk in domain.disks]),
        configs=[_config(domain) for domain in planned],
        warnings=[
            *_tails(planned),
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
    """Read what the user wrote, as ``plan`` does, and keep what is wrong with it.

    ``places``: what each domain is called in a problem, by default its place in the list and its
    name.
    """
    reader = InventoryReader(images_dir, config_dir, state)
    found = reader.domains(domains, places)
    return Reading(found, [*reader.problems, *_contradictions(found)])


def select(entries: Sequence[Entry], query: Optional[str] = None) -> Any:
    """What the JMESPath expression ``query`` selects of the entries, all of them without one.

    An image that several disks share is left in the first entry of the result only, so that the
    images can be handed to one module call. Raises DiskPlanError.
    """
    selected = entries if query is None else _search(entries, query)
    if not isinstance(selected, list):
        return selected
    seen: Set[Tuple[str, str]] = set()
    return [_without_seen_layers(entry, seen) for entry in selected]


def by_role(planned: DiskPlan) -> Dict[str, List[Entry]]:
    """What each role is to do: its name to the items of its module, of an image that several disks
    share once."""
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


def _slots(planned: DiskPlan) -> Dict[str, Entry]:
    """By the path of an image, the slots that it is for, but for those that may change."""
    kept = {
        (config["domain"], disk["vdev"]): config["path"]
        for config in planned.configs
        for disk in config.get("disks", ())
        if not (config.get("allow_slot_change") or disk.get("allow_slot_change"))
    }
    slots: Dict[str, Entry] = {}
    for entry in planned.entries:
        domain, vdev, image = entry["domain"], entry["vdev"], entry.get("image", {})
        if image.get("state") == "present" and (domain, vdev) in kept:
            slot = {"domain": domain, "vdev": vdev, "config": kept[domain, vdev]}
            slots.setdefault(image["path"], {"slots": []})["slots"].append(slot)
    return slots


# ---- contradictions ----


def _contradictions(domains: Sequence[Domain]) -> Iterator[str]:
    """What is there twice (a name, a slot in a domain, an image or target unless all only read),
    or is to be there and not to be there."""
    yield from _twice(domains, lambda domain: domain.name, "the domain is there already")
    named = {domain.name: domain for domain in domains}.values()
    yield from _twice(
        named, lambda domain: domain.config_path, "config_path is another domain's as well"
    )
    for domain in domains:
        yield from _twice(domain.disks, lambda disk: disk.name, "the name is taken in this domain")
        present = _present(domain)
        yield from _twice(present, lambda disk: disk.slot.xenstore_key, "the slot is taken")
        yield from _present_and_absent(domain)
    yield from _shared(disk for domain in domains for disk in _present(domain))


def _twice(
    things: Iterable[Union[Domain, Disk]], key: Callable[[Any], object], problem: str
) -> Iterator[str]:
    first: Dict[object, Union[Domain, Disk]] = {}
    for thing in things:
        other = first.setdefault(key(thing), thing)
        if other is not thing:
            yield f"{thing.place}: {problem}, see {other.place}"


def _present_and_absent(domain: Domain) -> Iterator[str]:
    """Disks that one run would detach and attach again, as every run after it."""
    present = {(disk.storage, disk.slot.xenstore_key): disk for disk in _present(domain)}
    for disk in domain.disks:
        other = present.get((disk.storage, disk.slot.xenstore_key)) if disk.absent else None
        if other:
            yield (
                f"{disk.place}: state is absent, but {other.place} is the same disk in the same "
                "slot: leave one of them out"
            )


def _shared(disks: Iterable[Disk]) -> Iterator[str]:
    """What is wrong with disks that share an image or a block device."""
    first: Dict[str, Disk] = {}
    for disk in disks:
        other = first.setdefault(disk.storage, disk)
        if (disk.domain, disk.name) == (other.domain, other.name):
            continue  # itself, or a name that is there twice, which is the problem then
        what = f"{disk.storage} is the disk of {other.place} as well"
        if disk.access != "ro" or other.access != "ro":
            yield f"{disk.place}: {what}: only disks that all have access: ro can share it"
        elif _image_options(disk) != _image_options(other):
            yield f"{disk.place}: {what}, with other options of the image"
        elif disk.domain == other.domain:
            yield f"{disk.place}: {what}, in the same domain"


def _image_options(disk: Disk) -> Entry:
    """What must be the same for all disks that share an image."""
    return {
        "loop": disk.loop,
        "format": disk.format,
        **chosen(disk.options, IMAGE_OPTIONS),
        **chosen(disk.options, LOOP_OPTIONS),
    }


def _present(domain: Domain) -> List[Disk]:
    return [disk for disk in domain.disks if not disk.absent]


# ---- warnings ----


def _tails(domains: Iterable[Domain]) -> Iterator[str]:
    for disk in (disk for domain in domains for disk in _present(domain)):
        size = disk.options.get("size", 0)
        if size % units.MIRAGE_BLOCK:
            yield (
                f"{disk.place}: size {units.format_size(size)} is not a multiple of "
                f"{units.MIRAGE_BLOCK} bytes: MirageOS on Xen does not see the rest"
            )


def _same_linux_names(domains: Iterable[Domain]) -> Iterator[str]:
    """Disks in two slots for which Linux has one name: see DeviceNumber.canonical."""
    for domain in domains:
        named = [disk for disk in _present(domain) if disk.slot.bus]
        first: Dict[str, Disk] = {}
        for disk in named:
            other = first.setdefault(disk.slot.linux_device, disk)
            if other.slot != disk.slot:
                yield (
                    f"{disk.place}: Linux calls {disk.vdev} {disk.slot.linux_device}, as it does "
                    f"{other.vdev} of {other.name}: it may show only one"
                )


def _partitions_beside_disks(domains: Iterable[Domain]) -> Iterator[str]:
    for domain in domains:
        disks = _present(domain)
        whole = {
            (disk.slot.bus, disk.slot.disk): disk for disk in disks if disk.slot.partition == 0
        }
        for disk in disks:
            other = whole.get((disk.slot.bus, disk.slot.disk)) if disk.slot.partition else None
            if other:
                yield (
                    f"{disk.place}: {disk.vdev} is {disk.slot.linux_device}, a partition of "
                    f"{other.vdev}, which is the whole disk {other.name}: Linux may show only one"
                )


# ---- what is to be done ----


def _entries(disks: Sequence[Disk]) -> List[Entry]:
    """The disks of the plan. An absent one leaves alone what a present one needs."""
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
            vbd = {"domain": disk.domain, "state": "present", **disk.spec, **attach}
        entry = {
            "domain": disk.domain,
            "name": disk.name,
            "xenstore_key": disk.slot.xenstore_key,
            "vdev": disk.vdev,
        }
        entries.append({**entry, **layers, "vbd": vbd})
    return entries


def _present_layers(disk: Disk) -> Entry:
    here = {"path": disk.path, "state": "present", **chosen(disk.options, ["format"])}
    layers: Entry = {}
    if disk.image:
        layers["image"] = {**here, **chosen(disk.options, IMAGE_OPTIONS)}
    if disk.loop:
        layers["loop"] = {**here, **chosen(disk.options, LOOP_OPTIONS)}
    elif disk.may_have_loop:
        # An earlier plan may have had one. A guest that runs on it keeps it until it ends.
        layers["loop"] = {**_taken_back(disk), "in_use": "leave"}
    return layers


def _absent_layers(disk: Disk) -> Entry:
    gone = {"path": disk.path, "state": "absent"}
    layers: Entry = {}
    if disk.ours:
        layers["image"] = {**gone}
    if disk.loop:
        layers["loop"] = {**gone}
    elif disk.may_have_loop:
        layers["loop"] = _taken_back(disk)
    return layers


def _taken_back(disk: Disk) -> Entry:
    """The image without a loop device of ours. What Xen's own script has bound is not ours, and it
    goes by itself when the disk is detached."""
    return {"path": disk.path, "state": "absent", "ours_only": True}


def _absent_vbd(disk: Disk, elsewhere_in_domain: bool) -> Entry:
    """A disk is detached by what it is, from all slots; from its own one only where the user wrote
    that one or where the domain has the same disk in another slot, in which it stays."""
    vbd = {
        "domain": disk.domain,
        "state": "absent",
        "target": disk.target,
        **chosen(disk.options, ("backend",)),
    }
    if elsewhere_in_domain or "vdev" in disk.options:
        vbd["vdev"] = disk.vdev
    return vbd


def _in_config(disk: Disk) -> Entry:
    """What the user says of the disk. What is xl's default is left out: a config that someone else
    wrote keeps what it says of the disk already."""
    said = {name: value for name, value in disk.spec.items() if name != "access"}
    return {**said, **chosen(disk.options, ("access", "direct_io_safe", "allow_slot_change"))}


def _config(domain: Domain) -> Entry:
    config: Entry = {
        "domain": domain.name,
        "path": domain.config_path,
        "state": "absent" if domain.absent else "present",
    }
    if not domain.absent:
        if "disks" in domain.options or domain.config is not None:
            config["disks"] = [_in_config(disk) for disk in _present(domain)]
            removed = [_given_up(disk) for disk in domain.disks if disk.absent]
            config.update({"removed_disks": removed} if removed else {})
        if domain.config is not None:
            config["options"] = domain.config
        consents = ("allow_slot_change", "unlisted_disks", "overwrite")
        config.update(chosen(domain.options, consents))
    return {**config, **chosen(domain.options, ("autostart",))}


def _given_up(disk: Disk) -> Entry:
    """An absent disk, as a config may lose it: by its slot only where the user wrote that one."""
    return {"target": disk.target, **chosen(disk.options, ("vdev",))}


# ---- selecting ----


def _search(entries: Sequence[Entry], query: object) -> object:
    if not isinstance(query, str):
        raise DiskPlanError(f"query is a JMESPath expression, not {type_name(query)}")
    try:
        import jmespath  # noqa: PLC0415 - for those only who give a query
    except ImportError:
        raise DiskPlanError("query needs the Python package jmespath on the controller") from None
    # Its functions take JSON's own types only, no text or number with Ansible's tags.
    document = json.loads(json.dumps(entries))
    try:
        return jmespath.search(query, document)
    # Beside its own errors it lets Python's through, such as the ValueError of [::0].
    except Exception as error:
        raise DiskPlanError(f"query {query!r:.200}: {error}") from error


def _without_seen_layers(entry: Any, seen: Set[Tuple[str, str]]) -> Any:
    """The entry less the image and the loop device that were seen before; other results of a query
    as they are."""
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
