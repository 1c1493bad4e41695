# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts and swap, as the files of /proc show them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.host import mounts

MOUNTINFO = r"""36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 none rw
37 35 0:31 / /srv/a\040b rw - btrfs /dev/null rw
38 35 7:3 / /c\134d rw shared:1 master:2 - ext4 /no/such\040device rw
"""


def test_mounts(tmp_path: Path) -> None:
    """A source that is no block device does not count, nor one that is gone."""
    (tmp_path / "mountinfo").write_text(MOUNTINFO)
    assert list(mounts.read(str(tmp_path / "mountinfo"))) == [
        (os.makedev(98, 0), "/mnt2"),
        (os.makedev(0, 31), "/srv/a b"),
        (os.makedev(7, 3), r"/c\d"),
    ]


def test_swap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "SWAPS", str(tmp_path / "swaps"))
    assert mounts.swap_paths() == []
    (tmp_path / "swaps").write_text(
        "Filename\tType\tSize\tUsed\tPriority\n/dev/vda2 partition 9 0 -2\n"
        "/srv/a\\040swap file 9 0 -3\n"
    )
    assert mounts.swap_paths() == ["/dev/vda2", "/srv/a swap"]


def test_what_is_said_of_a_mount(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTINFO)
    first, second, third = mounts.all_in(str(tmp_path / "mountinfo"))
    assert first == (os.makedev(98, 0), "/mnt1", "/mnt2", "ext3", "none", {"rw", "noatime"})
    assert (second.point, second.type, second.source_rdev) == ("/srv/a b", "btrfs", None)
    assert (third.source, third.source_rdev) == ("/no/such device", None)
