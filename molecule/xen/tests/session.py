# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to dom0 that stays, with C(agent.py) at its other end."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import tarfile
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional

import ansible

PROJECT = Path(__file__).parents[3]
PLACE = "/run/xen-lab-tests"
"""Where dom0 has the agent and the code of the modules."""

COLLECTION = Path("ansible_collections/xen/blockdev")
MODULE_UTILS_LEFT_OUT = {"csharp", "facts", "powershell"}
ANSWER_SECONDS = 900
"""After which a request is given up, and with it the connection."""


class Session:
    """Is opened by the first request, and anew by the first one after L(close)."""

    def __init__(self) -> None:
        self._process: Optional[subprocess.Popen[str]] = None

    def ask(self, host: Mapping[str, Any], request: Dict[str, Any]) -> Dict[str, Any]:
        """The agent's answer. C(host): Ansible's variables of dom0."""
        if self._process is None:
            self._process = _open(host)
        process = self._process
        assert process.stdin
        assert process.stdout
        patience = threading.Timer(ANSWER_SECONDS, process.kill)
        patience.start()
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        finally:
            patience.cancel()
        if not answer:
            self.close()
        assert answer, f"no answer from dom0 to {request}"
        return dict(json.loads(answer))

    def close(self) -> None:
        """End the connection, if there is one."""
        if self._process:
            self._process.kill()
            self._process.wait()
        self._process = None


def _open(host: Mapping[str, Any]) -> subprocess.Popen[str]:
    unpack = f"rm -rf {PLACE} && mkdir -p {PLACE} && tar -xzf - -C {PLACE}"
    subprocess.run([*_ssh(host), unpack], input=_archive(), check=True)
    agent = f"PYTHONPATH={PLACE} exec python3 {PLACE}/agent.py"
    return subprocess.Popen(
        [*_ssh(host), agent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        bufsize=1,
    )


def _ssh(host: Mapping[str, Any]) -> List[str]:
    """The command that reaches dom0, by a connection of its own: tests break the common one."""
    own = ["-o", "ControlMaster=no", "-o", "ControlPath=none"]
    options = shlex.split(host["ansible_ssh_common_args"])
    where = ["-p", str(host["ansible_port"]), "-i", str(host["ansible_private_key_file"])]
    return ["ssh", "-F", "none", *own, *options, *where, f"root@{host['ansible_host']}"]


def _archive() -> bytes:
    """What the agent needs, as a compressed tar archive."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        for name, path in _files():
            archive.add(path, name)
        # Ansible's own file of that name loads what only a controller has.
        package = f"__version__ = {ansible.__version__!r}\n".encode()
        entry = tarfile.TarInfo("ansible/__init__.py")
        entry.size = len(package)
        archive.addfile(entry, io.BytesIO(package))
    return packed.getvalue()


def _files() -> Iterator[tuple[str, Path]]:
    """Their paths in dom0 and here."""
    yield "agent.py", Path(__file__).with_name("agent.py")
    yield str(COLLECTION / "tests/module_process.py"), PROJECT / "tests/module_process.py"
    for folder in ("module_utils", "modules"):
        for path in (PROJECT / "plugins" / folder).rglob("*.py"):
            yield str(COLLECTION / path.relative_to(PROJECT)), path
    core = Path(ansible.__path__[0])
    for path in (core / "module_utils").rglob("*.py"):
        relative = path.relative_to(core)
        if relative.parts[1] not in MODULE_UTILS_LEFT_OUT:
            yield str("ansible" / relative), path
