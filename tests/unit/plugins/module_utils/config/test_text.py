# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""xl's configuration files: tables, properties, and comparison with xl's own parser."""

from __future__ import annotations

import ast
import textwrap

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.config import syntax as config_syntax
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.config.syntax import DomainConfigError
from ansible_collections.xen.blockdev.tests.exhaustive import examples
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils import xl_parser
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.config_texts import (
    configs,
    encodable,
    joined,
    mutated,
    option_names,
    specs,
    values,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

LIBRARY = xl_parser.load()
needs_xl = pytest.mark.skipif(LIBRARY is None, reason="libxlutil (libxenmisc) is not installed")


# --- render ----------------------------------------------------------------------------------


def test_render_writes_a_whole_config_in_a_stable_order() -> None:
    options: dict[str, object] = {
        "zz": [],
        "vif": ["bridge=xenbr0", "bridge=xenbr1"],
        "on_crash": "preserve",
        "memory": 256,
        "vnuma": [["pnode=0", "size=128"], ["pnode=1"]],
        "autoballoon": True,
        "acpi": False,
        "extra": "console=hvc0 quiet='yes'",
        "kernel": "/srv/kernel",
        "timer_mode": -1,
        "type": "pvh",
    }
    disks = ["vdev=xvda,format=raw,access=rw,target=/srv/a.raw", "/dev/vg/b,raw,xvdb,r"]
    expected = config_text.HEADER + textwrap.dedent(
        r"""
        name = 'web'
        type = 'pvh'
        kernel = '/srv/kernel'
        extra = 'console=hvc0 quiet=\'yes\''
        memory = 256
        on_crash = 'preserve'
        vif = [
            'bridge=xenbr0',
            'bridge=xenbr1',
        ]
        acpi = 0
        autoballoon = 1
        timer_mode = '-1'
        vnuma = [
            ['pnode=0', 'size=128'],
            ['pnode=1'],
        ]
        zz = []
        disk = [
            'vdev=xvda,format=raw,access=rw,target=/srv/a.raw',
            '/dev/vg/b,raw,xvdb,r',
        ]
        """
    )
    assert config_text.render("web", options, disks) == expected
    reordered = dict(reversed(list(options.items())))
    assert config_text.render("web", reordered, disks) == expected


def test_render_without_disks_says_so() -> None:
    assert config_text.render("web", {}, []).endswith("\nname = 'web'\ndisk = []\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": None}, "option memory: .*NoneType.*omit the option"),
        ({"cpu_weight": 1.5}, "option cpu_weight: .*float.*as a string"),
        ({"vif": {"bridge": "xenbr0"}}, "option vif: .*dict"),
        ({"vif": ["bridge=xenbr0", None]}, "option vif: .*NoneType"),
        ({"vnuma": [["pnode=0", 0.5]]}, "option vnuma: .*float"),
        ({"extra": b"quiet"}, "option extra: .*bytes"),
        ({"extra": "a\0"}, "option extra: .*NUL"),
        ({"memory": 2**63}, "option memory: .*64 bits"),
        ({"memory": -(2**63) - 1}, "option memory: .*64 bits"),
        ({"memory": 10**5000}, "option memory: .*64 bits"),
        ({"name": "web"}, "name does not belong in the options"),
        ({"disk": []}, "disk does not belong in the options"),
        ({"Memory": 1}, "'Memory' is not the name of an xl option"),
        ({"on-crash": "x"}, "'on-crash' is not the name"),
        ({"memory\n": 1}, "is not the name"),
        ({"": 1}, "'' is not the name"),
        ({5: 1}, "not a value of type int"),
        ({10**5000: 1}, "not a value of type int"),
    ],
)
def test_render_refuses_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(DomainConfigError, match=message):
        config_text.render("web", options, [])


def test_render_refuses_a_list_that_holds_itself() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(DomainConfigError, match=r"option vif: .*nested"):
        config_text.render("web", {"vif": endless}, [])


def test_what_is_nearly_too_deep_or_too_large_reads_back() -> None:
    deep: object = "x"
    for _level in range(50):
        deep = [deep]
    options = {"deep": deep, "most": 2**63 - 1, "least": -(2**63)}
    read = config_text.settings(config_text.render("web", options, []))
    assert {option: read[option] for option in options} == {**options, "least": str(-(2**63))}
    for deeper in (
        lambda: config_text.render("web", {"deep": [deep]}, []),
        lambda: config_text.render("web", {"deep": ast.literal_eval("[" * 51 + "]" * 51)}, []),
        lambda: config_text.settings("deep = " + "[" * 51 + "]" * 51),
    ):
        with pytest.raises(DomainConfigError, match="nested"):
            deeper()


@pytest.mark.parametrize(
    ("disks", "message"),
    [
        (["a", "b\0"], "disk: .*NUL"),
        ([10**5000], "disk: .*type int"),
        ("/dev/a,raw,xvda,rw", "disk: expected a list"),
    ],
)
def test_disks_that_cannot_be_written_are_refused(disks: list[str], message: str) -> None:
    with pytest.raises(DomainConfigError, match=message):
        config_text.render("web", {}, disks)


def test_render_refuses_a_name_that_is_no_string() -> None:
    with pytest.raises(DomainConfigError, match=r"name: .*type int"):
        config_text.render(5, {}, [])  # type: ignore[arg-type]


def test_is_rendered() -> None:
    rendered = config_text.render("web", {}, ["a"])
    assert config_text.is_rendered(rendered)
    assert not config_text.is_rendered("name = 'web'\n")
    assert not config_text.is_rendered("name = 'web'\n" + rendered)


# --- disks, name -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "disks"),
    [
        ("", []),
        ("name = 'web'", []),
        ("disk = []", []),
        ("disk = [ 'a' ]", ["a"]),
        (
            "disk = [ 'format=raw, vdev=xvdb, target=@BLOCK:disk.img@' ]\n",
            ["format=raw, vdev=xvdb, target=@BLOCK:disk.img@"],
        ),
        ("disk=['a',\"b\"]", ["a", "b"]),
        (r"""disk = ["a\"\'\\\t'", 'b"']""", ["a\"'\\\t'", 'b"']),
        ("disk = [\n  # first\n  'a' # one\n  , 'b',\n\n]\n", ["a", "b"]),
        ("disk = [ 5, 0x1f ]", ["5", "0x1f"]),
        ("disk = ['a']\ndisk = ['b']", ["b"]),
        ("disk = ['a']\ndisk += ['b', 'c']\nvcpus=1; disk += ['d']", ["a", "b", "c", "d"]),
        ("disk += ['a']", ["a"]),
        ("disk = ['a']\ndisk += ['b']\ndisk = ['c']\n", ["c"]),
        ("disk = 'a'\ndisk = ['b']\n", ["b"]),
        ("# disk = ['a']\nextra = \"disk = ['b']\"\n", []),
        ("a_disk = ['a']; disk.x = ['b']; disk2 = ['c']", []),
        ("disk = ['a'] # b'\n", ["a"]),
        ("disk = ['a\r'] # comment\r\n", ["a\r"]),
        (";;\n; disk = ['a'];\t\n", ["a"]),
    ],
)
def test_disks(text: str, disks: list[str]) -> None:
    assert config_text.disk_specs(text) == disks


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = 'web'\nmemory = @MEMORY@\n", "line 2 .*@MEMORY@ looks like a placeholder"),
        ("memory = @MEMORY@; a = 1\n", "line 1 .*@MEMORY@.* looks like a placeholder"),
        ("name = 'web'\r\n", "line 1 .*carriage return.*LF"),
        ("a = 1\rb = 2\n", "line 1 .*carriage return.*LF"),
        ("a = 1\nextra = 'x\nb = 2\n", "line 2 .*does not end on its line: 'x"),
        ("extra = 'x\\\ny'\n", "line 1 .*ends in a backslash.*one line"),
        ("a = 1\nkernel = '/k' \\  \n", "line 2 .*ends in a backslash.*one line"),
        ("disk = [ 'a', \\\n'b' ]\n", "line 1 .*ends in a backslash.*needs no backslash"),
        ("extra = 'x\"\n", "line 1 .*does not end on its line"),
        ("a = 1\n# the end", "line 2 .*comment without a line end"),
        ("extra = '\0'", "line 1 .*NUL"),
        ("# \0\n", "line 1 .*NUL"),
        ("disk = [ 'a',\n", "line 2 .*the end of the file stands where .* is expected"),
        ("disk = [ 'a'\nmemory = 1\n", "line 2 .*memory stands where , or ] is expected"),
        ("disk = [ 'a' 'b' ]", "'b' stands where , or ] is expected"),
        ("disk = [ , ]", ", stands where a string or a number or \\[ is expected"),
        ("disk = [ 'a',, ]", ", stands where"),
        ("\ndisk\n", "line 2 .*a line end stands where = or \\+= is expected"),
        ("memory =\n512", "line 1 .*a line end stands where"),
        ("disk = ['a'] b = 1", "b stands where a line end or ;"),
        ("= 1", "= stands where an option name is expected"),
        ("memory = -1", "'-1' is neither"),
        ("Memory = 1", "'Memory = 1' is neither"),
        ("\ufeffname = 'x'", "line 1 .*byte order mark.*without it"),
        ("a = 1\n\ufeffname = 'x'", "line 2 .*byte order mark"),
        ("import os\n", "line 1 .*import is Python.*write the value itself"),
        ("import os, re\n", "import is Python"),
        ("from os import path\n", "from is Python"),
        ("a = 1\ndef f(x):\n", "line 2 .*def is Python"),
        ("  if a == 1:\n", "if is Python"),
        ("print 'x'\n", "print is Python"),
        ("pae = True\n", "True is Python.*True is 1, False is 0"),
        ("acpi = False\n", "False is Python"),
        ("cpus = None\n", "None is Python"),
        ("arch = os.uname()[4]\n", "line 1 .*\\( is Python"),
        ("kernel = os.path.join('/boot', 'k')\n", "\\( is Python"),
        ("disk = [ 'phy:' + vg ]\n", "\\+ is Python"),
        ("name = 'web%d' % 1\n", "% is Python"),
        ("vif = {}\n", "{ is Python"),
        ("memory = 2 * 512\n", "\\* is Python"),
        ("memory = 1\nOVM_simple_name = 'web'\n", "line 2 .*OVM_simple_name .*Oracle VM.*omit"),
        ("OVM_high_availability = False\n", "OVM_high_availability is an option of Oracle VM"),
        ("name = \u2018web\u2019\n", "xl does not accept \u2018 as"),
        ("a = 1\nb = '\\q'", r"line 2 .*unknown escape \\q"),
        ("b = '\\x41'", r"unknown escape \\x"),
        ("b = '\\101'", "drops numeric escapes"),
        ("a = 'x'\na += ['y']", "line 2 .*a \\+= adds a list to a string"),
    ],
)
def test_what_is_not_xl_syntax_is_refused(text: str, message: str) -> None:
    for read in (config_text.disk_specs, config_text.name, config_text.settings):
        with pytest.raises(DomainConfigError, match=message):
            read(text)


def test_lists_too_deep_for_any_parser_are_refused() -> None:
    with pytest.raises(DomainConfigError, match=r"line 2 .*nested"):
        config_text.disk_specs("a = 1\nb = " + "[" * 100_000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("disk = 'a'", r"single string \('a'\).*without any disk"),
        ("disk = 5", "single string"),
        ("disk = ['a', ['b'], 'c']", "a list inside its list"),
    ],
)
def test_disks_that_xl_would_lose_are_refused(text: str, message: str) -> None:
    with pytest.raises(DomainConfigError, match=message):
        config_text.disk_specs(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", None),
        ("names = 'a'", None),
        ("name = 'web'", "web"),
        ("name='a'\nname = \"b\"", "b"),
        ("name='a'; name += 'b'", "ab"),
        ("name = 5", "5"),
    ],
)
def test_name(text: str, name: str | None) -> None:
    assert config_text.name(text) == name


def test_a_name_that_is_a_list_is_refused() -> None:
    with pytest.raises(DomainConfigError, match="name is set to a list"):
        config_text.name("name = ['web']")


# --- settings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", {}),
        ("name = 'web'; memory = 256", {"name": "web", "memory": 256}),
        ("memory = '256'", {"memory": "256"}),
        ("a = 0; b = 9223372036854775807", {"a": 0, "b": 2**63 - 1}),
        # Worth a number only to an option of which xl wants one.
        ("a = 0x1f; b = 010; c = 12ab", {"a": "0x1f", "b": "010", "c": "12ab"}),
        ("a = 9223372036854775808", {"a": "9223372036854775808"}),
        (f"a = {'9' * 5000}", {"a": "9" * 5000}),
        ("vif = [ 'bridge=br0', 5, ['a', 6] ]", {"vif": ["bridge=br0", 5, ["a", 6]]}),
        ("disk = [ 'a' ]\ndisk += [ 5 ]", {"disk": ["a", 5]}),
        ("a = 1; a += 2; b = 'x'; b += 3", {"a": "12", "b": "x3"}),
        ("a = 1\na = 'two'\n", {"a": "two"}),
    ],
)
def test_settings(text: str, read: dict[str, object]) -> None:
    found = config_text.settings(text)
    assert found == read
    assert [type(value) for value in found.values()] == [type(value) for value in read.values()]


# --- properties ------------------------------------------------------------------------------


@given(encodable, st.dictionaries(option_names, values), specs)
def test_what_is_rendered_reads_back(
    name: str, options: dict[str, object], disks: list[str]
) -> None:
    text = config_text.render(name, options, disks)
    assert config_text.is_rendered(text)
    assert config_text.name(text) == name
    assert config_text.disk_specs(text) == disks
    read = config_text.settings(text)
    assert {option: read[option] for option in options} == {
        option: as_settings_read(value) for option, value in options.items()
    }
    assert config_text.render(name, {option: read[option] for option in options}, disks) == text


def as_settings_read(value: object) -> object:
    if isinstance(value, list):
        return [as_settings_read(item) for item in value]
    return str(value) if isinstance(value, int) and value < 0 else value


def name_or_error(text: str) -> str | None:
    try:
        return config_text.name(text)
    except DomainConfigError as error:
        return str(error)


@given(st.text() | mutated() | joined(st.sampled_from([*"disk=+[]',\"#\n;\\ @1\r\0\ud800"])))
def test_no_other_exception(text: str) -> None:
    for call in (
        lambda: config_text.disk_specs(text),
        lambda: config_text.name(text),
        lambda: config_text.settings(text),
        lambda: config_syntax.quote(text),
        lambda: config_text.render(text, {text: text, "extra": [text, [text]]}, [text]),
    ):
        try:
            call()
        except DomainConfigError as error:
            assert str(error)


# --- xl's own parser -------------------------------------------------------------------------


def as_xl_reads(value: object) -> xl_parser.Value:
    """Strings and numbers are one type to xl's parser, and bools are numbers."""
    if isinstance(value, list):
        return [as_xl_reads(item) for item in value]
    return value if isinstance(value, str) else str(int(value))  # type: ignore[call-overload]


def is_refused_on_purpose(text: str, error: DomainConfigError) -> bool:
    """What xl takes, but loses something of: a numeric escape, disks, a stray last byte."""
    with xl_parser.Config(LIBRARY, text[:-1]) as all_but_the_last:
        lost = ("drops numeric escapes", "single string", "a list inside its list")
        return all_but_the_last.valid or any(words in str(error) for words in lost)


@needs_xl
@settings(max_examples=examples(400))
@given(encodable, st.dictionaries(option_names, values), specs)
def test_xl_reads_what_is_rendered(name: str, options: dict[str, object], disks: list[str]) -> None:
    with xl_parser.Config(LIBRARY, config_text.render(name, options, disks)) as config:
        assert config.valid
        assert config.get("name") == name
        assert config.get("disk") == disks
        for option, value in options.items():
            assert config.get(option) == as_xl_reads(value)
            if isinstance(value, int):
                assert config.get_long(option) == value


@needs_xl
@settings(max_examples=examples(400))
@given(configs | mutated())
@example("# no line end")
@example("#")
@example("name = 'x' @")
@example("name = '\\101'")
@example("disk = 'a'; disk += 'b'")
@example("disk = ['a', ['b']]")
def test_xl_reads_the_same_disks(text: str) -> None:
    with xl_parser.Config(LIBRARY, text) as config:
        try:
            disks = config_text.disk_specs(text)
        except DomainConfigError as error:
            assert not config.valid or is_refused_on_purpose(text, error)
        else:
            assert config.valid
            assert disks == (config.get("disk") or [])
            assert name_or_error(text) == config.get("name") or isinstance(config.get("name"), list)
