# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many runs at the same moment, on the same images and beside programs that know no lock.

Every process waits at its first step until all are there, and lingers now and then at a step that
touches the system. So the gaps between a look and what is done upon it are wide enough to be hit.
"""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Sequence, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.host import locks
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding
from ansible_collections.xen.blockdev.tests.robustness import harness
from ansible_collections.xen.blockdev.tests.robustness.harness import Hook, Outcome

MIB = 2**20
RUNS = 8
ROUNDS = range(3)

HANGS_SECONDS = 60
"""A process that takes as long as this waits for what never comes, and is ended."""

LINGER_SECONDS = 0.004
"""The longest that a process lingers at one step."""

CLEAR = (
    "meanwhile",
    "run again",
    "close it first",
    "does not exist",
    "No such file or directory",
    "cannot shrink",
    "unbind it first",
    "end that first",
    "release it first (detach, unmount, swapoff or close it)",
)
"""What an error may say where another run was faster."""

XL_SCRIPT = r"""
lockfile=$1 ours=$2 image=$3
claim_lock() {
    local stat
    while true; do
        exec 8<>"$lockfile"
        flock -x 8
        if stat=$(stat -L -c '%D.%i' - "$lockfile" 0<&8 2>/dev/null); then
            [ "${stat%$'\n'*}" = "${stat#*$'\n'}" ] && break
        fi
        exec 8<&-
    done
}
attach() {
    claim_lock
    until device=$(losetup -f) && sleep 0.01 && losetup "$device" "$image"; do
        taken=$(cat "/sys/block/${device#/dev/}/loop/backing_file")
        case $taken in "$ours"/*) echo "$device was taken for $taken" >&2; exit 1;; esac
    done
    rm "$lockfile"
    exec 8<&-
}
for number in {1..8}; do
    attach
    losetup -d "$device"
done
attach
echo "$device"
"""
"""What xl's script for a disk does under its lock, which it takes as Xen's locking.sh does.

It tries again where the device was taken for a file that is not below $2: what else runs on this
host while it is tested does not know of a lock that is the test's own."""

PLAIN_LOSETUP = """
for number in $(seq 8); do losetup --detach "$(losetup --find --show "$0")"; done
losetup --find --show "$0"
"""

AT_GATE = 'until [ -e "$0" ]; do sleep 0.001; done; exec "$@"'
"""What keeps a program from its beginning until all are there."""


class Call(NamedTuple):
    """A module and its options."""

    module: str
    options: Dict[str, Any]


class Foreign:
    """Programs that bind files of their own to loop devices, from when all runs begin (at_once)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._begin = ["sh", "-c", AT_GATE, str(folder.parent / "gate")]
        self._started: List[Tuple[Path, Path, subprocess.Popen]] = []

    def start(self, name: str, command: Callable[[Path], Sequence[str]]) -> None:
        """Start one that prints the device to which it has bound the new file C(name)."""
        file = new_image(self._folder / name)
        printed = self._folder / f"{name}.device"
        with printed.open("w") as output:
            process = subprocess.Popen([*self._begin, *command(file)], stdout=output)
        self._started.append((file, printed, process))

    def assert_untouched(self) -> None:
        """Every one has its own device, and that still has the file that it was bound to."""
        devices = []
        for file, printed, process in self._started:
            assert process.wait(HANGS_SECONDS) == 0
            devices.append(printed.read_text().strip())
            number = loop_binding.number_of(devices[-1])
            assert number is not None
            binding = loop_binding.read(number)
            assert binding is not None, f"{devices[-1]} is not bound any more"
            assert binding.file == loop_binding.file_id(file.stat()), f"{devices[-1]} was taken"
        assert len(set(devices)) == len(devices)


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[Foreign]:
    place = tmp_path / "foreign"
    place.mkdir()
    yield Foreign(place)
    harness.unbind_all(place)


def new_image(path: Path, size: int = MIB) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def new_images(folder: Path, number: int, name: str = "image") -> List[str]:
    return [str(new_image(folder / f"{name}{index}")) for index in range(number)]


def loops(paths: Iterable[str], **options: Any) -> Call:
    return Call("xen_loopdev", {"devices": [{"path": path} for path in paths], **options})


def disks(*wanted: Dict[str, Any]) -> Call:
    return Call("xen_raw_disk", {"disks": list(wanted)})


def shuffled(things: Sequence[Any], seed: int) -> List[Any]:
    return random.Random(seed).sample(things, len(things))


def lingering(gate: Path, seed: int, always: str) -> Hook:
    """A hook that waits for C(gate) to be there, and later now and then for a moment, at the audit
    event C(always) every time."""
    chance = random.Random(seed)
    waiting = []  # To sleep is an audit event itself.

    def hook(event: str, _arguments: tuple) -> None:
        if not waiting:
            waiting.append(event)
            signal.alarm(HANGS_SECONDS)
            wait_for(gate)
        elif event == always or (event.startswith(harness.TOUCHES) and chance.random() < 0.3):
            time.sleep(chance.random() * LINGER_SECONDS)

    return hook


def wait_for(path: Path) -> None:
    """Wait until there is a file."""
    until = time.monotonic() + HANGS_SECONDS
    while not path.exists():
        assert time.monotonic() < until, f"{path} never came"
        time.sleep(0.001)


def at_once(tmp_path: Path, calls: Sequence[Call], seed: int, always: str = "") -> List[Outcome]:
    """Run all calls at the same moment; each has a result, and its error, if any, is clear."""
    gate = tmp_path / "gate"
    waits = [
        harness.start(call.module, lingering(gate, seed * 1000 + index, always), **call.options)
        for index, call in enumerate(calls)
    ]
    gate.touch()
    outcomes = [wait() for wait in waits]
    gate.unlink()
    harness.count("races")
    for outcome in outcomes:
        assert outcome.result is not None, outcome.said
        assert "Traceback" not in outcome.said
        if outcome.failed:
            assert any(words in outcome.message for words in CLEAR), outcome.message
    return outcomes


def assert_converges(*calls: Call) -> None:
    """One more run of each call gives what it is to give, and the run after it changes nothing."""
    for call in calls:
        outcome = harness.call(call.module, **call.options)
        assert not outcome.failed, outcome.message
        again = harness.call(call.module, **call.options)
        assert (again.failed, again.changed) == (False, False), again.said


def succeeded(outcomes: Iterable[Outcome]) -> List[Dict[str, Any]]:
    """The results, none of which may be an error."""
    results = []
    for outcome in outcomes:
        assert not outcome.failed, outcome.message
        results.append(outcome.result or {})
    return results


def bound_once(folder: Path) -> Dict[str, Binding]:
    """The bindings by their files, of which none is bound twice, or has been deleted."""
    bindings = harness.bindings(folder)
    assert [one for one in bindings if one.deleted] == []
    assert [
        file for file, times in Counter(one.file for one in bindings).items() if times > 1
    ] == []
    return {one.backing_file: one for one in bindings}


# ---- loop devices ----


@pytest.mark.parametrize("seed", ROUNDS)
def test_the_same_images_are_bound_in_any_order(tmp_path: Path, folder: Path, seed: int) -> None:
    images = new_images(folder, 6)
    calls = [loops(shuffled(images, seed * RUNS + run)) for run in range(RUNS)]
    results = succeeded(at_once(tmp_path, calls, seed))
    bound = bound_once(folder)
    assert sorted(bound) == images
    items = [item for result in results for item in result["devices"]]
    assert {(item["path"], item["device"]) for item in items} == {
        (path, binding.device) for path, binding in bound.items()
    }
    assert Counter(item["path"] for item in items if item["changed"]) == Counter(images)
    assert harness.names(folder) == [os.path.basename(path) for path in images]
    assert_converges(loops(images), loops(images, state="absent"))


@pytest.mark.parametrize("seed", ROUNDS)
def test_different_images_are_bound(tmp_path: Path, folder: Path, seed: int) -> None:
    images = [new_images(folder, 3, f"of{run}-") for run in range(RUNS)]
    results = succeeded(at_once(tmp_path, [loops(paths) for paths in images], seed))
    bound = bound_once(folder)
    for paths, result in zip(images, results):
        assert [item["device"] for item in result["devices"]] == [bound[p].device for p in paths]
        assert all(item["changed"] for item in result["devices"])
    everything = [path for paths in images for path in paths]
    assert_converges(loops(everything), loops(everything, state="absent"))


@pytest.mark.parametrize("seed", ROUNDS)
def test_what_some_bind_others_unbind(tmp_path: Path, folder: Path, seed: int) -> None:
    images = new_images(folder, 4)
    calls = [
        loops(shuffled(images, seed * RUNS + run), state="absent" if run % 2 else "present")
        for run in range(RUNS)
    ]
    # Who only looks takes no lock.
    looks = [Call("xen_loopdev_info", {})] * 2
    results = succeeded(at_once(tmp_path, [*calls, *looks], seed))[:RUNS]
    bound = bound_once(folder)
    for path in images:
        items = [item for result in results for item in result["devices"] if item["path"] == path]
        made = sum(item["changed"] and item["device"] is not None for item in items)
        ended = sum(item["changed"] and item["device"] is None for item in items)
        assert made - ended == (path in bound)
    assert_converges(loops(images), loops(images, state="absent"))
    assert bound_once(folder) == {}


@pytest.mark.parametrize("seed", ROUNDS)
def test_devices_of_plain_losetup_are_never_taken(
    tmp_path: Path, folder: Path, foreign: Foreign, seed: int
) -> None:
    images = new_images(folder, 24)
    for index in range(RUNS // 2):
        foreign.start(f"foreign{index}", lambda file: ["sh", "-c", PLAIN_LOSETUP, str(file)])
    calls = [loops(shuffled(images, seed * RUNS + run)[6:]) for run in range(RUNS // 2)]
    calls.append(loops(images, state="absent"))
    succeeded(at_once(tmp_path, calls, seed))
    foreign.assert_untouched()
    bound_once(folder)
    assert_converges(loops(images))
    foreign.assert_untouched()
    assert sorted(bound_once(folder)) == sorted(images)
    assert_converges(loops(images, state="absent"))
    foreign.assert_untouched()


@pytest.mark.parametrize("seed", ROUNDS)
def test_the_script_of_xl_has_its_lock(
    tmp_path: Path, folder: Path, foreign: Foreign, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "xen-hotplug" / "block"
    lock.parent.mkdir()
    script = ["bash", "-c", XL_SCRIPT, "block", str(lock), str(folder)]
    monkeypatch.setattr(locks, "XL_SCRIPT", "/bin/sh")  # It is asked only whether it is there.
    monkeypatch.setattr(locks, "XL_SCRIPT_LOCK", str(lock))
    for index in range(RUNS // 2):
        foreign.start(f"disk{index}", lambda file: [*script, str(file)])
    images = [new_images(folder, 8, f"of{run}-") for run in range(RUNS // 2)]
    calls = [loops(paths) for paths in images]
    # Between it opens the lock and has it, whoever held it may remove it.
    succeeded(at_once(tmp_path, calls, seed, always="fcntl.flock"))
    foreign.assert_untouched()
    everything = [path for paths in images for path in paths]
    assert sorted(bound_once(folder)) == sorted(everything)
    assert_converges(loops(everything), loops(everything, state="absent"))
    foreign.assert_untouched()
    assert not lock.exists()


def test_a_lock_that_its_holder_has_removed_is_none(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "block"
    monkeypatch.setattr(locks, "XL_SCRIPT", "/bin/sh")
    monkeypatch.setattr(locks, "XL_SCRIPT_LOCK", str(lock))
    (image,) = new_images(folder, 1)
    is_opened, is_another = tmp_path / "opened", tmp_path / "another"

    def slow(event: str, arguments: tuple) -> None:
        if event == "fcntl.flock" and os.readlink(f"/proc/self/fd/{arguments[0]}") == str(lock):
            is_opened.touch()
            wait_for(is_another)

    wait = harness.start("xen_loopdev", slow, path=image)
    wait_for(is_opened)
    lock.unlink()
    with lock.open("w") as mine:
        fcntl.flock(mine, fcntl.LOCK_EX)
        is_another.touch()
        time.sleep(0.3)
        assert bound_once(folder) == {}
    harness.count("races")
    succeeded([wait()])
    assert list(bound_once(folder)) == [image]


# ---- images ----


@pytest.mark.parametrize("seed", ROUNDS)
def test_growth_never_takes_away_what_another_run_gave(
    tmp_path: Path, folder: Path, seed: int
) -> None:
    images = new_images(folder, 4)
    sizes = shuffled(range(2, 2 + RUNS), seed)
    calls = [
        disks(*({"path": path, "size": size * MIB} for path in shuffled(images, size)))
        for size in sizes
    ]
    outcomes = at_once(tmp_path, calls, seed, always="os.truncate")
    largest = max(sizes)
    succeeded([outcomes[sizes.index(largest)]])
    assert [os.path.getsize(path) for path in images] == [largest * MIB] * len(images)
    assert_converges(calls[sizes.index(largest)])


@pytest.mark.parametrize("seed", ROUNDS)
def test_images_come_and_go_and_change_their_size(tmp_path: Path, folder: Path, seed: int) -> None:
    images = [str(folder / f"image{index}") for index in range(4)]
    some = new_images(folder, 2)
    wishes: List[Dict[str, Any]] = [
        {"size": MIB},
        {"size": MIB, "shrink": True},
        {"size": 2 * MIB, "allocation": "full"},
        {"size": 3 * MIB, "source": str(new_image(tmp_path / "source", 2 * MIB))},
        {"state": "absent"},
    ]
    chance = random.Random(seed)
    wanted = [
        [{"path": path, **chance.choice(wishes)} for path in shuffled(images, run)]
        for run in range(RUNS)
    ]
    outcomes = at_once(tmp_path, [disks(*items) for items in wanted], seed)
    # The state that is left is one that somebody wanted, or the first one.
    results = [item for outcome in outcomes for item in (outcome.result or {})["disks"]]
    for path in images:
        sizes = {item["size"] for item in results if item["path"] == path and item["changed"]}
        size = os.path.getsize(path) if os.path.exists(path) else None
        assert size in sizes | {MIB if path in some else None}
    assert set(harness.names(folder)) <= {os.path.basename(path) for path in images}
    assert_converges(
        disks(*({"path": path, "size": MIB, "shrink": True} for path in images)),
        disks(*({"path": path, "state": "absent"} for path in images)),
    )
    assert harness.names(folder) == []


@pytest.mark.parametrize("second", ["bind", "delete"])
def test_who_waits_for_a_run_that_deletes_the_image(
    tmp_path: Path, folder: Path, second: str
) -> None:
    """Whoever opens the image then gets it only when it is gone, and a new one may be there."""
    (image,) = new_images(folder, 1)
    gone = {"path": image, "state": "absent"}
    second_opens, first_has_it, second_goes_on = (tmp_path / name for name in "123")

    def is_image(path: Any) -> bool:
        """By its name alone, which is what a directory's descriptor goes with."""
        return isinstance(path, str) and os.path.basename(path) == os.path.basename(image)

    def late(event: str, arguments: tuple) -> None:
        if event == "open" and is_image(arguments[0]) and arguments[2] & os.O_RDWR:
            second_opens.touch()
            wait_for(first_has_it)
        elif event in ("fcntl.fcntl", "fcntl.ioctl") and first_has_it.exists():
            wait_for(second_goes_on)

    def slow(event: str, arguments: tuple) -> None:
        if event == "os.remove" and is_image(arguments[0]):
            first_has_it.touch()
            time.sleep(0.2)

    if second == "bind":
        wait = harness.start("xen_loopdev", late, path=image)
    else:
        wait = harness.start("xen_raw_disk", late, **gone)
    wait_for(second_opens)
    succeeded([harness.call("xen_raw_disk", slow, **gone)])
    succeeded([harness.call("xen_raw_disk", path=image, size=2 * MIB)])
    if second == "delete":
        succeeded([harness.call("xen_loopdev", path=image)])
    second_goes_on.touch()
    outcome = wait()
    harness.count("races")
    assert outcome.failed
    assert "run again" in outcome.message
    assert os.path.getsize(image) == 2 * MIB
    assert list(bound_once(folder)) == ([image] if second == "delete" else [])


@pytest.mark.parametrize("seed", range(8))
def test_what_is_bound_is_never_deleted_or_cut(tmp_path: Path, folder: Path, seed: int) -> None:
    images = new_images(folder, 3)
    made = disks(*({"path": path, "size": MIB} for path in images))
    cut = disks(*({"path": path, "size": MIB // 2, "shrink": True} for path in images))
    gone = disks(*({"path": path, "state": "absent"} for path in images))
    calls = [loops(images), gone, gone, made, cut, made, loops(images), gone, made]
    at_once(tmp_path, calls, seed)
    for path, binding in bound_once(folder).items():
        assert binding.size == os.path.getsize(path)
    assert_converges(made, loops(images), loops(images, state="absent"), gone)
    assert harness.names(folder) == []


# ---- configs ----


@pytest.mark.parametrize("seed", ROUNDS)
def test_one_config_is_written_and_removed(tmp_path: Path, folder: Path, seed: int) -> None:
    auto = folder / "auto"
    auto.mkdir()
    configs = {name: folder / f"{name}.cfg" for name in ("web", "db")}

    def wanted(memory: int, state: str = "present") -> Call:
        common = {
            "autostart": True,
            "autostart_dir": str(auto),
            "state": state,
            "options": {"type": "pvh", "kernel": "/k" * 20 * (memory % 7), "memory": memory},
        }
        items = [{"domain": name, "path": str(path)} for name, path in configs.items()]
        return Call("xen_domain_config", {"configs": shuffled(items, memory), **common})

    written = {memory: wanted(memory) for memory in range(100, 100 + RUNS)}
    texts = set()
    for call in written.values():
        succeeded([harness.call(call.module, **call.options)])
        texts.add((configs["web"].read_text(), configs["db"].read_text()))
    assert len(texts) == RUNS
    removed = [wanted(memory, "absent") for memory in range(RUNS // 2)]
    calls = shuffled([*written.values(), *removed], seed)
    # Each run has both configs to itself, so what is left is what the last one wanted.
    succeeded(at_once(tmp_path, calls, seed))
    names = harness.names(folder)
    if names == ["auto/"]:
        assert not any(path.exists() for path in configs.values())
    else:
        assert names == ["auto/", "auto/db.cfg", "auto/web.cfg", "db.cfg", "web.cfg"]
        assert (configs["web"].read_text(), configs["db"].read_text()) in texts
        assert all((auto / path.name).samefile(path) for path in configs.values())
    assert_converges(written[100], removed[0])
    assert harness.names(folder) == ["auto/"]
