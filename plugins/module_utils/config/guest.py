# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a config says of the guest, as far as its disks depend on it.

The rules for its words are those of ``parse_config_data`` in ``xl_parse.c``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.errors import BlockdevError

HVM, PV, PVH = "hvm", "pv", "pvh"

_TYPES = {HVM: HVM, PV: PV, PVH: PVH}
_BUILDERS = {"hvm": HVM, "generic": PV}
"""What the deprecated ``builder`` means."""

_OLD_DEVICE_MODEL = "qemu-xen-traditional"


class GuestTypeError(BlockdevError):
    """A config that says a type that xl does not know, or two different ones."""


@dataclass(frozen=True)
class Guest:
    """A guest. Made by ``guest_of``."""

    type: str
    """``hvm``, ``pv`` or ``pvh``."""
    hdtype: Optional[str] = None
    """The bus of the hard disks of an HVM guest; None for xl's default, IDE."""
    known_drives: bool = True
    """Whether the drives of an HVM guest are those of ``disk/emulation``: those of a stub domain,
    or of the device model before QEMU was new, follow other rules."""
    needs_disk: bool = True
    """Whether an HVM guest boots from a disk or CD: it has no kernel in dom0 and no network to boot
    from."""


def guest_of(settings: Mapping[str, object]) -> Guest:
    """The guest of a config with these settings, by the names of xl. Raises GuestTypeError."""
    device_model = _word(settings, "device_model_version")
    has_stub_domain = _word(settings, "device_model_stubdomain_override") not in (None, "", "0")
    return Guest(
        type=_domain_type(settings),
        hdtype=_word(settings, "hdtype"),
        known_drives=device_model != _OLD_DEVICE_MODEL and not has_stub_domain,
        needs_disk="kernel" not in settings and "n" not in (_word(settings, "boot") or ""),
    )


def _domain_type(settings: Mapping[str, object]) -> str:
    """What ``type`` says, or ``builder``. If neither does, a guest is PV; on Arm it is PVH, for
    which the same rules apply to disks."""
    said = _meaning(settings, "type", _TYPES)
    built = _meaning(settings, "builder", _BUILDERS)
    if said and built and said != built:
        raise GuestTypeError(
            f"type {said} and builder {_word(settings, 'builder')} contradict each other: leave "
            "out builder, which is deprecated"
        )
    return said or built or PV


def _meaning(
    settings: Mapping[str, object], option: str, meanings: Mapping[str, str]
) -> Optional[str]:
    """What the word of an option means; xl takes the beginning of a word for it."""
    word = _word(settings, option)
    if word is None:
        return None
    for whole, meaning in meanings.items():
        if whole.startswith(word):
            return meaning
    raise GuestTypeError(f"{option} {word!r:.80} is none that xl knows: use {', '.join(meanings)}")


def _word(settings: Mapping[str, object], option: str) -> Optional[str]:
    """The value of an option as xl reads it, None if it is not set. xl ignores a list, with a
    warning."""
    value = settings.get(option)
    if isinstance(value, bool):
        return str(int(value))
    return str(value) if isinstance(value, (str, int)) else None
