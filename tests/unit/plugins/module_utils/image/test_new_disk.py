# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real loop devices as new disks: every kind of content, and sizes that differ."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import opened
from ansible_collections.xen.blockdev.plugins.module_utils.image import source as image_source
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system_options import (
    FILE_SYSTEMS,
    FileSystemOptions,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.new_disk import (
    NewDevice,
    NewFile,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.contentutil import (
    Content,
    blkid,
    directory,
    needs,
    ran,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.imageutil import (
    MIB,
    allocated,
)

CONTENT: Content = {"a/file": b"content", "b": os.urandom(100_000)}
UNFILLABLE = ("xfs", "swap")
"""Kinds that take no content of a directory."""

CHECKS = {
    "ext2": ["e2fsck", "-fn"],
    "ext3": ["e2fsck", "-fn"],
    "ext4": ["e2fsck", "-fn"],
    "vfat": ["fsck.vfat", "-n"],
    "tar": ["tar", "-tf"],
}


def loop_device(image: Path) -> Optional[str]:
    """A device of our own, None where there can be none."""
    if os.geteuid() != 0:
        return None
    command = ["losetup", "--find", "--show", str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


@contextmanager
def new_device(image: Path, size: int) -> Iterator[NewDevice]:
    """A device of zeros, whose bytes are those of ``image`` afterwards."""
    with opened(str(image), os.O_RDWR | os.O_CREAT | os.O_EXCL) as descriptor:
        os.truncate(descriptor, size)
    device = loop_device(image)
    if device is None:
        pytest.skip("no loop devices here")
    try:
        with opened(device, os.O_RDWR) as descriptor:
            yield NewDevice(descriptor, size, device)
            os.fsync(descriptor)
    finally:
        ran("losetup", "--detach", device)


@needs("mke2fs", "mkfs.vfat", "blkid", "losetup")
@pytest.mark.parametrize("kind", FILE_SYSTEMS)
def test_every_kind_of_content(tmp_path: Path, kind: str) -> None:
    source = None if kind in UNFILLABLE else str(directory(tmp_path / "f", CONTENT))
    label = None if kind == "tar" else "DATA"
    options = FileSystemOptions(kind, label, None, preserve=False)
    image = tmp_path / "a.raw"
    file_system = options.file_system(str(image), source)
    assert file_system
    size = file_system.size + 64 * MIB
    file_system.check(size)
    with new_device(image, size) as disk:
        file_system.fill(disk)
    assert image.stat().st_size == size
    assert allocated(image) < 40 * MIB
    if kind in CHECKS:
        ran(*CHECKS[kind], str(image))
    if label:
        found = blkid(image)
        assert (found["TYPE"], found["LABEL"]) == (kind, label)


@needs("losetup")
def test_copy(tmp_path: Path) -> None:
    base = tmp_path / "base.raw"
    with open(base, "wb") as file:
        file.seek(3 * MIB)
        file.write(b"x" * MIB)
        file.truncate(6 * MIB)
    source = image_source.read(str(base), None, base.stat())
    with new_device(tmp_path / "a.raw", 8 * MIB) as disk:
        image_source.copy(source, disk)
    assert (tmp_path / "a.raw").read_bytes() == base.read_bytes().ljust(8 * MIB, b"\0")
    assert allocated(tmp_path / "a.raw") < 2 * MIB


@needs("losetup", "qemu-img")
def test_conversion(tmp_path: Path) -> None:
    base, raw = tmp_path / "base.qcow2", tmp_path / "base.raw"
    raw.write_bytes(bytes(3 * MIB) + b"x" * MIB + bytes(2 * MIB))
    ran("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(base))
    source = image_source.read(str(base), "qcow2", base.stat())
    with new_device(tmp_path / "a.raw", 8 * MIB) as disk:
        image_source.copy(source, disk)
    assert (tmp_path / "a.raw").read_bytes() == raw.read_bytes().ljust(8 * MIB, b"\0")
    assert allocated(tmp_path / "a.raw") < 2 * MIB


@needs("losetup")
def test_device_of_another_size_is_not_written(tmp_path: Path) -> None:
    with new_device(tmp_path / "a.raw", 4 * MIB) as disk:
        other = NewDevice(disk.descriptor, 8 * MIB, "/dev/vg0/a")
        with pytest.raises(ImageError) as error:
            other.begin()
        disk.begin()
    assert str(error.value) == (
        "/dev/vg0/a has 4MiB, not 8MiB: another process changed it in the meantime; run again"
    )


@pytest.mark.parametrize("full", [False, True])
def test_file_gets_its_size_and_blocks(tmp_path: Path, full: bool) -> None:
    path = tmp_path / "a.raw"
    with opened(str(path), os.O_RDWR | os.O_CREAT | os.O_EXCL) as descriptor:
        disk = NewFile(descriptor, MIB, full)
        disk.begin()
        os.pwrite(descriptor, b"x", 0)
        disk.end()
    assert path.read_bytes() == b"x".ljust(MIB, b"\0")
    assert (allocated(path) >= MIB) is full
