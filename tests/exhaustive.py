# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether tests go through whole tables, or through a sample that is the same in each run."""

from __future__ import annotations

import os

EXHAUSTIVE = bool(os.environ.get("XEN_BLOCKDEV_EXHAUSTIVE"))
"""Set by C(make test-all), or C(EXHAUSTIVE=1) of a target."""

STRIDE = 1 if EXHAUSTIVE else 5
"""Of so many points that a test goes through, one is tried."""

IS_MUTANT = "XEN_BLOCKDEV_MUTANT_SECONDS" in os.environ
"""Whether mutation testing runs the tests, with settings of its own."""


def examples(number: int) -> int:
    """How many random inputs a property is tried with, where C(number) is what it should be."""
    return number if IS_MUTANT else number // STRIDE
