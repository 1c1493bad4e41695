# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layers of module_utils: a file imports only from its own layer and those below it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Dict, Set, Tuple

import pytest
from ansible_collections.xen.blockdev.plugins import module_utils

PACKAGE = "ansible_collections.xen.blockdev.plugins.module_utils"
FILES = {
    path.stem: ast.parse(path.read_text()) for path in Path(module_utils.__path__[0]).glob("*.py")
}

PURE = {
    "actions",
    "config_syntax",
    "console",
    "console_endings",
    "device_number",
    "disk_hints",
    "disk_options",
    "disk_list",
    "disk_page",
    "disk_plan",
    "disk_spec",
    "disk_target",
    "domain_config",
    "domain_template",
    "errors",
    "image_header",
    "image_place",
    "inventory",
    "inventory_options",
    "lab_options",
    "lab_recipe",
    "loop_link",
    "mirage_config",
    "mirage_tests",
    "passwords",
    "pending",
    "placeholders",
    "signatures",
    "units",
}
ANSIBLE = {"convergence", "file_attributes"}
IMPURE = {
    "ctypes",
    "fcntl",
    "glob",
    "io",
    "mmap",
    "os",
    "pathlib",
    "select",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "tempfile",
    "time",
}
"""Of Python's library: what reads the state of a machine or changes it."""


def imports(name: str) -> Tuple[Set[str], Set[str]]:
    """What a file imports: files beside it, and packages from elsewhere."""
    beside: Set[str] = set()
    elsewhere: Set[str] = set()
    for node in ast.walk(FILES[name]):
        if isinstance(node, ast.Import):
            elsewhere.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
            beside.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith(PACKAGE):
            beside.add(str(node.module)[len(PACKAGE) + 1 :])
        elif isinstance(node, ast.ImportFrom):
            elsewhere.add(str(node.module).partition(".")[0])
    return beside, elsewhere


@pytest.mark.parametrize("name", sorted(PURE))
def test_a_pure_file_reads_and_changes_nothing(name: str) -> None:
    beside, elsewhere = imports(name)
    assert beside <= PURE
    assert not elsewhere & (IMPURE | {"ansible"})
    calls = [node.func for node in ast.walk(FILES[name]) if isinstance(node, ast.Call)]
    assert "open" not in {func.id for func in calls if isinstance(func, ast.Name)}


@pytest.mark.parametrize("name", sorted(set(FILES) - ANSIBLE))
def test_what_works_on_the_host_knows_nothing_of_ansible(name: str) -> None:
    beside, elsewhere = imports(name)
    assert not beside & ANSIBLE
    assert "ansible" not in elsewhere


def test_nothing_imports_itself_by_a_detour() -> None:
    left: Dict[str, Set[str]] = {name: imports(name)[0] for name in FILES}
    while left:
        ready = {name for name, needed in left.items() if not needed & set(left)}
        assert ready, f"they import each other: {sorted(left)}"
        left = {name: needed for name, needed in left.items() if name not in ready}
