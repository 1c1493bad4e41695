# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the kernel, for answers that a real one does not give on demand."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import control as loop_control
from ansible_collections.xen.blockdev.plugins.module_utils.loop import node as loop_node
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding, Info

BINDING = Binding(
    number=5,
    rdev=os.makedev(7, 5),
    file=(os.makedev(254, 1), 99),
    backing_rdev=0,
    backing_file="/srv/a.raw",
    deleted=False,
    offset=0,
    size_limit=0,
    flags=0,
    size=1048576,
    sector_size=512,
)

REQUESTS = {
    getattr(module, name): name
    for module in (loop_binding, loop_control)
    for name in dir(module)
    if name.startswith(("LOOP_", "BLK"))
}


class Kernel:
    """Answers ioctl as a test sets it. Device N is the regular file loopN of a directory."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.calls: List[Tuple[str, Any]] = []
        self.free = 5
        self.info = Info(device=kernel_dev(254, 1), inode=99)
        self._errors: Dict[str, List[int]] = {}
        for number in range(9):
            (directory / f"loop{number}").touch()
        (directory / "loop-control").touch()
        monkeypatch.setattr(fcntl, "ioctl", self.ioctl)
        monkeypatch.setattr(loop_control, "CONTROL", str(directory / "loop-control"))
        # The regular files that stand for devices have no device numbers.
        for directory_of in ("SYS_BLOCK", "SYS_MISC"):
            monkeypatch.setattr(loop_node, directory_of, str(directory / "no-sys"))
        for module in (loop_binding, loop_control):
            monkeypatch.setattr(module, "device_of", self.device_of)

    def device_of(self, number: int) -> str:
        return str(self.directory / f"loop{number}")

    def fail(self, request: str, code: int, times: int = 1) -> None:
        self._errors.setdefault(request, []).extend([code] * times)

    def ioctl(self, _descriptor: int, code: int, argument: Any = 0) -> Any:
        request = REQUESTS[code]
        self.calls.append((request, argument))
        if self._errors.get(request):
            error = self._errors[request].pop(0)
            raise OSError(error, os.strerror(error))
        answers = {
            "LOOP_CTL_GET_FREE": self.free,
            "LOOP_GET_STATUS64": loop_binding.INFO64.pack(*self.info),
            "BLKGETSIZE64": struct.pack("=Q", 1048576),
            "BLKSSZGET": struct.pack("=i", 4096),
        }
        return answers.get(request, 0)

    @property
    def requests(self) -> List[str]:
        return [request for request, _argument in self.calls]

    def arguments(self, request: str) -> List[Any]:
        return [argument for name, argument in self.calls if name == request]


def kernel_dev(major: int, minor: int) -> int:
    """As new_encode_dev of linux/kdev_t.h does it."""
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)
