# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of a disk and their values, as xl has them: the one table for all places.

A disk can be described in the inventory, for xen_domain_config, for xen_vbd_attach and for the
filters; each of these places takes the same options. The names and values are those of
xl-disk-configuration(5), with underscores in place of hyphens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Tuple


@dataclass(frozen=True)
class DiskOption:
    """What a key takes: a flag if it has words, a port if it is one, otherwise a text."""

    choices: Tuple[str, ...] = ()
    """The accepted texts; any text if there are none."""
    synonyms: Mapping[str, str] = field(default_factory=dict)
    """Other words that xl accepts, each with the choice that it stands for."""
    words: Mapping[bool, str] = field(default_factory=dict)
    """How xl writes true and false; it may have no word for false, which is its default then."""
    port: bool = False
    """Whether it is a TCP port, 1 to 65535."""
    offered: bool = True
    """Whether modules and plans have an option of this name. Other keys are only read in configs,
    kept, compared and written."""

    @property
    def flag(self) -> bool:
        """Whether it is true or false."""
        return bool(self.words)

    @property
    def accepted(self) -> Tuple[str, ...]:
        """All accepted texts; any text if there are none."""
        return (*self.choices, *self.synonyms)

    @property
    def argument_spec(self) -> Dict[str, Any]:
        """Its entry in an argument_spec of Ansible."""
        spec: Dict[str, Any] = {"type": "bool" if self.flag else "int" if self.port else "str"}
        return {**spec, "choices": list(self.accepted)} if self.choices else spec

    def meaning(self, value: str) -> Optional[str]:
        """The choice that a text stands for; None if it stands for none."""
        word = self.synonyms.get(value, value)
        return word if word in self.choices else None


_COLO = DiskOption(offered=False)

KEYS: Dict[str, DiskOption] = {
    "target": DiskOption(),
    "format": DiskOption(choices=("raw", "qcow", "qcow2", "vhd", "qed", "empty")),
    "vdev": DiskOption(),
    "access": DiskOption(choices=("ro", "rw"), synonyms={"r": "ro", "w": "rw"}),
    "devtype": DiskOption(choices=("disk", "cdrom")),
    "backendtype": DiskOption(choices=("phy", "tap", "qdisk", "standalone")),
    "backend": DiskOption(),
    "script": DiskOption(),
    "direct_io_safe": DiskOption(words={True: "direct-io-safe"}),
    "discard": DiskOption(words={True: "discard", False: "no-discard"}),
    "trusted": DiskOption(words={True: "trusted", False: "untrusted"}),
    "specification": DiskOption(choices=("xen", "virtio")),
    "grant_usage": DiskOption(words={True: "grant_usage=1", False: "grant_usage=0"}, offered=False),
    "colo": DiskOption(words={True: "colo", False: "no-colo"}, offered=False),
    "colo_host": _COLO,
    "colo_port": DiskOption(port=True, offered=False),
    "colo_export": _COLO,
    "active_disk": _COLO,
    "hidden_disk": _COLO,
}
"""All keys that xl 4.20 reads. ``access`` is ro or rw, ``backend`` a driver domain, ``vdev`` any
form of a device number that xl reads. xl reads ``trusted`` and ``grant_usage`` since 4.19; xl calls
the keys of COLO, the last six, unstable."""

OPTIONS: Dict[str, DiskOption] = {name: one for name, one in KEYS.items() if one.offered}
"""Those of them that modules and plans have as options."""


def xl_name(key: str) -> str:
    """What xl calls a key that is no flag."""
    return key.replace("_", "-")


def argument_spec(options: Mapping[str, DiskOption]) -> Dict[str, Dict[str, Any]]:
    """These options as an argument_spec of Ansible, without defaults."""
    return {name: option.argument_spec for name, option in options.items()}
