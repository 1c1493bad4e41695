# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the target of a disk may be."""

from __future__ import annotations

from typing import Any, Dict

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.disk import target as disk_target
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.disk.target import DiskTargetError
from hypothesis import given
from hypothesis import strategies as st


def refused(**disk: Any) -> str:
    with pytest.raises(DiskTargetError) as error:
        disk_target.check(DiskSpec(**disk))
    return str(error.value)


@pytest.mark.parametrize(
    ("target", "right"),
    [
        ("phy:/dev/vg/a", "write target: /dev/vg/a"),
        ("phy:vg/a", "write target: /dev/vg/a"),
        ("phy:sda3", "write target: /dev/sda3"),
        ("file:/srv/x.img", "write target: /srv/x.img"),
        ("aio:/x", "write target: /x"),
        ("tap:aio:/x", "write target: /x"),
        ("tap2:tapdisk:aio:/x", "write target: /x"),
        ("tap:qcow2:/x", "write target: /x and format: qcow2"),
        ("vhd:/x", "write target: /x and format: vhd"),
        ("drbd:r0", "write target: r0 and script: block-drbd"),
        ("iscsi:iqn.x:y", "write target: iqn.x:y and script: block-iscsi (or backendtype: qdisk"),
        ("nbd:host:10809", "write target: host:10809 and script: block-nbd (or backendtype"),
        ("vg0/a", "xl would look for it in the directory in which it is started"),
        ("vg0/a", "such as /dev/vg0/a for a volume"),
        ("a b/../c", "such as /dev/vg0/web for a volume"),
        ("", "is not absolute"),
        ("@BLOCK:disk.img@", "is not absolute"),
        ("npiv:/210", "'npiv:' is not a prefix that xl knows; it knows phy:, file:"),
        ("npiv:210000e08b", "'npiv:' is not a prefix that xl knows; it knows phy:, file:"),
        ("tap:vmdk:/x", "xl cannot read vmdk images; convert it"),
        ("rbd:pool/image", "is for QEMU: write backendtype: qdisk, or the script"),
        ("json:{}", "is for QEMU"),
        ("ssh://host/x", "is for QEMU"),
        ("'/x'", "begins with a quote, which xl takes as part of it"),
        ('"/x', "begins with a quote"),
        ("/a,vdev=xvda", "has vdev= in it: everything after target= is the target; put target= l"),
        ("/a, access=ro", "has access= in it"),
        ("/a,colo-host=h", "has colo-host= in it"),
    ],
)
def test_that_a_target_that_nothing_opens_is_refused(target: str, right: str) -> None:
    error = refused(target=target, backend=None, script=None)
    assert error.startswith(f"target: {target!r} ")
    assert right in error


@pytest.mark.parametrize(
    "disk",
    [
        {},
        {"target": None, "backend": None},
        {"target": "/dev/vg0/a", "backend": "0"},
        {"target": "/a,b", "backend": "Domain-0"},
        {"target": "/a,x=y"},
        {"target": "/dev/disk/by-path/pci-0000:00:1f.2"},
        {"target": "iqn=x,portal=y", "script": "block-iscsi"},
        {"target": "phy:/dev/vg/a", "script": "block-own"},
        {"target": "vg0/a", "backend": "storage"},
        {"target": "rbd:pool/image:id=x", "backendtype": "qdisk"},
        {"target": "nbd+unix:///a?socket=/b", "backendtype": "qdisk"},
        {"target": 'json:{"driver":"raw"}', "backendtype": "qdisk"},
        {"target": "ssh://host/x", "backendtype": "qdisk"},
    ],
)
def test_that_a_target_that_something_opens_is_taken(disk: Dict[str, Any]) -> None:
    disk_target.check(DiskSpec(**disk))


def test_that_dom0_by_name_and_qemu_by_path_change_nothing() -> None:
    for more in ({"backend": "0"}, {"backend": "Domain-0"}, {"backendtype": "qdisk"}):
        assert "/dev/vg0/a" in refused(target="vg0/a", **more)
    assert "for QEMU" in refused(target="rbd:a/b", backendtype="phy")


@pytest.mark.parametrize("backend", ["phy", "tap", "qdisk", "standalone"])
def test_that_a_backend_is_a_domain(backend: str) -> None:
    for disk in ({"target": "/a"}, {}, {"target": "x", "script": "s"}):
        assert refused(**disk, backend=backend) == (
            f"backend is the domain that serves the disk, and {backend!r} is a backendtype: write "
            f"backendtype: {backend}"
        )


OPTIONS = st.fixed_dictionaries(
    {"target": st.text() | st.text("/a:,=phytaqcow2'\" ")},
    optional={
        "script": st.none() | st.text(),
        "backend": st.none() | st.sampled_from(["0", "phy", "storage"]),
        "backendtype": st.sampled_from([None, "phy", "qdisk"]),
    },
)


@given(OPTIONS)
def test_that_it_raises_the_documented_error_only(disk: Dict[str, Any]) -> None:
    try:
        disk_target.check(DiskSpec(**disk))
    except DiskTargetError as error:
        assert str(error)
