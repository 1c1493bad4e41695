# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configs of MirageOS: every form that a version has written, and odd names in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.config import mirage_xl
from ansible_collections.xen.blockdev.plugins.module_utils.config import syntax as config_syntax
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.config.mirage_xl import (
    MirageConfig,
    MirageConfigError,
)
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils import xl_parser
from hypothesis import given
from hypothesis import strategies as st

LIBRARY = xl_parser.load()
needs_xl = pytest.mark.skipif(LIBRARY is None, reason="libxlutil (libxenmisc) is not installed")

DATA = Path(__file__).parents[3] / "data" / "mirage"

# What each version says of its own; the same for NAME.xl and NAME.xl.in.
KINDS: Dict[str, Dict[str, Any]] = {
    "2.6.0": {"builder": "linux"},
    "2.6.1": {"builder": "linux"},
    "3.7.7": {"builder": "linux"},
    "3.8.1": {"type": "pv"},
    "3.10.8": {"type": "pvh"},
    "4.11.1": {"type": "pvh"},
    "4.11.1-bare": {"type": "pvh"},
}
KERNELS = {
    "2.6.0": "/home/user/hello/mir-hello.xen",
    "2.6.1": "/home/user/hello/mir-hello.xen",
    "3.7.7": "/home/user/hello/hello.xen",
    "3.8.1": "/home/user/hello/hello.xen",
    "3.10.8": "/home/user/hello/hello.xen",
    "4.11.1": "hello.xen",
    "4.11.1-bare": "hello.xen",
}
NETWORKS = {"2.6.1": ["tap0"], "4.11.1": ["management", "service"], "4.11.1-bare": []}
FORMS = sorted(file.name for file in DATA.iterdir())
OPEN = [form for form in FORMS if form.endswith(".in")]


def version(form: str) -> str:
    return form.rpartition(".xl")[0]


def read(form: str) -> str:
    """As a file lookup gives it, without the line end at its end."""
    return (DATA / form).read_text().rstrip()


def files(form: str) -> List[str]:
    if form.startswith("4.11.1-bare"):
        return []
    if form.startswith("4"):
        return ["data/my disk.tar", "disk.img"]
    folder = "" if form.endswith(".in") else "/home/user/hello/"
    return [f"{folder}my data.tar", f"{folder}disk.img"]


def bridges(form: str) -> Optional[List[str]]:
    if form == "2.6.0.xl":
        return None
    return [f"bridge=xenbr{i}" for i in range(len(NETWORKS.get(version(form), ["0"])))]


def with_disks(*specs: str) -> MirageConfig:
    disks = ", ".join(config_syntax.quote(spec) for spec in specs)
    return mirage_xl.parse(f"name = '@NAME@'\nmemory = @MEMORY@\ndisk = [ {disks} ]\n")


def of_files(*names: str) -> MirageConfig:
    specs = [f"format=raw, vdev=xvd{chr(98 + i)}, target={name}" for i, name in enumerate(names)]
    return with_disks(*specs)


# ---- the forms ----


def test_that_every_version_is_there() -> None:
    assert {version(form) for form in FORMS} == {*KINDS}
    assert {version(form) for form in OPEN} == {*KINDS} - {"2.6.0"}


@pytest.mark.parametrize("form", FORMS)
def test_that_the_blocks_are_read(form: str) -> None:
    config = mirage_xl.parse(read(form))
    assert [block.file for block in config.blocks] == files(form)
    slots = [block.disk for block in config.blocks]
    raw = {"format": "raw", "access": "rw"}
    assert slots == [{"vdev": "xvdc", **raw}, {"vdev": "xvdb", **raw}][: len(files(form))]


@pytest.mark.parametrize("form", FORMS)
def test_that_the_options_are_read_and_filled(form: str) -> None:
    kind, crash = KINDS[version(form)], {"on_crash": "preserve"}
    networks = NETWORKS.get(version(form), ["0"]) if form in OPEN else []
    vif = {} if bridges(form) is None else {"vif": bridges(form)}
    config = mirage_xl.parse(read(form))
    assert config.networks == networks
    chosen = {name: f"xenbr{i}" for i, name in enumerate(networks)}
    kernel = {"kernel": KERNELS[version(form)]}
    if form not in OPEN:
        as_built = {**kernel, "memory": 256, **kind, **crash, **vif}
        assert config.options == config.filled("web", None, None, {}) == as_built
    assert config.filled("web", "/srv/hello.xen", 32, chosen) == {
        "kernel": "/srv/hello.xen",
        "memory": 32,
        **kind,
        **crash,
        **vif,
    }


@pytest.mark.parametrize("form", OPEN)
def test_that_what_is_not_given_stays_open(form: str) -> None:
    config = mirage_xl.parse(read(form))
    left = config.filled("web", None, None, {})
    assert left == config.options
    assert (left["kernel"], left["memory"]) == ("@KERNEL@", "@MEMORY@")


def test_that_the_name_is_the_domains() -> None:
    text = "name = '@NAME@'\nkernel = '/srv/@NAME@.xen'\nmemory = @MEMORY@\nmaxmem = @MEMORY@ # x\n"
    text += "extra = 'mem=@MEMORY@ @KERNEL@'\n"
    assert mirage_xl.parse(text).filled("web", None, 64, {}) == {
        "kernel": "/srv/web.xen",
        "memory": 64,
        "maxmem": 64,
        "extra": "mem=64 @KERNEL@",
    }


@needs_xl
@pytest.mark.parametrize("form", FORMS)
def test_that_xl_reads_what_was_filled_alike(form: str) -> None:
    config = mirage_xl.parse(read(form))
    chosen = {name: f"xenbr{i}" for i, name in enumerate(config.networks)}
    options = config.filled("web", "/srv/hello.xen", 32, chosen)
    if form not in OPEN:
        with xl_parser.Config(LIBRARY, (DATA / form).read_text()) as built:
            as_built = config.filled("web", None, None, {})
            assert {option: built.get(option) for option in as_built} == {
                option: str(value) if isinstance(value, int) else value
                for option, value in as_built.items()
            }
    with xl_parser.Config(LIBRARY, config_text.render("web", options, [])) as filled:
        assert filled.get("name") == "web"
        assert filled.get("kernel") == "/srv/hello.xen"
        assert filled.get_long("memory") == 32
        assert filled.get("vif") == bridges(form)


# ---- what is wrong with a text ----


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not the text of a config"),
        ("mirage/hello.xl.in", 'is not the text of a config; read a file with "{{ lookup('),
        ("name = 'x'\nmemory = @MEM@\n", "line 2 .*@MEM@ looks like a placeholder"),
        ("name = 'x'\r\nmemory = @MEMORY@\r\n", "line 1 .*carriage return"),
        ("disk = [ 'target=@BLOCK:it's.img@, vdev=xvdb' ]", "line 1 is not valid"),
        ("disk = 'vdev=xvdb, target=a'", "disk is a single string"),
        ("disk = [ 'vdev=xvdb, taget=a' ]", "disk specification 'vdev=xvdb, taget=a'"),
        ("disk = [ 'target=a' ]", "it has no vdev"),
        ("disk = [ 'vdev=xvd, target=a' ]", "vdev: 'xvd' lacks the letter of its disk"),
        ("disk = [ 'vdev=xvdb, cdrom' ]", "'vdev=xvdb, cdrom' has no target"),
    ],
)
def test_that_another_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(MirageConfigError, match=message.replace("(", r"\(").replace("{", r"\{")):
        mirage_xl.parse(text)


def test_that_the_error_is_of_the_family() -> None:
    assert issubclass(MirageConfigError, BlockdevError)


# ---- the block that is meant ----


@pytest.mark.parametrize(
    ("names", "meant", "found"),
    [
        (["@BLOCK:disk.img@", "@BLOCK:b@"], "disk.img", "disk.img"),
        (["disk.img", "data/disk.img"], "disk.img", "disk.img"),
        (["disk.img", "data/disk.img"], "data/disk.img", "data/disk.img"),
        (["@BLOCK:data/disk.img@"], "disk.img", "data/disk.img"),
        (["/home/me/disk.img"], "disk.img", "/home/me/disk.img"),
        (["@BLOCK:a@b@"], "a@b", "a@b"),
        (["disk.img"], "disk", None),
        (["disk.img"], "isk.img", None),
        ([], "disk.img", None),
    ],
)
def test_that_a_written_block_is_found(names: List[str], meant: str, found: Optional[str]) -> None:
    block = of_files(*names).block(meant)
    assert (block and block.file) == found


@pytest.mark.parametrize(
    ("names", "disk", "found"),
    [
        (["disk.img", "disk"], "disk", "disk"),
        (["disk.img", "disk"], "disk.img", "disk.img"),
        (["disk.img", "a/disk"], "disk", "a/disk"),
        (["@BLOCK:data/disk.img@"], "disk", "data/disk.img"),
        (["/home/me/disk.tar.gz"], "disk.tar", "/home/me/disk.tar.gz"),
        (["my disk.img"], "disk", None),
    ],
)
def test_that_the_block_of_a_disk_is_found(
    names: List[str], disk: str, found: Optional[str]
) -> None:
    block = of_files(*names).block_for(disk)
    assert (block and block.file) == found


@pytest.mark.parametrize(
    ("names", "disk"),
    [
        (["disk.img", "disk.tar"], "disk"),
        (["a/disk", "b/disk"], "disk"),
        (["disk", "disk"], "disk"),
    ],
)
def test_that_a_block_is_not_guessed(names: List[str], disk: str) -> None:
    with pytest.raises(MirageConfigError, match=f"'disk' matches several .*{names[0]}.*{names[1]}"):
        of_files(*names).block_for(disk)


# ---- properties ----

# What Mirage can write without breaking its own config: it escapes nothing.
PLAIN = st.text(
    st.characters(exclude_characters="\0\n'\\", exclude_categories=["Cs"]), min_size=1, max_size=20
)
NUMBERS = st.integers(1, 700)


def generated(blocks: Dict[int, str], networks: List[str]) -> str:
    """What Mirage writes, its blocks in any order."""
    disks = ", ".join(
        f"'format=raw, vdev={device_number.from_disk_number(number).linux_device}, access=rw, "
        f"target=@BLOCK:{file}@'"
        for number, file in blocks.items()
    )
    vif = ", ".join(f"'bridge=@NETWORK:{network}@'" for network in networks)
    return (
        "name = '@NAME@'\nkernel = '@KERNEL@'\ntype = 'pvh'\nmemory = @MEMORY@\n"
        f"on_crash = 'preserve'\n\ndisk = [ {disks} ]\n\n# set\nvif = [ {vif} ]\n"
    )


@given(
    st.dictionaries(NUMBERS, PLAIN, max_size=5),
    st.lists(PLAIN.filter(lambda name: "@" not in name), max_size=3, unique=True),
    PLAIN,
)
def test_that_what_is_filled_reads_back(
    blocks: Dict[int, str], networks: List[str], kernel: str
) -> None:
    config = mirage_xl.parse(generated(blocks, networks))
    assert [block.file for block in config.blocks] == [*blocks.values()]
    numbers = [device_number.parse(block.disk["vdev"]).disk for block in config.blocks]
    assert numbers == [*blocks]
    assert config.networks == networks
    kernel = f"/{kernel}'\\"
    chosen = {network: f"br'{i}" for i, network in enumerate(networks)}
    filled = config.filled("web", kernel, 256, chosen)
    assert config_text.settings(config_text.render("web", filled, [])) == {
        "name": "web",
        "type": "pvh",
        "kernel": kernel,
        "memory": 256,
        "on_crash": "preserve",
        "vif": [f"bridge=br'{i}" for i in range(len(networks))],
        "disk": [],
    }


@given(st.text() | st.text(st.sampled_from([*"disk=[]'@MEMORY\n#,vdexb targ"])))
def test_that_only_the_one_error_comes(text: str) -> None:
    try:
        mirage_xl.parse(text)
    except MirageConfigError as error:
        assert str(error)
