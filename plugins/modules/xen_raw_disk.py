#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: xen_raw_disk
short_description: Create, copy, grow, shrink and delete raw disk images
version_added: 1.0.0
author: xen.blockdev authors (!UNKNOWN)
description:
  - Manages raw images, the files that hold a guest's disks, any number of them in one call.
  - A new image is empty, a copy of another image, or a file system or archive with the content of a
    directory.
  - A new image appears under its name only when it is complete, and never over another file. If
    anything goes wrong before that, nothing is left behind.
  - An image grows also while a guest uses it. Bind it again with M(xen.blockdev.xen_loopdev)
    afterwards, so that its loop device gets the new size.
  - What is in an image that exists is never written. It is cut only with O(shrink=true), and
    neither cut nor deleted while it is bound to a loop device, attached to a domain or open in
    another program. The error says by whom.
  - A symbolic link to an image stands for the image, except that it is not deleted. Below a
    directory that everyone can write to, only links of root are followed.
extends_documentation_fragment:
  - xen.blockdev.attributes
  - xen.blockdev.file_attributes
  - xen.blockdev.named_in
  - xen.blockdev.pending
options:
  disks:
    description:
      - The images and what is wanted of them, as a list. Mutually exclusive with O(path) and O(source).
      - An element's options are those of the module. What an element leaves out is taken from the
        option of that name beside the list.
      - If one image cannot be had as wanted, the module fails before it touches any.
    type: list
    elements: dict
    suboptions:
      path: {description: See O(path)., type: path, required: true}
      state: {description: See O(state)., type: str, choices: [present, absent]}
      size: {description: See O(size)., type: raw}
      source: {description: See O(source)., type: path}
      source_format: {description: See O(source_format)., type: str, choices: [raw, qcow2, vhd, vhdx, vmdk, vdi, qed]}
      format: {description: See O(format)., type: str, choices: [raw], version_added: 1.1.0}
      filesystem: {description: See O(filesystem)., type: str, choices: [ext2, ext3, ext4, vfat, tar]}
      label: {description: See O(label)., type: str}
      fat_sector_size: {description: See O(fat_sector_size)., type: int, choices: [512, 4096]}
      preserve: {description: See O(preserve)., type: bool}
      allocation: {description: See O(allocation)., type: str, choices: [sparse, full]}
      shrink: {description: See O(shrink)., type: bool}
      volatile: {description: See O(volatile)., type: bool, version_added: 1.1.0}
      parents: {description: See O(parents)., type: bool}
      named_in:
        description: See O(named_in).
        type: dict
        version_added: 1.1.0
        suboptions:
          directories: {description: "See O(named_in.directories).", type: list, elements: path, required: true}
          but_for: {description: "See O(named_in.but_for).", type: list, elements: path}
      slots:
        description: See O(slots).
        type: list
        elements: dict
        version_added: 1.1.0
        suboptions:
          domain: {description: "See O(slots[].domain).", type: str, required: true}
          vdev: {description: "See O(slots[].vdev).", type: str, required: true}
          config: {description: "See O(slots[].config).", type: path}
      allow_slot_change: {description: See O(allow_slot_change)., type: bool, version_added: 1.1.0}
      autostart_dir: {description: See O(autostart_dir)., type: path, version_added: 1.1.0}
      owner: {description: See O(owner)., type: str}
      group: {description: See O(group)., type: str}
      mode: {description: See O(mode)., type: raw}
      seuser: {description: See O(seuser)., type: str}
      serole: {description: See O(serole)., type: str}
      setype: {description: See O(setype)., type: str}
      selevel: {description: See O(selevel)., type: str}
  path:
    description:
      - The image, an absolute path on the managed host. Required unless O(disks) is given.
      - Its directory must exist, or O(parents) be set. The file system must have hard links.
    type: path
  state:
    description:
      - V(present) creates the image, or makes the one that exists as large as O(size) says.
        V(absent) deletes it.
    type: str
    choices: [present, absent]
    default: present
  size:
    description:
      - Size of the image as the guest sees it, in bytes or with a binary unit, such as
        V(16777216), V(16MiB) or V(16M); a multiple of 512.
      - Required for a new image without O(source). An image that exists keeps its size where this
        is not given.
      - With O(filesystem) and O(source), a new image is by default as large as the content needs, a
        multiple of 4096 bytes.
      - MirageOS on Xen sees only whole blocks of 4096 bytes, so any other size gives a warning.
    type: raw
  source:
    description:
      - An image on the managed host whose content a new image gets. With O(filesystem), a directory
        there whose content the new file system gets. An image that exists is never written again,
        whatever has become of the source.
      - Holes stay holes, and where the file system can, both images share their blocks until one
        of them is written.
      - The image grows to O(size) where that is larger, and is never smaller than the source. A
        source that does not end with a whole sector of 512 bytes is filled up with zeros.
      - A source in use gives a warning, as what is written to it meanwhile may be missing in the
        copy.
      - A directory is looked through as it is on its own file system, without following any link.
        One that has anything but files, directories and symbolic links in it is refused, and so is
        one with a directory that everyone can write to, with another file system mounted in it,
        or one that changes while it is copied. Hard links become files of their own.
    type: path
  source_format:
    description:
      - Format of O(source). It is never guessed, since a guest can write into its raw disk what
        looks like an image of another format and names any file of the host as its content.
      - A source is taken as V(raw) where this is left out. It is refused then if it has the signature of
        another format, such as qcow2, or of a compressed file or an archive. The error names it.
      - V(raw), said in so many words, copies every byte whatever the source looks like. Give it for a tar
        archive that a MirageOS unikernel is to read.
      - Any other format needs C(qemu-img) on the managed host (package C(qemu-utils) on Debian).
        An image that takes data from other files (a backing file, an external data file) is
        refused, and so is one that changes while it is copied.
    type: str
    choices: [raw, qcow2, vhd, vhdx, vmdk, vdi, qed]
  format:
    description:
      - The format of the image at O(path), which is always V(raw) for this module.
      - Without this, an image with the signature of another format (such as qcow2, vhd, a compressed file or a
        zip archive, but not tar) is not grown or cut, as that would break it. A guest can write such a
        signature into its raw disk itself. Say V(raw) for such an image.
    type: str
    choices: [raw]
    version_added: 1.1.0
  filesystem:
    description:
      - What a new image gets on its whole disk, without partitions. The content is that of the
        directory O(source); without one, the file system is empty. It has no effect on an image
        that exists, and when the image grows, the file system does not grow with it.
      - V(ext2), V(ext3) and V(ext4) have blocks of 4096 bytes and no blocks kept for root. Files
        have the owners, modes, times and extended attributes that they have in the directory; its
        topmost directory is root's. They need C(mke2fs) on the managed host (package C(e2fsprogs)).
      - V(vfat) is FAT16, which needs at least 16 MiB with sectors of 4096 bytes and 2076 KiB with
        those of 512. From about 2 GiB on, or with more than 65524 clusters in use, it is FAT32,
        with a warning as MirageOS does not read that. It has no owners and modes; all times are
        those of its making. Symbolic links are refused, and so are names that FAT does not have, or
        that differ only by upper and lower case. It needs C(mkfs.vfat)
        (package C(dosfstools)), C(mcopy) and C(mdir) (C(mtools)). Many long names in one directory
        that begin with the same six characters keep C(mcopy) busy. It takes 20 s for 1000 of them,
        and eight times as long for twice as many.
      - V(tar) is an archive that begins with the disk's first byte, which the key-value store of
        MirageOS reads. It needs a O(source). At least 4096 bytes of zeros follow it. Headers are
        those of ustar, and of pax where a name or number needs them.
    type: str
    choices: [ext2, ext3, ext4, vfat, tar]
  label:
    description:
      - The label of a new file system, at most 16 bytes for V(ext2), V(ext3) and V(ext4). For V(vfat),
        at most 11 ASCII characters without any of C("*+,./:;<=>?[\]|); lower case is kept, though
        some systems may not expect it.
    type: str
  fat_sector_size:
    description:
      - With O(filesystem=vfat), the bytes of a sector, V(512) where this is not given.
      - MirageOS on Xen makes blocks of 4096 bytes of whatever sectors the device has, and reads a FAT only if its
        sectors are as large.
    type: int
    choices: [512, 4096]
  preserve:
    description:
      - With O(filesystem=tar), whether each member has the owner and group (as numbers), the mode
        and the time of its file.
      - Otherwise the archive depends on nothing but names, content and who may execute. Members
        belong to user and group 0, with time 0 and mode V(0644), or V(0755) for directories and for
        files that their owner may execute. Members are sorted in any case.
    type: bool
    default: false
  allocation:
    description:
      - Whether the file system sets aside all blocks of the image at once, V(full), or each one
        when it is first written, V(sparse).
      - It counts when the image is created and when it grows. V(full) then fills all of its
        holes; nothing takes blocks away.
    type: str
    choices: [sparse, full]
    default: sparse
  shrink:
    description:
      - Whether an image larger than O(size) is cut, which destroys what lies beyond. Otherwise
        that is an error.
    type: bool
    default: false
  volatile:
    description:
      - Whether a new image may be made where it is gone when the host boots, which is on a C(tmpfs) or C(ramfs)
        and below C(/run). Otherwise that is an error. Symbolic links in the path are followed first.
      - Below C(/dev), C(/proc) and C(/sys) no image is made in any case, except in C(/dev/shm). An image that
        exists is used wherever it is.
    type: bool
    default: false
    version_added: 1.1.0
  parents:
    description:
      - Whether the directories above a new image are created where they do not exist. Otherwise
        that is an error.
      - They belong to root and have mode V(0755), whatever O(owner), O(mode) and so on say, which
        are the image's. They stay when the image cannot be created, or is deleted later.
    type: bool
    default: false
  slots:
    description:
      - The slots of domains that the image is for. A new image is not made if the config of such a domain has
        another disk in that slot, because M(xen.blockdev.xen_domain_config) would refuse to write the new image
        there.
      - An image that exists is used whatever configs say.
    type: list
    elements: dict
    version_added: 1.1.0
    suboptions:
      domain:
        description: The domain.
        type: str
        required: true
      vdev:
        description: The slot.
        type: str
        required: true
      config:
        description:
          - The config, by default C(/etc/xen/<domain>.cfg). If it does not exist, the configs count that
            M(xen.blockdev.xen_domain_config) takes for the former ones of the domain.
        type: path
  allow_slot_change:
    description: Whether a new image may be made for slots that have another disk. Then O(slots) has no effect.
    type: bool
    default: false
    version_added: 1.1.0
  autostart_dir:
    description: Where C(xendomains) finds what it starts, see O(xen.blockdev.xen_domain_config#module:autostart_dir).
    type: path
    default: /etc/xen/auto
    version_added: 1.1.0
notes:
  - On a file system without unnamed temporary files (open(2), C(O_TMPFILE)), a file
    C(.xen_raw_disk.*) lies beside the image while it is made. It stays there only if the module
    itself is killed.
  - To learn whether a file system holds an image of 2 TiB or more, such a file without a name is
    made, sized and dropped, in check mode too. Nothing of it can be seen.
seealso:
  - module: xen.blockdev.xen_loopdev
  - module: xen.blockdev.xen_vbd_attach
  - module: ansible.builtin.file
"""

EXAMPLES = r"""
- name: Create an image, or grow it to this size
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/boot.raw
    size: 16MiB
  register: image

- name: Show what it takes of the file system
  ansible.builtin.debug:
    msg: "{{ image.disks[0].path }} takes {{ image.disks[0].allocated }} bytes"

- name: Have many images in one call, all but one with all their blocks
  xen.blockdev.xen_raw_disk:
    allocation: full
    disks:
      - path: /srv/xen/web/boot.raw
        size: 16MiB
      - path: /srv/xen/web/data.raw
        size: 2GiB
        allocation: sparse
      - path: /srv/xen/web/old.raw
        state: absent

- name: Create an image and, where they do not exist, the directories above it
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/new/boot.raw
    size: 16MiB
    parents: true

- name: Copy a raw image and make the copy larger
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/db/root.raw
    source: /srv/xen/base/debian.raw
    size: 8GiB

- name: Make a raw image of one in another format
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/mail/root.raw
    source: /srv/xen/base/debian.qcow2
    source_format: qcow2

- name: Make a file system with the content of a directory, as large as it needs
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/content.raw
    filesystem: ext4
    label: CONTENT
    source: /srv/content

- name: Make a FAT that a MirageOS unikernel on Xen can read
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/fat.raw
    filesystem: vfat
    fat_sector_size: 4096
    size: 64MiB
    source: /srv/content

- name: Make an archive for the key-value store of a MirageOS unikernel
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/kv.raw
    filesystem: tar
    source: /srv/content

- name: Make an empty file system
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/scratch.raw
    filesystem: ext4
    label: SCRATCH
    size: 1GiB

- name: Shrink an image, refused while anything uses it
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/data.raw
    size: 1GiB
    shrink: true

- name: Let the user of a backend process read and write an image
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/data.raw
    owner: root
    group: disk
    mode: "0660"

- name: Give an image an SELinux context
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/data.raw
    seuser: system_u
    serole: object_r
    setype: xen_image_t
    selevel: s0

- name: Create an image, refused if the domain's config has another disk as xvdb
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/data.raw
    size: 1GiB
    slots:
      - {domain: web, vdev: xvdb}

- name: Delete an image, refused while anything uses it
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/old.raw
    state: absent

- name: Plan in check mode to delete what earlier tasks would have detached and unbound
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/data.raw
    state: absent
    pending: "{{ detached.pending | combine(unbound.pending) }}"
  check_mode: true
"""

RETURN = r"""
disks:
  description:
    - The images in the order in which they were given, in a list even for one image.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The image, as it was given.
      type: str
      returned: always
      sample: /srv/xen/web/boot.raw
    size:
      description: Size of the image in bytes, V(none) where there is no image.
      type: int
      returned: when the image could be looked at
      sample: 16777216
    allocated:
      description:
        - Bytes that the file system has set aside for the image, V(none) where there is no image.
        - In check mode it is an estimate, and V(none) for a sparse copy or file system.
      type: int
      returned: when the image could be looked at
      sample: 4096
    changed: {description: Whether this item was changed., type: bool, returned: always, sample: true}
    actions:
      description: What was done or, in check mode, would be done.
      type: list
      elements: str
      returned: always
      sample: ["create /srv/xen/web/boot.raw, 16MiB, sparse"]
    msg:
      description: What went wrong with this item.
      type: str
      returned: when it failed
      sample: >-
        cannot delete /srv/xen/web/old.raw: bound to /dev/loop3; unbind it first (xen_loopdev with
        state: absent)
pending:
  description:
    - In check mode, the entries of RV(disks) that would change, under that name. Otherwise empty.
    - Later tasks take it as O(pending). Several are merged by C(combine).
  returned: when the items could be looked at
  type: dict
  sample: {}
  version_added: 1.1.0
"""

from ansible_collections.xen.blockdev.plugins.module_utils.converge.module import (
    NAMED_IN,
    STATE,
    Interface,
    converge,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.fat import SECTOR_SIZES
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system_options import (
    FILE_SYSTEMS,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.source import FORMATS
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk import open_images
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk_item import (
    RawDiskItem,
)

INTERFACE = Interface(
    items="disks",
    identity=("path",),
    own=("source",),
    options={
        "path": {"type": "path"},
        "state": STATE,
        "size": {"type": "raw"},
        "source": {"type": "path"},
        "source_format": {"type": "str", "choices": FORMATS},
        "format": {"type": "str", "choices": ["raw"]},
        "filesystem": {"type": "str", "choices": FILE_SYSTEMS},
        "label": {"type": "str"},
        "fat_sector_size": {"type": "int", "choices": list(SECTOR_SIZES)},
        "preserve": {"type": "bool", "default": False},
        "allocation": {"type": "str", "choices": ["sparse", "full"], "default": "sparse"},
        "shrink": {"type": "bool", "default": False},
        "volatile": {"type": "bool", "default": False},
        "parents": {"type": "bool", "default": False},
        "named_in": NAMED_IN,
        "slots": {
            "type": "list",
            "elements": "dict",
            "options": {
                "domain": {"type": "str", "required": True},
                "vdev": {"type": "str", "required": True},
                "config": {"type": "path"},
            },
        },
        "allow_slot_change": {"type": "bool", "default": False},
        "autostart_dir": {"type": "path", "default": "/etc/xen/auto"},
    },
    files=True,
    read=RawDiskItem.read,
)


def main() -> None:
    converge(INTERFACE, open_images)


if __name__ == "__main__":
    main()
