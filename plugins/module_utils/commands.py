# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a host's programs: xl, xenstore-ls, systemctl."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.xenstore import XenError

SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where xl is. A login without a login shell may leave it out of PATH."""


@dataclass(frozen=True)
class Completed:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str


def run(argv: Sequence[str], timeout: float) -> Completed:
    """Run a command to its end, without a shell, in the C locale.

    C(timeout): seconds, after which it is killed. Raises XenError then, and where it cannot start.
    """
    with start(argv) as process:
        return finish(process, timeout)


def start(argv: Sequence[str], stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Start a command as L(run) does; L(finish) waits for it. C(stdin): as Popen takes it. Raises
    XenError."""
    path = f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PATH}"
    try:
        return subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C", "PATH": path},
        )
    except FileNotFoundError:
        raise XenError(
            f"{argv[0]} is not installed (looked in {path}); install Xen's tools (xen-utils)"
        ) from None
    except (OSError, ValueError) as error:
        raise XenError(f"cannot run `{' '.join(argv)}`: {error}") from None


def finish(process: subprocess.Popen[bytes], timeout: float) -> Completed:
    """Wait for a command to end. C(timeout): seconds, after which it is killed (XenError)."""
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        command = " ".join(map(str, process.args))  # type: ignore[arg-type]
        raise XenError(f"`{command}` did not end within {timeout:g} s and was killed") from None
    return Completed(process.returncode, _decoded(stdout), _decoded(stderr))


def _decoded(output: bytes) -> str:
    return output.decode("utf-8", "surrogateescape")


def in_one_line(text: str) -> str:
    """C(text) with a blank for every line break."""
    return " ".join(text.split())
