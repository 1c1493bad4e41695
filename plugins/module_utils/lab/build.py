# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the root file system of a lab's dom0, with what is needed to boot it."""

from __future__ import annotations

import gzip
import io
import os
import re
import tarfile
import tempfile
import zlib
from typing import IO, Dict, List, Optional, Sequence

from ansible_collections.xen.blockdev.plugins.module_utils.host.files import by_number
from ansible_collections.xen.blockdev.plugins.module_utils.lab.files import (
    TEMPORARY_BYTES,
    LabError,
    complete_folder,
    require_space,
    require_tools,
    run,
)
from ansible_collections.xen.blockdev.plugins.module_utils.lab.recipe import (
    CUSTOMISE,
    DISK_SIZE,
    Recipe,
)

BUILD_SECONDS = 1800
"""How long Debian's mirror may take to give its packages."""

MAKE_DISK = """
set -eu
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
trap 'exit 1' HUP INT TERM
tar -C "$root" --exclude='./dev/*' -xpf -
mke2fs -q -t ext4 -L xen-lab -d "$root" "$1" "$2"
"""
"""Makes the file system image ``$1`` of ``$2`` bytes from the tar archive in its input. It runs in
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


HINTS = {
    r"No space left on device": "make room for temporary files, or set TMPDIR to another folder",
    r"ould not resolve|ould not connect|nable to connect|nitiate the connection|timed out": (
        "if the mirror cannot be reached from here, choose another (xen_lab_mirror)"
    ),
    r"NO_PUBKEY|is not signed": "the keys of Debian are in the package debian-archive-keyring",
    r"Unable to locate package": "is it in this release? (xen_lab_release, xen_lab_packages)",
}
"""What to do where mmdebstrap fails, by what it says."""


def read_recipe(
    folder: str, release: str, packages: Sequence[str], mirror: Optional[str]
) -> Recipe:
    """What a dom0 is built from; ``folder`` has the files to be added.

    Raises LabError or OSError.
    """
    files: Dict[str, bytes] = {}
    executables = []
    for parent, _folders, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            relative = os.path.relpath(path, folder)
            with open(path, "rb") as file:
                files[relative] = file.read()
            if os.access(path, os.X_OK):
                executables.append(relative)
    if CUSTOMISE not in executables:
        raise LabError(f"{os.path.join(folder, CUSTOMISE)} does not exist or is not executable")
    return Recipe(release, tuple(packages), mirror or None, files, tuple(sorted(executables)))


def require_buildable() -> None:
    """Raise LabError if nothing can be built on this machine."""
    require_tools(["mmdebstrap", "mke2fs", "ssh-keygen"])
    require_space(tempfile.gettempdir(), TEMPORARY_BYTES)
    if os.geteuid() != 0:
        _require_user_namespace()


def _require_user_namespace() -> None:
    require_tools(["newuidmap"])
    try:
        run([*_as_root(), "sh", "-c", 'rmdir "$(mktemp -d)"'], 60)
    except LabError as error:
        if "mktemp" in str(error):
            raise LabError(
                f"{tempfile.gettempdir()} is not world-writable, as a build without root needs it; "
                f"set TMPDIR to another directory, such as /var/tmp: {error}"
            ) from None
        ids = "--add-subuids 100000-165535 --add-subgids 100000-165535"
        raise LabError(
            f"this user cannot create a user namespace, which a build without root needs: {error}\n"
            f"The user needs subordinate ids of its own (`usermod {ids} USER`), and the kernel has "
            "to allow it (see the sysctls user.max_user_namespaces, "
            "kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns)"
        ) from None


def _as_root() -> List[str]:
    """What runs a command as root, or as what looks like that from inside."""
    return [] if os.geteuid() == 0 else ["mmdebstrap", "--unshare-helper"]


def build(recipe: Recipe, path: str) -> None:
    """Build an image, the directory ``path``. Raises LabError."""
    with complete_folder(path) as folder:
        _make_key(folder)
        with open(f"{folder}/id_ed25519.pub", "rb") as key:
            _write_tree(recipe, key.read(), f"{folder}/tree.tar")
        _bootstrap(recipe, folder)
        _take_boot_files(f"{folder}/root.tar", folder)
        _build_root_image(f"{folder}/root.tar", f"{folder}/root.img")
        for name in ("tree.tar", "root.tar"):
            os.unlink(f"{folder}/{name}")


def _bootstrap(recipe: Recipe, folder: str) -> None:
    mode = "root" if os.geteuid() == 0 else "unshare"
    try:
        run(recipe.mmdebstrap("tree.tar", "root.tar", mode), BUILD_SECONDS, folder)
    except LabError as error:
        hints = [hint for words, hint in HINTS.items() if re.search(words, str(error))]
        raise LabError("\n".join([str(error), *hints])) from None


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
    try:
        with tarfile.open(archive) as root:
            for member in root:
                for name, pattern in wanted.items():
                    if pattern.fullmatch(member.name):
                        content = root.extractfile(member)
                        found[name] = content.read() if content else b""
        missing = [pattern.pattern for name, pattern in wanted.items() if name not in found]
        if missing:
            raise LabError(
                f"the root file system lacks {', '.join(missing)}; add the package that has it "
                "(xen_lab_packages)"
            )
        # QEMU's loader does not unpack a multiboot kernel.
        found["xen"] = gzip.decompress(found["xen"])
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise LabError(f"cannot read the output of mmdebstrap: {error}") from None
    found["known_hosts"] = HOST_ALIAS.encode() + b" " + found["known_hosts"]
    for name, data in found.items():
        with open(f"{folder}/{name}", "wb") as file:
            file.write(data)


def _build_root_image(archive: str, image: str) -> None:
    with open(archive, "rb") as root, open(image, "wb") as disk:
        # Root of the user namespace is another user here: it has nothing but the open file, and
        # may open that again only while everybody may. The directory lets nobody else come near.
        os.fchmod(disk.fileno(), 0o666)
        _in_user_namespace(root, disk)
        os.fchmod(disk.fileno(), 0o600)


def _in_user_namespace(root: IO[bytes], disk: IO[bytes]) -> None:
    path = by_number(disk.fileno())
    command = [*_as_root(), "sh", "-c", MAKE_DISK, "make-disk", path, DISK_SIZE]
    run(command, 600, "/", stdin=root, pass_files=[disk.fileno()])
