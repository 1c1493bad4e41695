# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logical volumes while the module is killed, or a program of LVM fails, at each of its calls.

LVM is the stand-in; its groups are full of what others have left there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest
from ansible_collections.xen.blockdev.tests.exhaustive import STRIDE
from ansible_collections.xen.blockdev.tests.fake_lvm import FakeLvm
from ansible_collections.xen.blockdev.tests.lvm_host import SECRET, fake_lvm
from ansible_collections.xen.blockdev.tests.robustness import harness
from ansible_collections.xen.blockdev.tests.robustness.harness import Outcome

EXTENT = 65536
DATA = b"our data" * (EXTENT // 8)
"""Of a volume with something to lose: one extent."""

A: Dict[str, Any] = {"volume_group": "vg0", "volume": "a"}


def nothing(_fake: FakeLvm) -> None:
    """For an operation that begins with an empty group."""


def volume(fake: FakeLvm, extents: int = 2, **more: Any) -> None:
    """A volume with data."""
    fake.volume("a", extents, tags=["xen.blockdev"], **more)
    with fake.device("a").open("r+b") as device:
        device.write(DATA)


def striped(fake: FakeLvm) -> None:
    """The same on two disks."""
    volume(fake, stripes=2)


def inactive(fake: FakeLvm) -> None:
    """A volume that has no device."""
    fake.volume("a", 2, tags=["xen.blockdev"], active=False)


def thin_pool(fake: FakeLvm) -> None:
    """A thin pool."""
    fake.volume("pool", 8, kind="pool")


@dataclass(frozen=True)
class Operation:
    """Something that a user has the module do."""

    options: Dict[str, Any]
    prepare: Callable[[FakeLvm], None] = nothing
    content: bytes = b""
    """What the volume begins with once it is there; zeros follow."""
    sizes: Tuple[int, ...] = field(default=(2,))
    """Which the volume may have in between, in extents; the last one in the end."""
    stays: bool = False
    """Whether it is there before and after."""


OPERATIONS = {
    "create": Operation({"size": 2 * EXTENT}),
    "create-striped": Operation({"size": 2 * EXTENT, "stripes": 2}),
    "create-thin": Operation({"size": 2 * EXTENT, "thin_pool": "pool"}, thin_pool),
    "copy": Operation({"source": "source", "size": 2 * EXTENT}, content=DATA),
    "copy-thin": Operation(
        {"source": "source", "size": 2 * EXTENT, "thin_pool": "pool"}, thin_pool, DATA
    ),
    "grow": Operation({"size": 7 * EXTENT}, volume, DATA, (2, 7), stays=True),
    "grow-striped": Operation({"size": 8 * EXTENT}, striped, DATA, (2, 8), stays=True),
    "shrink": Operation({"size": EXTENT, "shrink": True}, volume, DATA, (2, 1), stays=True),
    "tag": Operation({"tags": ["new"]}, volume, DATA, stays=True),
    "activate": Operation({}, inactive, sizes=(), stays=True),
    "remove": Operation({"state": "absent"}, volume, DATA),
}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeLvm:
    return fake_lvm(tmp_path / "lvm", monkeypatch)


@pytest.fixture(params=list(OPERATIONS))
def operation(request: pytest.FixtureRequest, tmp_path: Path) -> Operation:
    found = OPERATIONS[request.param]
    (tmp_path / "source").write_bytes(DATA)
    options = dict(found.options)
    if "source" in options:
        options["source"] = str(tmp_path / "source")
    return Operation(options, found.prepare, found.content, found.sizes, found.stays)


def call(operation: Operation, **more: Any) -> Outcome:
    """Run the module."""
    return harness.call("xen_logical_volume", **{**A, **operation.options, **more})


def begin(fake: FakeLvm, operation: Operation) -> None:
    """The group as it is before the operation."""
    fake.write({"groups": {}, "minors": 0})
    for device in (fake.home / "dev/vg0").glob("*"):
        device.unlink()
    fake.group(pattern=SECRET, disks=(12, 12))
    # What is free is in several places.
    fake.volume("other", 3)
    operation.prepare(fake)


def attempts(fake: FakeLvm, operation: Operation, act: str) -> Iterator[Tuple[int, bool, Outcome]]:
    """Let the operation go wrong at one call of LVM after the other, before and after the call has
    done its work, and check each time that nothing is half done and the next run does the rest."""
    begin(fake, operation)
    fake.behave()
    assert call(operation).changed
    calls = len(fake.calls)
    # The last call is the report that is read back.
    points = [(at, after) for at in range(1, calls + 1) for after in (False, True)]
    for at, after in points[:: STRIDE if len(points) > 2 * STRIDE else 1]:
        begin(fake, operation)
        fake.behave(at=at, act=act, after=after)
        outcome = call(operation)
        yield at, after, outcome
        assert_whole(fake, operation)
        fake.behave()
        assert_converges(fake, operation)


def assert_whole(fake: FakeLvm, operation: Operation) -> None:
    """The volume is as before or as wanted, and has nothing of others."""
    volumes = fake.volumes()
    assert "a" in volumes or not operation.stays
    assert not any(name.startswith("a.") for name in volumes)
    if "a" not in volumes or not volumes["a"]["active"] or not operation.sizes:
        return
    assert volumes["a"]["size"] // EXTENT in operation.sizes
    content = fake.device("a").read_bytes()
    assert content.startswith(operation.content)
    if operation.prepare in (nothing, thin_pool):
        assert content == operation.content.ljust(2 * EXTENT, b"\0")
    # What was in the volume is its own; all behind that is zeros.
    assert content[2 * EXTENT :] == bytes(max(len(content) - 2 * EXTENT, 0))


def assert_converges(fake: FakeLvm, operation: Operation) -> None:
    """The next run does what is left to do, and the one after it nothing; nothing else is there."""
    outcome = call(operation)
    assert outcome.result, outcome.said
    assert not outcome.failed, outcome.message
    again = call(operation)
    assert (again.failed, again.changed) == (False, False), again.said
    volumes = fake.volumes()
    is_there = operation.options.get("state") != "absent"
    pools = {"pool", "pool_tdata"} if operation.prepare is thin_pool else set()
    assert set(volumes) == {"other", *pools, *(["a"] if is_there else [])}
    if is_there and operation.sizes:
        assert volumes["a"]["size"] == operation.sizes[-1] * EXTENT
    assert_whole(fake, operation)


def test_killed_at_each_call_of_lvm(fake: FakeLvm, operation: Operation) -> None:
    for at, after, outcome in attempts(fake, operation, "kill"):
        assert outcome.killed, f"{at}, {after}: {outcome.said}"
        harness.count("points killed at")


def test_each_call_of_lvm_fails(fake: FakeLvm, operation: Operation) -> None:
    for at, after, outcome in attempts(fake, operation, "fail"):
        assert outcome.result, f"{at}, {after}: {outcome.said}"
        assert "Traceback" not in outcome.said
        # A report is what it is, whatever LVM's exit status.
        is_report = fake.calls[at - 1][0] == "fullreport"
        assert outcome.failed or (is_report and after), f"{at}, {after}: {outcome.said}"
        if outcome.failed:
            assert "device-mapper: it did not work" in outcome.message
        harness.count("points failed at")


@pytest.mark.parametrize("act", ["kill", "fail"])
def test_many_new_volumes_while_lvm_goes_wrong(fake: FakeLvm, act: str) -> None:
    """They are wiped together. What has its name is whole, and the next run does the rest."""
    volumes = [{**A, "volume": f"v{number}", "size": EXTENT} for number in range(5)]
    begin(fake, OPERATIONS["create"])
    fake.behave()
    assert harness.call("xen_logical_volume", volumes=volumes).changed
    calls = len(fake.calls)
    assert calls == len(volumes) + 5, "they are made one by one"
    points = [(at, after) for at in range(1, calls + 1) for after in (False, True)]
    for at, after in points[::STRIDE]:
        begin(fake, OPERATIONS["create"])
        fake.behave(at=at, act=act, after=after)
        outcome = harness.call("xen_logical_volume", volumes=volumes)
        assert outcome.killed if act == "kill" else outcome.result, f"{at}, {after}: {outcome.said}"
        assert_only_zeros(fake, volumes)
        fake.behave()
        outcome = harness.call("xen_logical_volume", volumes=volumes)
        assert outcome.result, outcome.said
        assert not outcome.failed, outcome.message
        assert set(fake.volumes()) == {"other", *(one["volume"] for one in volumes)}
        assert_only_zeros(fake, volumes)
        assert not harness.call("xen_logical_volume", volumes=volumes).changed
        harness.count(f"points {'killed' if act == 'kill' else 'failed'} at")


def assert_only_zeros(fake: FakeLvm, volumes: List[Dict[str, Any]]) -> None:
    """Those of the volumes that are there have nothing of others."""
    there = fake.volumes()
    for name in (one["volume"] for one in volumes if one["volume"] in there):
        assert fake.device(name).read_bytes() == bytes(EXTENT), name


def test_killed_while_it_wipes_and_fills(fake: FakeLvm, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(DATA)
    options = {"source": str(tmp_path / "source"), "size": 2 * EXTENT}
    operation = Operation(options, content=DATA)
    for event in ("os.pwrite", "os.fsync"):
        begin(fake, operation)

        def hook(name: str, _arguments: tuple, event: str = event) -> None:
            if name == event:
                harness.kill()

        outcome = harness.call("xen_logical_volume", hook, **A, **options)
        assert outcome.killed, outcome.said
        assert "a" not in fake.volumes()
        assert "xen.blockdev.new.a" in fake.volumes()
        assert_converges(fake, operation)
        harness.count("points killed at")


def test_check_mode_announces_what_is_left_over(fake: FakeLvm) -> None:
    begin(fake, OPERATIONS["create"])
    fake.behave(command="lvrename", act="kill")
    assert call(OPERATIONS["create"]).killed
    fake.behave()
    outcome = harness.call("xen_logical_volume", check=True, **A, size=2 * EXTENT)
    assert outcome.result, outcome.said
    actions = outcome.result["volumes"][0]["actions"]
    assert actions[0].endswith("/xen.blockdev.new.a, which an interrupted run has left")
    assert [words.split()[0] for words in actions] == ["remove", "create"]
    assert "lvremove" not in fake.commands


# Several at once


def at_once(*options: Dict[str, Any]) -> List[Outcome]:
    """Runs that begin together."""
    runs = [harness.start("xen_logical_volume", **one) for one in options]
    return [run() for run in runs]


def test_two_runs_at_once(fake: FakeLvm) -> None:
    """One makes each volume, and the other finds it."""
    begin(fake, OPERATIONS["create"])
    fake.behave()
    volumes = [{**A, "volume": f"v{number}", "size": EXTENT} for number in range(4)]
    outcomes = at_once({"volumes": volumes}, {"volumes": volumes[::-1]})
    assert [outcome.failed for outcome in outcomes] == [False, False], outcomes
    assert sorted(outcome.changed for outcome in outcomes) == [False, True]
    # One more for the extents that are wiped together.
    assert fake.commands.count("lvcreate") == 5
    for number in range(4):
        assert fake.device(f"v{number}").read_bytes() == bytes(EXTENT)


def test_two_runs_grow_one_volume(fake: FakeLvm) -> None:
    begin(fake, OPERATIONS["grow"])
    fake.behave()
    outcomes = at_once({**A, "size": 5 * EXTENT}, {**A, "size": 7 * EXTENT})
    # The larger size may come first; then the other run does not shrink it.
    failed = [outcome for outcome in outcomes if outcome.failed]
    assert len(failed) <= 1
    assert all("cannot shrink" in outcome.message for outcome in failed)
    content = fake.device("a").read_bytes()
    assert len(content) == 7 * EXTENT
    assert content.startswith(DATA)
    assert content[2 * EXTENT :] == bytes(5 * EXTENT)


def test_two_runs_in_a_group_with_room_for_one(fake: FakeLvm) -> None:
    begin(fake, OPERATIONS["create"])
    fake.behave()
    outcomes = at_once(*({**A, "volume": name, "size": 15 * EXTENT} for name in ("b", "c")))
    assert sorted(outcome.failed for outcome in outcomes) == [False, True]
    (failed,) = (outcome for outcome in outcomes if outcome.failed)
    assert "free in the volume group vg0" in failed.message
    assert len(set(fake.volumes()) & {"b", "c"}) == 1


def test_another_program_takes_the_room(fake: FakeLvm) -> None:
    """LVM itself says that there is none, and nothing is left behind."""
    begin(fake, OPERATIONS["create"])
    words = "Volume group has insufficient free space (1 extents): 2 required."
    fake.behave(command="lvcreate", act="fail", words=words)
    outcome = call(OPERATIONS["create"])
    assert outcome.failed
    assert words in outcome.message
    assert set(fake.volumes()) == {"other"}
