# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Device nodes of loop devices that are missing, forbidden or another device's.

What the real kernel does is tested by the integration target xen_loopdev (nodes).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.loop import node as loop_node
from ansible_collections.xen.blockdev.plugins.module_utils.loop.node import NodeError


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty /dev; the kernel has loop device 5 and loop-control."""
    for name, number in (("block/loop5", "7:5\n"), ("misc/loop-control", "10:237\n")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "dev").write_text(number)
    monkeypatch.setattr(loop_node, "SYS_BLOCK", str(tmp_path / "block"))
    monkeypatch.setattr(loop_node, "SYS_MISC", str(tmp_path / "misc"))
    (tmp_path / "dev").mkdir()
    return tmp_path / "dev"


def test_numbers(dev: Path) -> None:
    assert loop_node.number(f"{dev}/loop5") == os.makedev(7, 5)
    assert loop_node.number(f"{dev}/loop-control") == os.makedev(10, 237)
    assert loop_node.number(f"{dev}/loop6") is None
    assert loop_node.is_missing(f"{dev}/loop5")
    assert not loop_node.is_missing(f"{dev}/loop6")
    (dev / "loop5").touch()
    assert not loop_node.is_missing(f"{dev}/loop5")


def test_what_the_kernel_does_not_have_is_not_there(dev: Path) -> None:
    with pytest.raises(FileNotFoundError), loop_node.opened_device(f"{dev}/loop6", os.O_RDONLY):
        pass
    with pytest.raises(FileNotFoundError):
        loop_node.make(f"{dev}/loop6")


def test_what_may_not_be_made_is_named_with_the_remedy(
    dev: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "mknod", refuse)
    for path, number in ((f"{dev}/loop5", "b 7 5"), (f"{dev}/loop-control", "c 10 237")):
        with pytest.raises(NodeError) as caught:
            loop_node.make(path)
        assert f"{path} has no device node here, and none can be created (Operation" in str(
            caught.value
        )
        assert "docker run --privileged -v /dev:/dev" in str(caught.value)
        assert f"`mknod {path} {number}`" in str(caught.value)
    with pytest.raises(NodeError), loop_node.opened_device(f"{dev}/loop5", os.O_RDONLY):
        pass


def test_what_may_not_be_opened(dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    (dev / "loop5").touch()
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(NodeError, match="loop5 cannot be opened here"), loop_node.opened_device(
        f"{dev}/loop5", os.O_RDONLY
    ):
        pass


def test_a_node_of_something_else_is_refused(dev: Path) -> None:
    (dev / "loop5").write_text("a copy that missed the device")
    message = r"loop5 is not the kernel's device .* \(b 7 5\); remove that file"
    with pytest.raises(NodeError, match=message), loop_node.opened_device(
        f"{dev}/loop5", os.O_RDONLY
    ):
        pass


def test_no_node_stays_of_what_cannot_be_opened(dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: List[str] = []

    def mknod(path: str, *_more: int) -> None:
        made.append(path)
        Path(path).touch()

    def busy(*_arguments: Any) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(os, "mknod", mknod)
    real_open = os.open
    monkeypatch.setattr(
        os, "open", lambda path, *more: busy() if path in made else real_open(path, *more)
    )
    with pytest.raises(OSError, match="busy"), loop_node.opened_device(f"{dev}/loop5", os.O_RDONLY):
        pass
    assert len(made) == 1
    assert os.listdir(dev) == []
