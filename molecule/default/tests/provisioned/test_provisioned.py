# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of the host after ``provision``."""

import json

import pytest

DIR = "/var/tmp/xen-blockdev-molecule"
IMAGES = f"{DIR}/images"

# Image, size in bytes, whether it is bound to a loop device.
WANTED = [
    (f"{IMAGES}/web/boot.raw", 16 * 2**20, True),
    (f"{IMAGES}/web/data.raw", 2**20, True),
    (f"{IMAGES}/web/scratch.raw", 2**20, True),
    (f"{IMAGES}/shared.raw", 2**20, True),
    (f"{IMAGES}/db/boot.raw", 8 * 2**20, True),
    (f"{IMAGES}/db/wal.raw", 4 * 2**20, False),
]


def bindings(host):
    """Loop devices by backing file, as losetup lists them."""
    listed = json.loads(host.check_output("losetup --list --json") or '{"loopdevices": []}')
    found = {}
    for device in listed["loopdevices"]:
        found.setdefault(device["back-file"], []).append(device["name"])
    return found


@pytest.mark.parametrize("path, size, bound", WANTED)
def test_image(host, path, size, bound):
    image = host.file(path)
    assert image.is_file
    assert image.size == size
    assert (image.user, image.group, image.mode) == ("root", "root", 0o600)
    assert len(bindings(host).get(path, [])) == (1 if bound else 0)


@pytest.mark.parametrize("path, size", [row[:2] for row in WANTED if row[2]])
def test_loop_device_shows_the_whole_image(host, path, size):
    (device,) = bindings(host)[path]
    assert int(host.check_output("blockdev --getsize64 %s", device)) == size
    assert host.check_output("blockdev --getro %s", device) == "0"
    assert host.check_output("blockdev --getss %s", device) == "512"


def test_sparse_and_full(host):
    assert int(host.check_output("stat --format=%%b %s", f"{IMAGES}/web/boot.raw")) == 0
    assert int(host.check_output("stat --format=%%b %s", f"{IMAGES}/web/scratch.raw")) >= 2048


def test_copied_content(host):
    (device,) = bindings(host)[f"{IMAGES}/db/boot.raw"]
    source = host.check_output("sha256sum < %s", f"{DIR}/source.raw")
    size = host.file(f"{DIR}/source.raw").size
    assert host.check_output("head --bytes=%s %s | sha256sum", str(size), device) == source


def test_configs(host):
    web = host.file(f"{DIR}/configs/web.cfg")
    assert web.mode == 0o600
    text = web.content_string
    assert "name = 'web'" in text
    assert "extra = 'console=hvc0 it\\'s'" in text
    for slot, path in (("xvda", f"{IMAGES}/web/boot.raw"), ("xvdq", f"{IMAGES}/web/scratch.raw")):
        assert f"vdev={slot}, access=rw, target={named(host, path)}'" in text
    assert f"vdev=51768, access=ro, target={named(host, IMAGES + '/web/data.raw')}'" in text
    # A disk without a slot gets the next free one: 51768 is a partition of xvdd.
    assert f"vdev=xvdb, access=rw, target={DIR}/lun'" in text
    assert f"vdev=xvdc, access=ro, target={named(host, IMAGES + '/shared.raw')}'" in text


def test_config_without_options(host):
    text = host.file(f"{DIR}/configs/db.cfg").content_string
    assert f"format=raw, vdev=xvdb, access=rw, target={IMAGES}/db/wal.raw'" in text
    assert "format=qcow2, vdev=xvdc, access=rw, target=/srv/images/base.qcow2'" in text


def test_domains_start_at_boot(host):
    assert host.file(f"{DIR}/auto").mode == 0o755
    for domain in ("web", "db"):
        link = host.file(f"{DIR}/auto/{domain}.cfg")
        assert link.linked_to == f"{DIR}/configs/{domain}.cfg"


def named(host, path):
    """The path of an image's loop device in a config: a stable link if udev runs."""
    link = f"/dev/disk/by-loop-file{path}"
    (device,) = bindings(host)[path]
    if host.file("/run/udev/control").exists:
        assert host.file(link).linked_to == device
        return link
    return device
