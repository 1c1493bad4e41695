# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a host's programs: xl, systemctl, udevadm."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.programs import (
    environment,
    search_path,
)


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
    try:
        return subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
    except FileNotFoundError:
        raise XenError(_not_installed(argv[0])) from None
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


def _not_installed(name: str) -> str:
    hint = "; install Xen's tools (xen-utils)" if name == "xl" else ""
    return f"{name} is not installed (looked in {search_path()}){hint}"


def _decoded(output: bytes) -> str:
    return output.decode("utf-8", "surrogateescape")


def in_one_line(text: str) -> str:
    """C(text) with a blank for every line break."""
    return " ".join(text.split())
