# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HVM guests: what they have of their disks and CDs, and what QEMU has; in the order of the tests.

The guest hvm has Xen's drivers and gives up the disks that QEMU emulates for it. The guest emulated
has none and uses those.
"""

from __future__ import annotations

import re
import threading

import pytest

MIB = 2048
LINK = "/dev/disk/by-loop-file"
HVM = {
    51712: (2 * MIB, "rw", f"{LINK}/srv/xen/hvm/boot.raw"),
    51728: (1 * MIB, "rw", f"{LINK}/srv/xen/hvm/data.raw"),
}
EMULATED = {
    "0:0:0:0": (2 * MIB, f"{LINK}/srv/xen/emulated/boot.raw"),
    "0:0:1:0": (1 * MIB, f"{LINK}/srv/xen/emulated/data.raw"),
    "1:0:0:0": (1 * MIB, "/srv/sources/qcow2.raw"),
}
# The slots hdc and hdd, as QEMU and the guest call them.
EMPTY_DRIVE = ("ide-5632", "1:0:0:0")
CD_DRIVE = ("ide-5696", "1:0:1:0")
MEDIA = [f"/srv/sources/{name}.iso" for name in ("second", "third", "first")]
HOT = {"domain": "hvm", "vdev": "xvdh", "target": f"{LINK}/srv/hot.raw"}
HOT_KEY = 51824

WATCH = """
import glob, time
while True:
    writers = []
    for vbd in glob.glob("/sys/bus/xen-backend/devices/vbd-*"):
        try:
            with open(vbd + "/physical_device") as device, open(vbd + "/mode") as mode:
                if (device.read().strip(), mode.read().strip()) == ("DEVICE", "w"):
                    writers.append(vbd)
        except OSError:
            pass
    if len(writers) > 1:
        print(writers, flush=True)
    time.sleep(0.02)
"""
"""Prints when two guests can write to C(DEVICE), a major and a minor number in hexadecimal."""


@pytest.fixture(scope="module", autouse=True)
def guests(xen):
    """Both guests, only for these tests: each has a QEMU in dom0's memory. An HVM guest takes
    minutes to boot, so in the short scenario only hvm does. What QEMU has of the other's disks does
    not depend on that."""
    paused = {"hvm": True, "emulated": xen.is_short}
    domains = [{"name": name, "paused": is_paused} for name, is_paused in paused.items()]
    xen.module("xen_domain", domains=domains)
    yield
    xen.module("xen_domain", domains=[{"name": name, "state": "destroyed"} for name in paused])


def domain_of(xen, name):
    """A domain of the plan."""
    return next(domain for domain in xen.domains() if domain["name"] == name)


def disk_of(domain, name):
    """A disk of a domain of the plan."""
    return next(disk for disk in domain["disks"] if disk["name"] == name)


def provisioned(xen, domain, changes=True):
    """Provision a domain: check mode says what a run does, and a second run does nothing."""
    for check, changed in ((True, changes), (False, changes), (False, False)):
        result = xen.module("xen_disks", check, domains=[domain])
        assert (result["failed"], result["changed"]) == (False, changed), result


def stays(xen, *words, **options):
    """A detach fails with a message that has these words, and nothing is touched."""
    domain = options["domain"]
    before = xen.slots(domain), xen.qemu_drives(domain), xen.qemu_files(domain)
    for check in (True, False):
        result, _vbd = xen.vbd(check, state="absent", **options)
        assert result["failed"], result
        assert result["changed"] is False
        for word in words:
            assert word in result["msg"]
    assert (xen.slots(domain), xen.qemu_drives(domain), xen.qemu_files(domain)) == before


def await_words(xen, domain, words):
    """Wait until a guest has printed a line."""
    xen.await_(
        lambda: xen.console(domain),
        lambda text: f"xen-lab: {words}" in text,
        lambda: xen.console(domain)[-2000:],
    )


# ---- guests that boot ----


def test_guest_that_has_not_booted_keeps_its_disks(xen):
    """Its drivers have not told QEMU yet that they do without the emulated disks."""
    for force in (False, True):
        stays(xen, "QEMU emulates it", "ide0-hd1", domain="hvm", vdev="xvdb", force=force)
    assert xen.module("xen_domain", name="hvm")["changed"] is True


@pytest.mark.long
def test_guest_without_drivers_sees_the_emulated_disks(xen):
    xen.await_first_report("emulated")
    drives = xen.await_drives("emulated", lambda seen: set(EMULATED) <= set(seen))
    for unit, (sectors, path) in EMULATED.items():
        assert (int(drives[unit]["sectors"]), drives[unit]["access"]) == (sectors, "rw")
        assert drives[unit]["sha256"] == xen.sha256(path)
    assert xen.report("emulated") == {}


def test_guest_with_drivers_sees_its_disks_and_none_of_qemu(xen):
    xen.await_first_report("hvm")
    xen.sees_exactly("hvm", HVM)
    assert set(xen.drives("hvm")) == {EMPTY_DRIVE[1], CD_DRIVE[1]}
    assert [path for path in xen.qemu_files("hvm") if path.startswith("/dev/loop")] == []


def test_again_without_a_change(xen):
    """Guests of each type, of which other tests have changed nothing."""
    domains = [domain_of(xen, name) for name in ("second", "pvh", "hvm", "emulated")]
    for check in (True, False):
        result = xen.module("xen_disks", check, domains=domains)
        assert (result["failed"], result["changed"]) == (False, False), result


# ---- disks that come, go and grow ----


@pytest.fixture(scope="module")
def hot_image(xen):
    """A bound image with a content of its own."""
    xen.shell("yes hot | head -c 1048576 > /srv/hot.raw")
    xen.module("xen_loopdev", path="/srv/hot.raw")
    yield
    xen.module("xen_loopdev", path="/srv/hot.raw", state="absent")


def test_hot_disks_of_a_guest_with_drivers(xen, hot_image):
    """One that the kernel serves, and one that QEMU serves."""
    xen.shell("cp /srv/sources/base.qcow2 /srv/hot.qcow2")
    qcow2 = {"domain": "hvm", "vdev": "xvdi", "target": "/srv/hot.qcow2", "format": "qcow2"}
    assert xen.module("xen_vbd_attach", vbds=[HOT, qcow2])["changed"] is True
    hot = {HOT_KEY: (MIB, "rw", "/srv/hot.raw"), 51840: (MIB, "rw", "/srv/sources/qcow2.raw")}
    xen.sees_exactly("hvm", {**HVM, **hot})
    assert xen.module("xen_vbd_attach", vbds=[HOT, qcow2])["changed"] is False
    for changed in (True, False):
        absent = [{**vbd, "state": "absent"} for vbd in (HOT, qcow2)]
        result = xen.module("xen_vbd_attach", vbds=absent)
        assert (result["failed"], result["changed"]) == (False, changed)
    xen.sees_exactly("hvm", HVM)
    assert "/srv/hot.qcow2" not in xen.qemu_files("hvm")


@pytest.mark.long
def test_grow(xen):
    domain = domain_of(xen, "hvm")
    disk_of(domain, "data")["size"] = "2MiB"
    provisioned(xen, domain)
    xen.await_report("hvm", lambda seen: seen.get(51728, {}).get("sectors") == str(2 * MIB))
    HVM[51728] = (2 * MIB, *HVM[51728][1:])
    xen.sees_exactly("hvm", HVM)


# ---- a disk goes to another guest ----


@pytest.mark.long
def test_a_disk_moves_only_when_its_guest_has_let_it_go(xen, hot_image):
    """The moments of a detach, held: attached, asked for, released."""
    xen.vbd(**HOT)
    elsewhere = {**HOT, "domain": "second", "vdev": "xvdm"}
    before = xen.keys("second")
    assert "attached to domain hvm as xvdh" in xen.vbd(**elsewhere)[0]["msg"]
    xen.shell("xl pause hvm")
    try:
        result, _vbd = xen.vbd(state="absent", timeout=1, **HOT)
        assert "its guest did not release it within 1 s" in result["msg"]
        assert "domain hvm" in xen.vbd(**elsewhere)[0]["msg"]
        assert xen.keys("second") == before
    finally:
        xen.shell("xl unpause hvm")
    xen.vbd(state="absent", **HOT)
    assert HOT_KEY not in xen.slots("hvm")
    assert xen.vbd(**elsewhere)[0]["changed"] is True
    assert xen.vbd(state="absent", **elsewhere)[0]["changed"] is True


@pytest.mark.long
def test_never_two_writers_in_a_race(xen, hot_image):
    """A second guest asks for the disk without a pause, while another run detaches it."""
    number = int(xen.bindings()["/srv/hot.raw"][len("/dev/loop") :])
    watch = WATCH.replace("DEVICE", f"7:{number:x}")
    xen.shell("python3 -c %s > /run/writers 2>&1 & echo $! > /run/writers.pid", watch)
    xen.vbd(**HOT)
    elsewhere = {**HOT, "domain": "second", "vdev": "xvdm"}
    detach = threading.Thread(
        target=xen.run_elsewhere, args=["xen_vbd_attach", {**HOT, "state": "absent"}]
    )
    detach.start()
    try:
        result = xen.await_(
            lambda: xen.vbd(**elsewhere)[0], lambda result: result["changed"], lambda: "refused"
        )
        assert not result["failed"]
        assert HOT_KEY not in xen.slots("hvm")
    finally:
        detach.join()
        xen.vbd(state="absent", **elsewhere)
        xen.shell("kill $(cat /run/writers.pid)")
    assert xen.shell("cat /run/writers") == ""


# ---- disks that QEMU keeps ----


@pytest.mark.parametrize(
    ("vdev", "drive"),
    [("xvdb", "ide0-hd1"), pytest.param("xvdc", "ide1-hd0", marks=pytest.mark.long)],
)
def test_emulated_disk_is_not_detached(xen, vdev, drive):
    """One that QEMU reads from a loop device, one that it reads from an image."""
    stays(xen, "QEMU emulates it", drive, domain="emulated", vdev=vdev)
    stays(xen, "QEMU emulates it", drive, domain="emulated", vdev=vdev, force=True)


@pytest.mark.long
@pytest.mark.parametrize("unit", ["0:0:1:0", "1:0:0:0"])
def test_guest_without_drivers_still_writes_to_it(xen, unit):
    name = xen.drives("emulated")[unit]["name"]
    xen.tell("emulated", f"write {name} still here")
    await_words(xen, "emulated", f"written {name}")


@pytest.mark.long
def test_emulated_disk_is_refused_to_a_second_guest(xen):
    """While xenstore names it, and after a detach by hand, when only QEMU has it open."""
    before = xen.keys("second")
    images = {
        "xvdb": {"target": f"{LINK}/srv/xen/emulated/data.raw"},
        "xvdc": {"target": "/srv/sources/emulated.qcow2", "format": "qcow2"},
    }
    for vdev, image in images.items():
        for _detached in range(2):
            for access in ("rw", "ro"):
                result, _vbd = xen.vbd(domain="second", vdev="xvdm", access=access, **image)
                assert result["failed"], result
                assert "domain emulated" in result["msg"]
            xen.try_shell("xl block-detach --force emulated %s", vdev)
        path = image["target"].replace(LINK, "")
        for state in ({"state": "absent"}, {"size": "4096", "shrink": True}):
            result = xen.module("xen_raw_disk", path=path, **state)
            assert result["failed"], result
            # A loop device is in the way before what has it open is looked for.
            assert re.search("bound to /dev/loop|domain emulated", result["msg"])
    result = xen.module("xen_loopdev", path="/srv/xen/emulated/data.raw", state="absent")
    assert result["failed"], result
    assert "domain emulated" in result["msg"]
    assert xen.keys("second") == before


# ---- CDs ----


def has_cd(xen, image):
    """Check that QEMU and the guest have this image in the drive hdd, or nothing for None.

    What QEMU has open says less: its backend for PV drivers keeps the first image, read-only.
    """
    qemu_name, unit = CD_DRIVE
    assert xen.qemu_drives("hvm")[qemu_name] == ("full" if image else "empty")
    xen.tell("hvm", "report")  # A guest looks at its drives only now and then.
    if not image:
        return xen.await_drives("hvm", lambda seen: seen.get(unit, {}).get("sectors") == "0")
    assert image in xen.qemu_files("hvm")
    wanted = xen.sha256(image)
    return xen.await_drives("hvm", lambda seen: seen.get(unit, {}).get("sha256") == wanted)


def with_cd(xen, **options):
    """The domain hvm of the plan with another CD."""
    domain = domain_of(xen, "hvm")
    disk_of(domain, "data")["size"] = HVM[51728][0] * 512  # It has grown in the long scenario.
    cd = disk_of(domain, "cd")
    del cd["path"]
    cd.update(options)
    return domain


def test_a_cd_and_an_empty_drive(xen):
    drives = has_cd(xen, "/srv/sources/first.iso")
    assert drives[EMPTY_DRIVE[1]]["sectors"] == "0"
    assert xen.qemu_drives("hvm")[EMPTY_DRIVE[0]] == "empty"


def test_media_in_turn_and_none(xen):
    """Three of them, or in the short scenario one."""
    domid = xen.domid("hvm")
    media = [xen.drives("hvm")[CD_DRIVE[1]]["medium"]]
    for image in MEDIA[:1] if xen.is_short else MEDIA:
        provisioned(xen, with_cd(xen, path=image))
        media.append(has_cd(xen, image)[CD_DRIVE[1]]["medium"])
        assert image in xen.shell("grep hdd /etc/xen/hvm.cfg")
    assert len(set(media)) == len(media)
    provisioned(xen, with_cd(xen))
    has_cd(xen, None)
    assert ".iso" not in xen.shell("cat /etc/xen/hvm.cfg")
    assert xen.domid("hvm") == domid
    xen.sees_exactly("hvm", HVM)


@pytest.mark.long
def test_provision_with_another_cd(xen):
    domains = [with_cd(xen, path=MEDIA[0])]
    for options, changed in ((["--check"], 1), ([], 1), ([], 0)):
        _said, fine, changes = xen.playbook("provision", domains, *options)
        assert (fine, changes) == (True, changed)
    has_cd(xen, MEDIA[0])


@pytest.mark.long
def test_cd_that_its_guest_has_locked(xen):
    xen.tell("hvm", f"hold {xen.drives('hvm')[CD_DRIVE[1]]['name']}")
    xen.await_(
        lambda: xen.qemu_drives("hvm")[CD_DRIVE[0]],
        lambda state: state == "locked",
        lambda: xen.console("hvm")[-2000:],
    )
    cd = {"domain": "hvm", "vdev": "hdd", "devtype": "cdrom", "target": MEDIA[1]}
    result, _vbd = xen.vbd(timeout=2, **cd)
    assert result["failed"], result
    assert "its guest has locked the drive and did not release it within 2 s" in result["msg"]
    assert (MEDIA[0] in xen.qemu_files("hvm"), result["changed"]) == (True, False)
    xen.tell("hvm", "release")
    await_words(xen, "hvm", "released")
    has_cd(xen, MEDIA[0])
    assert xen.vbd(**cd)[0]["changed"] is True
    has_cd(xen, MEDIA[1])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("emulated", "has no CD drive, and a running guest cannot get one"),
        ("pv", "access: ro"),
        pytest.param("pvh", "access: ro", marks=pytest.mark.long),
    ],
)
def test_guest_that_cannot_get_a_drive(xen, name, words):
    domain = domain_of(xen, name)
    domain["disks"].append({"name": "cd", "devtype": "cdrom", "vdev": "hdd", "path": MEDIA[0]})
    config = xen.shell("cat /etc/xen/%s.cfg", name)
    for check in (True, False):
        result = xen.module("xen_disks", check, domains=[domain])
        assert (result["failed"], result["changed"]) == (True, False), result
        assert words in result["msg"]
    assert xen.shell("cat /etc/xen/%s.cfg", name) == config


@pytest.mark.long
def test_drive_that_is_removed_stays_empty_until_the_guest_ends(xen):
    slots = set(xen.slots("hvm"))
    provisioned(xen, with_cd(xen, state="absent"))
    has_cd(xen, None)
    assert set(xen.slots("hvm")) == slots
    assert "hdd" not in xen.shell("cat /etc/xen/hvm.cfg")


@pytest.mark.long
@pytest.mark.parametrize(
    ("order", "device", "label"), [("d", "hd96", "third"), ("c", "hd0", "GRUB")]
)
def test_boot_from_a_cd_and_from_a_disk(xen, order, device, label):
    log = "/var/log/xen/console/serial-bios.log"
    config = {"type": "hvm", "memory": 32, "vga": "none", "vnc": False, "boot": order}
    domain = {
        "name": "bios",
        "config": {**config, "serial": f"file:{log}", "on_poweroff": "preserve"},
        "disks": [
            {"name": "boot", "source": "/srv/guests/grub.iso"},
            {"name": "cd", "devtype": "cdrom", "vdev": "hdc", "path": "/srv/sources/third.iso"},
        ],
    }
    provisioned(xen, domain)
    try:
        xen.module("xen_domain", name="bios")
        said = xen.await_(
            lambda: xen.shell("cat %s", log),
            # Its line comes letter by letter.
            lambda text: re.search(r"booted from .*\n", text),
            lambda: "nothing",
        )
        assert f"grub: booted from {device}, which is called {label}" in said
    finally:
        xen.module("xen_domain", name="bios", state="destroyed")
        xen.module("xen_disks", domains=[domain], state="absent", remove_images=True)
