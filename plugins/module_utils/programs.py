# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment in which programs of the host are run."""

from __future__ import annotations

import os
from typing import Dict

SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where xl and blkid are. A login without a login shell may leave it out of PATH."""


def search_path() -> str:
    """The directories to look for a program in, as PATH has them."""
    return f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PATH}"


def environment() -> Dict[str, str]:
    """Ours, but with that PATH, and in the C locale, so that what programs say can be read."""
    return {**os.environ, "LC_ALL": "C", "PATH": search_path()}
