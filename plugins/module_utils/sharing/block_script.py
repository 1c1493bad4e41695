# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop devices of Xen's own script, C(/etc/xen/scripts/block).

For a disk whose target is a regular file, the script binds a loop device when the disk is attached
and unbinds it when the disk goes, as it does at each end and each reboot of the guest. Nobody can
keep that device, and a second one beside it would be a second cache of the file.
"""

from __future__ import annotations

import os
from typing import Collection, Dict, Iterable

from ansible_collections.xen.blockdev.plugins.module_utils.host import locks
from ansible_collections.xen.blockdev.plugins.module_utils.host.block_device import LOOP_MAJOR
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding, File
from ansible_collections.xen.blockdev.plugins.module_utils.resources import loopdev_actions
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Vbd


def devices(vbds: Iterable[Vbd]) -> Dict[int, Vbd]:
    """The loop devices that the script unbinds when a disk goes, by number (st_rdev), and the disk
    of each. C(vbds): the disks of the running domains."""
    return {
        os.makedev(*vbd.physical_device): vbd
        for vbd in vbds
        if vbd.physical_device
        and vbd.physical_device[0] == LOOP_MAJOR
        and vbd.backend_domid == 0
        and vbd.script == locks.XL_SCRIPT
        # Its C(remove) looks again whether the target is a regular file (C(truetype)).
        and os.path.isfile(vbd.target)
    }


def has(file: File, bindings: Iterable[Binding], scripts: Dict[int, Vbd]) -> bool:
    """Whether the file is bound, and by the script alone. C(scripts): see devices."""
    bound = [binding.rdev for binding in bindings if binding.file == file]
    return bool(bound) and all(rdev in scripts for rdev in bound)


def release(files: Collection[File], before: Iterable[Binding]) -> None:
    """Unbind what a script that libxl has ended had bound to C(files), and nobody knows of.

    C(before): the bindings that there were already. Raises BlockdevError where one is in use.
    """
    if not files:
        return
    known = {(binding.number, binding.file) for binding in before}
    # The script holds this lock until xenstore says which device it has bound.
    with locks.loop_devices():
        used = {
            os.makedev(*vbd.physical_device)
            for vbd in xen_state.attached_devices()
            if vbd.physical_device
        }
        for binding in loop_binding.scan():
            is_new = binding.file in files and (binding.number, binding.file) not in known
            if is_new and binding.rdev not in used:
                loopdev_actions.unbind(binding.backing_file, binding)
