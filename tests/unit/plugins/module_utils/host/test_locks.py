# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks, also the one that xl's script takes."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.host import locks


@pytest.fixture
def script_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lock of xl's script, on a host that has that script."""
    script, lock = tmp_path / "block", tmp_path / "hotplug/block"
    script.touch()
    monkeypatch.setattr(locks, "OWN_DIR", str(tmp_path / "own"))
    monkeypatch.setattr(locks, "XL_SCRIPT", str(script))
    monkeypatch.setattr(locks, "XL_SCRIPT_LOCK", str(lock))
    return lock


def is_locked(path: Path) -> bool:
    """Whether somebody who takes the lock as xl's script does would wait."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def test_loop_devices_are_locked_for_xl_too(script_lock: Path, tmp_path: Path) -> None:
    with locks.loop_devices():
        assert is_locked(script_lock)
        assert is_locked(tmp_path / "own/loop")
    assert not script_lock.exists()
    assert not is_locked(tmp_path / "own/loop")


def test_without_the_script_there_is_no_lock_of_it(script_lock: Path, tmp_path: Path) -> None:
    (tmp_path / "block").unlink()
    with locks.loop_devices():
        assert not script_lock.exists()


def test_an_error_lets_go_of_both(script_lock: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), locks.loop_devices():
        raise RuntimeError
    assert not script_lock.exists()
    assert not is_locked(tmp_path / "own/loop")


def test_a_lock_that_stays_taken_is_an_error(script_lock: Path) -> None:
    script_lock.parent.mkdir()
    with locks.of_file(str(script_lock), 0):
        told = rf"waited 0 s for the lock {script_lock}, which"
        with pytest.raises(BlockdevError, match=told), locks.loop_devices(wait=0):
            pass
        assert script_lock.exists()


def test_a_lock_whose_file_was_removed_is_taken_anew(script_lock: Path) -> None:
    """Its holder removes the file while others wait on it."""
    script_lock.parent.mkdir()
    held = os.open(script_lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)

    def let_go() -> None:
        script_lock.unlink()
        os.close(held)

    timer = threading.Timer(5 * locks.POLL_SECONDS, let_go)
    timer.start()
    with locks.loop_devices():
        assert is_locked(script_lock)
    timer.join()


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError), locks.of_file(str(tmp_path / "lock"), 0):
        pass
    assert not (tmp_path / "elsewhere").exists()
