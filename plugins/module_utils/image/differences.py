# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on a disk that exists, compared with the file system and label that the user wants.

What exists is never formatted, so a difference is only a warning. A guest may have partitioned or
encrypted the disk, or made another file system. So the warning says no more than what was found.
"""

from __future__ import annotations

import os
from typing import List

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError
from ansible_collections.xen.blockdev.plugins.module_utils.image import superblock
from ansible_collections.xen.blockdev.plugins.module_utils.image.file_system_options import (
    FileSystemOptions,
)
from ansible_collections.xen.blockdev.plugins.module_utils.image.raw_content import opened_same

NOUNS = {"swap": "swap area", "tar": "tar archive"}
"""Those that are no file systems."""


def from_wanted(
    wanted: FileSystemOptions, path: str, file: str, status: os.stat_result
) -> List[str]:
    """A text for each difference.

    ``path``: as the user wrote it. ``file``: the image or block device at it, with this ``status``.
    None of one that cannot be read. Nothing is read unless the user wants a file system or label.
    """
    if wanted.kind is None and wanted.label is None:
        return []
    try:
        with opened_same(file, status) as disk:
            return _differences(wanted, path, lambda at, size: os.pread(disk, size, at))
    except (OSError, BlockdevError):
        return []


def _differences(wanted: FileSystemOptions, path: str, read: superblock.Reader) -> List[str]:
    found = superblock.found(read)
    kind = found.kind if found else None
    if wanted.kind not in (None, kind):
        if kind:
            what = f"it has {_a(_words(kind))}, not {_a(_words(str(wanted.kind)))}"
        elif wanted.kind == "tar" and superblock.is_empty_archive(read):
            return []
        else:
            reason = superblock.other(read)
            what = f"no {_words(str(wanted.kind))} was found on it"
            what += f": {reason}" if reason else ""
        return [
            f"{path}: {what}; what exists is never formatted, so correct filesystem, or create "
            "another disk"
        ]
    if not found or wanted.label is None or not found.is_label_known:
        return []
    if found.label == wanted.label:
        return []
    has = f"the label {found.label!r}" if found.label else "no label"
    return [
        f"{path}: its {_words(found.kind)} has {has}, not {wanted.label!r}; the label of what "
        "exists is never changed, so correct label, or change it in the guest"
    ]


def _words(kind: str) -> str:
    return NOUNS.get(kind, f"{kind} file system")


def _a(words: str) -> str:
    return f"{'an' if words[0] in 'aeiox' else 'a'} {words}"
