# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The users of a raw image that prevent shrinking, deleting or copying it."""

from __future__ import annotations

from typing import List, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.image.path import Image
from ansible_collections.xen.blockdev.plugins.module_utils.image.source import Source
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk_item import (
    RawDiskItem,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import (
    SAVED_REMEDY,
    Usage,
    User,
    emptied,
    join,
)

REMEDIES = {
    "loop": "unbind it first (xen_loopdev with state: absent)",
    "vbd": "detach it first (xen_vbd_attach with state: absent)",
    "saved": SAVED_REMEDY,
    "swap": "stop using it as swap first (swapoff)",
    "config": "remove the disk from that config first",
    "process": "close it first",
}
"""By the kind of a user."""


class ImageUsers:
    """Refuses changes of images that are in use."""

    def __init__(self, usage: Usage, pending: Pending) -> None:
        """``pending``: what earlier tasks would have detached or unbound but for check mode."""
        self._usage = usage
        self._pending = pending
        self._emptied = emptied(pending)

    def refuse_shrinking(self, image: Image) -> None:
        """Raise ImageError if the image has users. A loop device of ours stays after a detach."""
        users = self._usage.of_file(image.status, path=image.file)
        self._refuse(f"shrink {image.path}", users)

    def refuse_deletion(self, item: RawDiskItem, image: Image) -> None:
        """Raise ImageError if the image has users, or configs name it (``named_in``)."""
        users = self._usage.of_file(
            image.status, lambda user: self._will_be_gone(item, user), image.file
        )
        naming = self._usage.naming(image.file, item.named_in)
        self._refuse(f"delete {image.path}", [*naming, *users])

    def warnings_of_copy(self, source: Source) -> List[str]:
        """What the user should know of copying an image or block device in use."""
        if source.is_device:
            users = self._usage.of_device(source.status.st_rdev)
        else:
            users = self._usage.of_file(source.status, path=source.path)
        if not users:
            return []
        return [
            f"{source.path} is in use ({join(users)}): data that is written to it during the copy "
            "may be missing or incomplete in the copy"
        ]

    def _refuse(self, what: str, users: Sequence[User]) -> None:
        if not users:
            return
        # The guest of a bound image comes first, because it matters most.
        rdevs = [user.rdev for user in users if user.rdev is not None]
        guests = [vbd for rdev in rdevs for vbd in self._usage.attachments(rdev)]
        shown = [*guests, *users]
        remedies = dict.fromkeys(REMEDIES.get(user.kind, "release it first") for user in shown)
        raise ImageError(f"cannot {what}: {join(shown)}; {', '.join(remedies)}")

    def _will_be_gone(self, item: RawDiskItem, user: User) -> bool:
        """Whether an earlier task would have removed this user but for check mode."""
        if user.kind != "loop" or user.rdev is None:
            return self._is_detached(user)
        if item.path in self._pending.unbound:
            return True
        # xl's hotplug script unbinds what it has bound when the disk is detached.
        attached = self._usage.attachments(user.rdev)
        return bool(attached) and all(map(self._is_detached, attached))

    def _is_detached(self, vbd: User) -> bool:
        return (vbd.domain, vbd.xenstore_key) in self._emptied
