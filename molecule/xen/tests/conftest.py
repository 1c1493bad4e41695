# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests on a real Xen host have in common: modules, playbooks, and what guests say."""

from __future__ import annotations

import copy
import glob
import json
import os
import re
import shlex
import socket
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from session import Session

DOMAINS = yaml.safe_load((Path(__file__).parents[1] / "vars/domains.yml").read_text())
IS_SHORT = os.environ.get("XEN_LAB_REBOOT") == "no"
GUEST_SECONDS = 240
"""How long a guest may take to notice something: all of it is emulated."""

PATIENCE_SECONDS = 20
"""After which a guest that has not noticed is asked."""

TELL = "printf '%%s\\r' %s > $(xenstore-read /local/domain/$(xl domid %s)/console/tty)"
"""Writes a line to the console of a domain."""

BOOT_SECONDS = 1200
"""How long the host may take to end its guests and to boot, and an HVM guest to boot."""

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
REPORT = re.compile(r"xen-lab: report (\d+)\n(.*?)xen-lab: end \1(?=\n|$)", re.DOTALL)
DISK = re.compile(
    r"xen-lab: disk key=(?P<key>\d+) name=(?P<name>\S+) sectors=(?P<sectors>\d+) "
    r"access=(?P<access>\w+) sha256=(?P<sha256>\w+)"
)
DRIVE = re.compile(
    r"xen-lab: drive unit=(?P<unit>\S+) name=(?P<name>\S+) sectors=(?P<sectors>\d+) "
    r"access=(?P<access>\w+) medium=(?P<medium>\d+) sha256=(?P<sha256>\w+)"
)


def run(command, cwd=None):
    """Run a command of Ansible: without colours, and results in JSON, which wraps no sentence."""
    environ = {
        **os.environ,
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    }
    return subprocess.run(
        command, check=False, capture_output=True, encoding="utf-8", env=environ, cwd=cwd
    )


def state_of(drive):
    """That of a drive in QEMU's answer to C(query-block)."""
    if drive["locked"]:
        return "locked"
    return "full" if "inserted" in drive else "empty"


class Xen:
    """The Xen host."""

    def __init__(self, host, session) -> None:
        self.host = host
        self._session = session

    is_short = IS_SHORT

    def domains(self):
        """What the scenario wants, to be changed at will."""
        return copy.deepcopy(DOMAINS["xen_domains"])

    def module(self, module, check=False, **options):
        """Run a module of the collection in dom0; its result, also where it failed."""
        print(f"\n    {module} {json.dumps(options)}{' (check)' if check else ''}", flush=True)
        result = self._ask({"module": module, "options": options, "check": check})
        print("       ", result.get("msg") or result.get("actions") or "", flush=True)
        return {"failed": False, **result}

    def _ask(self, request):
        return self._session.ask(self.host.ansible.get_variables(), request)

    def vbd(self, check=False, **options):
        """Run xen_vbd_attach for one disk: the module's result, and the disk's."""
        result = self.module("xen_vbd_attach", check, **options)
        return result, (result.get("vbds") or [None])[0]

    def diff(self, module, **options):
        """What diff mode shows of a module, in check mode."""
        command = ["ansible", "-i", os.environ["MOLECULE_INVENTORY_FILE"], "--check", "--diff"]
        words = ["-m", f"xen.blockdev.{module}", "-a", json.dumps(options), "xen"]
        return run([*command, *words]).stdout

    def run_elsewhere(self, module, options):
        """Run a module by a connection of its own, beside what the others do."""
        command = ["ansible", "-i", os.environ["MOLECULE_INVENTORY_FILE"], "xen"]
        ended = run([*command, "-m", f"xen.blockdev.{module}", "-a", json.dumps(options)])
        print(f"\n    {module} elsewhere\n{ended.stdout}{ended.stderr}", flush=True)
        return ended.returncode == 0

    def play(self, name, *words, **variables):
        """Run a playbook of the collection. Its output, whether it succeeded, and what changed."""
        inventory = os.environ["MOLECULE_INVENTORY_FILE"]
        command = ["ansible-playbook", "-i", inventory, f"xen.blockdev.{name}"]
        ended = run([*command, "-e", json.dumps(variables), *words])
        said = ended.stdout + ended.stderr  # errors are on either, as it is configured
        print(f"\n    {name} {' '.join(words)}\n{said[-3000:]}", flush=True)
        changed = re.search(r" changed=(\d+) ", ended.stdout)
        return said, ended.returncode == 0, int(changed[1]) if changed else 0

    def playbook(self, name, domains, *words):
        """The same for a playbook that gets these domains."""
        return self.play(name, *words, xen_domains=domains)

    def command(self, *words, cwd):
        """Run a command of Ansible in another directory."""
        return run(words, cwd)

    def shell(self, command, *words):
        """What a command on dom0 prints. It must succeed."""
        ended = self.try_shell(command, *words)
        assert ended["rc"] == 0, f"{command} {words}: {ended}"
        return ended["stdout"].rstrip("\n")

    def try_shell(self, command, *words):
        """How a command on dom0 ends. With C(words) each C(%s) of it is one of them."""
        quoted = command % tuple(map(shlex.quote, map(str, words))) if words else command
        return self._ask({"shell": quoted})

    def exists(self, path):
        """Whether dom0 has that path."""
        return self.try_shell("test -e %s", path)["rc"] == 0

    # ---- boots ----

    def reboot(self, cut=False):
        """Boot the host anew, after its power was C(cut) or as it does itself, and wait for it."""
        boot_id = "cat /proc/sys/kernel/random/boot_id"
        before = self.shell(boot_id)
        self._session.close()
        if cut:
            self._cut_power()
        else:
            self.host.check_output("systemctl reboot --no-block")
        # The connection that stays would wait for the one that it knew.
        for path in glob.glob(os.path.expanduser("~/.ansible/cp/xen-lab-*")):
            subprocess.run(["ssh", "-O", "exit", "-o", f"ControlPath={path}", "lab"], check=False)
        command = ["ansible", "-i", os.environ["MOLECULE_INVENTORY_FILE"], "xen"]
        self.await_(
            lambda: run([*command, "-T", "5", "-m", "raw", "-a", boot_id]),
            lambda ended: ended.returncode == 0 and before not in ended.stdout,
            lambda: "the host does not boot",
            BOOT_SECONDS,
        )
        self.shell("systemctl is-system-running --wait || true")

    def _cut_power(self):
        """Reset the machine, as QEMU's monitor does."""
        variables = self.host.ansible.get_variables()
        cache = Path(variables["ansible_private_key_file"]).parents[2]
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(cache / "machines" / variables["xen_lab_name"] / "qmp"))
            lines = monitor.makefile("rw", encoding="utf-8")
            for command in ("qmp_capabilities", "system_reset"):
                lines.readline()
                lines.write(json.dumps({"execute": command}))
                lines.flush()
            lines.readline()

    # ---- xenstore and loop devices ----

    def domid(self, domain):
        """Id of a running domain."""
        return self.shell("xl domid %s", domain)

    def keys(self, *domains):
        """Domain to the xenstore keys of the disks that it has or is to get."""
        listed = self.shell(
            f"for domain in {' '.join(domains)}; do for kind in vbd qdisk; do "
            "xenstore-list /local/domain/0/backend/$kind/$(xl domid $domain) 2>/dev/null | "
            'sed "s/^/$domain /"; done; done'
        )
        found = [line.split() for line in listed.splitlines()]
        return {name: {int(key) for domain, key in found if domain == name} for name in domains}

    def slots(self, domain):
        """Xenstore key to what xenstore has of its backend, whatever serves it."""
        domid = self.domid(domain)
        folders = " ".join(f"/local/domain/0/backend/{kind}/{domid}" for kind in ("vbd", "qdisk"))
        listed = self.shell(f"for f in {folders}; do xenstore-ls -f $f 2>/dev/null || true; done")
        pattern = rf'/local/domain/0/backend/(vbd|qdisk)/{domid}/(\d+)/(\S+) = "(.*)"'
        slots = {}
        for kind, key, node, value in re.findall(pattern, listed):
            slots.setdefault(int(key), {"kind": kind})[node] = value
        return slots

    def bindings(self):
        """Image to loop device."""
        listed = json.loads(self.shell("losetup --list --json") or '{"loopdevices": []}')
        return {entry["back-file"]: entry["name"] for entry in listed["loopdevices"]}

    def sha256(self, path):
        """Of what dom0 reads there, not from memory."""
        self.shell("sync; echo 3 > /proc/sys/vm/drop_caches")
        return self.shell("sha256sum < %s", path).split()[0]

    # ---- what QEMU says ----

    def qemu_drives(self, domain):
        """Name to C(empty), C(full) or C(locked), of the drives that a guest's QEMU emulates."""
        answer = self._ask({"qemu": int(self.domid(domain)), "command": "query-block"})
        drives = (drive for drive in answer["answer"] if drive["device"])
        return {drive["device"]: state_of(drive) for drive in drives}

    def qemu_files(self, domain):
        """Paths of what a guest's QEMU has open."""
        listed = self.shell(
            "cd /proc/$(xenstore-read /local/domain/%s/image/device-model-pid)/fd && "
            "for fd in *; do readlink $fd || true; done",
            self.domid(domain),
        )
        return {path for path in listed.splitlines() if path.startswith("/")}

    # ---- guests ----

    def console(self, domain):
        """All that a guest has printed since it was started."""
        log = self.shell("cat %s", f"/var/log/xen/console/guest-{domain}.log")
        return ESCAPES.sub("", log).replace("\r", "")

    def tell(self, domain, line):
        """Write a line to a guest's console."""
        self.shell(TELL, line, domain)

    def report(self, domain):
        """Xenstore key to what the Linux guest said last of its disks."""
        lines = DISK.finditer(self._last_report(domain))
        return {int(line["key"]): line.groupdict() for line in lines}

    def drives(self, domain):
        """Unit to what the Linux guest said last of the drives that QEMU emulates for it."""
        lines = DRIVE.finditer(self._last_report(domain))
        return {line["unit"]: line.groupdict() for line in lines}

    def _last_report(self, domain):
        log = self.console(domain).rpartition("xen-lab: ready\n")[2]
        reports = REPORT.findall(log)
        return reports[-1][1] if reports else ""

    def boots(self, domain):
        """How often a guest has booted, as its log says."""
        return self.console(domain).count("xen-lab: ready\n")

    def await_first_report(self, domain, boots=1):
        """Wait for an HVM guest that has booted so often: QEMU gives it the kernel byte by byte."""
        self.await_(
            lambda: self.boots(domain) >= boots and self._last_report(domain),
            bool,
            lambda: self.console(domain)[-2000:],
            BOOT_SECONDS,
        )

    def await_report(self, domain, wanted):
        """The guest's report once it is as C(wanted), a function of it, says."""
        return self._await_told(domain, self.report, wanted)

    def await_drives(self, domain, wanted):
        """What the guest says of its emulated drives, once it is as C(wanted) says."""
        return self._await_told(domain, self.drives, wanted)

    def _await_told(self, domain, read, wanted):
        """What C(read) finds in what a guest said, once C(wanted) says that it is good.

        What its kernel prints amid a report spoils that, so the guest is asked for another one. It
        may not exist at that moment: xl starts a guest again that the emulated processor ran wrong.
        """
        asked = time.monotonic()

        def read_again():
            nonlocal asked
            if time.monotonic() > asked + PATIENCE_SECONDS:
                self.try_shell(TELL, "report", domain)
                asked = time.monotonic()
            return read(domain)

        return self.await_(read_again, wanted, lambda: self.console(domain)[-2000:])

    def await_keys(self, domain, *keys):
        """The guest's report once it names exactly these disks."""
        return self.await_report(domain, lambda report: set(report) == set(keys))

    def settled(self, domain):
        """The guest's report once it has noticed all that xenstore has of its disks by now."""
        return self.await_keys(domain, *self.keys(domain)[domain])

    def sees_exactly(self, domain, wanted):
        """Check that the guest has these disks: xenstore key to sectors, access, and where dom0
        reads the same content."""
        report = self.await_keys(domain, *wanted)
        seen = {key: (int(disk["sectors"]), disk["access"]) for key, disk in report.items()}
        assert seen == {key: disk[:2] for key, disk in wanted.items()}
        sums = {key: disk["sha256"] for key, disk in report.items()}
        assert sums == {key: self.sha256(disk[2]) for key, disk in wanted.items()}

    def ask_again(self, domain):
        """A report of what the guest reads now: of those that it begins after this moment."""
        said = len(self.console(domain))
        self.tell(domain, "report")
        self.await_(
            lambda: REPORT.search(self.console(domain), said),
            bool,
            lambda: self.console(domain)[-2000:],
        )
        return self.report(domain)

    @staticmethod
    def await_(read, wanted, explain, seconds=GUEST_SECONDS):
        """What C(read) returns, once C(wanted) says that it is good."""
        deadline = time.monotonic() + seconds
        while True:
            value = read()
            if wanted(value):
                return value
            assert time.monotonic() < deadline, f"{value}\n{explain()}"
            time.sleep(0.5)


def pytest_configure(config):
    """See pytest."""
    config.addinivalue_line("markers", "long: of the long scenario, which also reboots the host")


def pytest_collection_modifyitems(items):
    """Leave the long scenario out where it is not wanted."""
    for item in items if IS_SHORT else ():
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="XEN_LAB_REBOOT=no: of the long scenario"))


@pytest.fixture(scope="session")
def session():
    opened = Session()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def xen(host, session):
    return Xen(host, session)
