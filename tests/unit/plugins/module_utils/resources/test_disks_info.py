# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The survey of a host with real files, and made-up loop devices, block devices and guests."""

from __future__ import annotations

import json
import os
import struct
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator, List, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.host import (
    block_device,
    mounts,
    open_files,
)
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import LoopError
from ansible_collections.xen.blockdev.plugins.module_utils.loop.boot_unit import (
    BootUnits,
    content,
    name_of,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources import (
    disks_info,
    disks_info_file_systems,
    disks_info_layers,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    DataIdentity,
    DiskInConfig,
    DiskInGuest,
    DiskStorage,
    ImageFile,
    KernelVbd,
    RunningGuest,
    Survey,
    SurveyedDisk,
    SurveyedDomain,
    ThinPool,
    ThinVolume,
    VolumeGroup,
    VolumeName,
)
from ansible_collections.xen.blockdev.plugins.module_utils.survey.record import survey_of
from ansible_collections.xen.blockdev.plugins.module_utils.volume import names as volume_names
from ansible_collections.xen.blockdev.plugins.module_utils.xen import saved_domains
from ansible_collections.xen.blockdev.tests.fake_lvm import FakeLvm
from ansible_collections.xen.blockdev.tests.lvm_host import fake_lvm
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.fake_xen_host import (
    FakeHost,
    binding,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.imageutil import bound, image
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.lvmhost import run_here
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.xen.test_saved_domains import (  # noqa: E501
    saved,
)

MIB = 1024**2


class Place:
    """A host whose directories are in ``home``."""

    def __init__(self, xen: FakeHost, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.xen = xen
        self.home = home
        for name in ("configs", "auto", "images", "save", "units/multi-user.target.wants", "links"):
            (home / name).mkdir(parents=True)
        monkeypatch.setattr(saved_domains, "SETTINGS", ())
        monkeypatch.setattr(saved_domains, "DEFAULT_DIR", str(home / "save"))
        monkeypatch.setattr(loop_link, "LINK_DIR", str(home / "links"))
        units = partial(BootUnits, str(home / "units"))
        monkeypatch.setattr(disks_info_layers, "BootUnits", units)
        monkeypatch.setattr(disks_info_file_systems, "BY_UUID", str(home / "by-uuid"))
        monkeypatch.setattr(open_files, "all_open", list)

    def config(self, name: str, *disks: str, more: str = "", auto: bool = False) -> str:
        """A config for the domain ``name``; returns its path."""
        path = self.home / "configs" / f"{name}.cfg"
        path.write_text(f"name = '{name}'\n{more}\ndisk = {list(disks)}\n")
        if auto:
            (self.home / "auto" / name).symlink_to(path)
        return str(path)

    def image(self, name: str, **more: Any) -> Path:
        path = self.home / "images" / name
        path.parent.mkdir(exist_ok=True)
        return image(path, **more)

    def vbd(self, domid: int, key: int, **nodes: str) -> None:
        """A disk of a running domain."""
        backend, entry = (
            f"/local/domain/0/backend/vbd/{domid}/{key}",
            f"/libxl/{domid}/device/vbd/{key}",
        )
        values = {"type": "phy", "mode": "w", "state": "4", "online": "1", "device-type": "disk"}
        written = {
            f"{backend}/{node.replace('_', '-')}": value
            for node, value in {**values, **nodes}.items()
        }
        self.xen.store = {**self.xen.store, f"{entry}/backend": backend, **written}

    def mapped(self, number: int, name: str, uuid: str, *below: int) -> str:
        """A device of device-mapper that is built on others; returns its path."""
        directory = Path(block_device.SYS_BLOCK_BY_NUMBER) / f"253:{number}"
        (directory / "dm").mkdir(parents=True)
        (directory / "dm" / "name").write_text(f"{name}\n")
        (directory / "dm" / "uuid").write_text(f"{uuid}\n")
        (directory / "uevent").write_text(f"DEVNAME=dm-{number}\n")
        (directory / "size").write_text("2048\n")
        (directory / "ro").write_text("0\n")
        for one in below:
            (directory / "slaves" / f"dm-{one}").mkdir(parents=True)
            (directory / "slaves" / f"dm-{one}" / "dev").write_text(f"253:{one}\n")
        self.xen.device(f"/dev/mapper/{name}", 253, number)
        return f"/dev/mapper/{name}"

    def survey(self, settings: bool = False) -> Survey:
        """What is read; it is read back from what the module returns."""
        places = [str(self.home / "configs")], [str(self.home / "images")], str(self.home / "auto")
        self.warnings: List[str] = []
        shown = disks_info.show_host(*places, settings, self.warnings.append)
        return survey_of(json.loads(json.dumps(shown)))

    def read(self) -> Survey:
        """The same of a host of which everything can be read."""
        survey = self.survey()
        assert (survey.unread, self.warnings) == ((), [])
        return survey


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with FakeHost(tmp_path, monkeypatch) as xen:
        yield Place(xen, tmp_path, monkeypatch)


def only(disks: Any) -> Any:
    (one,) = disks
    return one


def disk_of(survey: Survey, domain: Optional[str], key: Optional[int] = 51712) -> SurveyedDisk:
    disks = [one for one in survey.disks if (one.domain, one.xenstore_key) == (domain, key)]
    found: SurveyedDisk = only(disks)
    return found


def storage(survey: Survey, name: Any) -> DiskStorage:
    found: DiskStorage = only(one for one in survey.storages if one.name == str(name))
    return found


# ---- one disk through all layers ----


def test_a_disk_through_all_layers(place: Place) -> None:
    path = place.image("web/boot.raw")
    link = Path(f"{place.home}/links{path}")
    link.parent.mkdir(parents=True)
    link.symlink_to("/dev/loop3")
    place.xen.device("/dev/loop3", 7, 3)
    place.xen.device(str(link), 7, 3)
    place.xen.bindings = [bound(path)]
    name = name_of(str(path))
    (place.home / "units" / name).write_text(content(str(path), 512, False))
    (place.home / "units/multi-user.target.wants" / name).symlink_to(place.home / "units" / name)
    text = f"format=raw, vdev=xvda, access=ro, target={link}"
    config = place.config("web", text, more="type = 'pvh'", auto=True)
    place.vbd(1, 51712, params=str(link), physical_device="7:3", dev="xvda", sectors="2048")
    place.xen.serve(1, 51712)
    survey = place.read()

    assert SurveyedDomain("web", (config,), (1,), (), True) in survey.domains
    assert [one.name for one in survey.domains] == ["db", "web"]
    guest = only(one for one in survey.guests or () if one.name == "web")
    assert (guest.domid, guest.status) == (1, "running")
    disk = disk_of(survey, "web")
    assert (disk.vdev, disk.saved) == ("xvda", ())
    said = {"target": str(link), "format": "raw", "vdev": "xvda", "access": "ro"}
    assert only(disk.configured) == DiskInConfig(
        config, 0, text, said, None, str(link), "link", "raw", "ro", "disk", str(path)
    )
    vbd: DiskInGuest = only(disk.attached)
    assert (vbd.domid, vbd.size, vbd.physical_device) == (1, MIB, "7:3")
    assert (vbd.storage, vbd.loop_device, vbd.is_served) == (str(path), "/dev/loop3", True)

    found, status = storage(survey, path), path.stat()
    assert (found.kind, found.size, found.loop_devices) == ("file", MIB, ("/dev/loop3",))
    identities = {(one.kind, one.value) for one in found.identities}
    number = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    assert {("device", "7:3"), ("file", f"{number}:{status.st_ino}")} <= identities
    assert found.file and found.file.size == MIB
    assert (found.file.mode, found.file.allocated) == ("0644", 0)
    assert found.file.file_system in [one.mount_point for one in survey.file_systems]
    device = only(survey.loop_devices)
    assert (device.storage, device.marked, device.persistent) == (str(path), True, True)
    assert device.link == str(link)
    unit = only(survey.boot_units)
    assert (unit.image, unit.enabled, unit.exists, unit.storage) == (
        str(path),
        True,
        True,
        str(path),
    )
    assert [(one.path, one.storage) for one in survey.links] == [(str(link), str(path))]
    assert only(survey.autostart).config == config
    nothing = survey.leftovers
    assert not (nothing.images or nothing.loop_devices or nothing.boot_units or nothing.links)
    assert place.xen.reads == 1
    assert place.xen.commands() == ["xl list"]


def test_names_of_one_image(place: Place) -> None:
    path = place.image("a.raw")
    os.link(path, place.home / "hard.raw")
    (place.home / "symbolic.raw").symlink_to(path)
    place.xen.bindings = [bound(path)]
    place.xen.device("/dev/loop3", 7, 3)
    names = [
        str(path),
        str(place.home / "hard.raw"),
        str(place.home / "symbolic.raw"),
        "/dev/loop3",
    ]
    for number, name in enumerate(names):
        place.config(f"d{number}", f"{name},raw,xvda,ro")
    survey = place.read()
    disks = [only(disk.configured) for disk in survey.disks]
    assert {disk.storage for disk in disks} == {str(path)}
    assert [disk.target_form for disk in disks] == ["path", "path", "path", "loop"]
    assert storage(survey, path).file.links == 2  # type: ignore[union-attr]


def test_an_image_that_was_replaced_while_bound(place: Place) -> None:
    path = place.image("a.raw")
    old = bound(path, deleted=True)
    path.rename(place.home / "kept")
    place.image("a.raw", size=2 * MIB)
    place.xen.bindings = [old]
    place.xen.device("/dev/loop3", 7, 3)
    place.config("web", f"{path},raw,xvda,rw", "/dev/loop3,raw,xvdb,rw")
    survey = place.read()
    now, before = (only(disk_of(survey, "web", key).configured).storage for key in (51712, 51728))
    assert (now, before) == (str(path), f"{path} (deleted)")
    gone = storage(survey, before)
    assert gone.file == ImageFile(str(path), deleted=True)
    assert (gone.size, gone.loop_devices) == (MIB, ("/dev/loop3",))
    assert not gone.overlaps(storage(survey, now))


def test_an_image_that_cannot_be_reached(place: Place) -> None:
    path = place.image("a.raw")
    place.xen.bindings = [bound(path, backing_file="/elsewhere/a.raw")]
    path.rename(place.home / "b.raw")
    found = storage(place.read(), "/elsewhere/a.raw (hidden)")
    assert found.file == ImageFile("/elsewhere/a.raw", hidden=True)


@pytest.mark.parametrize(
    ("mode", "above", "expected"),
    [(0o644, 0o755, True), (0o640, 0o755, False), (0o644, 0o750, False), (0o604, 0o711, True)],
)
def test_what_others_can_read(
    place: Place, monkeypatch: pytest.MonkeyPatch, mode: int, above: int, expected: bool
) -> None:
    path = place.image("web/a.raw")
    path.chmod(mode)
    path.parent.chmod(above)
    real = os.stat

    def passing(name: Any, **more: Any) -> Any:
        """pytest's own directories are closed."""
        is_above = Path(str(name)) in path.parent.parents
        return SimpleNamespace(st_mode=0o40711) if is_above else real(name, **more)

    monkeypatch.setattr(os, "stat", passing)
    found = storage(place.read(), path).file
    assert found
    assert (found.mode, found.read_by_others) == (f"{mode:04o}", expected)


def qcow2_over(base: Path) -> bytes:
    """The first cluster of a qcow2 image with this backing file: docs/interop/qcow2.rst of QEMU."""
    name = str(base).encode()
    header = struct.pack(">4sIQI80xI", b"QFI\xfb", 3, 512, len(name), 104)
    return header.ljust(512, b"\0") + name


def test_formats(place: Place) -> None:
    base = image(place.home / "base.raw")  # In no directory for images.
    top = place.image("top.qcow2", content=qcow2_over(base))
    place.config("web", f"{top},qcow2,xvda,rw", f"{top},raw,xvdb,ro")
    survey = place.read()
    found = storage(survey, top)
    assert found.file
    assert found.file.signature == "qcow2"
    assert [(one.storage, one.role) for one in found.behind] == [(str(base), "backing file")]
    assert storage(survey, base).size == MIB
    assert survey.leftovers.images == ()


# ---- targets ----


@pytest.mark.parametrize(
    ("text", "form", "found", "problem"),
    [
        ("/nowhere,raw,xvda,rw", "path", None, "cannot be found"),
        ("target=relative,raw,xvda", None, None, None),
        ("/x,raw,xvda,rw,backend=db", "path", "/x of domain 2", None),
        ("/x,raw,xvda,rw,backend=gone", "path", "/x of domain gone", None),
        ("/x,raw,xvda,rw,script=block-drbd", "path", "/x", None),
        ("vdev=xvda,backendtype=qdisk,target=rbd:pool/a", "other", "rbd:pool/a", None),
        ("vdev=hdc,devtype=cdrom", None, None, None),
        ("/dev/loop9,raw,xvda,rw", "loop", None, "not bound"),
        ("/dev/null,raw,xvda,rw", "path", None, "neither a block device nor a regular file"),
    ],
)
def test_targets(
    place: Place, text: str, form: Optional[str], found: Optional[str], problem: Optional[str]
) -> None:
    place.xen.device("/dev/loop9", 7, 9)
    place.config("web", text)
    disk = only(only(place.read().disks).configured)
    assert (disk.text, disk.target_form, disk.storage) == (text, form, found)
    assert problem is None or problem in disk.target_problem
    assert (disk.said is None) == (disk.problem is not None) == ("relative" in text)


def test_a_link_that_leads_nowhere_means_its_image(place: Place) -> None:
    path = place.image("a.raw")
    dangling = place.home / "links/srv/gone.raw"
    dangling.parent.mkdir(parents=True)
    dangling.symlink_to("/dev/loop99999")
    links = [f"{place.home}/links{path}", str(dangling)]
    place.config("web", *(f"vdev=xvd{slot}, target={link}" for slot, link in zip("ab", links)))
    survey = place.read()
    here, nowhere = (only(disk_of(survey, "web", key).configured) for key in (51712, 51728))
    assert (here.storage, nowhere.storage) == (str(path), None)
    assert "cannot be found" in here.target_problem
    assert "cannot be found" in nowhere.target_problem
    assert survey.leftovers.links == (str(dangling),)


def test_volumes(place: Place) -> None:
    uuid = "a" * 64
    place.mapped(0, "vg-pool-tpool", f"LVM-{uuid}-tpool")
    thin = place.mapped(1, "vg-web--data", f"LVM-{'b' * 64}", 0)
    place.mapped(2, "vg-old", f"LVM-{'c' * 64}")
    crypt = place.mapped(3, "crypt", "CRYPT-LUKS2-x", 1)
    place.config("web", f"{thin},raw,xvda,rw")
    place.config("db", f"{crypt},raw,xvda,rw")
    survey = place.read()
    found = storage(survey, "/dev/vg/web-data")
    assert only(disk_of(survey, "web").configured).storage == found.name
    assert found.device
    assert found.device.volume == VolumeName("vg", "web-data", "b" * 64, "pool")
    assert (found.size, found.device.made_of) == (MIB, ("/dev/dm-0",))
    assert DataIdentity("volume", "b" * 64) in found.identities
    assert survey.volume_groups == (), "LVM is not installed"
    above = storage(survey, "/dev/mapper/crypt")
    assert DataIdentity("volume", "b" * 64) in above.below
    assert found.overlaps(above)
    assert survey.leftovers.volumes == ("/dev/vg/old",)


@pytest.fixture
def lvm(place: Place, monkeypatch: pytest.MonkeyPatch) -> FakeLvm:
    """A host with two groups, of which vg has active volumes."""
    fake = fake_lvm(place.home / "lvm", monkeypatch)
    run_here(fake, monkeypatch)
    monkeypatch.setattr(volume_names, "DEV", "/dev")
    fake.group("vg", (64, 64))
    fake.group("other")
    fake.volume("pool", 16, "vg", kind="pool", data_percent=50.0, metadata=12.5)
    fake.volume("web", 12, "vg", kind="thin", pool="pool", data_percent=25.0)
    fake.volume("asleep", 4, "vg", kind="thin", pool="pool", active=False)
    fake.volume("old", 10, "vg")
    place.mapped(0, "vg-pool-tpool", f"LVM-{'a' * 64}-tpool")
    place.mapped(1, "vg-web", f"LVM-{'b' * 64}", 0)
    place.mapped(2, "vg-old", f"LVM-{'c' * 64}")
    return fake


EXTENT = 65536


def test_groups_and_pools(place: Place, lvm: FakeLvm) -> None:
    survey = place.read()
    pool = ThinPool(
        "/dev/vg/pool",
        16 * EXTENT,
        8 * EXTENT,
        12.5,
        (
            ThinVolume("/dev/vg/web", 12 * EXTENT, 3 * EXTENT),
            ThinVolume("/dev/vg/asleep", 4 * EXTENT),
        ),
    )
    assert survey.volume_groups == (VolumeGroup("vg", 128 * EXTENT, 102 * EXTENT, (pool,)),)
    assert lvm.commands == ["fullreport"]
    assert storage(survey, "/dev/vg/web").name in [one.path for one in pool.volumes]


def test_no_lvm_process_without_volumes(place: Place, lvm: FakeLvm) -> None:
    for number in (0, 1, 2):
        (Path(block_device.SYS_BLOCK_BY_NUMBER) / f"253:{number}/dm/uuid").write_text("CRYPT-x\n")
    assert place.read().volume_groups == ()
    assert lvm.calls == []


def test_a_group_that_lvm_does_not_report(place: Place, lvm: FakeLvm) -> None:
    place.mapped(3, "gone-web", f"LVM-{'d' * 64}")
    survey = place.survey()
    assert [one.name for one in survey.volume_groups] == ["vg"]
    assert (only(survey.unread).source, only(survey.unread).subject) == ("lvm", "gone")
    assert 'Volume group "gone" not found' in only(survey.unread).error


def test_lvm_that_fails(place: Place, lvm: FakeLvm) -> None:
    lvm.behave(command="fullreport", act="fail", words="no space in /run/lock")
    survey = place.survey()
    assert survey.volume_groups == ()
    (gap,) = survey.unread
    assert (gap.source, gap.subject) == ("lvm", "vg")
    assert "no space in /run/lock" in gap.error


def test_a_loop_device_over_a_block_device(place: Place) -> None:
    volume = place.mapped(1, "vg-web", f"LVM-{'b' * 64}")
    place.xen.bindings = [binding(3, 0, backing_rdev=os.makedev(253, 1))]
    place.xen.device("/dev/loop3", 7, 3)
    place.config("web", f"{volume},raw,xvda,rw", "/dev/loop3,raw,xvdb,rw")
    survey = place.read()
    names = [only(disk_of(survey, "web", key).configured).storage for key in (51712, 51728)]
    assert names == ["/dev/vg/web", "/dev/vg/web"]
    assert storage(survey, "/dev/vg/web").loop_devices == ("/dev/loop3",)
    assert only(survey.loop_devices).storage == "/dev/vg/web"


def test_two_ways_to_one_unit(place: Place) -> None:
    place.xen.unit("naa.6001405", (8, 0), (8, 16))
    for name, minor in (("sda", 0), ("sdb", 16)):
        place.xen.device(f"/dev/{name}", 8, minor)
        place.config(name, f"/dev/{name},raw,xvda,rw")
    survey = place.read()
    names = [only(disk.configured).storage for disk in survey.disks]
    one, other = (storage(survey, name) for name in names)
    assert one.name != other.name
    assert one.overlaps(other)
    assert one.overlaps_elsewhere(other, frozenset({"unit"}))


# ---- configs ----


def test_which_files_are_configs(place: Place) -> None:
    web = place.config("web", "/dev/null,raw,xvda,ro", auto=True)
    (place.home / "configs/also-web.cfg").symlink_to(web)
    others = {
        "xl.conf": "autoballoon='off'\n",
        "xlexample.hvm": "name = 'example'\n",
        "notes.txt": "Some text.\n",
        ".hidden.cfg": "name = 'hidden'\n",
        "old.cfg~": "name = 'old'\n",
        "noname.cfg": "memory = 64\n",
        "broken.cfg": "disk = [\n",
        "named": "name = 'named'\n",
        "xm": "name = 'xm'\nimport os\n",
        "secret.cfg": "vncpasswd = 'hunter2\n",
        "crlf.cfg": "name = 'crlf'\r\n",
        "string.cfg": "name = 'string'\ndisk = '/dev/null,raw,xvda,ro'\n",
        "builder.cfg": "name = 'builder'\ntype = 'pv'\nbuilder = 'hvm'\n",
    }
    for name, text in others.items():
        (place.home / "configs" / name).write_bytes(text.encode())
    (place.home / "configs/directory.cfg").mkdir()
    (place.home / "configs/dangling.cfg").symlink_to("/nowhere")
    (place.home / "auto/nothing").symlink_to("/nowhere")
    (place.home / "auto/with blank").write_text("memory = 1\n")
    survey = place.read()
    found = {os.path.basename(one.path): one for one in survey.configs}
    assert set(found) == {
        *("also-web.cfg", "noname.cfg", "broken.cfg", "named", "xm", "secret.cfg", "crlf.cfg"),
        *("string.cfg", "builder.cfg", "with blank"),
    }
    assert found["also-web.cfg"].file == web
    assert found["also-web.cfg"].autostart == (f"{place.home}/auto/web",)
    assert (found["named"].domain, found["named"].problems) == ("named", ())
    problems = {name: "; ".join(one.problems) for name, one in found.items() if one.problems}
    assert set(problems) == set(found) - {"also-web.cfg", "named"}
    assert "does not set a name" in problems["noname.cfg"]
    assert "line 2" in problems["broken.cfg"]
    assert "is Python" in problems["xm"]
    assert "line 1" in problems["secret.cfg"]
    assert "hunter2" not in problems["secret.cfg"]
    assert "carriage return" in problems["crlf.cfg"]
    assert "disk is a single string" in problems["string.cfg"]
    assert only(disk_of(survey, "string").configured).target == "/dev/null"
    assert "contradict" in problems["builder.cfg"]
    entries = {os.path.basename(one.path): one for one in survey.autostart}
    assert (entries["nothing"].exists, entries["nothing"].config) == (False, None)
    assert (entries["with blank"].is_started, entries["with blank"].is_link) == (False, False)
    assert entries["web"].config == found["also-web.cfg"].path


def test_settings_only_if_wanted(place: Place) -> None:
    place.config(
        "web", more="type = 'hvm'\nvncpasswd = 'hunter2'\nvif = ['bridge=b']\nmemory = 010"
    )
    assert "hunter2" not in repr(place.read())
    config = only(place.survey(settings=True).configs)
    expected = {"type": "hvm", "vncpasswd": "hunter2", "vif": ["bridge=b"], "memory": "010"}
    assert config.settings == expected
    assert (config.guest.type, config.rendered) == ("hvm", False)


def test_one_slot_in_two_configs_and_a_bad_disk(place: Place) -> None:
    place.config("web", "/a,raw,xvda,rw", "no disk")
    (place.home / "configs/copy.cfg").write_text("name = 'web'\ndisk = ['/b,raw,51712,rw']\n")
    survey = place.read()
    assert [one.target for one in disk_of(survey, "web").configured] == ["/b", "/a"]
    bad = disk_of(survey, "web", None)
    assert only(bad.configured).problem
    assert (only(bad.configured).position, bad.vdev) == (1, None)


# ---- guests ----


def test_a_disk_attached_by_hand_and_one_whose_domain_is_gone(place: Place) -> None:
    path = place.image("a.raw")
    place.vbd(1, 51728, params=str(path), dev="xvdb", script="/etc/xen/scripts/block")
    place.vbd(9, 51712, params="/srv/gone.raw", dev="xvda", online="0")
    place.xen.serve(7, 51712)
    survey = place.read()
    disk = disk_of(survey, "web", 51728)
    assert (disk.configured, only(disk.attached).storage) == ((), str(path))
    assert only(disk.attached).is_served is False
    gone = only(disk_of(survey, None).attached)
    assert (gone.online, gone.flaw is None, gone.storage) == (False, False, "/srv/gone.raw")
    assert survey.leftovers.vbds == (KernelVbd(7, 51712),)


def test_drives_of_an_hvm_guest(place: Place) -> None:
    disc = place.image("cd.iso")
    place.xen.hvm_guest(hdd=str(disc))
    survey = place.read()
    empty, full = (only(disk_of(survey, "win", key).attached) for key in (5632, 5696))
    assert (empty.emulated, empty.medium, empty.storage, empty.medium_storage) == (
        True,
        None,
        None,
        None,
    )
    assert (full.medium, full.storage, full.medium_storage) == (str(disc), str(disc), str(disc))
    assert only(one for one in survey.guests or () if one.name == "win").type == "hvm"
    assert survey.leftovers.images == ()


def test_a_qemu_that_does_not_answer(place: Place) -> None:
    place.xen.hvm_guest()
    (place.home / "drives.json").write_text("{}")
    survey = place.survey()
    assert [(one.source, one.subject) for one in survey.unread] == [("qemu", "win")]
    assert only(disk_of(survey, "win", 5632).attached).emulated is None


def test_a_paused_guest(place: Place) -> None:
    place.xen.list_as(web="--p---")
    assert only(one for one in place.read().guests or () if one.name == "web").status == "paused"


def test_a_saved_domain(place: Place) -> None:
    path = place.image("a.raw")
    disks = [
        {"pdev_path": str(path), "vdev": "xvda", "readwrite": 1},
        {"pdev_path": f"{place.home}/links{path}", "vdev": "xvdb"},
        {"pdev_path": "/nowhere", "vdev": "odd"},
    ]
    file = place.home / "save/cold"
    file.write_bytes(saved({"c_info": {"name": "cold"}, "disks": disks}))
    (place.home / "save/bare").write_bytes(saved({"c_info": {"name": "bare"}}))
    survey = place.read()
    assert [(one.name, one.saves) for one in survey.domains if one.saves] == [
        ("bare", (str(place.home / "save/bare"),)),
        ("cold", (str(file),)),
    ]
    assert [one.saved for one in survey.saves if one.domain == "cold"] == [file.stat().st_mtime]
    first, second = (only(disk_of(survey, "cold", key).saved) for key in (51712, 51728))
    assert (first.storage, first.access, first.target_problem) == (str(path), "rw", None)
    assert (second.storage, second.access) == (str(path), "ro")
    assert only(disk_of(survey, "cold", None).saved).target_problem
    assert survey.leftovers.images == ()


# ---- what cannot be read ----


def test_what_is_left_of_a_destroyed_domain(place: Place) -> None:
    xl = place.home / "bin/xl"
    zombie = "(null) 5 0 1 --psrd 1.0"
    xl.write_text(f"#!/bin/sh\necho 'Domain-0 0 4000 2 r----- 9.0'\necho '{zombie}'\n")
    survey = place.read()
    guests = {one.domid: one for one in survey.guests or ()}
    assert "(null)" not in [one.name for one in survey.domains]
    assert (guests[5].name, guests[5].status, guests[1].status) == ("(null)", "dying", None)


def test_without_xenstore(place: Place) -> None:
    place.xen.xenstored.stop()
    place.config("web", "/a,raw,xvda,rw")
    survey = place.survey()
    assert (survey.guests, survey.is_xen) == (None, True)
    assert [one.source for one in survey.unread] == ["xenstore"]
    assert "host.unread" in only(place.warnings)
    assert only(disk_of(survey, "web").configured).target == "/a"
    assert survey.leftovers.vbds == ()


def test_a_device_that_nobody_knows(place: Place) -> None:
    unknown = "/local/domain/0/backend/newdisk/1/51712"
    place.xen.store = {**place.xen.store, f"{unknown}/state": "4"}
    place.vbd(2, 51712, params="/a", dev="xvda")
    survey = place.survey()
    assert "newdisk" in only(survey.unread).error
    assert only(disk_of(survey, "db").attached).target == "/a"


def test_without_xl(place: Place) -> None:
    (place.home / "bin/xl").write_text("#!/bin/sh\nexit 1\n")
    survey = place.survey()
    assert [one.source for one in survey.unread] == ["xl"]
    assert RunningGuest(2, "db", "0b1c2d3e-0000-4000-8000-00000000000b") in (survey.guests or ())


def test_loop_devices_and_directories(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any) -> Any:
        raise LoopError("/dev is not the host's")

    real = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("/closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    place.image("a.raw")
    (place.home / "images/closed").mkdir()
    monkeypatch.setattr(loop_binding, "scan", fail)
    monkeypatch.setattr(os, "scandir", scandir)
    survey = place.survey()
    assert [one.source for one in survey.unread] == ["loop", "images"]
    assert survey.leftovers.images == (f"{place.home}/images/a.raw",)


def test_too_many_images(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks_info_layers, "MAX_IMAGES", 2)
    for name in ("a", "b"):
        place.image(name)
    place.read()
    place.image("c")
    survey = place.survey()
    assert only(survey.unread).source == "images"
    assert len(survey.leftovers.images) == 2


def test_elsewhere_than_on_xen(place: Place) -> None:
    (place.home / "HYPERVISOR_TYPE").write_text("kvm\n")
    place.config("web", "/a,raw,xvda,rw")
    survey = place.read()
    assert (survey.is_xen, survey.guests, len(survey.disks)) == (False, (), 1)
    assert place.xen.commands() == []


# ---- file systems and uses ----


def test_file_systems(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    images = place.home / "images"
    for name in ("local/a.raw", "nas/b.raw", "nas/c.raw", "covered/d.raw"):
        place.image(name)
    place.xen.unit("naa.6001405", (8, 1))
    place.xen.device("/dev/sda1", 8, 1)
    (place.home / "by-uuid").mkdir()
    place.xen.device(f"{place.home}/by-uuid/0123-abcd", 8, 1)
    (place.home / "by-uuid/0123-abcd").touch()
    table = [
        ("0:1", "/", "/", "rootfs rootfs rw"),
        ("8:1", "/", f"{images}/local", "ext4 /dev/sda1 rw"),
        ("0:50", "/", f"{images}/nas", "nfs4 nas:/srv/xen rw"),
        ("0:51", "/", f"{images}/covered", "tmpfs tmpfs rw"),
        ("8:1", "/sub", f"{images}/covered", "ext4 /dev/sda1 ro"),
    ]
    lines = [
        f"{n} 1 {dev} {root} {point} rw,relatime - {rest}\n"
        for n, (dev, root, point, rest) in enumerate(table)
    ]
    (place.home / "mountinfo").write_text("".join(lines))
    monkeypatch.setattr(mounts, "MOUNTS", str(place.home / "mountinfo"))
    asked: List[str] = []
    real = os.statvfs
    monkeypatch.setattr(os, "statvfs", lambda path: (asked.append(path), real(path))[1])
    survey = place.read()
    systems = {one.mount_point: one for one in survey.file_systems}
    assert sorted(asked) == sorted(systems) == [f"{images}/covered", f"{images}/nas"]
    nas, local = systems[f"{images}/nas"], systems[f"{images}/covered"]
    assert (nas.type, nas.source, nas.is_network, nas.uuid) == ("nfs4", "nas:/srv/xen", True, None)
    assert (local.number, local.uuid, local.read_only) == ("8:1", "0123-abcd", True)
    assert local.size and local.free is not None and local.available is not None
    places = {
        name: storage(survey, images / name)
        for name in ("local/a.raw", "nas/b.raw", "covered/d.raw")
    }
    stable = {
        name: {(one.kind, one.value) for one in found.identities if not one.is_local}
        for name, found in places.items()
    }
    inode = {name: (images / name).stat().st_ino for name in places}
    assert stable["nas/b.raw"] == {
        ("network_file", f"nas:/srv/xen/b.raw inode {inode['nas/b.raw']}")
    }
    assert stable["local/a.raw"] == {
        ("unit_file", f"naa.6001405 inode {inode['local/a.raw']}"),
        ("uuid_file", f"0123-abcd inode {inode['local/a.raw']}"),
    }
    assert places["local/a.raw"].file.file_system == f"{images}/covered"  # type: ignore[union-attr]


def test_uses_in_dom0(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place.image("a.raw")
    place.xen.bindings = [bound(path)]
    status = path.stat()
    opened = [open_files.OpenFile("4000001", str(number), status) for number in (3, 4)]
    monkeypatch.setattr(open_files, "all_open", lambda: opened)
    (place.home / "mountinfo").write_text("1 1 7:3 / /mnt rw - ext4 /dev/loop3 rw\n")
    monkeypatch.setattr(mounts, "MOUNTS", str(place.home / "mountinfo"))
    monkeypatch.setattr(mounts, "read_other_namespaces", lambda: iter([]))
    survey = place.read()
    uses = storage(survey, path).uses
    assert [(one.kind, one.pid, one.for_writing) for one in uses] == [
        ("mount", None, None),
        ("process", 4000001, False),
    ]
    assert uses[0].sentence == "mounted on /mnt"
    assert survey.leftovers.images == survey.leftovers.loop_devices == ()


def test_what_an_iscsi_target_serves(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing shows it, but that the device cannot be opened exclusively."""
    path = place.image("a.raw")
    place.xen.bindings = [bound(path)]
    rdev = place.xen.bindings[0].rdev
    monkeypatch.setattr(Usage, "is_claimed", lambda _usage, number: number == rdev)
    survey = place.read()
    (use,) = storage(survey, path).uses
    assert (use.kind, use.for_writing) == ("claim", None)
    assert use.sentence == "held exclusively (O_EXCL), e.g. for btrfs, ZFS or an iSCSI target"
    assert survey.leftovers.images == survey.leftovers.loop_devices == ()


def test_slots_that_domains_have_left(place: Place) -> None:
    """They are gone, and have nothing to do with each other."""
    for domid in (7, 8):
        place.vbd(domid, 51712, params="/a", dev="xvda", state="1", hotplug_error="timed out")
    left = [disk for disk in place.read().disks if disk.domain is None]
    assert [only(disk.attached).domid for disk in left] == [7, 8]


def test_hostile_texts_are_data(place: Place) -> None:
    name = "web{{ x }}\n\x1b[31m"
    place.xen.store = {**place.xen.store, "/local/domain/1/name": name}
    place.vbd(1, 51712, params="/srv/\udcff{{ lookup('pipe', 'id') }}", dev="xvda")
    survey = place.read()
    vbd = only(disk_of(survey, name).attached)
    assert vbd.target == "/srv/\\xff{{ lookup('pipe', 'id') }}"
    assert vbd.storage == vbd.target
    json.dumps(disks_info.recorded(survey), ensure_ascii=False).encode()
