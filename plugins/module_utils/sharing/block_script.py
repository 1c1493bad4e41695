# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop devices of Xen's own script, ``/etc/xen/scripts/block``.

If the target of a disk is a regular file, the script binds a loop device when the disk is attached,
and unbinds it when the disk is detached, which also happens when the guest shuts down or reboots.
That device cannot be kept, and a second one would be a second cache of the file.
"""

from __future__ import annotations

import os
from typing import Collection, Dict, Iterable

from ansible_collections.xen.blockdev.plugins.module_utils.host import locks
from ansible_collections.xen.blockdev.plugins.module_utils.host.block_device import LOOP_MAJOR
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding, File
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import unbinding
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Vbd


def devices(vbds: Iterable[Vbd]) -> Dict[int, Vbd]:
    """The loop devices that the script unbinds when their disk is detached, by number (st_rdev),
    and the disk of each. ``vbds``: the disks of the running domains."""
    return {
        os.makedev(*vbd.physical_device): vbd
        for vbd in vbds
        if vbd.physical_device
        and vbd.physical_device[0] == LOOP_MAJOR
        and vbd.backend_domid == 0
        and vbd.script == locks.XL_SCRIPT
        # Its ``remove`` checks again whether the target is a regular file (``truetype``).
        and os.path.isfile(vbd.target)
    }


def has(file: File, bindings: Iterable[Binding], scripts: Dict[int, Vbd]) -> bool:
    """Whether the file is bound, and only by the script. ``scripts``: see devices."""
    bound = [binding.rdev for binding in bindings if binding.file == file]
    return bool(bound) and all(rdev in scripts for rdev in bound)


def release(files: Collection[File], before: Iterable[Binding]) -> None:
    """Unbind the devices that a script had bound to ``files`` when libxl killed it, as nothing else
    will unbind them.

    ``before``: the bindings before the script was started. Raises BlockdevError if one is in use.
    """
    if not files:
        return
    known = {(binding.number, binding.file) for binding in before}
    # The script holds this lock until it has written to xenstore which device it has bound.
    with locks.loop_devices():
        used = {
            os.makedev(*vbd.physical_device)
            for vbd in xen_state.attached_devices()
            if vbd.physical_device
        }
        for binding in loop_binding.scan():
            is_new = binding.file in files and (binding.number, binding.file) not in known
            if is_new and binding.rdev not in used:
                unbinding.unbind(binding.backing_file, binding)
