# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""xl's domain configuration files: write a whole one, and read what one says.

How the disk list of someone else's is changed is in disk_list. A configuration is a ``str`` here,
see config_syntax.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Dict, List, Optional

from ansible_collections.xen.blockdev.plugins.module_utils.config.disk_list import (
    effective_disks,
    mended,
    write_disks,
)
from ansible_collections.xen.blockdev.plugins.module_utils.config.syntax import (
    LONG_MAX,
    LONG_MIN,
    MAX_NESTING,
    OPTION_NAME,
    DomainConfigError,
    Value,
    effective,
    parse,
    quote,
    typed,
    write_list,
)
from ansible_collections.xen.blockdev.plugins.module_utils.errors import type_name

_MARK = "# Managed by Ansible (xen.blockdev.xen_domain_config)"
HEADER = _MARK + ": the next run overwrites changes made here."

# The order in which people write these; all other options follow by name, so that the same
# options give the same file whatever the order in which a mapping was put together.
_USUAL_ORDER = (
    "type",
    "builder",
    "bootloader",
    "firmware",
    "kernel",
    "ramdisk",
    "cmdline",
    "root",
    "extra",
    "memory",
    "maxmem",
    "vcpus",
    "maxvcpus",
    "cpus",
    "on_poweroff",
    "on_reboot",
    "on_crash",
    "vif",
)

MAX_SIZE = 2**20
"""Bytes. What is larger is a disk image, say, that was named by mistake."""

CONFIG_DIR = "/etc/xen"
"""Where xl's users keep the configs, as NAME.cfg; xl itself takes any path."""


# --- writing ---------------------------------------------------------------------------------


def render(name: str, options: Mapping[str, object], disks: Sequence[str]) -> str:
    """Write a whole configuration: header, name, options, and the disk list last.

    An option's value is a string, an integer, a bool (written as 1 or 0) or a list of values;
    ``disks`` are disk specifications in xl's syntax. Equal arguments give equal texts, whatever
    the order of ``options``.

    Raises DomainConfigError, naming the option, for what xl has no way to write.
    """
    for option in options:
        _check_option_name(option)
    settings = [("name", _quoted("name", name))]
    settings += [(option, _option_value(option, options[option])) for option in _ordered(options)]
    settings.append(("disk", write_disks(disks)))
    return HEADER + "\n" + "".join(f"{option} = {value}\n" for option, value in settings)


def is_rendered(text: str) -> bool:
    """Tell a configuration that ``render`` wrote from one that someone else wrote."""
    return text.startswith(_MARK)


def is_rendered_for(text: str, name: str) -> bool:
    """Whether ``render`` wrote the configuration for the domain ``name``; its beginning is
    enough."""
    return name_line(text) == name_line(render(name, {}, []))


def name_line(text: str) -> Optional[str]:
    """Where a configuration that ``render`` wrote says the name; the same for the same domain, and
    quicker than to read it all. None for what someone else wrote."""
    return text.split("\n", 2)[1] if is_rendered(text) and "\n" in text else None


def _check_option_name(option: object) -> None:
    if not isinstance(option, str):
        raise DomainConfigError(
            f"the name of an option is a string, not a value of type {type_name(option)}"
        )
    if not OPTION_NAME.fullmatch(option):
        raise DomainConfigError(
            f"{option!r} is no name of an xl option: that is a lower-case letter, then lower-case "
            "letters, digits, underscores and dots"
        )
    if option in ("name", "disk"):
        raise DomainConfigError(
            f"{option} does not belong in the options: the domain's name and disks are given on "
            "their own, beside them"
        )


def _ordered(options: Iterable[str]) -> List[str]:
    rank = {option: position for position, option in enumerate(_USUAL_ORDER)}
    return sorted(options, key=lambda option: (rank.get(option, len(rank)), option))


def _option_value(option: str, value: object) -> str:
    try:
        if isinstance(value, (list, tuple)):
            return write_list(f"{_written(item, nesting=1)}," for item in value)
        return _written(value)
    except DomainConfigError as error:
        raise DomainConfigError(f"option {option}: {error}") from error


def _written(value: object, nesting: int = 0) -> str:
    """``nesting``: the number of lists around it."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, int):
        return _number(int(value))
    if isinstance(value, (list, tuple)):
        if nesting >= MAX_NESTING:
            raise DomainConfigError(f"its lists are nested more than {MAX_NESTING} levels deep")
        return "[" + ", ".join(_written(item, nesting + 1) for item in value) + "]"
    hint = "leave the option out instead" if value is None else "write it as a string"
    raise DomainConfigError(
        f"a value of type {type_name(value)} cannot be written in an xl configuration, only "
        f"a string, an integer, a bool or a list of these: {hint}"
    )


def _number(value: int) -> str:
    if not LONG_MIN <= value <= LONG_MAX:
        raise DomainConfigError("the integer is beyond the 64 bits that xl reads")
    # xl's numbers have no sign, but it also takes one from a string.
    return str(value) if value >= 0 else quote(str(value))


def _quoted(option: str, text: str) -> str:
    try:
        return quote(text)
    except DomainConfigError as error:
        raise DomainConfigError(f"{option}: {error}") from error


# --- reading ---------------------------------------------------------------------------------


def name(text: str) -> Optional[str]:
    """Read the domain's name; None if the configuration sets none.

    Raises DomainConfigError if the text is no valid configuration, or its name is a list.
    """
    value = effective(parse(text)).get("name")
    if isinstance(value, list):
        raise DomainConfigError("name is set to a list, but a domain's name is a string")
    return None if value is None else str(value)


def disks(text: str) -> List[str]:
    """Read the disk specifications, unquoted, that xl would use; [] without a ``disk`` setting.

    Raises DomainConfigError if the text is no valid configuration, or if xl would silently lose
    disks: ``disk`` is a single string, or its list holds another list.
    """
    return effective_disks(parse(text))


def meant(text: str) -> List[str]:
    """The same, and the disk of a ``disk = 'SPEC'`` as well, from which xl would start the domain
    without it."""
    return disks(mended(text))


def settings(text: str) -> Dict[str, Value]:
    """Read every option that is set, the disk list as well, with the values that xl would use.

    A decimal number is an integer. A number in another notation (``0x1f``, ``010``) is the text as
    it stands: what it is worth depends on how xl reads that option, and ``render`` writes a text
    that xl reads alike.
    Raises DomainConfigError if the text is no valid configuration.
    """
    return {option: typed(value) for option, value in effective(parse(text)).items()}
