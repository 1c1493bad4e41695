# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories to fill images from, and images filled from them."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Union

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.host import files
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system import FileSystem
from ansible_collections.xen.blockdev.plugins.module_utils.image.new_disk import NewFile

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"

Content = Dict[str, Union[bytes, str, None]]
"""By path: the content of a file, the target of a link (``str``), None for a directory."""


def needs(*tools: str) -> Any:
    """Skip a test if a tool is missing."""
    return pytest.mark.skipif(bool(_missing(tools)), reason=_reason(tools))


def skip_without(*tools: str) -> None:
    """The same for whoever sets up a test."""
    if _missing(tools):
        pytest.skip(_reason(tools))


def _missing(tools: Iterable[str]) -> List[str]:
    path = f"{os.environ.get('PATH', os.defpath)}:{SBIN}"
    return [tool for tool in tools if shutil.which(tool, path=path) is None]


def _reason(tools: Iterable[str]) -> str:
    return f"no {', '.join(_missing(tools))} here"


def directory(path: Path, content: Content) -> Path:
    path.mkdir()
    path.chmod(0o755)
    for name, value in content.items():
        place = path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if value is None:
            place.mkdir(exist_ok=True)
        elif isinstance(value, str):
            place.symlink_to(value)
        else:
            place.write_bytes(value)
    return path


def filled(
    file_system: FileSystem, new: Path, size: Optional[int] = None, full: bool = False
) -> Path:
    with files.opened(str(new), os.O_RDWR | os.O_CREAT | os.O_EXCL) as descriptor:
        file_system.fill(NewFile(descriptor, file_system.size if size is None else size, full))
    return new


@contextmanager
def loop_device(image: Path) -> Iterator[str]:
    """A loop device of our own."""
    command = ["losetup", "--find", "--show", str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    device = done.stdout.strip()
    if not device:
        pytest.skip("no loop devices here")
    try:
        yield device
    finally:
        ran("losetup", "--detach", device)


def ran(*command: str, **options: Any) -> str:
    """The output of a command."""
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:{SBIN}", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=environment, **options
    )
    return done.stdout


def blkid(path: Path) -> Dict[str, str]:
    """The tags that blkid finds in an image."""
    lines = ran("blkid", "-p", "-o", "export", str(path)).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)
