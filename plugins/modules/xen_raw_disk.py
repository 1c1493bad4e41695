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
  - Manages raw images, the files that hold the disks of guests, any number of them in one call.
  - A new image is empty, a copy of another image, or a file system or archive with the content of a
    directory.
  - A new image appears under its name only when it is complete, and never replaces another file. If
    its creation fails, nothing is left behind.
  - An image can grow while a guest uses it. Bind it again with M(xen.blockdev.xen_loopdev)
    afterwards, so that its loop device gets the new size.
  - The content of an image that exists is never overwritten. It is truncated only with
    O(shrink=true), and neither truncated nor deleted while it is bound to a loop device, attached to
    a domain or open in another process. The error names these users.
  - A symbolic link to an image is followed, but never deleted. Below a world-writable
    directory, only links of root are followed.
extends_documentation_fragment:
  - xen.blockdev.attributes
  - xen.blockdev.file_attributes
  - xen.blockdev.named_in
  - xen.blockdev.pending
options:
  disks:
    description:
      - The images and their wanted state, as a list. Mutually exclusive with O(path) and O(source).
      - An element has the options of the module. Those that it omits are taken from the options of
        the module itself.
      - If one of the images is not possible, the module fails before it changes any.
    type: list
    elements: dict
    suboptions:
      path: {description: See O(path)., type: path, required: true}
      state: {description: See O(state)., type: str, choices: [present, absent]}
      size: {description: See O(size)., type: raw}
      source: {description: See O(source)., type: path}
      source_format: {description: See O(source_format)., type: str, choices: [raw, qcow2, vhd, vhdx, vmdk, vdi, qed]}
      format: {description: See O(format)., type: str, choices: [raw], version_added: 1.1.0}
      filesystem: {description: See O(filesystem)., type: str, choices: [ext2, ext3, ext4, vfat, xfs, swap, iso9660, tar]}
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
      max_overcommit: {description: See O(max_overcommit)., type: float, version_added: 1.1.0}
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
      - Its directory must exist unless O(parents=true). Its file system must support hard links.
    type: path
  state:
    description:
      - V(present) creates the image, or changes the size of an existing one to O(size). V(absent)
        deletes it.
    type: str
    choices: [present, absent]
    default: present
  size:
    description:
      - Size of the image as the guest sees it, in bytes or with a binary unit, such as
        V(16777216), V(16MiB) or V(16M); a multiple of 512.
      - Required for a new image without O(source). An existing image keeps its size if this is
        omitted.
      - With O(filesystem) and O(source), a new image is by default as large as its content needs, a
        multiple of 4096 bytes.
      - MirageOS on Xen sees only whole blocks of 4096 bytes, so any other size gives a warning.
    type: raw
  source:
    description:
      - The absolute path of an image or block device on the managed host, which is copied to a new
        image. With O(filesystem), of a directory whose content is copied into the new file system. An
        image that exists is not written again, even if the source has changed.
      - Holes remain holes. If the file system supports it, both images share their blocks until one
        of them is written. Of a block device, zeros become holes.
      - A file compressed by C(gzip), C(xz), C(bzip2) or C(zstd), by its signature, is uncompressed,
        and zeros become holes. It may have several streams. For C(zstd), the managed host needs that program
        (package C(zstd)). What is in it must be a raw image, so a compressed qcow2 image or tar
        archive is rejected. With O(source_format=raw), the file is copied as it is.
      - How large the content is, and that it is undamaged, is found by uncompressing the file once more
        before anything is changed, in check mode too. That takes as long as the copy, but only once
        for all images of a call, and only if one of them does not exist yet. More than O(size), or
        without it more than the file system of the image has in all, is an error. So is more data
        than the file system has free.
      - A compressed block device is not uncompressed, because a guest may have written to it.
      - O(size) must not be smaller than the source. The rest is a hole. If the source does not end
        with a whole sector of 512 bytes, the sector is padded with zeros.
      - A source in use gives a warning, because data that is written during the copy may be missing
        in it. A block device that the new image itself would lie on is rejected.
      - A directory is read on its own file system only, without following links. It is rejected if
        it contains anything but files, directories and symbolic links, a world-writable directory, or
        the mount point of another file system, and if it changes while it is copied. Hard links
        become separate files.
    type: path
  source_format:
    description:
      - Format of O(source). It is never guessed, because a guest can write an image of another
        format into its raw disk, which refers to any file of the host.
      - If this is omitted, the source must be raw, or a compressed raw image (see O(source)). It is
        rejected if it has the signature of another format, such as qcow2, or of an archive. The error
        names the format.
      - An explicit V(raw) copies every byte whatever signature the source has. Set it for a tar archive
        that a MirageOS unikernel reads.
      - Any other format needs C(qemu-img) on the managed host (package C(qemu-utils) on Debian).
        An image that takes data from other files (a backing file, an external data file) is
        rejected, and so is one that changes while it is copied.
    type: str
    choices: [raw, qcow2, vhd, vhdx, vmdk, vdi, qed]
  format:
    description:
      - The format of the image at O(path), which is always V(raw) for this module.
      - Without this, an image with the signature of another format (such as qcow2, vhd, a compressed file or a
        zip archive, but not tar) is not grown or truncated, because that would damage it. A guest can write
        such a signature into its raw disk. Set V(raw) for such an image.
    type: str
    choices: [raw]
    version_added: 1.1.0
  filesystem:
    description:
      - The file system or archive in a new image, on the whole disk without partitions. It has the
        content of the directory O(source), or is empty without one. A swap area counts as a file
        system, too.
      - An image that exists is never formatted. If something else is on it, a warning says so. When
        the image grows, the file system does not grow with it.
      - V(ext2), V(ext3) and V(ext4) have blocks of 4096 bytes and no blocks reserved for root. Files
        keep the owners, modes, times and extended attributes that they have in the directory; the
        topmost directory belongs to root. They need C(mke2fs) on the managed host (package
        C(e2fsprogs)).
      - V(vfat) is FAT16, which needs at least 16 MiB with sectors of 4096 bytes and 2076 KiB with
        sectors of 512. From about 2 GiB on, or with more than 65518 clusters in use, it is FAT32,
        with a warning because MirageOS cannot read that. It has no owners and modes; all times are
        those of its creation. Symbolic links are rejected, and so are names that FAT does not allow,
        or that differ only by case. Every name is kept as it is, also for MirageOS, which compares
        names exactly. With sectors of 4096 bytes, a warning names those that MirageOS does not find.
        It needs C(mkfs.vfat) (package C(dosfstools)).
      - V(xfs) is always empty, since it cannot be filled without being mounted. It needs at least
        300 MiB, of which about 65 MiB are allocated at once, even in a sparse image, and
        C(mkfs.xfs) (package C(xfsprogs)).
      - V(swap) is a swap area with pages of 4096 bytes, at least 40 KiB. It has no O(source), and needs
        C(mkswap) (package C(util-linux)).
      - V(iso9660) is what a CD has, with Rock Ridge and Joliet. Files keep their owners, modes and
        times. With O(label=cidata), it is the seed that C(cloud-init) looks for. It needs a O(source) and
        C(xorriso) (package C(xorriso)).
      - V(tar) is an archive that begins with the disk's first byte, as the key-value store of
        MirageOS reads it. It needs a O(source). At least 4096 bytes of zeros follow it. Headers are
        ustar, or pax if a name or number needs that.
    type: str
    choices: [ext2, ext3, ext4, vfat, xfs, swap, iso9660, tar]
  label:
    description:
      - The label of a new file system, at most 16 bytes for V(ext2), V(ext3) and V(ext4), 12 for V(xfs),
        and 15 for V(swap). For V(iso9660), at most 32 ASCII characters. For V(vfat), at most 11 ASCII
        characters without any of C("*+,./:;<=>?[\]|); lower case is kept, although some systems do not
        expect it, and MirageOS cannot list the topmost directory then.
      - The label of a file system that exists is not changed; if it is another one, a warning says so.
    type: str
  fat_sector_size:
    description:
      - With O(filesystem=vfat), the bytes of a sector, by default V(512).
      - MirageOS on Xen uses blocks of 4096 bytes whatever sectors the device has, and can only read a FAT with
        sectors of that size.
    type: int
    choices: [512, 4096]
  preserve:
    description:
      - With O(filesystem=tar), whether each member has the owner and group (as numbers), the mode
        and the time of its file.
      - Otherwise the archive depends only on names, content and whether the owner may execute a file.
        Members belong to user and group 0, with time 0 and mode V(0644), or V(0755) for directories
        and for files that their owner may execute. Members are sorted in any case.
    type: bool
    default: false
  allocation:
    description:
      - Whether all blocks of the image are preallocated, V(full), or each one is allocated when it is
        first written, V(sparse). If there is no space for it by then, the guest gets an I/O error; a warning says
        if sparse images may still take more than is free.
      - It applies when the image is created and when it grows. V(full) then fills all of its holes.
        Blocks are never released.
    type: str
    choices: [sparse, full]
    default: sparse
  shrink:
    description:
      - Whether an image larger than O(size) is truncated, which destroys the data beyond. Otherwise
        that is an error.
    type: bool
    default: false
  volatile:
    description:
      - Whether a new image may be created where it is lost at the next boot, which is on a C(tmpfs) or C(ramfs)
        and below C(/run). Otherwise that is an error. Symbolic links in the path are followed first.
      - Below C(/dev), C(/proc) and C(/sys) no image is ever created, except in C(/dev/shm). An image that exists
        is used wherever it is.
    type: bool
    default: false
    version_added: 1.1.0
  parents:
    description:
      - Whether the directories above a new image are created if they do not exist. Otherwise that is
        an error.
      - They belong to root and have mode V(0755); O(owner), O(mode) and so on apply to the image only.
        They remain if the image cannot be created, or is deleted later.
    type: bool
    default: false
  slots:
    description:
      - The slots of domains that the image is for. A new image is not created if the config of such a domain has
        another disk in that slot, because M(xen.blockdev.xen_domain_config) would refuse to write the new image
        there.
      - An image that exists is used without this check.
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
          - The config, by default C(/etc/xen/<domain>.cfg). If it does not exist, the former configs of the
            domain are checked, see M(xen.blockdev.xen_domain_config).
        type: path
  allow_slot_change:
    description: Whether a new image may be created for slots that have another disk. Then O(slots) has no effect.
    type: bool
    default: false
    version_added: 1.1.0
  autostart_dir:
    description: The directory of C(xendomains), see O(xen.blockdev.xen_domain_config#module:autostart_dir).
    type: path
    default: /etc/xen/auto
    version_added: 1.1.0
  max_overcommit:
    description:
      - How much space may be promised to the disks of a file system, as a factor of what they have taken and what is free.
        V(1) allows no more than there is, V(1.5) half as much again.
      - If an image that is created or grows would exceed this, the module fails before it changes anything. If there is too
        much already and the call makes it no worse, it is only a warning, as without this option.
      - See R(sparse and full images, ansible_collections.xen.blockdev.docsite.guide_backings.sparse) for what counts.
    type: float
    version_added: 1.1.0
notes:
  - On a file system without unnamed temporary files (open(2), C(O_TMPFILE)), a file
    C(.xen_raw_disk.*) exists in the directory of the image while it is created. It remains only if the
    module itself is killed.
  - To test whether a file system can hold an image of 2 TiB or more, the module creates an unnamed file of
    that size and drops it, in check mode too. Other processes cannot see it.
seealso:
  - module: xen.blockdev.xen_disks
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

- name: Create an image only if all images of its file system could be filled
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/data.raw
    size: 100GiB
    max_overcommit: 1

- name: Show the space that it uses
  ansible.builtin.debug:
    msg: "{{ image.disks[0].path }} uses {{ image.disks[0].allocated }} bytes"

- name: Create many images in one call, all but one preallocated
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

- name: Create an image and the directories above it
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/new/boot.raw
    size: 16MiB
    parents: true

- name: Copy a raw image and make the copy larger
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/db/root.raw
    source: /srv/xen/base/debian.raw
    size: 8GiB

- name: Uncompress an image, such as a distribution offers, and make it larger
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/root.raw
    source: /srv/xen/base/debian.raw.xz
    size: 8GiB

- name: Copy a logical volume to an image
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/old.raw
    source: /dev/vg0/web-old

- name: Convert an image in another format
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/mail/root.raw
    source: /srv/xen/base/debian.qcow2
    source_format: qcow2

- name: Create a file system with the content of a directory, as large as needed
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/content.raw
    filesystem: ext4
    label: CONTENT
    source: /srv/content

- name: Create a FAT that a MirageOS unikernel on Xen can read
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/fat.raw
    filesystem: vfat
    fat_sector_size: 4096
    size: 64MiB
    source: /srv/content

- name: Create an archive for the key-value store of a MirageOS unikernel
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/kv.raw
    filesystem: tar
    source: /srv/content

- name: Create a seed for cloud-init, from a directory with user-data and meta-data
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/seed.raw
    filesystem: iso9660
    label: cidata
    source: /srv/seeds/web

- name: Create a swap area
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/swap.raw
    filesystem: swap
    size: 1GiB

- name: Create an empty file system
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/scratch.raw
    filesystem: ext4
    label: SCRATCH
    size: 1GiB

- name: Shrink an image, unless it is in use
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/data.raw
    size: 1GiB
    shrink: true

- name: Let the group of a backend process read and write an image
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

- name: Create an image, unless the domain's config has another disk as xvdb
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/data.raw
    size: 1GiB
    slots:
      - {domain: web, vdev: xvdb}

- name: Delete an image, unless it is in use
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/old.raw
    state: absent

- name: Plan in check mode to delete an image that earlier tasks would detach and unbind
  xen.blockdev.xen_raw_disk:
    path: /srv/xen/web/data.raw
    state: absent
    pending: "{{ detached.pending | combine(unbound.pending) }}"
  check_mode: true
"""

RETURN = r"""
disks:
  description:
    - The images in the order of the input, as a list even for one image.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The image, as in the input.
      type: str
      returned: always
      sample: /srv/xen/web/boot.raw
    size:
      description: Size of the image in bytes, V(none) if there is no image.
      type: int
      returned: when the image could be read
      sample: 16777216
    allocated:
      description:
        - Bytes that are allocated for the image, V(none) if there is no image.
        - In check mode it is an estimate, and V(none) for a sparse copy or file system.
      type: int
      returned: when the image could be read
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
stores:
  description:
    - The space of each file system on which the call has images that stay. One that does not report its size, such as C(ramfs), is
      not in the list.
    - In check mode, it is as the call would leave it, except for what the content of a new sparse image takes.
  returned: when the items could be read
  type: list
  elements: dict
  version_added: 1.1.0
  contains:
    name:
      description: Where the file system is mounted.
      type: str
      returned: always
      sample: /srv/xen
    size:
      description: Its size in bytes.
      type: int
      returned: always
      sample: 536870912000
    free:
      description: Bytes that images can still take, including blocks reserved for root.
      type: int
      returned: always
      sample: 21474836480
    taken:
      description: Bytes that are allocated for the images of the call, and for others that are bound to loop devices.
      type: int
      returned: always
      sample: 107374182400
    promised:
      description: Bytes that these images take when all of them are full.
      type: int
      returned: always
      sample: 257698037760
    overcommit:
      description:
        - RV(stores[].promised) divided by the sum of RV(stores[].taken) and RV(stores[].free), rounded up to hundredths. If it is more
          than 1, not all images can be filled.
        - V(none) if that sum is 0.
      type: float
      returned: always
      sample: 2.0
pending:
  description:
    - In check mode, the entries of RV(disks) that would change, under that name. Otherwise empty.
    - Pass it to later tasks as O(pending). Merge several by C(combine).
  returned: when the items could be read
  type: dict
  sample: {}
  version_added: 1.1.0
"""

from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import converge
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk import open_images
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk_interface import (
    INTERFACE,
)


def main() -> None:
    converge(INTERFACE, open_images)


if __name__ == "__main__":
    main()
