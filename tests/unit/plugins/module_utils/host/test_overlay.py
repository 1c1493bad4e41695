# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an overlay file system keeps a file; the integration target xen_vbd_attach mounts one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterable

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.host import mounts, overlay
from ansible_collections.xen.blockdev.plugins.module_utils.host.overlay import (
    HiddenError,
    Overlays,
    RealFile,
)

RECORDED = r"""
66 63 0:40 / /srv/merged rw,relatime - overlay ov rw,lowerdir=/srv/lo,upperdir=/srv/up,uuid=on
70 63 0:42 /sub /srv/m\0402 rw shared:4 - overlay ov ro,lowerdir=/srv/l\040o\134:\134\054a:/srv/b
71 63 0:43 / /srv/three rw - overlay ov rw,lowerdir+=/srv/a:b,lowerdir+=/srv/c,upperdir=/srv/u\054v
72 63 0:44 / /srv/four rw - overlay ov rw,lowerdir=l/A:l/B::l/C
63 1 8:1 / /srv rw,relatime - ext4 /dev/sda1 rw
""".strip()


def test_mounts_as_the_kernel_shows_them() -> None:
    found = dict(overlay.overlays_among(map(mounts.entry_of, RECORDED.splitlines())))
    assert {number: mount.layers for number, mount in found.items()} == {
        "66": ("/srv/up", "/srv/lo"),
        "70": ("/srv/l o:,a", "/srv/b"),
        "71": ("/srv/u,v", "/srv/a:b", "/srv/c"),
        "72": ("l/A", "l/B", "l/C"),
    }
    assert [mount.has_upper for mount in found.values()] == [True, False, True, False]
    assert (found["70"].root, found["70"].point) == ("/sub", "/srv/m 2")
    assert found["66"].device == os.makedev(0, 40)


def real(tmp_path: Path, *layers: str, has_upper: bool = True, root: str = "/") -> RealFile:
    """Of merged/dir/a, by a mount with these layers."""
    merged = tmp_path / "merged" / "dir" / "a"
    merged.parent.mkdir(parents=True, exist_ok=True)
    merged.write_bytes(b"12")
    mount = overlay._Mount(
        root, str(tmp_path / "merged"), 40, tuple(str(tmp_path / one) for one in layers), has_upper
    )
    return mount.real(str(merged), merged.stat())


def have(tmp_path: Path, names: Iterable[str], text: bytes = b"12") -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text)


def test_the_topmost_layer_counts(tmp_path: Path) -> None:
    have(tmp_path, ["b/dir/a", "c/dir/a"])
    assert real(tmp_path, "a", "b", "c").path == str(tmp_path / "b/dir/a")
    assert real(tmp_path, "a", "b", "c").is_lower
    assert not real(tmp_path, "b", "c").is_lower
    assert real(tmp_path, "b", "c", has_upper=False).is_lower
    have(tmp_path, ["d/sub/dir/a"])
    assert real(tmp_path, "d", root="/sub").path == str(tmp_path / "d/sub/dir/a")


def test_what_cannot_be_seen(tmp_path: Path) -> None:
    with pytest.raises(HiddenError, match="cannot be seen from here"):
        real(tmp_path, "nowhere")
    # As with metacopy, where the file in the upper directory has no data.
    have(tmp_path, ["a/dir/a"], b"")
    have(tmp_path, ["b/dir/a"])
    with pytest.raises(HiddenError):
        real(tmp_path, "a", "b")
    with pytest.raises(HiddenError):
        real(tmp_path, "\0")


def test_without_an_overlay_nothing_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mountinfo").write_text("63 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    monkeypatch.setattr(mounts, "MOUNTS", str(tmp_path / "mountinfo"))
    monkeypatch.setattr(Overlays, "_place", None)
    overlays = Overlays()
    assert list(overlays.nested("/srv/a", tmp_path.stat())) == []
    assert not overlays.has_device(os.makedev(8, 1))
