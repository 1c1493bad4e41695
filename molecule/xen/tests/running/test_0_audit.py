# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host as it was converged: the audit finds nothing, and adopt takes all of it over. Then each
finding that can be made is made, and in the end everything is as it was."""

from __future__ import annotations

import json
import re

import pytest
import yaml

HOME = "/srv/audit"
MIB = 2**20
UNIT = "/etc/systemd/system/xen-loopdev-gone-000000000000.service"
GONE = "a domain that is gone"

NOT_MADE = {
    "leftover-vbd": "a guest whose writes the kernel has not begun when xenstore forgets the disk",
}
"""The codes that no test here makes, and what that would take."""

TOOLS = f"""\
set -e
mkdir -p {HOME}/hidden {HOME}/mnt {HOME}/off {HOME}/small {HOME}/full /etc/xen/auto
cd {HOME}
image() {{ for i in "$@"; do truncate -s 1M $i.raw; chmod 600 $i.raw; done; }}
bound() {{ losetup --find --show "$1"; }}
config() {{
    printf "name = '%s'\\ntype = '%s'\\nmemory = 64\\nkernel = '/srv/guests/vmlinux'\\n" $1 $2
    shift 2
    printf "disk = ["; printf "'%s', " "$@"; echo "]"
}}
domain() {{ config "$@" > /etc/xen/$1.cfg; }}
started() {{ ln -sf /etc/xen/$1.cfg /etc/xen/auto/$1.cfg; }}
"""
"""For scripts that make findings. A domain has the name of the finding that it is to have."""

BY_HAND = """\
image by-hand
mke2fs -q -F by-hand.raw
device=$(bound by-hand.raw)
xl block-attach pv format=raw,vdev=xvdn,access=rw,target=$device
"""
"""A disk that somebody has attached."""

FLAWS = f"""\
# On running guests.
xl block-attach pv format=raw,vdev=xvdm,access=rw,target=/srv/xen/second/file.raw
mount $(losetup -nO NAME -j by-hand.raw) mnt
rm by-hand.raw
setsid sleep 3600 <>/srv/xen/shared.raw >/dev/null 2>&1 &
echo $! >writer.pid
truncate -s 2M /srv/xen/grub/far.raw
truncate -s 512K /srv/xen/grub/number.raw
cp -p /etc/xen/grub.cfg grub.kept
image new
sed -i 's/vdev=xvdaa, access=ro/vdev=xvdaa, access=rw/' /etc/xen/grub.cfg
sed -i 's#^]#"format=raw, vdev=xvdc, target={HOME}/new.raw"]#' /etc/xen/grub.cfg
mv /etc/xen/second.cfg second.kept

# In configs of domains that do not run.
image first both while-off numbered raw unfit unseen readable
domain held-by-another pvh format=raw,vdev=xvda,target=/srv/xen/second/file.raw
for i in 1 2; do
    domain start-$i pvh format=raw,vdev=xvda,target={HOME}/first.raw
    started start-$i
    domain two-configs-$i pvh format=raw,vdev=xvda,target={HOME}/both.raw
done
cp --sparse=always /srv/sources/base.qcow2 other.qcow2
chmod 600 other.qcow2
domain looks-not-raw pvh format=raw,vdev=xvda,target={HOME}/other.qcow2
domain not-of-its-format pvh format=qcow2,vdev=xvda,target={HOME}/raw.raw
domain target-missing pvh format=raw,vdev=xvda,target=/srv/nowhere.raw
started target-missing
domain target-missing-while-off pvh format=raw,vdev=xvda,target=/srv/nowhere.raw
domain loop-by-number pvh format=raw,vdev=xvda,target=$(bound numbered.raw)
mke2fs -q -F while-off.raw
mount -o loop while-off.raw off
domain used-while-off pvh format=raw,vdev=xvda,target={HOME}/while-off.raw
truncate -s 1M hidden/hidden.raw
chmod 600 hidden/hidden.raw
bound hidden/hidden.raw
domain image-replaced pvh \\
    format=raw,vdev=xvda,target=/dev/disk/by-loop-file{HOME}/hidden/hidden.raw
domain unfit-disk hvm format=raw,vdev=xvda,access=ro,target={HOME}/unfit.raw
domain unseen-disk hvm format=raw,vdev=5632,devtype=cdrom,target={HOME}/unseen.raw
chmod 644 readable.raw
domain readable-by-others pvh format=raw,vdev=xvda,target={HOME}/readable.raw
qemu-img create -q -u -f qcow2 -b /srv/gone.raw -F raw doubtful.qcow2 1M
chmod 600 doubtful.qcow2
domain cannot-tell pvh format=qcow2,vdev=xvda,target={HOME}/doubtful.qcow2

# File systems that promise too much, one of them full.
for name in small full; do
    truncate -s 4M $name.fs
    mke2fs -q -F -m 0 $name.fs
    mount -o loop $name.fs $name
    truncate -s 16M $name/disk.raw
    chmod 600 $name/disk.raw
    domain on-$name pvh format=raw,vdev=xvda,target={HOME}/$name/disk.raw
done
head -c 8M /dev/zero >full/filling 2>/dev/null || true

# Left over.
truncate -s 1M /srv/xen/left.raw left-bound.raw
bound left-bound.raw
ln -s /dev/loop99999 /dev/disk/by-loop-file/srv/gone.raw
unit=$(grep -l /srv/xen/pv/far.raw /etc/systemd/system/xen-loopdev-*.service)
sed s#/srv/xen/pv/far.raw#/srv/gone.raw# $unit >{UNIT}
udevadm settle
mount -t tmpfs tmpfs hidden
"""

LONG_FLAWS = """\
xl block-attach second format=raw,vdev=xvdm,script=block-failing,target=nothing || true
truncate -s 32M pool.disk
vgcreate -q --physicalextentsize 1M audit $(bound pool.disk)
lvcreate -q -y --type thin-pool -L 8M --poolmetadatasize 2M -n pool audit
lvcreate -q -y --type thin -V 16M --thinpool pool -n much audit
domain on-pool pvh format=raw,vdev=xvda,target=/dev/audit/much
# Each volume, though it is empty, takes a block of the pool's metadata.
for id in $(seq 1000 1420); do dmsetup message audit-pool-tpool 0 "create_thin $id"; done
"""

LEAVING = """\
modprobe dm-delay
image slow
device=$(bound slow.raw)
echo "0 2048 delay $device 0 0 $device 0 3600000" | dmsetup create slow
config leaving pv format=raw,vdev=xvda,target=/dev/mapper/slow | sed s/64/128/ >leaving.cfg
echo "ramdisk = '/srv/guests/initrd.img'" >>leaving.cfg
echo "extra = 'console=hvc0 quiet'" >>leaving.cfg
xl create -q leaving.cfg
"""
"""A guest with a disk that takes an hour for each write, and no config where others are."""

UNDONE = f"""\
cd {HOME} || exit 0
umount hidden mnt off small full
xl destroy leaving
dmsetup suspend slow && dmsetup resume slow && dmsetup remove --retry slow
for slot in "pv xvdm" "pv xvdn" "second xvdm"; do xl block-detach $slot & done
wait
[ ! -e writer.pid ] || kill $(cat writer.pid)
truncate -s 1M /srv/xen/grub/far.raw /srv/xen/grub/number.raw
[ ! -e grub.kept ] || mv grub.kept /etc/xen/grub.cfg
[ ! -e second.kept ] || mv second.kept /etc/xen/second.cfg
grep -l "{HOME}\\|/srv/nowhere\\|/dev/audit\\|^name = .\\(loop-by\\|held-by\\)" /etc/xen/*.cfg |
    while read file; do rm -f $file /etc/xen/auto/${{file##*/}}; done
rm -f /srv/xen/left.raw /dev/disk/by-loop-file/srv/gone.raw {UNIT}
vgremove -q -y audit
losetup -nO NAME,BACK-FILE | grep " {HOME}/" | while read device rest; do losetup -d $device; done
cd /
rm -rf {HOME}
"""

SOUND = {
    ("leftover-volume", None, "/dev/lab/spare"),
    ("readable-by-others", "second", "xvdc"),
    ("readable-by-others", "emulated", "xvdc"),
}
"""What is found on the host as the scenario sets it up: code, domain, and slot or path."""

MADE = {
    ("two-writers", "pv", "xvdm"),
    ("two-loop-devices", "pv", "xvdm"),
    ("not-in-config", "pv", "xvdm"),
    ("not-in-config", "pv", "xvdn"),
    ("used-in-dom0", "pv", "xvdn"),
    ("image-deleted", "pv", "xvdn"),
    ("written-in-dom0", "pv", "xvdc"),
    ("old-size", "grub", "xvdaa"),
    ("shrunk", "grub", "51768"),
    ("differs-from-config", "grub", "xvdaa"),
    ("not-attached", "grub", "xvdc"),
    ("no-config", "second", None),
    ("autostart-broken", None, "/etc/xen/auto/second.cfg"),
    ("held-by-another", "held-by-another", "xvda"),
    ("two-at-start", "start-1", "xvda"),
    ("two-configs", "two-configs-1", "xvda"),
    ("looks-not-raw", "looks-not-raw", "xvda"),
    ("not-of-its-format", "not-of-its-format", "xvda"),
    ("target-missing", "target-missing", "xvda"),
    ("target-missing-while-off", "target-missing-while-off", "xvda"),
    ("loop-by-number", "loop-by-number", "xvda"),
    ("used-while-off", "used-while-off", "xvda"),
    ("image-replaced", "image-replaced", "xvda"),
    ("no-boot-unit", "image-replaced", "xvda"),
    ("unfit-disk", "unfit-disk", "xvda"),
    ("unseen-disk", "unseen-disk", "5632"),
    ("readable-by-others", "readable-by-others", "xvda"),
    ("cannot-tell", "cannot-tell", "xvda"),
    ("cannot-tell", "not-of-its-format", "xvda"),
    ("slot-moved", "pv", "xvdq"),
    ("overcommitted", None, f"{HOME}/small"),
    ("nearly-full", None, f"{HOME}/full"),
    ("leftover-image", None, "/srv/xen/left.raw"),
    ("leftover-loop-device", None, "/dev/loopN"),
    ("leftover-link", None, "/dev/disk/by-loop-file/srv/gone.raw"),
    ("leftover-boot-unit", None, "/srv/gone.raw"),
    ("acceptance-unmet", "nobody", None),
}
"""What FLAWS and the variables of the play make."""

ACCEPTED = {("leftover-volume", None, "/dev/lab/spare")}
LONG_MADE = {
    ("occupied-slot", "second", "xvdm"),
    ("overcommitted", None, "/dev/audit/pool"),
    ("metadata-nearly-full", None, "/dev/audit/pool"),
    ("leftover-domain", GONE, None),
}


class Audit:
    """One run of the playbook, and what it wrote."""

    def __init__(self, xen, directory, **variables):
        said, self.succeeded, changed = xen.play("audit", xen_audit_dir=str(directory), **variables)
        assert changed <= 1, said  # the directory of the report
        self.report = json.loads((directory / "xen-audit.json").read_text())
        self.page = (directory / "xen-audit.html").read_text()
        self.findings = {one["id"]: one for one in self.report["findings"]}
        assert self.succeeded is not self.report["has_failed"], said
        # All of them are in the page as well, where a link leads to each.
        for each in (*self.findings, *(one["id"] for one in self.report["accepted"])):
            assert f'id="finding/{each}"' in self.page

    def assert_found(self, wanted):
        """That these are its findings: each is at one of the places, and each place has one. A
        start that was too slow for libxl has left something of a domain that is gone."""
        found = [_places(one) for one in self.findings.values()]
        found = [places for places in found if places[0][:2] != ("occupied-slot", GONE)]
        assert [places for places in found if wanted.isdisjoint(places)] == []
        assert wanted - {place for places in found for place in places} == set()


def _places(one):
    """Code, domain, and slot or path of all places of a finding."""
    return [
        (one["code"], _known(place["domain"]), place["slot"] or _path(place))
        for place in (one["place"], *one["others"])
    ]


def _known(domain):
    return GONE if domain and domain.startswith("with the id ") else domain


def _path(place):
    """That of what is of no domain. The numbers of loop devices are not known."""
    path = None if place["domain"] else place["path"]
    return path and re.sub(r"^/dev/loop\d+$", "/dev/loopN", path)


@pytest.fixture(scope="module")
def clean(xen, tmp_path_factory):
    """The audit of the host as the tests before have left it."""
    return Audit(xen, tmp_path_factory.mktemp("clean"), xen_domains=xen.domains())


@pytest.fixture(scope="module")
def by_hand(xen, clean):
    """A disk that was attached to the guest pv by hand; in the end all that was made is gone."""
    before = xen.keys("pv", "second", "grub")
    xen.settled("pv")  # It lets go of disks only once it has booted.
    try:
        xen.shell(TOOLS + BY_HAND)
        yield
    finally:
        xen.try_shell(UNDONE)
    assert xen.keys("pv", "second", "grub") == before
    assert not xen.exists(HOME)


def test_a_sound_host(xen, clean):
    """No error, and of the rest only what the scenario has made itself."""
    assert clean.succeeded
    clean.assert_found(SOUND)
    (host,) = clean.report["hosts"]
    assert {one["name"] for one in host["domains"]} == {one["name"] for one in xen.domains()}
    lun = next(one for one in host["disks"] if (one["domain"], one["slot"]) == ("second", "xvdb"))
    assert (lun["binding"]["kind"], lun["binding"]["name"]) == ("volume", "lab/lun")
    assert lun["guest"]["is_connected"]
    assert "lab" in [one["name"] for one in host["volume_stores"]]


@pytest.mark.long
def test_saved_guest(xen, clean, tmp_path):
    """Its disk is changed, its config is gone; then it runs again, and the file is still there.

    It is before by_hand, which makes findings that stay until the last test.
    """
    save, image, config = "/var/lib/xen/save/third", "/srv/xen/third/boot.raw", "/etc/xen/third.cfg"
    xen.shell(
        f"mkdir -p {save.rpartition('/')[0]} && xl save third {save} && mv {config} /srv/ && "
        f"touch -r {image} /srv/time && touch -d '+10 minutes' {image}"
    )
    try:
        audit = Audit(xen, tmp_path)
    finally:
        xen.shell(f"touch -r /srv/time {image}; mv /srv/third.cfg {config}; xl restore {save}")
    audit.assert_found(
        SOUND
        | {
            ("saved-disk-changed", "third", "xvda"),
            ("leftover-save", "third", None),
            ("autostart-broken", None, "/etc/xen/auto/third.cfg"),
        }
    )
    try:
        Audit(xen, tmp_path).assert_found(SOUND | {("saved-and-running", "third", None)})
    finally:
        xen.shell(f"rm {save} /srv/time")
    assert xen.settled("third")


def with_target(disk):
    """What of a disk of a plan says what it is, but for its slot."""
    return {key: disk.get(key) for key in ("path", "target", "format", "access", "devtype")}


def test_taken_over(xen, by_hand, tmp_path):
    """By adopt: all domains, as the plan has them; provision then changes nothing."""
    file = tmp_path / "xen_domains.yml"
    said, succeeded, _changed = xen.play("adopt", xen_adopt_file=str(file))
    assert succeeded, said
    assert "provision changes nothing with it" in said
    text = file.read_text()
    adopted = {one["name"]: one for one in yaml.safe_load(text)["xen_domains"]}
    wanted = {one["name"]: one for one in xen.domains()}
    assert set(adopted) == set(wanted)
    for name, domain in wanted.items():
        assert adopted[name].get("autostart", False) is domain.get("autostart", False)
        assert [with_target(one) for one in adopted[name]["disks"]] == [
            with_target(one) for one in domain["disks"]
        ]
    assert text.count("Not taken over") == 1
    assert "Not taken over: xvdn of the running guest" in text
    proof = xen.module("xen_disks", check=True, domains=list(adopted.values()))
    assert (proof["failed"], proof["changed"]) == (False, False)


@pytest.mark.long
def test_taken_over_as_it_stands(xen, by_hand, tmp_path):
    """The commands of the guide, with the file that the first one writes for the second one."""
    file = tmp_path / "xen_domains.yml"
    assert xen.play("adopt", xen_adopt_file=str(file))[1]
    for words in (("--check",), ()):
        _said, succeeded, changed = xen.play("provision", *words, "-e", f"@{file}")
        assert (succeeded, changed) == (True, 0)


def flawed(xen, directory, script):
    """The audit after a script, with variables that make findings as well."""
    xen.shell(TOOLS + script)
    domains = xen.domains()
    domains[0]["disks"][2]["vdev"] = "xvdr"
    accepted = [
        {"code": "leftover-volume", "path": "/dev/lab/spare", "reason": "the lab's"},
        {"code": "unread", "domain": "nobody", "reason": "never"},
    ]
    audit = Audit(xen, directory, xen_domains=domains, xen_audit_accepted=accepted)
    assert not audit.succeeded
    assert [one["reason"] for one in audit.report["accepted"]] == ["the lab's"]
    return audit


def test_findings(xen, clean, by_hand, tmp_path):
    """What is most dangerous, and all that is made quickly, on the guests that run."""
    audit = flawed(xen, tmp_path, FLAWS)
    audit.assert_found(SOUND - ACCEPTED | MADE)
    (shared,) = (one for one in audit.report["findings"] if one["code"] == "two-writers")
    assert {place[1:] for place in _places(shared)} == {("pv", "xvdm"), ("second", "xvdd")}


@pytest.mark.long
def test_findings_that_take_longer(xen, clean, by_hand, tmp_path):
    """Beside those of the test before. A guest is destroyed while the kernel writes for it: Xen
    still has it, and nothing tells which disk that is, so all others are given away with a warning.
    """
    xen.shell(TOOLS + LEAVING)
    xen.settled("leaving")
    xen.tell("leaving", "write xvda late")
    xen.await_(
        lambda: xen.shell("dmsetup status slow"),
        lambda status: status.split()[3:5] == ["0", "1"],
        lambda: xen.console("leaving")[-2000:],
    )
    domid = xen.domid("leaving")
    xen.shell("xl destroy leaving")
    result, _vbd = xen.vbd(True, domain="second", vdev="xvdo", target="/dev/mapper/slow")
    assert f"Xen still has domain {domid}, which was destroyed" in json.dumps(result["warnings"])
    audit = flawed(xen, tmp_path, LONG_FLAWS)
    audit.assert_found(SOUND - ACCEPTED | MADE | LONG_MADE)
    (host,) = audit.report["hosts"]
    pool = next(one for one in host["volume_stores"] if one["name"] == "/dev/audit/pool")
    assert (pool["size"], pool["promised"], pool["disks"]) == (8 * MIB, 16 * MIB, 1)


@pytest.mark.long
def test_what_is_not_judged(xen, clean, tmp_path):
    """A host that does not answer, a config that is none, and variables that are wrong."""
    xen.shell("echo 'disk = [' >/etc/xen/broken.cfg")
    try:
        xen.play(
            *("audit", "-i", "127.0.0.9,"),
            xen_hosts="xen,127.0.0.9",
            xen_domains=[{"name": "a b"}],
            xen_audit_dir=str(tmp_path),
        )
    finally:
        xen.shell("rm /etc/xen/broken.cfg")
    report = json.loads((tmp_path / "xen-audit.json").read_text())
    found = {(one["code"], one["place"]["path"]) for one in report["findings"]}
    assert {
        ("host-unread", None),
        ("plan-unusable", None),
        ("unread", "/etc/xen/broken.cfg"),
    } <= found
    # A config that cannot be read may have any disk.
    assert not [one for one in found if one[0] == "leftover-volume"]
