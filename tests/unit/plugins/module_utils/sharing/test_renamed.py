# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real files that are renamed while made-up loop devices and guests have them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Iterator, List, Optional, Sequence

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import link as loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding, LoopError
from ansible_collections.xen.blockdev.plugins.module_utils.sharing import renamed, storage
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.renamed import (
    FormerNames,
    RenamedError,
)
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.usage import Usage
from ansible_collections.xen.blockdev.plugins.module_utils.xen import saved_domains
from ansible_collections.xen.blockdev.plugins.module_utils.xen.saved_domains import SavedDisk
from ansible_collections.xen.blockdev.plugins.module_utils.xen.state import Vbd
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.imageutil import bound, image


class KnownUsage(Usage):
    """Knows these loop devices and disks of guests."""

    def __init__(self, bindings: Sequence[Binding] = (), vbds: Sequence[Vbd] = ()) -> None:
        super().__init__(vbds)
        self.bindings = list(bindings)


@pytest.fixture(autouse=True)
def saved(monkeypatch: pytest.MonkeyPatch) -> List[SavedDisk]:
    disks: List[SavedDisk] = []
    monkeypatch.setattr(saved_domains, "saved_disks", lambda: disks)
    return disks


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory whose path is short enough for the kernel to keep."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The image that was called data.raw."""
    return image(tmp_path / "data.old")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "data.raw")


def of_new(path: str, *bindings: Binding, vbds: Sequence[Vbd] = ()) -> Optional[str]:
    """The error of creating an image at the path; None if there is none."""
    try:
        FormerNames(KnownUsage(bindings, vbds)).refuse_new(path)
    except RenamedError as error:
        return str(error)
    return None


def of_binding(path: str, *bindings: Binding) -> Optional[str]:
    """The error of binding the image at the path; None if there is none."""
    file = loop_binding.file_id(os.stat(path))
    try:
        FormerNames(KnownUsage(bindings)).refuse_binding(path, file, bindings)
    except RenamedError as error:
        return str(error)
    return None


def vbd(target: str, **options: object) -> Vbd:
    fields = {"domid": 1, "domain": "web", "xenstore_key": 51712, "vdev": "xvda", "access": "rw"}
    return Vbd(target=target, **{"backend_state": 4, **fields, **options})  # type: ignore[arg-type]


def test_a_disk_that_an_earlier_task_would_detach_has_no_name(path: str, old: Path) -> None:
    usage = KnownUsage([], [vbd(path)])
    with pytest.raises(RenamedError):
        FormerNames(usage, frozenset({("web", 51728), ("db", 51712)})).refuse_new(path)
    FormerNames(usage, frozenset({("web", 51712)})).refuse_new(path)


# ---- by what the loop device says ----


def test_the_path_by_which_it_was_bound(path: str, old: Path) -> None:
    held = bound(old, recorded=path)
    expected = (
        f"/dev/loop3 is bound to the image that was {path}, which is now {old}; rename it back, or "
        "unbind /dev/loop3 first (losetup -d) to give this name to another image"
    )
    assert of_new(path, held) == expected
    image(Path(path))
    assert of_binding(path, held) == expected


def test_other_paths_are_free(path: str, old: Path) -> None:
    for recorded in ("", "data.raw", f"{path}.2", str(old), f"{path} (deleted)"):
        assert of_new(path, bound(old, recorded=recorded)) is None


def test_an_image_that_was_not_renamed(path: str) -> None:
    held = bound(image(Path(path)), recorded=path)
    assert of_binding(path, held) is None


def test_what_was_deleted_is_the_business_of_others(path: str, old: Path) -> None:
    assert of_new(path, bound(old, recorded=path, deleted=True)) is None


def test_links_on_the_way(tmp_path: Path, path: str, old: Path) -> None:
    (tmp_path / "link").symlink_to(".")
    by_link = str(tmp_path / "link" / "data.raw")
    assert f"was {path}, which" in str(of_new(path, bound(old, recorded=by_link)))
    assert f"was {by_link}, which" in str(of_new(by_link, bound(old, recorded=path)))


def test_a_link_that_leads_to_another_image_is_no_renaming(tmp_path: Path, old: Path) -> None:
    """As with several versions of an image."""
    current = tmp_path / "current.raw"
    current.symlink_to(image(tmp_path / "new.raw").name)
    assert of_binding(str(current), bound(old, recorded=str(current))) is None


def test_a_directory_that_is_renamed(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    now = image(tmp_path / "new" / "data.raw")
    error = of_new(
        str(tmp_path / "web" / "data.raw"), bound(now, recorded=f"{tmp_path}/web/data.raw")
    )
    assert f"which is now {now}; rename it back" in str(error)


def test_an_image_whose_file_system_is_not_mounted(path: str, old: Path) -> None:
    error = of_new(path, bound(old, recorded=path, backing_file="/data.raw"))
    assert "which cannot be reached; mount its file system again, or unbind" in str(error)


def test_a_long_path_counts_only_if_its_beginning_has_changed(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    path = folder / "data.raw"
    held = bound(image(folder / "data.old"), recorded=str(path)[:50], recorded_whole=False)
    # It may as well have been bound by the name that it has.
    assert of_new(str(path), held) is None
    folder.rename(tmp_path / "short")
    held = bound(tmp_path / "short" / "data.old", recorded=str(path)[:50], recorded_whole=False)
    assert f"which is now {tmp_path}/short/data.old" in str(of_new(str(path), held))
    assert of_new(str(tmp_path / "other.raw"), held) is None


# ---- by the link of udev ----


def test_a_link_that_still_has_the_old_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, old: Path
) -> None:
    monkeypatch.setattr(loop_link, "LINK_DIR", str(tmp_path / "links"))
    link = Path(loop_link.link_of(path))
    link.parent.mkdir(parents=True)
    link.symlink_to("/dev/null")
    assert of_new(path, bound(old)) is None
    rdev = os.stat("/dev/null").st_rdev
    # The device is bound to another image now, and the link was not removed.
    assert of_new(path, bound(old, rdev=rdev, recorded="/srv/other.raw")) is None
    held = bound(old, rdev=rdev)
    assert f"/dev/loop3 is bound to the image that was {path}, which is now {old}" in str(
        of_new(path, held)
    )
    image(Path(path))
    assert "is bound to the image that was" in str(of_binding(path, held))


# ---- by what guests have ----


@pytest.mark.parametrize("linked", [True, False])
@pytest.mark.parametrize("now", [None, "/srv/data.old"])
def test_a_disk_of_a_guest(
    monkeypatch: pytest.MonkeyPatch, path: str, linked: bool, now: Optional[str]
) -> None:
    monkeypatch.setattr(storage, "backing_file_of", lambda _vbd: now)
    target = loop_link.link_of(path) if linked else path
    is_now = f", which is now {now}" if now else ""
    assert of_new(path, vbds=[vbd(target)]) == (
        f"domain web has the image that was {path} as xvda{is_now}"
        "; rename it back, or detach it first to give this name to another image"
    )


def test_disks_of_guests_that_say_nothing(path: str) -> None:
    others = [
        vbd(f"{path}.2"),
        vbd("data.raw"),
        vbd(path, backend_domid=2),
        vbd(path, backend_state=None),
        vbd(path, backend_state=1),
    ]
    assert of_new(path, vbds=others) is None


def test_a_device_that_a_guest_has_says_so(path: str, old: Path) -> None:
    held = bound(old, recorded=path)
    disk = vbd("/dev/loop3", physical_device=(7, 3))
    error = str(of_new(path, held, vbds=[disk]))
    assert error.startswith(
        "/dev/loop3 (attached to domain web as xvda) is bound to the image that was"
    )


def test_a_disk_of_a_saved_domain(path: str, saved: List[SavedDisk]) -> None:
    saved.append(SavedDisk("web", "xvda", f"{path}.2", False, "/var/lib/xen/save/web"))
    assert of_new(path) is None
    saved.append(SavedDisk("web", "xvdb", path, False, "/var/lib/xen/save/web"))
    assert of_new(path) == (
        "domain web, which is saved in /var/lib/xen/save/web, has an image of this name as xvdb; "
        "put the image back, or delete the save file if the domain is no longer needed"
    )


# ---- what cannot be known ----


def test_without_device_nodes_and_without_xenstore(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def no_nodes() -> List[Binding]:
        raise LoopError("/dev/loop3 is bound to /srv/a.raw but has no device node here")

    def no_xenstore() -> List[Vbd]:
        raise XenError("xenstored does not answer")

    monkeypatch.setattr(loop_binding, "scan", no_nodes)
    monkeypatch.setattr(renamed.xen_state, "attached_devices", no_xenstore)
    FormerNames(Usage()).refuse_new(path)
