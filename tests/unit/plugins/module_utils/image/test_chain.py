# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains of images, also malicious ones."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.image import chain as image_chain
from ansible_collections.xen.blockdev.plugins.module_utils.image import header as image_header
from ansible_collections.xen.blockdev.plugins.module_utils.image.chain import ChainError, Link
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.image.test_header import (
    extension,
    qcow2,
)

RAW = extension(image_header.BACKING_FORMAT, b"raw")
QCOW2 = extension(image_header.BACKING_FORMAT, b"qcow2")


def links(path: Path) -> List[object]:
    return list(image_chain.links(str(path), "qcow2"))


def errors(path: Path) -> List[str]:
    return [str(link) for link in links(path) if isinstance(link, ChainError)]


def names(path: Path) -> List[str]:
    found = links(path)
    assert not any(isinstance(link, ChainError) for link in found)
    return [f"{Path(link.path).name}: {link.role}" for link in found if isinstance(link, Link)]


def test_a_chain_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "top").write_bytes(qcow2(b"below/middle", QCOW2))
    # Relative to the image that names it.
    (tmp_path / "below" / "middle").write_bytes(qcow2(b"file:base", RAW))
    # What a guest has written into a raw base is not read.
    (tmp_path / "below" / "base").write_bytes(qcow2(b"/etc/shadow", RAW))
    assert names(tmp_path / "top") == ["middle: backing file", "base: backing file"]


def test_a_format_that_is_not_given_is_guessed_as_qemu_does(tmp_path: Path) -> None:
    (tmp_path / "top").write_bytes(qcow2(b"middle"))
    (tmp_path / "middle").write_bytes(qcow2(b"base"))
    (tmp_path / "base").write_bytes(b"")
    assert names(tmp_path / "top") == ["middle: backing file", "base: backing file"]


def test_data_files(tmp_path: Path) -> None:
    data = extension(image_header.DATA_FILE, b"data")
    (tmp_path / "top").write_bytes(qcow2(b"base", data + QCOW2, features=4))
    (tmp_path / "base").write_bytes(qcow2(b"", data, features=4))
    found = [link for link in links(tmp_path / "top") if isinstance(link, Link)]
    assert [(link.role, link.is_written) for link in found] == [
        ("data file", True),
        ("backing file", False),
        ("data file", False),
    ]


@pytest.mark.parametrize("name", [b"json:{}", b"nbd://127.0.0.1/x", b"fd:3", b"a\0b"])
def test_names_that_are_not_paths(tmp_path: Path, name: bytes) -> None:
    (tmp_path / "top").write_bytes(qcow2(name))
    (error,) = errors(tmp_path / "top")
    assert "which is not a path, so its other users are unknown" in error


def test_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(qcow2(b"b", QCOW2))
    (tmp_path / "b").write_bytes(qcow2(b"./a", QCOW2))
    (error,) = errors(tmp_path / "a")
    assert "is circular or too long" in error


def test_a_circle_below_the_image(tmp_path: Path) -> None:
    for name, below in (("top", b"a"), ("a", b"b"), ("b", b"a")):
        (tmp_path / name).write_bytes(qcow2(below, QCOW2))
    *files, error = itertools.islice(image_chain.links(str(tmp_path / "top"), "qcow2"), 9)
    assert [Path(file.path).name for file in files if isinstance(file, Link)] == ["a", "b", "a"]
    assert "is circular or too long" in str(error)


def test_a_chain_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_chain, "MAX_CHAIN_LENGTH", 3)
    for number in range(5):
        (tmp_path / str(number)).write_bytes(qcow2(str(number + 1).encode(), QCOW2))
    (error,) = errors(tmp_path / "0")
    assert error == f"the chain of backing files from {tmp_path}/2 on is circular or too long"


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "top").write_bytes(qcow2(b"gone", QCOW2))
    (error,) = errors(tmp_path / "top")
    assert error.endswith("files of " + f"{tmp_path}/gone: No such file or directory")
    (tmp_path / "top").write_bytes(b"raw")
    (error,) = errors(tmp_path / "top")
    assert f"files of {tmp_path}/top: its header is truncated" in error


def test_a_name_behind_the_usual_first_cluster(tmp_path: Path) -> None:
    head = bytearray(qcow2(b"base", RAW).ljust(2**17 + 4, b"\0"))
    head[8:16] = (2**17).to_bytes(8, "big")
    head[2**17 :] = b"base"
    (tmp_path / "top").write_bytes(bytes(head))
    assert names(tmp_path / "top") == ["base: backing file"]
