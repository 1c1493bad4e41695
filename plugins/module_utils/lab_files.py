# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a lab keeps its files, and the commands with which they are made.

    images/KEY      what is built from a Recipe: root.img, xen, vmlinuz, initrd.img, and the keys
    snapshots/KEY   a Machine that has booted: memory, and disk.qcow2 above root.img
    machines/NAME   a lab: disk.qcow2 above the snapshot's, machine.json, pid, qmp, console.log

An image or a snapshot appears under its name when it is complete.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Iterator, List, Mapping, Optional, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
"""Command to the package of Debian that has it."""

SYSTEM_PATH = "/usr/sbin:/sbin"
"""Where mke2fs is. An ordinary user's PATH may leave it out."""

BUILD_BYTES = 4 << 30
"""Room that an image and a snapshot take while they are made, in the cache."""

TEMPORARY_BYTES = 2 << 30
"""Room that the root file system takes while it is made, in the folder for temporary files."""

SHOWN_LINES = 15
"""How much of a log an error shows."""


class LabError(BlockdevError):
    """A lab is not as wanted."""


@dataclass(frozen=True)
class Cache:
    """The folder with all labs of a user."""

    path: str

    def image(self, key: str) -> str:
        """Folder of an image."""
        return os.path.join(self.path, "images", key)

    def snapshot(self, key: str) -> str:
        """Folder of a snapshot."""
        return os.path.join(self.path, "snapshots", key)

    def machine(self, name: str) -> str:
        """Folder of a lab."""
        return os.path.join(self.path, "machines", name)

    def machines(self) -> List[str]:
        """Names of the labs that have a folder."""
        try:
            return sorted(os.listdir(os.path.join(self.path, "machines")))
        except FileNotFoundError:
            return []

    def lock(self, name: str) -> str:
        """The file that is locked while something called C(name) is made or ended."""
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        return os.path.join(self.path, f"{name}.lock")


@contextmanager
def complete_folder(path: str) -> Iterator[str]:
    """A new folder that gets its name C(path) when the block ends well, and else goes away."""
    parent, name = os.path.split(path)
    os.makedirs(parent, mode=0o700, exist_ok=True)
    for left in os.listdir(parent):
        if left.startswith(f".{name}."):
            shutil.rmtree(os.path.join(parent, left))  # of a run that was killed; we have the lock
    folder = tempfile.mkdtemp(prefix=f".{name}.", dir=parent)
    try:
        yield folder
        os.rename(folder, path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def missing_tools(tools: Sequence[str]) -> List[str]:
    """Those of the commands that are not installed."""
    return [tool for tool in tools if shutil.which(tool, path=_search_path()) is None]


def require_tools(tools: Sequence[str]) -> None:
    """Raise LabError where one of the commands is not installed."""
    missing = missing_tools(tools)
    if missing:
        packages = sorted({TOOLS[tool] for tool in missing})
        raise LabError(
            f"{', '.join(missing)} not found on the controller; install it (on Debian and Ubuntu: "
            f"`apt install {' '.join(packages)}`), or set xen_lab_install_packages: true"
        )


def require_space(path: str, wanted: int) -> None:
    """Raise LabError where C(path) has less than C(wanted) bytes of room."""
    free = shutil.disk_usage(path).free
    if free < wanted:
        raise LabError(
            f"{path} has {free >> 20} MiB of room, and {wanted >> 20} MiB are wanted for a build; "
            "make room, or choose another folder (xen_lab_cache, or TMPDIR for temporary files)"
        )


def run(
    argv: Sequence[str],
    seconds: float,
    cwd: Optional[str] = None,
    stdin: Optional[IO[Any]] = None,
    pass_files: Sequence[int] = (),
) -> str:
    """Run a command, without a shell, and return what it prints.

    Raises LabError with the end of that where it fails or takes longer than C(seconds).
    """
    with tempfile.TemporaryFile() as output:  # a pipe would stay open in what goes on in background
        try:
            code = subprocess.run(
                argv,
                stdin=stdin or subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                timeout=seconds,
                check=False,
                env=environment(),
                pass_fds=pass_files,
            ).returncode
        except subprocess.TimeoutExpired:
            code = None
        except OSError as error:
            raise LabError(f"cannot run {argv[0]}: {error.strerror}") from None
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    if code == 0:
        return text
    ended = f"ended with exit code {code}" if code else f"did not end within {seconds:g} s"
    raise LabError(f"{argv[0]} {ended}:\n{last_lines(text)}")


def environment() -> Mapping[str, str]:
    """That of every command that makes a lab."""
    return {**os.environ, "LC_ALL": "C", "PATH": _search_path()}


def last_lines(text: str) -> str:
    """The end of a log, as an error shows it."""
    lines = [line.rstrip() for line in text.split("\n") if line.strip()]
    return "\n".join(lines[-SHOWN_LINES:]) or "(it printed nothing)"


def _search_path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PATH}"
