# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in dom0 and does what the lines in its input ask for, JSON objects, answered by a line each.

    {"shell": COMMAND}                                   {"rc": …, "stdout": …, "stderr": …}
    {"module": NAME, "options": {…}, "check": true}      what the module returns
    {"qemu": DOMID, "command": NAME}                     {"answer": what that domain's QEMU answers}

An emulated processor takes seconds to start Python and to compile a module's files. Here that is
done once. See C(session.py), which sends all this to dom0.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, Dict

from ansible_collections.xen.blockdev.plugins.module_utils.host import qmp
from ansible_collections.xen.blockdev.tests import module_process


def run_shell(command: str) -> Dict[str, Any]:
    """What a command of the shell ends with and says."""
    ended = subprocess.run(
        ["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    texts = {"stdout": ended.stdout, "stderr": ended.stderr}
    decoded = {name: text.decode("utf-8", "replace") for name, text in texts.items()}
    return {"rc": ended.returncode, **decoded}


def run_module(name: str, options: Dict[str, Any], check: bool) -> Dict[str, Any]:
    """What a module returns."""
    child, reads = module_process.start(name, options, check, lambda: None)
    with open(reads, encoding="utf-8", errors="replace") as output:
        said = output.read()
    os.waitpid(child, 0)
    return dict(json.loads(said.strip().rpartition("\n")[2]))


def ask_qemu(domid: int, command: str) -> Dict[str, Any]:
    """What a domain's QEMU answers, by the one of its sockets that C(xl) does not use."""
    with qmp.connect(f"/var/run/xen/qmp-libxenstat-{domid}") as qemu:
        return {"answer": qemu.execute(command)}


def answer(request: Dict[str, Any]) -> Dict[str, Any]:
    """The answer to a line."""
    if "shell" in request:
        return run_shell(request["shell"])
    if "qemu" in request:
        return ask_qemu(request["qemu"], request["command"])
    return run_module(request["module"], request["options"], request["check"])


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
