# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attaching disks to running domains, and taking them away."""

from __future__ import annotations

import os
from functools import partial
from typing import Callable, ContextManager, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import (
    PartlyDoneError,
    State,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host import locks
from ansible_collections.xen.blockdev.plugins.module_utils.resources import vbd_attach_disk
from ansible_collections.xen.blockdev.plugins.module_utils.resources.vbd_attach_disk import (
    Attached,
    AttachedDisk,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.vbd_attach_item import VbdItem
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import block_script
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import rules as sharing_rules
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.rules import LOCK_SECONDS
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.storage import Storage
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import join
from ansible_collections.xen.blockdev.plugins.module_utils.xen import blkback, xl
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Domain, Vbd


def attach_patiently(
    attach: Callable[[], None], storage: Storage, before: Attached
) -> Sequence[str]:
    """Attach a disk, again if the host was too slow, and return warnings. ``storage``: the disk's;
    ``before``: what was attached before."""
    files = {storage.file} if storage.file else set()
    return xl.patiently(attach, partial(block_script.release, files, before.bindings))


def take_away(item: VbdItem, domain: Domain, disk: AttachedDisk, left: State, gone: State) -> None:
    """Detach the disk that was planned, but not one that another run has attached there since.

    Raises PartlyDoneError with the state ``left`` if the guest was asked, but keeps the disk, and
    with ``gone`` if the disk left xenstore, but what served it keeps it open.
    """
    planned = disk.vbd
    now = xen_state.read_slot(domain, planned.xenstore_key)
    if now is None:
        return
    if (now.target, now.physical_device) != (planned.target, planned.physical_device):
        raise XenError(f"slot {planned.vdev} now holds {now.target}; run again")
    if domain.is_hvm:
        Attached.now().refuse_detach(now)
    try:
        xl.detach(domain, planned.xenstore_key, item.timeout, item.force)
    except XenError as error:
        after = xen_state.read_slot(domain, planned.xenstore_key)
        if not now.online or after is None or after.online:
            raise
        asked = f"ask domain {domain.name} to release {planned.target} ({planned.vdev})"
        raise PartlyDoneError(str(error), left, asked) from None
    if now.backend_domid == 0:
        try:
            _refuse_kept_open(domain, disk)
        except XenError as error:
            raise PartlyDoneError(str(error), gone, detach_sentence(domain, planned)) from None


def _refuse_kept_open(domain: Domain, disk: AttachedDisk) -> None:
    """Wait until what served a detached disk has closed it, so that others may have it. Raises
    XenError if it does not."""
    slot, keeps = disk.slot, ""
    device = disk.vbd.physical_device
    if blkback.wait_for_closed(lambda served: served == slot) or (
        device and blkback.wait_for_writes([os.makedev(*device)])
    ):
        keeps = "served by the kernel, as the guest's last requests have not ended"
    elif domain.is_hvm or disk.vbd.backendtype == "qdisk":
        keeps = join(blkback.wait_for_none(lambda: Attached.now().left_open(disk)))
    if keeps:
        raise XenError(
            f"xenstore no longer has it, but it is still {keeps}: give it to nobody else before "
            "that domain is shut down"
        )


def put_back(domain: Domain, old: AttachedDisk) -> Tuple[bool, str]:
    """Attach the replaced disk again, unless another domain has taken it since. Returns whether it
    is attached, and the outcome for an error message."""
    vbd = old.vbd
    if vbd.flaw:
        return False, f"was not put back: it {vbd.flaw}"
    if vbd.backend_domid != 0:
        return False, "was not put back: it is served by another domain"
    try:
        with locks.exclusive(sharing_rules.LOCK, LOCK_SECONDS):
            now = Attached.now()
            now.refuse(old, now.disks.values())
            attach = partial(xl.attach, domain, vbd.xenstore_key, vbd_attach_disk.spec_of(vbd))
            warnings = attach_patiently(attach, old.storage, now)
    except (BlockdevError, OSError) as error:
        return False, f"could not be put back as {vbd.vdev}: {error}"
    return True, "; ".join(["was put back", *warnings])


def detach_sentence(domain: Domain, vbd: Vbd) -> str:
    """What is done, as the sentence of an action."""
    return f"detach {vbd.target} ({vbd.vdev}) from domain {domain.name}"


def domain_lock(domain: Domain) -> ContextManager[None]:
    """Keeps other runs from attaching and detaching disks of the domain."""
    return locks.exclusive(f"domain-{domain.domid}", LOCK_SECONDS)
