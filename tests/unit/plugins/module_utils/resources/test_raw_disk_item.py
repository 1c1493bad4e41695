# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a raw image as their types, and what is rejected before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.resources.raw_disk_item import (
    IntendedSlot,
    RawDiskItem,
)
from ansible_collections.xen.blockdev.plugins.modules.xen_raw_disk import INTERFACE

PATH = "/srv/xen/web/boot.raw"


def read(**options: Any) -> RawDiskItem:
    defaults: Dict[str, Any] = {
        name: spec.get("default") for name, spec in INTERFACE.options.items()
    }
    return RawDiskItem.read({**defaults, "path": PATH, **options})


def refused(**options: Any) -> str:
    with pytest.raises(BlockdevError) as error:
        read(**options)
    return str(error.value)


def slot(**changes: Any) -> Dict[str, Any]:
    return {"domain": "web", "vdev": "xvda", "config": None, **changes}


def test_defaults() -> None:
    item = read()
    assert item.present
    assert (item.size, item.content.source, item.slots) == (None, None, ())
    assert (item.full, item.allocation, item.is_raw) == (False, "sparse", False)
    assert item.content.file_system.kind is None


def test_values() -> None:
    item = read(state="absent", size="16MiB", allocation="full", format="raw", filesystem="ext4")
    assert not item.present
    assert item.size == 16 * 1024**2
    assert (item.full, item.allocation, item.is_raw) == (True, "full", True)
    assert item.content.file_system.kind == "ext4"


@pytest.mark.parametrize("state", ["present", "absent"])
def test_size_that_is_none(state: str) -> None:
    assert refused(state=state, size="16MB").startswith(f"size of {PATH}: '16MB' is not a size")


@pytest.mark.parametrize("source", ["/srv/base.raw", "/srv/content/", "/srv/content/.", "/"])
def test_source_of_a_file_or_directory(source: str) -> None:
    assert read(source=source, filesystem="tar").content.source == source


@pytest.mark.parametrize("source", ["base.raw", "./content/", "", "/srv/a\0b", "/\ud800", 5])
@pytest.mark.parametrize("filesystem", [None, "tar"])
def test_source_that_is_none(source: object, filesystem: Any) -> None:
    message = refused(source=source, filesystem=filesystem)
    assert message.startswith(f"source {source!r} is not an absolute path")


def test_slots() -> None:
    configs = [slot(), slot(vdev="51728", config="/srv/web.cfg")]
    assert read(slots=configs).slots == (
        IntendedSlot("web", "xvda", "/etc/xen/web.cfg", "/etc/xen/auto"),
        IntendedSlot("web", "51728", "/srv/web.cfg", "/etc/xen/auto"),
    )
    assert read(slots=configs, allow_slot_change=True).slots == ()


@pytest.mark.parametrize(("changes", "named"), [({"vdev": "xvd"}, "'xvd'"), ({"domain": "7"}, "7")])
def test_slot_that_is_none(changes: Dict[str, Any], named: str) -> None:
    message = refused(slots=[slot(**changes)])
    assert message.startswith(f"slots of {PATH}: ")
    assert named in message


def test_an_item_opens_nothing(tmp_path: Path) -> None:
    assert read(path=f"{tmp_path}/no/a.raw", source="/no/such/source").content.source
