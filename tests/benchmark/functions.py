# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The functions that are called once for each disk, by pytest-benchmark."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.inventory import disk_plan
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import usage

SPEC = "format=raw, vdev=xvdq, access=rw, target=/dev/disk/by-loop-file/srv/xen/web/data.raw"
DISK = DiskSpec.parse(SPEC)
CONFIG = config_text.render("web", {"memory": 128, "type": "pvh"}, [SPEC] * 256)
DOMAINS = [
    {
        "name": f"d{number}",
        "config": {"memory": 32},
        "disks": [{"name": f"n{disk}", "size": "1MiB"} for disk in range(10)],
    }
    for number in range(100)
]


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda: device_number.parse("xvdq"), id="a vdev parsed"),
        pytest.param(lambda: DiskSpec.parse(SPEC), id="a disk of xl parsed"),
        pytest.param(DISK.render, id="a disk of xl rendered"),
        pytest.param(lambda: config_text.disk_specs(CONFIG), id="a config of 256 disks parsed"),
        pytest.param(lambda: disk_plan.plan(DOMAINS), id="1000 disks planned"),
        pytest.param(loop_binding.scan, id="this host's loop devices read"),
        pytest.param(lambda: usage.Usage().of_device(0), id="the users of a device found"),
    ],
)
def test_speed(benchmark: Any, function: Callable[[], object]) -> None:
    benchmark(function)
