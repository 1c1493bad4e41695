# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logical volumes by the names and UUIDs of device-mapper."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import VolumeName
from ansible_collections.xen.blockdev.plugins.module_utils.survey.volume_names import volume_of
from hypothesis import given
from hypothesis import strategies as st

ID = "a" * 32 + "B" * 32
UUID = f"LVM-{ID}"
THIN = VolumeName("vg", "a", ID, "my-pool")


@pytest.mark.parametrize(
    ("name", "uuid", "below", "expected"),
    [
        ("vg0-web", UUID, [], VolumeName("vg0", "web", ID)),
        ("vg--0-web--data", UUID, [], VolumeName("vg-0", "web-data", ID)),
        (
            "vg-thin",
            UUID,
            [("vg-my--pool-tpool", f"{UUID}-tpool")],
            VolumeName("vg", "thin", ID, "my-pool"),
        ),
        ("vg-thin", UUID, [("vg-pool", UUID)], VolumeName("vg", "thin", ID)),
        ("vg-pool-tpool", f"{UUID}-tpool", [], None),
        ("vg-pool_tdata", f"{UUID}-tdata", [], None),
        ("vg-web-real", f"{UUID}-real", [], None),
        ("crypt", "CRYPT-LUKS2-0123-crypt", [], None),
        ("mpatha", "mpath-36001405", [], None),
        ("vg0-web", "", [], None),
        ("noname", UUID, [], None),
    ],
)
def test_volumes(
    name: str, uuid: str, below: Sequence[Tuple[str, str]], expected: Optional[VolumeName]
) -> None:
    assert volume_of(name, uuid, below) == expected


NAMES = st.from_regex(r"[A-Za-z0-9+_.][A-Za-z0-9+_.-]*", fullmatch=True)


@given(NAMES, NAMES)
def test_that_hyphens_do_not_matter(group: str, volume: str) -> None:
    if group.endswith("-"):
        group += "0"
    joined = f"{group.replace('-', '--')}-{volume.replace('-', '--')}"
    assert volume_of(joined, UUID, []) == VolumeName(group, volume, ID)
