#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: xen_vbd_attach
short_description: Attach disks to running Xen domains
version_added: 1.0.0
author: xen.blockdev authors (!UNKNOWN)
description:
  - Attaches disks to running domains and detaches them with C(xl), any number of them in one call, and reads
    in xenstore what became of it. The exit codes of C(xl) are not trusted.
  - A disk is compared by what is behind it and not by its path. A block device is its major and minor number, an
    image its device and inode, whether it is attached as a file or through a loop device. Two paths of one LUN are one
    disk, as is a file on an overlay file system and the file that it is there.
  - What two users must not share is refused, also where Xen itself would let it pass. That is a device or image
    that another slot of this or another domain has, unless both only read it, a disk and what is made of it, such
    as its partitions and logical volumes, what dom0 has mounted, uses as swap, has given to the device mapper or
    keeps for itself otherwise, and the disks of a domain that C(xendomains) has saved.
  - Refused as well are, unless the domain only reads, the backing file of an image that a domain has, and what a process
    in dom0 has open for writing. Where it cannot be known who else has the data, a warning says so.
  - An attach that fails leaves the slot empty, and its error has the words of the hotplug script.
extends_documentation_fragment:
  - xen.blockdev.attributes
  - xen.blockdev.pending
options:
  vbds:
    description:
      - The disks and what is wanted of them, as a list. Mutually exclusive with O(domain), O(vdev) and
        O(target).
      - An element's options are those of the module. What an element leaves out is taken from the option of
        that name beside the list.
      - What is to be detached is detached first.
    type: list
    elements: dict
    suboptions:
      domain: {description: See O(domain)., type: str, required: true}
      vdev: {description: See O(vdev)., type: str}
      target: {description: See O(target)., type: str}
      format: {description: See O(format)., type: str, choices: [raw, qcow, qcow2, vhd, qed]}
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
      - The running domain, by its name, id or UUID. Digits are an id, as for C(xl). Required unless O(vbds) is
        given.
    type: str
  vdev:
    description:
      - The slot in which the guest finds the disk, in any form that the filter
        P(xen.blockdev.to_xenstore_key#filter) takes, such as V(xvda) or V(51768). Write it as it is in the
        domain's config.
      - Required with O(state=present). With O(state=absent) required unless O(target) is given.
    type: str
  target:
    description:
      - The block device or the image, an absolute path on the managed host without a prefix such as C(phy:). With
        O(script) whatever that script understands, with O(backend) what that domain knows, and with
        O(backendtype=qdisk) it can be one of QEMU's protocols, such as C(rbd:pool/image).
      - A link below C(/dev/disk/by-loop-file) stands for the loop device of the image. It is used where udev
        makes such links, and the loop device itself everywhere else.
      - Required with O(state=present). With O(state=absent) and without O(vdev), every slot of the domain that
        has it is emptied. With both, the slot is emptied if it has this target, and left alone if it has another.
    type: str
  format:
    description:
      - What is in the target, by default V(raw). It is never guessed, because a guest can write the beginning of
        another format into a raw image.
      - Where it is left out and the target looks like another format (such as qcow2, vhd, a compressed file or a
        zip archive, but not tar), that is an error, unless the slot has the target as V(raw) already. Say V(raw)
        if it is a raw disk all the same.
      - V(raw) is served by the kernel's C(blkback), the other formats by QEMU.
    type: str
    choices: [raw, qcow, qcow2, vhd, qed]
  access:
    description:
      - Whether the guest may write. A cdrom is always V(ro).
      - V(r) is V(ro) and V(w) is V(rw), as for C(xl); both are taken since version 1.1.0.
    type: str
    choices: [ro, rw, r, w]
    default: rw
  backendtype:
    description:
      - What serves the disk, C(blkback) (V(phy)) or QEMU (V(qdisk)). C(xl) chooses by itself unless this is given.
      - V(tap) needs tapback, which most hosts no longer have. V(standalone) is for O(specification=virtio).
    type: str
    choices: [phy, tap, qdisk, standalone]
  backend:
    description:
      - The driver domain that serves the disk, by its name or id, which must be running. By default dom0 serves it.
      - O(target) is what that domain knows by this name. What is behind it cannot be seen from dom0, so a disk that
        two guests must not share is found by its name only.
    type: str
    version_added: 1.1.0
  devtype:
    description:
      - What the guest sees, a hard disk or a drive for CDs with one in it.
    type: str
    choices: [disk, cdrom]
    default: disk
  script:
    description:
      - The hotplug script that prepares the target, such as V(block-iscsi). A name without a directory is one in
        C(/etc/xen/scripts).
    type: str
  discard:
    description:
      - Whether the guest may give blocks back. C(xl) allows it for a disk that can be written unless this is
        given.
    type: bool
  direct_io_safe:
    description:
      - Whether QEMU may bypass the page cache with this disk. See C(direct-io-safe) in
        C(xl-disk-configuration(5)) before you set it.
    type: bool
  trusted:
    description:
      - Whether the guest trusts the backend. Needs Xen 4.19 or later.
      - It is said when a disk is attached, and never compared with an attached one. C(xl) leaves it only where the guest
        can write it.
    type: bool
    version_added: 1.1.0
  specification:
    description:
      - How the guest talks to the backend. C(xl) takes V(xen) unless this is given.
    type: str
    choices: [xen, virtio]
    version_added: 1.1.0
  state:
    description:
      - V(present) attaches the disk. V(absent) detaches it.
      - V(absent) also takes away a disk that the guest has mounted, because dom0 cannot know that. What the guest
        had not written yet is lost then, and its file system is damaged. Unmount it in the guest first.
    type: str
    choices: [present, absent]
    default: present
  wait:
    description:
      - Whether to wait until the guest has connected to a disk that was attached. If it does not within
        O(timeout), the disk is detached again and that is an error.
      - V(false) leaves the disk attached whatever becomes of it. See O(wait_for) for a guest that does not connect
        at once.
    type: bool
    default: true
  wait_for:
    description:
      - What O(wait) waits for. V(connected) is that the guest has connected to the disk. V(offered) is that the
        disk is there for the guest to connect to, whenever it does, RV(vbds[].backend_state) V(2) at least.
      - Take V(offered) for a guest that connects to a disk when it first opens it, as MirageOS does, and for one
        that looks for disks only when it starts. What is wrong with the disk itself is still seen.
    type: str
    choices: [connected, offered]
    default: connected
    version_added: 1.1.0
  timeout:
    description:
      - How long to wait for the guest, in seconds, to connect or to let go. When a disk is detached, C(xl) itself
        waits up to 10 s each time it is called, which is at least once.
    type: float
    default: 30
  force:
    description:
      - Whether to take a disk away from a guest that was asked once and has not let go of it. What the guest had
        not written yet is lost, as if the disk was unplugged. Needs Xen 4.15 or later.
      - A MirageOS unikernel never lets go of a disk. After V(true) its next read or write of that disk hangs
        without an error, so shut it down instead.
    type: bool
    default: false
  replace:
    description:
      - Whether to detach what else is in the slot, or the same disk with another O(access), O(format) and so on.
        Without this that is an error.
      - The new target is checked first. If it cannot be attached in spite of that, the old disk is put back.
    type: bool
    default: false
  when_not_running:
    description:
      - What to do where no domain O(domain) is running on the host. V(fail) is an error, V(skip) does nothing and
        says so in RV(vbds[].running); on a host that is not a Xen host, with a warning.
    type: str
    choices: [fail, skip]
    default: fail
  unlisted:
    description:
      - What to do about a disk that the running O(domain) has and no item of this call names. V(warn) says which
        it is and leaves it as it is. Give all disks that the domain is to have in one call then.
      - CDs are not warned of, as they come and go.
    type: str
    choices: [ignore, warn]
    default: ignore
    version_added: 1.1.0
notes:
  - Unmount a disk in the guest before it is detached or replaced. The guest's kernel is asked to let go of it, not its
    programs; Linux 6.1, for one, lets go of a disk that is mounted, and what was not written yet is lost.
  - The disk is also entered by C(xl) into the configuration of the running domain, but not into the config file
    from which it was started. See M(xen.blockdev.xen_domain_config) for that.
  - No host sees what another one attaches. Two dom0s with the same LUN can give it to two guests.
seealso:
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

- name: Share a disk that both domains only read, and give one of them a volume as well
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

- name: Put another CD into the slot, or do nothing where the domain is off
  xen.blockdev.xen_vbd_attach:
    domain: web
    vdev: xvdf
    target: /srv/iso/next.iso
    devtype: cdrom
    replace: true
    when_not_running: skip

- name: Detach whatever is in a slot, and be patient with the guest
  xen.blockdev.xen_vbd_attach:
    domain: web
    vdev: xvdb
    state: absent
    timeout: 120

- name: Detach a device from a domain wherever it has it, against the guest's will if need be
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
    - The disks in the order in which they were given, in a list even for one disk.
    - In check mode, what cannot be known before the disk is attached is left out.
  returned: always
  type: list
  elements: dict
  contains:
    domain: {description: The domain as it was given., type: str, returned: always, sample: web}
    vdev: {description: The slot as it was given., type: str, returned: always, sample: "51768"}
    target: {description: The target as it was given., type: str, returned: always, sample: /dev/loop1}
    running:
      description: Whether the domain is running.
      type: bool
      returned: unless the item could not be planned
      sample: true
    domid: {description: Id of the domain., type: int, returned: when the domain is running, sample: 1}
    xenstore_key:
      description: The slot's number, the name of its directory in xenstore.
      type: int
      returned: with O(state=present), when the domain is running
      sample: 51768
    access: {description: V(ro) or V(rw)., type: str, returned: when the disk is attached, sample: ro}
    backendtype:
      description: What serves the disk, V(phy) or V(qdisk).
      type: str
      returned: when the disk is attached
      sample: phy
    physical_device:
      description: Major and minor number of the block device behind the disk, V(none) where QEMU serves it.
      type: str
      returned: when the disk is attached
      sample: "7:1"
    backend_state:
      description:
        - State of the backend, V(1) Initialising, V(2) InitWait, V(3) Initialised, V(4) Connected, V(5) Closing,
          V(6) Closed.
      type: int
      returned: when the disk is attached
      sample: 4
    frontend_state:
      description: State of the frontend as the guest says. Some guests never say more than V(3).
      type: int
      returned: when the disk is attached
      sample: 4
    slots:
      description: The xenstore keys of the slots in which the disk to be detached still is.
      type: list
      elements: int
      returned: with O(state=absent), when the domain is running
      sample: []
    detached:
      description:
        - The slots that the disk was taken from or, in check mode, would be.
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
      description: What was done or, in check mode, would be done.
      type: list
      elements: str
      returned: always
      sample: ["attach /dev/loop1 (ro) to domain web as 51768"]
    msg:
      description: What went wrong with this item.
      type: str
      returned: when it failed
      sample: >-
        cannot attach /dev/loop0 (rw) to domain web as xvdb: Device /dev/loop0 is mounted in a guest domain, and so
        cannot be mounted now.; what it had begun was removed again
pending:
  description:
    - In check mode, the entries of RV(vbds) that would change, under that name. Otherwise empty.
    - Later tasks take it as O(pending). Several are merged by C(combine).
  returned: when the items could be looked at
  type: dict
  sample: {}
  version_added: 1.1.0
"""

from ansible_collections.xen.blockdev.plugins.module_utils.converge.module import (
    STATE,
    Interface,
    converge,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk import options as disk_options
from ansible_collections.xen.blockdev.plugins.module_utils.resources.vbd_attach import open_vbds
from ansible_collections.xen.blockdev.plugins.module_utils.resources.vbd_attach_item import VbdItem

DEFAULTS = {
    name: {**disk_options.WITH_TARGET[name].argument_spec, "default": default}
    for name, default in (("access", "rw"), ("devtype", "disk"))
}


def main() -> None:
    converge(
        Interface(
            items="vbds",
            identity=("domain", "vdev", "target"),
            options={
                "domain": {"type": "str"},
                **disk_options.argument_spec(disk_options.WITH_TARGET),
                **DEFAULTS,
                "state": STATE,
                "wait": {"type": "bool", "default": True},
                "wait_for": {
                    "type": "str",
                    "choices": ["connected", "offered"],
                    "default": "connected",
                },
                "timeout": {"type": "float", "default": 30},
                "force": {"type": "bool", "default": False},
                "replace": {"type": "bool", "default": False},
                "when_not_running": {
                    "type": "str",
                    "choices": ["fail", "skip"],
                    "default": "fail",
                },
                "unlisted": {
                    "type": "str",
                    "choices": ["ignore", "warn"],
                    "default": "ignore",
                },
            },
            read=VbdItem.read,
        ),
        open_vbds,
    )


if __name__ == "__main__":
    main()
