# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disk lists that someone else wrote: what changes in them, and above all what does not."""

from __future__ import annotations

import textwrap
from typing import Dict, List, Sequence, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.config import disk_list
from ansible_collections.xen.blockdev.plugins.module_utils.config import syntax as config_syntax
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.config.syntax import DomainConfigError
from ansible_collections.xen.blockdev.plugins.module_utils.disk.listed import ListedDisk
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.tests.exhaustive import examples
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils import xl_parser
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.config_texts import (
    OPTIONS,
    configs,
    flat_lists,
    joined,
    mutated,
    separators,
    specs,
    statements,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

LIBRARY = xl_parser.load()
needs_xl = pytest.mark.skipif(LIBRARY is None, reason="libxlutil (libxenmisc) is not installed")

A = "format=raw, vdev=xvda, access=rw, target=/dev/vg/a"
B = "format=raw, vdev=xvdb, access=rw, target=/dev/vg/b"
C = "format=raw, vdev=xvdc, access=ro, target=/dev/vg/c"


def replaced(text: str, *wanted: str) -> str:
    """What becomes of a text, that of a second run as well."""
    result = changed(text, wanted)
    assert changed(result, wanted) == result
    return result


def changed(text: str, wanted: Sequence[str]) -> str:
    return disk_list.replace_disks(text, [ListedDisk.read(spec) for spec in wanted])


def shown(text: str) -> str:
    return textwrap.dedent(text).lstrip("\n")


# --- by meaning ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        "/dev/vg/a,raw,xvda,rw",
        "/dev/vg/a,raw,xvda,w",
        "/dev/vg/a,,xvda",
        " /dev/vg/a , , xvda".replace(" ,", ","),
        "/dev/vg/a,raw,51712,w",
        "/dev/vg/a,raw,d0p0,w",
        "/dev/vg/a,raw,0xca00,w",
        "/dev/vg/a,raw,xvda:disk,w",
        "phy:/dev/vg/a,xvda,w",
        "raw:/dev/vg/a,xvda,w",
        "tap:aio:/dev/vg/a,xvda,rw",
        "vdev=xvda,target=/dev/vg/a",
        "format=raw,access=w,devtype=disk,vdev=xvda,specification=xen,target=/dev/vg/a",
    ],
)
@pytest.mark.parametrize("layout", ["disk = [ '{}' ]\n", 'disk=[\n\t"{}" , # a\n]', "disk=['{}',]"])
def test_the_same_disk_in_other_words_is_no_change(spec: str, layout: str) -> None:
    text = layout.format(spec)
    assert replaced(text, A) == text


@pytest.mark.parametrize(
    "spec",
    [
        "/dev/vg/A,raw,xvda,rw",
        "/dev/vg/a,qcow2,xvda,rw",
        "/dev/vg/a,raw,xvda,r",
        "/dev/vg/a,raw,xvda:cdrom",
        "/dev/vg/a,raw,xvda,w,discard",
        "/dev/vg/a,raw,xvda,w,direct-io-safe",
        "/dev/vg/a,raw,xvda,w,backendtype=qdisk",
        "/dev/vg/a,raw,xvda,w,script=block-x",
        "/dev/vg/a,raw,xvda,w,backend=storage",
        "/dev/vg/a,raw,xvda,w,specification=virtio",
    ],
)
def test_another_disk_in_the_slot_is_a_change(spec: str) -> None:
    assert replaced(f"disk = [ '{spec}' ]\n", A) == "disk = [ '/dev/vg/a,raw,xvda,rw' ]\n"


def test_an_empty_drive_is_one_however_it_is_written() -> None:
    for spec in (",,xvdc:cdrom", ",xvdc:cdrom", "cdrom,vdev=xvdc", ",empty,xvdc,devtype=cdrom"):
        with_drive = f"disk = [ '{spec}' ]\n"
        assert replaced(with_drive, "format=empty, vdev=xvdc, devtype=cdrom") == with_drive


def test_a_script_is_the_same_by_its_name_and_by_its_path() -> None:
    name, path = (
        f"vdev=xvda, script={script}, target=iqn" for script in ("b-x", "/etc/xen/scripts/b-x")
    )
    for old, new in ((name, path), (path, name)):
        assert replaced(f"disk = [ '{old}' ]\n", new) == f"disk = [ '{old}' ]\n"
    elsewhere = "vdev=xvda, script=/opt/b-x, target=iqn"
    assert replaced(f"disk = [ '{name}' ]\n", elsewhere) == f"disk = [ '{elsewhere}' ]\n"


def test_the_order_is_that_of_the_list() -> None:
    text = "disk = [ '/dev/vg/a,raw,xvda,rw', '/dev/vg/b,raw,xvdb,rw' ]\n"
    assert replaced(text, B, A) == text


# --- in the style of what is there -----------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("'phy:/dev/vg/old,xvda,w'", "'/dev/vg/a,raw,xvda,rw'"),
        ('"/dev/vg/old,raw,51712,w"', '"/dev/vg/a,raw,51712,rw"'),
        ("'vdev=xvda,target=/dev/vg/old'", f"'{A}'"),
        ('"vdev=d0p0,target=/dev/vg/old"', f'"{A}"'.replace("xvda", "d0p0")),
    ],
)
def test_a_disk_is_replaced_in_its_place_and_style(old: str, new: str) -> None:
    text = "disk = [ # all\n  {} , # root\n\n  '/dev/vg/b,,xvdb,w'\n\t] ; vcpus = 1\n"
    assert replaced(text.format(old), A, B) == text.format(new)


def test_what_the_positional_style_cannot_say_is_keyed() -> None:
    old = "disk = [ '/dev/vg/a,raw,xvda,rw' ]\n"
    assert replaced(old, "vdev=xvda, target=/a,b=c") == "disk = [ 'vdev=xvda, target=/a,b=c' ]\n"


BEHIND = {
    "one line": ("disk = [ {} ]\n", ["'{}'", "'{}', '{}'"]),
    "tight": ("disk=[{}]\n", ["'{}'", "'{}', '{}'"]),
    "one line, comma": ("disk = [ {}, ]\n", ["'{}'", "'{}', '{}'"]),
    "one a line": ("disk = [\n  {}\n]\n", ["'{}'", "'{}',\n  '{}'"]),
    "one a line, comma": ("disk = [\n\t{}\n]\n", ['"{}",', '"{}",\n\t"{}",']),
    "comment": ("disk = [\n  {}\n]\n", ["'{}' # a", "'{}', # a\n  '{}'"]),
    "comma, comment": ("disk = [\n  {}\n]\n", ["'{}', # a", "'{}', # a\n  '{}',"]),
    "blanks": ("disk = [\n  {}\n]\n", ["'{}' ,  ", "'{}' ,  \n  '{}',"]),
    "aligned": (
        "disk = [ {} ]\n",
        ["'{}', # a\n         ", "'{}', # a\n         '{}',\n         "],
    ),
    "closed on its line": ("disk = [\n  {} ]\n", ["'{}'", "'{}',\n  '{}'"]),
    "a line below": ("disk = [ {}\n]\n", ["'{}'", "'{}', '{}'"]),
}


@pytest.mark.parametrize(("text", "lists"), BEHIND.values(), ids=BEHIND)
def test_a_disk_is_added_behind(text: str, lists: List[str]) -> None:
    old = text.format(lists[0].format("/dev/vg/a,raw,xvda,rw"))
    new = text.format(lists[1].format("/dev/vg/a,raw,xvda,rw", "/dev/vg/b,raw,xvdb,rw"))
    assert replaced(old, A, B) == new


THREE = """
    disk = [
        # the system
        'phy:/dev/vg/a,xvda,w', # root

        # what the users have
        "phy:/dev/vg/b,xvdb,w", # NEVER WRITE
    ] # all
    """


def test_comments_stay_with_their_slots_when_a_disk_comes_first() -> None:
    expected = """
        disk = [
            '/dev/vg/c,raw,xvdc,ro',
            # the system
            'phy:/dev/vg/a,xvda,w', # root

            # what the users have
            "phy:/dev/vg/b,xvdb,w", # NEVER WRITE
        ] # all
        """
    assert replaced(shown(THREE), C, A, B) == shown(expected)


def test_comments_stay_with_their_slots_when_a_disk_comes_between() -> None:
    expected = """
        disk = [
            # the system
            'phy:/dev/vg/a,xvda,w', # root
            '/dev/vg/c,raw,xvdc,ro',

            # what the users have
            "phy:/dev/vg/b,xvdb,w", # NEVER WRITE
        ] # all
        """
    assert replaced(shown(THREE), A, C, B) == shown(expected)


def test_comments_stay_with_their_slots_when_a_disk_comes_last() -> None:
    expected = """
        disk = [
            # the system
            'phy:/dev/vg/a,xvda,w', # root

            # what the users have
            "phy:/dev/vg/b,xvdb,w", # NEVER WRITE
            "/dev/vg/c,raw,xvdc,ro",
        ] # all
        """
    assert replaced(shown(THREE), A, B, C) == shown(expected)


def test_a_disk_with_a_comment_becomes_a_comment() -> None:
    expected = """
        disk = [
            # the system
            # 'phy:/dev/vg/a,xvda,w', # root

            # what the users have
            "phy:/dev/vg/b,xvdb,w", # NEVER WRITE
        ] # all
        """
    assert replaced(shown(THREE), B) == shown(expected)
    assert config_text.disk_specs(replaced(shown(THREE), B)) == ["phy:/dev/vg/b,xvdb,w"]


def test_several_come_and_go_at_once() -> None:
    expected = """
        disk = [
            '/dev/vg/d,,xvdd',
            '/dev/vg/c,raw,xvdc,ro',
            # the system
            # 'phy:/dev/vg/a,xvda,w', # root

            # what the users have
            "/dev/vg/z,,xvdb", # NEVER WRITE
            "/dev/vg/e,,xvde",
        ] # all
        """
    wanted = ["vdev=xvdd, target=/dev/vg/d", C, "vdev=xvdb, target=/dev/vg/z"]
    result = replaced(shown(THREE), *wanted, "vdev=xvde, target=/dev/vg/e")
    assert result == shown(expected)


REMOVED = {
    "last of one line": ("[ 'a', 'b' ]", ["a"], "[ 'a' ]"),
    "first of one line": ("[ 'a', 'b' ]", ["b"], "[ 'b' ]"),
    "middle": ("[ 'a','b','c' ]", ["a", "c"], "[ 'a','c' ]"),
    "all": ("['a', 'b']", [], "[]"),
    "a line": ("[\n'a',\n  'b',\n 'c'\n]", ["a", "c"], "[\n'a',\n 'c'\n]"),
    "the last line": ("[\n'a',\n  'b'\n]", ["a"], "[\n'a',\n]"),
    "all lines": ("[\n'a',\n  'b'\n]", [], "[]"),
    "commas first": ("[ 'a'\n  , 'b'\n  , 'c'\n]", ["a", "c"], "[ 'a'\n  , 'c'\n]"),
    "commas first, the first": ("[ 'a'\n  , 'b' ]", ["b"], "[ \n  'b' ]"),
    "commas on both sides": ("['a'\n , 'b', \n 'c']", ["a", "c"], "['a'\n , \n 'c']"),
    "noted, commas on both sides": (
        "['a'\n , 'b', # B\n 'c']",
        ["a", "c"],
        "['a'\n , # 'b', # B\n 'c']",
    ),
    "noted, commas first": (
        "[ 'a' # A\n , 'b' # B\n , 'c' # C\n]",
        ["b"],
        "[ # 'a' # A\n 'b' # B\n # 'c' # C\n]",
    ),
    "noted, on a line": (
        "[ 'a', 'b', # B\n]",
        ["a"],
        "[ 'a',\n         # 'b', # B\n]",
    ),
    "noted, before it": ("[ 'a', 'b', # B\n]", ["b"], "[ 'b', # B\n]"),
    "noted, commas first on a line": (
        "[ 'a', 'b' # B\n , 'c'\n]",
        ["a", "c"],
        "[ 'a'\n         # 'b' # B\n , 'c'\n]",
    ),
    "noted above, closed": ("[\n # A\n 'a' ]", [], "[\n # A\n # 'a'\n  ]"),
    "two on a line below a note": ("[\n # A\n 'a', 'b'\n]", ["b"], "[\n # A\n 'b'\n]"),
    "a number": ("[ 5, 'a' ]", ["a"], "[ 'a' ]"),
}


@pytest.mark.parametrize(("old", "wanted", "new"), REMOVED.values(), ids=REMOVED)
def test_disks_are_removed(old: str, wanted: List[str], new: str) -> None:
    assert replaced(f"disk = {old}\n", *wanted) == f"disk = {new}\n"


NEW = "disk = [\n    'new',\n]"

SETTINGS = {
    "empty text": ("", f"{NEW}\n"),
    "no disk setting": ("name = 'x'\n", f"name = 'x'\n{NEW}\n"),
    "no disk setting, no newline": ("name = 'x'", f"name = 'x'\n{NEW}\n"),
    "an empty list": ("a=1; disk\t=[ ] # none\n", f"a=1; disk\t={NEW[7:]} # none\n"),
    "comments only": (
        "disk = [ # none\n\n # 'old',\n]\n",
        "disk = [ # none\n\n # 'old',\n 'new',\n]\n",
    ),
    "a comment beside the bracket": ("disk = [ # none\n]\n", "disk = [ # none\n    'new',\n]\n"),
    "no newline at the end": ("disk = ['a']", "disk = ['new']"),
    "look-alikes": (
        "# disk = ['a']\nextra = \"disk = ['b']\"; disk = ['c'] # disk = ['d'] ]\n",
        "# disk = ['a']\nextra = \"disk = ['b']\"; disk = ['new'] # disk = ['d'] ]\n",
    ),
    "brackets in a string": ("disk = ['a]', '[#b']\n", "disk = ['new']\n"),
    "+= alone": ("disk += ['a']\n", "disk += ['new']\n"),
    "+= lines go": (
        "disk = ['a']\nvcpus = 1\n  disk += [\n 'b',\n ]  \ndisk+=['c']\nmemory = 2\n",
        "disk = ['new']\nvcpus = 1\nmemory = 2\n",
    ),
    "+= with a comment stays": (
        "disk = ['a']\ndisk += [\n'b', # data\n]\n",
        "disk = ['new']\ndisk += [\n# 'b', # data\n]\n",
    ),
    "what does not count stays": (
        "disk = ['old'] # old\ndisk = 'a'\ndisk = ['b']\n",
        "disk = ['old'] # old\ndisk = 'a'\ndisk = ['new']\n",
    ),
    "separators": (
        "disk=['a']; disk += ['b']; vcpus=1; disk += ['c'] ; memory=2\n",
        "disk=['new']; vcpus=1; memory=2\n",
    ),
    "last on a line": ("disk=['a']\nvcpus=1; disk+=['b']\n", "disk=['new']\nvcpus=1; \n"),
    "comment beside what goes": (
        "disk=['a']\ndisk += ['b'] # b\nvcpus=1\n",
        "disk=['new']\n # b\nvcpus=1\n",
    ),
    "a string": ("disk = 'a' # one\n", "disk = [ 'new' ] # one\n"),
    "an empty string": ('disk = ""\n', f"{NEW}\n"),
    "other bytes": (
        "#\udcff\x0c\r\nextra='\x01\u2028\r' # \x85\ndisk=['a\udcff']\n",
        "#\udcff\x0c\r\nextra='\x01\u2028\r' # \x85\ndisk=['new']\n",
    ),
}


@pytest.mark.parametrize(("text", "expected"), SETTINGS.values(), ids=SETTINGS)
def test_settings(text: str, expected: str) -> None:
    assert replaced(text, "new") == expected


def test_disks_stay_in_the_settings_in_which_they_are() -> None:
    text = "disk = [ '/dev/vg/a,,xvda' ]\nvcpus = 1\ndisk += [ '/dev/vg/b,,xvdb' ]\n"
    assert replaced(text, A, B) == text
    added = text.replace("xvdb' ]", "xvdb', '/dev/vg/c,raw,xvdc,ro' ]")
    assert replaced(text, A, B, C) == added
    assert replaced(text, A) == "disk = [ '/dev/vg/a,,xvda' ]\nvcpus = 1\n"


def test_a_string_becomes_a_list() -> None:
    text = 'a = 1; disk =  "phy:/dev/vg/a,xvda,w" ; b = 2\n'
    assert config_text.disk_specs(disk_list.mended(text)) == ["phy:/dev/vg/a,xvda,w"]
    assert replaced(text, A) == 'a = 1; disk =  [ "phy:/dev/vg/a,xvda,w" ] ; b = 2\n'
    for other in ("", "disk = [ 'a' ]\n", "disk = 'a'; disk += 'b'\n", "disk = 5\n"):
        assert disk_list.mended(other) == other


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("disk = 5", "single string"),
        ("disk = 'a'; disk += 'b'", "single string"),
        ("disk = ['a', ['b'], 'c']", "a list inside its list"),
        ("disk = ['a'", "the end of the file stands where"),
    ],
)
def test_what_cannot_be_read_is_not_changed(text: str, message: str) -> None:
    with pytest.raises(DomainConfigError, match=message):
        changed(text, ["new"])


@pytest.mark.parametrize(
    ("disks", "message"),
    [(["a\0"], "disk: .*NUL"), ([5], "disk: .*type int"), ("/dev/a,,xvda", "disk: expected a")],
)
def test_disks_that_cannot_be_written_are_refused(disks: List[str], message: str) -> None:
    with pytest.raises(DomainConfigError, match=message):
        disk_list.write_disks(disks)


def test_disks_that_cannot_be_quoted_are_refused() -> None:
    for text in ("name = 'web'\n", "disk = [ 'a' ]\n"):
        with pytest.raises(DomainConfigError, match=r"disk: .*NUL"):
            changed(text, ["a\0"])


# --- properties of any text ------------------------------------------------------------------


def sense(spec: str) -> object:
    """What a disk is, where it can be told, and otherwise its text."""
    try:
        return DiskSpec.parse(spec).meaning
    except BlockdevError:
        return spec


def senses(disks: List[str]) -> List[str]:
    return sorted(map(repr, map(sense, disks)))


@given(configs, specs)
def test_replaced_disks_read_back_and_settle(text: str, new: List[str]) -> None:
    result = replaced(text, *new)
    assert senses(config_text.disk_specs(result)) == senses(new)
    assert replaced(text, *config_text.disk_specs(text)) == text


@given(joined(st.builds("{}{}".format, statements, separators)), flat_lists, specs)
def test_bytes_outside_the_list_stay(other: str, written: str, new: List[str]) -> None:
    prefix, suffix = other + "disk =", ";" + other
    result = changed(prefix + written + suffix, new)
    assert result.startswith(prefix)
    assert result.endswith(suffix)


@given(st.text() | mutated() | joined(st.sampled_from([*"disk=+[]',\"#\n;\\ @1\r\0\ud800"])), specs)
def test_no_other_exception(text: str, new: List[str]) -> None:
    try:
        changed(text, new)
    except DomainConfigError as error:
        assert str(error)


@needs_xl
@settings(max_examples=examples(400))
@given(configs | mutated(), specs)
def test_xl_sees_the_new_disks_and_nothing_else_changed(text: str, new: List[str]) -> None:
    try:
        result = changed(text, new)
    except DomainConfigError:
        return
    with xl_parser.Config(LIBRARY, text) as before, xl_parser.Config(LIBRARY, result) as after:
        assert after.valid
        assert senses(after.get("disk") or []) == senses(new)  # type: ignore[arg-type]
        assert [after.get(option) for option in OPTIONS] == [
            before.get(option) for option in OPTIONS
        ]


# --- properties of lists as people write them ------------------------------------------------

SLOTS = ["xvda", "51728", "d2p0", "hda", "sdb", "xvdz"]
STYLES = [
    "phy:/dev/vg/{0},{1},{2}",
    "file:/srv/{0},{1},{2}",
    "tap:aio:/srv/{0},{1},{2}",
    "/dev/vg/{0},raw,{1},{2}",
    "/dev/vg/{0},,{1},{2}",
    "/dev/vg/{0}, raw, {1}, {2}",
    "vdev={1},access={2},target=/dev/vg/{0}",
    "format=qcow2, vdev={1}, access={2}, target=/srv/{0},x=1",
    "/srv/{0},qcow2,{1},{2},backendtype=qdisk,discard",
]
disks = st.builds(
    lambda style, name, slot, access: style.format(name, slot, access),
    st.sampled_from(STYLES),
    st.sampled_from(["root", "data", "it's", 'a"b']),
    st.sampled_from(SLOTS),
    st.sampled_from(["r", "w"]),
)


def slot_of(spec: str) -> int:
    return DiskSpec.parse(spec).slot.xenstore_key


sets_of_disks = st.lists(disks, max_size=5, unique_by=slot_of)
notes = st.sampled_from(["# NEVER WRITE", "#root", "# 'phy:/dev/old,xvdq,w',", "# ]", "# it's"])


@st.composite
def disk_lists(draw: st.DrawFn) -> str:
    """A disk list with its notes, in one of many layouts."""
    quoted = [config_syntax.quote(d, draw(st.sampled_from("'\""))) for d in draw(sets_of_disks)]
    indent = draw(st.sampled_from(["", " ", "\t", "        "]))
    comma_first = draw(st.booleans())
    text = "[" + draw(st.sampled_from(["", " ", "\n", " # the disks\n"]))
    for number, one in enumerate(quoted):
        last = number == len(quoted) - 1
        above = draw(st.lists(notes, max_size=2)) if text.endswith("\n") else []
        text += "".join(f"{indent}{note}\n" for note in above)
        lead = ", " if comma_first and number else ""
        text += (indent if text.endswith("\n") else "") + lead + one
        if not comma_first and (not last or draw(st.booleans())):
            text += draw(st.sampled_from([",", " ,"]))
        note = draw(st.none() | notes)
        text += f" {note}\n" if note else draw(st.sampled_from([" ", "\n", "\n\n", "  \n"]))
    return text + draw(st.sampled_from(["", " ", "\n"])) + "]"


def read_notes(text: str) -> Tuple[Dict[int, List[str]], Dict[int, List[str]], List[str]]:
    """The notes beside and right above each slot, and all of them."""
    beside: Dict[int, List[str]] = {}
    above: Dict[int, List[str]] = {}
    every: List[str] = []
    waiting: List[str] = []
    for line in text.splitlines():
        tokens = config_syntax.tokenize(line + "\n")
        slots = [slot_of(config_syntax.unquoted(one)) for one in tokens if one.kind == "string"]
        comments = [one.text for one in tokens if one.kind == "comment"]
        every += comments
        for slot in slots[:1]:
            above[slot] = waiting
        for slot in slots[-1:]:
            beside[slot] = comments
        waiting = [*waiting, *comments] if comments and line.lstrip().startswith("#") else []
    return beside, above, every


@settings(max_examples=examples(500))
@given(disk_lists(), sets_of_disks)
@example("['/dev/vg/a,,xvda,w' # A\n , '/dev/vg/b,,xvdb,w' # B\n]", [])
def test_only_what_differs_changes(written: str, wanted: List[str]) -> None:
    text = f"memory = 1\ndisk = {written}\nvcpus = 1\n"
    before = config_text.disk_specs(text)
    result = replaced(text, *wanted)
    after = config_text.disk_specs(result)
    assert senses(after) == senses(wanted)
    # What is as wanted stays byte for byte, in its order.
    same = [spec for spec in before if repr(sense(spec)) in senses(wanted)]
    assert [spec for spec in after if spec in same] == same
    # Lines that have no changed disk stay, but for the comma that a last disk needs.
    lines = result.splitlines()
    for line in text.splitlines():
        strings = [one for one in config_syntax.tokenize(line + "\n") if one.kind == "string"]
        if not strings:
            assert line in lines or "".join(line.split()) in ("", "]", "disk=[]", "disk=[")
        elif len(strings) == 1 and config_syntax.unquoted(strings[0]) in same:
            mark = strings[0].text
            assert any(mark in other for other in lines)
    # Each note stays, and stays with its slot.
    beside, above, every = read_notes(text)
    new_beside, new_above, new_every = read_notes(result)
    assert all(any(note in other for other in new_every) for note in every)
    assert result.count("#") >= text.count("#")
    for slot in map(slot_of, wanted):
        if slot in beside:
            assert not beside[slot] or new_beside[slot] == beside[slot]
            assert not above.get(slot) or new_above[slot][-len(above[slot]) :] == above[slot]
        else:
            assert not new_beside.get(slot)


def test_a_long_list_is_changed_at_once() -> None:
    lines = [f"/dev/vg/{number},,{number << 8},w" for number in range(300)]
    text = "disk = [\n" + "".join(f"  '{line}', # {line}\n" for line in lines) + "]\n"
    assert config_text.disk_specs(replaced(text, *lines[::2])) == lines[::2]
