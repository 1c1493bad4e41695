#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: xen_logical_volume
short_description: Create, fill, grow, shrink and remove logical volumes
version_added: 1.1.0
author: xen.blockdev authors (!UNKNOWN)
description:
  - Manages logical volumes of LVM that are the disks of guests, any number of them in one call.
  - A new volume is empty, a copy of an image, or a file system or archive with the content of a
    directory.
  - No guest reads what another one has left in the extents of the group. A new volume is zeroed, and
    so are the extents by which a volume grows, before it has them. Thin volumes are accepted only in
    a pool that zeroes its blocks. See O(wipe).
  - A new volume gets its name only when it is complete. If its creation fails, what there is of it is
    removed. If the module is killed, or C(lvcreate) itself fails half-way, the next run that manages
    a volume of the group removes what is left.
  - A volume can grow while a guest uses it.
  - The content of a volume that exists is never overwritten. It is shrunk only with O(shrink=true),
    and neither shrunk nor removed while a domain, a mount or another program uses it. The error names
    these users.
  - Every volume that the module creates has the tag C(xen.blockdev).
  - A volume that exists but is not active on this host is activated.
extends_documentation_fragment:
  - xen.blockdev.attributes
  - xen.blockdev.named_in
  - xen.blockdev.pending
options:
  volumes:
    description:
      - The volumes and their wanted state, as a list. Mutually exclusive with O(volume_group),
        O(volume) and O(source).
      - An element has the options of the module. Those that it omits are taken from the options of
        the module itself.
      - If one of the volumes is not possible, the module fails before it changes any.
    type: list
    elements: dict
    suboptions:
      volume_group: {description: See O(volume_group)., type: str, required: true}
      volume: {description: See O(volume)., type: str}
      state: {description: See O(state)., type: str, choices: [present, absent]}
      size: {description: See O(size)., type: raw}
      thin_pool: {description: See O(thin_pool)., type: str}
      stripes: {description: See O(stripes)., type: int}
      tags: {description: See O(tags)., type: list, elements: str}
      wipe: {description: See O(wipe)., type: bool}
      shrink: {description: See O(shrink)., type: bool}
      source: {description: See O(source)., type: path}
      source_format: {description: See O(source_format)., type: str, choices: [raw, qcow2, vhd, vhdx, vmdk, vdi, qed]}
      filesystem: {description: See O(filesystem)., type: str, choices: [ext2, ext3, ext4, vfat, xfs, swap, iso9660, tar]}
      label: {description: See O(label)., type: str}
      fat_sector_size: {description: See O(fat_sector_size)., type: int, choices: [512, 4096]}
      preserve: {description: See O(preserve)., type: bool}
      named_in:
        description: See O(named_in).
        type: dict
        suboptions:
          directories: {description: "See O(named_in.directories).", type: list, elements: path, required: true}
          but_for: {description: "See O(named_in.but_for).", type: list, elements: path}
      slots:
        description: See O(slots).
        type: list
        elements: dict
        suboptions:
          domain: {description: "See O(slots[].domain).", type: str, required: true}
          vdev: {description: "See O(slots[].vdev).", type: str, required: true}
          config: {description: "See O(slots[].config).", type: path}
      allow_slot_change: {description: See O(allow_slot_change)., type: bool}
      autostart_dir: {description: See O(autostart_dir)., type: path}
      max_overcommit: {description: See O(max_overcommit)., type: float}
  volume_group:
    description:
      - The volume group, which must exist. Required unless O(volumes) is given.
      - If a physical volume of it is missing, nothing in it is changed.
    type: str
  volume:
    description:
      - The name of the logical volume. Its device is C(/dev/<volume_group>/<volume>). Required unless
        O(volumes) is given; every element of O(volumes) must have one as well.
      - Letters, digits and any of C(_ + . -). Names that LVM reserves for itself are rejected, and so
        are those that begin with C(xen.blockdev.new.) or C(xen.blockdev.room.).
      - Group and name together have at most about 100 characters; a hyphen counts twice.
    type: str
  state:
    description:
      - V(present) creates the volume, or changes the size of an existing one to O(size). V(absent)
        removes it.
      - A volume is not removed if LVM would remove snapshots with it that the same call does not
        remove, or if it is a pool, a part of another volume, or made of others, such as a cached
        one.
    type: str
    choices: [present, absent]
    default: present
  size:
    description:
      - Size of the volume, in bytes or with a binary unit, such as V(10737418240), V(10GiB) or
        V(10G); a multiple of 512. LVM rounds it up to whole extents of the group, on each stripe.
        A size that is rounded to the one which the volume has is no change.
      - Required for a new volume without O(source). An existing volume keeps its size if this is
        omitted.
      - With O(filesystem) and O(source), a new volume is by default as large as its content needs.
      - A volume with snapshots that have a size of their own, and such a snapshot, cannot be resized.
    type: raw
  thin_pool:
    description:
      - The thin pool of the group in which a new volume is made. It must exist, and zero its blocks
        (C(lvchange --zero y)), unless O(wipe=false).
      - A volume that exists is never moved. If it is not in this pool, that is an error.
    type: str
  stripes:
    description:
      - Across how many physical volumes a new volume is spread, 1 by default. Mutually exclusive with
        O(thin_pool).
      - A volume that exists is never rebuilt. If it has another number of stripes, that is a warning.
    type: int
  tags:
    description:
      - Tags that the volume is to have. Others that it has stay.
    type: list
    elements: str
  wipe:
    description:
      - Whether what was in the extents of a new volume, or in those by which it grows, is overwritten
        with zeros before the volume has its name, or these extents. A disk that can zero by itself
        does so at once; otherwise all of the extents are written.
      - Set V(false) only if whoever gets the disk may read what was in the group before. With
        O(source) or O(filesystem), V(false) is an error.
      - The new extents of a volume that is neither linear nor striped nor thin (raid, cache) cannot
        be wiped before it has them. So it grows only with V(false).
      - While a volume is being grown, the group needs no more free extents than those that it grows
        by.
    type: bool
    default: true
  shrink:
    description:
      - Whether a volume larger than O(size) is cut off, which destroys the data beyond. Otherwise
        that is an error.
      - Newer versions of LVM refuse to cut off a file system that they find in the volume.
    type: bool
    default: false
  source:
    description:
      - The absolute path of an image on the managed host, which is copied to a new volume. With
        O(filesystem), of a directory whose content is copied into the new file system. A volume that
        exists is not written again, even if the source has changed.
      - See O(xen.blockdev.xen_raw_disk#module:source), which has the same rules.
    type: path
  source_format:
    description: Format of O(source), see O(xen.blockdev.xen_raw_disk#module:source_format).
    type: str
    choices: [raw, qcow2, vhd, vhdx, vmdk, vdi, qed]
  filesystem:
    description:
      - The file system or archive in a new volume, on the whole of it, without partitions. It has no
        effect on a volume that exists. When the volume grows, the file system does not grow with it.
      - See O(xen.blockdev.xen_raw_disk#module:filesystem), which has the same rules.
    type: str
    choices: [ext2, ext3, ext4, vfat, xfs, swap, iso9660, tar]
  label:
    description: The label of a new file system, see O(xen.blockdev.xen_raw_disk#module:label).
    type: str
  fat_sector_size:
    description: The bytes of a sector of a FAT, see O(xen.blockdev.xen_raw_disk#module:fat_sector_size).
    type: int
    choices: [512, 4096]
  preserve:
    description: Whether an archive keeps owners, modes and times, see O(xen.blockdev.xen_raw_disk#module:preserve).
    type: bool
    default: false
  slots:
    description:
      - The slots of domains that the volume is for. A new volume is not created if the config of such
        a domain has another disk in that slot, because M(xen.blockdev.xen_domain_config) would refuse
        to write the new volume there.
      - A volume that exists is used without this check.
    type: list
    elements: dict
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
          - The config, by default C(/etc/xen/<domain>.cfg). If it does not exist, the former configs of
            the domain are checked, see M(xen.blockdev.xen_domain_config).
        type: path
  allow_slot_change:
    description: Whether a new volume may be created for slots that have another disk. Then O(slots) has no effect.
    type: bool
    default: false
  autostart_dir:
    description: The directory of C(xendomains), see O(xen.blockdev.xen_domain_config#module:autostart_dir).
    type: path
    default: /etc/xen/auto
  max_overcommit:
    description:
      - How much space may be promised to the volumes of a thin pool, as a factor of its size. V(1) allows no more than there is,
        V(1.5) half as much again.
      - If a volume that is created or grows would exceed this, the module fails before it changes anything. If there is too
        much already and the call makes it no worse, it is only a warning, as without this option.
      - A snapshot counts with its whole size, like any other volume of the pool.
    type: float
requirements:
  - C(lvm) (package C(lvm2) on Debian) and a kernel with device-mapper on the managed host.
  - For thin volumes, C(thin_check) (package C(thin-provisioning-tools) on Debian).
notes:
  - Until a new volume is complete, it is called C(xen.blockdev.new.<volume>). The extents by which a
    volume is about to grow are called C(xen.blockdev.room.<volume>) while they are wiped. So are
    those of four or more new volumes without content, which are wiped together unless hosts share the
    group.
  - In a group that several hosts share, what an interrupted run has left is only named in a warning,
    since another host may be at work on it.
seealso:
  - module: xen.blockdev.xen_raw_disk
  - module: xen.blockdev.xen_disks
  - module: xen.blockdev.xen_vbd_attach
"""

EXAMPLES = r"""
- name: Create a volume, or grow it to this size
  xen.blockdev.xen_logical_volume:
    volume_group: vg0
    volume: web-data
    size: 10GiB
  register: volume

- name: Show where it is
  ansible.builtin.debug:
    msg: "{{ volume.volumes[0].path }} has {{ volume.volumes[0].size }} bytes"

- name: Create many volumes in one call, most of them in a thin pool
  xen.blockdev.xen_logical_volume:
    thin_pool: pool0
    tags: [web]
    volumes:
      - volume_group: vg0
        volume: web-root
        size: 8GiB
      - volume_group: vg0
        volume: web-data
        size: 100GiB
      - volume_group: vg0
        volume: web-old
        state: absent

- name: Spread a volume across two disks
  xen.blockdev.xen_logical_volume:
    volume_group: vg0
    volume: db-data
    size: 200GiB
    stripes: 2

- name: Copy an image into a larger volume
  xen.blockdev.xen_logical_volume:
    volume_group: vg0
    volume: mail-root
    source: /srv/xen/base/debian.qcow2
    source_format: qcow2
    size: 8GiB

- name: Create a file system with the content of a directory
  xen.blockdev.xen_logical_volume:
    volume_group: vg0
    volume: web-content
    filesystem: ext4
    label: CONTENT
    source: /srv/content

- name: Shrink a volume, unless it is in use
  xen.blockdev.xen_logical_volume:
    volume_group: vg0
    volume: web-data
    size: 5GiB
    shrink: true

- name: Remove a volume, unless it is in use or a config names it
  xen.blockdev.xen_logical_volume:
    volume_group: vg0
    volume: web-data
    state: absent
    named_in:
      directories: [/etc/xen]
"""

RETURN = r"""
volumes:
  description:
    - The volumes in the order of the input, as a list even for one volume.
  returned: always
  type: list
  elements: dict
  contains:
    volume_group:
      description: The group, as in the input.
      type: str
      returned: always
      sample: vg0
    volume:
      description: The name of the volume, as in the input.
      type: str
      returned: always
      sample: web-data
    path:
      description: The path of its block device.
      type: str
      returned: when the volume could be read
      sample: /dev/vg0/web-data
    size:
      description: Size of the disk in bytes, V(none) if there is no volume.
      type: int
      returned: when the volume could be read
      sample: 10737418240
    thin_pool:
      description: The thin pool that it is in, V(none) if it is in none.
      type: str
      returned: when the volume could be read
      sample: pool0
    tags:
      description: All of its tags, sorted.
      type: list
      elements: str
      returned: when the volume could be read
      sample: [web, xen.blockdev]
    changed: {description: Whether this item was changed., type: bool, returned: always, sample: true}
    actions:
      description: What was done or, in check mode, would be done.
      type: list
      elements: str
      returned: always
      sample: ["create /dev/vg0/web-data, 10GiB, zeroed"]
    msg:
      description: What went wrong with this item.
      type: str
      returned: when it failed
      sample: >-
        cannot remove /dev/vg0/web-data: attached to domain web as xvdb; detach it first
        (xen_vbd_attach with state: absent)
stores:
  description:
    - The space of each thin pool in which the call has volumes. In check mode, it is as the call would leave it, except for what
      the content of a new volume takes.
    - A pool that is not active, of which nothing is known, is not in the list.
  returned: when the items could be read
  type: list
  elements: dict
  contains:
    name:
      description: The path of the pool.
      type: str
      returned: always
      sample: /dev/vg0/pool0
    size:
      description: Its size in bytes.
      type: int
      returned: always
      sample: 536870912000
    free:
      description: Bytes that its volumes can still take.
      type: int
      returned: always
      sample: 429496729600
    taken:
      description: Bytes that its volumes have taken. What a snapshot shares with its origin counts once.
      type: int
      returned: always
      sample: 107374182400
    promised:
      description: Bytes that its volumes take when all of them are full, and nothing in snapshots is shared any more.
      type: int
      returned: always
      sample: 1073741824000
    overcommit:
      description:
        - RV(stores[].promised) divided by the sum of RV(stores[].taken) and RV(stores[].free), rounded up to hundredths. If it is
          more than 1, not all volumes can be filled.
        - V(none) if that sum is 0.
      type: float
      returned: always
      sample: 2.0
pending:
  description:
    - In check mode, the entries of RV(volumes) that would change, under that name. Otherwise empty.
    - Pass it to later tasks as O(pending). Merge several by C(combine).
  returned: when the items could be read
  type: dict
  sample: {}
"""

from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import converge
from ansible_collections.xen.blockdev.plugins.module_utils.resources.logical_volume import (
    open_volumes,
)
from ansible_collections.xen.blockdev.plugins.module_utils.resources.logical_volume_interface import (
    INTERFACE,
)


def main() -> None:
    converge(INTERFACE, open_volumes)


if __name__ == "__main__":
    main()
