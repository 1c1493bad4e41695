# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The domains of a host: which config each has, and what of it can be taken over at all."""

from __future__ import annotations

import posixpath
from typing import Container, Dict, Iterator, List, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.adopt.disks import (
    Adopter,
    SurveyedStorages,
    is_garbled,
)
from ansible_collections.xen.blockdev.plugins.module_utils.adopt.model import (
    DomainEntry,
    DraftDisk,
    DraftDomain,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.inventory.options import read_name
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    FoundConfig,
    Survey,
    SurveyedDisk,
    SurveyedDomain,
)


class DomainDrafts:
    """Drafts the domains of a survey."""

    def __init__(self, survey: Survey, config_dir: str, changes: Container[str]) -> None:
        self._config_dir = config_dir
        self._changes = changes
        self._survey = survey
        self._storages = SurveyedStorages.of(survey)
        self._configs = {one.path: one for one in survey.configs}
        self._started = {one.config for one in survey.autostart if one.is_started}
        self._disks: Dict[Optional[str], List[SurveyedDisk]] = {}
        for disk in survey.disks:
            self._disks.setdefault(disk.domain, []).append(disk)

    def all(self) -> List[DraftDomain]:
        """All domains, by name."""
        return [
            self._domain(domain)
            for domain in sorted(self._survey.domains, key=lambda domain: domain.name)
        ]

    def nameless(self) -> Iterator[str]:
        """The configs that belong to no domain, a sentence each."""
        for config in self._survey.configs:
            if config.domain is None:
                why = "; ".join(config.problems) or "it sets no name"
                yield f"{config.path}: {why}."

    def _domain(self, domain: SurveyedDomain) -> DraftDomain:
        configs = [self._configs[path] for path in domain.configs if path in self._configs]
        config, others = self._chosen(domain.name, configs)
        disks = self._disks.get(domain.name, [])
        draft = DraftDomain(
            name=domain.name,
            remarks=tuple(_origin(domain, config, others)),
            weight=0 if domain.domids else 1 if domain.autostart else 2,
        )
        problems = list(self._problems(domain, config, configs, disks))
        if problems or config is None:
            shown = tuple(_shown_only(disk) for disk in disks)
            return draft.with_disks(shown).refused(*problems)
        adopter = Adopter(self._storages, config.path, bool(domain.domids), self._changes)
        keyed = [(disk, disk.xenstore_key) for disk in _by_position(disks, config.path)]
        drafts = [adopter.draft(disk, key) for disk, key in keyed if key is not None]
        return draft.with_disks(tuple(one for one in drafts if one)).with_options(
            self._options(config), is_rendered=config.rendered
        )

    def _chosen(
        self, name: str, configs: Sequence[FoundConfig]
    ) -> Tuple[Optional[FoundConfig], List[FoundConfig]]:
        """The config of the domain, and the others with its name: the one from which xendomains
        starts it, or the one in the usual place, or the only one."""
        usual = posixpath.join(self._config_dir, f"{name}.cfg")
        started = [one for one in configs if one.path in self._started]
        in_place = [one for one in configs if one.path == usual]
        for found in (started, in_place, configs):
            if len(found) == 1:
                return found[0], [one for one in configs if one is not found[0]]
        return None, list(configs)

    def _problems(
        self,
        domain: SurveyedDomain,
        config: Optional[FoundConfig],
        configs: Sequence[FoundConfig],
        disks: Sequence[SurveyedDisk],
    ) -> Iterator[str]:
        """Why nothing of a domain can be taken over, a sentence each."""
        try:
            read_name(domain.name)
        except BlockdevError as error:
            yield f"Its name cannot be in a plan: {error}."
        if len(domain.domids) > 1:
            ids = " and ".join(map(str, domain.domids))
            yield f"Two running domains have this name ({ids})."
        if config is None:
            yield self._no_config(configs)
            return
        for problem in config.problems:
            yield f"{config.path}: {problem}."
        if is_garbled(config.path) or (config.rendered and is_garbled(str(config.settings))):
            yield f"{config.path} has bytes that are not UTF-8, which a plan cannot say."
        if config.rendered and config.settings is None:
            yield (
                f"This collection wrote {config.path}, and its settings were not read: use "
                "settings: true of xen_disks_info."
            )
        for disk in disks:
            yield from _problems_of_disk(disk, config.path)

    def _no_config(self, configs: Sequence[FoundConfig]) -> str:
        if configs:
            paths = " and ".join(one.path for one in configs)
            return (
                f"It has several configs, {paths}: leave only one of them in these directories, or "
                "make xendomains start one."
            )
        directories = " and ".join(self._survey.config_dirs)
        return (
            f"It has no config in {directories}: look for it, and say its directory in "
            "xen_adopt_config_dirs."
        )

    def _options(self, config: FoundConfig) -> DomainEntry:
        options: DomainEntry = {"name": config.domain}
        if config.path != posixpath.join(self._config_dir, f"{config.domain}.cfg"):
            options["config_path"] = config.path
        if config.rendered:
            options["config"] = dict(config.settings or {})
        if config.path in self._started:
            options["autostart"] = True
        return options


def _problems_of_disk(disk: SurveyedDisk, config: str) -> Iterator[str]:
    """Why xen_domain_config could not keep a config, because of what it has in one slot."""
    found = [one for one in disk.configured if one.config == config]
    for one in found:
        if one.said is None or disk.xenstore_key is None:
            yield f"{one.text!r} in {config}: {one.problem or 'it cannot be read'}."
    if len(found) > 1 and disk.xenstore_key is not None:
        yield f"{config} has {len(found)} disks in slot {disk.vdev}."


def _by_position(disks: Sequence[SurveyedDisk], config: str) -> List[SurveyedDisk]:
    """In the order of the config; what it does not have is last, by slot."""

    def place(disk: SurveyedDisk) -> Tuple[bool, int]:
        positions = [one.position for one in disk.configured if one.config == config]
        return (not positions, positions[0] if positions else disk.xenstore_key or 0)

    return sorted(disks, key=place)


def _origin(
    domain: SurveyedDomain, config: Optional[FoundConfig], others: Sequence[FoundConfig]
) -> Iterator[str]:
    if config is not None:
        written = ", which this collection wrote" if config.rendered else ""
        yield f"From {config.path}{written}."
    if domain.domids:
        yield f"It is running (domain {domain.domids[0]})."
    if domain.saves:
        yield f"xendomains has saved it in {domain.saves[0]}."
    if config is not None and others:
        yield f"{' and '.join(one.path for one in others)} has its name too, and is left alone."


def _shown_only(disk: SurveyedDisk) -> DraftDisk:
    """What is in a slot of a domain that is not taken over."""
    parts = [f"{one.text!r} in {one.config}" for one in disk.configured]
    parts += [f"{one.backing_file or one.target} in the running guest" for one in disk.attached]
    parts += [f"{one.target} when it was saved" for one in disk.saved]
    vdev = str(disk.vdev or "a disk")
    where = f"{vdev}: {'; '.join(parts)}"
    return DraftDisk(key=disk.xenstore_key or 0, vdev=vdev, where=where)
