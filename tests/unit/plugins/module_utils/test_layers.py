# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a file of module_utils may import and touch, and that a name means one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path
from typing import Dict, Iterator, List, Set

import pytest
from ansible_collections.xen.blockdev.plugins import module_utils

PACKAGE = "ansible_collections.xen.blockdev.plugins.module_utils"
ROOT = Path(module_utils.__path__[0])
FILES = {
    str(path.relative_to(ROOT).with_suffix("")): ast.parse(path.read_text())
    for path in ROOT.rglob("*.py")
}
"""By its name, such as ``loop/binding``."""

ORDER = (
    "errors",
    "units",
    "converge",
    "disk",
    "host",
    "console",
    "xen",
    "loop",
    "lab",
    "image",
    "volume",
    "config",
    "sharing",
    "survey",
    "inventory",
    "adopt",
    "audit",
    "mirage",
    "resources",
)
"""The packages, and the two files beside them. Each imports only from those before it."""

PURE = {
    "errors",
    "units",
    "adopt/adoption",
    "adopt/disks",
    "adopt/domains",
    "adopt/model",
    "adopt/names",
    "adopt/page",
    "audit/codes",
    "audit/data",
    "audit/guest_rules",
    "audit/hosts",
    "audit/index",
    "audit/judge",
    "audit/left_over",
    "audit/lines",
    "audit/output",
    "audit/reading",
    "audit/page",
    "audit/page_bars",
    "audit/page_disks",
    "audit/page_text",
    "audit/report",
    "audit/restart",
    "audit/same_data",
    "audit/space",
    "config/disk_list",
    "config/disk_page",
    "config/drives",
    "config/guest",
    "config/mirage_xl",
    "config/passwords",
    "config/placeholders",
    "config/syntax",
    "config/text",
    "console/endings",
    "console/transcript",
    "converge/pending",
    "converge/plan",
    "disk/attached",
    "disk/device_number",
    "disk/emulation",
    "disk/hints",
    "disk/listed",
    "disk/options",
    "disk/scanner",
    "disk/spec",
    "disk/target",
    "disk/values",
    "image/fat_format",
    "image/header",
    "image/place",
    "image/signatures",
    "image/superblock",
    "inventory/disk_plan",
    "inventory/domain_template",
    "inventory/options",
    "inventory/reader",
    "lab/options",
    "lab/recipe",
    "loop/link",
    "mirage/results",
    "mirage/tests",
    "resources/logical_volume_space",
    "resources/vbd_attach_item",
    "sharing/compatible",
    "sharing/promises",
    "survey/model",
    "survey/record",
    "volume/extents",
    "volume/names",
    "volume/report",
}
ANSIBLE = {"converge/run", "converge/file_attributes"}
"""The files that import Ansible."""

ANSIBLE_USERS = {"resources/disks", *(name for name in FILES if name.endswith("_interface"))}
"""What says which options modules have, and what runs several of them."""

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
"""Modules of Python's library that read the state of a machine or change it."""


def imported(name: str) -> Set[str]:
    """The files of module_utils that a file imports."""
    found = set()
    for node in ast.walk(FILES[name]):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(PACKAGE):
            path = str(node.module)[len(PACKAGE) + 1 :].replace(".", "/")
            names = [f"{path}/{alias.name}".lstrip("/") for alias in node.names]
            found.update([path] if path in FILES else names)
    return found


def libraries(name: str) -> Set[str]:
    """The packages outside of the collection that a file imports."""
    found = set()
    for node in ast.walk(FILES[name]):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    return found - {"ansible_collections"}


def package(name: str) -> str:
    """The package of a file; its own name for a file that is in none."""
    return name.partition("/")[0]


def test_each_package_has_a_place_in_the_order() -> None:
    assert {package(name) for name in FILES} == set(ORDER)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_imports_only_from_its_own_package_and_those_before_it(name: str) -> None:
    assert imported(name) <= set(FILES)
    before = ORDER[: ORDER.index(package(name)) + 1]
    assert {package(other) for other in imported(name)} <= set(before)


def test_no_file_imports_itself_through_others() -> None:
    left: Dict[str, Set[str]] = {name: imported(name) for name in FILES}
    while left:
        ready = {name for name, needed in left.items() if not needed & set(left)}
        assert ready, f"they import each other: {sorted(left)}"
        left = {name: needed for name, needed in left.items() if name not in ready}


@pytest.mark.parametrize("name", sorted(PURE))
def test_a_pure_file_does_no_input_or_output(name: str) -> None:
    assert imported(name) <= PURE
    assert not libraries(name) & (IMPURE | {"ansible"})
    calls = [node.func for node in ast.walk(FILES[name]) if isinstance(node, ast.Call)]
    assert "open" not in {func.id for func in calls if isinstance(func, ast.Name)}


@pytest.mark.parametrize("name", sorted(set(FILES) - ANSIBLE))
def test_only_two_files_know_ansible(name: str) -> None:
    assert name in ANSIBLE_USERS or not imported(name) & ANSIBLE
    assert "ansible" not in libraries(name)


# ---- names ----

BY_MODULE = {
    *("bind", "create", "find", "finish", "parse", "plan", "read"),
    *("remove", "render", "report", "run", "start", "unbind"),
}
"""Functions that are always called with the name of their module, as in ``loop_binding.read``."""


def defined(tree: ast.Module) -> Iterator[str]:
    """The names of the classes, type aliases and functions of a file, except for private functions
    of one word: these are read in their own file only."""
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not _is_short(node):
            yield node.name
        elif isinstance(node, ast.Assign):
            targets = [one.id for one in node.targets if isinstance(one, ast.Name)]
            yield from (name for name in targets if not name.isupper())


def _is_short(node: ast.stmt) -> bool:
    name = node.name if isinstance(node, ast.FunctionDef) else ""
    return name.startswith("_") and "_" not in name[1:]


def test_a_name_means_one_thing() -> None:
    places: Dict[str, List[str]] = defaultdict(list)
    for file, tree in FILES.items():
        for name in defined(tree):
            places[name.lstrip("_")].append(file)
    twice = {name: files for name, files in places.items() if len(files) > 1}
    assert {name: files for name, files in twice.items() if name not in BY_MODULE} == {}
