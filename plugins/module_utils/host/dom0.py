# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this is a Xen host, where it has its hotplug scripts, and how its programs are run."""

from __future__ import annotations

import subprocess
from typing import Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.host.programs import Completed, errors_as

HYPERVISOR_TYPE = "/sys/hypervisor/type"
CAPABILITIES = "/proc/xen/capabilities"


def is_dom0() -> bool:
    """Whether this is the host of a Xen system: booted under Xen, as its control domain."""
    return _text_of(HYPERVISOR_TYPE).strip() == "xen" and "control_d" in _text_of(CAPABILITIES)


def require_dom0() -> None:
    """Raise XenError unless ``is_dom0``."""
    if is_dom0():
        return
    if _text_of(HYPERVISOR_TYPE).strip() == "xen":
        raise XenError(
            f"not a Xen host: {CAPABILITIES} does not say control_d, so this is a guest of Xen, or "
            "xenfs is not mounted (`mount -t xenfs xenfs /proc/xen`); run this on dom0"
        )
    raise XenError(
        f"not a Xen host: {HYPERVISOR_TYPE} does not say xen; run this on dom0, booted under Xen"
    )


def run(argv: Sequence[str], timeout: float) -> Completed:
    """Run a program of Xen, see programs.run. Raises XenError."""
    with errors_as(XenError):
        return programs.run(argv, timeout)


def start(
    argv: Sequence[str], stdin: programs.Stream = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a program of Xen, see programs.start. Raises XenError."""
    with errors_as(XenError):
        return programs.start(argv, stdin=stdin)


def finish(process: subprocess.Popen[bytes], timeout: float) -> Completed:
    """Wait for a program of Xen to end, see programs.finish. Raises XenError."""
    with errors_as(XenError):
        return programs.finish(process, timeout)


def _text_of(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        # Anything else that goes wrong must not make the guests' disks look unused.
        return ""
