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
    reads only block devices, so a file needs a loop device to be a disk of a guest.
  - A binding is identified by the device and inode of the image, so hard links, symbolic links, bind mounts and
    renamed files are all the same image. An image gets one loop device, even if several runs bind it at the same time.
  - A device is bound read-write if the image can be written. Whether a guest may write to it is decided when it is attached.
  - If an image has grown since it was bound, its device gets the new size, even while a guest uses it.
  - If udev has the rule of O(udev_rule), a device that is already bound but has no link gets one.
  - Some differences cannot be changed while a device is bound, namely another O(sector_size), a number other than O(device), and
    a device that is read-only although the image can be written. The image is then unbound and bound again if nothing uses the
    device and this collection bound it. It keeps its number unless O(device) is another one, and gets direct I/O only with
    O(direct_io=true). If the device is in use or another program bound it, the error names the device, the difference, its
    users and the remedy.
  - A device that is in use is never unbound. The error, or with O(in_use=leave) a warning, names its users.
  - If a guest has the image file itself as a disk, Xen's own script has bound it to a loop device and unbinds it when the guest
    shuts down. It is left alone until then, with a warning.
  - If C(/dev) lacks the node of a loop device, as in a container, the node is created if that is allowed.
extends_documentation_fragment:
  - xen.blockdev.attributes
  - xen.blockdev.named_in
  - xen.blockdev.pending
options:
  devices:
    description:
      - The images and their options, as a list. Mutually exclusive with O(path) and O(device).
      - An element has the options of the module. An option that an element omits is taken from the module's option of that name.
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
      - The loop device to use, such as V(/dev/loop7). Without it, an image stays on the device that it has, or gets the kernel's
        next free one.
      - With O(state=absent), only this device is unbound.
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
        zip archive, but not tar) is not bound, because a guest would overwrite data of that format. But a guest can
        also write such a signature to its raw disk. Set V(raw) for such an image. An image that is already bound stays bound.
    type: str
    choices: [raw]
    version_added: 1.1.0
  direct_io:
    description:
      - Whether the device bypasses the page cache of dom0. If this is omitted, a new device does not, and an existing one is not
        changed.
      - V(true) is an error if the image's file system does not allow it. Only binding shows that, so check mode cannot predict it.
    type: bool
  persistent:
    description:
      - Whether the image is bound again when the host boots. V(true) writes a systemd unit for the image to
        C(/etc/systemd/system), which binds it after its file system is mounted and before xendomains starts guests.
        V(false) removes the unit. If this is omitted, an existing unit is not changed, but O(state=absent) removes it unless
        O(device) is given. The device may get another number at boot, even with O(device).
      - The unit fails if the image is missing, or if the link of the device below C(/dev/disk/by-loop-file) leads to another
        device. It then removes that link, so that no guest starts with the wrong disk. The units of other images still run.
      - Nothing is unbound when the host shuts down. Guests are shut down or saved before the file systems of their images are
        unmounted.
      - If systemd does not run, V(true) is not an error. A warning contains the alternatives.
    type: bool
  udev_rule:
    description:
      - Whether udev links every loop device of the host under the path of its image, such as
        C(/dev/disk/by-loop-file/srv/xen/web/boot.raw), which leads to the image whatever number its loop device has.
        V(true) writes a rule to C(/etc/udev/rules.d/61-xen-blockdev.rules) before the first image is bound, if the file is
        missing or differs. V(false) does not change the rule. No option removes it.
      - V(true) does nothing if udev does not run, if that file is a link to C(/dev/null), or with O(state=absent).
    type: bool
    default: false
    version_added: 1.1.0
  sector_size:
    description:
      - The logical sector size of the device in bytes. MirageOS needs 512, and builds its
        blocks of 4096 bytes from eight such sectors.
    type: int
    choices: [512, 1024, 2048, 4096]
    default: 512
  discard_deleted:
    description:
      - Whether O(state=absent) unbinds an image that has been deleted. Its data exists only in the loop device, so
        unbinding destroys it. Without this, it is an error, which names the device from which the image can be copied.
    type: bool
    default: false
  in_use:
    description:
      - What O(state=absent) does if the loop device is in use. V(fail) is an error. V(leave) leaves it bound,
        with its boot unit, and a warning names its users. A device in use is never unbound.
    type: str
    choices: [fail, leave]
    default: fail
    version_added: 1.1.0
  ours_only:
    description:
      - Whether O(state=absent) unbinds only devices that this collection has bound. It recognizes them by a mark that its modules
        set (C(lo_file_name) begins with C(xen.blockdev:)), or by the boot unit of the image, see O(persistent).
      - Other loop devices are left alone, such as those that Xen's own script has bound for a running guest, or C(losetup).
        A warning names such a device if nothing uses it. Deleted images and paths that are not regular files are
        left alone as well.
      - If another item of the same call has the same image, only that item counts.
      - Devices that versions before 1.1.0 bound have no mark.
    type: bool
    default: false
    version_added: 1.1.0
notes:
  - Never write to an image while it is bound, and do not read it through both its path and its device. Data that was written
    through one of them may not be visible through the other.
  - A device with an offset or a size limit was bound by another program. It is an error here and never changed.
seealso:
  - module: xen.blockdev.xen_disks
  - module: xen.blockdev.xen_loopdev_info
  - module: xen.blockdev.xen_raw_disk
  - module: xen.blockdev.xen_vbd_attach
"""

EXAMPLES = r"""
- name: Bind an image to a free loop device
  xen.blockdev.xen_loopdev:
    path: /srv/xen/web/boot.raw
  register: loop

- name: Show which loop device it is
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

- name: Bind an image, and have udev link /dev/disk/by-loop-file/srv/xen/web/boot.raw to its loop device
  xen.blockdev.xen_loopdev:
    path: /srv/xen/web/boot.raw
    udev_rule: true

- name: Unbind an image, which fails while anything uses it
  xen.blockdev.xen_loopdev:
    path: /srv/xen/web/old.raw
    state: absent

- name: Unbind images that this collection may have bound, except for those in use
  xen.blockdev.xen_loopdev:
    state: absent
    ours_only: true
    in_use: leave
    devices:
      - path: /srv/xen/web/log.raw
      - path: /srv/xen/web/root.qcow2

- name: Unbind an image whose file was deleted, which destroys it
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

- name: Plan in check mode with the images as an earlier task would have left them
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
    - In check mode, values that are only known after binding are V(none).
  returned: always
  type: list
  elements: dict
  contains:
    path: {description: The image., type: str, returned: always, sample: /srv/xen/web/boot.raw}
    device:
      description:
        - The loop device, V(none) if the image is not bound.
        - For an item that could not be planned, the value of O(device).
      type: str
      returned: always
      sample: /dev/loop0
    link:
      description:
        - A link to the loop device that stays the same, whatever number the device has after a reboot.
        - V(none) if udev has not created that link, see O(udev_rule).
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
    changed: {description: Whether this item was changed., type: bool, returned: always, sample: true}
    actions:
      description: The actions that were done or, in check mode, would be done.
      type: list
      elements: str
      returned: always
      sample: ["bind /srv/xen/web/boot.raw to a free loop device"]
    msg:
      description: The error of this item.
      type: str
      returned: when it failed
      sample: "cannot unbind /dev/loop3 (/srv/xen/web/old.raw): mounted on /mnt; release it first (detach, unmount, swapoff or close it)"
pending:
  description:
    - In check mode, the entries of RV(devices) that would change, under that name. Otherwise empty.
    - Pass it to later tasks as O(pending). C(combine) merges several of them.
  returned: when the items could be planned
  type: dict
  sample: {}
  version_added: 1.1.0
"""

from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import converge
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev import open_devices
from ansible_collections.xen.blockdev.plugins.module_utils.resources.loopdev_interface import (
    INTERFACE,
)


def main() -> None:
    converge(INTERFACE, open_devices)


if __name__ == "__main__":
    main()
