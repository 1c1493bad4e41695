# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.xen.blockdev.tests.robustness import harness


def pytest_collection_modifyitems(items: list) -> None:
    """Nothing here makes sense for anybody but root, who owns loop devices."""
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a test has its images; what is bound of them in the end is unbound."""
    place = tmp_path / "images"
    place.mkdir()
    yield place
    harness.unbind_all(place)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that all report to what this one has tried, if it is not the only one."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["counts"] = harness.COUNTS


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add up what the processes have tried."""
    for what, number in node.workeroutput["counts"].items():
        harness.count(what, number)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what was tried, and that nothing was lost by it."""
    if not harness.COUNTS:
        return
    tried = ", ".join(f"{number} {what}" for what, number in sorted(harness.COUNTS.items()))
    lost = len(terminalreporter.stats.get("failed", ()))
    terminalreporter.write_line(f"robustness: {tried}; lost: {lost}")
