# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What blkid and partx print, recorded from util-linux 2.38 and as the real ones print it."""

from __future__ import annotations

import os
import struct
import time
import uuid
import zlib
from pathlib import Path
from typing import Callable, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.host import blkid, programs
from ansible_collections.xen.blockdev.plugins.module_utils.host.blkid import Content, Prober
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.contentutil import needs, ran
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.imageutil import MIB, image

EXT4 = r"""ID_FS_LABEL=a_b"\_é
ID_FS_LABEL_ENC=a\x20b\x22\x5c\x0aé
ID_FS_UUID=77507517-e393-4f99-b812-fa756eb2260a
ID_FS_UUID_ENC=77507517-e393-4f99-b812-fa756eb2260a
ID_FS_VERSION=1.0
ID_FS_BLOCK_SIZE=1024
ID_FS_TYPE=ext4
ID_FS_USAGE=filesystem
"""
GPT = """ID_PART_TABLE_UUID=b277ddd9-7de4-164e-b6f5-7f2108f26909
ID_PART_TABLE_TYPE=gpt
"""
PARTITIONS = r"""NR="1" NAME="boot"
NR="2" NAME="d\x22a\x5ct\x24\x60\xc3\xa9\x0a x"
NR="7" NAME=""
"""

Fake = Callable[..., Path]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Makes programs that log their arguments, print what they are told to, and exit so."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(programs, "SYSTEM_PATH", "/nowhere")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/bin")

    def make(name: str, output: str, code: int = 0, first: str = "") -> Path:
        (tmp_path / f"{name}.out").write_text(output)
        script = tmp_path / "bin" / name
        script.write_text(
            f"#!/bin/sh\n{first}\necho {name} $LC_ALL $* >> {tmp_path}/log\n"
            f"cat {tmp_path}/{name}.out\nexit {code}\n"
        )
        script.chmod(0o755)
        return tmp_path / "log"

    return make


def look(path: object) -> Content:
    return Prober(pytest.fail).look(str(path))


def test_label_and_file_system(tmp_path: Path, fake: Fake) -> None:
    log = fake("blkid", EXT4)
    assert look(image(tmp_path / "a.raw")) == Content("ext4", 'a b"\\\né', [])
    command, number = log.read_text().strip().rsplit("/", 1)
    assert command == "blkid C -p -o udev /proc/self/fd"
    assert number.isdigit()


def test_nothing_is_looked_at_unless_wanted(tmp_path: Path, fake: Fake) -> None:
    log = fake("blkid", EXT4)
    prober = Prober(pytest.fail, wanted=False)
    assert prober.look(str(image(tmp_path / "a.raw"))) == Content()
    assert not log.exists()


def test_partitions(tmp_path: Path, fake: Fake) -> None:
    fake("blkid", GPT)
    log = fake("partx", PARTITIONS)
    assert look(image(tmp_path / "a.raw")).as_state() == {
        "filesystem": None,
        "label": None,
        "partitions": [
            {"number": 1, "label": "boot"},
            {"number": 2, "label": 'd"a\\t$`é\n x'},
            {"number": 7, "label": None},
        ],
    }
    assert [line.split("/")[0] for line in log.read_text().splitlines()] == [
        "blkid C -p -o udev ",
        "partx C --pairs --output NR,NAME ",
    ]


@pytest.mark.parametrize(
    ("output", "code"),
    [
        ("", 2),
        ("ID_FS_AMBIVALENT=filesystem:vfat:FAT12 filesystem:ext2:1.0\n", 8),
        (EXT4, 4),
        ("no pair\n=\nID_FS_TYPE\n", 0),
    ],
)
def test_nothing_is_known(tmp_path: Path, fake: Fake, output: str, code: int) -> None:
    fake("blkid", output, code)
    assert look(image(tmp_path / "a.raw")) == Content()


@pytest.mark.parametrize("output", [r"\x", r"\xg0", r"\xff\xfe", "\\", r"\\x41", "\x1b[31m", "é"])
def test_whatever_is_printed_is_a_text(tmp_path: Path, fake: Fake, output: str) -> None:
    fake("blkid", f"ID_FS_LABEL_ENC={output}\nID_FS_TYPE={output}\n{GPT}")
    fake("partx", f'NR="1" NAME="{output}"\nNR="{"9" * 5000}" NAME="x"\nNR="-1" NAME=""\n')
    found = look(image(tmp_path / "a.raw"))
    assert isinstance(found.label, str)
    found.label.encode()
    assert len(found.partitions) <= 1


def test_what_is_not_opened(tmp_path: Path, fake: Fake) -> None:
    log = fake("blkid", EXT4)
    path = image(tmp_path / "a.raw")
    os.mkfifo(tmp_path / "fifo")
    for other in (tmp_path, tmp_path / "no", tmp_path / "fifo", "/dev/null", "\0"):
        assert look(other) == Content()
    prober = Prober(pytest.fail)
    assert prober.look(None) == Content()
    assert prober.look(str(path), os.makedev(7, 1)) == Content()
    assert prober.look(str(path), None, lambda: False) == Content()
    assert not log.exists()


def test_no_blkid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: List[str] = []
    monkeypatch.setattr(programs, "SYSTEM_PATH", "/nowhere")
    monkeypatch.setenv("PATH", str(tmp_path))
    prober = Prober(warnings.append)
    path = str(image(tmp_path / "a.raw"))
    assert [prober.look(path), prober.look(path)] == [Content(), Content()]
    assert warnings == [
        "label, filesystem and partitions are unknown: blkid is not on this host: install it "
        "(package util-linux on Debian)"
    ]


def test_disk_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Fake
) -> None:
    fake("blkid", EXT4, first="exec sleep 60")
    monkeypatch.setattr(blkid, "DISK_SECONDS", 0.05)
    before = time.monotonic()
    assert look(image(tmp_path / "a.raw")) == Content()
    assert time.monotonic() - before < 10


def test_disks_that_take_too_long_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Fake
) -> None:
    warnings: List[str] = []
    log = fake("blkid", EXT4)
    monkeypatch.setattr(blkid, "CALL_SECONDS", 0)
    prober = Prober(warnings.append)
    path = str(image(tmp_path / "a.raw"))
    assert [prober.look(path), prober.look(path)] == [Content(), Content()]
    assert warnings == [
        "label, filesystem and partitions are unknown: not all disks were read within 0 s"
    ]
    assert not log.exists()


# The real ones


@needs("blkid", "mke2fs")
@pytest.mark.parametrize("label", ["DATA", " a b", 'q"\\`$', "new\nline", "é日本", "ID_FS_TYPE=x"])
def test_really_finds_a_label(tmp_path: Path, label: str) -> None:
    path = image(tmp_path / "a.raw")
    ran("mke2fs", "-q", "-F", "-t", "ext2", "-L", label, str(path))
    assert look(path) == Content("ext2", label, [])


@needs("blkid")
def test_really_finds_nothing(tmp_path: Path) -> None:
    assert look(image(tmp_path / "a.raw")) == Content()
    assert look(image(tmp_path / "b.raw", 0)) == Content()


@needs("blkid", "mke2fs", "mkfs.vfat")
def test_really_finds_two_things(tmp_path: Path) -> None:
    path, other = image(tmp_path / "a.raw", 8 * MIB), image(tmp_path / "b.raw", 8 * MIB)
    ran("mkfs.vfat", str(path))
    ran("mke2fs", "-q", "-F", str(other))
    with open(path, "r+b") as file:
        file.seek(1024)
        file.write(other.read_bytes()[1024:2048])
    assert look(path) == Content()


def gpt(path: Path, *names: str) -> Path:
    """A disk of 8 MiB with partitions of these names."""
    sectors = 8 * MIB // 512
    entries = b"".join(
        uuid.uuid4().bytes_le
        + uuid.uuid4().bytes_le
        + struct.pack("<QQQ", 2048 * number, 2048 * number + 2047, 0)
        + name.encode("utf-16-le").ljust(72, b"\0")
        for number, name in enumerate(names, 1)
    ).ljust(128 * 128, b"\0")
    disk_id = uuid.uuid4().bytes_le

    def header(here: int, there: int, table: int) -> bytes:
        def packed(checksum: int) -> bytes:
            own = (b"EFI PART", 0x10000, 92, checksum, 0, here, there, 34, sectors - 34, disk_id)
            return struct.pack("<8sIIIIQQQQ16sQIII", *own, table, 128, 128, zlib.crc32(entries))

        return packed(zlib.crc32(packed(0))).ljust(512, b"\0")

    protective = struct.pack("<8BII", 0, 0, 2, 0, 0xEE, 255, 255, 255, 1, sectors - 1)
    with open(path, "wb") as file:
        file.write(bytes(446) + protective.ljust(64, b"\0") + b"\x55\xaa")
        file.write(header(1, sectors - 1, 2) + entries)
        file.seek((sectors - 33) * 512)
        file.write(entries + header(sectors - 1, 1, sectors - 33))
    return path


@needs("blkid", "partx")
def test_really_finds_partitions(tmp_path: Path) -> None:
    names = ["boot", 'd"a\\t$`é\n x', ""]
    assert look(gpt(tmp_path / "a.raw", *names)) == Content(
        None,
        None,
        [{"number": number, "label": name or None} for number, name in enumerate(names, 1)],
    )
