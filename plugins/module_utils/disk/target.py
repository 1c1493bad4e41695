# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the target of a disk may be: one judgement for the plan and for all modules.

C(xl) takes any text for a target. What it cannot open shows when the guest starts: libxl looks
for the target before (C(libxl__device_disk_set_backend)), from the directory in which xl was
started. It does not look where a hotplug script, another domain or QEMU makes sense of the text.
"""

from __future__ import annotations

import re
from typing import Any, Mapping, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.disk import hints as disk_hints
from ansible_collections.xen.blockdev.plugins.module_utils.disk import spec as disk_spec
from ansible_collections.xen.blockdev.plugins.module_utils.disk.options import OPTIONS
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

_PROTOCOL = re.compile(
    r"(?:json|rbd|iscsi|iser|nfs|ssh|https?|ftps?|tftp|vxhs|fat|host_cdrom|host_device|"
    r"null-aio|null-co|(?:nbd|sheepdog|gluster)(?:\+[a-z]+)?):"
)
"""What QEMU opens by other means than a path: the protocols of its block layer (qemu(1))."""

_PARAMETER = re.compile(rf",[ \t]*((?:{'|'.join(OPTIONS)})=)")

_FOR_QEMU = "is for QEMU: write backendtype: qdisk, or the script that makes a device of it"
_LIKE_A_VOLUME = re.compile(r"[A-Za-z0-9_.+-]+/[A-Za-z0-9_.+-]+")


class DiskTargetError(BlockdevError):
    """A target that nothing can open, or a backend that is none."""


def check(disk: Mapping[str, Any]) -> None:
    """Raise DiskTargetError unless the target of a disk can be opened, as far as its text tells.

    C(disk): options as in disk_options; one that is None is as one that is left out.
    """
    if disk.get("backend") is not None:
        check_backend(disk["backend"])
    target = disk.get("target")
    if target is None or is_left_to_others(disk):
        return
    problem = _problem(str(target))
    if problem:
        raise DiskTargetError(f"target: {target!r:.200} {problem}")


def check_backend(backend: object) -> None:
    """Raise DiskTargetError for what is no name of a domain but what serves the disk there."""
    if backend in OPTIONS["backendtype"].choices:
        raise DiskTargetError(
            f"backend is the domain that serves the disk, and {backend!r} is a backendtype: write "
            f"backendtype: {backend}"
        )


def is_left_to_others(disk: Mapping[str, Any]) -> bool:
    """Whether only a hotplug script, or the domain that serves the disk, knows what the target
    is, or QEMU by one of its protocols."""
    by_protocol = disk.get("backendtype") == "qdisk" and _PROTOCOL.match(str(disk.get("target")))
    return bool(disk.get("script") or disk_spec.backend_of(disk) or by_protocol)


def _problem(target: str) -> Optional[str]:
    if target.startswith("/"):
        swallowed = _PARAMETER.search(target)
        return swallowed and (
            f"has {swallowed[1]} in it: all that follows target= is the target; put target= last"
        )
    try:
        meant = disk_spec.without_prefixes(target)
    except disk_spec.DiskSpecError as error:
        return _FOR_QEMU if _PROTOCOL.match(target) else f"is no path: {error}"
    if meant["target"] == target:
        return _problem_of_relative(target)
    return f"has a prefix, which xl reads in a positional string only: {_instead(target, meant)}"


def _problem_of_relative(target: str) -> str:
    if _PROTOCOL.match(target):
        return _FOR_QEMU
    if target.startswith(("'", '"')):
        return "begins with a quote, which is part of it: write the path without quotes"
    unknown = disk_hints.of_unknown_prefix(target)
    if unknown:
        return f"is no path: {unknown}"
    volume = f"/dev/{target}" if _LIKE_A_VOLUME.fullmatch(target) else "/dev/vg0/web"
    return (
        f"is not absolute: write it from / on, such as {volume} for a volume; xl would look for it "
        "in the directory in which it is started"
    )


def _instead(target: str, meant: Mapping[str, object]) -> str:
    """What to write in place of a target with prefixes."""
    path = str(meant["target"])
    # xm looked for such a name in /dev.
    if target.startswith("phy:") and not path.startswith("/"):
        path = f"/dev/{path}"
    words = [f"{key}: {meant[key]}" for key in ("format", "script") if key in meant]
    by_qemu = " (or backendtype: qdisk and the target as it is)" if _PROTOCOL.match(target) else ""
    return " and ".join(["write target: " + path, *words]) + by_qemu
