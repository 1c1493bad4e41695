# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the domains' config files are wanted, compared with those that are there.

What a config says is decided, and checked by xl where xl runs, before any config is touched.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import lru_cache, partial
from typing import (
    Any,
    Callable,
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from ansible_collections.xen.blockdev.plugins.module_utils.config import disk_list
from ansible_collections.xen.blockdev.plugins.module_utils.config import file as config_file
from ansible_collections.xen.blockdev.plugins.module_utils.config import syntax as config_syntax
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.config.autostart import (
    AutostartLinks,
    Subject,
)
from ansible_collections.xen.blockdev.plugins.module_utils.config.file import Config, ConfigError
from ansible_collections.xen.blockdev.plugins.module_utils.config.former import FormerConfigs
from ansible_collections.xen.blockdev.plugins.module_utils.config.passwords import masked
from ansible_collections.xen.blockdev.plugins.module_utils.config.release import Releases
from ansible_collections.xen.blockdev.plugins.module_utils.config.slots import ConfigSlots, Consent
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import (
    Action,
    Plan,
    Resource,
    State,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk import spec as disk_spec
from ansible_collections.xen.blockdev.plugins.module_utils.disk import target as disk_target
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, explained
from ansible_collections.xen.blockdev.plugins.module_utils.host import locks
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import (
    Directories,
    check_writable,
    nearest,
    sync_directories,
)
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import block_script
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state

_ALLOW = "allow_slot_change"
"""An option of a domain, and of one disk of it."""

SHOWN_DEVICES = 3
"""How many loop devices a warning names."""


@contextmanager
def open_configs(pending: Pending) -> Iterator[DomainConfigs]:
    """This host's configs, kept from other runs of this collection until they are closed."""
    with nullcontext() if pending.check_mode else locks.exclusive("config"):
        yield DomainConfigs(pending)


class DomainConfigs(Resource[Mapping[str, Any]]):
    """The domains' configs of this host.

    C(bindings) gives the host's bound loop devices, C(vbds) the disks of its running domains; each
    is asked once, when a disk needs it.
    """

    def __init__(
        self,
        pending: Pending,
        bindings: Callable[[], Sequence[loop_binding.Binding]] = loop_binding.scan,
        vbds: Callable[[], Sequence[xen_state.Vbd]] = xen_state.attached_devices,
    ) -> None:
        self._pending = pending
        self._bindings = lru_cache(maxsize=None)(bindings)
        self._scripts = lru_cache(maxsize=None)(lambda: block_script.devices(vbds()))
        self._slots = ConfigSlots(self._bindings)
        self._formers = FormerConfigs()
        self._releases = Releases(self._bindings)
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

    def expect(self, items: Sequence[Mapping[str, Any]]) -> None:
        """See Resource.expect: a domain may have several configs, each with links of its own."""
        for item in items:
            with suppress(ConfigError):
                path = config_file.path_of(item["domain"], item["path"])
                self._autostart.expect(path)
                self._formers.expect(path)

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
            text = disk_list.replace_disks(config.text, [])
            plan = self._plan_text(item, config, text, f"empty the disk list of {config.path}")
            self._plan_links(plan, item, config, stays=True)
            self._plan_release(plan, item, config, text, [])
            return plan
        if config.rendered and os.path.islink(config.path):
            raise ConfigError(
                f"it is a symbolic link to {config.file}; name that file to remove it"
            )
        plan = self._plan_text(item, config, None, f"remove {config.path}")
        self._plan_links(plan, item, config, stays=False)
        self._plan_release(plan, item, config, None, [])
        return plan

    def _plan_present(self, item: Mapping[str, Any], config: Config) -> Plan:
        had = self._formers.or_itself(item["domain"], config, item["autostart_dir"])
        specs = self._wanted_specs(item, config, had)
        text, sentence = _wanted_text(item, config, specs)
        self._refuse_slots(item, config, had, specs)
        plan = self._plan_text(item, config, text, sentence)
        plan.file = config.file
        self._plan_links(plan, item, config, stays=True)
        starts = plan.after["autostart"]
        if item["disks"] is not None or starts:
            plan.warnings += self._warnings(config, specs, item["domain"] if starts else None)
        plan.warnings += [
            _warn_of_former(item["domain"], config, one)
            for one in had
            if one is not config and one.rendered
        ]
        self._plan_release(plan, item, config, text, specs)
        return plan

    def _refuse_slots(
        self, item: Mapping[str, Any], config: Config, had: Iterable[Config], specs: Sequence[str]
    ) -> None:
        """Raise BlockdevError unless the disks C(specs) may come in the place of those that the
        domain C(had): see FormerConfigs.or_itself."""
        domain = item["domain"]
        for one in had:
            where = f"compared with {one.file}, the config of domain {domain} so far"
            with nullcontext() if one is config else explained(where):
                self._slots.refuse(domain, one, specs, _consent(item, one))

    def _plan_release(
        self,
        plan: Plan,
        item: Mapping[str, Any],
        config: Config,
        text: Optional[str],
        specs: Sequence[str],
    ) -> None:
        """Add to C(plan) the images that leave the config, which gets C(text) and the disks
        C(specs)."""
        directories = [config_text.CONFIG_DIR, item["autostart_dir"]]
        known = item["known_images"] or ()
        self._releases.extend_plan(plan, config, (text, specs), directories, known)

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
        numbered = [
            target
            for target in disk_spec.targets_of(specs)
            if loop_binding.number_of(target) is not None
        ]
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

    def _wanted_specs(
        self, item: Mapping[str, Any], config: Config, had: Iterable[Config]
    ) -> List[str]:
        """The disks as the config is to have them. C(had): see FormerConfigs.or_itself."""
        if item["disks"] is None and config.text is not None:
            return config.meant
        disks, removed = _read_disks(item["disks"] or ()), _removed_disks(item)
        specs = []
        for index, disk in enumerate(disks):
            with explained(f"disks[{index}]"):
                specs.append(self._wanted_spec(item, config, disk))
        _refuse_same_slot(disks)
        for one in had:
            if _unlisted_disks(item, one) == "keep":
                specs = self._slots.with_unlisted(one, specs, removed)
        return specs

    def _wanted_spec(self, item: Mapping[str, Any], config: Config, disk: Mapping[str, Any]) -> str:
        """A disk as the config is to have it. What is not said of it stays where only the disk list
        changes of a config that someone else wrote."""
        target = disk.get("target")
        if disk_spec.backend_of(disk) is None:
            target = self._target(item, config, target)
        wanted = disk if target is None else {**disk, "target": target}
        if config.text is not None and not config.rendered and item["options"] is None:
            with explained("with what the config says of it and you do not"):
                wanted = self._slots.with_unsaid(config, wanted)
                spec = disk_spec.render(wanted)
        else:
            # What is xl's default for a target is said, too: a reader need not know it.
            default = {"format": "raw", "access": disk_spec.access_of(wanted)} if target else {}
            spec = disk_spec.render({**default, **disk_spec.said(wanted)})
        self._slots.refuse_foreign(config, {**wanted, "target": disk.get("target")})
        return spec

    def _target(
        self, item: Mapping[str, Any], config: Config, target: Optional[str]
    ) -> Optional[str]:
        """The target by the name under which it can be opened now.

        A link that the config has already is not given up for a number while there is none, as
        there is none before udev runs; one that leads to another device is. In check mode an image
        that an earlier task would have bound keeps the link that it may get. An image whose device
        Xen's script unbinds when the guest ends is named itself, so that it is bound again when the
        guest starts.
        """
        if target is None or not loop_link.is_link(target):
            return target
        try:
            found = loop_binding.device_of_link(target, self._bindings)
            image = loop_link.linked_image(target)
            if self._is_left_to_script(image):
                return image
            if loop_link.is_link(found) or os.path.lexists(target) or target not in config.targets:
                return found
            return target
        except loop_binding.LoopError:
            if loop_link.is_announced(target, self._pending):
                return target
            raise

    def _is_left_to_script(self, image: str) -> bool:
        file = loop_binding.file_id(os.stat(image))
        bound = [one for one in self._bindings() if one.file == file]
        # The script marks none, so most often nobody has to ask xenstore.
        is_ours = any(one.marked for one in bound)
        return not is_ours and block_script.has(file, bound, self._scripts())


# ---- what is wanted ----


def _is_backed_up(item: Mapping[str, Any], config: Config) -> bool:
    """Whether a copy is kept; unless it is said, of what someone else wrote."""
    return bool(item["backup"]) or (item["backup"] is None and not config.rendered)


def _read_disks(written: Iterable[object]) -> List[Dict[str, Any]]:
    """The disks that are wanted, from xl's strings and from dictionaries with the options of
    xen_domain_config.

    Raises ConfigError for everything that is no disk or has a target that nothing can open.
    """
    elements = list(written)
    _refuse_split(elements)
    disks, problems = [], []
    for index, element in enumerate(elements):
        try:
            disk = _read_disk(element)
            disk_target.check(disk)
            config_syntax.quote(disk_spec.render(disk_spec.said(disk)))
            disks.append(disk)
        except BlockdevError as error:
            problems.append(f"disks[{index}]: {error}")
    if problems:
        raise ConfigError("; ".join(problems))
    return disks


def _refuse_split(elements: Sequence[object]) -> None:
    """Raise ConfigError for a string in place of the list, which Ansible splits at its commas."""
    texts = [element for element in elements if isinstance(element, str) and "," not in element]
    if len(texts) == len(elements) > 1:
        raise ConfigError(f"disks is a list of disks, not one of them: write ['{','.join(texts)}']")


def _read_disk(element: object) -> Dict[str, Any]:
    if not isinstance(element, Mapping):
        return disk_spec.parse(element)
    return {k: v for k, v in element.items() if v is not None and k != _ALLOW}


def _free_slots(written: Optional[Iterable[object]]) -> FrozenSet[int]:
    """The xenstore keys of the disks that may be in another slot, or have another image."""
    return frozenset(
        device_number.parse(disk["vdev"]).xenstore_key
        for disk in written or ()
        if isinstance(disk, Mapping) and disk.get(_ALLOW)
    )


def _unlisted_disks(item: Mapping[str, Any], config: Config) -> str:
    """What becomes of disks that are not listed: C(refuse), C(keep) or C(remove)."""
    is_list_ours = config.rendered and item["disks"] is not None
    return item["unlisted_disks"] or ("remove" if is_list_ours else "refuse")


def _removed_disks(item: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The disks that may go. Raises BlockdevError where one cannot be told."""
    removed = item["removed_disks"] or []
    for index, disk in enumerate(removed):
        with explained(f"removed_disks[{index}]"):
            if disk.get("vdev") is None and disk.get("target") is None:
                raise ConfigError("a disk is known by its vdev, its target or both: give one")
            if disk.get("vdev") is not None:
                device_number.parse(disk["vdev"])
    return removed


def _consent(item: Mapping[str, Any], config: Config) -> Consent:
    return Consent(
        slot_change=item["allow_slot_change"],
        free=_free_slots(item["disks"]),
        losses=_unlisted_disks(item, config) != "refuse",
        unreadable=_unlisted_disks(item, config) == "remove",
        removed=_removed_disks(item),
    )


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
        if options is None and item["disks"] is None:
            return config.text, ""
        if options is None:
            text = disk_list.replace_disks(config.text, specs)
            if disk_list.mended(config.text) != config.text:
                return text, (
                    f"make disk in {config.path} a list of what is wanted, since xl takes no disk "
                    "from a string"
                )
            return text, f"replace the disk list in {config.path}"
        if not item["overwrite"]:
            raise ConfigError(
                "someone else wrote this config; set overwrite: true to replace it by one that is "
                "rendered, or leave out what it is to say beside its disks (options; in a plan, "
                "config) to replace its disk list only"
            )
    return config_text.render(domain, options or {}, specs), f"write {config.path}"


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


def _warn_of_former(domain: str, config: Config, former: Config) -> str:
    return (
        f"{former.file} is another config of domain {domain}, which this collection wrote as well; "
        f"delete it if {config.path} is in its place"
    )


def _state(config: Config, text: Optional[str]) -> State:
    """The result keys of C(config) once it says C(text)."""
    found = replace(config, text=text)
    try:
        disks: Optional[List[str]] = [config_file.shown(spec) for spec in found.meant]
    except config_syntax.DomainConfigError:
        disks = None  # It can still be replaced as a whole.
    return {"path": config.path, "disks": disks, "rendered": found.rendered}


def _read_back(config: Config, wanted: Optional[str]) -> State:
    config_file.refuse_changed(config, wanted)
    return _state(config, wanted)
