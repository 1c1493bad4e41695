# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What will stop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import VolumeStoreBar
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    OtherData,
    ThinPool,
    ThinVolume,
    VolumeGroup,
    VolumeName,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.auditedhosts import (
    AuditedXen,
    GiB,
    MiB,
    codes,
    found_on,
    report_on,
    the_finding,
)


def with_space(size: int, free: int) -> AuditedXen:
    """A host whose images are on a file system with these bytes."""
    host = AuditedXen()
    host.file_systems = [replace(host.file_systems[0], size=size, free=free, available=free)]
    return host


def add(
    host: AuditedXen, domain: str, size: int, taken: int, access: str = "rw", **image: Any
) -> None:
    """A domain with an image."""
    path = f"/srv/xen/{domain}/data.raw"
    host.image(path, size, allocated=taken, **image)
    host.config(domain)
    image_format = image.get("signature") or "raw"
    host.configured(domain, "xvda", path, access=access, format=image_format)


def test_promises_that_can_be_kept() -> None:
    host = with_space(100 * GiB, 10 * GiB)
    add(host, "web", 10 * GiB, 0)
    assert codes(host) == []


def test_promises_that_cannot() -> None:
    host = with_space(100 * GiB, 10 * GiB)
    add(host, "web", 10 * GiB, 0)
    add(host, "db", 12 * GiB, 4 * GiB)
    found = the_finding("overcommitted", host)
    assert (found.severity, found.bytes, found.place.path) == ("warning", 8 * GiB, "/srv")
    assert found.seen == (
        "10GiB of 100GiB are free, and guests may still take 18GiB by the images on it: "
        "/srv/xen/web/data.raw (web) 10GiB, /srv/xen/db/data.raw (db) 8GiB"
    )


def test_a_file_system_that_is_nearly_full() -> None:
    host = with_space(100 * GiB, 5 * GiB - 1)
    add(host, "web", 10 * GiB, 0)
    assert the_finding("nearly-full", host).severity == "error"
    host.file_systems = [replace(host.file_systems[0], free=5 * GiB)]
    assert codes(host) == ["overcommitted"]


def test_a_full_file_system_whose_images_are_complete() -> None:
    host = with_space(100 * GiB, 0)
    add(host, "web", 10 * GiB, 10 * GiB)
    assert codes(host) == []


def test_images_that_take_nothing_more() -> None:
    host = with_space(100 * GiB, MiB)
    add(host, "web", 10 * GiB, 0, access="ro")
    # How large its guest sees it is not known.
    add(host, "db", 10 * GiB, 0, signature="qcow2")
    assert codes(host) == []
    (drawn,) = report_on(host).hosts[0].file_systems
    assert (drawn.images, drawn.promised, drawn.taken) == (1, 0, 0)


def test_backing_files_take_nothing() -> None:
    host = with_space(100 * GiB, MiB)
    host.image("/srv/base.raw", 50 * GiB, allocated=0)
    add(host, "web", MiB, MiB, storage={"behind": (OtherData("/srv/base.raw", "file", False),)})
    assert codes(host) == []


def test_a_sentence_names_the_largest() -> None:
    host = with_space(100 * GiB, 10 * GiB)
    for number in range(1, 8):
        add(host, f"web{number}", number * 8 * GiB, 0)
    seen = the_finding("overcommitted", host).seen
    assert "take 224GiB by the images on it: /srv/xen/web7/data.raw (web7) 56GiB, " in seen
    assert seen.endswith(", 2 more 24GiB")
    assert "web2" not in seen


@pytest.mark.parametrize("unknown", ["size", "free"])
def test_a_file_system_that_says_nothing(unknown: str) -> None:
    host = with_space(100 * GiB, 0)
    host.file_systems = [replace(host.file_systems[0], **{unknown: None})]
    add(host, "web", 10 * GiB, 0)
    assert codes(host) == []
    assert report_on(host).hosts[0].file_systems == ()


# ---- volumes ----


def with_pool(*volumes: ThinVolume, free: int = 0, **pool: Any) -> AuditedXen:
    """A host whose group of 50 GiB has a pool of 20 GiB with these volumes, of which 10 are used,
    and a volume that the domain db has."""
    host = AuditedXen()
    known = {"size": 20 * GiB, "used": 10 * GiB, "metadata_percent": 10.0}
    made = ThinPool("/dev/vg0/pool", volumes=volumes, **{**known, **pool})
    host.volume_groups = [VolumeGroup("vg0", 50 * GiB, free, (made,))]
    add_volume(host, "db", "/dev/vg0/db", 4 * GiB)
    return host


def add_volume(
    host: AuditedXen, domain: str, path: str, size: int, pool: Optional[str] = None
) -> None:
    """A volume that the domain has."""
    _nothing, _dev, group, name = path.split("/")
    host.device(path, size, device={"volume": VolumeName(group, name, name, pool)})
    host.config(domain, [("xvda", path)])


def test_a_pool_that_has_enough_for_its_volumes() -> None:
    host = with_pool(ThinVolume("/dev/vg0/web", 20 * GiB, 10 * GiB))
    assert codes(host) == []


def test_a_pool_that_has_promised_more() -> None:
    host = with_pool(
        ThinVolume("/dev/vg0/web", 20 * GiB, 8 * GiB),
        ThinVolume("/dev/vg0/asleep", 5 * GiB),
        free=6 * GiB,
    )
    add_volume(host, "web", "/dev/vg0/web", 20 * GiB, "pool")
    found = the_finding("overcommitted", host)
    assert (found.severity, found.bytes, found.place.path) == ("warning", 5 * GiB, "/dev/vg0/pool")
    assert found.seen == (
        "10GiB of 20GiB are free, and guests may still take 15GiB by the volumes in it: "
        "/dev/vg0/web (web) 12GiB, /dev/vg0/asleep 5GiB"
    )
    assert found.remedy.endswith("; 6GiB are free in the volume group vg0")


def test_a_snapshot_and_its_origin_may_both_be_written_over() -> None:
    whole = [ThinVolume(f"/dev/vg0/{name}", 10 * GiB, 10 * GiB) for name in ("web", "snap")]
    assert codes(with_pool(*whole)) == []
    found = the_finding("overcommitted", with_pool(*whole, ThinVolume("/dev/vg0/new", 3 * GiB, 0)))
    assert found.bytes == 3 * GiB
    assert found.seen.endswith("/dev/vg0/new 3GiB, what snapshots and their origins share 10GiB")


def test_a_pool_that_is_nearly_full() -> None:
    host = with_pool(ThinVolume("/dev/vg0/web", 21 * GiB, 19 * GiB), used=19 * GiB + MiB)
    assert the_finding("nearly-full", host).severity == "error"


def test_a_pool_whose_metadata_is_nearly_full() -> None:
    found = the_finding("metadata-nearly-full", with_pool(metadata_percent=90.5))
    assert found.seen == "the metadata of the pool is 90.5 % full"
    assert found.remedy == "lvextend --poolmetadatasize +1g vg0/pool"
    assert codes(with_pool(metadata_percent=89.9)) == []


def test_a_pool_that_is_not_active() -> None:
    host = with_pool(ThinVolume("/dev/vg0/web", 90 * GiB), used=None, metadata_percent=None)
    assert codes(host) == []
    assert [one.kind for one in report_on(host).hosts[0].volume_stores] == ["group"]


def test_what_groups_and_pools_have_left() -> None:
    host = with_pool(
        ThinVolume("/dev/vg0/web", 25 * GiB, 10 * GiB), free=9 * GiB, metadata_percent=95.0
    )
    host.volume_groups.append(VolumeGroup("vg1", GiB, GiB))
    report = report_on(host)
    ids = tuple(one.id for one in report.findings)
    assert len(ids) == 2
    assert set(report.hosts[0].volume_stores) == {
        VolumeStoreBar(
            "group", "vg0", "vg0", 50 * GiB, 9 * GiB, 2, 24 * GiB, 29 * GiB, findings=ids
        ),
        VolumeStoreBar(
            *("pool", "/dev/vg0/pool", "vg0", 20 * GiB, 10 * GiB, 1, 10 * GiB, 25 * GiB),
            metadata_percent=95.0,
            findings=ids,
        ),
        VolumeStoreBar("group", "vg1", "vg1", GiB, GiB),
    }


# ---- slots ----


def test_a_slot_that_is_only_occupied() -> None:
    host = AuditedXen()
    host.image("/srv/xen/web/data.raw")
    host.config("web", [("xvda", "/srv/xen/web/data.raw")])
    host.run("web")
    host.attach(
        "web",
        "xvda",
        "/srv/xen/web/data.raw",
        flaw="left over from a failed attach",
        hotplug_error="no loop device",
        is_served=False,
        backend_state=1,
    )
    found = the_finding("occupied-slot", host)
    assert found.seen == "left over from a failed attach: no loop device"
    assert "xen.blockdev.provision" in found.remedy


def test_what_a_domain_that_is_gone_has_left() -> None:
    host = AuditedXen()
    for domid in (7, 8):
        host.attach(
            str(domid),
            "xvda",
            None,
            domid=domid,
            flaw="left over from a failed attach (no loop device)",
            hotplug_error="no loop device",
            is_served=False,
            backend_state=1,
        )
    host.disks = {key: replace(disk, domain=None) for key, disk in host.disks.items()}
    found = found_on(host)
    assert [one.place.domain for one in found] == ["with the id 7", "with the id 8"]
    assert found[0].seen == "left over from a failed attach (no loop device)"
    assert found[0].remedy.endswith("xenstore-rm /local/domain/0/backend/vbd/7/51712")
