# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes ``xen_domains`` of what a host has, so that provision changes nothing.

The plan itself judges what can be taken over: the drafts are read as provision would read them.
What it refuses, or reads as something else than what the config says, is not taken over.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.adopt.disks import BACK
from ansible_collections.xen.blockdev.plugins.module_utils.adopt.domains import DomainDrafts
from ansible_collections.xen.blockdev.plugins.module_utils.adopt.model import (
    CHANGES,
    Adoption,
    AdoptionError,
    DiskChoice,
    DomainEntry,
    DraftDisk,
    DraftDomain,
)
from ansible_collections.xen.blockdev.plugins.module_utils.adopt.names import (
    candidates_of_file,
    candidates_of_target,
    disk_name,
)
from ansible_collections.xen.blockdev.plugins.module_utils.config.text import CONFIG_DIR
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.inventory import disk_plan
from ansible_collections.xen.blockdev.plugins.module_utils.inventory.options import read_directory
from ansible_collections.xen.blockdev.plugins.module_utils.inventory.reader import PlannedDisk
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import Survey

_KEEP = {"unlisted_disks": "keep"}


class Adopting:
    """What is taken over from one host, for a plan with these directories."""

    def __init__(self, images_dir: object, config_dir: object) -> None:
        """Raises BlockdevError for what is no directory."""
        self.images_dir = read_directory(images_dir)
        self.config_dir = read_directory(config_dir)

    def settled(self, drafts: Sequence[DraftDomain]) -> List[DraftDomain]:
        """The drafts, named, with everything left out that would not stay as it is."""
        domains = [self._named(domain) for domain in drafts]
        while True:
            refused = self._refused(domains)
            if not refused:
                return domains
            domains = [refused.get(domain.name, domain) for domain in domains]

    def plain(self, domain: DraftDomain) -> DomainEntry:
        """The domain in ``xen_domains``."""
        options = dict(domain.options)
        if any(disk.in_config and disk.entry is None for disk in domain.disks):
            options.update(_KEEP)
        entries = [disk.entry for disk in domain.taken if disk.entry is not None]
        return {**options, "disks": entries} if entries else options

    # ---- names ----

    def _named(self, domain: DraftDomain) -> DraftDomain:
        """The domain, its entries with names, which come first. The disk that would have its path
        by default comes before others that suggest the same name."""
        taken: Set[str] = set()
        ordered = sorted(domain.disks, key=lambda disk: not self._is_usual(domain.name, disk))
        names = {disk.key: self._name(domain.name, disk, taken) for disk in ordered}
        return domain.with_disks(
            tuple(self._with_name(domain.name, disk, names[disk.key]) for disk in domain.disks)
        )

    def _with_name(self, domain: str, disk: DraftDisk, name: str) -> DraftDisk:
        def named(entry: DomainEntry) -> DomainEntry:
            said = {"name": name, **entry, "vdev": disk.vdev}
            if said.get("path") == self._usual_path(domain, name) and not _is_cd(said):
                del said["path"]
            return _as_people_write(said)

        return replace(
            disk,
            entry=None if disk.entry is None else named(disk.entry),
            choices=tuple(DiskChoice(one.what, named(one.entry)) for one in disk.choices),
        )

    def _name(self, domain: str, disk: DraftDisk, taken: Set[str]) -> str:
        entries = [disk.entry, *(choice.entry for choice in disk.choices)]
        said = [one for one in entries if one is not None]
        candidates = [name for one in said for name in _candidates(domain, one)]
        return disk_name(candidates, _slot_name(disk), taken)

    def _is_usual(self, domain: str, disk: DraftDisk) -> bool:
        path = (disk.entry or {}).get("path")
        return path is not None and any(
            path == self._usual_path(domain, name) for name in candidates_of_file(path, domain)
        )

    def _usual_path(self, domain: str, name: str) -> str:
        return posixpath.join(self.images_dir, domain, f"{name}.raw")

    # ---- what the plan says ----

    def _refused(self, domains: Sequence[DraftDomain]) -> Dict[str, DraftDomain]:
        """By name, those of the domains that cannot stay as they are, with less in them."""
        taken = sorted(
            (domain for domain in domains if not domain.problems), key=lambda one: one.weight
        )
        written = [self.plain(domain) for domain in taken]
        places = [_place(domain) for domain in taken]
        reading = disk_plan.read(
            written, images_dir=self.images_dir, config_dir=self.config_dir, places=places
        )
        found = {}
        for domain in taken:
            less = self._without_problems(domain, reading.problems)
            if less is not None:
                found[domain.name] = less
        if reading.problems and not found:
            raise AdoptionError("; ".join(reading.problems))
        if not found:
            for domain, planned in zip(taken, reading.domains):
                less = _without_changes(domain, planned.disks)
                if less is not None:
                    found[domain.name] = less
        return found

    def _without_problems(
        self, domain: DraftDomain, problems: Sequence[str]
    ) -> Optional[DraftDomain]:
        """The domain without the disks that have problems, or the domain refused; None if it has
        none."""
        begin = (f"{_place(domain)}:", f"{_place(domain)},")
        own = [problem for problem in problems if problem.startswith(begin)]
        if not own:
            return None
        disks = {disk.key: disk for disk in domain.disks}
        places = {_place_of_disk(domain, number): disk for number, disk in enumerate(domain.taken)}
        refused = []
        for problem in own:
            place = next((one for one in places if problem.startswith(one)), None)
            if place is None:
                refused.append(f"{problem.partition(': ')[2]}.")
            else:
                disk = places[place]
                why, what = f"{problem[len(place) :]}.", self._what_of_alone(domain, disk)
                disks[disk.key] = disks[disk.key].left_out(why, what)
        return domain.with_disks(tuple(disks.values())).refused(*refused)

    def _what_of_alone(self, domain: DraftDomain, disk: DraftDisk) -> Optional[str]:
        """How to introduce a refused entry; None if a plan could not even have it alone."""
        alone = {"name": domain.name, "disks": [disk.entry]}
        reading = disk_plan.read([alone], images_dir=self.images_dir, config_dir=self.config_dir)
        return None if reading.problems else BACK

    def with_default_slots(self, domain: DraftDomain) -> DraftDomain:
        """The domain without the slots that its disks get anyway."""
        explicit = {disk.key for disk in domain.taken if not _may_be_default(disk)}
        while True:
            shorter = domain.with_disks(
                tuple(
                    disk if disk.key in explicit else _without_slot(disk) for disk in domain.disks
                )
            )
            wrong = self._first_moved(domain, shorter)
            if wrong is None:
                return shorter
            explicit.add(wrong)

    def _first_moved(self, domain: DraftDomain, shorter: DraftDomain) -> Optional[int]:
        """The key of the first disk that would be in another slot in the shorter one."""
        reading = disk_plan.read(
            [self.plain(shorter)], images_dir=self.images_dir, config_dir=self.config_dir
        )
        planned = [disk for one in reading.domains for disk in one.disks]
        for disk, now, found in zip(domain.taken, shorter.taken, planned):
            if "vdev" not in (now.entry or {}) and found.vdev != disk.vdev:
                return disk.key
        return None


def adopt(
    survey: Survey,
    images_dir: object = disk_plan.IMAGES_DIR,
    config_dir: object = CONFIG_DIR,
    changes: object = (),
) -> Adoption:
    """What to take over from a host.

    ``images_dir``, ``config_dir``: as for ``disk_plan.plan``. ``changes``: those of CHANGES for
    which the user asks. Raises BlockdevError for what these cannot be.
    """
    asked = _read_changes(changes)
    adopting = Adopting(images_dir, config_dir)
    drafts = DomainDrafts(survey, adopting.config_dir, asked)
    settled = adopting.settled(drafts.all())
    domains = [one if one.problems else adopting.with_default_slots(one) for one in settled]
    unread = [*drafts.nameless(), *_unread(survey)]
    return Adoption(
        domains=tuple(domains),
        plain=tuple(adopting.plain(domain) for domain in domains if not domain.problems),
        unread=tuple(unread),
        notes=tuple(_notes(domains, unread)),
    )


def _read_changes(changes: object) -> Tuple[str, ...]:
    if not isinstance(changes, (list, tuple)):
        raise AdoptionError(f"changes must be a list of {' and '.join(CHANGES)}")
    for one in changes:
        if one not in CHANGES:
            raise AdoptionError(f"changes: {one!r:.80} is none of {', '.join(CHANGES)}")
    return tuple(changes)


# ---- what the plan refuses or would change ----


def _place(domain: DraftDomain) -> str:
    return f"domain {domain.name}"


def _place_of_disk(domain: DraftDomain, position: int) -> str:
    """How a problem of a disk begins; ``position``: among those that are taken over."""
    entry = domain.taken[position].entry or {}
    return f"{_place(domain)}, disks[{position}] ({entry['name']}): "


def _without_changes(domain: DraftDomain, planned: Sequence[PlannedDisk]) -> Optional[DraftDomain]:
    """The domain without the disks that the plan would write otherwise than the config has them;
    None if there are none."""
    disks = {disk.key: disk for disk in domain.disks}
    stay = [disk.data for disk in domain.disks if disk.stays]
    for disk, one in zip(domain.taken, planned):
        if disk.data is not None and disk.data in stay:
            # For xen_domain_config, such a disk moves from the one slot to the other.
            why = "The config has the same data in another slot, which is not taken over."
            disks[disk.key] = disk.left_out(why, BACK)
        if disk.written is None:
            continue
        said = replace(one.spec, access=one.options.get("access"))  # That of a drive is not said.
        changes = _why_changed(domain, disk.written, disk.text, said)
        if changes is not None:
            disks[disk.key] = disk.left_out(changes, "To have it so:")
    found = tuple(disks.values())
    return None if found == domain.disks else domain.with_disks(found)


def _why_changed(
    domain: DraftDomain, written: DiskSpec, text: Optional[str], planned: DiskSpec
) -> Optional[str]:
    """Why the config would not stay as it is, with the disk as xen_domain_config would write it:
    what the plan says, and what only the config says if this collection did not write that."""
    both = planned if domain.is_rendered else planned.with_unsaid(written)
    both = both.with_defaults()
    try:
        would = both.render()
        stays = would == text if domain.is_rendered else both.meaning == written.meaning
    except BlockdevError as error:
        return f"The config has it as {text!r}, which provision refuses: {error}."
    return None if stays else f"The config has it as {text!r}, and a plan could only say {would!r}."


# ---- how people write it ----

_ORDER = ("name", "path", "target", "size", "format", "vdev", "access", "devtype")


def _as_people_write(entry: DomainEntry) -> DomainEntry:
    first = {key: entry[key] for key in _ORDER if key in entry}
    return {**first, **{key: value for key, value in entry.items() if key not in first}}


def _is_cd(entry: Mapping[str, object]) -> bool:
    return entry.get("devtype") == "cdrom"


def _candidates(domain: str, entry: DomainEntry) -> Iterator[str]:
    """Names for the disk with this entry."""
    if _is_cd(entry):
        yield "cd"
    elif "path" in entry:
        yield from candidates_of_file(entry["path"], domain)
    elif "target" in entry:
        yield from candidates_of_target(entry["target"], domain)


def _slot_name(disk: DraftDisk) -> str:
    """The name of a slot, with a letter in it."""
    try:
        return device_number.from_xenstore_key(disk.key).linux_device
    except BlockdevError:
        return f"disk{disk.key}"


def _may_be_default(disk: DraftDisk) -> bool:
    """Whether the slot is written as a plan without a slot would write it."""
    try:
        return disk.vdev == device_number.from_xenstore_key(disk.key).linux_device
    except BlockdevError:
        return False


def _without_slot(disk: DraftDisk) -> DraftDisk:
    if disk.entry is None:
        return disk
    return replace(disk, entry={key: value for key, value in disk.entry.items() if key != "vdev"})


# ---- notes ----


def _unread(survey: Survey) -> Iterator[str]:
    for one in survey.unread:
        yield f"{' '.join(filter(None, (one.source, one.subject)))} could not be read: {one.error}."
    if survey.is_xen and survey.guests is None:
        yield "The running guests are not known, so their disks were not compared with the configs."


def _notes(domains: Sequence[DraftDomain], unread: Sequence[str]) -> Iterator[str]:
    for domain in domains:
        place = _place(domain)
        if domain.problems:
            yield f"{place}: not taken over: {' '.join(domain.problems)}"
            continue
        for disk in domain.disks:
            if disk.remarks:
                left = "not taken over: " if disk.entry is None else ""
                yield f"{place}, {disk.vdev}: {left}{' '.join(disk.remarks)}"
    yield from unread
