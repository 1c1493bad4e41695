# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans for real images that are run, with made-up loop devices."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import (
    PartlyDoneError,
    Plan,
    State,
    UnexpectedStateError,
)
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import control as loop_control
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding, LoopError
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev import LoopDevices
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_item import LoopdevItem
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import unbinding
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.imageutil import bound
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.loopdevplans import (
    UNBOUND,
    devices,
    item,
    make,
    plain_host,
)


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain_host(tmp_path, monkeypatch)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return make(tmp_path / "a.raw")


class Kernel:
    """The loop devices, as they become."""

    def __init__(self, *bindings: Binding) -> None:
        self.bindings = {one.number: one for one in bindings}
        self.next: Optional[Binding] = None
        self.in_use = 0

    def bind(self, path: str, *_wanted: Any) -> int:
        assert self.next
        self.bindings[self.next.number] = self.next
        return self.next.number

    def unbind(self, binding: Binding) -> None:
        if self.in_use:
            self.in_use -= 1
            raise loop_control.InUseError("it is in use")
        del self.bindings[binding.number]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(loop_control, "bind", kernel.bind)
    monkeypatch.setattr(loop_control, "unbind", kernel.unbind)
    monkeypatch.setattr(loop_binding, "read", kernel.bindings.get)
    monkeypatch.setattr(loop_binding, "scan", lambda: list(kernel.bindings.values()))
    return kernel


def run(plan: Plan) -> None:
    for action in plan.actions:
        action.run()


def read_back(resource: LoopDevices, plan: Plan) -> State:
    resource.settle()
    return plan.read_back()


def run_and_read_back(resource: LoopDevices, wanted: LoopdevItem) -> State:
    plan = resource.plan(wanted)
    run(plan)
    return read_back(resource, plan)


def test_a_new_binding_is_read_back(image: Path, kernel: Kernel) -> None:
    kernel.next = bound(image, 6, size=512)
    state = run_and_read_back(devices(), item(image))
    assert (state["device"], state["minor"], state["size"]) == ("/dev/loop6", 6, 512)


def test_a_new_binding_is_read_back_beside_that_of_another_program(
    image: Path, kernel: Kernel
) -> None:
    kernel.bindings[4] = bound(image, 4, marked=False)
    kernel.next = bound(image, 6)
    assert run_and_read_back(devices(), item(image))["device"] == "/dev/loop6"


def test_an_image_that_could_not_be_bound_again_is_reported_as_unbound(
    image: Path, kernel: Kernel
) -> None:
    kernel.bindings[3] = bound(image)
    resource = devices(bound(image))
    plan = resource.plan(item(image, sector_size=4096))
    unbind, _bind = plan.actions
    unbind.run()
    with pytest.raises(UnexpectedStateError, match="not bound to /dev/loop3 any more") as caught:
        read_back(resource, plan)
    assert caught.value.state == UNBOUND


def test_bind_is_asked_for_what_is_wanted(
    image: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: List[Any] = []
    kernel.next = bound(image, 7, flags=loop_binding.DIRECT_IO, sector_size=4096)
    monkeypatch.setattr(loop_control, "bind", lambda *of: asked.append(of) or kernel.bind(*of))
    run(devices().plan(item(image, device="/dev/loop7", direct_io=True, sector_size=4096)))
    assert asked == [(str(image), loop_binding.file_id(image.stat()), 4096, True, 7)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flags": 0}, "its file system does not allow direct I/O with sectors of 512 bytes"),
        ({"sector_size": 4096}, "the kernel gave /dev/loop6 sectors of 4096 bytes, not 512"),
    ],
)
def test_a_binding_of_another_kind_is_undone(
    image: Path, kernel: Kernel, change: Dict[str, int], message: str
) -> None:
    kernel.next = replace(bound(image, 6, flags=loop_binding.DIRECT_IO), **change)
    with pytest.raises(LoopError, match=re.escape(message)):
        run(devices().plan(item(image, direct_io=True)))
    assert not kernel.bindings


def test_a_binding_of_another_kind_that_stays(
    image: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unbinding, "GLANCES_SECONDS", (0,))
    kernel.next = bound(image, 6)
    kernel.in_use = 2
    with pytest.raises(PartlyDoneError, match=r"direct I/O .* unbinding it again failed") as caught:
        run(devices().plan(item(image, direct_io=True)))
    assert caught.value.state["device"] == "/dev/loop6"
    assert caught.value.done == f"bind {image} to /dev/loop6"


def test_a_new_binding_that_is_gone_at_once(
    image: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_control, "bind", lambda *_: 6)
    with pytest.raises(LoopError, match="another program unbound /dev/loop6; run again"):
        run(devices().plan(item(image, sector_size=4096)))


def test_a_device_that_another_program_takes_first(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(*_arguments: Any) -> int:
        raise loop_control.DeviceTakenError("/dev/loop7 is already bound")

    monkeypatch.setattr(loop_control, "bind", taken)
    with pytest.raises(LoopError, match=r"cannot bind .*a\.raw: /dev/loop7 is already bound; run"):
        run(devices().plan(item(image, device="/dev/loop7")))


@pytest.mark.parametrize("change", [None, {"file": (1, 2)}])
def test_a_binding_that_is_another_one_when_read_back(
    image: Path, kernel: Kernel, change: Optional[Dict[str, Any]]
) -> None:
    resource = devices(bound(image))
    plan = resource.plan(item(image))
    if change:
        kernel.bindings[3] = bound(image, **change)
    message = r"a\.raw is not bound to /dev/loop3 any more; run again"
    with pytest.raises(UnexpectedStateError, match=message):
        read_back(resource, plan)


def test_direct_io_that_did_not_come_is_an_error(image: Path, kernel: Kernel) -> None:
    kernel.bindings[3] = bound(image)
    resource = devices(bound(image))
    plan = resource.plan(item(image, direct_io=True))
    with pytest.raises(LoopError, match="does not allow direct I/O"):
        read_back(resource, plan)


def test_direct_io_that_another_program_turned_on_is_an_error(image: Path, kernel: Kernel) -> None:
    kernel.bindings[3] = bound(image, flags=loop_binding.DIRECT_IO)
    resource = devices(bound(image))
    plan = resource.plan(item(image, direct_io=False))
    with pytest.raises(LoopError, match="another program turned on direct I/O for /dev/loop3"):
        read_back(resource, plan)


def test_devices_that_cannot_be_read_again_are_an_error(
    image: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not an image that is reported as unbound."""

    def fail() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    kernel.next = bound(image, 6)
    resource = devices()
    plan = resource.plan(item(image))
    run(plan)
    monkeypatch.setattr(loop_binding, "scan", fail)
    with pytest.raises(OSError, match="Input/output error"):
        resource.settle()
    with pytest.raises(OSError, match="Input/output error"):
        plan.read_back()


def test_unbinding_is_read_back(image: Path, kernel: Kernel) -> None:
    kernel.bindings[3] = bound(image)
    resource = devices(bound(image))
    plan = resource.plan(item(image, state="absent"))
    with pytest.raises(LoopError, match=r"a\.raw is still bound to /dev/loop3; run again"):
        read_back(resource, plan)
    run(plan)
    assert read_back(resource, plan) == UNBOUND
    kernel.bindings[3] = bound(image, file=(1, 2))
    assert read_back(resource, plan) == UNBOUND
