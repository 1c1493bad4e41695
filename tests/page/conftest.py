# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of an audit, made by Ansible as the role makes it, in Debian's Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
import rendering
from fleet import fleet, recorded
from playwright.sync_api import Browser, Page, expect, sync_playwright
from rendering import AllRendered, Opened, Rendered

PATIENCE = 60_000
"""Milliseconds that a browser on a busy machine may take for a step; test_fleet.py measures how
long it works."""

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def all_rendered(tmp_path_factory: pytest.TempPathFactory) -> AllRendered:
    """Make the pages of some reports, each with a name."""
    return lambda reports: rendering.pages_of(reports, tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="session")
def rendered(all_rendered: AllRendered) -> Rendered:
    """Make the page of a report."""
    return lambda report: all_rendered({"page": report})["page"]


@pytest.fixture(scope="session")
def example(rendered: Rendered) -> Path:
    """The page of a few hosts with most findings."""
    return rendered(recorded())


@pytest.fixture(scope="session")
def large_report() -> Dict[str, Any]:
    """A report of fifty hosts with a hundred guests each."""
    return fleet(50, 100)


@pytest.fixture(scope="session")
def large(rendered: Rendered, large_report: Dict[str, Any]) -> Path:
    """Its page."""
    return rendered(large_report)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = rendering.launched(playwright)
        yield running
        running.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    """Open a page. When the test ends, nothing may have been said on the browser's console, and
    nothing asked of any network."""
    contexts = []
    said: List[str] = []

    def open_page(path: Path, fragment: str = "", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: said.extend(_foreign(request.url, path)))
        page.goto(f"file://{path}{fragment}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


def _foreign(url: str, path: Path) -> List[str]:
    is_own = url.partition("#")[0] == f"file://{path}" or url.startswith("data:")
    return [] if is_own else [f"request: {url}"]
