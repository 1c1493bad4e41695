# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pytest loads when it tests a mutant: properties with few examples, the same in each run, and
limits, because a mutant may run on for ever or ask for all memory.
"""

from __future__ import annotations

import os
import resource

from hypothesis import Phase, settings

MEMORY = 2 * 2**30
"""Bytes of address space; the tests have use for a tenth."""

settings.register_profile(
    "mutant",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=30,
    phases=(Phase.explicit, Phase.generate),  # that it fails is enough, no need to find out where
)
settings.load_profile("mutant")

# Time of the processor, not of the clock: a machine that does something else kills no mutant.
seconds = int(os.environ["XEN_BLOCKDEV_MUTANT_SECONDS"])
resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
