# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab's QEMU: how it is found, reached and ended."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host.programs import ProgramTimeoutError
from ansible_collections.xen.blockdev.plugins.module_utils.host.qmp import QmpError
from ansible_collections.xen.blockdev.plugins.module_utils.lab import machine as lab_machine
from ansible_collections.xen.blockdev.plugins.module_utils.lab.files import LabError
from ansible_collections.xen.blockdev.plugins.module_utils.lab.recipe import Machine
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.contentutil import needs
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.labutil import Bench

MACHINE = Machine(image_key="key", qemu="QEMU", memory=3072, cpus=2)
MEMORY = b"memory of a machine that has booted\n"


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """With an image and a disk, in a folder whose path is longer than a socket's may be."""
    made = Bench(tmp_path, monkeypatch)
    image = made.home / "image"
    image.mkdir()
    for name in ("xen", "vmlinuz", "initrd.img"):
        (image / name).touch()
    Path(folder(made)).mkdir(parents=True)
    Path(folder(made), "disk.qcow2").write_text("above nothing\n")
    Path(folder(made), "nothing").touch()
    yield made
    made.end_all()


def folder(bench: Bench) -> str:
    return str(bench.home / ("long" * 30) / "a,b")


def start(bench: Bench, memory: Optional[str] = None) -> int:
    return lab_machine.start(MACHINE, folder(bench), "../../image", None, memory)


def error_of(call: Callable[..., object], *arguments: Any) -> str:
    with pytest.raises(BlockdevError) as caught:
        call(*arguments)
    return str(caught.value)


# ---- started, snapshotted, ended ----


def test_boot(bench: Bench) -> None:
    assert not lab_machine.runs(folder(bench))
    assert lab_machine.open_files(folder(bench)) == set()
    lab_machine.end(folder(bench))
    port = start(bench)
    assert lab_machine.runs(folder(bench))
    assert f"{folder(bench)}/disk.qcow2" in lab_machine.open_files(folder(bench))
    with socket.create_connection(("127.0.0.1", port)):
        pass
    assert "-no-reboot" in bench.commands("qemu-system-x86_64")[-1]
    lab_machine.end(folder(bench))
    assert not lab_machine.runs(folder(bench))
    assert bench.processes() == []


def test_save_and_go_on(bench: Bench) -> None:
    memory = f"{bench.home}/memory"
    start(bench)
    lab_machine.save(folder(bench), memory)
    assert not lab_machine.runs(folder(bench))
    assert Path(memory).read_bytes() == MEMORY
    start(bench, memory)
    command = bench.commands("qemu-system-x86_64")[-1]
    assert "-no-reboot" not in command
    assert command[command.index("-incoming") + 1].startswith("fd:")
    with lab_machine.control(folder(bench)) as qemu:
        assert qemu.execute("query-status") == {"status": "running"}


def test_memory_that_cannot_be_gone_on_from(bench: Bench) -> None:
    Path(bench.home / "memory").write_bytes(MEMORY[:-1])
    with pytest.raises(QmpError):
        start(bench, f"{bench.home}/memory")


def test_memory_that_cannot_be_written(bench: Bench) -> None:
    start(bench)
    assert error_of(lab_machine.save, folder(bench), "/dev/full") == (
        "cannot write the machine's memory to /dev/full; is the disk full?"
    )
    bench.behave(migration={"status": "failed", "error-desc": "Broken pipe"})
    start(bench)
    error = error_of(lab_machine.save, folder(bench), "/dev/full")
    assert error.startswith("cannot write the machine's memory")
    start(bench)
    assert "Broken pipe" in error_of(lab_machine.save, folder(bench), f"{bench.home}/memory")


def test_what_qemu_says(bench: Bench) -> None:
    bench.behave(qemu_says="qemu: no")
    assert error_of(start, bench) == "qemu-system-x86_64 ended with exit code 1:\nqemu: no"
    assert len(bench.commands("qemu-system-x86_64")) == 1


# ---- found ----


def test_files_that_are_closed_meanwhile(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU opens and closes some all the time: what has gone is no sign that it has ended."""
    start(bench)
    listed = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: ["1000000", *listed(path)])
    assert lab_machine.runs(folder(bench))


@pytest.mark.parametrize("content", ["", "x", "-1", "0", "99999999", "1\n2"])
def test_pids_that_are_none(bench: Bench, content: str) -> None:
    Path(folder(bench), "pid").write_text(content)
    Path(folder(bench), "console.log").touch()
    assert not lab_machine.runs(folder(bench))


def test_another_process_of_that_number(bench: Bench) -> None:
    Path(folder(bench), "console.log").touch()
    with subprocess.Popen(["sleep", "60"]) as other:
        Path(folder(bench), "pid").write_text(str(other.pid))
        lab_machine.end(folder(bench))
        assert other.poll() is None
        other.kill()


def test_a_zombie_has_ended(bench: Bench) -> None:
    with open(Path(folder(bench), "console.log"), "w") as console:
        process = subprocess.Popen(["sleep", "60"], stdout=console)
    Path(folder(bench), "pid").write_text(str(process.pid))
    assert lab_machine.runs(folder(bench))
    process.kill()
    bench.await_(lambda: "\nState:\tZ" in Path(f"/proc/{process.pid}/status").read_text())
    assert not lab_machine.runs(folder(bench))
    process.wait()


def test_a_folder_by_another_name(bench: Bench) -> None:
    start(bench)
    (bench.home / "link").symlink_to(folder(bench))
    assert lab_machine.runs(str(bench.home / "link"))


def test_one_that_vanishes_while_it_is_killed(bench: Bench, monkeypatch: Any) -> None:
    bench.behave(deaf=True)
    start(bench)
    kill = os.kill

    def twice(pid: int, number: int) -> None:
        kill(pid, signal.SIGKILL)
        raise ProcessLookupError

    monkeypatch.setattr(lab_machine.os, "kill", twice)
    lab_machine.end(folder(bench))
    monkeypatch.undo()
    assert bench.processes() == []


# ---- reached ----


def test_ports() -> None:
    port = lab_machine.free_port()
    lab_machine.require_free_port(port)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert error_of(lab_machine.require_free_port, port) == (
            f"cannot use port {port}: Address already in use; choose another (xen_lab_port), or "
            "leave it out, then a free one is taken"
        )


@needs("ssh")
def test_ssh_options_are_taken_as_they_are_meant(tmp_path: Path) -> None:
    """By the real SSH, which prints its configuration."""
    image = f"{tmp_path}/a, b='#c"
    options = lab_machine.ssh_options(image)
    assert shlex.split(shlex.join(options)) == options
    printed = subprocess.run(
        ["ssh", "-G", "-F", "none", *options, "host"],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    ).stdout.splitlines()
    assert f"userknownhostsfile {image}/known_hosts" in printed
    assert "hostkeyalias xen-lab" in printed
    assert "stricthostkeychecking true" in printed
    assert "identitiesonly yes" in printed


def test_how_ssh_is_called(bench: Bench) -> None:
    port = start(bench)
    assert lab_machine.ssh(f"{bench.home}/image", port, "true; false", 5).code == 0
    (words,) = bench.commands("ssh")
    assert words[:2] == ["-F", "none"]
    assert "BatchMode=yes" in words
    assert words[words.index("-p") + 1] == str(port)
    assert words[words.index("-i") + 1] == f"{bench.home}/image/id_ed25519"
    assert words[-2:] == ["root@127.0.0.1", "true; false"]


def test_a_login_sets_the_clock(bench: Bench) -> None:
    port = start(bench)
    lab_machine.await_login(folder(bench), f"{bench.home}/image", port, 5)
    assert bench.commands("ssh")[-1][-1].startswith("date -u -s @")


def await_login(bench: Bench, seconds: float = 0.3) -> str:
    return error_of(
        lab_machine.await_login, folder(bench), f"{bench.home}/image", 1, seconds
    ).replace("\n", " ")


def test_nobody_lets_us_in(bench: Bench) -> None:
    start(bench)
    assert await_login(bench, 2) == (
        "the machine cannot be reached after 2 s (ssh: connect to host 127.0.0.1 port 1: "
        "Connection refused); give it more time (xen_lab_boot_timeout) if this machine is slow; "
        "its console: (XEN) Xen version 4.17 [    0.000000] Linux version 6.1"
    )
    assert len(bench.commands("ssh")) > 1


def test_one_that_does_not_answer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    start(bench)

    def hang(*arguments: Any) -> None:
        raise ProgramTimeoutError("slow")

    monkeypatch.setattr(lab_machine, "ssh", hang)
    assert "after 0.3 s (it accepts connections but does not answer); give" in await_login(bench)


def test_one_that_has_ended(bench: Bench) -> None:
    assert await_login(bench, 60).startswith("the machine ended by itself (ssh: connect to host ")
    assert await_login(bench, 60).endswith(
        "its console: (cannot be read: No such file or directory)"
    )
    Path(folder(bench), "console.log").touch()
    assert await_login(bench, 60).endswith("its console: (it printed nothing)")


def test_dom0_is_awaited(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    port = start(bench)
    arguments = (folder(bench), f"{bench.home}/image", port, 5)
    lab_machine.await_boot(*arguments)
    assert "is-system-running --wait" in bench.commands("ssh")[-1][-1]
    bench.behave(xen_says="xl: no")
    assert error_of(lab_machine.await_boot, *arguments).startswith(
        "Xen does not run in the machine: xl: no; its console:\n(XEN) Xen"
    )
    ssh = lab_machine.ssh

    def hang(image: str, port: int, command: str, seconds: float) -> Any:
        if command == lab_machine.READY:
            raise ProgramTimeoutError("slow")
        return ssh(image, port, command, seconds)

    monkeypatch.setattr(lab_machine, "ssh", hang)
    with pytest.raises(LabError, match="machine: it is still starting after 5 s; give it more"):
        lab_machine.await_boot(*arguments)
