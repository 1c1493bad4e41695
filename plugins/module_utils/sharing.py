# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may have a disk beside whom, so that no two users write to the same data.

Xen's own hotplug script has such rules, but they do not hold: it lets one domain have a device
twice, and it compares the device numbers of image files wrongly (hexadecimal with decimal).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Iterable, Iterator

from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.usage import SAVED_REMEDY, Usage, User
from ansible_collections.xen.blockdev.plugins.module_utils.vbd_target import Storage
from ansible_collections.xen.blockdev.plugins.module_utils.xen import Vbd

DOM0_USES = ("mount", "swap", "holder")
"""Uses by dom0 (see usage.User) beside which a guest must not have the same disk."""

LOCK = "vbds"
"""The lock (see locks.exclusive) that is held from the look at who has what until a new disk or
domain shows in xenstore, so that no other run comes between."""

LOCK_SECONDS = 600
"""How long another run may take for that before it is an error to wait for it."""


@dataclass(frozen=True)
class Claim:
    """A disk that a domain has, or is to have, for the question who else may have it."""

    domain: str
    """The domain's name."""
    vdev: str
    target: str
    access: str
    """C(ro) or C(rw)."""
    storage: Storage
    planned: bool = False
    """Whether the domain is still to get it, by another item of the same call."""

    @classmethod
    def of_vbd(cls, vbd: Vbd, storage: Storage, planned: bool = False) -> Claim:
        """What the domain of C(vbd) has by it; C(storage) is what lies behind its target."""
        return cls(vbd.domain, vbd.vdev, vbd.target, vbd.access, storage, planned)


def refuse_sharing(wanted: Claim, others: Iterable[Claim], hint: str) -> None:
    """Raise XenError where one of the C(others) is for the same data, unless both only read it.

    C(hint): what the error tells to do.
    """
    for other in others:
        if not other.storage.overlaps(wanted.storage) or other.access == wanted.access == "ro":
            continue
        is_same = other.target == wanted.target
        it = "it" if is_same else f"it shares data with {other.target}, which"
        is_attached = "is to be attached" if other.planned else "is attached"
        raise XenError(
            f"{it} {is_attached} to domain {other.domain} as {other.vdev} ({other.access}); {hint}"
        )


def refuse_use_by_dom0(wanted: Claim, usage: Usage) -> None:
    """Raise XenError where dom0 itself uses what is behind the target, or keeps it for a domain
    that is saved."""
    users = [user for rdev in wanted.storage.devices for user in _users(rdev, usage)]
    if wanted.storage.file and wanted.storage.rdev is None:
        users += usage.of_file(os.stat(wanted.target))
    for user in users:
        if user.kind in DOM0_USES:
            raise XenError(f"it is {user.sentence} in dom0; end that first")
        if user.kind == "saved" and not (user.read_only and wanted.access == "ro"):
            raise XenError(f"it is {user.sentence}; {SAVED_REMEDY}")
    if any(map(usage.is_claimed, wanted.storage.devices)):
        raise XenError(
            "dom0 keeps it for something that shows nowhere else, such as a file system on several "
            "devices or an iSCSI target; end that first"
        )


def _users(rdev: int, usage: Usage) -> Iterator[User]:
    """The users of a block device, and of loop devices over it or over its partitions."""
    for user in usage.of_device(rdev, processes=False):
        yield user
        if user.kind == "loop" and user.rdev is not None:
            yield from _users(user.rdev, usage)
