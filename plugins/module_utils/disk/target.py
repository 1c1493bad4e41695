# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the target of a disk may be: one rule for the plan and for all modules.

xl accepts any text as a target. A target that does not exist is an error only when the guest
starts: libxl looks for it then (``libxl__device_disk_set_backend``), from the directory in which xl
was started. It does not look if a hotplug script, another domain or QEMU interprets the text.
"""

from __future__ import annotations

import re
from typing import Optional

from ansible_collections.xen.blockdev.plugins.module_utils.disk import hints as disk_hints
from ansible_collections.xen.blockdev.plugins.module_utils.disk.options import (
    KEYS,
    OPTIONS,
    xl_name,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import (
    DiskSpec,
    without_prefixes,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk.values import DiskSpecError
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

_PROTOCOL = re.compile(
    r"(?:json|rbd|iscsi|iser|nfs|ssh|https?|ftps?|tftp|vxhs|fat|host_cdrom|host_device|"
    r"null-aio|null-co|(?:nbd|sheepdog|gluster)(?:\+[a-z]+)?):"
)
"""What QEMU opens by other means than a path: the protocols of its block layer (qemu(1))."""

_PARAMETER = re.compile(rf",[ \t]*((?:{'|'.join(map(xl_name, KEYS))})=)")

_FOR_QEMU = "is for QEMU: write backendtype: qdisk, or the script that makes a device of it"
_LIKE_A_VOLUME = re.compile(r"[A-Za-z0-9_.+-]+/[A-Za-z0-9_.+-]+")


class DiskTargetError(BlockdevError):
    """A target that nothing can open, or a backend that is not a domain."""


def check(spec: DiskSpec) -> None:
    """Raise DiskTargetError if the text of the target cannot be right, or that of the backend."""
    if spec.backend is not None:
        check_backend(spec.backend)
    if spec.target is None or is_left_to_others(spec):
        return
    problem = _problem(spec.target)
    if problem:
        raise DiskTargetError(f"target: {spec.target!r:.200} {problem}")


def check_backend(backend: object) -> None:
    """Raise DiskTargetError if ``backend`` is not a domain but a ``backendtype``."""
    if backend in OPTIONS["backendtype"].choices:
        raise DiskTargetError(
            f"backend is the domain that serves the disk, and {backend!r} is a backendtype: write "
            f"backendtype: {backend}"
        )


def is_left_to_others(spec: DiskSpec) -> bool:
    """Whether only a hotplug script, the domain that serves the disk, or QEMU by one of its
    protocols can interpret the target."""
    by_protocol = spec.backendtype == "qdisk" and _PROTOCOL.match(str(spec.target))
    return bool(spec.script or spec.backend_domain or by_protocol)


def _problem(target: str) -> Optional[str]:
    if target.startswith("/"):
        swallowed = _PARAMETER.search(target)
        return swallowed and (
            f"has {swallowed[1]} in it: everything after target= is the target; put target= last"
        )
    try:
        meant = without_prefixes(target)
    except DiskSpecError as error:
        return _FOR_QEMU if _PROTOCOL.match(target) else f"is not a path: {error}"
    if meant.target == target:
        return _problem_of_relative(target)
    return f"has a prefix, which xl reads only in a positional string: {_instead(target, meant)}"


def _problem_of_relative(target: str) -> str:
    if _PROTOCOL.match(target):
        return _FOR_QEMU
    if target.startswith(("'", '"')):
        return "begins with a quote, which xl takes as part of it: write the path without quotes"
    unknown = disk_hints.of_unknown_prefix(target)
    if unknown:
        return f"is not a path: {unknown}"
    volume = f"/dev/{target}" if _LIKE_A_VOLUME.fullmatch(target) else "/dev/vg0/web"
    return (
        f"is not absolute: use a full path, such as {volume} for a volume; xl would look for it in "
        "the directory in which it is started"
    )


def _instead(target: str, meant: DiskSpec) -> str:
    """What to write in place of a target with prefixes."""
    path = str(meant.target)
    # xm looked for such a name in /dev.
    if target.startswith("phy:") and not path.startswith("/"):
        path = f"/dev/{path}"
    said = {"format": meant.format, "script": meant.script}
    words = [f"{key}: {value}" for key, value in said.items() if value]
    by_qemu = " (or backendtype: qdisk and the target as it is)" if _PROTOCOL.match(target) else ""
    return " and ".join(["write target: " + path, *words]) + by_qemu
