# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on the machine after `remove` with xen_remove_images."""

DIR = "/var/tmp/xen-blockdev-molecule"


def test_no_image_and_no_config(host):
    assert host.check_output(f"find {DIR}/images {DIR}/configs -type f") == ""


def test_no_loop_device_but_the_one_behind_the_block_device(host):
    bound = host.check_output("losetup --list --noheadings --output BACK-FILE").split()
    assert [path for path in bound if path.startswith(DIR)] == [f"{DIR}/lun.raw"]
