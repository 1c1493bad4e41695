# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the root file system of a lab's dom0, with what is needed to boot it."""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import tarfile
import tempfile
from typing import IO, Dict

from ansible_collections.xen.blockdev.plugins.module_utils.lab_files import (
    BUILD_BYTES,
    TEMPORARY_BYTES,
    LabError,
    complete_folder,
    require_space,
    require_tools,
    run,
)
from ansible_collections.xen.blockdev.plugins.module_utils.lab_recipe import DISK_SIZE, Recipe

BUILD_SECONDS = 1800
"""How long Debian's mirror may take to give its packages."""

MAKE_DISK = """
set -eu
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
tar -C "$root" --exclude='./dev/*' -xpf -
mke2fs -q -t ext4 -L xen-lab -d "$root" "$1" "$2"
"""
"""Makes the file system image C($1) of C($2) bytes from the tar archive in its input. It runs in
the user namespace that mmdebstrap offers, unless for root: only there has every file its owner."""

BOOT_FILES = {
    "xen": re.compile(r"\./boot/xen-[0-9.]+-amd64\.gz"),
    "vmlinuz": re.compile(r"\./boot/vmlinuz-.+"),
    "initrd.img": re.compile(r"\./boot/initrd\.img-.+"),
}
"""What QEMU loads, by its name in the archive of the root file system."""

HOST_KEY = re.compile(r"\./etc/ssh/ssh_host_ed25519_key\.pub")

HOST_ALIAS = "xen-lab"
"""The name under which SSH knows the host key of a lab, whatever its port is."""


def build(recipe: Recipe, path: str) -> None:
    """Build an image, the folder C(path). Raises LabError."""
    require_tools(["mmdebstrap", "mke2fs", "ssh-keygen"])
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    require_space(os.path.dirname(path), BUILD_BYTES)
    require_space(tempfile.gettempdir(), TEMPORARY_BYTES)
    with complete_folder(path) as folder:
        _make_key(folder)
        with open(f"{folder}/id_ed25519.pub", "rb") as key:
            _write_tree(recipe, key.read(), f"{folder}/tree.tar")
        run(recipe.mmdebstrap("tree.tar", "root.tar"), BUILD_SECONDS, folder)
        _take_boot_files(f"{folder}/root.tar", folder)
        _make_disk(f"{folder}/root.tar", f"{folder}/root.img")
        for name in ("tree.tar", "root.tar"):
            os.unlink(f"{folder}/{name}")


def _make_key(folder: str) -> None:
    words = ["-q", "-t", "ed25519", "-N", "", "-C", HOST_ALIAS, "-f", "id_ed25519"]
    run(["ssh-keygen", *words], 60, folder)


def _write_tree(recipe: Recipe, public_key: bytes, path: str) -> None:
    """Write the archive of the files that are added to Debian's."""
    files = {**recipe.files, "root/.ssh/authorized_keys": public_key}
    with tarfile.open(path, "w") as tree:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755 if name in recipe.executables else 0o644
            tree.addfile(entry, io.BytesIO(content))


def _take_boot_files(archive: str, folder: str) -> None:
    """Take out of the archive what QEMU and SSH need."""
    wanted = {**BOOT_FILES, "known_hosts": HOST_KEY}
    found: Dict[str, bytes] = {}
    with tarfile.open(archive) as root:
        for member in root:
            for name, pattern in wanted.items():
                if pattern.fullmatch(member.name):
                    content = root.extractfile(member)
                    found[name] = content.read() if content else b""
    missing = [pattern.pattern for name, pattern in wanted.items() if name not in found]
    if missing:
        raise LabError(
            f"the root file system lacks {', '.join(missing)}: which package is missing?"
        )
    # QEMU's loader does not unpack a multiboot kernel.
    found["xen"] = gzip.decompress(found["xen"])
    found["known_hosts"] = HOST_ALIAS.encode() + b" " + found["known_hosts"]
    for name, data in found.items():
        with open(f"{folder}/{name}", "wb") as file:
            file.write(data)


def _make_disk(archive: str, image: str) -> None:
    with open(archive, "rb") as root, open(image, "wb") as disk:
        # Root of the user namespace is another user here: it has nothing but the open file, and
        # may open that again only while everybody may. The folder lets nobody else come near.
        os.fchmod(disk.fileno(), 0o666)
        _in_user_namespace(root, disk)
        os.fchmod(disk.fileno(), 0o600)


def _in_user_namespace(root: IO[bytes], disk: IO[bytes]) -> None:
    helper = [] if os.geteuid() == 0 else ["mmdebstrap", "--unshare-helper"]
    path = f"/proc/self/fd/{disk.fileno()}"
    command = [*helper, "sh", "-c", MAKE_DISK, "make-disk", path, DISK_SIZE]
    run(command, 600, "/", stdin=root, pass_files=[disk.fileno()])


def remove(path: str) -> None:
    """Remove a folder with all that is in it; it need not be there."""
    if os.path.lexists(path):
        shutil.rmtree(path)
