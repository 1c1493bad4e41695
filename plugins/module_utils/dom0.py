# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this is a Xen host."""

from __future__ import annotations

from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError

HYPERVISOR_TYPE = "/sys/hypervisor/type"
CAPABILITIES = "/proc/xen/capabilities"


def is_dom0() -> bool:
    """Whether this is the host of a Xen system: booted under Xen, as its control domain."""
    return _text_of(HYPERVISOR_TYPE).strip() == "xen" and "control_d" in _text_of(CAPABILITIES)


def require_dom0() -> None:
    """Raise XenError unless L(is_dom0)."""
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


def _text_of(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        # Anything else that goes wrong must not make the guests' disks look unused.
        return ""
