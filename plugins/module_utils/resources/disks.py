# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All disks of a host's domains, from image to attached disk: the steps and their order.

Each step is what one of the other modules does with its list. All steps are planned before the
first one changes anything: if one of them is impossible, nothing is touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import (
    Any,
    Callable,
    Dict,
    FrozenSet,
    List,
    Mapping,
    Optional,
    Sequence,
)

from ansible_collections.xen.blockdev.plugins.module_utils.config.text import (
    AUTOSTART_DIR,
    CONFIG_DIR,
)
from ansible_collections.xen.blockdev.plugins.module_utils.converge import pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import State
from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import (
    Interface,
    Opener,
    Outcome,
    Spec,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.inventory import disk_plan
from ansible_collections.xen.blockdev.plugins.module_utils.inventory.disk_plan import PlanEntry
from ansible_collections.xen.blockdev.plugins.module_utils.resources import (
    domain_config_interface,
    logical_volume_interface,
    loopdev_interface,
    raw_disk_interface,
    vbd_attach_interface,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.domain_config import (
    open_configs,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.logical_volume import (
    open_volumes,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev import open_devices
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk import open_images
from ansible_collections.xen.blockdev.plugins.module_utils.resources.vbd_attach import open_vbds
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.promises import checked_limit

STEPS = {
    "detach": "detach absent disks",
    "create": "create and grow images",
    "create_volumes": "create and grow logical volumes",
    "bind": "bind and unbind loop devices",
    "configure": "write and remove configs",
    "attach": "attach disks",
    "unbind": "unbind loop devices that no disk needs any more",
    "delete": "delete the images of absent disks",
    "delete_volumes": "remove the logical volumes of absent disks",
}
"""The steps in their order, and what each does. A disk is detached before its loop device is
unbound. Configs are written before that as well: otherwise a new image could get the number of a
loop device that a config still has, and the slots of the config would be compared by that."""

OPTIONS: Spec = {
    # Checked by the plan, which reports every problem.
    "domains": {"type": "raw", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"]},
    "absent_only": {"type": "bool", "default": False},
    "steps": {"type": "list", "elements": "str", "choices": list(STEPS)},
    "images_dir": {"type": "path", "default": disk_plan.IMAGES_DIR},
    "config_dir": {"type": "path", "default": CONFIG_DIR},
    "autostart_dir": {"type": "path", "default": AUTOSTART_DIR},
    "allow_slot_change": {"type": "bool", "default": False},
    "persistent": {"type": "bool", "default": True},
    "udev_rule": {"type": "bool", "default": True},
    "remove_images": {"type": "bool", "default": False},
    "max_overcommit": {"type": "float"},
    "timeout": {"type": "float", "default": 30},
    "replace": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
    "pending": pending.SPEC,
}
"""The options of xen_disks."""


@dataclass(frozen=True)
class HostDisks:
    """What xen_disks is asked for."""

    planned: Mapping[str, Sequence[PlanEntry]]
    """The items of each module, as ``disk_plan.by_role`` returns them."""
    items: Mapping[str, Sequence[PlanEntry]]
    """Those to be brought to their state: all, or only the absent ones."""
    warnings: Sequence[str]
    """Those of the plan."""
    steps: FrozenSet[str]
    config_dir: str
    autostart_dir: str
    allow_slot_change: bool
    persistent: bool
    udev_rule: bool
    remove_images: bool
    max_overcommit: Optional[float]
    timeout: float
    """Seconds for a guest to connect or to release a disk."""
    replace: bool
    force: bool
    pending: Mapping[str, List[State]]
    """What earlier tasks have announced. It counts in check mode only."""

    @classmethod
    def read(cls, options: State) -> HostDisks:
        """From the checked options. Raises DiskPlanError with all problems of the domains,
        PendingError for what no module announces, and PromiseError for a limit that is none."""
        announced = options["pending"] or {}
        Pending.read(announced, check_mode=False)
        plan = disk_plan.plan(
            options["domains"], options["images_dir"], options["config_dir"], options["state"]
        )
        planned = disk_plan.by_role(plan)
        absent = {name: _absent(entries) for name, entries in planned.items()}
        return cls(
            planned=planned,
            items=absent if options["absent_only"] else planned,
            warnings=plan.warnings,
            steps=frozenset(STEPS if options["steps"] is None else options["steps"]),
            config_dir=options["config_dir"],
            autostart_dir=options["autostart_dir"],
            allow_slot_change=options["allow_slot_change"],
            persistent=options["persistent"],
            udev_rule=options["udev_rule"],
            remove_images=options["remove_images"],
            max_overcommit=checked_limit(options["max_overcommit"]),
            timeout=options["timeout"],
            replace=options["replace"],
            force=options["force"],
            pending={name: entries or [] for name, entries in announced.items()},
        )

    # ---- the options of the other modules, for each step ----

    def detach(self, _done: Outcome) -> State:
        return {
            "vbds": _with_state("absent", self.items["vbds"]),
            "when_not_running": "skip",
            "timeout": self.timeout,
            "force": self.force,
        }

    def create(self, _done: Outcome) -> State:
        disks = _with_state("present", self.items["raw_disks"])
        return {"disks": disks, "parents": True, **self._for_new}

    def create_volumes(self, _done: Outcome) -> State:
        volumes = _with_state("present", self.items["logical_volumes"])
        return {"volumes": volumes, **self._for_new}

    @property
    def _for_new(self) -> State:
        """What decides whether something may be created."""
        return {
            "allow_slot_change": self.allow_slot_change,
            "autostart_dir": self.autostart_dir,
            "max_overcommit": self.max_overcommit,
        }

    def bind(self, _done: Outcome) -> State:
        devices = self.items["loopdevs"]
        if self._unbinds_later:
            devices = _with_state("present", devices)
        elif "unbind" in self.steps:
            # Their configs are not written in this call.
            devices = [device for device in devices if "in_use" not in device]
        return self._loop_options(devices)

    @property
    def _unbinds_later(self) -> bool:
        """Whether what is not needed any more is left to the step ``unbind``."""
        return {"bind", "configure", "unbind"} <= self.steps

    def _loop_options(self, devices: Sequence[PlanEntry]) -> State:
        return {
            "devices": devices,
            "persistent": self.persistent,
            "udev_rule": self.udev_rule,
            "named_in": self._named_in,
        }

    def configure(self, _done: Outcome) -> State:
        images = [item["path"] for item in (*self.planned["raw_disks"], *self.planned["loopdevs"])]
        return {
            "configs": self.items["domain_config"],
            "parents": True,
            "autostart_dir": self.autostart_dir,
            "allow_slot_change": self.allow_slot_change,
            "known_images": list(dict.fromkeys(images)),
        }

    def attach(self, _done: Outcome) -> State:
        return {
            "vbds": _with_state("present", self.items["vbds"]),
            "when_not_running": "skip",
            "unlisted": "warn",
            "timeout": self.timeout,
            "replace": self.replace,
            "force": self.force,
        }

    def unbind(self, done: Outcome) -> State:
        """Also of the images that configs refer to no more. Present devices are in the list,
        because another path of the same image must not unbind them."""
        planned = {device["path"] for device in self.planned["loopdevs"]}
        configs = done.entries.get("configs", ())
        released = {path for config in configs for path in config.get("released") or ()}
        ours = {"state": "absent", "ours_only": True, "in_use": "leave"}
        unneeded = [{"path": path, **ours} for path in sorted(released - planned)]
        if self._unbinds_later:
            unneeded = [*_with_state("absent", self.items["loopdevs"]), *unneeded]
        # While it is planned, the step ``bind`` has only announced some of them.
        announced = {device["path"] for device in done.pending.get("devices", ())}
        present = _with_state("present", self.items["loopdevs"])
        bound = [device for device in present if device["path"] not in announced]
        return self._loop_options([*bound, *unneeded] if unneeded else [])

    def delete(self, _done: Outcome) -> State:
        absent = _with_state("absent", self.items["raw_disks"])
        return {"disks": absent if self.remove_images else [], "named_in": self._named_in}

    def delete_volumes(self, _done: Outcome) -> State:
        absent = _with_state("absent", self.items["logical_volumes"])
        return {"volumes": absent if self.remove_images else [], "named_in": self._named_in}

    @property
    def _named_in(self) -> State:
        """An image or volume that a config outside the plan refers to is in use."""
        return {
            "directories": [self.config_dir, self.autostart_dir],
            "but_for": [config["path"] for config in self.planned["domain_config"]],
        }


def _absent(items: Sequence[PlanEntry]) -> List[PlanEntry]:
    """Without the loop devices that present disks need no more."""
    return [item for item in _with_state("absent", items) if "in_use" not in item]


def _with_state(state: str, items: Sequence[PlanEntry]) -> List[PlanEntry]:
    return [item for item in items if item["state"] == state]


Run = Callable[[Interface[Any], Opener[Any], State, bool], Outcome]
"""``converge.run.run_items`` for a module: the options, and whether this is check mode."""


@dataclass(frozen=True)
class Step:
    """One step for one host."""

    does: str
    interface: Interface[Any]
    """Of the module that does the same."""
    opener: Opener[Any]
    options: Callable[[Outcome], State]
    """The options of that module."""

    def has_items(self, done: Outcome) -> bool:
        """Whether there is something to do after ``done``."""
        return bool(self.options(done)[self.interface.items])

    def run(self, run: Run, done: Outcome, announced: Outcome, check_mode: bool) -> Outcome:
        """Do it after ``done``; without items it is done already. ``announced``: by earlier tasks,
        in check mode."""
        options = self.options(done)
        if not options[self.interface.items]:
            return Outcome({})
        try:
            checked = self.interface.checked_params(
                {**options, "pending": (announced + done).pending}
            )
        except BlockdevError as error:
            return Outcome({self.interface.items: []}, error=str(error))
        return run(self.interface, self.opener, checked, check_mode)


def steps_of(wanted: HostDisks) -> List[Step]:
    """The wanted steps, in their order."""
    images = (raw_disk_interface.INTERFACE, open_images)
    volumes = (logical_volume_interface.INTERFACE, open_volumes)
    devices = (loopdev_interface.INTERFACE, open_devices)
    configs = (domain_config_interface.INTERFACE, open_configs)
    vbds = (vbd_attach_interface.INTERFACE, open_vbds)
    parts: Dict[str, Any] = {
        "detach": (*vbds, wanted.detach),
        "create": (*images, wanted.create),
        "create_volumes": (*volumes, wanted.create_volumes),
        "bind": (*devices, wanted.bind),
        "configure": (*configs, wanted.configure),
        "attach": (*vbds, wanted.attach),
        "unbind": (*devices, wanted.unbind),
        "delete": (*images, wanted.delete),
        "delete_volumes": (*volumes, wanted.delete_volumes),
    }
    return [Step(does, *parts[name]) for name, does in STEPS.items() if name in wanted.steps]


def provide(wanted: HostDisks, run: Run, check_mode: bool) -> Outcome:
    """Plan all steps; do them if all are possible, something changes, and this is no check mode."""
    steps = steps_of(wanted)
    outcome = _plan(steps, run, Outcome({}, wanted.pending if check_mode else {}))
    if not check_mode and outcome.changed and not outcome.error:
        outcome = _apply(steps, run)
    elif not check_mode:
        outcome = outcome.unannounced()
    lists: Dict[str, List[State]] = {step.interface.items: [] for step in steps}
    return Outcome(lists, warnings=wanted.warnings) + outcome


def _plan(steps: Sequence[Step], run: Run, announced: Outcome) -> Outcome:
    """What all steps would do; only the error of the first one that is impossible."""
    planned = Outcome({})
    for step in steps:
        outcome = step.run(run, planned, announced, True)
        if outcome.error:
            return outcome
        planned += outcome
    return planned


def _apply(steps: Sequence[Step], run: Run) -> Outcome:
    """Do all steps, or those up to the first one that fails."""
    done = Outcome({})
    for number, step in enumerate(steps, 1):
        done += step.run(run, done, Outcome({}), False)
        if done.error:
            left = [later.does for later in steps[number:] if later.has_items(done)]
            return done + Outcome({}, error=_not_done(left))
    return done


def _not_done(left: Sequence[str]) -> Optional[str]:
    return f"not done after that: {'; '.join(left)}" if left else None
