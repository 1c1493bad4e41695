# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images to test with."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding

MIB = 1024**2


def image(path: Path, size: int = MIB, content: bytes = b"") -> Path:
    path.write_bytes(content)
    os.truncate(path, size)
    return path


def bound(path: Path, number: int = 3, **changes: Any) -> Binding:
    """A loop device bound to an image as this collection binds it, with some changes."""
    status = path.stat()
    binding = Binding(
        number=number,
        rdev=os.makedev(7, number),
        file=loop_binding.file_id(status),
        backing_rdev=0,
        backing_file=str(path),
        deleted=False,
        offset=0,
        size_limit=0,
        flags=0,
        size=status.st_size,
        sector_size=512,
        marked=True,
    )
    return replace(binding, **changes)


def allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


def failing(code: int) -> Callable[..., Any]:
    def fail(*_arguments: Any) -> Any:
        raise OSError(code, os.strerror(code))

    return fail


def holey(path: Path) -> bytes:
    """4 MiB with two islands of data, one not aligned; returns the content."""
    with open(path, "wb") as file:
        file.seek(MIB)
        file.write(b"a" * 65536)
        file.seek(3 * MIB + 1000)
        file.write(b"b" * 1000)
        file.truncate(4 * MIB)
    return path.read_bytes()


def fake_qemu_img(
    monkeypatch: pytest.MonkeyPatch, directory: Path, info: Optional[Any], stderr: str = ""
) -> Path:
    """A qemu-img that logs its arguments and prints ``info``, or fails if there is none."""
    directory.mkdir()
    script = directory / "qemu-img"
    lines = [
        "#!/bin/sh",
        f'printf "%s " "$LC_ALL" "$@" >> {directory}/log; echo >> {directory}/log',
        f"cat <<'END'\n{json.dumps(info)}\nEND" if info else f"echo '{stderr}' >&2; exit 1",
    ]
    script.write_text("\n".join(lines) + "\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    return directory / "log"
