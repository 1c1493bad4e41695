# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: what each module is given, what disks do to each other, and what a query selects."""

from __future__ import annotations

import copy
import importlib
import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
import yaml  # type: ignore[import-untyped]
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.xen.blockdev.plugins import module_utils
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.inventory import disk_plan
from ansible_collections.xen.blockdev.plugins.module_utils.inventory.disk_plan import (
    DiskPlanError,
    PlanEntry,
)
from hypothesis import given
from hypothesis import strategies as st

LINKS = "/dev/disk/by-loop-file"
MODULES = "ansible_collections.xen.blockdev.plugins.modules"
ITEMS = {
    "image": ("xen_raw_disk", "disks"),
    "volume": ("xen_logical_volume", "volumes"),
    "loop": ("xen_loopdev", "devices"),
    "vbd": ("xen_vbd_attach", "vbds"),
    "config": ("xen_domain_config", "configs"),
}

Domains = List[Dict[str, Any]]

CD = {"devtype": "cdrom"}


def domain(*disks: object, name: str = "web", **options: object) -> Dict[str, Any]:
    return {"name": name, "disks": [*disks], **options}


def named(disks: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """The disks, those without a name named by their position."""
    return [{"name": f"disk{position}", **disk} for position, disk in enumerate(disks)]


def entries(*domains: object, state: Optional[str] = None) -> List[PlanEntry]:
    return disk_plan.plan([*domains], state=state).entries


def entry(**options: object) -> PlanEntry:
    (planned,) = entries(domain({"name": "boot", **options}))
    return planned


def problems(*domains: object) -> List[str]:
    with pytest.raises(DiskPlanError) as error:
        disk_plan.plan([*domains])
    return str(error.value).split("\n")


def vdevs(*disks: Dict[str, Any]) -> List[str]:
    return [planned["vdev"] for planned in entries(domain(*named([*disks])))]


def assert_accepted(layer: str, items: List[PlanEntry]) -> None:
    """Let Ansible check the items, as it does when the module is called, and change none."""
    module, option = ITEMS[layer]
    documentation = importlib.import_module(f"{MODULES}.{module}").DOCUMENTATION
    options = {option: yaml.safe_load(documentation)["options"][option]}
    checked = ArgumentSpecValidator(_as_spec(options)).validate({option: items})
    assert checked.error_messages == []
    accepted = [_without_nulls(item) for item in checked.validated_parameters[option]]
    assert accepted == items


def _as_spec(options: Any) -> Any:
    """The part of an argument_spec that the documentation repeats."""
    spec = {}
    for name, option in options.items():
        known = ("type", "elements", "choices", "required")
        spec[name] = {key: option[key] for key in known if key in option}
        if "suboptions" in option:
            spec[name]["options"] = _as_spec(option["suboptions"])
            if option.get("elements") == "raw":
                spec[name]["elements"] = "dict"  # as Interface.checked takes those that are
    return spec


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


# ---- what each module is given ----

EXAMPLE = domain(
    {"name": "boot", "size": "16MiB"},
    {"name": "data", "size": "2GiB", "vdev": "xvdc", "access": "ro"},
    {"name": "lun", "target": "/dev/vg0/web", "vdev": "51768"},
    {"name": "base", "path": "/srv/base.qcow2", "format": "qcow2", "loop": False},
    {"name": "old", "state": "absent"},
)
BOOT = {"path": "/srv/xen/web/boot.raw", "state": "present"}
DATA = {"path": "/srv/xen/web/data.raw", "state": "present"}
OLD = {"path": "/srv/xen/web/old.raw", "state": "absent"}
HERE = {"domain": "web", "state": "present"}
OURS = {"state": "absent", "ours_only": True}
LEFT_IN_USE = {**OURS, "in_use": "leave"}
BOOT_DISK = {
    "target": f"{LINKS}/srv/xen/web/boot.raw",
    "vdev": "xvda",
    "access": "rw",
}
DATA_DISK = {
    "target": f"{LINKS}/srv/xen/web/data.raw",
    "vdev": "xvdc",
    "access": "ro",
}
LUN_DISK = {"target": "/dev/vg0/web", "vdev": "51768", "access": "rw"}
BASE_DISK = {"target": "/srv/base.qcow2", "vdev": "xvdb", "format": "qcow2", "access": "rw"}
EXAMPLE_ENTRIES = {
    "boot": {
        "domain": "web",
        "name": "boot",
        "xenstore_key": 51712,
        "vdev": "xvda",
        "image": {**BOOT, "size": 16777216},
        "loop": BOOT,
        "vbd": {**HERE, **BOOT_DISK},
    },
    "data": {
        "domain": "web",
        "name": "data",
        "xenstore_key": 51744,
        "vdev": "xvdc",
        "image": {**DATA, "size": 2147483648},
        "loop": DATA,
        "vbd": {**HERE, **DATA_DISK},
    },
    "lun": {
        "domain": "web",
        "name": "lun",
        "xenstore_key": 51768,
        "vdev": "51768",
        "vbd": {**HERE, **LUN_DISK},
    },
    "base": {
        "domain": "web",
        "name": "base",
        "xenstore_key": 51728,
        "vdev": "xvdb",
        "loop": {"path": "/srv/base.qcow2", **LEFT_IN_USE},
        "vbd": {**HERE, **BASE_DISK},
    },
    "old": {
        "domain": "web",
        "name": "old",
        "xenstore_key": 51776,  # xvdd is the disk of 51768
        "vdev": "xvde",
        "image": OLD,
        "loop": OLD,
        "vbd": {"domain": "web", "state": "absent", "target": f"{LINKS}/srv/xen/web/old.raw"},
    },
}


@pytest.mark.parametrize("name", EXAMPLE_ENTRIES)
def test_that_the_example_is_planned(name: str) -> None:
    planned = {planned["name"]: planned for planned in entries(EXAMPLE)}
    assert list(planned) == list(EXAMPLE_ENTRIES)
    assert planned[name] == EXAMPLE_ENTRIES[name]


def _unsaid(disk: Dict[str, Any]) -> Dict[str, Any]:
    """The disk without an access that the user has not said."""
    return {key: value for key, value in disk.items() if key != "access"}


def test_that_the_example_has_a_config_and_nothing_to_warn_of() -> None:
    plan = disk_plan.plan([EXAMPLE])
    disks = [_unsaid(BOOT_DISK), DATA_DISK, _unsaid(LUN_DISK), _unsaid(BASE_DISK)]
    config = {"domain": "web", "path": "/etc/xen/web.cfg", "state": "present"}
    removed = [{"target": f"{LINKS}/srv/xen/web/old.raw"}]
    assert plan.configs == [{**config, "disks": disks, "removed_disks": removed}]
    assert plan.warnings == []


IMAGE_OPTIONS = {
    "size": 512,
    "source": "/s.qcow2",
    "source_format": "qcow2",
    "filesystem": "ext4",
    "label": "DATA",
    "fat_sector_size": 512,
    "preserve": False,
    "allocation": "full",
    "shrink": True,
    "owner": "root",
    "group": "disk",
    "mode": "0640",
    "seuser": "u",
    "serole": "r",
    "setype": "t",
    "selevel": "s0",
}
LOOP_OPTIONS = {"direct_io": False, "sector_size": 4096}
VBD_OPTIONS = {
    "access": "ro",
    "backendtype": "phy",
    "devtype": "disk",
    "script": "block-own",
    "discard": False,
    "direct_io_safe": True,
    "trusted": False,
    "specification": "virtio",
}


def test_that_every_option_reaches_its_module() -> None:
    planned = entry(**IMAGE_OPTIONS, **LOOP_OPTIONS, **VBD_OPTIONS, vdev=51712)
    assert planned == {
        "domain": "web",
        "name": "boot",
        "xenstore_key": 51712,
        "vdev": "51712",
        "image": {**BOOT, **IMAGE_OPTIONS},
        "loop": {**BOOT, **LOOP_OPTIONS},
        "vbd": {**HERE, **BOOT_DISK, **VBD_OPTIONS, "vdev": "51712"},
    }


CONTENT_OPTIONS = {
    name: IMAGE_OPTIONS[name]
    for name in ("size", "source", "source_format", "filesystem", "label", "fat_sector_size")
}
VOLUME_OPTIONS = {"thin_pool": "pool", "stripes": 2, "tags": ["xen"], "wipe": False}
VOLUME = {"volume_group": "vg0", "volume": "web-boot"}


def test_that_every_option_of_a_volume_reaches_its_module() -> None:
    made = {**CONTENT_OPTIONS, **VOLUME_OPTIONS, "preserve": True, "shrink": True}
    assert entry(volume_group="vg0", **made, **VBD_OPTIONS) == {
        "domain": "web",
        "name": "boot",
        "xenstore_key": 51712,
        "vdev": "xvda",
        "volume": {**VOLUME, **made, "state": "present"},
        "vbd": {**HERE, **BOOT_DISK, **VBD_OPTIONS, "target": "/dev/vg0/web-boot"},
    }


@pytest.mark.parametrize(
    ("options", "is_ours"),
    [({}, True), ({"volume": "a"}, False), ({"volume": "a", "size": 512}, True)],
)
def test_that_only_a_volume_that_is_ours_is_removed(options: Dict[str, Any], is_ours: bool) -> None:
    planned = entry(volume_group="vg0", **options, tags=["xen"], state="absent")
    name = options.get("volume", "web-boot")
    gone = {"volume_group": "vg0", "volume": name, "state": "absent"}
    assert planned.get("volume") == (gone if is_ours else None)
    assert planned["vbd"] == {"domain": "web", "state": "absent", "target": f"/dev/vg0/{name}"}
    assert not {"image", "loop"} & set(planned)


def test_that_a_volume_is_the_same_as_a_target() -> None:
    one = {"name": "a", "volume_group": "vg0", "volume": "a"}
    (found,) = problems(domain(one, {"name": "b", "target": "/dev/vg0/a"}))
    assert "/dev/vg0/a is also the disk of" in found


def test_that_a_shared_volume_is_described_once_and_alike() -> None:
    one = {"volume_group": "vg0", "volume": "a", "access": "ro"}
    domains = [domain({"name": "a", **one}, name=name) for name in ("web", "db")]
    planned = disk_plan.plan(domains)
    (item,) = disk_plan.by_role(planned)["logical_volumes"]
    assert [slot["domain"] for slot in item["slots"]] == ["web", "db"]
    other = domain({"name": "a", **one, "tags": ["xen"]}, name="app")
    (found,) = problems(*domains, other)
    assert found.endswith("with different options for the logical volume")


def test_that_wait_for_applies_to_running_domains_only() -> None:
    planned = disk_plan.plan([domain({"name": "boot", "size": 512, "wait_for": "offered"})])
    assert planned.entries[0]["vbd"]["wait_for"] == "offered"
    assert "wait_for" not in planned.configs[0]["disks"][0]


def test_that_an_image_of_xl_has_no_loop_device() -> None:
    planned = entry(size=512, loop=False)
    assert planned["image"] == {**BOOT, "size": 512}
    assert planned["loop"] == {"path": BOOT["path"], **LEFT_IN_USE}
    assert planned["vbd"] == {**HERE, **BOOT_DISK, "target": "/srv/xen/web/boot.raw"}


@pytest.mark.parametrize(
    ("medium", "target"),
    [
        ({}, {}),
        ({"format": "empty"}, {}),
        ({"format": "raw"}, {}),
        ({"path": "/srv/a b.iso"}, {"target": "/srv/a b.iso"}),
        ({"target": "/dev/sr0"}, {"target": "/dev/sr0"}),
        (
            {"path": "/srv/a", "format": "qcow2", "backendtype": "qdisk"},
            {"target": "/srv/a", "format": "qcow2", "backendtype": "qdisk"},
        ),
    ],
)
def test_that_a_drive_has_a_medium_and_nothing_else(
    medium: Dict[str, Any], target: Dict[str, Any]
) -> None:
    plan = disk_plan.plan([domain({"name": "cd", **CD, **medium})])
    assert plan.entries == [
        {
            "domain": "web",
            "name": "cd",
            "xenstore_key": 5632,
            "vdev": "hdc",
            "vbd": {**HERE, **CD, "vdev": "hdc", **target},
        }
    ]
    assert plan.configs[0]["disks"] == [{**CD, "vdev": "hdc", **target}]
    gone = disk_plan.plan([domain({"name": "cd", **CD, **medium, "state": "absent"})])
    absent = {"domain": "web", "state": "absent", **CD, "vdev": "hdc"}
    assert gone.entries == [{**plan.entries[0], "vbd": absent}]
    assert gone.configs[0]["removed_disks"] == [{**CD, "vdev": "hdc"}]


def test_that_what_is_in_a_drive_is_kept_for_it() -> None:
    """An image that leaves one domain may be the medium of another."""
    image = {"path": "/srv/a.iso", "size": "1M"}
    gone, here = entries(
        domain({"name": "a", "state": "absent", **image}),
        domain({"name": "cd", "path": "/srv/a.iso", **CD}, name="db"),
    )
    assert {"image", "loop"}.isdisjoint({**gone, **here})


def test_that_a_drive_is_not_both_present_and_absent() -> None:
    here = {"name": "cd", "path": "/srv/a.iso", **CD}
    gone = {"name": "old", "vdev": "5632", "target": "/dev/sr0", "state": "absent", **CD}
    (found,) = problems(domain(here, gone))
    assert "state is absent, but" in found
    assert len(entries(domain(here, {**gone, "vdev": "hdd"}))) == 2
    assert len(entries(domain({"name": "a", "vdev": "hdc"}, gone))) == 2


@pytest.mark.parametrize("format_", ["qcow2", "vhd", "qed"])
def test_that_another_format_is_left_to_qemu(format_: str) -> None:
    planned = entry(path="/srv/a", format=format_)
    assert "image" not in planned
    assert planned["loop"] == {"path": "/srv/a", **LEFT_IN_USE}
    assert planned["vbd"] == {**HERE, **BOOT_DISK, "target": "/srv/a", "format": format_}


@pytest.mark.parametrize("state", ["present", "absent"])
def test_that_only_what_may_have_been_bound_is_unbound(state: str) -> None:
    """Without a path that udev writes as it is, no plan had a loop device for it."""
    assert "loop" not in entry(state=state, path="/srv/a b.raw", loop=False)
    assert "loop" not in entry(state=state, target="/dev/vg0/a")


def test_that_qemu_opens_a_raw_image_itself() -> None:
    planned = entry(size=512, backendtype="qdisk")
    assert planned["image"] == {**BOOT, "size": 512}
    taken_back = {"path": BOOT["path"], "state": "absent", "ours_only": True}
    assert planned["loop"] == {**taken_back, "in_use": "leave"}
    path = {**BOOT_DISK, "target": "/srv/xen/web/boot.raw"}
    assert planned["vbd"] == {**HERE, **path, "backendtype": "qdisk"}
    bound = entry(size=512, backendtype="qdisk", loop=True)
    assert bound["loop"] == BOOT
    assert bound["vbd"] == {**HERE, **BOOT_DISK, "backendtype": "qdisk"}
    (problem,) = problems(domain({"name": "boot", "backendtype": "qdisk", "direct_io": True}))
    assert problem.endswith("direct_io does not apply: the image gets no loop device")
    gone = entry(backendtype="qdisk", state="absent")
    assert gone["loop"] == taken_back
    assert gone["vbd"]["target"] == "/srv/xen/web/boot.raw"


def test_that_a_driver_domain_has_its_own_storage() -> None:
    here = {"name": "here", "target": "/dev/vg0/a"}
    there = {"name": "there", "target": "/dev/vg0/a", "backend": "storage"}
    planned = disk_plan.plan([domain(here, there)])
    assert [one["vbd"].get("backend") for one in planned.entries] == [None, "storage"]
    assert planned.configs[0]["disks"][1]["backend"] == "storage"
    gone = entry(target="/dev/vg0/a", backend="storage", state="absent")
    assert gone["vbd"] == {
        "domain": "web",
        "state": "absent",
        "target": "/dev/vg0/a",
        "backend": "storage",
    }
    (problem,) = problems(domain(there, {**there, "name": "twice"}))
    assert "/dev/vg0/a of domain storage is also the disk of" in problem


@pytest.mark.parametrize("backend", ["0", "Domain-0"])
def test_that_dom0_is_no_driver_domain(backend: str) -> None:
    planned = entry(size=512, backend=backend)
    assert planned["loop"] == BOOT
    assert planned["vbd"] == {**HERE, **BOOT_DISK, "backend": backend}


def test_that_no_image_is_made_in_a_driver_domain() -> None:
    (problem,) = problems(domain({"name": "boot", "size": 512, "backend": "storage"}))
    assert (
        "domain storage serves this disk, but images are created and bound in dom0 only" in problem
    )


def test_that_access_comes_in_one_spelling() -> None:
    assert [entry(access=word)["vbd"]["access"] for word in ("r", "w")] == ["ro", "rw"]


def test_that_one_disk_may_change_its_slot() -> None:
    disks = named([{"allow_slot_change": True}, {}])
    planned = disk_plan.plan([domain(*disks)])
    (config,) = planned.configs
    assert [disk.get("allow_slot_change") for disk in config["disks"]] == [True, None]
    assert not any("allow_slot_change" in one["vbd"] for one in planned.entries)


@pytest.mark.parametrize("size", [16777216, "16777216", "16M", "16MiB", "16384KiB"])
def test_that_a_size_comes_in_bytes(size: object) -> None:
    assert entry(size=size)["image"]["size"] == 16777216


@pytest.mark.parametrize(
    ("vdev", "key"),
    [("xvda", 51712), (51712, 51712), ("0xca00", 51712), ("d0p0", 51712), ("hda1", 769), (5, 5)],
)
def test_that_a_slot_is_named_as_it_was_written(vdev: object, key: int) -> None:
    planned = entry(vdev=vdev)
    assert planned["xenstore_key"] == key
    assert planned["vdev"] == planned["vbd"]["vdev"] == str(vdev)


def test_that_directories_can_be_chosen() -> None:
    plan = disk_plan.plan([domain({"name": "boot"})], images_dir="/i", config_dir="/c/")
    assert plan.entries[0]["image"]["path"] == plan.entries[0]["loop"]["path"] == "/i/web/boot.raw"
    assert plan.entries[0]["vbd"]["target"] == f"{LINKS}/i/web/boot.raw"
    assert plan.configs[0]["path"] == "/c/web.cfg"


def test_that_a_config_gets_what_was_written() -> None:
    config = {"type": "pvh", "memory": 128}
    options = {"config": config, "config_path": "/c/w", "allow_slot_change": True}
    (planned,) = disk_plan.plan([domain(**options)]).configs
    assert planned == {
        "domain": "web",
        "path": "/c/w",
        "state": "present",
        "options": config,
        "disks": [],
        "allow_slot_change": True,
    }
    (gone,) = disk_plan.plan([domain({"name": "a"}, state="absent", **options)]).configs
    assert gone == {"domain": "web", "path": "/c/w", "state": "absent"}


@pytest.mark.parametrize(
    ("options", "disks"), [({}, None), ({"disks": []}, []), ({"config": {"memory": 1}}, [])]
)
def test_that_a_config_keeps_omitted_disks(
    options: Dict[str, Any], disks: Optional[List[object]]
) -> None:
    (planned,) = disk_plan.plan([{"name": "web", "autostart": True, **options}]).configs
    assert planned.get("disks") == disks


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize("autostart", [True, False])
def test_that_a_config_has_autostart(autostart: bool, state: str) -> None:
    (planned,) = disk_plan.plan([domain(autostart=autostart, state=state)]).configs
    assert planned["autostart"] is autostart
    (untold,) = disk_plan.plan([domain(state=state)]).configs
    assert "autostart" not in untold


# ---- every choice of every option, to the modules ----

VALUES: Dict[str, List[Any]] = {
    **{option: [value] for option, value in {**IMAGE_OPTIONS, **VBD_OPTIONS}.items()},
    "source_format": ["raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "qed"],
    "filesystem": ["ext2", "ext3", "ext4", "vfat", "xfs", "swap", "iso9660", "tar"],
    "label": ["DATA", "a label"],
    "fat_sector_size": [512, 4096],
    "preserve": [True, False],
    "allocation": ["sparse", "full"],
    "shrink": [True, False],
    "direct_io": [True, False],
    "sector_size": [512, 1024, 2048, 4096],
    "access": ["rw", "ro", "r", "w"],
    "backendtype": ["phy", "qdisk", "tap", "standalone"],
    "trusted": [True, False],
    "specification": ["xen", "virtio"],
    "allow_slot_change": [True, False],
    "devtype": ["disk"],
    "discard": [True, False],
    "direct_io_safe": [True, False],
    "wait_for": ["connected", "offered"],
    "loop": [True, False],
    "state": ["present", "absent"],
    "vdev": ["xvda", "51768", 5, "0xca00", "d0p0", "hdc2"],
}
SINGLE = [{option: value} for option, values in VALUES.items() for value in values]
FORMATS = [{"path": "/a", "format": format_} for format_ in ("raw", "qcow", "qcow2", "vhd", "qed")]
TARGETS = [
    {"target": "/dev/vg0/a"},
    {"target": "iqn=x", "script": "block-iscsi"},
    {"target": "vg0/a", "backend": "storage"},
    {"target": "rbd:pool/image", "backendtype": "qdisk"},
]
VOLUMES = [
    {"volume_group": "vg0"},
    {"volume_group": "vg0", **CONTENT_OPTIONS, **VOLUME_OPTIONS, "volume": "all", "shrink": True},
]
DRIVES = [CD, {**CD, "path": "/a.iso"}, {**CD, "target": "/dev/sr0", "vdev": "hdd"}]
ALL_DISKS = named([*SINGLE, *FORMATS, *TARGETS, *VOLUMES, *DRIVES])
ABSENT_DISKS = [{**disk, "state": "absent"} for disk in ALL_DISKS]
# Each in a domain of its own: they are not to disturb each other.
ALL_DOMAINS = [
    domain({**disk, "path": f"/{i}"} if "path" in disk else disk, name=f"d{i}")
    for i, disk in enumerate(ALL_DISKS + ABSENT_DISKS)
]


@pytest.mark.parametrize("layer", ["image", "volume", "loop", "vbd"])
def test_that_every_item_is_accepted_by_its_module(layer: str) -> None:
    planned = entries(*ALL_DOMAINS) + entries(EXAMPLE)
    items = [one[layer] for one in planned if layer in one]
    assert {item["state"] for item in items} == {"present", "absent"}
    assert_accepted(layer, items)


def test_that_every_config_is_accepted_by_its_module() -> None:
    pytest.importorskip(f"{MODULES}.xen_domain_config")
    more = [
        domain(
            name="full",
            config={"memory": 1},
            allow_slot_change=True,
            unlisted_disks="keep",
            autostart=True,
            config_path="/c",
        ),
        domain(name="gone", state="absent", config={"memory": 1}, autostart=False),
    ]
    assert_accepted("config", disk_plan.plan([EXAMPLE, *ALL_DOMAINS, *more]).configs)


# ---- automatic slots ----


@pytest.mark.parametrize(
    ("written", "automatic"),
    [
        ([], ["xvda", "xvdb", "xvdc"]),
        (["xvda"], ["xvdb", "xvdc", "xvdd"]),
        (["xvdb", "xvda"], ["xvdc", "xvdd", "xvde"]),
        (["51768"], ["xvda", "xvdb", "xvdc"]),
        (["51768", "xvda", "xvdb"], ["xvdc", "xvde", "xvdf"]),
        ([51712], ["xvdb", "xvdc", "xvdd"]),
        (["0xca10"], ["xvda", "xvdc", "xvdd"]),
        (["d0p0", "d2p3"], ["xvdb", "xvdd", "xvde"]),
        (["xvda16"], ["xvdb", "xvdc", "xvdd"]),
        ([1 << 28], ["xvdb", "xvdc", "xvdd"]),
        (["hda"], ["xvdb", "xvdc", "xvdd"]),
        (["hdc2"], ["xvda", "xvdb", "xvdd"]),
        (["sdb3"], ["xvda", "xvdc", "xvdd"]),
        (["hda", "sdb", "xvdc"], ["xvdd", "xvde", "xvdf"]),
        ([0, 1, 5, 999], ["xvda", "xvdb", "xvdc"]),
        (["xvdq", "xvdaa"], ["xvda", "xvdb", "xvdc"]),
    ],
)
def test_that_written_slots_are_skipped(written: List[object], automatic: List[str]) -> None:
    slots: List[Dict[str, Any]] = [{"vdev": vdev} for vdev in written]
    unwritten: List[Dict[str, Any]] = [{} for _slot in automatic]
    # Where a written one stands in the list makes no difference.
    assert vdevs(*slots, *unwritten) == [*map(str, written), *automatic]
    assert vdevs(*unwritten, *slots) == [*automatic, *map(str, written)]


def test_that_there_may_be_many_disks() -> None:
    found = entries(domain(*named([{} for _number in range(30)])))
    letters = [*"abcdefghijklmnopqrstuvwxyz", "aa", "ab", "ac", "ad"]
    assert [planned["vdev"] for planned in found] == [f"xvd{letter}" for letter in letters]
    keys = [planned["xenstore_key"] for planned in found]
    assert keys[15:17] + keys[25:27] == [51952, 268439552, 268441856, 268442112]


def test_that_an_absent_disk_keeps_its_number() -> None:
    gone = {"state": "absent"}
    assert vdevs({}, gone, {}) == ["xvda", "xvdb", "xvdc"]
    assert vdevs(gone, {"vdev": "xvda"}, gone, {}) == ["xvdb", "xvda", "xvdc", "xvdd"]
    assert vdevs({**gone, "vdev": "xvda"}, {}) == ["xvda", "xvdb"]


def test_that_each_domain_starts_at_the_beginning() -> None:
    found = entries(domain({"name": "a"}), domain({"name": "a"}, name="db"))
    assert [planned["vdev"] for planned in found] == ["xvda", "xvda"]


# ---- absent ----


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        ({}, {"image", "loop"}),
        ({"size": 512, "vdev": "xvdb"}, {"image", "loop"}),
        ({"loop": False}, {"image", "ours"}),
        ({"path": "/srv/a"}, {"loop"}),
        ({"path": "/srv/a", "loop": False}, {"ours"}),
        ({"path": "/srv/a b", "loop": False}, set()),
        ({"path": "/srv/a", "size": 512}, {"image", "loop"}),
        ({"path": "/srv/a", "source": "/s"}, {"image", "loop"}),
        ({"path": "/srv/a", "mode": "0600"}, {"loop"}),
        ({"path": "/srv/a", "format": "qcow2"}, {"ours"}),
        ({"target": "/dev/vg0/a"}, set()),
        ({"target": "iqn=x", "script": "block-iscsi"}, set()),
    ],
)
def test_that_only_what_is_ours_is_removed(options: Dict[str, Any], layers: set[str]) -> None:
    disk = {"name": "boot", **options}
    present = entries(domain(disk))[0]
    path = options.get("path", "/srv/xen/web/boot.raw")
    vbd = {"domain": "web", "state": "absent", "target": present["vbd"]["target"]}
    if "vdev" in options:
        vbd["vdev"] = options["vdev"]
    expected = {key: present[key] for key in ("domain", "name", "xenstore_key", "vdev")}
    expected.update({layer: {"path": path, "state": "absent"} for layer in layers}, vbd=vbd)
    if expected.pop("ours", None):
        expected["loop"] = {"path": path, **OURS}
    assert entries(domain({**disk, "state": "absent"})) == [expected]
    assert entries(domain(disk, state="absent")) == [expected]
    assert entries(domain(disk), state="absent") == [expected]
    assert entries(domain({**disk, "state": "present"}, state="present"), state="absent") == [
        expected
    ]
    assert disk_plan.plan([domain(disk)], state="present").entries == [present]


def test_that_nothing_can_be_absent() -> None:
    assert entries(domain(), domain(name="db", state="absent")) == []
    assert disk_plan.plan([]) == ([], [], [])


def test_that_a_config_goes_with_its_domain_only() -> None:
    boot = {"name": "boot", "state": "absent"}
    (config,) = disk_plan.plan([domain(boot)]).configs
    assert config["state"] == "present"
    assert config["disks"] == []
    for plan in (
        disk_plan.plan([domain(boot, state="absent")]),
        disk_plan.plan([domain({"name": "boot"})], state="absent"),
    ):
        (config,) = plan.configs
        assert config == {"domain": "web", "path": "/etc/xen/web.cfg", "state": "absent"}


def test_that_absent_disks_may_be_removed_from_the_config() -> None:
    """By their slots only where those are written: others come from the order of the list."""
    (config,) = disk_plan.plan(
        [
            domain(
                {"name": "boot", "state": "absent"},
                {"name": "old", "target": "/dev/vg/old", "state": "absent"},
                {"name": "b", "vdev": "xvdq", "target": "/dev/vg/b", "state": "absent"},
                {"name": "cd", **CD, "target": "/srv/a.iso", "state": "absent"},
                {"name": "cd2", **CD, "vdev": "hdd", "state": "absent"},
                {"name": "data"},
                unlisted_disks="keep",
            )
        ]
    ).configs
    assert config["removed_disks"] == [
        {"target": f"{LINKS}/srv/xen/web/boot.raw"},
        {"target": "/dev/vg/old"},
        {"target": "/dev/vg/b", "vdev": "xvdq"},
        {"devtype": "cdrom", "vdev": "hdc"},
        {"devtype": "cdrom", "vdev": "hdd"},
    ]
    assert config["unlisted_disks"] == "keep"
    assert "removed_disks" not in disk_plan.plan([domain({"name": "data"})]).configs[0]


def test_that_the_disk_in_a_slot_can_be_swapped() -> None:
    old, new = entries(
        domain(
            {"name": "old", "vdev": "xvdb", "state": "absent"},
            {"name": "new", "vdev": "51728", "size": 512},
        )
    )
    assert old["image"]["path"] == "/srv/xen/web/old.raw"
    assert old["vbd"] == {
        "domain": "web",
        "state": "absent",
        "target": f"{LINKS}/srv/xen/web/old.raw",
        "vdev": "xvdb",
    }
    assert new["vbd"]["vdev"] == "51728"


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    "storage", [{"path": "/srv/a", "size": 512}, {"target": "/dev/vg0/a"}, {"path": "/srv/a"}]
)
def test_that_a_disk_can_move_to_another_domain(storage: Dict[str, Any], order: int) -> None:
    domains = [
        domain({"name": "a", "state": "absent", **storage}),
        domain({"name": "a", **storage}, name="db"),
    ]
    gone, here = entries(*domains[::order])[::order]
    assert {"image", "loop"}.isdisjoint(gone)
    assert gone["vbd"] == {"domain": "web", "state": "absent", "target": here["vbd"]["target"]}
    assert here == entries(domains[1])[0]


def test_that_a_disk_that_stays_in_its_domain_is_not_detached() -> None:
    """Without a slot, an absent item empties all slots that have its target."""
    storage = {"path": "/srv/a", "size": 512}
    present = {"name": "new", "vdev": "xvdc", **storage}
    gone, _here = entries(domain({"name": "old", "state": "absent", **storage}, present))
    assert {"image", "loop"}.isdisjoint(gone)
    assert gone["vbd"]["vdev"] == gone["vdev"] == "xvda"
    gone, _here = entries(
        domain({"name": "old", "state": "absent", "vdev": "xvdb", **storage}, present)
    )
    assert gone["vbd"]["vdev"] == "xvdb"


@pytest.mark.parametrize(
    ("gone", "here"),
    [
        ({"path": "/srv/a"}, {"path": "/srv/a", "size": 512}),
        ({"path": "/srv/a"}, {"path": "/srv/a", "loop": False}),
        ({"target": "/dev/vg0/a"}, {"target": "/dev/vg0/a", "access": "ro"}),
        ({"path": "/srv/xen/web/here"}, {"path": "/srv/xen/web/here"}),
    ],
)
def test_that_a_disk_is_not_both_present_and_absent(
    gone: Dict[str, Any], here: Dict[str, Any]
) -> None:
    assert problems(
        domain(
            {"name": "here", "vdev": "xvdb", **here},
            {"name": "gone", "vdev": "51728", "state": "absent", **gone},
        )
    ) == [
        "domains[0] (web), disks[1] (gone): state is absent, but domains[0] (web), disks[0] (here) "
        "is the same disk in the same slot: omit one of them"
    ]


def test_that_what_two_absent_disks_share_is_removed_once() -> None:
    kept = {"name": "kept", "path": "/srv/xen/web/ours.raw", "state": "absent"}
    ours = {"name": "ours", "state": "absent"}
    for disks in ([kept, ours], [ours, kept]):
        found = disk_plan.select(entries(domain(*disks)))
        items = [
            planned[layer] for layer in ("image", "loop") for planned in found if layer in planned
        ]
        assert items == [{"path": "/srv/xen/web/ours.raw", "state": "absent"}] * 2  # fmt: skip
        assert [planned["name"] for planned in found if "image" in planned] == ["ours"]


# ---- contradictions ----

WEB, DB = "domains[0] (web)", "domains[1] (db)"
RO = {"access": "ro"}


def test_that_a_domain_is_unique() -> None:
    assert problems(domain({"name": "a"}), domain({"name": "a"}), domain(state="absent")) == [
        f"domains[1] (web): another domain has the same name, see {WEB}",
        f"domains[2] (web): another domain has the same name, see {WEB}",
    ]
    assert len(entries(domain({"name": "a"}), domain({"name": "a"}, name="Web"))) == 2


def test_that_a_config_is_of_one_domain() -> None:
    assert problems(domain(), domain(name="db", config_path="/etc/xen/web.cfg")) == [
        f"{DB}: config_path is also that of another domain, see {WEB}"
    ]
    assert problems(domain(config_path="/c"), domain(name="db", config_path="/c")) == [
        f"{DB}: config_path is also that of another domain, see {WEB}"
    ]


def test_that_a_disk_has_a_name_of_its_own() -> None:
    for second in ({}, {"path": "/srv/a"}, {"state": "absent"}, {"target": "/dev/sda"}):
        assert problems(domain({"name": "a"}, {"name": "a", **second})) == [
            f"{WEB}, disks[1] (a): the name is already used in this domain, see {WEB}, disks[0] (a)"
        ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *itertools.permutations(["xvda", "51712", 51712, "0xca00", "0xCA00", "d0p0"], 2),
        ("xvdq", "268439552"),
        ("d16p0", "xvdq"),
        ("xvdd8", "51768"),
        ("hda1", 769),
        ("xvdaa", "d26p0"),
    ],
)
def test_that_a_slot_holds_one_disk(one: object, other: object) -> None:
    found = problems(
        domain({"name": "a", "vdev": one}, {"name": "b"}, {"name": "c", "vdev": other})
    )
    assert found == [f"{WEB}, disks[2] (c): the slot is taken, see {WEB}, disks[0] (a)"]


def test_that_a_drive_moves_no_disk() -> None:
    disks = [{"name": "a"}, {"name": "b"}, {"name": "c"}]
    for place in range(4):
        with_drive = [*disks[:place], {"name": "cd", **CD}, *disks[place:]]
        found = {one["name"]: one["vdev"] for one in entries(domain(*with_drive))}
        assert found == {"a": "xvda", "b": "xvdb", "c": "xvdc", "cd": "hdc"}
    (found_twice,) = problems(domain({"name": "cd", **CD}, {"name": "cd2", **CD}))
    assert "the slot is taken" in found_twice


def test_that_slots_of_two_domains_have_nothing_to_do_with_each_other() -> None:
    boot = {"name": "boot", "vdev": "xvda"}
    assert len(entries(domain(boot), domain(boot, name="db"))) == 2


def test_that_near_slots_are_not_the_same() -> None:
    assert vdevs({"vdev": "xvda"}, {"vdev": 1 << 28}, {"vdev": "hda"}, {"vdev": "sda"}) == [
        *("xvda", "268435456", "hda", "sda")
    ]


STORAGES = [
    ({"path": "/srv/a"}, "/srv/a"),
    ({"path": "/srv/a", "loop": False}, "/srv/a"),
    ({"path": "/srv/a", "format": "qcow2"}, "/srv/a"),
    ({"target": "/dev/vg0/a"}, "/dev/vg0/a"),
    ({"target": "iqn=a", "script": "block-iscsi"}, "iqn=a"),
]


@pytest.mark.parametrize(("storage", "shown"), STORAGES)
@pytest.mark.parametrize(
    ("access", "other"), [({}, {}), (RO, {}), ({}, RO), ({"access": "rw"}, RO)]
)
def test_that_a_disk_that_is_written_is_not_shared(
    storage: Dict[str, Any], shown: str, access: Dict[str, Any], other: Dict[str, Any]
) -> None:
    assert problems(
        domain({"name": "a", **storage, **access}),
        domain({"name": "b", **storage, **other}, name="db"),
    ) == [
        f"{DB}, disks[0] (b): {shown} is also the disk of {WEB}, disks[0] (a): disks can share it "
        "only if all have access: ro"
    ]


@pytest.mark.parametrize(("storage", "shown"), STORAGES)
def test_that_a_disk_that_is_only_read_can_be_shared(storage: Dict[str, Any], shown: str) -> None:
    disk = {"name": "a", **storage, **RO}
    names = ("web", "db", "mail")
    assert len(entries(*(domain(disk, name=name) for name in names))) == 3
    assert problems(domain(disk, {**disk, "name": "b"})) == [
        f"{WEB}, disks[1] (b): {shown} is also the disk of {WEB}, disks[0] (a), in the same domain"
    ]


@pytest.mark.parametrize("medium", [{"path": "/srv/a"}, {"target": "/dev/vg0/a"}])
def test_that_a_medium_can_be_shared_with_all_that_only_read_it(medium: Dict[str, Any]) -> None:
    cds = [
        {"name": f"cd{i}", "vdev": vdev, **CD, **medium} for i, vdev in enumerate(["hdc", "hdd"])
    ]
    reader = {"name": "base", **medium, **RO, **({"size": "1M"} if "path" in medium else {})}
    domains = [domain(*cds), domain(cds[0], name="db"), domain(reader, name="mail")]
    for order in itertools.permutations(domains):
        assert len(entries(*order)) == 4
    assert len(entries(domain(*cds, reader))) == 3
    writer = {**reader, "access": "rw"}
    for order in ([domain(cds[0]), domain(writer, name="db")], [domain(writer, cds[0])]):
        (found,) = problems(*order)
        assert "is also the disk of" in found and "only if all have access: ro" in found


def test_that_two_readers_beside_a_medium_still_agree() -> None:
    medium = {"path": "/srv/a"}
    one, other = {"name": "a", "size": "1M", **medium, **RO}, {"name": "b", **medium, **RO}
    cd = {"name": "cd", **CD, **medium}
    (found,) = problems(domain(cd), domain(one, name="db"), domain(other, name="mail"))
    assert found.startswith("domains[2] (mail), disks[0] (b): /srv/a is also the disk of domains[1")


def test_that_empty_drives_share_nothing() -> None:
    cd = {"name": "cd", **CD}
    assert len(entries(domain(cd, {**cd, "name": "b", "vdev": "hdd"}), domain(cd, name="db"))) == 3


def test_that_the_default_image_of_a_disk_can_be_shared() -> None:
    web = {"name": "base", "size": "16MiB", **RO}
    db = {"name": "x", "path": "/srv/xen/web/base.raw", "size": 16777216, **RO}
    assert [planned["image"] for planned in entries(domain(web), domain(db, name="db"))] == [
        {"path": "/srv/xen/web/base.raw", "state": "present", "size": 16777216}
    ] * 2


@pytest.mark.parametrize(
    "other",
    [
        {"size": "16M"},
        {"size": "32M", "loop": False},
        {"size": "32M", "mode": "0600"},
        {"size": "32M", "direct_io": True},
        {"size": "32M", "sector_size": 512},
        {"format": "qcow2"},
        {},
    ],
)
def test_that_an_image_that_is_shared_is_described_once(other: Dict[str, Any]) -> None:
    shared = {"name": "a", "path": "/srv/a", **RO}
    assert problems(domain({**shared, "size": "32M"}), domain({**shared, **other}, name="db")) == [
        f"{DB}, disks[0] (a): /srv/a is also the disk of {WEB}, disks[0] (a), with different "
        "options for the image"
    ]


def test_that_absent_disks_share_anything() -> None:
    storage = {"path": "/srv/a", "size": 512, "vdev": "xvda"}
    gone = [{"name": name, "state": "absent", **storage} for name in "ab"]
    assert len(entries(domain(*gone), domain(*gone, name="db"))) == 4


def test_that_everything_wrong_is_reported_at_once() -> None:
    found = problems(
        domain({"name": "a", "vdev": "xvda"}, {"name": "b", "vdev": "51712", "size": "1GB"}),
        domain({"name": "a", "path": "/srv/xen/web/a.raw", "acces": "ro"}),
        {"name": 5},
        "x",
    )
    assert [problem.split(": ")[0] for problem in found] == [
        f"{WEB}, disks[1] (b)",
        "domains[1] (web), disks[0] (a)",
        "domains[2]",
        "domains[3]",
        "domains[1] (web)",
        f"{WEB}, disks[1] (b)",
    ]


# ---- warnings ----


@pytest.mark.parametrize(
    ("size", "shown"),
    [("1KiB", "1KiB"), (4608, "4608 bytes"), ("8193KiB", "8193KiB"), (512, "512 bytes")],
)
def test_that_a_tail_that_mirage_loses_is_reported(size: object, shown: str) -> None:
    plan = disk_plan.plan([domain({"name": "boot", "size": size})])
    assert plan.warnings == [
        f"{WEB}, disks[0] (boot): size {shown} is not a multiple of 4096 bytes: MirageOS on Xen "
        "does not see the rest"
    ]
    assert plan.entries == entries(domain({"name": "boot", "size": size}))
    assert disk_plan.plan([domain({"name": "boot", "size": size})], state="absent").warnings == []


@pytest.mark.parametrize("size", [4096, "4K", "16MiB", "1E"])
def test_that_a_whole_size_is_no_reason_to_warn(size: object) -> None:
    assert disk_plan.plan([domain({"name": "boot", "size": size})]).warnings == []


def test_that_two_slots_of_one_linux_name_are_warned_of() -> None:
    disks = named([{"vdev": "xvda"}, {"vdev": "268435456"}])
    (warning,) = disk_plan.plan([domain(*disks)]).warnings
    assert "Linux has the same name, xvda, for 268435456 and for xvda of disk0: " in warning


@pytest.mark.parametrize(
    ("slots", "name"),
    [
        (["xvda", "hda"], "xvda"),
        (["hda", "sda"], "xvda"),
        (["sdb1", "xvdb1"], "xvdb1"),
        (["hdc2", "hdc"], "xvdc"),
        (["hdb5", "51728"], "xvdb"),
    ],
)
def test_that_linux_has_one_name_for_disks_of_all_buses(slots: List[str], name: str) -> None:
    for config in ({}, {"config": {"type": "pvh"}}):
        disks = named([{"vdev": vdev} for vdev in slots])
        (warning,) = disk_plan.plan([domain(*disks, **config)]).warnings
        assert f"Linux has the same name, {name}, for {slots[1]} and for {slots[0]} of" in warning


def test_that_a_drive_is_no_vbd_of_linux() -> None:
    disks = [{"name": "a", "vdev": "xvdc"}, {"name": "cd", "vdev": "hdc", **CD}]
    assert disk_plan.plan([domain(*disks)]).warnings == []


@pytest.mark.parametrize(
    ("part", "whole", "name"),
    [
        ("51768", "xvdd", "xvdd8"),
        ("xvda1", "51712", "xvda1"),
        ("xvda16", "xvda", "xvda16"),
        ("xvdq1", "d16p0", "xvdq1"),
        ("sdc2", "sdc", "xvdc2"),
        ("sda1", "xvda", "xvda1"),
        ("xvda1", "hda", "xvda1"),
    ],
)
def test_that_a_partition_beside_its_disk_is_reported(part: str, whole: str, name: str) -> None:
    disks = [{"name": "part", "vdev": part}, {"name": "disk", "vdev": whole}]
    warning = (
        f"(part): {part} is {name}, a partition of {whole}, which is the whole disk disk: Linux "
        "may show only one"
    )
    for order in (disks, disks[::-1]):
        (found,) = disk_plan.plan([domain(*order)]).warnings
        assert found.endswith(warning)
    for gone in (0, 1):
        absent = [
            {**disk, "state": "absent"} if i == gone else disk for i, disk in enumerate(disks)
        ]
        assert disk_plan.plan([domain(*absent)]).warnings == []


@pytest.mark.parametrize(
    "slots", [("xvda1", "hdb"), ("xvda1", "xvdb"), ("xvda1", "xvda2"), (5, 6), ("sda1", "xvdb")]
)
def test_that_other_neighbours_are_no_reason_to_warn(slots: Any) -> None:
    disks = named([{"vdev": vdev} for vdev in slots])
    assert disk_plan.plan([domain(*disks)]).warnings == []
    apart = [domain(disk, name=f"d{disk['name']}") for disk in disks]
    assert disk_plan.plan(apart).warnings == []


# ---- the type of the guest ----

HVM = {"config": {"type": "hvm"}}
BASE = {"name": "base", "target": "/dev/vg0/base", **RO}


def test_that_the_disks_are_judged_by_the_type_in_the_config() -> None:
    disks = [{"name": "boot"}, BASE]
    assert problems(domain(*disks, **HVM), domain(name="db", config={"type": "HVM"})) == [
        f"{WEB}, disks[1] (base): QEMU emulates xvdb of an HVM guest as an IDE disk, which cannot "
        "be read-only: use a slot that is not emulated, such as xvde (for PV drivers), or a SCSI "
        "disk such as sda, or write access: rw, or devtype: cdrom for an ISO image",
        f"{DB}: config: type 'HVM' is none that xl knows: use hvm, pv, pvh",
    ]
    for config in ({}, {"config": {}}, {"config": {"type": "pvh"}}, {**HVM, "state": "absent"}):
        assert len(entries(domain(*disks, **config))) == 2
    gone = {**BASE, "state": "absent"}
    assert len(entries(domain({"name": "boot"}, gone, **HVM))) == 2


def test_that_a_unit_has_one_drive() -> None:
    disks = [{"name": "a", "state": "absent"}, {"name": "b"}, {"name": "c"}, {"name": "cd", **CD}]
    (found,) = problems(domain(*disks, **HVM))
    assert found.startswith(
        f"{WEB}, disks[3] (cd): hdc is the same drive as xvdc, IDE unit 2 of an"
    )
    assert len(entries(domain(*disks[:3], {**disks[3], "vdev": "hdd"}, **HVM))) == 4
    slot = {"vdev": "hda"}
    (found,) = problems(domain({"name": "a", **slot}, {"name": "b", **slot}, **HVM))
    assert "the slot is taken" in found


def test_that_only_an_hvm_guest_has_drives() -> None:
    cd = {"name": "cd", "path": "/srv/a.iso", **CD}
    assert problems(domain(cd, config={"type": "pvh"})) == [
        f"{WEB}, disks[0] (cd): a PVH guest has no CD drives, so devtype: cdrom does not apply: "
        "write access: ro in its place"
    ]


def test_that_the_plan_says_what_a_guest_will_not_see() -> None:
    disks = [{"name": "boot"}, {"name": "cd", "vdev": "xvdf", **CD}]
    (warning,) = disk_plan.plan([domain(*disks, **HVM)]).warnings
    assert warning.startswith("domain web, disk xvdf: an HVM guest cannot boot from this CD, and")
    assert disk_plan.plan([domain(*disks)]).warnings == []


# ---- queries ----


def select(query: str, *domains: object) -> Any:
    return disk_plan.select(entries(*domains or (EXAMPLE,)), query)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ('[?vbd.access==`"ro"`]', ["data"]),
        ("[?vbd.access=='ro']", ["data"]),
        ("[?image]", ["boot", "data", "old"]),
        ("[?!loop]", ["lun"]),
        ("[?loop.state=='absent']", ["base", "old"]),
        ("[?vbd.state=='present' && image.size > `16777216`]", ["data"]),
        ("[?starts_with(name, 'b')]", ["boot", "base"]),
        ("[?contains(`[51712, 51768]`, xenstore_key)]", ["boot", "lun"]),
        ("sort_by(@, &name)", ["base", "boot", "data", "lun", "old"]),
        ("[1:3]", ["data", "lun"]),
        ("[::-1] | [:1]", ["old"]),
        ("[?domain=='db']", []),
        ("@", [*EXAMPLE_ENTRIES]),
    ],
)
def test_that_a_query_keeps_what_it_selects(query: str, names: List[str]) -> None:
    assert select(query) == [EXAMPLE_ENTRIES[name] for name in names]


@pytest.mark.parametrize(
    ("query", "result"),
    [
        ("[].name", ["boot", "data", "lun", "base", "old"]),
        ("[*].image.size", [16777216, 2147483648]),
        ("[].[name, xenstore_key] | [0]", ["boot", 51712]),
        ("[0].{slot: vdev}", {"slot": "xvda"}),
        ("length(@)", 5),
        ("[?name=='boot'] | [0].vdev", "xvda"),
        ("nothing", None),
        ("[7]", None),
        # What looks like a layer and is none.
        ("[:2].{image: name}", [{"image": "boot"}, {"image": "data"}]),
        ("[:2].{image: {path: vbd}} | [].image.path.vdev", ["xvda", "xvdc"]),
        ("[:1].{image: {path: `null`}, loop: `null`}", [{"image": {"path": None}, "loop": None}]),
    ],
)
def test_that_a_query_can_select_anything(query: str, result: object) -> None:
    assert select(query) == result


@pytest.mark.parametrize(
    "query",
    [
        *("", "[", "[?", "nofunction(@)", "length(`1`)", "\ud800"),
        # Where the library lets Python's own errors through.
        *("[::0]", "[?name > `1`]", "merge(@[0], `1`)", "ceil(to_number('inf'))", "(" * 5000),
        "(" * 3000 + "@" + ")" * 3000,
    ],
)
def test_that_a_query_that_fails_is_an_error(query: str) -> None:
    with pytest.raises(DiskPlanError, match=r"^query ['\"]") as error:
        select(query, domain({"name": "boot", "size": 512}))
    assert len(str(error.value)) < 20_000


@pytest.mark.parametrize("query", [5, [], {}, b"@", True])
def test_that_a_query_is_text(query: Any) -> None:
    with pytest.raises(DiskPlanError, match="query must be a JMESPath expression, not "):
        disk_plan.select([], query)


class Tagged(str):
    """A text as Ansible hands it over."""

    __slots__ = ()


def test_that_a_query_understands_values_of_ansible() -> None:
    web = {"name": Tagged("web"), "disks": [{"name": Tagged("boot"), "path": Tagged("/srv/a")}]}
    assert select("[?starts_with(name, 'b') && contains(image.path, 'srv')].name", web) == ["boot"]


SHARED = {"path": "/srv/base.raw", "size": 512, **RO}
SHARING = [
    domain({"name": "base", **SHARED}, {"name": "own"}),
    domain({"name": "base", **SHARED}, name="db"),
    domain({"name": "base", **SHARED}, name="mail"),
]


def test_that_an_image_that_is_shared_is_passed_to_a_module_once() -> None:
    planned = entries(*SHARING)
    before = copy.deepcopy(planned)
    assert all("image" in one and "loop" in one for one in planned)
    selected = disk_plan.select(planned)
    assert planned == before
    assert ["image" in one for one in selected] == [True, True, False, False]
    assert ["loop" in one for one in selected] == [True, True, False, False]
    for one, whole in zip(selected, planned):
        assert one == {key: whole[key] for key in one}
        assert "vbd" in one
    assert disk_plan.select(selected) == selected


@pytest.mark.parametrize(
    ("query", "images"),
    [
        ("@", [True, True, False, False]),
        ("[?domain!='web']", [True, False]),
        ("[?domain=='db']", [True]),
        ("[?domain=='mail' || domain=='db']", [True, False]),
        ("[::-1]", [True, False, True, False]),
        ("[].{image: image, name: name}", [True, True, False, False]),
    ],
)
def test_that_the_first_that_is_selected_has_the_image(query: str, images: List[bool]) -> None:
    assert ["image" in one for one in select(query, *SHARING)] == images


def test_that_each_role_has_its_items_and_a_shared_image_once() -> None:
    planned = disk_plan.plan(
        [
            {"name": "web", "disks": [{"name": "a", "path": "/srv/a.raw", "access": "ro"}]},
            {
                "name": "db",
                "state": "absent",
                "disks": [{"name": "b"}, {"name": "lun", "target": "/dev/vg0/lun"}],
            },
            {"name": "app", "disks": [{"name": "a", "path": "/srv/a.raw", "access": "ro"}]},
        ]
    )
    items = disk_plan.by_role(planned)
    images = [("/srv/a.raw", "present"), ("/srv/xen/db/b.raw", "absent")]
    assert [(one["path"], one["state"]) for one in items["raw_disks"]] == images
    assert [(one["path"], one["state"]) for one in items["loopdevs"]] == images
    assert items["domain_config"] == planned.configs
    assert items["vbds"] == [entry["vbd"] for entry in planned.entries]


def test_that_a_new_image_has_the_slots_in_which_no_disk_may_change() -> None:
    planned = disk_plan.plan(
        [
            {"name": "web", "disks": [{"name": "a", "path": "/srv/a.raw", "access": "ro"}]},
            {
                "name": "app",
                "config_path": "/srv/app.cfg",
                "disks": [
                    {"name": "a", "path": "/srv/a.raw", "access": "ro", "vdev": "xvdc"},
                    {"name": "b", "allow_slot_change": True, "size": 4096},
                    {"name": "c", "state": "absent"},
                ],
            },
            {"name": "db", "allow_slot_change": True, "disks": [{"name": "d", "size": 4096}]},
        ]
    )
    slots = {item["path"]: item.get("slots") for item in disk_plan.by_role(planned)["raw_disks"]}
    assert slots == {
        "/srv/a.raw": [
            {"domain": "web", "vdev": "xvda", "config": "/etc/xen/web.cfg"},
            {"domain": "app", "vdev": "xvdc", "config": "/srv/app.cfg"},
        ],
        "/srv/xen/app/b.raw": None,
        "/srv/xen/app/c.raw": None,
        "/srv/xen/db/d.raw": None,
    }


def test_that_jmespath_is_needed_for_a_query_only() -> None:
    program = """
import sys
from ansible_collections.xen.blockdev.plugins.module_utils.inventory import disk_plan
entries = disk_plan.plan([{"name": "web", "disks": [{"name": "boot"}]}]).entries
assert disk_plan.select(entries) == entries
assert "jmespath" not in sys.modules
sys.modules["jmespath"] = None
try:
    disk_plan.select(entries, "@")
except disk_plan.DiskPlanError as error:
    print(error)
"""
    root = Path(module_utils.__path__[0]).parents[4]
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr == ""
    assert run.stdout == "query needs the Python package jmespath on the controller\n"


# ---- properties ----

WORDS = st.sampled_from(
    [
        *("name", "disks", "state", "config", "config_path", "path", "target", "vdev", "size"),
        *("format", "access", "loop", "script", "devtype", "mode", "sector_size"),
        *("template", "kernel", "memory", "networks", "block", "xenstore_id", "a", "a.img"),
        "kernel = '@KERNEL@'\ndisk = [ 'vdev=xvdb, target=@BLOCK:a.img@' ]\n",
        *("@SLOT:a@", "@NETWORK:a@"),
        *("web", "boot", "absent", "present", "/srv/a", "xvda", "51712", "16MiB", "qcow2", "ro"),
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.binary(max_size=3)
    | st.dates()
    | WORDS
)
VALUES_OF_YAML = st.recursive(
    SCALARS,
    lambda values: (
        st.lists(values, max_size=4)
        | st.tuples(values)
        | st.dictionaries(SCALARS, values, max_size=4)
        | st.dictionaries(WORDS, values, max_size=6)
    ),
    max_leaves=20,
)
# One level at a time, so that what is found below the first wrong value is reached as well.
ALMOST_DISKS = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b", "c"]) | SCALARS},
    optional=dict.fromkeys(
        (*VALUES, "path", "target", "format", "block", "xenstore_id"), VALUES_OF_YAML | WORDS
    ),
)
ALMOST_DOMAINS = st.fixed_dictionaries(
    {"name": st.sampled_from(["web", "db"]) | SCALARS},
    optional={
        "disks": st.lists(ALMOST_DISKS, max_size=4) | VALUES_OF_YAML,
        "state": VALUES_OF_YAML | WORDS,
        "config": st.dictionaries(WORDS | SCALARS, VALUES_OF_YAML, max_size=3) | VALUES_OF_YAML,
        "config_path": VALUES_OF_YAML | WORDS,
        "template": WORDS | VALUES_OF_YAML,
        "kernel": WORDS | SCALARS,
        "memory": SCALARS,
        "networks": st.dictionaries(WORDS | SCALARS, WORDS, max_size=2) | VALUES_OF_YAML,
    },
)


@given(
    VALUES_OF_YAML | st.lists(ALMOST_DOMAINS | VALUES_OF_YAML, max_size=3),
    st.just("/srv") | SCALARS,
    st.just("/etc") | SCALARS,
    st.none() | SCALARS,
)
def test_that_whatever_is_written_only_the_one_error_comes(
    domains: Any, images_dir: Any, config_dir: Any, state: Any
) -> None:
    try:
        plan = disk_plan.plan(domains, images_dir, config_dir, state)
        disk_plan.select(plan.entries, "[?name]")
    except DiskPlanError as error:
        assert str(error)


@given(st.text() | WORDS)
def test_that_whatever_is_asked_only_the_one_error_comes(query: str) -> None:
    try:
        select(query)
    except DiskPlanError as error:
        assert str(error)


def test_that_the_error_is_of_the_family() -> None:
    assert issubclass(DiskPlanError, BlockdevError)


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,5}[a-z]", fullmatch=True)
SLOTS = st.sampled_from(["xvda", "xvdb", 51744, "0xca30", "51768", "xvdq", "xvdaa", "d4p0"])
MORE_SLOTS = st.integers(0, 2**31 - 1) | st.sampled_from(
    ["hda", "hdc2", "sdb3", "xvda16", "xvdtq37"]
)
COMMON = {
    "vdev": SLOTS | MORE_SLOTS,
    "state": st.sampled_from(["present", "absent"]),
    "access": st.sampled_from(["ro", "rw"]),
    "backendtype": st.sampled_from(["phy", "qdisk"]),
    "discard": st.booleans(),
    "direct_io_safe": st.booleans(),
}
SIZES = st.integers(1, 2**40).map(lambda sectors: sectors * 512) | st.sampled_from(["16M", "2GiB"])
RAW_DISKS = {
    "size": SIZES,
    "allocation": st.sampled_from(["sparse", "full"]),
    "loop": st.booleans(),
    "mode": st.sampled_from(["0600", "0640"]),
}
KINDS = (
    st.sampled_from([{**CD}, {**CD, "path": "/srv/any.iso"}, {**CD, "vdev": "hdd"}])
    | st.fixed_dictionaries({}, optional={**COMMON, **RAW_DISKS})
    | st.fixed_dictionaries({"path": st.just("/srv/%s.raw")}, optional={**COMMON, **RAW_DISKS})
    | st.fixed_dictionaries({"target": st.just("/dev/vg0/%s, a=b")}, optional=COMMON)
    | st.fixed_dictionaries(
        {"path": st.just("/srv/%s.qcow2"), "format": st.sampled_from(["qcow2", "vhd", "qed"])},
        optional=COMMON,
    )
)


def _of_one_domain(names_and_kinds: List[Any], domain_name: str) -> List[Dict[str, Any]]:
    """Disks with images and targets of their own, less those whose slot is taken already."""
    taken = set()
    disks = []
    for name, kind in names_and_kinds:
        disk = {"name": name, **kind}
        for option in {"path", "target"} & {*disk}:
            disk[option] = disk[option].replace("%s", f"{domain_name}_{name}")
        vdev = disk.get("vdev", "hdc" if "devtype" in disk else None)
        key = None if vdev is None else device_number.parse(vdev).xenstore_key
        if key is None or key not in taken:
            disks.append(disk)
        taken.add(key)
    return disks


@st.composite
def inventories(draw: Any) -> Domains:
    names = draw(st.lists(NAMES, unique=True, max_size=3))
    domains = []
    for name in names:
        kinds = st.lists(st.tuples(NAMES, KINDS), unique_by=lambda pair: pair[0], max_size=6)
        states = st.sampled_from(["present", "present", "absent"])
        disks = _of_one_domain(draw(kinds), name)
        domains.append({"name": name, "state": draw(states), "disks": disks})
    return domains


@given(inventories())
def test_that_a_plan_has_one_entry_and_one_slot_for_each_disk(domains: Domains) -> None:
    before = copy.deepcopy(domains)
    plan = disk_plan.plan(domains)
    assert domains == before
    assert disk_plan.plan(domains) == plan
    written = [(one["name"], disk["name"]) for one in domains for disk in one["disks"]]
    assert [(planned["domain"], planned["name"]) for planned in plan.entries] == written
    slots = [(planned["domain"], planned["xenstore_key"]) for planned in plan.entries]
    assert len({*slots}) == len(slots)
    for planned in plan.entries:
        assert device_number.parse(planned["vdev"]).xenstore_key == planned["xenstore_key"]


@given(inventories())
def test_that_an_automatic_slot_is_a_disk_of_its_own(domains: Domains) -> None:
    plan = disk_plan.plan(domains)
    written = {
        (one["name"], disk["name"]): disk.get("vdev") for one in domains for disk in one["disks"]
    }
    for one in domains:
        mine = [planned for planned in plan.entries if planned["domain"] == one["name"]]
        drives = [planned for planned in mine if "devtype" in planned["vbd"]]
        mine = [planned for planned in mine if planned not in drives or planned["vdev"] != "hdc"]
        automatic = [planned for planned in mine if written[one["name"], planned["name"]] is None]
        others = [planned for planned in mine if planned not in automatic]
        touched = {device_number.parse(planned["vdev"]).disk for planned in others}
        numbers = [device_number.parse(planned["vdev"]).disk for planned in automatic]
        free = (number for number in itertools.count() if number not in touched)
        assert numbers == [*itertools.islice(free, len(numbers))]


@given(inventories())
def test_that_what_a_guest_gets_is_the_same_everywhere(domains: Domains) -> None:
    plan = disk_plan.plan(domains)
    for config, one in zip(plan.configs, domains):
        vbds = [planned["vbd"] for planned in plan.entries if planned["domain"] == one["name"]]
        present = [
            {key: value for key, value in vbd.items() if key not in ("domain", "state")}
            for vbd in vbds
            if vbd["state"] == "present"
        ]
        # A config that someone else wrote keeps what the user does not say.
        disks = [DiskSpec.of_options(disk) for disk in config.get("disks", [])]
        in_config = [
            {**({} if disk.is_cd else {"access": "rw"}), **disk.as_dict()} for disk in disks
        ]
        assert in_config == present
        assert config["state"] == one["state"]
        specs = [DiskSpec.of(disk).render() for disk in present]
        assert [DiskSpec.parse(spec).as_dict() for spec in specs] == present
        assert config_text.disk_specs(config_text.render(one["name"], {}, specs)) == specs


@given(inventories())
def test_that_the_modules_accept_every_plan(domains: Domains) -> None:
    plan = disk_plan.plan(domains)
    for layer in ("image", "loop", "vbd"):
        assert_accepted(layer, [planned[layer] for planned in plan.entries if layer in planned])


@given(inventories())
def test_that_marking_a_disk_absent_moves_no_other(domains: Domains) -> None:
    slots = [planned["xenstore_key"] for planned in disk_plan.plan(domains).entries]
    everything = disk_plan.plan(domains, state="absent")
    assert [planned["xenstore_key"] for planned in everything.entries] == slots
    assert {planned["vbd"]["state"] for planned in everything.entries} <= {"absent"}
    assert {config["state"] for config in everything.configs} <= {"absent"}
    assert everything.warnings == []


def test_that_a_format_is_passed_on_only_if_the_user_sets_it() -> None:
    said, unsaid = {"name": "a", "format": "raw"}, {"name": "b"}
    planned = disk_plan.plan([domain(said, unsaid)])
    disks = planned.configs[0]["disks"]
    for entry_, config_disk, formats in zip(planned.entries, disks, ({"raw"}, {None})):
        items = [entry_["image"], entry_["loop"], entry_["vbd"], config_disk]
        assert {one.get("format") for one in items} == formats
