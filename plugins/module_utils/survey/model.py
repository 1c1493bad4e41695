# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has: its domains, their disks through all layers, and what belongs to no domain.

These are the types of xen_disks_info's result; survey/record.py makes JSON of them and reads it
back. They say what is there, and not whether that is right. None is what is not known. Parts refer
to each other by names that are unique in their list and stay the same over a reboot as far as the
things themselves do: a domain by its name, a config and a save file by its path, a storage by
``name``, a file system by ``mount_point``, a loop device by ``device``.

Names, targets, labels and errors are texts that guests or users wrote. Nothing may run them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, Iterator, Optional, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.config.guest import Guest

VERSION = 1
"""Of the types in this file. It changes when a key is removed or gets another meaning."""


# ---- domains ----


@dataclass(frozen=True)
class SurveyedDomain:
    """Everything that has one domain's name."""

    name: str
    configs: Tuple[str, ...] = ()
    """The paths of its configs: see FoundConfig. Copies of a config count."""
    domids: Tuple[int, ...] = ()
    """Its ids if it runs. There are two for a moment during a migration."""
    saves: Tuple[str, ...] = ()
    """The paths of the files in which xendomains has saved it."""
    autostart: bool = False
    """Whether xendomains starts one of the configs when the host boots."""


@dataclass(frozen=True)
class FoundConfig:
    """A config file."""

    path: str
    """The first path at which it was found; it may be a link."""
    file: str
    """The same without symbolic links."""
    domain: Optional[str] = None
    """The name that it sets; None if it cannot be read, or sets none."""
    rendered: bool = False
    """Whether xen_domain_config wrote it as a whole."""
    guest: Optional[Guest] = None
    """What it says of the guest, as far as its disks depend on it."""
    settings: Optional[Dict[str, Any]] = None
    """All options but ``name`` and ``disk``, as xen_domain_config takes them. They may contain
    passwords, so they are None unless they were asked for."""
    autostart: Tuple[str, ...] = ()
    """The paths of the entries of the autostart directory that lead to it, in the order in which
    xendomains reads them."""
    problems: Tuple[str, ...] = ()
    """Why it, or a part of it, cannot be read."""


@dataclass(frozen=True)
class AutostartEntry:
    """A name in the directory from which xendomains starts domains."""

    path: str
    file: str
    """What it leads to, without symbolic links."""
    exists: bool
    is_link: bool
    is_started: bool
    """Whether xendomains finds it by its name: one with a blank is passed over."""
    config: Optional[str] = None
    """The path of the config that it leads to."""


@dataclass(frozen=True)
class RunningGuest:
    """A domain in the hypervisor. dom0 is not one of them."""

    domid: int
    name: str
    """``(null)``, as xl says, for what is left of a destroyed domain."""
    uuid: Optional[str] = None
    type: Optional[str] = None
    """``hvm``, ``pv`` or ``pvh``."""
    status: Optional[str] = None
    """``running``, ``paused``, ``shutdown``, ``crashed``, ``suspended`` or ``dying``."""

    @property
    def is_left(self) -> bool:
        """Whether this is only what is left of a destroyed domain."""
        return self.name == "(null)"


@dataclass(frozen=True)
class SaveFile:
    """A file in which xendomains has saved a domain, which it restores when the host boots."""

    path: str
    domain: str
    saved: Optional[float] = None
    """When it was last written, in seconds since 1970."""


# ---- disks ----


@dataclass(frozen=True)
class DiskInConfig:
    """A disk in a config."""

    config: str
    """The path of the config."""
    position: int
    """In its disk list, from 0."""
    text: str
    """As it is written there."""
    said: Optional[Dict[str, Any]] = None
    """The keys that it says, see DiskSpec.as_dict; None if it cannot be read."""
    problem: Optional[str] = None
    """Why it cannot be read."""
    target: Optional[str] = None
    """None for an empty drive too."""
    target_form: Optional[str] = None
    """How the target is written: ``link`` (below /dev/disk/by-loop-file), ``loop`` (/dev/loopN),
    ``path``, or ``other`` for what only a script, another domain or QEMU understands."""
    format: Optional[str] = None
    """``raw`` if it says none, ``empty`` for an empty drive."""
    access: Optional[str] = None
    """``ro`` or ``rw``: what xl makes of it."""
    devtype: Optional[str] = None
    """``disk`` or ``cdrom``."""
    storage: Optional[str] = None
    """The data to which the target leads now; None if it leads nowhere."""
    target_problem: Optional[str] = None
    """Why it leads nowhere, e.g. because the file does not exist."""


@dataclass(frozen=True)
class DiskInGuest:
    """A disk that a running domain has: its frontend and its backend in xenstore.

    The keys that xen_vbd_info has too are the same there.
    """

    domain: str
    domid: int
    xenstore_key: int
    vdev: str
    devtype: Optional[str]
    target: str
    backing_file: Optional[str]
    """The image of its loop device, with `` (deleted)`` if it was deleted."""
    physical_device: Optional[str]
    """Major and minor number of the device that blkback reads: ``7:1``."""
    format: Optional[str]
    backendtype: Optional[str]
    access: str
    backend_state: Optional[int]
    frontend_state: Optional[int]
    hotplug_error: Optional[str]
    sectors: Optional[int]
    sector_size: Optional[int]
    size: Optional[int]
    """Bytes that the guest was told. It may not follow what is behind it."""
    emulated: Optional[bool] = None
    medium: Optional[str] = None
    """The path of the CD that QEMU has in the drive."""
    script: Optional[str] = None
    discard: Optional[bool] = None
    direct_io_safe: bool = False
    specification: Optional[str] = None
    backend_domid: int = 0
    """The domain that serves it."""
    online: bool = True
    """False once the guest was asked to release it."""
    flaw: Optional[str] = None
    """Why it only occupies its slot: it is being detached, or left over from a failed attach."""
    is_served: Optional[bool] = None
    """Whether the kernel's blkback has it; None if another backend serves it."""
    loop_device: Optional[str] = None
    """The loop device that blkback reads."""
    storage: Optional[str] = None
    """The data that the guest reads and writes."""
    medium_storage: Optional[str] = None
    """The data of the CD that QEMU has in the drive."""


@dataclass(frozen=True)
class DiskInSave:
    """A disk that a saved domain will have once it is restored."""

    save: str
    """The path of the save file."""
    vdev: str
    target: str
    format: str
    access: str
    storage: Optional[str] = None
    target_problem: Optional[str] = None


@dataclass(frozen=True)
class SurveyedDisk:
    """A slot of a domain: what its configs have there, what it has while it runs, and what it had
    when it was saved."""

    domain: Optional[str]
    """Its name; None for a vbd of a domain that is gone."""
    xenstore_key: Optional[int]
    """The slot; None for a disk of a config that cannot be read."""
    vdev: Optional[str]
    """The slot as it is written: in the running guest, or else in the first config."""
    configured: Tuple[DiskInConfig, ...] = ()
    """One for each config that has it."""
    attached: Tuple[DiskInGuest, ...] = ()
    """Empty as well if the running guests are not known: see Survey.guests."""
    saved: Tuple[DiskInSave, ...] = ()

    @property
    def storages(self) -> Iterator[str]:
        """The names of all data that it has."""
        names = [
            *(disk.storage for disk in self.configured),
            *(name for disk in self.attached for name in (disk.storage, disk.medium_storage)),
            *(disk.storage for disk in self.saved),
        ]
        yield from (name for name in names if name is not None)


# ---- what stores their data ----


@dataclass(frozen=True)
class DataIdentity:
    """Something by which data is recognized under any name."""

    kind: str
    """``device``, ``file`` (major and minor number, inode): on this host only. On every host:
    ``unit`` (the WWID of a LUN, an RBD image), ``volume`` (the UUIDs of LVM), ``network_file`` (an
    inode of a server's file system), ``unit_file`` (an inode of a file system on a unit).
    ``uuid_file`` is an inode of a file system with this UUID; hosts that were made from one image
    have equal ones, and not the same file."""
    value: str

    @property
    def is_local(self) -> bool:
        """Whether it says nothing about other hosts."""
        return self.kind in ("device", "file")


@dataclass(frozen=True)
class ImageFile:
    """The regular file with the data of a disk."""

    path: str
    """The path at which it is, without links; where it was, if it was deleted."""
    deleted: bool = False
    """Whether it lives on only because something has it open. Nothing more is known of it then."""
    hidden: bool = False
    """The same if ``path`` leads to another file, or to none, although it was not deleted, e.g.
    because it is in another mount namespace."""
    file_system: Optional[str] = None
    """The mount point of the file system on which it lies."""
    inode: Optional[int] = None
    links: Optional[int] = None
    """How many names it has."""
    size: Optional[int] = None
    """Bytes; see DiskStorage.size for what a guest can have of it."""
    allocated: Optional[int] = None
    """Bytes that it takes on its file system. Blocks that it shares with another file count."""
    modified: Optional[float] = None
    """When it was last written to, in seconds since 1970."""
    uid: Optional[int] = None
    gid: Optional[int] = None
    mode: Optional[str] = None
    """As xen_raw_disk takes it: ``0640``."""
    read_by_others: Optional[bool] = None
    """Whether every user of the host can read it: its mode and all directories above let them."""
    signature: Optional[str] = None
    """The format that its first or last bytes are those of, such as ``qcow2``; None if it looks
    raw. A guest can write such bytes into a raw disk."""


@dataclass(frozen=True)
class VolumeName:
    """An active logical volume, by what device-mapper says of it. Parts of others, such as the data
    of a thin pool, are none."""

    group: str
    volume: str
    uuid: str
    """The UUID of the group and that of the volume, as LVM gives them to device-mapper."""
    pool: Optional[str] = None
    """The thin pool of a thin volume."""


@dataclass(frozen=True)
class StorageDevice:
    """The block device with the data of a disk."""

    path: str
    """The kernel's name of it: ``/dev/dm-3``."""
    number: str
    """Major and minor number: ``253:3``."""
    read_only: Optional[bool] = None
    mapper_name: Optional[str] = None
    """The name below /dev/mapper, for a device of device-mapper."""
    mapper_uuid: Optional[str] = None
    partition_of: Optional[str] = None
    """The path of its disk, for a partition."""
    made_of: Tuple[str, ...] = ()
    """The paths of the devices directly below it: paths of a LUN, physical volumes."""
    volume: Optional[VolumeName] = None


@dataclass(frozen=True)
class OtherData:
    """Data that is opened together with an image, such as its backing file."""

    storage: str
    role: str
    is_written: bool


@dataclass(frozen=True)
class HostUse:
    """Something in dom0, beside the guests' disks and loop devices, that has the data in use."""

    kind: str
    """``mount``, ``swap``, ``holder`` (device-mapper or md), ``process``, or ``claim``: something
    that shows nowhere else holds it exclusively."""
    sentence: str
    """The use, for a message: ``mounted on /mnt``."""
    pid: Optional[int] = None
    domid: Optional[int] = None
    """The domain, if the process is the QEMU of one."""
    for_writing: Optional[bool] = None
    """Whether a process can write to it; None for other kinds."""


@dataclass(frozen=True)
class DiskStorage:
    """The data to which targets lead, whatever their names. It may be of no disk."""

    name: str
    """Its path, with what tells it from another file that is there now: `` (deleted)``. For what
    only a script, a driver domain or QEMU understands, the target."""
    kind: str
    """``file``, ``device``, or ``other`` if nothing but its name is known."""
    size: Optional[int] = None
    """Bytes that a disk on it has: whole sectors."""
    file: Optional[ImageFile] = None
    device: Optional[StorageDevice] = None
    loop_devices: Tuple[str, ...] = ()
    """The loop devices that are bound to it."""
    identities: Tuple[DataIdentity, ...] = ()
    """Everything that leads to this data."""
    below: Tuple[DataIdentity, ...] = ()
    """What stores it: the disk of a partition, the physical volumes of a volume."""
    behind: Tuple[OtherData, ...] = ()
    doubts: Tuple[str, ...] = ()
    """Why others may reach the data unnoticed, a sentence each."""
    uses: Tuple[HostUse, ...] = ()

    def overlaps(self, other: DiskStorage) -> bool:
        """Whether a write to one may change the other one, which is on the same host: as
        Storage.overlaps in sharing/storage.py."""
        return self._meets(other, frozenset(self.identities), frozenset(other.identities)) or (
            self.name == other.name and not (self.identities and other.identities)
        )

    def overlaps_elsewhere(self, other: DiskStorage, kinds: FrozenSet[str]) -> bool:
        """The same of storage on another host, by identities of these ``kinds`` only: see
        DataIdentity."""
        own, theirs = (
            frozenset(one for one in storage.identities if one.kind in kinds and not one.is_local)
            for storage in (self, other)
        )
        return self._meets(other, own, theirs)

    def _meets(
        self, other: DiskStorage, own: FrozenSet[DataIdentity], theirs: FrozenSet[DataIdentity]
    ) -> bool:
        return not (
            own.isdisjoint(theirs) and theirs.isdisjoint(self.below) and own.isdisjoint(other.below)
        )


@dataclass(frozen=True)
class MountedFileSystem:
    """A file system with images."""

    mount_point: str
    """The one through which the first image was found."""
    type: str
    source: str
    """A device, or what a server exports: ``nas:/srv/xen``."""
    number: str
    """Major and minor number, as in mountinfo."""
    uuid: Optional[str] = None
    is_network: bool = False
    """Whether a server keeps it, so that other hosts may have it as well."""
    read_only: bool = False
    size: Optional[int] = None
    """Bytes, as the next two."""
    free: Optional[int] = None
    available: Optional[int] = None
    """Free for users other than root; the rest is reserved."""


@dataclass(frozen=True)
class ThinVolume:
    """A volume in a thin pool, which need not be active."""

    path: str
    """``/dev/vg0/web``: the name of its storage, if it is active."""
    size: int
    """Bytes, as the next."""
    taken: Optional[int] = None
    """What it takes of the pool, with what it shares with others; None if it is not active."""


@dataclass(frozen=True)
class ThinPool:
    """A thin pool of a volume group."""

    path: str
    """``/dev/vg0/pool``."""
    size: int
    """Bytes, as the next."""
    used: Optional[int] = None
    """None if it is not active."""
    metadata_percent: Optional[float] = None
    """How full its metadata is."""
    volumes: Tuple[ThinVolume, ...] = ()


@dataclass(frozen=True)
class VolumeGroup:
    """A volume group with an active volume."""

    name: str
    size: int
    """Bytes, as the next."""
    free: int
    pools: Tuple[ThinPool, ...] = ()


# ---- what binds images to loop devices ----


@dataclass(frozen=True)
class LoopDevice:
    """A bound loop device. The keys that xen_loopdev_info has too are the same there."""

    device: str
    backing_file: str
    deleted: bool
    link: Optional[str]
    """The link that follows the image, if udev has made it."""
    major: int
    minor: int
    size: int
    """Bytes; it does not follow the image by itself."""
    offset: int
    size_limit: int
    sector_size: int
    direct_io: bool
    read_only: bool
    persistent: bool
    """Whether a boot unit binds the image."""
    autoclear: bool
    marked: bool = False
    """Whether xen_loopdev bound it. A boot unit leaves no mark."""
    by_script: bool = False
    """Whether Xen's own script bound it, and unbinds it when the disk is detached."""
    storage: Optional[str] = None
    """The image."""


@dataclass(frozen=True)
class BootUnitFile:
    """A systemd unit of this collection that binds an image at boot."""

    name: str
    enabled: bool
    image: Optional[str] = None
    """The path of the image; None if the unit cannot be read."""
    exists: Optional[bool] = None
    """Whether there is a file at that path."""
    storage: Optional[str] = None


@dataclass(frozen=True)
class LoopLink:
    """A link below /dev/disk/by-loop-file."""

    path: str
    image: str
    """The path of the image whose device it should lead to."""
    device: Optional[str] = None
    """The path of the block device to which it leads; None if it leads nowhere."""
    storage: Optional[str] = None
    """The data of that device."""


# ---- the whole ----


@dataclass(frozen=True)
class KernelVbd:
    """A disk that the kernel still serves, although xenstore no longer has it."""

    domid: int
    xenstore_key: int


@dataclass(frozen=True)
class Leftovers:
    """What belongs to no domain that is configured, runs or is saved."""

    loop_devices: Tuple[str, ...] = ()
    """Their paths. Programs of dom0 have loop devices as well: see DiskStorage.uses."""
    images: Tuple[str, ...] = ()
    """The names of storages: files in the directories for images."""
    volumes: Tuple[str, ...] = ()
    """The names of storages."""
    boot_units: Tuple[str, ...] = ()
    """The names of units without an image."""
    links: Tuple[str, ...] = ()
    """The paths of links that lead nowhere, or to the device of another image."""
    vbds: Tuple[KernelVbd, ...] = ()


@dataclass(frozen=True)
class Unread:
    """Something that could not be read. The rest of the survey is complete without it."""

    source: str
    """``xenstore``, ``xl``, ``qemu``, ``loop``, ``config``, ``autostart``, ``save``, ``images``,
    ``mounts``, ``units`` or ``lvm``."""
    subject: str
    """What it is about: a path, a domain; empty for the whole source."""
    error: str


@dataclass(frozen=True)
class Survey:
    """A host at one moment."""

    version: int
    host: str
    """Its name, as the kernel has it."""
    time: float
    """When it was read, in seconds since 1970."""
    is_xen: bool
    """Whether it is booted under Xen, and this is its dom0."""
    config_dirs: Tuple[str, ...]
    images_dirs: Tuple[str, ...]
    autostart_dir: str
    domains: Tuple[SurveyedDomain, ...] = ()
    configs: Tuple[FoundConfig, ...] = ()
    autostart: Tuple[AutostartEntry, ...] = ()
    guests: Optional[Tuple[RunningGuest, ...]] = ()
    """None if xenstore cannot be read."""
    saves: Tuple[SaveFile, ...] = ()
    disks: Tuple[SurveyedDisk, ...] = ()
    storages: Tuple[DiskStorage, ...] = ()
    file_systems: Tuple[MountedFileSystem, ...] = ()
    volume_groups: Tuple[VolumeGroup, ...] = ()
    loop_devices: Tuple[LoopDevice, ...] = ()
    boot_units: Tuple[BootUnitFile, ...] = ()
    links: Tuple[LoopLink, ...] = ()
    leftovers: Leftovers = Leftovers()
    unread: Tuple[Unread, ...] = ()
