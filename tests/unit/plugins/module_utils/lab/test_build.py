# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root file system of a lab: what goes in, what is taken out, and its image."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Dict, Iterator, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.lab import build as lab_build
from ansible_collections.xen.blockdev.plugins.module_utils.lab.files import LabError
from ansible_collections.xen.blockdev.plugins.module_utils.lab.recipe import CUSTOMISE, Recipe
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.contentutil import needs
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.labutil import Bench

ROOT = {
    "./boot/xen-4.17-amd64.gz": gzip.compress(b"the hypervisor"),
    "./boot/xen-4.17-amd64.config": b"# Xen",
    "./boot/vmlinuz-6.1.0-50-amd64": b"the kernel",
    "./boot/initrd.img-6.1.0-50-amd64": b"the initramfs",
    "./etc/ssh/ssh_host_ed25519_key.pub": b"ssh-ed25519 AAAA root@xen-lab\n",
    "./etc/ssh/ssh_host_ed25519_key": b"secret",
    "./srv/boot/vmlinuz-5": b"another",
}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(tmp_path, monkeypatch)
    yield made
    made.end_all()


def write_archive(path: Path, files: Dict[str, bytes], link: str = "") -> str:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.uid = len(content), 0o640, 7
            archive.addfile(entry, io.BytesIO(content))
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "nowhere"
            archive.addfile(entry)
    return str(path)


# ---- the recipe ----


def write_files(folder: Path) -> None:
    for name, mode in ((CUSTOMISE, 0o755), ("etc/motd", 0o644)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(mode)


def test_read_recipe(tmp_path: Path) -> None:
    write_files(tmp_path)
    recipe = lab_build.read_recipe(str(tmp_path), "bookworm", ["a", "b"], "")
    files = {CUSTOMISE: CUSTOMISE.encode(), "etc/motd": b"etc/motd"}
    assert recipe == Recipe("bookworm", ("a", "b"), None, files, (CUSTOMISE,))
    assert lab_build.read_recipe(f"{tmp_path}/", "bookworm", ("a", "b"), None).key == recipe.key


def test_a_recipe_without_what_makes_a_dom0_of_debian(tmp_path: Path) -> None:
    for name in ("nowhere", "empty", "not_executable"):
        folder = tmp_path / name
        if name != "nowhere":
            folder.mkdir()
        if name == "not_executable":
            write_files(folder)
            (folder / CUSTOMISE).chmod(0o644)
        with pytest.raises(LabError) as caught:
            lab_build.read_recipe(str(folder), "bookworm", [], None)
        assert str(caught.value) == f"{folder / CUSTOMISE} does not exist or is not executable"


# ---- what goes in ----


def test_the_tree(tmp_path: Path) -> None:
    recipe = Recipe("bookworm", (), None, {"etc/motd": b"hello\n", "bin/x": b"x"}, ("bin/x",))
    lab_build._write_tree(recipe, b"ssh-ed25519 BBBB\n", f"{tmp_path}/tree.tar")
    with tarfile.open(tmp_path / "tree.tar") as tree:
        found = {}
        for member in tree:
            content = tree.extractfile(member)
            assert content
            assert (member.uid, member.gid) == (0, 0)
            found[member.name] = (member.mode, content.read())
    assert found == {
        "etc/motd": (0o644, b"hello\n"),
        "bin/x": (0o755, b"x"),
        "root/.ssh/authorized_keys": (0o644, b"ssh-ed25519 BBBB\n"),
    }


# ---- what is taken out ----


def test_boot_files(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "root.tar", ROOT, link="./boot/vmlinuz")
    lab_build._take_boot_files(archive, str(tmp_path))
    os.unlink(archive)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "xen": b"the hypervisor",
        "vmlinuz": b"the kernel",
        "initrd.img": b"the initramfs",
        "known_hosts": b"xen-lab ssh-ed25519 AAAA root@xen-lab\n",
    }


def error_of_archive(folder: Path, archive: str) -> str:
    with pytest.raises(LabError) as caught:
        lab_build._take_boot_files(archive, str(folder))
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("./boot/xen-4.17-amd64.gz", r"\./boot/xen-[0-9.]+-amd64\.gz"),
        ("./boot/vmlinuz-6.1.0-50-amd64", r"\./boot/vmlinuz-.+"),
        ("./boot/initrd.img-6.1.0-50-amd64", r"\./boot/initrd\.img-.+"),
        ("./etc/ssh/ssh_host_ed25519_key.pub", r"\./etc/ssh/ssh_host_ed25519_key\.pub"),
    ],
)
def test_a_boot_file_that_is_missing(tmp_path: Path, name: str, pattern: str) -> None:
    files = {path: content for path, content in ROOT.items() if path != name}
    archive = write_archive(tmp_path / "root.tar", files)
    assert error_of_archive(tmp_path, archive) == (
        f"the root file system lacks {pattern}; add the package that has it (xen_lab_packages)"
    )


def test_archives_that_cannot_be_read(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "root.tar", ROOT)
    whole = Path(archive).read_bytes()
    for content in (b"", b"x" * 1000, whole[:1000]):
        Path(archive).write_bytes(content)
        assert "cannot read the output" in error_of_archive(tmp_path, archive)
    packed = ROOT["./boot/xen-4.17-amd64.gz"]
    for content in (packed[:-3], packed[:15] + b"\xff\xff" + packed[17:]):
        files = {**ROOT, "./boot/xen-4.17-amd64.gz": content}
        archive = write_archive(tmp_path / "root.tar", files)
        assert "cannot read the output" in error_of_archive(tmp_path, archive)


# ---- the image ----


def debugfs(image: str, command: str) -> str:
    command_line = ["debugfs", "-R", command, image]
    environment = programs.environment()
    return subprocess.run(
        command_line, stdout=subprocess.PIPE, encoding="ascii", check=True, env=environment
    ).stdout


@needs("mke2fs")
def test_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab_build, "DISK_SIZE", "16M")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    files = {"./etc/motd": b"hello\n", "./dev/null": b"no device"}
    archive = write_archive(tmp_path / "root, 1.tar", files)
    image = f"{tmp_path}/root, 1.img"
    lab_build._build_root_image(archive, image)
    assert os.stat(image).st_size == 16 << 20
    assert os.stat(image).st_mode & 0o777 == 0o600
    assert debugfs(image, "cat /etc/motd") == "hello\n"
    assert "User:     7 " in debugfs(image, "stat /etc/motd")
    assert "null" not in debugfs(image, "ls /dev")
    assert sorted(os.listdir(tmp_path)) == ["root, 1.img", "root, 1.tar"]


@needs("mke2fs")
def test_an_image_that_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab_build, "DISK_SIZE", "1M")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    archive = write_archive(tmp_path / "root.tar", {"./file": os.urandom(2 << 20)})
    with pytest.raises(LabError) as caught:
        lab_build._build_root_image(archive, f"{tmp_path}/root.img")
    assert str(caught.value).startswith("sh ended with exit code 1:\n")
    assert sorted(os.listdir(tmp_path)) == ["root.img", "root.tar"]


# ---- building ----


def build(bench: Bench) -> Path:
    image = Path(bench.cache.image("key"))
    lab_build.build(bench.wanted().recipe, str(image))
    return image


def words_of(bench: Bench) -> List[str]:
    return bench.commands("mmdebstrap")[-1]


def test_build_as_root(bench: Bench) -> None:
    image = build(bench)
    assert "--mode=root" in words_of(bench)
    assert sorted(os.listdir(image)) == [
        "id_ed25519",
        "id_ed25519.pub",
        "initrd.img",
        "known_hosts",
        "root.img",
        "vmlinuz",
        "xen",
    ]
    assert (image / "id_ed25519.pub").read_text().endswith(" xen-lab\n")


def test_build_as_another_user(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    build(bench)
    helper, debian = bench.commands("mmdebstrap")[::-1]
    assert "--mode=unshare" in debian
    assert helper[:2] == ["--unshare-helper", "sh"]


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("E: apt-get update failed", None),
        ("cp: error writing 'a': No space left on device", "make room for temporary files"),
        ("Err:1 http://a Could not resolve 'a'", "choose another (xen_lab_mirror)"),
        ("Err:1 http://a Unable to connect to a", "choose another (xen_lab_mirror)"),
        ("Cannot initiate the connection to a:80", "choose another (xen_lab_mirror)"),
        ("W: GPG error: http://a InRelease: NO_PUBKEY 5", "in the package debian-archive-keyring"),
        ("E: Unable to locate package xen-utils-4.99", "(xen_lab_release, xen_lab_packages)"),
    ],
)
def test_what_to_do_where_mmdebstrap_fails(bench: Bench, said: str, hint: str) -> None:
    bench.behave(mmdebstrap_says=said)
    with pytest.raises(LabError) as caught:
        build(bench)
    first, second, *hints = str(caught.value).split("\n")
    assert (first, second) == ("mmdebstrap ended with exit code 25:", said)
    assert hint in hints[0] if hint else hints == []
    assert os.listdir(Path(bench.cache.path) / "images") == []


def test_an_incomplete_root_file_system(bench: Bench) -> None:
    bench.behave(lacks=["./boot/xen-4.17-amd64.gz"])
    with pytest.raises(LabError, match="add the package that has it"):
        build(bench)
    assert os.listdir(Path(bench.cache.path) / "images") == []


def test_no_user_namespaces(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.behave(no_namespaces=True)
    lab_build.require_buildable()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(lab_build, "require_tools", lambda tools: None)
    with pytest.raises(LabError) as caught:
        lab_build.require_buildable()
    assert str(caught.value).startswith(
        "this user cannot create a user namespace, which a build without root needs: mmdebstrap "
        "ended with exit code 1:\nE: failed to unshare the user namespace\nThe user needs "
        "subordinate ids of its own (`usermod --add-subuids 100000-165535 "
        "--add-subgids 100000-165535 USER`)"
    )
    bench.behave()
    lab_build.require_buildable()


def test_temporary_files_that_not_everybody_can_make(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bench.home / "bin" / "mktemp").write_text("#!/bin/sh\necho mktemp: denied >&2; exit 1\n")
    (bench.home / "bin" / "mktemp").chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(lab_build, "require_tools", lambda tools: None)
    with pytest.raises(LabError, match="set TMPDIR to another directory") as caught:
        lab_build.require_buildable()
    assert str(caught.value).startswith(f"{bench.home} is not world-writable, as a build")


def test_another_user_needs_newuidmap(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    asked: List[str] = []
    monkeypatch.setattr(lab_build, "require_tools", asked.extend)
    lab_build.require_buildable()
    assert asked == ["mmdebstrap", "mke2fs", "ssh-keygen", "newuidmap"]


def test_no_room_for_temporary_files(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab_build, "TEMPORARY_BYTES", 1 << 70)
    with pytest.raises(LabError, match="TMPDIR for temporary files") as caught:
        lab_build.require_buildable()
    assert str(caught.value).startswith(f"{tempfile.gettempdir()} has ")
