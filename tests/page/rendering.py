# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the page of an audit is made and opened."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Callable, Dict

from playwright.sync_api import Browser, Page, Playwright

TEMPLATE = Path(__file__).parents[2] / "roles/audit/templates/xen-audit.html.j2"

Rendered = Callable[[Dict[str, Any]], Path]
AllRendered = Callable[[Dict[str, Any]], Dict[str, Path]]
Opened = Callable[..., Page]


def pages_of(reports: Dict[str, Any], directory: Path) -> Dict[str, Path]:
    """The pages of some reports, by their names. Ansible makes them of the template, as the role
    does."""
    for name, report in reports.items():
        (directory / f"{name}.json").write_text(json.dumps(report))
    lookup = f"lookup('ansible.builtin.file', '{directory}/' ~ inventory_hostname ~ '.json')"
    variables = {
        "audit_report": f"{{{{ {lookup} }}}}",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    }
    done = subprocess.run(
        [
            *("ansible", "all", "--inventory", ",".join([*reports, ""]), "--connection", "local"),
            *("--extra-vars", json.dumps(variables), "--module-name", "ansible.builtin.template"),
            *("--args", f"src={TEMPLATE} dest={directory}/{{{{ inventory_hostname }}}}.html"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: directory / f"{name}.html" for name in reports}


def launched(playwright: Playwright) -> Browser:
    """Debian's Chromium, without a window."""
    program = shutil.which("chromium")
    assert program, "chromium not found: apt-get install --no-install-recommends chromium"
    # Its own sandbox does not start for root.
    return playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
