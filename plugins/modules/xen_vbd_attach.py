#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: xen_vbd_attach
short_description: Attach disks to running Xen domains, and change their CDs
version_added: 1.0.0
author: xen.blockdev authors (!UNKNOWN)
description:
  - Attaches disks to running domains and detaches them with C(xl), any number of them in one call. The result is read
    from xenstore; the exit status of C(xl) is not trusted.
  - Disks are compared by their data, not by their paths. A block device is identified by its major and minor number, an
    image by its device and inode, whether it is attached as a file or through a loop device. Two paths of one LUN are one
    disk, as are a file on an overlay file system and the file in which that stores it.
  - A disk is refused if another user has its data, even if Xen itself would allow it. Users are another slot of this or
    another domain (unless both are read-only), also with the disk of a partition or of a logical volume; dom0, if the
    disk is mounted, used as swap, part of a device-mapper device or opened exclusively; and domains that C(xendomains)
    has saved.
  - A disk that the domain can write is also refused if it is the backing file of another domain's image, or if a process
    in dom0 has it open for writing. If this cannot be checked, there is a warning.
  - If an attach fails, the slot is left empty, and the error contains that of the hotplug script.
  - With O(devtype=cdrom), it inserts and ejects the CDs of running HVM guests. What is in a drive is read from the
    guest's QEMU, not from xenstore alone. The drives themselves are never attached or detached.
extends_documentation_fragment:
  - xen.blockdev.attributes
  - xen.blockdev.pending
options:
  vbds:
    description:
      - A list of disks. Mutually exclusive with O(domain), O(vdev) and O(target).
      - The options of an element are those of the module. An option that an element omits is taken from the module's
        option of that name.
      - Disks are detached before others are attached.
    type: list
    elements: dict
    suboptions:
      domain: {description: See O(domain)., type: str, required: true}
      vdev: {description: See O(vdev)., type: str}
      target: {description: See O(target)., type: str}
      format: {description: See O(format)., type: str, choices: [raw, qcow, qcow2, vhd, qed, empty]}
      access: {description: See O(access)., type: str, choices: [ro, rw, r, w]}
      backendtype:
        description: See O(backendtype).
        type: str
        choices: [phy, tap, qdisk, standalone]
      backend: {description: See O(backend)., type: str, version_added: 1.1.0}
      devtype: {description: See O(devtype)., type: str, choices: [disk, cdrom]}
      script: {description: See O(script)., type: str}
      discard: {description: See O(discard)., type: bool}
      direct_io_safe: {description: See O(direct_io_safe)., type: bool}
      trusted: {description: See O(trusted)., type: bool, version_added: 1.1.0}
      specification:
        description: See O(specification).
        type: str
        choices: [xen, virtio]
        version_added: 1.1.0
      state: {description: See O(state)., type: str, choices: [present, absent]}
      wait: {description: See O(wait)., type: bool}
      wait_for:
        description: See O(wait_for).
        type: str
        choices: [connected, offered]
        version_added: 1.1.0
      timeout: {description: See O(timeout)., type: float}
      force: {description: See O(force)., type: bool}
      replace: {description: See O(replace)., type: bool}
      when_not_running: {description: See O(when_not_running)., type: str, choices: [fail, skip]}
      unlisted:
        description: See O(unlisted).
        type: str
        choices: [ignore, warn]
        version_added: 1.1.0
  domain:
    description:
      - Name, id or UUID of the running domain. Digits are an id, as for C(xl). Required unless O(vbds) is set.
    type: str
  vdev:
    description:
      - The slot of the disk, in any form that the filter P(xen.blockdev.to_xenstore_key#filter) accepts, such as
        V(xvda) or V(51768). Use the same form as in the domain's config.
      - Required with O(state=present). With O(state=absent) required unless O(target) is set.
    type: str
  target:
    description:
      - The absolute path of the block device or image on the managed host, without a prefix such as C(phy:). With
        O(script) a text that the script understands, with O(backend) a path in that domain, and with
        O(backendtype=qdisk) it can be a QEMU protocol, such as C(rbd:pool/image).
      - A link below C(/dev/disk/by-loop-file) stands for the loop device of the image. If udev does not make such
        links, the loop device itself is attached.
      - Required with O(state=present), unless O(devtype=cdrom), where a drive without a target is empty. With
        O(state=absent) and without O(vdev), the disk is detached from every slot of the domain that has it. With both,
        it is detached only if this slot has this target.
    type: str
  format:
    description:
      - The format of the target, by default V(raw). It is never guessed, because a guest can write the signature of
        another format into a raw image.
      - If it is not set and the target has the signature of another format (such as qcow2, vhd, a compressed file or a
        zip archive, but not tar), that is an error, unless the target is in the slot as V(raw) already. Set V(raw) if
        it is a raw disk nevertheless.
      - The kernel's C(blkback) serves V(raw), QEMU the other formats.
      - V(empty) is for a CD drive without a CD, and means the same as no O(target). C(xl) can insert only V(raw) CDs.
    type: str
    choices: [raw, qcow, qcow2, vhd, qed, empty]
  access:
    description:
      - Whether the guest may write. A cdrom is always V(ro).
      - V(r) is V(ro) and V(w) is V(rw), as for C(xl); both are accepted since version 1.1.0.
    type: str
    choices: [ro, rw, r, w]
    default: rw
  backendtype:
    description:
      - What serves the disk, C(blkback) (V(phy)) or QEMU (V(qdisk)). By default C(xl) chooses.
      - V(tap) needs tapback, which most hosts do not have any more. V(standalone) is for O(specification=virtio).
    type: str
    choices: [phy, tap, qdisk, standalone]
  backend:
    description:
      - Name or id of the running driver domain that serves the disk. By default dom0 serves it.
      - O(target) is a path in that domain. dom0 cannot see its data, so two guests with the same disk are found only if
        they use the same path.
    type: str
    version_added: 1.1.0
  devtype:
    description:
      - Whether the guest sees a hard disk or a CD drive.
      - With V(cdrom) and O(state=present), O(target) is in the drive afterwards, or nothing if there is no O(target).
        A guest with udev always locks a drive with a CD. It is asked to release the CD, as if the button of the drive
        was pressed, and has O(timeout) for that. C(xl) cannot take out a CD by force.
      - A running guest cannot get a CD drive or lose one, and a disk cannot take the place of a drive. Write the
        domain's config, shut the guest down and start it again.
      - Only HVM guests have CD drives. To give an image to another guest, use V(disk) and O(access=ro).
      - If dom0 cannot ask the QEMU, such as that in a stub domain, this is an error.
    type: str
    choices: [disk, cdrom]
    default: disk
  script:
    description:
      - The hotplug script that prepares the target, such as V(block-iscsi). A name without a directory is looked up in
        C(/etc/xen/scripts).
    type: str
  discard:
    description:
      - Whether the guest may discard blocks. By default C(xl) allows it unless the disk is read-only.
    type: bool
  direct_io_safe:
    description:
      - Whether QEMU may bypass the page cache with this disk. See C(direct-io-safe) in
        C(xl-disk-configuration(5)) before you set it.
    type: bool
  trusted:
    description:
      - Whether the guest trusts the backend. Needs Xen 4.19 or later.
      - It applies when a disk is attached. It is not compared with that of an attached disk, because C(xl) records it
        only where the guest can write.
    type: bool
    version_added: 1.1.0
  specification:
    description:
      - The protocol between guest and backend. The default of C(xl) is V(xen).
    type: str
    choices: [xen, virtio]
    version_added: 1.1.0
  state:
    description:
      - V(present) attaches the disk. V(absent) detaches it.
      - V(absent) detaches even a disk that the guest has mounted, because dom0 cannot know that. Data that the guest
        has not written yet is lost then, and the file system is damaged. Unmount it in the guest first.
      - For a CD drive of an HVM guest, V(absent) ejects the CD. The empty drive stays until the guest is shut down. It
        is gone at the next start if the domain's config does not have it any more.
    type: str
    choices: [present, absent]
    default: present
  wait:
    description:
      - Whether to wait until the guest has connected to an attached disk. If the guest does not connect within
        O(timeout), the disk is detached again and the module fails.
      - V(false) leaves the disk attached in any case. See O(wait_for) for a guest that does not connect at once.
    type: bool
    default: true
  wait_for:
    description:
      - What O(wait) waits for. V(connected) means that the guest has connected to the disk. V(offered) means that the
        guest can connect at any time; RV(vbds[].backend_state) is at least V(2).
      - Use V(offered) for a guest that connects to a disk when it first opens it, as MirageOS does, and for one
        that detects disks only when it boots. An error of the disk itself is still reported.
    type: str
    choices: [connected, offered]
    default: connected
    version_added: 1.1.0
  timeout:
    description:
      - How many seconds to wait for the guest to connect to a disk, or to release a disk or CD. For a detach, C(xl)
        runs at least once and waits up to 10 s each time.
    type: float
    default: 30
  force:
    description:
      - Whether to take a disk away from a guest that was asked once and has not released it. Data that the guest has
        not written yet is lost, as if the disk was unplugged. Needs Xen 4.15 or later.
      - What the kernel has begun to write for the guest, it may still write later if the storage hangs, and not every
        driver tells. Do not use it then.
      - A MirageOS unikernel never releases a disk. With V(true) its next read or write of that disk hangs
        without an error, so shut it down instead.
      - A disk that QEMU emulates for an HVM guest without PV drivers is never taken away, as QEMU would keep it open.
    type: bool
    default: false
  replace:
    description:
      - Whether to detach another disk that is in the slot, or the same disk with another O(access), O(format) and so
        on. With V(false) that is an error.
      - The new target is checked first. If attaching it fails nevertheless, the old disk is attached again.
    type: bool
    default: false
  when_not_running:
    description:
      - What to do if O(domain) is not running on the host. V(fail) is an error. V(skip) does nothing and sets
        RV(vbds[].running) to V(false); on a host that is not a Xen host, it also warns.
    type: str
    choices: [fail, skip]
    default: fail
  unlisted:
    description:
      - What to do about a disk of the running O(domain) that no item of this call names. V(warn) names the disk in a
        warning and leaves it attached; with it, list all disks of the domain in one call.
      - There is no warning for CDs.
    type: str
    choices: [ignore, warn]
    default: ignore
    version_added: 1.1.0
notes:
  - Unmount a disk in the guest before it is detached or replaced. The guest's kernel is asked to release it, not its
    programs; Linux 6.1 releases even a mounted disk, and data that was not written yet is lost.
  - C(xl) also adds the disk to the configuration of the running domain, but not to the config file from which it was
    started. See M(xen.blockdev.xen_domain_config) for that.
  - A host does not know what another host attaches. Two dom0s with the same LUN can give it to two guests.
seealso:
  - module: xen.blockdev.xen_disks
  - module: xen.blockdev.xen_vbd_info
  - module: xen.blockdev.xen_loopdev
  - module: xen.blockdev.xen_domain_config
"""

EXAMPLES = r"""
- name: Attach the loop device of an image
  xen.blockdev.xen_vbd_attach:
    domain: web
    vdev: xvdb
    target: /dev/disk/by-loop-file/srv/xen/web/data.raw

- name: Attach a read-only disk to two domains, and a volume to one of them
  xen.blockdev.xen_vbd_attach:
    vbds:
      - domain: web
        vdev: "51768"
        target: /dev/vg0/base
        access: ro
      - domain: db
        vdev: xvdb
        target: /dev/vg0/base
        access: ro
      - domain: db
        vdev: xvdc
        target: /dev/vg0/db
        discard: false
        backendtype: phy

- name: Attach an image that QEMU serves
  xen.blockdev.xen_vbd_attach:
    domain: 92570f6a-4685-42c0-ba86-b8ab72039821
    vdev: xvdd
    target: /srv/xen/base.qcow2
    format: qcow2
    direct_io_safe: true

- name: Attach a LUN with Xen's own script
  xen.blockdev.xen_vbd_attach:
    domain: web
    vdev: xvde
    target: iqn=iqn.2001-05.com.example:web,portal=192.0.2.7:3260
    script: block-iscsi

- name: Attach a disk that a driver domain serves
  xen.blockdev.xen_vbd_attach:
    domain: web
    vdev: xvdg
    target: /dev/vg0/web
    backend: storage
    trusted: false
    specification: xen

- name: Attach to a MirageOS unikernel, which connects when it opens the disk
  xen.blockdev.xen_vbd_attach:
    domain: mirage
    vdev: xvdb
    target: /dev/vg0/mirage
    wait_for: offered

- name: Insert a CD in place of the one that is in the drive, or do nothing if the guest is not running
  xen.blockdev.xen_vbd_attach:
    domain: win
    vdev: hdc
    target: /srv/iso/next.iso
    devtype: cdrom
    when_not_running: skip

- name: Eject the CD
  xen.blockdev.xen_vbd_attach:
    domain: win
    vdev: hdc
    devtype: cdrom

- name: Detach the disk in a slot, and give the guest more time to release it
  xen.blockdev.xen_vbd_attach:
    domain: web
    vdev: xvdb
    state: absent
    timeout: 120

- name: Detach a device from all slots of a domain, by force if necessary
  xen.blockdev.xen_vbd_attach:
    domain: web
    target: /dev/vg0/base
    state: absent
    force: true

- name: Plan in check mode for a loop device that an earlier task would have bound
  xen.blockdev.xen_vbd_attach:
    domain: web
    vdev: xvdb
    target: /dev/disk/by-loop-file/srv/xen/web/new.raw
    pending:
      devices:
        - path: /srv/xen/web/new.raw
  check_mode: true

- name: Plan in check mode for a slot that an earlier task would have emptied
  xen.blockdev.xen_vbd_attach:
    domain: web
    vdev: xvdb
    target: /dev/vg0/web
    pending:
      vbds:
        - domain: web
          vdev: xvdb
  check_mode: true
"""

RETURN = r"""
vbds:
  description:
    - The disks in the order of the items; a list even for one disk.
    - In check mode, values that are not known before the disk is attached are missing.
  returned: always
  type: list
  elements: dict
  contains:
    domain: {description: "The domain, as in the item.", type: str, returned: always, sample: web}
    vdev: {description: "The slot, as in the item.", type: str, returned: always, sample: "51768"}
    target: {description: "The target, as in the item.", type: str, returned: always, sample: /dev/loop1}
    running:
      description: Whether the domain is running.
      type: bool
      returned: unless the item could not be planned
      sample: true
    domid: {description: Id of the domain., type: int, returned: when the domain is running, sample: 1}
    xenstore_key:
      description: Number of the slot, the name of its directory in xenstore.
      type: int
      returned: with O(state=present), when the domain is running
      sample: 51768
    access: {description: V(ro) or V(rw)., type: str, returned: when the disk is attached, sample: ro}
    backendtype:
      description: What serves the disk, V(phy) or V(qdisk).
      type: str
      returned: when the disk is attached, unless it is a CD drive
      sample: phy
    medium:
      description:
        - The path of the CD that QEMU has in the drive, V(none) if the drive is empty. A CD in an open tray counts.
      type: str
      returned: with O(state=present) and O(devtype=cdrom), when the domain is running
      sample: /srv/iso/next.iso
      version_added: 1.1.0
    physical_device:
      description: Major and minor number of the block device of the disk; V(none) if QEMU serves it.
      type: str
      returned: when the disk is attached, unless it is a CD drive
      sample: "7:1"
    backend_state:
      description:
        - State of the backend, V(1) Initialising, V(2) InitWait, V(3) Initialised, V(4) Connected, V(5) Closing,
          V(6) Closed.
      type: int
      returned: when the disk is attached, unless it is a CD drive
      sample: 4
    frontend_state:
      description: State of the frontend, which the guest sets. Some guests never set more than V(3).
      type: int
      returned: when the disk is attached, unless it is a CD drive
      sample: 4
    slots:
      description: The numbers of the slots that still have the disk, or whose drive has the CD.
      type: list
      elements: int
      returned: with O(state=absent), when the domain is running
      sample: []
    detached:
      description:
        - The slots from which the disk was detached, or the CD ejected or, in check mode, would be.
      type: list
      elements: dict
      returned: with O(state=absent), when the domain is running
      contains:
        domain: {description: Name of the domain., type: str, returned: always, sample: web}
        vdev:
          description: The slot, as it was written when the disk was attached.
          type: str
          returned: always
          sample: xvdb
    changed: {description: Whether this item was changed., type: bool, returned: always, sample: true}
    actions:
      description: The actions that were done or, in check mode, would be.
      type: list
      elements: str
      returned: always
      sample: ["attach /dev/loop1 (ro) to domain web as 51768"]
    msg:
      description: The error of this item.
      type: str
      returned: when it failed
      sample: >-
        cannot attach /dev/loop0 (rw) to domain web as xvdb: Device /dev/loop0 is mounted in a guest domain, and so
        cannot be mounted now.; the failed attempt was cleaned up
pending:
  description:
    - In check mode, the entries of RV(vbds) that would change, under that name. Otherwise empty.
    - Later tasks take it as O(pending). Merge several with C(combine).
  returned: when the items could be planned
  type: dict
  sample: {}
  version_added: 1.1.0
"""

from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import converge
from ansible_collections.xen.blockdev.plugins.module_utils.resources.vbd_attach import open_vbds
from ansible_collections.xen.blockdev.plugins.module_utils.resources.vbd_attach_interface import (
    INTERFACE,
)


def main() -> None:
    converge(INTERFACE, open_vbds)


if __name__ == "__main__":
    main()
