# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What loop devices are bound to: the kernel's answers, and what they mean.

The kernel here is a stand-in. What the real one says is tested by the integration target
xen_loopdev.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Info, LoopError
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.loopkernel import (
    BINDING,
    Kernel,
    kernel_dev,
)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(tmp_path, monkeypatch)


# Numbers and structures


def test_structures_have_the_sizes_of_the_kernel() -> None:
    assert loop_binding.INFO64.size == 232
    assert len(Info()) == len(loop_binding.INFO64.unpack(bytes(232)))


def test_fields_are_where_the_kernel_has_them() -> None:
    packed = loop_binding.INFO64.pack(
        *Info(device=1, inode=2, offset=3, sizelimit=4, number=5, flags=6, file_name=b"name")
    )
    for offset, form, value in [
        (0, "=Q", 1),
        (8, "=Q", 2),
        (24, "=Q", 3),
        (32, "=Q", 4),
        (40, "=I", 5),
        (52, "=I", 6),
        (56, "=4s", b"name"),
    ]:
        assert struct.unpack_from(form, packed, offset) == (value,)


@pytest.mark.parametrize(
    ("major", "minor"), [(0, 0), (7, 200), (254, 0), (8, 255), (8, 256), (259, 1048575), (4095, 1)]
)
def test_device_numbers_of_the_kernel(major: int, minor: int) -> None:
    assert loop_binding._decode_dev(kernel_dev(major, minor)) == os.makedev(major, minor)


@pytest.mark.parametrize(
    ("device", "number"),
    [
        ("/dev/loop0", 0),
        ("/dev/loop7", 7),
        ("/dev/loop1048575", 1048575),
        ("/dev/loop1048576", None),
        ("/dev/loop" + "9" * 5000, None),
        ("/dev/loop07", None),
        ("/dev/loop", None),
        ("/dev/loop-control", None),
        ("/dev/loop-1", None),
        ("/dev/loop0p1", None),
        ("/dev/loop٣", None),
        ("/dev/loop7\n", None),
        (" /dev/loop7", None),
        ("loop7", None),
        ("7", None),
        ("", None),
    ],
)
def test_number_of_a_device(device: str, number: Any) -> None:
    assert loop_binding.number_of(device) == number


def test_binding() -> None:
    assert BINDING.device == "/dev/loop5"
    assert BINDING.whole
    assert not replace(BINDING, offset=512).whole
    assert not replace(BINDING, size_limit=512).whole
    for flag, name in [(1, "read_only"), (4, "autoclear"), (16, "direct_io")]:
        assert not getattr(BINDING, name)
        assert getattr(replace(BINDING, flags=flag), name)
        assert not getattr(replace(BINDING, flags=~flag), name)


# Reading


def read(kernel: Kernel, monkeypatch: pytest.MonkeyPatch, backing_file: Any) -> Any:
    monkeypatch.setattr(loop_binding, "_backing_path", lambda _number: backing_file)
    return loop_binding.read(5)


def test_reads_a_binding(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.info = kernel.info._replace(
        rdevice=kernel_dev(8, 17), offset=512, sizelimit=4096, flags=loop_binding.DIRECT_IO
    )
    assert read(kernel, monkeypatch, "/srv/a.raw") == replace(
        BINDING,
        rdev=0,  # that of a regular file, which stands for the device here
        backing_rdev=os.makedev(8, 17),
        offset=512,
        size_limit=4096,
        flags=loop_binding.DIRECT_IO,
        sector_size=4096,
    )


def test_reads_nothing_where_nothing_is_bound(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read(kernel, monkeypatch, None) is None
    assert not kernel.calls
    kernel.fail("LOOP_GET_STATUS64", errno.ENXIO)
    assert read(kernel, monkeypatch, "/srv/a.raw") is None


def test_a_device_that_goes_while_it_is_read(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.unlink(kernel.device_of(5))
    answers = iter(["/srv/a.raw", None])
    monkeypatch.setattr(loop_binding, "_backing_path", lambda _number: next(answers))
    assert loop_binding.read(5) is None


def test_a_deleted_backing_file(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    binding = read(kernel, monkeypatch, "/srv/a.raw (deleted)")
    assert (binding.backing_file, binding.deleted) == ("/srv/a.raw", True)


def test_deleted_images_are_known_without_device_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called_so = tmp_path / "c.raw (deleted)"
    called_so.touch()
    files = {3: "/srv/a.raw (deleted)", 5: "/srv/b.raw", 7: str(called_so), 9: None}
    monkeypatch.setattr(loop_binding, "_numbers", lambda: list(files))
    monkeypatch.setattr(loop_binding, "_backing_path", files.get)
    assert loop_binding.deleted_images() == {"/srv/a.raw": "/dev/loop3"}
    assert list(loop_binding.backing_files()) == [
        (number, path) for number, path in files.items() if path
    ]


def test_a_file_that_is_called_deleted(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "a.raw (deleted)"
    path.touch()
    status = path.stat()
    major, minor = os.major(status.st_dev), os.minor(status.st_dev)
    kernel.info = Info(device=kernel_dev(major, minor), inode=status.st_ino)
    binding = read(kernel, monkeypatch, str(path))
    assert (binding.backing_file, binding.deleted) == (str(path), False)
    kernel.info = kernel.info._replace(inode=status.st_ino + 1)
    binding = read(kernel, monkeypatch, str(path))
    assert (binding.backing_file, binding.deleted) == (str(tmp_path / "a.raw"), True)


# The link that follows the image


LINK = f"{loop_link.LINK_DIR}/srv/a.raw"


def linked_to(monkeypatch: pytest.MonkeyPatch, rdev: int, mode: int = stat.S_IFBLK) -> None:
    """Have a link, and the image that it is called after."""
    statuses = {
        LINK: SimpleNamespace(st_mode=mode, st_rdev=rdev),
        "/srv/a.raw": SimpleNamespace(st_dev=BINDING.file[0], st_ino=BINDING.file[1]),
    }
    real_stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **kw: statuses.get(path) or real_stat(path, **kw))


def test_link(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loop_binding.verified_link(BINDING) is None
    linked_to(monkeypatch, BINDING.rdev)
    assert loop_binding.verified_link(BINDING) == LINK
    assert loop_binding.verified_link(replace(BINDING, offset=512)) is None
    linked_to(monkeypatch, BINDING.rdev + 1)
    assert loop_binding.verified_link(BINDING) is None
    linked_to(monkeypatch, BINDING.rdev, stat.S_IFCHR)
    assert loop_binding.verified_link(BINDING) is None


def test_device_of_a_link(monkeypatch: pytest.MonkeyPatch) -> None:
    part = replace(BINDING, number=4, rdev=os.makedev(7, 4), offset=512)
    other = replace(BINDING, number=3, rdev=os.makedev(7, 3), file=(1, 1))
    linked_to(monkeypatch, BINDING.rdev)
    assert loop_binding.device_of_link(LINK, lambda: [other, part, BINDING]) == LINK
    linked_to(monkeypatch, other.rdev)
    assert loop_binding.device_of_link(LINK, lambda: [other, part, BINDING]) == "/dev/loop5"
    with pytest.raises(
        LoopError, match=r"/srv/a\.raw is not bound to a loop device; bind it first"
    ):
        loop_binding.device_of_link(LINK, lambda: [other, part])


def test_device_of_a_link_without_an_image() -> None:
    with pytest.raises(LoopError, match=r"^/srv/no such/a\.raw: No such file or directory; it has"):
        loop_binding.device_of_link(f"{loop_link.LINK_DIR}/srv/no such/a.raw", lambda: [BINDING])
