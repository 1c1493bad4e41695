# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab's QEMU process: started, snapshotted, reached by SSH, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import Iterator, List, Optional

from ansible_collections.xen.blockdev.plugins.module_utils import qmp
from ansible_collections.xen.blockdev.plugins.module_utils.lab_build import HOST_ALIAS
from ansible_collections.xen.blockdev.plugins.module_utils.lab_files import (
    LabError,
    environment,
    last_lines,
    run,
)
from ansible_collections.xen.blockdev.plugins.module_utils.lab_recipe import READY, Machine
from ansible_collections.xen.blockdev.plugins.module_utils.qmp import Qmp, QmpError

MEMORY_SECONDS = 300
"""How long it may take to write a machine's memory to a file, or to read it."""

END_SECONDS = 20
"""How long QEMU may take to end."""

SSH_ATTEMPT_SECONDS = 20
"""After which an attempt to log in is given up: what answers on the port may be a machine that is
still booting, where a connection hangs."""


def start(machine: Machine, folder: str, image: str, port: int, memory: Optional[str]) -> None:
    """Start QEMU in C(folder), where C(disk.qcow2) is.

    C(folder): absolute. C(image): see Machine.command. C(memory): the file of a snapshot to
    go on from, None to boot. Raises LabError.
    """
    command = machine.command(image, os.path.join(folder, "disk.qcow2"), port)
    if memory is None:
        run([*command, "-no-reboot"], 60, folder)
        return
    with open(memory, "rb") as state:
        descriptor = state.fileno()
        run([*command, "-incoming", f"fd:{descriptor}"], 60, folder, pass_files=[descriptor])
        with control(folder) as qemu:
            qemu.await_status("query-status", ("running", "paused"), MEMORY_SECONDS)
            qemu.execute("cont")


def save(folder: str, memory: str) -> None:
    """Write the memory of the machine in C(folder) to a new file and end QEMU.

    The machine's disk stays as it was at that moment. Raises QmpError.
    """
    with open(memory, "wb") as state, control(folder) as qemu:
        qemu.execute("stop")
        qemu.execute("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        qemu.pass_file("memory", state.fileno())
        qemu.execute("migrate", uri="fd:memory")
        qemu.await_status("query-migrate", ("completed",), MEMORY_SECONDS)
    end(folder)


def runs(folder: str) -> bool:
    """Whether the machine in C(folder) is there."""
    return _pid(folder) is not None


def end(folder: str) -> None:
    """End the machine in C(folder), as if its power failed. Raises LabError."""
    pid = _pid(folder)
    if pid is None:
        return
    with suppress(OSError, QmpError), control(folder) as qemu:
        qemu.execute("quit")
    deadline = time.monotonic() + END_SECONDS
    while _pid(folder) == pid:
        if time.monotonic() >= deadline:
            os.kill(pid, signal.SIGKILL)
            deadline += END_SECONDS
        time.sleep(0.02)


@contextmanager
def control(folder: str) -> Iterator[Qmp]:
    """A connection to the QEMU of the machine in C(folder)."""
    # By way of a handle: the path of a socket is at most 107 bytes long.
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        with qmp.connect(f"/proc/self/fd/{handle}/qmp") as qemu:
            yield qemu
    finally:
        os.close(handle)


def _pid(folder: str) -> Optional[int]:
    """Of the QEMU that works in C(folder), None where it has ended.

    A number in a file may by now be another process: QEMU is told by the files it has open.
    """
    try:
        with open(os.path.join(folder, "pid"), encoding="ascii") as file:
            pid = int(file.read())
        open_files = f"/proc/{pid}/fd"
        targets = [os.readlink(os.path.join(open_files, name)) for name in os.listdir(open_files)]
    except (OSError, ValueError):
        return None
    console = os.path.realpath(os.path.join(folder, "console.log"))
    return pid if console in targets else None


# ---- reaching it ----


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_free_port(port: int) -> None:
    """Raise LabError where something listens on C(port) of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise LabError(
                f"port {port} cannot be had: {error.strerror}; choose another (xen_lab_port), or "
                "leave it out, then a free one is taken"
            ) from None


def ssh_options(image: str) -> List[str]:
    """Those with which SSH trusts a lab built as C(image) (an absolute path), and no other host."""
    options = {
        "UserKnownHostsFile": _quoted(f"{image}/known_hosts"),
        "HostKeyAlias": HOST_ALIAS,
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
    }
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def _quoted(path: str) -> str:
    """A path in an option of SSH, which may name several and expands percent signs."""
    return '"' + path.replace("%", "%%") + '"'


def ssh(image: str, port: int, command: str, seconds: float) -> subprocess.CompletedProcess[bytes]:
    """Run a command by the shell of a lab's root. Raises subprocess.TimeoutExpired."""
    options = ["-F", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-p", str(port)]
    key = ["-i", f"{image}/id_ed25519"]
    return subprocess.run(
        ["ssh", *options, *key, *ssh_options(image), "root@127.0.0.1", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        check=False,
        env=environment(),
    )


def await_login(folder: str, image: str, port: int, seconds: float) -> None:
    """Wait until one can log in, and set the clock, which stands still in a snapshot.

    Raises LabError with the console's last lines where that takes more than C(seconds), or where
    the machine ends.
    """
    deadline = time.monotonic() + seconds
    last = "no attempt was made"
    while True:
        attempt = max(1, min(SSH_ATTEMPT_SECONDS, deadline - time.monotonic()))
        try:
            answer = ssh(image, port, f"date -u -s @{time.time():.0f}", attempt)
            if answer.returncode == 0:
                return
            last = answer.stdout.decode("utf-8", "replace").strip()
        except subprocess.TimeoutExpired:
            last = "it accepts connections but does not answer"
        ended = not runs(folder)
        if ended or time.monotonic() >= deadline:
            what = "ended by itself" if ended else f"cannot be reached after {seconds:g} s"
            raise LabError(f"the machine {what} ({last}); its console:\n{_console(folder)}")
        time.sleep(0.2)


def await_boot(folder: str, image: str, port: int, seconds: float) -> None:
    """Wait until all of dom0 runs. Raises LabError as await_login does."""
    await_login(folder, image, port, seconds)
    try:
        answer = ssh(image, port, READY, seconds)
        said = answer.stdout.decode("utf-8", "replace").strip()
        failed = answer.returncode != 0
    except subprocess.TimeoutExpired:
        failed, said = True, f"still starting after {seconds:g} s"
    if failed:
        raise LabError(f"Xen does not run in the machine: {said}; its console:\n{_console(folder)}")


def _console(folder: str) -> str:
    try:
        with open(os.path.join(folder, "console.log"), encoding="utf-8", errors="replace") as log:
            return last_lines(log.read())
    except OSError as error:
        return f"(cannot be read: {error.strerror})"
