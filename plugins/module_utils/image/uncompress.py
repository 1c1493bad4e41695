# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compressed files: what is in them, piece by piece.

A file may have several streams in a row, as pigz, pbzip2, ``xz`` with threads and ``cat`` make
them. Python's own file objects end at the first thing that is no stream, without a word. Here that
is an error.
"""

from __future__ import annotations

import os
import zlib
from typing import Any, BinaryIO, Callable, Dict, Iterator, cast

from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.image.tool import Tool
from ansible_collections.xen.blockdev.plugins.module_utils.image.writing import COPY_CHUNK

ZSTD = Tool("zstd", "uncompresses files")

XZ_MEMORY = 256 * 1024**2
"""Bytes that the decoder of xz may take. ``xz -9`` makes files that need 65 MiB."""

END_SECONDS = 60
"""How long a program may take to end after its output has."""

_READ = 1024**2
"""Bytes of the compressed file that are read at once."""


class DamagedError(ImageError):
    """A compressed file cannot be uncompressed to its end."""


class _Gzip:
    """A decoder of one stream, with the interface of lzma.LZMADecompressor. It checks the sum."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._rest = b""
        self._is_full = False

    def decompress(self, data: bytes, most: int) -> bytes:
        """At most so many bytes."""
        found = self._decoder.decompress(self._rest + data, most)
        self._rest = self._decoder.unconsumed_tail
        self._is_full = len(found) == most
        return found

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""
        return self._decoder.eof

    @property
    def needs_input(self) -> bool:
        """Whether there is nothing more without more data."""
        return not self._rest and not self._is_full

    @property
    def unused_data(self) -> bytes:
        """What follows the end of the stream."""
        return self._decoder.unused_data


def _xz() -> Any:
    # A Python that was built without it can do everything else.
    import lzma  # noqa: PLC0415

    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)


def _bzip2() -> Any:
    import bz2  # noqa: PLC0415

    return bz2.BZ2Decompressor()


_DECODERS: Dict[str, Callable[[], Any]] = {"gzip": _Gzip, "xz": _xz, "bzip2": _bzip2}

KINDS = (*_DECODERS, "zstd")
"""What can be uncompressed, as signatures.Signature.format calls it."""


def require(kind: str) -> None:
    """Raise ImageError if files of this kind cannot be uncompressed on this host."""
    if kind == "zstd":
        ZSTD.require()
        return
    try:
        _DECODERS[kind]()
    except ImportError:
        raise ImageError(
            f"the Python of this host was built without support for {kind}; uncompress the file "
            f"first ({kind} -d)"
        ) from None


def pieces(kind: str, descriptor: int) -> Iterator[bytes]:
    """The content of the compressed file that ``descriptor`` has open, in pieces of at most
    COPY_CHUNK bytes. Raises DamagedError, ImageError, and OSError."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    return _by_zstd(descriptor) if kind == "zstd" else _by_python(kind, descriptor)


def _by_python(kind: str, descriptor: int) -> Iterator[bytes]:
    data = os.read(descriptor, _READ)
    while data:
        decoder = _DECODERS[kind]()
        while not decoder.eof:
            if decoder.needs_input and not data:
                data = os.read(descriptor, _READ)
                if not data:
                    raise DamagedError("it ends too early")
            piece = _decompressed(kind, decoder, data)
            data = b""
            if piece:
                yield piece
        data = decoder.unused_data.lstrip(b"\0")
        while not data:  # zeros may fill a block of a tape, or of four bytes
            more = os.read(descriptor, _READ)
            if not more:
                return
            data = more.lstrip(b"\0")


def _decompressed(kind: str, decoder: Any, data: bytes) -> bytes:
    try:
        return bytes(decoder.decompress(data, COPY_CHUNK))
    except Exception as error:  # of four classes, one of which only lzma has
        raise DamagedError(f"{kind} says: {error}") from None


def _by_zstd(descriptor: int) -> Iterator[bytes]:
    """Python has no zstd before version 3.14."""
    process = programs.start([ZSTD.name, "-dcq"], stdin=descriptor)
    try:
        output = cast(BinaryIO, process.stdout)
        while True:
            piece = output.read(COPY_CHUNK)
            if not piece:
                break
            yield piece
        ended = programs.finish(process, END_SECONDS, ZSTD.name)
        if ended.code:
            raise DamagedError(programs.in_one_line(ended.stderr))
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
