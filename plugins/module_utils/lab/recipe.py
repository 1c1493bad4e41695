# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab is made of: the contents of its disk, the virtual machine around it, and their keys.

A lab is a Xen host that runs in QEMU. Nothing here touches the machine it runs on.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Dict, List, Mapping, Optional, Tuple

DISK_SIZE = "8G"
"""Of the virtual machine's disk, as mke2fs takes it. It is sparse."""

CUSTOMISE = "usr/local/lib/xen-lab/customise"
"""What makes a dom0 of Debian, among the files that are added."""

DOM0_SHARE = 0.5
"""Of the memory and the processors that goes to dom0. The rest is for its guests. Xen
runs guests on the processors that dom0 leaves idle: each switch from one domain to another costs an
emulated processor all that it has translated."""

CPU = "qemu64,+svm,+npt"
"""Emulated. A PV dom0 crashes with ``max``, and ``npt`` is what makes PVH guests possible."""

XEN_OPTIONS = (
    "console=com1 com1=115200,8n1 dom0_max_vcpus={cpus} dom0_vcpus_pin "
    "dom0_mem={memory}M,max:{memory}M spec-ctrl=no xpti=no"
)
"""For the hypervisor. Mitigations only cost time in a machine that nobody else uses."""

LINUX_OPTIONS = "root=/dev/vda rw console=hvc0 net.ifnames=0 mitigations=off quiet"
"""For the kernel of dom0."""

READY = """
systemctl is-system-running --wait >/dev/null
xl sched-credit2 -d Domain-0 -w 4096 && modprobe xen-blkback &&
    python3 -c 'import ctypes, json, platform, selectors, subprocess, zipfile'
"""
"""What dom0's shell runs before the snapshot is taken. It waits until all that starts at boot has
started, has guests make way for dom0, because libxl gives up on hotplug scripts after a while, and
has what every module needs in memory."""


@dataclass(frozen=True)
class Recipe:
    """What the root file system of dom0 is built from."""

    release: str
    """Debian's code name."""
    packages: Tuple[str, ...]
    mirror: Optional[str]
    """URL of a Debian mirror; None for mmdebstrap's own choice."""
    files: Mapping[str, bytes]
    """Path from ``/`` to content of the files that are added."""
    executables: Tuple[str, ...]
    """Those of ``files`` that can be run."""

    @property
    def key(self) -> str:
        """Differs if any input differs."""
        sums = {path: hashlib.sha256(content).hexdigest() for path, content in self.files.items()}
        return _key({**asdict(self), "files": sums, "disk": DISK_SIZE})

    def mmdebstrap(self, tree: str, target: str, mode: str) -> List[str]:
        """The command that writes the root file system to the tar archive ``target``.

        ``tree``: a tar archive with ``files``; both are names without anything that a shell could
        take for more, because mmdebstrap gives hooks to one. ``mode``: ``root``, or ``unshare`` for
        an ordinary user; left to itself it would try less and less suitable ones.
        """
        return [
            "mmdebstrap",
            f"--mode={mode}",
            "--architectures=amd64",
            "--variant=minbase",
            f"--include={','.join(self.packages)}",
            f"--customize-hook=tar-in {tree} /",
            f'--customize-hook=chroot "$1" /{CUSTOMISE}',
            self.release,
            target,
            *([self.mirror] if self.mirror else []),
        ]


@dataclass(frozen=True)
class Machine:
    """The virtual machine that boots such a root file system."""

    image_key: str
    """Of the Recipe."""
    qemu: str
    """What QEMU says of its version: only the same one reads its snapshots for sure."""
    memory: int
    """MiB."""
    cpus: int

    @property
    def key(self) -> str:
        """Differs where a snapshot of the running machine could not be used."""
        return _key(
            {**asdict(self), "cpu": CPU, "xen": XEN_OPTIONS, "linux": LINUX_OPTIONS, "ready": READY}
        )

    def command(self, image: str, disk: str, port: int) -> List[str]:
        """The command of QEMU, which runs in the background once the machine exists.

        ``image``: directory with ``xen``, ``vmlinuz`` and ``initrd.img``, relative to the directory
        in which it is started, without commas and blanks, which have a meaning for QEMU. ``disk``:
        a qcow2 image, absolute, because QEMU opens it again later, then from another directory.
        ``port``: on loopback, forwarded to SSH.
        """
        disk = disk.replace(",", ",,")
        memory = int(self.memory * DOM0_SHARE)
        cpus = max(1, int(self.cpus * DOM0_SHARE))
        options: Dict[str, str] = {
            "-machine": "q35",
            # Hardware acceleration would need nested virtualisation, which few machines offer and
            # Xen does not boot in everywhere.
            "-accel": "tcg,thread=multi",
            "-cpu": CPU,
            "-m": str(self.memory),
            "-smp": str(self.cpus),
            "-kernel": f"{image}/xen",
            "-append": XEN_OPTIONS.format(cpus=cpus, memory=memory),
            # Multiboot modules: the words behind a file are its command line.
            "-initrd": f"{image}/vmlinuz {LINUX_OPTIONS},{image}/initrd.img",
            # If a lab loses its power, only the lab is lost.
            "-drive": f"file={disk},format=qcow2,if=virtio,cache=unsafe,discard=unmap",
            "-netdev": f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22",
            "-device": "virtio-net-pci,netdev=net,romfile=",
            "-display": "none",
            "-serial": "file:console.log",
            "-qmp": "unix:qmp,server=on,wait=off",
            "-pidfile": "pid",
        }
        return [
            "qemu-system-x86_64",
            "-nodefaults",
            "-no-user-config",
            "-daemonize",
            *(word for option in options.items() for word in option),
        ]


def _key(parts: Mapping[str, object]) -> str:
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
