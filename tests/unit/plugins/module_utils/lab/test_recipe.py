# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab is made of: keys, and the commands of mmdebstrap and QEMU."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Dict, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.lab import recipe as lab_recipe
from ansible_collections.xen.blockdev.plugins.module_utils.lab.recipe import Machine, Recipe

RECIPE = Recipe(
    release="bookworm",
    packages=("linux-image-amd64", "xen-utils-4.17"),
    mirror=None,
    files={"etc/motd": b"hello\n", "usr/bin/x": b"#!/bin/sh\n"},
    executables=("usr/bin/x",),
)
MACHINE = Machine(image_key=RECIPE.key, qemu="QEMU emulator version 7.2.22", memory=3072, cpus=2)


def test_keys_can_be_names() -> None:
    for key in (RECIPE.key, MACHINE.key):
        assert re.fullmatch("[0-9a-f]{16}", key)


def test_a_key_follows_from_what_goes_in() -> None:
    files = {name: RECIPE.files[name] for name in reversed(list(RECIPE.files))}
    assert replace(RECIPE, files=files).key == RECIPE.key
    assert replace(MACHINE).key == MACHINE.key


@pytest.mark.parametrize(
    "other",
    [
        {"release": "trixie"},
        {"packages": ("linux-image-amd64", "xen-utils-4.20")},
        {"packages": ("linux-image-amd64",)},
        {"mirror": "http://mirror/debian"},
        {"files": {}},
        {"files": {"etc/motd": b"hello", "usr/bin/x": b"#!/bin/sh\n"}},
        {"files": {"etc/issue": b"hello\n", "usr/bin/x": b"#!/bin/sh\n"}},
        {"executables": ()},
    ],
)
def test_another_image(other: Dict[str, Any]) -> None:
    changed = replace(RECIPE, **other)
    assert changed.key != RECIPE.key
    assert replace(MACHINE, image_key=changed.key).key != MACHINE.key


@pytest.mark.parametrize(
    "other", [{"qemu": "QEMU emulator version 10.0.0"}, {"memory": 4096}, {"cpus": 1}]
)
def test_another_machine(other: Dict[str, Any]) -> None:
    assert replace(MACHINE, **other).key != MACHINE.key


@pytest.mark.parametrize("name", ["CPU", "XEN_OPTIONS", "LINUX_OPTIONS"])
def test_another_version_of_the_collection(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = MACHINE.key
    monkeypatch.setattr(lab_recipe, name, "other")
    assert MACHINE.key != before


def test_another_size(monkeypatch: pytest.MonkeyPatch) -> None:
    before = RECIPE.key
    monkeypatch.setattr(lab_recipe, "DISK_SIZE", "9G")
    assert RECIPE.key != before


def test_the_command_of_mmdebstrap() -> None:
    command = [
        "mmdebstrap",
        "--mode=unshare",
        "--architectures=amd64",
        "--variant=minbase",
        "--include=linux-image-amd64,xen-utils-4.17",
        "--customize-hook=tar-in tree.tar /",
        '--customize-hook=chroot "$1" /usr/local/lib/xen-lab/customise',
        "bookworm",
        "root.tar",
    ]
    assert RECIPE.mmdebstrap("tree.tar", "root.tar", "unshare") == command
    mirrored = replace(RECIPE, mirror="http://mirror/debian")
    assert mirrored.mmdebstrap("tree.tar", "root.tar", "unshare") == [
        *command,
        "http://mirror/debian",
    ]


def option(command: List[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_the_command_of_qemu() -> None:
    machine = Machine(image_key="", qemu="", memory=3073, cpus=4)
    command = machine.command("../../images/key", "/cache/a,b/disk.qcow2", 4022)
    assert command[0] == "qemu-system-x86_64"
    assert "-daemonize" in command
    assert option(command, "-m") == "3073"
    assert option(command, "-smp") == "4"
    assert option(command, "-kernel") == "../../images/key/xen"
    assert "dom0_max_vcpus=2 dom0_vcpus_pin dom0_mem=1536M,max:1536M " in option(command, "-append")
    kernel, initrd = option(command, "-initrd").split(",")
    assert kernel.startswith("../../images/key/vmlinuz root=/dev/vda ")
    assert initrd == "../../images/key/initrd.img"
    assert option(command, "-drive").startswith("file=/cache/a,,b/disk.qcow2,format=qcow2,")
    assert option(command, "-netdev") == "user,id=net,hostfwd=tcp:127.0.0.1:4022-:22"


def test_dom0_has_a_processor_if_there_is_one() -> None:
    command = Machine(image_key="", qemu="", memory=512, cpus=1).command("i", "/d", 4022)
    assert "dom0_max_vcpus=1 dom0_vcpus_pin dom0_mem=256M," in option(command, "-append")
