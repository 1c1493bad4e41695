# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that try to break out, images that lie, and what nobody else may ever read."""

from __future__ import annotations

import json
import os
import shutil
import stat
import struct
import subprocess
from pathlib import Path
from typing import Any, Callable, Dict, List, Set

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.xen.blockdev.plugins.filter import device_number, disk_plan, disk_spec
from ansible_collections.xen.blockdev.plugins.module_utils.config import syntax as config_syntax
from ansible_collections.xen.blockdev.plugins.module_utils.config import text as config_text
from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec
from ansible_collections.xen.blockdev.plugins.module_utils.image import file_actions
from ansible_collections.xen.blockdev.tests.robustness import harness
from ansible_collections.xen.blockdev.tests.robustness.harness import Outcome, call

MIB = 1024**2
NEEDS_QEMU_IMG = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="no qemu-img here")

PAYLOADS = [
    "'",
    '"',
    "a'b\"c",
    "a\nb",
    "a\n",
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned #",
    "| touch pwned",
    "-rf",
    "--help",
    "..",
    "../../pwned",
    "a/../../pwned",
    "a/b",
    "/etc/passwd",
    "%n%s",
    "{{ 7 * 7 }}",
    "a,b=c",
    "a\\",
    "\\x27, 'vdev=xvdz, target=/etc/shadow",
    "a', 'vdev=xvdz, target=/etc/shadow",
    "disk = []",
    "ü\u202e",
    "a b\t",
    "\x1b[2J",
    "a\0b",
    "x" * 4096,
    "",
    ".",
    "~",
    "*",
    "=",
]


NOT_TEXT = ["\udcff\udc80", "\ud800"]
"""What Ansible itself does not hand over to a module."""


def untraced(outcome: Outcome) -> Outcome:
    """The outcome of a module that has ended as a module does, with a result of its own."""
    assert outcome.result is not None, outcome.said
    assert "Traceback" not in outcome.said, outcome.said
    assert not outcome.failed or outcome.message
    harness.count("hostile inputs")
    return outcome


def all_files(path: Path) -> Set[str]:
    return {str(one) for one in path.rglob("*") if not one.is_dir()}


# ---- names ----


@pytest.mark.parametrize("payload", PAYLOADS)
def test_an_image_is_made_by_exactly_this_name_or_not_at_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch, payload: str
) -> None:
    (folder / "in").mkdir()
    monkeypatch.chdir(folder)  # where a command from a name would run
    before = all_files(folder.parent)
    path = f"{folder}/in/{payload}"
    outcome = untraced(call("xen_raw_disk", path=path, size=4096, parents=True))
    wanted = set() if outcome.failed else {os.path.realpath(path)}
    assert all_files(folder.parent) - before == wanted
    outcome = untraced(call("xen_raw_disk", path=path, state="absent"))
    assert all_files(folder.parent) == before


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_config_says_exactly_what_was_asked(folder: Path, payload: str) -> None:
    path = folder / "a.cfg"
    values = {"kernel": payload, "args": [payload, [payload, -1]], "memory": 64}
    disks = [
        {"target": payload, "vdev": "xvda", "script": payload},
        {"target": f"/a/{payload}", "vdev": "xvdb"},
    ]
    for domain, options, wanted in (
        (payload, None, None),
        ("web", values, disks[1:]),
        ("web", None, disks[:1]),
    ):
        outcome = untraced(
            call("xen_domain_config", domain=domain, path=str(path), options=options, disks=wanted)
        )
        made = harness.names(folder)
        assert made == ([] if outcome.failed else ["a.cfg"])
        if outcome.failed:
            continue
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        assert config_text.name(text) == domain
        said = config_syntax.effective(config_syntax.parse(text))
        assert set(said) == {"name", "disk", *(options or ())}
        if options:
            assert said["kernel"] == payload
            assert said["args"] == [payload, [payload, "-1"]]
        defaults = {"format": "raw", "access": "rw"}
        found = [DiskSpec.parse(spec).as_dict() for spec in config_text.disk_specs(text)]
        assert found == [{**defaults, **disk} for disk in wanted or ()]
        path.unlink()


@pytest.mark.parametrize("payload", PAYLOADS + NOT_TEXT)
def test_a_name_never_leads_out_of_the_directories_of_the_plan(payload: str) -> None:
    domains: List[List[Dict[str, Any]]] = [
        [{"name": payload}],
        [{"name": payload, "disks": [{"name": "a", "size": "1M"}]}],
        [{"name": "web", "disks": [{"name": payload, "size": "1M"}]}],
    ]
    for wanted in domains:
        try:
            entries = disk_plan.disk_plan(wanted, images_dir="/srv/xen")
            configs = disk_plan.domain_configs(wanted, config_dir="/etc/xen")
        except AnsibleFilterError:
            continue
        finally:
            harness.count("hostile inputs")
        for path, parts in (
            *((entry["image"]["path"], 5) for entry in entries),
            *((config["path"], 4) for config in configs),
        ):
            assert os.path.normpath(path) == path
            assert len(path.split("/")) == parts
            assert "$" not in path


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning:jmespath")
@pytest.mark.parametrize("payload", PAYLOADS + NOT_TEXT)
def test_filters_raise_their_own_error_only(payload: str) -> None:
    filters: List[Callable[[Any], object]] = [
        *device_number.FilterModule().filters().values(),
        *disk_spec.FilterModule().filters().values(),
        *disk_plan.FilterModule().filters().values(),
        lambda value: disk_plan.disk_plan([], query=value),
        lambda value: disk_plan.disk_plan([], images_dir=value, state=value),
    ]
    disk = {"target": payload, "vdev": payload, "script": payload, payload: payload}
    domain = {"name": "web", "disks": [{**disk, "name": "a"}], "config": {payload: payload}}
    for value in (payload, [payload], {payload: payload}, disk, [domain], {"vdev": "xvda", **disk}):
        for convert in filters:
            harness.count("hostile inputs")
            try:
                convert(value)
            except AnsibleFilterError as error:
                assert str(error)


# ---- images of other formats ----


def qcow2_that_names(backing_file: str) -> bytes:
    """The first sectors of a qcow2 image whose data is in another file, as a guest can write it
    into its raw disk (docs/interop/qcow2.txt of QEMU)."""
    name = backing_file.encode()
    header = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 512, len(name), 16, MIB, 0, 1, 65536, 0, 0, 0, 0
    )
    return header.ljust(512, b"\0") + name.ljust(512, b"\0")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the host that no guest may see."""
    path = tmp_path / "shadow"
    path.write_bytes(b"root:secret:" * 4096)
    path.chmod(0o600)
    return path


def refused_without(secret: Path, outcome: Outcome, folder: Path) -> str:
    """Why a copy failed, which has brought nothing into the folder."""
    assert untraced(outcome).failed
    assert "root:secret" not in outcome.said
    assert harness.names(folder) == []
    assert secret.stat().st_size == 12 * 4096
    return outcome.message


@pytest.mark.parametrize("magic", [b"QFI\xfb", b"QED\0", b"KDMV", b"vhdxfile", b"conectix"])
def test_what_a_guest_wrote_to_its_disk_is_not_looked_into(
    tmp_path: Path, folder: Path, secret: Path, magic: bytes
) -> None:
    source = tmp_path / "guest.raw"
    source.write_bytes(qcow2_that_names(str(secret)).replace(b"QFI\xfb", magic).ljust(MIB, b"\0"))
    outcome = call("xen_raw_disk", path=f"{folder}/a.raw", source=str(source))
    assert "has the signature of a" in refused_without(secret, outcome, folder)


def test_what_looks_like_no_image_at_its_beginning_is_copied_as_bytes(
    tmp_path: Path, folder: Path, secret: Path
) -> None:
    source = tmp_path / "guest.raw"
    content = (bytes(512) + qcow2_that_names(str(secret))).ljust(MIB, b"\1")
    source.write_bytes(content)
    assert untraced(call("xen_raw_disk", path=f"{folder}/a.raw", source=str(source))).changed
    assert (folder / "a.raw").read_bytes() == content


def backing_file(path: Path, secret: Path) -> None:
    options = ["-qf", "qcow2", "-F", "raw", "-b"]
    subprocess.run(["qemu-img", "create", *options, secret, path, "1M"], check=True)


def a_header_alone(path: Path, secret: Path) -> None:
    path.write_bytes(qcow2_that_names(str(secret)).ljust(4 * 65536, b"\0"))


def relative_backing_file(path: Path, secret: Path) -> None:
    path.write_bytes(qcow2_that_names(f"../{path.parent.name}/shadow").ljust(4 * 65536, b"\0"))


def json_backing_file(path: Path, secret: Path) -> None:
    name = json.dumps({"driver": "raw", "file": {"driver": "file", "filename": str(secret)}})
    path.write_bytes(qcow2_that_names(f"json:{name}").ljust(4 * 65536, b"\0"))


def data_file(path: Path, secret: Path) -> None:
    content = secret.read_bytes()
    options = f"data_file={secret},data_file_raw=on"
    subprocess.run(["qemu-img", "create", "-qf", "qcow2", "-o", options, path, "1M"], check=True)
    secret.write_bytes(content)


def vmdk_descriptor(path: Path, secret: Path) -> None:
    path.write_text(
        '# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="'
        f'monolithicFlat"\nRW 96 FLAT "{secret.name}" 0\nddb.adapterType = "ide"\n'
    )


@NEEDS_QEMU_IMG
@pytest.mark.parametrize(
    ("make", "source_format"),
    [
        (backing_file, "qcow2"),
        (a_header_alone, "qcow2"),
        (relative_backing_file, "qcow2"),
        (json_backing_file, "qcow2"),
        (data_file, "qcow2"),
        (vmdk_descriptor, "vmdk"),
    ],
)
def test_an_image_that_names_a_file_of_the_host_brings_nothing_of_it(
    tmp_path: Path,
    folder: Path,
    secret: Path,
    make: Callable[[Path, Path], None],
    source_format: str,
) -> None:
    source = tmp_path / "image"
    make(source, secret)
    options = {"source": str(source), "source_format": source_format}
    message = refused_without(secret, call("xen_raw_disk", path=f"{folder}/a", **options), folder)
    assert "takes data from" in message or "qemu-img info failed" in message


@NEEDS_QEMU_IMG
@pytest.mark.parametrize("at", [1, 2])
def test_an_image_that_comes_to_name_a_file_of_the_host_brings_nothing_of_it(
    tmp_path: Path, folder: Path, secret: Path, at: int
) -> None:
    source, lies = tmp_path / "image", tmp_path / "lies"
    subprocess.run(["qemu-img", "create", "-qf", "qcow2", source, "1M"], check=True)
    backing_file(lies, secret)
    assert lies.stat().st_size == source.stat().st_size
    left = [at]

    def hook(event: str, _arguments: tuple) -> None:
        if event == "subprocess.Popen":
            left[0] -= 1
            if left[0] == 0:
                source.write_bytes(lies.read_bytes())

    options = {"source": str(source), "source_format": "qcow2"}
    message = refused_without(
        secret, call("xen_raw_disk", hook, path=f"{folder}/a", **options), folder
    )
    assert ("takes data from" if at == 1 else "was changed in the meantime") in message


# ---- what nobody else may read ----


class Watch:
    """Looks at each file in the folder whenever the module touches the system."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._log = folder, folder.parent / "seen"
        self._busy = False

    def __call__(self, event: str, _arguments: tuple) -> None:
        if self._busy or not event.startswith(harness.TOUCHES):
            return
        self._busy = True
        os.umask(0)
        with self._log.open("a") as log:
            for path in self._folder.rglob("*"):
                if not path.is_dir():
                    log.write(f"{path.name} {stat.S_IMODE(path.lstat().st_mode):o}\n")
            log.write("looked\n")
        self._busy = False

    def modes(self) -> List[str]:
        lines = self._log.read_text().splitlines()
        assert lines.count("looked") > 1
        return sorted({line for line in lines if line != "looked"})


@pytest.mark.parametrize("unnamed", [True, False])
@pytest.mark.parametrize("how", ["create", "full", "copy", "copy in full", "convert"])
def test_an_image_is_never_readable_for_others(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, how: str, unnamed: bool
) -> None:
    if not unnamed:  # as on a file system without files that have no name

        def fail(_directory: int) -> int:
            raise OSError(95, "not supported")

        monkeypatch.setattr(file_actions, "_open_nameless", fail)
    options: Dict[str, Any] = {"size": MIB}
    if "full" in how:
        options["allocation"] = "full"
    if "co" in how:
        source = tmp_path / "base"
        source.write_bytes(b"x" * MIB)
        source.chmod(0o666)
        if how == "convert":
            if shutil.which("qemu-img") is None:
                pytest.skip("no qemu-img here")
            subprocess.run(["qemu-img", "create", "-qf", "qcow2", source, "1M"], check=True)
            options["source_format"] = "qcow2"
        options["source"] = str(source)
    watch = Watch(folder)
    assert untraced(call("xen_raw_disk", watch, path=f"{folder}/a.raw", **options)).changed
    modes = watch.modes()
    assert {mode.split()[1] for mode in modes} <= {"600"}
    assert unnamed or any(mode.startswith(".xen_raw_disk.") for mode in modes)
    assert stat.S_IMODE((folder / "a.raw").stat().st_mode) == 0o600


VNC = 'swordfish, "really"\\'


def with_password(password: str) -> Dict[str, Any]:
    return {
        "vncpasswd": password,
        "spicepasswd": password,
        "vfb": [f"type=vnc,vncpasswd={password.partition(',')[0]}"],
    }


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("old", [None, "rendered", "someone else's"])
def test_a_password_is_in_the_config_only(folder: Path, check: bool, old: Any) -> None:
    path = folder / "web.cfg"
    if old:
        mark = config_text.HEADER if old == "rendered" else "# vncpasswd=haddock"
        path.write_text(f"{mark}\nname = 'web'\nvncpasswd = 'haddock'\n")
        path.chmod(0o600)
    watch = Watch(folder)
    outcome = untraced(
        call(
            "xen_domain_config",
            watch,
            check,
            domain="web",
            path=str(path),
            options=with_password(VNC),
            overwrite=True,
            _ansible_diff=True,
        )
    )
    assert outcome.changed
    assert outcome.result and outcome.result["diff"]
    said = {key: value for key, value in outcome.result.items() if key != "invocation"}
    for word in ("swordfish", "really", "haddock"):
        assert word not in json.dumps(said)
    assert {mode.split()[1] for mode in watch.modes()} <= {"600"}
    if not check:
        text = path.read_text()
        assert config_syntax.effective(config_syntax.parse(text))["vncpasswd"] == VNC
