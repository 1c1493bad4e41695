# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the domains' config files are wanted, compared with those that are there.

What a config says is decided, and checked by xl where xl runs, before any config is touched.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import lru_cache, partial
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from ansible_collections.xen.blockdev.plugins.module_utils import (
    config_file,
    config_syntax,
    device_number,
    disk_spec,
    domain_config,
    locks,
    loop,
    loop_link,
)
from ansible_collections.xen.blockdev.plugins.module_utils.actions import (
    Action,
    Plan,
    Resource,
    State,
)
from ansible_collections.xen.blockdev.plugins.module_utils.autostart import AutostartLinks, Subject
from ansible_collections.xen.blockdev.plugins.module_utils.config_file import (
    Config,
    ConfigError,
    targets_of,
)
from ansible_collections.xen.blockdev.plugins.module_utils.config_slots import ConfigSlots
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.files import (
    Directories,
    check_writable,
    nearest,
    sync_directories,
)
from ansible_collections.xen.blockdev.plugins.module_utils.passwords import masked

SHOWN_DEVICES = 3
"""How many loop devices a warning names."""


@contextmanager
def open_configs(check_mode: bool) -> Iterator[DomainConfigs]:
    """This host's configs, kept from other runs of this collection until they are closed."""
    with nullcontext() if check_mode else locks.exclusive("config"):
        yield DomainConfigs(check_mode)


class DomainConfigs(Resource):
    """The domains' configs of this host.

    C(bindings) gives the host's bound loop devices; it is asked once, when a disk needs it.
    """

    def __init__(
        self, check_mode: bool, bindings: Callable[[], Sequence[loop.Binding]] = loop.scan
    ) -> None:
        self._check_mode = check_mode
        self._bindings = lru_cache(maxsize=None)(bindings)
        self._slots = ConfigSlots(self._bindings)
        self._wanted: Dict[str, str] = {}
        self._directories = Directories()
        self._autostart = AutostartLinks(self._directories)
        self._warned = 0
        """How severe what was warned of is: see _warnings."""
        self._touched: Set[str] = set()
        """Directories in which a name is made or removed."""

    def plan(self, item: Mapping[str, Any]) -> Plan:
        """See Resource.plan; C(item) has the options of xen_domain_config."""
        config = config_file.find(config_file.path_of(item["domain"], item["path"]))
        self._refuse_twice(config)
        try:
            if item["state"] == "absent":
                return self._plan_absent(item, config)
            return self._plan_present(item, config)
        except BlockdevError as error:
            raise ConfigError(f"{config.path}: {error}") from None

    def rank(self, item: Mapping[str, Any]) -> int:
        """See Resource.rank; a link that goes makes room as well, for one of the same name."""
        return int(item["state"] != "absent" and item["autostart"] is not False)

    def settle(self) -> None:
        """Make the new and removed names survive a power cut, once for each directory."""
        sync_directories(self._touched | self._autostart.touched)

    def _refuse_twice(self, config: Config) -> None:
        if config.file in self._wanted:
            raise ConfigError(
                f"{config.path} is the same config as {self._wanted[config.file]}: name it once"
            )
        self._wanted[config.file] = config.path

    def _plan_absent(self, item: Mapping[str, Any], config: Config) -> Plan:
        if config.text is not None:
            config_file.refuse_other_domain(item["domain"], config.text)
        if config.text is not None and not config.rendered:
            text = domain_config.replace_disks(config.text, [])
            plan = self._plan_text(item, config, text, f"empty the disk list of {config.path}")
            self._plan_links(plan, item, config, stays=True)
            return plan
        if config.rendered and os.path.islink(config.path):
            raise ConfigError(
                f"it is a symbolic link to {config.file}; name that file to remove it"
            )
        plan = self._plan_text(item, config, None, f"remove {config.path}")
        self._plan_links(plan, item, config, stays=False)
        return plan

    def _plan_present(self, item: Mapping[str, Any], config: Config) -> Plan:
        specs = self._wanted_specs(item, config)
        text, sentence = _wanted_text(item, config, specs)
        if not item["allow_slot_change"]:
            self._slots.refuse_changes(item["domain"], config, specs)
        plan = self._plan_text(item, config, text, sentence)
        plan.file = config.file
        self._plan_links(plan, item, config, stays=True)
        starts = plan.after["autostart"]
        if item["disks"] is not None or starts:
            plan.warnings = self._warnings(config, specs, item["domain"] if starts else None)
        return plan

    def _plan_links(
        self, plan: Plan, item: Mapping[str, Any], config: Config, *, stays: bool
    ) -> None:
        """Add to C(plan) what has the domain start at boot or not. C(stays): whether there is a
        config once the plan is done."""
        wanted = item["autostart"]
        if not stays:
            wanted = False  # A link that leads nowhere is an error of xendomains at every boot.
        elif wanted and item["state"] == "absent":
            wanted = None  # Without its disks it is not had to start, but someone may want it to.
        subject = Subject(item["domain"], config.path, config.file, stays)
        self._autostart.extend_plan(plan, subject, item["autostart_dir"], item["parents"], wanted)

    def _warnings(self, config: Config, specs: Iterable[str], starting: Optional[str]) -> List[str]:
        """One warning for all configs that name loop devices by number, and another one for those
        of domains that start at boot. C(starting): the domain that does, if any."""
        numbered = [target for target in targets_of(specs) if loop.number_of(target) is not None]
        severity = 1 if starting is None else 2
        if not numbered or severity <= self._warned:
            return []
        self._warned = severity
        return [_warn_of_numbers(config, numbered, starting)]

    def _plan_text(
        self, item: Mapping[str, Any], config: Config, text: Optional[str], sentence: str
    ) -> Plan:
        """Give the config the text C(text), or remove it where that is None."""
        copy: Dict[str, str] = {}
        plan = Plan(
            before=_state(config, config.text),
            after=_state(config, text),
            read_back=lambda: {**_read_back(config, text), **copy},
        )
        if text == config.text:
            return plan
        check_writable(nearest(config.directory), sentence)
        if text is not None:
            plan.actions = self._directories.plan(config.directory, item["parents"])
            if item["validate"]:
                config_file.validate(text)
        if config.text is not None:
            check_writable(config.file, sentence)
        if config.text is not None and _is_backed_up(item, config):
            hidden = os.path.realpath(item["autostart_dir"]) == config.directory
            keep = Action(
                f"keep a copy of {config.path}",
                lambda: copy.update(backup_file=config_file.keep_copy(config, hidden)),
            )
            plan.actions.append(keep)
        run = (
            partial(config_file.remove, config)
            if text is None
            else partial(config_file.write, config, text)
        )
        plan.actions.append(Action(sentence, run))
        plan.texts = masked(config_file.shown(config.text or ""), config_file.shown(text or ""))
        self._touched.add(config.directory)
        return plan

    # ---- disks ----

    def _wanted_specs(self, item: Mapping[str, Any], config: Config) -> List[str]:
        """The disks as the config is to have them."""
        if item["disks"] is None:
            return config.specs
        disks = [disk_spec.said(disk) for disk in item["disks"]]
        specs = []
        for index, disk in enumerate(disks):
            try:
                # What is no disk at all is refused before its target is looked for.
                config_syntax.quote(disk_spec.render(disk))
                target = self._target(item, config, disk.get("target"))
                self._slots.refuse_foreign(config, disk)
            except BlockdevError as error:
                raise ConfigError(f"disks[{index}]: {error}") from None
            # What is xl's default for a target is said, too: a reader need not know it.
            found = {} if target is None else {"format": "raw", **disk, "target": target}
            specs.append(disk_spec.render({**disk, **found}))
        _refuse_same_slot(disks)
        return specs

    def _target(
        self, item: Mapping[str, Any], config: Config, target: Optional[str]
    ) -> Optional[str]:
        """The target by the name under which it can be opened now.

        A link that the config has already is not given up for a number while there is none, as
        there is none before udev runs; one that leads to another device is. In check mode an image
        that an earlier task would have bound keeps the link that it may get.
        """
        if target is None or not loop_link.is_link(target):
            return target
        try:
            found = loop.device_of_link(target, self._bindings)
            if loop_link.is_link(found) or os.path.lexists(target) or target not in config.targets:
                return found
            return target
        except loop.LoopError:
            if self._check_mode and item["will_exist"]:
                return target
            raise


# ---- what is wanted ----


def _is_backed_up(item: Mapping[str, Any], config: Config) -> bool:
    """Whether a copy is kept; unless it is said, of what someone else wrote."""
    return bool(item["backup"]) or (item["backup"] is None and not config.rendered)


def _refuse_same_slot(disks: Iterable[Mapping[str, Any]]) -> None:
    first: Dict[int, int] = {}
    for index, disk in enumerate(disks):
        key = device_number.parse(disk["vdev"]).xenstore_key
        if first.setdefault(key, index) != index:
            raise ConfigError(
                f"disks[{index}]: slot {disk['vdev']} is taken, see disks[{first[key]}]"
            )


def _wanted_text(item: Mapping[str, Any], config: Config, specs: Sequence[str]) -> Tuple[str, str]:
    """The text that the config is to have, and the sentence for giving it that."""
    domain, options = item["domain"], item["options"]
    if config.text is not None and (options is None or not item["overwrite"]):
        config_file.refuse_other_domain(item["domain"], config.text)
    if config.text is not None and not config.rendered:
        if options is None:
            text = domain_config.replace_disks(config.text, specs)
            return text, f"replace the disk list in {config.path}"
        if not item["overwrite"]:
            raise ConfigError(
                "someone else wrote this config; set overwrite: true to replace it by one that is "
                "rendered, or leave out what it is to say beside its disks (options; in a plan, "
                "config) to replace its disk list only"
            )
    return domain_config.render(domain, options or {}, specs), f"write {config.path}"


def _warn_of_numbers(config: Config, numbered: Sequence[str], starting: Optional[str]) -> str:
    shown = ", ".join(numbered[:SHOWN_DEVICES])
    more = len(numbered) - SHOWN_DEVICES
    and_more = f" and {more} more" if more > 0 else ""
    consequence = or_not = ""
    if starting is not None:
        consequence = f", and xendomains starts domain {starting} with it then"
        or_not = ", or set autostart: false"
    return (
        f"{config.path} names {shown}{and_more}, which may be another image after the next boot"
        f"{consequence}; let udev run and name images in place of loop devices (role loopdevs)"
        f"{or_not}; the same goes for other configs written now"
    )


def _state(config: Config, text: Optional[str]) -> State:
    """The result keys of C(config) once it says C(text)."""
    found = replace(config, text=text)
    try:
        disks: Optional[List[str]] = [config_file.shown(spec) for spec in found.specs]
    except config_syntax.DomainConfigError:
        disks = None  # It can still be replaced as a whole.
    return {"path": config.path, "disks": disks, "rendered": found.rendered}


def _read_back(config: Config, wanted: Optional[str]) -> State:
    config_file.refuse_changed(config, wanted)
    return _state(config, wanted)
