# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data in danger on one host: used by dom0 as well, deleted, taken for another format, bound twice,
or shorter than its guest believes."""

from __future__ import annotations

from typing import Iterator, List, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.audit.codes import finding
from ansible_collections.xen.blockdev.plugins.module_utils.audit.index import (
    DataUse,
    HostIndex,
    is_lost,
    only_occupies,
)
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import (
    AuditFinding,
    FindingPlace,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image import signatures
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.compatible import (
    DOM0_USES,
    process_excludes,
)
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    DiskInGuest,
    DiskStorage,
    HostUse,
    LoopDevice,
    SurveyedDisk,
)
from ansible_collections.xen.blockdev.plugins.module_utils.units import format_size


def data_findings(host: HostIndex) -> Iterator[AuditFinding]:
    """All findings of this file."""
    for storage, uses in host.used():
        yield from _used_by_dom0(host, storage, uses)
        yield from _lost(host, storage, uses)
    for storage in host.survey.storages:
        yield from _bound_twice(host, storage)
    for disk in host.survey.disks:
        yield from _formats(host, disk)
        yield from _sizes(host, disk)


# ---- dom0 ----


def _used_by_dom0(
    host: HostIndex, storage: DiskStorage, uses: Sequence[DataUse]
) -> Iterator[AuditFinding]:
    held = [use for use in uses if use.is_held]
    if not held:
        kept = [one for one in storage.uses if one.kind in DOM0_USES]
        if kept:
            yield _dom0_finding("used-while-off", uses, kept)
        return
    writes = any(use.is_written for use in held)
    domids = {domid for use in held for domid in host.domids(use.domain)}
    others = [one for one in storage.uses if one.domid is None or one.domid not in domids]
    excluding = [one for one in others if _excludes(one, writes)]
    writing = [one for one in others if one.for_writing]
    if excluding:
        yield _dom0_finding("used-in-dom0", held, excluding)
    elif writing:
        yield _dom0_finding("written-in-dom0", held, writing)


def _excludes(use: HostUse, guest_writes: bool) -> bool:
    if use.kind in DOM0_USES:
        return True
    has_lost_disk = use.domid is not None
    return process_excludes(bool(use.for_writing), has_lost_disk, guest_writes)


def _dom0_finding(code: str, uses: Sequence[DataUse], by: Sequence[HostUse]) -> AuditFinding:
    places = [use.place for use in uses]
    return finding(
        code,
        places[0],
        f"it is {', '.join(dict.fromkeys(one.sentence for one in by))} in dom0",
        "release it in dom0 (unmount, swapoff or close it), or shut the domain down first and "
        "check its file systems",
        others=places[1:],
    )


# ---- images that are gone ----


def _lost(host: HostIndex, storage: DiskStorage, uses: Sequence[DataUse]) -> Iterator[AuditFinding]:
    file = storage.file
    if file is None or not is_lost(storage):
        return
    places = [use.place for use in uses]
    kept_by = ", ".join(storage.loop_devices) or "what has it open"
    rescue = _rescue(host, storage)
    if file.deleted:
        yield finding(
            "image-deleted",
            places[0],
            f"{file.path} was deleted; its data lives on in {kept_by}",
            rescue,
            others=places[1:],
        )
    else:
        yield finding(
            "image-replaced",
            places[0],
            f"what is at {file.path} now is not the file in use, which lives on in {kept_by}",
            f"rename the files back, or mount the file system again; or {rescue}",
            others=places[1:],
        )


def _rescue(host: HostIndex, storage: DiskStorage) -> str:
    """How to copy the data. A loop device that the script of Xen has bound goes with its guest."""
    loops = [host.loop_devices[one] for one in storage.loop_devices if one in host.loop_devices]
    stays = next((one for one in loops if not (one.by_script or one.autoclear)), None)
    if stays is None:
        return "copy the data inside the guest, and do not shut it down or detach the disk before"
    return (
        f"shut the guest down, which leaves {stays.device} bound, and copy the data from there "
        f"(cp --sparse=always {stays.device} FILE) before anything is unbound or the host boots"
    )


# ---- loop devices ----


def _bound_twice(host: HostIndex, storage: DiskStorage) -> Iterator[AuditFinding]:
    """Loop devices over the same bytes. Each of two partitions of an image may have one."""
    if len(storage.loop_devices) < 2:
        return
    devices = [host.loop_devices[one] for one in storage.loop_devices if one in host.loop_devices]
    devices.sort(key=lambda one: (one.offset, one.device))
    twice: List[LoopDevice] = []
    end = 0
    for index, one in enumerate(devices):
        if index and one.offset < end:
            twice += [devices[index - 1], one]
        end = max(end, one.offset + one.size)
    if all(one.read_only for one in twice):
        return
    names = sorted({one.device for one in twice})
    places = [use.place for use in host.uses.get(storage.name, ())]
    places = places or [host.at(path=storage.name)]
    yield finding(
        "two-loop-devices",
        places[0],
        f"{' and '.join(names)} are both bound to {storage.name}",
        "shut down the guests that have it, unbind all but one of the devices (losetup --detach), "
        "and run xen.blockdev.provision",
        others=places[1:],
    )


# ---- formats ----


def _formats(host: HostIndex, disk: SurveyedDisk) -> Iterator[AuditFinding]:
    """One finding for each slot and code, although more than one config may have the disk."""
    said = set()
    for where, image_format, name in _said_formats(disk):
        storage = host.storage(name)
        if storage is None or storage.file is None or is_lost(storage):
            continue
        looks_like, place = storage.file.signature, host.at_disk(disk, storage.name)
        if image_format == "raw" and looks_like is not None and "raw" not in said:
            said.add("raw")
            yield _not_raw(place, where, looks_like)
        elif image_format not in ("raw", "empty", looks_like) and "other" not in said:
            said.add("other")
            yield finding(
                "not-of-its-format",
                place,
                f"{where} has it as {image_format}, but it looks like "
                f"{_words_of(looks_like) or 'a raw image'}",
                f"set the format that it has, or put the {image_format} image back",
            )


def _said_formats(disk: SurveyedDisk) -> Iterator[Tuple[str, str, Optional[str]]]:
    """Who says it, the format, and the storage."""
    for one in disk.configured:
        if one.format and one.devtype != "cdrom":
            yield one.config, one.format, one.storage
    for vbd in disk.attached:
        if vbd.format and vbd.devtype != "cdrom":
            yield "the running guest", vbd.format, vbd.storage


def _not_raw(place: FindingPlace, where: str, looks_like: str) -> AuditFinding:
    signature = signatures.of_format(looks_like)
    remedy = signature.remedy if signature else "convert it to raw"
    return finding(
        "looks-not-raw",
        place,
        f"{where} has it as raw, but it looks like {_words_of(looks_like)}",
        f"shut the guest down, and {remedy}; if the guest itself wrote such bytes into a raw disk, "
        "accept the finding",
    )


def _words_of(looks_like: Optional[str]) -> Optional[str]:
    signature = signatures.of_format(looks_like) if looks_like else None
    return signature.words if signature else looks_like


# ---- sizes ----


def _sizes(host: HostIndex, disk: SurveyedDisk) -> Iterator[AuditFinding]:
    for vbd in disk.attached:
        storage = host.storage(vbd.storage)
        if storage is None or not _has_size(vbd) or only_occupies(vbd):
            continue
        loop = host.loop_devices.get(vbd.loop_device or "")
        is_part = loop is not None and bool(loop.offset or loop.size_limit)
        there = loop.size if loop and is_part else storage.size
        if there is None or vbd.size is None or there == vbd.size:
            continue
        place = host.at_disk(disk, storage.name)
        chain = f"{storage.name} has {format_size(there)}, "
        if loop and loop.size != there:
            chain += f"{loop.device} {format_size(loop.size)}, "
        seen = f"{chain}and the guest was told {format_size(vbd.size)}"
        if there < vbd.size:
            yield finding(
                "shrunk",
                place,
                seen,
                f"give the data its old size again (truncate -s {vbd.size} for an image) before "
                "the guest reads or writes there",
            )
        else:
            yield finding("old-size", place, seen, _growth(loop, there, vbd))


def _growth(loop: Optional[LoopDevice], there: int, vbd: DiskInGuest) -> str:
    """How the guest gets to see the new size."""
    if loop and loop.size < there:
        return f"losetup --set-capacity {loop.device}, or run xen.blockdev.provision"
    return (
        f"detach {vbd.vdev} from domain {vbd.domain} while it does not use the disk and attach it "
        "again, or restart the domain: not every guest follows a new size"
    )


def _has_size(vbd: DiskInGuest) -> bool:
    """Whether the size of its data is that which the guest has: a CD may be another one now, and
    QEMU makes a disk of other formats."""
    is_raw = vbd.format == "raw"
    return vbd.devtype != "cdrom" and is_raw and vbd.backend_domid == 0
