# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logical volumes of the real LVM, on a disk that is full of what another guest has written."""

from __future__ import annotations

import pytest
from hot_disk import HotDisk

DISK = "/srv/full.raw"
GROUP = "guests-ssd"
WORDS = "the secret of another guest"
MIB = 2**20
SIZE = 2 * MIB
GROWN = 3 * MIB
KILLING = """\
#!/bin/sh
[ "$1" != lvrename ] || { kill -KILL $PPID; exit 1; }
exec /srv/real/lvm "$@"
"""
"""In place of lvm: it kills who renames a volume by it."""

THICK = {"volume_group": GROUP, "volume": "web-data"}
THIN = {"volume_group": GROUP, "volume": "web-log", "thin_pool": "pool"}


def path_of(volume):
    """The device of a volume."""
    return f"/dev/{GROUP}/{volume['volume']}"


@pytest.fixture(scope="module")
def group(xen):
    """A group with a thin pool; all that is free in it has the words of another guest."""
    xen.shell(
        f"yes '{WORDS}' | head -c {64 * MIB} > {DISK}; "
        f"device=$(losetup --find --show {DISK}) && "
        f"vgcreate -q --physicalextentsize 1M {GROUP} $device && "
        f"lvcreate -q -y --type thin-pool -L 16M --poolmetadatasize 2M -n pool {GROUP}"
    )
    yield
    xen.shell(f"vgremove -q -y {GROUP}; losetup --detach $(losetup -nO NAME -j {DISK}); rm {DISK}")


def volumes(xen, *wanted, check=False, changed=None):
    """Run the module for some volumes: what it says of each, which it must have C(changed)."""
    result = xen.module("xen_logical_volume", check, volumes=list(wanted))
    assert not result["failed"], result
    assert result["changed"] is changed
    return result["volumes"]


def refused(xen, *words, **volume):
    """In check mode and in a run, with a message that has these words."""
    for check in (True, False):
        result = xen.module("xen_logical_volume", check, volumes=[volume])
        assert (result["failed"], result["changed"]) == (True, False), result
        for word in words:
            assert word in result["msg"]


def brought(xen, *wanted):
    """Bring volumes to a state: check mode says what a run does, and a second run does nothing."""
    planned = volumes(xen, *wanted, check=True, changed=True)
    done = volumes(xen, *wanted, changed=True)
    assert [volume["actions"] for volume in done] == [volume["actions"] for volume in planned]
    volumes(xen, *wanted, changed=False)
    return done


def volumes_of_group(xen):
    """The volumes of the group as LVM lists them, without its pool and what that is made of."""
    listed = xen.shell(f"lvs --noheadings -a -o lv_name {GROUP}")
    names = {name.strip().strip("[]") for name in listed.splitlines()}
    return names - {"pool", "pool_tdata", "pool_tmeta", "lvol0_pmspare"}


def count_words(xen, path):
    """How often the words of the other guest are there."""
    return int(xen.shell(f"grep -a -o '{WORDS}' %s | wc -l", path))


def test_volumes_as_disks(xen, group):
    """From nothing to a disk that has grown while its guest ran, and back to nothing."""
    done = brought(xen, *({**volume, "size": SIZE} for volume in (THICK, THIN)))
    assert [(volume["path"], volume["size"]) for volume in done] == [
        (path_of(volume), SIZE) for volume in (THICK, THIN)
    ]
    thick = HotDisk(xen, "second", "xvdn", path_of(THICK))
    thin = HotDisk(xen, "second", "xvdo", path_of(THIN))
    zeros = xen.shell(f"head -c {SIZE} /dev/zero | sha256sum").split()[0]
    assert thick.attach()["sha256"] == zeros
    assert thin.attach_only()["sha256"] == zeros
    for disk in (thick, thin):
        disk.write("of this guest")
    refused(xen, "attached to domain second as xvdn", state="absent", **THICK)

    brought(xen, *({**volume, "size": GROWN} for volume in (THICK, THIN)))
    for disk in (thick, thin):
        disk.seen(GROWN)
        assert count_words(xen, disk.target) == 0
        assert xen.shell("head -n 1 %s", disk.target) == "of this guest"

    thick.detach()
    thin.detach()
    brought(xen, *({**volume, "state": "absent"} for volume in (THICK, THIN)))
    assert volumes_of_group(xen) == set()
    # There was something to be seen.
    assert count_words(xen, DISK) > 0


@pytest.mark.long
def test_snapshot(xen, group):
    """One guest reads the snapshot of a volume to which another writes. As long as it is there, the
    volume is neither resized nor removed.
    """
    wanted = {**THICK, "size": SIZE}
    snapshot = {**THICK, "volume": "snap"}
    volumes(xen, wanted, changed=True)
    origin = HotDisk(xen, "second", "xvdn", path_of(THICK))
    origin.attach_only()
    xen.shell(f"lvcreate -q -y -s -L 1M -n snap {GROUP}/{THICK['volume']}")
    disk = HotDisk(xen, "pv", "xvdn", path_of(snapshot))
    before = disk.attach(access="ro")["sha256"]
    origin.write("after the snapshot")
    assert xen.ask_again("pv")[disk.key]["sha256"] == before
    refused(xen, "snapshots (snap)", **{**wanted, "size": GROWN})
    refused(xen, "attached to domain pv as xvdn", **{**snapshot, "state": "absent"})
    origin.detach()
    refused(xen, "snapshots with it (snap)", **{**THICK, "state": "absent"})
    disk.detach()
    for volume in (snapshot, THICK):
        volumes(xen, {**volume, "state": "absent"}, changed=True)


@pytest.mark.long
def test_run_that_is_killed(xen, group):
    """Before the new volume gets its name. The next run takes away what it has left."""
    xen.shell("mkdir -p /srv/real && cp -L /sbin/lvm /srv/real/lvm")
    xen.shell("printf '%%s' %s > /srv/killing && chmod +x /srv/killing", KILLING)
    xen.shell("mount --bind /srv/killing $(readlink -f /sbin/lvm)")
    wanted = {**THICK, "size": SIZE}
    try:
        assert not xen.run_elsewhere("xen_logical_volume", wanted)
    finally:
        xen.shell("umount $(readlink -f /sbin/lvm)")
    assert volumes_of_group(xen) == {"xen.blockdev.new.web-data"}
    (done,) = brought(xen, wanted)
    assert len(done["actions"]) == 2
    assert count_words(xen, path_of(THICK)) == 0
    assert volumes_of_group(xen) == {"web-data"}
    volumes(xen, {**THICK, "state": "absent"}, changed=True)


@pytest.mark.long
def test_extents_in_two_places(xen, group):
    """A volume grows into what is free between others. Only what it gets is wiped."""
    wanted = {**THICK, "size": 2 * MIB}
    xen.shell(
        "for name in one two three; do lvcreate -q -y -Wn -Zn -L 2M -n $name %s; done; "
        "lvcreate -q -y -Wn -Zn -l 100%%FREE -n rest %s && lvremove -q -y %s/one %s/three",
        *[GROUP] * 4,
    )
    try:
        assert min(count_words(xen, f"/dev/{GROUP}/{name}") for name in ("two", "rest")) > 0
        brought(xen, wanted)
        refused(xen, "it needs 3MiB more, but 2MiB are free", **{**wanted, "size": 5 * MIB})
        brought(xen, {**wanted, "size": 4 * MIB})
        assert xen.shell(f"lvs --noheadings -o seg_count {path_of(THICK)}").strip() == "2"
        xen.shell(f"cmp -n {4 * MIB} {path_of(THICK)} /dev/zero")
        assert min(count_words(xen, f"/dev/{GROUP}/{name}") for name in ("two", "rest")) > 0
        # What the group had there can be seen if nothing is wiped.
        brought(xen, {**THICK, "state": "absent"})
        xen.shell(f"lvremove -q -y {GROUP}/two")
        brought(xen, {**wanted, "wipe": False, "size": 6 * MIB})
        assert count_words(xen, path_of(THICK)) > 0
    finally:
        xen.shell(f"lvremove -q -y {GROUP}/two {GROUP}/rest || true")
        xen.module("xen_logical_volume", **THICK, state="absent")


@pytest.mark.long
def test_thin_volumes(xen, group):
    """One with a snapshot that goes on without it, one that is not active, a pool that is wrong."""
    wanted = {**THIN, "size": SIZE}
    brought(xen, wanted)
    path = path_of(THIN)
    xen.shell(f"yes words | head -c {MIB} > {path}")
    before = xen.sha256(path)
    xen.shell(f"lvcreate -q -y -s -kn -n snap {GROUP}/{THIN['volume']}")
    xen.shell(f"lvchange -q -an {GROUP}/{THIN['volume']}")
    (done,) = brought(xen, wanted)
    assert done["actions"] == [f"activate {path}"]
    assert xen.sha256(path) == before
    brought(xen, {**THIN, "state": "absent"})
    assert xen.sha256(f"/dev/{GROUP}/snap") == before
    xen.shell(f"lvremove -q -y {GROUP}/snap && lvchange -q --zero n {GROUP}/pool")
    refused(xen, f"lvchange --zero y {GROUP}/pool", **wanted)
    xen.shell(f"lvchange -q --zero y {GROUP}/pool")
