# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes that earlier tasks of a play have announced in check mode, without making them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError, explained
from ansible_collections.xen.blockdev.plugins.module_utils.units import parse_size

Announced = Mapping[str, Any]
"""One item of a module's result."""

PendingOption = Mapping[str, Optional[List[Announced]]]
"""The option ``pending`` as Ansible passes it."""

KEYS = {
    "disks": "path",
    "volumes": "path",
    "devices": "path",
    "configs": "path",
    "domains": "name",
    "vbds": "domain",
}
"""The lists that the modules return, and by what an entry says what it is about."""

SPEC: Dict[str, Any] = {
    "type": "dict",
    "options": {name: {"type": "list", "elements": "dict"} for name in KEYS},
}
"""Its entry in an argument_spec."""


class PendingError(BlockdevError):
    """An entry that no module returns."""


@dataclass(frozen=True)
class Pending:
    """Whether this is check mode and, if so, what would have changed by now."""

    check_mode: bool = False
    sizes: Mapping[str, Optional[int]] = field(default_factory=dict)
    """Bytes of the images and logical volumes, and of whatever else would be created or resized, by
    their paths; None if that is not known."""
    bound: FrozenSet[str] = frozenset()
    """Paths of the images that would have a loop device."""
    unbound: FrozenSet[str] = frozenset()
    """Paths of the images that would have none any more."""
    configs: FrozenSet[str] = frozenset()
    """Paths of the configs that would be written."""
    domains: FrozenSet[str] = frozenset()
    """Names of the domains that would run."""
    slots: FrozenSet[Tuple[str, str]] = frozenset()
    """The slots whose disks would be detached or replaced, each as domain and vdev."""

    @classmethod
    def read(cls, option: Optional[PendingOption], check_mode: bool) -> Pending:
        """From the option. Raises BlockdevError for what no module returns, also
        without check mode, in which nothing is pending."""
        changed = {name: _changed(name, (option or {}).get(name) or ()) for name in KEYS}
        disks, volumes, devices, configs, domains, vbds = (changed[name] for name in KEYS)
        announced = cls(
            check_mode=True,
            sizes={one["path"]: _size(one) for one in (*disks, *volumes) if _stays(one)},
            bound=frozenset(one["path"] for one in devices if _stays(one)),
            unbound=frozenset(one["path"] for one in devices if not _stays(one)),
            configs=frozenset(one["path"] for one in configs if one.get("rendered", True)),
            domains=frozenset(one["name"] for one in domains if one.get("running", True)),
            slots=frozenset(slot for one in vbds for slot in _slots(one)),
        )
        return announced if check_mode else cls()


def _changed(name: str, entries: Sequence[Announced]) -> List[Announced]:
    """The entries that announce a change."""
    for index, entry in enumerate(entries):
        _refuse_nameless(f"pending.{name}[{index}]", KEYS[name], entry)
        for position, slot in enumerate(entry.get("detached") or ()):
            _refuse_nameless(f"pending.{name}[{index}].detached[{position}]", KEYS[name], slot)
    return [entry for entry in entries if entry.get("changed", True)]


def _refuse_nameless(where: str, key: str, entry: Announced) -> None:
    if not isinstance(entry.get(key), str):
        raise PendingError(f"{where} has no {key}: give the entry as the module has returned it")


def _stays(entry: Announced) -> bool:
    """Whether the image, or its loop device, is there afterwards."""
    return "size" not in entry or entry["size"] is not None


def _size(entry: Announced) -> Optional[int]:
    with explained(f"pending: {entry['path']}"):
        return parse_size(entry["size"]) if "size" in entry else None


def _slots(entry: Announced) -> List[Tuple[str, str]]:
    """Those that the entry has emptied, or filled with another disk."""
    slots = [entry, *(entry.get("detached") or ())]
    return [(slot["domain"], str(slot["vdev"])) for slot in slots if slot.get("vdev") is not None]
