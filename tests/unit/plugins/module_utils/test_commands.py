# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that run, and those that do not."""

from __future__ import annotations

from typing import List

import pytest
from ansible_collections.xen.blockdev.plugins.module_utils import commands
from ansible_collections.xen.blockdev.plugins.module_utils.commands import Completed
from ansible_collections.xen.blockdev.plugins.module_utils.errors import XenError


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["no-such-command"], "not installed"),
        (["sleep", "9"], "did not end within 0.1 s"),
        (["/"], "cannot run"),
        (["true", "a\0b"], "cannot run"),
    ],
)
def test_commands_that_do_not_run(argv: List[str], message: str) -> None:
    with pytest.raises(XenError, match=message):
        commands.run(argv, 0.1)


def test_commands_run_in_the_c_locale_and_without_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert commands.run(
        ["sh", "-c", r"cat; echo $LC_ALL; printf '\377' >&2; exit 3"], 5
    ) == Completed(3, "C\n", "\udcff")
