# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has Python keep what it has compiled of files in zip archives, as it does of other files.

Ansible sends each module as such an archive, and Python compiles some eighty files of it for each
task, which an emulated processor takes seconds for. What runs is the same.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import sys
import zipimport
from types import CodeType
from typing import Any

FOLDER = os.path.join(os.path.dirname(__file__), "__pycache__", "of-archives")
OFF = "PYTHON_COMPILES_ARCHIVES"
"""A variable of the environment: if it is set, nothing is kept or used."""

_compile = zipimport._compile_source  # type: ignore[attr-defined]


def compiled(pathname: str, source: bytes, *more: Any) -> CodeType:
    """The code of a file in an archive; the path that it has may be that of an earlier archive."""
    name = f"{hashlib.sha256(source).hexdigest()}.{sys.implementation.cache_tag}"
    kept = os.path.join(FOLDER, name)
    code = _read(kept)
    if code is None:
        code = _compile(pathname, source, *more)
        _write(kept, marshal.dumps(code))
    return code


def _read(path: str) -> CodeType | None:
    """The code in a file, None if it is not there or not whole."""
    try:
        with open(path, "rb") as file:
            digest, data = file.read(32), file.read()
    except OSError:
        return None
    return marshal.loads(data) if hashlib.sha256(data).digest() == digest else None


def _write(path: str, data: bytes) -> None:
    """Keep code for the next time; without room, or in a folder of somebody else's, not."""
    new = f"{path}.{os.getpid()}"
    try:
        os.makedirs(FOLDER, mode=0o700, exist_ok=True)
        with open(new, "wb") as file:
            file.write(hashlib.sha256(data).digest() + data)
        os.rename(new, path)
    except OSError:
        pass


if OFF not in os.environ:
    zipimport._compile_source = compiled  # type: ignore[attr-defined]
