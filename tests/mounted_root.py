# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a command in a chroot as it would run in a system that has booted: / is a mount of its own.

In a chroot it is none, and a mount namespace that a test makes is not like the one outside: nothing
there can be made private, and the kernel shows the files of loop devices by their paths outside of
the chroot.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Sequence

INSIDE = """
place=$1 directory=$2
shift 2
mount --rbind / "$place"
exec chroot "$place" sh -ec 'mount --make-rprivate /; cd "$0"; exec "$@"' "$directory" "$@"
"""


def is_mounted() -> bool:
    """Whether / is a mount, as this process sees it (proc_pid_mountinfo(5))."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split()[4] == "/" for line in mounts)


def run(command: Sequence[str]) -> int:
    """Run a command in this directory, below a / that is a mount; its exit status."""
    place = tempfile.mkdtemp(prefix="xen-blockdev-root.", dir="/run")
    unshare = ["unshare", "--mount", "--propagation", "unchanged"]
    try:
        shell = ["sh", "-euc", INSIDE, "sh", place, str(Path.cwd())]
        return subprocess.run([*unshare, *shell, *command], check=False).returncode
    finally:
        # Where mounts are shared with what is outside of the chroot, it shows here as well.
        umount = ["umount", "--recursive", "--lazy", place]
        subprocess.run(umount, check=False, stderr=subprocess.DEVNULL)
        os.rmdir(place)
