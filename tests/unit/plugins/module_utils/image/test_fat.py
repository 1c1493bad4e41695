# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""FAT file systems of real directories, read by mtools, fsck.vfat and a decoder of our own."""

from __future__ import annotations

import os
import re
import struct
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import ImageError
from ansible_collections.xen.blockdev.plugins.module_utils.host import programs
from ansible_collections.xen.blockdev.plugins.module_utils.image import directory_tree
from ansible_collections.xen.blockdev.plugins.module_utils.image import fat as image_fat
from ansible_collections.xen.blockdev.plugins.module_utils.image.fat import Fat, Geometry
from ansible_collections.xen.blockdev.tests.exhaustive import examples
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.contentutil import (
    Content,
    blkid,
    directory,
    filled,
    needs,
    ran,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.imageutil import (
    MIB,
    allocated,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = needs("mkfs.vfat", "fsck.vfat", "mcopy", "mdir", "blkid")

GIB = 1024 * MIB
SECTORS = [512, 4096]
CONTENT: Content = {
    "A LONG name, with more.than.one dot": b"x" * 10_000,
    "sub/é 日本": b"content",
    "sub/empty": b"",
    "sub/sub/directory": None,
    ".hidden": b"h",
    "-dash": b"d",
    "UPPER.TXT": b"u",
    "con.txt": b"c",
}


def fat(path: Optional[Path], sector: int = 4096, label: Optional[str] = None) -> Fat:
    return Fat(label, None if path is None else directory_tree.read(str(path)), sector)


def tree(path: Path) -> Dict[str, Optional[bytes]]:
    return {
        str(one.relative_to(path)): None if one.is_dir() else one.read_bytes()
        for one in path.rglob("*")
    }


def copied_back(image: Path, to: Path) -> Dict[str, Optional[bytes]]:
    """What mcopy finds in the image."""
    to.mkdir()
    ran("mcopy", "-s", "-n", "-i", str(image), "::/", str(to))
    return tree(to)


def checked(image: Path) -> int:
    """The clusters that fsck.vfat, which must have nothing to say, finds."""
    match = re.search(r"\d+ files, \d+/(\d+) clusters\n$", ran("fsck.vfat", "-n", str(image)))
    assert match
    return int(match[1])


# ---- a decoder of our own ----


class Decoder:
    """Reads a file system by the layout that Microsoft has published."""

    def __init__(self, image: Path) -> None:
        data = self._data = image.read_bytes()
        self._sector, self._cluster = struct.unpack_from("<HB", data, 11)
        reserved, copies, root_entries = struct.unpack_from("<HBH", data, 14)
        small, large = struct.unpack_from("<H", data, 22)[0], struct.unpack_from("<I", data, 36)[0]
        self._wide = not small
        table = (small or large) * self._sector
        start = reserved * self._sector
        tables = {data[start + n * table : start + (n + 1) * table] for n in range(copies)}
        (self._table,) = tables
        self._root = start + copies * table
        self._root_bytes = root_entries * 32
        self.label = ""
        self.members: Dict[str, Optional[bytes]] = {}
        self.entries: List[Tuple[bytes, str, int]] = []
        """Of each name that is not ``.`` or ``..``: the short one, the long one or nothing, and the
        flags of Windows NT."""
        if self._wide:
            raw = self._chain(struct.unpack_from("<I", data, 44)[0])
        else:
            raw = data[self._root : self._root + self._root_bytes]
        self._walk(raw, "", 0)

    def _chain(self, cluster: int) -> bytes:
        size, pieces = self._sector * self._cluster, []
        code, end = ("<I", 0x0FFFFFF8) if self._wide else ("<H", 0xFFF8)
        while cluster < end:
            assert cluster >= 2
            at = self._root + self._root_bytes + (cluster - 2) * size
            pieces.append(self._data[at : at + size])
            cluster = struct.unpack_from(code, self._table, cluster * struct.calcsize(code))[0]
        return b"".join(pieces)

    def _walk(self, raw: bytes, above: str, parent: int) -> None:
        long: List[Tuple[int, int, bytes]] = []
        seen = set()
        for at in range(0, len(raw), 32):
            entry = raw[at : at + 32]
            if not any(entry):
                assert not any(raw[at:])
                break
            if entry[11] == 0x0F:
                assert entry[12] == 0
                assert entry[26:28] == b"\0\0"
                long.append((entry[0], entry[13], entry[1:11] + entry[14:26] + entry[28:32]))
                continue
            short, kind, flags = entry[:11], entry[11], entry[12]
            high, low, size = struct.unpack("<20xH4xHI", entry)
            cluster = high << 16 | low
            if kind == 0x08:
                self.label = short.decode().rstrip()
                continue
            if short.startswith(b"."):
                assert kind == 0x10
                assert short.rstrip() in (b".", b"..")
                assert cluster == (parent if short.startswith(b"..") else self._own)
                continue
            assert short not in seen
            seen.add(short)
            name = self._long_name(long, short)
            self.entries.append((short, name, flags))
            long = []
            path = f"{above}{name or self._plain(short)}"
            if kind == 0x10:
                assert size == 0
                self.members[path] = None
                own, self._own = getattr(self, "_own", 0), cluster
                self._walk(self._chain(cluster), f"{path}/", own if above else 0)
                self._own = own
            else:
                assert kind == 0x20
                content = self._chain(cluster) if cluster else b""
                assert not any(content[size:])
                assert bool(cluster) is bool(size)
                self.members[path] = content[:size]
        assert not long

    @staticmethod
    def _plain(short: bytes) -> str:
        base, extension = short[:8].decode().rstrip(), short[8:].decode().rstrip()
        return f"{base}.{extension}" if extension else base

    @staticmethod
    def _long_name(long: List[Tuple[int, int, bytes]], short: bytes) -> str:
        """The long name before the entry of a short one, if any; its parts must be as they ought
        to be: in order, the last first, and with the checksum of the short name."""
        if not long:
            return ""
        value = 0
        for byte in short:
            value = ((value >> 1) | (value & 1) << 7) + byte & 0xFF
        count = len(long)
        assert [number for number, _check, _part in long] == [
            count | 0x40,
            *range(count - 1, 0, -1),
        ]
        assert {check for _number, check, _part in long} == {value}
        units = b"".join(part for _number, _check, part in reversed(long))
        name, _end, padding = units.decode("utf-16-le").partition("\0")
        assert not padding.strip("\uffff")
        assert 0 < len(units) - 2 * len(name) <= 26
        return name


def head(image: Path) -> Tuple[int, int]:
    """Bytes of a sector and sectors of a cluster, as the boot sector says."""
    with open(image, "rb") as file:
        boot = file.read(512)
    return int.from_bytes(boot[11:13], "little"), boot[13]


@pytest.mark.parametrize("sector", SECTORS)
def test_content(tmp_path: Path, sector: int) -> None:
    path = directory(tmp_path / "f", CONTENT)
    file_system = fat(path, sector, "DATA")
    image = filled(file_system, tmp_path / "a.raw")
    assert image.stat().st_size == file_system.size
    assert copied_back(image, tmp_path / "back") == tree(path)
    assert checked(image) >= 4087
    assert head(image) == (sector, 1)
    found = blkid(image)
    assert (found["TYPE"], found["VERSION"], found["LABEL"]) == ("vfat", "FAT16", "DATA")


@pytest.mark.parametrize(("sector", "least"), [(512, 2076 * 1024), (4096, 16 * MIB)])
def test_never_fewer_clusters_than_all_take_for_fat16(
    tmp_path: Path, sector: int, least: int
) -> None:
    file_system = fat(None, sector, "EMPTY")
    assert file_system.size == least
    with pytest.raises(ImageError) as error:
        file_system.check(least - 4096)
    assert str(error.value).endswith(
        f"is too small for the vfat file system EMPTY: it needs at least "
        f"{'16MiB' if sector == 4096 else '2076KiB'}"
    )
    image = filled(file_system, tmp_path / "a.raw", least)
    assert 4087 <= checked(image) < 4096
    assert blkid(image)["VERSION"] == "FAT16"
    assert allocated(image) < 100 * 1024


@pytest.mark.parametrize("sector", SECTORS)
@pytest.mark.parametrize(
    "size", [20 * MIB, 33 * MIB, 64 * MIB + 512, 257 * MIB, 2040 * MIB, 3 * GIB, 9 * GIB]
)
def test_sizes(tmp_path: Path, sector: int, size: int) -> None:
    file_system = fat(None, sector)
    geometry = file_system._geometry(size)
    image = filled(file_system, tmp_path / "a.raw", size)
    assert checked(image) == geometry.clusters(size)
    assert head(image) == (sector, geometry.cluster)
    assert blkid(image)["VERSION"] == f"FAT{geometry.bits}"
    assert geometry.bits == (16 if size < 2048 * MIB else 32)
    assert len(file_system.warnings(size)) == (geometry.bits == 32)


@pytest.mark.parametrize("sector", SECTORS)
@pytest.mark.parametrize("root", [512, 1536])
def test_counts_clusters_as_mkfs_does(tmp_path: Path, sector: int, root: int) -> None:
    for step, clusters in enumerate((4087, 4088, 6001, 16384, 32765, 65500, 65511)):
        geometry = Geometry(16, sector, 2 ** (step % 3), root)
        size = geometry.size(clusters) + step * sector
        image = tmp_path / f"{step}.raw"
        with open(image, "wb") as file:
            file.truncate(size)
        said = ran("mkfs.vfat", "-v", *geometry.arguments, str(image))
        match = re.search(r"provides (\d+) clusters", said)
        assert match
        assert int(match[1]) == geometry.clusters(size) >= clusters


@pytest.mark.parametrize("sector", SECTORS)
def test_larger_clusters_where_the_content_wants_them(tmp_path: Path, sector: int) -> None:
    path = directory(tmp_path / "f", {})
    with open(path / "big", "wb") as file:
        file.truncate(300 * MIB)
    file_system = fat(path, sector)
    assert file_system.size < 302 * MIB
    geometry = file_system._geometry(file_system.size)
    assert geometry.clusters(file_system.size) * geometry.cluster * sector >= 300 * MIB
    with pytest.raises(ImageError, match="is too small for the vfat file system from"):
        file_system.check(300 * MIB)


def test_content_for_fat32(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", {"a": b"content"})
    for name in ("b", "c"):
        with open(path / name, "wb") as file:
            file.truncate(2 * GIB)
    file_system = fat(path)
    assert 4 * GIB < file_system.size < 4.1 * GIB
    assert file_system._geometry(file_system.size).bits == 32
    assert file_system.warnings(file_system.size) == [
        f"the vfat file system from {path} is so large that it is FAT32, which MirageOS cannot read"
    ]


@pytest.mark.parametrize("sector", SECTORS)
@pytest.mark.parametrize("clusters", [65510, 65518, 65519, 65525, 70000])
def test_size_near_the_end_of_fat16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sector: int, clusters: int
) -> None:
    """As for so many small files, each of which takes a cluster however large that is."""
    file_system = fat(directory(tmp_path / "f", {}), sector)
    monkeypatch.setattr(Fat, "_clusters", lambda _self, _geometry: clusters)
    geometry = file_system._geometry(file_system.size)
    assert geometry.clusters(file_system.size) >= clusters
    assert geometry.bits == (16 if clusters <= 65510 else 32) or clusters == 65518
    found = checked(filled(file_system, tmp_path / "a.raw"))
    assert found >= clusters
    # MirageOS takes the entries from 0xFFF0 on for bad clusters, and 0 and 1 are none.
    assert geometry.bits == 32 or found <= 0xFFF0 - 2


# ---- what MirageOS does not find ----


def test_names_that_mirage_does_not_find(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", {"grüße.txt": b"", "sub/A B": b"", "settings.json": b""})
    file_system = fat(path)
    assert file_system.warnings(file_system.size) == [
        "MirageOS will neither find grüße.txt, sub/A B in the vfat file system from "
        f"{path} nor list the directories that have these names; give them ASCII names with a "
        "lower-case letter"
    ]
    assert fat(path, 512).warnings(file_system.size) == []


@pytest.mark.parametrize(("label", "sector"), [("CIDATA", 4096), ("cidata", 512)])
def test_label_that_needs_no_warning(label: str, sector: int) -> None:
    assert fat(None, sector, label).warnings(16 * MIB) == []


def test_label_for_which_mirage_does_not_list_the_directory() -> None:
    assert fat(None, 4096, "Data").warnings(16 * MIB) == [
        "MirageOS will not list the topmost directory of the vfat file system Data, because the "
        "label has lower-case letters; write it in capital letters"
    ]


# ---- names ----

PUNCTUATION = "!#$%&'()-@^_`{}~+,;=[]. "
NAME = (
    st.one_of(
        st.text(st.sampled_from("ABCabc019äßж日 " + PUNCTUATION), min_size=1, max_size=14),
        st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs", "Cc"]), min_size=1),
        st.from_regex(r"[A-Z0-9~_]{1,8}(\.[A-Z]{1,3})?", fullmatch=True),
        st.from_regex(r"[a-z0-9]{1,8}(\.[a-z]{1,3})?", fullmatch=True),
        st.from_regex(r"ABCDE[A-Z]{0,3}~[0-9]{1,2}(\.[A-Z]{1,3})?", fullmatch=True),
        st.from_regex(r"[Aa]bcdef[a-f]{2,250}", fullmatch=True),
    )
    .filter(lambda name: not re.search(r'["*:<>?\\|/\x00-\x1f]', name))
    .filter(lambda name: name[-1] not in ". " and len(name.encode()) < 256)
    .filter(lambda name: not re.fullmatch("(?i)con|prn|aux|nul|(com|lpt)[0-9]", name))
)
UPPER_SHORT = re.compile(r"[A-Z0-9!#$%&'()\-@^_`{}~]{1,8}(\.[A-Z0-9!#$%&'()\-@^_`{}~]{1,3})?")


def check_names(image: Path, wanted: Dict[str, Optional[bytes]]) -> None:
    """That every name is found as it is, by readers that know long names and by those that take a
    short one as it stands."""
    decoded = Decoder(image)
    assert decoded.members == wanted
    for short, long, flags in decoded.entries:
        assert flags == 0
        assert UPPER_SHORT.fullmatch(Decoder._plain(short))
        assert bool(long) is not bool(UPPER_SHORT.fullmatch(long or Decoder._plain(short)))


@settings(
    max_examples=examples(60),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(
    st.lists(NAME, max_size=40, unique_by=lambda name: name.upper()),
    st.lists(NAME, max_size=20, unique_by=lambda name: name.upper()),
    st.sampled_from([0, 1, 512, 5000]),
)
def test_any_name_is_found_as_it_is(names: List[str], below: List[str], size: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        content: Content = {name: name.encode().ljust(size, b"c")[:size] for name in names}
        content.update({f"a directory/{name}": None for name in below})
        content.pop("a directory", None)
        path = directory(Path(place) / "f", content)
        image = filled(fat(path, 512), Path(place) / "a.raw")
        check_names(image, tree(path))
        checked(image)


def test_names_in_lower_case_have_long_entries(tmp_path: Path) -> None:
    """ocaml-fat does not know the flags by which mcopy stores such names without them."""
    path = directory(
        tmp_path / "f", dict.fromkeys(("hello.txt", "Makefile", "a", "grüße.txt"), b"")
    )
    decoded = Decoder(filled(fat(path), tmp_path / "a.raw"))
    assert {short: long for short, long, _flags in decoded.entries} == {
        b"HELLO   TXT": "hello.txt",
        b"MAKEFILE   ": "Makefile",
        b"A          ": "a",
        b"GR_SSE~1TXT": "grüße.txt",
    }
    listed = ran("mdir", "-b", "-i", str(tmp_path / "a.raw"), "::/")
    assert sorted(listed.splitlines()) == ["::/Makefile", "::/a", "::/grüße.txt", "::/hello.txt"]


def test_many_names_that_begin_alike(tmp_path: Path) -> None:
    names = [f"a long name {number}.text" for number in range(1200)]
    path = directory(tmp_path / "f", {**dict.fromkeys(names, b"x"), "ALONGN~7.TEX": b"y"})
    image = filled(fat(path), tmp_path / "a.raw")
    check_names(image, tree(path))
    checked(image)
    shorts = {short for short, _long, _flags in Decoder(image).entries}
    assert b"ALONGN~1TEX" in shorts
    assert b"ALO~1199TEX" in shorts


@pytest.mark.parametrize("sector", SECTORS)
def test_what_fat32_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sector: int) -> None:
    """Content in more directories, and a topmost one of several clusters; fsck.vfat compares the
    number of free clusters with the one that is written down."""
    monkeypatch.setattr(Fat, "_fat16", lambda _self: iter(()))
    content: Content = {f"file with a long name {number}": b"x" * number for number in range(300)}
    content.update({f"a/b/c/{number}": b"y" * 9000 for number in range(40)})
    path = directory(tmp_path / "f", {**content, "a/EMPTY": None})
    file_system = fat(path, sector, "DATA")
    image = filled(file_system, tmp_path / "a.raw")
    assert blkid(image)["VERSION"] == "FAT32"
    check_names(image, tree(path))
    assert Decoder(image).label == "DATA"
    checked(image)
    assert copied_back(image, tmp_path / "back") == tree(path)


def test_zeros_in_files_stay_holes(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", {"a": b"x"})
    with open(path / "a", "r+b") as file:
        file.truncate(20 * MIB)
    image = filled(fat(path), tmp_path / "a.raw")
    assert allocated(image) < MIB
    assert copied_back(image, tmp_path / "back") == tree(path)


def test_all_have_the_time_of_the_creation(tmp_path: Path) -> None:
    path = directory(tmp_path / "f", {"a/b": b"x"})
    os.utime(path / "a/b", (0, 0))
    image = filled(fat(path), tmp_path / "a.raw")
    listed = ran("mdir", "-i", str(image), "::/a")
    assert time.strftime("%Y-%m-%d", time.localtime(image.stat().st_mtime)) in listed


# ---- what is refused ----


def test_size_that_no_fat_has() -> None:
    with pytest.raises(ImageError, match="4TiB is too large for a FAT file system"):
        fat(None, 512).check(4 * 1024 * GIB)


@pytest.mark.parametrize("sector", SECTORS)
def test_many_names_in_the_root_and_below(tmp_path: Path, sector: int) -> None:
    content = {f"{number}": b"" for number in range(700)}
    content.update({f"sub/{number}": b"x" for number in range(700)})
    path = directory(tmp_path / "f", dict(content))
    image = filled(fat(path, sector), tmp_path / "a.raw")
    assert copied_back(image, tmp_path / "back") == tree(path)
    checked(image)


def test_what_fat_cannot_hold(tmp_path: Path) -> None:
    bad = ['q"', "a:b", "a\\b", "a\nb", "dot.", "space ", "nul", "AUX", "\U0001f600"]
    path = directory(tmp_path / "f", {**dict.fromkeys(bad, b""), "sub/link": "x", "fine": b""})
    with open(path / "huge", "wb") as file:
        file.truncate(4 * GIB)
    both_cases = path / "two"
    both_cases.mkdir()
    (both_cases / "Name").mkdir()
    (both_cases / "NAME").write_bytes(b"")
    with open(os.fsencode(path) + b"/\xff", "wb"):
        pass
    with pytest.raises(ImageError) as error:
        fat(path)
    message = str(error.value)
    assert "symbolic links, which FAT does not support: sub/link;" in message
    assert "names that FAT does not allow: AUX, 'a\\nb', a:b, a\\b, dot. (and 5 more)" in message
    assert "files of 4 GiB or more, which are too large for FAT: huge;" in message
    assert "names that differ from others only by case: two/Name" in message
    assert "fine" not in message


def test_too_many_names_in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_fat, "MAX_ENTRIES", 16)
    path = directory(tmp_path / "f", {f"sub/name {number}": b"" for number in range(8)})
    with pytest.raises(ImageError, match="directories with more names than FAT has room for: sub"):
        fat(path)


@pytest.mark.parametrize("label", ["lower", "A B", "-x", "a'b", "$(x)`~", "11 CHARS ok"])
def test_label(tmp_path: Path, label: str) -> None:
    image = filled(fat(None, 4096, label), tmp_path / "a.raw", 16 * MIB)
    assert ran("blkid", "-p", "-o", "value", "-s", "LABEL", str(image)) == f"{label}\n"
    checked(image)


@pytest.mark.parametrize(
    "label", ["", "x" * 12, " X", "X ", "NO NAME", "é", "a.b", "a/b", "a:b", 'a"b', "a\nb", "A+B"]
)
def test_label_that_is_none(label: str) -> None:
    with pytest.raises(ImageError, match=r"invalid FAT label .*: it must be 1 to 11 ASCII"):
        fat(None, 4096, label)


def test_directory_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self: Fat, *arguments: Any) -> None:
        real_write(self, *arguments)
        (path / "a").unlink()
        (path / "a").symlink_to("/etc/shadow")

    path = directory(tmp_path / "f", {"a": b"content"})
    file_system = fat(path)
    real_write = Fat._write
    monkeypatch.setattr(Fat, "_write", write)
    with pytest.raises(ImageError, match="changed in the meantime; run again"):
        filled(file_system, tmp_path / "a.raw")


def test_tool_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "SYSTEM_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError) as error:
        fat(None)
    assert str(error.value) == (
        "mkfs.vfat, which creates FAT file systems, is not on this host: install it (package "
        "dosfstools on Debian)"
    )
