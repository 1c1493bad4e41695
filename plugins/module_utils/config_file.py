# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The domains' config files: which are wanted, compared with those that are there.

A config is replaced as a whole or not at all: the new one is written beside it and renamed. What
it says is decided, and checked by xl where xl runs, before any config is touched.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import time
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from ansible_collections.xen.blockdev.plugins.module_utils import (
    commands,
    config_syntax,
    device_number,
    disk_spec,
    domain_config,
    locks,
    loop,
    loop_link,
    xen,
    xl,
)
from ansible_collections.xen.blockdev.plugins.module_utils.actions import (
    Action,
    Plan,
    Resource,
    State,
)
from ansible_collections.xen.blockdev.plugins.module_utils.autostart import (
    AutostartLinks,
    Subject,
)
from ansible_collections.xen.blockdev.plugins.module_utils.domain_config import CONFIG_DIR
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.files import (
    Directories,
    check_writable,
    is_file_path,
    nearest,
    opened,
    opened_real,
    replace_file,
    resolved,
    sync_directories,
)
from ansible_collections.xen.blockdev.plugins.module_utils.passwords import masked

SHOWN_DEVICES = 3
"""How many loop devices a warning names."""

MAX_SIZE = 2**20
"""Bytes. What is larger is a disk image, say, that was named by mistake."""


class ConfigError(BlockdevError):
    """A config cannot be had as wanted."""


@dataclass(frozen=True)
class Config:
    """A path that is, or is to be, a domain's config."""

    path: str
    """As it was given."""
    file: str
    """The same without symbolic links."""
    text: Optional[str]
    """What is in the file, decoded as domain_config wants it; None where there is none."""

    @property
    def directory(self) -> str:
        """Where the file is, or is to be."""
        return os.path.dirname(self.file)

    @property
    def rendered(self) -> bool:
        """Whether the config is one that this collection wrote."""
        return self.text is not None and domain_config.is_rendered(self.text)

    @cached_property
    def specs(self) -> List[str]:
        """The disks that it has; DomainConfigError where xl could not read it."""
        return [] if self.text is None else domain_config.disks(self.text)

    @cached_property
    def targets(self) -> Set[object]:
        """The targets of its disks, as far as they can be read."""
        try:
            return {disk_spec.parse(spec).get("target") for spec in self.specs}
        except BlockdevError:
            return set()


class _Slot(NamedTuple):
    """A slot of a config and what is in it."""

    vdev: str
    target: str
    image: object
    """Equal for the same data, see DomainConfigs._image."""


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
        self._wanted: Dict[str, str] = {}
        self._directories = Directories()
        self._autostart = AutostartLinks(self._directories)
        self._warned = 0
        """How severe what was warned of is: see _warnings."""
        self._touched: Set[str] = set()
        """Directories in which a name is made or removed."""

    def plan(self, item: Mapping[str, Any]) -> Plan:
        """See Resource.plan; C(item) has the options of xen_domain_config."""
        config = find(path_of(item["domain"], item["path"]))
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
            refuse_other_domain(item["domain"], config.text)
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
            self._refuse_slot_changes(item["domain"], config, specs)
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
        numbered = [target for target in _targets(specs) if loop.number_of(target) is not None]
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
                _validate(text)
        if config.text is not None:
            check_writable(config.file, sentence)
        if config.text is not None and _is_backed_up(item, config):
            keep = Action(
                f"keep a copy of {config.path}",
                lambda: copy.update(backup_file=_keep_copy(config)),
            )
            plan.actions.append(keep)
        run = partial(_remove, config) if text is None else partial(_write, config, text)
        plan.actions.append(Action(sentence, run))
        plan.texts = masked(_shown(config.text or ""), _shown(text or ""))
        self._touched.add(config.directory)
        return plan

    # ---- disks ----

    def _wanted_specs(self, item: Mapping[str, Any], config: Config) -> List[str]:
        """The disks as the config is to have them."""
        if item["disks"] is None:
            return config.specs
        disks = [_said(disk) for disk in item["disks"]]
        specs = []
        for index, disk in enumerate(disks):
            try:
                # What is no disk at all is refused before its target is looked for.
                config_syntax.quote(disk_spec.render(disk))
                target = self._target(item, config, disk.get("target"))
            except BlockdevError as error:
                raise ConfigError(f"disks[{index}]: {error}") from None
            specs.append(disk_spec.render(disk if target is None else {**disk, "target": target}))
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

    def _refuse_slot_changes(self, domain: str, config: Config, new: List[str]) -> None:
        """Raise ConfigError where a guest would find another disk, or one in another place."""
        try:
            if config.specs == new:
                return
            before = self._slots(config.specs)
        except BlockdevError as error:
            raise ConfigError(
                f"what its slots hold cannot be told: {error}; allow_slot_change: true replaces "
                "its disk list all the same"
            ) from None
        problems = list(self._slot_changes(domain, before, self._slots(new)))
        if not problems:
            return
        hint = "set allow_slot_change: true if that is meant"
        if any(loop.number_of(slot.target) is not None for slot in before.values()):
            hint += " or if only the loop devices have other numbers since the last boot"
        hint += (
            "; otherwise give each disk the vdev that it had (in a plan, a disk that goes can also "
            "be kept with state: absent)"
        )
        raise ConfigError("; ".join([*problems, hint]))

    def _slot_changes(
        self, domain: str, before: Mapping[int, _Slot], after: Mapping[int, _Slot]
    ) -> Iterator[str]:
        left = [slot for key, slot in before.items() if key not in after]
        for key, new in after.items():
            old = before.get(key)
            if old and old.image != new.image:
                yield (
                    f"slot {new.vdev} of domain {domain} has {self._named(old.target)} and would "
                    f"get {self._named(new.target)}"
                )
            for other in left if old is None else ():
                if other.image == new.image:
                    yield (
                        f"{self._named(new.target)} is in slot {other.vdev} of domain {domain} and "
                        f"would move to {new.vdev}"
                    )

    def _slots(self, specs: Iterable[str]) -> Dict[int, _Slot]:
        """By xenstore key, the slots that hold something; a cdrom drive may be empty."""
        slots = {}
        for disk in map(disk_spec.parse, specs):
            vdev, target = str(disk["vdev"]), disk.get("target")
            key = device_number.parse(vdev).xenstore_key
            if target is not None:
                slots[key] = _Slot(vdev, str(target), self._image(str(target)))
        return slots

    def _image(self, target: str) -> object:
        """What a target leads to: the same for a file and all loop devices and links to them.

        A target that leads nowhere is known by its name only; so is a loop device that is not
        bound, since the image that it once had cannot be told.
        """
        path = loop_link.path_of(target) if loop_link.is_link(target) else target
        if not os.path.isabs(path):
            return target
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return path
        if not stat.S_ISBLK(status.st_mode):
            return loop.file_id(status)
        for binding in self._bindings():
            if binding.rdev == status.st_rdev and binding.whole:
                return binding.backing_rdev or binding.file
        return status.st_rdev

    def _named(self, target: str) -> str:
        """The target, and what a bare loop device is bound to, which its number does not tell."""
        number = loop.number_of(target)
        if number is None:
            return target
        files = [one.backing_file for one in self._bindings() if one.number == number]
        return f"{target} ({f'{files[0]} now' if files else 'not bound now'})"


# ---- what is wanted ----


def _is_backed_up(item: Mapping[str, Any], config: Config) -> bool:
    """Whether a copy is kept; unless it is said, of what someone else wrote."""
    return bool(item["backup"]) or (item["backup"] is None and not config.rendered)


def path_of(domain: str, path: Optional[str]) -> str:
    """The config of C(domain): C(path) where that is given, otherwise the usual one.

    Raises ConfigError where C(domain) cannot be the name of one.
    """
    if not domain or domain.isdigit() or "/" in domain:
        raise ConfigError(
            f"domain {domain!r} is no name of a domain: that is not empty, has no slash and is "
            "not a number, which xl takes for a domain id"
        )
    return f"{CONFIG_DIR}/{domain}.cfg" if path is None else str(path)


def _said(disk: Mapping[str, Any]) -> Dict[str, Any]:
    """What is said about a disk."""
    # False is xl's default for direct_io_safe, which it has no word for.
    return {k: v for k, v in disk.items() if v is not None and (k, v) != ("direct_io_safe", False)}


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
        refuse_other_domain(item["domain"], config.text)
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


def refuse_other_domain(domain: str, text: str) -> None:
    """Raise ConfigError where the config C(text) is not that of C(domain)."""
    name = domain_config.name(text)
    if name is None:
        raise ConfigError(
            f"it sets no name; add name = {config_syntax.quote(domain)} if it is "
            f"the config of {domain}"
        )
    if name != domain:
        raise ConfigError(
            f"it is the config of domain {name}, not of {domain}; give the right path"
        )


def _targets(specs: Iterable[str]) -> Iterator[str]:
    """The targets of the disks that can be read."""
    for spec in specs:
        with suppress(BlockdevError):
            yield str(disk_spec.parse(spec).get("target"))


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


# ---- files ----


def find(path: str) -> Config:
    """Look at what is at C(path); ConfigError where no config is nor can be there."""
    if not is_file_path(path):
        raise ConfigError(
            f"path {path!r} is not the absolute path of a file: write it from / on, such as "
            f"{CONFIG_DIR}/web.cfg"
        )
    file = os.path.realpath(path)
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path):
            raise ConfigError(
                f"{path} is a symbolic link to {file}, which does not exist; remove the link or "
                "name the config itself"
            ) from None
        return Config(path, resolved(path), None)
    except OSError as error:
        raise ConfigError(f"cannot look at {path}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{path} is not a regular file, which a config is")
    if status.st_size > MAX_SIZE:
        raise ConfigError(f"{path} has {status.st_size} bytes, so many that it is no config")
    file = resolved(path)
    return Config(path, file, _read(file))


def _read(file: str) -> Optional[str]:
    """What is in the file, see files.resolved; None where there is none."""
    try:
        with opened_real(os.path.dirname(file)) as directory, opened(
            os.path.basename(file), os.O_RDONLY | os.O_NOFOLLOW, directory=directory
        ) as descriptor, open(descriptor, "rb", closefd=False) as config:
            return config.read().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise ConfigError(f"{file} was replaced by a link meanwhile; run again") from None


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _state(config: Config, text: Optional[str]) -> State:
    """The result keys of C(config) once it says C(text)."""
    found = replace(config, text=text)
    try:
        disks: Optional[List[str]] = [_shown(spec) for spec in found.specs]
    except config_syntax.DomainConfigError:
        disks = None  # It can still be replaced as a whole.
    return {"path": config.path, "disks": disks, "rendered": found.rendered}


def _read_back(config: Config, wanted: Optional[str]) -> State:
    _refuse_changed(config, wanted)
    return _state(config, wanted)


def _refuse_changed(config: Config, text: Optional[str]) -> None:
    """Raise ConfigError unless the file says C(text), as this run left or found it."""
    if _read(config.file) != text:
        raise ConfigError(f"{config.path} was changed by another program meanwhile; run again")


def _validate(text: str) -> None:
    """Let xl read the config, on a host where it runs; ConfigError where it refuses it."""
    if not xen.is_dom0():
        return
    with tempfile.NamedTemporaryFile(prefix="xen_domain_config.") as trial:
        trial.write(_encoded(text))
        trial.flush()
        ended = commands.run(["xl", "-N", "create", trial.name], xl.XL_SECONDS)
    if ended.code != 0:
        words = " ".join(ended.stderr.replace(trial.name, "the config").split())
        raise ConfigError(f"xl refuses what it would say: {words or f'exit code {ended.code}'}")


def _write(config: Config, text: str) -> None:
    """Put the new config in the place of the old one, with its owner, mode and SELinux context."""
    _refuse_changed(config, config.text)
    # A new one is for root alone: it may hold the password of a console.
    replace_file(config.file, _encoded(text), mode=0o600, keep=config.text is not None)


def _remove(config: Config) -> None:
    _refuse_changed(config, config.text)
    with opened_real(config.directory) as directory:
        os.unlink(os.path.basename(config.file), dir_fd=directory)


def _keep_copy(config: Config) -> str:
    """Keep the config that is to be replaced under a second name, and return that.

    The name is made as Ansible's own modules make it. A hard link keeps the attributes as they
    are and is never half made; the config itself is then replaced, not written.
    """
    _refuse_changed(config, config.text)
    name = os.path.basename(config.file)
    copy = f"{name}.{os.getpid()}.{time.strftime('%Y-%m-%d@%H:%M:%S~')}"
    with opened_real(config.directory) as directory:
        os.link(name, copy, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    return os.path.join(config.directory, copy)


def _shown(text: str) -> str:
    """The text with a mark for each byte that is not UTF-8, which no result can hold."""
    return _encoded(text).decode("utf-8", "replace")
