# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names that disks get."""

from __future__ import annotations

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.adopt import names


@pytest.mark.parametrize(
    ("path", "suggested"),
    [
        ("/srv/xen/web/data.raw", ["data"]),
        ("/srv/xen/domains/web/disk.img", ["disk"]),
        ("/srv/web-data.QCOW2", ["data", "web-data"]),
        ("/srv/swap_web.img", ["swap", "swap_web"]),
        ("/srv/web.img", []),
        ("/srv/WEB.img", []),
        ("/srv/website.img", ["website"]),
        ("/srv/web", []),
        ("/srv/disk.tar.gz", ["disk.tar.gz"]),
    ],
)
def test_of_an_image(path: str, suggested: list[str]) -> None:
    assert list(names.candidates_of_file(path, "web")) == suggested


@pytest.mark.parametrize(
    ("target", "volume"),
    [
        ("/dev/vg0/web-root", "web-root"),
        ("/dev/mapper/vg0-web--root", "web-root"),
        ("/dev/mapper/vg--0-root", "root"),
        ("/dev/mapper/vg0-a--b--c", "a-b-c"),
        ("/dev/mapper/mpatha", None),
        ("/dev/mapper/mpath--a", None),
        ("/dev/zvol/tank/vm/web", "web"),
        ("/dev/sdb1", None),
        ("/dev/loop3", None),
        ("/dev/dm-3", None),
        ("/dev/disk/by-id/scsi-1", None),
        ("/dev/block/8:0", None),
        ("rbd:pool/image", None),
    ],
)
def test_of_a_volume(target: str, volume: str | None) -> None:
    assert names.name_of_volume(target) == volume


def test_the_first_that_is_free_and_a_name() -> None:
    taken = {"data"}
    assert names.disk_name(["data", "12", "a b", "log"], "xvda", taken) == "log"
    assert names.disk_name(["log"], "xvda", taken) == "xvda"
    assert names.disk_name([], "xvda", taken) == "xvda-2"
    assert names.disk_name([], "xvda", taken) == "xvda-3"
    assert taken == {"data", "log", "xvda", "xvda-2", "xvda-3"}
