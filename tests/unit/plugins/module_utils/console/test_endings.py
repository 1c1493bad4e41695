# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines with which different guests report their end, and lines that only look similar."""

from __future__ import annotations

from typing import Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.console.endings import (
    LINE_LENGTH,
    Ending,
)


def said(text: str) -> Ending:
    ending = Ending()
    for line in text.split("\n"):
        ending = ending.after(line)
    return ending


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("Solo5: solo5_exit(0) called", 0),
        ("Solo5: solo5_exit(2) called", 2),
        ("Solo5: solo5_exit(-1) called", -1),
        ("main returned 0", 0),
        ("main returned 1", 1),
        ("[    1.016592] Info: [libukboot] <boot.c @  415> main returned 3, halting system", 3),
        ("main returned 3, halting system", 3),
        ('=== main() of "hello" returned 4 ===', 4),
        ("=== ERROR: _exit(5) called ===", 5),
        ("=== _exit(0) called ===", 0),
    ],
)
def test_a_status(line: str, status: int) -> None:
    assert said(line) == Ending(status=status)
    assert said(line).failed == (status != 0)


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ('Fatal error: exception Failure("no disk")', None),
        ("Solo5: solo5_abort() called", None),
        ("Solo5: ABORT: cpu_x86_64.c:181: Fatal trap", None),
        ("Solo5: trap: type=#PF ec=0x0 rip=0x466a86 rsp=0x1ffffc10 rflags=0x10002", None),
        ("Do_exit called!", None),
        (
            "[    0.074] CRIT: [app] Unikraft crash - Telesto (0.16.2~3a5017b)",
            "Unikraft crash - Telesto (0.16.2~3a5017b)",
        ),
        (
            "[    3.2] Kernel panic - not syncing: sysrq triggered crash",
            "Kernel panic - not syncing: sysrq triggered crash",
        ),
    ],
)
def test_a_cause(line: str, cause: Optional[str]) -> None:
    assert said(line) == Ending(cause=cause or line)
    assert said(line).failed


@pytest.mark.parametrize(
    "line",
    [
        "",
        "the domain main returned 2",
        "fuse_main returned 1",
        "> Solo5: solo5_exit(2) called",
        "Solo5: solo5_exit(many) called",
        "an Fatal error: exception",
        "x" * LINE_LENGTH + " Kernel panic - not syncing: x",
    ],
)
def test_other_lines(line: str) -> None:
    assert said(line) == Ending()


def test_the_first_cause_and_the_last_status_count() -> None:
    found = said("Fatal error: exception Exit\nSolo5: ABORT: x\nmain returned 1\nmain returned 7")
    assert found == Ending(status=7, cause="Fatal error: exception Exit")


def test_a_good_status_outweighs_a_cause() -> None:
    assert not said("Fatal error: exception Exit\nSolo5: solo5_exit(0) called").failed
