# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all errors have in common, and how a message calls a type."""

from __future__ import annotations

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.errors import (
    BlockdevError,
    XenError,
    explained,
    type_name,
)


def test_an_error_is_explained_and_stays_what_it_is() -> None:
    with pytest.raises(XenError, match=r"^cannot bind /srv/a\.raw: no$"), explained(
        "cannot bind /srv/a.raw"
    ):
        raise XenError("no")


def test_what_is_no_error_of_ours_is_not_explained() -> None:
    with pytest.raises(ValueError, match=r"^no$"), explained("cannot bind /srv/a.raw"):
        raise ValueError("no")
    assert not issubclass(ValueError, BlockdevError)


class Tagged(str):
    """As Ansible gives a text that it has read."""


@pytest.mark.parametrize(
    ("value", "name"),
    [(True, "bool"), (1, "int"), (Tagged("a"), "str"), ({}, "dict"), (None, "NoneType")],
)
def test_types_are_called_what_users_know(value: object, name: str) -> None:
    assert type_name(value) == name
