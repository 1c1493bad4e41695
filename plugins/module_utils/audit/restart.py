# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What will not come back as it is when a guest restarts or its host boots."""

from __future__ import annotations

import shlex
from collections import defaultdict
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.audit.codes import finding
from ansible_collections.xen.blockdev.plugins.module_utils.audit.index import HostIndex
from ansible_collections.xen.blockdev.plugins.module_utils.audit.report import (
    AuditFinding,
    FindingPlace,
)
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import (
    DiskInConfig,
    DiskInGuest,
    DiskStorage,
    SurveyedDisk,
    SurveyedDomain,
)

SECONDS_AFTER_SAVE = 60
"""How much later than its save file an image may have been written without being changed since: the
clocks of a server and of its client differ, and a file system may round."""

_PROVISION = "list the disk in xen_domains and run xen.blockdev.provision"


def restart_findings(host: HostIndex) -> Iterator[AuditFinding]:
    """All findings of this file."""
    for disk in host.survey.disks:
        yield from _loop_by_number(host, disk)
        yield from _target_missing(host, disk)
        yield from _changed_since_saved(host, disk)
        yield from _not_in_config(host, disk)
        yield from _differs(host, disk)
        yield from _not_attached(host, disk)
    if not host.has_unread_units:
        yield from _no_boot_units(host)
    for domain in host.survey.domains:
        yield from _saved_and_running(host, domain)
        yield from _no_config(host, domain)
    yield from _autostart(host)


# ---- configs ----


def _loop_by_number(host: HostIndex, disk: SurveyedDisk) -> Iterator[AuditFinding]:
    named = [one for one in disk.configured if one.target_form == "loop"]
    if not named:
        return
    target, configs = str(named[0].target), ", ".join(one.config for one in named)
    storage = host.storage(named[0].storage)
    now = f", which is {storage.name} at present" if storage else ", which is not bound at present"
    remedy = f"write the path of the image as target, or {_PROVISION}"
    if storage and storage.file and loop_link.SAFE_PATH.fullmatch(storage.file.path):
        link = loop_link.link_of(storage.file.path)
        remedy = f"write target={link} in place of {target}, or {_PROVISION}"
    yield finding(
        "loop-by-number", host.at_disk(disk, target), f"{configs} has {target}{now}", remedy
    )


def _target_missing(host: HostIndex, disk: SurveyedDisk) -> Iterator[AuditFinding]:
    """One finding for each target, although configs and save files may have it."""
    missing: Dict[str, List[Tuple[str, str]]] = defaultdict(list)
    for config in disk.configured:
        if config.target_problem is not None:
            missing[str(config.target)].append((config.config, config.target_problem))
    for save in disk.saved:
        if save.target_problem is not None:
            missing[save.target].append((save.save, save.target_problem))
    for target, found in missing.items():
        files = ", ".join(file for file, _problem in found)
        is_link = loop_link.is_link(target)
        yield finding(
            "target-missing" if _is_needed(host, disk.domain) else "target-missing-while-off",
            host.at_disk(disk, target),
            f"{files}: {found[0][1]}",
            f"bind the image, or start its boot unit ({_PROVISION})"
            if is_link
            else "put it back or activate it, or remove the disk from the config",
        )


def _is_needed(host: HostIndex, domain: Optional[str]) -> bool:
    """Whether the domain runs, is saved or starts when the host boots. Of one that does none of it,
    the disks may be in use on another host."""
    found = host.domains.get(domain or "")
    return found is not None and bool(found.domids or found.saves or found.autostart)


# ---- saved domains ----


def _changed_since_saved(host: HostIndex, disk: SurveyedDisk) -> Iterator[AuditFinding]:
    if disk.domain is not None and host.domids(disk.domain):
        return  # It runs as well, which is a finding of its own.
    saved_at = {one.path: one.saved for one in host.survey.saves}
    for one in disk.saved:
        storage, at = host.storage(one.storage), saved_at.get(one.save)
        modified = storage.file.modified if storage and storage.file else None
        if storage is None or at is None or modified is None:
            continue
        late = modified - at
        if late > SECONDS_AFTER_SAVE and one.access != "ro":
            yield finding(
                "saved-disk-changed",
                host.at_disk(disk, storage.name),
                f"it was written {_duration(late)} after the domain was saved in {one.save}",
                f"delete {one.save} and start the domain anew, or put the disk back as it was then",
            )


def _saved_and_running(host: HostIndex, domain: SurveyedDomain) -> Iterator[AuditFinding]:
    if domain.domids and domain.saves:
        yield finding(
            "saved-and-running",
            host.at(domain.name, path=domain.saves[0]),
            f"domain {domain.name} runs with the id {domain.domids[0]}, and {domain.saves[0]} has "
            "an older state of it",
            f"delete {domain.saves[0]} unless the domain is just being restored from it",
        )


def _duration(seconds: float) -> str:
    """About how long that is."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


# ---- running guests and their configs ----


def _live(disk: SurveyedDisk) -> List[DiskInGuest]:
    """What running guests have there for good, without a disk that is being detached."""
    return [vbd for vbd in disk.attached if vbd.flaw is None]


def _configs_of(host: HostIndex, disk: SurveyedDisk) -> Sequence[str]:
    found = host.domains.get(disk.domain or "")
    return found.configs if found else ()


def _not_in_config(host: HostIndex, disk: SurveyedDisk) -> Iterator[AuditFinding]:
    configs = _configs_of(host, disk)
    live = _live(disk)
    if disk.configured or not live or not configs or _has_unread_disks(host, disk.domain):
        return
    yield finding(
        "not-in-config",
        host.at_disk(disk, live[0].storage or live[0].target),
        f"the guest has {live[0].target or 'an empty drive'} there, and {', '.join(configs)} does "
        "not",
        f"write it into the config ({_PROVISION}), or detach it: xl block-detach "
        f"{shlex.quote(str(disk.domain))} {live[0].xenstore_key}",
    )


def _has_unread_disks(host: HostIndex, domain: Optional[str]) -> bool:
    """Whether a disk of one of its configs cannot be read: it may be any."""
    return domain in host.with_unread_disks


def _no_config(host: HostIndex, domain: SurveyedDomain) -> Iterator[AuditFinding]:
    if domain.domids and not domain.configs and not host.gaps:
        yield finding(
            "no-config",
            host.at(domain.name),
            f"domain {domain.name} runs with the id {domain.domids[0]}, and no config in "
            f"{', '.join(host.survey.config_dirs)} has its name",
            "write a config for it, or list the directory of its config in xen_audit_config_dirs",
        )


def _differs(host: HostIndex, disk: SurveyedDisk) -> Iterator[AuditFinding]:
    for vbd in _live(disk):
        if not disk.configured or vbd.devtype == "cdrom":
            continue
        there = host.storage(vbd.storage)
        same = [one for one in disk.configured if _has_same_data(host, there, one)]
        first = (same or disk.configured)[0]
        if not same:
            seen = f"the guest has {vbd.target}, and {first.config} has {first.target}"
        elif all(one.access != vbd.access for one in same):
            seen = f"the guest has it {vbd.access}, and {first.config} has it {first.access}"
        else:
            continue
        yield finding(
            "differs-from-config",
            host.at_disk(disk, vbd.storage or vbd.target),
            seen,
            "decide which of the two is right; change the config, or restart the guest",
        )


def _has_same_data(host: HostIndex, there: Optional[DiskStorage], one: DiskInConfig) -> bool:
    """Whether the config has the same data; also if it is not known whether."""
    configured = host.storage(one.storage)
    if there is None or configured is None:
        return True
    return there.name == configured.name or there.overlaps(configured)


def _not_attached(host: HostIndex, disk: SurveyedDisk) -> Iterator[AuditFinding]:
    configs = _configs_of(host, disk)
    is_in_all = {one.config for one in disk.configured} == set(configs)
    if disk.attached or not disk.configured or disk.xenstore_key is None or not is_in_all:
        return
    if disk.domain is not None and host.domids(disk.domain):
        first = disk.configured[0]
        yield finding(
            "not-attached",
            host.at_disk(disk, first.storage or first.target),
            f"{first.config} has {first.target or 'an empty drive'} there, and the running guest "
            "has nothing",
            f"attach it ({_PROVISION}), or restart the guest",
        )


# ---- the next boot ----


def _no_boot_units(host: HostIndex) -> Iterator[AuditFinding]:
    """Of images that a config has by the link of their loop device, which is there only once they
    are bound."""
    linked: Dict[str, List[FindingPlace]] = defaultdict(list)
    for disk in host.survey.disks:
        for name in {one.storage for one in disk.configured if one.target_form == "link"}:
            if name is not None and not host.is_bound_at_boot(name):
                linked[name].append(host.at_disk(disk, name))
    for name, places in linked.items():
        units = host.units.get(name, ())
        yield finding(
            "no-boot-unit",
            places[0],
            f"the unit {units[0].name} is not enabled" if units else "no unit binds the image",
            f"systemctl enable {units[0].name}" if units else _PROVISION,
            others=places[1:],
        )


def _autostart(host: HostIndex) -> Iterator[AuditFinding]:
    for entry in host.survey.autostart:
        if entry.exists and entry.is_started:
            continue
        yield finding(
            "autostart-broken",
            host.at(path=entry.path),
            f"{entry.path} leads to {entry.file}, which does not exist"
            if not entry.exists
            else f"xendomains passes over {entry.path} because of its name",
            f"rm {shlex.quote(entry.path)}, or put the config back"
            if not entry.exists
            else "rename it: without blanks and other special characters",
        )
