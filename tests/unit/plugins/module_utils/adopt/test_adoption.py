# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is taken over of a host, proven by the module that provides disks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.adopt import adoption
from ansible_collections.xen.blockdev.plugins.module_utils.adopt.model import Adoption
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info import survey_host
from ansible_collections.xen.blockdev.plugins.module_utils.survey.record import (
    recorded,
    survey_of,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.adopted_host import (
    MIB,
    AdoptedHost,
)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AdoptedHost]:
    host = AdoptedHost(tmp_path, monkeypatch)
    with host.xen:
        yield host


FORMS: Dict[str, Tuple[str, Dict[str, Any]]] = {
    "keyed": ("format=raw, vdev=xvda, access=rw, target={}", {}),
    "positional": ("{},raw,xvda,rw", {}),
    "positional, short": ("{},,xvda,w", {}),
    "read-only": ("{},raw,xvda,r", {"access": "ro"}),
    "file:": ("file:{},xvda,w", {}),
    "tap:aio:": ("tap:aio:{},xvda,w", {}),
    "number": ("{},,51712,w", {"vdev": "51712"}),
    "another slot": ("{},,xvdc,w", {"vdev": "xvdc"}),
    "ide": ("{},,hda,w", {"vdev": "hda"}),
    "backendtype": ("vdev=xvda, backendtype=phy, target={}", {"backendtype": "phy"}),
    "discard": ("vdev=xvda, no-discard, target={}", {"discard": False}),
    "safe": ("vdev=xvda, direct-io-safe, target={}", {"direct_io_safe": True}),
    "xen": ("vdev=xvda, specification=xen, devtype=disk, target={}", {}),
    "backend": ("vdev=xvda, backend=0, target={}", {}),
    "grant_usage": ("vdev=xvda, grant_usage=1, target={}", {}),
}


ODD = MIB + 512


def test_images_in_every_form(host: AdoptedHost) -> None:
    wanted: List[Dict[str, Any]] = []
    for number, (spec, more) in enumerate(FORMS.values()):
        usual, other = f"vm{number}", f"xm{number}"
        host.config(usual, spec.format(host.image(f"{usual}/data.raw")))
        wanted.append({"name": usual, "disks": [{"name": "data", "size": "1MiB", **more}]})
        path = host.image(f"elsewhere/{other}-root.img", ODD)
        host.config(other, spec.format(path))
        disk = {"name": "root", "path": path, "size": ODD, **more}
        wanted.append({"name": other, "disks": [disk]})
    for domain in wanted:
        domain["disks"][0]["loop"] = False
    wanted.sort(key=lambda domain: domain["name"])
    assert host.proven() == wanted


def test_qemu_opens_an_image(host: AdoptedHost) -> None:
    image = host.image("vm/data.raw")
    copied = host.image("vm/copied.qcow2", content=b"QFI\xfb\0\0\0\3")
    host.config("vm", f"vdev=xvda,backendtype=qdisk,target={image}", f"{copied},qcow2,xvdb,r")
    disks = [
        {"name": "data", "size": "1MiB", "backendtype": "qdisk"},
        {"name": "copied", "path": copied, "format": "qcow2", "access": "ro"},
    ]
    assert host.proven() == [{"name": "vm", "disks": disks}]


def notes(adopted: Adoption) -> str:
    return "\n".join(adopted.notes)


def test_block_devices_are_named_after_volumes(host: AdoptedHost) -> None:
    targets = [
        "/dev/vg0/vm-root",
        "/dev/mapper/vg--0-vm--swap",
        "/dev/zvol/tank/vm/log",
        "/dev/sdb",
        "/dev/disk/by-id/scsi-1",
        "/dev/vg0/vm",
    ]
    for minor, target in enumerate(targets):
        host.xen.device(target, 253, minor)
    slots = "abcdef"
    host.config("vm", *(f"phy:{one},xvd{slots[n]},w" for n, one in enumerate(targets)))
    (domain,) = host.proven()
    assert [disk["name"] for disk in domain["disks"]] == [
        "root",
        "swap",
        "log",
        "xvdd",
        "xvde",
        "xvdf",
    ]
    assert [disk["target"] for disk in domain["disks"]] == targets
    assert {key for disk in domain["disks"] for key in disk} == {"name", "target"}


def test_scripts_drivers_and_protocols(host: AdoptedHost) -> None:
    host.config(
        "vm",
        "drbd:res,xvda,w",
        "vdev=xvdb,backendtype=qdisk,target=rbd:pool/image",
        "vdev=xvdc,backend=storage,target=/dev/vg/x",
        "vdev=xvdd,script=block-iscsi,target=iqn=a,portal=b",
    )
    assert host.proven()[0]["disks"] == [
        {"name": "xvda", "target": "res", "script": "block-drbd"},
        {"name": "xvdb", "target": "rbd:pool/image", "backendtype": "qdisk"},
        {"name": "x", "target": "/dev/vg/x", "backend": "storage"},
        {"name": "xvdd", "target": "iqn=a,portal=b", "script": "block-iscsi"},
    ]


def test_only_slots_that_the_plan_would_not_give_are_written(host: AdoptedHost) -> None:
    for name, slots, written in [
        ("a1", ["xvda", "xvdb", "xvdc"], [None, None, None]),
        ("a2", ["xvda", "xvdc", "xvdd"], [None, "xvdc", "xvdd"]),
        ("a3", ["xvdb", "xvda"], ["xvdb", None]),
        ("a4", ["hda", "xvdb", "51768"], ["hda", None, "51768"]),
        ("a5", ["xvdb", "xvdd8", "5"], ["xvdb", "xvdd8", "5"]),
    ]:
        host.config(name, *(f"/dev/vg/{name}-{n},,{one},w" for n, one in enumerate(slots)))
        domain = host.proven()[-1]
        assert domain["name"] == name
        assert [disk.get("vdev") for disk in domain["disks"]] == written


def test_names_are_unique_and_names(host: AdoptedHost) -> None:
    host.config(
        "vm",
        host.image("other/data.img") + ",,xvda,w",
        host.image("vm/data.raw") + ",,xvdb,w",
        host.image("12.img") + ",,xvdc,w",
        host.image("vm.img") + ",,xvdd,w",
        host.image("a b.img") + ",,xvde,w",
        host.image("vm_swap.img") + ",,xvdf,w",
        host.image("xvdg.img") + ",,xvdh,w",
        host.image("xvdh.img") + ",,xvdg,w",
        "vdev=5,backendtype=qdisk,target=nbd:localhost:1",
    )
    names = ["xvda", "data", "xvdc", "xvdd", "xvde", "swap", "xvdg", "xvdh", "disk5"]
    (domain,) = host.proven()
    assert [disk["name"] for disk in domain["disks"]] == names
    assert "path" not in domain["disks"][1]


def test_the_config_and_the_autostart_link(host: AdoptedHost) -> None:
    usual = host.config("a", "/dev/vg/a,,xvda,w")
    other = host.config("b", "/dev/vg/b,,xvda,w", path="b.xl")
    (host.auto / "10-a").symlink_to(usual)
    (host.auto / "20 b").symlink_to(other)  # xendomains passes over this name.
    inside = host.auto / "c.cfg"
    inside.write_text("name = 'c'\n")
    host.config("d", path="d.cfg")
    assert host.proven() == [
        {"name": "a", "autostart": True, "disks": [{"name": "xvda", "target": "/dev/vg/a"}]},
        {
            "name": "b",
            "config_path": str(other),
            "disks": [{"name": "xvda", "target": "/dev/vg/b"}],
        },
        {"name": "c", "config_path": str(inside), "autostart": True},
        {"name": "d"},
    ]


def test_one_of_several_configs(host: AdoptedHost) -> None:
    host.config("a", "/dev/vg/new,,xvda,w")
    started = host.config("a", "/dev/vg/old,,xvda,w", path="a.old.cfg")
    host.config("b", "/dev/vg/c,,xvda,w", path="1.cfg")
    host.config("b", "/dev/vg/d,,xvda,w", path="2.cfg")
    assert [domain["name"] for domain in host.proven()] == ["a"]
    assert host.proven()[0]["disks"][0]["target"] == "/dev/vg/new"
    assert f"domain b: not taken over: It has several configs, {host.configs}/1.cfg and " in notes(
        host.adopted()
    )
    (host.auto / "a").symlink_to(started)
    assert host.proven()[0]["disks"][0]["target"] == "/dev/vg/old"


def test_a_config_that_this_collection_wrote(host: AdoptedHost) -> None:
    config = {"type": "pvh", "kernel": "/k", "memory": 64, "cmdline": "a='{{ 1 }}'"}
    specs = [
        f"format=raw, vdev=xvda, access=rw, target={host.image('vm/data.raw')}",
        "format=raw, vdev=51728, access=ro, devtype=disk, target=/dev/vg/x",
        "format=raw, vdev=xvdd, access=rw, target=/dev/vg/y",
    ]
    (host.configs / "vm.cfg").write_text(config_text.render("vm", config, specs))
    disks = [
        {"name": "data", "size": "1MiB", "loop": False},
        {"name": "y", "target": "/dev/vg/y", "vdev": "xvdd"},
    ]
    # A plan need not say that a disk is one, but this text does.
    wanted = {"name": "vm", "config": config, "unlisted_disks": "keep", "disks": disks}
    assert host.proven() == [wanted]
    assert "xvdb" not in str(wanted)
    without = survey_host([str(host.configs)], [], str(host.auto), settings=False)
    left = adoption.adopt(without, str(host.images), str(host.configs))
    assert (left.plain, "settings: true" in notes(left)) == ((), True)


# ---- running guests ----


def test_the_running_guest_has_what_its_config_says(host: AdoptedHost) -> None:
    image, volume = host.image("web/data.raw"), "/dev/vg/web-log"
    host.xen.device(volume, 253, 1)
    host.start("web", 1)
    host.config("web", f"{volume},,xvda,w", f"vdev=xvdb,backendtype=qdisk,target={image}")
    host.attach(1, "xvda", volume)
    host.attach(1, "xvdb", f"aio:{image}", type="qdisk")
    assert [disk["name"] for disk in host.proven()[0]["disks"]] == ["log", "data"]
    assert host.adopted().notes == ()


def test_what_was_attached_by_hand_is_a_choice(host: AdoptedHost) -> None:
    for minor, name in enumerate("ab"):
        host.xen.device(f"/dev/vg/web-{name}1", 253, minor)
    host.start("web", 1)
    host.config("web", "/dev/vg/web-a1,,xvda,w")
    host.attach(1, "xvda", "/dev/vg/web-a1", **{"physical-device": "fd:0"})
    host.attach(1, "xvdc", "/dev/vg/web-b1", mode="r")
    (domain,) = host.proven()
    assert domain == {"name": "web", "disks": [{"name": "a1", "target": "/dev/vg/web-a1"}]}
    adopted = host.adopted()
    assert "/dev/vg/web-b1 in xvdc, which is not in its config" in notes(adopted)
    by_hand = {"name": "b1", "target": "/dev/vg/web-b1", "vdev": "xvdc", "access": "ro"}
    assert [one.entry for one in adopted.domains[0].disks[1].choices] == [by_hand]
    changed = host.adopted("attached")
    assert changed.plain[0]["disks"][1] == by_hand
    config = host.configs / "web.cfg"
    actions = [f"keep a copy of {config}", f"replace the disk list in {config}"]
    assert host.provided(changed.plain).actions == actions


def test_where_config_and_guest_disagree_both_are_shown(host: AdoptedHost) -> None:
    for minor, name in enumerate("abc"):
        host.xen.device(f"/dev/vg/{name}1", 253, minor)
    host.start("web", 1)
    host.config("web", "/dev/vg/a1,,xvda,w", "/dev/vg/b1,,xvdb,w", "/dev/vg/c1,,xvdc,w")
    host.attach(1, "xvda", "/dev/vg/c1", **{"physical-device": "fd:2"})
    host.attach(1, "xvdb", "/dev/vg/b1", mode="r")
    assert host.proven() == [{"name": "web", "unlisted_disks": "keep"}]
    adopted = host.adopted()
    choices = [[one.entry for one in disk.choices] for disk in adopted.domains[0].disks]
    assert choices == [
        [
            {"name": "a1", "target": "/dev/vg/a1", "vdev": "xvda"},
            {"name": "a1", "target": "/dev/vg/c1", "vdev": "xvda"},
        ],
        [
            {"name": "b1", "target": "/dev/vg/b1", "vdev": "xvdb"},
            {"name": "b1", "target": "/dev/vg/b1", "vdev": "xvdb", "access": "ro"},
        ],
        [{"name": "c1", "target": "/dev/vg/c1", "vdev": "xvdc"}],
    ]
    assert adopted.notes == (
        "domain web, xvda: not taken over: The running guest has /dev/vg/c1 in xvda, not "
        "/dev/vg/a1.",
        "domain web, xvdb: not taken over: The running guest has /dev/vg/b1 in xvdb, with access: "
        "ro, not rw.",
        "domain web, xvdc: not taken over: The running guest does not have it.",
    )


def test_a_guest_without_a_config_is_shown(host: AdoptedHost) -> None:
    host.xen.device("/dev/vg/x", 253, 1)
    host.start("db", 2)
    host.attach(2, "xvda", "/dev/vg/x")
    assert host.proven() == []
    (domain,) = [one for one in host.adopted().domains if one.name == "db"]
    assert "It has no config in" in domain.problems[0]
    assert domain.disks[0].where == "xvda: /dev/vg/x in the running guest"


def test_two_guests_with_one_name_are_left_to_the_user(host: AdoptedHost) -> None:
    host.start("web", 1)
    host.start("web", 4)
    host.config("web", "/dev/vg/x,,xvda,w")
    assert host.proven() == []
    assert "Two running domains have this name (1 and 4)." in notes(host.adopted())


def test_cd_drives(host: AdoptedHost) -> None:
    cd, other = host.image("iso/os.iso"), host.image("iso/other.iso")
    host.xen.device("/dev/sr0", 11, 0)
    host.xen.hvm_guest("hdc", "hdd", "hdb", hdd=cd, hdb=other)
    win = (f"{cd},,hdd:cdrom,r", "vdev=hdc,devtype=cdrom", f"{cd},,hdb:cdrom,r")
    host.config("win", *win, more="type = 'hvm'\n")
    host.config("off", ",,hdc,cdrom", "/dev/sr0,raw,hdd,cdrom", more="type = 'hvm'\n")
    off, running = host.proven()
    assert off["disks"] == [
        {"name": "cd", "devtype": "cdrom"},
        {"name": "hdd", "target": "/dev/sr0", "vdev": "hdd", "devtype": "cdrom"},
    ]
    assert running["unlisted_disks"] == "keep"
    assert running["disks"] == [
        {"name": "cd", "path": cd, "vdev": "hdd", "devtype": "cdrom"},
        {"name": "hdc", "devtype": "cdrom"},
    ]
    shown = next(disk for disk in host.adopted().domains if disk.name == "win").disks[2]
    assert [one.entry.get("path") for one in shown.choices] == [cd, other]
    assert "with " + other + " in the drive" in shown.remarks[0]


def test_an_empty_drive_in_a_config_of_this_collection(host: AdoptedHost) -> None:
    """It is written without access, which a drive has no choice of."""
    drive = DiskSpec(vdev="hdc", devtype="cdrom").with_defaults().render()
    (host.configs / "win.cfg").write_text(config_text.render("win", {"type": "hvm"}, [drive]))
    (win,) = host.proven()
    assert win["disks"] == [{"name": "cd", "devtype": "cdrom"}]
    assert "unlisted_disks" not in win


# ---- what cannot be taken over ----


def test_disks_that_a_plan_cannot_have_stay_in_their_config(host: AdoptedHost) -> None:
    image, _log = host.image("vm/data.raw"), host.image("vm/log.raw")
    for spec, why in {
        "phy:vg0/x,xvdb,w": "is not absolute: use a full path, such as /dev/vg0/x",
        "rbd:pool/x,raw,xvdb,w": "is for QEMU",
        f"{host.images}//vm/log.raw,,xvdb,w": "is not normalized",
        "/srv/gone.raw,,xvdb,w": "/srv/gone.raw",
        "/proc/self/x,,xvdb,w": "/proc/self/x",
        f"{host.images}/vm/log.raw,empty,hdc,r,cdrom": "provision refuses: format: empty is for",
    }.items():
        host.config("vm", f"{image},,xvda,w", spec)
        (domain,) = host.proven()
        assert domain["unlisted_disks"] == "keep"
        assert [disk["name"] for disk in domain["disks"]] == ["data"]
        (note,) = host.adopted().notes
        assert note.startswith(("domain vm, xvdb: ", "domain vm, hdc: "))
        assert why in note


def test_what_looks_like_another_format_is_said_to_be_raw(host: AdoptedHost) -> None:
    image = host.image("vm/data.raw", content=b"QFI\xfb\0\0\0\3")
    host.config("vm", f"{image},,xvda,w")
    disk = {"name": "data", "size": "1MiB", "format": "raw", "loop": False}
    assert host.proven() == [{"name": "vm", "disks": [disk]}]


def test_a_drive_that_qemu_does_not_emulate_is_left_out(host: AdoptedHost) -> None:
    cd = host.image("iso/os.iso")
    host.xen.hvm_guest("hdc", hdc=cd)
    host.xen.drives = {}
    host.config("win", f"{cd},,hdc:cdrom,r", more="type = 'hvm'\n")
    assert host.proven() == [{"name": "win", "unlisted_disks": "keep"}]
    assert "a CD drive that QEMU in dom0 does not emulate" in notes(host.adopted())


def test_names_that_are_not_utf_8_stay_in_their_config(host: AdoptedHost) -> None:
    text = f"name = 'vm'\ndisk = [ '{host.images}/\udce9.raw,qcow2,xvda,w' ]\n"
    (host.configs / "vm.cfg").write_bytes(text.encode("utf-8", "surrogateescape"))
    found = adoption.adopt(survey_of(recorded(host.survey)), str(host.images), str(host.configs))
    assert found.plain == ({"name": "vm", "unlisted_disks": "keep"},)
    assert not host.provided(found.plain).changed


def test_one_image_in_two_slots_stays_in_both(host: AdoptedHost) -> None:
    image, other = host.image("vm/data.raw"), host.image("vm/log.raw")
    host.config("vm", f"{image},,xvda,w", f"file:{image},xvdb,w", f"{other},,xvdc,w")
    (domain,) = host.proven()
    assert [disk["name"] for disk in domain["disks"]] == ["log"]
    host.config("vm", f"{image},,xvda,w", f"{host.images}//vm/data.raw,,xvdb,w")
    assert host.proven() == [{"name": "vm", "unlisted_disks": "keep"}]
    assert "has the same data in another slot" in notes(host.adopted())


def test_configs_that_cannot_be_read_are_shown(host: AdoptedHost) -> None:
    host.config("good", "/dev/vg/a,,xvda,w")
    host.config("bad", "/dev/vg/b,,xvd,w")
    host.config("twice", "/dev/vg/c,,xvda,w", "/dev/vg/d,,51712,w")
    host.config("12", "/dev/vg/e,,xvda,w")
    (host.configs / "string.cfg").write_text("name = 'string'\ndisk = '/dev/vg/f,,xvda,w'\n")
    (host.configs / "python.cfg").write_text("import os\nname = 'x' % 1\n")
    (host.configs / "nameless.cfg").write_text("disk = []\n")
    assert [domain["name"] for domain in host.proven()] == ["good"]
    for why in (
        "domain 12: not taken over: Its name cannot be in a plan",
        "domain bad: not taken over: '/dev/vg/b,,xvd,w' in",
        "domain twice: ",
        "2 disks in slot",
        "domain string: ",
        "python.cfg: ",
        "nameless.cfg: it does not set a name",
    ):
        assert why in notes(host.adopted())


def test_of_two_domains_with_one_disk_the_running_one_has_it(host: AdoptedHost) -> None:
    host.xen.device("/dev/vg/x", 253, 1)
    host.config("copy", "/dev/vg/x,,xvda,w", "/dev/vg/y,,xvdb,w")
    host.start("web", 1)
    host.config("web", "/dev/vg/x,,xvda,w")
    host.attach(1, "xvda", "/dev/vg/x")
    copy, web = host.proven()
    assert [disk["target"] for disk in copy["disks"]] == ["/dev/vg/y"]
    assert [disk["target"] for disk in web["disks"]] == ["/dev/vg/x"]
    assert "is also the disk of domain web, disks[0] (x)" in notes(host.adopted())


def test_unreadable_xenstore_is_said(host: AdoptedHost) -> None:
    host.config("web", "/dev/vg/x,,xvda,w")
    host.xen.xenstored.stop()
    adopted = host.adopted()
    assert "The running guests are not known" in notes(adopted)
    assert len(adopted.plain) == 1
