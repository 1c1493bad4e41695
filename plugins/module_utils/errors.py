# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one family of errors that this collection raises on purpose."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator


class BlockdevError(Exception):
    """What was wanted, what is in the way, what to do: one sentence or more, ready for the user.

    Every error that leaves C(module_utils) on purpose is of this class, so a caller that turns
    it into a failed task shows exactly the message; anything else is a bug and stays a traceback.
    """


class HostError(BlockdevError):
    """What is wrong with this host, and so with all that is wanted of it: said once."""


class XenError(BlockdevError):
    """Xen, or what runs on it, is not as wanted."""


@contextmanager
def explained(words: str) -> Iterator[None]:
    """Begin the errors of what is inside with C(words): ``cannot bind /srv/a.raw``."""
    try:
        yield
    except BlockdevError as error:
        error.args = (f"{words}: {error}",)
        raise


def type_name(value: object) -> str:
    """What to call the type of a value that a user wrote, which may be one of Ansible's making."""
    kinds = (bool, int, float, str, list, dict)
    return next((kind.__name__ for kind in kinds if isinstance(value, kind)), type(value).__name__)
