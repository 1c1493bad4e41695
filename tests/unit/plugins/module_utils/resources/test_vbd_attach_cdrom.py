# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""CDs of running guests: QEMU and xl change media, and neither is trusted alone."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import (
    PartlyDoneError,
    State,
    UnexpectedStateError,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host import dom0, open_files
from ansible_collections.xen.blockdev.plugins.module_utils.resources import vbd_attach_disk
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import User
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.plugins.module_utils.xen import xl
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.fake_xen_host import (
    FakeHost,
    QuietUsage,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.resources import (
    test_vbd_attach as attaching,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.resources.test_vbd_attach import (  # noqa: E501
    apply,
    error_of,
    plan,
    sentences,
)

A, B = "/srv/a.iso", "/srv/b.iso"
HDC = "drive hdc of domain win"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    with FakeHost(tmp_path, monkeypatch) as fake:
        fake.file(A, 100)
        fake.file(B, 101)
        monkeypatch.setattr(QuietUsage, "users", {})
        monkeypatch.setattr(QuietUsage, "file_users", [])
        monkeypatch.setattr(vbd_attach_disk, "Usage", QuietUsage)
        yield fake


def wanted(target: Optional[str] = None, **options: Any) -> State:
    cd = {"domain": "win", "vdev": "hdc", "format": None, "devtype": "cdrom"}
    return attaching.wanted(**{**cd, "target": target, **options})


absent = partial(wanted, state="absent")


def in_drives(host: FakeHost) -> Dict[str, Optional[str]]:
    """What QEMU has in each drive, after a check that xenstore says the same."""
    media = {name: drive["medium"] for name, drive in host.drives.items()}
    vbds = [vbd for vbd in xen_state.attached_devices() if vbd.domid == 3]
    assert {f"ide-{vbd.xenstore_key}": vbd.target or None for vbd in vbds} == media
    return media


def record(host: FakeHost, params: str) -> None:
    """Have xenstore say that this is in hdc."""
    places = ("/local/domain/0/backend/qdisk/3/5632", "/libxl/3/device/vbd/5632")
    host.store = {**host.store, **{f"{place}/params": params for place in places}}


def failure(item: State, kind: Any = BlockdevError) -> Any:
    """The error of the only action."""
    (action,) = plan(item)[0].actions
    with pytest.raises(kind) as caught:
        action.run()
    return caught.value


# ---- media come and go ----


def test_insert_and_eject(host: FakeHost) -> None:
    host.hvm_guest()
    (one,) = plan(wanted(A))
    assert [action.sentence for action in one.actions] == [f"insert {A} into {HDC}"]
    empty = {"running": True, "domid": 3, "xenstore_key": 5632, "access": "ro", "medium": None}
    assert (one.before, one.after) == (empty, {**empty, "medium": A})
    assert host.changes() == []
    assert apply(wanted(A)) == [one.after]
    assert host.changes() == [f"xl cd-insert 3 hdc {A}"]
    assert in_drives(host) == {"ide-5632": A, "ide-5696": None}
    assert sentences(wanted(A)) == []

    assert sentences(wanted(B)) == [f"insert {B} into {HDC} in place of {A}"]
    assert apply(wanted(B))[0]["medium"] == B
    assert sentences(wanted()) == [f"eject {B} from {HDC}"]
    assert apply(wanted(format="empty")) == [empty]
    assert in_drives(host) == {"ide-5632": None, "ide-5696": None}
    assert sentences(wanted()) == sentences(wanted(format="empty")) == []
    assert not any("block-" in command for command in host.commands())


def test_the_qemus_are_looked_for_once(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def look() -> List[str]:
        looks.append("at all")
        return []

    monkeypatch.setattr(open_files, "processes", look)
    host.hvm_guest(hdc=A, hdd=B)
    assert sentences(wanted(A), wanted(B, vdev="hdd")) == []
    assert looks == ["at all"]


def test_several_drives_and_a_disk_in_one_call(host: FakeHost) -> None:
    host.device("/dev/sda", 8, 0)
    qemu = host.hvm_guest(hdc=A)
    disk = attaching.wanted(domain="win", vdev="xvde", target="/dev/sda")
    items = [wanted(B), disk, wanted(A, vdev="hdd")]
    assert len(plan(*items)) == 3
    assert qemu.connections == 1
    apply(*items)
    assert [host.drives[name]["medium"] for name in ("ide-5632", "ide-5696")] == [B, A]
    assert sentences(*items) == []
    assert "slot hdc of domain win is listed twice" in error_of(wanted(A), wanted(A, vdev="5632"))


@pytest.mark.parametrize("same", ["/mnt/hard-link.iso", "/srv/link.iso"])
def test_the_same_image_by_another_name_is_no_change(host: FakeHost, same: str) -> None:
    host.hvm_guest(hdc=A)
    host.file(same, 100)
    assert sentences(wanted(same)) == []


def test_a_block_device(host: FakeHost) -> None:
    host.hvm_guest()
    host.device("/dev/sr0", 11, 0)
    apply(wanted("/dev/sr0"))
    assert in_drives(host)["ide-5632"] == "/dev/sr0"
    assert sentences(wanted("/dev/sr0")) == []


@pytest.mark.parametrize("name", ["a,b.iso", "comma,", "two words.iso", "eq=x.iso", "ü'\".iso"])
def test_odd_names(host: FakeHost, tmp_path: Path, name: str) -> None:
    host.hvm_guest()
    image = tmp_path / name
    image.write_bytes(bytes(2048))
    apply(wanted(str(image)))
    assert in_drives(host)["ide-5632"] == str(image)
    assert sentences(wanted(str(image))) == []


def test_the_slot_in_other_words(host: FakeHost) -> None:
    """xl finds a drive only by what was written when the guest started."""
    host.hvm_guest("xvdc")
    apply(wanted(A, vdev="51744"))
    assert host.changes() == [f"xl cd-insert 3 xvdc {A}"]


def test_one_image_in_many_drives_and_guests(host: FakeHost) -> None:
    host.hvm_guest(hdd=A)
    apply(attaching.wanted(domain="db", target=A, access="ro"))
    assert apply(wanted(A))[0]["medium"] == A


# ---- QEMU and xenstore disagree ----


def test_xenstore_names_a_medium_that_qemu_does_not_have(host: FakeHost) -> None:
    host.hvm_guest(hdc=A)
    record(host, f"aio:{B}")
    assert plan(wanted(B))[0].before["medium"] == A
    assert sentences(wanted(B)) == [f"insert {B} into {HDC} in place of {A}"]
    assert sentences(wanted(A)) == [f"insert {A} into {HDC} again, as xenstore names {B}"]
    assert apply(wanted(A))[0]["medium"] == A
    assert in_drives(host)["ide-5632"] == A
    assert host.changes() == ["xl cd-eject 3 hdc", f"xl cd-insert 3 hdc {A}"]


def test_a_drive_with_backendtype_phy(host: FakeHost) -> None:
    """Of Xen 4.19 and later: the device of the medium with which the guest started stays in
    xenstore, and an empty drive has an empty file."""
    host.hvm_guest(hdc=B)
    backend = "/local/domain/0/backend/qdisk/3/5632"
    phy = {f"{backend}/type": "phy", f"{backend}/params": B, f"{backend}/physical-device": "7:64"}
    host.store = {**host.store, **phy}
    assert sentences(wanted(B)) == []
    host.drives = {**host.drives, "ide-5632": {"medium": None}}
    host.store = {**host.store, f"{backend}/params": "/var/run/xen/empty-cdrom.3"}
    assert sentences(wanted()) == []


def test_xenstore_names_a_medium_of_an_empty_drive(host: FakeHost) -> None:
    host.hvm_guest()
    record(host, f"aio:{B}")
    assert sentences(wanted()) == [f"eject {B} from {HDC}, which only xenstore names"]
    apply(wanted())
    assert in_drives(host)["ide-5632"] is None


def test_xenstore_does_not_know_of_the_medium(host: FakeHost) -> None:
    host.hvm_guest(hdc=A)
    record(host, "")
    assert sentences(wanted(A)) == [f"insert {A} into {HDC} again, as xenstore names nothing"]
    apply(wanted())
    assert in_drives(host)["ide-5632"] is None


def test_a_file_that_took_the_place_of_the_one_in_the_drive(
    host: FakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, new = tmp_path / "a.iso", tmp_path / "new.iso"
    image.write_bytes(b"old")
    new.write_bytes(b"new")
    host.hvm_guest(hdc=str(image))
    keep = "import sys, time; f = open(sys.argv[1]); print(flush=True); time.sleep(600)"
    command = [sys.executable, "-c", keep, str(image)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as qemu:
        # Its arguments would make it the QEMU of this guest for all tests that run now.
        is_qemu = property(lambda process: 3 if process.pid == str(qemu.pid) else None)
        monkeypatch.setattr(open_files.Process, "domid", is_qemu)
        try:
            assert qemu.stdout and qemu.stdout.readline()
            assert sentences(wanted(str(image))) == []
            new.replace(image)
            assert sentences(wanted(str(image))) == [
                f"insert {image} into {HDC} in place of {image}"
            ]
        finally:
            qemu.kill()


# ---- locked ----


def lock(host: FakeHost) -> None:
    drives = host.drives
    drives["ide-5632"]["locked"] = True
    host.drives = drives


def test_a_guest_that_releases_its_cd(host: FakeHost) -> None:
    """As Linux with udev does, which always locks a drive with a medium."""
    host.hvm_guest(hdc=A)
    lock(host)
    host.behave(releases=True)
    release = ", once its guest has released it"
    assert sentences(wanted(B)) == [f"insert {B} into {HDC} in place of {A}{release}"]
    assert sentences(wanted()) == [f"eject {A} from {HDC}{release}"]
    assert apply(wanted(B))[0]["medium"] == B
    assert host.changes() == ["xl cd-eject 3 hdc"] * 2 + [f"xl cd-insert 3 hdc {B}"]


def test_an_empty_drive_that_its_guest_has_locked(host: FakeHost) -> None:
    host.hvm_guest()
    lock(host)
    host.behave(releases=True)
    assert sentences(wanted()) == []
    assert sentences(wanted(B)) == [f"insert {B} into {HDC}, once its guest has released it"]
    assert apply(wanted(B))[0]["medium"] == B


@pytest.mark.parametrize("target", [None, B])
def test_a_guest_that_keeps_its_cd(host: FakeHost, target: Optional[str]) -> None:
    host.hvm_guest(hdc=A)
    lock(host)
    error = failure(wanted(target), XenError)
    assert not isinstance(error, PartlyDoneError)
    assert str(error).endswith(
        "its guest has locked the drive and did not release it within 0.05 s; eject the CD in the "
        "guest (on Linux: unmount it, then `eject`), or shut the guest down, and run again"
    )
    assert in_drives(host)["ide-5632"] == A
    assert host.changes() == ["xl cd-eject 3 hdc"]
    assert sentences(wanted(A)) == []


# ---- absent ----

STAYS = "; the drive stays until the guest is shut down"


def test_absent_ejects_and_the_drive_stays(host: FakeHost) -> None:
    host.hvm_guest(hdc=A)
    (one,) = plan(absent())
    assert [action.sentence for action in one.actions] == [f"eject {A} from {HDC}{STAYS}"]
    assert one.before["slots"] == [5632]
    assert one.after["slots"] == []
    assert one.after["detached"] == [{"domain": "win", "vdev": "hdc"}]
    assert apply(absent()) == [one.after]
    assert in_drives(host) == {"ide-5632": None, "ide-5696": None}
    assert sentences(absent()) == []


@pytest.mark.parametrize(
    "options",
    [
        {"force": True, "timeout": 0},
        {"devtype": "disk", "force": True},
        {"vdev": None, "target": A, "force": True},
        {"vdev": None, "target": A, "devtype": "disk"},
        {"target": A},
    ],
)
def test_no_drive_is_ever_detached(host: FakeHost, options: State) -> None:
    host.hvm_guest(hdc=A)
    assert sentences(absent(**options)) == [f"eject {A} from {HDC}{STAYS}"]
    apply(absent(**options))
    assert host.changes() == ["xl cd-eject 3 hdc"]
    assert sentences(absent(**options)) == []


def test_absent_by_target_finds_what_qemu_has(host: FakeHost) -> None:
    host.hvm_guest(hdc=A)
    record(host, "")
    assert sentences(absent(A, vdev=None)) == [f"eject {A} from {HDC}{STAYS}"]
    assert sentences(absent(B, vdev=None)) == []
    assert sentences(absent(B)) == []


def test_an_empty_drive_and_no_drive_are_absent(host: FakeHost) -> None:
    host.hvm_guest()
    assert sentences(absent(), absent(vdev="hda"), absent(vdev="hdb")) == []


def test_eject_and_insert_in_one_call(host: FakeHost) -> None:
    host.hvm_guest(hdc=A)
    items = absent(A), wanted(B)
    assert sentences(*items) == [f"eject {A} from {HDC}{STAYS}", f"insert {B} into {HDC}"]
    apply(*items)
    assert in_drives(host)["ide-5632"] == B


def test_what_an_earlier_task_would_have_ejected(host: FakeHost) -> None:
    host.hvm_guest(hdc=A)
    pending = {"vbds": [{"domain": "win", "vdev": "hdc"}]}
    check = partial(sentences, check_mode=True, pending=pending)
    assert check(wanted(B)) == [f"insert {B} into {HDC}"]
    assert check(absent()) == []
    assert check(attaching.wanted(domain="db", target=A)) != []


def test_a_cd_that_an_earlier_task_would_make(host: FakeHost) -> None:
    host.hvm_guest()
    pending = {"disks": [{"path": "/srv/new.iso"}]}
    item = wanted("/srv/new.iso")
    assert sentences(item, check_mode=True, pending=pending) == [f"insert /srv/new.iso into {HDC}"]
    assert "cannot be found" in error_of(item, check_mode=True)


# ---- what cannot be ----


def test_a_drive_cannot_be_added(host: FakeHost) -> None:
    host.hvm_guest()
    for target in (A, None):
        assert error_of(wanted(target, vdev="hdb", replace=True, force=True)) == (
            "slot hdb of domain win has no CD drive, and a running guest cannot get one: write its "
            "config (with provision: --tags domain_config), shut the guest down and start it again"
        )
    assert host.changes() == []


def test_a_disk_cannot_become_a_drive_nor_a_drive_a_disk(host: FakeHost) -> None:
    host.hvm_guest(hdc=A)
    host.device("/dev/sda", 8, 0)
    apply(attaching.wanted(domain="win", vdev="xvde", target="/dev/sda"))
    before = host.store
    disk = "slot xvde of domain win holds the disk /dev/sda, not a CD drive; "
    assert error_of(wanted(A, vdev="xvde", replace=True)) == f"{disk}use another vdev"
    assert error_of(absent(vdev="xvde")) == f"{disk}leave out devtype: cdrom to detach it"
    assert error_of(
        attaching.wanted(domain="win", vdev="hdc", target="/dev/sda", replace=True, force=True)
    ) == (
        "slot hdc of domain win is a CD drive, which stays as long as the guest runs; use another "
        "vdev, or set devtype: cdrom to insert a CD"
    )
    assert host.store == before


@pytest.mark.parametrize("kind", ["pv", "pvh", None])
@pytest.mark.parametrize("target", [A, None])
def test_other_guests_have_no_drives(
    host: FakeHost, kind: Optional[str], target: Optional[str]
) -> None:
    host.store = {**host.store, **({"/libxl/1/type": kind} if kind else {})}
    assert error_of(wanted(target, domain="web")) == (
        "domain web is no HVM guest, so it has no CD drives; give it the image as a disk with "
        "access: ro, without devtype: cdrom"
    )


def test_a_cd_that_another_guest_has_as_a_disk_is_left(host: FakeHost) -> None:
    """xl can attach a disk to a PV guest and call it a CD. It is detached as any disk."""
    apply(attaching.wanted(target=A, access="ro"))
    backend = "/local/domain/0/backend/vbd/1/51712"
    host.store = {**host.store, f"{backend}/device-type": "cdrom"}
    assert sentences(wanted(A, domain="web", vdev="xvda")) == []
    apply(absent(domain="web", vdev="xvda"))
    assert host.changes()[1:] == ["xl block-detach 1 51712"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": B, "format": "qcow2"}, "xl inserts only raw images and block devices, and"),
        ({"target": "iqn", "script": "block-iscsi"}, "leave out script and backend"),
        ({"target": "x", "backend": "db"}, "leave out script and backend"),
        ({"target": "rbd:a", "backendtype": "qdisk"}, "xl inserts only what has a path in dom0"),
        ({"target": "b.iso"}, "is not absolute"),
        ({"target": "/srv/no.iso"}, "cannot be found"),
        ({"target": "/srv/a\n.iso"}, "target"),
        ({"target": B, "format": "empty"}, "format: empty is for a drive without a target"),
        ({"target": None, "format": "empty", "devtype": "disk", "vdev": "xvdf"}, "target is missi"),
        ({"target": B, "vdev": None}, "vdev is missing"),
    ],
)
def test_bad_input(host: FakeHost, options: State, message: str) -> None:
    host.hvm_guest(hdc=A)
    assert message in error_of(wanted(**options))
    assert host.changes() == []


def test_an_image_of_another_format(
    host: FakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.hvm_guest()
    image = tmp_path / "a.iso"
    image.write_bytes(b"QFI\xfb" + bytes(4096))
    assert "set format: raw" in error_of(wanted(str(image)))
    assert len(sentences(wanted(str(image), format="raw"))) == 1


def test_a_medium_that_another_guest_can_write(host: FakeHost) -> None:
    host.hvm_guest()
    apply(attaching.wanted(domain="db", target=A))
    assert error_of(wanted(A)).startswith(
        f"cannot insert {A} into {HDC}: it is attached to domain db as xvda (rw)"
    )
    apply(wanted(B))
    later = attaching.wanted(domain="db", vdev="xvdb", target=B)
    assert "it is attached to domain win as hdc (ro)" in error_of(later)
    both = error_of(wanted(A, vdev="hdd"), later)
    assert "attached to domain db as xvda (rw)" in both


def test_a_medium_that_another_item_gives_away(host: FakeHost) -> None:
    host.hvm_guest()
    disk = attaching.wanted(domain="db", target=A)
    assert "it will be attached to domain win as hdc (ro)" in error_of(wanted(A), disk)
    assert "it will be attached to domain db as xvda (rw)" in error_of(disk, wanted(A))


def test_a_medium_that_dom0_has_mounted(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.hvm_guest()
    monkeypatch.setattr(QuietUsage, "file_users", [User("mount", "mounted on /mnt")])
    assert f"cannot insert {A} into {HDC}: it is mounted on /mnt in dom0" in error_of(wanted(A))


def test_a_medium_that_dom0_writes_is_a_warning(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.hvm_guest()
    monkeypatch.setattr(QuietUsage, "writing", [User("process", "open for writing in process 7")])
    assert plan(wanted(A))[0].warnings == [
        f"{A} for domain win as hdc: it is open for writing in process 7, so it may change while "
        "the guest reads it"
    ]


def test_a_medium_is_taken_since_it_was_planned(host: FakeHost) -> None:
    host.hvm_guest(hdc=A)
    (change,) = plan(wanted(B))[0].actions
    apply(attaching.wanted(domain="db", target=B))
    with pytest.raises(XenError, match="attached to domain db as xvda"):
        change.run()
    assert in_drives(host)["ide-5632"] == A


def test_a_medium_is_taken_while_the_guest_is_waited_for(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.hvm_guest(hdc=A)
    (change,) = plan(wanted(B))[0].actions
    eject = xl.eject_cd

    def slowly(*arguments: Any) -> None:
        apply(attaching.wanted(domain="db", target=B))
        eject(*arguments)

    monkeypatch.setattr(xl, "eject_cd", slowly)
    with pytest.raises(PartlyDoneError, match=f"attached to domain db .*; {HDC} is empty now"):
        change.run()
    assert in_drives(host)["ide-5632"] is None


def test_another_file_has_the_name_since_it_was_planned(host: FakeHost) -> None:
    host.hvm_guest(hdc=A)
    (change,) = plan(wanted(B))[0].actions
    host.file(B, 999)
    with pytest.raises(XenError, match="another program changed where its target leads"):
        change.run()
    assert in_drives(host)["ide-5632"] == A


def test_what_qemu_has_already_is_given_to_nobody_anew(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise xenstore could not be set right: QEMU would be in the way of itself."""
    host.hvm_guest(hdc=A)
    record(host, f"aio:{B}")
    monkeypatch.setattr(QuietUsage, "lost", [User("process", "open in process 7", domid=3)])
    assert apply(wanted(A))[0]["medium"] == A
    writing = User("process", "open for writing in process 7", domid=3)
    monkeypatch.setattr(QuietUsage, "lost", [writing])
    assert "open for writing in process 7" in error_of(wanted(B))


def test_a_medium_that_is_given_to_a_writer_between_eject_and_insert(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was in the drive when this was planned, but is in none for a moment."""
    host.hvm_guest(hdc=A)
    record(host, f"aio:{B}")
    (planned,) = plan(wanted(A))
    writing = User("process", "open for writing in process 7", domid=5)
    monkeypatch.setattr(QuietUsage, "lost", [writing])
    with pytest.raises(PartlyDoneError, match="open for writing in process 7"):
        planned.actions[0].run()
    assert in_drives(host)["ide-5632"] is None


def test_a_format_that_xl_does_not_insert_stays_in_the_drive(host: FakeHost) -> None:
    """To set xenstore right takes an eject and an insert, and the latter would make it raw."""
    host.hvm_guest(hdc=A)
    record(host, f"aio:{B}")
    assert "xl inserts only raw images" in error_of(wanted(A, format="qcow2"))


def test_a_domain_that_does_not_run(host: FakeHost) -> None:
    assert "domain win is not running on this host" in error_of(wanted(A))
    assert plan(wanted(A, when_not_running="skip"))[0].before == {"running": False}


def test_drives_are_no_unlisted_disks(host: FakeHost) -> None:
    host.hvm_guest(hdc=A)
    with attaching.vbd_attach.open_vbds(attaching.Pending()) as disks:
        disks.plan(attaching.VbdItem.read(wanted(A, vdev="hdd", unlisted="warn")))
        assert disks.warnings() == []


# ---- QEMU cannot be asked ----


def test_a_drive_that_no_qemu_in_dom0_emulates(host: FakeHost) -> None:
    """A stub domain has the QEMU, or the slot is beyond the IDE bus."""
    host.hvm_guest("hdc", "xvdf")
    for item in (wanted(A, vdev="xvdf"), absent(vdev="xvdf")):
        assert error_of(item) == (
            "QEMU in dom0 does not emulate the CD drive xvdf of domain win: a guest has such "
            "drives only as hda to hdd, and dom0 can reach them only if the domain's QEMU does not "
            "run in a stub domain"
        )
    assert sentences(absent(A, vdev=None)) == []
    (host.home / "run" / "qmp-libxenstat-3").unlink()
    assert "does not emulate the CD drive hdc" in error_of(wanted(A))
    assert host.changes() == []


def test_a_qemu_that_does_not_answer(host: FakeHost) -> None:
    host.hvm_guest()
    (host.home / "drives.json").write_text("{}")
    assert "cannot ask the QEMU of domain 3 for its drives: QEMU ended" in error_of(wanted(A))


def test_a_qemu_that_crashes_meanwhile(host: FakeHost) -> None:
    host.hvm_guest(hdc=A)
    host.behave(qemu_crashes=True)
    error = failure(wanted(), PartlyDoneError)
    assert f"what is in {HDC} now is not known: cannot ask the QEMU of domain 3" in str(error)
    assert "medium" not in error.state
    assert error.done == f"change what is in {HDC}"


# ---- xl fails ----


def test_an_insert_that_fails_half_way(host: FakeHost) -> None:
    host.hvm_guest(hdc=A)
    host.behave(insert_fails=True)
    error = failure(wanted(B), PartlyDoneError)
    assert str(error) == (
        f"cannot insert {B} into {HDC} in place of {A}: Domain 3:Failed to open cdrom file {B}: "
        f"Permission denied; {HDC} is empty now"
    )
    assert error.state["medium"] is None
    assert error.done == f"eject {A} from {HDC}"
    again = failure(wanted(B), XenError)
    assert not isinstance(again, PartlyDoneError)


@pytest.mark.parametrize(
    ("behaviour", "before", "message"),
    [
        ({"does_nothing": True}, A, "xl reports success, but QEMU has not done it"),
        ({"does_nothing": True}, None, "xl reports success, but QEMU has not done it"),
        ({"qemu_ignores": True}, A, f"{HDC} holds {A} in QEMU, but is empty in xenstore now"),
        ({"qemu_ignores": True}, None, f"{HDC} is empty in QEMU, but holds {B} in xenstore now"),
    ],
)
def test_the_exit_status_of_xl_proves_nothing(
    host: FakeHost, behaviour: State, before: Optional[str], message: str
) -> None:
    host.hvm_guest(**({"hdc": before} if before else {}))
    host.behave(**behaviour)
    error = failure(wanted(B))
    assert message in str(error)
    if isinstance(error, PartlyDoneError):
        assert error.done == f"change what xenstore says is in {HDC}"
    assert host.drives["ide-5632"]["medium"] == before


def test_xenstore_does_not_follow(host: FakeHost) -> None:
    host.hvm_guest()
    host.behave(xenstore_stays=True)
    with pytest.raises(
        UnexpectedStateError, match=f"{HDC} holds {A} in QEMU, but is empty in"
    ) as e:
        apply(wanted(A))
    assert e.value.state["medium"] == A


def test_xl_hangs(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.hvm_guest(hdc=A)
    monkeypatch.setattr(xl, "XL_SECONDS", 0)
    assert "`xl cd-eject 3 hdc` did not end within 0 s and was killed" in str(failure(wanted()))


def test_xl_is_killed_after_its_work(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.hvm_guest(hdc=A)
    run = dom0.run

    def killed(*arguments: Any) -> None:
        run(*arguments)
        raise XenError("xl was killed")

    monkeypatch.setattr(dom0, "run", killed)
    assert apply(wanted(B))[0]["medium"] == B


def test_another_run_was_faster(host: FakeHost) -> None:
    host.hvm_guest(hdc=A)
    (insert,) = plan(wanted(B))[0].actions
    (eject,) = plan(absent())[0].actions
    host.file("/srv/c.iso", 102)
    apply(wanted("/srv/c.iso"))
    for action in (insert, eject):
        with pytest.raises(XenError, match=f"another program .*{HDC} holds /srv/c.iso; run again"):
            action.run()
    apply(wanted(B))
    count = len(host.changes())
    insert.run()
    assert len(host.changes()) == count


def test_the_medium_is_another_one_after_the_run(host: FakeHost) -> None:
    host.hvm_guest(hdc=A)
    (present,), (gone,) = plan(wanted(A)), plan(absent())
    apply(wanted())
    with pytest.raises(UnexpectedStateError, match=f"{HDC} is empty, although"):
        present.read_back()
    apply(wanted(B))
    with pytest.raises(XenError, match="hdc of domain win was emptied, but another program"):
        gone.read_back()


def test_the_guest_is_gone_after_the_run(host: FakeHost) -> None:
    host.hvm_guest(hdc=A)
    (change,) = plan(wanted())[0].actions
    host.store = {path: value for path, value in host.store.items() if "/3/" not in path}
    with pytest.raises(XenError, match=f"{HDC} is not there any more"):
        change.run()
