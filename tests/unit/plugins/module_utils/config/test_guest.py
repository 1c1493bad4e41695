# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What xl makes of the words for a guest's type (parse_config_data in xl_parse.c)."""

from __future__ import annotations

from typing import Dict

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.config.guest import (
    Guest,
    GuestTypeError,
    guest_of,
)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "pv"),
        ({"type": "hvm"}, "hvm"),
        ({"type": "pv"}, "pv"),
        ({"type": "pvh"}, "pvh"),
        ({"type": "h"}, "hvm"),
        ({"type": ""}, "hvm"),
        ({"type": "p"}, "pv"),
        ({"builder": "hvm"}, "hvm"),
        ({"builder": "generic"}, "pv"),
        ({"builder": "g"}, "pv"),
        ({"builder": ""}, "hvm"),
        ({"type": "hvm", "builder": "hvm"}, "hvm"),
        ({"type": "pv", "builder": "generic"}, "pv"),
        ({"type": ["hvm"]}, "pv"),
        ({"type": None, "builder": ["hvm"]}, "pv"),
    ],
)
def test_the_type(settings: Dict[str, object], expected: str) -> None:
    assert guest_of(settings).type == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "HVM"}, "type 'HVM' is none that xl knows: use hvm, pv, pvh"),
        ({"type": "hvmx"}, "type 'hvmx' is none that xl knows"),
        ({"type": "linux"}, "type 'linux' is none that xl knows"),
        ({"type": 1}, "type '1' is none that xl knows"),
        ({"type": True}, "type '1' is none that xl knows"),
        ({"builder": "linux"}, "builder 'linux' is none that xl knows: use hvm, generic"),
        (
            {"type": "pvh", "builder": "generic"},
            "type pvh and builder generic contradict each other: leave out builder",
        ),
        ({"type": "pv", "builder": "hvm"}, "type pv and builder hvm contradict each other"),
    ],
)
def test_a_type_that_xl_refuses(settings: Dict[str, object], message: str) -> None:
    with pytest.raises(GuestTypeError) as error:
        guest_of(settings)
    assert message in str(error.value)


def test_what_else_decides_about_drives() -> None:
    assert guest_of({"type": "hvm"}) == Guest("hvm")
    assert guest_of({"type": "hvm", "hdtype": "ahci"}).hdtype == "ahci"
    assert guest_of({"device_model_version": "qemu-xen"}).known_drives
    assert not guest_of({"device_model_version": "qemu-xen-traditional"}).known_drives
    for word, known in ((1, False), (True, False), ("1", False), (0, True), ("0", True)):
        settings = {"device_model_stubdomain_override": word}
        assert guest_of(settings).known_drives == known


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({}, True),
        ({"boot": "cd"}, True),
        ({"boot": "nc"}, False),
        ({"kernel": "/boot/vmlinuz"}, False),
        ({"firmware": "uefi"}, True),
    ],
)
def test_whether_a_guest_boots_from_a_disk(settings: Dict[str, object], needed: bool) -> None:
    assert guest_of(settings).needs_disk == needed
