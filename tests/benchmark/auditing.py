# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge many hosts in this process, and tell what it took.

Its argument is the number of hosts. Each has 100 domains, four of five run, with two images and two
LUNs each. Of one in twenty domains, all of which run, a LUN is that of the domain of the same
number on all hosts.
The last line is JSON: seconds to read the states of the hosts, to judge them and to write the
report, and memory (bytes, at most).
"""

from __future__ import annotations

import json
import sys
import time
from typing import Iterator

from ansible_collections.xen.blockdev.plugins.module_utils.audit import hosts as audit_hosts
from ansible_collections.xen.blockdev.plugins.module_utils.audit import judge, output
from ansible_collections.xen.blockdev.plugins.module_utils.config.guest import Guest
from ansible_collections.xen.blockdev.plugins.module_utils.disk.device_number import (
    from_disk_number,
)
from ansible_collections.xen.blockdev.plugins.module_utils.survey import model
from ansible_collections.xen.blockdev.plugins.module_utils.survey.record import recorded
from inside import peak

DOMAINS = 100
GIB = 2**30


def storages(host: int, domain: int) -> Iterator[model.DiskStorage]:
    """Those of a domain."""
    for number in (0, 1):
        path = f"/srv/xen/web{domain}/disk{number}.raw"
        inode = domain * 2 + number
        file = model.ImageFile(path, False, False, "/srv", inode, 1, GIB, GIB, 0.0, 0, 0, "0600")
        own = (
            model.DataIdentity("file", f"8:1:{inode}"),
            model.DataIdentity("uuid_file", f"0123 inode {inode}"),
        )
        yield model.DiskStorage(path, "file", GIB, file=file, identities=own)
    for number in (0, 1):
        unit = f"naa.{domain}-{number}-{'all' if number == 0 and domain % 20 == 1 else host}"
        device = model.StorageDevice(f"/dev/dm-{domain * 2 + number}", f"253:{domain * 2 + number}")
        yield model.DiskStorage(
            f"/dev/mapper/lun{domain}-{number}",
            "device",
            GIB,
            device=device,
            identities=(model.DataIdentity("unit", unit),),
            below=tuple(model.DataIdentity("unit", f"{unit} path {path}") for path in range(4)),
        )


def disk(name: str, number: int, storage: model.DiskStorage, runs: bool) -> model.SurveyedDisk:
    """A disk of a domain, in its config and, if it runs, in the guest."""
    slot = from_disk_number(number)
    vdev, key, target = slot.linux_device, slot.xenstore_key, storage.name
    said = {"target": target, "vdev": vdev}
    configured = model.DiskInConfig(
        f"/etc/xen/{name}.cfg", number, f"{target},raw,{vdev},w", said, None, target, "path", "raw",
        "rw", "disk", storage.name,
    )  # fmt: skip
    attached = model.DiskInGuest(
        name, 1, key, vdev, "disk", target, None, "253:1", "raw", "phy", "rw", 4, 4, None,
        GIB // 512, 512, GIB, storage=storage.name,
    )  # fmt: skip
    return model.SurveyedDisk(name, key, vdev, (configured,), (attached,) if runs else ())


def survey(host: int) -> model.Survey:
    """Of a host."""
    names = [f"web{number}-{host}" for number in range(DOMAINS)]
    found = [list(storages(host, number)) for number in range(DOMAINS)]
    return model.Survey(
        version=model.VERSION,
        host=f"xen{host}",
        time=0.0,
        is_xen=True,
        config_dirs=("/etc/xen",),
        images_dirs=("/srv/xen",),
        autostart_dir="/etc/xen/auto",
        domains=tuple(
            model.SurveyedDomain(name, (f"/etc/xen/{name}.cfg",), (number,) if number % 5 else ())
            for number, name in enumerate(names)
        ),
        configs=tuple(
            model.FoundConfig(path, path, name, guest=Guest("pvh"))
            for name, path in ((name, f"/etc/xen/{name}.cfg") for name in names)
        ),
        disks=tuple(
            disk(name, position, storage, number % 5 > 0)
            for number, name in enumerate(names)
            for position, storage in enumerate(found[number])
        ),
        storages=tuple(storage for some in found for storage in some),
        file_systems=(model.MountedFileSystem("/srv", "ext4", "/dev/sda1", "8:1"),),
    )


def main() -> None:
    texts = {
        f"xen{number}": audit_hosts.host_text({"host": recorded(survey(number))})
        for number in range(int(sys.argv[1]))
    }
    begin = time.perf_counter()
    states = [audit_hosts.host_state(name, text) for name, text in texts.items()]
    read = time.perf_counter()
    report = judge.judged(states, 0.0, "error")
    judged = time.perf_counter()
    output.as_json(report)
    done = time.perf_counter()
    assert report.counts.error == 5  # one for each LUN that all hosts have
    spent = {"read": read - begin, "judged": judged - read, "written": done - judged}
    print(json.dumps({**spent, "memory": peak()}))


if __name__ == "__main__":
    main()
