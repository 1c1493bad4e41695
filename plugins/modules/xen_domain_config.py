#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: xen_domain_config
short_description: Write the config files of Xen domains, or only their disk lists
version_added: 1.0.0
author: xen.blockdev authors (!UNKNOWN)
description:
  - Writes the files from which C(xl create) starts domains, any number of them in one call.
  - A config that does not exist, or that this module wrote before, is rendered from O(options) and O(disks). In
    any other config, only the disk list is changed and every other byte stays as it is, unless O(overwrite=true).
  - In such a list, disks are compared by what C(xl) makes of them. A disk that is as wanted keeps its text, its
    place and its comments. A disk that differs is replaced in its place and its style, and keeps the options that
    O(disks) omits, such as O(disks[].discard) or the parameters of COLO. A new disk follows the one that precedes
    it in O(disks). The order of the existing disks does not change, because the boot loader of a PV guest reads
    the first one. A removed disk that has a comment, beside it or right above it, becomes a comment itself.
  - A C(disk) that is a string becomes a list, because C(xl) would start the domain without any disk.
  - A config is written as a whole or not at all, and keeps its owner, mode and SELinux context. A new one has mode
    V(0600), because it may contain the password of a console.
  - A guest finds its disks by their slots. So an image is not moved to another slot, and no other image is put
    into its slot, unless O(allow_slot_change=true). Images are compared by device and inode, under any path, link
    or loop device. What is in a CD drive is a medium, which may always change.
  - New and changed disks must fit the type of the guest, which is in O(options), or in the config if only its disk list is
    changed. With a read-only IDE disk or two disks on one drive, an HVM guest would not start; a PV or PVH guest has no CD
    drives. That is an error. What an HVM guest would not see is a warning.
extends_documentation_fragment:
  - xen.blockdev.attributes
  - xen.blockdev.pending
  - xen.blockdev.file_attributes
options:
  configs:
    description:
      - A list of configs. Mutually exclusive with O(domain) and O(path).
      - An element has the options of the module. An option that an element omits is taken from the option of that
        name beside the list.
      - If one config cannot be planned, the module fails before it changes any.
    type: list
    elements: dict
    suboptions:
      domain: {description: See O(domain)., type: str, required: true}
      path: {description: See O(path)., type: path}
      state: {description: See O(state)., type: str, choices: [present, absent]}
      options: {description: See O(options)., type: dict}
      disks:
        description: See O(disks).
        type: list
        elements: raw
        suboptions: &disk
          target:
            description:
              - The block device or image that C(xl) opens. Only a C(cdrom) can omit it.
              - An absolute path without a prefix such as C(phy:). With O(disks[].script) it is the argument of that
                script, with O(disks[].backend) a name that is valid in that domain, and with
                O(disks[].backendtype=qdisk) it can be one of QEMU's protocols, such as C(rbd:pool/image).
              - A link below C(/dev/disk/by-loop-file) means the loop device of the image whose path follows. The image
                must be bound. If udev has not made the link, the config gets the number of the loop device instead,
                with a warning; a config that has the link already keeps it.
              - While a guest runs on that image through a loop device of Xen's own script, the config names the image
                itself, because the script unbinds the device when the guest ends.
            type: str
          format:
            description:
              - Format of the target, by default V(raw).
              - If it is omitted and the target looks like another format (such as qcow2, vhd, a compressed file or a
                zip archive, but not tar), that is an error, unless the config has it as V(raw) already. A guest can
                write such a signature into its raw disk itself. Set V(raw) for such a disk.
            type: str
            choices: [raw, qcow, qcow2, vhd, qed, empty]
          vdev:
            description: The slot, such as V(xvda) or V("51768"), in any form that C(xl) reads.
            type: str
            required: true
          access:
            description:
              - Whether the guest can write, by default V(rw), but V(ro) for a C(cdrom).
              - V(r) is V(ro) and V(w) is V(rw), as for C(xl); both are accepted since version 1.1.0.
            type: str
            choices: [ro, rw, r, w]
          devtype:
            description:
              - The kind of device that the guest sees, by default a V(disk).
              - V(cdrom) is a CD drive of an HVM guest. Without a target it is empty. With another target, or none, the drive
                keeps the other options that only the config has.
            type: str
            choices: [disk, cdrom]
          backendtype:
            description: The backend that serves the disk. By default C(xl) chooses.
            type: str
            choices: [phy, tap, qdisk, standalone]
          backend:
            description:
              - The domain that serves the disk, by default dom0. The kind of backend in it is O(disks[].backendtype).
            type: str
          script: {description: The hotplug script that makes the block device from the target., type: str}
          direct_io_safe: {description: Whether QEMU may bypass the page cache of dom0., type: bool}
          discard: {description: Whether the guest can discard blocks. By default C(xl) decides., type: bool}
          trusted: {description: Whether the guest trusts the backend. Needs Xen 4.19 or later., type: bool}
          specification:
            description: How the guest talks to the backend, by default V(xen).
            type: str
            choices: [xen, virtio]
          allow_slot_change:
            description: O(allow_slot_change) for the slot of this disk only.
            type: bool
            version_added: 1.1.0
      overwrite: {description: See O(overwrite)., type: bool}
      backup: {description: See O(backup)., type: bool}
      validate: {description: See O(validate)., type: bool}
      parents: {description: See O(parents)., type: bool}
      autostart: {description: See O(autostart)., type: bool}
      autostart_dir: {description: See O(autostart_dir)., type: path}
      allow_slot_change: {description: See O(allow_slot_change)., type: bool}
      unlisted_disks:
        description: See O(unlisted_disks).
        type: str
        choices: [refuse, keep, remove]
        version_added: 1.1.0
      removed_disks:
        description: See O(removed_disks).
        type: list
        elements: dict
        version_added: 1.1.0
        suboptions: &removed
          vdev:
            description: Its slot.
            type: str
          target:
            description: Its target, by any path, link or loop device. An empty drive matches any target.
            type: str
          devtype:
            description: With V(cdrom), only a drive is removed, and with V(disk), only a disk that is none.
            type: str
            choices: [disk, cdrom]
      known_images: {description: See O(known_images)., type: list, elements: str}
      owner: {description: See O(owner)., type: str}
      group: {description: See O(group)., type: str}
      mode: {description: See O(mode)., type: raw}
      seuser: {description: See O(seuser)., type: str}
      serole: {description: See O(serole)., type: str}
      setype: {description: See O(setype)., type: str}
      selevel: {description: See O(selevel)., type: str}
  domain:
    description:
      - Name of the domain. Required unless O(configs) is given.
      - An existing config must be the one of this domain.
    type: str
  path:
    description:
      - The config, an absolute path on the managed host, by default C(/etc/xen/<domain>.cfg). Its directory
        must exist unless O(parents=true).
      - A symbolic link to a config means the config. Below a world-writable directory, only links that root owns are
        followed.
    type: path
  state:
    description:
      - V(present) writes the config.
      - V(absent) removes it if this module wrote it. If not, only its disk list is emptied.
    type: str
    choices: [present, absent]
    default: present
  options:
    description:
      - All options of the config except name and disks, by the names of C(xl), see C(xl.cfg(5)). Values are strings,
        integers, booleans and lists of these.
      - If it is omitted, a rendered config has only name and disks, even if it had more before.
    type: dict
  disks:
    description:
      - The disks, each a dictionary or a string in the syntax of C(xl), as in C(disk = [ ... ]). Both mean the
        same, and a list can have both. A slot can be given only once.
      - Strings are accepted since version 1.1.0.
      - If it is omitted, a config keeps its disks, and a new one has none. V([]) removes all disks, if O(unlisted_disks)
        allows it.
    type: list
    elements: raw
    suboptions: *disk
  overwrite:
    description:
      - Whether O(options) replace a config that this module did not write, or one of another domain. Otherwise that
        is an error.
    type: bool
    default: false
  backup:
    description:
      - Whether to keep a copy of a config that is changed or removed, beside it and under a name with the time,
        see RV(configs[].backup_file). In O(autostart_dir) the name begins with a dot, because C(xendomains) would
        start the domain from the copy as well.
      - By default, a copy is kept of a config that this module did not write, and of no other.
    type: bool
  validate:
    description:
      - Whether to check the new config with C(xl -N create) before anything is changed. This is done only on a Xen
        host, where C(xl) runs, and in check mode as well.
    type: bool
    default: true
  parents:
    description:
      - Whether to create missing directories above the config, and O(autostart_dir) if a link is made in it, with mode
        0755. Otherwise a missing directory is an error.
    type: bool
    default: false
  autostart:
    description:
      - Whether C(xendomains) starts the domain when the host boots. It starts everything in O(autostart_dir), in the
        order of the names.
      - With V(true), a link to the config with its file name is made there, unless there is one already, such as
        C(10-web.cfg), which keeps its name. With V(false), all links there to the config are removed. If it is omitted,
        they are left alone.
      - With O(state=absent), the links to a config that is removed or does not exist are always removed. If the config
        stays with an empty disk list, its links are left alone unless this is V(false).
      - Links to another config that this module wrote for the same domain belong to a config that the domain had
        elsewhere. With V(true), one of them is changed to lead to this config and the others are removed; with V(false),
        all are removed. If it is omitted, a warning names them.
      - If another file or link has the name of the link, that is an error.
      - Loop devices must be bound again before C(xendomains) runs. This module does not do that.
    type: bool
  autostart_dir:
    description:
      - The directory that is C(XENDOMAINS_AUTO) for C(xendomains), an absolute path. It must exist if a link is made
        in it, unless O(parents=true).
    type: path
    default: /etc/xen/auto
  allow_slot_change:
    description:
      - Whether an image may move to another slot, and another image come into its slot. Otherwise that is an
        error, because the guest would find another disk where it looks for this one. The media of CD drives need it not.
      - If the config does not exist yet, it is compared with the ones that the domain has elsewhere. Those are C(<domain>.cfg)
        in the same directory and in C(/etc/xen) if this module wrote them for the domain, and all from which C(xendomains)
        starts the domain. Configs of the same call are not among them.
      - If a config names C(/dev/loopN), nothing says which image that was before the last boot. If the numbers have
        changed since, this is needed once.
      - O(disks[].allow_slot_change) is for the slot of one disk.
    type: bool
    default: false
  unlisted_disks:
    description:
      - What to do with disks, and empty drives, that the config has and O(disks) does not list.
      - V(refuse) is an error that names them, V(keep) leaves them in the config, V(remove) removes them from it.
      - The default is V(remove) for a config that this module wrote, and V(refuse) for any other, even with
        O(overwrite=true).
      - A config that the domain has elsewhere counts if this one does not exist yet, see O(allow_slot_change). With V(keep),
        this one gets its disks as well. If O(disks) is omitted, V(refuse) is the default for any config.
      - A disk that moves to another slot counts as listed. O(state=absent) removes all disks.
    type: str
    choices: [refuse, keep, remove]
    version_added: 1.1.0
  removed_disks:
    description:
      - Disks to remove from the config, whatever O(unlisted_disks) says. Each is given by its slot, its target or both,
        which must then both match.
      - A plan gives its absent disks here.
    type: list
    elements: dict
    version_added: 1.1.0
    suboptions: *removed
  known_images:
    description:
      - Images that other tasks manage, such as those of all disks of a plan. They are not in RV(configs[].released).
    type: list
    elements: str
    version_added: 1.1.0
notes:
  - Diff mode shows neither the password of VNC (C(vncpasswd)) nor that of SPICE (C(spicepasswd)), only whether
    it changes. Ansible itself shows the options of a task at higher verbosity and may log them, so give a task
    with passwords C(no_log=true).
  - A config that C(xl -N create) accepts can still be wrong, because it does not look for the kernel or the disks.
seealso:
  - module: xen.blockdev.xen_disks
  - plugin: xen.blockdev.domain_configs
    plugin_type: filter
  - module: xen.blockdev.xen_loopdev
  - module: xen.blockdev.xen_vbd_attach
"""

EXAMPLES = r"""
- name: Write the config of a unikernel whose disk is an image on a loop device
  xen.blockdev.xen_domain_config:
    domain: web
    options:
      type: pvh
      kernel: /srv/kernels/web.xen
      memory: 128
      on_crash: preserve
      vif: ["bridge=xenbr0"]
    disks:
      - vdev: xvda
        target: /dev/disk/by-loop-file/srv/xen/web/boot.raw
        format: raw

- name: Replace only the disk list of a config that was written by hand, and keep a copy
  xen.blockdev.xen_domain_config:
    domain: db
    path: /etc/xen/vm/db.cfg
    backup: true
    disks:
      - {vdev: xvda, target: /dev/vg0/db, backendtype: phy, discard: false}
      - {vdev: "51768", target: /srv/xen/base.qcow2, format: qcow2, access: ro, direct_io_safe: true}
      - {vdev: xvdc, devtype: cdrom, format: empty}

- name: Write disks as xl does, and put another image into one of the slots
  xen.blockdev.xen_domain_config:
    domain: db
    path: /etc/xen/vm/db.cfg
    disks:
      - phy:/dev/vg0/db,xvda,w
      - /srv/xen/base.qcow2,qcow2,xvdb,r
      - {vdev: xvdc, target: /dev/vg0/new, allow_slot_change: true}

- name: Remove one disk from a config that was written by hand, and keep all others
  xen.blockdev.xen_domain_config:
    domain: db
    disks:
      - {vdev: xvda, target: /dev/vg0/db}
    removed_disks:
      - {vdev: xvdb, target: /dev/vg0/old}
    unlisted_disks: keep

- name: Write the configs of all domains in one call, readable for a group
  xen.blockdev.xen_domain_config:
    configs: "{{ xen_domains | xen.blockdev.domain_configs }}"
    owner: root
    group: xen
    mode: "0640"
    parents: true

- name: Start a domain when the host boots
  xen.blockdev.xen_domain_config:
    domain: web
    options: {type: pvh, kernel: /srv/kernels/web.xen}
    autostart: true

- name: Do not start a domain when the host boots, on a host with another directory for xendomains
  xen.blockdev.xen_domain_config:
    domain: db
    path: /etc/xen/vm/db.cfg
    autostart: false
    autostart_dir: /etc/xen/auto-db

- name: Give a config an SELinux context
  xen.blockdev.xen_domain_config:
    domain: web
    options: {type: pvh, kernel: /srv/kernels/web.xen}
    seuser: system_u
    serole: object_r
    setype: etc_t
    selevel: s0

- name: Replace a config that was written by hand, with other disks in its slots
  xen.blockdev.xen_domain_config:
    domain: old
    options: {type: pv, bootloader: pygrub, memory: 512}
    disks:
      - vdev: xvda
        target: iqn=iqn.2001-05.com.example:old,portal=192.0.2.7:3260
        script: block-iscsi
      - vdev: xvdb
        target: /dev/vg1/old
        backend: storage
        trusted: false
        specification: xen
    overwrite: true
    allow_slot_change: true
    unlisted_disks: remove
    validate: false

- name: Plan in check mode for a loop device that an earlier task would have bound
  xen.blockdev.xen_domain_config:
    domain: new
    disks:
      - vdev: xvda
        target: /dev/disk/by-loop-file/srv/xen/new/boot.raw
    pending:
      devices:
        - path: /srv/xen/new/boot.raw
  check_mode: true

- name: Remove a config, or empty its disk list if it was written by hand
  xen.blockdev.xen_domain_config:
    domain: web
    state: absent
"""

RETURN = r"""
configs:
  description: The configs in the order in which they were given, in a list even for one config.
  returned: always
  type: list
  elements: dict
  contains:
    domain: {description: The domain., type: str, returned: always, sample: web}
    path:
      description: The config. V(none) if an error left the default unknown.
      type: str
      returned: always
      sample: /etc/xen/web.cfg
    disks:
      description:
        - The disks in the config, as they are written there. P(xen.blockdev.from_xl_disk#filter) parses them.
      type: list
      elements: str
      returned: unless the config could not be planned
      sample: ["format=raw, vdev=xvda, access=rw, target=/dev/disk/by-loop-file/srv/xen/web/boot.raw"]
    rendered:
      description:
        - Whether this module wrote the config. V(false) as well if it does not exist.
      type: bool
      returned: unless the config could not be planned
      sample: true
    autostart:
      description:
        - Whether O(autostart_dir) has the config or a link to it, so that C(xendomains) starts the domain when the host
          boots.
      type: bool
      returned: unless the config could not be planned
      sample: true
    released:
      description:
        - The images that this config named and that no config names any more, neither beside it nor in C(/etc/xen) or
          O(autostart_dir). A warning names each one that exists. This module never deletes an image.
        - M(xen.blockdev.xen_loopdev) unbinds their loop devices with O(xen.blockdev.xen_loopdev#module:ours_only).
      type: list
      elements: str
      returned: unless the config could not be planned
      sample: []
      version_added: 1.1.0
    backup_file:
      description: The copy that was kept.
      type: str
      returned: when one was made
      sample: /etc/xen/web.cfg.4711.2026-01-31@12:00:00~
    changed: {description: Whether this item was changed., type: bool, returned: always, sample: true}
    actions:
      description: What was done or, in check mode, would be done.
      type: list
      elements: str
      returned: always
      sample: ["write /etc/xen/web.cfg"]
    msg:
      description: What went wrong with this item.
      type: str
      returned: when it failed
      sample: >-
        /etc/xen/web.cfg: slot xvda of domain web has /srv/xen/web/boot.raw and would get
        /srv/xen/web/data.raw; set allow_slot_change: true to allow it
pending:
  description:
    - In check mode, the entries of RV(configs) that would change, under that name. Otherwise empty.
    - Later tasks take it as O(pending). Several are merged by C(combine).
  returned: when the items could be looked at
  type: dict
  sample: {}
  version_added: 1.1.0
"""

from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import converge
from ansible_collections.xen.blockdev.plugins.module_utils.resources.domain_config import (
    open_configs,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.domain_config_interface import (
    INTERFACE,
)


def main() -> None:
    converge(INTERFACE, open_configs)


if __name__ == "__main__":
    main()
