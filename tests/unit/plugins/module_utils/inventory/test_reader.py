# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one domain and one disk may say, and what is said about everything else."""

from __future__ import annotations

import datetime
from typing import Any, Dict, List, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.inventory.reader import (
    InventoryReader,
    PlannedDisk,
)

DOMAIN = "domains[0] (web)"
DISK = f"{DOMAIN}, disks[0] (boot)"


def read(domains: object, state: Optional[str] = None) -> InventoryReader:
    reader = InventoryReader("/srv/xen", "/etc/xen", state)
    reader.domains(domains)
    return reader


def problems_of_domain(**options: object) -> List[str]:
    return read([{"name": "web", **options}]).problems


def problems_of_disk(**options: object) -> List[str]:
    return problems_of_domain(disks=[{"name": "boot", **options}])


def disk(**options: object) -> PlannedDisk:
    reader = InventoryReader("/srv/xen", "/etc/xen", None)
    domains = reader.domains([{"name": "web", "disks": [{"name": "boot", **options}]}])
    assert reader.problems == []
    return domains[0].disks[0]


# ---- names ----


@pytest.mark.parametrize(
    "name", ["a", "A", "0a", "a0", "1.10", "a.b_c-d", "Domain-1", "domain-0", "a" * 200]
)
def test_that_a_name_is_accepted(name: str) -> None:
    assert read([{"name": name, "disks": [{"name": name}]}]).problems == []


NAMES = {
    "": "'' is not a name: use letters, digits and . _ -, and begin with a letter or digit",
    ".a": "'.a' is not a name: ",
    "-a": "'-a' is not a name: ",
    "_a": "'_a' is not a name: ",
    "a/b": "'a/b' is not a name: ",
    "a b": "'a b' is not a name: ",
    "a\n": "'a\\n' is not a name: ",
    "ä": "'ä' is not a name: ",
    "a" * 10_000 + "/": "'aaaaa",
    "0": "'0' is a number, which xl would take for a domain ID: add a letter",
    "0710": "'0710' is a number",
    "²": "'²' is not a name: ",
    "Domain-0": "Domain-0 is dom0 itself",
    True: "must be text, not the truth value true: put it in quotes",
    1.1: "must be text, not the number 1.1: put it in quotes",
    456: "must be text, not the number 456: put it in quotes",
    (1 << 64) - 1: "must be text, not the number 18446744073709551615: put it in quotes",
    1 << 64: "must be text, not a value of type int: put it in quotes",
    datetime.date(2026, 1, 1): "must be text, not a value of type date: put it in quotes",
    b"a": "must be text, not a value of type bytes",
}


@pytest.mark.parametrize("name", NAMES)
def test_that_a_name_is_refused(name: object) -> None:
    domain, disk = read([{"name": name, "disks": [{"name": name}]}]).problems
    assert domain.startswith(f"domains[0]: name: {NAMES[name]}")
    assert disk.startswith(f"domains[0], disks[0]: name: {NAMES[name]}")
    assert len(disk) < 200


def test_that_a_number_too_long_to_be_written_out_is_reported() -> None:
    assert read([{"name": 1 << 100_000, "disks": 1 << 100_000}]).problems == [
        "domains[0]: name: must be text, not a value of type int: put it in quotes",
        "domains[0]: disks: must be a list, not a value of type int",
    ]
    assert len(problems_of_disk(size=1 << 100_000, vdev=1 << 100_000)) == 2


@pytest.mark.parametrize("name", [[], {}, [["web"]]])
def test_that_a_name_is_not_a_collection(name: object) -> None:
    kind = "a dictionary" if isinstance(name, dict) else "a list"
    assert read([{"name": name}]).problems == [f"domains[0]: name: must be text, not {kind}"]


@pytest.mark.parametrize("written", [{}, {"name": None}])
def test_that_there_must_be_a_name(written: Dict[str, object]) -> None:
    assert read([{**written, "disks": [written]}]).problems == [
        "domains[0]: name is missing",
        "domains[0], disks[0]: name is missing",
    ]


# ---- types ----

TEXTS = (
    *("path", "target", "source", "owner", "group", "mode"),
    *("seuser", "serole", "setype", "selevel", "script", "label", "backend"),
)
FLAGS = (
    *("loop", "preserve", "shrink", "volatile", "direct_io", "discard", "direct_io_safe"),
    "trusted",
)
CHOICES = {
    "state": "present or absent",
    "allocation": "sparse or full",
    "filesystem": "ext2, ext3, ext4, vfat, xfs, swap, iso9660 or tar",
    "fat_sector_size": "512 or 4096",
    "source_format": "raw, qcow2, vhd, vhdx, vmdk, vdi or qed",
    "format": "raw, qcow, qcow2, vhd, qed or empty",
    "access": "ro, rw, r or w",
    "backendtype": "phy, tap, qdisk or standalone",
    "devtype": "disk or cdrom",
    "specification": "xen or virtio",
    "sector_size": "512, 1024, 2048 or 4096",
}
# As YAML reads them, and how an error shows them.
WRITTEN: Dict[str, Any] = {
    "the truth value true": True,  # on
    "the number 1.1": 1.10,
    "the number nan": float("nan"),
    "the number 456": 0o710,  # 0710
    "a list": ["x"],
    "a dictionary": {"x": "y"},
    "a value of type date": datetime.date(2026, 1, 1),
    "a value of type tuple": ("x",),
    "a value of type int": 1 << 65,
    "'yes'": "yes",
}
COLLECTIONS = ("a list", "a dictionary")


@pytest.mark.parametrize("shown", [shown for shown in WRITTEN if shown != "'yes'"])
@pytest.mark.parametrize("option", TEXTS)
def test_that_a_text_is_not_guessed(option: str, shown: str) -> None:
    hint = "" if shown in COLLECTIONS else ": put it in quotes"
    assert problems_of_disk(**{option: WRITTEN[shown]}) == [
        f"{DISK}: {option}: must be text, not {shown}{hint}"
    ]


@pytest.mark.parametrize("shown", [shown for shown in WRITTEN if shown != "the truth value true"])
@pytest.mark.parametrize("option", FLAGS)
def test_that_a_truth_value_is_not_guessed(option: str, shown: str) -> None:
    assert problems_of_disk(**{option: WRITTEN[shown]}) == [
        f"{DISK}: {option}: must be true or false, not {shown}"
    ]


@pytest.mark.parametrize("shown", WRITTEN)
@pytest.mark.parametrize("option", CHOICES)
def test_that_a_choice_is_not_guessed(option: str, shown: str) -> None:
    assert problems_of_disk(**{option: WRITTEN[shown]}) == [
        f"{DISK}: {option}: must be {CHOICES[option]}, not {shown}"
    ]


@pytest.mark.parametrize("value", ["512", 512.0, True, 513, 0])
def test_that_a_sector_size_is_one_of_the_numbers(value: object) -> None:
    (problem,) = problems_of_disk(sector_size=value)
    assert problem.startswith(f"{DISK}: sector_size: must be 512, 1024, 2048 or 4096, not ")


@pytest.mark.parametrize("value", [True, 1.10, ["xvda"], {}, datetime.date(2026, 1, 1)])
def test_that_sizes_and_slots_are_not_guessed(value: object) -> None:
    size, vdev = problems_of_disk(size=value, vdev=value)[::-1]
    assert size.startswith(f"{DISK}: size: a size must be a string or an integer, not ")
    assert vdev.startswith(f"{DISK}: vdev: a device number is text or a whole number, not ")


@pytest.mark.parametrize(
    ("value", "kind"), [("x", "'x'"), ({}, "a dictionary"), (("x",), "a value of type tuple")]
)
def test_that_lists_are_lists(value: object, kind: str) -> None:
    assert read(value).problems == [f"domains: must be a list, not {kind}"]
    assert problems_of_domain(disks=value) == [f"{DOMAIN}: disks: must be a list, not {kind}"]


@pytest.mark.parametrize(
    ("value", "kind"), [("web", "'web'"), (None, "null"), ([], "a list"), (5, "the number 5")]
)
def test_that_domains_and_disks_are_dictionaries(value: object, kind: str) -> None:
    assert read([value]).problems == [f"domains[0]: must be a dictionary, not {kind}"]
    assert problems_of_domain(disks=[value]) == [
        f"{DOMAIN}, disks[0]: must be a dictionary, not {kind}"
    ]


def test_that_there_may_be_nothing() -> None:
    assert read([]).problems == []
    assert read(None).problems == ["domains: must be a list, not null"]
    assert problems_of_domain(disks=[]) == problems_of_domain(disks=None) == []


def test_that_null_is_as_omitted() -> None:
    options = (*TEXTS, *FLAGS, *CHOICES, "size", "vdev")
    assert disk(**dict.fromkeys(options)) == disk()


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("acess", "'acess' is not an option: did you mean access?"),
        ("Size", "'Size' is not an option: did you mean size?"),
        ("direct-io", "'direct-io' is not an option: did you mean direct_io?"),
        (
            "zzz",
            "'zzz' is not an option: choose from name, state, path, target, vdev, loop, size, ",
        ),
        ("", "'' is not an option: choose from name, "),
        (True, "the truth value true is not an option: choose from name, "),
        (1, "the number 1 is not an option: choose from name, "),
        (None, "null is not an option: choose from name, "),
        (("a", 1), "a value of type tuple is not an option: choose from name, "),
        ("disks", "'disks' is not an option: "),
    ],
)
@pytest.mark.parametrize("value", [None, "x"])
def test_that_an_unknown_option_is_refused(option: Any, hint: str, value: object) -> None:
    (problem,) = read([{"name": "web", "disks": [{"name": "boot", option: value}]}]).problems
    assert problem.startswith(f"{DISK}: {hint}")


def test_that_an_unknown_option_of_a_domain_is_refused() -> None:
    assert problems_of_domain(disk=[]) == [
        f"{DOMAIN}: 'disk' is not an option: did you mean disks?"
    ]
    assert problems_of_domain(vcpus=1) == [
        f"{DOMAIN}: 'vcpus' is not an option: choose from name, state, disks, config, config_path, "
        "autostart, allow_slot_change, unlisted_disks, overwrite, template, kernel, memory, "
        "networks"
    ]


# ---- the domain ----


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ("type=pvh", "must be a dictionary, not 'type=pvh'"),
        ([], "must be a dictionary, not a list"),
        ({"memory": 1.5}, "option memory: a value of type float cannot be written"),
        ({"Kernel": "/k"}, "'Kernel' is not the name of an xl option"),
        ({1: "/k"}, "the name of an option must be a string"),
        ({"name": "db"}, "name does not belong in the options"),
        ({"disk": []}, "disk does not belong in the options"),
        ({"extra": "a\0"}, "option extra: 'a\\x00' has a NUL character"),
    ],
)
def test_that_a_config_can_be_written(config: object, problem: str) -> None:
    (found,) = problems_of_domain(config=config)
    assert found.startswith(f"{DOMAIN}: config: {problem}")


def test_that_the_options_of_a_domain_are_read() -> None:
    assert problems_of_domain(
        config={"type": "pvh", "memory": 128, "vif": ["bridge=br0"]},
        config_path="/etc/xen/other.cfg",
        allow_slot_change=True,
        autostart=True,
        state="present",
    ) == problems_of_domain(
        config={}, allow_slot_change=False, autostart=False, state="absent"
    ) == []  # fmt: skip
    assert problems_of_domain(allow_slot_change=1, state="off", autostart="yes") == [
        f"{DOMAIN}: state: must be present or absent, not 'off'",
        f"{DOMAIN}: autostart: must be true or false, not 'yes'",
        f"{DOMAIN}: allow_slot_change: must be true or false, not the number 1",
    ]


def test_that_directories_and_state_are_checked_once() -> None:
    reader = InventoryReader("srv", 5, "Absent")
    domains = reader.domains([{"name": "web", "disks": [{"name": "a"}, {"name": "b"}]}])
    assert [domain.name for domain in domains] == ["web"]
    assert reader.problems == [
        "images_dir: 'srv' is not absolute",
        "config_dir: must be text, not the number 5: put it in quotes",
        "state: must be present or absent, not 'Absent'",
    ]


@pytest.mark.parametrize(
    ("images_dir", "path"),
    [("/", "/web/boot.raw"), ("/srv", "/srv/web/boot.raw"), ("/srv/", "/srv/web/boot.raw")],
)
def test_that_directories_may_end_in_a_slash(images_dir: str, path: str) -> None:
    reader = InventoryReader(images_dir, images_dir, None)
    (domain,) = reader.domains([{"name": "web", "disks": [{"name": "boot"}]}])
    assert reader.problems == []
    assert domain.disks[0].path == path
    assert domain.config_path == path.replace("/boot.raw", ".cfg")


# ---- paths ----

PATHS = {
    "a.raw": "'a.raw' is not absolute",
    "": "'' is not absolute",
    "~/a.raw": "'~/a.raw' is not absolute",
    "//a.raw": "'//a.raw' is not normalized: use '/a.raw'",
    "/srv//a.raw": "'/srv//a.raw' is not normalized: use '/srv/a.raw'",
    "/srv/./a.raw": "'/srv/./a.raw' is not normalized: use '/srv/a.raw'",
    "/srv/../a.raw": "'/srv/../a.raw' is not normalized: use '/a.raw'",
    "/../a.raw": "'/../a.raw' is not normalized: use '/a.raw'",
    "/srv/a.raw/": "'/srv/a.raw/' is not normalized: use '/srv/a.raw'",
    "/srv/a.raw/.": "'/srv/a.raw/.' is not normalized: use '/srv/a.raw'",
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("absent", ["present", "absent"])
@pytest.mark.parametrize("option", ["path", "target"])
def test_that_a_path_has_one_spelling(option: str, path: str, absent: str) -> None:
    (problem,) = problems_of_disk(**{option: path, "state": absent})
    assert problem.startswith(f"{DISK}: {option}: {PATHS[path]}")


@pytest.mark.parametrize("path", PATHS)
def test_that_the_path_of_a_config_has_one_spelling(path: str) -> None:
    (problem,) = problems_of_domain(config_path=path)
    assert problem.startswith(f"{DOMAIN}: config_path: {PATHS[path]}")


def test_that_no_path_has_a_nul() -> None:
    assert problems_of_disk(path="/a\0") == [f"{DISK}: path: '/a\\x00' contains a NUL character"]


@pytest.mark.parametrize("path", ["/a b.raw", "/a,b", "/a=b", "/ä.raw", "/a\n", "/a\\b", "/a$b"])
def test_that_a_path_with_a_link_is_plain(path: str) -> None:
    (problem,) = problems_of_disk(path=path)
    assert problem.startswith(f"{DISK}: path {path!r} cannot be part of the name of a link in /dev")
    assert problem.endswith("use only letters, digits and . _ - /, or set loop: false")


@pytest.mark.parametrize("path", ["/a b.raw", "/a,b", "/a=b", "/ä.raw", "/a\\b", "/a'b"])
def test_that_a_path_without_a_link_may_be_odd(path: str) -> None:
    assert disk(path=path, loop=False).target == path
    assert disk(path=path, format="qcow2").target == path
    assert disk(target=path).target == path


def test_that_a_path_means_the_same_to_ansible_and_xl() -> None:
    assert problems_of_disk(path="/$HOME/a", loop=False) == [
        f"{DISK}: path '/$HOME/a' contains $, which Ansible would expand as a variable"
    ]
    assert disk(path="/$HOME/a", format="qcow2").target == "/$HOME/a"


@pytest.mark.parametrize("path", ["/dev/vg0/web", "/proc/a", "/sys/a/b"])
def test_that_no_image_is_made_where_the_kernel_makes_things(path: str) -> None:
    assert problems_of_disk(path=path) == [
        f"{DISK}: path {path!r}: images cannot be below /{path.split('/')[1]}; if this is a "
        "block device, create or activate it first, and use it as the disk's target"
    ]
    assert disk(path=path, state="absent").path == path
    assert disk(path=path, format="qcow2").path == path


@pytest.mark.parametrize("path", ["/dev/shm/a", "/run/a", "/devices/a", "/srv/dev/a"])
def test_that_an_image_may_be_elsewhere(path: str) -> None:
    assert disk(path=path).path == path


@pytest.mark.parametrize("options", [{"loop": False}, {"format": "qcow2"}])
def test_that_xl_can_express_the_path(options: Dict[str, Any]) -> None:
    (problem,) = problems_of_disk(path="/a\nb", **options)
    assert problem == f"{DISK}: target cannot contain '\\n': '/a\\nb'"


# ---- what goes together ----

RAW_ONLY = "only raw images and logical volumes are created and changed"
IMAGE_VALUES = {
    "size": 512,
    "source": "/s",
    "source_format": "qcow2",
    "filesystem": "vfat",
    "label": "DATA",
    "fat_sector_size": 4096,
    "preserve": True,
    "allocation": "full",
    "shrink": True,
    "volatile": True,
    "owner": "root",
    "group": "root",
    "mode": "0600",
    "seuser": "u",
    "serole": "r",
    "setype": "t",
    "selevel": "s0",
}
LOOP_VALUES = {"direct_io": True, "sector_size": 512}
VOLUME_VALUES = {"volume": "a", "thin_pool": "p", "stripes": 2, "tags": ["xen"], "wipe": False}


@pytest.mark.parametrize("option", IMAGE_VALUES)
def test_that_an_option_of_the_image_needs_a_raw_one(option: str) -> None:
    value = {option: IMAGE_VALUES[option]}
    problem = [f"{DISK}: {option} does not apply: {RAW_ONLY}"]
    assert problems_of_disk(**value) == []
    assert problems_of_disk(loop=False, **value) == []
    assert problems_of_disk(target="/dev/vg0/web", **value) == problem
    assert problems_of_disk(path="/a.qcow2", format="qcow2", **value) == problem


@pytest.mark.parametrize("option", LOOP_VALUES)
def test_that_an_option_of_the_loop_device_needs_one(option: str) -> None:
    value = {option: LOOP_VALUES[option]}
    problem = [f"{DISK}: {option} does not apply: the image gets no loop device"]
    assert problems_of_disk(**value) == []
    assert problems_of_disk(loop=False, **value) == problem
    assert problems_of_disk(target="/dev/vg0/web", **value) == problem
    assert problems_of_disk(path="/a.vhd", format="vhd", **value) == problem


@pytest.mark.parametrize("options", [{"target": "/dev/vg0/web"}, {"path": "/a", "format": "qed"}])
def test_that_a_loop_device_needs_a_raw_image(options: Dict[str, Any]) -> None:
    assert problems_of_disk(loop=False, **options) == []
    assert problems_of_disk(loop=True, **options) == [
        f"{DISK}: loop: true needs a raw image: a loop device does not convert other formats"
    ]


@pytest.mark.parametrize("format_", ["qcow2", "vhd", "qed"])
def test_that_another_format_needs_a_path(format_: str) -> None:
    assert problems_of_disk(format=format_) == [
        f"{DISK}: format {format_} needs path: such an image is not created"
    ]
    assert disk(format=format_, target="/dev/vg0/web").spec.format == format_


def test_that_a_disk_has_a_path_or_a_target() -> None:
    assert problems_of_disk(path="/a", target="/dev/sda") == [
        f"{DISK}: path does not apply: target is a block device that exists already"
    ]


def test_that_a_link_of_ours_is_no_target() -> None:
    assert problems_of_disk(target="/dev/disk/by-loop-file/srv/a.raw") == [
        f"{DISK}: target '/dev/disk/by-loop-file/srv/a.raw' is the link of a loop device: "
        "use path: /srv/a.raw"
    ]


def test_that_a_script_may_take_any_target() -> None:
    target = "iqn=iqn.2001-05.com.example:web,portal=192.0.2.7:3260"
    assert disk(target=target, script="block-iscsi").spec.target == target
    (problem,) = problems_of_disk(target=target)
    assert problem.startswith(f"{DISK}: target: {target!r} is not absolute")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"target": "phy:/dev/vg/a"}, "target: 'phy:/dev/vg/a' has a prefix, which xl reads on"),
        ({"target": "tap:qcow2:/a"}, "target: 'tap:qcow2:/a' has a prefix"),
        (
            {"target": "vg0/a"},
            "target: 'vg0/a' is not absolute: use a full path, such as /dev/v",
        ),
        ({"target": "rbd:a/b"}, "target: 'rbd:a/b' is for QEMU: write backendtype: qdisk"),
        ({"backend": "phy"}, "backend: backend is the domain that serves the disk, and 'phy'"),
    ],
)
@pytest.mark.parametrize("state", ["present", "absent"])
def test_that_a_target_is_judged_as_the_modules_do(
    options: Dict[str, Any], problem: str, state: str
) -> None:
    (found,) = problems_of_disk(**options, state=state)
    assert found.startswith(f"{DISK}: {problem}")


@pytest.mark.parametrize(
    "options",
    [
        {"target": "vg0/a", "backend": "storage"},
        {"target": "//a", "script": "s"},
        {"target": "rbd:pool/a", "backendtype": "qdisk"},
    ],
)
def test_that_others_may_make_sense_of_a_target(options: Dict[str, Any]) -> None:
    assert disk(**options).spec.target == options["target"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"vdev": "/dev/xvda"}, "vdev: xl does not take '/dev/xvda': write xvda"),
        ({"script": "a,b"}, "script cannot contain ','"),
        ({"script": ""}, "script is empty: leave it out"),
        ({"script": "s", "target": "a\nb"}, "target cannot contain '\\n'"),
        ({"script": "s", "target": ""}, "target is empty"),
        ({"script": "s", "target": "\ud800"}, "target cannot be encoded as UTF-8"),
        ({"devtype": "cdrom", "access": "rw"}, "xl makes a cdrom read-only"),
    ],
)
def test_that_xl_can_express_the_disk(options: Dict[str, Any], problem: str) -> None:
    (found,) = problems_of_disk(**options)
    assert found.startswith(f"{DISK}: {problem}")


@pytest.mark.parametrize(
    ("vdev", "problem"),
    [
        ("", "'' is empty"),
        ("xvd", "'xvd' lacks the letter of its disk"),
        ("0710", "'0710' has a leading zero, which xl reads as octal"),
        (-1, "-1 is out of range"),
        (2**31, "2147483648 is out of range"),
        ("sdq", "'sdq' is out of range"),
    ],
)
def test_that_a_slot_is_one(vdev: object, problem: str) -> None:
    (found,) = problems_of_disk(vdev=vdev)
    assert found.startswith(f"{DISK}: vdev: {problem}")


@pytest.mark.parametrize(
    ("size", "problem"),
    [
        ("16MB", "'16MB' is not a size: the unit is decimal (did you mean 16MiB?)"),
        (0, "0 is not a size: it must be greater than zero"),
        (1000, "1000 is not a multiple of 512 bytes (a sector): use 512 or 1024"),
        ("8E", "'8E' is too large"),
    ],
)
def test_that_a_size_is_one(size: object, problem: str) -> None:
    (found,) = problems_of_disk(size=size)
    assert found.startswith(f"{DISK}: size: {problem}")


# ---- logical volumes ----

GROUP = {"volume_group": "vg0"}
CONTENT = ("size", "source", "source_format", "filesystem", "label", "fat_sector_size")


def test_that_a_volume_is_named_after_its_disk() -> None:
    assert disk(**GROUP).target == f"/dev/vg0/{disk().domain}-{disk().name}"
    assert disk(**GROUP, volume="a").target == "/dev/vg0/a"
    assert disk(**GROUP).path is None
    assert not (disk(**GROUP).image or disk(**GROUP).loop or disk(**GROUP).may_have_loop)


@pytest.mark.parametrize("option", IMAGE_VALUES)
def test_that_a_volume_has_the_options_of_its_content(option: str) -> None:
    found = problems_of_disk(**GROUP, volume="a", **{option: IMAGE_VALUES[option]})
    why = "does not apply: the disk is the logical volume /dev/vg0/a"
    is_content = option in (*CONTENT, "preserve", "shrink")
    assert found == ([] if is_content else [f"{DISK}: {option} {why}"])


@pytest.mark.parametrize("option", VOLUME_VALUES)
def test_that_an_option_of_a_volume_needs_a_group(option: str) -> None:
    value = {option: VOLUME_VALUES[option]}
    assert problems_of_disk(**GROUP, **value) == []
    for storage in ({}, {"target": "/dev/vg0/a"}, {"path": "/a.raw"}):
        assert problems_of_disk(**storage, **value) == [
            f"{DISK}: {option} does not apply: the disk is no logical volume without volume_group"
        ]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"target": "/dev/vg0/a"}, "target does not apply: the disk is the logical volume /dev/v"),
        ({"path": "/srv/a.raw"}, "path does not apply: the disk is the logical volume /dev/vg0/"),
        ({"format": "qcow2"}, "format qcow2 does not apply: the disk is the logical volume /dev"),
        ({"direct_io": True}, "direct_io does not apply: the image gets no loop device"),
        ({"loop": True}, "loop: true needs a raw image"),
        ({"backend": "storage"}, "domain storage serves this disk, but logical volumes are crea"),
        ({"volume": "snapshot1"}, "volume 'snapshot1' is reserved"),
        ({"volume": "a/b"}, "volume 'a/b' is not a name"),
        ({"thin_pool": "p_tdata"}, "thin_pool 'p_tdata' is reserved"),
        ({"volume_group": "vg 0"}, "volume_group: volume_group 'vg 0' is not a name"),
        ({"tags": ["a b"]}, "tags: tag 'a b' is not possible"),
        ({"tags": "a"}, "tags: must be a list, not 'a'"),
        ({"stripes": 0}, "stripes: must be a positive whole number, not the number 0"),
        ({"stripes": True}, "stripes: must be a positive whole number, not the truth"),
    ],
)
def test_that_a_volume_is_one(options: Dict[str, Any], problem: str) -> None:
    found = problems_of_disk(**{**GROUP, **options})
    assert found[0].startswith(f"{DISK}: {problem}")


def test_that_a_drive_is_no_volume() -> None:
    (found,) = problems_of_disk(devtype="cdrom", **GROUP)
    assert found.startswith(f"{DISK}: volume_group does not apply: the medium of a CD drive")


# ---- CD drives ----

CD = {"devtype": "cdrom"}
MEDIA: List[Dict[str, Any]] = [{}, {"path": "/srv/a.iso"}, {"target": "/dev/sr0"}]


@pytest.mark.parametrize("medium", MEDIA)
@pytest.mark.parametrize("state", ["present", "absent"])
def test_that_nobody_makes_a_medium(medium: Dict[str, Any], state: str) -> None:
    drive = {**CD, **medium, "state": state}
    assert problems_of_disk(**drive, loop=False) == []
    for option, value in IMAGE_VALUES.items():
        assert problems_of_disk(**drive, **{option: value}) == [
            f"{DISK}: {option} does not apply: the medium of a CD drive is used as it is, never "
            "made"
        ]
    by_qemu = "does not apply: QEMU opens the medium of a CD drive itself"
    for option, value in LOOP_VALUES.items():
        assert problems_of_disk(**drive, **{option: value}) == [f"{DISK}: {option} {by_qemu}"]
    assert problems_of_disk(**drive, loop=True) == [f"{DISK}: loop: true {by_qemu}"]
    assert problems_of_disk(**drive, wait_for="offered") == [
        f"{DISK}: wait_for does not apply: a guest does not connect to the medium of a CD drive"
    ]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"path": "a.iso"}, "path: 'a.iso' is not absolute"),
        ({"target": "a.iso"}, "target: 'a.iso' is not absolute"),
        ({"target": "phy:/dev/sr0"}, "target: 'phy:/dev/sr0' has a prefix"),
        ({"path": "/a", "target": "/dev/sr0"}, "path does not apply: target is a block device"),
        ({"path": "/a", "format": "empty"}, "format: empty is for a drive without a medium, but"),
        ({"target": "/a", "format": "empty"}, "format: empty is for a drive without a medium, but"),
        ({"path": "/a", "backend": "storage"}, "domain storage serves this disk, but images are"),
        (
            {"target": "/dev/disk/by-loop-file/srv/a"},
            "target '/dev/disk/by-loop-file/srv/a' is the",
        ),
        ({"path": "/a\nb"}, "target cannot contain"),
    ],
)
def test_that_a_medium_is_a_file_or_a_block_device(options: Dict[str, Any], problem: str) -> None:
    (found,) = problems_of_disk(**CD, **options)
    assert found.startswith(f"{DISK}: {problem}")


@pytest.mark.parametrize("options", [{}, {"path": "/a"}, {"target": "/a"}, {"devtype": "disk"}])
def test_that_only_a_drive_is_empty(options: Dict[str, Any]) -> None:
    assert problems_of_disk(format="empty", **options) == [
        f"{DISK}: format: empty is for a CD drive only (devtype: cdrom)"
    ]


# ---- what a disk is ----


def test_that_a_cdrom_is_read_only() -> None:
    assert disk(devtype="cdrom").access == disk(devtype="cdrom").spec.access == "ro"
    assert disk(devtype="disk").access == disk().access == "rw"


def test_that_what_xl_has_no_word_for_is_left_to_it() -> None:
    assert "direct_io_safe" not in disk(direct_io_safe=False).spec.as_dict()
    assert disk(direct_io_safe=True).spec.direct_io_safe is True
    assert disk(discard=False).spec.discard is False


@pytest.mark.parametrize(
    ("options", "ours"),
    [
        ({}, True),
        ({"loop": False}, True),
        ({"path": "/a"}, False),
        ({"path": "/a", "owner": "root"}, False),
        ({"path": "/a", "size": 512}, True),
        ({"path": "/a", "source": "/s"}, True),
        ({"path": "/a", "format": "qcow2"}, False),
        ({"target": "/dev/vg0/web"}, False),
        ({"volume_group": "vg0"}, True),
        ({"volume_group": "vg0", "volume": "a"}, False),
        ({"volume_group": "vg0", "volume": "a", "size": 512}, True),
        ({"volume_group": "vg0", "volume": "a", "source": "/s"}, True),
    ],
)
def test_that_an_image_or_volume_is_ours_if_we_would_create_it(
    options: Dict[str, Any], ours: bool
) -> None:
    assert disk(**options).ours is ours


def test_that_all_problems_are_reported_each_with_its_place() -> None:
    reader = InventoryReader("srv", "/etc/xen", None)
    reader.domains(
        [
            {"name": "web", "state": "on", "disks": ["boot", {"name": "data", "size": "1GB"}]},
            None,
            {"disks": [{"name": "a", "vdev": "xvd", "mode": 0o600, "path": "a", "lop": 1}]},
            {"name": "db", "disks": [{"name": "lun", "target": "lun", "size": 512}]},
        ]
    )
    assert [problem.split(": ")[:2] for problem in reader.problems] == [
        ["images_dir", "'srv' is not absolute"],
        ["domains[0] (web)", "state"],
        ["domains[0] (web), disks[0]", "must be a dictionary, not 'boot'"],
        ["domains[0] (web), disks[1] (data)", "size"],
        ["domains[1]", "must be a dictionary, not null"],
        ["domains[2]", "name is missing"],
        ["domains[2], disks[0] (a)", "'lop' is not an option"],
        ["domains[2], disks[0] (a)", "vdev"],
        ["domains[2], disks[0] (a)", "mode"],
        ["domains[2], disks[0] (a)", "path"],
        ["domains[3] (db), disks[0] (lun)", "target"],
        ["domains[3] (db), disks[0] (lun)", "size does not apply"],
    ]
    assert not any("\n" in problem for problem in reader.problems)


@pytest.mark.parametrize("name", ["a" * 201, "a" * 5000])
def test_that_a_name_is_no_longer_than_a_file_name(name: str) -> None:
    reader = InventoryReader("/srv/xen", "/etc/xen", None)
    reader.domains([{"name": name, "disks": []}])
    assert len(reader.problems) == 1
    assert "is longer than 200 characters" in reader.problems[0]


@pytest.mark.parametrize("path", ["/etc/$HOME/web.cfg", "/$x"])
def test_that_no_path_is_expanded(path: str) -> None:
    reader = InventoryReader(path, path, None)
    disk = {"name": "a", "source": path}
    reader.domains([{"name": "web", "config_path": path, "disks": [disk]}])
    expanded = [one for one in reader.problems if "which Ansible would expand" in one]
    assert len(expanded) == 4
