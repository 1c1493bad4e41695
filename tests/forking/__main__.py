# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs C(forking INTEGRATION COMMAND…), an ansible-test, with an interpreter that starts quickly.

To start Python and to read Ansible's files and the collection's is most of what a module costs, and
the integration tests run thousands. So one Python, the server, reads those files once, and each
module runs in a process forked from it. The interpreter that Ansible is told of passes on what it
was started with, and waits.

C(INTEGRATION) is the collection's folder of integration tests: ansible-test gives what is in its
C(integration_config.yml) to each target. That has C(is_sample) as well, by which a target leaves
out what only C(make test-all) is to show: its C(make coverage) runs everything, without this
program. Nothing is left at the end.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import List

HERE = Path(__file__).parent


def main() -> None:
    settings = Path(sys.argv[1], "integration_config.yml")
    folder = Path(tempfile.mkdtemp(prefix="forking."))
    try:
        given = {"ansible_python_interpreter": str(interpreter(folder)), "is_sample": True}
        settings.write_text(json.dumps(given))
        status = run(sys.argv[2:], folder)
    finally:
        settings.unlink(missing_ok=True)
        shutil.rmtree(folder)
    sys.exit(status)


def interpreter(folder: Path) -> Path:
    """The path of the interpreter, which finds the server's socket beside itself."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable} -IS\n{(HERE / 'client.py').read_text()}")
    path.chmod(0o700)
    return path


def run(command: List[str], folder: Path) -> int:
    """The status of a command that runs beside the server."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
        listening.listen()
        descriptor = listening.fileno()
        with subprocess.Popen(
            [sys.executable, HERE / "server.py", str(descriptor)], pass_fds=[descriptor]
        ) as server:
            try:
                return subprocess.run(command, check=False).returncode
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
