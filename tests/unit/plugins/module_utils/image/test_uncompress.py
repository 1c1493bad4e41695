# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compressed files, made by Python and by the programs: streams in a row, and damage."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.image import uncompress
from ansible_collections.xen.blockdev.plugins.module_utils.image.uncompress import DamagedError
from ansible_collections.xen.blockdev.tests.exhaustive import examples
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.contentutil import needs
from hypothesis import given, settings
from hypothesis import strategies as st


def by_program(*command: str) -> Callable[[bytes], bytes]:
    def compress(data: bytes) -> bytes:
        return subprocess.run(command, input=data, check=True, stdout=subprocess.PIPE).stdout

    return compress


COMPRESS: Dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": by_program("zstd", "-qc"),
}
KINDS = [
    pytest.param(kind, marks=needs("zstd")) if kind == "zstd" else kind for kind in uncompress.KINDS
]


def content(kind: str, data: bytes) -> bytes:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return b"".join(uncompress.pieces(kind, file.fileno()))


def test_every_kind_is_tried() -> None:
    assert set(COMPRESS) == set(uncompress.KINDS)


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2"])
@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(st.binary(max_size=60) | st.integers(0, 5000).map(bytes), min_size=1, max_size=4),
    st.integers(1, 50),
    st.integers(1, 50),
    st.booleans(),
)
def test_any_streams_in_any_steps(
    kind: str, streams: List[bytes], read: int, chunk: int, padded: bool
) -> None:
    data = (b"\0" * 4 if padded else b"").join(map(COMPRESS[kind], streams))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uncompress, "_READ", read)
        patch.setattr(uncompress, "COPY_CHUNK", chunk)
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            pieces = list(uncompress.pieces(kind, file.fileno()))
    assert b"".join(pieces) == b"".join(streams)
    assert all(0 < len(piece) <= chunk for piece in pieces)


@pytest.mark.parametrize("kind", KINDS)
def test_more_than_one_chunk(kind: str) -> None:
    data = os.urandom(1000) + bytes(20 * 1024**2) + os.urandom(1_500_000)
    assert content(kind, COMPRESS[kind](data)) == data
    assert content(kind, COMPRESS[kind](data) + COMPRESS[kind](b"more")) == data + b"more"


@pytest.mark.parametrize("kind", KINDS)
def test_damage(kind: str) -> None:
    good = COMPRESS[kind](os.urandom(5000))
    for cut in (5, len(good) // 2, len(good) - 1):
        with pytest.raises(DamagedError):
            content(kind, good[:cut])
    middle = len(good) // 2
    for damaged in (
        good[:middle] + bytes([good[middle] ^ 0xFF]) + good[middle + 1 :],
        good + b"and more",
        good + good[: len(good) // 2],
    ):
        with pytest.raises(DamagedError):
            content(kind, damaged)


@needs("xz")
def test_streams_and_blocks_of_xz() -> None:
    data = os.urandom(300_000)
    compress = by_program("xz", "-cq", "-T2", "--block-size=100000")
    assert content("xz", compress(data) + bytes(8) + compress(data)) == 2 * data


def test_xz_that_wants_all_memory() -> None:
    """A guest's or a stranger's file must not take the memory of dom0."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 2**29}]
    with pytest.raises(DamagedError, match=r"(?i)memory"):
        content("xz", lzma.compress(b"x", filters=filters))


@needs("zstd")
def test_zstd_of_which_only_the_beginning_is_wanted() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(COMPRESS["zstd"](bytes(50 * 1024**2)))
        file.flush()
        pieces = uncompress.pieces("zstd", file.fileno())
        assert not any(next(pieces))
        pieces.close()  # type: ignore[attr-defined]


def test_what_a_host_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise ImportError("_lzma")

    monkeypatch.setattr(programs, "SYSTEM_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(uncompress._DECODERS, "xz", missing)
    for kind in ("gzip", "bzip2"):
        uncompress.require(kind)
    with pytest.raises(ImageError, match=r"install it \(package zstd on Debian"):
        uncompress.require("zstd")
    with pytest.raises(ImageError, match="was built without support for xz; uncompress the file"):
        uncompress.require("xz")
