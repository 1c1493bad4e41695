# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which uses of the same data are possible at the same time.

Two users of one disk have a cache each. So a user that writes excludes all others, and those that
only read exclude no one but writers. rules.py refuses by these rules what a module is to do; the
audit finds by them what is there already.
"""

from __future__ import annotations

CLAIM = "claim"
"""The kind of a use that shows only in that the device is opened exclusively."""

CLAIMED_FOR = "exclusively (O_EXCL), e.g. for btrfs, ZFS or an iSCSI target"
"""For a message."""

DOM0_USES = ("mount", "swap", "holder", CLAIM)
"""The kinds of uses by dom0 (see usage.User) that keep a guest from having the same disk."""


def can_write(access: str) -> bool:
    """Whether a guest with this access (``ro`` or ``rw``) writes to a disk."""
    return access != "ro"


def exclude_each_other(writes: bool, others_write: bool) -> bool:
    """Whether two guests must not have the same data; each writes to it or only reads."""
    return writes or others_write


def process_excludes(for_writing: bool, has_lost_disk: bool, guest_writes: bool) -> bool:
    """Whether a process of dom0 that has the data open keeps a guest from having it.

    ``has_lost_disk``: whether it is the QEMU of a domain that no longer has the disk: it may still
    read for its guest. Any other process that reads, such as a backup, does no harm; one that
    writes harms a guest that only reads no more than any change of the data does.
    """
    if has_lost_disk:
        return for_writing or guest_writes
    return for_writing and guest_writes
