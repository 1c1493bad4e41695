# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any, Dict

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import (
    Pending,
    PendingError,
)
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import usage
from ansible_collections.xen.blockdev.plugins.module_utils.units import SizeError

A, B, C = ("/srv/a.raw", "/srv/b.raw", "/srv/c.raw")
WEB: Dict[str, Any] = {"domain": "web", "vdev": "xvda"}


def read(**lists: Any) -> Pending:
    return Pending.read(lists, True)


def test_without_check_mode_nothing_is_pending() -> None:
    option = {"disks": [{"path": A, "size": 4096}], "vbds": [WEB]}
    assert Pending.read(option, False) == Pending()
    assert Pending.read(None, False) == Pending()
    assert Pending.read(None, True) == Pending.read({"disks": None}, True) == Pending(True)


def test_images() -> None:
    disks = [{"path": A, "size": 4096, "allocated": 0}, {"path": B}, {"path": C, "size": None}]
    assert read(disks=disks).sizes == {A: 4096, B: None}
    assert read(disks=[{"path": A, "size": "4KiB"}]).sizes == {A: 4096}


def test_volumes_are_like_images() -> None:
    volumes = [{"path": "/dev/vg0/a", "size": 4096}, {"path": "/dev/vg0/b", "size": None}]
    pending = read(volumes=volumes, disks=[{"path": A}])
    assert pending.sizes == {A: None, "/dev/vg0/a": 4096}


def test_loop_devices() -> None:
    bound = {"path": A, "device": None, "size": 512}
    pending = read(devices=[bound, {"path": B}, {"path": C, "device": None, "size": None}])
    assert (pending.bound, pending.unbound) == ({A, B}, {C})


def test_configs_and_domains() -> None:
    configs = [{"path": "/etc/xen/a.cfg", "rendered": True}, {"path": "/b"}]
    assert read(configs=[*configs, {"path": "/c", "rendered": False}]).configs == {
        "/etc/xen/a.cfg",
        "/b",
    }
    domains = [{"name": "a", "running": True}, {"name": "b"}, {"name": "c", "running": False}]
    assert read(domains=domains).domains == {"a", "b"}


def test_slots() -> None:
    db = [{"domain": "db", "vdev": "51728"}, {"domain": "db", "vdev": 51744}]
    absent = {"domain": "db", "target": A, "vdev": None, "detached": db}
    down = {"domain": "old", "vdev": None, "running": False}
    pending = read(vbds=[WEB, absent, down, {**WEB, "domain": "app", "detached": None}])
    assert usage.emptied(pending) == {
        ("web", 51712),
        ("db", 51728),
        ("db", 51744),
        ("app", 51712),
    }


@pytest.mark.parametrize("name", ["disks", "devices", "configs", "domains", "vbds"])
def test_what_does_not_change_is_not_pending(name: str) -> None:
    same = {"path": A, "name": "web", **WEB, "changed": False}
    assert read(**{name: [same]}) == Pending(True)
    assert read(**{name: [{**same, "changed": True}]}) != Pending(True)


@pytest.mark.parametrize(
    ("name", "key", "entry"),
    [
        ("disks", "path", {"name": "a"}),
        ("devices", "path", {"path": 7}),
        ("configs", "path", {}),
        ("domains", "name", {"path": A, "changed": False}),
        ("vbds", "domain", {"vdev": "xvda"}),
    ],
)
@pytest.mark.parametrize("check_mode", [True, False])
def test_what_no_module_returns(name: str, key: str, entry: Any, check_mode: bool) -> None:
    good = {"path": A, "name": "web", **WEB}
    with pytest.raises(PendingError) as error:
        Pending.read({name: [good, entry]}, check_mode)
    assert str(error.value) == (
        f"pending.{name}[1] has no {key}: give the entry as the module has returned it"
    )


def test_what_no_module_returns_as_detached() -> None:
    with pytest.raises(PendingError, match=r"pending\.vbds\[0\]\.detached\[0\] has no domain"):
        read(vbds=[{**WEB, "detached": [{"vdev": "xvda"}]}])


def test_a_size_that_is_none() -> None:
    with pytest.raises(SizeError, match=f"pending: {A}: 'big' is not a size"):
        read(disks=[{"path": A, "size": "big"}])


def test_a_link_is_there_once_its_image_is_bound() -> None:
    created, bound = read(disks=[{"path": A}]), read(devices=[{"path": A}])
    link = loop_link.link_of(A)
    assert loop_link.is_announced(A, created) and loop_link.is_announced(link, bound)
    assert not loop_link.is_announced(link, created)
    assert not loop_link.is_announced(A, bound)
    assert not loop_link.is_announced(loop_link.link_of(B), bound)
