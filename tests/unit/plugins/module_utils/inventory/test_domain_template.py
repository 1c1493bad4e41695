# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a domain takes from its template, and what fills it: slots, settings, mistakes."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Dict, List, Sequence

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.inventory import disk_plan
from ansible_collections.xen.blockdev.plugins.module_utils.inventory import (
    options as inventory_options,
)
from ansible_collections.xen.blockdev.plugins.module_utils.inventory.disk_plan import DiskPlanError
from ansible_collections.xen.blockdev.plugins.module_utils.inventory.reader import InventoryReader
from hypothesis import given
from hypothesis import strategies as st

DATA = Path(__file__).parents[3] / "data" / "mirage"
OPEN = (DATA / "4.11.1.xl.in").read_text()
BUILT = (DATA / "4.11.1.xl").read_text()
BUILT_BEFORE = (DATA / "3.10.8.xl").read_text()
BARE = (DATA / "4.11.1-bare.xl.in").read_text()

DOMAIN = "domains[0] (web)"
FILES = "did you mean disk.img?"
NETWORKS = {"service": "xenbr0", "management": "br.mgmt"}
GIVEN = {"kernel": "/srv/hello.xen", "memory": 64}
DATA_DISK = {"name": "data", "block": "data/my disk.tar"}
DISKS = [{"name": "disk", "size": "16MiB"}, DATA_DISK]


def web(**options: Any) -> Dict[str, Any]:
    """A domain for which nothing is missing."""
    defaults = {"template": OPEN, **GIVEN, "networks": NETWORKS, "disks": DISKS}
    domain = {"name": "web", **defaults, **options}
    return {option: value for option, value in domain.items() if value is not None}


def plan(**options: Any) -> disk_plan.DiskPlan:
    return disk_plan.plan([web(**options)])


def config(**options: Any) -> Dict[str, Any]:
    (planned,) = plan(**options).configs
    return dict(planned["options"])


def vdevs(**options: Any) -> Dict[str, str]:
    return {entry["name"]: entry["vdev"] for entry in plan(**options).entries}


def problems(**options: Any) -> List[str]:
    """What is wrong, without the place of the domain."""
    reader = InventoryReader("/srv/xen", "/etc/xen", None)
    reader.domains([web(**options)])
    return [
        problem.replace(f"{DOMAIN}: ", "").replace(f"{DOMAIN}, ", "") for problem in reader.problems
    ]


# ---- the whole of it ----

RENDERED = f"""\
{config_text.HEADER}
name = 'web'
type = 'pvh'
kernel = '/srv/hello.xen'
extra = '--disk=51728 -l "*:debug"'
memory = 64
on_crash = 'destroy'
vif = [
    'bridge=br.mgmt',
    'bridge=xenbr0',
]
disk = [
    'format=raw, vdev=xvdb, access=rw, target=/dev/disk/by-loop-file/srv/xen/web/disk.raw',
    'format=raw, vdev=xvdc, access=ro, target=/dev/disk/by-loop-file/srv/xen/web/data.raw',
]
"""


def test_that_a_config_comes_from_a_template() -> None:
    disks = [DISKS[0], {**DATA_DISK, "access": "ro"}]
    own = {"on_crash": "destroy", "extra": '--disk=@SLOT:disk@ -l "*:debug"'}
    planned = plan(disks=disks, config=own)
    assert [(entry["vdev"], entry["xenstore_key"]) for entry in planned.entries] == [
        ("xvdb", 51728),
        ("xvdc", 51744),
    ]
    assert [entry["vbd"]["vdev"] for entry in planned.entries] == ["xvdb", "xvdc"]
    (written,) = planned.configs
    specs = [DiskSpec.of(disk).render() for disk in written["disks"]]
    assert config_text.render(written["domain"], written["options"], specs) == RENDERED


def test_that_nothing_is_asked_twice_of_a_config_that_was_built() -> None:
    disks = [DISKS[0], {"name": "data", "block": "my disk.tar"}]
    built = config(template=BUILT, memory=None, networks=None, disks=disks)
    assert built == {
        "kernel": "/srv/hello.xen",
        "type": "pvh",
        "memory": 256,
        "on_crash": "preserve",
        "vif": ["bridge=xenbr0", "bridge=xenbr1"],
    }
    before = config(
        template=BUILT_BEFORE,
        kernel=None,
        memory=None,
        networks=None,
        disks=[{"name": "disk"}, {"name": "data", "block": "my data.tar"}],
    )
    assert before["kernel"] == "/home/user/hello/hello.xen"
    assert "disk" not in before
    assert "name" not in before


def test_that_a_template_may_be_enough() -> None:
    assert config(template=BARE, networks=None, disks=None)["vif"] == []


def test_that_what_is_written_wins() -> None:
    own = {"memory": 99, "kernel": "/k", "vif": ["bridge=mine"], "vcpus": 2}
    found = config(**dict.fromkeys(["kernel", "memory", "networks"]), config=own)
    assert found == {"type": "pvh", "on_crash": "preserve", **own}
    assert config(config={"on_crash": "@SLOT:data@"})["on_crash"] == "51744"


@pytest.mark.parametrize("memory", [1, 2**40])
def test_that_memory_may_be_little_or_much(memory: int) -> None:
    assert config(memory=memory)["memory"] == memory


# ---- slots ----


FOUR = [
    "format=raw, vdev=xvdd, access=rw, target=@BLOCK:four/log.img@",
    "format=raw, vdev=xvdb, access=ro, target=@BLOCK:four/web.tar@",
    "format=raw, vdev=51744, access=rw, target=@BLOCK:data.img@",
    "format=raw, vdev=xvdq, access=ro, target=@BLOCK:my files@",
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_that_the_order_of_blocks_means_nothing(order: Sequence[int]) -> None:
    """MirageOS writes them in the order of a hash table."""
    specs = "', '".join(FOUR[index] for index in order)
    text = f"name = 'x'\nkernel = '/k'\ndisk = [ '{specs}' ]\n"
    disks = [{"name": "log"}, {"name": "web"}, {"name": "data"}, {"name": "f", "block": "my files"}]
    given = dict.fromkeys(["memory", "networks"])
    planned = plan(template=text, disks=disks, **given)
    assert [(one["name"], one["vdev"]) for one in planned.entries] == [
        *(("log", "xvdd"), ("web", "xvdb"), ("data", "51744"), ("f", "xvdq")),
    ]
    reordered = plan(template=text, disks=[disks[index] for index in order], **given)
    assert {one["name"]: one["vbd"] for one in reordered.entries} == {
        one["name"]: one["vbd"] for one in planned.entries
    }
    assert (
        reordered.configs[0]["options"]
        == planned.configs[0]["options"]
        == {"kernel": "/srv/hello.xen"}
    )


@pytest.mark.parametrize(
    ("disk", "planned"),
    [
        ({}, {"access": "rw", "format": "raw"}),
        ({"access": "ro"}, {"access": "ro", "format": "raw"}),
        ({"path": "/a.qcow2", "format": "qcow2"}, {"access": "rw", "format": "qcow2"}),
        ({"target": "/dev/vg0/a"}, {"access": "rw", "format": "raw"}),
        ({"vdev": "xvdb"}, {"vdev": "xvdb"}),
        ({"vdev": 51728}, {"vdev": "51728"}),
        ({"block": "disk.img"}, {"vdev": "xvdb"}),
    ],
)
def test_that_a_disk_is_in_the_slot_of_its_block(
    disk: Dict[str, Any], planned: Dict[str, str]
) -> None:
    found = plan(disks=[DATA_DISK, {"name": "disk", **disk}]).entries[1]
    assert found["xenstore_key"] == 51728
    assert planned.items() <= found["vbd"].items()


def test_that_the_template_is_the_default() -> None:
    text = OPEN.replace("access=rw", "access=ro, backendtype=qdisk, discard")
    read_only = plan(template=text).entries[0]["vbd"]
    assert (read_only["access"], read_only["backendtype"], read_only["discard"]) == (
        *("ro", "qdisk"),
        True,
    )
    disks = [{"name": "disk", "access": "rw", "backendtype": "phy", "discard": False}, DATA_DISK]
    own = plan(template=text, disks=disks).entries[0]["vbd"]
    assert (own["access"], own["backendtype"], own["discard"]) == ("rw", "phy", False)


def test_that_a_disk_may_be_in_no_template() -> None:
    named = {"name": "seed", "xenstore_id": True, "vdev": "51712"}
    assert vdevs(disks=[named, *DISKS]) == {"seed": "51712", "disk": "xvdb", "data": "xvdc"}
    disks = plan(disks=[named, *DISKS]).configs[0]["disks"]
    assert [disk["vdev"] for disk in disks] == ["51712", "xvdb", "xvdc"]
    in_its_slot = {"name": "disk", "xenstore_id": True, "vdev": "xvdb"}
    assert problems(disks=[in_its_slot, DATA_DISK]) == [
        "no present disk is the template's block 'disk.img': add one with block: disk.img"
    ]


def test_that_a_block_may_be_one_that_another_disk_left() -> None:
    old = {"name": "old", "block": "disk.img", "state": "absent"}
    assert vdevs(disks=[old, *DISKS]) == {"old": "xvdb", "disk": "xvdb", "data": "xvdc"}


# ---- mistakes with disks ----


@pytest.mark.parametrize(
    ("disk", "problem"),
    [
        ({"block": "disc.img"}, f"the template has no block 'disc.img': set block ({FILES}), or"),
        (
            {"block": "zz"},
            "the template has no block 'zz': set block (choose from data/my disk.tar,",
        ),
        ({"name": "disk.im"}, f"the template has no block 'disk.im': set block ({FILES}), or x"),
        ({"block": 5}, "block: must be text, not the number 5: put it in quotes"),
        (
            {"vdev": "xvda"},
            "vdev is xvda, but the template has block 'disk.img' in xvdb: omit",
        ),
        ({"xenstore_id": "yes"}, "xenstore_id: must be true or false, not 'yes'"),
        ({"xenstore_id": True}, "xenstore_id: true needs vdev: the slot that the unikernel names"),
        (
            {"xenstore_id": True, "vdev": "xvda", "block": "disk.img"},
            "block and xenstore_id: true exclude each other",
        ),
    ],
)
def test_that_a_disk_goes_with_the_template(disk: Dict[str, Any], problem: str) -> None:
    named = {"name": "disk", **disk}
    found = problems(disks=[named, DATA_DISK])[0]
    assert found.startswith(f"disks[0] ({named['name']}): {problem}")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (
            "backend=storage",
            "domain storage serves this disk, but images are created and bound in dom0",
        ),
        ("backend=qdisk", "the template's backend for it: backend is the domain that serves the"),
        ("format=empty", "format: empty is for a CD drive only (devtype: cdrom)"),
    ],
)
def test_that_a_disk_can_have_what_the_template_says(words: str, problem: str) -> None:
    (found,) = problems(template=OPEN.replace("format=raw", words, 1))[:1]
    assert found.startswith(f"disks[1] (data): {problem}")


def test_that_a_block_is_not_guessed() -> None:
    text = OPEN.replace("data/my disk.tar", "disk.tar")
    found = problems(template=text)[0]
    assert found == (
        "disks[0] (disk): 'disk' matches several blocks of the template, 'disk.tar', 'disk.img': "
        "set block to one of them"
    )


def test_that_every_block_has_a_disk() -> None:
    no_disk = "no present disk is the template's block 'data/my disk.tar': add one with block: "
    missing = [f"{no_disk}data/my disk.tar"]
    assert problems(disks=DISKS[:1]) == missing
    assert problems(disks=[DISKS[0], {**DATA_DISK, "state": "absent"}]) == missing


def test_that_a_block_has_one_disk() -> None:
    with pytest.raises(DiskPlanError) as error:
        plan(disks=[*DISKS, {"name": "disk.img"}])
    assert str(error.value) == (
        f"{DOMAIN}, disks[2] (disk.img): the slot is taken, see {DOMAIN}, disks[0] (disk)"
    )


def test_that_a_slot_is_taken_once() -> None:
    seed = {"name": "seed", "xenstore_id": True, "vdev": 51744}
    for options in ({"disks": [*DISKS, seed]}, {"template": OPEN.replace("xvdb", "xvdc")}):
        with pytest.raises(
            DiskPlanError, match=r"the slot is taken, see domains\[0\] \(web\), disk"
        ):
            plan(**options)


@pytest.mark.parametrize("option", [{"block": "disk.img"}, {"xenstore_id": True}])
def test_that_options_of_a_template_need_one(option: Dict[str, Any]) -> None:
    (found,) = problems(
        **dict.fromkeys(["template", "kernel", "memory", "networks"]),
        disks=[{"name": "disk", **option}],
    )
    assert (
        found == f"disks[0] (disk): {next(iter(option))} does not apply: the domain has no template"
    )


# ---- mistakes with the config ----


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"kernel": None},
            "kernel: @KERNEL@ is not filled in: set kernel to the path of the unikernel on the h",
        ),
        ({"memory": None}, "memory: @MEMORY@ is not filled in: set memory"),
        (
            {"networks": {"service": "br0"}},
            "vif: @NETWORK:management@ is not filled in: set its bridge in networks",
        ),
        (
            {"networks": {**NETWORKS, "sevice": "br0"}},
            "networks: the template has no network 'sevice': did you mean service?",
        ),
        (
            {"config": {"extra": "@NAME@"}},
            "extra: @NAME@ is not filled in: write the name itself",
        ),
        (
            {"config": {"extra": ["a", ["@BLOCK:disk.img@"]]}},
            "extra: @BLOCK:disk.img@ is not filled in: it is valid only as the target of a disk",
        ),
        ({"config": {"memory": 5}}, "memory is also set by memory in config: omit one"),
        ({"config": {"vif": []}}, "networks is also set by vif in config: omit one of them"),
        ({"kernel": "hello.xen"}, "kernel: 'hello.xen' is not absolute"),
        ({"memory": "64"}, "memory: must be a whole number of MiB, not '64'"),
        ({"memory": True}, "memory: must be a whole number of MiB, not the truth value true"),
        ({"memory": 0}, "memory: must be a whole number of MiB, not the number 0"),
        ({"memory": 2**40 + 1}, "memory: must be a whole number of MiB, not the number 10995"),
        ({"networks": ["br0"]}, "networks: must be a dictionary, not a list"),
        ({"networks": {0: "br0"}}, "networks: must be text, not the number 0: put it in quo"),
        ({"networks": {"a": 5}}, "networks: must be text, not the number 5: put it in quotes"),
        ({"networks": {"a": "br0,ip=1"}}, "networks: 'br0,ip=1' is not the name of a bridge: use "),
        ({"template": 5}, "template: must be text, not the number 5: put it in quotes"),
        ({"template": "hello.xl.in"}, "template: 'hello.xl.in' is not the text of a config; read"),
        ({"template": "name = x\n"}, "template: line 1 is not valid in an xl configuration: x "),
        ({"kernel": "/\ud800"}, "option kernel: '/\\ud800' has a character that cannot be enc"),
    ],
)
def test_that_a_mistake_is_reported(options: Dict[str, Any], problem: str) -> None:
    assert problems(**options)[0].startswith(problem)


@pytest.mark.parametrize("options", [{"template": "name = x\n"}, {"template": []}])
def test_that_of_a_template_that_cannot_be_read_only_that_is_reported(
    options: Dict[str, Any],
) -> None:
    disks = [*DISKS, {"name": "more", "block": "no"}, {"name": "slot", "xenstore_id": True}]
    assert len(problems(**options, disks=disks)) == 1


def test_that_the_kernel_is_on_the_host() -> None:
    disks = [DISKS[0], {"name": "data", "block": "my disk.tar"}]
    built: Dict[str, Any] = {"template": BUILT, "kernel": None, "networks": None, "disks": disks}
    missing = "set kernel to the path of the unikernel on the host: the template has "
    assert problems(**built) == [f"{missing}'hello.xen', which is not absolute"]
    without = BARE.replace("kernel", "kernel_")
    bare = {**built, "template": without.replace("@KERNEL@", ""), "disks": None}
    assert problems(**bare) == [f"{missing}none"]
    assert problems(**bare, config={"kernel": "/k"}) == []


def test_that_bridges_that_are_there_are_changed_in_config() -> None:
    disks = [DISKS[0], {"name": "data", "block": "my disk.tar"}]
    assert problems(template=BUILT, networks={"service": "br0"}, disks=disks) == [
        "networks: the template has no networks to fill in: set vif in config to change its bridges"
    ]
    own = config(template=BUILT, networks=None, disks=disks, config={"vif": ["bridge=br0"]})
    assert own["vif"] == ["bridge=br0"]


@pytest.mark.parametrize(
    ("option", "value", "instead"),
    [("kernel", "/k", "kernel"), ("memory", 5, "memory"), ("networks", {}, "vif")],
)
def test_that_a_setting_needs_a_template(option: str, value: object, instead: str) -> None:
    options = {**dict.fromkeys(["template", "kernel", "memory", "networks"]), option: value}
    assert problems(**options, disks=None) == [
        f"{option} needs a template: set {instead} in config"
    ]


def test_that_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(DiskPlanError) as error:
        plan(
            disks=[{"name": "dsk.img"}, {"name": "b", "block": "disk.im"}],
            kernel=None,
            networks={"a": "br0"},
            config={"extra": "@SLOT:disk@"},
        )
    assert [problem.split(":")[0] for problem in str(error.value).split("\n")] == [
        f"{DOMAIN}, disks[0] (dsk.img)",
        f"{DOMAIN}, disks[1] (b)",
        *[DOMAIN] * 7,
    ]


# ---- a domain that goes ----


@pytest.mark.parametrize(
    "missing", [{}, dict.fromkeys(["kernel", "memory", "networks"]), {"networks": {"no": "br0"}}]
)
def test_that_a_domain_can_be_absent(missing: Dict[str, Any]) -> None:
    planned = plan(state="absent", **missing)
    assert planned.configs == [{"domain": "web", "path": "/etc/xen/web.cfg", "state": "absent"}]
    assert [entry["xenstore_key"] for entry in planned.entries] == [51728, 51744]
    assert {entry["vbd"]["state"] for entry in planned.entries} == {"absent"}
    assert [
        entry["vdev"] for entry in disk_plan.plan([web(**missing)], state="absent").entries
    ] == [*("xvdb", "xvdc")]


def test_that_a_disk_that_left_the_template_can_be_absent() -> None:
    gone = [
        {"name": "old", "block": "old.img", "state": "absent"},
        {"name": "older", "vdev": "xvdb", "block": "data/my disk.tar", "state": "absent"},
        {"name": "oldest", "state": "absent"},
    ]
    assert vdevs(disks=[*gone, *DISKS]) == {
        "old": "xvda",
        "older": "xvdb",
        "oldest": "xvdd",
        "disk": "xvdb",
        "data": "xvdc",
    }
    without = dict.fromkeys(["template", "kernel", "memory", "networks"])
    assert vdevs(**without, disks=gone[:1]) == {"old": "xvda"}


# ---- slots in a config ----


def slots(value: object, *disks: Dict[str, Any]) -> Any:
    without = dict.fromkeys(["template", "kernel", "memory", "networks"])
    return config(**without, disks=[*disks], config={"extra": value})["extra"]


A, B = {"name": "a"}, {"name": "b", "vdev": "xvdq"}


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        ("@SLOT:a@", "51712"),
        ("--disk=@SLOT:a@,@SLOT:b@", "--disk=51712,268439552"),
        (["x", ["@SLOT:b@", 5]], ["x", ["268439552", 5]]),
        (5, 5),
        ("@SLOT@ @SLOT:a", "@SLOT@ @SLOT:a"),
    ],
)
def test_that_a_slot_is_filled_in(value: object, filled: object) -> None:
    assert slots(value, A, B) == filled


def test_that_a_slot_may_be_named_in_the_template() -> None:
    text = OPEN + "extra = '--disk=@SLOT:disk@'\n"
    assert config(template=text)["extra"] == "--disk=51728"


def test_that_no_slot_is_filled_in_of_an_absent_domain() -> None:
    assert plan(state="absent", config={"extra": "@SLOT:no@"}).configs[0]["state"] == "absent"


NO_DISK = "extra: @SLOT:{0}@: no present disk has the name or label '{0}': "


@pytest.mark.parametrize(
    ("disks", "name", "hint"),
    [
        ([{"name": "disk"}, {"name": "data"}], "dsk", "did you mean disk?"),
        ([{"name": "disk"}, {"name": "data"}], "zz", "choose from disk, data"),
        ([{"name": "a", "state": "absent"}], "a", "the domain has none"),
        ([], "", "the domain has none"),
    ],
)
def test_that_a_slot_needs_a_present_disk(
    disks: List[Dict[str, Any]], name: str, hint: str
) -> None:
    without = dict.fromkeys(["template", "kernel", "memory", "networks"])
    found = problems(**without, disks=disks, config={"extra": f"@SLOT:{name}@"})
    assert found == [NO_DISK.format(name) + hint]


@pytest.fixture
def labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a disk have a label, whatever else one may be."""
    monkeypatch.setitem(inventory_options.DISK_OPTIONS, "label", inventory_options.read_text)


@pytest.mark.usefixtures("labels")
def test_that_a_slot_may_be_named_by_a_label() -> None:
    disks = [{**A, "label": "my data"}, {**B, "label": "b"}]
    assert slots("@SLOT:my data@ @SLOT:a@ @SLOT:b@", *disks) == "51712 51712 268439552"


@pytest.mark.usefixtures("labels")
@pytest.mark.parametrize("other", [{"label": "a"}, {"name": "a", "vdev": "xvdc"}])
def test_that_a_slot_is_not_guessed(other: Dict[str, str]) -> None:
    without = dict.fromkeys(["template", "kernel", "memory", "networks"])
    found = problems(**without, disks=[A, {**B, **other}], config={"extra": "@SLOT:a@"})
    assert found == ["extra: @SLOT:a@: 2 disks have the name or label 'a'"]
    assert slots("@SLOT:a@", A, {**B, **other, "state": "absent", "name": "c"}) == "51712"


# ---- properties ----

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,5}[a-z]", fullmatch=True)


@given(
    st.dictionaries(st.integers(1, 40), NAMES, min_size=1, max_size=5),
    st.randoms(use_true_random=False),
)
def test_that_each_disk_gets_the_slot_that_the_unikernel_has(
    numbers: Dict[int, str], random: Any
) -> None:
    files = {number: f"{number}/{name}.img" for number, name in numbers.items()}
    slot_of = {files[number]: device_number.from_disk_number(number) for number in files}
    specs = [f"vdev={slot.linux_device}, target=@BLOCK:{f}@" for f, slot in slot_of.items()]
    text = f"kernel = '/k'\ndisk = {specs!r}\n"
    disks = [{"name": f"d{number}", "block": file} for number, file in files.items()]
    random.shuffle(disks)
    extra = " ".join(f"@SLOT:{disk['name']}@" for disk in disks)
    planned = plan(**GIVEN, template=text, networks=None, disks=disks, config={"extra": extra})
    keys = [slot_of[disk["block"]].xenstore_key for disk in disks]
    assert [entry["xenstore_key"] for entry in planned.entries] == keys
    assert planned.configs[0]["options"]["extra"] == " ".join(map(str, keys))
    gone = disk_plan.plan([web(template=text, networks=None, disks=disks)], state="absent")
    assert [entry["xenstore_key"] for entry in gone.entries] == keys
