# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the programs of a host: without a shell, in the C locale, no longer than a timeout."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, Dict, Iterator, Mapping, Optional, Sequence, Type, Union

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where xl and blkid are. A login without a login shell may leave it out of PATH."""

PACKAGES = {
    "blkid": "util-linux",
    "fallocate": "util-linux",
    "lvm": "lvm2",
    "mcopy": "mtools",
    "mdir": "mtools",
    "mke2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mmdebstrap": "mmdebstrap",
    "newuidmap": "uidmap",
    "partx": "util-linux",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "systemctl": "systemd",
    "udevadm": "udev",
    "xl": "xen-utils",
}
"""Program to the package of Debian that has it."""

SOUGHT = ("xl",)
"""Programs that may be outside of PATH: a Xen built from source has its own prefix."""

KILL_SECONDS = 2
"""How long a program that was killed is waited for. One that waits for a disk may not even die."""

Stream = Union[int, IO[Any]]
"""What a program reads from or writes to, as Popen takes it."""


class ProgramError(BlockdevError):
    """A program cannot be run to its end."""


class ProgramTimeoutError(ProgramError):
    """A program did not end in time, and was killed."""


class ProgramMissingError(ProgramError):
    """A program is not installed."""

    def __init__(self, name: str, purpose: Optional[str] = None) -> None:
        """``purpose``: what it does, after ``which``."""
        which = f", which {purpose}," if purpose else ""
        package = f" (package {PACKAGES[name]} on Debian)" if name in PACKAGES else ""
        looked = f"; looked in {_directories()}" if name in SOUGHT else ""
        super().__init__(f"{name}{which} is not on this host: install it{package}{looked}")
        self.name = name


@dataclass(frozen=True)
class Completed:
    """A program that has ended."""

    code: int
    stdout: str
    stderr: str


def run(
    argv: Sequence[str],
    timeout: float,
    *,
    descriptors: Sequence[int] = (),
    directory: Optional[str] = None,
    variables: Optional[Mapping[str, str]] = None,
    shown: Optional[str] = None,
) -> Completed:
    """Run a program to its end.

    ``timeout``: seconds, after which it is killed. ``shown``: what an error calls it, by default
    the whole command. For the others see ``start``. Raises ProgramTimeoutError, and what ``start``
    does.
    """
    process = start(argv, descriptors=descriptors, directory=directory, variables=variables)
    return finish(process, timeout, shown)


def start(
    argv: Sequence[str],
    *,
    stdin: Stream = subprocess.DEVNULL,
    stdout: Stream = subprocess.PIPE,
    stderr: Stream = subprocess.PIPE,
    descriptors: Sequence[int] = (),
    directory: Optional[str] = None,
    variables: Optional[Mapping[str, str]] = None,
) -> subprocess.Popen[bytes]:
    """Start a program; ``finish`` waits for it.

    ``descriptors``: those that it inherits. ``directory``: where it runs. ``variables``: of the
    environment, beside ours. Raises ProgramMissingError, and ProgramError if it cannot start.
    """
    try:
        return subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=tuple(descriptors),
            cwd=directory,
            env={**environment(), **(variables or {})},
        )
    except (OSError, ValueError) as error:
        nowhere = isinstance(error, (FileNotFoundError, NotADirectoryError))
        if nowhere and find(argv[0]) is None:
            raise ProgramMissingError(argv[0]) from None
        raise ProgramError(f"cannot run `{' '.join(argv)}`: {error}") from None


def finish(
    process: subprocess.Popen[bytes], timeout: float, shown: Optional[str] = None
) -> Completed:
    """Wait for a program to end. Raises ProgramTimeoutError. For the arguments see ``run``."""
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _kill(process)
        command = shown or f"`{' '.join(map(str, process.args))}`"  # type: ignore[arg-type]
        raise ProgramTimeoutError(
            f"{command} did not end within {timeout:g} s and was killed"
        ) from None
    return Completed(process.returncode, _decoded(stdout), _decoded(stderr))


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in filter(None, (process.stdin, process.stdout, process.stderr)):
        pipe.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(KILL_SECONDS)


@contextmanager
def errors_as(kind: Type[BlockdevError]) -> Iterator[None]:
    """Raise the ProgramError of what is inside as an error of the class ``kind``."""
    try:
        yield
    except ProgramError as error:
        raise kind(str(error)) from None


# ---- where programs are, and what they find ----


def find(name: str) -> Optional[str]:
    """The path of a program, None if it is not on this host."""
    return shutil.which(name, path=search_path())


def search_path() -> str:
    """The directories to look for a program in, as PATH has them."""
    return f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PATH}"


def _directories() -> str:
    """The directories of that path that are there, each once."""
    there = [os.path.realpath(path) for path in search_path().split(":") if os.path.isdir(path)]
    return ", ".join(dict.fromkeys(there)) or "no directory"


def environment() -> Dict[str, str]:
    """Ours, but with that PATH, and in the C locale, so that what programs say can be read."""
    return {**os.environ, "LC_ALL": "C", "PATH": search_path()}


# ---- what they print ----


def _decoded(output: bytes) -> str:
    return output.decode("utf-8", "surrogateescape")


def in_one_line(text: str) -> str:
    """``text`` with a blank for every line break."""
    return " ".join(text.split())
