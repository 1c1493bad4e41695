# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody else writes to the folder of the images: links in the way, sources that change."""

from __future__ import annotations

import inspect
import os
import re
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Callable, Dict, Iterator, List, Optional, Pattern, Sequence

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.host import files
from ansible_collections.xen.blockdev.tests.exhaustive import STRIDE
from ansible_collections.xen.blockdev.tests.robustness import harness
from ansible_collections.xen.blockdev.tests.robustness.harness import Hook, Outcome, call

MIB = 1024**2
SECRET = b"only for root to read " * 100
OTHER_USER = 65534
PLUGINS = "/xen/blockdev/plugins/module_utils/"
WATCHED = tuple(
    PLUGINS + name
    for name in (
        "config/autostart.py",
        "config/config_file.py",
        "config/former.py",
        "config/slots.py",
        "config/target_images.py",
        "host/files.py",
        "image/file_actions.py",
        "image/filling.py",
        "image/new_disk.py",
        "image/path.py",
        "image/source.py",
        "resources/domain_config.py",
        "resources/raw_disk.py",
    )
)
"""What plans and changes files."""

OPENED = inspect.unwrap(files.opened).__code__
"""Of the function that only opens for others."""

BY_NAME = re.compile(
    "access|chmod|chown|link|listdir|listxattr|lstat|mkdir|open|readlink|rename|rmdir|scandir|"
    "setxattr|stat|statvfs|symlink|truncate|unlink|utime"
)
"""The functions that go by a name. What is done with a descriptor does not mind a link."""


BY_CONTENT = re.compile(
    "copy_file_range|ftruncate|ioctl|link|lseek|lstat|posix_fallocate|pread|pwrite"
)
"""The functions around which a source that changes makes a difference."""


def test_that_the_files_exist_that_are_watched() -> None:
    root = Path(files.__file__).parents[1]
    names = [name[len(PLUGINS) :] for name in WATCHED]
    assert [name for name in names if not (root / name).is_file()] == []


def at_call(number: int, act: Callable[[], None], names: Pattern[str] = BY_NAME) -> Hook:
    """A hook that does C(act) right before what plans and changes files calls one of the functions
    for the C(number)th time. Looks at files (stat(2)) count as well, which are no audit events."""
    left, armed = [number], [False]

    def profile(frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and names.fullmatch(function.__name__) and _by_us(frame):
            left[0] -= 1
            if left[0] == 0:
                sys.setprofile(None)
                act()

    def hook(_event: str, _arguments: tuple) -> None:
        if not armed[0]:
            armed[0] = True
            sys.setprofile(profile)

    return hook


def _by_us(frame: Optional[FrameType]) -> bool:
    """Whether the first frame of this collection is of a file that is watched.

    The caller of opened() counts in its place: a glance at each loop device of the host would make
    the number of calls depend on what others use.
    """
    while frame and (PLUGINS not in frame.f_code.co_filename or frame.f_code is OPENED):
        frame = frame.f_back
    return bool(frame and frame.f_code.co_filename.endswith(WATCHED))


@dataclass(frozen=True)
class Place:
    """A folder that others can write to, and something that is none of its business."""

    folder: Path
    victim: Path

    @property
    def image(self) -> Path:
        return self.folder / "web" / "a.raw"

    @property
    def source(self) -> Path:
        return self.folder / "web" / "base.raw"

    @property
    def config(self) -> Path:
        return self.folder / "web" / "a.cfg"

    def reset(self, there: Sequence[Path]) -> None:
        """Have the folder with the files C(there), and the victim with files of the same names."""
        for path in sorted(self.folder.parent.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        for place in (self.folder, self.folder / "web", self.victim):
            place.mkdir()
            place.chmod(0o777)
        for path in there:
            if path.suffix == ".cfg":
                path.write_text("name = 'web'\ndisk = [ 'vdev=xvda, target=/dev/a' ]\n")
            else:
                path.write_bytes(b"image" * (MIB // 5) + b"e")
            path.chmod(0o600)
            (self.victim / path.name).write_bytes(SECRET)
        for name in ("victim.raw", files.NEW_FILE):
            (self.victim / name).write_bytes(SECRET)
        for path in self.victim.iterdir():
            path.chmod(0o640)
            os.chown(path, 1234, 1234)

    def untouched(self) -> Dict[str, Any]:
        """All that a module must leave as it is."""
        found: Dict[str, Any] = {}
        for path in sorted(self.victim.parent.rglob("*")):
            if self.folder in path.parents or path in (self.folder, self.folder.parent):
                continue
            status = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(status.st_mode) else None
            found[str(path)] = (
                status.st_mode,
                status.st_uid,
                status.st_gid,
                status.st_nlink,
                content,
            )
        return found

    def holds(self, content: bytes) -> bool:
        """Whether a file in the folder has this content."""
        return any(
            content in path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and not path.is_symlink()
        )

    def plant_directory(self) -> None:
        """A link to the victim in place of the directory."""
        self._plant(self.folder / "web", self.victim)

    def plant_image(self) -> None:
        self._plant(self.image, self.victim / "victim.raw")

    def plant_source(self) -> None:
        self._plant(self.source, self.victim / "victim.raw")

    def plant_config(self) -> None:
        self._plant(self.config, self.victim / "victim.raw")

    def plant_new_file(self) -> None:
        """A link in place of the file that is not complete yet."""
        self._plant(self.folder / "web" / files.NEW_FILE, self.victim / "victim.raw")

    def _plant(self, path: Path, target: Path) -> None:
        if os.path.lexists(path):
            path.rename(path.with_name(f"{path.name}.moved"))
        path.symlink_to(target)
        os.chown(path, OTHER_USER, OTHER_USER, follow_symlinks=False)


@pytest.fixture
def place() -> Iterator[Place]:
    """Near the root, as a path is looked at name by name."""
    with tempfile.TemporaryDirectory(prefix="planted.") as home:
        yield Place(Path(home, "images"), Path(home, "victim"))


@dataclass(frozen=True)
class Work:
    """Something that a module does, and what is there before."""

    module: str
    options: Callable[[Place], Dict[str, Any]]
    there: Callable[[Place], List[Path]] = lambda _place: []

    def begin(self, place: Place, hook: Optional[Hook] = None) -> Outcome:
        """Do it; whatever comes of it, the module does not break down."""
        outcome = call(self.module, hook, **self.options(place))
        assert outcome.result is not None, outcome.said
        assert "Traceback" not in outcome.said
        return outcome


def image_work(*there: str, **options: Any) -> Work:
    def wanted(place: Place) -> Dict[str, Any]:
        source = {"source": str(place.source)} if "source" in there else {}
        return {"path": str(place.image), **source, **options}

    return Work("xen_raw_disk", wanted, lambda place: [getattr(place, name) for name in there])


def config_work(*there: str, **options: Any) -> Work:
    def wanted(place: Place) -> Dict[str, Any]:
        return {"domain": "web", "path": str(place.config), **options}

    return Work("xen_domain_config", wanted, lambda place: [getattr(place, name) for name in there])


WORKS = {
    "create": image_work(size=MIB),
    "create in full": image_work(size=MIB, allocation="full"),
    "copy": image_work("source", size=2 * MIB),
    "grow": image_work("image", size=2 * MIB),
    "shrink": image_work("image", size=512, shrink=True),
    "delete": image_work("image", state="absent"),
    "write a config": config_work(options={"memory": 1}),
    "replace a config": config_work("config", options={"memory": 1}, overwrite=True),
    "empty a config": config_work("config", state="absent", backup=False),
}
PLANTS = {
    "xen_raw_disk": (Place.plant_directory, Place.plant_image, Place.plant_source),
    "xen_domain_config": (Place.plant_directory, Place.plant_config, Place.plant_new_file),
}


def plant_everywhere(place: Place, work: Work, plant: Callable[[Place], None]) -> None:
    """Plant the link before the first call of the system, then before a later one, to the last."""
    for number in range(1, 1000, STRIDE):
        place.reset(work.there(place))
        before = place.untouched()
        marker = place.folder / "planted"

        def act(marker: Path = marker) -> None:
            marker.touch()
            plant(place)

        outcome = work.begin(place, at_call(number, act))
        if not marker.exists():
            assert number > 3 * STRIDE, "it is not watched"
            assert not outcome.failed, outcome.message
            return
        harness.count("planted links")
        assert place.untouched() == before, (number, outcome.message, outcome.result)
        assert SECRET[:20].decode() not in outcome.said
        assert not place.holds(SECRET), number
    raise AssertionError("it does not end")


def plants(work: str) -> Iterator[Callable[[Place], None]]:
    """The links that could mislead this work."""
    for plant in PLANTS[WORKS[work].module]:
        if plant is not Place.plant_source or work == "copy":
            yield plant


@pytest.mark.parametrize("work", WORKS)
def test_a_link_in_the_way_leads_nowhere(place: Place, work: str) -> None:
    for plant in plants(work):
        plant_everywhere(place, WORKS[work], plant)


# ---- sources that change while they are copied ----

ISLAND = b"old content" * 6000
OLD = ISLAND.ljust(MIB // 2, b"\0") + ISLAND.ljust(MIB // 2, b"\0")


def holey(path: Path) -> None:
    """Two islands of data, each with a hole behind it."""
    with path.open("wb") as file:
        file.write(ISLAND)
        file.seek(MIB // 2)
        file.write(ISLAND)
        file.truncate(MIB)


def cut_to_half(path: Path) -> None:
    os.truncate(path, MIB // 2)


def cut_within_data(path: Path) -> None:
    os.truncate(path, MIB // 2 + 4096)


def cut_to_nothing(path: Path) -> None:
    os.truncate(path, 0)


def grow(path: Path) -> None:
    os.truncate(path, 2 * MIB)


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"another one".ljust(MIB, b"!"))
    other.rename(path)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("allocation", ["sparse", "full"])
@pytest.mark.parametrize(
    "change", [cut_to_half, cut_within_data, cut_to_nothing, grow, replace, remove]
)
def test_a_source_that_changes_gives_a_whole_image_or_none(
    tmp_path: Path, folder: Path, change: Callable[[Path], None], allocation: str
) -> None:
    source, image, marker = tmp_path / "base.raw", folder / "a.raw", tmp_path / "marker"
    options = {"source": str(source), "path": str(image), "allocation": allocation}
    for number in range(1, 1000, STRIDE):
        holey(source)
        image.unlink(missing_ok=True)
        marker.unlink(missing_ok=True)

        def act() -> None:
            marker.touch()
            change(source)

        outcome = call("xen_raw_disk", at_call(number, act, BY_CONTENT), **options)
        assert outcome.result is not None, outcome.said
        harness.count("changed sources", int(marker.exists()))
        if outcome.failed:
            assert harness.names(folder) == []
            assert re.search("run again|is empty|not exist|No such file", outcome.message)
        else:
            whole = [OLD, source.read_bytes() if source.exists() else OLD]
            assert image.read_bytes() in whole, number
        if not marker.exists():
            assert number > 10
            return
    raise AssertionError("it does not end")
