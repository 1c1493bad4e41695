# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop devices of Xen's own script, and those that a killed script has left behind."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Iterator, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.host import locks
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import block_script, unbinding
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Vbd
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.xenutil import binding


@pytest.fixture
def file_vbd(tmp_path: Path) -> Vbd:
    """A disk that the script has bound loop device 5 for."""
    (tmp_path / "a.raw").touch()
    return Vbd(
        domid=1,
        domain="web",
        xenstore_key=51712,
        vdev="xvda",
        target=str(tmp_path / "a.raw"),
        access="rw",
        backendtype="phy",
        script="/etc/xen/scripts/block",
        physical_device=(7, 5),
    )


def test_the_devices_of_the_script(file_vbd: Vbd) -> None:
    assert block_script.devices([file_vbd]) == {os.makedev(7, 5): file_vbd}
    for other in (
        {"target": "/dev/loop5"},
        {"target": file_vbd.target + ".renamed"},
        {"script": "/etc/xen/scripts/block-own"},
        {"physical_device": None},
        {"physical_device": (8, 5)},
        {"backend_domid": 3},
    ):
        assert block_script.devices([replace(file_vbd, **other)]) == {}  # type: ignore[arg-type]


def test_an_image_that_the_script_alone_has_bound(file_vbd: Vbd) -> None:
    scripts = block_script.devices([file_vbd])
    theirs, ours, other = binding(5, 100), binding(6, 100), binding(7, 101)
    assert block_script.has((1, 100), [theirs, other], scripts)
    assert not block_script.has((1, 100), [theirs, ours], scripts)
    assert not block_script.has((1, 101), [theirs, other], scripts)
    assert not block_script.has((1, 102), [theirs, other], scripts)


def test_only_devices_that_were_left_behind_are_unbound(
    file_vbd: Vbd, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbound: List[int] = []
    bindings = [binding(4, 100), binding(5, 100), binding(6, 100), binding(7, 101)]

    @contextmanager
    def unlocked() -> Iterator[None]:
        yield

    monkeypatch.setattr(locks, "loop_devices", unlocked)
    monkeypatch.setattr(xen_state, "attached_devices", lambda: [file_vbd])
    monkeypatch.setattr(loop_binding, "scan", lambda: bindings)
    monkeypatch.setattr(unbinding, "unbind", lambda _path, one: unbound.append(one.number))
    block_script.release((), [])
    assert unbound == []
    block_script.release([(1, 100)], bindings[:1])
    assert unbound == [6]
