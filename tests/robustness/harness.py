# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the real modules on this host, each call in a process of its own, and hurts them."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.loop import binding as loop_binding
from ansible_collections.xen.blockdev.plugins.module_utils.loop import control as loop_control
from ansible_collections.xen.blockdev.plugins.module_utils.loop.binding import Binding
from ansible_collections.xen.blockdev.tests import module_process

Hook = Callable[[str, tuple], None]
"""Is told every audit event (see sys.addaudithook) of a module, and may end it or raise OSError."""

UNAUDITED = ("copy_file_range", "fsync", "posix_fallocate", "pwrite", "sendfile", "write")
"""Functions of os that touch the system and raise no audit event by themselves."""

TOUCHES = (
    "open",
    *(f"os.{name}" for name in UNAUDITED),
    "fcntl.",
    "os.chmod",
    "os.chown",
    "os.link",
    "os.mkdir",
    "os.posix_spawn",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.setxattr",
    "os.symlink",
    "os.truncate",
    "os.utime",
    "subprocess.Popen",
)
"""The beginnings of the audit events by which a module touches the system."""

UNBIND_SECONDS = 5
"""Who looks at every loop device of the host has each open for much less than this."""

COUNTS: Dict[str, int] = {}
"""What the suite has tried, for the line that it ends on."""


def count(what: str, number: int = 1) -> None:
    """Add to what the suite says that it has tried."""
    COUNTS[what] = COUNTS.get(what, 0) + number


@dataclass(frozen=True)
class Outcome:
    """How a module's process ended."""

    result: Optional[Dict[str, Any]]
    """What it returned; None where it was killed or broke down."""
    killed: bool
    said: str = field(repr=False)

    @property
    def failed(self) -> bool:
        """Whether the module says that it failed."""
        return bool(self.result and self.result.get("failed"))

    @property
    def changed(self) -> bool:
        """Whether the module says that it changed something."""
        return bool(self.result and self.result.get("changed"))

    @property
    def message(self) -> str:
        """The module's error."""
        return str((self.result or {}).get("msg", ""))


def call(module: str, hook: Optional[Hook] = None, check: bool = False, **options: Any) -> Outcome:
    """Run a module in a process of its own, with C(hook) from its first line to its last."""
    return start(module, hook, check, **options)()


def start(
    module: str, hook: Optional[Hook] = None, check: bool = False, **options: Any
) -> Callable[[], Outcome]:
    """Start a module; what is returned waits for its end."""
    child, reads = module_process.start(module, options, check, lambda: _listen(hook))
    return lambda: _outcome(child, reads)


def _listen(hook: Optional[Hook]) -> None:
    """Have C(hook) told of everything from here on."""
    if hook:
        for name in UNAUDITED:
            setattr(os, name, _audited(name))
        sys.addaudithook(hook)


def _audited(name: str) -> Callable[..., Any]:
    """A function of os that raises an audit event first."""
    function = getattr(os, name)

    def audited(*arguments: Any, **options: Any) -> Any:
        sys.audit(f"os.{name}", *arguments)
        return function(*arguments, **options)

    return audited


def _outcome(child: int, reads: int) -> Outcome:
    with open(reads, encoding="utf-8", errors="replace") as output:
        said = output.read()
    status = os.waitpid(child, 0)[1]
    try:
        result = json.loads(said.strip().rpartition("\n")[2])
    except ValueError:
        result = None
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return Outcome(result, killed, said)


def is_touch(event: str, arguments: tuple) -> bool:
    """Whether a module touches the system by what an audit event tells of.

    A look at what other processes do, or at a file that is not there, touches nothing.
    """
    if event != "open":
        return event.startswith(TOUCHES)
    path, _mode, flags = arguments
    if not isinstance(path, (str, bytes)) or flags & os.O_PATH:
        return False
    path = os.fsdecode(path)
    if flags & os.O_CREAT or not os.path.isabs(path):
        return True
    return os.path.lexists(path) and not path.startswith("/proc/")


def at_touch(number: int, act: Callable[[], None]) -> Hook:
    """A hook that does C(act) when the module touches the system for the C(number)th time."""
    left = [number]

    def hook(event: str, arguments: tuple) -> None:
        if is_touch(event, arguments):
            left[0] -= 1
            if left[0] == 0:
                act()

    return hook


def kill() -> None:
    """End this process as nothing can prevent."""
    os.kill(os.getpid(), signal.SIGKILL)


# ---- what is there ----


def bindings(folder: Path) -> List[Binding]:
    """The loop devices that are bound to files in C(folder), deleted ones as well."""
    return [one for one in loop_binding.scan() if one.backing_file.startswith(f"{folder}/")]


def unbind_all(folder: Path) -> None:
    """Unbind what a test has left; nothing else on this host is touched."""
    until = time.monotonic() + UNBIND_SECONDS
    for binding in bindings(folder):
        while True:
            try:
                loop_control.unbind(binding)
                break
            except loop_control.InUseError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)


def names(folder: Path) -> List[str]:
    """All that is in C(folder) and below, directories with a slash at the end."""
    return sorted(
        str(path.relative_to(folder)) + ("/" if path.is_dir() and not path.is_symlink() else "")
        for path in folder.rglob("*")
    )
