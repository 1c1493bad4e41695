# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data in danger on one host."""

from __future__ import annotations

from typing import Any, Dict, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import HostUse
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.auditedhosts import (
    AuditedXen,
    MiB,
    codes,
    the_finding,
    usual_host,
)

BOOT = "/srv/xen/web/boot.raw"
OFF = "/srv/xen/db/boot.raw"
MOUNT = HostUse("mount", "mounted on /mnt")


def using(storage: str, *uses: HostUse, access: str = "rw") -> AuditedXen:
    """A host that uses the disk of a domain, web runs and db does not."""
    host = AuditedXen()
    domain = storage.split("/")[3]
    host.image(storage, storage={"uses": uses})
    host.config(domain)
    host.configured(domain, "xvda", storage, access=access)
    if domain == "web":
        host.run(domain, domid=7)
        host.attach(domain, "xvda", storage, access=access)
    return host


def process(for_writing: bool, domid: Optional[int] = None) -> HostUse:
    how = "open for writing" if for_writing else "open"
    return HostUse("process", f"{how} in process 4711 (dd)", 4711, domid, for_writing)


@pytest.mark.parametrize("access", ["ro", "rw"])
@pytest.mark.parametrize(
    "use",
    [
        MOUNT,
        HostUse("swap", "used as swap"),
        HostUse("holder", "held by /dev/dm-1"),
        HostUse("claim", "held exclusively"),
    ],
)
def test_what_dom0_uses_itself(use: HostUse, access: str) -> None:
    found = the_finding("used-in-dom0", using(BOOT, use, use, access=access))
    assert found.seen == f"it is {use.sentence} in dom0"
    assert (found.place.domain, found.place.slot, found.place.path) == ("web", "xvda", BOOT)


def test_the_disk_of_a_domain_that_is_off() -> None:
    assert codes(using(OFF, MOUNT)) == ["used-while-off"]
    assert codes(using(OFF, process(for_writing=True))) == []


@pytest.mark.parametrize(
    ("access", "use", "expected"),
    [
        ("rw", process(for_writing=True), ["used-in-dom0"]),
        ("ro", process(for_writing=True), ["written-in-dom0"]),
        ("rw", process(for_writing=False), []),
        ("ro", process(for_writing=False), []),
        # The QEMU of a domain that no longer has the disk.
        ("rw", process(for_writing=False, domid=9), ["used-in-dom0"]),
        ("ro", process(for_writing=False, domid=9), []),
        ("ro", process(for_writing=True, domid=9), ["used-in-dom0"]),
        # The QEMU of the domain itself.
        ("rw", process(for_writing=True, domid=7), []),
    ],
)
def test_processes(access: str, use: HostUse, expected: Any) -> None:
    assert codes(using(BOOT, use, access=access)) == expected


@pytest.mark.parametrize(
    ("lost", "code"), [({"deleted": True}, "image-deleted"), ({"hidden": True}, "image-replaced")]
)
def test_images_that_are_gone(lost: Dict[str, bool], code: str) -> None:
    host = AuditedXen()
    name = f"{BOOT} (gone)"
    host.image(BOOT, name=name, **lost)
    host.bind(name)
    host.config("web", [("xvda", name)])
    host.run("web", [("xvda", name)])
    found = the_finding(code, host)
    assert found.place.path == name
    assert BOOT in found.seen
    assert "/dev/loop0" in found.remedy


def test_an_image_that_is_gone_and_not_bound() -> None:
    host = AuditedXen()
    host.image(BOOT, deleted=True)
    host.config("web", [("xvda", BOOT)])
    host.run("web", [("xvda", BOOT)])
    assert "inside the guest" in the_finding("image-deleted", host).remedy


@pytest.mark.parametrize("loop", [{"by_script": True}, {"autoclear": True}])
def test_an_image_that_is_gone_and_whose_loop_device_goes_with_its_guest(
    loop: Dict[str, bool],
) -> None:
    host = AuditedXen()
    host.image(BOOT, deleted=True)
    host.config("web", [("xvda", BOOT)])
    host.bind(BOOT, unit=False, **loop)
    host.run("web", [("xvda", BOOT)])
    assert "inside the guest" in the_finding("image-deleted", host).remedy


# ---- formats ----


def with_format(image_format: str, signature: Optional[str], **image: Any) -> AuditedXen:
    host = AuditedXen()
    host.image(BOOT, signature=signature, **image)
    host.config("web")
    host.configured("web", "xvda", BOOT, format=image_format)
    return host


def test_a_qcow2_that_a_config_calls_raw() -> None:
    found = the_finding("looks-not-raw", with_format("raw", "qcow2"))
    assert found.seen == "/etc/xen/web.cfg has it as raw, but it looks like a qcow2 image"
    assert "set format: qcow2 for the disk" in found.remedy


def test_a_qcow2_that_a_guest_has_as_raw() -> None:
    host = with_format("qcow2", "qcow2")
    host.run("web", [("xvda", BOOT)])
    assert the_finding("looks-not-raw", host).seen.startswith("the running guest has it as raw")


def test_a_format_without_words_of_its_own() -> None:
    assert "but it looks like vmfs" in the_finding("looks-not-raw", with_format("raw", "vmfs")).seen


@pytest.mark.parametrize(("signature", "words"), [(None, "a raw image"), ("vhd", "a vhd image")])
def test_an_image_that_is_not_of_its_format(signature: Optional[str], words: str) -> None:
    found = the_finding("not-of-its-format", with_format("qcow2", signature))
    assert found.seen.endswith(f"has it as qcow2, but it looks like {words}")


@pytest.mark.parametrize("image_format", ["qcow2", "raw"])
def test_a_format_that_is_right(image_format: str) -> None:
    assert codes(with_format(image_format, None if image_format == "raw" else "qcow2")) == []


def test_nothing_is_said_of_the_format_of_what_is_gone() -> None:
    host = with_format("qcow2", None, deleted=True)
    assert codes(host) == ["image-deleted"]


def test_two_configs_with_the_wrong_format_are_one_finding() -> None:
    host = with_format("raw", "qcow2")
    host.config("web", [("xvda", BOOT)], path="/etc/xen/web.cfg.old")
    assert codes(host) == ["looks-not-raw"]


# ---- loop devices ----


def bound_twice(*loops: Dict[str, Any]) -> AuditedXen:
    host = AuditedXen()
    host.image(BOOT)
    host.bind(BOOT)
    host.config("web", [("xvda", BOOT)])
    for loop in loops:
        host.bind(BOOT, unit=False, **loop)
    return host


def test_two_loop_devices_on_one_image() -> None:
    found = the_finding("two-loop-devices", bound_twice({}))
    assert found.seen == f"/dev/loop0 and /dev/loop1 are both bound to {BOOT}"
    assert found.place.domain == "web"


def test_two_loop_devices_on_an_image_of_no_domain() -> None:
    host = usual_host()
    host.image("/srv/other.raw")
    host.bind("/srv/other.raw")
    host.bind("/srv/other.raw", unit=False)
    found = the_finding("two-loop-devices", host)
    assert (found.place.domain, found.place.path) == (None, "/srv/other.raw")


def test_loop_devices_on_parts_of_an_image() -> None:
    host = AuditedXen()
    host.image(BOOT)
    host.config("web", [("xvda", BOOT)])
    for offset in (MiB // 2, 0):
        host.bind(BOOT, unit=False, offset=offset, size=MiB // 2)
    assert codes(host) == []
    host.bind(BOOT, unit=False, offset=512, size=512)
    assert the_finding("two-loop-devices", host).seen.startswith("/dev/loop1 and /dev/loop2 are")


def test_loop_devices_that_only_read() -> None:
    host = AuditedXen()
    host.image(BOOT)
    host.config("web", [("xvda", BOOT)])
    for _number in range(2):
        host.bind(BOOT, unit=False, read_only=True)
    assert codes(host) == []
    host.bind(BOOT, unit=False)
    assert codes(host) == ["two-loop-devices"]


# ---- sizes ----


def sized(storage: int, guest: Optional[int], loop: Optional[Dict[str, Any]] = None) -> AuditedXen:
    """A guest whose disk has these bytes."""
    host = AuditedXen()
    host.image(BOOT, storage)
    if loop is not None:
        host.bind(BOOT, **loop)
    host.config("web", [("xvda", BOOT)])
    host.run("web")
    host.attach("web", "xvda", BOOT, size=guest)
    return host


def test_a_guest_that_sees_the_old_size() -> None:
    found = the_finding("old-size", sized(4 * MiB, 2 * MiB, {"size": 4 * MiB}))
    assert found.seen == f"{BOOT} has 4MiB, and the guest was told 2MiB"
    assert found.remedy.startswith("detach xvda from domain web")


def test_a_loop_device_that_has_the_old_size() -> None:
    found = the_finding("old-size", sized(4 * MiB, 2 * MiB, {"size": 2 * MiB}))
    assert found.seen == f"{BOOT} has 4MiB, /dev/loop0 2MiB, and the guest was told 2MiB"
    assert found.remedy.startswith("losetup --set-capacity /dev/loop0")


def test_a_disk_that_is_smaller_than_its_guest_believes() -> None:
    found = the_finding("shrunk", sized(MiB, 2 * MiB))
    assert found.severity == "error"
    assert f"truncate -s {2 * MiB}" in found.remedy


@pytest.mark.parametrize(
    ("storage", "guest", "loop"),
    [
        (MiB, MiB, {"size": MiB}),
        (MiB, None, None),
        # A loop device that shows a part of the image.
        (4 * MiB, MiB, {"size": MiB, "offset": 512}),
        (4 * MiB, MiB, {"size": MiB, "size_limit": MiB}),
    ],
)
def test_sizes_that_are_right(
    storage: int, guest: Optional[int], loop: Optional[Dict[str, Any]]
) -> None:
    assert codes(sized(storage, guest, loop)) == []


@pytest.mark.parametrize(
    "vbd", [{"format": "qcow2"}, {"devtype": "cdrom"}, {"backend_domid": 3}, {"size": None}]
)
def test_sizes_that_say_nothing(vbd: Dict[str, Any]) -> None:
    host = AuditedXen()
    host.image(BOOT, MiB, signature=None if "format" not in vbd else "qcow2")
    host.config("web")
    host.configured("web", "xvda", BOOT, format=vbd.get("format", "raw"))
    host.run("web")
    host.attach("web", "xvda", BOOT, **{"size": 2 * MiB, **vbd})
    assert codes(host) == []
