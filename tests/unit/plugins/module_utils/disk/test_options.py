# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of a disk's options, and every place that repeats it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Dict, Mapping

import pytest
import yaml
from ansible_collections.xen.blockdev import plugins
from ansible_collections.xen.blockdev.plugins.module_utils.disk import options as disk_options
from ansible_collections.xen.blockdev.plugins.module_utils.disk.options import (
    KEYS,
    OPTIONS,
)
from ansible_collections.xen.blockdev.plugins.module_utils.inventory import (
    options as inventory_options,
)

Documented = Mapping[str, Dict[str, Any]]

FILTERS = Path(plugins.__path__[0]) / "filter"
NUMBERS_TOO = {"vdev": {"type": "raw"}}
"""What the controller takes as a number as well."""


def module_options(module: str) -> Documented:
    name = f"ansible_collections.xen.blockdev.plugins.modules.{module}"
    options: Documented = yaml.safe_load(importlib.import_module(name).DOCUMENTATION)["options"]
    return options


def filter_documentation(name: str) -> Any:
    (document,) = yaml.safe_load_all((FILTERS / f"{name}.yml").read_text())
    return document


def filter_options(name: str) -> Any:
    return filter_documentation(name)["DOCUMENTATION"]["options"]["_input"]["suboptions"]


PLACES: Dict[str, Documented] = {
    "xen_domain_config": module_options("xen_domain_config")["disks"]["suboptions"],
    "xen_domain_config, list": module_options("xen_domain_config")["configs"]["suboptions"][
        "disks"
    ]["suboptions"],
    "xl_disk": filter_options("xl_disk"),
    "xen_vbd_attach": module_options("xen_vbd_attach"),
    "xen_vbd_attach, list": module_options("xen_vbd_attach")["vbds"]["suboptions"],
    "disk_plan": filter_options("disk_plan")["disks"]["suboptions"],
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", OPTIONS)
def test_that_a_place_documents_what_the_table_says(name: str, place: str) -> None:
    said = OPTIONS[name].argument_spec
    if place in ("xl_disk", "disk_plan"):
        said = {**said, **NUMBERS_TOO.get(name, {})}
    documented = PLACES[place][name]
    assert documented["type"] == said["type"]
    assert documented.get("choices", []) == said.get("choices", [])


def test_that_what_is_read_is_documented() -> None:
    contains = filter_documentation("from_xl_disk")["RETURN"]["_value"]["contains"]
    assert list(contains) == list(KEYS)
    for name, option in KEYS.items():
        assert contains[name].get("choices", ()) in (list(option.choices), ())
        assert contains[name]["type"] == option.argument_spec["type"]


def test_that_the_filter_writes_what_it_documents() -> None:
    assert list(filter_options("xl_disk")) == list(KEYS)
    for name, option in KEYS.items():
        wanted = {**option.argument_spec, **NUMBERS_TOO.get(name, {})}
        assert filter_options("xl_disk")[name]["type"] == wanted["type"]


def test_that_all_parts_know_the_same_options() -> None:
    assert set(KEYS) - set(OPTIONS) == {
        *("grant_usage", "colo", "colo_host", "colo_port", "colo_export"),
        *("active_disk", "hidden_disk"),
    }
    assert {"target", "vdev", *inventory_options.VBD_OPTIONS} == set(OPTIONS)
    assert set(OPTIONS) <= set(inventory_options.DISK_OPTIONS)
    assert set(inventory_options.DISK_OPTIONS) == set(PLACES["disk_plan"])


def test_that_an_option_knows_its_words() -> None:
    access = OPTIONS["access"]
    words = {word: access.meaning(word) for word in (*access.accepted, "W", "")}
    assert words == {"ro": "ro", "rw": "rw", "r": "ro", "w": "rw", "W": None, "": None}
    some = {"a": KEYS["access"], "b": KEYS["discard"], "c": KEYS["colo_port"]}
    assert disk_options.argument_spec(some) == {
        "a": {"type": "str", "choices": ["ro", "rw", "r", "w"]},
        "b": {"type": "bool"},
        "c": {"type": "int"},
    }
