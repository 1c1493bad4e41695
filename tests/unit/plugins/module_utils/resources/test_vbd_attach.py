# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks of running domains: plans, actions, and failures of xl or of the guest."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import (
    PartlyDoneError,
    Plan,
    State,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host import dom0
from ansible_collections.xen.blockdev.plugins.module_utils.image import header as image_header
from ansible_collections.xen.blockdev.plugins.module_utils.image import raw_content
from ansible_collections.xen.blockdev.plugins.module_utils.resources import (
    vbd_attach,
    vbd_attach_disk,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.vbd_attach_disk import Attached
from ansible_collections.xen.blockdev.plugins.module_utils.resources.vbd_attach_item import VbdItem
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import rules as sharing_rules
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.storage import Storages
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import User
from ansible_collections.xen.blockdev.plugins.module_utils.xen import blkback
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.fake_xen_host import (
    WEB_UUID,
    FakeHost,
    QuietUsage,
    binding,
    recorded_store,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.image.test_header import (
    extension,
    qcow2,
)

DEFAULTS = {
    "domain": "web",
    "vdev": "xvda",
    "target": "/dev/loop0",
    "format": "raw",
    "access": "rw",
    "backendtype": None,
    "devtype": "disk",
    "script": None,
    "discard": None,
    "direct_io_safe": None,
    "backend": None,
    "trusted": None,
    "specification": None,
    "state": "present",
    "wait": True,
    "wait_for": "connected",
    "timeout": 0.05,
    "force": False,
    "replace": False,
    "when_not_running": "fail",
    "unlisted": "ignore",
}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    """web and db without disks; loop0 to loop3 are bound to the files with inodes 100 to 103."""
    with FakeHost(tmp_path, monkeypatch) as fake:
        for number in range(4):
            fake.device(f"/dev/loop{number}", 7, number)
            fake.file(f"/srv/{100 + number}.raw", 100 + number)
            fake.bindings.append(binding(number, 100 + number))
        fake.device("/dev/sda", 8, 0)
        fake.device("/dev/sda1", 8, 1)
        fake.device("/dev/sda2", 8, 2)
        fake.partition((8, 0), (8, 1))
        monkeypatch.setattr(QuietUsage, "users", {})
        monkeypatch.setattr(QuietUsage, "file_users", [])
        monkeypatch.setattr(vbd_attach_disk, "Usage", QuietUsage)
        yield fake


def wanted(**options: Any) -> State:
    return {**DEFAULTS, **options}


def plan(*items: State, check_mode: bool = False, pending: Any = None) -> List[Plan]:
    with vbd_attach.open_vbds(Pending.read(pending, check_mode)) as vbds:
        return [vbds.plan(VbdItem.read(item)) for item in items]


def apply(*items: State) -> List[State]:
    """Plan, run and read back; no actions give the state that was found."""
    plans = plan(*items)
    for one in plans:
        for action in one.actions:
            action.run()
    return [one.read_back() if one.actions else one.before for one in plans]


def sentences(*items: State, check_mode: bool = False, pending: Any = None) -> List[str]:
    return [
        action.sentence
        for one in plan(*items, check_mode=check_mode, pending=pending)
        for action in one.actions
    ]


def error_of(*items: State, check_mode: bool = False, pending: Any = None) -> str:
    with pytest.raises(BlockdevError) as caught:
        plan(*items, check_mode=check_mode, pending=pending)
    return str(caught.value)


def attached() -> List[Tuple[int, str, str, str]]:
    found = xen_state.attached_devices()
    return [(one.domid, one.vdev, one.target, one.access) for one in found]


# ---- attach ----


def test_attach(host: FakeHost) -> None:
    (one,) = plan(wanted())
    assert [action.sentence for action in one.actions] == [
        "attach /dev/loop0 (rw) to domain web as xvda"
    ]
    assert one.before == {"running": True, "domid": 1, "xenstore_key": 51712}
    assert one.after == {**one.before, "access": "rw", "physical_device": "7:0", "backend_state": 4}
    assert attached() == []
    assert apply(wanted()) == [
        {
            **one.after,
            "backendtype": "phy",
            "frontend_state": 4,
        }
    ]
    assert host.changes() == [
        "xl block-attach 1 format=raw, vdev=xvda, access=rw, devtype=disk, target=/dev/loop0"
    ]
    assert sentences(wanted()) == []
    assert host.changes()[1:] == []


def test_nothing_to_do_costs_one_read(host: FakeHost) -> None:
    apply(*(wanted(vdev=f"xvd{'abcd'[n]}", target=f"/dev/loop{n}") for n in range(4)))
    before = host.reads
    apply(*(wanted(vdev=f"xvd{'abcd'[n]}", target=f"/dev/loop{n}") for n in range(4)))
    assert host.reads == before + 1


def test_every_option_reaches_xl(host: FakeHost) -> None:
    options = {"discard": False, "direct_io_safe": True, "backendtype": "phy", "access": "ro"}
    apply(wanted(vdev="/dev/xvda", wait=False, **options))
    (command,) = host.commands()
    assert command == (
        "xl block-attach 1 format=raw, vdev=xvda, access=ro, devtype=disk, backendtype=phy, "
        "direct-io-safe, no-discard, target=/dev/loop0"
    )


@pytest.mark.parametrize(
    "same",
    [
        {"vdev": "51712"},
        {"vdev": "0xca00"},
        {"domain": "1"},
        {"domain": WEB_UUID},
        {"target": "/dev/by-id/loop0"},
        {"target": "/srv/100.raw"},
        {"target": "/mnt/hard-link.raw"},
        {"backendtype": "phy", "discard": True, "direct_io_safe": False, "script": "block"},
    ],
)
def test_the_same_disk_in_other_words_is_no_change(host: FakeHost, same: State) -> None:
    host.device("/dev/by-id/loop0", 7, 0)
    host.file("/mnt/hard-link.raw", 100)
    apply(wanted())
    assert sentences(wanted(**same)) == []


def test_an_image_that_xl_bound_itself_is_no_change(host: FakeHost) -> None:
    host.file("/srv/own.raw", 500)
    apply(wanted(target="/srv/own.raw"))
    assert sentences(wanted(target="/srv/own.raw")) == []
    host.file("/srv/own.raw", 501)
    host.bindings.append(binding(0x100 + 500, 500))
    assert "holds /srv/own.raw, not /srv/own.raw" in error_of(wanted(target="/srv/own.raw"))


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"target": "/dev/loop1"}, "not /dev/loop1"),
        ({"target": "/srv/101.raw"}, "not /srv/101.raw"),
        ({"access": "ro"}, "with access: rw, not ro"),
        ({"format": "qcow2"}, "with format: raw, not qcow2"),
        ({"backendtype": "qdisk"}, "with backendtype: phy, not qdisk"),
        ({"discard": False}, "with discard: true, not false"),
        ({"direct_io_safe": True}, "with direct_io_safe: false, not true"),
    ],
)
def test_a_slot_that_is_taken(host: FakeHost, other: State, difference: str) -> None:
    apply(wanted())
    assert error_of(wanted(**other)).endswith(
        f"slot xvda of domain web holds /dev/loop0, {difference}; set replace: true to swap it"
    )
    assert len(sentences(wanted(**other, replace=True))) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vdev": None}, "vdev is missing"),
        ({"target": None}, "target is missing"),
        ({"vdev": "xvd"}, "lacks the letter"),
        ({"target": "loop0"}, "is not absolute: use a full path"),
        ({"target": "vg0/a"}, "such as /dev/vg0/a for a volume"),
        ({"target": "phy:/dev/loop0"}, "write target: /dev/loop0"),
        ({"target": "tap:qcow2:/a"}, "write target: /a and format: qcow2"),
        ({"target": "rbd:pool/a"}, "is for QEMU: write backendtype: qdisk"),
        ({"backend": "qdisk"}, "'qdisk' is a backendtype: write backendtype: qdisk"),
        ({"backend": "storage"}, "driver domain storage (backend) is not running"),
        ({"target": "/srv/nope.raw"}, "'/srv/nope.raw' cannot be found: No such file"),
        ({"target": "/srv/\0"}, "cannot be found"),
        ({"target": "/"}, "neither a block device nor a regular file"),
        ({"target": "/dev/loop9"}, "is a loop device that is not bound"),
        ({"target": "/dev/disk/by-loop-file/srv/nope.raw"}, "it has no loop device"),
        ({"domain": "nosuch"}, "domain nosuch is not running on this host"),
        ({"domain": "99"}, "domain 99 is not running"),
        ({"domain": "Domain-0"}, "is this host itself"),
        ({"script": "block,x"}, "script cannot contain ','"),
        ({"state": "absent", "vdev": None, "target": None}, "vdev and target are missing"),
        ({"state": "absent", "vdev": "sdq"}, "out of range"),
    ],
)
def test_errors_before_anything_is_touched(host: FakeHost, options: State, message: str) -> None:
    host.device("/dev/loop9", 7, 9)
    assert message in error_of(wanted(**options))
    assert host.commands() == []


def test_not_a_xen_host(host: FakeHost) -> None:
    Path(dom0.HYPERVISOR_TYPE).unlink()
    assert error_of(wanted(), check_mode=True).startswith("not a Xen host")


def test_on_no_xen_host_no_domain_runs(host: FakeHost) -> None:
    Path(dom0.HYPERVISOR_TYPE).unlink()
    with vbd_attach.open_vbds(Pending(True)) as disks:
        plan = disks.plan(VbdItem.read(wanted(when_not_running="skip")))
    assert (plan.before, plan.after, plan.actions) == ({"running": False}, {"running": False}, [])
    assert plan.warnings[0].startswith(
        "disks are not attached to running domains: this is not a Xen host"
    )


def test_a_domain_that_does_not_run_can_be_skipped(host: FakeHost) -> None:
    for state in ("present", "absent"):
        item = wanted(domain="nosuch", state=state, when_not_running="skip")
        assert apply(item) == [{"running": False}]


def test_a_target_that_an_earlier_task_would_make(host: FakeHost) -> None:
    link = "/dev/disk/by-loop-file/srv/new.raw"
    pending = {"devices": [{"path": "/srv/new.raw"}]}
    items = [wanted(target=link)]
    check = partial(sentences, check_mode=True, pending=pending)
    assert check(*items) == [f"attach {link} (rw) to domain web as xvda"]
    assert "it has no loop device" in error_of(*items, pending=pending)
    other = {"devices": [{"path": "/srv/other.raw"}]}
    assert "it has no loop device" in error_of(*items, check_mode=True, pending=other)
    items.append(wanted(target=link, domain="db"))
    error = error_of(*items, check_mode=True, pending=pending)
    assert "it will be attached to domain web as xvda" in error


def test_an_image_that_an_earlier_task_would_bind_and_that_another_domain_has(
    host: FakeHost, tmp_path: Path
) -> None:
    image = tmp_path / "a.raw"
    image.write_bytes(bytes(4096))
    apply(wanted(domain="db", target=str(image), format="qcow2", wait=False))
    item = wanted(target=f"/dev/disk/by-loop-file{image}")
    pending = {"devices": [{"path": str(image)}]}
    error = error_of(item, check_mode=True, pending=pending)
    assert "attached to domain db as xvda" in error


def test_a_volume_that_an_earlier_task_would_make(host: FakeHost) -> None:
    pending = {"disks": [{"path": "/dev/vg0/new"}]}
    item = wanted(target="/dev/vg0/new")
    assert len(sentences(item, check_mode=True, pending=pending)) == 1
    assert "/dev/vg0/new" in error_of(item, check_mode=True)


def test_a_slot_that_an_earlier_task_would_empty(host: FakeHost) -> None:
    apply(wanted(), wanted(vdev="xvdb", target="/dev/loop1"))
    slots = [{"domain": "web", "vdev": "51712"}, {"domain": "nosuch", "vdev": "xvda"}]
    pending = {"vbds": slots}
    item, check = wanted(target="/dev/loop2"), partial(sentences, check_mode=True, pending=pending)
    assert check(item) == ["attach /dev/loop2 (rw) to domain web as xvda"]
    assert "slot xvda of domain web holds /dev/loop0" in error_of(item, pending=pending)
    elsewhere = wanted(domain="db")
    assert check(elsewhere) == ["attach /dev/loop0 (rw) to domain db as xvda"]
    assert "it is attached to domain web as xvda" in error_of(elsewhere, pending=pending)


def test_a_link_without_udev_is_its_loop_device(host: FakeHost) -> None:
    item = wanted(target="/dev/disk/by-loop-file/srv/102.raw")
    assert sentences(item) == [f"attach {item['target']} (rw) to domain web as xvda"]
    apply(item)
    assert attached() == [(1, "xvda", "/dev/loop2", "rw")]


def test_a_target_that_only_qemu_understands(host: FakeHost) -> None:
    item = wanted(target="rbd:pool/a", backendtype="qdisk", wait=False)
    assert sentences(item) == ["attach rbd:pool/a (rw) to domain web as xvda"]
    other = wanted(target="rbd:pool/a", backendtype="qdisk", domain="db")
    assert "it will be attached to domain web as xvda" in error_of(item, other)


def served_by_db(host: FakeHost) -> None:
    """Make db serve the attached disks instead of dom0."""
    here, there = ("/local/domain/0/backend", "/local/domain/2/backend")
    host.store = {
        path.replace(here, there): value.replace(here, there) for path, value in host.store.items()
    }


def test_a_disk_that_a_driver_domain_serves(host: FakeHost) -> None:
    item = wanted(target="vg0/a", backend="db", trusted=False, specification="xen", wait=False)
    with vbd_attach.open_vbds(Pending()) as vbds:
        (action,) = vbds.plan(VbdItem.read(item)).actions
    assert action.sentence == "attach vg0/a (rw) to domain web as xvda"
    twice = wanted(target="vg0/a", backend="2", vdev="xvdb")
    assert "it will be attached to domain web as xvda" in error_of(item, twice)
    assert sentences(item, wanted(target="/dev/loop0", vdev="xvdb"))


def test_every_word_about_a_driver_domain_reaches_xl(host: FakeHost) -> None:
    host.behave(devices={"vg0/a": "8:10"})
    with suppress(BlockdevError):  # This xl has it served by dom0, which is then not as wanted.
        apply(wanted(target="vg0/a", backend="db", trusted=False, specification="xen", wait=False))
    assert host.changes()[0] == (
        "xl block-attach 1 format=raw, vdev=xvda, access=rw, devtype=disk, backend=db, untrusted, "
        "specification=xen, target=vg0/a"
    )


def test_the_same_disk_of_a_driver_domain_is_no_change(host: FakeHost) -> None:
    apply(wanted())
    served_by_db(host)
    assert sentences(wanted(backend="db")) == sentences(wanted(backend="2", trusted=True)) == []
    assert "holds /dev/loop0, not /dev/loop0" in error_of(wanted())
    assert sentences(wanted(state="absent", vdev=None)) == []
    assert sentences(wanted(state="absent", vdev=None, backend="db")) == [
        "detach /dev/loop0 (xvda) from domain web, even if its guest has it mounted"
    ]
    assert sentences(wanted(state="absent", vdev=None, backend="gone")) == []


def test_the_protocol_is_compared(host: FakeHost) -> None:
    apply(wanted())
    backend = "/local/domain/0/backend/vbd/1/51712/specification"
    host.store = {**host.store, backend: "xen"}
    assert sentences(wanted(specification="xen")) == []
    assert "with specification: xen, not virtio" in error_of(wanted(specification="virtio"))


@pytest.mark.parametrize(("word", "access"), [("r", "ro"), ("w", "rw")])
def test_access_in_the_words_of_xl(host: FakeHost, word: str, access: str) -> None:
    (state,) = apply(wanted(access=word, wait=False))
    assert state["access"] == access
    assert sentences(wanted(access=access)) == sentences(wanted(access=word)) == []


def test_an_image_that_qemu_opens_may_have_been_bound_before(host: FakeHost) -> None:
    """The plan named the loop device of such a disk once, and names the image now."""
    apply(wanted())
    backend = "/local/domain/0/backend/vbd/1/51712"
    by_qemu = {f"{backend}/type": "qdisk", f"{backend}/params": "aio:/dev/loop0"}
    store = {path: value for path, value in host.store.items() if "physical-device" not in path}
    host.store = {**store, **by_qemu}
    assert sentences(wanted(backendtype="qdisk", target="/srv/100.raw")) == []
    assert "holds /dev/loop0, not /srv/101.raw" in error_of(
        wanted(backendtype="qdisk", target="/srv/101.raw")
    )


def test_targets_that_only_a_script_understands(host: FakeHost) -> None:
    target = "iqn.2001-05.org.example:web"
    host.behave(devices={target: "8:10"})
    item = wanted(target=target, script="block-iscsi")
    apply(item)
    assert "script=block-iscsi" in host.changes()[0]
    assert plan(item)[0].actions == []
    other = wanted(target=target, script="block-nbd")
    scripts = "with script: /etc/xen/scripts/block-iscsi, not /etc/xen/scripts/block-nbd"
    assert scripts in error_of(other)


# ---- what QEMU emulates ----


EMULATED = "QEMU emulates it for the guest (drive ide0-hd0), which does not use it by PV drivers"


@pytest.mark.parametrize("force", [False, True])
def test_an_emulated_disk_stays_while_its_guest_runs(host: FakeHost, force: bool) -> None:
    """QEMU would keep it open, and xenstore would say that nobody has it."""
    apply(wanted())
    host.emulate(1, ide0_hd0="/dev/loop0", ide_5632=None)
    before = host.store
    assert error_of(wanted(state="absent", target=None, force=force)) == (
        f"cannot detach /dev/loop0 (xvda) from domain web: {EMULATED}, and would keep it open; "
        "shut the guest down first"
    )
    assert EMULATED in error_of(wanted(target="/dev/loop1", replace=True, force=force))
    assert host.store == before
    assert sentences(wanted()) == []


def test_a_disk_that_qemu_emulates_by_another_of_its_names(host: FakeHost) -> None:
    apply(wanted())
    host.emulate(1, ide0_hd0="/srv/100.raw")
    assert EMULATED in error_of(wanted(state="absent", target=None))


@pytest.mark.parametrize(
    "media",
    [
        # Its guest has PV drivers, so QEMU has given it up.
        {},
        # Of another slot.
        {"ide0_hd1": "/dev/loop0"},
        # What was in the unit when the guest started: this disk was attached later.
        {"ide0_hd0": "/dev/loop1"},
        {"ide0_hd0": "/srv/deleted.raw"},
    ],
)
def test_other_disks_of_hvm_guests_are_detached(
    host: FakeHost, media: Dict[str, Optional[str]]
) -> None:
    apply(wanted())
    host.emulate(1, **media)
    assert apply(wanted(state="absent", target=None))[0]["slots"] == []
    assert attached() == []


def test_a_disk_that_is_emulated_again_once_it_was_planned(host: FakeHost) -> None:
    """A guest that reboots has its emulated disks until its PV drivers run."""
    apply(wanted())
    host.store = {**host.store, "/libxl/1/type": "hvm"}
    (planned,) = plan(wanted(state="absent", target=None, force=True))
    host.emulate(1, ide0_hd0="/dev/loop0")
    with pytest.raises(BlockdevError, match=r"drive ide0-hd0"):
        planned.actions[0].run()
    assert len(attached()) == 1
    assert not any("block-detach" in command for command in host.commands())


def test_virtio_disks_are_left_to_the_next_start(host: FakeHost) -> None:
    backend = "/local/domain/0/backend/virtio_disk/1/51712"
    nodes = {"params": "/dev/loop0", "type": "standalone", "specification": "virtio"}
    host.store = {
        **host.store,
        **{f"{backend}/{node}": value for node, value in nodes.items()},
        f"{backend}/device-type": "disk",
        "/libxl/1/device/virtio_disk/51712/backend": backend,
    }
    assert sentences(wanted(specification="virtio")) == []
    assert "xl cannot detach a virtio disk; shut the guest down first" in error_of(
        wanted(state="absent", target=None, force=True)
    )
    assert "it is attached to domain web as 51712" in error_of(wanted(domain="db"))
    new = wanted(specification="virtio", target="/dev/loop1", vdev="xvdb")
    assert error_of(new).endswith(
        "xl cannot attach a virtio disk to a running domain; add it to the config, and start the "
        "domain again"
    )


# ---- what keeps a detached disk open ----


def test_a_disk_that_the_kernel_does_not_close_is_no_one_elses(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forced detach leaves xenstore before the guest's last requests have ended."""
    apply(wanted())
    entry = host.serve(1, 51712)
    monkeypatch.setattr(blkback, "CLOSE_SECONDS", 0)
    (planned,) = plan(wanted(state="absent", target=None, force=True))
    with pytest.raises(PartlyDoneError, match="it is still served by the kernel") as caught:
        planned.actions[0].run()
    assert caught.value.done == "detach /dev/loop0 (xvda) from domain web"
    assert (caught.value.state["slots"], attached()) == ([], [])
    assert (
        "the kernel still serves a disk to domain 1 that xenstore no longer has (slot 51712)"
        in (error_of(wanted(domain="db", access="ro")))
    )
    entry.rmdir()
    assert sentences(wanted(domain="db")) == ["attach /dev/loop0 (rw) to domain db as xvda"]


def test_a_disk_with_writes_on_their_way_is_no_one_elses(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may remove its own entry before it has ended them. To read from such a device
    might take as long."""
    read: List[str] = []
    monkeypatch.setattr(raw_content, "refuse_foreign", lambda path, _status: read.append(path))
    inflight = host.home / "block" / "7:0" / "inflight"
    inflight.parent.mkdir(parents=True)
    inflight.write_text("       0        1\n")
    monkeypatch.setattr(blkback, "CLOSE_SECONDS", 0)
    assert error_of(wanted(format=None)).endswith(
        "the kernel still writes to it, though no domain has it as a disk: requests have not "
        "ended, which may be those of a guest that had it before; run again when they have"
    )
    assert read == []
    assert sentences(wanted(access="ro", format=None))
    assert len(read) == 1
    inflight.write_text("       5        0\n")
    apply(wanted())
    inflight.write_text("       0        1\n")
    assert sentences(wanted(discard=False, replace=True))
    (planned,) = plan(wanted(state="absent", target=None, force=True))
    with pytest.raises(PartlyDoneError, match="as the guest's last requests have not ended"):
        planned.actions[0].run()
    assert "still writes to it" in error_of(wanted(domain="db"))
    # They end while this waits.
    monkeypatch.setattr(blkback, "CLOSE_SECONDS", 9)
    monkeypatch.setattr(blkback.time, "sleep", lambda _seconds: inflight.write_text("0 0\n"))
    assert sentences(wanted(domain="db")) == ["attach /dev/loop0 (rw) to domain db as xvda"]


def test_a_disk_that_a_qemu_does_not_close_is_no_one_elses(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(wanted(format="qcow2", target="/srv/100.raw"))
    whose = "process 12 (qemu), the QEMU of domain web (id 1)"
    keeper = User("process", f"open for writing in {whose}", domid=1)
    monkeypatch.setattr(QuietUsage, "lost", [keeper])
    monkeypatch.setattr(blkback, "CLOSE_SECONDS", 0)
    (planned,) = plan(wanted(state="absent", target=None))
    with pytest.raises(PartlyDoneError, match="it is still open for writing in process 12"):
        planned.actions[0].run()
    assert attached() == []
    for access in ("ro", "rw"):
        assert error_of(wanted(domain="db", target="/srv/100.raw", access=access)).endswith(
            f"it is open for writing in {whose}, though that domain no longer has it as a disk; "
            "shut that domain down first"
        )
    monkeypatch.setattr(QuietUsage, "lost", [replace(keeper, sentence=f"open in {whose}")])
    assert sentences(wanted(domain="db", target="/srv/100.raw", access="ro"))
    assert f"it is open in {whose}" in error_of(wanted(domain="db", target="/srv/100.raw"))


# ---- sharing ----


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/dev/loop0", "it is attached to domain web as xvda (rw)"),
        ("/srv/100.raw", "it shares data with /dev/loop0, which is attached to domain web as xvda"),
    ],
)
@pytest.mark.parametrize("domain", ["web", "db"])
def test_a_disk_cannot_be_shared(host: FakeHost, target: str, message: str, domain: str) -> None:
    apply(wanted())
    for access in ("rw", "ro"):
        error = error_of(wanted(domain=domain, vdev="xvdb", target=target, access=access))
        assert error.startswith(f"cannot attach {target} ({access}) to domain {domain} as xvdb: ")
        assert message in error


def test_an_image_in_two_domains_by_file(host: FakeHost) -> None:
    host.file("/srv/own.raw", 500)
    apply(wanted(target="/srv/own.raw"))
    assert "it is attached to domain web" in error_of(wanted(target="/srv/own.raw", domain="db"))


def test_two_loop_devices_of_one_image(host: FakeHost) -> None:
    host.device("/dev/loop4", 7, 4)
    host.bindings.append(binding(4, 100))
    apply(wanted())
    assert "shares data with /dev/loop0" in error_of(wanted(target="/dev/loop4", domain="db"))


def test_a_loop_device_over_a_block_device(host: FakeHost) -> None:
    host.device("/dev/loop4", 7, 4)
    host.bindings.append(binding(4, 900, backing_rdev=os.makedev(8, 0)))
    apply(wanted(target="/dev/sda"))
    assert "shares data with /dev/sda" in error_of(wanted(target="/dev/loop4", domain="db"))


def test_read_only_disks_can_be_shared(host: FakeHost) -> None:
    apply(wanted(access="ro"), wanted(domain="db", access="ro"))
    assert attached() == [(1, "xvda", "/dev/loop0", "ro"), (2, "xvda", "/dev/loop0", "ro")]
    assert "(ro); detach it there first" in error_of(wanted(vdev="xvdb"))


@pytest.mark.parametrize(("first", "second"), [("sda", "sda1"), ("sda1", "sda")])
def test_a_whole_disk_and_its_partition(host: FakeHost, first: str, second: str) -> None:
    apply(wanted(target=f"/dev/{first}"))
    error = error_of(wanted(target=f"/dev/{second}", domain="db"))
    assert f"it shares data with /dev/{first}" in error


@pytest.mark.parametrize("first", ["volume", "sda"])
def test_a_disk_and_what_is_built_on_it(host: FakeHost, first: str) -> None:
    """A logical volume in a volume group on a partition."""
    host.device("/dev/volume", 253, 0)
    host.stack((253, 0), (8, 1))
    second = {"volume": "sda", "sda": "volume"}[first]
    apply(wanted(target=f"/dev/{first}"))
    error = error_of(wanted(target=f"/dev/{second}", domain="db"))
    assert f"it shares data with /dev/{first}" in error


@pytest.fixture
def paths(host: FakeHost) -> FakeHost:
    """sda and sdb, each with a partition, are two paths of a LUN; sdc is another one."""
    for number, name in ((16, "sdb"), (17, "sdb1"), (32, "sdc")):
        host.device(f"/dev/{name}", 8, number)
    host.partition((8, 16), (8, 17))
    host.unit("naa.6001405a", (8, 0), (8, 16))
    host.unit("naa.6001405b", (8, 32))
    host.device("/dev/volume", 253, 0)
    host.stack((253, 0), (8, 1))
    return host


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ("sda", "sdb", " (both are naa.6001405a)"),
        ("sda1", "sdb1", " (both are naa.6001405a from sector 2048)"),
        ("sda", "sdb1", ""),
        ("sda1", "sdb", ""),
        ("volume", "sdb", ""),
        ("sdb1", "volume", ""),
    ],
)
def test_two_paths_of_a_unit(paths: FakeHost, first: str, second: str, both: str) -> None:
    apply(wanted(target=f"/dev/{first}"))
    error = error_of(wanted(target=f"/dev/{second}", domain="db"))
    assert f"it shares data with /dev/{first}{both}, which is attached to domain web" in error
    apply(wanted(target="/dev/sdc", domain="db"))


def test_what_dom0_does_with_another_path(paths: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted = User("mount", "mounted on /mnt")
    monkeypatch.setattr(QuietUsage, "users", {os.makedev(8, 16): [mounted]})
    assert "it is mounted on /mnt in dom0" in error_of(wanted(target="/dev/sda"))


def test_a_process_that_writes(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = User("process", "open for writing in process 12 (dd)")
    monkeypatch.setattr(QuietUsage, "writing", [writer])
    assert error_of(wanted()) == (
        "cannot attach /dev/loop0 (rw) to domain web as xvda: it is open for writing in process 12 "
        "(dd) in dom0; release it first"
    )
    (one,) = plan(wanted(access="ro"))
    assert one.warnings == [
        "/dev/loop0 for domain web as xvda: it is open for writing in process 12 (dd), so it "
        "may change while the guest reads it"
    ]
    apply(wanted(access="ro"))
    assert plan(wanted(access="ro"))[0].warnings == []


def test_a_destroyed_domain_that_xen_still_has(host: FakeHost) -> None:
    """It may have had the disk. While xenstore has the disks of a domain, they are known."""
    host.keep_destroyed(9)
    (one,) = plan(wanted())
    (warning,) = one.warnings
    assert warning.startswith(
        "/dev/loop0 for domain web as xvda: Xen still has domain 9, which was destroyed"
    )
    assert plan(wanted(access="ro"))[0].warnings == []
    apply(wanted())
    assert plan(wanted())[0].warnings == []
    host.list_as(web="--ps-d")
    assert plan(wanted(domain="db", target="/dev/loop1"))[0].warnings == []


def test_backing_files(host: FakeHost, tmp_path: Path) -> None:
    """Several domains may read one; none may write to it."""
    base, other = tmp_path / "base.raw", tmp_path / "other.qcow2"
    base.touch()
    top = tmp_path / "top.qcow2"
    for image in (top, other):
        image.write_bytes(qcow2(b"base.raw", extension(image_header.BACKING_FORMAT, b"raw")))
    apply(wanted(target=str(top), format="qcow2", wait=False))
    assert sentences(wanted(target=str(other), format="qcow2", domain="db"))
    assert sentences(wanted(target=str(base), access="ro", domain="db"))
    error = error_of(wanted(target=str(base), domain="db"))
    words = f"it is the backing file of {top}, which is attached to domain web as xvda (rw)"
    assert words in error
    apply(wanted(state="absent", target=None))
    apply(wanted(target=str(base)))
    error = error_of(wanted(target=str(other), format="qcow2", domain="db"))
    assert f"its backing file {base} is attached to domain web as xvda (rw)" in error


def test_two_volumes_of_a_group(host: FakeHost) -> None:
    for minor in (0, 1):
        host.device(f"/dev/volume{minor}", 253, minor)
        host.stack((253, minor), (8, 1))
    apply(wanted(target="/dev/volume0"), wanted(target="/dev/volume1", domain="db"))
    assert len(attached()) == 2


@pytest.mark.parametrize(("first", "second"), [("sda", "loop3"), ("loop3", "sda")])
def test_a_disk_and_a_loop_device_over_its_partition(
    host: FakeHost, first: str, second: str
) -> None:
    host.bindings[3] = binding(3, 0, backing_rdev=os.makedev(8, 1))
    apply(wanted(target=f"/dev/{first}"))
    assert "it shares data with" in error_of(wanted(target=f"/dev/{second}", domain="db"))


def test_two_partitions_of_a_disk(host: FakeHost) -> None:
    host.device("/dev/sda3", 8, 3)
    host.partition((8, 16), (8, 3))
    apply(wanted(target="/dev/sda1"), wanted(target="/dev/sda2", domain="db"))
    assert len(attached()) == 2


def test_items_of_one_call_count(host: FakeHost) -> None:
    error = error_of(wanted(), wanted(domain="db"))
    assert "it will be attached to domain web as xvda (rw)" in error
    assert "slot 51712 of domain web is listed twice" in error_of(wanted(), wanted(vdev="51712"))
    assert host.changes() == []


def test_a_slot_and_disk_that_are_detached_in_the_same_call_are_free(host: FakeHost) -> None:
    apply(wanted())
    apply(wanted(state="absent"), wanted(domain="db"), wanted(target="/dev/loop1"))
    assert attached() == [(1, "xvda", "/dev/loop1", "rw"), (2, "xvda", "/dev/loop0", "rw")]


@pytest.mark.parametrize("kind", ["mount", "swap", "holder", "process", "loop"])
def test_what_dom0_uses(host: FakeHost, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(QuietUsage, "users", {os.makedev(7, 0): [User(kind, "mounted on /mnt")]})
    for target in ("/dev/loop0", "/srv/100.raw"):
        if kind in sharing_rules.DOM0_USES:
            assert error_of(wanted(target=target)) == (
                f"cannot attach {target} (rw) to domain web as xvda: it is mounted on /mnt in "
                "dom0; release it first"
            )
        else:
            assert len(sentences(wanted(target=target))) == 1


def test_a_loop_device_over_a_partition_that_dom0_uses(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop2 = os.makedev(7, 2)
    users = {
        os.makedev(8, 0): [User("loop", "partition /dev/sda1 bound to /dev/loop2", rdev=loop2)],
        loop2: [User("mount", "mounted on /mnt")],
    }
    monkeypatch.setattr(QuietUsage, "users", users)
    assert "it is mounted on /mnt in dom0" in error_of(wanted(target="/dev/sda"))


def test_a_device_that_dom0_has_opened_exclusively(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QuietUsage, "is_claimed", lambda _usage, rdev: rdev == os.makedev(7, 0))
    for target in ("/dev/loop0", "/srv/100.raw"):
        assert "dom0 holds it exclusively (O_EXCL)" in error_of(wanted(target=target))
    assert sentences(wanted(target="/dev/loop1"))


def test_a_swap_file(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QuietUsage, "file_users", [User("swap", "used as swap")])
    assert "it is used as swap in dom0" in error_of(wanted(target="/srv/100.raw"))


def test_another_run_attached_it_elsewhere_after_the_plan(host: FakeHost) -> None:
    (mine,), (other,) = plan(wanted()), plan(wanted(domain="db"))
    other.actions[0].run()
    with pytest.raises(BlockdevError, match="it is attached to domain db as xvda"):
        mine.actions[0].run()
    assert attached() == [(2, "xvda", "/dev/loop0", "rw")]


def test_another_run_did_the_same_after_the_plan(host: FakeHost) -> None:
    (mine,), (other,) = plan(wanted()), plan(wanted())
    other.actions[0].run()
    mine.actions[0].run()
    assert len(host.changes()) == 1
    assert mine.read_back() == other.read_back()


def test_another_run_took_the_slot_after_the_plan(host: FakeHost) -> None:
    (mine,), (other,) = plan(wanted()), plan(wanted(target="/dev/loop1"))
    other.actions[0].run()
    with pytest.raises(BlockdevError, match="not /dev/loop0; another program attached it just now"):
        mine.actions[0].run()
    assert attached() == [(1, "xvda", "/dev/loop1", "rw")]


def test_another_image_was_bound_to_the_device_after_the_plan(host: FakeHost) -> None:
    (mine,) = plan(wanted())
    host.bindings[0] = binding(0, 200)
    with pytest.raises(BlockdevError, match="another program changed where its target leads"):
        mine.actions[0].run()
    assert attached() == []


def test_dom0_has_begun_to_use_it_after_the_plan(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mine,) = plan(wanted())
    monkeypatch.setattr(QuietUsage, "users", {os.makedev(7, 0): [User("swap", "used as swap")]})
    with pytest.raises(BlockdevError, match="it is used as swap in dom0; release it first"):
        mine.actions[0].run()
    assert attached() == []


def test_another_program_is_about_to_attach_it(host: FakeHost) -> None:
    apply(wanted())
    path = "/local/domain/0/backend/vbd/1/51712/physical-device"
    host.store = {name: value for name, value in host.store.items() if not name.startswith(path)}
    assert error_of(wanted()).endswith("run again, and if it stays so set replace: true to swap it")


# ---- attaching fails ----


def test_a_script_that_fails(host: FakeHost) -> None:
    host.behave(script_words={"/dev/loop0": "the LUN\nis asleep"})
    with pytest.raises(BlockdevError) as caught:
        apply(wanted())
    assert str(caught.value) == (
        "cannot attach /dev/loop0 (rw) to domain web as xvda: the LUN is asleep; the failed "
        "attempt was cleaned up"
    )
    assert attached() == []


def test_a_slow_host_is_a_warning(host: FakeHost) -> None:
    host.behave(kills_script=1)
    (one,) = plan(wanted())
    learned = one.actions[0].run()
    assert learned is not None
    (warning,) = learned.warnings
    assert "this was tried 2 times" in warning


def test_the_host_is_read_once_for_all_results(host: FakeHost) -> None:
    items = [wanted(), wanted(domain="db", target="/dev/loop1")]
    with vbd_attach.open_vbds(Pending()) as vbds:
        plans = [vbds.plan(VbdItem.read(item)) for item in items]
        for one in plans:
            one.actions[0].run()
        vbds.settle()
        before = host.reads
        assert [one.read_back()["physical_device"] for one in plans] == ["7:0", "7:1"]
        assert host.reads == before


def test_a_guest_that_never_connects(host: FakeHost) -> None:
    host.behave(never_connects=True)
    with pytest.raises(BlockdevError, match="did not connect within"):
        apply(wanted())
    assert attached() == []
    (state,) = apply(wanted(wait=False))
    assert (state["backend_state"], state["frontend_state"]) == (2, 1)
    assert sentences(wanted()) == []


def test_a_guest_that_connects_when_it_opens_the_disk(host: FakeHost) -> None:
    host.behave(never_connects=True)
    (one,) = plan(wanted(wait_for="offered"))
    assert "backend_state" not in one.after
    (state,) = apply(wanted(wait_for="offered"))
    assert (state["backend_state"], state["frontend_state"]) == (2, 1)
    assert sentences(wanted()) == []


def unlisted(*items: State, check_mode: bool = False, pending: Any = None) -> List[str]:
    with vbd_attach.open_vbds(Pending.read(pending, check_mode)) as vbds:
        for item in items:
            vbds.plan(VbdItem.read(item))
        return [line.split(", which")[0] for line in vbds.warnings()]


def test_disks_that_no_item_names(host: FakeHost) -> None:
    apply(
        wanted(), wanted(vdev="xvdb", target="/dev/loop1"), wanted(domain="db", target="/dev/sda")
    )
    apply(wanted(vdev="xvdc", target="/dev/loop2"))
    cd = "/local/domain/0/backend/vbd/1/51744/device-type"
    host.store = {**host.store, cd: "cdrom"}
    warn = wanted(unlisted="warn")
    assert unlisted(wanted()) == []
    assert unlisted(warn) == ["domain web has /dev/loop1 in slot xvdb"]
    assert unlisted(warn, wanted(vdev="xvdb", state="absent", target=None)) == []
    assert unlisted(warn, wanted(vdev="xvdb", target="/dev/loop1")) == []
    pending = {"vbds": [{"domain": "web", "vdev": "xvdb"}]}
    assert unlisted(warn, check_mode=True, pending=pending) == []


def test_a_leftover_of_a_failed_attach_is_no_disk(host: FakeHost) -> None:
    apply(wanted())
    host.store = {**host.store, "/local/domain/0/backend/vbd/1/51712/hotplug-status": "error"}
    assert "holds /dev/loop0, which is left over from a failed attach" in error_of(wanted())
    apply(wanted(replace=True))
    assert [one.flaw for one in xen_state.attached_devices()] == [None]


# ---- replace ----


def test_replace(host: FakeHost) -> None:
    apply(wanted(access="ro"))
    item = wanted(target="/dev/loop1", replace=True)
    assert sentences(item) == ["replace /dev/loop0 (ro) in domain web as xvda with /dev/loop1 (rw)"]
    (state,) = apply(item)
    assert (state["physical_device"], state["access"]) == ("7:1", "rw")
    assert sentences(item) == []


def test_the_new_target_is_checked_before_the_old_one_goes(host: FakeHost) -> None:
    apply(wanted(), wanted(target="/dev/loop1", domain="db"))
    for target in ("/srv/nope.raw", "/dev/loop1"):
        error_of(wanted(target=target, replace=True))
    assert len(attached()) == 2


def test_the_old_disk_is_put_back_if_the_new_one_fails(host: FakeHost) -> None:
    apply(wanted(access="ro"))
    host.behave(script_words={"/dev/loop1": "no"})
    with pytest.raises(
        BlockdevError, match=r"no; the failed attempt was cleaned up; /dev/loop0 was put back"
    ):
        apply(wanted(target="/dev/loop1", replace=True))
    assert attached() == [(1, "xvda", "/dev/loop0", "ro")]


def test_an_old_disk_that_cannot_be_put_back(host: FakeHost) -> None:
    apply(wanted())
    host.behave(script_words={"/dev/loop0": "nor this", "/dev/loop1": "not that"})
    with pytest.raises(
        PartlyDoneError,
        match=r"^cannot replace .*/dev/loop0 could not be put back as xvda: nor this",
    ) as caught:
        apply(wanted(target="/dev/loop1", replace=True))
    assert attached() == []
    assert caught.value.done == "detach /dev/loop0 (xvda) from domain web"
    assert caught.value.state == {"running": True, "domid": 1, "xenstore_key": 51712}


def test_an_old_disk_that_another_guest_has_taken_is_not_put_back(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_arguments: object) -> None:
        monkeypatch.setattr(vbd_attach.Vbds, "_attach", attach)
        apply(wanted(domain="db"))
        raise XenError("no")

    attach = vbd_attach.Vbds._attach
    apply(wanted())
    monkeypatch.setattr(vbd_attach.Vbds, "_attach", lose)
    with pytest.raises(PartlyDoneError, match=r"could not be put back .* attached to domain db"):
        apply(wanted(target="/dev/loop1", replace=True))
    assert attached() == [(2, "xvda", "/dev/loop0", "rw")]


def test_the_old_disk_is_put_back_if_the_host_cannot_be_read(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look() -> Attached:
        if not errors:
            return real()
        raise errors.pop()

    real = Attached.now
    apply(wanted())
    (mine,) = plan(wanted(target="/dev/loop1", replace=True))
    errors = [OSError(5, "Input/output error")]
    monkeypatch.setattr(Attached, "now", look)
    host.behave(kills_script=1)
    words = "Input/output error; /dev/loop0 was put back; .* this was tried 2 times"
    with pytest.raises(BlockdevError, match=words):
        mine.actions[0].run()
    assert attached() == [(1, "xvda", "/dev/loop0", "rw")]


def test_an_old_disk_of_a_driver_domain_is_not_put_back_as_one_of_dom0(host: FakeHost) -> None:
    apply(wanted())
    served_by_db(host)
    host.behave(script_words={"/dev/loop1": "no"})
    with pytest.raises(PartlyDoneError, match="was not put back: it is served by another domain"):
        apply(wanted(target="/dev/loop1", replace=True))
    assert attached() == []


def test_replace_needs_a_guest_that_releases_the_disk(host: FakeHost) -> None:
    apply(wanted())
    host.behave(stuck=True)
    with pytest.raises(BlockdevError, match="set force: true"):
        apply(wanted(target="/dev/loop1", replace=True))
    assert "is being detached, but its guest has not released it" in error_of(wanted())
    apply(wanted(target="/dev/loop1", replace=True, force=True))
    assert attached() == [(1, "xvda", "/dev/loop1", "rw")]


# ---- absent ----


def absent(**options: Any) -> State:
    return wanted(state="absent", **options)


GONE = {
    "running": True,
    "domid": 1,
    "slots": [],
    "detached": [{"domain": "web", "vdev": "xvda"}],
}


def test_detach(host: FakeHost) -> None:
    apply(wanted())
    (one,) = plan(absent(target=None))
    assert [action.sentence for action in one.actions] == [
        "detach /dev/loop0 (xvda) from domain web, even if its guest has it mounted"
    ]
    assert one.before == {**GONE, "slots": [51712], "detached": []}
    assert apply(absent(target=None)) == [GONE]
    assert attached() == []
    assert sentences(absent(target=None), absent(), absent(vdev=None)) == []


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"target": None}, ["xvdb"]),
        ({}, ["xvdb"]),
        ({"target": "/srv/100.raw"}, ["xvdb"]),
        ({"target": "/dev/loop1"}, ["xvda", "xvdb"]),
        ({"vdev": None}, []),
        ({"vdev": None, "target": "/srv/100.raw"}, []),
        ({"domain": "db"}, ["xvda", "xvdb"]),
    ],
)
def test_which_disks_go(host: FakeHost, options: State, left: List[str]) -> None:
    apply(wanted(access="ro"), wanted(vdev="xvdb", access="ro"))
    apply(absent(**options))
    assert [one[1] for one in attached()] == left


def test_a_target_of_which_a_script_made_another_device(host: FakeHost) -> None:
    apply(wanted(target="/dev/sda1", script="block-crypt"))
    path = "/local/domain/0/backend/vbd/1/51712/physical-device"
    host.store = {**host.store, path: "fd:9"}
    apply(absent(vdev=None, target="/dev/sda1"))
    assert attached() == []


def test_absent_and_present_in_one_slot_with_one_target(host: FakeHost) -> None:
    apply(wanted())
    assert len(apply(absent(target=None), wanted(access="ro"))) == 2
    assert attached() == [(1, "xvda", "/dev/loop0", "ro")]


def test_a_target_that_is_gone_is_known_by_its_name(host: FakeHost) -> None:
    host.store = recorded_store()
    assert sentences(absent(vdev=None, target="/srv/xen/c.raw")) == [
        "detach /srv/xen/c.raw (xvdq) from domain web, even if its guest has it mounted"
    ]


def test_a_guest_that_does_not_release_the_disk(host: FakeHost) -> None:
    apply(wanted())
    host.behave(stuck=True, force_exits_1=True)
    message = "cannot detach /dev/loop0 (xvda) from domain web: its guest did not release it"
    with pytest.raises(PartlyDoneError) as caught:
        apply(absent())
    assert str(caught.value).startswith(message)
    assert caught.value.done == "ask domain web to release /dev/loop0 (xvda)"
    assert caught.value.state["slots"] == [51712]
    with pytest.raises(XenError) as again:  # It was asked already: nothing has changed.
        apply(absent())
    assert str(again.value).startswith(message)
    assert apply(absent(force=True)) == [GONE]


def test_what_another_run_put_into_the_slot_stays(host: FakeHost) -> None:
    apply(wanted())
    (mine,) = plan(absent())
    apply(wanted(target="/dev/loop1", replace=True))
    with pytest.raises(BlockdevError, match="slot xvda now holds /dev/loop1"):
        mine.actions[0].run()
    assert attached() == [(1, "xvda", "/dev/loop1", "rw")]


def test_what_another_run_detached_is_gone(host: FakeHost) -> None:
    apply(wanted())
    (mine,) = plan(absent())
    apply(absent())
    mine.actions[0].run()
    assert mine.read_back()["slots"] == []


def test_a_disk_of_a_driver_domain_is_not_compared_with_ours(host: FakeHost) -> None:
    foreign = xen_state.Vbd(2, "db", 51712, "xvda", "/dev/loop0", "rw", backend_domid=3)
    storages = Storages(host.bindings)
    assert not storages.of_vbd(foreign).overlaps(storages.of_path("/dev/loop0"))


# ---- signatures of other formats ----


def test_the_signature_of_another_format_is_refused_unless_format_is_raw(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, _status: object) -> None:
        raise BlockdevError(f"{path} has the signature of a qcow2 image")

    monkeypatch.setattr(raw_content, "refuse_foreign", refuse)
    assert error_of(wanted(format=None)) == (
        "cannot attach /dev/loop0 (rw) to domain web as xvda: /dev/loop0 has the signature of a "
        "qcow2 image"
    )
    for said in ("raw", "qcow2"):
        assert sentences(wanted(format=said))
    assert sentences(wanted(format=None, script="block-iscsi"))
    apply(wanted(format="raw"))
    assert not sentences(wanted(format=None))
    swapped = wanted(format=None, access="ro", replace=True)
    assert sentences(swapped) == [
        "replace /dev/loop0 (rw) in domain web as xvda with /dev/loop0 (ro)"
    ]


def test_a_disk_without_a_format_is_attached_as_raw(host: FakeHost) -> None:
    assert apply(wanted(format=None)) == apply(wanted(format="raw"))
    assert "with format: raw, not qcow2" in error_of(wanted(format="qcow2"))
