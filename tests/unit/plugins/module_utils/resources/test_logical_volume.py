# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""xen_logical_volume from its options to its result, on the stand-in for LVM.

Its groups are full of what others have left there.
"""

from __future__ import annotations

import gzip
import itertools
import os
import stat
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.resources import (
    logical_volume_actions,
    logical_volume_users,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.logical_volume import (
    open_volumes,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.logical_volume_interface import (  # noqa: E501
    INTERFACE,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import User
from ansible_collections.xen.blockdev.plugins.module_utils.volume import lvm as volume_lvm
from ansible_collections.xen.blockdev.plugins.module_utils.volume import names as volume_names
from ansible_collections.xen.blockdev.plugins.module_utils.volume import report as volume_report
from ansible_collections.xen.blockdev.plugins.module_utils.volume.report import Volume
from ansible_collections.xen.blockdev.plugins.module_utils.xen.saved_domains import SavedDisk
from ansible_collections.xen.blockdev.tests.lvm_host import SECRET
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.lvmhost import (
    EXTENT,
    MIB,
    LvmHost,
)

DATA = Path(__file__).parents[3] / "data"

VBD = User("vbd", "attached to domain web as xvdb", "web", 51728)
MOUNT = User("mount", "mounted on /mnt")
HOLDER = User("holder", "held by /dev/mapper/luks")
CREATED = ["fullreport", "lvcreate", "lvrename", "fullreport"]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LvmHost:
    host = LvmHost(tmp_path / "lvm", monkeypatch)
    host.fake.group(pattern=SECRET)
    return host


def content(host: LvmHost, name: str) -> bytes:
    return host.fake.device(name).read_bytes()


def commands(host: LvmHost) -> List[str]:
    return [call[0] for call in host.calls]


def in_use(host: LvmHost, name: str, *users: User) -> None:
    host.users[host.fake.volumes()[name]["minor"]] = list(users)


# ---- new volumes ----


def test_a_new_volume_is_zeroed(host: LvmHost) -> None:
    (entry,) = host.done({"volume": "web-data", "size": "1MiB"})
    assert entry == {
        "volume_group": "vg0",
        "volume": "web-data",
        "path": f"{host.fake.home}/dev/vg0/web-data",
        "size": MIB,
        "thin_pool": None,
        "tags": ["xen.blockdev"],
        "changed": True,
        "actions": [f"create {host.fake.home}/dev/vg0/web-data, 1MiB, zeroed"],
    }
    assert content(host, "web-data") == bytes(MIB)
    assert commands(host) == CREATED
    assert host.calls[1][-3:] == ["--name", "xen.blockdev.new.web-data", "vg0"]


def test_without_wiping_a_volume_has_what_others_have_left(host: LvmHost) -> None:
    host.done({"volume": "a", "size": "1MiB", "wipe": False})
    assert content(host, "a") == bytes(4096) + SECRET * ((MIB - 4096) // len(SECRET))
    assert commands(host) == ["fullreport", "lvcreate", "fullreport"]


def test_a_size_is_rounded_up_to_extents(host: LvmHost) -> None:
    (one, two) = host.done({"volume": "a", "size": 512}, {"volume": "b", "size": EXTENT + 512})
    assert (one["size"], two["size"]) == (EXTENT, 2 * EXTENT)


def test_stripes(host: LvmHost) -> None:
    (entry,) = host.done({"volume": "a", "size": 3 * EXTENT, "stripes": 2})
    assert entry["size"] == 4 * EXTENT
    assert entry["actions"][0].endswith("/vg0/a, 256KiB, 2 stripes, zeroed")
    assert content(host, "a") == bytes(4 * EXTENT)
    disks = {area[0] for one in host.fake.volumes()["a"]["segments"] for area in one["areas"]}
    assert len(disks) == 2


ROOM = ["lvcreate", "fullreport", "lvremove"]
"""How extents are wiped for several volumes."""


def many(number: int, extents: int = 1) -> List[Dict[str, Any]]:
    return [{"volume": f"v{one}", "size": extents * EXTENT} for one in range(number)]


def test_many_empty_volumes_are_one_program_each(host: LvmHost) -> None:
    """They are wiped together, and those of another group on their own."""
    host.fake.volume("hole", 3)
    host.fake.volume("behind", 2)
    host.fake.group("vg1", pattern=SECRET)
    with host.fake.changed() as state:
        del state["groups"]["vg0"]["volumes"]["hole"]
    host.done(*many(8, 2), {"volume": "v0", "volume_group": "vg1", "size": EXTENT})
    assert commands(host) == [
        *("fullreport", *ROOM, *["lvcreate"] * 8),
        *("lvcreate", "lvrename", "fullreport"),
    ]
    for number in range(8):
        assert content(host, f"v{number}") == bytes(2 * EXTENT)
    assert host.fake.device("v0", "vg1").read_bytes() == bytes(EXTENT)
    # Nothing else was wiped.
    assert content(host, "behind") == SECRET * (2 * EXTENT // len(SECRET))


def test_few_empty_volumes_are_each_on_their_own(host: LvmHost) -> None:
    host.done(*many(3))
    assert commands(host) == ["fullreport", *["lvcreate", "lvrename"] * 3, "fullreport"]


def test_not_all_volumes_of_a_call_are_wiped_together(
    host: LvmHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logical_volume_actions, "AT_ONCE", 5)
    host.done(*many(11))
    rooms = [*ROOM, *["lvcreate"] * 5]
    assert commands(host) == ["fullreport", *rooms, *rooms, "lvcreate", "lvrename", "fullreport"]
    assert [content(host, f"v{number}") for number in range(11)] == [bytes(EXTENT)] * 11


def test_volumes_with_content_or_stripes_are_not_wiped_together(
    host: LvmHost, tmp_path: Path
) -> None:
    (tmp_path / "s.raw").write_bytes(b"base" * 1024)
    host.done(
        *many(2),
        {"volume": "copy", "source": str(tmp_path / "s.raw")},
        {"volume": "wide", "size": 2 * EXTENT, "stripes": 2},
        {"volume": "as-it-is", "size": EXTENT, "wipe": False},
        *({**one, "volume": f"more-{one['volume']}"} for one in many(2)),
    )
    assert commands(host).count("lvrename") == 2
    assert content(host, "copy") == b"base" * 1024 + bytes(EXTENT - 4096)
    for name in ("v0", "v1", "more-v0", "more-v1"):
        assert content(host, name) == bytes(EXTENT)


def test_many_volumes_where_lvm_gives_no_room_for_all(host: LvmHost) -> None:
    """Each is made on its own then."""
    outcome = host.run(*many(6), fault={"at": 2, "act": "fail"})
    assert (outcome.error, outcome.changed) == (None, True)
    (warning,) = outcome.warnings
    assert (
        "several cannot be wiped together, so each is made on its own: lvcreate failed" in warning
    )
    assert host.fake.changes == ["lvcreate", *["lvcreate", "lvrename"] * 6]
    assert [content(host, f"v{number}") for number in range(6)] == [bytes(EXTENT)] * 6


def test_extents_that_are_not_released_again(host: LvmHost) -> None:
    """They are named at once, and the next run takes them back."""
    outcome = host.run(*many(6), fault={"command": "lvremove", "act": "fail"})
    assert (outcome.error, outcome.changed) == (None, True)
    (warning,) = outcome.warnings
    assert "lvremove failed" in warning
    assert f"{volume_names.ROOM}v0" in host.fake.volumes()
    (entry,) = host.done({"volume": "v0"})
    assert entry["actions"][0].endswith("v0, which an interrupted run has left")
    assert set(host.fake.volumes()) == {f"v{number}" for number in range(6)}


def test_in_a_shared_group_each_is_on_its_own(host: LvmHost) -> None:
    """Another host would not wait until its wiped extents are taken."""
    host.fake.group("vg1", attr="wz--ns", lock_type="sanlock", pattern=SECRET)
    host.done(*({**one, "volume_group": "vg1"} for one in many(6)))
    assert commands(host) == ["fullreport", *["lvcreate", "lvrename"] * 6, "fullreport"]


def test_another_program_takes_an_extent_that_was_wiped(
    host: LvmHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No volume gets others than the wiped ones; the one that lacks some is made on its own."""
    remove = logical_volume_actions.remove

    def removed(volume: Volume, **options: bool) -> None:
        remove(volume, **options)
        if volume.name.endswith(".v0"):
            host.fake.volume("intruder", 1)

    monkeypatch.setattr(logical_volume_actions, "remove", removed)
    outcome = host.run(*many(6))
    assert (outcome.error, outcome.changed) == (None, True)
    assert host.fake.changes == [
        *("lvcreate", "lvremove", "lvcreate", "lvcreate", "lvrename"),
        *("lvcreate", "lvremove", *["lvcreate"] * 5),
    ]
    assert [content(host, f"v{number}") for number in range(6)] == [bytes(EXTENT)] * 6


def test_no_volumes_need_no_lvm(host: LvmHost) -> None:
    assert host.run().entries == {"volumes": []}
    assert host.fake.calls == []


def test_a_copy(host: LvmHost, tmp_path: Path) -> None:
    source = tmp_path / "s.raw"
    source.write_bytes(b"base" * 1024 + bytes(8 * 4096) + b"end." * 1024)
    (entry,) = host.done({"volume": "a", "source": str(source)})
    assert entry["size"] == EXTENT
    assert entry["actions"][0] == (
        f"copy {source} to {entry['path']}, {entry['size'] // 1024}KiB, zeroed"
    )
    assert content(host, "a") == source.read_bytes() + bytes(EXTENT - source.stat().st_size)
    assert commands(host) == CREATED


def test_a_file_system(host: LvmHost, tmp_path: Path) -> None:
    (tmp_path / "content").mkdir()
    (tmp_path / "content/hello").write_text("hello")
    tar = {"volume": "a", "source": str(tmp_path / "content"), "filesystem": "tar"}
    (entry,) = host.done(tar)
    assert entry["size"] == EXTENT
    assert content(host, "a").startswith(b"hello\0")
    assert SECRET not in content(host, "a")


@pytest.mark.parametrize("pool", [None, "pool0"])
def test_a_compressed_copy(host: LvmHost, tmp_path: Path, pool: Optional[str]) -> None:
    host.fake.volume("pool0", 2, kind="pool")
    source = tmp_path / "s.raw.gz"
    source.write_bytes(gzip.compress(b"base" * 1024 + bytes(EXTENT)))
    (entry,) = host.done({"volume": "a", "source": str(source), "thin_pool": pool})
    assert entry["size"] == 2 * EXTENT
    assert content(host, "a").startswith(b"base" * 1024 + bytes(4096))
    source.write_bytes(gzip.compress(bytes(200 * EXTENT)))
    message = host.refused({"volume": "b", "source": str(source), "thin_pool": pool})
    assert f"uncompressed it has more than {'128KiB' if pool else '8MiB'}" in message


def test_another_file_system_on_a_volume_that_exists_is_only_a_warning(host: LvmHost) -> None:
    (entry,) = host.done({"volume": "a", "size": 8 * MIB, "filesystem": "swap"})
    before = content(host, "a")
    outcome = host.run({"volume": "a", "filesystem": "ext4"})
    (warning,) = outcome.warnings
    assert warning.startswith(f"{entry['path']}: it has a swap area, not an ext4 file system")
    assert (outcome.changed, content(host, "a")) == (False, before)


def test_a_source_that_does_not_fit(host: LvmHost, tmp_path: Path) -> None:
    source = tmp_path / "s.raw"
    source.write_bytes(bytes(2 * MIB))
    words = host.refused({"volume": "a", "source": str(source), "size": MIB})
    assert "the source has 2MiB, but size is 1MiB" in words


def test_tags(host: LvmHost) -> None:
    (entry,) = host.done({"volume": "a", "size": MIB, "tags": ["web", "b.c", "xen.blockdev"]})
    assert entry["tags"] == ["b.c", "web", "xen.blockdev"]
    (entry,) = host.done({"volume": "a", "tags": ["new", "web", "new"]})
    assert entry["tags"] == ["b.c", "new", "web", "xen.blockdev"]
    assert entry["actions"] == [f"add the tags new to {entry['path']}"]
    assert commands(host) == ["fullreport", "lvchange", "fullreport"]


# ---- thin volumes ----


def test_a_thin_volume_is_made_at_once(host: LvmHost) -> None:
    host.fake.volume("pool0", 16, kind="pool")
    (entry,) = host.done({"volume": "a", "size": 64 * MIB + 512, "thin_pool": "pool0"})
    assert (entry["size"], entry["thin_pool"]) == (64 * MIB + EXTENT, "pool0")
    assert entry["actions"][0].endswith(f"/a, {entry['size'] // 1024}KiB, in thin pool pool0")
    assert commands(host) == ["fullreport", "lvcreate", "fullreport"]
    (entry,) = host.done({"volume": "a", "size": 65 * MIB})
    assert (entry["size"], entry["thin_pool"]) == (65 * MIB, "pool0")
    assert commands(host) == ["fullreport", "lvextend", "fullreport"]
    (entry,) = host.done({"volume": "a", "size": 32 * MIB, "shrink": True})
    assert entry["size"] == 32 * MIB


def test_a_thin_copy_has_its_name_once_it_is_complete(host: LvmHost, tmp_path: Path) -> None:
    (tmp_path / "s.raw").write_bytes(b"base" * 1024)
    host.fake.volume("pool0", 16, kind="pool")
    host.done({"volume": "a", "source": str(tmp_path / "s.raw"), "thin_pool": "pool0"})
    assert commands(host) == CREATED
    assert content(host, "a") == b"base" * 1024 + bytes(EXTENT - 4096)


def test_a_pool_that_does_not_zero(host: LvmHost) -> None:
    host.fake.volume("pool0", 16, kind="pool", zero=False)
    volume = {"volume": "a", "size": MIB, "thin_pool": "pool0"}
    assert host.refused(volume) == (
        "cannot create /dev/vg0/a: the thin pool /dev/vg0/pool0 does not zero its blocks, so the "
        "guest could read what others left in them; have it do so first (lvchange --zero y "
        "vg0/pool0), or set wipe: false"
    )
    host.done({**volume, "wipe": False})
    assert "does not zero its blocks" in host.refused({**volume, "size": 2 * MIB})
    host.done({**volume, "size": 2 * MIB, "wipe": False})


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "the volume group vg0 has no thin pool pool0; create it first"),
        ({"kind": "linear"}, "/dev/vg0/pool0 is no thin pool: it is linear; set thin_pool to one"),
        (
            {"kind": "pool", "health": "D"},
            "the thin pool /dev/vg0/pool0 cannot be used: it has no space left for data",
        ),
    ],
)
def test_no_usable_pool(host: LvmHost, more: Dict[str, Any], words: str) -> None:
    if more:
        host.fake.volume("pool0", 4, **more)
    volume = {"volume": "a", "size": MIB, "thin_pool": "pool0"}
    assert host.refused(volume).startswith(f"cannot create /dev/vg0/a: {words}")


# ---- what thin volumes are promised ----


def pool_with_a_volume(host: LvmHost, **more: Any) -> None:
    """A pool of 16 extents, half of it taken by the volume old, which has 12."""
    host.fake.volume("pool0", 16, kind="pool", data_percent=50.0, **more)
    host.fake.volume("old", 12, kind="thin", pool="pool0", data_percent=66.67)


def slots_of(domain: str) -> List[Dict[str, str]]:
    return [{"domain": domain, "vdev": "xvdb", "config": f"/no/{domain}.cfg"}]


def test_a_pool_that_could_be_outgrown_is_warned_of_in_every_run(host: LvmHost) -> None:
    pool_with_a_volume(host)
    new = {"volume": "a", "size": 8 * EXTENT, "thin_pool": "pool0", "slots": slots_of("web")}
    host.done(new)
    outcome = host.run(new)
    path = f"{host.fake.home}/dev/vg0"
    (warning,) = outcome.warnings
    assert warning == (
        f"the thin pool {path}/pool0 (1MiB, 512KiB free) has promised 256KiB more than it has "
        f"free: {path}/a (web) 512KiB, {path}/old 256KiB; a guest that fills its disk gets I/O "
        "errors; enlarge the pool (lvextend), remove volumes or snapshots, or make disks smaller"
    )
    assert outcome.figures["stores"] == [
        {
            "name": f"{path}/pool0",
            "size": MIB,
            "free": MIB // 2,
            "taken": MIB // 2,
            "promised": 20 * EXTENT,
            "overcommit": 1.25,
        }
    ]


def test_a_pool_with_enough_for_all_is_only_reported(host: LvmHost) -> None:
    pool_with_a_volume(host)
    for check in (True, False):
        outcome = host.run({"volume": "a", "size": EXTENT, "thin_pool": "pool0"}, check=check)
        assert outcome.warnings == []
        assert outcome.figures["stores"][0]["promised"] == 13 * EXTENT
    assert host.run({"volume": "thick", "size": EXTENT}).figures == {"stores": []}


def test_a_limit_holds_for_what_makes_it_worse(host: LvmHost) -> None:
    pool_with_a_volume(host)
    new = {"volume": "a", "size": 8 * EXTENT, "thin_pool": "pool0", "max_overcommit": 1.2}
    message = host.refused(new)
    assert "has promised 256KiB more than it has free" in message
    assert "max_overcommit: 1.2 allows" in message
    host.done({**new, "max_overcommit": 1.25})
    (warning,) = host.run(new).warnings
    assert "has promised 256KiB more" in warning
    assert "max_overcommit: 1.2 allows" in host.refused({**new, "size": 9 * EXTENT})
    # One volume may grow by as much as another one loses.
    less = {"volume": "old", "size": 10 * EXTENT, "shrink": True}
    outcome = host.run(less, {**new, "size": 9 * EXTENT}, check=True)
    assert outcome.error is None
    gone = {"volume": "old", "state": "absent"}
    assert host.run(gone, {**new, "size": 14 * EXTENT}, check=True).warnings == []


def test_a_pool_whose_metadata_is_nearly_full(host: LvmHost) -> None:
    pool_with_a_volume(host, metadata=93)
    (warning,) = host.run({"volume": "old", "size": 12 * EXTENT}).warnings
    assert warning == (
        f"the metadata of the thin pool {host.fake.home}/dev/vg0/pool0 is 93 % full; if it is "
        "full, no volume of the pool can be written: enlarge it (lvextend --poolmetadatasize +1g "
        "vg0/pool0)"
    )


def test_a_volume_that_exists_is_never_moved(host: LvmHost) -> None:
    host.fake.volume("pool0", 4, kind="pool")
    host.fake.volume("pool1", 4, kind="pool")
    host.fake.volume("thin", 4, kind="thin", pool="pool0")
    host.fake.volume("thick", 4)
    for name, now in (("thin", "in the thin pool pool0"), ("thick", "in no thin pool")):
        assert host.refused({"volume": name, "thin_pool": "pool1"}).startswith(
            f"/dev/vg0/{name} is {now}, not in pool1: a volume that exists is never moved"
        )
    host.fake.volume("striped", 4, stripes=2)
    (entry,) = host.run({"volume": "striped", "size": 4 * EXTENT}).entries["volumes"]
    assert not entry["changed"]
    outcome = host.run({"volume": "striped", "stripes": 1})
    assert outcome.warnings == [
        f"{host.fake.home}/dev/vg0/striped has 2 stripes, not 1: a volume that exists is never "
        "rebuilt"
    ]


# ---- growing ----


@pytest.mark.parametrize("stripes", [1, 2])
def test_what_a_volume_grows_by_was_zeroed_before(host: LvmHost, stripes: int) -> None:
    host.done({"volume": "a", "size": 4 * EXTENT, "stripes": stripes})
    # So that what it grows by is in two places.
    host.fake.volume("between", 3)
    host.done({"volume": "b", "size": EXTENT})
    host.done({"volume": "b", "state": "absent"})
    host.fake.device("a").write_bytes(b"x" * 4 * EXTENT)
    (entry,) = host.done({"volume": "a", "size": 40 * EXTENT + 512 - EXTENT * stripes})
    assert entry["size"] == (41 - stripes + (stripes - 1)) * EXTENT
    assert entry["actions"] == [
        f"grow {entry['path']} from 256KiB to {entry['size'] // 1024}KiB",
    ]
    assert content(host, "a") == b"x" * 4 * EXTENT + bytes(entry["size"] - 4 * EXTENT)
    changes = ["lvcreate", "fullreport", "lvremove", "lvextend"]
    assert commands(host) == ["fullreport", *changes, "fullreport"]
    assert sorted(host.fake.volumes()) == ["a", "between"]


def test_what_was_wiped_stays_zeros_where_lvm_discards_what_it_frees(host: LvmHost) -> None:
    host.fake.group("vg1", pattern=SECRET, discards=True)
    volumes = [{"volume_group": "vg1", "volume": f"v{number}"} for number in range(5)]
    for extents in (1, 3):
        host.done(*({**volume, "size": extents * EXTENT} for volume in volumes))
        for volume in volumes:
            device = host.fake.device(volume["volume"], "vg1")
            assert device.read_bytes() == bytes(extents * EXTENT)
    # What is removed for good is discarded.
    host.done({**volumes[0], "state": "absent"})
    assert all("--config" not in call for call in host.calls)


def test_a_volume_grows_by_what_others_have_left_if_that_is_wanted(host: LvmHost) -> None:
    host.done({"volume": "a", "size": EXTENT})
    host.done({"volume": "a", "size": 2 * EXTENT, "wipe": False})
    assert content(host, "a") == bytes(EXTENT) + SECRET * (EXTENT // len(SECRET))
    assert commands(host) == ["fullreport", "lvextend", "fullreport"]


def test_a_volume_made_of_others_grows_only_unwiped(host: LvmHost) -> None:
    host.fake.volume("a", 4, kind="raid1")
    words = host.refused({"volume": "a", "size": MIB})
    assert words == (
        "cannot grow /dev/vg0/a from 256KiB to 1MiB: its new extents cannot be wiped before it has "
        "them, because it is raid, raid1; set wipe: false if they may have data of others"
    )
    host.done({"volume": "a", "size": MIB, "wipe": False})


@pytest.mark.parametrize("name", ["plain", "snap"])
@pytest.mark.parametrize("size", [2 * EXTENT, 8 * EXTENT])
def test_no_new_size_for_snapshots_and_their_origins(host: LvmHost, name: str, size: int) -> None:
    host.fake.volume("plain", 4)
    host.fake.volume("snap", 1, kind="snapshot", origin="plain")
    words = host.refused({"volume": name, "size": size, "shrink": True})
    assert ("it has snapshots (snap)" if name == "plain" else "it is a snapshot of plain") in words
    (entry,) = host.run({"volume": name, "size": 4 * EXTENT}).entries["volumes"]
    assert (entry["changed"], entry["size"]) == (False, 4 * EXTENT)


# ---- shrinking and removing ----


def test_shrinks_only_if_told(host: LvmHost) -> None:
    host.done({"volume": "a", "size": MIB})
    assert host.refused({"volume": "a", "size": EXTENT}) == (
        "cannot shrink /dev/vg0/a from 1MiB to 64KiB: data beyond 64KiB would be lost; set shrink: "
        "true to allow it, or omit size"
    )
    (entry,) = host.done({"volume": "a", "size": EXTENT + 512, "shrink": True})
    assert entry["size"] == 2 * EXTENT
    assert commands(host) == ["fullreport", "lvreduce", "fullreport"]


@pytest.mark.parametrize(
    ("user", "remedy"),
    [
        (VBD, "detach it first (xen_vbd_attach with state: absent)"),
        (MOUNT, "unmount it first"),
        (HOLDER, "close it first (cryptsetup close, dmsetup remove or mdadm --stop)"),
        (User("other", "used in another way"), "release it first"),
    ],
)
def test_neither_shrinks_nor_removes_what_is_in_use(host: LvmHost, user: User, remedy: str) -> None:
    host.done({"volume": "a", "size": MIB})
    in_use(host, "a", user)
    assert host.refused({"volume": "a", "size": EXTENT, "shrink": True}) == (
        f"cannot shrink /dev/vg0/a: {user.sentence}; {remedy}"
    )
    assert host.refused({"volume": "a", "state": "absent"}) == (
        f"cannot remove /dev/vg0/a: {user.sentence}; {remedy}"
    )
    # It grows all the same.
    host.done({"volume": "a", "size": 2 * MIB})


def test_looks_once_more_before_it_shrinks(host: LvmHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.done({"volume": "a", "size": MIB})
    host.fake.device("a").write_bytes(b"x" * MIB)

    def another(_users: Any, _volume: Any) -> None:
        in_use(host, "a", VBD)

    monkeypatch.setattr(logical_volume_users.VolumeUsers, "refuse_shrinking", another)
    outcome = host.run({"volume": "a", "size": EXTENT, "shrink": True})
    assert outcome.error
    assert "attached to domain web as xvdb" in outcome.error
    assert not outcome.changed
    assert content(host, "a") == b"x" * MIB


def test_removes(host: LvmHost) -> None:
    host.done({"volume": "a", "size": MIB}, {"volume": "b", "size": MIB})
    (entry, other) = host.done({"volume": "a", "state": "absent"}, {"volume": "b"})
    assert (entry["size"], entry["tags"], other["changed"]) == (None, [], False)
    assert sorted(host.fake.volumes()) == ["b"]
    assert host.done({"volume": "never", "state": "absent"})[0]["changed"] is False


def test_removals_make_room(host: LvmHost) -> None:
    host.done({"volume": "old", "size": 100 * EXTENT})
    new = {"volume": "new", "size": 110 * EXTENT}
    assert host.refused(new) == (
        "cannot create /dev/vg0/new: it needs 7040KiB more, but 1792KiB are free in the volume "
        "group vg0 after the other changes of this call; free some space, or add a disk to the "
        "group (vgextend)"
    )
    host.done(new, {"volume": "old", "state": "absent"})
    assert content(host, "new") == bytes(110 * EXTENT)


def test_shrinking_makes_room_for_what_comes_after_it(host: LvmHost) -> None:
    host.done({"volume": "old", "size": 128 * EXTENT})
    host.done(
        {"volume": "old", "size": 64 * EXTENT, "shrink": True},
        {"volume": "new", "size": 64 * EXTENT},
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "plain",
            "LVM would remove its snapshots with it (snap); remove them first, or in the same call",
        ),
        ("pool0", "it is a thin pool, not a disk; remove it by hand (lvremove)"),
        ("cached", "it is cache; remove it by hand (lvremove)"),
        ("moving", "its extents are being moved (pvmove); wait until that has ended (`lvs`)"),
    ],
)
def test_volumes_that_are_not_removed(host: LvmHost, name: str, words: str) -> None:
    host.fake.volume("plain", 4)
    host.fake.volume("snap", 1, kind="snapshot", origin="plain")
    host.fake.volume("pool0", 4, kind="pool")
    host.fake.volume("cached", 4, kind="cache")
    host.fake.volume("moving", 4, occupied="pvmove")
    path = f"/dev/vg0/{name}"
    assert host.refused({"volume": name, "state": "absent"}) == f"cannot remove {path}: {words}"


@pytest.mark.parametrize("order", [1, -1])
def test_snapshots_are_removed_before_their_origin(host: LvmHost, order: int) -> None:
    host.fake.volume("plain", 4)
    for name in ("one", "two"):
        host.fake.volume(name, 1, kind="snapshot", origin="plain")
    absent = [{"volume": name, "state": "absent"} for name in ("plain", "one", "two")]
    words = host.refused(*absent[:2])
    assert "LVM would remove its snapshots with it (two)" in words
    host.done(*absent[::order])
    assert commands(host) == ["fullreport", *["lvremove"] * 3, "fullreport"]
    assert host.fake.volumes() == {}


@pytest.mark.parametrize("order", list(itertools.permutations(["thin", "of-thin", "of-that"])))
def test_snapshots_of_snapshots_are_removed_first(host: LvmHost, order: Tuple[str, ...]) -> None:
    """A classic snapshot of a thin one is lost with that."""
    host.fake.volume("pool0", 16, kind="pool")
    host.fake.volume("thin", 4, kind="thin", pool="pool0")
    host.fake.volume("of-thin", 4, kind="thin", pool="pool0", origin="thin")
    host.fake.volume("of-that", 1, kind="snapshot", origin="of-thin")
    host.done(*({"volume": name, "state": "absent"} for name in order))
    assert set(host.fake.volumes()) == {"pool0", "pool0_tdata"}


def test_an_origin_grows_once_its_snapshot_is_removed(host: LvmHost) -> None:
    host.fake.volume("plain", 4)
    host.fake.volume("snap", 1, kind="snapshot", origin="plain")
    host.done({"volume": "plain", "size": 8 * EXTENT}, {"volume": "snap", "state": "absent"})
    assert set(host.fake.volumes()) == {"plain"}


def test_an_origin_stays_with_a_snapshot_that_cannot_be_removed(host: LvmHost) -> None:
    host.fake.volume("plain", 4)
    host.fake.volume("snap", 1, kind="snapshot", origin="plain")
    in_use(host, "snap", VBD)
    words = host.refused(
        {"volume": "plain", "state": "absent"}, {"volume": "snap", "state": "absent"}
    )
    assert "attached to domain web as xvdb" in words
    assert "LVM would remove its snapshots with it (snap)" in words


def test_a_snapshot_and_a_raid_are_removed(host: LvmHost) -> None:
    host.fake.volume("plain", 4)
    host.fake.volume("snap", 1, kind="snapshot", origin="plain")
    host.fake.volume("raid", 4, kind="raid1")
    host.done({"volume": "snap", "state": "absent"}, {"volume": "raid", "state": "absent"})
    assert sorted(host.fake.volumes()) == ["plain"]


def test_a_snapshot_that_is_made_meanwhile_is_not_removed(host: LvmHost) -> None:
    host.fake.volume("plain", 4)
    with open_volumes(Pending()) as volumes:
        params = {"volume_group": "vg0", "volume": "plain", "state": "absent"}
        item = INTERFACE.read(INTERFACE.checked_params(params))
        volumes.expect([item])
        plan = volumes.plan(item)
        host.fake.volume("snap", 1, kind="snapshot", origin="plain")
        plan.actions[0].run()
        volumes.settle()
        with pytest.raises(Exception, match="has got a snapshot in the meantime"):
            plan.read_back()
    assert sorted(host.fake.volumes()) == ["plain", "snap"]


def test_configs_that_name_it_by_any_name(host: LvmHost, tmp_path: Path) -> None:
    host.done({"volume": "web-data", "size": MIB})
    absent = {
        "volume": "web-data",
        "state": "absent",
        "named_in": {"directories": [str(tmp_path / "xen")]},
    }
    (tmp_path / "xen").mkdir()
    config = tmp_path / "xen/web.cfg"
    dev = f"{host.fake.home}/dev"
    for target in (f"{dev}/vg0/web-data", f"{dev}/mapper/vg0-web--data", "phy:vg0/web-data"):
        config.write_text(f"disk = [ '{target},xvda,w' ]\n")
        assert host.refused(absent) == (
            f"cannot remove /dev/vg0/web-data: {config} names it; remove the disk from that config "
            "first"
        )
    config.write_text(f"disk = [ '{dev}/vg0/web-data2,raw,xvda,rw' ]\n")
    host.done(absent)


def test_a_domain_that_is_saved_has_even_an_inactive_volume(
    host: LvmHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.fake.volume("a", 4, active=False)
    path = f"{host.fake.home}/dev/vg0/a"
    disk = SavedDisk("web", "xvda", path, False, "/var/lib/xen/save/web")
    monkeypatch.setattr(logical_volume_users.saved_domains, "saved_disks", lambda: [disk])
    assert host.refused({"volume": "a", "state": "absent"}).startswith(
        "cannot remove /dev/vg0/a: disk xvda of domain web, which is saved in "
        "/var/lib/xen/save/web; restore it first"
    )


def test_a_disk_that_an_earlier_task_would_have_detached(host: LvmHost) -> None:
    host.done({"volume": "a", "size": MIB})
    in_use(host, "a", VBD)
    absent = {"volume": "a", "state": "absent"}
    pending = {"vbds": [{"domain": "web", "vdev": "xvdb"}]}
    outcome = host.run(absent, check=True, pending=pending)
    assert (outcome.error, outcome.changed) == (None, True)
    assert outcome.pending["volumes"][0]["size"] is None
    assert host.run(absent, pending=pending).error


# ---- groups and volumes that cannot be used ----


def test_all_errors_at_once(host: LvmHost) -> None:
    host.fake.group("vg1", attr="wzx-n-")
    host.fake.group("vg2", attr="wz-pn-", missing=["/dev/fake/vg24"])
    words = host.refused(
        {"volume": "a", "size": MIB},
        {"volume": "b", "size": MIB, "volume_group": "no"},
        {"volume": "c", "size": MIB, "volume_group": "vg1"},
        {"volume": "d", "size": MIB, "volume_group": "vg2"},
        {"volume": "e"},
        {"volume": "a", "size": MIB},
        {"volume": "snapshot1", "size": MIB},
        {"size": MIB},
    )
    assert words.splitlines() == [
        "7 of 8 volumes failed, none was touched:",
        'volumes[1]: /dev/no/b: this host has no volume group no (Volume group "no" not found '
        "Cannot process volume group no); `vgs` lists those that it has",
        "volumes[2]: /dev/vg1/c: the volume group vg1: it is exported, so no host uses it; import "
        "it first (vgimport)",
        "volumes[3]: /dev/vg2/d: the volume group vg2: physical volumes of it are missing "
        "([unknown]); bring them back first (pvs)",
        "volumes[4]: cannot create /dev/vg0/e: it does not exist yet; set its size",
        "volumes[5]: /dev/vg0/a is listed twice; list it only once",
        "volumes[6]: volume 'snapshot1' is reserved: names that begin with 'snapshot' are for LVM "
        "itself; choose another name",
        "volumes[7]: the option volume is missing: set the name of the logical volume",
    ]


def test_a_group_that_is_too_full_for_all(host: LvmHost) -> None:
    words = host.refused(*({"volume": f"v{n}", "size": 50 * EXTENT} for n in range(3)))
    assert words.startswith("1 of 3 volumes failed, none was touched:\nvolumes[2]: cannot create ")
    assert "it needs 3200KiB more, but 1792KiB are free" in words


def test_stripes_need_disks(host: LvmHost) -> None:
    words = host.refused({"volume": "a", "size": 6 * EXTENT, "stripes": 3})
    assert words.endswith(
        "3 stripes need as many physical volumes with 128KiB free each, but the volume group vg0 "
        "has /dev/fake/vg00 with 4MiB, /dev/fake/vg01 with 4MiB; set fewer stripes, or omit stripes"
    )
    host.fake.volume("full", 60)
    assert "2 stripes need" in host.refused({"volume": "a", "size": 60 * EXTENT, "stripes": 2})


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"kind": "pool"}, "/dev/vg0/a is a thin pool, not a disk; choose another name"),
        ({"kind": "hidden"}, "/dev/vg0/a is a part of another volume, or has others in it"),
        ({"health": "p"}, "/dev/vg0/a cannot be used: a physical volume of it is missing (`lvs`)"),
        ({"state": "s"}, "/dev/vg0/a is suspended, so everybody who uses it waits; find out why"),
        (
            {"active": False, "skip": True},
            "cannot activate /dev/vg0/a: it is marked to be skipped, also at the next boot",
        ),
    ],
)
def test_volumes_that_cannot_be_used(host: LvmHost, more: Dict[str, Any], words: str) -> None:
    host.fake.volume("a", 4, **more)
    assert host.refused({"volume": "a", "size": 4 * EXTENT}).startswith(words)


@pytest.mark.parametrize("occupied", ["c", "O", "pvmove"])
def test_volumes_that_lvm_works_on_get_no_new_size(host: LvmHost, occupied: str) -> None:
    host.fake.volume("a", 4, occupied=occupied)
    assert "wait until that has ended" in host.refused({"volume": "a", "size": MIB})
    assert not host.run({"volume": "a", "size": 4 * EXTENT}).changed


def test_an_inactive_volume_is_activated(host: LvmHost) -> None:
    host.fake.volume("a", 4, active=False)
    (entry,) = host.done({"volume": "a", "size": 8 * EXTENT})
    assert [words.split()[0] for words in entry["actions"]] == ["activate", "grow"]
    assert content(host, "a")[4 * EXTENT :] == bytes(4 * EXTENT)


def test_a_file_where_the_device_should_be(host: LvmHost) -> None:
    place = host.fake.device("a")
    place.parent.mkdir(parents=True)
    place.write_text("dd of=/dev/vg0/a, before there was a volume")
    assert host.refused({"volume": "a", "size": MIB}).startswith(
        "cannot create /dev/vg0/a: there is something at this path that is no logical volume"
    )


def test_slots_with_another_disk(host: LvmHost, tmp_path: Path) -> None:
    config = tmp_path / "web.cfg"
    config.write_text("name = 'web'\ndisk = [ '/dev/vg9/other,raw,xvda,rw' ]\n")
    volume = {
        "volume": "a",
        "size": MIB,
        "slots": [{"domain": "web", "vdev": "xvda", "config": str(config)}],
        "autostart_dir": str(tmp_path),
    }
    assert str(config) in host.refused(volume)
    host.done({**volume, "allow_slot_change": True})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"thin_pool": "p", "stripes": 2}, "a volume in a thin pool is stored as the pool is"),
        ({"wipe": False, "source": "/srv/a.raw"}, "must read as zeros; omit wipe: false"),
        ({"wipe": False, "filesystem": "ext4"}, "must read as zeros; omit wipe: false"),
        ({"stripes": 0}, "stripes 0 is not possible; set 1 to 128"),
        ({"stripes": 129}, "stripes 129 is not possible; set 1 to 128"),
        ({"tags": ["a b"]}, "tag 'a b' is not possible"),
        ({"thin_pool": "vg0/p"}, "thin_pool 'vg0/p' is not a name"),
        ({"size": "1MB"}, "size of /dev/vg0/a: '1MB' is not a size"),
        ({"volume_group": "a/b"}, "volume_group 'a/b' is not a name"),
    ],
)
def test_bad_input(host: LvmHost, options: Dict[str, Any], words: str) -> None:
    assert words in host.refused({"volume": "a", "size": MIB, **options})


# ---- interrupted runs ----


def left_over(host: LvmHost, **more: Any) -> None:
    tags = {"tags": ["xen.blockdev"], **more}
    host.fake.volume("xen.blockdev.new.a", 60, **tags)
    host.fake.volume("xen.blockdev.room.b", 60, **tags)


def test_what_an_interrupted_run_has_left_is_removed(host: LvmHost) -> None:
    left_over(host)
    (first, second) = host.done({"volume": "a", "size": 100 * EXTENT}, {"volume": "c", "size": 512})
    dev = f"{host.fake.home}/dev/vg0"
    assert first["actions"] == [
        f"remove {dev}/xen.blockdev.new.a, which an interrupted run has left",
        f"remove {dev}/xen.blockdev.room.b, which an interrupted run has left",
        f"create {dev}/a, 6400KiB, zeroed",
    ]
    assert len(second["actions"]) == 1
    assert sorted(host.fake.volumes()) == ["a", "c"]


def test_even_if_there_is_nothing_else_to_do(host: LvmHost) -> None:
    host.fake.volume("c", 4)
    left_over(host)
    assert len(host.done({"volume": "c"})[0]["actions"]) == 2
    assert sorted(host.fake.volumes()) == ["c"]


def test_in_a_shared_group_it_is_only_named(host: LvmHost) -> None:
    host.fake.group("vg1", lock_type="sanlock", attr="wz--ns")
    host.fake.volume("xen.blockdev.new.a", 1, "vg1", tags=["xen.blockdev"])
    host.fake.volume("c", 1, "vg1")
    outcome = host.run({"volume": "c", "volume_group": "vg1"})
    assert not outcome.changed
    assert outcome.warnings == [
        f"{host.fake.home}/dev/vg1/xen.blockdev.new.a is not complete: a run that was interrupted "
        "has left it, or one on another host is at work on it; if there is none, remove it "
        "(lvremove)"
    ]


def test_a_volume_without_our_tag_is_not_removed(host: LvmHost) -> None:
    left_over(host, tags=["other"])
    host.fake.volume("b", 1)
    for name in ("a", "b"):
        words = host.refused({"volume": name, "size": 4 * EXTENT})
        assert (
            f"there is /dev/vg0/xen.blockdev.{'new' if name == 'a' else 'room'}.{name}, " in words
        )


def test_what_another_host_works_on_is_not_removed(host: LvmHost) -> None:
    host.fake.group("vg1", lock_type="sanlock", attr="wz--ns")
    host.fake.volume("xen.blockdev.new.a", 1, "vg1", tags=["xen.blockdev"])
    words = host.refused({"volume": "a", "volume_group": "vg1", "size": EXTENT})
    assert "it is not known who has left it there or works on it" in words


def test_a_name_that_another_host_takes_meanwhile_stays_its_own(
    host: LvmHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_change = volume_lvm.run_change

    def another_is_faster(*arguments: str) -> None:
        host.fake.volume("xen.blockdev.new.a", 1, tags=["xen.blockdev"])
        real_change(*arguments)

    monkeypatch.setattr(volume_lvm, "run_change", another_is_faster)
    outcome = host.run({"volume": "a", "size": EXTENT})
    assert outcome.error
    assert 'Logical Volume "xen.blockdev.new.a" already exists' in outcome.error
    assert sorted(host.fake.volumes()) == ["xen.blockdev.new.a"]


@pytest.mark.parametrize("command", ["lvcreate", "lvrename"])
@pytest.mark.parametrize("after", [False, True])
def test_a_volume_that_cannot_be_created_leaves_nothing(
    host: LvmHost, command: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails(host, monkeypatch, command, after)
    outcome = host.run({"volume": "a", "size": EXTENT}, {"volume": "b", "size": EXTENT})
    assert outcome.error
    assert f"{command} failed: device-mapper: it did not work" in outcome.error
    left = {
        # LVM takes back what it has not done; what it has done nevertheless, the next run removes.
        ("lvcreate", True): ["xen.blockdev.new.a", "xen.blockdev.new.b"],
        ("lvrename", True): ["a", "b"],
    }
    assert sorted(host.fake.volumes()) == left.get((command, after), [])


def fails(host: LvmHost, monkeypatch: pytest.MonkeyPatch, command: str, after: bool) -> None:
    """Let each call of the command fail."""
    behaviour = {"command": command, "act": "fail", "after": after}
    original = host.fake.behave
    monkeypatch.setattr(host.fake, "behave", lambda: original(**behaviour))


def test_a_full_pool_leaves_no_half_copy(
    host: LvmHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s.raw").write_bytes(b"base" * 1024)
    host.fake.volume("pool0", 16, kind="pool")

    def fsync(_descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", fsync)
    outcome = host.run({"volume": "a", "source": str(tmp_path / "s.raw"), "thin_pool": "pool0"})
    assert outcome.error
    assert outcome.error.endswith("No space left on device")
    assert not outcome.changed
    assert sorted(host.fake.volumes()) == ["pool0", "pool0_tdata"]


def test_a_volume_is_still_as_it_was_if_it_cannot_grow(
    host: LvmHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.done({"volume": "a", "size": EXTENT})
    host.fake.device("a").write_bytes(b"x" * EXTENT)
    before = host.fake.volumes()["a"]
    fails(host, monkeypatch, "lvextend", False)
    outcome = host.run({"volume": "a", "size": 2 * EXTENT})
    assert outcome.error
    assert "lvextend failed" in outcome.error
    assert host.fake.volumes() == {"a": before}
    assert content(host, "a") == b"x" * EXTENT


# ---- reading back ----


def test_what_lvm_reports_is_believed_and_not_its_success(
    host: LvmHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume_lvm, "run_change", lambda *_arguments: None)
    outcome = host.run({"volume": "a", "size": EXTENT, "wipe": False})
    assert outcome.error
    assert outcome.error.endswith("/vg0/a is not there: another program removed it; run again")
    host.fake.volume("b", 4)
    outcome = host.run({"volume": "b", "size": 8 * EXTENT, "wipe": False})
    assert outcome.error
    assert "has 256KiB, not 512KiB" in outcome.error
    assert outcome.entries["volumes"][0]["size"] == 4 * EXTENT
    host.fake.volume("c", 4, active=False)
    assert "is not active" in str(host.run({"volume": "c"}).error)
    assert "is still there" in str(host.run({"volume": "b", "state": "absent"}).error)


def test_says_so_if_what_it_has_done_cannot_be_read_back(
    host: LvmHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = host.fake.behave
    last = len(CREATED)
    monkeypatch.setattr(host.fake, "behave", lambda: original(at=last, act="fail"))
    outcome = host.run({"volume": "a", "size": EXTENT})
    assert outcome.changed
    assert outcome.error
    assert "this host has no volume group vg0 (device-mapper: it did not work)" in outcome.error
    assert sorted(host.fake.volumes()) == ["a"]


def test_two_runs_do_not_share_the_lock(host: LvmHost) -> None:
    with open_volumes(Pending()):
        assert os.listdir(host.fake.home / "locks") == ["volumes"]
    # Check mode changes nothing and waits for nobody.
    with open_volumes(Pending()), open_volumes(Pending(check_mode=True)):
        assert stat.S_ISREG((host.fake.home / "locks/volumes").stat().st_mode)


def test_the_stand_in_reports_what_lvm_reports(host: LvmHost) -> None:
    """The same volumes as in the recorded report, but for sizes and what only a kernel knows."""
    host.fake.volume("plain", 25)
    host.fake.volume("snap", 4, kind="snapshot", origin="plain")
    host.fake.volume("pool", 20, kind="pool")
    host.fake.volume("thin1", 50, kind="thin", pool="pool")
    host.fake.volume("thinsnap", 50, kind="thin", pool="pool", origin="thin1")
    host.fake.volume("raid", 10, kind="raid1")
    host.fake.volume("ro", 1, writable=False)
    recorded = (DATA / "recorded-lvm-2.03.16.json").read_text(encoding="utf-8")
    real = volume_report.groups_in(recorded)["vg0"].volumes
    ours = volume_lvm.read(["vg0"]).groups["vg0"].volumes
    assert set(ours) <= set(real)
    for name, volume in ours.items():
        assert _known(volume) == _known(real[name]), name


def _known(volume: Volume) -> List[Any]:
    unknown = (4, 5, 6, 8)
    letters = [one for at, one in enumerate(volume.attributes) if at not in unknown]
    return [volume.layout, volume.roles, volume.pool, volume.origin, letters]
