# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images are to be bound to loop devices, compared with those that are."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, nullcontext
from functools import cached_property, partial
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import (
    Action,
    Plan,
    Resource,
    State,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import explained
from ansible_collections.xen.blockdev.plugins.module_utils.host import locks
from ansible_collections.xen.blockdev.plugins.module_utils.image import raw_content
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import control as loop_control
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.loop import node as loop_node
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding, LoopError
from ansible_collections.xen.blockdev.plugins.module_utils.loop.boot_unit import BootUnits
from ansible_collections.xen.blockdev.plugins.module_utils.loop.udev_rule import UdevRule
from ansible_collections.xen.blockdev.plugins.module_utils.resources import (
    loopdev_actions,
    loopdev_info,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import block_script
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.renamed import FormerNames
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import (
    Usage,
    User,
    emptied,
    join,
)
from ansible_collections.xen.blockdev.plugins.module_utils.units import SECTOR
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Vbd


@contextmanager
def open_devices(pending: Pending) -> Iterator[LoopDevices]:
    """This host's loop devices, kept from every other careful program until they are closed."""
    with nullcontext() if pending.check_mode else locks.loop_devices():
        yield LoopDevices(Usage(), BootUnits(), UdevRule(), pending)


class LoopDevices(Resource[Mapping[str, Any]]):
    """The loop devices of this host."""

    def __init__(
        self, usage: Usage, units: BootUnits, udev_rule: UdevRule, pending: Pending
    ) -> None:
        self._usage = usage
        self._former_names = FormerNames(usage)
        self._units = units
        self._udev_rule = udev_rule
        self._pending = pending
        self._emptied = emptied(pending)
        self._bindings = {binding.number: binding for binding in usage.bindings}
        self._deleted = [binding for binding in usage.bindings if binding.deleted]
        self._wanted: Dict[object, str] = {}
        self._promised: Dict[int, str] = {}
        self._left: Dict[str, Vbd] = {}
        """Paths of the images that are left to Xen's script for now, and which disk each is."""
        self._udev_awaited = False

    def rank(self, item: Mapping[str, Any]) -> int:
        """See Resource.rank. A device asked for by number must not be taken as a free one, and what
        is taken back must not be wanted under another path."""
        if item["state"] == "absent":
            return 3 if item["ours_only"] else 0
        return 1 if item["device"] else 2

    def plan(self, item: Mapping[str, Any]) -> Plan:
        """See Resource.plan; C(item) has the options of xen_loopdev."""
        path = item["path"]
        if not os.path.isabs(path):
            raise LoopError(f"path {path!r} is not absolute: write the image's path from / on")
        number = _wanted_number(item["device"])
        if item["state"] == "absent" and item["ours_only"]:
            return self._plan_taken_back(item, path, number)
        status = _status_of_image(path)
        self._refuse_twice(path, _key(path, status))
        if item["state"] == "absent":
            found = self._to_unbind(item, path, number, status)
            return self._plan_absent(item, path, number, found)
        plan = self._plan_present(item, path, number, status)
        persistent = None if path in self._left else item["persistent"]
        return self._with_unit(plan, item, path, persistent)

    def _with_unit(
        self, plan: Plan, item: Mapping[str, Any], path: str, persistent: Optional[bool]
    ) -> Plan:
        direct_io = bool(plan.after["direct_io"])
        self._units.extend_plan(plan, path, persistent, item["sector_size"], direct_io)
        return plan

    def _plan_present(
        self,
        item: Mapping[str, Any],
        path: str,
        number: Optional[int],
        status: Optional[os.stat_result],
    ) -> Plan:
        # udev has to know the rule before anything is bound.
        rule = self._udev_rule.plan() if item["udev_rule"] else []
        if status is None:
            plan = self._plan_future(item, path, number)
        else:
            planned = self._pending.sizes.get(path)
            size = status.st_size if planned is None else planned
            bound = self._bound_to(path, loop_binding.file_id(status))
            # The script marks none, so most often nobody has to ask xenstore.
            if bound and not bound.marked and bound.rdev in self._scripts:
                plan = self._plan_left(item, path, bound, size)
            elif bound:
                different = _difference(item, path, number, bound)
                if different:
                    self._refuse_to_rebind(item, path, bound, different)
                    plan = self._plan_rebound(item, path, bound, status, size)
                else:
                    plan = self._plan_bound(item, path, bound, size)
            else:
                plan = self._plan_unbound(item, path, number, status, size)
            plan.warnings += self._warn_of_deleted(path, bound)
        plan.actions[:0] = rule
        return plan

    def warnings(self) -> List[str]:
        """See Resource.warnings: the images that are left to Xen's script, one for each domain."""
        left: Dict[str, List[str]] = {}
        for path, vbd in self._left.items():
            left.setdefault(vbd.domain, []).append(f"{path} ({vbd.vdev})")
        return [
            f"domain {domain} runs on files, {', '.join(disks)}: Xen's script has bound them and "
            "unbinds them when the domain ends, so they are left as they are, and its config goes "
            f"on naming the files; run again while {domain} is down, to bind them for good"
            for domain, disks in left.items()
        ]

    def settle(self) -> None:
        """Let udev finish with the devices that were bound and unbound, and systemd know."""
        loopdev_actions.settle_udev()
        self._units.settle()

    def _refuse_twice(self, path: str, image: object) -> None:
        if image in self._wanted:
            raise LoopError(f"{path} is the same image as {self._wanted[image]}: name it once")
        self._wanted[image] = path

    def _bound_to(self, path: str, file: loop_binding.File) -> Optional[Binding]:
        """The device that shows the whole file; LoopError where it is bound in another way."""
        bindings = [binding for binding in self._bindings.values() if binding.file == file]
        for binding in bindings:
            self._refuse_part(path, binding)
        if len(bindings) > 1 and any(one.rdev not in self._scripts for one in bindings):
            devices = " and ".join(f"{one.device} ({self._use_of(one)})" for one in bindings)
            raise LoopError(
                f"{path} is bound more than once, to {devices}; unbind all but one (losetup -d)"
            )
        return bindings[0] if bindings else None

    @cached_property
    def _scripts(self) -> Dict[int, Vbd]:
        return block_script.devices(self._usage.vbds)

    def _plan_left(
        self, item: Mapping[str, Any], path: str, binding: Binding, image_size: int
    ) -> Plan:
        """Leave an image alone that runs on a device of Xen's script, but for its size. To bind it
        at boot would bind it twice, as its domain's config still names the image itself."""
        self._left[path] = self._scripts[binding.rdev]
        as_is = {**item, "direct_io": None, "sector_size": binding.sector_size}
        return self._plan_bound(as_is, path, binding, image_size)

    def _plan_future(self, item: Mapping[str, Any], path: str, number: Optional[int]) -> Plan:
        """The image is not there."""
        self._refuse_renamed(path, None)
        if path in self._pending.sizes:
            return self._plan_binding(item, path, number, None, self._pending.sizes[path])
        for binding in loop_binding.deleted_from(path, self._deleted):
            raise LoopError(loop_binding.lives_on(path, binding.device))
        raise LoopError(f"{path} does not exist; create the image first (xen_raw_disk)")

    def _plan_unbound(
        self,
        item: Mapping[str, Any],
        path: str,
        number: Optional[int],
        status: os.stat_result,
        size: int,
    ) -> Plan:
        if size < SECTOR:
            raise LoopError(
                f"{path} has {size} bytes, less than a sector: its loop device would be "
                "empty; grow it first (xen_raw_disk)"
            )
        self._refuse_renamed(path, loop_binding.file_id(status))
        if item["format"] is None:
            with explained(f"cannot bind {path}"):
                raw_content.refuse_foreign(path, status)
        plan = self._plan_binding(item, path, number, status, size)
        if size % SECTOR:
            plan.warnings.append(
                f"{path} is no multiple of {SECTOR} bytes: its last "
                f"{size % SECTOR} bytes are not seen through the loop device"
            )
        return plan

    def _refuse_renamed(self, path: str, file: Optional[loop_binding.File]) -> None:
        """Raise BlockdevError where a device that stays holds what had the name of C(file)."""
        with explained(f"cannot bind {path}"):
            self._former_names.refuse_binding(path, file, self._bindings.values())

    def _refuse_to_rebind(
        self, item: Mapping[str, Any], path: str, binding: Binding, different: str
    ) -> None:
        """Raise LoopError unless the device may be unbound to bind the image as wanted: it must be
        one of ours that nobody uses. C(different): what is not as wanted."""
        self._await_udev()
        users = self._users(item, binding)
        is_ours = self._is_ours(path, binding)
        if is_ours and not users:
            return
        remedy = "run again" if is_ours else f"unbind it (losetup -d {binding.device})"
        raise LoopError(
            f"{path} is bound to {binding.device} {different}; "
            + (
                f"it is in use ({users}): end that first (detach, unmount, close it), then {remedy}"
                if users
                else f"nothing uses it, but another program bound it: {remedy} if it is not needed"
            )
        )

    def _is_ours(self, path: str, binding: Binding) -> bool:
        """Whether this collection has bound the image. What its boot units bind has no mark."""
        return binding.marked or self._units.has(path)

    def _plan_rebound(
        self,
        item: Mapping[str, Any],
        path: str,
        binding: Binding,
        status: os.stat_result,
        size: int,
    ) -> Plan:
        """Bind the image anew. It keeps its device unless another one is wanted: without udev,
        configs name the number."""
        del self._bindings[binding.number]
        number = _wanted_number(item["device"] or binding.device)
        # It was taken as raw before: its guest may have written what looks like another format.
        plan = self._plan_unbound({**item, "format": "raw"}, path, number, status, size)
        plan.before = loopdev_info.state(binding)
        plan.actions.insert(0, _unbinding(path, binding))
        return plan

    def _plan_binding(
        self,
        item: Mapping[str, Any],
        path: str,
        number: Optional[int],
        status: Optional[os.stat_result],
        size: Optional[int],
    ) -> Plan:
        """Bind the image of C(size) bytes. C(status) is None for one that an earlier task would
        have created but for check mode, and C(size) if that is not known."""
        loop_control.require_driver()
        if number is not None:
            self._promise(path, number)
        where = "a free loop device" if number is None else loop_binding.device_path(number)
        bound: List[int] = []
        after = {
            **loopdev_info.unbound(),
            "device": None if number is None else where,
            "direct_io": bool(item["direct_io"]),
        }
        # None would say that it has no loop device.
        if size is None:
            del after["size"]
        else:
            after["size"] = _whole_sectors(size)
        return Plan(
            before=loopdev_info.unbound(),
            after=after,
            read_back=lambda: loopdev_actions.read_back(item, path, bound[0] if bound else None),
            actions=[
                Action(
                    f"bind {path} to {where}",
                    lambda: bound.append(loopdev_actions.bind(item, path, number, status)),
                )
            ],
        )

    def _promise(self, path: str, number: int) -> None:
        """Keep a device for the image; LoopError where it is another one's."""
        if number in self._bindings:
            other = f"is bound to {self._bindings[number].backing_file}"
        elif number in self._promised:
            other = f"is to be bound to {self._promised[number]}"
        else:
            self._promised[number] = path
            return
        raise LoopError(
            f"cannot bind {path} to {loop_binding.device_path(number)}: it {other}; leave device "
            "out to take a free one"
        )

    def _plan_bound(
        self, item: Mapping[str, Any], path: str, binding: Binding, image_size: int
    ) -> Plan:
        actions, after = _changes(item, binding, _whole_sectors(image_size))
        if loop_node.is_missing(binding.device):
            sentence = f"make the device node {binding.device}"
            actions.append(Action(sentence, partial(loop_node.make, binding.device)))
        if self._lacks_name(binding):
            sentence = f"have udev name {binding.device} after {binding.backing_file}"
            actions.append(Action(sentence, partial(loopdev_actions.have_named, binding)))
            after["link"] = loop_link.link_of(binding.backing_file)
        state = loopdev_info.state(binding)
        return Plan(
            before=state,
            after={**state, **after},
            read_back=lambda: loopdev_actions.read_back(item, path, binding.number),
            actions=actions,
        )

    def _plan_absent(
        self, item: Mapping[str, Any], path: str, number: Optional[int], found: List[Binding]
    ) -> Plan:
        """Unbind the devices that were C(found), or leave those in use where that is wanted."""
        if found:
            self._await_udev()
        for binding in found:
            self._refuse_part(path, binding)
        left = self._refuse_or_leave(item, path, found)
        idle = [binding for binding in found if binding not in left]
        for binding in idle:
            del self._bindings[binding.number]
        after = loopdev_info.state(next(iter(left))) if left else loopdev_info.unbound()
        plan = Plan(
            before=loopdev_info.state(found[0]) if found else loopdev_info.unbound(),
            after=after,
            read_back=lambda: {**loopdev_actions.read_back_unbound(path, idle), **after},
            actions=[_unbinding(path, binding) for binding in idle],
            warnings=[*left.values(), *self._warn_of_deleted(path)],
        )
        # Whoever names one of several devices leaves the others, and the unit, alone. What is left
        # keeps it as well: a domain that is saved when the host goes down needs its device again.
        keeps_unit = bool(left) or number is not None
        return self._with_unit(plan, item, path, None if keeps_unit else False)

    def _plan_taken_back(self, item: Mapping[str, Any], path: str, number: Optional[int]) -> Plan:
        """Unbind what this collection has bound, and only that. Where another item is about the
        image, or nothing of ours can be bound to it, there is nothing to do."""
        status = _status_of_file(path)
        if _key(path, status) in self._wanted:
            return _postponed(item, [], False)
        self._wanted[_key(path, status)] = path
        found = [
            binding
            for binding in self._bindings.values()
            if status is not None
            and binding.file == loop_binding.file_id(status)
            and binding.whole
            and number in (None, binding.number)
        ]
        has_unit = self._units.has(path)
        ours = [one for one in found if self._is_ours(path, one)]
        if item["postpone"]:
            plan = _postponed(item, ours, has_unit)
        else:
            plan = self._plan_absent(item, path, number, ours)
        plan.warnings += self._warn_of_idle(path, [one for one in found if one not in ours])
        return plan

    def _warn_of_idle(self, path: str, bindings: List[Binding]) -> List[str]:
        """For devices of the image that are not ours. Those that Xen's own script has made for a
        running guest go by themselves."""
        return [
            f"{path} is bound to {binding.device}, which nothing uses and which may be another "
            f"program's: unbind it if it is not needed (losetup -d {binding.device})"
            for binding in bindings
            if not self._usage.of_device(binding.rdev)
        ]

    def _to_unbind(
        self,
        item: Mapping[str, Any],
        path: str,
        number: Optional[int],
        status: Optional[os.stat_result],
    ) -> List[Binding]:
        """The devices that show the image and, where that is wanted, what was deleted from its
        path; LoopError where only that is there and it is not."""
        file = loop_binding.file_id(status) if status else None
        found = [one for one in self._bindings.values() if one.file == file]
        deleted = [
            one for one in loop_binding.deleted_from(path, self._deleted) if one not in found
        ]
        if deleted and status is None and not item["discard_deleted"]:
            lives_on = loop_binding.lives_on(path, deleted[0].device)
            raise LoopError(f"cannot unbind {deleted[0].device}: {lives_on}")
        wanted = found + deleted if item["discard_deleted"] else found
        return [one for one in wanted if number in (None, one.number)]

    def _warn_of_deleted(self, path: str, bound: Optional[Binding] = None) -> List[str]:
        """For the image at C(path) and its device, if it has one."""
        return [
            f"another image was deleted from {path} and lives on in {binding.device}"
            for binding in loop_binding.deleted_from(path, self._deleted)
            if binding != bound and binding.number in self._bindings
        ]

    def _lacks_name(self, binding: Binding) -> bool:
        """Whether udev would name the device if it looked at it again: it has not done that since
        it has the rule, or since the image has its present name."""
        return (
            loop_binding.verified_link(binding) is None
            and not binding.deleted
            and loop_link.SAFE_PATH.fullmatch(binding.backing_file) is not None
            and self._udev_rule.names_devices()
        )

    def _await_udev(self) -> None:
        """Let udev, once, finish with devices that it looks at because they were bound just now.

        It has them open for as long, which makes it a user like any other.
        """
        if not self._udev_awaited:
            loopdev_actions.settle_udev()
        self._udev_awaited = True

    def _refuse_or_leave(
        self, item: Mapping[str, Any], path: str, bindings: List[Binding]
    ) -> Dict[Binding, str]:
        """Those of the devices that are in use and are to be left, with the warning that says so;
        LoopError where they are not."""
        named = self._usage.naming(path, item["named_in"]) if bindings else []
        if named:
            return dict.fromkeys(bindings, _named(path, bindings, named))
        left = {}
        for binding in bindings:
            users = self._users(item, binding)
            if users and item["in_use"] == "fail":
                raise loopdev_actions.in_use(path, binding, users)
            if users:
                left[binding] = (
                    f"{path} is to have no loop device any more, but {binding.device} is in use "
                    f"({users}) and stays bound; once that has ended, run again, or unbind it "
                    "yourself if no disk of the plan has this image (xen_loopdev with state: "
                    "absent)"
                )
        return left

    def _users(self, item: Mapping[str, Any], binding: Binding) -> str:
        """Who uses the device, but for those that an earlier task, in check mode as well, would
        have taken away; empty if nobody does."""

        def leaves(user: User) -> bool:
            return (user.domain, user.xenstore_key) in self._emptied

        return join(self._usage.of_device(binding.rdev, leaves))

    def _use_of(self, binding: Binding) -> str:
        """What an error says of who uses the device."""
        return join(self._usage.of_device(binding.rdev)) or "not in use"

    def _refuse_part(self, path: str, binding: Binding) -> None:
        if not binding.whole:
            raise LoopError(
                f"{path} is bound to {binding.device} ({self._use_of(binding)}) with offset "
                f"{binding.offset} and size limit {binding.size_limit}: another program made that "
                "for a purpose of its own; unbind it yourself if it is not needed (losetup -d "
                f"{binding.device})"
            )


def _unbinding(path: str, binding: Binding) -> Action:
    sentence = f"unbind {binding.device} from {path}"
    return Action(sentence, partial(loopdev_actions.unbind, path, binding))


def _named(path: str, bindings: Iterable[Binding], configs: Iterable[User]) -> str:
    """The warning of an image that stays bound because a domain may be started from a config."""
    devices = ", ".join(binding.device for binding in bindings)
    return (
        f"{path} stays bound to {devices}, although this play does not need it: "
        f"{join(configs)}; take the disk out of that config first"
    )


def _wanted_number(device: Optional[str]) -> Optional[int]:
    if device is None:
        return None
    number = loop_binding.number_of(device)
    if number is None:
        raise LoopError(f"device {device!r} is no loop device: write /dev/loop0, /dev/loop1 …")
    return number


def _postponed(item: Mapping[str, Any], ours: List[Binding], has_unit: bool) -> Plan:
    """Leave the image as it is, and tell whether there is something of ours to take back."""
    state = loopdev_info.state(ours[0]) if ours else loopdev_info.unbound()
    state["persistent"] = has_unit
    if item["postpone"]:
        state["postponed"] = has_unit or bool(ours)
    return Plan(state, state, lambda: state)


def _key(path: str, status: Optional[os.stat_result]) -> object:
    """What tells the image from others, also where it has other names."""
    return loop_binding.file_id(status) if status else path


def _status_of_file(path: str) -> Optional[os.stat_result]:
    """The status of the regular file at C(path), which alone can be bound; None without one."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    except ValueError:
        raise _no_file_name(path) from None
    return status if stat.S_ISREG(status.st_mode) else None


def _status_of_image(path: str) -> Optional[os.stat_result]:
    """The image's status, or None where there is none; LoopError where it is no image."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LoopError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise _no_file_name(path) from None
    if stat.S_ISBLK(status.st_mode):
        raise LoopError(f"{path} is a block device: it needs no loop device, use it as the target")
    if not stat.S_ISREG(status.st_mode):
        raise LoopError(f"{path} is not a regular file")
    return status


def _no_file_name(path: str) -> LoopError:
    return LoopError(f"path {path!r} has characters that no file name has")


def _whole_sectors(size: int) -> int:
    """The bytes of an image that its loop device shows."""
    return size // SECTOR * SECTOR


def _difference(
    item: Mapping[str, Any], path: str, number: Optional[int], binding: Binding
) -> Optional[str]:
    """What of the binding is not as wanted and only another binding would change."""
    if number not in (None, binding.number):
        return f"and not to {item['device']}"
    if binding.sector_size != item["sector_size"]:
        return f"with sectors of {binding.sector_size} bytes, not {item['sector_size']}"
    if binding.read_only and _writable(path):
        return "read-only, although the image is writable"
    return None


def _writable(path: str) -> bool:
    return os.access(path, os.W_OK)


def _changes(item: Mapping[str, Any], binding: Binding, size: int) -> Tuple[List[Action], State]:
    """What a bound device lacks, and the state that this leads to. C(size): bytes."""
    actions: List[Action] = []
    after: State = {}
    device, direct_io = binding.device, item["direct_io"]
    if binding.size != size:
        sentence = f"set the capacity of {device} from {binding.size} to {size} bytes"
        actions.append(Action(sentence, lambda: loop_control.refresh_capacity(binding)))
        after["size"] = size
    if direct_io is not None and direct_io != binding.direct_io:
        sentence = f"turn direct I/O of {device} {'on' if direct_io else 'off'}"
        actions.append(Action(sentence, lambda: loop_control.set_direct_io(binding, direct_io)))
        after["direct_io"] = direct_io
    if binding.autoclear:
        sentence = f"keep {device} bound when its last user closes it"
        actions.append(Action(sentence, lambda: loop_control.keep_bound(binding)))
    return actions, after
