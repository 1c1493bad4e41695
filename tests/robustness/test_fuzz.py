# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parsers that are given anything, and a guest that writes anything to its part of xenstore.

Each run tries the same inputs. XEN_BLOCKDEV_FUZZ=N tries N random ones for each test instead.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import struct
from contextlib import suppress
from functools import lru_cache
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils import units
from ansible_collections.xen.blockdev.plugins.module_utils.config import disk_list, passwords
from ansible_collections.xen.blockdev.plugins.module_utils.config import syntax as config_syntax
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.disk import device_number
from ansible_collections.xen.blockdev.plugins.module_utils.disk.listed import ListedDisk
from ansible_collections.xen.blockdev.plugins.module_utils.disk.options import KEYS
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import STYLES, DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.disk.values import DiskSpecError
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, XenError
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.host.programs import Completed
from ansible_collections.xen.blockdev.plugins.module_utils.inventory import disk_plan
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import usage
from ansible_collections.xen.blockdev.plugins.module_utils.xen import saved_domains, xenstore, xl
from ansible_collections.xen.blockdev.plugins.module_utils.xen import state as xen_state
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Domain, Vbd
from ansible_collections.xen.blockdev.tests.exhaustive import examples
from ansible_collections.xen.blockdev.tests.integration.targets.setup_fake_xen.files.fake_xenstored import (  # noqa: E501
    Tree,
    Xenstored,
)
from ansible_collections.xen.blockdev.tests.robustness import harness
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.fake_xen_host import (
    WEB_UUID,
    recorded_store,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

RANDOM = int(os.environ.get("XEN_BLOCKDEV_FUZZ", "0"))


def fuzzed(*strategies: Any, number: int = 200) -> Callable[[Any], Any]:
    """Give a test inputs of these kinds, and count them."""

    def decorate(test: Callable[..., None]) -> Any:
        def counted(*arguments: Any) -> None:
            harness.count("hostile inputs")
            test(*arguments)

        tried = given(st.tuples(*strategies))(lambda arguments: counted(*arguments))
        configured = settings(
            database=None,
            derandomize=not RANDOM,
            max_examples=RANDOM or examples(number),
            suppress_health_check=list(HealthCheck),
        )(tried)

        def run() -> None:
            configured()

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return decorate


# ---- what people write ----

# Any code point, lone surrogates and NUL as well, and the signs that mean something to a parser.
NASTY = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=30)
SIGNS = st.text("\"'\\,=:;#[]{}()$`%/.-+ \t\r\n\0\x1b0189axMiBä\udc80", max_size=30)
WORDS = st.sampled_from(
    [
        "xvda",
        "hdc",
        "sdb3",
        "d0p0",
        "51712",
        "0xca00",
        "1MiB",
        "16M",
        "disk=[",
        "name=",
        "target=",
        "vdev=",
        "format=raw",
        "script=",
        "']",
        "qcow2:",
        "phy:",
        "absent",
        "present",
        "disks",
        "size",
        "path",
        "loop",
        "ro",
        "/srv/a",
        "/dev/disk/by-loop-file/a",
    ]
)
TEXT = NASTY | SIGNS | st.lists(WORDS | SIGNS, max_size=8).map("".join)
NUMBERS = (
    st.integers()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.integers(20, 5000).map(lambda digits: 10**digits)
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@fuzzed(ANYTHING, number=500)
def test_a_slot_or_the_documented_error(value: object) -> None:
    with suppress(device_number.DeviceNumberError):
        slot = device_number.parse(value)
        assert device_number.parse(slot.xenstore_key) == slot
        if slot.bus:
            named = device_number.parse(slot.linux_device)
            assert (named.bus, named.disk, named.partition) == (slot.bus, slot.disk, slot.partition)


@fuzzed(ANYTHING, number=500)
def test_a_size_or_the_documented_error(value: object) -> None:
    with suppress(units.SizeError):
        size = units.parse_size(value)
        assert size > 0
        assert size % units.SECTOR == 0
        assert units.parse_size(size) == size


DISKS = st.dictionaries(
    st.sampled_from(list(KEYS)) | TEXT, TEXT | st.booleans() | ANYTHING, max_size=6
)


@fuzzed(DISKS, st.sampled_from(["xvda", "51768", 5]), st.sampled_from(STYLES))
def test_a_disk_that_is_written_reads_back(disk: Any, vdev: object, style: str) -> None:
    wanted = {"vdev": vdev, "target": "/a", **disk}
    with suppress(DiskSpecError):
        disk_spec = DiskSpec.of(wanted)
        spec = disk_spec.render(style)
        assert DiskSpec.parse(spec) == disk_spec
        said = disk_spec.as_dict()
        assert set(said) == set(wanted)
        same = set(wanted) - {"access", "vdev"}  # w is rw, a number becomes text
        assert {key: said[key] for key in same} == {key: wanted[key] for key in same}
        with suppress(config_syntax.DomainConfigError):
            text = config_text.render("web", {}, [spec])
            assert config_text.disk_specs(text) == [spec]


@fuzzed(ANYTHING)
def test_a_specification_is_read_or_refused(spec: object) -> None:
    with suppress(DiskSpecError):
        disk = DiskSpec.parse(spec)
        with suppress(DiskSpecError):
            assert DiskSpec.parse(disk.render()) == disk


OPTIONS = st.dictionaries(st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True) | TEXT, ANYTHING)


@fuzzed(TEXT, OPTIONS, st.lists(TEXT, max_size=3))
def test_a_config_that_is_written_says_what_was_asked(
    name: str, options: Any, disks: List[str]
) -> None:
    with suppress(config_syntax.DomainConfigError):
        text = config_text.render(name, options, disks)
        assert config_text.name(text) == name
        assert config_text.disk_specs(text) == disks
        said = config_syntax.effective(config_syntax.parse(text))
        assert set(said) == {"name", "disk", *options}
        for option, value in options.items():
            if isinstance(value, str):
                assert said[option] == value


def meaning(spec: str) -> str:
    """What xl makes of a disk; the text of one that it cannot read."""
    try:
        return str(DiskSpec.parse(spec).meaning)
    except BlockdevError:
        return spec


CONFIGS = st.lists(TEXT | st.sampled_from(["\n", "disk = [ 'a' ]\n", "name='web'\n"])).map("".join)


@fuzzed(CONFIGS, st.lists(TEXT, max_size=3), number=400)
def test_a_config_of_any_text_is_changed_as_asked_or_refused(text: str, disks: List[str]) -> None:
    for read in (config_text.name, config_text.disk_specs):
        with suppress(config_syntax.DomainConfigError):
            read(text)
    with suppress(config_syntax.DomainConfigError):
        listed = [ListedDisk.read(disk) for disk in disks]
        changed = disk_list.replace_disks(text, listed)
        assert sorted(map(meaning, config_text.disk_specs(changed))) == sorted(map(meaning, disks))
        assert disk_list.replace_disks(changed, listed) == changed
    passwords.masked(text, "".join(disks))


def shown_of(password: str) -> List[str]:
    """What a diff shows of a new config with a password, and of one that stays."""
    text = config_text.render("web", {"vncpasswd": password}, [])
    return [*passwords.masked("", text), *passwords.masked(text, text)]


@fuzzed(TEXT)
def test_what_is_shown_does_not_depend_on_the_password(password: str) -> None:
    with suppress(config_syntax.DomainConfigError):
        assert shown_of(password) == shown_of("another")


DOMAIN_KEYS = [
    "name",
    "state",
    "disks",
    "config",
    "config_path",
    "autostart",
    "allow_slot_change",
    "unlisted_disks",
    "overwrite",
    "template",
    "kernel",
    "memory",
    "networks",
]
DISK_KEYS = [
    "name",
    "state",
    "path",
    "target",
    "vdev",
    "loop",
    "size",
    "source",
    "access",
    "format",
    "script",
    "backend",
    "backendtype",
    "allow_slot_change",
    "mode",
    "block",
    "xenstore_id",
]
TEMPLATE = "kernel = '/k'\nmemory = @MEMORY@\ndisk = [ 'vdev=xvdb, target=@BLOCK:a@' ]\n"
PLAN_VALUES = (
    ANYTHING
    | WORDS
    | st.sampled_from(["a", "b", "/srv/a", "/dev/b", "1MiB", True, TEMPLATE, {"extra": "@SLOT:a@"}])
)
PLAN_DISK = st.dictionaries(st.sampled_from(DISK_KEYS) | TEXT, PLAN_VALUES, max_size=6)
PLAN_DOMAIN = st.dictionaries(st.sampled_from(DOMAIN_KEYS) | TEXT, PLAN_VALUES, max_size=4)


@fuzzed(
    st.lists(st.tuples(PLAN_DOMAIN, st.lists(PLAN_DISK, max_size=3)), max_size=3),
    st.sampled_from(["/srv/xen", "/"]) | ANYTHING,
    st.sampled_from([None, "absent"]) | ANYTHING,
    number=300,
)
def test_a_plan_or_the_documented_error(domains: Any, images_dir: Any, state: Any) -> None:
    written: List[Any] = [{"disks": disks, **domain} for domain, disks in domains]
    good = [
        {"name": f"d{i}", "disks": [{"name": "a", **disk} for disk in disks]}
        for i, (_domain, disks) in enumerate(domains)
    ]
    for tried in (written, good, images_dir):
        with suppress(disk_plan.DiskPlanError):
            plan = disk_plan.plan(tried, images_dir, state=state)
            json.dumps(plan.entries)
            for entry in plan.entries:
                image = entry.get("image", {}).get("path", "/")
                assert os.path.normpath(image) == image
                assert "\0" not in image


# ---- what commands print and files hold ----


class Sends(xenstore.Channel):
    """xenstored that sends what the test says, whatever it is asked."""

    def __init__(self, sent: bytes) -> None:
        super().__init__(-1)
        self._sent = io.BytesIO(sent)

    def send(self, data: bytes) -> None:
        """Nobody reads it."""

    def readinto(self, buffer: Any) -> int:
        """Of what is sent, until there is no more."""
        return self._sent.readinto(buffer)


@fuzzed(
    st.lists(
        st.tuples(
            st.sampled_from(
                [xenstore.DIRECTORY, xenstore.DIRECTORY_PART, xenstore.ERROR, 2**32 - 1]
            ),
            st.sampled_from([0, 0, 0, 1, 2**31]),
            st.sampled_from([0, 0, 0, 1, 4096, 2**24, 2**31]),
            st.sampled_from([b"E2BIG\0", b"ENOENT\0", b"", b"\0", b"7\0", b"a\0b\0", b"7\0a\0\0"])
            | st.binary(max_size=20),
        ),
        max_size=8,
    )
)
def test_what_xenstored_answers_is_read_or_refused(
    answers: List[Tuple[int, int, int, bytes]],
) -> None:
    sent = b"".join(
        xenstore.HEADER.pack(kind, number, 0, length or len(text)) + text
        for kind, number, length, text in answers
    )
    connection = xenstore.Connection(Sends(sent), xenstore.WINDOW)
    with suppress(XenError):
        for names in connection.children(["/local/domain", "/libxl"][: 1 + len(sent) % 2]):
            assert "".join(f"{name}\0" for name in names).encode("utf-8", "surrogateescape") in sent


@fuzzed(TEXT, st.sampled_from(["-b----", "--p---", "---sc-", "-----d", "r----", "??????"]))
def test_a_list_of_domains_is_read_or_refused(name: str, flags: str) -> None:
    line = f"{name}   7  128     1     {flags}       4.2"
    head = "Name   ID   Mem VCPUs\tState\tTime(s)\nDomain-0   0  2048     2     r-----      10.5\n"
    with pytest.MonkeyPatch.context() as patch:
        for output in (name, f"{head}{line}\n", f"{line}\n{head}"):
            patch.setattr(programs, "run", lambda *_run, output=output: Completed(0, output, ""))
            with suppress(XenError):
                for one in xl.listed():
                    assert one.status
                    assert one.domid in (0, 7) or str(one.domid) in name
            xl.on_poweroff()


HEADER = struct.pack("=32s4I", saved_domains.MAGIC, saved_domains.BYTE_ORDER, 1, 0, 2**20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["c_info", "name", "disks", "pdev_path", "vdev", "readwrite"]),
            inner,
            max_size=4,
        )
    ),
)


@fuzzed(JSON, st.binary(max_size=60), st.integers(0, 120))
def test_a_saved_domain_or_none(config: object, noise: bytes, cut: int) -> None:
    known = {"c_info": {"name": "web"}, "disks": config}
    texts = [json.dumps(one).encode() for one in (config, known, {"c_info": config})]
    for data in (noise, HEADER[:cut] + noise, *(t[:cut] + noise + t[cut:] for t in texts), *texts):
        for file in (data, HEADER + struct.pack("=I", len(data)) + data):
            with suppress(*saved_domains.NOT_SAVED):
                for disk in saved_domains.parse(file, "/save/web"):
                    list(usage._statuses([disk.target]))


# ---- a guest that lies ----

GUEST, WEB = "/local/domain/1/device/vbd", Domain(1, "web", WEB_UUID)
"""What the guest web can write to: libxl gives it its frontends, and no more."""
OTHER = {
    # One whose backend is gone, and one that libxl has forgotten.
    "/libxl/1/device/vbd/51744/backend": "/local/domain/0/backend/vbd/1/51744",
    "/local/domain/0/backend/vbd/1/51760/physical-device": "7:3",
    "/local/domain/2/device/vbd/51712/state": "4",
    "/libxl/2/device/vbd/51712/backend": "/local/domain/0/backend/vbd/2/51712",
    "/local/domain/0/backend/vbd/2/51712/params": "/dev/loop7",
    "/local/domain/0/backend/vbd/2/51712/type": "phy",
    "/local/domain/0/backend/vbd/2/51712/mode": "w",
    "/local/domain/0/backend/vbd/2/51712/dev": "xvda",
    "/local/domain/0/backend/vbd/2/51712/online": "1",
    "/local/domain/0/backend/vbd/2/51712/physical-device": "7:7",
}
HONEST = {**recorded_store(), **OTHER}
SLOTS = st.sampled_from(
    ["51712", "51728", "51744", "51760", "99", "0", "-1", "9" * 30, "a", "51712x"]
)
NODES = st.sampled_from(
    [
        "backend",
        "backend-id",
        "state",
        "params",
        "type",
        "dev",
        "mode",
        "online",
        "physical-device",
        "hotplug-status",
        "hotplug-error",
        "script",
        "virtual-device",
        "sectors",
        "backend/params",
        "x",
    ]
)
LIES = (
    st.sampled_from(
        [
            "/local/domain/0/backend/vbd/2/51712",
            "/local/domain/0/backend/qdisk/1/51712",
            "/local/domain/2",
            "/dev/loop7",
            "/etc/shadow",
            "7:7",
            "phy",
            "qdisk",
            "0",
            "4",
            "-4",
            "9" * 20,
            "9" * 2048,
            '4\n/local/domain/0/backend/vbd/1/51712/params = "/etc/shadow"\n',
            '"\n/libxl/1/device/vbd/51712/backend = "/local/domain/0/backend/vbd/2/51712',
            '" = "',
            "x" * 2048,
            "\0",
            "\\",
            "",
        ]
    )
    | NASTY
)
WRITES = st.dictionaries(st.builds("{}/{}".format, SLOTS, NODES), LIES, max_size=6)


SERVED: Dict[str, str] = {}
"""What the stand-in for xenstored has."""


@pytest.fixture(scope="module", autouse=True)
def xenstored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A stand-in for the whole module, as what is fuzzed takes no fixtures."""
    path = str(tmp_path_factory.mktemp("xen") / "xenstored")
    server = Xenstored(path, lambda: Tree(SERVED))
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XENSTORED_PATH", path)
        yield
    server.stop()


def serve(values: Dict[str, str]) -> None:
    """Have these values in xenstore, as bytes whatever they are."""
    SERVED.clear()
    for path, value in values.items():
        SERVED[path] = value.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")


@dataclasses.dataclass(frozen=True)
class Told:
    """What is read of the host, less what only its guests can say of their own ends."""

    domains: List[Domain]
    vbds: List[Vbd]
    users: Dict[int, List[usage.User]]
    slots: List[Optional[Vbd]]


def told(values: Dict[str, str]) -> Told:
    serve(values)
    store = xen_state.read_store()
    of_host = usage.Usage(xen_state.vbds(store))
    return Told(
        xen_state.domains(store),
        [dataclasses.replace(vbd, frontend_state=None) for vbd in xen_state.vbds(store)],
        of_host._vbds_of_devices,
        [_told_of_slot(key) for key in (51712, 51744, 51760, 99)],
    )


def _told_of_slot(key: int) -> Optional[Vbd]:
    vbd = xen_state.read_slot(WEB, key)
    return vbd and dataclasses.replace(vbd, frontend_state=None)


@lru_cache(maxsize=None)
def told_if_honest() -> Told:
    return told(HONEST)


@fuzzed(WRITES, st.booleans(), number=300)
def test_what_a_guest_writes_changes_nothing_but_its_own_state(
    writes: Dict[str, str], wiped: bool
) -> None:
    values = dict(HONEST)
    if wiped:  # it can remove its frontends, too
        values = {path: value for path, value in values.items() if not path.startswith(GUEST)}
    values.update({f"{GUEST}/{node}": value for node, value in writes.items()})
    honest = told_if_honest()
    assert told(values) == honest
    for vbd in xen_state.vbds(xen_state.read_store()):
        assert len(vbd.states) < 100
        with suppress(BlockdevError):
            json.dumps(dataclasses.asdict(vbd))


def test_the_honest_host_has_disks_of_both_domains() -> None:
    honest = told_if_honest()
    assert [domain.name for domain in honest.domains] == ["Domain-0", "web", "db"]
    assert {vbd.domain for vbd in honest.vbds} == {"web", "db"}
    assert len(honest.users) > 1
    assert [bool(vbd) for vbd in honest.slots] == [True, True, True, False]
