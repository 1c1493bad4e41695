# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forks a process for each client, see C(__main__.py), and runs there what the client was given."""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import marshal
import os
import pkgutil
import socket
import sys
import types

from ansible_collections.xen.blockdev.plugins import modules

CLONE_NEWNS = 0x00020000
"""C(sched.h): a mount namespace."""

LIBC = ctypes.CDLL(None, use_errno=True)


def client(listening: socket.socket) -> socket.socket:
    """Return once for each client, in a process of its own."""
    children = set()
    while True:
        connection, _address = listening.accept()
        # Waited for, so that their time counts as that of the tests.
        children = {child for child in children if os.waitpid(child, os.WNOHANG) == (0, 0)}
        child = os.fork()
        if child == 0:
            listening.close()
            return connection
        children.add(child)
        connection.close()


def become(connection: socket.socket) -> None:
    """Take over what the client has."""
    _data, descriptors, _flags, _address = socket.recv_fds(connection, 1, 5)
    with connection.makefile("rb") as stream:
        sys.argv, environ, folder, mask = marshal.load(stream)
    for descriptor, standard in zip(descriptors, (0, 1, 2)):
        os.dup2(descriptor, standard)
    if LIBC.setns(descriptors[3], CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    # That has led out of any chroot (setns(2)).
    os.fchdir(descriptors[4])
    os.chroot(".")
    for descriptor in descriptors:
        os.close(descriptor)
    os.chdir(folder)
    os.umask(mask)
    os.environb.clear()
    os.environb.update(environ)


def run() -> None:
    """Run the program that is named by the first argument or, without one, that is read."""
    program = types.ModuleType("__main__")
    sys.modules["__main__"] = program
    path = sys.argv[0]
    if path:
        program.__file__ = path
        with open(path, "rb") as file:
            source = file.read()
    else:
        source = sys.stdin.buffer.read()
    exec(compile(source, path or "<stdin>", "exec"), program.__dict__)


def main() -> None:
    del sys.path[0]  # this folder
    for module in pkgutil.iter_modules(modules.__path__, f"{modules.__name__}."):
        importlib.import_module(module.name)
    gc.freeze()
    connection = client(socket.socket(fileno=int(sys.argv[1])))
    status = 1  # of what ends by an error

    def tell() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.send(bytes([status]))

    atexit.register(tell)  # the first to be registered is the last to be called
    become(connection)
    try:
        run()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise


main()
