# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts that need this machine only: each measures one thing, and says how well we do at it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any, Dict, List, Tuple

from bench import Bench, Goal
from measuring import Cost, ratio
from ways import (
    BYTES,
    COLLECTIONS,
    ENVIRONMENT,
    HERE,
    WAYS,
    Looped,
    Place,
    Provision,
    Way,
    host,
    playbook,
)

PATIENCE = 400
"""Seconds. Where one run of a way took longer, it is not tried with more disks."""
LONG = 60
"""Seconds. What takes longer is measured once."""


# ---- one host, any number of disks ----


def disks(bench: Bench) -> None:
    """Provision disks on this machine, by each way."""
    tired = set()
    for count in bench.counts:
        for run in range(bench.runs):
            for way in WAYS:
                spent = bench.typical(way.name, "first run", count)
                if way in tired or (run and spent and spent.wall > LONG):
                    continue
                _provision(bench, way, count)
        for way in WAYS:
            spent = bench.typical(way.name, "first run", count)
            if spent and spent.wall * 4 > PATIENCE:
                tired.add(way)
    _goals_of_disks(bench)


def _provision(bench: Bench, way_class: type[Way], count: int) -> None:
    with bench.place() as place:
        place.write({"here": host(place.folder, count)})
        way = way_class(place, count)
        for step, measure in {
            "check mode": way.check,
            "first run": way.first,
            "second run": way.again,
        }.items():
            cost = measure()
            if cost:
                bench.samples.add(f"{way.name}, {step}, {count} disks", cost)


STARTS = (
    "nearly all of it is what Ansible takes to start itself and one module: on the controller it "
    "puts the module's files together (two thirds of them its own), on the host Python starts and "
    "compiles them (seven tenths of that Ansible's own)."
)

MORE = (
    "one disk takes little more than Ansible itself. Of what 255 more take, half is the module, "
    "which plans twice if anything changes, and half is Ansible, which passes on and shows a "
    "result for each."
)


def _goals_of_disks(bench: Bench) -> None:
    ours, looped = _few_and_many(bench, "first run")
    one_more = None
    if ours[1] and ours[256] and looped[1] and looped[256]:
        one_more = (ours[256].wall - ours[1].wall) / (looped[256].wall - looped[1].wall)
    bench.goals.append(Goal("one more disk, against one more of the looped play", 0.01, one_more))
    for step in ("first run", "second run"):
        bench.goals += _goals_of_step(bench, step)


def _few_and_many(bench: Bench, step: str) -> List[Dict[int, Cost | None]]:
    """What a step costs with one disk and with 256, by our play and by the looped one."""
    return [
        {number: bench.typical(way.name, step, number) for number in (1, 256)}
        for way in (Provision, Looped)
    ]


def _goals_of_step(bench: Bench, step: str) -> List[Goal]:
    ours, looped = _few_and_many(bench, step)
    one, many = ratio(ours[1], looped[1]), ratio(looped[256], ours[256])
    return [
        Goal(f"one disk, against the looped play, {step}", 1.0, one, why=STARTS),
        Goal(
            f"256 disks: the looped play, against ours, {step}",
            60,
            many,
            at_least=True,
            why=STARTS,
        ),
        Goal(f"256 disks against 1, {step}", 1.3, ratio(ours[256], ours[1]), why=MORE),
    ]


# ---- inside the modules ----

ABOVE_THE_FLOOR = (
    "above the floor are what Ansible takes to read the options and to write the result, and a "
    "look at each image and device before and after, without which a run would not know what to "
    "do and whether it was done. The floor itself, mostly new inodes and fsync, may take several "
    "times as long a minute later, which makes the ratio smaller."
)


def inside(bench: Bench) -> None:
    """The modules' own time and memory, against the bare system calls."""
    for count in (256, 1024):
        for _run in range(bench.runs + 2):
            _inside_modules(bench, count)
            # Of its own, so that it is given the same loop devices.
            with bench.place() as place:
                bare = ["make", f"{place.folder}/bare", str(count), str(BYTES)]
                seconds = float(_output([sys.executable, "-S", "-E", str(HERE / "bare.py"), *bare]))
                cost = Cost(seconds, seconds, 0)
                bench.samples.add(f"inside bare, first run, {count} disks", cost)
    what = "256 images and loop devices: inside the modules"
    bare_cost = bench.typical("inside bare", "first run", 256)
    both, ansible = (
        sum(
            bench.typical(f"inside {name}", step, 256).wall
            for name in ("xen_raw_disk", "xen_loopdev")
        )
        for step in ("first run", "idle")
    )
    bench.goals += [
        Goal(f"{what}, against bare system calls", 2, both / bare_cost.wall, why=ABOVE_THE_FLOOR),
        Goal(
            f"{what}, less what Ansible takes",
            2,
            (both - ansible) / bare_cost.wall,
            why="the same, without Ansible's part.",
        ),
    ]
    for name in ("xen_raw_disk", "xen_loopdev"):
        cost = bench.typical(f"inside {name}", "first run", 1024)
        bench.goals.append(
            Goal(f"memory of {name} at 1024 disks", 40, cost.memory / 1024**2, "MiB")
        )


def _inside_modules(bench: Bench, count: int) -> None:
    with bench.place() as place:
        paths = [f"{place.folder}/images/d{number}.raw" for number in range(count)]
        images = {"disks": [{"path": path, "size": BYTES} for path in paths], "parents": True}
        loops = {"devices": [{"path": path} for path in paths], "persistent": False}
        for name, arguments in {"xen_raw_disk": images, "xen_loopdev": loops}.items():
            for step in "idle", "first run", "second run":
                cost = _module(name, arguments, step == "idle")
                bench.samples.add(f"inside {name}, {step}, {count} disks", cost)


def _module(name: str, arguments: Dict[str, Any], idle: bool) -> Cost:
    command = [sys.executable, str(HERE / "inside.py"), name, *(["idle"] if idle else [])]
    said = json.loads(_output(command, json.dumps(arguments)))
    return Cost(said["seconds"], said["seconds"], said["memory"])


def _output(command: List[str], given: str = "") -> str:
    """The last line of what a command prints."""
    environment = {**os.environ, "PYTHONPATH": COLLECTIONS}
    done = subprocess.run(
        command, input=given, env=environment, text=True, stdout=subprocess.PIPE, check=True
    )
    return done.stdout.splitlines()[-1]


# ---- processes, tasks, payload ----


def processes(bench: Bench) -> None:
    """How many programs a second run starts, and how many tasks it has."""
    for count in (1, 256):
        with bench.place() as place:
            place.write({"here": host(place.folder, count)})
            playbook(place, "xen.blockdev.provision")
            programs, tasks = _traced(place)
            bench.facts[f"programs started by a second run, {count} disks"] = programs
            bench.facts[f"tasks of a second run, {count} disks"] = tasks
    one, many = (
        bench.facts[f"programs started by a second run, {count} disks"] for count in (1, 256)
    )
    tasks = bench.facts["tasks of a second run, 256 disks"]
    bench.goals += [
        Goal("programs that 255 more disks start, second run", 0, many - one, "programs"),
        Goal("tasks of provision on a converged host", 1, tasks, "tasks"),
    ]


def _traced(place: Place) -> Tuple[int, int]:
    """How many programs a run of provision starts, and how many tasks it shows."""
    log = place.folder / "execve"
    trace = ["strace", "-f", "-qq", "-e", "trace=execve", "-e", "signal=none", "-o", str(log)]
    run = [f"{sys.prefix}/bin/ansible-playbook", "-i", str(place.inventory)]
    done = subprocess.run(
        [*trace, *run, "xen.blockdev.provision"],
        env={**os.environ, **ENVIRONMENT},
        text=True,
        capture_output=True,
        check=True,
    )
    programs = re.findall(r"execve\(.* = 0$", log.read_text(), re.MULTILINE)
    return len(programs), len(re.findall("^TASK ", done.stdout, re.MULTILINE))


def payload(bench: Bench) -> None:
    """How large what Ansible sends to a host for one task of each module is."""
    plugins = HERE.parents[1] / "plugins"
    actions = {path.stem for path in (plugins / "action").glob("*.py")}  # of which nothing is sent
    modules = sorted({path.stem for path in (plugins / "modules").glob("xen_*.py")} - actions)
    for name in modules:
        with bench.place() as place:
            place.write(
                {"here": {**host(place.folder, 0), "ansible_remote_tmp": str(place.folder / "tmp")}}
            )
            subprocess.run(
                [
                    f"{sys.prefix}/bin/ansible",
                    "-i",
                    str(place.inventory),
                    "here",
                    "-m",
                    f"xen.blockdev.{name}",
                ],
                env={**os.environ, **ENVIRONMENT, "ANSIBLE_KEEP_REMOTE_FILES": "1"},
                stdout=subprocess.DEVNULL,
                check=False,  # it lacks its options, and has been sent by then
            )
            sent = next(place.folder.glob(f"tmp/*/AnsiballZ_{name}.py"))
            bench.facts[f"payload of {name} (KiB)"] = round(sent.stat().st_size / 1024)


# ---- many domains, many hosts ----


def domains(bench: Bench) -> None:
    """One domain with 256 disks, and 64 with 4."""
    for _run in range(bench.runs):
        for number, each in ((1, 256), (64, 4)):
            with bench.place() as place:
                place.write({"here": host(place.folder, each, number)})
                for step in "first run", "second run":
                    cost = playbook(place, "xen.blockdev.provision")
                    bench.samples.add(f"{number} domains of {each} disks, {step}", cost)
    for step in "first run", "second run":
        costs = [
            bench.samples.typical(f"{which}, {step}")
            for which in ("64 domains of 4 disks", "1 domains of 256 disks")
        ]
        bench.goals.append(
            Goal(f"64 domains of 4 disks against 1 of 256, {step}", 1.5, ratio(*costs))
        )


HOSTS = ((1, 5, "linear"), (10, 5, "linear"), (10, 10, "linear"), (10, 10, "free"))
MANY_HOSTS = (100, 20, "linear")
"""Hosts, forks and strategy; many hosts take minutes, so they run once."""


def hosts(bench: Bench) -> None:
    """Many hosts with 4 disks each, all on this machine."""
    for number, forks, strategy in [*HOSTS * bench.runs, MANY_HOSTS]:
        with bench.place() as place:
            place.write(
                {f"h{index}": host(place.folder / f"h{index}", 4) for index in range(number)}
            )
            for step in "first run", "second run":
                options = ("--forks", str(forks))
                cost = playbook(
                    place, "xen.blockdev.provision", *options, ANSIBLE_STRATEGY=strategy
                )
                label = f"{number} hosts, {forks} forks, strategy {strategy}, {step}"
                bench.samples.add(label, cost)
    number, forks, strategy = MANY_HOSTS
    cost = bench.samples.typical(f"{number} hosts, {forks} forks, strategy {strategy}, second run")
    if cost:
        bench.goals.append(
            Goal(f"processor time a host, of {number}", 1.7, cost.cpu / number, "s", why=STARTS)
        )


# ---- planning ----

PLANNING = """
import json, sys, time
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.inventory import disk_plan
count = int(sys.argv[1])
disks = [{"name": f"n{number}", "size": "1MiB"} for number in range(10)]
domains = [
    {"name": f"d{number}", "config": {"memory": 32}, "disks": disks}
    for number in range(count // 10)
]
started = time.perf_counter()
plan = disk_plan.plan(domains)
planned = time.perf_counter()
for item in plan.configs:
    disks = [DiskSpec(vdev=disk["vdev"], target=disk["target"]) for disk in item["disks"]]
    specs = [disk.render() for disk in disks]
    config_text.render(item["domain"], item["options"], specs)
print(json.dumps([planned - started, time.perf_counter() - planned]))
"""


def planning(bench: Bench) -> None:
    """What the controller does for 1,000 and 10,000 disks, ten a domain."""
    for _run in range(bench.runs + 2):
        for count in (1000, 10000):
            planned, rendered = json.loads(_output([sys.executable, "-c", PLANNING, str(count)]))
            bench.samples.add(f"disk_plan, {count} disks", Cost(planned, planned, 0))
            bench.samples.add(f"configs of them, {count} disks", Cost(rendered, rendered, 0))
    costs = [bench.samples.typical(f"disk_plan, {count} disks") for count in (10000, 1000)]
    bench.goals.append(Goal("planning 10,000 disks against 1,000", 12, ratio(*costs)))


# ---- auditing ----


def auditing(bench: Bench) -> None:
    """What the controller does to judge 5 and 50 hosts, each with 100 domains and 400 disks."""
    for _run in range(bench.runs):
        for count in (5, 50):
            spent = json.loads(_output([sys.executable, str(HERE / "auditing.py"), str(count)]))
            memory = spent.pop("memory")
            for step, seconds in {**spent, "in all": sum(spent.values())}.items():
                label = f"audit of {count * 400} disks, {step}"
                bench.samples.add(label, Cost(seconds, seconds, memory))
    costs = [bench.samples.typical(f"audit of {count} disks, in all") for count in (20000, 2000)]
    bench.goals += [
        Goal("auditing 20,000 disks of 50 hosts against 2,000 of 5", 15, ratio(*costs)),
        Goal("auditing 20,000 disks of 50 hosts", 20, costs[0] and costs[0].wall, "s"),
    ]
