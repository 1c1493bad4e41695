# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loop devices: what is asked of the kernel to bind, unbind and change them.

The kernel here is a stand-in. What the real one does is tested by the integration target
xen_loopdev.
"""

from __future__ import annotations

import errno
import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import control as loop_control
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import (
    Binding,
    Info,
    LoopError,
)
from ansible_collections.xen.blockdev.tests.unit.plugins.module_utils.loopkernel import (
    BINDING,
    Kernel,
)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    monkeypatch.setattr(loop_control.time, "sleep", lambda _seconds: None)
    return Kernel(tmp_path, monkeypatch)


@pytest.fixture
def image(tmp_path: Path) -> str:
    (tmp_path / "a.raw").touch()
    return str(tmp_path / "a.raw")


def bind(path: str, sector_size: int = 512, direct_io: bool = False, number: Any = None) -> int:
    return loop_control.bind(
        path, loop_binding.file_id(os.stat(path)), sector_size, direct_io, number
    )


def configured(kernel: Kernel) -> Tuple[int, int, Info]:
    """What the last LOOP_CONFIGURE asked for: descriptor, sector size, info."""
    descriptor, sector_size, info = loop_control.CONFIG.unpack(
        kernel.arguments("LOOP_CONFIGURE")[-1]
    )
    return descriptor, sector_size, Info(*loop_binding.INFO64.unpack(info))


def test_the_structure_is_that_of_the_kernel() -> None:
    assert loop_control.CONFIG.size == 304
    packed = loop_binding.INFO64.pack(*Info(device=1, inode=2, file_name=b"name"))
    config = loop_control.CONFIG.pack(7, 512, packed)
    assert struct.unpack_from("=2I", config) == (7, 512)
    assert config[8:240] == packed


# Binding


def test_binds_to_a_free_device(kernel: Kernel, image: str) -> None:
    assert bind(image) == 5
    assert kernel.requests == ["LOOP_CTL_GET_FREE", "LOOP_CONFIGURE"]
    descriptor, sector_size, info = configured(kernel)
    assert descriptor > 2
    assert sector_size == 512
    assert info.flags == 0
    assert info.file_name.rstrip(b"\0") == loop_binding.mark(image)
    assert (info.offset, info.sizelimit) == (0, 0)


def test_binds_as_wanted(kernel: Kernel, tmp_path: Path) -> None:
    image = tmp_path / ("é" * 100)
    image.touch()
    assert bind(str(image), 4096, True, 7) == 7
    assert kernel.requests == ["LOOP_CTL_ADD", "LOOP_CONFIGURE"]
    assert kernel.arguments("LOOP_CTL_ADD") == [7]
    _descriptor, sector_size, info = configured(kernel)
    assert sector_size == 4096
    assert info.flags == loop_binding.DIRECT_IO
    assert info.file_name == loop_binding.mark(str(image)) + b"\0"


def test_a_device_that_is_there_need_not_be_added(kernel: Kernel, image: str) -> None:
    kernel.fail("LOOP_CTL_ADD", errno.EEXIST)
    assert bind(image, number=7) == 7


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM, errno.ETXTBSY])
def test_binds_read_only_what_cannot_be_written(
    kernel: Kernel, image: str, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real_open = os.open

    def refuse_writing(path: str, flags: int, *_others: object, **_more: object) -> int:
        if path == image and flags & os.O_RDWR:
            raise OSError(code, os.strerror(code))
        return real_open(path, flags)

    monkeypatch.setattr(os, "open", refuse_writing)
    bind(image)
    assert configured(kernel)[2].flags == loop_binding.READ_ONLY


def test_tries_the_next_device_where_another_program_was_faster(kernel: Kernel, image: str) -> None:
    kernel.fail("LOOP_CONFIGURE", errno.EBUSY, loop_control.BIND_TRIES - 1)
    assert bind(image) == 5
    assert kernel.requests.count("LOOP_CTL_GET_FREE") == loop_control.BIND_TRIES


def test_gives_up_in_the_end(kernel: Kernel, image: str) -> None:
    kernel.fail("LOOP_CONFIGURE", errno.EBUSY, loop_control.BIND_TRIES)
    with pytest.raises(
        LoopError, match="another program took the free loop device first, 64 times"
    ):
        bind(image)


@pytest.mark.parametrize("old_kernel", [False, True])
def test_a_device_that_is_taken_is_not_tried_again(
    kernel: Kernel, image: str, old_kernel: bool
) -> None:
    if old_kernel:
        kernel.fail("LOOP_CONFIGURE", errno.EINVAL)
        kernel.fail("LOOP_SET_FD", errno.EBUSY)
    else:
        kernel.fail("LOOP_CONFIGURE", errno.EBUSY)
    with pytest.raises(loop_control.DeviceTakenError, match="loop7 is already bound"):
        bind(image, number=7)
    assert kernel.requests.count("LOOP_CONFIGURE") == 1
    assert "LOOP_CLR_FD" not in kernel.requests


def test_refuses_what_was_deleted_while_it_was_opened(
    kernel: Kernel, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, real = loop_binding.file_id(os.stat(image)), os.open

    def late(path: str, flags: int, *_others: object, **_more: object) -> int:
        descriptor = real(path, flags)
        if path == image:
            os.unlink(image)
        return descriptor

    monkeypatch.setattr(os, "open", late)
    with pytest.raises(LoopError, match=r"a\.raw was deleted or replaced during the run"):
        loop_control.bind(image, wanted, 512, False, None)
    assert "LOOP_CONFIGURE" not in kernel.requests


def test_refuses_another_file_than_was_planned(kernel: Kernel, image: str) -> None:
    with pytest.raises(LoopError, match=r"a\.raw was replaced by another file during the run"):
        loop_control.bind(image, (1, 2), 512, False, None)
    assert not kernel.calls


@pytest.mark.parametrize("code", [errno.ENOENT, errno.ENODEV, errno.ENXIO])
def test_no_loop_driver(
    kernel: Kernel, image: str, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real_open = os.open

    def no_control(path: str, flags: int, *_others: object, **_more: object) -> int:
        if path == loop_control.CONTROL:
            raise OSError(code, os.strerror(code))
        return real_open(path, flags)

    monkeypatch.setattr(os, "open", no_control)
    with pytest.raises(LoopError, match=rf"{os.strerror(code)}\); run `modprobe loop`"):
        bind(image)


def test_requires_the_driver(kernel: Kernel) -> None:
    loop_control.require_driver()
    os.unlink(loop_control.CONTROL)
    with pytest.raises(LoopError, match="run `modprobe loop`"):
        loop_control.require_driver()


def test_any_other_error_goes_through(kernel: Kernel, image: str) -> None:
    kernel.fail("LOOP_CONFIGURE", errno.ENOMEM)
    with pytest.raises(OSError, match="Cannot allocate memory"):
        bind(image)
    assert kernel.requests.count("LOOP_CONFIGURE") == 1


# Binding with the older pair of ioctls


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTTY])
def test_binds_in_steps_where_the_kernel_is_older(kernel: Kernel, image: str, code: int) -> None:
    kernel.fail("LOOP_CONFIGURE", code)
    assert bind(image) == 5
    assert kernel.requests[2:] == ["LOOP_SET_FD", "LOOP_SET_STATUS64"]


def test_binds_in_steps_as_wanted(kernel: Kernel, image: str) -> None:
    kernel.fail("LOOP_CONFIGURE", errno.EINVAL)
    bind(image, 4096, direct_io=True)
    assert kernel.requests[2:] == [
        "LOOP_SET_FD",
        "LOOP_SET_BLOCK_SIZE",
        "LOOP_SET_STATUS64",
        "LOOP_SET_DIRECT_IO",
    ]
    assert kernel.arguments("LOOP_SET_BLOCK_SIZE") == [4096]
    assert kernel.arguments("LOOP_SET_DIRECT_IO") == [1]
    (info,) = kernel.arguments("LOOP_SET_STATUS64")
    assert Info(*loop_binding.INFO64.unpack(info)).file_name.startswith(loop_binding.mark(image))


@pytest.mark.parametrize("step", ["LOOP_SET_BLOCK_SIZE", "LOOP_SET_STATUS64", "LOOP_SET_DIRECT_IO"])
def test_a_step_that_fails_is_undone(kernel: Kernel, image: str, step: str) -> None:
    kernel.fail("LOOP_CONFIGURE", errno.EINVAL)
    kernel.fail(step, errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        bind(image, 4096, direct_io=True)
    assert kernel.requests[-2:] == [step, "LOOP_CLR_FD"]


def test_direct_io_is_dropped_in_steps_as_it_is_at_once(kernel: Kernel, image: str) -> None:
    kernel.fail("LOOP_CONFIGURE", errno.EINVAL)
    kernel.fail("LOOP_SET_DIRECT_IO", errno.EINVAL)
    assert bind(image, direct_io=True) == 5
    assert "LOOP_CLR_FD" not in kernel.requests


def test_waits_for_a_cache_that_is_not_clean(kernel: Kernel, image: str) -> None:
    kernel.fail("LOOP_CONFIGURE", errno.EINVAL)
    kernel.fail("LOOP_SET_STATUS64", errno.EAGAIN, 63)
    assert bind(image) == 5
    kernel.fail("LOOP_CONFIGURE", errno.EINVAL)
    kernel.fail("LOOP_SET_STATUS64", errno.EAGAIN, 64)
    with pytest.raises(BlockingIOError):
        bind(image)
    assert kernel.requests[-1] == "LOOP_CLR_FD"


# Unbinding


@pytest.fixture
def known(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> Binding:
    """The device that the kernel knows."""
    monkeypatch.setattr(Binding, "device", property(lambda one: kernel.device_of(one.number)))
    return BINDING


def test_unbinds(kernel: Kernel, known: Binding, monkeypatch: pytest.MonkeyPatch) -> None:
    flags: List[int] = []
    real_open = os.open

    def watch(path: str, mode: int, *_others: object, **_more: object) -> int:
        flags.append(mode)
        return real_open(path, mode & ~os.O_EXCL)

    monkeypatch.setattr(os, "open", watch)
    monkeypatch.setattr(loop_control, "_is_bound", lambda _device: False)
    loop_control.unbind(known)
    assert kernel.requests == ["LOOP_GET_STATUS64", "LOOP_CLR_FD"]
    assert all(mode & os.O_EXCL for mode in flags)


@pytest.mark.parametrize("autoclear", [0, loop_binding.AUTOCLEAR])
def test_takes_back_the_autoclear_of_a_device_in_use(
    kernel: Kernel, known: Binding, autoclear: int
) -> None:
    kernel.info = kernel.info._replace(flags=loop_binding.AUTOCLEAR | loop_binding.DIRECT_IO)
    with pytest.raises(loop_control.InUseError, match="loop5 is in use"):
        loop_control.unbind(replace(known, flags=autoclear | loop_binding.DIRECT_IO))
    (info,) = kernel.arguments("LOOP_SET_STATUS64")
    assert Info(*loop_binding.INFO64.unpack(info)).flags == autoclear | loop_binding.DIRECT_IO


def test_a_device_that_is_held_exclusively_is_in_use(
    kernel: Kernel, known: Binding, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_arguments: Any, **_more: Any) -> int:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(os, "open", busy)
    with pytest.raises(loop_control.InUseError, match="loop5 is in use"):
        loop_control.unbind(known)
    assert not kernel.calls


@pytest.mark.parametrize("change", [{"inode": 100}, {"offset": 512}, {"device": 1}])
def test_does_not_unbind_what_is_another_binding_by_now(
    kernel: Kernel, known: Binding, change: Dict[str, int]
) -> None:
    kernel.info = kernel.info._replace(**change)
    with pytest.raises(LoopError, match="loop5 is now bound to another file"):
        loop_control.unbind(known)
    assert kernel.requests == ["LOOP_GET_STATUS64"]


def test_what_is_unbound_by_now_need_not_be_unbound(kernel: Kernel, known: Binding) -> None:
    kernel.fail("LOOP_GET_STATUS64", errno.ENXIO)
    loop_control.unbind(known)
    assert kernel.requests == ["LOOP_GET_STATUS64"]


# Changing


def test_capacity(kernel: Kernel, known: Binding) -> None:
    loop_control.refresh_capacity(known)
    assert kernel.requests == ["LOOP_SET_CAPACITY"]


def test_direct_io(kernel: Kernel, known: Binding) -> None:
    loop_control.set_direct_io(known, True)
    loop_control.set_direct_io(known, False)
    assert kernel.arguments("LOOP_SET_DIRECT_IO") == [1, 0]


def test_direct_io_that_the_file_system_does_not_allow(kernel: Kernel, known: Binding) -> None:
    kernel.fail("LOOP_SET_DIRECT_IO", errno.EINVAL)
    with pytest.raises(
        LoopError,
        match=r"/srv/a\.raw: its file system does not allow direct I/O with sectors of 512",
    ):
        loop_control.set_direct_io(known, True)
    kernel.fail("LOOP_SET_DIRECT_IO", errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        loop_control.set_direct_io(known, True)


def test_keeps_bound_with_all_other_flags(kernel: Kernel, known: Binding) -> None:
    kernel.info = kernel.info._replace(
        flags=loop_binding.AUTOCLEAR | loop_binding.DIRECT_IO, file_name=b"name"
    )
    loop_control.keep_bound(known)
    (info,) = kernel.arguments("LOOP_SET_STATUS64")
    assert info == loop_binding.INFO64.pack(*kernel.info._replace(flags=loop_binding.DIRECT_IO))
