# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labs: real Xen hosts that run in QEMU on the controller, planned and brought to their state."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Callable, Iterator, List

from ansible_collections.xen.blockdev.plugins.module_utils.converge.plan import Action
from ansible_collections.xen.blockdev.plugins.module_utils.host import locks
from ansible_collections.xen.blockdev.plugins.module_utils.lab import machine as lab_machine
from ansible_collections.xen.blockdev.plugins.module_utils.lab.files import Cache, LabError, remove

LOCK_SECONDS = 3600
"""How long another run may build before it is an error to wait for it."""


def bring(
    cache: Cache, plan: Callable[[], List[Action]], check_mode: bool, done: List[str]
) -> None:
    """Carry out what ``plan`` returns, as the only run that does so with this cache.

    ``done`` gets a sentence for each thing that was done or, in check mode, would be. Raises
    BlockdevError or OSError.
    """
    cache.require_ours()
    with ExitStack() as stack:
        if not check_mode:
            # Labs of different names share images and snapshots, so one run builds for all.
            stack.enter_context(locks.of_file(cache.lock(), LOCK_SECONDS))
            stack.enter_context(_tidy_when_interrupted())
        # Leftovers are removed first: they take space.
        for plan_part in (partial(_plan_leftovers, cache), plan):
            for action in plan_part():
                if not check_mode:
                    action.run()
                done.append(action.sentence)


@contextmanager
def _tidy_when_interrupted() -> Iterator[None]:
    """Leave by an exception on the signals by which Ansible and terminals end a module."""

    def leave(number: int, _frame: object) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _plan_leftovers(cache: Cache) -> List[Action]:
    """Take away what killed runs have left of images and snapshots, and their machines."""
    return [
        Action(f"remove {path}, which a killed run has left", partial(_remove, path))
        for path in cache.leftovers()
    ]


def _remove(folder: str) -> None:
    """Remove a directory, with the machine that may run in it."""
    lab_machine.end(folder)
    remove(folder)


def plan_absent(cache: Cache, name: str) -> List[Action]:
    """The actions that remove the lab; what was built stays."""
    folder = cache.machine(name)
    if not os.path.isdir(folder):
        return []
    sentence = f"{'end' if lab_machine.runs(folder) else 'remove what is left of'} lab {name}"
    return [Action(sentence, partial(_remove, folder))]


def plan_cleared(cache: Cache, name: str) -> List[Action]:
    """The actions that remove all labs and all that was built for them.

    Raises LabError if another lab runs.
    """
    names = cache.machines()
    others = [other for other in names if other != name and lab_machine.runs(cache.machine(other))]
    if others:
        raise LabError(
            f"lab {', '.join(others)} runs from the cache in {cache.path}; end it first "
            "(xen_lab_state: absent, xen_lab_name)"
        )
    ends = [action for each in names for action in plan_absent(cache, each)]
    built = [path for path in cache.folders() if path not in cache.leftovers()]
    return [*ends, *(Action(f"remove {path}", partial(remove, path)) for path in built)]
