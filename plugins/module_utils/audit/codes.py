# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All codes of findings. The guide to the audit has a section for each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Dict, Optional, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import (
    ERROR,
    NOTE,
    WARNING,
    AuditFinding,
    FindingPlace,
)

DATA, RESTART, SPACE, LEFT, RULES, READING = (
    "data in danger",
    "will not come back",
    "will stop",
    "left over",
    "against the rules",
    "not judged",
)
GROUPS = (DATA, RESTART, SPACE, LEFT, RULES, READING)
"""In the order in which a report has them."""


@dataclass(frozen=True)
class FindingCode:
    """A kind of finding."""

    name: str
    group: str
    severity: str
    title: str
    """In some words."""
    leads_to: str
    """What will happen, a sentence without its full stop."""
    layer: Optional[str] = None
    """See AuditFinding.layer."""


_ALL = (
    # ---- data in danger ----
    FindingCode(
        "two-writers",
        DATA,
        ERROR,
        "two guests have one disk, and one of them writes to it",
        "each guest has a cache of its own, so the data is destroyed",
        "storage",
    ),
    FindingCode(
        "held-by-another",
        DATA,
        ERROR,
        "a config has a disk that another guest holds",
        "if the domain starts, two guests have the disk, and the data is destroyed",
        "storage",
    ),
    FindingCode(
        "two-at-start",
        DATA,
        ERROR,
        "two that start together have one disk, and one writes to it",
        "when they start, the data is destroyed",
        "storage",
    ),
    FindingCode(
        "two-configs",
        DATA,
        WARNING,
        "the configs of two domains have one disk, and one writes to it",
        "if both run at the same time, the data is destroyed",
        "storage",
    ),
    FindingCode(
        "used-in-dom0",
        DATA,
        ERROR,
        "dom0 itself uses a disk of a guest",
        "dom0 and the guest change the data without knowing of each other, and destroy it",
        "storage",
    ),
    FindingCode(
        "used-while-off",
        DATA,
        WARNING,
        "dom0 uses the disk of a domain that does not run",
        "if the domain starts before dom0 has released the disk, the data is destroyed",
        "storage",
    ),
    FindingCode(
        "written-in-dom0",
        DATA,
        WARNING,
        "a process in dom0 can write to a disk that a guest only reads",
        "the data may change while the guest reads it",
        "storage",
    ),
    FindingCode(
        "image-deleted",
        DATA,
        ERROR,
        "an image was deleted while it is in use",
        "the data is lost as soon as nothing has the image open, at the latest at the next boot",
        "storage",
    ),
    FindingCode(
        "image-replaced",
        DATA,
        ERROR,
        "the path of an image leads to another file, or to none",
        "the guest writes to a file that no path leads to, and loses it when it restarts",
        "storage",
    ),
    FindingCode(
        "looks-not-raw",
        DATA,
        ERROR,
        "a config has an image as raw that looks like another format",
        "the guest sees the image's header in place of its disk, and overwrites it",
        "storage",
    ),
    FindingCode(
        "two-loop-devices",
        DATA,
        ERROR,
        "two loop devices are bound to one image",
        "each device has a cache of its own, and does not see what the other one writes",
        "binding",
    ),
    FindingCode(
        "shrunk",
        DATA,
        ERROR,
        "a disk is smaller than its guest sees it",
        "the guest gets I/O errors behind the end of the data",
        "guest",
    ),
    # ---- will not come back ----
    FindingCode(
        "loop-by-number",
        RESTART,
        ERROR,
        "a config has a loop device by its number",
        "after the next boot, the number may be that of another guest's image, or of none",
        "slot",
    ),
    FindingCode(
        "target-missing",
        RESTART,
        ERROR,
        "the target of a disk leads nowhere",
        "the domain cannot start",
        "storage",
    ),
    FindingCode(
        "target-missing-while-off",
        RESTART,
        WARNING,
        "the target of a disk leads nowhere, and its domain is off",
        "the domain cannot start unless somebody puts the target there first",
        "storage",
    ),
    FindingCode(
        "not-of-its-format",
        RESTART,
        ERROR,
        "an image does not look like the format in the config",
        "QEMU cannot open it, and the domain cannot start",
        "storage",
    ),
    FindingCode(
        "saved-disk-changed",
        RESTART,
        ERROR,
        "a disk of a saved domain was changed since",
        "the domain comes back with an old memory of its file systems, and destroys them",
        "storage",
    ),
    FindingCode(
        "saved-and-running",
        RESTART,
        ERROR,
        "a domain runs, and is saved as well",
        "at the next boot xendomains restores the old state, on disks that have changed since: the "
        "file systems on them break",
    ),
    FindingCode(
        "not-in-config",
        RESTART,
        WARNING,
        "a disk is attached, but in no config of its domain",
        "the guest loses the disk when it restarts",
        "slot",
    ),
    FindingCode(
        "no-config",
        RESTART,
        WARNING,
        "a domain runs, but no config has its name",
        "once it has ended, nothing starts it again",
    ),
    FindingCode(
        "differs-from-config",
        RESTART,
        WARNING,
        "a guest has another disk in a slot than its config",
        "the guest finds another disk in the slot when it restarts",
        "slot",
    ),
    FindingCode(
        "not-attached",
        RESTART,
        NOTE,
        "a running guest does not have a disk of its config",
        "the guest gets the disk when it restarts, and not before",
        "guest",
    ),
    FindingCode(
        "no-boot-unit",
        RESTART,
        WARNING,
        "nothing binds an image when the host boots",
        "after the next boot the loop device is missing, and the domain cannot start",
        "binding",
    ),
    FindingCode(
        "autostart-broken",
        RESTART,
        WARNING,
        "an entry of the autostart directory starts nothing",
        "xendomains does not start the domain when the host boots",
    ),
    # ---- will stop ----
    FindingCode(
        "overcommitted",
        SPACE,
        WARNING,
        "a file system or thin pool has promised more than it has",
        "a guest that fills its disk gets I/O errors in the middle of its work",
    ),
    FindingCode(
        "nearly-full",
        SPACE,
        ERROR,
        "a file system or thin pool has promised more than it has, and is nearly full",
        "guests get I/O errors soon, as soon as they write where they have not written before",
    ),
    FindingCode(
        "metadata-nearly-full",
        SPACE,
        ERROR,
        "the metadata of a thin pool is nearly full",
        "when it is full, no guest can write to a volume of the pool, which needs a repair then",
    ),
    FindingCode(
        "old-size",
        SPACE,
        WARNING,
        "a guest still sees the old size of a disk",
        "the guest cannot use what the disk has grown by",
        "guest",
    ),
    FindingCode(
        "occupied-slot",
        SPACE,
        WARNING,
        "a vbd only occupies its slot",
        "the guest cannot get another disk in the slot",
        "guest",
    ),
    # ---- left over ----
    FindingCode(
        "leftover-image",
        LEFT,
        NOTE,
        "an image belongs to no domain",
        "it takes space that nothing uses",
    ),
    FindingCode(
        "leftover-volume",
        LEFT,
        NOTE,
        "a logical volume belongs to no domain",
        "it takes space that nothing uses",
    ),
    FindingCode(
        "leftover-loop-device",
        LEFT,
        NOTE,
        "a loop device belongs to no domain",
        "its file system cannot be unmounted, and an image that is deleted keeps its space",
    ),
    FindingCode(
        "leftover-save",
        LEFT,
        NOTE,
        "a save file is of a domain that has no config",
        "xendomains restores the domain when the host boots, or the file takes space for nothing",
    ),
    FindingCode(
        "leftover-boot-unit",
        LEFT,
        WARNING,
        "a boot unit has no image",
        "the unit fails at each boot",
    ),
    FindingCode(
        "leftover-link",
        LEFT,
        NOTE,
        "a link of a loop device leads nowhere, or to another image",
        "a config with the link has no disk, or another one",
    ),
    FindingCode(
        "leftover-vbd",
        LEFT,
        WARNING,
        "the kernel serves a disk that xenstore no longer has",
        "its data is still in use, though nothing shows it",
    ),
    FindingCode(
        "leftover-domain",
        LEFT,
        WARNING,
        "Xen still has a domain that was destroyed",
        "what it wrote last may still come, to a disk that another guest has by then",
    ),
    # ---- against the rules ----
    FindingCode(
        "unfit-disk",
        RULES,
        ERROR,
        "a disk does not fit the type of its guest",
        "the domain does not start, or does not have the disk as its config says",
        "slot",
    ),
    FindingCode(
        "unseen-disk",
        RULES,
        WARNING,
        "a guest will not see a disk as its config says",
        "the guest starts without what the config promises",
        "slot",
    ),
    FindingCode(
        "readable-by-others",
        RULES,
        WARNING,
        "every user of the host can read a guest's disk",
        "a user or a service of the host that is taken over reads the guest's data",
        "storage",
    ),
    FindingCode(
        "slot-moved",
        RULES,
        WARNING,
        "a disk is in another slot than in xen_domains",
        "provision refuses to move it, or the guest finds it elsewhere",
        "slot",
    ),
    # ---- not judged ----
    FindingCode(
        "host-unread",
        READING,
        ERROR,
        "a host could not be read",
        "nothing is known of it, and not who else has the disks of other hosts",
    ),
    FindingCode(
        "unread",
        READING,
        WARNING,
        "a part of a host could not be read",
        "what it would show is not judged",
    ),
    FindingCode(
        "plan-unusable",
        READING,
        WARNING,
        "xen_domains cannot be compared",
        "slots that have moved are not found",
    ),
    FindingCode(
        "cannot-tell",
        READING,
        NOTE,
        "others may reach the data of a disk unnoticed",
        "another user of the data is not found",
        "storage",
    ),
    FindingCode(
        "acceptance-unmet",
        READING,
        NOTE,
        "an accepted finding is not there any more",
        "a finding that comes later would be accepted unseen",
    ),
)

CODES: Dict[str, FindingCode] = {one.name: one for one in _ALL}


def finding(
    code: str,
    place: FindingPlace,
    seen: str,
    remedy: str,
    *,
    others: Sequence[FindingPlace] = (),
    size: Optional[int] = None,
) -> AuditFinding:
    """A finding of this code.

    ``seen``, ``remedy``: see AuditFinding. ``others``: the other places of the same finding.
    ``size``: bytes, see AuditFinding.bytes.
    """
    kind = CODES[code]
    return AuditFinding(
        id=_id_of(code, place),
        code=code,
        severity=kind.severity,
        group=kind.group,
        place=place,
        seen=seen,
        leads_to=kind.leads_to,
        remedy=remedy,
        others=tuple(others),
        layer=kind.layer,
        bytes=size,
    )


def _id_of(code: str, place: FindingPlace) -> str:
    parts = (code, place.host, place.domain, place.slot, place.path)
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()[:12]
