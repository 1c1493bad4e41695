# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for LVM, for hosts whose kernel has no device-mapper, and for faults on demand.

It is the program ``lvm`` that tests put on PATH. It keeps groups and volumes in a JSON file, and
what is on physical volumes in files; the device of an active volume is a file as well. A volume has
what was in its extents before, and leaves it there, as a real one does. Reports and errors are
those of LVM 2.03.16, recorded with its own metadata and without a kernel. Options that LVM does not
take are refused, and so are those that nobody needs here.

``$FAKE_LVM`` is where all of that is. ``behaviour.json`` there says which call fails, or kills the
process that makes it, before or after it has done its work.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import signal
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

MAJOR = 127
"""For local use, so that no real device of a host has it."""

Extent = Tuple[str, int]
"""A physical volume and a number."""

State = Dict[str, Any]


class LvmError(Exception):
    """LVM fails: what it says, and its exit status."""

    def __init__(self, words: str, code: int = 5, output: str = "") -> None:
        super().__init__(words)
        self.code = code
        self.output = output


# ---- what tests set up and look at ----


class FakeLvm:
    """The stand-in's state. A volume is a dictionary: see ``volume``."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.file = home / "lvm.json"

    def install(self) -> Path:
        """Make the directory with the program, for PATH."""
        commands = self.home / "bin"
        commands.mkdir(parents=True)
        program = Path(__file__).read_text(encoding="utf-8")
        (commands / "lvm").write_text(f"#!{sys.executable} -ES\n{program}", encoding="utf-8")
        (commands / "lvm").chmod(0o755)
        self.write({"groups": {}, "minors": 0})
        return commands

    def read(self) -> State:
        return json.loads(self.file.read_text(encoding="utf-8"))

    def write(self, state: State) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(state, indent=1), encoding="utf-8")
        new.rename(self.file)

    @contextmanager
    def changed(self) -> Iterator[State]:
        state = self.read()
        yield state
        self.write(state)

    def group(
        self,
        name: str = "vg0",
        disks: Sequence[int] = (64, 64),
        extent_size: int = 65536,
        pattern: bytes = b"",
        **more: Any,
    ) -> None:
        """A group whose physical volumes have as many extents each. ``pattern``: of 16 bytes, what
        is all over them. ``more``: ``attr``, ``lock_type``, ``missing``, a list of disks, and
        ``discards``: whether LVM discards extents that it frees, on disks that have anything there
        afterwards."""
        with self.changed() as state:
            number = sum(len(group["disks"]) for group in state["groups"].values())
            paths = [f"/dev/fake/{name}{number + index}" for index in range(len(disks))]
            state["groups"][name] = {
                "attr": "wz--n-",
                "lock_type": "",
                "missing": [],
                "discards": False,
                "extent_size": extent_size,
                "disks": dict(zip(paths, disks)),
                "volumes": {},
                **more,
            }
        for path, extents in zip(paths, disks):
            with self.disk(path).open("wb") as disk:
                if pattern:
                    disk.write(pattern * (extents * extent_size // len(pattern)))
                else:
                    disk.truncate(extents * extent_size)

    def volume(self, name: str, size: int, group: str = "vg0", **more: Any) -> None:
        """A volume of ``size`` extents. ``more``: what _made has, such as ``tags``, or another
        ``kind`` than linear: ``pool``, ``thin``, ``snapshot`` or ``raid1``."""
        with self.changed() as state:
            lvm = Lvm(self, state)
            kind = more.get("kind", "linear")
            volume = _made(group, name, **more)
            here = state["groups"][group]
            if kind not in ("thin", "pool"):
                volume["segments"] = lvm.allocated(here, size, more.get("stripes", 1))
            volume["size"] = size * here["extent_size"]
            here["volumes"][name] = volume
            if kind == "pool":
                data = _made(group, f"{name}_tdata", kind="hidden")
                data["segments"] = lvm.allocated(here, size, 1)
                data["size"] = volume["size"]
                here["volumes"][data["name"]] = data
            elif volume["active"]:
                lvm.activate(here, volume)

    def volumes(self, group: str = "vg0") -> Dict[str, State]:
        return self.read()["groups"][group]["volumes"]

    def device(self, name: str, group: str = "vg0") -> Path:
        """The file that is the volume's device."""
        return self.home / "dev" / group / name

    def disk(self, path: str) -> Path:
        """The file that has what is on a physical volume."""
        return self.home / path.replace("/", "_")

    def behave(self, **behaviour: Any) -> None:
        """``at``: which call, counted from now on; or ``command``: each of this name. ``act``:
        ``fail`` or ``kill``. ``after``: whether it has done its work by then. ``words``: of the
        error."""
        (self.home / "calls.log").write_text("", encoding="utf-8")
        (self.home / "behaviour.json").write_text(json.dumps(behaviour), encoding="utf-8")

    @property
    def calls(self) -> List[List[str]]:
        """The arguments of each call since the last ``behave``."""
        with suppress(FileNotFoundError):
            lines = (self.home / "calls.log").read_text(encoding="utf-8").splitlines()
            return [json.loads(line) for line in lines]
        return []

    @property
    def commands(self) -> List[str]:
        return [call[0] for call in self.calls]

    @property
    def changes(self) -> List[str]:
        """The commands that change something."""
        return [command for command in self.commands if command != "fullreport"]


def _made(group: str, name: str, **more: Any) -> State:
    return {
        "group": group,
        "name": name,
        "kind": "linear",
        "stripes": 1,
        "size": 0,
        "segments": [],
        "tags": [],
        "pool": None,
        "origin": None,
        "active": True,
        "zero": True,
        "writable": True,
        "skip": False,
        "occupied": "",
        "health": "-",
        "state": "a",
        "data_percent": None,
        "minor": -1,
        **more,
    }


# ---- what LVM does ----


class Lvm:
    """The commands, on a state that the caller keeps."""

    def __init__(self, fake: FakeLvm, state: State) -> None:
        self.fake = fake
        self.state = state
        self.output = ""
        """What it prints."""

    def group(self, name: str) -> State:
        groups = self.state["groups"]
        if name not in groups:
            raise LvmError(f'Volume group "{name}" not found\n  Cannot process volume group {name}')
        return groups[name]

    def found(self, name: str) -> Tuple[State, State]:
        """Group and volume of ``vg0/data``."""
        group_name, _slash, volume = name.partition("/")
        group = self.group(group_name)
        if volume not in group["volumes"]:
            raise LvmError(f'Failed to find logical volume "{name}"')
        return group, group["volumes"][volume]

    # ---- extents ----

    def allocated(
        self,
        group: State,
        extents: int,
        stripes: int,
        ranges: Sequence[str] = (),
        growing: bool = False,
    ) -> List[State]:
        """Segments for a new part of a volume, from the free extents, or those in ``ranges``."""
        free = _free(group)
        if ranges:
            allowed = {one for words in ranges for one in _extents_in(words)}
            free = [one for one in free if one in allowed]
        elif growing:
            # LVM may take any, and not those that were free last.
            free.reverse()
        if stripes > len(group["disks"]):
            raise LvmError(
                f"Number of stripes ({stripes}) must not exceed number of physical volumes "
                f"({len(group['disks'])})"
            )
        if extents > len(free):
            if ranges:
                raise LvmError(
                    f"Insufficient free space: {extents} extents needed, but only {len(free)} "
                    "available"
                )
            raise LvmError(
                f"Volume group has insufficient free space ({len(free)} extents): {extents} "
                "required."
            )
        if stripes == 1:
            return [{"stripes": 1, "areas": [area]} for area in _joined(free[:extents])]
        by_disk: Dict[str, List[Extent]] = {}
        for one in free:
            by_disk.setdefault(one[0], []).append(one)
        chosen = sorted(by_disk.values(), key=len, reverse=True)[:stripes]
        each = extents // stripes
        if len(chosen) < stripes or any(len(one) < each for one in chosen):
            raise LvmError(
                f"Insufficient suitable allocatable extents for logical volume: {extents} more "
                "required"
            )
        return [
            {"stripes": stripes, "areas": [(disk, start, 1) for disk, start in row]}
            for row in zip(*(one[:each] for one in chosen))
        ]

    # ---- devices ----

    def activate(self, group: State, volume: State) -> None:
        self.state["minors"] += 1
        volume.update(active=True, minor=self.state["minors"])
        device = self.fake.device(volume["name"], volume["group"])
        device.parent.mkdir(parents=True, exist_ok=True)
        if volume["kind"] == "thin":
            if not device.exists():
                device.touch()
            os.truncate(device, volume["size"])
            return
        device.write_bytes(self._content(group, volume["segments"]))

    def _content(self, group: State, segments: Sequence[State]) -> bytes:
        parts = []
        for disk, start in _extents_of(segments):
            with self.fake.disk(disk).open("rb") as file:
                file.seek(start * group["extent_size"])
                parts.append(file.read(group["extent_size"]))
        return b"".join(parts)

    def deactivate(self, group: State, volume: State) -> None:
        """What was written to the device is on the disks."""
        device = self.fake.device(volume["name"], volume["group"])
        self._refuse_open(volume, device)
        if volume["kind"] != "thin":
            with device.open("rb") as content:
                for disk, start in _extents_of(volume["segments"]):
                    with self.fake.disk(disk).open("r+b") as file:
                        file.seek(start * group["extent_size"])
                        file.write(content.read(group["extent_size"]))
        device.unlink()
        volume.update(active=False, minor=-1)

    def _refuse_open(self, volume: State, device: Path) -> None:
        status = device.stat()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):
                for name in os.listdir(f"/proc/{pid}/fd"):
                    with suppress(OSError):
                        if os.path.samestat(os.stat(f"/proc/{pid}/fd/{name}"), status):
                            raise LvmError(
                                f"Logical volume {volume['group']}/{volume['name']} in use."
                            )

    # ---- commands ----

    def lvcreate(self, arguments: Sequence[str]) -> None:
        options = _parsed(
            arguments,
            *("--type", "--extents", "--stripes", "--virtualsize", "--thinpool", "--name"),
            *("--zero", "--wipesignatures"),
            several=("--addtag",),
        )
        group = self.group(options.names[0])
        name = options.name
        if name in group["volumes"]:
            raise LvmError(
                f'Logical Volume "{name}" already exists in volume group "{options.names[0]}"'
            )
        volume = _made(options.names[0], name, tags=list(options.addtag))
        if options.type == "thin":
            if options.zero or options.extents:
                raise LvmError("--zero is supported only with thin pool creation.", 3)
            pool = group["volumes"].get(options.thinpool, {})
            if pool.get("kind") != "pool":
                raise LvmError(f"Thin pool {options.names[0]}/{options.thinpool} not found.")
            size = int(re.fullmatch("([0-9]+)b", options.virtualsize)[1])  # type: ignore[index]
            volume.update(kind="thin", pool=options.thinpool, size=size, zero=pool["zero"])
            volume.update(data_percent=0.0)
        else:
            stripes = int(options.stripes or 1)
            if (options.type == "striped") != (stripes > 1):
                raise LvmError("Invalid stripes.", 3)
            extents = -(-int(options.extents) // stripes) * stripes
            volume.update(stripes=stripes, size=extents * group["extent_size"])
            ranges = options.names[1:]
            volume["segments"] = self.allocated(group, extents, stripes, ranges)
        group["volumes"][name] = volume
        self.activate(group, volume)
        if options.zero == "y":
            with self.fake.device(name, volume["group"]).open("r+b") as device:
                device.write(bytes(4096))

    def lvrename(self, arguments: Sequence[str]) -> None:
        options = _parsed(arguments)
        group_name, old, new = options.names
        group, volume = self.found(f"{group_name}/{old}")
        if new in group["volumes"]:
            raise LvmError(f'Logical Volume "{new}" already exists in volume group "{group_name}"')
        del group["volumes"][old]
        group["volumes"][new] = {**volume, "name": new}
        self.fake.device(old, group_name).rename(self.fake.device(new, group_name))

    def lvextend(self, arguments: Sequence[str]) -> None:
        options = _parsed(arguments, "--extents", "--size")
        group, volume = self.found(options.names[0])
        device = self.fake.device(volume["name"], volume["group"])
        if options.size:
            if volume["kind"] != "thin":
                raise LvmError("Sizes are in extents here.", 3)
            volume["size"] = int(re.fullmatch("([0-9]+)b", options.size)[1])  # type: ignore[index]
            os.truncate(device, volume["size"])
            return
        more = int(options.extents[1:])
        stripes = volume["segments"][-1]["stripes"]
        more = -(-more // stripes) * stripes
        segments = self.allocated(group, more, stripes, options.names[1:], growing=True)
        volume["segments"] += segments
        volume["size"] += more * group["extent_size"]
        with device.open("ab") as file:
            file.write(self._content(group, segments))

    def lvreduce(self, arguments: Sequence[str]) -> None:
        options = _parsed(arguments, "--extents")
        group, volume = self.found(options.names[0])
        kept, size = int(options.extents), group["extent_size"]
        device = self.fake.device(volume["name"], volume["group"])
        if volume["kind"] == "thin":
            volume["size"] = kept * size
            os.truncate(device, volume["size"])
            return
        every = _extents_of(volume["segments"])
        content = device.read_bytes()
        for index, (disk, start) in enumerate(every):
            with self.fake.disk(disk).open("r+b") as file:
                file.seek(start * size)
                file.write(content[index * size : (index + 1) * size])
        stripes = volume["segments"][-1]["stripes"]
        left = every[:kept]
        rows = [left[at : at + stripes] for at in range(0, kept, stripes)]
        volume["segments"] = [
            {"stripes": stripes, "areas": [(disk, start, 1) for disk, start in row]} for row in rows
        ]
        volume["size"] = kept * size
        os.truncate(device, volume["size"])

    def lvremove(self, arguments: Sequence[str]) -> None:
        options = _parsed(arguments, "--select", "--config")
        if options.config not in (None, "devices/issue_discards=0"):
            raise LvmError("Only this setting is known here.", 3)
        group, volume = self.found(options.names[0])
        snapshots = [one for one in group["volumes"].values() if one["origin"] == volume["name"]]
        if options.select:
            if options.select != 'lv_descendants=""':
                raise LvmError("Only this selection is known here.", 3)
            if snapshots:
                return
        lost = [one for one in snapshots if one["kind"] == "snapshot"]
        for one in (*lost, volume):
            if one["active"]:
                self.deactivate(group, one)
            if group["discards"] and not options.config:
                self._discard(group, one["segments"])
            del group["volumes"][one["name"]]

    def _discard(self, group: State, segments: Sequence[State]) -> None:
        for disk, start in _extents_of(segments):
            with self.fake.disk(disk).open("r+b") as file:
                file.seek(start * group["extent_size"])
                file.write(b"was discarded..." * (group["extent_size"] // 16))

    def lvchange(self, arguments: Sequence[str]) -> None:
        options = _parsed(arguments, "--activate", several=("--addtag",))
        group, volume = self.found(options.names[0])
        volume["tags"] += [tag for tag in options.addtag if tag not in volume["tags"]]
        if options.activate == "y" and not volume["active"] and not volume["skip"]:
            self.activate(group, volume)

    # ---- the report ----

    def fullreport(self, arguments: Sequence[str]) -> None:
        names, columns, hidden = _report_options(arguments)
        missing = [name for name in names if name not in self.state["groups"]]
        groups = [name for name in names or self.state["groups"] if name not in missing]
        parts = [
            {
                section: [{column: row[column] for column in columns[section]} for row in rows]
                for section, rows in self._rows(name, hidden).items()
            }
            for name in groups
        ]
        # LVM prints an empty report if none of the groups is there.
        self.output = json.dumps({"report": parts}, indent=2)
        if missing:
            words = [
                f'Volume group "{name}" not found\n  Cannot process volume group {name}'
                for name in missing
            ]
            raise LvmError("\n  ".join(words), output=self.output)

    def _rows(self, name: str, hidden: bool) -> Dict[str, List[Dict[str, str]]]:
        group = self.state["groups"][name]
        free = _free(group)
        volumes = [
            volume for volume in group["volumes"].values() if hidden or volume["kind"] != "hidden"
        ]
        return {
            "vg": [
                {
                    "vg_name": name,
                    "vg_uuid": _uuid(name),
                    "vg_attr": group["attr"],
                    "vg_extent_size": str(group["extent_size"]),
                    "vg_extent_count": str(sum(group["disks"].values())),
                    "vg_free_count": str(len(free)),
                    "vg_lock_type": group["lock_type"],
                }
            ],
            "pv": [
                {
                    "pv_name": "[unknown]" if path in group["missing"] else path,
                    "pv_attr": "a-m" if path in group["missing"] else "a--",
                    "pv_pe_count": str(extents),
                    "pv_pe_alloc_count": str(extents - sum(disk == path for disk, _n in free)),
                }
                for path, extents in group["disks"].items()
            ],
            "lv": [self._row(group, volume) for volume in volumes],
            "pvseg": [{"pvseg_start": "0"} for _disk in group["disks"]],
            "seg": [
                {
                    "lv_uuid": _uuid(f"{name}/{volume['name']}"),
                    "seg_start_pe": str(start),
                    "stripes": str(segment["stripes"]),
                    "seg_pe_ranges": " ".join(
                        f"{disk}:{first}-{first + number - 1}"
                        for disk, first, number in segment["areas"]
                    ),
                }
                for volume in volumes
                for start, segment in _with_starts(volume)
            ],
        }

    def _row(self, group: State, volume: State) -> Dict[str, str]:
        kind, name = volume["kind"], volume["name"]
        origin = group["volumes"].get(volume["origin"] or "", {})
        snapshots = [one for one in group["volumes"].values() if one["origin"] == name]
        layout, roles = _layout_and_roles(volume, snapshots)
        of_disk = origin if kind == "snapshot" else volume
        has_origin_size = kind == "snapshot" or "thickorigin" in roles
        percent = volume["data_percent"]
        return {
            "lv_uuid": _uuid(f"{volume['group']}/{name}"),
            "lv_name": f"[{name}]" if kind == "hidden" else name,
            "lv_attr": _attributes(volume, "thickorigin" in roles),
            "lv_layout": layout,
            "lv_role": roles,
            "lv_size": str(volume["size"]),
            "pool_lv": volume["pool"] or "",
            "origin": volume["origin"] or "",
            "origin_size": str(of_disk["size"]) if has_origin_size else "",
            "lv_tags": ",".join(sorted(volume["tags"])),
            "data_percent": "" if percent is None else f"{percent:.2f}",
            "metadata_percent": f"{volume.get('metadata', 10):.2f}" if kind == "pool" else "",
            "lv_kernel_major": str(MAJOR if volume["active"] else -1),
            "lv_kernel_minor": str(volume["minor"]),
        }


def _layout_and_roles(volume: State, snapshots: Sequence[State]) -> Tuple[str, str]:
    kind = volume["kind"]
    if kind == "hidden":
        return "linear", "private,thin,pool,data"
    if kind == "pool":
        return "thin,pool", "private"
    layouts = {"thin": "thin,sparse", "raid1": "raid,raid1", "cache": "cache"}
    layout = layouts.get(kind, "striped" if volume["stripes"] > 1 else "linear")
    roles = ["public"]
    thick = [one for one in snapshots if one["kind"] == "snapshot"]
    if snapshots:
        roles += ["origin", "thickorigin" if thick else "thinorigin"]
    if volume["origin"]:
        roles += ["snapshot", "thicksnapshot" if kind == "snapshot" else "thinsnapshot"]
    return layout, ",".join(roles)


def _attributes(volume: State, is_origin: bool) -> str:
    letters = {"thin": "V", "pool": "t", "snapshot": "s", "raid1": "r", "cache": "C", "hidden": "T"}
    letter = letters.get(volume["kind"], "o" if is_origin else "-")
    is_thin = volume["kind"] in ("thin", "pool")
    return "".join(
        (
            volume["occupied"] if volume["occupied"] in ("O", "S", "c") else letter,
            "w" if volume["writable"] else "r",
            "I" if volume["occupied"] == "pvmove" else "i",
            "-",
            volume["state"] if volume["active"] else "-",
            "-",
            "t" if is_thin else "-",
            "z" if is_thin and volume["zero"] else "-",
            volume["health"],
            "k" if volume["skip"] else "-",
        )
    )


def _uuid(name: str) -> str:
    """Always the same for a name, in the form of LVM's."""
    digits = re.sub("[^A-Za-z0-9]", "x", name)[:26].ljust(32, "0")
    parts = [digits[:6], *(digits[at : at + 4] for at in range(6, 26, 4)), digits[26:32]]
    return "-".join(parts)


# ---- extents ----


def _extents_of(segments: Sequence[State]) -> List[Extent]:
    return [
        (disk, first + index)
        for segment in segments
        for disk, first, number in segment["areas"]
        for index in range(number)
    ]


def _free(group: State) -> List[Extent]:
    taken = {one for volume in group["volumes"].values() for one in _extents_of(volume["segments"])}
    return [
        (disk, number)
        for disk, extents in group["disks"].items()
        if disk not in group["missing"]
        for number in range(extents)
        if (disk, number) not in taken
    ]


def _extents_in(words: str) -> List[Extent]:
    match = re.fullmatch(r"(/.+):([0-9]+)-([0-9]+)", words)
    if match is None:
        raise LvmError(f"Invalid physical extents {words}.", 3)
    return [(match[1], number) for number in range(int(match[2]), int(match[3]) + 1)]


def _joined(extents: Sequence[Extent]) -> List[Tuple[str, int, int]]:
    """Neighbours in one area."""
    areas: List[List[Any]] = []
    for disk, number in extents:
        if areas and areas[-1][0] == disk and areas[-1][1] + areas[-1][2] == number:
            areas[-1][2] += 1
        else:
            areas.append([disk, number, 1])
    return [tuple(area) for area in areas]  # type: ignore[misc]


def _with_starts(volume: State) -> Iterator[Tuple[int, State]]:
    if volume["kind"] == "thin":
        yield 0, {"stripes": 0, "areas": []}
    start = 0
    for segment in volume["segments"]:
        yield start, segment
        start += sum(number for _disk, _first, number in segment["areas"])


# ---- the program ----


def _parsed(
    arguments: Sequence[str], *options: str, several: Sequence[str] = ()
) -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--yes", action="store_true")
    for option in options:
        parser.add_argument(option)
    for option in several:
        parser.add_argument(option, action="append", default=[])
    parser.add_argument("names", nargs="*")
    try:
        return parser.parse_intermixed_args(list(arguments))
    except argparse.ArgumentError as error:
        raise LvmError(f"Error during parsing of command line: {error}", 3) from None


def _report_options(arguments: Sequence[str]) -> Tuple[List[str], Dict[str, List[str]], bool]:
    names: List[str] = []
    columns: Dict[str, List[str]] = {}
    hidden, section, left = False, "", list(arguments)
    needed = ["--reportformat", "json", "--units", "b", "--nosuffix"]
    while left:
        word = left.pop(0)
        if word == "--all":
            hidden = True
        elif word == "--configreport":
            section = left.pop(0)
        elif word == "--options":
            columns[section] = left.pop(0).split(",")
        elif word in needed:
            needed.remove(word)
        elif word.startswith("-"):
            raise LvmError(f"Unrecognised option {word}.", 3)
        else:
            names.append(word)
    if needed:
        raise LvmError(f"{needed} are always given here.", 3)
    return names, columns, hidden


def _fault(fake: FakeLvm, command: str) -> Dict[str, Any]:
    """What is to go wrong with this call; empty if nothing is."""
    with suppress(FileNotFoundError):
        behaviour: Dict[str, Any] = json.loads(
            (fake.home / "behaviour.json").read_text(encoding="utf-8")
        )
        if len(fake.calls) == behaviour.get("at") or command == behaviour.get("command"):
            return behaviour
    return {}


def _do(fake: FakeLvm, command: str, arguments: Sequence[str]) -> str:
    lvm = Lvm(fake, fake.read())
    if command not in COMMANDS:
        raise LvmError(f"Command not recognised: {command}", 2)
    COMMANDS[command](lvm, arguments)
    if command != "fullreport":
        fake.write(lvm.state)
    return lvm.output


COMMANDS: Dict[str, Callable[[Lvm, Sequence[str]], None]] = {
    "fullreport": Lvm.fullreport,
    "lvchange": Lvm.lvchange,
    "lvcreate": Lvm.lvcreate,
    "lvextend": Lvm.lvextend,
    "lvreduce": Lvm.lvreduce,
    "lvremove": Lvm.lvremove,
    "lvrename": Lvm.lvrename,
}


def run(fake: FakeLvm, arguments: Sequence[str]) -> Tuple[int, str, str]:
    """Run one command, under LVM's own lock: exit status, output and errors."""
    output = ""
    with open(fake.home / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (fake.home / "calls.log").open("a", encoding="utf-8") as calls:
            calls.write(json.dumps(arguments) + "\n")
        fault = _fault(fake, arguments[0])
        try:
            if not fault or fault.get("after"):
                output = _do(fake, arguments[0], arguments[1:])
            if fault.get("act") == "kill":
                os.kill(os.getppid(), signal.SIGKILL)
            elif fault:
                raise LvmError(fault.get("words", "device-mapper: it did not work"))
        except LvmError as error:
            return error.code, error.output or output, f"  {error}\n"
    return 0, output, ""


def main() -> None:
    """The program."""
    code, output, errors = run(FakeLvm(Path(os.environ["FAKE_LVM"])), sys.argv[1:])
    sys.stdout.write(output)
    sys.stderr.write(errors)
    sys.exit(code)


if __name__ == "__main__":
    main()
