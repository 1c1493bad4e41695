# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of an audit, made by Ansible as the role makes it, in Debian's Chromium."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
from fleet import fleet, recorded
from playwright.sync_api import Browser, Page, sync_playwright

PROJECT = Path(__file__).parents[2]
TEMPLATE = PROJECT / "roles/audit/templates/xen-audit.html.j2"

Rendered = Callable[[Dict[str, Any]], Path]
AllRendered = Callable[[Dict[str, Any]], Dict[str, Path]]
Opened = Callable[..., Page]


@pytest.fixture(scope="session")
def all_rendered(tmp_path_factory: pytest.TempPathFactory) -> AllRendered:
    """Make the pages of some reports, each with a name, as the role makes one."""

    def render(reports: Dict[str, Any]) -> Dict[str, Path]:
        directory = tmp_path_factory.mktemp("pages")
        for name, report in reports.items():
            (directory / f"{name}.json").write_text(json.dumps(report))
        lookup = f"lookup('ansible.builtin.file', '{directory}/' ~ inventory_hostname ~ '.json')"
        variables = {
            "xen_audit_report": f"{{{{ {lookup} | from_json }}}}",
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        }
        done = subprocess.run(
            [
                *("ansible", "all", "--inventory", ",".join([*reports, ""])),
                *("--connection", "local", "--extra-vars", json.dumps(variables)),
                *("--module-name", "ansible.builtin.template"),
                *("--args", f"src={TEMPLATE} dest={directory}/{{{{ inventory_hostname }}}}.html"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return {name: directory / f"{name}.html" for name in reports}

    return render


@pytest.fixture(scope="session")
def rendered(all_rendered: AllRendered) -> Rendered:
    """Make the page of a report."""
    return lambda report: all_rendered({"page": report})["page"]


@pytest.fixture(scope="session")
def example(rendered: Rendered) -> Path:
    """The page of a few hosts with most findings."""
    return rendered(recorded())


@pytest.fixture(scope="session")
def large(rendered: Rendered) -> Path:
    """The page of fifty hosts with a hundred guests each."""
    return rendered(fleet(50, 100))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program, "chromium not found: apt-get install --no-install-recommends chromium"
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not start for root.
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
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
        page.set_default_timeout(5000)
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
