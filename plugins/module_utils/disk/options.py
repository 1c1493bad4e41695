# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a disk and their values, as xl has them: the one table for all places.

A disk can be described in the inventory, for xen_domain_config, for xen_vbd_attach and for the
filters; each of these places takes the same options. The names and values are those of
xl-disk-configuration(5); C(direct-io-safe) is written with underscores.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Dict, Mapping, Optional, Tuple


@dataclass(frozen=True)
class Option:
    """What an option takes."""

    flag: bool = False
    """Whether it is true or false; otherwise it is a text."""
    choices: Tuple[str, ...] = ()
    """The texts that it takes; any text without them."""
    synonyms: Mapping[str, str] = field(default_factory=dict)
    """Other words that xl takes, and which of the choices each of them is."""

    @property
    def accepted(self) -> Tuple[str, ...]:
        """All texts that it takes; any text if there are none."""
        return (*self.choices, *self.synonyms)

    @property
    def argument_spec(self) -> Dict[str, Any]:
        """Its entry in an argument_spec of Ansible."""
        spec: Dict[str, Any] = {"type": "bool" if self.flag else "str"}
        return {**spec, "choices": list(self.accepted)} if self.choices else spec

    def meaning(self, value: str) -> Optional[str]:
        """Which of the choices a text is; None if it is none of them."""
        word = self.synonyms.get(value, value)
        return word if word in self.choices else None


OPTIONS: Dict[str, Option] = {
    "target": Option(),
    "format": Option(choices=("raw", "qcow", "qcow2", "vhd", "qed", "empty")),
    "vdev": Option(),
    "access": Option(choices=("ro", "rw"), synonyms={"r": "ro", "w": "rw"}),
    "devtype": Option(choices=("disk", "cdrom")),
    "backendtype": Option(choices=("phy", "tap", "qdisk", "standalone")),
    "backend": Option(),
    "script": Option(),
    "direct_io_safe": Option(flag=True),
    "discard": Option(flag=True),
    "trusted": Option(flag=True),
    "specification": Option(choices=("xen", "virtio")),
}
"""``access`` is ro or rw, ``backend`` a driver domain, ``vdev`` any form of a device number that xl
reads; ``trusted`` is understood by xl 4.19 and later."""

WITH_TARGET: Dict[str, Option] = {
    **OPTIONS,
    "format": replace(
        OPTIONS["format"],
        choices=tuple(word for word in OPTIONS["format"].choices if word != "empty"),
    ),
}
"""The options of a disk that has a target, as one that is planned or attached has: ``empty`` is the
format of a drive without one."""


def argument_spec(options: Mapping[str, Option]) -> Dict[str, Dict[str, Any]]:
    """These options as an argument_spec of Ansible, without defaults."""
    return {name: option.argument_spec for name, option in options.items()}
