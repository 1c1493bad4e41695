# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names against what LVM 2.03.16 took and refused (lvcreate in a group vg0)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import VolumeError
from ansible_collections.xen.blockdev.plugins.module_utils.volume import names
from hypothesis import given, settings
from hypothesis import strategies as st

RECORDED = json.loads(
    (Path(__file__).parents[3] / "data" / "recorded-lvm-names.json").read_text(encoding="utf-8")
)
VOLUMES: Dict[str, bool] = RECORDED["names"]
LONGEST = max(len(name) for name, taken in VOLUMES.items() if taken)
OURS = ("xen.blockdev.new.a", "xen.blockdev.room.a-b")

letters = st.sampled_from("ab0+_.-")
plain_names = st.text(letters, min_size=1, max_size=12).filter(
    lambda name: name[0] != "-" and name not in (".", "..")
)


def is_taken(name: str, group: str = "vg0") -> bool:
    try:
        return names.check_volume(group, name) == name
    except VolumeError:
        return False


def refused(name: str, group: str = "vg0", option: str = "volume") -> str:
    with pytest.raises(VolumeError) as error:
        names.check_volume(group, name, option)
    return str(error.value)


def test_takes_no_name_that_lvm_refuses() -> None:
    assert not [name for name, taken in VOLUMES.items() if not taken and is_taken(name)]


def test_takes_every_name_that_lvm_takes_but_its_own_and_too_long_ones() -> None:
    left = LONGEST - len(names.ROOM)
    expected = {n for n, taken in VOLUMES.items() if taken and len(n) <= left and n not in OURS}
    assert {name for name in VOLUMES if is_taken(name)} == expected
    assert "n" * left in VOLUMES


def test_the_longest_name_is_one_for_lvm_while_it_is_temporary() -> None:
    longest = max((name for name in VOLUMES if is_taken(name)), key=len)
    assert len(names.room_name(longest)) == LONGEST
    assert refused(longest + "n").startswith(
        f"volume '{longest}n' is too long by 1 characters in the group vg0"
    )


@pytest.mark.parametrize(("name", "words"), [("a" * 128, "is too long: use at most 127"), ("", "")])
def test_names_of_no_length(name: str, words: str) -> None:
    assert words in refused(name)
    with pytest.raises(VolumeError, match=r"volume_group"):
        names.check_group(name)


def test_says_what_is_wrong() -> None:
    assert refused("a b") == (
        "volume 'a b' is not a name: use letters, digits and any of _ + . - (not first), without "
        "a path"
    )
    assert refused("vg0/data", option="thin_pool").startswith("thin_pool 'vg0/data' is not a name")
    assert refused("data_tmeta") == (
        "volume 'data_tmeta' is reserved: names that contain '_tmeta' are for LVM itself; choose "
        "another name"
    )
    assert "begin with 'pvmove' are for LVM itself" in refused("pvmove7")
    assert "begin with 'xen.blockdev.new.' are for this collection itself" in refused(OURS[0])
    assert "begin with 'xen.blockdev.room.'" in refused(OURS[1])


@pytest.mark.parametrize("name", ["vg-0", "a", "vg.0_+", "." * 3])
def test_groups(name: str) -> None:
    assert names.check_group(name) == name


@pytest.mark.parametrize("name", ["-a", ".", "..", "a/b", "vg 0", "vg0\n", "ä"])
def test_no_groups(name: str) -> None:
    with pytest.raises(VolumeError, match="volume_group"):
        names.check_group(name)


def test_tags() -> None:
    # It takes one that begins with a hyphen, although its manual page does not.
    expected = {tag for tag, taken in RECORDED["tags"].items() if taken} - {"-a"}
    found = set()
    for tag in RECORDED["tags"]:
        try:
            found.add(names.check_tag(tag))
        except VolumeError as error:
            assert str(error).startswith(f"tag {tag!r} is not possible: ")
    assert found == expected
    assert names.check_tag("a" * 1024)
    with pytest.raises(VolumeError):
        names.check_tag("a" * 1025)


# ---- paths ----


def test_paths() -> None:
    assert names.path_of("vg-0", "web-data") == "/dev/vg-0/web-data"
    assert names.paths_of("vg-0", "web-data", "LVM-abc") == (
        "/dev/vg-0/web-data",
        "/dev/mapper/vg--0-web--data",
        "/dev/disk/by-id/dm-name-vg--0-web--data",
        "/dev/disk/by-id/dm-uuid-LVM-abc",
        "phy:vg-0/web-data",
    )


@settings(deadline=None)
@given(plain_names, plain_names, plain_names, plain_names)
def test_no_two_volumes_have_one_name_for_device_mapper(
    group: str, volume: str, other_group: str, other_volume: str
) -> None:
    mapped = [
        names.name_in_mapper(*pair) for pair in ((group, volume), (other_group, other_volume))
    ]
    # A group that ends, or a volume that begins, with a hyphen could be confused with the other.
    if not volume.startswith("-") and not group.endswith("-"):
        same = (group, volume) == (other_group, other_volume)
        plain = not other_group.endswith("-")
        assert not plain or (mapped[0] == mapped[1]) == same


@settings(deadline=None)
@given(plain_names, plain_names)
def test_a_name_that_is_taken_fits_with_all_its_hyphens(group: str, part: str) -> None:
    name = part * 12
    if is_taken(name, group):
        for temporary in (names.new_name(name), names.room_name(name)):
            assert names.is_temporary(temporary)
            assert len(names.name_in_mapper(group, temporary)) <= names.MAX_NAME
            assert len(group) + len(temporary) + 3 <= names.MAX_NAME
        assert not names.is_temporary(name)


@pytest.mark.parametrize("hyphens", [46, 47])
def test_a_hyphen_counts_twice(hyphens: int) -> None:
    # 3 of the group, a hyphen between, 18 of the temporary name, 13 that are left for it.
    name = "a" * 13 + "-" * hyphens
    assert is_taken(name) == (hyphens == 46)
