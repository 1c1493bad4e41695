# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which uses of the same data are possible at the same time."""

from __future__ import annotations

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils.sharing.compatible import (
    can_write,
    exclude_each_other,
    process_excludes,
)


def test_who_writes() -> None:
    assert can_write("rw")
    assert not can_write("ro")


@pytest.mark.parametrize("writes", [False, True])
@pytest.mark.parametrize("others_write", [False, True])
def test_only_readers_share(writes: bool, others_write: bool) -> None:
    assert exclude_each_other(writes, others_write) == (writes or others_write)


@pytest.mark.parametrize(
    ("for_writing", "has_lost_disk", "guest_writes", "expected"),
    [
        (False, False, False, False),
        (False, False, True, False),
        (True, False, False, False),
        (True, False, True, True),
        (False, True, False, False),
        (False, True, True, True),
        (True, True, False, True),
        (True, True, True, True),
    ],
)
def test_processes(
    for_writing: bool, has_lost_disk: bool, guest_writes: bool, expected: bool
) -> None:
    assert process_excludes(for_writing, has_lost_disk, guest_writes) is expected
