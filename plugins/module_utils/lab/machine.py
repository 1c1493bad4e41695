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
from typing import IO, Iterator, List, NamedTuple, Optional, Set, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.host import programs, qmp
from ansible_collections.xen.blockdev.plugins.module_utils.host.files import by_number
from ansible_collections.xen.blockdev.plugins.module_utils.host.programs import (
    Completed,
    ProgramTimeoutError,
)
from ansible_collections.xen.blockdev.plugins.module_utils.host.qmp import Qmp, QmpError
from ansible_collections.xen.blockdev.plugins.module_utils.lab import files as lab_files
from ansible_collections.xen.blockdev.plugins.module_utils.lab.build import HOST_ALIAS
from ansible_collections.xen.blockdev.plugins.module_utils.lab.files import (
    LabError,
    last_lines,
    run,
)
from ansible_collections.xen.blockdev.plugins.module_utils.lab.recipe import READY, Machine

MEMORY_SECONDS = 300
"""How long it may take to write a machine's memory to a file, or to read it."""

START_SECONDS = 60
"""How long QEMU may take until it has made a machine."""

QUIT_SECONDS = 5
"""How long it may take to answer when it is to end. One that was stopped never does."""

PORT_ATTEMPTS = 5
PORT_TAKEN = "Could not set up host forwarding rule"
OTHER_PORT = "choose another (xen_lab_port), or leave it out, then a free one is taken"

SSH_ATTEMPT_SECONDS = 20
"""After which an attempt to log in is given up: what answers on the port may be a machine that is
still booting, where a connection hangs."""

MORE_TIME = "give it more time (xen_lab_boot_timeout) if this machine is slow"


def start(
    machine: Machine, folder: str, image: str, port: Optional[int], memory: Optional[str]
) -> int:
    """Start QEMU in ``folder``, where ``disk.qcow2`` is, and return the port that leads to SSH.

    ``folder``: absolute. ``image``: see Machine.command. ``port``: None for any that is free.
    ``memory``: the file of a snapshot to go on from, None to boot. Raises LabError or QmpError.
    """
    # Another process can take a port that was found free before QEMU does.
    for chosen in [port] if port else [free_port() for _attempt in range(PORT_ATTEMPTS)]:
        command = machine.command(image, os.path.join(folder, "disk.qcow2"), chosen)
        try:
            if memory is None:
                run([*command, "-no-reboot"], START_SECONDS, folder)
            else:
                _go_on(command, folder, memory)
            return chosen
        except LabError as error:
            if PORT_TAKEN not in str(error):
                raise
    raise LabError(f"port {chosen} was taken by another process; {OTHER_PORT}")


def _go_on(command: List[str], folder: str, memory: str) -> None:
    """Start QEMU with what a snapshot has in memory."""
    # By way of a pipe, because QEMU gives up taking a plain file as fd: (its removed-features).
    with open(memory, "rb") as state, _pipe() as pipe, _cat(state, pipe.writes):
        pipe.writes.close()
        descriptor = pipe.reads.fileno()
        incoming = ["-incoming", f"fd:{descriptor}"]
        run([*command, *incoming], START_SECONDS, folder, pass_files=[descriptor])
        pipe.reads.close()
        with control(folder) as qemu:
            qemu.await_status("query-status", ("running", "paused"), MEMORY_SECONDS)
            qemu.execute("cont")


def save(folder: str, memory: str) -> None:
    """Write the memory of the machine in ``folder`` to a new file and end QEMU.

    The machine's disk stays as it was at that moment. Raises LabError or QmpError.
    """
    with open(memory, "wb") as state, _pipe() as pipe, _cat(pipe.reads, state) as cat:
        pipe.reads.close()
        try:
            with control(folder) as qemu:
                qemu.execute("stop")
                qemu.execute("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
                qemu.pass_file("memory", pipe.writes.fileno())
                pipe.writes.close()
                qemu.execute("migrate", uri="fd:memory")
                qemu.await_status("query-migrate", ("completed",), MEMORY_SECONDS)
        except QmpError:
            with suppress(subprocess.TimeoutExpired):
                cat.wait(1)  # it may be the reason
            if not cat.returncode:
                raise
        end(folder)  # closes the pipe, if cat has not
        if cat.wait(MEMORY_SECONDS) != 0:
            raise LabError(f"cannot write the machine's memory to {memory}; is the disk full?")


class _Pipe(NamedTuple):
    reads: IO[bytes]
    writes: IO[bytes]


@contextmanager
def _pipe() -> Iterator[_Pipe]:
    reads, writes = os.pipe()
    with open(reads, "rb", buffering=0) as source, open(writes, "wb", buffering=0) as target:
        yield _Pipe(source, target)


@contextmanager
def _cat(source: IO[bytes], target: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that copies, and that ends with the block."""
    with programs.start(["cat"], stdin=source, stdout=target) as cat:
        try:
            yield cat
        finally:
            cat.kill()


def runs(folder: str) -> bool:
    """Whether the machine in ``folder`` is there."""
    return _process(folder) is not None


def open_files(folder: str) -> Set[str]:
    """Paths of the files that the machine in ``folder`` has open; none if it does not run."""
    process = _process(folder)
    return process[1] if process else set()


def end(folder: str) -> None:
    """End the machine in ``folder``, as if its power failed. Raises LabError."""
    process = _process(folder)
    if process is None:
        return
    with suppress(QmpError), control(folder, QUIT_SECONDS) as qemu:
        qemu.execute("quit")
    if _ends(folder):
        return
    with suppress(ProcessLookupError):
        os.kill(process[0], signal.SIGKILL)
    if not _ends(folder):
        raise LabError(f"QEMU still runs after it was killed (process {process[0]})")


def _ends(folder: str) -> bool:
    """Wait for the end of the machine in ``folder``. Whether it has come."""
    deadline = time.monotonic() + lab_files.END_SECONDS
    while runs(folder):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def control(folder: str, seconds: float = 30) -> Iterator[Qmp]:
    """A connection to the QEMU of the machine in ``folder``.

    ``seconds``: how long an answer may take. Raises QmpError if nothing listens there.
    """
    # By way of a handle: the path of a socket is at most 107 bytes long.
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        with qmp.connect(f"{by_number(handle)}/qmp", seconds) as qemu:
            yield qemu
    finally:
        os.close(handle)


def _process(folder: str) -> Optional[Tuple[int, Set[str]]]:
    """Id and open files of the QEMU that works in ``folder``, None if it has ended.

    A number in a file may be that of another process now: QEMU is identified by its console.
    """
    try:
        with open(os.path.join(folder, "pid"), encoding="ascii") as file:
            pid = int(file.read())
        open_files_of_it = f"/proc/{pid}/fd"
        descriptors = os.listdir(open_files_of_it)
    except (OSError, ValueError):
        return None
    files = set()
    for descriptor in descriptors:
        with suppress(OSError):  # it opens and closes some all the time
            files.add(os.readlink(os.path.join(open_files_of_it, descriptor)))
    console = os.path.realpath(os.path.join(folder, "console.log"))
    return (pid, files) if console in files else None


# ---- reaching it ----


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_free_port(port: int) -> None:
    """Raise LabError if something listens on ``port`` of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise LabError(f"cannot use port {port}: {error.strerror}; {OTHER_PORT}") from None


def ssh_options(image: str) -> List[str]:
    """Those with which SSH trusts a lab built as ``image`` (an absolute path), and no other
    host."""
    options = {
        "UserKnownHostsFile": _quoted(f"{image}/known_hosts"),
        "HostKeyAlias": HOST_ALIAS,
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
    }
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def _quoted(path: str) -> str:
    """A path in an option of SSH, which may name several."""
    return f'"{path}"'


def ssh(image: str, port: int, command: str, seconds: float) -> Completed:
    """Run a command by the shell of a lab's root. Raises ProgramTimeoutError."""
    options = ["-F", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-p", str(port)]
    key = ["-i", f"{image}/id_ed25519"]
    whole = ["ssh", *options, *key, *ssh_options(image), "root@127.0.0.1", command]
    return programs.run(whole, seconds)


def _said(answer: Completed) -> str:
    return f"{answer.stdout}{answer.stderr}".strip()


def await_login(folder: str, image: str, port: int, seconds: float) -> None:
    """Wait until one can log in, and set the clock, which stands still in a snapshot.

    Raises LabError with the console's last lines where that takes more than ``seconds``, or where
    the machine ends.
    """
    deadline = time.monotonic() + seconds
    last = "no attempt was made"
    while True:
        attempt = max(1, min(SSH_ATTEMPT_SECONDS, deadline - time.monotonic()))
        try:
            answer = ssh(image, port, f"date -u -s @{time.time():.0f}", attempt)
            if answer.code == 0:
                return
            last = _said(answer)
        except ProgramTimeoutError:
            last = "it accepts connections but does not answer"
        ended = not runs(folder)
        if ended or time.monotonic() >= deadline:
            what = "ended by itself" if ended else f"cannot be reached after {seconds:g} s"
            more = "" if ended else f"; {MORE_TIME}"
            raise LabError(f"the machine {what} ({last}){more}; its console:\n{_console(folder)}")
        time.sleep(0.2)


def await_boot(folder: str, image: str, port: int, seconds: float) -> None:
    """Wait until all of dom0 runs. Raises LabError as await_login does."""
    await_login(folder, image, port, seconds)
    try:
        answer = ssh(image, port, READY, seconds)
        said = _said(answer)
        failed = answer.code != 0
    except ProgramTimeoutError:
        failed, said = True, f"it is still starting after {seconds:g} s; {MORE_TIME}"
    if failed:
        raise LabError(f"Xen does not run in the machine: {said}; its console:\n{_console(folder)}")


def _console(folder: str) -> str:
    try:
        with open(os.path.join(folder, "console.log"), encoding="utf-8", errors="replace") as log:
            return last_lines(log.read())
    except OSError as error:
        return f"(cannot be read: {error.strerror})"
