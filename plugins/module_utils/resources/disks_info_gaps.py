# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What xen_disks_info cannot read. The rest is read all the same."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, List

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.survey.model import Unread


class Gaps:
    """Collects the errors of one survey."""

    def __init__(self) -> None:
        self.unread: List[Unread] = []

    def note(self, source: str, subject: str, error: Exception) -> None:
        """Note an error: see Unread."""
        self.unread.append(Unread(source, subject, str(error)))

    @contextmanager
    def noted(self, source: str, subject: str = "") -> Iterator[None]:
        """Note the error of the block, which ends it, and go on after it."""
        try:
            yield
        except (BlockdevError, OSError, ValueError) as error:
            self.note(source, subject, error)
