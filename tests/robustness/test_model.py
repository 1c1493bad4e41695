# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random sequences of calls and of what happens to images otherwise, beside a small model of both.

Each call is made in check mode first, which must say what the run then does and touch nothing.
XEN_BLOCKDEV_SEQUENCES in the environment is a number of sequences, which are new ones then.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.tests.exhaustive import EXHAUSTIVE
from ansible_collections.xen.blockdev.tests.robustness import harness
from ansible_collections.xen.blockdev.tests.robustness.harness import Outcome
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

MIB = 2**20
FORMATTED = 2 * MIB
SIZES = (MIB, MIB + 512, FORMATTED, 3 * MIB, 4 * MIB)
SEQUENCES = int(os.environ.get("XEN_BLOCKDEV_SEQUENCES", "0"))
SETTINGS = settings(
    max_examples=SEQUENCES or (25 if EXHAUSTIVE else 8),
    stateful_step_count=25,
    derandomize=not SEQUENCES,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Device:
    """A loop device, as the model has it."""

    size: int
    name: str
    """What the image was called when it was bound."""
    marked: bool = False
    """Whether a module bound it."""
    autoclear: bool = False
    """Whether it goes with its last user."""
    read_only: bool = False
    mounted: Optional[Path] = None
    holder: Optional[subprocess.Popen] = None

    @property
    def used(self) -> bool:
        return bool(self.mounted or self.holder)


@dataclass(eq=False)
class Image:
    """A file, as the model has it."""

    size: int
    formatted: bool = False
    holder: Optional[subprocess.Popen] = None
    devices: List[Device] = field(default_factory=list)
    file: Optional[loop_binding.File] = None
    """What it was, once it has been deleted."""

    @property
    def used(self) -> bool:
        return bool(self.holder or self.devices)


class Step(NamedTuple):
    """What the model says of one item: the first words of the actions, and their effect."""

    actions: Sequence[str] = ()
    effect: Callable[[], None] = lambda: None


class RefusedError(Exception):
    """The model says that an item is an error."""


NAMES = "abc"


def disk_of(names: st.SearchStrategy) -> st.SearchStrategy:
    """An item of xen_raw_disk."""
    sizes = st.sampled_from(SIZES)
    options = {"shrink": st.booleans(), "allocation": st.sampled_from(["sparse", "full"])}
    return st.one_of(
        st.fixed_dictionaries({"path": names, "size": sizes}, optional=options),
        st.fixed_dictionaries({"path": names, "size": sizes, "shrink": st.just(True)}),
        st.fixed_dictionaries(
            {"path": names, "source": st.just("template")}, optional={"size": sizes}
        ),
        st.fixed_dictionaries({"path": names, "state": st.just("absent")}),
    )


def binding_of(names: st.SearchStrategy) -> st.SearchStrategy:
    """An item of xen_loopdev."""
    options = {"discard_deleted": st.booleans()}
    return st.one_of(
        st.fixed_dictionaries({"path": names}),
        st.fixed_dictionaries({"path": names, "state": st.just("absent")}, optional=options),
    )


class Machine(RuleBasedStateMachine):
    """The images of one folder, their loop devices, and the model of both."""

    def __init__(self, place: Path, template: Path) -> None:
        super().__init__()
        harness.count("random sequences")
        self.folder = place / f"sequence{harness.COUNTS['random sequences']}"
        self.folder.mkdir()
        self.mount_points = place.parent / f"mounts-{self.folder.name}"
        self.mount_points.mkdir()
        self.template = template
        self.images: Dict[str, Image] = {}
        self.leaving: List[str] = []
        """What the call that is made takes away."""
        self.deleted: List[Tuple[str, Image]] = []
        """What was deleted behind our back and lives on in loop devices, with the names it had."""
        for name in NAMES[:2]:
            shutil.copy(template, self.folder / name)
            self.images[name] = Image(FORMATTED, formatted=True)

    def teardown(self) -> None:
        for image in self.all_images():
            for user in (image, *image.devices):
                if user.holder:
                    end(user.holder)
            for device in image.devices:
                if device.mounted:
                    subprocess.run(["umount", str(device.mounted)], check=False)
        harness.unbind_all(self.folder)

    # ---- the modules ----

    @rule(data=st.data())
    def disks(self, data: st.DataObject) -> None:
        self.call("xen_raw_disk", "disks", self.some(data, disk_of), self.disk)

    @rule(data=st.data())
    def devices(self, data: st.DataObject) -> None:
        self.call("xen_loopdev", "devices", self.some(data, binding_of), self.binding)

    @precondition(lambda self: self.images)
    @rule(data=st.data())
    def device(self, data: st.DataObject) -> None:
        """One of an image that is there, as most calls are."""
        item = {"path": self.choose(data)[0]}
        if data.draw(st.integers(0, 3)) == 0:
            item["state"] = "absent"
        self.call("xen_loopdev", "devices", [item], self.binding)

    @precondition(lambda self: self.images)
    @rule(data=st.data())
    def grow_what_is_bound(self, data: st.DataObject) -> None:
        """What a loop device follows only when it is told to."""
        name, image = self.choose(data)
        larger = [size for size in SIZES if size > image.size]
        if image.devices and larger:
            item = {"path": name, "size": data.draw(st.sampled_from(larger))}
            self.call("xen_raw_disk", "disks", [item], self.disk)
            self.call("xen_loopdev", "devices", [{"path": name}], self.binding)

    def some(
        self,
        data: st.DataObject,
        item_of: Callable[[st.SearchStrategy], st.SearchStrategy],
    ) -> List[Dict[str, Any]]:
        """Items, more of them of images that are there."""
        items = item_of(st.sampled_from([*sorted(self.images), *sorted(self.images), *NAMES]))
        return data.draw(st.lists(items, min_size=1, max_size=3, unique_by=lambda i: i["path"]))

    def call(
        self,
        module: str,
        key: str,
        items: Sequence[Dict[str, Any]],
        model: Callable[[Dict[str, Any]], Step],
    ) -> None:
        """Make a call in check mode, then for real, then in check mode again."""
        harness.count("steps of random sequences")
        wanted = []
        refused = False
        self.leaving = [item["path"] for item in items if item.get("state") == "absent"]
        for item in items:
            try:
                wanted.append(model(item))
            except RefusedError:
                refused = True
        options = {key: [{**item, **self.paths(item)} for item in items]}
        before = self.machine()
        check = harness.call(module, check=True, **options)
        assert self.machine() == before, "check mode touched something"
        real = harness.call(module, **options)
        for outcome in (check, real):
            assert outcome.result is not None, outcome.said
            assert outcome.failed == refused, outcome.said
        if refused:
            assert self.machine() == before, "what was refused touched something"
            assert check.message == real.message
            return
        for outcome in (check, real):
            assert outcome.changed == any(step.actions for step in wanted), outcome.said
        assert shown(check, key) == shown(real, key)
        for item, step in zip((real.result or {})[key], wanted):
            assert [sentence.split()[0] for sentence in item["actions"]] == list(step.actions)
            assert item["changed"] == bool(step.actions)
            step.effect()
        again = harness.call(module, check=True, **options)
        assert (again.failed, again.changed) == (False, False), again.said

    def paths(self, item: Dict[str, Any]) -> Dict[str, str]:
        paths = {"path": str(self.folder / item["path"])}
        return {**paths, "source": str(self.template)} if "source" in item else paths

    # ---- what is to be expected of them ----

    def disk(self, item: Dict[str, Any]) -> Step:
        name, size = item["path"], item.get("size")
        image = self.images.get(name)
        if item.get("state") == "absent":
            if image is None:
                return Step()
            refuse(image.used)
            return Step(["delete"], lambda: forget(self.images, name))
        if image is None:
            refuse(any(name == old for old, _image in self.deleted))
            refuse(self.is_bound_elsewhere(name))
            copied = "source" in item
            refuse(copied and size is not None and size < FORMATTED)
            new = Image(size or FORMATTED, formatted=copied)
            return Step(["copy" if copied else "create"], lambda: self.images.update({name: new}))
        if size is None or size == image.size:
            return Step()
        if size > image.size:
            return Step(["grow"], lambda: vars(image).update(size=size))
        refuse(not item.get("shrink") or image.used)
        return Step(["shrink"], lambda: vars(image).update(size=size, formatted=False))

    def binding(self, item: Dict[str, Any]) -> Step:
        image = self.images.get(item["path"])
        if item.get("state") == "absent":
            return self.unbinding(item, image)
        if image is None or len(image.devices) > 1:
            raise RefusedError
        if not image.devices:
            refuse(self.is_bound_elsewhere(item["path"]))
            device = Device(image.size, item["path"], marked=True)
            return Step(["bind"], lambda: image.devices.append(device))
        device = image.devices[0]
        refuse(device.read_only)
        actions = ["set"] if device.size != image.size else []
        actions += ["keep"] if device.autoclear else []
        return Step(actions, lambda: vars(device).update(size=image.size, autoclear=False))

    def unbinding(self, item: Dict[str, Any], image: Optional[Image]) -> Step:
        deleted = [one for name, one in self.deleted if name == item["path"]]
        discarded = bool(item.get("discard_deleted"))
        refuse(bool(deleted) and image is None and not discarded)
        unbound = ([image] if image else []) + (deleted if discarded else [])
        devices = [device for one in unbound for device in one.devices]
        refuse(any(device.used for device in devices))

        def effect() -> None:
            for one in unbound:
                one.devices.clear()
            self.bury()

        return Step(["unbind"] * len(devices), effect)

    def is_bound_elsewhere(self, name: str) -> bool:
        """Whether another image was bound by this name, which it had then, and stays so. Of a long
        path the kernel keeps too little to tell."""
        size = len(os.fsencode(self.folder / name))
        others = [one for old, one in self.images.items() if old not in (name, *self.leaving)]
        return any(
            device.name == name
            and size + device.marked * len(loop_binding.MARK) < loop_binding.NAME_BYTES
            for one in others
            for device in one.devices
        )

    # ---- what happens behind our back ----

    @precondition(lambda self: self.images)
    @rule(data=st.data(), new=st.sampled_from(NAMES))
    def rename(self, data: st.DataObject, new: str) -> None:
        name, _image = self.choose(data)
        if new not in self.images:
            harness.count("steps of random sequences")
            os.rename(self.folder / name, self.folder / new)
            self.images[new] = self.images.pop(name)
            self.follow(data, data.draw(st.sampled_from([name, new])))

    @precondition(lambda self: self.images)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        name, image = self.choose(data)
        harness.count("steps of random sequences")
        image.file = loop_binding.file_id((self.folder / name).stat())
        os.unlink(self.folder / name)
        del self.images[name]
        self.deleted.append((name, image))
        self.bury()
        self.follow(data, name)

    @precondition(lambda self: self.images)
    @rule(data=st.data())
    def bind_by_losetup(self, data: st.DataObject) -> None:
        name, image = self.choose(data)
        if len(image.devices) < 2:
            harness.count("steps of random sequences")
            run("losetup", "--find", str(self.folder / name))
            image.devices.append(Device(image.size, name))
            self.follow(data, name)

    @precondition(lambda self: self.lone_devices(used=True))
    @rule(data=st.data())
    def detach_by_losetup(self, data: st.DataObject) -> None:
        """Of a device in use the kernel says that it is done, and does it later."""
        harness.count("steps of random sequences")
        image = data.draw(st.sampled_from(self.lone_devices(used=True)))
        run("losetup", "--detach", self.device_of(image))
        image.devices[0].autoclear = True
        self.follow(data, self.name_of(image))

    @precondition(lambda self: self.images)
    @rule(data=st.data())
    def hold_image(self, data: st.DataObject) -> None:
        name, image = self.choose(data)
        if not image.holder:
            harness.count("steps of random sequences")
            image.holder = holder(str(self.folder / name))
            self.follow(data, name)

    @precondition(lambda self: self.lone_devices(used=False))
    @rule(data=st.data())
    def hold_device(self, data: st.DataObject) -> None:
        harness.count("steps of random sequences")
        image = data.draw(st.sampled_from(self.lone_devices(used=False)))
        image.devices[0].holder = holder(self.device_of(image))
        self.follow(data, self.name_of(image))

    @precondition(lambda self: self.holding())
    @rule(data=st.data())
    def let_go(self, data: st.DataObject) -> None:
        harness.count("steps of random sequences")
        user = data.draw(st.sampled_from(self.holding()))
        end(user.holder)
        user.holder = None
        self.clear()

    @precondition(lambda self: any(mountable(one) for one in self.images.values()))
    @rule(data=st.data())
    def mount(self, data: st.DataObject) -> None:
        mountables = sorted(name for name, image in self.images.items() if mountable(image))
        name = data.draw(st.sampled_from(mountables))
        image = self.images[name]
        harness.count("steps of random sequences")
        mount_point = self.mount_points / f"{len(list(self.mount_points.iterdir()))}"
        mount_point.mkdir()
        if image.devices:
            run("mount", "-o", "ro", self.device_of(image), str(mount_point))
        else:
            run("mount", "-o", "ro,loop", str(self.folder / name), str(mount_point))
            image.devices.append(Device(image.size, name, autoclear=True, read_only=True))
        image.devices[0].mounted = mount_point
        self.follow(data, name)

    @precondition(lambda self: self.mounted())
    @rule(data=st.data())
    def unmount(self, data: st.DataObject) -> None:
        harness.count("steps of random sequences")
        device = data.draw(st.sampled_from(self.mounted()))
        run("umount", str(device.mounted))
        device.mounted = None
        self.clear()

    def follow(self, data: st.DataObject, name: str) -> None:
        """A call for the image to which something has happened."""
        if data.draw(st.booleans()):
            item = data.draw(disk_of(st.just(name)))
            self.call("xen_raw_disk", "disks", [item], self.disk)
        else:
            item = data.draw(binding_of(st.just(name)))
            self.call("xen_loopdev", "devices", [item], self.binding)

    def choose(self, data: st.DataObject) -> Tuple[str, Image]:
        name = data.draw(st.sampled_from(sorted(self.images)))
        return name, self.images[name]

    def all_images(self) -> List[Image]:
        return [*self.images.values(), *(image for _name, image in self.deleted)]

    def name_of(self, image: Image) -> str:
        """The name that an image has, or had when it was deleted."""
        named = [*self.images.items(), *self.deleted]
        return next(name for name, one in named if one is image)

    def lone_devices(self, used: bool) -> List[Image]:
        """The images of whose device we can tell which it is."""
        images = [image for image in self.all_images() if len(image.devices) == 1]
        return [image for image in images if image.devices[0].used == used]

    def holding(self) -> List[Any]:
        users = [user for image in self.all_images() for user in (image, *image.devices)]
        return [user for user in users if user.holder]

    def mounted(self) -> List[Device]:
        return [one for image in self.all_images() for one in image.devices if one.mounted]

    def clear(self) -> None:
        """What the kernel does with devices that are to go with their last user."""
        for image in self.all_images():
            image.devices = [one for one in image.devices if one.used or not one.autoclear]
        self.bury()
        until = time.monotonic() + 5
        while self.found() != self.expected() and time.monotonic() < until:
            time.sleep(0.01)

    def bury(self) -> None:
        """Forget what was deleted and is bound no more."""
        for _name, image in self.deleted:
            if image.holder and not image.devices:
                end(image.holder)
        self.deleted = [(name, image) for name, image in self.deleted if image.devices]

    # ---- what is there ----

    @invariant()
    def the_machine_is_as_the_model(self) -> None:
        assert self.found() == self.expected()

    def found(self) -> Tuple[Dict[str, int], Counter]:
        files = {entry.name: entry.stat().st_size for entry in os.scandir(self.folder)}
        bound = Counter(
            (
                os.path.basename(one.backing_file),
                one.deleted,
                one.size,
                one.autoclear,
                one.read_only,
            )
            for one in harness.bindings(self.folder)
        )
        return files, bound

    def expected(self) -> Tuple[Dict[str, int], Counter]:
        files = {name: image.size for name, image in self.images.items()}
        named = [(name, False, image) for name, image in self.images.items()]
        named += [(name, True, image) for name, image in self.deleted]
        bound = Counter(
            (name, deleted, device.size, device.autoclear, device.read_only)
            for name, deleted, image in named
            for device in image.devices
        )
        return files, bound

    def machine(self) -> Any:
        """All that a call could change, apart from when a file was last read."""
        files = [
            (entry.name, status.st_ino, status.st_size, status.st_blocks, status.st_mtime_ns)
            for entry in os.scandir(self.folder)
            for status in [entry.stat()]
        ]
        return sorted(files), harness.bindings(self.folder)

    def device_of(self, image: Image) -> str:
        """The first loop device of an image."""
        is_there = image in self.images.values()
        file = (
            loop_binding.file_id((self.folder / self.name_of(image)).stat())
            if is_there
            else image.file
        )
        return next(one.device for one in harness.bindings(self.folder) if one.file == file)


def refuse(refused: bool) -> None:
    if refused:
        raise RefusedError


def forget(images: Dict[str, Image], name: str) -> None:
    del images[name]


def mountable(image: Image) -> bool:
    """Two devices of one image would not be mounted by anybody in his right mind."""
    return image.formatted and len(image.devices) <= 1 and not any(d.used for d in image.devices)


def shown(outcome: Outcome, key: str) -> List[Dict[str, Any]]:
    """What check mode can know of the items."""
    keys = ("path", "size", "changed", "actions")
    return [{name: item[name] for name in keys} for item in (outcome.result or {})[key]]


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def holder(path: str) -> subprocess.Popen:
    """A process that has a file open."""
    with open(path, "rb") as file:
        return subprocess.Popen(["sleep", "1000"], stdin=file)


def end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()


def test_random_sequences(folder: Path, tmp_path: Path) -> None:
    template = tmp_path / "template"
    with template.open("wb") as file:
        file.truncate(FORMATTED)
    run("mkfs.ext4", "-q", "-F", "-O", "^has_journal", str(template))
    run_state_machine_as_test(lambda: Machine(folder, template), settings=SETTINGS)
