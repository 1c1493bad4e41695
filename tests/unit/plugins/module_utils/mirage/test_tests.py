# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of unikernel tests."""

from __future__ import annotations

import itertools
from typing import Any, Dict, List, Sequence

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.inventory import disk_plan
from ansible_collections.xen.blockdev.plugins.module_utils.mirage import tests as mirage_tests
from ansible_collections.xen.blockdev.plugins.module_utils.mirage.tests import (
    Copy,
    MirageTestsError,
    MirageTestsPlan,
)

DIRECTORY = "/var/tmp/mirage-x1y2"
TEMPLATE = """name = '@NAME@'
kernel = '@KERNEL@'
type = 'pvh'
memory = @MEMORY@
on_crash = 'restart'

disk = [ 'format=raw, vdev=xvdb, access=rw, target=@BLOCK:data.img@' ]

vif = [ 'bridge=@NETWORK:service@' ]
"""


def planned(*tests: object, **options: Any) -> MirageTestsPlan:
    given = {"source_dir": "/home/me", "configs": {"/home/me/dist/hello.xl.in": TEMPLATE}}
    return mirage_tests.plan(tests, DIRECTORY, **{**given, **options})


def problems(*tests: object, **options: Any) -> List[str]:
    with pytest.raises(MirageTestsError) as caught:
        planned(*tests, **options)
    return str(caught.value).split("\n")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_that_the_order_in_a_config_means_nothing(order: Sequence[int]) -> None:
    """MirageOS writes the blocks in the order of a hash table."""
    slots = [("a.img", "xvdb"), ("b.img", "xvdd"), ("c.img", "xvdc")]
    specs = [f"vdev={vdev}, target=@BLOCK:{file}@" for file, vdev in slots]
    text = TEMPLATE.replace(
        "format=raw, vdev=xvdb, access=rw, target=@BLOCK:data.img@",
        "', '".join(specs[index] for index in order),
    )
    test = {"name": "t", "unikernel": "dist/hello.xen", "config": "c.xl", "memory": 32}
    disks = [{"name": name, "size": "4KiB"} for name in "cab"]
    more = {"networks": {"service": "br0"}, "disks": disks, "fetch": ["b"]}
    plan = planned({**test, **more}, configs={"/home/me/c.xl": text})
    entries = disk_plan.plan([plan.tests[0].domain], DIRECTORY, DIRECTORY).entries
    assert {one["name"]: one["vdev"] for one in entries} == {"a": "xvdb", "b": "xvdd", "c": "xvdc"}
    assert plan.tests[0].fetch[1] == Copy(f"{DIRECTORY}/t-x1y2/b.raw", "t-b.raw")


def test_without_a_config() -> None:
    plan = planned(
        {
            "name": "hello",
            "unikernel": "dist/hello.xen",
            "options": {"extra": "--disk=@SLOT:data@", "on_crash": "preserve"},
            "disks": [
                {"name": "data", "source": "content", "filesystem": "tar"},
                {"name": "out", "size": "1MiB"},
            ],
            "expect": "^ok$",
            "fetch": ["out"],
        }
    )
    assert plan.copies == [
        Copy("/home/me/dist/hello.xen", f"{DIRECTORY}/sources/0/"),
        Copy("/home/me/content", f"{DIRECTORY}/sources/1/"),
    ]
    (test,) = plan.tests
    assert test.domain == {
        "name": "hello-x1y2",
        "config": {
            "type": "pvh",
            "kernel": f"{DIRECTORY}/sources/0/hello.xen",
            "memory": 32,
            "on_poweroff": "preserve",
            "on_reboot": "preserve",
            "on_crash": "preserve",
            "on_watchdog": "preserve",
            "extra": "--disk=@SLOT:data@",
        },
        "disks": [
            {"name": "data", "source": f"{DIRECTORY}/sources/1/content", "filesystem": "tar"},
            {"name": "out", "size": "1MiB"},
        ],
    }
    assert test.start == {"name": "hello-x1y2", "config": f"{DIRECTORY}/hello-x1y2.cfg"}
    assert test.console == {
        "name": "hello-x1y2",
        "expect": "^ok$",
        "fail": None,
        "timeout": 60,
        "log": f"{DIRECTORY}/hello-x1y2.log",
    }
    assert test.fetch == [
        Copy(f"{DIRECTORY}/hello-x1y2.log", "hello.log"),
        Copy(f"{DIRECTORY}/hello-x1y2/out.raw", "hello-out.raw"),
    ]


def test_templates_get_dictionaries() -> None:
    plan = planned({"name": "hello", "unikernel": "hello.xen", "retries": 1}).as_dict()
    assert plan["copies"] == [{"src": "/home/me/hello.xen", "dest": f"{DIRECTORY}/sources/0/"}]
    (test,) = plan["tests"]
    assert set(test) == {"name", "retries", "domain", "start", "console", "fetch"}
    assert (test["name"], test["retries"]) == ("hello", 1)
    assert test["fetch"] == [{"src": f"{DIRECTORY}/hello-x1y2.log", "dest": "hello.log"}]


@pytest.mark.parametrize("seconds", [0.5, 2])
def test_a_test_has_a_timeout_of_its_own(seconds: float) -> None:
    (test,) = planned({"name": "hello", "unikernel": "hello.xen", "timeout": seconds}).tests
    assert test.console["timeout"] == seconds


def test_paths_are_those_of_the_disk_plan() -> None:
    plan = planned(
        {
            "name": "hello",
            "unikernel": "hello.xen",
            "disks": [{"name": "out", "size": "1MiB"}],
            "fetch": ["out"],
        }
    )
    domains = [test.domain for test in plan.tests]
    found = disk_plan.plan(domains, DIRECTORY, DIRECTORY)
    assert found.entries[0]["image"]["path"] == plan.tests[0].fetch[1].src
    assert found.configs[0]["path"] == plan.tests[0].start["config"]
    assert found.configs[0]["domain"] == plan.tests[0].console["name"]


@pytest.mark.parametrize("options", [{}, {"loop": False}, {"format": "qcow2"}])
def test_an_image_of_others_is_neither_made_nor_bound_nor_deleted(options: Dict[str, Any]) -> None:
    image = {"name": "a", "path": "/srv/a.img", **options}
    plan = planned({**HELLO, "disks": [image], "fetch": ["a"]})
    (test,) = plan.tests
    (entry,) = disk_plan.plan([test.domain], DIRECTORY, DIRECTORY).entries
    assert "loop" not in entry
    assert entry["vbd"]["target"] == "/srv/a.img"
    assert test.fetch[1].src == "/srv/a.img"
    gone = disk_plan.plan([test.domain], DIRECTORY, DIRECTORY, state="absent")
    assert not [one for one in gone.entries if "image" in one or "loop" in one]


def test_with_a_config() -> None:
    plan = planned(
        {
            "name": "hello",
            "unikernel": "/opt/hello.xen",
            "config": "dist/hello.xl.in",
            "memory": 64,
            "networks": {"service": "br0"},
            "disks": [{"name": "data", "size": "1MiB"}],
        }
    )
    config = disk_plan.plan([plan.tests[0].domain], DIRECTORY, DIRECTORY).configs[0]
    assert config["options"] == {
        "kernel": f"{DIRECTORY}/sources/0/hello.xen",
        "type": "pvh",
        "memory": 64,
        "on_crash": "preserve",
        "on_poweroff": "preserve",
        "on_reboot": "preserve",
        "on_watchdog": "preserve",
        "vif": ["bridge=br0"],
    }
    assert [disk["vdev"] for disk in config["disks"]] == ["xvdb"]


def test_what_is_shared_is_copied_once() -> None:
    plan = planned(
        {"name": "one", "unikernel": "hello.xen", "disks": [{"name": "a", "source": "./x.raw"}]},
        {"name": "two", "unikernel": "/home/me/hello.xen"},
        {"name": "three", "unikernel": "hello.xen", "disks": [{"name": "a", "source": "x.raw"}]},
    )
    assert [copy.src for copy in plan.copies] == ["/home/me/hello.xen", "/home/me/x.raw"]
    kernels = {test.domain["config"]["kernel"] for test in plan.tests}
    assert kernels == {f"{DIRECTORY}/sources/0/hello.xen"}


def test_what_is_on_the_host_is_not_copied() -> None:
    plan = planned(
        {
            "name": "one",
            "unikernel": "/srv/hello.xen",
            "disks": [{"name": "a", "source": "/srv/x.raw"}],
        },
        remote=True,
    )
    assert plan.copies == []
    assert plan.tests[0].domain["config"]["kernel"] == "/srv/hello.xen"
    assert plan.tests[0].domain["disks"][0]["source"] == "/srv/x.raw"


def test_each_of_them_can_be_on_the_host() -> None:
    disks = [{"name": "a", "source": "x"}, {"name": "b", "source": "/srv/y", "remote_src": True}]
    plan = planned(
        {"name": "one", "unikernel": "/srv/hello.xen", "remote_src": True, "disks": disks}
    )
    assert [copy.src for copy in plan.copies] == ["/home/me/x"]
    assert plan.tests[0].domain["disks"][1] == {"name": "b", "source": "/srv/y"}


HELLO: Dict[str, object] = {"name": "hello", "unikernel": "hello.xen"}
LUN = {"name": "lun", "target": "/dev/vg0/lun"}


@pytest.mark.parametrize(
    ("test", "problem"),
    [
        (
            {**HELLO, "unikernal": "x"},
            "mirage_vms[0] (hello): 'unikernal' is not an option: did you ",
        ),
        ({"unikernel": "hello.xen"}, "mirage_vms[0]: name is missing"),
        ({"name": "hello"}, "mirage_vms[0] (hello): unikernel is missing"),
        ("hello", "mirage_vms[0]: must be a dictionary, not 'hello'"),
        ({**HELLO, "expect": "("}, "mirage_vms[0] (hello): expect: '(' is not a regular "),
        (
            {**HELLO, "timeout": "1 minute"},
            "mirage_vms[0] (hello): timeout: must be a number of seconds",
        ),
        ({**HELLO, "timeout": True}, "mirage_vms[0] (hello): timeout: must be a number of seconds"),
        *(
            ({**HELLO, "timeout": value}, "mirage_vms[0] (hello): timeout: must be a number of ")
            for value in (0, float("nan"), float("inf"))
        ),
        (
            {**HELLO, "fetch": ["out"]},
            "mirage_vms[0] (hello): fetch: 'out' is not one of the disks with an image: none",
        ),
        (
            {**HELLO, "fetch": ["out"], "disks": [{"name": "in"}, {"name": "log"}, LUN]},
            "mirage_vms[0] (hello): fetch: 'out' is not one of the disks with an image: in, log",
        ),
        (
            {**HELLO, "networks": {"a": "b"}},
            "mirage_vms[0] (hello): networks needs a config; without one, set vif",
        ),
        ({**HELLO, "disks": [{"name": "a"}]}, None),
        ({**HELLO, "disks": [{"nam": "a"}]}, "mirage_vms[0] (hello), disks[0]: 'nam' is not "),
        (
            {**HELLO, "options": {"extra": "@SLOT:none@"}},
            "mirage_vms[0] (hello): extra: @SLOT:none@",
        ),
        ({**HELLO, "config": "dist/hello.xl.in"}, "mirage_vms[0] (hello): "),
        (
            {**HELLO, "retries": -1},
            "mirage_vms[0] (hello): retries: must be a whole number",
        ),
        ({**HELLO, "retries": True}, "mirage_vms[0] (hello): retries: must be a whole number"),
        (
            {**HELLO, "options": {"on_poweroff": "destroy"}},
            "mirage_vms[0] (hello): options: on_poweroff is always 'preserve' in a test",
        ),
        (
            {**HELLO, "options": {"extra": "--solo5:quiet --x=1"}},
            "mirage_vms[0] (hello): --solo5:quiet hides the exit status",
        ),
        (
            {**HELLO, "options": {"cmdline": "--solo5:quiet", "extra": "none"}},
            "mirage_vms[0] (hello): --solo5:quiet hides the exit status",
        ),
        ({**HELLO, "options": {"extra": "--solo5:quiet"}, "expect": "ok"}, None),
        ({**HELLO, "options": {"extra": "--solo5:quieter"}}, None),
        ({**HELLO, "options": {"cmdline": "x", "extra": "--solo5:quiet"}}, None),
        *(
            (
                {**HELLO, "disks": [{"name": "a", "path": "/srv/a.raw", option: value}]},
                f"mirage_vms[0] (hello), disks[0] (a): {option} does not apply to a disk ",
            )
            for option, value in {"size": "1MiB", "source": "a.raw", "loop": True}.items()
        ),
    ],
)
def test_bad_input(test: object, problem: str) -> None:
    if problem is None:
        planned(test)
    else:
        assert any(found.startswith(problem) for found in problems(test)), problems(test)


def test_names_are_taken_once() -> None:
    assert problems(HELLO, HELLO) == [
        "mirage_vms[1] (hello): another domain has the same name, see mirage_vms[0] (hello)"
    ]


def test_a_wrong_test_keeps_its_place_behind_one_that_cannot_be_read() -> None:
    wrong = {**HELLO, "disks": [{"name": "a", "size": "domains[1]"}]}
    nothing, size = problems("nothing", wrong)
    assert nothing == "mirage_vms[0]: must be a dictionary, not 'nothing'"
    assert size.startswith("mirage_vms[1] (hello), disks[0] (a): size: 'domains[1]'")


def test_all_problems_are_reported_at_once_with_their_tests() -> None:
    """One problem hides no other one, of the same test or another."""
    wrong = {"name": "a", "size": 0}
    found = problems(
        HELLO,
        {"disks": [wrong]},
        {"name": "-", "unikernel": 5, "disks": [wrong]},
        {**HELLO, "name": "quiet", "options": {"extra": "--solo5:quiet"}},
        {**HELLO, "name": "hello", "disks": [wrong]},
    )
    assert [": ".join(problem.split(": ")[:2]) for problem in found] == [
        "mirage_vms[1]: name is missing",
        "mirage_vms[1]: unikernel is missing",
        "mirage_vms[2]: name",
        "mirage_vms[2]: unikernel",
        *(f"mirage_vms[{index}], disks[0] (a): size" for index in (1, 2)),
        "mirage_vms[4] (hello), disks[0] (a): size",
        "mirage_vms[4] (hello): another domain has the same name, see mirage_vms[0] (hello)",
        "mirage_vms[3] (quiet): --solo5:quiet hides the exit status, so a unikernel that fails "
        "would pass; set expect, or remove --solo5:quiet",
    ]
    assert "x1y2" not in "".join(found)


def test_a_template_may_be_quiet_as_well() -> None:
    configs = {"/home/me/quiet.xl": "name = 'x'\nextra = '--solo5:quiet'\n"}
    (problem,) = problems({**HELLO, "config": "quiet.xl"}, configs=configs)
    assert problem.startswith("mirage_vms[0] (hello): --solo5:quiet hides")
