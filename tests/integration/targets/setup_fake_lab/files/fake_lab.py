# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for mmdebstrap, qemu-system-x86_64, qemu-img and ssh (it is what it is called as).
The real ones take minutes and a network, and do not fail on demand.

The directory $FAKE_LAB holds ``behaviour.json``, what is to go wrong, ``log``, the commands that
were run, and ``pids``, the processes that stayed. A disk is a text file that names what it is
above. The machine listens on its port, and SSH gets in where something listens. Messages are those
of QEMU 7.2, mmdebstrap 1.3 and OpenSSH 9.2.
"""

import array
import gzip
import io
import json
import os
import re
import signal
import socket
import sys
import tarfile
import time
from pathlib import Path

HOME = Path(os.environ["FAKE_LAB"])
HANG_SECONDS = 120
MEMORY = b"memory of a machine that has booted\n"
QEMU = "qemu-system-x86_64"


def main():
    name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    with (HOME / "log").open("a") as log:
        log.write(json.dumps([name, *arguments]) + "\n")
    return COMMANDS[name](arguments, json.loads((HOME / "behaviour.json").read_text()))


def fail(message, code=1):
    print(message, file=sys.stderr)
    return code


def stay():
    """Note a process that a test is to end where the code does not."""
    with (HOME / "pids").open("a") as pids:
        pids.write(f"{os.getpid()}\n")


# ---- mmdebstrap ----


def mmdebstrap(arguments, behaviour):
    if arguments[0] == "--unshare-helper":
        if behaviour.get("no_namespaces"):
            return fail("E: failed to unshare the user namespace")
        os.execvp(arguments[1], arguments[1:])
    words = [word for word in arguments if not word.startswith("--")]
    files = {
        "./boot/xen-4.17-amd64.gz": gzip.compress(b"the hypervisor"),
        "./boot/vmlinuz-6.1.0-50-amd64": b"the kernel",
        "./boot/initrd.img-6.1.0-50-amd64": b"the initramfs",
        "./etc/ssh/ssh_host_ed25519_key.pub": b"ssh-ed25519 AAAA root@xen-lab\n",
    }
    with tarfile.open(words[1], "w") as root:
        for name, content in files.items():
            if name not in behaviour.get("lacks", []):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                root.addfile(entry, io.BytesIO(content))
    if behaviour.get("mmdebstrap_hangs"):
        stay()
        time.sleep(HANG_SECONDS)
    said = behaviour.get("mmdebstrap_says")
    return fail(said, 25) if said else 0


# ---- QEMU ----


def qemu_img(arguments, behaviour):
    base, disk = arguments[-2:]
    if behaviour.get("qemu_img_says"):
        return fail(behaviour["qemu_img_says"])
    if not Path(base).exists():
        return fail(f"qemu-img: {disk}: Could not open '{base}': No such file or directory")
    Path(disk).write_text(f"above {base}\n")
    return 0


def qemu(arguments, behaviour):
    if arguments == ["--version"]:
        print(behaviour.get("version", "QEMU emulator version 7.2.22"))
        print("Copyright (c) 2003-2022 Fabrice Bellard and the QEMU Project developers")
        return 0
    if behaviour.get("qemu_says"):
        return fail(behaviour["qemu_says"])
    options = dict(zip(arguments, arguments[1:]))
    kernel, initrd = options["-initrd"].split(",")
    for path in (options["-kernel"], kernel.split(" ")[0], initrd):
        if not Path(path).exists():
            return fail(f"{QEMU}: could not open multiboot module {path}")
    port = int(re.search(r"127\.0\.0\.1:(\d+)-", options["-netdev"])[1])
    ssh_server = socket.socket()
    ssh_server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        ssh_server.bind(("127.0.0.1", port))
        ssh_server.listen()
    except OSError:
        rule = f"tcp:127.0.0.1:{port}-:22"
        return fail(
            f"{QEMU}: -netdev user,id=net,hostfwd={rule}: Could not set up host forwarding rule "
            f"'{rule}'"
        )
    daemonize(options, behaviour)
    return 0


def daemonize(options, behaviour):
    """Go on in the background; return here once the machine is made."""
    made, makes = os.pipe()
    if os.fork():
        os.close(makes)
        os.read(made, 1)
        return
    os.setsid()
    os.close(made)
    stay()
    if behaviour.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    disk = re.search(r"file=(.*?),format=", options["-drive"])[1].replace(",,", ",")
    machine = Machine(Path("pid").resolve(), options, behaviour)
    machine.open_disks(Path(disk))
    machine.listen()
    machine.pid_file.write_text(f"{os.getpid()}\n")
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.close(makes)
    machine.run()
    machine.end()


class Machine:
    """What runs in the background."""

    def __init__(self, pid_file, options, behaviour):
        self.pid_file = pid_file
        self.behaviour = behaviour
        self.console = os.open("console.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(self.console, b"(XEN) Xen version 4.17\n[    0.000000] Linux version 6.1\n")
        self.incoming = options.get("-incoming")
        self.control = socket.socket(socket.AF_UNIX)
        self.disks = []
        self.status = "running"
        self.files = {}

    def open_disks(self, path):
        self.disks.append(path.open("rb", buffering=0))
        above = re.match(rb"above (.*)\n", self.disks[-1].read(500))
        if above:
            self.open_disks(path.resolve().parent / os.fsdecode(above[1]))

    def listen(self):
        Path("qmp").unlink(missing_ok=True)
        self.control.bind("qmp")
        self.control.listen()

    def end(self):
        self.pid_file.unlink()
        os._exit(0)

    def run(self):
        if self.behaviour.get("ends_by_itself"):
            os.write(self.console, b"Kernel panic - not syncing: no root\n")
            self.end()
        if self.incoming:
            self.go_on()
        while True:
            connection, _peer = self.control.accept()
            with connection:
                self.serve(connection)

    def go_on(self):
        with open(int(self.incoming.partition(":")[2]), "rb") as memory:
            if memory.read() != MEMORY:
                self.end()
        self.status = "paused"

    def serve(self, connection):
        self.send(connection, {"QMP": {"version": {}, "capabilities": []}})
        while True:
            line, rights, _flags, _peer = connection.recvmsg(65536, socket.CMSG_LEN(4))
            if not line:
                return
            message = json.loads(line)
            for _level, _kind, data in rights:
                self.files[message["arguments"]["fdname"]] = array.array("i", data)[0]
            self.send(connection, {"event": "STOP", "data": {}, "timestamp": {}})
            self.send(connection, {"return": self.answer(message)})

    @staticmethod
    def send(connection, message):
        connection.sendall(json.dumps(message).encode() + b"\r\n")

    def answer(self, message):
        command = message["execute"]
        if command == "quit" and not self.behaviour.get("deaf"):
            self.end()
        if command in ("stop", "cont"):
            self.status = {"stop": "paused", "cont": "running"}[command]
        if command == "migrate":
            self.migrate(message["arguments"]["uri"].partition(":")[2])
        if command == "query-status":
            return {"status": self.status}
        if command == "query-migrate":
            return self.behaviour.get("migration", {"status": "completed"})
        return {}

    def migrate(self, name):
        with open(self.files[name], "wb") as memory:
            memory.write(MEMORY)


# ---- SSH ----


def ssh(arguments, behaviour):
    port = int(arguments[arguments.index("-p") + 1])
    if behaviour.get("ssh_says"):
        return fail(behaviour["ssh_says"], 255)
    with socket.socket() as connection:
        if connection.connect_ex(("127.0.0.1", port)):
            return fail(f"ssh: connect to host 127.0.0.1 port {port}: Connection refused", 255)
    if "is-system-running" in arguments[-1] and behaviour.get("xen_says"):
        return fail(behaviour["xen_says"])
    return 0


COMMANDS = {"mmdebstrap": mmdebstrap, QEMU: qemu, "qemu-img": qemu_img, "ssh": ssh}

if __name__ == "__main__":
    sys.exit(main())
