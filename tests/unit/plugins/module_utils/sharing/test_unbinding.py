# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which loop devices may be unbound, and unbinding one that is in use for a moment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.loop import control as loop_control
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding, LoopError
from ansible_collections.xen.blockdev.plugins.module_utils.loop.boot_unit import BootUnits
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import unbinding
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.unbinding import Unbinder
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import User
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.loopdevplans import (
    MOUNT,
    WEB,
    KnownUsage,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.loopkernel import BINDING


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> List[int]:
    """One entry each time that udev is waited for."""
    settled: List[int] = []
    monkeypatch.setattr(unbinding, "settle_udev", lambda: settled.append(1))
    monkeypatch.setattr(unbinding, "GLANCES_SECONDS", (0, 0))
    return settled


def unbinder(users: Dict[int, List[User]], **pending: Any) -> Unbinder:
    usage = KnownUsage([BINDING], users)
    return Unbinder(usage, BootUnits("/nowhere"), Pending(**pending))


def test_users_are_named_and_udev_is_awaited_once(settled: List[int]) -> None:
    decides = unbinder({5: [MOUNT, WEB]})
    assert decides.users(BINDING) == "mounted on /mnt, attached to domain web as xvdb"
    assert decides.users(replace(BINDING, number=6, rdev=BINDING.rdev + 1)) == ""
    assert len(settled) == 1


def test_a_disk_that_an_earlier_task_detaches_is_no_user(settled: List[int]) -> None:
    slots = frozenset({("web", "xvdb")})
    assert unbinder({5: [WEB]}, slots=slots).users(BINDING) == ""
    assert unbinder({5: [MOUNT, WEB]}, slots=slots).users(BINDING) == "mounted on /mnt"


def test_ours_has_the_mark_or_a_boot_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    decides = unbinder({})
    assert decides.is_ours("/srv/a.raw", replace(BINDING, marked=True))
    assert not decides.is_ours("/srv/a.raw", BINDING)
    monkeypatch.setattr(BootUnits, "has", lambda _self, path: path == "/srv/a.raw")
    assert decides.is_ours("/srv/a.raw", BINDING)
    assert not decides.is_ours("/srv/b.raw", BINDING)


class Device:
    """A loop device that is in use for the first calls."""

    def __init__(self, in_use: int) -> None:
        self.in_use = in_use

    def unbind(self, _binding: Binding) -> None:
        if self.in_use:
            self.in_use -= 1
            raise loop_control.InUseError("/dev/loop5 is in use")


def test_unbinding_waits_for_udev(monkeypatch: pytest.MonkeyPatch, settled: List[int]) -> None:
    monkeypatch.setattr(loop_control, "unbind", Device(in_use=2).unbind)
    unbinding.unbind("/srv/a.raw", BINDING)
    assert len(settled) == 2


@pytest.mark.parametrize(
    ("users", "words"), [([MOUNT], "mounted on /mnt"), ([], "/dev/loop5 is in use")]
)
def test_a_device_that_stays_in_use_is_an_error(
    monkeypatch: pytest.MonkeyPatch, settled: List[int], users: List[User], words: str
) -> None:
    monkeypatch.setattr(loop_control, "unbind", Device(in_use=3).unbind)
    monkeypatch.setattr(unbinding, "Usage", lambda: KnownUsage([], {5: users}))
    with pytest.raises(LoopError) as caught:
        unbinding.unbind("/srv/a.raw", BINDING)
    assert str(caught.value) == (
        f"cannot unbind /dev/loop5 (/srv/a.raw): {words}; release it first "
        "(detach, unmount, swapoff or close it)"
    )
