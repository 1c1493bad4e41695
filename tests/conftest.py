# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of all tests."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.xen.blockdev.tests.exhaustive import examples
from hypothesis import settings

# How long an example takes depends on what else the machine does.
settings.register_profile(
    "any machine", deadline=None, max_examples=examples(settings.default.max_examples)
)
settings.load_profile("any machine")

LONG = 60
"""Characters, or bytes, that are too many for the name of a test."""


def pytest_make_parametrize_id(val: Any, argname: str) -> Optional[str]:
    """Name a long input by its length: pytest would have a whole image in the name of its test."""
    is_long = isinstance(val, (bytes, str)) and len(val) > LONG
    return f"{argname} of length {len(val)}" if is_long else None
