# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Debian packages that the tests need, beside git, make, ca-certificates, python3 with venv."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

NEEDED = [
    "dmsetup",
    "dosfstools",
    "e2fsprogs",
    "kmod",
    "mmdebstrap",
    "mount",
    "mtools",
    "openssh-client",
    "procps",
    "qemu-system-x86",
    "qemu-utils",
    "systemd",
    "udev",
    "xfsprogs",
    "xorriso",
    "xz-utils",
    "zstd",
]
ONLY_FOR_ALL = ["chromium"]
"""What only C(test-all) needs: it is large."""

XL_PARSER = {"bookworm": "libxenmisc4.17", "trixie": "libxenmisc4.20"}
"""Debian's release to its package with libxlutil, with which our parsers are compared."""

OS_RELEASE = Path("/etc/os-release")


def install(*, for_all: bool) -> bool:
    """Install what is missing, where that can be done; otherwise say what is.

    Whether this machine can run every test from then on.
    """
    wanted, are_all = _wanted([*NEEDED, *ONLY_FOR_ALL] if for_all else NEEDED)
    missing = [name for name in wanted if not _is_installed(name)]
    if os.geteuid() != 0:
        if missing:
            print(
                f"not installed: {', '.join(missing)}. What needs them is skipped. "
                f"As root: apt-get install --no-install-recommends {' '.join(missing)}",
                flush=True,
            )
        return False
    if missing:
        _install(missing)
    return are_all


def _install(missing: list[str]) -> None:
    print(f"Installing {', '.join(missing)}", flush=True)
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    quiet = ["apt-get", "-qq", "--option", "Dpkg::Use-Pty=0"]
    subprocess.run([*quiet, "update"], check=True, env=environ)
    command = [*quiet, "install", "--yes", "--no-install-recommends", *missing]
    subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL)


def _wanted(needed: list[str]) -> tuple[list[str], bool]:
    """Those that this machine's system has, by their names there, and whether these are all."""
    system = _system()
    if system.get("ID") != "debian":
        print(f"This is {system.get('NAME', 'no Debian')}: no packages are installed.", flush=True)
        return [], False
    parser = XL_PARSER.get(system.get("VERSION_CODENAME", ""))
    return ([*needed, parser], True) if parser else (needed, False)


def _system() -> dict[str, str]:
    """What os-release(5) says."""
    if not OS_RELEASE.exists():
        return {}
    words = shlex.split(OS_RELEASE.read_text(), comments=True)
    return dict(word.split("=", 1) for word in words if "=" in word)


def _is_installed(package: str) -> bool:
    shown = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return shown.stdout == "installed"
