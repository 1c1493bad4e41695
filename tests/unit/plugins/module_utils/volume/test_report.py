# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""LVM's report, recorded from LVM 2.03.16 and its metadata, on a kernel without device-mapper."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import VolumeError
from ansible_collections.xen.blockdev.plugins.module_utils.volume import report as volume_report
from ansible_collections.xen.blockdev.plugins.module_utils.volume.report import (
    Group,
    PhysicalVolume,
    Segment,
    Volume,
    groups_in,
)
from hypothesis import given, settings
from hypothesis import strategies as st

RECORDED = (Path(__file__).parents[3] / "data" / "recorded-lvm-2.03.16.json").read_text(
    encoding="utf-8"
)
TWO = groups_in(RECORDED)["vg0"].volumes["two"]
MIB = 1024**2


@pytest.fixture
def group() -> Group:
    return groups_in(RECORDED)["vg0"]


def volume(**more: Any) -> Volume:
    return replace(TWO, **more)


def test_group(group: Group) -> None:
    assert (group.extent_size, group.extents, group.free_extents) == (4 * MIB, 510, 400)
    assert (group.size, group.free) == (2040 * MIB, 1600 * MIB)
    assert (group.problem, group.is_shared, group.lock_type) == (None, False, "")
    assert group.physical == (
        PhysicalVolume("/dev/loop0", "a--", 207),
        PhysicalVolume("/dev/loop1", "a--", 193),
    )
    assert all(disk.is_allocatable and not disk.is_missing for disk in group.physical)


def test_all_kinds(group: Group) -> None:
    def named(kind: str) -> set:
        return {name for name, one in group.volumes.items() if getattr(one, kind)}

    hidden = {"lvol0_pmspare", "pool_tdata", "pool_tmeta"}
    hidden |= {f"raid_r{part}_{number}" for part in ("meta", "image") for number in (0, 1)}
    assert named("is_disk") == set(group.volumes) - hidden - {"pool"}
    assert named("is_pool") == {"pool"}
    assert named("is_thin") == {"thin1", "thinsnap"}
    assert named("is_thick") - hidden == {"plain", "ro", "skip", "two"}
    assert named("is_thick_snapshot") == {"snap"}
    assert named("is_raid") == {"raid"}
    assert named("is_read_only") == {"ro"}
    assert named("skips_activation") == {"skip"}
    assert named("zeroes") == {"pool", "thin1", "thinsnap"}
    assert named("occupation") == set()


def test_a_volume(group: Group) -> None:
    plain, two, thin = (group.volumes[name] for name in ("plain", "two", "thin1"))
    assert plain.path == "/dev/vg0/plain"
    assert plain.tags == {"a.b", "c"}
    assert plain.uuid == "LVM-t0QOiUGnP6LeiAfE7cMvLODNaI5vMtQEnuKiXrf9UHcbsmz2MxBZcNQx6a7XE003"
    assert (two.size, two.taken, two.pool, two.origin) == (20 * MIB, 20 * MIB, None, None)
    assert two.segments == (
        Segment(0, 1, ("/dev/loop0:90-91",)),
        Segment(2, 1, ("/dev/loop0:100-102",)),
    )
    assert (thin.size, thin.pool, thin.stripes) == (1024 * MIB, "pool", 1)
    assert group.volumes["thinsnap"].origin == "thin1"
    assert (two.device, two.data_percent, two.metadata_percent) == (None, None, None)
    assert two.words == "linear"
    assert group.volumes["raid"].words == "raid, raid1"


def test_a_snapshot_is_as_large_as_its_origin(group: Group) -> None:
    snapshot = group.volumes["snap"]
    assert (snapshot.size, snapshot.taken, snapshot.origin) == (100 * MIB, 16 * MIB, "plain")


def test_what_is_lost_with_a_volume(group: Group) -> None:
    assert group.lost_with(group.volumes["plain"]) == ["snap"]
    assert group.lost_with(group.volumes["thin1"]) == []
    assert group.lost_with(group.volumes["two"]) == []
    # A thin volume can have an origin that is no thin one, and is nothing without it.
    external = replace(group.volumes["thin1"], name="ext", origin="two")
    more = replace(group, volumes={**group.volumes, "ext": external})
    assert more.lost_with(more.volumes["two"]) == ["ext"]


def test_promises_of_a_pool(group: Group) -> None:
    assert group.promised(group.volumes["pool"]) == 2048 * MIB


def test_an_active_volume_has_a_device_and_figures() -> None:
    text = RECORDED.replace('"lv_kernel_major":"-1"', '"lv_kernel_major":"254"')
    text = text.replace('"lv_kernel_minor":"-1"', '"lv_kernel_minor":"7"')
    text = text.replace('"data_percent":""', '"data_percent":"12.34"')
    one = groups_in(text)["vg0"].volumes["two"]
    assert (one.device, one.data_percent) == ((254, 7), 12.34)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ("wzx-n-", "it is exported, so no host uses it; import it first (vgimport)"),
        ("wz-pn-", "physical volumes of it are missing ([unknown]); bring them back first (pvs)"),
        ("rz--n-", "it is read-only; make it writable first (vgchange)"),
        ("wz--n-", None),
        ("wz--ns", None),
    ],
)
def test_problems_of_a_group(attributes: str, words: Optional[str]) -> None:
    missing = PhysicalVolume("[unknown]", "a-m", 0)
    one = Group("vg0", attributes, MIB, 9, 9, "", physical=(missing,))
    assert one.problem == words
    assert one.is_shared == (attributes[-1] == "s")
    assert not missing.is_allocatable


@pytest.mark.parametrize(("lock_type", "is_shared"), [("sanlock", True), ("none", False)])
def test_a_group_that_hosts_lock_is_shared(lock_type: str, is_shared: bool) -> None:
    text = RECORDED.replace('"vg_lock_type":""', f'"vg_lock_type":"{lock_type}"')
    assert groups_in(text)["vg0"].is_shared == is_shared


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("-wi-a-----", (True, None, None)),
        ("-wi-------", (False, None, None)),
        ("Owi-a-s---", (True, None, "a snapshot is being merged")),
        ("Swi-a-s---", (True, None, "a snapshot is being merged")),
        ("cwi-a-----", (True, None, "it is being converted")),
        ("-wI-a-----", (True, None, "its extents are being moved (pvmove)")),
        ("-wi-a---p-", (True, "a physical volume of it is missing", None)),
        ("twi-aotzD-", (True, "it has no space left for data", None)),
        ("twi-aotzF-", (True, "it has failed", None)),
        ("twi-aotzM-", (True, "its metadata is read-only, since it is full or damaged", None)),
        ("rwi-a-r-r-", (True, None, None)),
        ("-wi-----X-", (False, None, None)),
    ],
)
def test_attributes(attributes: str, expected: Any) -> None:
    one = volume(attributes=attributes)
    assert (one.is_active, one.problem, one.occupation) == expected
    assert not one.is_suspended
    assert volume(attributes="-wi-s-----").is_suspended


@pytest.mark.parametrize("text", ["", "no", "[]", "{}", '{"report": [{"vg": [{}]}]}', "null"])
def test_what_is_no_report(text: str) -> None:
    with pytest.raises(VolumeError, match="LVM's report cannot be read"):
        groups_in(text)


def test_columns_that_were_asked_for_are_those_that_are_read() -> None:
    row: Dict[str, Any] = {
        section: rows[0] for section, rows in json.loads(RECORDED)["report"][0].items()
    }
    assert {name: set(columns) for name, columns in volume_report.COLUMNS.items()} == {
        name: set(columns) for name, columns in row.items()
    }


# ---- sizes ----

sizes = st.integers(1, 1 << 40).map(lambda sectors: sectors * 512)


@settings(deadline=None)
@given(sizes, st.integers(1, 8))
def test_a_new_volume_is_as_small_as_it_can_be(size: int, stripes: int) -> None:
    one = Group("vg0", "wz--n-", 4 * MIB, 9, 9, "")
    rounded = one.rounded(size, stripes)
    assert 0 <= rounded - size < 4 * MIB * stripes
    assert rounded % (4 * MIB * stripes) == 0
    assert one.extents_for(size, stripes) * 4 * MIB == rounded


@settings(deadline=None)
@given(st.integers(1, 99), sizes.filter(lambda size: size < 1 << 30), st.integers(0, 5))
def test_a_resized_volume(present: int, size: int, stripes: int) -> None:
    one = Group("vg0", "wz--n-", 4 * MIB, 9, 9, "")
    old = volume(size=present * 4 * MIB, segments=(Segment(0, stripes, ()),))
    resized = one.resized(old, size)
    assert resized >= size
    assert resized - size < 4 * MIB * max(stripes, 1)
    # To want it again is no change.
    assert one.resized(replace(old, size=resized), size) == resized
    # It grows by whole rows of stripes.
    if resized > old.size:
        assert (resized - old.size) // (4 * MIB) % max(stripes, 1) == 0
