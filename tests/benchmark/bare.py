# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The floor: images and loop devices by bare system calls, with the fsyncs that keep them.

    bare.py make FOLDER NUMBER BYTES      create and bind
    bare.py clean FOLDER                  unbind and delete, as every benchmark does in the end

The last line is the number of seconds that it took, without the start of the interpreter.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import sys
import time

LOOP_CLR_FD = 0x4C01
LOOP_CONFIGURE = 0x4C0A
LOOP_CTL_REMOVE = 0x4C81
LOOP_CTL_GET_FREE = 0x4C82
CONFIG = struct.Struct("=2I232x64x")
"""struct loop_config of linux/loop.h; all of its struct loop_info64 is zero."""


def create(folder: str, number: int, size: int) -> None:
    """Make the images; they and their names survive a power cut."""
    os.makedirs(folder, exist_ok=True)
    for index in range(number):
        image = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
        os.ftruncate(image, size)
        os.fsync(image)
        place = os.open(folder, os.O_RDONLY)
        os.link(f"/proc/self/fd/{image}", f"d{index}.raw", dst_dir_fd=place)
        os.close(place)
        os.close(image)
    place = os.open(folder, os.O_RDONLY)
    os.fsync(place)
    os.close(place)


def bind(folder: str, number: int) -> None:
    """Bind each to a free loop device."""
    control = os.open("/dev/loop-control", os.O_RDWR)
    for index in range(number):
        image = os.open(f"{folder}/d{index}.raw", os.O_RDWR)
        device = os.open(f"/dev/loop{fcntl.ioctl(control, LOOP_CTL_GET_FREE)}", os.O_RDWR)
        fcntl.ioctl(device, LOOP_CONFIGURE, CONFIG.pack(image, 512))
        os.close(device)
        os.close(image)
    os.close(control)


def clean(folder: str) -> None:
    """Unbind what is bound of the folder's files, and delete it."""
    prefix = os.path.realpath(folder).encode() + b"/"
    for name in os.listdir("/sys/block"):
        try:
            with open(f"/sys/block/{name}/loop/backing_file", "rb") as backing_file:
                if not backing_file.read().startswith(prefix):
                    continue
        except OSError:
            continue
        device = os.open(f"/dev/{name}", os.O_RDONLY)
        fcntl.ioctl(device, LOOP_CLR_FD)
        os.close(device)
    shutil.rmtree(folder, ignore_errors=True)


def loop_devices() -> set[int]:
    """The numbers of those that there are, bound or not."""
    names = (name[4:] for name in os.listdir("/sys/block") if name.startswith("loop"))
    return {int(number) for number in names if number.isdigit()}


def remove_loop_devices(before: set[int]) -> None:
    """Remove those that are free and were not there C(before)."""
    control = os.open("/dev/loop-control", os.O_RDWR)
    for number in sorted(loop_devices() - before, reverse=True):
        with contextlib.suppress(OSError):
            fcntl.ioctl(control, LOOP_CTL_REMOVE, number)
    os.close(control)


def main() -> None:
    what, folder = sys.argv[1:3]
    if what == "clean":
        clean(folder)
        return
    number, size = map(int, sys.argv[3:5])
    started = time.perf_counter()
    create(folder, number, size)
    bind(folder, number)
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
