# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of the host after ``remove`` with xen_remove_images."""

DIR = "/var/tmp/xen-blockdev-molecule"

# The plan has the block device but not the image behind it.
LUN = f"{DIR}/lun.raw"
# Nor the shared image any more; its loop device was unbound when it left the configs.
LEFT = [f"{DIR}/images/shared.raw", LUN]


def test_what_the_plan_made_is_gone(host):
    found = host.check_output(f"find {DIR}/images {DIR}/configs {DIR}/lun.raw -type f")
    assert sorted(found.split()) == LEFT


def test_no_domain_starts_at_boot(host):
    assert host.file(f"{DIR}/auto").listdir() == []


def test_its_loop_devices_are_unbound(host):
    bound = host.check_output("losetup --list --noheadings --output BACK-FILE").split()
    assert [path for path in bound if path.startswith(DIR)] == [LUN]
