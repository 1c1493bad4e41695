#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: xen_loopdev
short_description: Bind disk images to loop devices
version_added: 1.0.0
author: xen.blockdev authors (!UNKNOWN)
description:
  - Binds raw images to loop devices and unbinds them, any number of them in one call. Xen's C(blkback)
    reads only block devices, so this is what makes a guest's disk of a file.
  - A binding is found by the device and inode of the image, so hard links, symbolic links, bind mounts and
    renamed files are all the same image. However many runs bind it at the same time, it ends up on one
    loop device.
  - A device is bound read-write whenever the image can be written. What a guest may do with it is said
    where it is attached.
  - An image that has grown since it was bound gets the new size through to the device, also while a guest
    uses it.
  - Where udev has the rule of O(udev_rule), a device that was bound before and has no link that follows its image
    is given one.
  - A device that is not as wanted, and cannot become so while it is bound, is unbound and the image bound anew if nothing
    uses it and this collection has bound it. That is one with another O(sector_size), with another number than O(device), and
    one that is read-only although the image can be written. It keeps its number unless O(device) is another one, and has
    direct I/O as O(direct_io) says of a new binding. Where it is in use or another program has bound it, the error names the
    device, what differs, its users and the remedy.
  - What is in use is never unbound. The error, or with O(in_use=leave) a warning, says by whom.
  - An image that a guest runs on as a file has a loop device of Xen's own script, which unbinds it when the guest ends.
    It is left alone until then, with a warning.
  - Where C(/dev) lacks the node of a loop device, as in a container, the node is made if that is allowed.
extends_documentation_fragment:
  - xen.blockdev.attributes
  - xen.blockdev.named_in
  - xen.blockdev.pending
options:
  devices:
    description:
      - The images and what is wanted of them, as a list. Mutually exclusive with O(path) and O(device).
      - An element's options are those of the module. What an element leaves out is taken from the option of
        that name beside the list.
    type: list
    elements: dict
    suboptions:
      path: {description: See O(path)., type: path, required: true}
      device: {description: See O(device)., type: str}
      state: {description: See O(state)., type: str, choices: [present, absent]}
      format: {description: See O(format)., type: str, choices: [raw], version_added: 1.1.0}
      direct_io: {description: See O(direct_io)., type: bool}
      persistent: {description: See O(persistent)., type: bool}
      udev_rule: {description: See O(udev_rule)., type: bool}
      sector_size: {description: See O(sector_size)., type: int, choices: [512, 1024, 2048, 4096]}
      discard_deleted: {description: See O(discard_deleted)., type: bool}
      in_use: {description: See O(in_use)., type: str, choices: [fail, leave]}
      ours_only: {description: See O(ours_only)., type: bool}
      postpone: {description: See O(postpone)., type: bool}
      named_in:
        description: See O(named_in).
        type: dict
        version_added: 1.1.0
        suboptions:
          directories: {description: "See O(named_in.directories).", type: list, elements: path, required: true}
          but_for: {description: "See O(named_in.but_for).", type: list, elements: path}
  path:
    description:
      - The image, an absolute path on the managed host. Required unless O(devices) is given.
    type: path
  device:
    description:
      - The loop device to take, such as V(/dev/loop7). Without it the kernel's next free one is taken, or
        whichever the image is bound to already.
      - With O(state=absent) only this device is unbound.
    type: str
  state:
    description:
      - V(present) binds the image. V(absent) unbinds it.
    type: str
    choices: [present, absent]
    default: present
  format:
    description:
      - The format of the image. A loop device shows the bytes of the file as they are, so it is always V(raw).
      - Without this, an image with the signature of another format (such as qcow2, vhd, a compressed file or a
        zip archive, but not tar) is not bound, as a guest would write into what is not its disk. A guest can
        write such a signature into its raw disk itself. Say V(raw) for such an image. One that is bound
        already stays bound.
    type: str
    choices: [raw]
    version_added: 1.1.0
  direct_io:
    description:
      - Whether the device bypasses the page cache of dom0. A new binding does not unless this is V(true);
        one that exists is left as it is unless this is given.
      - It is an error where the image's file system does not allow it. Only binding tells, so check mode does not
        foresee that.
    type: bool
  persistent:
    description:
      - Whether the image is bound again when the host boots. V(true) has systemd do that, by a unit for each image
        in C(/etc/systemd/system), once the file system of the image is mounted and before xendomains starts guests.
        V(false) removes the unit. One that exists is left as it is unless this is given; O(state=absent) removes
        it, but not where O(device) names one of the image's devices. The device's number is not kept, O(device)
        or not.
      - The unit fails, and no other one with it, if the image is missing or if the device's name under
        C(/dev/disk/by-loop-file) leads to anything else. That name is removed then, so that no guest starts on what
        it leads to.
      - Nothing is unbound when the host shuts down. Guests are ended or saved before their images are unmounted.
      - Where systemd does not run, V(true) is not an error. A warning says what can be done.
    type: bool
  udev_rule:
    description:
      - Whether udev links every loop device of the host under the path of its image, such as
        C(/dev/disk/by-loop-file/srv/xen/web/boot.raw), which leads to the image whatever number its loop device has.
        V(true) writes a rule to C(/etc/udev/rules.d/61-xen-blockdev.rules) before the first image is bound, if there is
        none or another one. V(false) leaves the rule as it is. No option removes it.
      - Where udev does not run, where that file is a link to C(/dev/null), and for an image that is to be unbound,
        V(true) does nothing.
    type: bool
    default: false
    version_added: 1.1.0
  sector_size:
    description:
      - The logical sector size of the device in bytes. MirageOS wants 512, and makes its
        blocks of 4096 bytes of eight such sectors.
    type: int
    choices: [512, 1024, 2048, 4096]
    default: 512
  discard_deleted:
    description:
      - Whether O(state=absent) unbinds an image that has been deleted. It lives on in the loop device only, so
        that destroys it. Otherwise that is an error, which says where the image can be copied from.
    type: bool
    default: false
  in_use:
    description:
      - What O(state=absent) does with a loop device that is in use. V(fail) is an error. V(leave) leaves it bound,
        with its boot unit, and a warning names the user. Whatever it is, nothing in use is unbound.
    type: str
    choices: [fail, leave]
    default: fail
    version_added: 1.1.0
  ours_only:
    description:
      - Whether O(state=absent) unbinds only what this collection has bound. That is told by a mark which the modules
        give to what they bind (C(lo_file_name) begins with C(xen.blockdev:)), or by the unit of the image, see
        O(persistent).
      - A loop device of someone else is left, such as the one that Xen's own script has made for a running guest or
        one of C(losetup). A warning names it if nothing uses it. So is an image that has been deleted, and any path that is
        no regular file.
      - If another item of the same call is about the image, that one alone counts.
      - What versions before 1.1.0 have bound has no mark.
    type: bool
    default: false
    version_added: 1.1.0
  postpone:
    description:
      - With O(state=absent) and O(ours_only=true), only tell by RV(devices[].postponed) whether there is something to
        take back. A play unbinds a device after it has written the config that named it.
    type: bool
    default: false
    version_added: 1.1.0
notes:
  - Never write to an image while it is bound, and do not read it through both its path and its device. What one
    of them writes, the other may not see.
  - A binding with an offset or a size limit belongs to whoever made it. It is an error here and never touched.
seealso:
  - module: xen.blockdev.xen_loopdev_info
  - module: xen.blockdev.xen_raw_disk
  - module: xen.blockdev.xen_vbd_attach
"""

EXAMPLES = r"""
- name: Bind an image to a free loop device
  xen.blockdev.xen_loopdev:
    path: /srv/xen/web/boot.raw
  register: loop

- name: Show which one it is
  ansible.builtin.debug:
    msg: "{{ loop.devices[0].path }} is {{ loop.devices[0].device }}"

- name: Bind many images in one call, all but one with direct I/O
  xen.blockdev.xen_loopdev:
    direct_io: true
    devices:
      - path: /srv/xen/web/boot.raw
      - path: /srv/xen/web/data.raw
        sector_size: 4096
      - path: /srv/xen/db/boot.raw
        device: /dev/loop20
        direct_io: false

- name: Bind images now and at every boot, before guests are started
  xen.blockdev.xen_loopdev:
    persistent: true
    devices:
      - path: /srv/xen/web/boot.raw
      - path: /srv/xen/web/data.raw

- name: Bind an image, and have /dev/disk/by-loop-file/srv/xen/web/boot.raw lead to its loop device
  xen.blockdev.xen_loopdev:
    path: /srv/xen/web/boot.raw
    udev_rule: true

- name: Unbind an image, refused while anything uses it
  xen.blockdev.xen_loopdev:
    path: /srv/xen/web/old.raw
    state: absent

- name: Have no loop device of this collection for images that it may have bound once, but leave those of guests that run
  xen.blockdev.xen_loopdev:
    state: absent
    ours_only: true
    in_use: leave
    devices:
      - path: /srv/xen/web/log.raw
      - path: /srv/xen/web/root.qcow2

- name: Unbind an image that somebody has deleted, and so destroy it
  xen.blockdev.xen_loopdev:
    path: /srv/xen/web/deleted.raw
    state: absent
    discard_deleted: true

- name: Plan in check mode for an image that an earlier task would have created
  xen.blockdev.xen_loopdev:
    path: /srv/xen/web/new.raw
    pending:
      disks:
        - path: /srv/xen/web/new.raw
  check_mode: true

- name: Plan in check mode for what an earlier task would have made of the images
  xen.blockdev.xen_loopdev:
    devices:
      - path: /srv/xen/web/grown.raw
      - path: /srv/xen/web/new.raw
    pending: "{{ images.pending }}"
  check_mode: true

- name: Plan in check mode for an image that an earlier task would have detached
  xen.blockdev.xen_loopdev:
    path: /srv/xen/web/data.raw
    state: absent
    pending:
      vbds:
        - domain: web
          vdev: xvdb
  check_mode: true
"""

RETURN = r"""
devices:
  description:
    - The images in the order in which they were given, in a list even for one image.
    - In check mode, what cannot be known before the image is bound is V(none).
  returned: always
  type: list
  elements: dict
  contains:
    path: {description: The image., type: str, returned: always, sample: /srv/xen/web/boot.raw}
    device:
      description:
        - The loop device, V(none) where the image is not bound.
        - For an item that could not be planned, the one that was asked for.
      type: str
      returned: always
      sample: /dev/loop0
    link:
      description:
        - A path of the loop device that follows the image, whatever number the device has after the next boot.
        - V(none) where udev has not made that link, see O(udev_rule).
      type: str
      returned: unless the item could not be planned
      sample: /dev/disk/by-loop-file/srv/xen/web/boot.raw
    major:
      description: Major number of the loop device.
      type: int
      returned: unless the item could not be planned
      sample: 7
    minor:
      description: Minor number of the loop device.
      type: int
      returned: unless the item could not be planned
      sample: 0
    size:
      description:
        - Size of the loop device in bytes, V(none) if the image is not bound.
        - In check mode it is left out if the size of the image is not known yet, see O(pending).
      type: int
      returned: unless the item could not be planned
      sample: 16777216
    direct_io:
      description: Whether the device bypasses the page cache.
      type: bool
      returned: unless the item could not be planned
      sample: false
    read_only:
      description: Whether the device refuses writes, because the image cannot be written.
      type: bool
      returned: unless the item could not be planned
      sample: false
    persistent:
      description: Whether systemd binds the image when the host boots.
      type: bool
      returned: unless the item could not be planned
      sample: true
    postponed:
      description: Whether the image has a loop device or a boot unit of ours, which a later task is to take back.
      type: bool
      returned: with O(postpone=true)
      sample: false
    changed: {description: Whether this item was changed., type: bool, returned: always, sample: true}
    actions:
      description: What was done or, in check mode, would be done.
      type: list
      elements: str
      returned: always
      sample: ["bind /srv/xen/web/boot.raw to a free loop device"]
    msg:
      description: What went wrong with this item.
      type: str
      returned: when it failed
      sample: "cannot unbind /dev/loop3 (/srv/xen/web/old.raw): mounted on /mnt; end that first (detach, unmount, swapoff, close it)"
pending:
  description:
    - In check mode, the entries of RV(devices) that would change, under that name. Otherwise empty.
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
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev import open_devices
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_item import (
    LoopdevItem,
)


def main() -> None:
    converge(
        Interface(
            items="devices",
            identity=("path", "device"),
            options={
                "path": {"type": "path"},
                "device": {"type": "str"},
                "state": STATE,
                "format": {"type": "str", "choices": ["raw"]},
                "direct_io": {"type": "bool"},
                "persistent": {"type": "bool"},
                "udev_rule": {"type": "bool", "default": False},
                "sector_size": {"type": "int", "choices": [512, 1024, 2048, 4096], "default": 512},
                "discard_deleted": {"type": "bool", "default": False},
                "in_use": {"type": "str", "choices": ["fail", "leave"], "default": "fail"},
                "ours_only": {"type": "bool", "default": False},
                "postpone": {"type": "bool", "default": False},
                "named_in": NAMED_IN,
            },
            read=LoopdevItem.read,
        ),
        open_devices,
    )


if __name__ == "__main__":
    main()
