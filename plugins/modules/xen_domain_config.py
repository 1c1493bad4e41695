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
  - A config that is not there, or that this module wrote before, is rendered from O(options) and O(disks). In
    one that someone else wrote, only the disk list is changed and every other byte stays as it is, unless
    O(overwrite=true).
  - In such a list, disks are compared by what C(xl) makes of them. A disk that is as wanted keeps its text, its
    place and its comments. One that differs is replaced in its place and its style, and what O(disks) does not
    say of it stays, such as O(disks[].discard). A new disk goes behind the one that precedes it in O(disks). The
    order of the disks that are there stays, because the boot loader of a PV guest reads the first one. A removed
    disk that has a comment, beside it or right above it, becomes a comment itself.
  - A C(disk) that is a string, from which C(xl) would start the domain without any disk, becomes a list.
  - A config is written as a whole or not at all, and keeps the owner, the mode and the SELinux context that it
    has. A new one has mode V(0600), because it may hold the password of a console.
  - A guest finds its disks by their slots. So an image is not moved to another slot, and no other image is put
    into the slot that it had, unless O(allow_slot_change=true). Images are compared by device and inode,
    whatever path, link or loop device leads to them.
extends_documentation_fragment:
  - xen.blockdev.attributes
  - xen.blockdev.pending
  - xen.blockdev.file_attributes
options:
  configs:
    description:
      - The configs and what is wanted of them, as a list. Mutually exclusive with O(domain) and O(path).
      - An element's options are those of the module. What an element leaves out is taken from the option of
        that name beside the list.
      - If one config cannot be had as wanted, the module fails before it touches any.
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
              - What C(xl) opens, such as a block device or an image. Only a C(cdrom) can be without.
              - An absolute path without a prefix such as C(phy:). With O(disks[].script) it is what that script
                takes, with O(disks[].backend) what that domain knows, and with O(disks[].backendtype=qdisk) it can
                be one of QEMU's protocols, such as C(rbd:pool/image).
              - A link below C(/dev/disk/by-loop-file) stands for the loop device of the image whose path
                follows. It must be bound. Where udev has not made the link, the config gets the number of the
                loop device instead, and a warning says so; a config that has the link already keeps it.
              - While a guest runs on that image as a file, by a loop device of Xen's own script, the config names the
                image itself, as the script unbinds the device when the guest ends.
            type: str
          format:
            description:
              - Format of the target, by default V(raw).
              - Where it is left out and the target looks like another format (such as qcow2, vhd, a compressed
                file or a zip archive, but not tar), that is an error, unless the config has it as V(raw) already.
                A guest can write such a signature into its raw disk itself. Say V(raw) for such a disk.
            type: str
            choices: [raw, qcow, qcow2, vhd, qed, empty]
          vdev:
            description: The slot, such as V(xvda) or V("51768"), in any form that C(xl) reads.
            type: str
            required: true
          access:
            description:
              - Whether the guest can write, by default V(rw), but V(ro) for a C(cdrom).
              - V(r) is V(ro) and V(w) is V(rw), as for C(xl); both are taken since version 1.1.0.
            type: str
            choices: [ro, rw, r, w]
          devtype:
            description: What the guest takes it for, by default a V(disk).
            type: str
            choices: [disk, cdrom]
          backendtype:
            description: What serves the disk. Without it C(xl) chooses.
            type: str
            choices: [phy, tap, qdisk, standalone]
          backend:
            description:
              - The domain that serves the disk, by default dom0. What serves it there is O(disks[].backendtype).
            type: str
          script: {description: The hotplug script that makes the block device from the target., type: str}
          direct_io_safe: {description: Whether QEMU may bypass the page cache of dom0., type: bool}
          discard: {description: Whether the guest can give blocks back. Without it C(xl) decides., type: bool}
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
            description: The slot in which it is.
            type: str
          target:
            description: The target that it has, by any path, link or loop device. An empty drive fits any target.
            type: str
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
      - A config that is there must be the one of this domain.
    type: str
  path:
    description:
      - The config, an absolute path on the managed host, by default C(/etc/xen/<domain>.cfg). Its directory
        must exist unless O(parents=true).
      - A symbolic link to a config stands for the config. Below a directory that everyone can write to, only
        links of root are followed.
    type: path
  state:
    description:
      - V(present) writes the config.
      - V(absent) removes it if this module wrote it. Of a config that someone else wrote, only the disk list is
        emptied.
    type: str
    choices: [present, absent]
    default: present
  options:
    description:
      - What the config says beside name and disks, by the names of C(xl), see C(xl.cfg(5)). Values are strings,
        integers, booleans and lists of these.
      - Without it, a config that is rendered has only name and disks, also where it said more before.
    type: dict
  disks:
    description:
      - The disks, each a dictionary or a string in the syntax of C(xl), as in C(disk = [ ... ]). Both mean the
        same, and a list can have both. A slot can be given only once.
      - Strings are taken since version 1.1.0.
      - Without it, a config keeps the disks that it has, and a new one has none. V([]) takes all disks out, with
        the consent that O(unlisted_disks) asks for.
    type: list
    elements: raw
    suboptions: *disk
  overwrite:
    description:
      - Whether O(options) replace a config that someone else wrote, or one of another domain. Otherwise that is
        an error.
    type: bool
    default: false
  backup:
    description:
      - Whether to keep a copy of a config that is changed or removed, beside it and under a name with the time,
        see RV(configs[].backup_file). In O(autostart_dir) the name begins with a dot, as C(xendomains) would start
        the domain from the copy as well.
      - Unless this is given, a copy is kept of what someone else wrote, and of nothing else.
    type: bool
  validate:
    description:
      - Whether to let C(xl -N create) read what would be written, before anything is touched. It is done on a
        Xen host only, where C(xl) runs, in check mode as well.
    type: bool
    default: true
  parents:
    description:
      - Whether missing directories above the config, and O(autostart_dir) where a link is made in it, are
        created, with mode 0755. Otherwise that is an error.
    type: bool
    default: false
  autostart:
    description:
      - Whether C(xendomains) starts the domain when the host boots. It starts all that is in O(autostart_dir),
        in the order of the names.
      - With V(true), a link of the config's file name that leads to the config is made there, unless a link
        leads to it already, such as C(10-web.cfg). That is kept under its name. With V(false), all links there
        that lead to the config are removed. Without this, they are left alone.
      - With O(state=absent), the links to a config that is removed, or that is not there, are removed in any
        case. Those to one that stays with an empty disk list are left alone unless this is V(false).
      - Links to another config that this module wrote for the same domain are those of a config that the domain had
        elsewhere. With V(true), one of them is made to lead to this config and the others are removed, with V(false) all
        are. Without this, a warning names them.
      - What is in the way of the link, be it a file or a link to something else, is an error.
      - Loop devices must be bound again before C(xendomains) runs, which this module does not see to.
    type: bool
  autostart_dir:
    description:
      - The directory that C(xendomains) knows as C(XENDOMAINS_AUTO), an absolute path. It must exist where a
        link is to be made in it, unless O(parents=true).
    type: path
    default: /etc/xen/auto
  allow_slot_change:
    description:
      - Whether an image may move to another slot, and another image come into its slot. Otherwise that is an
        error, because the guest would find another disk where it looks for this one.
      - If the config does not exist yet, it is compared with the ones that the domain has elsewhere. Those are C(<domain>.cfg)
        in the same directory and in C(/etc/xen) if this module wrote them for the domain, and those from which C(xendomains)
        starts the domain, whoever wrote them. Configs of the same call are not among them.
      - A config that names C(/dev/loopN) does not tell which image that was before the last boot. If the
        numbers have changed since, this is needed once.
      - O(disks[].allow_slot_change) is for the slot of one disk.
    type: bool
    default: false
  unlisted_disks:
    description:
      - What becomes of disks that the config has and O(disks) does not list, empty drives as well.
      - V(refuse) is an error that names them, V(keep) leaves them in the config, V(remove) takes them out.
      - Unless this is given, it is V(refuse) for a config that someone else wrote, also with O(overwrite=true),
        and V(remove) for one that this module wrote.
      - A config that the domain has elsewhere counts if this one does not exist yet, see O(allow_slot_change). With V(keep),
        this one gets its disks as well. If O(disks) is not given, V(refuse) is the default, whoever wrote the other one.
      - A disk that moves to another slot is listed there. O(state=absent) takes all disks out.
    type: str
    choices: [refuse, keep, remove]
    version_added: 1.1.0
  removed_disks:
    description:
      - Disks that are to go from the config, whatever O(unlisted_disks) says. Each is known by its slot, its target
        or both, which must fit then.
      - A plan gives here the disks that it has as absent.
    type: list
    elements: dict
    version_added: 1.1.0
    suboptions: *removed
  known_images:
    description:
      - Images that other tasks look after, such as those of all disks of a plan. They are not told as
        RV(configs[].released).
    type: list
    elements: str
    version_added: 1.1.0
notes:
  - Diff mode shows neither the password of VNC (C(vncpasswd)) nor that of SPICE (C(spicepasswd)), only whether
    it changes. Ansible itself shows the options of a task at higher verbosity and may log them, so give a task
    with passwords C(no_log=true).
  - What C(xl -N create) accepts can still be wrong. It looks neither for a kernel nor for a disk.
seealso:
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

- name: Replace only the disk list of a config that someone else wrote, and keep a copy
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

- name: Take one disk out of a config that someone else wrote, and leave all others as they are
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

- name: Have xendomains start a domain when the host boots
  xen.blockdev.xen_domain_config:
    domain: web
    options: {type: pvh, kernel: /srv/kernels/web.xen}
    autostart: true

- name: Have xendomains start a domain no more, where it looks into another directory
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

- name: Replace a config that someone else wrote, with other disks in its slots
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

- name: Remove a config, or empty its disk list if someone else wrote it
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
      description: The config. V(none) where the default is not known yet, because of an error.
      type: str
      returned: always
      sample: /etc/xen/web.cfg
    disks:
      description:
        - The disks in the config, as they are written there. P(xen.blockdev.from_xl_disk#filter) takes them apart.
      type: list
      elements: str
      returned: unless the config could not be planned
      sample: ["format=raw, vdev=xvda, access=rw, target=/dev/disk/by-loop-file/srv/xen/web/boot.raw"]
    rendered:
      description:
        - Whether the config is one that this module rendered. V(false) for one that someone else wrote, and
          where there is none.
      type: bool
      returned: unless the config could not be planned
      sample: true
    autostart:
      description:
        - Whether C(xendomains) finds the config in O(autostart_dir), by a link or because it is there itself,
          and so starts the domain when the host boots.
      type: bool
      returned: unless the config could not be planned
      sample: true
    released:
      description:
        - The images that this config named and that no config names any more, neither beside it nor in C(/etc/xen) or
          O(autostart_dir). A warning names each that is there. An image is never deleted here.
        - M(xen.blockdev.xen_loopdev) takes their loop devices back with O(xen.blockdev.xen_loopdev#module:ours_only).
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

from ansible_collections.xen.blockdev.plugins.module_utils.converge.module import (
    STATE,
    Interface,
    converge,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk import options as disk_options
from ansible_collections.xen.blockdev.plugins.module_utils.resources.domain_config import (
    open_configs,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.domain_config_item import (
    DomainConfigItem,
)

DISK = {
    **disk_options.argument_spec(disk_options.OPTIONS),
    "vdev": {"type": "str", "required": True},
    "allow_slot_change": {"type": "bool"},
}

INTERFACE = Interface(
    items="configs",
    identity=("domain", "path"),
    options={
        "domain": {"type": "str"},
        "path": {"type": "path"},
        "state": STATE,
        "options": {"type": "dict"},
        # An element that is a string is a disk as xl writes it; Interface.checked checks the others.
        "disks": {"type": "list", "elements": "raw", "options": DISK},
        "overwrite": {"type": "bool", "default": False},
        "backup": {"type": "bool"},
        "validate": {"type": "bool", "default": True},
        "parents": {"type": "bool", "default": False},
        "autostart": {"type": "bool"},
        "autostart_dir": {"type": "path", "default": "/etc/xen/auto"},
        "allow_slot_change": {"type": "bool", "default": False},
        "unlisted_disks": {"type": "str", "choices": ["refuse", "keep", "remove"]},
        "removed_disks": {
            "type": "list",
            "elements": "dict",
            "options": {"vdev": {"type": "str"}, "target": {"type": "str"}},
        },
        "known_images": {"type": "list", "elements": "str"},
    },
    files=True,
    read=DomainConfigItem.read,
)


def main() -> None:
    converge(INTERFACE, open_configs)


if __name__ == "__main__":
    main()
