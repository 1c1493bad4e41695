# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a lab keeps its files, and the commands with which they are made.

    cache.lock      held by the one run that changes something; it also says whose directory this is
    images/KEY      what is built from a Recipe: root.img, xen, vmlinuz, initrd.img, and the keys
    snapshots/KEY   a Machine that has booted: memory, disk.qcow2 above root.img, made_for.json
    machines/NAME   a lab: disk.qcow2 above the snapshot's, pid, qmp, console.log, machine.json

An image or a snapshot appears under its name when it is complete, and a lab has its machine.json
when one can log in. What else there is, a killed run has left.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Dict, Iterator, List, Mapping, Optional, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.host.programs import PACKAGES, errors_as

LOCK = "cache.lock"

BUILD_BYTES = 4 << 30
"""Room that an image and a snapshot take while they are made, in the cache."""

SNAPSHOT_BYTES = 1 << 30
"""Room for a snapshot: dom0's memory as far as it is used, and what it writes while it boots."""

TEMPORARY_BYTES = 2 << 30
"""Room that the root file system takes while it is made, in the directory for temporary files."""

END_SECONDS = 20
"""How long a command or a machine that is to end may take: it may have to tidy up."""

SHOWN_LINES = 15
"""How much of a log an error shows."""


class LabError(BlockdevError):
    """A lab is not as wanted."""


@dataclass(frozen=True)
class Cache:
    """The directory with all labs of a user."""

    path: str

    def image(self, key: str) -> str:
        """Directory of an image."""
        return os.path.join(self.path, "images", key)

    def snapshot(self, key: str) -> str:
        """Directory of a snapshot."""
        return os.path.join(self.path, "snapshots", key)

    def machine(self, name: str) -> str:
        """Directory of a lab."""
        return os.path.join(self.path, "machines", name)

    def machines(self) -> List[str]:
        """Names of the labs that have a directory."""
        return _names(os.path.join(self.path, "machines"))

    def folders(self) -> List[str]:
        """Those of all images and snapshots, and of what killed runs have left of some."""
        parents = [os.path.join(self.path, name) for name in ("images", "snapshots")]
        return [os.path.join(parent, name) for parent in parents for name in _names(parent)]

    def leftovers(self) -> List[str]:
        """Directories of images and snapshots that were not completed."""
        return [path for path in self.folders() if os.path.basename(path).startswith(".")]

    def lock(self) -> str:
        """The file that is locked while something is made or ended. Makes the directory."""
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        return os.path.join(self.path, LOCK)

    def require_ours(self) -> None:
        """Raise LabError if the directory is there and was not made for labs."""
        if os.path.lexists(self.path) and not os.path.isdir(self.path):
            raise LabError(f"{self.path} is not a directory; choose another (xen_lab_cache)")
        names = _names(self.path)
        if LOCK not in names and set(names) - {"lost+found"}:
            raise LabError(
                f"{self.path} contains files that are not of a lab; choose a new or empty "
                "directory (xen_lab_cache)"
            )


def _names(folder: str) -> List[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


@contextmanager
def complete_folder(path: str) -> Iterator[str]:
    """A new directory that is renamed to ``path`` if the block succeeds, and removed otherwise."""
    parent, name = os.path.split(path)
    os.makedirs(parent, mode=0o700, exist_ok=True)
    folder = tempfile.mkdtemp(prefix=f".{name}.", dir=parent)
    try:
        yield folder
        os.rename(folder, path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def remove(path: str) -> None:
    """Remove a directory with all that is in it; it need not be there."""
    if os.path.lexists(path):
        shutil.rmtree(path)


def write_json(path: str, content: Mapping[str, Any]) -> None:
    """Write a file that is there only when it is complete."""
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
    os.rename(f"{path}.new", path)


def read_json(path: str) -> Optional[Dict[str, Any]]:
    """What write_json has written, None if nothing is there. Raises LabError, OSError."""
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise LabError(f"cannot read {path}: {error}") from None
    if not isinstance(content, dict):
        raise LabError(f"cannot read {path}: its content was changed")
    return content


def missing_tools(tools: Sequence[str]) -> List[str]:
    """Those of the commands that are not installed."""
    return [tool for tool in tools if programs.find(tool) is None]


def require_tools(tools: Sequence[str]) -> None:
    """Raise LabError if one of the commands is not installed."""
    missing = missing_tools(tools)
    if missing:
        packages = sorted({PACKAGES[tool] for tool in missing})
        raise LabError(
            f"{', '.join(missing)} not found on the controller; install it (on Debian and Ubuntu: "
            f"`apt install {' '.join(packages)}`), or set xen_lab_install_packages: true"
        )


def require_space(path: str, wanted: int) -> None:
    """Raise LabError if ``path``, which need not be there yet, has less room than that.

    ``wanted``: in bytes.
    """
    there = path
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    free = shutil.disk_usage(there).free
    if free < wanted:
        raise LabError(
            f"{path} has {free >> 20} MiB of free space, and a build needs {wanted >> 20} MiB; "
            "free some, or choose another directory (xen_lab_cache, or TMPDIR for temporary files)"
        )


def run(
    argv: Sequence[str],
    seconds: float,
    cwd: Optional[str] = None,
    stdin: Optional[IO[Any]] = None,
    pass_files: Sequence[int] = (),
) -> str:
    """Run a command, without a shell, and return what it prints.

    It ends with this process, whatever ends that. Raises LabError with the end of what it prints
    where it fails or takes longer than ``seconds``.
    """
    with tempfile.TemporaryFile() as output:  # a process in the background would keep a pipe open
        with errors_as(LabError):
            process = programs.start(
                ["setpriv", "--pdeathsig=TERM", "--", *argv],
                stdin=stdin or subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                directory=cwd,
                descriptors=pass_files,
            )
        try:
            code: Optional[int] = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    if code == 0:
        return text
    ended = f"did not end within {seconds:g} s" if code is None else f"ended with exit code {code}"
    raise LabError(f"{argv[0]} {ended}:\n{last_lines(text)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command that may still run; it may tidy up before."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def last_lines(text: str) -> str:
    """The end of a log, as an error shows it."""
    lines = [line.rstrip() for line in text.split("\n") if line.strip()]
    return "\n".join(lines[-SHOWN_LINES:]) or "(it printed nothing)"
