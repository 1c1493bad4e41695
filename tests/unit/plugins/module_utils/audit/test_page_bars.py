# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bars of what a store has promised, used and left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.audit.page_bars import (
    file_system_bar,
    volume_store_bar,
)
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import (
    FileSystemBar,
    VolumeStoreBar,
)
from hypothesis import given
from hypothesis import strategies as st

GIB = 2**30


def drawn_bar(**values: Any) -> Any:
    """The bar of a file system of 100 GiB, all sizes in GiB."""
    sizes = {"size": 100, "free": 40, "taken": 20, "promised": 20, **values}
    numbers = {key: value if value is None else value * GIB for key, value in sizes.items()}
    return file_system_bar(FileSystemBar("/srv", "ext4", "/dev/sda1", images=2, **numbers))


def parts(made: Any) -> List[Tuple[str, float, float]]:
    return [(part.kind, part.start, part.width) for part in made.parts]


def figures(made: Any) -> Dict[str, str]:
    return dict(made.figures)


def test_a_bar_begins_with_what_is_taken() -> None:
    made = drawn_bar(promised=50)
    assert parts(made) == [("others", 0, 40), ("taken", 40, 20), ("owed", 60, 30)]
    assert made.end == 100
    assert figures(made) == {
        "others": "40GiB",
        "taken": "20GiB",
        "owed": "30GiB",
        "left": "10GiB",
        "free": "40GiB",
    }
    assert (made.name, made.about, made.size) == ("/srv", "ext4 on /dev/sda1, 2 images", "100GiB")


def test_what_is_promised_beyond_the_end_makes_the_bar_longer() -> None:
    made = drawn_bar(promised=160)  # 140 still to come, of which 40 fit
    assert parts(made) == [
        ("others", 0, 20),
        ("taken", 20, 10),
        ("owed", 30, 20),
        ("beyond", 50, 50),
    ]
    assert made.end == 50
    assert figures(made)["beyond"] == "100GiB"
    assert "left" not in figures(made)


def test_images_that_share_blocks_take_no_more_than_is_used() -> None:
    assert parts(drawn_bar(taken=90, promised=90)) == [("taken", 0, 60)]


def test_images_that_take_more_than_their_size_owe_nothing() -> None:
    assert figures(drawn_bar(taken=20, promised=10))["owed"] == "0 bytes"


@pytest.mark.parametrize("unknown", [{"size": None}, {"free": None}, {"size": 0}])
def test_there_is_no_bar_without_sizes(unknown: Dict[str, Any]) -> None:
    made = drawn_bar(promised=50, **unknown)
    assert made.parts == ()
    assert figures(made) == {"taken": "20GiB", "owed": "30GiB"}


def test_a_server_is_named_as_that() -> None:
    made = file_system_bar(FileSystemBar("/srv", "nfs4", "nas:/srv", images=1, is_network=True))
    assert (made.about, made.size) == ("nfs4 of nas:/srv, 1 image", "size not known")


def test_a_group_and_its_pool() -> None:
    sizes = {"size": 100 * GIB, "free": 40 * GIB, "taken": 20 * GIB, "promised": 30 * GIB}
    group = volume_store_bar(VolumeStoreBar("group", "vg0", "vg0", disks=1, **sizes))
    assert (group.name, group.about) == ("vg0", "volume group, 1 volume in use")
    assert parts(group) == parts(drawn_bar(promised=30))
    pool = VolumeStoreBar("pool", "/dev/vg0/pool", "vg0", disks=2, **sizes)
    assert volume_store_bar(pool).about == "thin pool of vg0, 2 volumes"
    pool = replace(pool, metadata_percent=12.5, findings=("f1",))
    drawn = volume_store_bar(pool)
    assert drawn.about == "thin pool of vg0, 2 volumes, metadata 12.5 % full"
    assert (drawn.name, drawn.findings) == ("/dev/vg0/pool", ("f1",))


NUMBER = st.integers(0, 10**15)


@given(st.integers(1, 10**15), NUMBER, NUMBER, NUMBER)
def test_the_parts_of_any_bar_are_beside_each_other(
    size: int, free: int, taken: int, promised: int
) -> None:
    made = file_system_bar(
        FileSystemBar("/", "xfs", "/dev/sda1", size=size, free=free, taken=taken, promised=promised)
    )
    end = 0.0
    for part in made.parts:
        assert part.start == pytest.approx(end, abs=0.02)
        assert part.width >= 0
        end = part.start + part.width
    assert end <= 100.03
    assert 0 <= made.end <= 100
    if any(part.kind == "beyond" for part in made.parts):
        assert end == pytest.approx(100, abs=0.03)
    else:
        assert made.end == 100
