# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one family of errors that this collection raises on purpose."""

from __future__ import annotations


class BlockdevError(Exception):
    """What was wanted, what is in the way, what to do: one sentence or more, ready for the user.

    Every error raised on purpose below C(module_utils) is of this class, so a caller that turns
    it into a failed task shows exactly the message; anything else is a bug and stays a traceback.
    """
