# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an item's lists of anything become before the item is planned."""

from __future__ import annotations

from typing import Any, Dict

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.converge.module import (
    Interface,
    ItemError,
)

INTERFACE = Interface(
    items="things",
    identity=("name",),
    options={
        "name": {"type": "str"},
        "parts": {
            "type": "list",
            "elements": "raw",
            "options": {
                "vdev": {"type": "str", "required": True},
                "discard": {"type": "bool"},
                "access": {"type": "str", "choices": ["ro", "rw"]},
            },
        },
        "words": {"type": "list", "elements": "raw"},
    },
)


def item(**options: Any) -> Dict[str, Any]:
    return {"name": "web", "parts": None, "words": [{"x": 1}], **options}


def test_that_dictionaries_are_checked_and_the_rest_is_left_alone() -> None:
    checked = INTERFACE.checked(item(parts=["a,b", 5, {"vdev": 51712, "discard": "no"}]))
    disk = {"vdev": "51712", "discard": False, "access": None}
    assert checked == item(parts=["a,b", 5, disk])
    assert INTERFACE.checked(item()) == item()


def test_that_everything_that_is_wrong_is_told() -> None:
    parts = [{"access": "w!"}, "x", {"vdev": "a", "colour": 1}, {"vdev": "a", "discard": "maybe"}]
    with pytest.raises(ItemError) as error:
        INTERFACE.checked(item(parts=parts))
    message = str(error.value)
    for problem in (
        "parts[0]: missing required arguments: vdev; ",
        "parts[0]: value of access must be one of: ro, rw, got: w!",
        "parts[2]: Unsupported parameters: colour. Supported parameters include: access, discard",
        "parts[3]: argument 'discard' is of type str",
    ):
        assert problem in message
    assert "parts[1]" not in message
