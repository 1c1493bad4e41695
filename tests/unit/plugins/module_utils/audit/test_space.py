# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What will stop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import OtherData
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.auditedhosts import (
    AuditedXen,
    GiB,
    MiB,
    codes,
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
    (bar,) = report_on(host).hosts[0].file_systems
    assert (bar.images, bar.promised, bar.taken) == (1, 0, 0)


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
