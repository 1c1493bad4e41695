# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import struct
from pathlib import Path
from typing import Any, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import usage
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage
from ansible_collections.xen.blockdev.plugins.module_utils.xen import saved_domains
from ansible_collections.xen.blockdev.plugins.module_utils.xen.saved_domains import SavedDisk
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.imageutil import bound
from hypothesis import given
from hypothesis import strategies as st

CONFIG = {
    "c_info": {"type": "pv", "name": "web"},
    "disks": [
        {"pdev_path": "/dev/vg0/web", "vdev": "xvda", "backend": "phy", "readwrite": 1},
        {"pdev_path": "/srv/iso/a.iso", "vdev": "hdc", "removable": 1, "is_cdrom": 1},
        {"vdev": "hdd", "is_cdrom": 1},
    ],
}


def saved(config: Any = None, flags: int = 3, order: int = 0x01020304) -> bytes:
    """What xl writes: its header, the configuration, and then the guest's memory."""
    text = json.dumps(CONFIG if config is None else config).encode() + b"\0"
    magic = b"Xen saved domain, xl format\n \0 \r"
    header = struct.pack("=32s4I", magic, order, flags, 0, len(text) + 4)
    return header + struct.pack("=I", len(text)) + text + b"LibxlFmt and memory"


def test_disks() -> None:
    assert saved_domains.parse(saved(), "/save/web") == [
        SavedDisk("web", "xvda", "/dev/vg0/web", False, "/save/web"),
        SavedDisk("web", "hdc", "/srv/iso/a.iso", True, "/save/web"),
    ]
    assert saved_domains.parse(saved({"c_info": {"name": "web"}}), "/save/web") == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"LinuxGuestRecord",
        saved()[:40],
        saved()[:49],
        saved(flags=2),
        saved(order=0x04030201),
        saved([]),
        saved({"c_info": {}}),
        saved({"c_info": {"name": "web"}, "disks": [{"pdev_path": "/a"}]}),
        saved({"c_info": {"name": "web"}, "disks": 7}),
        pytest.param(
            saved()[:44] + struct.pack("=2I", 2**20, 2**20) + b"[" * 2**20, id="nested too deep"
        ),
    ],
)
def test_files_that_are_not_save_files(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "web"
    file.write_bytes(data)
    assert saved_domains.read(str(file)) == []


@given(st.binary())
def test_nothing_else_comes_of_anything(tail: bytes) -> None:
    for data in (tail, saved()[:48] + tail):
        with contextlib.suppress(*saved_domains.NOT_SAVED):
            saved_domains.parse(data, "/save/web")


@pytest.mark.parametrize("what", ["listdir", "open"])
def test_what_cannot_be_read_is_not_taken_for_nothing(
    directory: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    save(directory, "/dev/vg0/web")

    def fail(*_arguments: Any, **_options: Any) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    place = {"listdir": os, "open": saved_domains}[what]
    monkeypatch.setattr(place, what, fail, raising=False)
    with pytest.raises(OSError, match="Input/output error"):
        saved_domains.saved_disks()


def test_no_file_has_no_disks(tmp_path: Path) -> None:
    assert saved_domains.read(str(tmp_path / "no")) == []
    assert saved_domains.read(str(tmp_path)) == []


@pytest.mark.parametrize(
    ("settings", "directory"),
    [
        ("", "/var/lib/xen/save"),
        ("#XENDOMAINS_SAVE=/x\n", "/var/lib/xen/save"),
        ("XENDOMAINS_SAVE=/x\n", "/x"),
        ('  XENDOMAINS_SAVE="/x y" # there\n', "/x y"),
        ("XENDOMAINS_SAVE=\nXENDOMAINS_AUTO=/y\n", "/var/lib/xen/save"),
        ("XENDOMAINS_SAVE=/x\nXENDOMAINS_SAVE=/y\n", "/y"),
        ("XENDOMAINS_SAVE='\n", "/var/lib/xen/save"),
    ],
)
def test_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str, directory: str
) -> None:
    (tmp_path / "xendomains").write_text(settings)
    monkeypatch.setattr(saved_domains, "SETTINGS", ("/nonexistent", str(tmp_path / "xendomains")))
    assert saved_domains.directory() == directory


# Who uses a file or device


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where domains are saved."""
    place = tmp_path / "save"
    place.mkdir()
    monkeypatch.setattr(saved_domains, "directory", lambda: str(place))
    monkeypatch.setattr(usage.xen_state, "attached_devices", list)
    return place


def save(directory: Path, *targets: str) -> None:
    disks = [
        {"pdev_path": target, "vdev": f"xvd{letter}", "readwrite": 1}
        for target, letter in zip(targets, "abc")
    ]
    (directory / "web").write_bytes(saved({"c_info": {"name": "web"}, "disks": disks}))


def users(bindings: List[Any], path: Path) -> List[str]:
    found = Usage()
    found.bindings = bindings
    return [user.sentence for user in found.of_file(os.stat(path)) if user.kind == "saved"]


@pytest.mark.parametrize("form", ["{}", "/dev/disk/by-loop-file{}"])
def test_image_of_a_saved_domain(tmp_path: Path, directory: Path, form: str) -> None:
    """Also while nothing has bound it."""
    image, other = tmp_path / "a.raw", tmp_path / "b.raw"
    for path in (image, other):
        path.write_bytes(bytes(512))
    save(directory, "/nonexistent", form.format(image))
    sentence = f"disk xvdb of domain web, which is saved in {directory}/web"
    assert users([], image) == [sentence]
    assert users([], other) == []
    binding = bound(image)
    found = Usage()
    found.bindings = [binding]
    assert [user.sentence for user in found.of_device(binding.rdev)] == [sentence]


def test_device_of_a_saved_domain(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop device by its number counts as the image to which it is bound now."""
    image = tmp_path / "a.raw"
    image.write_bytes(bytes(512))
    binding = bound(image)
    save(directory, binding.device)
    status = os.stat_result((stat.S_IFBLK, 1, 5, 1, 0, 0, 0, 0, 0, 0), {"st_rdev": binding.rdev})
    real_stat = os.stat

    def stat_of(path: Any, **options: Any) -> os.stat_result:
        return status if path == binding.device else real_stat(path, **options)

    monkeypatch.setattr(os, "stat", stat_of)
    sentence = f"disk xvda of domain web, which is saved in {directory}/web"
    assert users([binding], image) == [sentence]
    found = Usage()
    found.bindings = [binding]
    assert sentence in [user.sentence for user in found.of_device(binding.rdev)]
