# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guests say of the disks with which they were started, from the configs of the plan."""

from __future__ import annotations

import re

MIB = 2048
"""In sectors."""

LINK = "/dev/disk/by-loop-file/srv/xen"

# Domain to xenstore key, to: sectors, access, what dom0 reads the same content from.
LINUX = {
    "pv": {
        51712: (2 * MIB, "rw", f"{LINK}/pv/boot.raw"),
        51768: (1 * MIB, "ro", f"{LINK}/pv/data.raw"),
        268439552: (1 * MIB, "rw", f"{LINK}/pv/far.raw"),
        51744: (1 * MIB, "ro", f"{LINK}/shared.raw"),
    },
    "second": {
        51712: (2 * MIB, "rw", f"{LINK}/second/boot.raw"),
        51728: (1 * MIB, "rw", "/dev/lab/lun"),
        51744: (1 * MIB, "rw", "/srv/sources/qcow2.raw"),
        51760: (1 * MIB, "rw", "/srv/xen/second/file.raw"),
        51776: (1 * MIB, "ro", f"{LINK}/shared.raw"),
    },
}
PVH = {
    51712: (2 * MIB, "rw", f"{LINK}/pvh/boot.raw"),
    51768: (1 * MIB, "ro", f"{LINK}/pvh/number.raw"),
    268442112: (1 * MIB, "rw", f"{LINK}/pvh/far.raw"),
}
# GRUB says neither the number of a slot that has a name, nor whether it may write.
GRUB = {
    "xvda": (2048, f"{LINK}/grub/boot.raw"),
    "51768": (1024, f"{LINK}/grub/number.raw"),
    "xvdaa": (1024, f"{LINK}/grub/far.raw"),
}

HASHED_SECTORS = 64
"""GRUB gets little of the processor, and takes half a minute for a MiB."""


def test_pv_guest_sees_exactly_its_disks(xen):
    xen.sees_exactly("pv", LINUX["pv"])


def test_pv_guest_sees_a_volume_a_qcow2_image_and_a_file(xen):
    xen.sees_exactly("second", LINUX["second"])


def test_content_is_that_of_the_source(xen):
    size = 2**20
    for domain in ("pv", "second", "pvh", "grub"):
        image = f"{LINK}/{domain}/boot.raw"
        head = xen.shell("head --bytes=%s %s | sha256sum", str(size), image)
        assert head.split()[0] == xen.sha256(f"/srv/sources/{domain}.raw")


def test_grub_guest_sees_exactly_its_disks(xen):
    before = len(xen.console("grub"))
    xen.tell("grub", "ls")
    said = xen.await_(
        lambda: xen.console("grub")[before:],
        lambda text: "(xen/" in text,
        lambda: xen.console("grub"),
    )
    assert set(re.findall(r"\(xen/(\w+)\)", said)) == set(GRUB)
    for name, (kib, path) in GRUB.items():
        before = len(xen.console("grub"))
        xen.tell("grub", f"ls -l (xen/{name})")
        said = xen.await_(
            lambda: xen.console("grub")[before:],  # noqa: B023
            lambda text: "KiB" in text,
            lambda: xen.console("grub"),
        )
        assert f"{kib}KiB" in said.replace("\n", "")
        xen.tell("grub", f"hashsum --hash sha256 (xen/{name})0+{HASHED_SECTORS}")
        said = xen.await_(
            lambda: re.findall(r"\b[0-9a-f]{64}\b", xen.console("grub")[before:]),  # noqa: B023
            bool,
            lambda: xen.console("grub"),
        )
        head = xen.shell("head --bytes=%s %s | sha256sum", HASHED_SECTORS * 512, path)
        assert said == [head.split()[0]]
    # It waits for keys by asking for them all the time, and needs to answer no more.
    xen.shell("xl sched-credit2 --domain=grub --cap=1")


def test_dom0_serves_them_as_planned(xen):
    bindings = xen.bindings()
    for domain, wanted in LINUX.items():
        slots = xen.slots(domain)
        assert set(slots) == set(wanted)
        for key, (sectors, access, path) in wanted.items():
            backend = slots[key]
            assert backend["mode"] == {"rw": "w", "ro": "r"}[access]
            assert backend["state"] == "4"
            if not path.startswith(LINK):
                continue
            assert backend["params"] == path
            device = bindings[path[len("/dev/disk/by-loop-file") :]]
            number = int(device[len("/dev/loop") :])
            assert backend["physical-device"] == f"7:{number:x}"
            assert int(backend["sectors"]) == sectors
    grub = xen.slots("grub")
    assert {key: slot["mode"] for key, slot in grub.items()} == {
        51712: "w",
        51768: "w",
        268442112: "r",
    }


def test_info_tells_what_is_there(xen):
    uuid = xen.shell("xl vm-list | awk '$3 == \"second\" {print $1}'")
    result = xen.module("xen_vbd_info", domains=["pv", uuid, xen.domid("grub")])
    seen = {(vbd["domain"], vbd["xenstore_key"]): vbd for vbd in result["vbds"]}
    keys = [("grub", 51712), ("grub", 51768), ("grub", 268442112)]
    assert set(seen) == {*keys, *((name, key) for name, disks in LINUX.items() for key in disks)}
    bindings = xen.bindings()
    for name, disks in LINUX.items():
        for key, (sectors, access, _path) in disks.items():
            vbd = seen[name, key]
            assert (vbd["access"], vbd["backend_state"]) == (access, 4)
            if vbd["backendtype"] == "phy":
                assert (vbd["sectors"], vbd["size"]) == (sectors, sectors * 512)
    boot = seen["pv", 51712]
    number = bindings["/srv/xen/pv/boot.raw"][len("/dev/loop") :]
    assert boot["physical_device"] == f"7:{number}"
    assert boot["backing_file"] == "/srv/xen/pv/boot.raw"
    assert boot["sector_size"] == 512
    assert boot["frontend_state"] == 4
    assert boot["hotplug_error"] is None
    qcow2 = seen["second", 51744]
    assert (qcow2["backendtype"], qcow2["format"]) == ("qdisk", "qcow2")
    assert qcow2["target"] == "/srv/sources/base.qcow2"
    script = seen["second", 51760]
    assert (script["target"], script["backing_file"]) == ("/srv/xen/second/file.raw",) * 2


def test_autostart_links_of_the_plan(xen):
    wanted = [domain["name"] for domain in xen.domains() if domain.get("autostart")]
    assert xen.shell("ls /etc/xen/auto").split() == [f"{name}.cfg" for name in sorted(wanted)]
    for name in wanted:
        assert xen.shell(f"readlink -f /etc/xen/auto/{name}.cfg") == f"/etc/xen/{name}.cfg"


def test_guest_writes_what_it_may_and_nothing_else(xen):
    report = xen.settled("pv")
    xen.tell("pv", f"write {report[268439552]['name']} hello from the guest")
    xen.tell("pv", f"write {report[51768]['name']} this must not be there")
    xen.await_(
        lambda: xen.console("pv"),
        lambda text: "xen-lab: written xvdq" in text and "xen-lab: refused xvdd8" in text,
        lambda: xen.console("pv")[-2000:],
    )
    assert xen.shell("head -n 1 /srv/xen/pv/far.raw") == "hello from the guest"
    assert xen.sha256("/srv/xen/pv/data.raw") == report[51768]["sha256"]
    assert xen.ask_again("pv")[268439552]["sha256"] == xen.sha256("/srv/xen/pv/far.raw")


def test_pvh_guest_sees_exactly_its_disks(xen):
    """It is started here and destroyed again.

    The emulated processor now and then runs a PVH guest wrong, which Xen sees as a triple fault.
    Then xl starts it again, or it is gone before it has been seen to run.
    """
    for _attempt in range(5):
        result = xen.module("xen_domain", name="pvh")
        if not result.get("failed"):
            break
        xen.module("xen_domain", name="pvh", state="destroyed")
    assert result["domains"][0]["actions"] == ["start domain pvh from /etc/xen/pvh.cfg"]
    xen.sees_exactly("pvh", PVH)
    for check in (True, False):
        result = xen.module("xen_domain", check, name="pvh", state="destroyed")
        assert result["changed"] is True
        assert result["domains"][0]["actions"] == ["destroy domain pvh"]
    assert result["domains"][0]["status"] == "absent"
    assert "pvh" not in xen.shell("xl list").split()
    assert xen.module("xen_domain", name="pvh", state="destroyed")["changed"] is False
