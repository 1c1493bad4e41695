# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one module in this process as Ansible runs it, and tell what it took.

Its argument is the module's name; it reads the options as JSON. The last line is JSON: seconds
(from the parameters to the exit), memory (bytes, at most). With C(idle) as another argument
nothing is looked at or done: that is what Ansible itself takes to read the options and to write
the result.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import sys
import time
from typing import Any, Iterator, Mapping

from ansible.module_utils import basic
from ansible_collections.xen.blockdev.plugins.module_utils.converge.pending import Pending
from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Plan, Resource


def peak() -> int:
    """Bytes of memory that this process has had at most; getrusage(2)'s may be its parent's."""
    with open("/proc/self/status", encoding="ascii") as status:
        match = re.search(r"^VmHWM:\s*([0-9]+) kB", status.read(), re.MULTILINE)
    assert match
    return int(match[1]) * 1024


@contextlib.contextmanager
def nothing(_pending: Pending) -> Iterator[Resource[Mapping[str, Any]]]:
    """A host on which everything is as wanted."""

    class Nothing(Resource[Mapping[str, Any]]):
        def plan(self, item: Mapping[str, Any]) -> Plan:
            return Plan({}, {}, dict)

    yield Nothing()


def main() -> None:
    name, arguments = sys.argv[1], json.loads(sys.stdin.read())
    module = importlib.import_module(f"ansible_collections.xen.blockdev.plugins.modules.{name}")
    if sys.argv[2:] == ["idle"]:
        opener = next(name for name in vars(module) if name.startswith("open_"))
        setattr(module, opener, nothing)
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
    basic._ANSIBLE_PROFILE = "legacy"
    said = io.StringIO()
    started = time.perf_counter()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        module.main()
    seconds = time.perf_counter() - started
    result = json.loads(said.getvalue().splitlines()[-1])
    if result.get("failed"):
        sys.exit(str(result))
    print(json.dumps({"seconds": seconds, "memory": peak(), "changed": result["changed"]}))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
