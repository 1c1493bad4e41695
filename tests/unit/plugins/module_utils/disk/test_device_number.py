# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Device numbers against what libxl answers, and every range in full."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Callable, List, Optional, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk.device_number import (
    DeviceNumber,
    DeviceNumberError,
    from_disk_number,
    from_xenstore_key,
    parse,
)
from ansible_collections.xen.blockdev.tests.exhaustive import EXHAUSTIVE
from hypothesis import given
from hypothesis import strategies as st

RECORDED = Path(__file__).parents[3] / "data" / "libxl-vdev-sample.csv"
SLOTS_PAGE = Path(device_number.__file__).parents[3] / "docs/docsite/rst/guide_slots.rst"

# What libxl reads and we refuse, by the reason, as a pattern found in such texts only.
REFUSED_ON_PURPOSE = {
    "white space": re.compile(r"\s"),
    "a sign": re.compile(r"[-+]"),
    "octal": re.compile(r"(^|d|p)0[0-9]"),
    "a hexadecimal number within a name": re.compile(r"(d|p)0[xX]"),
    "a large X": re.compile(r"^0X"),
    "more than 32 bits": re.compile(r"p[0-9]{10}"),
}


@pytest.mark.parametrize(
    ("vdev", "name"),
    [
        ("xvda", "xvda"),
        ("xvda1", "xvda1"),
        ("xvdq17", "xvdq17"),
        ("268435456", "xvda"),
        ("hda", "xvda"),
        ("hdd", "xvdd"),
        ("hdc2", "xvdc"),
        ("sda", "xvda"),
        ("sdp15", "xvdp15"),
        ("5", None),
    ],
)
def test_the_name_that_linux_gives_to_a_disk(vdev: str, name: Optional[str]) -> None:
    """As xen_translate_vdev in xen-blkfront.c, whose offsets are 0."""
    assert parse(vdev).vbd_name == name


def recorded() -> List[Tuple[str, int]]:
    with RECORDED.open(newline="") as rows:
        return [(json.loads(row["vdev_json"]), int(row["devid"])) for row in csv.DictReader(rows)]


def accepted(text: str) -> bool:
    try:
        parse(text)
    except DeviceNumberError:
        return False
    return True


def kinds(text: str) -> List[str]:
    return [kind for kind, pattern in REFUSED_ON_PURPOSE.items() if pattern.search(text)]


@pytest.mark.parametrize(("text", "devid"), recorded())
def test_that_a_recorded_text_means_what_it_means_to_libxl(text: str, devid: int) -> None:
    if text.startswith("/dev/"):
        assert devid == -1
        assert parse(text) == parse(text[len("/dev/") :])
    elif devid < 0 or kinds(text):
        assert not accepted(text)
    else:
        assert parse(text).xenstore_key == devid


def test_that_every_kind_of_deliberate_refusal_is_recorded() -> None:
    recorded_kinds = {kind for text, devid in recorded() if devid >= 0 for kind in kinds(text)}
    assert recorded_kinds == set(REFUSED_ON_PURPOSE)


@pytest.mark.parametrize("text", ["", "xvd", "hd", "xvd9"])
def test_that_a_name_without_a_disk_is_refused_although_libxl_reads_it(text: str) -> None:
    assert not accepted(text)


# ---- every form ----


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("xvda", DeviceNumber(51712, "xvd", 0, 0)),
        ("/dev/xvda", DeviceNumber(51712, "xvd", 0, 0)),
        ("d0p0", DeviceNumber(51712, "xvd", 0, 0)),
        (51712, DeviceNumber(51712, "xvd", 0, 0)),
        ("51712", DeviceNumber(51712, "xvd", 0, 0)),
        ("0xca00", DeviceNumber(51712, "xvd", 0, 0)),
        ("0xCA00", DeviceNumber(51712, "xvd", 0, 0)),
        ("0x0000ca00", DeviceNumber(51712, "xvd", 0, 0)),
        (51768, DeviceNumber(51768, "xvd", 3, 8)),
        ("xvdd8", DeviceNumber(51768, "xvd", 3, 8)),
        ("xvdp15", DeviceNumber(51967, "xvd", 15, 15)),
        ("xvdq", DeviceNumber(268439552, "xvd", 16, 0)),
        ("xvda16", DeviceNumber(268435472, "xvd", 0, 16)),
        ("xvdz", DeviceNumber(268441856, "xvd", 25, 0)),
        ("xvdaa", DeviceNumber(268442112, "xvd", 26, 0)),
        ("/dev/xvdtq37", DeviceNumber(268572709, "xvd", 536, 37)),
        ("xvdbgqcv255", DeviceNumber(536870911, "xvd", 1048575, 255)),
        ("d1048575p255", DeviceNumber(536870911, "xvd", 1048575, 255)),
        ("hda", DeviceNumber(768, "hd", 0, 0)),
        ("hdb63", DeviceNumber(895, "hd", 1, 63)),
        ("hdc2", DeviceNumber(5634, "hd", 2, 2)),
        ("hdd", DeviceNumber(5696, "hd", 3, 0)),
        ("sda", DeviceNumber(2048, "sd", 0, 0)),
        ("sdb3", DeviceNumber(2067, "sd", 1, 3)),
        ("sdp15", DeviceNumber(2303, "sd", 15, 15)),
        (0, DeviceNumber(0)),
        ("0", DeviceNumber(0)),
        (5, DeviceNumber(5)),
        (767, DeviceNumber(767)),
        (896, DeviceNumber(896)),
        (268435455, DeviceNumber(268435455)),
        (268435456, DeviceNumber(268435456, "xvd", 0, 0)),
        (536870912, DeviceNumber(536870912)),
        (2147483647, DeviceNumber(2147483647)),
        ("0x7fffffff", DeviceNumber(2147483647)),
    ],
)
def test_that_every_form_is_read(value: object, expected: DeviceNumber) -> None:
    assert parse(value) == expected


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "'' is empty"),
        (" xvda", "' xvda' has white space around it"),
        ("xvda\n", "white space"),
        ("\t51712", "white space"),
        (" xvda\nxvdb", "white space"),
        ("+51712", "has a sign"),
        ("-1", "has a sign"),
        ("051712", "has a leading zero, which xl reads as octal"),
        ("00", "octal"),
        ("0XCA00", "is not a hexadecimal number as in 0xca00"),
        ("0x", "hexadecimal"),
        ("0xg", "hexadecimal"),
        ("0b1", "is not a device number"),
        ("0o17", "is not a device number"),
        ("xvd", "lacks the letter of its disk"),
        ("/dev/xvd", "lacks the letter"),
        ("hd1", "lacks the letter"),
        ("xvda0", "has a partition number that starts with 0"),
        ("xvda01", "starts with 0"),
        ("d0", "lacks its partition (0 for the whole disk, as in d0p0)"),
        ("d00p1", "octal"),
        ("d0p01", "octal"),
        ("XVDA", "has upper-case letters"),
        ("xvdA", "upper-case"),
        ("D0P0", "upper-case"),
        (
            "xvda256",
            "xvd has the disks 0 to 1048575 (xvda to xvdbgqcv) and the partitions 1 to 255",
        ),
        ("xvdbgqcw", "'xvdbgqcw' is out of range"),
        ("xvdaaaaaa", "'xvdaaaaaa' is out of range"),
        pytest.param("xvd" + "z" * 9999, "out of range", id="huge-1"),
        pytest.param("xvda" + "9" * 9999, "out of range", id="huge-2"),
        ("d1048576p0", "out of range"),
        ("d0p256", "out of range"),
        ("hde", "hd has the disks 0 to 3 (hda to hdd) and the partitions 1 to 63"),
        ("hda64", "out of range"),
        ("sdq", "sd has the disks 0 to 15 (sda to sdp) and the partitions 1 to 15"),
        ("sda16", "out of range"),
        ("2147483648", "'2147483648' is out of range: a xenstore key is 0 to 2147483647"),
        ("10000000000", "'10000000000' is out of range"),
        ("0x80000000", "'0x80000000' is out of range"),
        pytest.param("9" * 9999, "out of range", id="huge-3"),
        pytest.param("0x" + "f" * 9999, "out of range", id="huge-4"),
        (2147483648, "2147483648 is out of range"),
        (-1, "-1 is out of range"),
        (2**64 - 1, "18446744073709551615 is out of range"),
        (2**64, "a number of 65 bits is out of range"),
        pytest.param(10**5000, "a number of 16610 bits is out of range", id="huge-5"),
        ("/dev/51712", "is not a device number"),
        ("/dev/d0p0", "is not a device number"),
        ("dev/xvda", "is not a device number"),
        ("xvda1p1", "is not a device number"),
        ("vda", "is not a device number"),
        ("\u0665", "is not a device number"),
        ("xvda\uff11", "is not a device number"),
        ("\u017fda", "is not a device number"),
        ("\ud800", "is not a device number"),
        (True, "a device number is text or a whole number, not bool"),
        (51712.0, "not float"),
        (None, "not NoneType"),
        ([51712], "not list"),
        (b"xvda", "not bytes"),
    ],
)
def test_that_the_error_says_what_is_wrong(value: object, problem: str) -> None:
    with pytest.raises(DeviceNumberError, match=re.escape(problem)):
        parse(value)


@pytest.mark.parametrize("value", ["nonsense", "", None, "xvda0"])
def test_that_the_error_says_what_is_accepted(value: object) -> None:
    with pytest.raises(DeviceNumberError, match=r"accepted are .*xvda.*d0p0.*51712, 0xca00"):
        parse(value)


# ---- both directions, in full ----


def libxl_key(bus: str, disk: int, partition: int) -> int:
    """The formulas of xen-vbd-interface(7), written out once more."""
    if bus == "hd":
        return (3 if disk < 2 else 22) << 8 | (disk & 1) << 6 | partition
    if bus == "sd":
        return 8 << 8 | disk << 4 | partition
    if disk <= 15 and partition <= 15:
        return 202 << 8 | disk << 4 | partition
    return 1 << 28 | disk << 8 | partition


@pytest.mark.parametrize(
    ("bus", "disks", "partitions"),
    [("xvd", range(1100), range(256)), ("hd", range(4), range(64)), ("sd", range(16), range(16))],
)
def test_that_a_disk_is_found_again(bus: str, disks: range, partitions: range) -> None:
    names = set()
    for disk in disks:
        for partition in partitions:
            device = from_disk_number(disk, bus, partition)
            assert device == DeviceNumber(libxl_key(bus, disk, partition), bus, disk, partition)
            assert device.canonical
            assert from_xenstore_key(device.xenstore_key) == device
            assert parse(device.linux_device) == device
            names.add(device.linux_device)
    assert len(names) == len(disks) * len(partitions)


@given(st.integers(0, 2**20 - 1), st.integers(0, 255))
def test_that_every_xvd_disk_is_found_again(disk: int, partition: int) -> None:
    device = from_disk_number(disk, partition=partition)
    assert device.xenstore_key == libxl_key("xvd", disk, partition)
    assert parse(f"d{disk}p{partition}") == device
    assert parse(device.xen_vdev) == device
    assert parse(device.linux_device) == device
    assert device.disk_number == disk


def test_that_every_small_key_stands_for_itself() -> None:
    named = 0
    majors = (3, 8, 22, 202)
    sample = {*range(0, 2**17, 61), *(major << 8 | n for major in majors for n in range(256))}
    for key in range(2**17) if EXHAUSTIVE else sorted(sample):
        device = parse(key)
        assert device.xenstore_key == key
        assert parse(str(key)) == parse(hex(key)) == device
        if device.bus:
            named += 1
            assert parse(device.linux_device) == device
    assert named == 2 * 128 + 256 + 256


@given(st.integers(0, 2**31 - 1))
def test_that_a_key_stands_for_itself(key: int) -> None:
    device = parse(key)
    assert device.xenstore_key == key
    assert parse(str(key)) == parse(hex(key)) == device
    assert device.canonical == (device.bus is not None and parse(device.linux_device) == device)


def test_letters_by_hand() -> None:
    names = {0: "a", 25: "z", 26: "aa", 51: "az", 52: "ba", 701: "zz", 702: "aaa", 1048575: "bgqcv"}
    for disk, letters in names.items():
        assert from_disk_number(disk).linux_device == f"xvd{letters}"


# ---- conversions that do not exist ----


@pytest.mark.parametrize(
    ("conversion", "problem"),
    [
        (lambda device: device.linux_device, "5 is a valid slot but names no Linux device: only"),
        (lambda device: device.disk_number, "5 is a valid slot but has no disk number: only"),
        (lambda device: device.xen_vdev, "5 is a valid slot but has no name of the form d0p0"),
    ],
)
def test_that_a_slot_without_a_name_says_so(
    conversion: Callable[[DeviceNumber], object], problem: str
) -> None:
    with pytest.raises(DeviceNumberError, match=problem) as error:
        conversion(parse(5))
    for keys in (
        "51712 to 51967 (xvd)",
        "768 to 895 (hd)",
        "5632 to 5759 (hd)",
        "2048 to 2303 (sd)",
    ):
        assert keys in str(error.value)
    assert "268435456 to 536870911 (xvd)" in str(error.value)


def test_that_a_disk_of_another_bus_has_no_xen_vdev() -> None:
    with pytest.raises(
        DeviceNumberError, match=r"hdc2 .* only xvd disks have one, and d2p2 is xvdc2"
    ):
        str(parse("hdc2").xen_vdev)


def test_that_a_small_disk_in_the_extended_form_is_another_slot() -> None:
    device = parse(268435456)
    assert device.linux_device == "xvda"
    assert device.extended
    assert not device.canonical
    assert device.as_dict()["xen_vdev"] is None
    with pytest.raises(DeviceNumberError, match=r"xl maps d0p0 to slot 51712"):
        str(device.xen_vdev)


@pytest.mark.parametrize(
    ("disk", "bus", "partition", "problem"),
    [
        (-1, "xvd", 0, "disk -1, partition 0 is out of range"),
        (2**20, "xvd", 0, "out of range"),
        (0, "xvd", 256, "out of range"),
        (0, "xvd", -1, "out of range"),
        (4, "hd", 0, "hd has the disks 0 to 3"),
        (0, "sd", 16, "out of range"),
        pytest.param(10**5000, "xvd", 0, "a number of 16610 bits", id="huge-6"),
        (True, "xvd", 0, "a disk number is a whole number, not bool"),
        ("0", "xvd", 0, "a disk number is a whole number, not str"),
        (0, "xvd", 1.0, "a partition number is a whole number, not float"),
        (0, "vd", 0, "'vd' is not a bus: accepted are xvd, hd, sd"),
        (0, None, 0, "NoneType is not a bus"),
        (0, [], 0, "list is not a bus"),
        pytest.param(0, 10**5000, 0, "int is not a bus", id="huge-7"),
    ],
)
def test_that_a_disk_number_is_checked(disk: int, bus: str, partition: int, problem: str) -> None:
    with pytest.raises(DeviceNumberError, match=re.escape(problem)):
        from_disk_number(disk, bus, partition)


# ---- as a dict ----


def test_the_dict_of_a_disk() -> None:
    assert parse("xvda16").as_dict() == {
        "xenstore_key": 268435472,
        "bus": "xvd",
        "disk_number": 0,
        "partition": 16,
        "linux_device": "xvda16",
        "xen_vdev": "d0p16",
        "extended": True,
    }


@pytest.mark.parametrize("key", [5, 536870912])
def test_the_dict_of_a_number(key: int) -> None:
    assert parse(key).as_dict() == {
        "xenstore_key": key,
        "bus": None,
        "disk_number": None,
        "partition": None,
        "linux_device": None,
        "xen_vdev": None,
        "extended": False,
    }


# ---- no other exception ----

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
)
NEARLY = st.text("xvdhsabz/e0123456789+- pX\n\u0661", max_size=12) | st.from_regex(
    r"(/dev/)?(xvd|hd|sd|d|0x|)[a-p0-9]{0,4}", fullmatch=True
)


@given(ANYTHING | NEARLY)
def test_that_anything_is_a_slot_or_the_documented_error(value: object) -> None:
    try:
        device = parse(value)
    except DeviceNumberError as error:
        assert str(error)
    else:
        assert 0 <= device.xenstore_key <= device_number.MAX_XENSTORE_KEY
        assert device.as_dict()["xenstore_key"] == device.xenstore_key


# ---- the page ----


def test_that_the_tables_of_the_page_are_true() -> None:
    rows = re.findall(r"^``([^`]+)`` .*  ([0-9]+)$", SLOTS_PAGE.read_text(), re.MULTILINE)
    assert len(rows) > 15
    assert [(vdev, parse(vdev).xenstore_key) for vdev, _key in rows] == [
        (vdev, int(key)) for vdev, key in rows
    ]
