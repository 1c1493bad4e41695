# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loop devices: what is asked of the kernel, and what its answers mean.

The kernel here is a stand-in that gives the answers which a real one does not give on demand. What
the real one does is tested by the integration target xen_loopdev.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils import loop, loop_link
from ansible_collections.xen.blockdev.plugins.module_utils.loop import Binding, Info, LoopError

BINDING = Binding(
    number=5,
    rdev=os.makedev(7, 5),
    file=(os.makedev(254, 1), 99),
    backing_rdev=0,
    backing_file="/srv/a.raw",
    deleted=False,
    offset=0,
    size_limit=0,
    flags=0,
    size=1048576,
    sector_size=512,
)

REQUESTS = {getattr(loop, name): name for name in dir(loop) if name.startswith(("LOOP_", "BLK"))}


class Kernel:
    """Answers ioctl as told. Device N is the regular file loopN of a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.calls: List[Tuple[str, Any]] = []
        self.free = 5
        self.info = Info(device=kernel_dev(254, 1), inode=99)
        self._errors: Dict[str, List[int]] = {}
        for number in range(9):
            (directory / f"loop{number}").touch()

    def device_path(self, number: int) -> str:
        return str(self.directory / f"loop{number}")

    def fail(self, request: str, code: int, times: int = 1) -> None:
        self._errors.setdefault(request, []).extend([code] * times)

    def ioctl(self, _descriptor: int, code: int, argument: Any = 0) -> Any:
        request = REQUESTS[code]
        self.calls.append((request, argument))
        if self._errors.get(request):
            error = self._errors[request].pop(0)
            raise OSError(error, os.strerror(error))
        answers = {
            "LOOP_CTL_GET_FREE": self.free,
            "LOOP_GET_STATUS64": loop.INFO64.pack(*self.info),
            "BLKGETSIZE64": struct.pack("=Q", 1048576),
            "BLKSSZGET": struct.pack("=i", 4096),
        }
        return answers.get(request, 0)

    @property
    def requests(self) -> List[str]:
        return [request for request, _argument in self.calls]

    def arguments(self, request: str) -> List[Any]:
        return [argument for name, argument in self.calls if name == request]


def kernel_dev(major: int, minor: int) -> int:
    """As new_encode_dev of linux/kdev_t.h does it."""
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    devices = tmp_path / "dev"
    devices.mkdir()
    kernel = Kernel(devices)
    (devices / "loop-control").touch()
    monkeypatch.setattr(fcntl, "ioctl", kernel.ioctl)
    monkeypatch.setattr(loop, "CONTROL", str(devices / "loop-control"))
    monkeypatch.setattr(loop, "device_path", kernel.device_path)
    monkeypatch.setattr(loop.time, "sleep", lambda _seconds: None)
    return kernel


@pytest.fixture
def image(tmp_path: Path) -> str:
    (tmp_path / "a.raw").touch()
    return str(tmp_path / "a.raw")


def bind(path: str, sector_size: int = 512, direct_io: bool = False, number: Any = None) -> int:
    return loop.bind(path, loop.file_id(os.stat(path)), sector_size, direct_io, number)


def configured(kernel: Kernel) -> Tuple[int, int, Info]:
    """What the last LOOP_CONFIGURE asked for: descriptor, sector size, info."""
    descriptor, sector_size, info = loop.CONFIG.unpack(kernel.arguments("LOOP_CONFIGURE")[-1])
    return descriptor, sector_size, Info(*loop.INFO64.unpack(info))


# Numbers and structures


def test_structures_have_the_sizes_of_the_kernel() -> None:
    assert loop.INFO64.size == 232
    assert loop.CONFIG.size == 304
    assert len(Info()) == len(loop.INFO64.unpack(bytes(232)))


def test_fields_are_where_the_kernel_has_them() -> None:
    packed = loop.INFO64.pack(
        *Info(device=1, inode=2, offset=3, sizelimit=4, number=5, flags=6, file_name=b"name")
    )
    for offset, form, value in [
        (0, "=Q", 1),
        (8, "=Q", 2),
        (24, "=Q", 3),
        (32, "=Q", 4),
        (40, "=I", 5),
        (52, "=I", 6),
        (56, "=4s", b"name"),
    ]:
        assert struct.unpack_from(form, packed, offset) == (value,)
    config = loop.CONFIG.pack(7, 512, packed)
    assert struct.unpack_from("=2I", config) == (7, 512)
    assert config[8:240] == packed


@pytest.mark.parametrize(
    ("major", "minor"), [(0, 0), (7, 200), (254, 0), (8, 255), (8, 256), (259, 1048575), (4095, 1)]
)
def test_device_numbers_of_the_kernel(major: int, minor: int) -> None:
    assert loop._decode_dev(kernel_dev(major, minor)) == os.makedev(major, minor)


@pytest.mark.parametrize(
    ("device", "number"),
    [
        ("/dev/loop0", 0),
        ("/dev/loop7", 7),
        ("/dev/loop1048575", 1048575),
        ("/dev/loop1048576", None),
        ("/dev/loop" + "9" * 5000, None),
        ("/dev/loop07", None),
        ("/dev/loop", None),
        ("/dev/loop-control", None),
        ("/dev/loop-1", None),
        ("/dev/loop0p1", None),
        ("/dev/loop٣", None),
        ("/dev/loop7\n", None),
        (" /dev/loop7", None),
        ("loop7", None),
        ("7", None),
        ("", None),
    ],
)
def test_number_of_a_device(device: str, number: Any) -> None:
    assert loop.number_of(device) == number


def test_binding() -> None:
    assert BINDING.device == "/dev/loop5"
    assert BINDING.whole
    assert not replace(BINDING, offset=512).whole
    assert not replace(BINDING, size_limit=512).whole
    for flag, name in [(1, "read_only"), (4, "autoclear"), (16, "direct_io")]:
        assert not getattr(BINDING, name)
        assert getattr(replace(BINDING, flags=flag), name)
        assert not getattr(replace(BINDING, flags=~flag), name)


# Reading


def read(kernel: Kernel, monkeypatch: pytest.MonkeyPatch, backing_file: Any) -> Any:
    monkeypatch.setattr(loop, "_backing_file", lambda _number: backing_file)
    return loop.read(5)


def test_reads_a_binding(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.info = kernel.info._replace(
        rdevice=kernel_dev(8, 17), offset=512, sizelimit=4096, flags=loop.DIRECT_IO
    )
    assert read(kernel, monkeypatch, "/srv/a.raw") == replace(
        BINDING,
        rdev=0,  # that of a regular file, which stands for the device here
        backing_rdev=os.makedev(8, 17),
        offset=512,
        size_limit=4096,
        flags=loop.DIRECT_IO,
        sector_size=4096,
    )


def test_reads_nothing_where_nothing_is_bound(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read(kernel, monkeypatch, None) is None
    assert not kernel.calls
    kernel.fail("LOOP_GET_STATUS64", errno.ENXIO)
    assert read(kernel, monkeypatch, "/srv/a.raw") is None


def test_a_binding_without_a_device_node(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    os.unlink(kernel.device_path(5))
    with pytest.raises(LoopError, match=r"loop5 is bound to /srv/a.raw but has no device node"):
        read(kernel, monkeypatch, "/srv/a.raw")


def test_a_device_that_goes_while_it_is_read(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.unlink(kernel.device_path(5))
    answers = iter(["/srv/a.raw", None])
    monkeypatch.setattr(loop, "_backing_file", lambda _number: next(answers))
    assert loop.read(5) is None


def test_a_deleted_backing_file(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    binding = read(kernel, monkeypatch, "/srv/a.raw (deleted)")
    assert (binding.backing_file, binding.deleted) == ("/srv/a.raw", True)


def test_deleted_images_are_known_without_device_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called_so = tmp_path / "c.raw (deleted)"
    called_so.touch()
    files = {3: "/srv/a.raw (deleted)", 5: "/srv/b.raw", 7: str(called_so), 9: None}
    monkeypatch.setattr(loop, "_numbers", lambda: list(files))
    monkeypatch.setattr(loop, "_backing_file", files.get)
    assert loop.deleted_images() == {"/srv/a.raw": "/dev/loop3"}


def test_a_file_that_is_called_deleted(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "a.raw (deleted)"
    path.touch()
    status = path.stat()
    major, minor = os.major(status.st_dev), os.minor(status.st_dev)
    kernel.info = Info(device=kernel_dev(major, minor), inode=status.st_ino)
    binding = read(kernel, monkeypatch, str(path))
    assert (binding.backing_file, binding.deleted) == (str(path), False)
    kernel.info = kernel.info._replace(inode=status.st_ino + 1)
    binding = read(kernel, monkeypatch, str(path))
    assert (binding.backing_file, binding.deleted) == (str(tmp_path / "a.raw"), True)


# Binding


def test_binds_to_a_free_device(kernel: Kernel, image: str) -> None:
    assert bind(image) == 5
    assert kernel.requests == ["LOOP_CTL_GET_FREE", "LOOP_CONFIGURE"]
    descriptor, sector_size, info = configured(kernel)
    assert descriptor > 2
    assert sector_size == 512
    assert info.flags == 0
    assert info.file_name.rstrip(b"\0") == image.encode()[:63]
    assert (info.offset, info.sizelimit) == (0, 0)


def test_binds_as_wanted(kernel: Kernel, tmp_path: Path) -> None:
    image = tmp_path / ("é" * 100)
    image.touch()
    assert bind(str(image), 4096, True, 7) == 7
    assert kernel.requests == ["LOOP_CTL_ADD", "LOOP_CONFIGURE"]
    assert kernel.arguments("LOOP_CTL_ADD") == [7]
    _descriptor, sector_size, info = configured(kernel)
    assert sector_size == 4096
    assert info.flags == loop.DIRECT_IO
    assert info.file_name == str(image).encode()[:63] + b"\0"


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
    assert configured(kernel)[2].flags == loop.READ_ONLY


def test_tries_the_next_device_where_another_program_was_faster(kernel: Kernel, image: str) -> None:
    kernel.fail("LOOP_CONFIGURE", errno.EBUSY, loop.BIND_TRIES - 1)
    assert bind(image) == 5
    assert kernel.requests.count("LOOP_CTL_GET_FREE") == loop.BIND_TRIES


def test_gives_up_in_the_end(kernel: Kernel, image: str) -> None:
    kernel.fail("LOOP_CONFIGURE", errno.EBUSY, loop.BIND_TRIES)
    with pytest.raises(LoopError, match="64 times another program took the free loop device first"):
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
    with pytest.raises(loop.DeviceTakenError, match="loop7 is bound already"):
        bind(image, number=7)
    assert kernel.requests.count("LOOP_CONFIGURE") == 1
    assert "LOOP_CLR_FD" not in kernel.requests


def test_refuses_what_was_deleted_while_it_was_opened(
    kernel: Kernel, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, real = loop.file_id(os.stat(image)), os.open

    def late(path: str, flags: int, *_others: object, **_more: object) -> int:
        descriptor = real(path, flags)
        if path == image:
            os.unlink(image)
        return descriptor

    monkeypatch.setattr(os, "open", late)
    with pytest.raises(LoopError, match=r"a\.raw was deleted or replaced by someone else"):
        loop.bind(image, wanted, 512, False, None)
    assert "LOOP_CONFIGURE" not in kernel.requests


def test_refuses_another_file_than_was_planned(kernel: Kernel, image: str) -> None:
    with pytest.raises(LoopError, match=r"a\.raw was replaced by another file meanwhile"):
        loop.bind(image, (1, 2), 512, False, None)
    assert not kernel.calls


@pytest.mark.parametrize("code", [errno.ENOENT, errno.ENODEV, errno.ENXIO])
def test_no_loop_driver(
    kernel: Kernel, image: str, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real_open = os.open

    def no_control(path: str, flags: int, *_others: object, **_more: object) -> int:
        if path == loop.CONTROL:
            raise OSError(code, os.strerror(code))
        return real_open(path, flags)

    monkeypatch.setattr(os, "open", no_control)
    with pytest.raises(LoopError, match=rf"{os.strerror(code)}\); load it with `modprobe loop`"):
        bind(image)


def test_requires_the_driver(kernel: Kernel) -> None:
    loop.require_driver()
    os.unlink(loop.CONTROL)
    with pytest.raises(LoopError, match="load it with `modprobe loop`"):
        loop.require_driver()


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
    assert Info(*loop.INFO64.unpack(info)).file_name.startswith(image.encode()[:63])


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
    monkeypatch.setattr(Binding, "device", property(lambda one: kernel.device_path(one.number)))
    return BINDING


def test_unbinds(kernel: Kernel, known: Binding, monkeypatch: pytest.MonkeyPatch) -> None:
    flags: List[int] = []
    real_open = os.open

    def watch(path: str, mode: int, *_others: object, **_more: object) -> int:
        flags.append(mode)
        return real_open(path, mode & ~os.O_EXCL)

    monkeypatch.setattr(os, "open", watch)
    monkeypatch.setattr(loop, "_is_bound", lambda _device: False)
    loop.unbind(known)
    assert kernel.requests == ["LOOP_GET_STATUS64", "LOOP_CLR_FD"]
    assert all(mode & os.O_EXCL for mode in flags)


@pytest.mark.parametrize("autoclear", [0, loop.AUTOCLEAR])
def test_takes_back_the_autoclear_of_a_device_in_use(
    kernel: Kernel, known: Binding, autoclear: int
) -> None:
    kernel.info = kernel.info._replace(flags=loop.AUTOCLEAR | loop.DIRECT_IO)
    with pytest.raises(loop.InUseError, match="loop5 is in use"):
        loop.unbind(replace(known, flags=autoclear | loop.DIRECT_IO))
    (info,) = kernel.arguments("LOOP_SET_STATUS64")
    assert Info(*loop.INFO64.unpack(info)).flags == autoclear | loop.DIRECT_IO


def test_a_device_that_is_held_exclusively_is_in_use(
    kernel: Kernel, known: Binding, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_arguments: Any, **_more: Any) -> int:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(os, "open", busy)
    with pytest.raises(loop.InUseError, match="loop5 is in use"):
        loop.unbind(known)
    assert not kernel.calls


@pytest.mark.parametrize("change", [{"inode": 100}, {"offset": 512}, {"device": 1}])
def test_does_not_unbind_what_is_another_binding_by_now(
    kernel: Kernel, known: Binding, change: Dict[str, int]
) -> None:
    kernel.info = kernel.info._replace(**change)
    with pytest.raises(LoopError, match="loop5 has another backing file by now"):
        loop.unbind(known)
    assert kernel.requests == ["LOOP_GET_STATUS64"]


def test_what_is_unbound_by_now_need_not_be_unbound(kernel: Kernel, known: Binding) -> None:
    kernel.fail("LOOP_GET_STATUS64", errno.ENXIO)
    loop.unbind(known)
    assert kernel.requests == ["LOOP_GET_STATUS64"]


# Changing


def test_capacity(kernel: Kernel, known: Binding) -> None:
    loop.refresh_capacity(known)
    assert kernel.requests == ["LOOP_SET_CAPACITY"]


def test_direct_io(kernel: Kernel, known: Binding) -> None:
    loop.set_direct_io(known, True)
    loop.set_direct_io(known, False)
    assert kernel.arguments("LOOP_SET_DIRECT_IO") == [1, 0]


def test_direct_io_that_the_file_system_does_not_allow(kernel: Kernel, known: Binding) -> None:
    kernel.fail("LOOP_SET_DIRECT_IO", errno.EINVAL)
    with pytest.raises(LoopError, match=r"/srv/a\.raw cannot have direct I/O with sectors of 512"):
        loop.set_direct_io(known, True)
    kernel.fail("LOOP_SET_DIRECT_IO", errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        loop.set_direct_io(known, True)


def test_keeps_bound_with_all_other_flags(kernel: Kernel, known: Binding) -> None:
    kernel.info = kernel.info._replace(flags=loop.AUTOCLEAR | loop.DIRECT_IO, file_name=b"name")
    loop.keep_bound(known)
    (info,) = kernel.arguments("LOOP_SET_STATUS64")
    assert info == loop.INFO64.pack(*kernel.info._replace(flags=loop.DIRECT_IO))


# The link that follows the image


LINK = f"{loop_link.LINK_DIR}/srv/a.raw"


def linked_to(monkeypatch: pytest.MonkeyPatch, rdev: int, mode: int = stat.S_IFBLK) -> None:
    """Have a link, and the image that it is called after."""
    statuses = {
        LINK: SimpleNamespace(st_mode=mode, st_rdev=rdev),
        "/srv/a.raw": SimpleNamespace(st_dev=BINDING.file[0], st_ino=BINDING.file[1]),
    }
    real_stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **kw: statuses.get(path) or real_stat(path, **kw))


def test_link(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loop.verified_link(BINDING) is None
    linked_to(monkeypatch, BINDING.rdev)
    assert loop.verified_link(BINDING) == LINK
    assert loop.verified_link(replace(BINDING, offset=512)) is None
    linked_to(monkeypatch, BINDING.rdev + 1)
    assert loop.verified_link(BINDING) is None
    linked_to(monkeypatch, BINDING.rdev, stat.S_IFCHR)
    assert loop.verified_link(BINDING) is None


def test_names_of_links() -> None:
    assert loop_link.link_of("/srv/a.raw") == LINK
    assert loop_link.path_of(LINK) == "/srv/a.raw"
    assert loop_link.is_link(LINK)
    assert not loop_link.is_link(loop_link.LINK_DIR)
    assert not loop_link.is_link("/dev/disk/by-loop-files/srv/a.raw")


def test_device_of_a_link(monkeypatch: pytest.MonkeyPatch) -> None:
    part = replace(BINDING, number=4, rdev=os.makedev(7, 4), offset=512)
    other = replace(BINDING, number=3, rdev=os.makedev(7, 3), file=(1, 1))
    linked_to(monkeypatch, BINDING.rdev)
    assert loop.device_of_link(LINK, lambda: [other, part, BINDING]) == LINK
    linked_to(monkeypatch, other.rdev)
    assert loop.device_of_link(LINK, lambda: [other, part, BINDING]) == "/dev/loop5"
    with pytest.raises(
        LoopError, match=r"/srv/a\.raw is not bound to a loop device; bind it first"
    ):
        loop.device_of_link(LINK, lambda: [other, part])


def test_device_of_a_link_without_an_image() -> None:
    with pytest.raises(LoopError, match=r"^/srv/no such/a\.raw: No such file or directory; it has"):
        loop.device_of_link(f"{loop_link.LINK_DIR}/srv/no such/a.raw", lambda: [BINDING])
