# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be asked of a lab."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.lab.options import (
    check_cache,
    check_dom0,
    check_machine,
    check_name,
)


def error_of(check: Callable[..., None], *arguments: Any) -> str:
    with pytest.raises(BlockdevError) as caught:
        check(*arguments)
    return str(caught.value)


@pytest.mark.parametrize("name", ["lab", "Lab-2_b.example", "0x", "a" * 63, "xen1"])
def test_names(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "..", "../x", "a/b", "a b", "a,b", "a:22", "[a]", "-a", ".a", "_a", "a\n", "ä", "a" * 64],
)
def test_names_that_cannot_be(name: str) -> None:
    assert error_of(check_name, name).startswith(
        f"invalid name of a lab: {name!r} (xen_lab_name); use a letter or digit"
    )


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "all", "ungrouped", "xen", "5"])
def test_names_that_are_taken(name: str) -> None:
    assert error_of(check_name, name).endswith("something else in an inventory; choose another")


@pytest.mark.parametrize("path", ["/a", "/a, b/#:='~!{x}()[]*?;&|<>/ä", "/"])
def test_caches(path: str) -> None:
    check_cache(path)


@pytest.mark.parametrize("path", ["", "a", "./a", "~/a"])
def test_caches_that_are_no_absolute_path(path: str) -> None:
    assert error_of(check_cache, path) == (
        f"{path!r} is not an absolute path of a directory (xen_lab_cache)"
    )


@pytest.mark.parametrize("character", ['"', "%", "$", "\\", "\n", "\x7f"])
def test_caches_that_cannot_be_told_to_ssh(character: str) -> None:
    assert f"contains {character!r}, which cannot" in error_of(check_cache, f"/a{character}b")


@pytest.mark.parametrize(
    "mirror",
    [None, "", "http://deb.debian.org/debian", "file:///srv/debian", "mirror+file:/etc/mirrors"],
)
def test_dom0s(mirror: Optional[str]) -> None:
    check_dom0(
        "bookworm", ["libc6", "xen-utils-4.17", "a/b", "g++", "?essential", "a=1:2~3"], mirror
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"release": "--simulate"}, "'--simulate' is not the code name of a release of Debian"),
        ({"release": ""}, "'' is not the code name of a release"),
        ({"packages": ["a", "b,c"]}, "'b,c' is not the name of a package (xen_lab_packages)"),
        ({"packages": ["b c"]}, "'b c' is not the name of a package"),
        ({"packages": [""]}, "'' is not the name of a package"),
        ({"mirror": "--simulate"}, "'--simulate' is not the URL of a mirror (xen_lab_mirror)"),
        ({"mirror": "-"}, "'-' is not the URL"),
        ({"mirror": "/etc/apt/sources.list"}, "'/etc/apt/sources.list' is not the URL"),
        ({"mirror": "http://a b"}, "'http://a b' is not the URL"),
        (
            {"release": "-", "packages": ["", "-x"], "mirror": "-"},
            "'-' is not the code name of a release of Debian (xen_lab_release); '' is not the name "
            "of a package (xen_lab_packages); '-x' is not the name of a package (xen_lab_packages)"
            "; '-' is not the URL of a mirror (xen_lab_mirror)",
        ),
    ],
)
def test_dom0s_that_cannot_be(arguments: Dict[str, Any], message: str) -> None:
    defaults: Dict[str, Any] = {"release": "bookworm", "packages": [], "mirror": None}
    values: List[Any] = list({**defaults, **arguments}.values())
    assert message in error_of(check_dom0, *values)


@pytest.mark.parametrize("numbers", [(1024, 1, 1, 0.1), (1 << 20, 64, 65535, 1e9)])
def test_machines(numbers: Any) -> None:
    check_machine(*numbers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"memory": 1023}, "1023 MiB of memory (xen_lab_memory) are not between 1024 and 1048576"),
        ({"memory": (1 << 20) + 1}, "1048577 MiB of memory"),
        ({"cpus": 0}, "0 processors (xen_lab_cpus) are not between 1 and 64"),
        ({"cpus": 65}, "65 processors"),
        ({"port": 0}, "port 0 (xen_lab_port) is not between 1 and 65535"),
        ({"port": 65536}, "port 65536"),
        ({"boot": 0.0}, "0 s is not a time to wait for (xen_lab_boot_timeout)"),
        ({"boot": -1.0}, "-1 s is not"),
        ({"boot": float("inf")}, "inf s is not"),
        ({"boot": float("nan")}, "nan s is not"),
        ({"memory": 0, "cpus": 0}, "are not between 1024 and 1048576; 0 processors"),
    ],
)
def test_machines_that_cannot_be(arguments: Dict[str, Any], message: str) -> None:
    defaults = {"memory": 3072, "cpus": 2, "port": None, "boot": 600.0}
    values: List[Any] = list({**defaults, **arguments}.values())
    assert message in error_of(check_machine, *values)
