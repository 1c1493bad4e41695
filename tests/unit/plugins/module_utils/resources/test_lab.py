# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labs that are started, ended and cleared, and what killed runs leave."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.lab import files as lab_files
from ansible_collections.xen.blockdev.plugins.module_utils.lab import machine as lab_machine
from ansible_collections.xen.blockdev.plugins.module_utils.lab.recipe import CUSTOMISE
from ansible_collections.xen.blockdev.plugins.module_utils.resources import lab
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.labutil import Bench

BUILD = "build a dom0 of Debian bookworm"
BOOT = "boot it once and keep a snapshot"
START = "start lab lab from the snapshot"


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(tmp_path, monkeypatch)
    yield made
    made.end_all()


def error_of(call: Callable[..., object], *arguments: Any, **options: Any) -> str:
    with pytest.raises(BlockdevError) as caught:
        call(*arguments, **options)
    return str(caught.value)


def folders(bench: Bench, kind: str) -> List[str]:
    return sorted(str(path) for path in Path(bench.cache.path, kind).iterdir())


# ---- present ----


def test_the_first_start_builds_and_boots(bench: Bench) -> None:
    assert bench.start(check_mode=True) == [BUILD, BOOT, START]
    assert not Path(bench.cache.path).exists()
    assert bench.start() == [BUILD, BOOT, START]
    (image,) = folders(bench, "images")
    (snapshot,) = folders(bench, "snapshots")
    state = bench.state()
    assert state
    assert state["private_key_file"] == f"{image}/id_ed25519"
    assert Path(state["private_key_file"]).stat().st_mode & 0o777 == 0o600
    assert Path(image, "known_hosts").read_text() == "xen-lab ssh-ed25519 AAAA root@xen-lab\n"
    assert Path(state["console"]).read_text().startswith("(XEN) Xen version")
    assert sorted(os.listdir(image)) == [
        "id_ed25519",
        "id_ed25519.pub",
        "initrd.img",
        "known_hosts",
        "root.img",
        "vmlinuz",
        "xen",
    ]
    assert Path(snapshot, "memory").read_bytes()
    assert Path(bench.cache.path).stat().st_mode & 0o777 == 0o700
    assert len(bench.processes()) == 1


def test_a_lab_that_runs_is_left_alone(bench: Bench) -> None:
    bench.start()
    before, pids, state = bench.tree(), bench.processes(), bench.state()
    assert bench.start() == bench.start(check_mode=True) == []
    assert (bench.tree(), bench.processes(), bench.state()) == (before, pids, state)


def test_labs_share_what_was_built(bench: Bench) -> None:
    bench.start()
    assert bench.start("other") == ["start lab other from the snapshot"]
    first, second = bench.state(), bench.state("other")
    assert first and second
    assert first["port"] != second["port"]
    assert first["image"] == second["image"]
    assert len(bench.commands("mmdebstrap")) == 1


def test_another_machine_boots_the_same_image(bench: Bench) -> None:
    bench.start()
    assert bench.start("big", memory=4096) == [BOOT, "start lab big from the snapshot"]
    assert bench.start("trixie", release="trixie")[0] == "build a dom0 of Debian trixie"
    assert len(folders(bench, "images")) == 2
    assert len(folders(bench, "snapshots")) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": 4096}, "with memory 3072, not 4096; end it first (xen_lab_state: absent)"),
        ({"cpus": 1, "memory": 2048}, "with memory 3072, not 2048, cpus 2, not 1;"),
        ({"port": 9}, ", not 9; end it first"),
        ({"release": "trixie"}, "with release bookworm, not trixie, contents "),
    ],
)
def test_a_lab_that_runs_otherwise(bench: Bench, options: Dict[str, Any], message: str) -> None:
    bench.start()
    before = bench.tree()
    for check_mode in (True, False):
        error = error_of(bench.start, check_mode=check_mode, **options)
        assert error.startswith("lab lab is already running, with ")
        assert message in error
    assert bench.tree() == before


def test_other_files_are_another_lab(bench: Bench) -> None:
    bench.start()
    (bench.home / "files" / "motd").write_text("hello\n")
    assert "contents " in error_of(bench.start)
    assert bench.start("new")[0] == BUILD


def test_a_lab_that_has_ended_is_started_anew(bench: Bench) -> None:
    bench.start()
    bench.end_all()
    Path(bench.cache.machine("lab"), "mark").touch()
    assert bench.state() is None
    assert bench.start(check_mode=True) == [START]
    assert bench.start() == [START]
    assert "mark" not in os.listdir(bench.cache.machine("lab"))


def test_a_pid_that_is_another_process_by_now(bench: Bench) -> None:
    bench.start()
    bench.end_all()
    Path(bench.cache.machine("lab"), "pid").write_text(f"{os.getpid()}\n")
    assert not bench.runs()
    assert bench.end() == ["remove what is left of lab lab"]


# ---- ports ----


def test_a_port_of_ones_own(bench: Bench) -> None:
    port = lab_machine.free_port()
    bench.start(port=port)
    state = bench.state()
    assert state and state["port"] == port
    assert bench.start(port=port) == []


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_that_is_taken(bench: Bench, taken: int) -> None:
    for check_mode in (True, False):
        error = error_of(bench.start, port=taken, check_mode=check_mode)
        assert error.startswith(f"cannot use port {taken}: Address already in use; choose")
    assert bench.commands("mmdebstrap") == []


def test_a_port_that_another_process_takes_first(
    bench: Bench, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.start("first")
    free, found = lab_machine.free_port(), [taken, taken]
    monkeypatch.setattr(lab_machine, "free_port", lambda: found.pop() if found else free)
    bench.start()
    state = bench.state()
    assert state and state["port"] == free
    monkeypatch.setattr(lab_machine, "free_port", lambda: taken)
    assert error_of(bench.start, "third") == (
        f"port {taken} was taken by another process; choose another (xen_lab_port), or leave it "
        "out, then a free one is taken"
    )
    monkeypatch.setattr(lab_machine, "require_free_port", lambda port: None)
    assert f"port {taken} was taken" in error_of(bench.start, "third", port=taken)


# ---- errors ----


@pytest.mark.parametrize(
    ("tool", "package"),
    [
        ("mmdebstrap", "mmdebstrap"),
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("qemu-img", "qemu-utils"),
        ("ssh", "openssh-client"),
    ],
)
def test_tools_that_are_not_there(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tool: str, package: str
) -> None:
    find = programs.find
    monkeypatch.setattr(programs, "find", lambda name: None if name == tool else find(name))
    for check_mode in (True, False):
        assert error_of(bench.start, check_mode=check_mode) == (
            f"{tool} not found on the controller; install it (on Debian and Ubuntu: `apt install "
            f"{package}`), or set xen_lab_install_packages: true"
        )
    assert not Path(bench.cache.path, "images").exists()


def test_no_room(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 8, 1 << 20))
    for check_mode in (True, False):
        error = error_of(bench.start, check_mode=check_mode)
        assert error.startswith(f"{bench.cache.path} has 1 MiB of free space, and a build needs ")


def test_a_build_that_fails_leaves_nothing(bench: Bench) -> None:
    lines = "\n".join(f"line {number}" for number in range(50))
    bench.behave(mmdebstrap_says=f"{lines}\nErr:1 Could not resolve 'deb.debian.org'")
    error = error_of(bench.start)
    assert error.startswith("mmdebstrap ended with exit code 25:\nline 36\n")
    assert error.endswith("choose another (xen_lab_mirror)")
    assert (folders(bench, "images"), bench.done) == ([], [])
    bench.behave()
    assert bench.start() == [BUILD, BOOT, START]


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ({"qemu_says": "qemu: cannot set up guest memory"}, "qemu: cannot set up guest memory"),
        (
            {"ends_by_itself": True},
            "the machine ended by itself (ssh: connect to host 127.0.0.1 port",
        ),
        ({"ends_by_itself": True}, "its console:\n(XEN) Xen version 4.17\n"),
        ({"ends_by_itself": True}, "Kernel panic - not syncing"),
        (
            {"ssh_says": "Connection timed out during banner exchange"},
            "cannot be reached after 1 s (Connection timed out during banner exchange); give it ",
        ),
        ({"xen_says": "xl: not found"}, "Xen does not run in the machine: xl: not found; its co"),
        (
            {"migration": {"status": "failed", "error-desc": "no way"}},
            "QEMU did not finish (query-migrate): no way",
        ),
    ],
)
def test_a_boot_that_fails_leaves_nothing(
    bench: Bench, behaviour: Dict[str, Any], message: str
) -> None:
    bench.behave(**behaviour)
    assert message in error_of(bench.start, boot_seconds=1)
    assert (folders(bench, "snapshots"), bench.processes()) == ([], [])
    assert bench.done == [BUILD]
    bench.behave()
    assert bench.start() == [BOOT, START]


def test_a_snapshot_that_cannot_be_gone_on_from(bench: Bench) -> None:
    bench.start("other")
    (snapshot,) = folders(bench, "snapshots")
    memory = Path(snapshot, "memory")
    memory.write_bytes(memory.read_bytes()[:10])
    error = error_of(bench.start)
    assert error.startswith(f"cannot resume from the snapshot in {snapshot}: QEMU ")
    assert error.endswith("delete that directory and run again to take a new one")
    assert not bench.runs()
    assert bench.end() == ["remove what is left of lab lab"]


def test_a_lab_that_cannot_be_reached_is_ended(bench: Bench) -> None:
    bench.start("other")
    bench.behave(ssh_says="Permission denied (publickey).")
    assert "Permission denied (publickey)." in error_of(bench.start, boot_seconds=0.5)
    assert not bench.runs()
    assert bench.runs("other")
    bench.behave()
    assert bench.start() == [START]


# ---- absent ----


def test_absent(bench: Bench) -> None:
    assert bench.end() == []
    bench.start()
    bench.start("other")
    assert bench.end(check_mode=True) == ["end lab lab"]
    assert bench.runs()
    assert bench.end() == ["end lab lab"]
    assert bench.end() == bench.end(check_mode=True) == []
    assert not bench.runs()
    assert bench.runs("other")
    assert len(folders(bench, "machines")) == 1
    assert bench.start() == [START]


def test_a_machine_that_does_not_listen_is_killed(bench: Bench) -> None:
    bench.behave(deaf=True)
    bench.start()
    assert bench.end() == ["end lab lab"]
    assert bench.processes() == []


def test_a_machine_that_was_stopped_is_killed(bench: Bench) -> None:
    bench.start()
    (pid,) = bench.processes()
    os.kill(pid, signal.SIGSTOP)
    assert bench.end() == ["end lab lab"]
    assert bench.processes() == []


def test_a_machine_that_cannot_be_killed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.behave(deaf=True)
    bench.start()
    (pid,) = bench.processes()
    monkeypatch.setattr(lab_files, "END_SECONDS", 0.1)
    monkeypatch.setattr(lab_machine.os, "kill", lambda pid, number: None)
    error = error_of(bench.end)
    monkeypatch.undo()
    assert error == f"QEMU still runs after it was killed (process {pid})"


# ---- cleared ----


def test_cleared(bench: Bench) -> None:
    bench.start()
    bench.start("big", memory=4096)
    error = error_of(bench.clear)
    assert error.startswith(f"lab big runs from the cache in {bench.cache.path}; end it first")
    assert bench.runs()
    os.kill(bench.processes()[1], signal.SIGKILL)
    built = folders(bench, "images") + folders(bench, "snapshots")
    expected = [
        "remove what is left of lab big",
        "end lab lab",
        *(f"remove {path}" for path in built),
    ]
    bench.await_(lambda: not bench.runs("big"))
    assert bench.clear(check_mode=True) == expected
    assert bench.clear() == expected
    assert bench.clear() == bench.clear(check_mode=True) == []
    assert bench.processes() == []
    assert [line.split()[0] for line in bench.tree()] == [
        "cache.lock",
        "images",
        "machines",
        "snapshots",
    ]
    assert bench.start() == [BUILD, BOOT, START]


def test_a_folder_with_other_files_is_no_cache(bench: Bench) -> None:
    (Path(bench.cache.path) / "images").mkdir(parents=True)
    for call in (bench.start, bench.end, bench.clear):
        for check_mode in (True, False):
            error = error_of(call, check_mode=check_mode)
            assert error.startswith(f"{bench.cache.path} contains files that are not of a lab; ")
    assert len(bench.tree()) == 1


def test_a_file_is_no_cache(bench: Bench) -> None:
    Path(bench.cache.path).touch()
    assert error_of(bench.start) == (
        f"{bench.cache.path} is not a directory; choose another (xen_lab_cache)"
    )


def test_an_empty_file_system_is_a_cache(bench: Bench) -> None:
    (Path(bench.cache.path) / "lost+found").mkdir(parents=True)
    assert bench.start() == [BUILD, BOOT, START]


# ---- other versions of QEMU ----


def test_snapshots_of_other_versions_go(bench: Bench) -> None:
    bench.start()
    bench.start("big", memory=4096)
    bench.end()
    old = folders(bench, "snapshots")
    used = " ".join(lab_machine.open_files(bench.cache.machine("big")))
    standing = next(path for path in old if path in used)
    (useless,) = set(old) - {standing}
    bench.behave(version="QEMU emulator version 10.0.0")
    expected = [BOOT, f"remove {useless}, which another version of QEMU made", START]
    assert bench.start(check_mode=True) == expected
    assert bench.start() == expected
    assert standing in folders(bench, "snapshots")
    assert len(folders(bench, "snapshots")) == 2
    assert bench.start("third") == ["start lab third from the snapshot"]


# ---- what killed runs leave ----

RUN = """
import json, os, sys
from functools import partial
sys.path[:0] = json.loads(sys.argv[1])
from ansible_collections.xen.blockdev.plugins.module_utils.resources import lab
from ansible_collections.xen.blockdev.plugins.module_utils.{package} import {module} as patched
from ansible_collections.xen.blockdev.plugins.module_utils.lab.build import read_recipe
from ansible_collections.xen.blockdev.plugins.module_utils.lab.files import Cache
from ansible_collections.xen.blockdev.plugins.module_utils.lab.start import Start, WantedLab

def here(*arguments, **options):
    print("here", flush=True)
    import time
    time.sleep(100)

{patch}
home = sys.argv[2]
recipe = read_recipe(home + "/files", "bookworm", ["linux"], None)
wanted = WantedLab("lab", recipe, 3072, 2, None, 5)
cache = Cache(home + "/cache, with blanks")
lab.bring(cache, Start(cache, wanted).plan, False, [])
"""

MOMENTS = {
    "while it is built": ("lab.build", "patched._take_boot_files = here"),
    "while it boots": ("lab.machine", "patched.await_boot = here"),
    "before it is saved": ("lab.machine", "patched.save = here"),
    "before the snapshot is there": ("lab.start", "patched.write_json = here"),
    "before the lab's disk is there": (
        "lab.start",
        "patched.Start._start = lambda self: os.makedirs(self._folder) or here()",
    ),
    "while QEMU reads the memory": (
        "host.qmp",
        "patched.Qmp.await_status = lambda self, command, *_: 'status' in command and here()",
    ),
    "before one can log in": ("lab.start", "patched.Start._describe = here"),
}


def run_until(bench: Bench, moment: str) -> subprocess.Popen[bytes]:
    """A run that has come that far."""
    module, patch = MOMENTS[moment]
    package, _dot, name = module.partition(".")
    code = RUN.format(package=package, module=name, patch=patch)
    words = [sys.executable, "-c", code, json.dumps(sys.path), str(bench.home)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"here\n"
    return process


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_was_killed(bench: Bench, moment: str, number: int) -> None:
    with run_until(bench, moment) as process:
        process.send_signal(number)
    if number == signal.SIGTERM:
        assert bench.processes() == []
        assert bench.cache.leftovers() == []
    foretold = bench.start(check_mode=True)
    assert bench.start() == foretold
    assert foretold[-1] == START
    assert bench.start() == []
    assert len(bench.processes()) == 1
    assert bench.cache.leftovers() == []


def test_a_killed_start_does_not_count_as_a_lab(bench: Bench) -> None:
    with run_until(bench, "before one can log in") as process:
        process.kill()
    assert bench.runs()
    assert bench.state() is None
    assert bench.start() == ["end what a killed run has left of lab lab", START]


def test_a_killed_start_ends(bench: Bench) -> None:
    with run_until(bench, "before one can log in") as process:
        process.kill()
    assert bench.end() == ["end lab lab"]
    assert bench.processes() == []


def test_absent_and_cleared_end_what_boots(bench: Bench) -> None:
    for call in (bench.end, bench.clear):
        with run_until(bench, "while it boots") as process:
            process.kill()
        assert len(bench.processes()) == 1
        (left,) = bench.cache.leftovers()
        foretold = call(check_mode=True)
        assert foretold[0] == f"remove {left}, which a killed run has left"
        assert call() == foretold
        assert (bench.processes(), bench.cache.leftovers()) == ([], [])


def test_mmdebstrap_ends_with_the_run(bench: Bench) -> None:
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        bench.behave(mmdebstrap_hangs=True)
        # Whatever runs in the background of a shell ignores SIGINT, and so would this.
        heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
        code = RUN.format(module="machine", patch=heard)
        words = [sys.executable, "-c", code, json.dumps(sys.path), str(bench.home)]
        with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
            bench.await_(lambda: len(bench.processes()) == 1)
            process.send_signal(number)
        bench.await_(lambda: bench.processes() == [])
        assert bool(bench.cache.leftovers()) == (number == signal.SIGKILL)


def test_a_state_that_cannot_be_read(bench: Bench) -> None:
    bench.start()
    file = Path(bench.cache.machine("lab"), "machine.json")
    for content, message in (("{", f"cannot read {file}: "), ("[]", "its content was changed")):
        file.write_text(content)
        error = error_of(bench.start)
        assert error.startswith("a lab is running, but ")
        assert message in error
        assert error.endswith("; end it first (xen_lab_state: absent)")
    file.write_text("{}")
    assert "memory None, not 3072" in error_of(bench.start)
    file.write_text("{")
    assert bench.end() == ["end lab lab"]


# ---- at once ----


def test_two_starts_at_once(bench: Bench) -> None:
    code = RUN.format(module="machine", patch="")
    other = code.replace('WantedLab("lab"', 'WantedLab("other"')
    words = [json.dumps(sys.path), str(bench.home)]
    runs = [subprocess.Popen([sys.executable, "-c", text, *words]) for text in (code, other, code)]
    assert [process.wait(60) for process in runs] == [0, 0, 0]
    assert bench.start() == bench.start("other") == []
    assert len(bench.processes()) == 2
    assert len(bench.commands("mmdebstrap")) == 1


def test_another_run_holds_the_cache(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_until(bench, "while it boots") as process:
        monkeypatch.setattr(lab, "LOCK_SECONDS", 0.1)
        assert "cache.lock, which another process holds" in error_of(bench.end)
        process.kill()


def test_signals_are_as_they_were(bench: Bench) -> None:
    before = signal.getsignal(signal.SIGTERM)
    bench.start()
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_recipe_needs_customise(bench: Bench) -> None:
    (bench.home / "files" / CUSTOMISE).chmod(0o644)
    assert "does not exist or is not executable" in error_of(bench.start)
