# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of the host after the plan was changed."""

DIR = "/var/tmp/xen-blockdev-molecule"
IMAGES = f"{DIR}/images"


def device(host, path):
    return host.check_output("losetup --associated %s --noheadings --output NAME", path)


def test_image_and_loop_device_have_grown(host):
    path = f"{IMAGES}/web/boot.raw"
    assert host.file(path).size == 32 * 2**20
    assert host.check_output("blockdev --getsize64 %s", device(host, path)) == str(32 * 2**20)


def test_a_removed_link_is_restored(host):
    image = f"{IMAGES}/web/scratch.raw"
    link = f"/dev/disk/by-loop-file{image}"
    if host.file("/run/udev/control").exists:
        assert host.file(link).linked_to == device(host, image)
        assert f"{link}'" in host.file(f"{DIR}/configs/web.cfg").content_string


def test_absent_disks_are_gone(host):
    for path in (f"{IMAGES}/web/data.raw", f"{IMAGES}/db/boot.raw", f"{IMAGES}/db/wal.raw"):
        assert not host.file(path).exists
        assert not device(host, path)
    assert not host.file(f"{DIR}/configs/db.cfg").exists


def test_only_the_remaining_domain_starts_at_boot(host):
    assert host.file(f"{DIR}/auto").listdir() == ["web.cfg"]


def test_an_image_that_left_all_configs_stays_but_is_unbound(host):
    assert host.file(f"{IMAGES}/shared.raw").exists
    assert not device(host, f"{IMAGES}/shared.raw")


def test_the_slot_has_the_new_disk(host):
    text = host.file(f"{DIR}/configs/web.cfg").content_string
    assert "memory = 256" in text
    lines = [line for line in text.splitlines() if "vdev=51768" in line]
    assert len(lines) == 1
    path = f"{IMAGES}/web/data2.raw"
    assert f"/dev/disk/by-loop-file{path}'" in lines[0] or f"{device(host, path)}'" in lines[0]
