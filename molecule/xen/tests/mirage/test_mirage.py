# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of unikernels: what they read and write by slot, how they end, and that nothing is left."""

from __future__ import annotations

import glob
import json
import os
import re
import shlex
import signal
import subprocess
import threading
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

PROJECT = Path(__file__).parents[4]
EXAMPLE = PROJECT / "examples" / "mirage"
CONSOLES = "/var/log/xen/console"
STAND_IN = {
    "unikernel": "/srv/guests/vmlinux",
    "remote_src": True,
    "memory": 96,
}
FLOOD = "".join(f"{f'flood {number} ':x<63}\n" for number in range(1024))
"""64 KiB, many times what the ring of a console holds."""
DIES = "\nFatal error: exception Not_found\nSolo5: solo5_exit(2) called\n"
GRUB_CFG = """
set pager=0
cat (xen/51728)/greetings/hello.txt
search --no-floppy --label CONTENT --set found
echo "CONTENT is $found"
cat ($found)/greetings/hello.txt
cat (xen/268439552)/greetings/hello.txt
echo all read
halt
"""


def stand_in(*words):
    """A test of the lab's stand-in for a unikernel, with what it is to do.

    It is a PV guest, which is emulated faster than the PVH guest of the example.
    """
    extra = " ".join(["console=hvc0 quiet", *words])
    options = {"type": "pv", "ramdisk": "/srv/guests/unikernel.img", "extra": extra}
    return {**STAND_IN, "options": options}


class Report:
    """What a run has reported."""

    def __init__(self, ended, directory: Path, host: str) -> None:
        self.output = ended.stdout
        self.ok = ended.returncode == 0
        self.files = directory / host
        cases = ElementTree.parse(directory / f"{host}.xml").iter("testcase")
        self.failures = {case.get("name"): case.find("failure") for case in cases}

    def verdicts(self):
        return {
            name: "passed" if failure is None else failure.get("type")
            for name, failure in self.failures.items()
        }


@pytest.fixture
def run_tests(xen, tmp_path):
    """Runs tests, as a command of the documentation does, where they are written."""

    def run(source_dir, *words):
        command = documented_command()
        command[command.index("-i") + 1] = os.environ["MOLECULE_INVENTORY_FILE"]
        directory = tmp_path / "report"
        variables = {"mirage_source_dir": str(source_dir), "mirage_report_dir": str(directory)}
        ended = xen.command(*command, "-e", json.dumps(variables), *words, cwd=source_dir)
        print(ended.stdout[-4000:], ended.stderr[-2000:], flush=True)
        return Report(ended, directory, xen.host.ansible.get_variables()["inventory_hostname"])

    return run


def documented_command():
    """The step that tests a unikernel in the workflow of the documentation."""
    workflow = yaml.safe_load((PROJECT / "docs/ci/github-actions.yml").read_text())
    steps = [step.get("run", "") for step in workflow["jobs"]["xen"]["steps"]]
    (step,) = [step for step in steps if "mirage_test" in step]
    gitlab = yaml.safe_load((PROJECT / "docs/ci/gitlab-ci.yml").read_text())["xen"]["script"]
    words = shlex.split(step)
    assert shlex.split(gitlab[0])[3:] == words[3:]
    return words


def nothing_is_left(xen):
    assert xen.shell("ls /var/tmp | grep mirage- || true") == ""
    assert not [image for image in xen.bindings() if "/mirage-" in image]
    assert re.findall(r"^\S+-[a-z0-9_]{8} ", xen.shell("xl list"), re.M) == []


def test_the_example_of_the_readme(xen, run_tests):
    report = run_tests(EXAMPLE)
    assert report.ok, report.output
    assert report.verdicts() == {"hello": "passed"}
    log = (report.files / "hello.log").read_text()
    assert "unikernel: tar 51728 greetings/hello.txt: Hello from a disk" in log
    assert "unikernel: ext4 268439552 greetings/hello.txt: Hello from a disk" in log
    assert "Linux version" in log or "unikernel: ready" in log
    notes = (report.files / "hello-notes.raw").read_bytes()
    assert (notes[:12], len(notes)) == (b"it-was-here\n", 1024**2)
    nothing_is_left(xen)


def prints(name, expect):
    """A test that prints a file of this name and powers off at once."""
    disks = [{"name": "tar", "source": "content", "filesystem": "tar"}]
    return {"name": name, **stand_in(f"tar:51712:{name}"), "disks": disks, "expect": expect}


def each_end():
    """Tests of which each ends in a way of its own; see C(write_sources) for their sources."""
    content = {"source": "content"}
    grub_disks = [
        {"name": "boot", "source": "boot", "filesystem": "ext4"},
        {"name": "tar", **content, "filesystem": "tar", "vdev": "51728"},
        {"name": "ext", **content, "filesystem": "ext4", "label": "CONTENT"},
        {"name": "fat", **content, "filesystem": "vfat", "fat_sector_size": 4096}
        | {"vdev": "268439552"},
    ]
    return [
        {
            "name": "grub",
            "unikernel": "/srv/guests/grub.bin",
            "remote_src": True,
            "memory": 128,
            "options": {"type": "pv"},
            "disks": grub_disks,
            "expect": "(?s)Hello from a disk.*CONTENT is xen/xvdc.*Hello.*Hello.*^all read$",
            "fail": "unknown filesystem|file .* not found",
        },
        {"name": "panics", **stand_in("panic"), "expect": "done"},
        {"name": "hangs", **stand_in("hang"), "expect": "done", "timeout": 90},
        {
            "name": "unwanted",
            **stand_in("tar:51712:none"),
            "disks": [{"name": "tar", **content, "filesystem": "tar"}],
            "expect": "done",
            "fail": "FAILED",
        },
        {"name": "ends", **stand_in("done")},
        prints("flood", "^unikernel: done$"),
        prints("dies", "^unikernel: done$"),
        {"name": "bad-kernel", "unikernel": "no-kernel", "expect": "x"},
        {
            "name": "bad-disk",
            **stand_in("done"),
            "disks": [{"name": "full", "size": "1TiB", "allocation": "full"}],
        },
    ]


VERDICTS = {
    "grub": "passed",
    "panics": "crashed",
    "hangs": "timeout",
    "unwanted": "unwanted",
    "ends": "passed",
    "flood": "passed",
    "dies": "crashed",
    "bad-kernel": "error",
    "bad-disk": "error",
}
"""Of the tests of C(each_end)."""


def write_sources(directory):
    """The folders and the file that the tests of C(each_end) name."""
    files = {
        "content/greetings/hello.txt": "Hello from a disk\n",
        "content/flood": FLOOD,
        "content/dies": DIES,
        "boot/boot/grub/grub.cfg": GRUB_CFG,
        "no-kernel": "this is no kernel\n" * 1000,
    }
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(content)


@pytest.fixture
def run_ends(xen, run_tests, tmp_path):
    """Runs those tests of C(each_end) that have these names, side by side."""

    def run(*names):
        write_sources(tmp_path)
        tests = [test for test in each_end() if test["name"] in names]
        variables = {"mirage_vms": tests, "mirage_parallel": 8, "mirage_timeout": 300}
        (tmp_path / "tests.yml").write_text(json.dumps(variables))
        report = run_tests(tmp_path)
        assert not report.ok
        assert report.verdicts() == {name: VERDICTS[name] for name in names}
        nothing_is_left(xen)
        return report

    return run


def test_good_and_bad_end(run_ends):
    report = run_ends("grub", "dies")
    wanted = "it crashed with status 2: Fatal error: exception Not_found"
    assert report.failures["dies"].get("message") == wanted


@pytest.mark.long
def test_no_end_and_no_beginning(run_ends):
    report = run_ends("hangs", "bad-kernel", "bad-disk")
    assert "unikernel: hanging" in report.failures["hangs"].text
    assert "cannot start domain bad-kernel-" in report.failures["bad-kernel"].get("message")
    assert "cannot preallocate" in report.failures["bad-disk"].get("message")


@pytest.mark.long
def test_more_ends(run_ends):
    """Each is a guest more to start."""
    report = run_ends("panics", "unwanted", "ends", "flood")
    assert "failed: panics: it crashed" in report.output
    assert "unikernel: about to crash" in (report.files / "panics.log").read_text()
    assert FLOOD in (report.files / "flood.log").read_bytes().decode().replace("\r", "")


@pytest.mark.long
def test_a_lost_connection_is_an_end_of_its_own(xen, run_tests, tmp_path):
    """Ansible's connection breaks while it follows a console; a new one puts everything away."""
    tests = [{"name": "cut-off", **stand_in("hang"), "expect": "done", "timeout": 600}]
    (tmp_path / "tests.yml").write_text(json.dumps({"mirage_vms": tests}))
    breaking = threading.Thread(target=break_connections_once_it_runs, args=[xen])
    breaking.start()
    report = run_tests(tmp_path)
    breaking.join()
    assert not report.ok
    assert report.verdicts() == {"cut-off": "lost"}
    assert "the connection to the host was lost: " in report.failures["cut-off"].get("message")
    assert "unikernel: hanging" in (report.files / "cut-off.log").read_text()
    nothing_is_left(xen)


def break_connections_once_it_runs(xen):
    """Kill the processes that hold the connections, once a unikernel says that it hangs."""
    xen.await_(
        lambda: xen.shell(f"grep -l 'unikernel: hanging' {CONSOLES}/guest-cut-off-*.log || true"),
        bool,
        lambda: "it does not run",
        300,
    )
    for path in glob.glob(os.path.expanduser("~/.ansible/cp/xen-lab-*")):
        command = ["ssh", "-O", "check", "-o", f"ControlPath={path}", "lab"]
        said = subprocess.run(command, check=False, capture_output=True, text=True).stderr
        for pid in re.findall(r"pid=(\d+)", said):  # a socket may be left of one that has ended
            os.kill(int(pid), signal.SIGKILL)


def test_bad_input_touches_nothing(xen, run_tests, tmp_path):
    tests = [{"name": "hello", **stand_in("done"), "expct": "done"}]
    (tmp_path / "tests.yml").write_text(json.dumps({"mirage_vms": tests}))
    command = documented_command()
    command[command.index("-i") + 1] = os.environ["MOLECULE_INVENTORY_FILE"]
    ended = xen.command(*command, cwd=tmp_path)
    assert ended.returncode != 0
    said = ended.stdout + ended.stderr
    assert "mirage_vms[0] (hello): 'expct' is not an option: did you mean expect?" in said
    assert list(tmp_path.iterdir()) == [tmp_path / "tests.yml"]
    nothing_is_left(xen)
