# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that this collection raises on purpose, all of one family."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator


class BlockdevError(Exception):
    """What was wanted, what is in the way and what to do: a message that is ready for the user.

    Every error that ``module_utils`` raises on purpose is of this class. A module fails with
    exactly this message; any other exception is a bug and remains a traceback.
    """


class HostError(BlockdevError):
    """A problem of the host itself, so that no item is possible: it is reported once."""


class XenError(BlockdevError):
    """A problem of Xen or of a domain."""


class ImageError(BlockdevError):
    """An image cannot be read, created, changed or deleted."""


class VolumeError(BlockdevError):
    """A logical volume cannot be read, created, changed or removed."""


@contextmanager
def explained(words: str) -> Iterator[None]:
    """Put ``words`` and a colon before the errors of the block: ``cannot bind /srv/a.raw``."""
    try:
        yield
    except BlockdevError as error:
        error.args = (f"{words}: {error}",)
        raise


def type_name(value: object) -> str:
    """The name of the type of a user's value, also if it is one of Ansible's subclasses."""
    kinds = (bool, int, float, str, list, dict)
    return next((kind.__name__ for kind in kinds if isinstance(value, kind)), type(value).__name__)
