# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host boots anew, and every guest has its own disks again; in the order of the tests."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.long

GUESTS = ("pv", "second", "third")
SAVED = "/var/lib/xen/save/third"
IMAGE = "/srv/xen/third/boot.raw"
LINK = f"/dev/disk/by-loop-file{IMAGE}"

DECOYS = """\
[Unit]
Description=Images that take the first loop devices, one of them of a volume group
DefaultDependencies=no
After=local-fs.target
Before=basic.target

[Service]
Type=oneshot
ExecStart=/bin/sh -ec 'for n in decoy1 decoy2 sources/vg; do losetup -f /srv/$n.raw; done'

[Install]
WantedBy=sysinit.target
"""


@pytest.fixture(scope="module")
def host_of_tests(xen):
    """Other loop devices come first at the next boot, and only the guests run that start by
    themselves: GRUB would never let itself be saved."""
    xen.shell("truncate -s 1M /srv/decoy1.raw /srv/decoy2.raw")
    xen.shell("printf '%%s' %s > /etc/systemd/system/decoys.service", DECOYS)
    xen.shell("systemctl enable -q decoys.service")
    for name in ("grub", "pvh"):
        xen.shell(f"xl destroy {name} 2>/dev/null || true")


@pytest.fixture(scope="module")
def state():
    """What one test leaves for the next."""
    return {}


def disks(xen, name):
    """What a guest says of its disks, but for their names."""
    keys = ("key", "sectors", "access", "sha256")
    return {key: [disk[k] for k in keys] for key, disk in xen.ask_again(name).items()}


def await_guests(xen, *names):
    """What the guests say, once xendomains has started them."""
    return {name: await_guest(xen, name) for name in names}


def await_guest(xen, name):
    """What a guest says once it runs."""
    xen.await_(
        lambda: xen.try_shell("xl domid %s", name)["rc"], lambda rc: rc == 0, lambda: name, 300
    )
    xen.settled(name)  # It reports at once, before its disks have connected.
    return disks(xen, name)


def failed_units(xen):
    return [
        line.split()[0] for line in xen.shell("systemctl --failed --plain --no-legend").splitlines()
    ]


def test_disks_of_a_saved_domain_are_kept(xen, host_of_tests, state):
    state["disks"] = {name: disks(xen, name) for name in GUESTS}
    xen.shell("mkdir -p /var/lib/xen/save && xl save third %s", SAVED)
    words = f"disk xvda of domain third, which is saved in {SAVED}"
    refused = {
        "xen_loopdev": {"path": IMAGE, "state": "absent"},
        "xen_raw_disk": {"path": IMAGE, "size": "1MiB", "shrink": True},
        "xen_vbd_attach": {"domain": "pv", "vdev": "xvdm", "target": LINK},
        "xen_domain": {"name": "third"},
    }
    for module, options in refused.items():
        result = xen.module(module, **options)
        assert result["failed"]
        assert words in result["msg"]
    # The same when nothing has bound its image.
    xen.shell("losetup --detach $(readlink -f %s)", LINK)
    result = xen.module("xen_raw_disk", path=IMAGE, state="absent")
    assert words in result["msg"]
    assert xen.module("xen_loopdev", path=IMAGE)["changed"] is True
    xen.shell("udevadm settle && xl restore %s && rm %s", SAVED, SAVED)
    assert disks(xen, "third") == state["disks"]["third"]


def test_reboot_with_guests_saved_and_restored(xen, state):
    before = xen.bindings()
    xen.reboot()
    assert await_guests(xen, *GUESTS) == state["disks"]
    assert failed_units(xen) == []
    after = xen.bindings()
    assert {path for path in after if path.startswith("/srv/xen/")} <= set(before)
    assert after["/srv/decoy1.raw"] == before["/srv/sources/vg.raw"] == "/dev/loop0"
    assert after[IMAGE] != before[IMAGE]
    # They went on where they were.
    for name in GUESTS:
        assert xen.console(name).count("xen-lab: ready\n") == 1


def test_reboot_without_saving(xen, state):
    xen.shell("sed -i 's/^XENDOMAINS_SAVE=.*/XENDOMAINS_SAVE=/' /etc/default/xendomains")
    xen.reboot()
    assert await_guests(xen, *GUESTS) == state["disks"]
    assert failed_units(xen) == []
    for name in GUESTS:
        assert xen.console(name).count("xen-lab: ready\n") == 2


def test_power_cut_and_one_image_that_is_missing(xen, state):
    xen.shell(f"mv {IMAGE} /srv/moved.raw && sync")
    xen.reboot(cut=True)
    others = ("pv", "second")
    assert await_guests(xen, *others) == {name: state["disks"][name] for name in others}
    assert xen.try_shell("xl domid third")["rc"] != 0
    (failed,) = failed_units(xen)
    assert "-srv-xen-third-boot.raw-" in failed
    said = xen.shell("journalctl --boot --unit %s", failed)
    assert "No such file or directory" in said

    xen.shell(f"mv /srv/moved.raw {IMAGE}")
    xen.shell("systemctl restart %s", failed)
    assert xen.module("xen_domain", name="third")["changed"] is True
    assert await_guests(xen, "third") == {"third": state["disks"]["third"]}


def test_link_that_leads_to_another_image(xen):
    """Someone has bound another file under the same name, as within a container."""
    before = disks(xen, "third")
    xen.module("xen_domain", name="third", state="destroyed")
    other = "/srv/sources/boot.raw"
    script = f"mount --bind /srv/sources /srv/xen/third; losetup -f {IMAGE}; udevadm settle"
    xen.shell(f"cp /srv/sources/third.raw {other} && unshare --mount sh -ec '{script}'")
    assert xen.exists(LINK)
    units = xen.shell("systemctl list-units --plain --no-legend 'xen-loopdev-srv-xen-third-boot*'")
    unit = units.split()[0]
    assert xen.try_shell(f"systemctl restart {unit}")["rc"] != 0
    assert "so that no guest starts on that" in xen.shell(f"journalctl --boot --unit {unit}")
    assert not xen.exists(LINK)
    result = xen.module("xen_domain", name="third")
    assert result["failed"]
    assert LINK in result["msg"]

    xen.shell(f"losetup --detach $(losetup -nO NAME -j {other}) && rm {other}")
    xen.shell(f"udevadm settle && systemctl restart {unit}")
    assert xen.module("xen_domain", name="third")["changed"] is True
    assert await_guests(xen, "third") == {"third": before}
