# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""xl's domain configuration files: write a whole one, and read one.

``config/disk_list`` changes the disk list of one that this collection did not write. A
configuration is a ``str`` here, see ``config/syntax``.
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

# The order in which people write these. All other options follow by name, so that equal options
# give the same file, whatever their order.
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
"""In bytes. A larger file is something else, such as a disk image given by mistake."""

CONFIG_DIR = "/etc/xen"
"""Where configs usually are, as NAME.cfg; xl itself accepts any path."""

AUTOSTART_DIR = "/etc/xen/auto"
"""Where xendomains finds the configs of the domains that it starts at boot."""


# --- writing ---------------------------------------------------------------------------------


def render(name: str, options: Mapping[str, object], disks: Sequence[str]) -> str:
    """Write a whole configuration: header, name, options, and the disk list last.

    An option's value is a string, an integer, a bool (written as 1 or 0) or a list of values;
    ``disks`` are disk specifications in xl's syntax. Equal arguments give equal texts, whatever
    the order of ``options``.

    Raises DomainConfigError, naming the option, for what cannot be written for xl.
    """
    lines = [HEADER, name_setting(name), *_option_lines(options), f"disk = {write_disks(disks)}"]
    return "".join(f"{line}\n" for line in lines)


def check_options(options: Mapping[str, object]) -> None:
    """Raise DomainConfigError as ``render`` does for options that cannot be written."""
    _option_lines(options)


def is_rendered(text: str) -> bool:
    """Whether ``render`` wrote the configuration."""
    return text.startswith(_MARK)


def is_rendered_for(text: str, name: str) -> bool:
    """Whether ``render`` wrote the configuration for the domain ``name``. The beginning of the
    text is enough."""
    return name_line(text) == name_setting(name)


def name_setting(name: str) -> str:
    """The line with the name in a configuration for the domain ``name`` that ``render`` writes.

    Raises DomainConfigError if the name cannot be written.
    """
    try:
        return f"name = {quote(name)}"
    except DomainConfigError as error:
        raise DomainConfigError(f"name: {error}") from error


def name_line(text: str) -> Optional[str]:
    """The line with the name, see ``name_setting``, in a configuration that ``render`` wrote; None
    for any other text. This is quicker than parsing the text."""
    return text.split("\n", 2)[1] if is_rendered(text) and "\n" in text else None


def _check_option_name(option: object) -> None:
    if not isinstance(option, str):
        raise DomainConfigError(
            f"the name of an option must be a string, not a value of type {type_name(option)}"
        )
    if not OPTION_NAME.fullmatch(option):
        raise DomainConfigError(
            f"{option!r} is not the name of an xl option: use lower-case letters, digits, _ and ., "
            "and begin with a letter"
        )
    if option in ("name", "disk"):
        raise DomainConfigError(
            f"{option} does not belong in the options: the domain's name and disks are set "
            "separately"
        )


def _option_lines(options: Mapping[str, object]) -> List[str]:
    for option in options:
        _check_option_name(option)
    return [f"{option} = {_option_value(option, options[option])}" for option in _ordered(options)]


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
    """``nesting``: the number of lists that contain the value."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, int):
        return _number(int(value))
    if isinstance(value, (list, tuple)):
        if nesting >= MAX_NESTING:
            raise DomainConfigError(f"its lists are nested more than {MAX_NESTING} levels deep")
        return "[" + ", ".join(_written(item, nesting + 1) for item in value) + "]"
    hint = "omit the option" if value is None else "write it as a string"
    raise DomainConfigError(
        f"a value of type {type_name(value)} cannot be written in an xl configuration, only "
        f"a string, an integer, a bool or a list of these: {hint}"
    )


def _number(value: int) -> str:
    if not LONG_MIN <= value <= LONG_MAX:
        raise DomainConfigError("the integer does not fit into the 64 bits that xl reads")
    # xl's numbers have no sign, but it also reads a number from a string.
    return str(value) if value >= 0 else quote(str(value))


# --- reading ---------------------------------------------------------------------------------


def name(text: str) -> Optional[str]:
    """Read the domain's name; None if the configuration sets none.

    Raises DomainConfigError if the text is no valid configuration, or its name is a list.
    """
    value = effective(parse(text)).get("name")
    if isinstance(value, list):
        raise DomainConfigError("name is set to a list, but a domain's name is a string")
    return None if value is None else str(value)


def disk_specs(text: str) -> List[str]:
    """Read the disk specifications, unquoted, that xl would use; [] without a ``disk`` setting.

    Raises DomainConfigError if the text is no valid configuration, or if xl would silently lose
    disks: ``disk`` is a single string, or its list holds another list.
    """
    return effective_disks(parse(text))


def meant(text: str) -> List[str]:
    """The same, but also the disk of ``disk = 'SPEC'``, which xl ignores with a warning."""
    return disk_specs(mended(text))


def settings(text: str) -> Dict[str, Value]:
    """Read all options, including the disk list, with the values that xl would use.

    A decimal number is an integer. A number in another notation (``0x1f``, ``010``) remains text:
    its value depends on how xl reads that option, and ``render`` writes a text that xl reads alike.
    Raises DomainConfigError if the text is no valid configuration.
    """
    return {option: typed(value) for option, value in effective(parse(text)).items()}
