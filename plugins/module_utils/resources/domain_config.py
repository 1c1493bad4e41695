# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans the domains' config files.

The text of every config is known, and checked by xl if xl runs, before any config is touched.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import lru_cache, partial
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.config import config_file
from ansible_collections.xen.blockdev.plugins.module_utils.config import syntax as config_syntax
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.config.autostart import (
    AutostartLinks,
    Subject,
)
from ansible_collections.xen.blockdev.plugins.module_utils.config.config_file import (
    Config,
    ConfigError,
)
from ansible_collections.xen.blockdev.plugins.module_utils.config.former import FormerConfigs
from ansible_collections.xen.blockdev.plugins.module_utils.config.passwords import masked
from ansible_collections.xen.blockdev.plugins.module_utils.config.release import Releases
from ansible_collections.xen.blockdev.plugins.module_utils.config.slots import ConfigSlots
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import (
    Action,
    Learned,
    Plan,
    Resource,
    State,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk.listed import (
    ListedDisk,
    targets_of,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, explained
from ansible_collections.xen.blockdev.plugins.module_utils.host import locks
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import (
    Directories,
    check_writable,
    nearest,
    sync_directories,
)
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.resources.domain_config_disks import (
    DisksOfConfig,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.domain_config_drives import (
    warnings_of_drives,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.domain_config_item import (
    DomainConfigItem,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.domain_config_text import (
    emptied_text,
    wanted_text,
)
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state

SHOWN_DEVICES = 3
"""How many loop devices a warning names."""


@contextmanager
def open_configs(pending: Pending) -> Iterator[DomainConfigs]:
    """This host's configs, locked against other runs of this collection until they are closed."""
    with nullcontext() if pending.check_mode else locks.exclusive("config"):
        yield DomainConfigs(pending)


class DomainConfigs(Resource[DomainConfigItem]):
    """The domains' configs of this host.

    ``bindings`` gives the host's bound loop devices, ``vbds`` the disks of its running domains;
    each is asked for once, when a disk needs it.
    """

    def __init__(
        self,
        pending: Pending,
        bindings: Callable[[], Sequence[loop_binding.Binding]] = loop_binding.scan,
        vbds: Callable[[], Sequence[xen_state.Vbd]] = xen_state.attached_devices,
    ) -> None:
        known = lru_cache(maxsize=None)(bindings)
        self._slots = ConfigSlots(known)
        self._disks = DisksOfConfig(pending, self._slots, known, vbds)
        self._formers = FormerConfigs()
        self._releases = Releases(known)
        self._wanted: Dict[str, str] = {}
        self._directories = Directories()
        self._autostart = AutostartLinks(self._directories)
        self._warned = 0
        """The severity of the last warning of ``_warnings_of_numbers``."""
        self._touched: Set[str] = set()
        """Directories in which a name is made or removed."""

    def plan(self, item: DomainConfigItem) -> Plan:
        """See Resource.plan."""
        config = config_file.find(item.path)
        self._refuse_twice(config)
        try:
            return (self._plan_absent if item.absent else self._plan_present)(item, config)
        except BlockdevError as error:
            raise ConfigError(f"{config.path}: {error}") from None

    def expect(self, items: Sequence[DomainConfigItem]) -> None:
        """See Resource.expect: a domain may have several configs, each with links of its own."""
        for item in items:
            self._autostart.expect(item.path)
            self._formers.expect(item.path)
            self._releases.expect(item.path, filter(None, (d.target for d in item.disks or ())))

    def rank(self, item: DomainConfigItem) -> int:
        """See Resource.rank; a removed link makes room as well, for one of the same name."""
        return int(not item.absent and item.autostart is not False)

    def settle(self) -> None:
        """Make the new and removed names survive a power cut, once for each directory."""
        sync_directories(self._touched | self._autostart.touched)

    def _refuse_twice(self, config: Config) -> None:
        if config.file in self._wanted:
            raise ConfigError(
                f"{config.path} is the same config as {self._wanted[config.file]}: name it once"
            )
        self._wanted[config.file] = config.path

    def _plan_absent(self, item: DomainConfigItem, config: Config) -> Plan:
        text, sentence = _text_of_absent(item, config)
        plan = self._plan_text(item, config, text, sentence)
        plan = self._with_links(plan, item, config, stays=text is not None)
        return plan + self._plan_release(item, config, text, [])

    def _plan_present(self, item: DomainConfigItem, config: Config) -> Plan:
        former = self._formers.or_itself(item.domain, config, item.autostart_dir)
        disks = self._disks.wanted(item, config, former)
        text, sentence = wanted_text(item, config, disks)
        self._refuse_slots(item, config, former, disks)
        of_drives = warnings_of_drives(item, config, former, text, disks)
        plan = replace(self._plan_text(item, config, text, sentence), file=config.file)
        plan = self._with_links(plan, item, config, stays=True)
        warnings = [
            *of_drives,
            *self._warnings_of_numbers(item, config, disks, starts=plan.after["autostart"]),
            *_warnings_of_former(item.domain, config, former),
        ]
        return plan + Plan(warnings=warnings) + self._plan_release(item, config, text, disks)

    def _refuse_slots(
        self,
        item: DomainConfigItem,
        config: Config,
        former: Iterable[Config],
        disks: Sequence[ListedDisk],
    ) -> None:
        """Raise BlockdevError unless ``disks`` may replace those that the domain has in the
        ``former`` configs: see ``FormerConfigs.or_itself``."""
        for one in former:
            where = f"compared with {one.file}, the current config of domain {item.domain}"
            with nullcontext() if one is config else explained(where):
                self._slots.refuse(item.domain, one, disks, item.consent(one))

    def _plan_release(
        self,
        item: DomainConfigItem,
        config: Config,
        text: Optional[str],
        disks: Sequence[ListedDisk],
    ) -> Plan:
        """The images that the config no longer names once it has ``text`` and ``disks``."""
        directories = [config_text.CONFIG_DIR, item.autostart_dir]
        targets = targets_of(disks)
        return self._releases.plan(config, text, targets, directories, item.known_images)

    def _with_links(
        self, plan: Plan, item: DomainConfigItem, config: Config, *, stays: bool
    ) -> Plan:
        """``plan`` and the links by which the domain starts at boot, or their removal, which comes
        first. ``stays``: whether the config exists once the plan is done."""
        wanted = item.autostart
        if not stays:
            wanted = False  # A dangling link is an error of xendomains at every boot.
        elif wanted and item.absent:
            wanted = None  # It has no disks any more; whether it starts is left to the user.
        subject = Subject(item.domain, config.path, config.file, stays)
        links = self._autostart.plan(subject, item.autostart_dir, item.parents, wanted)
        return links + plan if wanted is False else plan + links

    def _warnings_of_numbers(
        self, item: DomainConfigItem, config: Config, disks: Iterable[ListedDisk], *, starts: bool
    ) -> List[str]:
        """One warning for all configs that name loop devices by number, and another one for those
        of domains that start at boot. ``starts``: whether this one does."""
        numbered = [t for t in targets_of(disks) if loop_binding.number_of(t) is not None]
        severity = 2 if starts else 1
        is_asked_for = item.disks is not None or starts
        if not numbered or not is_asked_for or severity <= self._warned:
            return []
        self._warned = severity
        return [_warning_of_numbers(config, numbered, item.domain if starts else None)]

    def _plan_text(
        self, item: DomainConfigItem, config: Config, text: Optional[str], sentence: str
    ) -> Plan:
        """Write ``text`` to the config, or remove the config if that is None."""
        plan = Plan(
            before=_state(config, config.text),
            after=_state(config, text),
            read_back=partial(_state_of_changed, config, text),
        )
        if text == config.text:
            return plan
        self._touched.add(config.directory)
        return replace(
            plan,
            actions=self._write(item, config, text, sentence),
            texts=masked(
                config_file.printable(config.text or ""), config_file.printable(text or "")
            ),
        )

    def _write(
        self, item: DomainConfigItem, config: Config, text: Optional[str], sentence: str
    ) -> List[Action]:
        actions: List[Action] = []
        check_writable(nearest(config.directory), sentence)
        if text is not None:
            actions += self._directories.plan(config.directory, item.parents)
            if item.validate:
                config_file.validate(text)
        if config.text is not None:
            check_writable(config.file, sentence)
            if item.is_backed_up(config):
                hidden = os.path.realpath(item.autostart_dir) == config.directory
                keep = partial(_back_up, config, hidden)
                actions.append(Action(f"keep a copy of {config.path}", keep))
        if text is None:
            return [*actions, Action(sentence, partial(config_file.remove, config))]
        return [*actions, Action(sentence, partial(config_file.write, config, text))]


def _text_of_absent(item: DomainConfigItem, config: Config) -> Tuple[Optional[str], str]:
    """The text of a config that is to be absent, and the sentence of the action."""
    if config.text is not None:
        config_file.refuse_other_domain(item.domain, config.text)
        if not config.rendered:
            return emptied_text(config, config.text)
    if config.rendered and os.path.islink(config.path):
        raise ConfigError(f"it is a symbolic link to {config.file}; name that file to remove it")
    return None, f"remove {config.path}"


def _back_up(config: Config, hidden: bool) -> Learned:
    return Learned(state={"backup_file": config_file.keep_copy(config, hidden)})


def _warning_of_numbers(config: Config, numbered: Sequence[str], starting: Optional[str]) -> str:
    names = ", ".join(numbered[:SHOWN_DEVICES])
    more = len(numbered) - SHOWN_DEVICES
    and_more = f" and {more} more" if more > 0 else ""
    consequence = or_not = ""
    if starting is not None:
        consequence = f", and xendomains would start domain {starting} with it"
        or_not = ", or set autostart: false"
    return (
        f"{config.path} refers to {names}{and_more} by number, which may be a different image "
        f"after a reboot{consequence}; let udev run and name images instead of loop devices (role "
        f"loopdevs){or_not}; the same applies to other configs written in this run"
    )


def _warnings_of_former(domain: str, config: Config, former: Iterable[Config]) -> List[str]:
    return [
        f"domain {domain} has another config that this collection wrote, {one.file}; delete it if "
        f"{config.path} replaces it"
        for one in former
        if one is not config and one.rendered
    ]


def _state(config: Config, text: Optional[str]) -> State:
    """The result keys of ``config`` once it says ``text``."""
    found = replace(config, text=text)
    try:
        disks: Optional[List[str]] = [config_file.printable(text) for text in found.meant]
    except config_syntax.DomainConfigError:
        disks = None  # It can still be replaced as a whole.
    return {"path": config.path, "disks": disks, "rendered": found.rendered}


def _state_of_changed(config: Config, text: Optional[str]) -> State:
    """The same, read from the host."""
    config_file.refuse_changed_config(config, text)
    return _state(config, text)
