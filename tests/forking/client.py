# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An interpreter for modules: has the server beside it fork a process that runs one.

That process gets all that matters of this one: arguments, environment, root, folder, umask, open
files, and mount namespace. What a user or a capability may do it does not get: an interpreter that
gives some up starts Python itself.
"""

import _socket  # what socket adds takes as long to read as all else here
import marshal
import os
import sys

if sys.argv[1:2] and sys.argv[1].startswith("-"):  # options: this is no module
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])

mask = os.umask(0)
os.umask(mask)
wanted = marshal.dumps((sys.argv[1:] or [""], dict(os.environb), os.getcwd(), mask))
namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY)
root = os.open("/", os.O_RDONLY)
descriptors = b"".join(each.to_bytes(4, sys.byteorder) for each in (0, 1, 2, namespace, root))
server = _socket.socket(_socket.AF_UNIX)
server.connect(os.path.join(os.path.dirname(__file__), "socket"))
server.sendmsg([b"\0"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
server.sendall(wanted)
server.shutdown(_socket.SHUT_WR)
status = server.recv(1)
# Without one, the module was killed before it could say how it ended.
sys.exit(status[0] if status else 137)
