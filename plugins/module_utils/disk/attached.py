# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of an attached disk is not as wanted: one rule for what changes it and what looks at it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, List

from ansible_collections.xen.blockdev.plugins.module_utils.disk.spec import DiskSpec

READ_BACK = ("format", "backendtype", "devtype", "discard", "direct_io_safe", "specification")
"""The options of an attached disk that xenstore has. ``backend`` is compared as part of the
storage; ``trusted`` is in a node that the guest can write, so its value proves nothing."""


def option_differences(found: Any, wanted: DiskSpec) -> List[str]:
    """How the options of an attached disk differ from those that ``wanted`` says, a clause each.

    ``found``: has them as attributes, as the types for attached disks of ``xen`` and ``survey`` do.
    What is not said is left as it is, except for the access and the format.
    """
    said = replace(wanted, access=wanted.effective_access, format=wanted.format or "raw")
    pairs = {
        "access": (found.access, said.access),
        "script": (found.script, said.script_path),
        **{name: (getattr(found, name), getattr(said, name)) for name in READ_BACK},
    }
    return [
        f"with {name}: {_shown(is_now)}, not {_shown(wanted_value)}"
        for name, (is_now, wanted_value) in pairs.items()
        if wanted_value is not None and wanted_value != is_now
    ]


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
