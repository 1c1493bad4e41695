#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: xen_disks_info
short_description: Show all domains and disks of a host through all layers
version_added: 1.1.0
author: xen.blockdev authors (!UNKNOWN)
description:
  - Shows the whole host in one result, whatever the number of domains. It shows the domains that have a config, run
    or are saved. For each of their disks it shows what the config says, what the running guest has, the loop device,
    and the image or block device with its identity, its file system and what uses it in dom0. It also shows what
    belongs to no domain.
  - It says what is there, and not whether that is right.
  - Each source is read once. The only programs that are started are C(xl), and C(lvm) if there are active logical
    volumes, each once. What is on the disks is not read, but for the first and last bytes of image files.
  - What cannot be read, such as a config with a syntax error, is listed in RV(host.configs[].problems) or
    RV(host.unread), and all the rest is shown. If something is in RV(host.unread), there is a warning.
  - Parts of the result refer to each other by names that stay the same over a reboot, as far as the things themselves
    do.
  - Names, targets and errors are texts that guests and users wrote. Treat them as data.
extends_documentation_fragment:
  - xen.blockdev.attributes.info
options:
  config_dirs:
    description:
      - Directories with configs. Those in O(autostart_dir) are found as well.
      - A file is a config if it sets a name, if its own name ends in C(.cfg), or if C(xendomains) starts it. Hidden
        files, copies that end in a tilde, files of more than 1 MiB and xl's own examples (C(xlexample.*)) are left out.
    type: list
    elements: path
    default: [/etc/xen]
  images_dirs:
    description:
      - Directories with images, to find those that belong to no domain. Directories below them are searched too.
    type: list
    elements: path
    default: [/srv/xen]
  autostart_dir:
    description: The directory from which C(xendomains) starts domains.
    type: path
    default: /etc/xen/auto
  settings:
    description:
      - Whether to return the other options of the configs as RV(host.configs[].settings). They may contain passwords,
        so set C(no_log) on the task.
    type: bool
    default: false
notes:
  - A block device that nothing seems to use is opened exclusively (O_EXCL) for a moment, to see whether something holds
    it. Another program that wants it exclusively at that moment, such as C(mount), is told that it is busy.
  - Volumes that are not active are not shown, nor are domains that were saved by anything but C(xendomains).
seealso:
  - module: xen.blockdev.xen_loopdev_info
  - module: xen.blockdev.xen_vbd_info
"""

EXAMPLES = r"""
- name: Read the host
  xen.blockdev.xen_disks_info:
  register: info

- name: Show which data each disk has
  ansible.builtin.debug:
    msg: "{{ (item.attached + item.configured) | map(attribute='storage') | unique }}"
  loop: "{{ info.host.disks }}"
  loop_control:
    label: "{{ item.domain }} {{ item.vdev }}"

- name: Show the disks that running guests have and no config has
  ansible.builtin.debug:
    msg: "{{ info.host.disks | selectattr('attached') | rejectattr('configured') | map(attribute='vdev') }}"

- name: Show the images that belong to no domain, with the bytes that they take
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.file.allocated }}"
  loop: "{{ info.host.storages | selectattr('name', 'in', info.host.leftovers.images) }}"
  loop_control:
    label: "{{ item.name }}"

- name: Read configs in another directory, with all that they say
  xen.blockdev.xen_disks_info:
    config_dirs: [/etc/xen, /srv/configs]
    settings: true
  register: info
  no_log: true
"""

RETURN = r"""
host:
  description: The host.
  returned: success
  type: dict
  contains:
    version:
      description: Version of these keys. It changes when a key is removed or gets another meaning.
      type: int
      returned: success
    host:
      description: Name of the host, as its kernel has it.
      type: str
      returned: success
    time:
      description: When the host was read, in seconds since 1970.
      type: float
      returned: success
    is_xen:
      description:
        - Whether the host is booted under Xen, and this is its dom0. Elsewhere no guests run, and all the rest is read.
      type: bool
      returned: success
    config_dirs:
      description: The option O(config_dirs).
      type: list
      elements: str
      returned: success
    images_dirs:
      description: The option O(images_dirs).
      type: list
      elements: str
      returned: success
    autostart_dir: {description: The option O(autostart_dir)., type: str, returned: success}
    domains:
      description: The domains, by name. What has the same name belongs to the same domain.
      type: list
      elements: dict
      returned: success
      contains:
        name: {description: Name of the domain., type: str, returned: success}
        configs:
          description: Paths of its configs. A copy of a config is a config, too.
          type: list
          elements: str
          returned: success
        domids:
          description: Its ids, if it runs. There are two for a moment during a migration.
          type: list
          elements: int
          returned: success
        saves:
          description: Paths of its save files.
          type: list
          elements: str
          returned: success
        autostart:
          description: Whether C(xendomains) finds one of its configs when the host boots.
          type: bool
          returned: success
    configs:
      description: The config files.
      type: list
      elements: dict
      returned: success
      contains:
        path: {description: The first path at which it was found. It may be a link., type: str, returned: success}
        file: {description: The same without symbolic links., type: str, returned: success}
        domain:
          description: The name that it sets. V(none) if it cannot be read, or sets none.
          type: str
          returned: success
        rendered:
          description: Whether M(xen.blockdev.xen_domain_config) wrote all of it.
          type: bool
          returned: success
        guest:
          description: What it says of the guest, as far as the disks depend on it. V(none) if it cannot be read.
          type: dict
          returned: success
          contains:
            type:
              description: V(hvm), V(pv) or V(pvh).
              type: str
              returned: success
            hdtype:
              description: The bus of the hard disks of an HVM guest. V(none) for xl's default, IDE.
              type: str
              returned: success
            known_drives:
              description:
                - >-
                  Whether the rules for emulated drives apply: not with a stub domain or the old device model.
              type: bool
              returned: success
            needs_disk: {description: Whether an HVM guest boots from an emulated drive., type: bool, returned: success}
        settings:
          description:
            - All of its options but C(name) and C(disk), as M(xen.blockdev.xen_domain_config) takes them. V(none)
              without O(settings).
          type: dict
          returned: success
        autostart:
          description: Paths of the entries in RV(host.autostart) that lead to it.
          type: list
          elements: str
          returned: success
        problems:
          description: Why it, or a part of it, cannot be read, or is not read by C(xl).
          type: list
          elements: str
          returned: success
    autostart:
      description: What is in the directory from which C(xendomains) starts domains when the host boots.
      type: list
      elements: dict
      returned: success
      contains:
        path: {description: Path of the entry., type: str, returned: success}
        file:
          description: What it leads to, without symbolic links.
          type: str
          returned: success
        exists: {description: Whether that exists., type: bool, returned: success}
        is_link: {description: Whether it is a symbolic link., type: bool, returned: success}
        is_started:
          description: Whether C(xendomains) finds it by its name. It passes over names with blanks, for instance.
          type: bool
          returned: success
        config:
          description: The path, in RV(host.configs), of the config that it leads to.
          type: str
          returned: success
    guests:
      description: The domains in the hypervisor, without dom0. V(none) if xenstore cannot be read, see RV(host.unread).
      type: list
      elements: dict
      returned: success
      contains:
        domid: {description: Id of the domain., type: int, returned: success}
        name: {description: Its name. V((null\)) for what is left of a destroyed one., type: str, returned: success}
        uuid: {description: Its UUID., type: str, returned: success}
        type:
          description: V(hvm), V(pv) or V(pvh).
          type: str
          returned: success
        status:
          description:
            - V(running), V(paused), V(shutdown), V(crashed), V(suspended) or V(dying). V(none) if C(xl list) does not
              say.
          type: str
          returned: success
    saves:
      description: The files in which C(xendomains) has saved domains, which it restores when the host boots.
      type: list
      elements: dict
      returned: success
      contains:
        path: {description: Path of the file., type: str, returned: success}
        domain: {description: Name of the domain., type: str, returned: success}
        saved:
          description: When the file was last written, in seconds since 1970.
          type: float
          returned: success
    disks:
      description:
        - >-
          The disks: one entry for each slot of a domain, with what its configs have there, what the running guest has
          there, and what it had when it was saved.
        - They are sorted by domain and slot.
      type: list
      elements: dict
      returned: success
      contains:
        domain:
          description:
            - Name of the domain. V(none) if the domain of an attached disk does not exist any more, and for a disk of a
              config without a name.
          type: str
          returned: success
        xenstore_key:
          description: Number of the slot. V(none) for a disk of a config that cannot be read.
          type: int
          returned: success
        vdev:
          description:
            - >-
              The slot as it is written: for the running guest, or else in the first config.
          type: str
          returned: success
        configured:
          description: The disk in configs, one entry for each config that has it.
          type: list
          elements: dict
          returned: success
          contains:
            config: {description: Path of the config., type: str, returned: success}
            position:
              description: Position in its disk list, from 0.
              type: int
              returned: success
            text: {description: The disk as it is written there., type: str, returned: success}
            said:
              description:
                - What it says, by the keys of P(xen.blockdev.from_xl_disk#filter). V(none) if it cannot be read.
              type: dict
              returned: success
            problem: {description: Why it cannot be read., type: str, returned: success}
            target: {description: The target. V(none) for an empty drive., type: str, returned: success}
            target_form:
              description:
                - >-
                  How the target is written: V(link) (below C(/dev/disk/by-loop-file)), V(loop) (C(/dev/loopN)),
                  V(path), or V(other) for what is no path.
              type: str
              returned: success
            format:
              description:
                - >-
                  The format that C(xl) takes it for: V(raw) if it says none, V(empty) for an empty drive.
              type: str
              returned: success
            access: {description: V(ro) or V(rw)., type: str, returned: success}
            devtype: {description: V(disk) or V(cdrom)., type: str, returned: success}
            storage:
              description:
                - The name, in RV(host.storages), of the data to which the target leads now. If a link of a loop device
                  leads nowhere, that of the image in its name. V(none) if that does not exist.
              type: str
              returned: success
            target_problem: {description: Why the target leads nowhere., type: str, returned: success}
        attached:
          description: The disk in the running guest. Empty if there is none, and if RV(host.guests) is V(none).
          type: list
          elements: dict
          returned: success
          contains:
            domain: {description: Name of the domain., type: str, returned: success}
            domid: {description: Id of the domain., type: int, returned: success}
            xenstore_key: {description: Number of the slot., type: int, returned: success}
            vdev: {description: The slot as it was written when the disk was attached., type: str, returned: success}
            devtype: {description: V(disk) or V(cdrom)., type: str, returned: success}
            target:
              description: The target that C(xl) attached. Empty for an empty drive.
              type: str
              returned: success
            backing_file:
              description: The image of its loop device, followed by the word deleted in brackets if it was deleted.
              type: str
              returned: success
            physical_device:
              description: Major and minor number of the block device that the kernel's backend reads.
              type: str
              returned: success
            format: {description: Format of the target., type: str, returned: success}
            backendtype:
              description: V(phy) or V(qdisk), for instance.
              type: str
              returned: success
            access: {description: V(ro) or V(rw)., type: str, returned: success}
            backend_state:
              description: State of the backend, V(4) if it is connected.
              type: int
              returned: success
            frontend_state:
              description: State of the frontend, which the guest sets.
              type: int
              returned: success
            hotplug_error: {description: Error of the hotplug script., type: str, returned: success}
            sectors:
              description: Size that the guest was told, in units of 512 bytes.
              type: int
              returned: success
            sector_size: {description: Size of its sectors in bytes., type: int, returned: success}
            size:
              description: Size that the guest was told, in bytes. It may not follow that of the storage.
              type: int
              returned: success
            emulated:
              description: Whether QEMU emulates the disk. V(none) if that is not known.
              type: bool
              returned: success
            medium: {description: The path of the CD that QEMU has in the drive., type: str, returned: success}
            script: {description: Path of the hotplug script., type: str, returned: success}
            discard: {description: Whether the guest may discard blocks., type: bool, returned: success}
            direct_io_safe: {description: Whether QEMU opens it with direct I/O., type: bool, returned: success}
            specification:
              description: The protocol, V(xen) or V(virtio). V(none) before Xen 4.17.
              type: str
              returned: success
            backend_domid:
              description: Id of the domain that serves it, V(0) for dom0.
              type: int
              returned: success
            online: {description: Whether the guest has not been asked to release it., type: bool, returned: success}
            flaw:
              description:
                - >-
                  Why it only occupies its slot: it is being attached or detached, or left over from a failed attach.
              type: str
              returned: success
            is_served:
              description: Whether the kernel's backend has it. V(none) if something else serves it.
              type: bool
              returned: success
            loop_device: {description: The loop device that the kernel's backend reads., type: str, returned: success}
            storage:
              description: The name, in RV(host.storages), of what the guest reads and writes.
              type: str
              returned: success
            medium_storage:
              description: The name, in RV(host.storages), of the CD that QEMU has in the drive.
              type: str
              returned: success
        saved:
          description: The disk that the saved domain will have once it is restored.
          type: list
          elements: dict
          returned: success
          contains:
            save: {description: Path of the save file., type: str, returned: success}
            vdev: {description: The slot as it is written there., type: str, returned: success}
            target: {description: The target., type: str, returned: success}
            format: {description: Format of the target., type: str, returned: success}
            access: {description: V(ro) or V(rw)., type: str, returned: success}
            storage: {description: As that of a disk in a config., type: str, returned: success}
            target_problem: {description: Why the target leads nowhere., type: str, returned: success}
    storages:
      description:
        - >-
          The data to which the disks lead, each once, whatever leads to it: image files and block devices. Here are
          also all other images in O(images_dirs), the images of all loop devices, and all active logical volumes.
        - They are sorted by name.
      type: list
      elements: dict
      returned: success
      contains:
        name:
          description:
            - >-
              What other lists call it: the path of the image or block device, for a logical volume
              C(/dev/GROUP/VOLUME). If another file is at the path, or none, the word deleted or hidden follows in
              brackets. For what only a hotplug script, another domain or QEMU understands, the target.
          type: str
          returned: success
        kind:
          description: V(file), V(device), or V(other) if nothing but the name is known.
          type: str
          returned: success
        size:
          description:
            - >-
              Size in bytes of a raw disk on it: whole sectors.
          type: int
          returned: success
        file:
          description: The regular file. V(none) for other kinds.
          type: dict
          returned: success
          contains:
            path:
              description: Where it is, without symbolic links, or where it was.
              type: str
              returned: success
            deleted:
              description:
                - Whether it has been deleted, and lives on because it is bound. Nothing more is known of it then.
              type: bool
              returned: success
            hidden:
              description:
                - Whether RV(host.storages[].file.path) leads elsewhere although it was not deleted, such as in another
                  mount namespace. Nothing more is known of it then.
              type: bool
              returned: success
            file_system:
              description: The mount point, in RV(host.file_systems), of its file system.
              type: str
              returned: success
            inode: {description: Its inode., type: int, returned: success}
            links: {description: How many names it has., type: int, returned: success}
            size: {description: Size in bytes., type: int, returned: success}
            allocated:
              description: Bytes that it takes on the file system. What it shares with another file counts.
              type: int
              returned: success
            modified:
              description: When it was last written to, in seconds since 1970.
              type: float
              returned: success
            uid: {description: Id of its owner., type: int, returned: success}
            gid: {description: Id of its group., type: int, returned: success}
            mode: {description: Its mode., type: str, returned: success}
            read_by_others:
              description:
                - Whether its mode, and those of the directories above, let every user of the host read it. ACLs are not
                  considered.
              type: bool
              returned: success
            signature:
              description:
                - Another format than raw that its first or last bytes are those of, such as V(qcow2). A guest can write
                  such bytes into a raw disk.
              type: str
              returned: success
        device:
          description: The block device. V(none) for other kinds.
          type: dict
          returned: success
          contains:
            path:
              description: Its path by the kernel's name, such as C(/dev/dm-3).
              type: str
              returned: success
            number: {description: Its major and minor number., type: str, returned: success}
            read_only: {description: Whether it refuses writes., type: bool, returned: success}
            mapper_name:
              description: Its name below C(/dev/mapper), if device-mapper has made it.
              type: str
              returned: success
            mapper_uuid: {description: Its UUID in device-mapper., type: str, returned: success}
            partition_of:
              description: Path of its disk, for a partition.
              type: str
              returned: success
            made_of:
              description: Paths of the devices directly below it.
              type: list
              elements: str
              returned: success
            volume:
              description: The logical volume that it is. V(none) for anything else.
              type: dict
              returned: success
              contains:
                group: {description: Its volume group., type: str, returned: success}
                volume: {description: Its name., type: str, returned: success}
                uuid: {description: The UUIDs of the group and the volume., type: str, returned: success}
                pool: {description: The thin pool of a thin volume., type: str, returned: success}
        loop_devices:
          description: The loop devices that are bound to it.
          type: list
          elements: str
          returned: success
        identities:
          description: By what the data is recognized under any name. Storages with one in common are the same data.
          type: list
          elements: dict
          returned: success
          contains:
            kind:
              description:
                - V(device) (a number) and V(file) (major and minor number, inode) are valid on this host only.
                - V(unit) (the WWID of a LUN, an RBD image), V(volume) (UUIDs of LVM), V(network_file) (path and inode
                  on a server) and V(unit_file) (an inode of a file system on a unit) are the same on all hosts.
                - V(uuid_file) is an inode of the file system with a UUID. Hosts that were made from one image have
                  equal ones for different files.
              type: str
              returned: success
            value: {description: The identity as text., type: str, returned: success}
        below:
          description:
            - >-
              The same of what stores it: the disk of a partition, the physical volumes of a logical volume.
          type: list
          elements: dict
          returned: success
          contains:
            kind:
              description:
                - V(device) (a number) and V(file) (major and minor number, inode) are valid on this host only.
                - V(unit) (the WWID of a LUN, an RBD image), V(volume) (UUIDs of LVM), V(network_file) (path and inode
                  on a server) and V(unit_file) (an inode of a file system on a unit) are the same on all hosts.
                - V(uuid_file) is an inode of the file system with a UUID. Hosts that were made from one image have
                  equal ones for different files.
              type: str
              returned: success
            value: {description: The identity as text., type: str, returned: success}
        behind:
          description: What is opened together with it, such as the backing files of a qcow2 image.
          type: list
          elements: dict
          returned: success
          contains:
            storage:
              description: The name, in RV(host.storages).
              type: str
              returned: success
            role:
              description: V(backing file), V(data file) or V(file in a lower directory) (of an overlay).
              type: str
              returned: success
            is_written: {description: Whether a write to the image may write to it., type: bool, returned: success}
        doubts:
          description: Why others may reach the data without being noticed, a sentence each.
          type: list
          elements: str
          returned: success
        uses:
          description: What uses it in dom0, besides disks of guests and loop devices.
          type: list
          elements: dict
          returned: success
          contains:
            kind:
              description:
                - V(mount), V(swap), V(holder) (device-mapper or md), V(process), or V(claim), by something that shows nowhere
                  else but holds the device exclusively, such as btrfs, ZFS or an iSCSI target.
              type: str
              returned: success
            sentence: {description: The use in words., type: str, returned: success}
            pid:
              description: Id of the process. It may have the file open for a moment only.
              type: int
              returned: success
            domid:
              description: Id of the domain, if the process is the QEMU of one.
              type: int
              returned: success
            for_writing: {description: Whether the process can write to it., type: bool, returned: success}
    file_systems:
      description: The file systems on which images lie.
      type: list
      elements: dict
      returned: success
      contains:
        mount_point:
          description: Where it is mounted, for the first image that was found on it.
          type: str
          returned: success
        type: {description: Its type., type: str, returned: success}
        source:
          description: Its device, or what a server exports.
          type: str
          returned: success
        number: {description: Its major and minor number., type: str, returned: success}
        uuid:
          description: Its UUID, if udev knows it.
          type: str
          returned: success
        is_network: {description: Whether a server keeps it., type: bool, returned: success}
        read_only: {description: Whether it is mounted read-only., type: bool, returned: success}
        size: {description: Its size in bytes., type: int, returned: success}
        free: {description: Its free bytes., type: int, returned: success}
        available: {description: Its free bytes without those that are reserved for root., type: int, returned: success}
    volume_groups:
      description:
        - The LVM volume groups with an active logical volume, from one report of LVM. LVM is not started if there is none.
        - Empty if the program C(lvm) is not installed.
      type: list
      elements: dict
      returned: success
      contains:
        name:
          description: Its name. See C(device.volume.group) in RV(host.storages).
          type: str
          returned: success
        size: {description: Its size in bytes., type: int, returned: success}
        free: {description: Bytes that no volume has., type: int, returned: success}
        pools:
          description: Its thin pools.
          type: list
          elements: dict
          returned: success
          contains:
            path:
              description: Its path.
              type: str
              returned: success
              sample: /dev/vg0/pool
            size: {description: Its size in bytes., type: int, returned: success}
            used: {description: Bytes that its volumes have taken. V(none) if it is not active., type: int, returned: success}
            metadata_percent:
              description: How full its metadata is. V(none) if it is not active.
              type: float
              returned: success
            volumes:
              description: The volumes in it, active or not.
              type: list
              elements: dict
              returned: success
              contains:
                path:
                  description: Its path, which is the C(name) in RV(host.storages) if the volume is active.
                  type: str
                  returned: success
                size: {description: Its size in bytes., type: int, returned: success}
                taken:
                  description: Bytes that it takes of the pool. What it shares with a snapshot counts. V(none) if it is not active.
                  type: int
                  returned: success
    loop_devices:
      description:
        - The bound loop devices, by number. The keys that M(xen.blockdev.xen_loopdev_info) has as well are the same
          there.
      type: list
      elements: dict
      returned: success
      contains:
        device: {description: The loop device., type: str, returned: success}
        backing_file: {description: Path of the image., type: str, returned: success}
        deleted: {description: Whether the image has been deleted., type: bool, returned: success}
        link:
          description: The link that follows the image, if udev has made it.
          type: str
          returned: success
        major: {description: Major number., type: int, returned: success}
        minor: {description: Minor number., type: int, returned: success}
        size:
          description: Size of the device in bytes. It does not follow the image by itself.
          type: int
          returned: success
        offset: {description: Bytes of the image before the device begins., type: int, returned: success}
        size_limit:
          description: Bytes of the image that the device shows, 0 for all.
          type: int
          returned: success
        sector_size: {description: Logical sector size in bytes., type: int, returned: success}
        direct_io: {description: Whether it bypasses the page cache., type: bool, returned: success}
        read_only: {description: Whether it refuses writes., type: bool, returned: success}
        persistent: {description: Whether systemd binds the image when the host boots., type: bool, returned: success}
        autoclear:
          description: Whether the kernel unbinds it when its last user closes it.
          type: bool
          returned: success
        marked:
          description: Whether M(xen.blockdev.xen_loopdev) bound it. A boot unit leaves no mark.
          type: bool
          returned: success
        by_script:
          description: Whether Xen's own script bound it, and unbinds it when the disk is detached.
          type: bool
          returned: success
        storage:
          description: The name, in RV(host.storages), of the image.
          type: str
          returned: success
    boot_units:
      description: The systemd units of this collection that bind images when the host boots.
      type: list
      elements: dict
      returned: success
      contains:
        name: {description: Name of the unit., type: str, returned: success}
        enabled: {description: Whether systemd starts it when the host boots., type: bool, returned: success}
        image: {description: Path of the image. V(none) if the unit does not say it., type: str, returned: success}
        exists: {description: Whether there is something at that path., type: bool, returned: success}
        storage:
          description: The name, in RV(host.storages), of the image.
          type: str
          returned: success
    links:
      description: The links below C(/dev/disk/by-loop-file), which follow images.
      type: list
      elements: dict
      returned: success
      contains:
        path: {description: Path of the link., type: str, returned: success}
        image: {description: Path of the image whose loop device it should lead to., type: str, returned: success}
        device:
          description: The block device to which it leads. V(none) if it leads nowhere.
          type: str
          returned: success
        storage:
          description: The name, in RV(host.storages), of what that device shows.
          type: str
          returned: success
    leftovers:
      description: What belongs to no domain that is configured, runs or is saved, and is not in use in dom0.
      type: dict
      returned: success
      contains:
        loop_devices:
          description: Loop devices.
          type: list
          elements: str
          returned: success
        images:
          description: Names, in RV(host.storages), of files in O(images_dirs).
          type: list
          elements: str
          returned: success
        volumes:
          description: Names, in RV(host.storages), of active logical volumes.
          type: list
          elements: str
          returned: success
        boot_units:
          description: Names of units whose image does not exist.
          type: list
          elements: str
          returned: success
        links:
          description: Paths of links that lead nowhere.
          type: list
          elements: str
          returned: success
        vbds:
          description: Disks that the kernel still serves, although xenstore no longer has them.
          type: list
          elements: dict
          returned: success
          contains:
            domid: {description: Id of the domain., type: int, returned: success}
            xenstore_key: {description: Number of the slot., type: int, returned: success}
    unread:
      description: What could not be read. The rest is complete without it.
      type: list
      elements: dict
      returned: success
      contains:
        source:
          description:
            - V(xenstore), V(xl), V(qemu), V(loop), V(config), V(autostart), V(save), V(images), V(mounts), V(units) or V(lvm).
          type: str
          returned: success
        subject:
          description: What it is about, such as a path or the name of a domain. Empty if it is about the whole source.
          type: str
          returned: success
        error: {description: The error., type: str, returned: success}
"""

from ansible_collections.xen.blockdev.plugins.module_utils.config.text import (
    AUTOSTART_DIR,
    CONFIG_DIR,
)
from ansible_collections.xen.blockdev.plugins.module_utils.converge.run import query
from ansible_collections.xen.blockdev.plugins.module_utils.image.place import IMAGES_DIR
from ansible_collections.xen.blockdev.plugins.module_utils.resources.disks_info import show_host


def main() -> None:
    options = {
        "config_dirs": {"type": "list", "elements": "path", "default": [CONFIG_DIR]},
        "images_dirs": {"type": "list", "elements": "path", "default": [IMAGES_DIR]},
        "autostart_dir": {"type": "path", "default": AUTOSTART_DIR},
        "settings": {"type": "bool", "default": False},
    }
    query(options, "host", show_host)


if __name__ == "__main__":
    main()
